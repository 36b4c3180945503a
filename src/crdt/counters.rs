//! Counters.

use serde::{Deserialize, Deserializer, Serialize};

use super::rules::{self, CounterOverflow};
use super::{Causal, Change, DotFun, DotSeen};
use crate::causal::{CausalContext, Dot, ReplicaId, Seq};

/// Why nothing was added to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// The writer's own total would leave its range.
    #[error(transparent)]
    Overflow(#[from] CounterOverflow),
    /// The dot cannot name a new event.
    #[error(transparent)]
    Dot(#[from] DotSeen),
}

/// The rows of one replica, ascending by seq.
fn own(rows: &DotFun<i64>, replica: ReplicaId) -> Vec<(Seq, i64)> {
    // A counter has a few rows for each of its writers.
    let mine = rows.iter().filter(|(dot, _)| dot.replica == replica);
    mine.map(|(dot, amount)| (dot.seq, *amount)).collect()
}

/// The new row of an increment, and what it replaces, by [`rules::plan_add`].
fn adding(
    rows: &DotFun<i64>,
    dot: Dot,
    amount: i64,
    shown: Seq,
) -> Result<(DotFun<i64>, CausalContext), CounterOverflow> {
    let plan = rules::plan_add(&own(rows, dot.replica), shown, amount)?;
    let replaced = plan.replaces.iter().map(|seq| Dot::new(dot.replica, *seq));
    Ok((DotFun::of(dot, plan.amount), replaced.collect()))
}

fn sum(rows: &DotFun<i64>) -> i128 {
    // A sum of 2⁶⁴ rows would still fit.
    rows.iter().map(|(_, amount)| i128::from(*amount)).sum()
}

/// How a counter is counted up.
macro_rules! increments {
    ($counter:ident, $amount:ty, $adds:literal, $overflows:literal) => {
        impl $counter {
            #[doc = $adds]
            ///
            /// # Errors
            #[doc = concat!("The writer's own total would ", $overflows, ".")]
            pub fn add(
                &mut self,
                replica: ReplicaId,
                amount: $amount,
            ) -> Result<Self, CounterOverflow> {
                self.add_shown(replica, amount, Seq::MAX)
            }

            #[doc = concat!("As [`", stringify!($counter), "::add`], under a dot from outside.")]
            ///
            /// # Errors
            #[doc = concat!("The writer's own total would ", $overflows, ", or the dot was seen already.")]
            pub fn add_at(&mut self, dot: Dot, amount: $amount) -> Result<Self, CounterError> {
                self.add_shown_at(dot, amount, Seq::MAX)
            }

            #[doc = $adds]
            /// Nobody can have seen what the replica wrote after `shown`: neither a delta nor
            /// a state that has it was handed out.
            ///
            /// # Errors
            #[doc = concat!("The writer's own total would ", $overflows, ".")]
            pub fn add_shown(
                &mut self,
                replica: ReplicaId,
                amount: $amount,
                shown: Seq,
            ) -> Result<Self, CounterOverflow> {
                self.try_mutate(replica, |counter, dot| counter.adding(dot, amount, shown))
            }

            #[doc = concat!("As [`", stringify!($counter), "::add_shown`], under a dot from outside.")]
            ///
            /// # Errors
            #[doc = concat!("The writer's own total would ", $overflows, ", or the dot was seen already.")]
            pub fn add_shown_at(
                &mut self,
                dot: Dot,
                amount: $amount,
                shown: Seq,
            ) -> Result<Self, CounterError> {
                Ok(self.apply(self.adding(dot, amount, shown)?)?)
            }
        }
    };
}

/// A counter that goes up and down.
///
/// Each increment is a live item with its own amount, so that removing the counter (from a
/// map, or by [`Causal::clear`]) removes exactly the increments observed; see
/// [`rules::plan_add`]. A writer has eight rows at most. The sum is read in 128 bits: no
/// merge can overflow.
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::PnCounter};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let (mut here, mut there) = (PnCounter::new(), PnCounter::new());
/// let up = here.add(a, 5)?;
/// let down = there.add(b, -2)?;
/// here.merge(&down);
/// here.merge(&down); // twice is once
/// there.merge(&up);
/// assert_eq!((here.value(), there.value()), (3, 3));
/// # Ok::<(), rejoin::crdt::CounterOverflow>(())
/// ```
pub type PnCounter = Causal<PnCounterStore>;

