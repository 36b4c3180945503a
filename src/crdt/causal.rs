//! A value that can be merged: a dot store with the context of what it has seen.

use core::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize};

use super::{DotStore, Meeting};
use crate::causal::{CausalContext, Dot, ReplicaId};

/// A replicated value: live items, and the set of all events seen.
///
/// Every type of this module is this one with another store, and each is read through the
/// methods of its store, to which this dereferences. Values and deltas are of one type, and
/// [`Causal::merge`] takes either. Merging is commutative, associative and idempotent, so
/// deltas may arrive in any order, late, twice, or as part of a whole state.
///
/// What must hold: one dot names one event, so **no two replicas may write under one
/// [`ReplicaId`]**, and a replica that was restored from an old copy must take a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Causal<S> {
    store: S,
    seen: CausalContext,
}

/// A type that can stand in an [`OrMap`](super::OrMap): every [`Causal`].
pub trait Replicated {
    /// What it keeps of live items; the context is the outermost map's.
    type Store: DotStore;
}

impl<S: DotStore> Replicated for Causal<S> {
    type Store = S;
}

/// A dot that cannot name a new event here: it was seen already, or its seq is zero.
/// Nothing was changed.
///
/// The obvious code would write under it all the same, and then:
///
/// 1. A has seen B:7, the addition of *x*, and its removal.
/// 2. A adds *y* under the dot B:7.
/// 3. Every replica that has seen B:7 takes *y* for removed and drops it, without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dot {dot} cannot name a new event: it was seen already, or its seq is zero")]
pub struct DotSeen {
    /// The dot.
    pub dot: Dot,
}

/// Live items and a context that do not make a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCausal {
    /// A live dot that the context has not seen.
    #[error("the live dot {0} is not in the context")]
    Unseen(Dot),
    /// A dot that is live in two places.
    #[error("the dot {0} is live twice")]
    Twice(Dot),
}

/// What a mutation does to a store, worked out and not yet applied.
///
/// Made by the methods of the stores that end in *-ing*, such as
/// [`OrSetStore::adding`](super::OrSetStore::adding), and applied by
/// [`Causal::apply`]; between the two it can be carried up from the inside of a map, or of a
/// store of your own, by [`Change::within`].
#[derive(Clone, Debug)]
#[must_use = "a change does nothing until it is applied"]
pub struct Change<S> {
    /// The delta, with keys that have nothing live under them where something is removed.
    delta: Causal<S>,
    /// The dot it takes, if it takes one.
    dot: Option<Dot>,
}

impl<S> Change<S> {
    /// The change that puts `store`, an item under `dot`, in the place of `observed`, which
    /// are live dots of the store it is a change of.
    pub fn write(store: S, dot: Dot, observed: impl IntoIterator<Item = Dot>) -> Self {
        let mut seen: CausalContext = observed.into_iter().collect();
        seen.insert(dot);
        Self { delta: Causal { store, seen }, dot: Some(dot) }
    }

    /// The change that removes `observed`; `store` holds nothing, or keys with nothing, which
    /// say where to look.
    pub fn removal(store: S, observed: CausalContext) -> Self {
        Self { delta: Causal { store, seen: observed }, dot: None }
    }

    /// As [`Change::write`], with a context for what is replaced.
    pub(super) fn write_over(store: S, dot: Dot, mut observed: CausalContext) -> Self {
        observed.insert(dot);
        Self { delta: Causal { store, seen: observed }, dot: Some(dot) }
    }

    /// The same change of a store that holds this one; `wrap` puts it in its place, with
    /// nothing beside it.
    pub fn within<T>(self, wrap: impl FnOnce(S) -> T) -> Change<T> {
        let Causal { store, seen } = self.delta;
        Change { delta: Causal { store: wrap(store), seen }, dot: self.dot }
    }
}

