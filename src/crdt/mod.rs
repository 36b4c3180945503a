//! Conflict-free values: plain data that anybody can keep, send and merge.
//!
//! | type | concurrent mutations |
//! |---|---|
//! | [`LwwRegister`] | the later clock is read, the other stays readable |
//! | [`MvRegister`] | all are read |
//! | [`Siblings`] | all are read, and a writer says what it has read |
//! | [`PnCounter`], [`GCounter`] | all count |
//! | [`OrSet`] | adding wins over removing |
//! | [`RwSet`] | removing wins over adding |
//! | [`EwFlag`] | enabling wins |
//! | [`DwFlag`] | disabling wins |
//! | [`OrMap`] | a change beneath wins over removing the key |
//!
//! All are one [`Causal`] with another store, all stores are made of [`DotSet`], [`DotFun`]
//! and [`DotMap`], and all are merged by the one join that `dots.rs` tells: Almeida, Shoker,
//! Baquero, "Delta State Replicated Data Types" (2016), arXiv 1603.01529.
//!
//! # How they are used
//! Each mutator comes in three forms, named alike in all types:
//!
//! - `add(replica, …)` changes the value under the next dot of that replica,
//! - `add_at(dot, …)` under a dot from outside, and fails if that was seen already,
//! - `adding(dot, …)`, a method of the store, changes nothing and gives a [`Change`], which
//!   can be carried up from the inside of a map. [`Causal::apply`] applies it.
//!
//! The first two return the *delta*: a value of the same type that holds the mutation alone.
//! [`Causal::merge`] takes deltas and whole states alike, in any order and any number of
//! times. A delta holds exact dots, and never a vector as a past: it may leave gaps.
//!
//! ```
//! use rejoin::causal::ReplicaId;
//! use rejoin::crdt::OrSet;
//! let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
//!
//! let mut fruit = OrSet::new();
//! let first = fruit.add(a, "apple");
//! let second = fruit.add(a, "banana");
//!
//! let mut elsewhere = OrSet::new();
//! elsewhere.merge(&second); // out of order, with a gap before it
//! let third = elsewhere.add(b, "cherry");
//! elsewhere.merge(&first);
//! fruit.merge(&third);
//! assert!(fruit == elsewhere && fruit.len() == 3);
//! ```
//!
//! # Bytes
//! All types are serialised by serde, as sequences and structs, so that formats without
//! maps, or with text keys only, can hold them. Decoding checks every invariant: a live dot
//! that the context has not seen, a dot twice, entries out of order, a key with nothing
//! beneath, all are errors. How deep a decoder recurses is set by the type, not by the bytes.

mod causal;
mod counters;
mod dots;
mod flags;
mod flatten;
#[cfg(any(test, feature = "quickcheck"))]
pub mod laws;
mod map;
mod registers;
pub mod rules;
mod sets;
mod siblings;

pub use causal::{Causal, Change, DotSeen, NotCausal, Replicated};
pub use counters::{CounterError, GCounter, GCounterStore, PnCounter, PnCounterStore};
pub use dots::{DotFun, DotMap, DotSet, DotStore, Meeting};
pub use flags::{DwFlag, DwFlagStore, EwFlag, EwFlagStore};
pub use flatten::{FlatItem, Flatten, FlattenError, join_flat};
pub use map::{OrMap, OrMapStore};
pub use registers::{LwwRegister, LwwRegisterStore, MvRegister, MvRegisterStore, Stamped, Write};
pub use rules::CounterOverflow;
pub use sets::{OrSet, OrSetStore, RwSet, RwSetStore};
pub use siblings::{Siblings, SiblingsStore};

/// Hands the calls of a [`DotStore`] on to a field.
macro_rules! delegate_store {
    ([$($bound:tt)*] $store:ty, $field:tt) => {
        impl<$($bound)*> $crate::crdt::DotStore for $store {
            fn join(&mut self, other: &Self, meeting: &$crate::crdt::Meeting<'_>) {
                self.$field.join(&other.$field, meeting);
            }

            fn each_dot(&self, visit: &mut dyn FnMut($crate::causal::Dot)) {
                self.$field.each_dot(visit);
            }

            fn is_empty(&self) -> bool {
                $crate::crdt::DotStore::is_empty(&self.$field)
            }

            fn prune(&mut self) {
                self.$field.prune();
            }
        }
    };
}
use delegate_store;

/// What a store that wraps another has of it: [`DotStore`], and what deriving would ask too
/// much of its parameters for.
macro_rules! wrap_store {
    ([$($bound:tt)*] $store:ty, $inner:ty) => {
        $crate::crdt::delegate_store!([$($bound)*] $store, 0);

        impl<$($bound)*> Default for $store {
            fn default() -> Self {
                Self(Default::default())
            }
        }

        impl<$($bound)*> core::fmt::Debug for $store
        where
            $inner: core::fmt::Debug,
        {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
use wrap_store;

#[cfg(test)]
mod reads;
#[cfg(test)]
mod tests;
