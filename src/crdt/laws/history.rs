//! Histories: a few replicas that mutate their copies and hear of each other.

use core::fmt::{self, Debug};
use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen};

use super::steps::Steps;
use super::{Operations, REPLICAS, Step};
use crate::causal::ReplicaId;
use crate::crdt::Causal;

/// What the replicas are called in a story.
const LETTERS: [&str; REPLICAS] = ["A", "B", "C"];

/// A type that is mutated at several replicas and merged: what the laws are about.
///
/// Every [`Causal`] whose store has [`Operations`] is such. For a type of your own that knows
/// nothing of dots, say here how it is mutated and merged; [`Default`] is the value that
/// nobody has written to.
///
/// ```
/// use rejoin::causal::ReplicaId;
/// use rejoin::crdt::laws::{Mergeable, check};
/// use serde::{Deserialize, Serialize};
///
/// /// The best score so far.
/// #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
/// struct Best(u32);
///
/// impl Mergeable for Best {
///     type Operation = u32;
///
///     fn mutate(&mut self, _at: ReplicaId, score: &u32) -> Option<Self> {
///         self.0 = self.0.max(*score);
///         Some(self.clone())
///     }
///
///     fn merge(&mut self, other: &Self) {
///         self.0 = self.0.max(other.0);
///     }
/// }
///
/// check::<Best>(100);
/// ```
pub trait Mergeable: Clone + Default {
    /// A mutation, with all that it depends on, such as what time it is. Its `Debug` stands
    /// in the story of a broken law.
    type Operation: Arbitrary + Debug;

    /// Mutates the copy that `replica` keeps, and returns what the others must merge to learn
    /// of it: a delta, or a clone of the whole value where the type has no deltas. `None` if
    /// the mutation is not possible here; nothing may have changed then.
    #[must_use = "the delta is what the other replicas need"]
    fn mutate(&mut self, replica: ReplicaId, operation: &Self::Operation) -> Option<Self>;

    /// Takes over what `other`, a copy or a delta, knows.
    fn merge(&mut self, other: &Self);
}

impl<S: Operations> Mergeable for Causal<S> {
    type Operation = S::Operation;

    fn mutate(&mut self, replica: ReplicaId, operation: &S::Operation) -> Option<Self> {
        let change = self.store().change(self.seen().next_dot(replica), operation)?;
        self.apply(change).ok()
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }
}

/// What a step came to: replicas and deltas by their places.
#[derive(Clone, Copy)]
enum Event {
    Mutated { at: usize },
    Sent { from: usize, to: usize },
    Delivered { delta: usize, to: usize, again: bool },
    Nothing,
}

/// One mutation, as it was seen where it was made.
#[derive(Clone)]
pub(super) struct Mutation<V> {
    pub(super) at: usize,
    pub(super) before: V,
    pub(super) after: V,
    /// Which delta it made, if it was possible.
    pub(super) delta: Option<usize>,
    /// Its number in the story.
    pub(super) step: usize,
}

/// A history, and what came of it: an [`Arbitrary`] value for properties that speak of more
/// than one copy.
///
/// It shrinks by its steps: some are left out, and the operations shrink themselves. Every
/// copy of a shrunk history is therefore what a shorter or simpler history leads to. Its
/// `Debug` tells the story. The replicas of each history drawn are its own, so values of two
/// histories may be merged.
///
/// ```
/// use quickcheck::QuickCheck;
/// use rejoin::crdt::PnCounter;
/// use rejoin::crdt::laws::History;
///
/// fn whoever_has_heard_of_all_counts_all(history: History<PnCounter>) -> bool {
///     let [a, b, c] = history.copies();
///     let mut all = a.clone();
///     all.merge(b);
///     all.merge(c);
///     let mut told = PnCounter::new();
///     history.deltas().iter().for_each(|delta| told.merge(delta));
///     all.value() == told.value()
/// }
/// QuickCheck::new().quickcheck(whoever_has_heard_of_all_counts_all as fn(_) -> bool);
/// ```
#[derive(Clone)]
pub struct History<V: Mergeable> {
    replicas: [ReplicaId; REPLICAS],
    steps: Vec<Step<V::Operation>>,
    events: Vec<Event>,
    copies: [V; REPLICAS],
    /// Which deltas, by number, each copy holds.
    holds: [BTreeSet<usize>; REPLICAS],
    deltas: Vec<V>,
    mutations: Vec<Mutation<V>>,
}

impl<V: Mergeable> History<V> {
    /// Lets these steps happen at these replicas.
    #[must_use]
    pub fn of(replicas: [ReplicaId; REPLICAS], steps: &[Step<V::Operation>]) -> Self {
        let mut history = Self::at(replicas);
        steps.iter().for_each(|step| history.happen(step));
        history
    }

    /// The history in which nothing has happened.
    pub(super) fn at(replicas: [ReplicaId; REPLICAS]) -> Self {
        Self {
            replicas,
            steps: Vec::new(),
            events: Vec::new(),
            copies: Default::default(),
            holds: Default::default(),
            deltas: Vec::new(),
            mutations: Vec::new(),
        }
    }

