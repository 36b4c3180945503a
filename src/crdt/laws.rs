//! The laws of conflict-free values, to be checked on any of them, your own among them.
//!
//! [`check`] draws *histories*: a few replicas that mutate their copies, send each other
//! whole states, and deltas one by one, in any order and with gaps. Values drawn at random
//! would mostly be states that no history leads to. After each step and at the end it asks
//! that the join is commutative, associative and idempotent, that a mutation only adds to
//! what is known, that a delta does what the whole state does, and that all survives
//! being written and read. A history that fails is shrunk to a short one and printed.
//!
//! ```
//! use rejoin::crdt::{LwwRegister, OrMap, OrSet};
//! use rejoin::crdt::laws::{Few, check};
//!
//! check::<OrMap<Few, OrSet<Few>>>(50);
//! check::<OrMap<Few, OrMap<Few, LwwRegister<u8>>>>(50);
//! ```
//!
//! In a test module, [`crdt_laws!`](crate::crdt_laws) makes the tests.

use core::fmt::Debug;
use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen, QuickCheck};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    Causal, Change, DotStore, DwFlagStore, EwFlagStore, GCounterStore, LwwRegisterStore,
    MvRegisterStore, OrMapStore, OrSetStore, PnCounterStore, Replicated, RwSetStore, SiblingsStore,
};
use crate::causal::{CausalContext, Dot, Hlc, ReplicaId, Seq};

/// How many histories the tests made by [`crdt_laws!`](crate::crdt_laws) draw.
pub const HISTORIES: u64 = 10_000;

/// How many replicas take part in a history.
pub const REPLICAS: usize = 3;

/// Makes tests that check the laws of conflict-free values. Feature `quickcheck`.
///
/// ```
/// use rejoin::crdt::{OrMap, OrSet, laws::Few};
///
/// rejoin::crdt_laws! {
///     tags: OrMap<Few, OrSet<Few>>;
///     few_histories: OrSet<u8>, 100;
/// }
/// ```
#[macro_export]
macro_rules! crdt_laws {
    ($($name:ident: $value:ty $(, $histories:expr)?;)+) => {$(
        #[test]
        fn $name() {
            let [histories, ..] = [$($histories,)? $crate::crdt::laws::HISTORIES];
            $crate::crdt::laws::check::<$value>(histories);
        }
    )+};
}

/// One of four names. Elements and keys drawn from few names meet each other; those drawn
/// from all numbers never would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Few(pub u8);

impl Arbitrary for Few {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(u8::arbitrary(g) % 4)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new((0..self.0).map(Self))
    }
}

/// A store whose mutations can be drawn at random.
pub trait Operations: DotStore {
    /// A mutation.
    type Operation: Arbitrary + Debug;

    /// The change that the mutation makes under `dot`, or `None` where it fails.
    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>>;
}

/// What happens in a history. Replicas and deltas are named by numbers that are taken modulo
/// how many there are, so that leaving out a step makes another history.
#[derive(Clone, Debug)]
pub enum Step<O> {
    /// A replica mutates its copy.
    Mutate(u8, O),
    /// The first sends its whole state to the second.
    Send(u8, u8),
    /// One of the deltas made so far reaches a replica, for the first time or again.
    Deliver(u8, u8),
}

