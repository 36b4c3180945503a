//! How each store of this crate is mutated at random.

use core::fmt::Debug;

use quickcheck::{Arbitrary, Gen, empty_shrinker};

use super::arbitrary::few_times;
use crate::causal::{CausalContext, Dot, Hlc, Seq};
use crate::crdt::{
    Change, DotStore, DwFlagStore, EwFlagStore, GCounterStore, LwwRegisterStore, MvRegisterStore,
    OrMapStore, OrSetStore, PnCounterStore, Replicated, RwSetStore, SiblingsStore,
};

/// A store whose mutations can be drawn at random.
///
/// What it makes a [`Causal`](crate::crdt::Causal) of is [`Mergeable`](super::Mergeable), can
/// stand in an [`OrMap`](crate::crdt::OrMap) under test, and is `Arbitrary`. The guide has
/// [an example](crate::guide::testing#a-store-made-of-dot-stores).
pub trait Operations: DotStore {
    /// A mutation.
    type Operation: Arbitrary + Debug;

    /// The change that the mutation makes under `dot`, or `None` where it fails.
    fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>>;
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

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Self::Add(element) => Box::new(element.shrink().map(Self::Add)),
            Self::Remove(element) => Box::new(element.shrink().map(Self::Remove)),
            Self::Clear => empty_shrinker(),
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
            _ => Self::Write(few_times(g), T::arbitrary(g)),
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Self::Write(time, value) => {
                Box::new((time, value).shrink().map(|(time, value)| Self::Write(time, value)))
            }
            Self::Clear => empty_shrinker(),
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

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Self::Add(amount) => Box::new(amount.shrink().map(Self::Add)),
            Self::Clear => empty_shrinker(),
        }
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

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Self::Update(key, inner) => {
                Box::new((key, inner).shrink().map(|(key, inner)| Self::Update(key, inner)))
            }
            Self::Remove(key) => Box::new(key.shrink().map(Self::Remove)),
            Self::Clear => empty_shrinker(),
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