    /// Writes the step down, and then lets it happen: a step that panics is in the story.
    pub(super) fn happen(&mut self, step: &Step<V::Operation>) {
        let place = |replica: u8| usize::from(replica) % REPLICAS;
        let event = match step {
            Step::Mutate(at, _) => Event::Mutated { at: place(*at) },
            Step::Send(from, to) => Event::Sent { from: place(*from), to: place(*to) },
            Step::Deliver(..) if self.deltas.is_empty() => Event::Nothing,
            Step::Deliver(delta, to) => {
                let (delta, to) = (usize::from(*delta) % self.deltas.len(), place(*to));
                let again = self.holds.get(to).is_some_and(|holds| holds.contains(&delta));
                Event::Delivered { delta, to, again }
            }
        };
        self.steps.push(step.clone());
        self.events.push(event);
        match (event, step) {
            (Event::Mutated { at }, Step::Mutate(_, operation)) => self.mutate(at, operation),
            (Event::Sent { from, to }, _) => {
                let sent = (self.copies.get(from).cloned(), self.holds.get(from).cloned());
                if let (Some(copy), Some(held)) = sent {
                    self.receive(to, &copy, held);
                }
            }
            (Event::Delivered { delta, to, .. }, _) => {
                if let Some(value) = self.deltas.get(delta).cloned() {
                    self.receive(to, &value, [delta]);
                }
            }
            _ => {}
        }
    }

    fn mutate(&mut self, at: usize, operation: &V::Operation) {
        let (Some(replica), Some(copy), Some(holds)) =
            (self.replicas.get(at), self.copies.get_mut(at), self.holds.get_mut(at))
        else {
            return;
        };
        let before = copy.clone();
        let delta = copy.mutate(*replica, operation).map(|delta| {
            holds.insert(self.deltas.len());
            self.deltas.push(delta);
            self.deltas.len() - 1
        });
        let (after, step) = (copy.clone(), self.steps.len());
        self.mutations.push(Mutation { at, before, after, delta, step });
    }

    fn receive(&mut self, to: usize, value: &V, held: impl IntoIterator<Item = usize>) {
        if let (Some(copy), Some(holds)) = (self.copies.get_mut(to), self.holds.get_mut(to)) {
            copy.merge(value);
            holds.extend(held);
        }
    }

    /// Who took part, in the order of their letters.
    #[must_use]
    pub fn replicas(&self) -> &[ReplicaId; REPLICAS] {
        &self.replicas
    }

    /// What happened.
    #[must_use]
    pub fn steps(&self) -> &[Step<V::Operation>] {
        &self.steps
    }

    /// The copies of A, B and C at the end.
    #[must_use]
    pub fn copies(&self) -> &[V; REPLICAS] {
        &self.copies
    }

    /// The delta of each mutation that was possible, in the order in which they were made.
    #[must_use]
    pub fn deltas(&self) -> &[V] {
        &self.deltas
    }

    pub(super) fn mutations(&self) -> &[Mutation<V>] {
        &self.mutations
    }

    /// Each copy with its letter and the deltas that it holds.
    pub(super) fn told(&self) -> impl Iterator<Item = (&'static str, &V, Vec<&V>)> {
        LETTERS.into_iter().zip(&self.copies).zip(&self.holds).map(|((letter, copy), holds)| {
            let deltas = holds.iter().filter_map(|number| self.deltas.get(*number));
            (letter, copy, deltas.collect())
        })
    }

    /// What happened in words, a line for each step.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        let tell = |(event, step): (&Event, &Step<V::Operation>)| match (event, step) {
            (Event::Mutated { at }, Step::Mutate(_, operation)) => {
                format!("{}: {operation:?}", letter(*at))
            }
            (Event::Sent { from, to }, _) => {
                format!("{} receives all of {}", letter(*to), letter(*from))
            }
            (Event::Delivered { delta, to, again }, _) => {
                let made = self.mutations.iter().find(|made| made.delta == Some(*delta));
                let step = made.map_or(0, |made| made.step);
                let again = if *again { ", again" } else { "" };
                format!("{} receives the delta of step {step}{again}", letter(*to))
            }
            _ => "a delta would be received, but none was made yet".to_owned(),
        };
        let lines = self.events.iter().zip(&self.steps).map(tell);
        lines.map(|line| self.with_letters(line)).collect()
    }

    /// A text in which each replica of this history goes by its letter.
    pub(super) fn with_letters(&self, text: String) -> String {
        let named = self.replicas.iter().zip(LETTERS);
        named.fold(text, |text, (id, letter)| text.replace(&id.to_string(), letter))
    }
}

pub(super) fn letter(replica: usize) -> &'static str {
    LETTERS.get(replica).copied().unwrap_or_default()
}

impl<V: Mergeable + Debug> Debug for History<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n")?;
        for (number, line) in (1..).zip(self.story()) {
            writeln!(f, "  {number}. {line}")?;
        }
        for (letter, copy, _) in self.told() {
            writeln!(f, "  {letter} is now {}", self.with_letters(format!("{copy:?}")))?;
        }
        Ok(())
    }
}

impl<V: Mergeable + 'static> Arbitrary for History<V> {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut replicas = [(); REPLICAS].map(|()| ReplicaId::arbitrary(g));
        replicas.sort_unstable();
        Self::of(replicas, &Steps::arbitrary(g).0)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let (replicas, steps) = (self.replicas, Steps(self.steps.clone()));
        Box::new(steps.shrink().map(move |Steps(steps)| Self::of(replicas, &steps)))
    }
}