impl<O: Arbitrary> Arbitrary for Step<O> {
    fn arbitrary(g: &mut Gen) -> Self {
        let at = u8::arbitrary(g);
        match u8::arbitrary(g) % 8 {
            0..=3 => Self::Mutate(at, O::arbitrary(g)),
            4 | 5 => Self::Send(at, u8::arbitrary(g)),
            _ => Self::Deliver(at, u8::arbitrary(g)),
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self {
            Self::Mutate(at, operation) => {
                let at = *at;
                Box::new(operation.shrink().map(move |o| Self::Mutate(at, o)))
            }
            _ => quickcheck::empty_shrinker(),
        }
    }
}

/// What came of a history.
#[derive(Clone, Debug)]
pub struct Outcome<S> {
    /// The copies of the replicas.
    pub copies: Vec<Causal<S>>,
    /// The delta of each mutation.
    pub deltas: Vec<Causal<S>>,
    /// Which deltas, by number, each copy holds.
    pub holds: Vec<BTreeSet<usize>>,
}

/// Lets the steps happen. `watch` sees each mutation: the copy before, the delta, and the
/// copy after.
pub fn run<S: Operations>(
    ids: &[ReplicaId],
    steps: &[Step<S::Operation>],
    mut watch: impl FnMut(&Causal<S>, &Causal<S>, &Causal<S>),
) -> Outcome<S> {
    let mut out = Outcome {
        copies: ids.iter().map(|_| Causal::<S>::new()).collect(),
        deltas: Vec::new(),
        holds: ids.iter().map(|_| BTreeSet::new()).collect(),
    };
    let place = |n: &u8| usize::from(*n) % ids.len().max(1);
    for step in steps {
        match step {
            Step::Mutate(at, operation) => {
                let at = place(at);
                let (Some(id), Some(copy), Some(holds)) =
                    (ids.get(at), out.copies.get_mut(at), out.holds.get_mut(at))
                else {
                    continue;
                };
                let change = copy.change(copy.seen().next_dot(*id), operation);
                let before = copy.clone();
                if let Some(Ok(delta)) = change.map(|change| copy.apply(change)) {
                    watch(&before, &delta, copy);
                    holds.insert(out.deltas.len());
                    out.deltas.push(delta);
                }
            }
            Step::Send(from, to) => {
                let (from, to) = (place(from), place(to));
                let sent = (out.copies.get(from).cloned(), out.holds.get(from).cloned());
                if let ((Some(state), Some(held)), Some(copy), Some(holds)) =
                    (sent, out.copies.get_mut(to), out.holds.get_mut(to))
                {
                    copy.merge(&state);
                    holds.extend(held);
                }
            }
            Step::Deliver(delta, to) => {
                let number = usize::from(*delta) % out.deltas.len().max(1);
                let to = place(to);
                if let (Some(delta), Some(copy), Some(holds)) =
                    (out.deltas.get(number), out.copies.get_mut(to), out.holds.get_mut(to))
                {
                    copy.merge(delta);
                    holds.insert(number);
                }
            }
        }
    }
    out
}

fn joined<S: DotStore>(left: &Causal<S>, right: &Causal<S>) -> Causal<S> {
    let mut both = left.clone();
    both.merge(right);
    both
}

fn survives<S>(value: &Causal<S>) -> bool
where
    S: DotStore + PartialEq + Serialize + DeserializeOwned,
{
    let bytes = postcard::to_allocvec(value);
    bytes.is_ok_and(|bytes| postcard::from_bytes(&bytes).as_ref() == Ok(value))
}

/// Which law a history breaks, if it breaks one.
///
/// # Errors
/// The name of the law.
pub fn laws<S>(steps: &[Step<S::Operation>]) -> Result<(), &'static str>
where
    S: Operations + PartialEq + Serialize + DeserializeOwned,
{
    let ids: Vec<ReplicaId> = (0..REPLICAS as u8).map(|n| ReplicaId::from_bytes([n; 16])).collect();
    let mut broken = Ok(());
    let mut ask = |holds: bool, law: &'static str| {
        if !holds && broken.is_ok() {
            broken = Err(law);
        }
    };
    let out = run::<S>(&ids, steps, |before, delta, after| {
        ask(joined(before, delta) == *after, "a delta does what the mutation did");
        ask(joined(delta, before) == *after, "a delta commutes with the state");
        ask(joined(before, after) == *after, "a mutation only adds to what is known");
        ask(after.seen().covers(before.seen()), "a context only grows");
        ask(survives(delta), "a delta survives serialisation");
    });
    for (copy, holds) in out.copies.iter().zip(&out.holds) {
        let deltas = || holds.iter().filter_map(|number| out.deltas.get(*number));
        let (mut forth, mut back) = (Causal::<S>::new(), Causal::<S>::new());
        deltas().for_each(|delta| forth.merge(delta));
        deltas().rev().for_each(|delta| back.merge(delta));
        ask(forth == *copy, "the deltas together are the state");
        ask(back == *copy, "deltas commute");
        ask(joined(copy, copy) == *copy, "merging is idempotent");
        ask(joined(&Causal::new(), copy) == *copy, "the empty value changes nothing");
        ask(survives(copy), "a state survives serialisation");
    }
    if let [a, b, c] = out.copies.as_slice() {
        let (ab, bc) = (joined(a, b), joined(b, c));
        ask(ab == joined(b, a) && bc == joined(c, b), "merging is commutative");
        ask(joined(&ab, c) == joined(a, &bc), "merging is associative");
    }
    broken
}