impl<S> Causal<S> {
    /// The live items. Their methods can also be called on the value itself.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The events seen, those of the live items and those of what they replaced.
    #[must_use]
    pub fn seen(&self) -> &CausalContext {
        &self.seen
    }

    /// The live items and the context.
    #[must_use]
    pub fn into_parts(self) -> (S, CausalContext) {
        (self.store, self.seen)
    }
}

impl<S: DotStore> Causal<S> {
    /// The value that nobody has written to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of these live items and this context. O(n log n).
    ///
    /// # Errors
    /// A live dot is not in the context, or is live twice.
    pub fn from_parts(store: S, seen: CausalContext) -> Result<Self, NotCausal> {
        let mut dots = Vec::new();
        store.each_dot(&mut |dot| dots.push(dot));
        dots.sort_unstable();
        if let Some(dot) = dots.iter().find(|dot| !seen.contains(**dot)) {
            return Err(NotCausal::Unseen(*dot));
        }
        let twice = dots.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*a),
            _ => None,
        });
        match twice {
            Some(dot) => Err(NotCausal::Twice(dot)),
            None => Ok(Self { store, seen }),
        }
    }

    /// Takes over what `other`, a whole state or a delta, has seen: the join.
    ///
    /// A delta costs about its own size (see [`DotMap`](super::DotMap) for removals), a whole
    /// state the size of both.
    pub fn merge(&mut self, other: &Self) {
        let meeting = Meeting::new(&self.seen, &other.seen, &other.store);
        self.store.join(&other.store, &meeting);
        self.seen.join(&other.seen);
    }

    /// Applies a change, and returns it as a delta for the other replicas.
    ///
    /// # Errors
    /// The change takes a dot that was seen already, or one of seq zero. Nothing was changed.
    pub fn apply(&mut self, change: Change<S>) -> Result<Self, DotSeen> {
        if let Some(dot) = change.dot
            && (dot.seq.is_zero() || self.seen.contains(dot))
        {
            return Err(DotSeen { dot });
        }
        let mut delta = change.delta;
        self.merge(&delta);
        delta.store.prune();
        Ok(delta)
    }

    /// Removes everything observed, and returns the delta. What is written elsewhere at the
    /// same time survives. Needs no dot.
    #[must_use = "the delta is what the other replicas need"]
    pub fn clear(&mut self) -> Self {
        let change = self.store.clearing();
        self.apply(change).unwrap_or_default()
    }

    /// Works out a change with a dot for the next event of `replica`, and applies it.
    ///
    /// All mutators that take a [`ReplicaId`] come through here. A replica that has used up
    /// all its 2⁶⁴ − 1 seqs can write no more: the value stays as it is, and the delta is
    /// empty.
    #[must_use = "the delta is what the other replicas need"]
    pub fn mutate(
        &mut self,
        replica: ReplicaId,
        change: impl FnOnce(&S, Dot) -> Change<S>,
    ) -> Self {
        let change = change(&self.store, self.seen.next_dot(replica));
        self.apply(change).unwrap_or_default()
    }

    /// As [`Causal::mutate`], for a change that can fail.
    ///
    /// # Errors
    /// Those of the change. Nothing was changed then.
    pub fn try_mutate<E>(
        &mut self,
        replica: ReplicaId,
        change: impl FnOnce(&S, Dot) -> Result<Change<S>, E>,
    ) -> Result<Self, E> {
        let change = change(&self.store, self.seen.next_dot(replica))?;
        Ok(self.apply(change).unwrap_or_default())
    }
}

impl<S> Deref for Causal<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.store
    }
}

impl<'de, S: DotStore + Deserialize<'de>> Deserialize<'de> for Causal<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Causal")]
        struct Parts<S> {
            store: S,
            seen: CausalContext,
        }
        let parts = Parts::<S>::deserialize(deserializer)?;
        Self::from_parts(parts.store, parts.seen).map_err(serde::de::Error::custom)
    }
}
