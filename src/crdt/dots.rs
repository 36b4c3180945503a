//! The three dot stores, and the one join of all types.
//!
//! Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2016), arXiv 1603.01529,
//! section 7. A state is a pair of live items and a context, the dots seen; every live dot
//! is in the context. The join of (L1, C1) and (L2, C2) is
//!
//! ```text
//! live    = (L1 ∩ L2) ∪ (L1 \ C2) ∪ (L2 \ C1)
//! context = C1 ∪ C2
//! ```
//!
//! A dot that one side has seen and no longer holds was removed; a dot that it has not seen
//! is news. That is why removing leaves nothing behind. The obvious code, a set of items
//! with a set of removed ones beside it, keeps every removal for ever; and without the
//! second set:
//!
//! 1. A and B both hold *x*. A removes it.
//! 2. They meet. B has *x* and A has not. Was it added at B, or removed at A?
//! 3. Whichever the code guesses, it is wrong in the other case.
//!
//! The context tells: A has seen the dot under which B holds *x*.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Change;
use crate::causal::{CausalContext, Dot};

/// Two contexts that meet: what the stores must know of them to be joined.
///
/// Made by [`Causal::merge`](super::Causal::merge) and passed down through the stores.
#[derive(Debug)]
pub struct Meeting<'a> {
    mine: &'a CausalContext,
    theirs: &'a CausalContext,
    /// How many of our live dots can still turn out to be dead, at most. A delta that only
    /// adds leaves none, so that merging it costs nothing for what it does not touch.
    may_die: Cell<u64>,
}

/// Contexts of up to this many dots are searched, one by one, for what may have been removed.
const SMALL: u64 = 256;

impl<'a> Meeting<'a> {
    pub(super) fn new(
        mine: &'a CausalContext,
        theirs: &'a CausalContext,
        their_store: &impl DotStore,
    ) -> Self {
        let mut live = 0;
        their_store.each_dot(&mut |_| live += 1);
        let seen = theirs.count();
        let may_die = if seen == live {
            0 // they have removed nothing
        } else if seen <= SMALL {
            let mut held = Vec::new();
            their_store.each_dot(&mut |dot| held.push(dot));
            held.sort_unstable();
            let nothing = crate::causal::VersionVector::new();
            let gone = theirs.dots_beyond(&nothing).filter(|d| held.binary_search(d).is_err());
            gone.filter(|&d| mine.contains(d)).count() as u64
        } else {
            u64::MAX
        };
        Self { mine, theirs, may_die: Cell::new(may_die) }
    }

    /// Whether there may still be something of ours to drop.
    fn may_drop(&self) -> bool {
        self.may_die.get() > 0
    }

    /// Whether a dot of ours that they do not hold was removed there: L1 \ C2 keeps the rest.
    fn drops(&self, dot: Dot) -> bool {
        let dead = self.theirs.contains(dot);
        if dead {
            self.may_die.set(self.may_die.get().saturating_sub(1));
        }
        dead
    }

    /// Whether a dot of theirs that we do not hold is news here: L2 \ C1.
    fn takes(&self, dot: Dot) -> bool {
        !self.mine.contains(dot)
    }
}

/// Live items, each under its dot: one of [`DotSet`], [`DotFun`], [`DotMap`], or a type made
/// of them that hands each call on.
///
/// A store alone cannot be merged, because it does not know what it has seen:
/// [`Causal`](super::Causal) joins it with its context.
pub trait DotStore: Clone + Default {
    /// Joins the live items of `other` into these.
    fn join(&mut self, other: &Self, meeting: &Meeting<'_>);

    /// Visits the dot of every live item.
    fn each_dot(&self, visit: &mut dyn FnMut(Dot));

    /// Whether nothing is live.
    fn is_empty(&self) -> bool;

    /// Takes out the keys under which nothing is live. A [`Change`] has them, to say where
    /// it removes something; a state never.
    fn prune(&mut self);

    /// The change that removes everything observed here.
    fn clearing(&self) -> Change<Self> {
        let mut observed = CausalContext::new();
        self.each_dot(&mut |dot| {
            observed.insert(dot);
        });
        Change::removal(Self::default(), observed)
    }
}

/// A dot function: live dots, each with a value. Registers, counters and flags are such.
#[derive(Clone, PartialEq, Eq)]
pub struct DotFun<T> {
    rows: BTreeMap<Dot, T>,
}

impl<T> DotFun<T> {
    /// The store of one item.
    #[must_use]
    pub fn of(dot: Dot, value: T) -> Self {
        Self { rows: BTreeMap::from([(dot, value)]) }
    }

    /// The value under `dot`.
    #[must_use]
    pub fn get(&self, dot: Dot) -> Option<&T> {
        self.rows.get(&dot)
    }

    /// The live items in the order of their dots.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Dot, &T)> + DoubleEndedIterator {
        self.rows.iter().map(|(dot, value)| (*dot, value))
    }

    /// The live dots, ascending.
    pub fn dots(&self) -> impl ExactSizeIterator<Item = Dot> + DoubleEndedIterator + '_ {
        self.rows.keys().copied()
    }

    /// How many items are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<T> Default for DotFun<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<T> FromIterator<(Dot, T)> for DotFun<T> {
    fn from_iter<I: IntoIterator<Item = (Dot, T)>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect() }
    }
}

impl<T: fmt::Debug> fmt::Debug for DotFun<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.fmt(f)
    }
}