/// Checks the laws on that many histories, the same ones each time.
///
/// # Panics
/// A law is broken. The message holds the history, and names the law.
pub fn check<V>(histories: u64)
where
    V: Replicated,
    V::Store: Operations + PartialEq + Serialize + DeserializeOwned + 'static,
{
    fn property<S>(steps: Vec<Step<S::Operation>>) -> quickcheck::TestResult
    where
        S: Operations + PartialEq + Serialize + DeserializeOwned,
    {
        match laws::<S>(&steps) {
            Ok(()) => quickcheck::TestResult::passed(),
            Err(law) => quickcheck::TestResult::error(law),
        }
    }
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(12, 0x7265_6a6f_696e))
        .tests(histories)
        .max_tests(histories)
        .quickcheck(property::<V::Store> as fn(Vec<Step<_>>) -> _);
}

/// A copy at the end of a history. Each value drawn has replicas of its own, because one
/// dot must not name two events: two values drawn can be merged.
impl<S: Operations + 'static> Arbitrary for Causal<S> {
    fn arbitrary(g: &mut Gen) -> Self {
        let ids: Vec<ReplicaId> = (0..REPLICAS).map(|_| ReplicaId::arbitrary(g)).collect();
        let steps = Vec::<Step<S::Operation>>::arbitrary(g);
        let at = usize::arbitrary(g) % REPLICAS;
        run::<S>(&ids, &steps, |_, _, _| ()).copies.into_iter().nth(at).unwrap_or_default()
    }
}

/// Mutations of a set, for [`Operations`].
#[derive(Clone, Debug)]
pub enum SetOperation<T> {
    /// Add an element.
    Add(T),
    /// Remove an element.
    Remove(T),
    /// Remove everything observed.
    Clear,
}

impl<T: Arbitrary> Arbitrary for SetOperation<T> {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 10 {
            0..=5 => Self::Add(T::arbitrary(g)),
            6..=8 => Self::Remove(T::arbitrary(g)),
            _ => Self::Clear,
        }
    }
}

impl<T: Arbitrary + Ord + Debug> Operations for OrSetStore<T> {
    type Operation = SetOperation<T>;

    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
        Some(match operation {
            SetOperation::Add(element) => self.adding(dot, element.clone()),
            SetOperation::Remove(element) => self.removing(element),
            SetOperation::Clear => self.clearing(),
        })
    }
}

impl<T: Arbitrary + Ord + Debug> Operations for RwSetStore<T> {
    type Operation = SetOperation<T>;

    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
        Some(match operation {
            SetOperation::Add(element) => self.adding(dot, element.clone()),
            SetOperation::Remove(element) => self.removing(dot, element.clone()),
            SetOperation::Clear => self.clearing(),
        })
    }
}

/// Mutations of a flag, for [`Operations`].
#[derive(Clone, Copy, Debug)]
pub enum FlagOperation {
    /// Enable the flag.
    Enable,
    /// Disable the flag.
    Disable,
    /// Remove everything observed.
    Clear,
}

impl Arbitrary for FlagOperation {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 5 {
            0 | 1 => Self::Enable,
            2 | 3 => Self::Disable,
            _ => Self::Clear,
        }
    }
}

impl Operations for EwFlagStore {
    type Operation = FlagOperation;

    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
        Some(match operation {
            FlagOperation::Enable => self.enabling(dot),
            FlagOperation::Disable => self.disabling(),
            FlagOperation::Clear => self.clearing(),
        })
    }
}

