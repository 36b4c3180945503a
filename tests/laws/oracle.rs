//! Histories, and what they must lead to by an account of events alone.

use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen, QuickCheck, TestResult};
use rejoin::causal::{Dot, Hlc, ReplicaId, Seq};
use rejoin::crdt::{Causal, DotStore};

pub(crate) const HISTORIES: u64 = 10_000;

/// A mutation of any type: each takes from it what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) kind: u8,
    pub(crate) key: u8,
    pub(crate) inner: u8,
    pub(crate) value: u8,
    pub(crate) time: u8,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Mutate(usize, Op),
    Send(usize, usize),
    Deliver(usize, usize),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let [at, to, what, kind, key, inner, value, time] = u64::arbitrary(g).to_le_bytes();
        let (from, to) = (usize::from(at % 3), usize::from(to % 3));
        match what % 8 {
            0..=4 => {
                let op = Op { kind, key: key % 3, inner: inner % 3, value, time: time % 4 };
                Self::Mutate(from, op)
            }
            5 | 6 => Self::Send(from, to),
            _ => Self::Deliver(usize::from(kind), to),
        }
    }
}

pub(crate) fn id(replica: usize) -> ReplicaId {
    ReplicaId::from_bytes([replica as u8; 16])
}

pub(crate) fn time(op: &Op) -> Hlc {
    Hlc::new(u64::from(op.time), 0)
}

/// What a mutation is to the oracle.
pub(crate) enum Effect {
    Write { place: Vec<u8>, value: i64 },
    Remove { under: Vec<u8> },
}

pub(crate) fn write(place: &[u8], value: impl Into<i64>) -> Effect {
    Effect::Write { place: place.to_vec(), value: value.into() }
}

pub(crate) fn remove(under: &[u8]) -> Effect {
    Effect::Remove { under: under.to_vec() }
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) place: Vec<u8>,
    pub(crate) value: i64,
    pub(crate) time: u64,
    /// Replica, and how many-th item of it.
    pub(crate) dot: (usize, u64),
}

struct Event {
    item: Option<Item>,
    replaces: BTreeSet<usize>,
}

/// Live items, each with the number of its event.
pub(crate) type Live = [(usize, Item)];
pub(crate) type Row = (Vec<u8>, Vec<i64>);

pub(crate) trait Case {
    type Store: DotStore + PartialEq;

    fn effect(op: &Op) -> Effect;

    /// Which live items a mutation replaces, and what the new one holds.
    fn replaces(_: &Op, effect: &Effect, _at: usize, live: &Live) -> (BTreeSet<usize>, i64) {
        let hit = |item: &Item| match effect {
            Effect::Write { place, .. } => item.place == *place,
            Effect::Remove { under } => item.place.starts_with(under),
        };
        let value = if let Effect::Write { value, .. } = effect { *value } else { 0 };
        (live.iter().filter(|(_, item)| hit(item)).map(|(number, _)| *number).collect(), value)
    }

    fn mutate(copy: &mut Causal<Self::Store>, id: ReplicaId, op: &Op) -> Causal<Self::Store>;
    fn read(copy: &Causal<Self::Store>) -> Vec<Row>;
    fn expect(live: &[Item]) -> Vec<Row>;
}

fn live(events: &[Event], known: &BTreeSet<usize>) -> Vec<(usize, Item)> {
    let dead: BTreeSet<usize> =
        known.iter().flat_map(|number| &events[*number].replaces).copied().collect();
    let numbers = known.iter().filter(|number| !dead.contains(number));
    numbers.filter_map(|number| Some((*number, events[*number].item.clone()?))).collect()
}

fn obeys<C: Case>(steps: &[Step]) -> Result<(), String> {
    let mut copies: Vec<Causal<C::Store>> = (0..3).map(|_| Causal::new()).collect();
    let mut deltas: Vec<Causal<C::Store>> = Vec::new();
    let mut events: Vec<Event> = Vec::new();
    let mut known = vec![BTreeSet::new(); 3];
    let mut items = [0u64; 3];
    for step in steps {
        let touched = match step {
            Step::Mutate(at, op) => {
                let effect = C::effect(op);
                let before = live(&events, &known[*at]);
                let (replaces, value) = C::replaces(op, &effect, *at, &before);
                let item = if let Effect::Write { place, .. } = effect {
                    items[*at] += 1;
                    let dot = (*at, items[*at]);
                    Some(Item { place, value, time: u64::from(op.time), dot })
                } else {
                    None
                };
                known[*at].insert(events.len());
                events.push(Event { item, replaces });
                deltas.push(C::mutate(&mut copies[*at], id(*at), op));
                *at
            }
            Step::Send(from, to) => {
                let (state, knows) = (copies[*from].clone(), known[*from].clone());
                copies[*to].merge(&state);
                known[*to].extend(knows);
                *to
            }
            Step::Deliver(number, to) => {
                if !deltas.is_empty() {
                    let number = number % deltas.len();
                    copies[*to].merge(&deltas[number]);
                    known[*to].insert(number);
                }
                *to
            }
        };
        let oracle: Vec<Item> =
            live(&events, &known[touched]).into_iter().map(|(_, item)| item).collect();
        let (read, expected) = (C::read(&copies[touched]), C::expect(&oracle));
        if read != expected {
            return Err(format!("after {step:?}: read {read:?}, the oracle says {expected:?}"));
        }
        let mut dots = Vec::new();
        copies[touched].each_dot(&mut |dot| dots.push(dot));
        dots.sort_unstable();
        let mut should: Vec<Dot> =
            oracle.iter().map(|item| Dot::new(id(item.dot.0), Seq::new(item.dot.1))).collect();
        should.sort_unstable();
        if dots != should {
            return Err(format!("after {step:?}: live {dots:?}, the oracle says {should:?}"));
        }
    }
    Ok(())
}

pub(crate) fn check<C: Case>() {
    fn property<C: Case>(steps: Vec<Step>) -> TestResult {
        obeys::<C>(&steps).map_or_else(TestResult::error, |()| TestResult::passed())
    }
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(14, 1))
        .tests(HISTORIES)
        .max_tests(HISTORIES)
        .quickcheck(property::<C> as fn(Vec<Step>) -> TestResult);
}