impl<T: Clone> DotStore for DotFun<T> {
    /// The law itself. All other stores are made of this.
    fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        if meeting.may_drop() {
            self.rows.retain(|dot, _| other.rows.contains_key(dot) || !meeting.drops(*dot));
        }
        for (dot, value) in &other.rows {
            if meeting.takes(*dot) {
                self.rows.insert(*dot, value.clone());
            }
        }
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.rows.keys().for_each(|dot| visit(*dot));
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn prune(&mut self) {}
}

impl<T: Serialize> Serialize for DotFun<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.rows)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for DotFun<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { rows: deserializer.deserialize_seq(Ascending::<(Dot, T), Dot, T>::new())? })
    }
}

/// A dot set: live dots and nothing else. What an element of an add-wins set holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DotSet {
    /// A function to nothing, so that the law is written once.
    dots: DotFun<()>,
}

impl DotSet {
    /// The set of one dot.
    #[must_use]
    pub fn of(dot: Dot) -> Self {
        Self { dots: DotFun::of(dot, ()) }
    }

    /// The live dots, ascending.
    pub fn dots(&self) -> impl ExactSizeIterator<Item = Dot> + DoubleEndedIterator + '_ {
        self.dots.dots()
    }

    /// How many dots are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dots.len()
    }

    /// Whether nothing is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dots.is_empty()
    }
}

impl FromIterator<Dot> for DotSet {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        Self { dots: dots.into_iter().map(|dot| (dot, ())).collect() }
    }
}

impl fmt::Debug for DotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.dots()).finish()
    }
}

crate::crdt::delegate_store!([] DotSet, dots);

impl Serialize for DotSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.dots())
    }
}

impl<'de> Deserialize<'de> for DotSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = deserializer.deserialize_seq(Ascending::<Dot, Dot, ()>::new())?;
        Ok(Self { dots: DotFun { rows } })
    }
}

/// A dot map: keys, and under each a store that is not empty. Sets and maps are such.
///
/// Joining a whole state costs its size. Joining a delta costs the keys it names, unless it
/// removed something elsewhere: a removal names dots without their keys, so those are looked
/// for under the other keys until all are found.
#[derive(Clone, PartialEq, Eq)]
pub struct DotMap<K, S> {
    entries: BTreeMap<K, S>,
}

impl<K, S> DotMap<K, S> {
    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &S)> + DoubleEndedIterator {
        self.entries.iter()
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + DoubleEndedIterator {
        self.entries.keys()
    }

    /// How many keys have something live under them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Ord, S> DotMap<K, S> {
    /// The map of one key. With an empty store it is no state but part of a [`Change`].
    pub(super) fn of(key: K, store: S) -> Self {
        Self { entries: BTreeMap::from([(key, store)]) }
    }

    /// What stands under a key.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&S>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// The key as it is kept here, and what stands under it.
    pub(super) fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &S)>
    where
        K: Borrow<Q>,
    {
        self.entries.get_key_value(key)
    }
}

impl<K, S> Default for DotMap<K, S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: fmt::Debug, S: fmt::Debug> fmt::Debug for DotMap<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}

impl<K: Ord + Clone, S: DotStore> DotStore for DotMap<K, S> {
    fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        for (key, theirs) in &other.entries {
            if let Some(mine) = self.entries.get_mut(key) {
                mine.join(theirs, meeting);
                if mine.is_empty() {
                    self.entries.remove(key);
                }
            } else {
                let mut news = S::default();
                news.join(theirs, meeting);
                if !news.is_empty() {
                    self.entries.insert(key.clone(), news);
                }
            }
        }
        let nothing = S::default();
        let mut emptied = Vec::new();
        for (key, mine) in &mut self.entries {
            if !meeting.may_drop() {
                break;
            }
            if !other.entries.contains_key(key) {
                mine.join(&nothing, meeting);
                if mine.is_empty() {
                    emptied.push(key.clone());
                }
            }
        }
        for key in &emptied {
            self.entries.remove(key);
        }
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.entries.values().for_each(|store| store.each_dot(visit));
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn prune(&mut self) {
        self.entries.retain(|_, store| {
            store.prune();
            !store.is_empty()
        });
    }
}

/// A sequence of pairs: not every format has maps with keys that are no text.
impl<K: Serialize, S: Serialize> Serialize for DotMap<K, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(&self.entries)
    }
}

impl<'de, K: Deserialize<'de> + Ord, S: Deserialize<'de> + DotStore> Deserialize<'de>
    for DotMap<K, S>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_seq(Ascending::<(K, S), K, S>::new())?;
        if entries.values().any(DotStore::is_empty) {
            return Err(D::Error::custom("dot map: a key with nothing live under it"));
        }
        Ok(Self { entries })
    }
}

/// Reads a sequence whose keys strictly ascend. Takes no room in advance: how long the
/// sequence says it is does not count.
struct Ascending<E, K, V>(PhantomData<(E, K, V)>);

impl<E, K, V> Ascending<E, K, V> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

/// What is read one after the other: a key with a value, or a dot alone.
trait Entry<K, V> {
    fn split(self) -> (K, V);
}

impl<K, V> Entry<K, V> for (K, V) {
    fn split(self) -> (K, V) {
        self
    }
}

impl Entry<Dot, ()> for Dot {
    fn split(self) -> (Dot, ()) {
        (self, ())
    }
}

impl<'de, E: Deserialize<'de> + Entry<K, V>, K: Ord, V> Visitor<'de> for Ascending<E, K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("entries in ascending order, none twice")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some(entry) = entries.next_element::<E>()? {
            let (key, value) = entry.split();
            if read.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(A::Error::custom("dot store: entries out of order or doubled"));
            }
            read.insert(key, value);
        }
        Ok(read)
    }
}