impl Operations for DwFlagStore {
    type Operation = FlagOperation;

    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
        Some(match operation {
            FlagOperation::Enable => self.enabling(dot),
            FlagOperation::Disable => self.disabling(dot),
            FlagOperation::Clear => self.clearing(),
        })
    }
}

/// Mutations of a register, for [`Operations`].
#[derive(Clone, Debug)]
pub enum RegisterOperation<T> {
    /// Write a value at a time.
    Write(Hlc, T),
    /// Remove everything observed.
    Clear,
}

impl<T: Arbitrary> Arbitrary for RegisterOperation<T> {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 6 {
            0 => Self::Clear,
            // Few times, so that some are equal.
            _ => Self::Write(Hlc::new(u64::from(u8::arbitrary(g) % 4), 0), T::arbitrary(g)),
        }
    }
}

macro_rules! register_operations {
    ($($store:ident)+) => {$(
        impl<T: Arbitrary + Debug> Operations for $store<T> {
            type Operation = RegisterOperation<T>;

            fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
                Some(match operation {
                    RegisterOperation::Write(time, value) => {
                        self.writing(dot, *time, value.clone())
                    }
                    RegisterOperation::Clear => self.clearing(),
                })
            }
        }
    )+};
}
register_operations! { LwwRegisterStore MvRegisterStore }

impl<T: Arbitrary + Debug> Operations for SiblingsStore<T> {
    /// Of what is there now the writer has read what the number's bits say.
    type Operation = (u8, RegisterOperation<T>);

    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
        let (read, operation) = operation;
        let bits = (0..8).cycle().map(|bit| read & (1 << bit) != 0);
        let live = self.iter().map(|write| write.dot).zip(bits);
        let context: CausalContext = live.filter(|(_, read)| *read).map(|(dot, _)| dot).collect();
        Some(match operation {
            RegisterOperation::Write(time, value) => {
                self.updating(dot, &context, *time, value.clone())
            }
            RegisterOperation::Clear => Change::removal(Self::default(), context),
        })
    }
}

/// Mutations of a counter, for [`Operations`].
#[derive(Clone, Copy, Debug)]
pub enum CounterOperation<N> {
    /// Add an amount.
    Add(N),
    /// Remove everything observed.
    Clear,
}

impl<N: Arbitrary> Arbitrary for CounterOperation<N> {
    fn arbitrary(g: &mut Gen) -> Self {
        if u8::arbitrary(g) % 8 == 0 { Self::Clear } else { Self::Add(N::arbitrary(g)) }
    }
}

macro_rules! counter_operations {
    ($($store:ident $amount:ty)+) => {$(
        impl Operations for $store {
            type Operation = CounterOperation<$amount>;

            fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
                match operation {
                    // Every delta may reach somebody: all rows count as shown.
                    CounterOperation::Add(amount) => self.adding(dot, *amount, Seq::MAX).ok(),
                    CounterOperation::Clear => Some(self.clearing()),
                }
            }
        }
    )+};
}
counter_operations! { PnCounterStore i64 GCounterStore u64 }

/// Mutations of a map, for [`Operations`].
#[derive(Clone, Debug)]
pub enum MapOperation<K, O> {
    /// Change what stands under a key.
    Update(K, O),
    /// Remove what was observed under a key.
    Remove(K),
    /// Remove everything observed.
    Clear,
}

impl<K: Arbitrary, O: Arbitrary> Arbitrary for MapOperation<K, O> {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 12 {
            0..=8 => Self::Update(K::arbitrary(g), O::arbitrary(g)),
            9 | 10 => Self::Remove(K::arbitrary(g)),
            _ => Self::Clear,
        }
    }
}

impl<K, V> Operations for OrMapStore<K, V>
where
    K: Arbitrary + Ord + Debug,
    V: Replicated + 'static,
    V::Store: Operations,
{
    type Operation = MapOperation<K, <V::Store as Operations>::Operation>;

    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
        match operation {
            MapOperation::Update(key, inner) => {
                let change = |store: &V::Store| store.change(dot, inner).ok_or(());
                self.try_updating(key.clone(), change).ok()
            }
            MapOperation::Remove(key) => Some(self.removing(key)),
            MapOperation::Clear => Some(self.clearing()),
        }
    }
}
