//! Registers.

use serde::{Deserialize, Serialize};

use super::{Causal, Change, DotFun, DotSeen, rules};
use crate::causal::{Dot, Hlc, ReplicaId};

/// A value with the time of its writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// When it was written, by the writer's [`HybridClock`](crate::causal::HybridClock).
    pub time: Hlc,
    /// What was written.
    pub value: T,
}

/// One of the concurrent writes of a register, as it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Write<'a, T: ?Sized> {
    /// The name of the write.
    pub dot: Dot,
    /// When it was made.
    pub time: Hlc,
    /// What was written.
    pub value: &'a T,
}

impl<T: ?Sized> Clone for Write<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Write<'_, T> {}

pub(super) fn writes<T>(
    rows: &DotFun<Stamped<T>>,
) -> impl ExactSizeIterator<Item = Write<'_, T>> + DoubleEndedIterator {
    rows.iter().map(|(dot, row)| Write { dot, time: row.time, value: &row.value })
}

/// How a store is read whose concurrent values stand side by side.
macro_rules! concurrent_values {
    ($store:ident, $writes:ident) => {
        impl<T> $store<T> {
            /// The concurrent values, in the order of their dots.
            pub fn values(&self) -> impl ExactSizeIterator<Item = &T> + DoubleEndedIterator {
                self.$writes().map(|write| write.value)
            }

            /// The concurrent writes, in the order of their dots.
            pub fn $writes(
                &self,
            ) -> impl ExactSizeIterator<Item = $crate::crdt::Write<'_, T>> + DoubleEndedIterator
            {
                $crate::crdt::registers::writes(&self.0)
            }

            /// How many concurrent values there are.
            #[must_use]
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there are none.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }
    };
}
pub(super) use concurrent_values;

/// How a register is written: in the place of all that the replica has seen.
macro_rules! writes_over_all {
    ($register:ident, $store:ident) => {
        impl<T> $store<T> {
            /// The change that writes a value in the place of all observed.
            pub fn writing(&self, dot: Dot, time: Hlc, value: T) -> Change<Self> {
                let row = DotFun::of(dot, Stamped { time, value });
                Change::write(Self(row), dot, self.0.dots())
            }
        }

        impl<T: Clone> $register<T> {
            /// Writes a value, stamped with the writer's clock.
            #[must_use = "the delta is what the other replicas need"]
            pub fn write(&mut self, replica: ReplicaId, time: Hlc, value: T) -> Self {
                self.mutate(replica, |register, dot| register.writing(dot, time, value))
            }

            /// Writes a value under a dot from outside.
            ///
            /// # Errors
            /// The dot was seen already.
            pub fn write_at(&mut self, dot: Dot, time: Hlc, value: T) -> Result<Self, DotSeen> {
                self.apply(self.writing(dot, time, value))
            }
        }
    };
}

/// A register in which the last write wins.
///
/// A write replaces every write that it has seen. Of those that remain, which are
/// concurrent, the one with the greatest (timestamp, dot) is read, and the others stay
/// readable as [`conflicts`](LwwRegisterStore::conflicts).
///
/// The obvious register keeps one value and lets the greater timestamp win, always:
///
/// 1. A's clock is ten years ahead. A writes, and B reads it.
/// 2. B corrects it. B's timestamp is smaller, so the correction is dropped at once.
/// 3. For ten years nobody can change the value.
///
/// Here B's write has seen A's and takes its place, whatever the clocks say.
///
/// ```
/// use rejoin::{causal::{Hlc, ReplicaId}, crdt::LwwRegister};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
/// let (early, late) = (Hlc::new(1_000, 0), Hlc::new(9_999_999, 0));
///
/// let mut here = LwwRegister::new();
/// let wrong = here.write(a, late, "wrong");
/// let mut there = LwwRegister::new();
/// there.merge(&wrong);
/// let right = there.write(b, early, "right");
/// here.merge(&right);
/// assert_eq!(here.get(), Some(&"right"));
///
/// // Two that have not seen each other: the clocks decide, and nothing is lost.
/// let mine = here.write(a, late, "mine");
/// let _ = there.write(b, early, "theirs");
/// there.merge(&mine);
/// assert_eq!(there.get(), Some(&"mine"));
/// assert_eq!(there.conflicts().map(|w| *w.value).collect::<Vec<_>>(), ["theirs"]);
/// ```
pub type LwwRegister<T> = Causal<LwwRegisterStore<T>>;

/// The live items of an [`LwwRegister`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LwwRegisterStore<T>(pub(super) DotFun<Stamped<T>>);

crate::crdt::wrap_store!([T: Clone] LwwRegisterStore<T>, DotFun<Stamped<T>>);

impl<T> LwwRegisterStore<T> {
    /// The value, if anything was written.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.winner().map(|write| write.value)
    }

    /// The write that is read.
    #[must_use]
    pub fn winner(&self) -> Option<Write<'_, T>> {
        let rows = self.0.iter().map(|(dot, row)| (row.time, dot, &row.value));
        rules::lww_winner(rows).map(|(time, dot, value)| Write { dot, time, value })
    }

    /// The concurrent writes that lost, in the order of their dots.
    pub fn conflicts(&self) -> impl DoubleEndedIterator<Item = Write<'_, T>> {
        let winner = self.winner().map(|write| write.dot);
        writes(&self.0).filter(move |write| Some(write.dot) != winner)
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

writes_over_all!(LwwRegister, LwwRegisterStore);

/// A register that keeps every concurrent write.
///
/// A write replaces every write that it has seen; those that have not seen each other stand
/// side by side until somebody who has seen them all writes. The time is there for the
/// reader to go by, and decides nothing.
///
/// ```
/// use rejoin::{causal::{Hlc, ReplicaId}, crdt::MvRegister};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let (mut here, mut there) = (MvRegister::new(), MvRegister::new());
/// let tea = here.write(a, Hlc::new(1, 0), "tea");
/// let _ = there.write(b, Hlc::new(2, 0), "coffee");
/// there.merge(&tea);
/// assert_eq!(there.values().collect::<Vec<_>>(), [&"tea", &"coffee"]);
///
/// let _ = there.write(b, Hlc::new(3, 0), "both");
/// there.merge(&tea); // late news of what was replaced changes nothing
/// assert_eq!(there.values().collect::<Vec<_>>(), [&"both"]);
/// ```
pub type MvRegister<T> = Causal<MvRegisterStore<T>>;

/// The live items of an [`MvRegister`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MvRegisterStore<T>(pub(super) DotFun<Stamped<T>>);

crate::crdt::wrap_store!([T: Clone] MvRegisterStore<T>, DotFun<Stamped<T>>);
concurrent_values!(MvRegisterStore, writes);
writes_over_all!(MvRegister, MvRegisterStore);