/// The live items of a [`PnCounter`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PnCounterStore(pub(super) DotFun<i64>);

crate::crdt::wrap_store!([] PnCounterStore, DotFun<i64>);

impl PnCounterStore {
    /// The sum of all rows. O(rows).
    #[must_use]
    pub fn value(&self) -> i128 {
        sum(&self.0)
    }

    /// The rows, each an amount under its dot.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (Dot, i64)> + '_ {
        self.0.iter().map(|(dot, amount)| (dot, *amount))
    }

    /// The change that adds `amount`, negative or not. Rows of the writer `dot.replica` above
    /// `shown` can have been seen by nobody: the newest may be counted up in its place.
    ///
    /// # Errors
    /// The writer's own total would leave the range of `i64`.
    pub fn adding(
        &self,
        dot: Dot,
        amount: i64,
        shown: Seq,
    ) -> Result<Change<Self>, CounterOverflow> {
        let (row, replaced) = adding(&self.0, dot, amount, shown)?;
        Ok(Change::write_over(Self(row), dot, replaced))
    }
}

increments!(PnCounter, i64, "Adds `amount`, negative or not.", "leave the range of `i64`");

/// A counter that only goes up.
///
/// As [`PnCounter`], with amounts that are not negative. (A whole counter can still be
/// removed.)
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::GCounter};
/// let a = ReplicaId::from_bytes([1; 16]);
/// let mut visits = GCounter::new();
/// let _ = visits.add(a, 3)?;
/// let _ = visits.add(a, 1)?;
/// assert_eq!(visits.value(), 4);
/// # Ok::<(), rejoin::crdt::CounterOverflow>(())
/// ```
pub type GCounter = Causal<GCounterStore>;

/// The live items of a [`GCounter`].
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GCounterStore(pub(super) DotFun<i64>);

crate::crdt::wrap_store!([] GCounterStore, DotFun<i64>);

impl<'de> Deserialize<'de> for GCounterStore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = DotFun::<i64>::deserialize(deserializer)?;
        if rows.iter().any(|(_, amount)| *amount < 0) {
            return Err(serde::de::Error::custom("growing counter: a negative amount"));
        }
        Ok(Self(rows))
    }
}

impl GCounterStore {
    /// The sum of all rows. O(rows).
    #[must_use]
    pub fn value(&self) -> u128 {
        sum(&self.0).unsigned_abs()
    }

    /// The rows, each an amount under its dot.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (Dot, u64)> + '_ {
        self.0.iter().map(|(dot, amount)| (dot, amount.unsigned_abs()))
    }

    /// The change that adds `amount`; `shown` as in [`PnCounterStore::adding`].
    ///
    /// # Errors
    /// The writer's own total would be more than `i64::MAX` (an amount that is so by itself
    /// is told as that number).
    pub fn adding(
        &self,
        dot: Dot,
        amount: u64,
        shown: Seq,
    ) -> Result<Change<Self>, CounterOverflow> {
        let Ok(amount) = i64::try_from(amount) else {
            let total = own(&self.0, dot.replica).iter().map(|row| i128::from(row.1)).sum();
            return Err(CounterOverflow { total, amount: i64::MAX });
        };
        let (row, replaced) = adding(&self.0, dot, amount, shown)?;
        Ok(Change::write_over(Self(row), dot, replaced))
    }
}

increments!(GCounter, u64, "Adds `amount`.", "be more than `i64::MAX`");
