//! Every type against an oracle that is slow and obvious.
//!
//! A history is a list of steps at three replicas: mutate, send the whole state, deliver one
//! delta (out of order, twice, with gaps). The oracle knows nothing of contexts or joins. It
//! writes down each event with the events that it replaced, and which events each replica
//! knows of; live is what no known event has replaced; the rule of the type reads that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use quickcheck::{Arbitrary, Gen, QuickCheck, TestResult};
use rejoin::causal::{CausalContext, Dot, Hlc, ReplicaId, Seq};
use rejoin::crdt::{
    Causal, DotStore, DwFlag, DwFlagStore, EwFlag, EwFlagStore, GCounter, GCounterStore,
    LwwRegister, LwwRegisterStore, MvRegister, MvRegisterStore, OrMap, OrMapStore, OrSet,
    OrSetStore, PnCounter, PnCounterStore, RwSet, RwSetStore, Siblings, SiblingsStore,
};

const HISTORIES: u64 = 10_000;

/// A mutation of any type: each takes from it what it needs.
#[derive(Clone, Debug)]
struct Op {
    kind: u8,
    key: u8,
    inner: u8,
    value: u8,
    time: u8,
}

#[derive(Clone, Debug)]
enum Step {
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

fn id(replica: usize) -> ReplicaId {
    ReplicaId::from_bytes([replica as u8; 16])
}

fn time(op: &Op) -> Hlc {
    Hlc::new(u64::from(op.time), 0)
}

/// What a mutation is to the oracle.
enum Effect {
    Write { place: Vec<u8>, value: i64 },
    Remove { under: Vec<u8> },
}

fn write(place: &[u8], value: impl Into<i64>) -> Effect {
    Effect::Write { place: place.to_vec(), value: value.into() }
}

fn remove(under: &[u8]) -> Effect {
    Effect::Remove { under: under.to_vec() }
}

#[derive(Clone, Debug)]
struct Item {
    place: Vec<u8>,
    value: i64,
    time: u64,
    /// Replica, and how many-th item of it.
    dot: (usize, u64),
}

struct Event {
    item: Option<Item>,
    replaces: BTreeSet<usize>,
}

/// Live items, each with the number of its event.
type Live = [(usize, Item)];
type Row = (Vec<u8>, Vec<i64>);

trait Case {
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

fn check<C: Case>() {
    fn property<C: Case>(steps: Vec<Step>) -> TestResult {
        obeys::<C>(&steps).map_or_else(TestResult::error, |()| TestResult::passed())
    }
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(14, 1))
        .tests(HISTORIES)
        .max_tests(HISTORIES)
        .quickcheck(property::<C> as fn(Vec<Step>) -> TestResult);
}

/// The places of which no live item holds zero.
fn places(live: &[Item]) -> Vec<Row> {
    let mut all: BTreeMap<&[u8], bool> = BTreeMap::new();
    for item in live {
        *all.entry(&item.place).or_insert(true) &= item.value != 0;
    }
    all.into_iter().filter(|(_, present)| *present).map(|(at, _)| (at.to_vec(), vec![])).collect()
}

/// The values at each place, in the order of their dots.
fn siblings(live: &[Item]) -> Vec<Row> {
    let mut all: BTreeMap<&[u8], BTreeMap<(usize, u64), i64>> = BTreeMap::new();
    for item in live {
        all.entry(&item.place).or_default().insert(item.dot, item.value);
    }
    all.into_iter().map(|(at, values)| (at.to_vec(), values.into_values().collect())).collect()
}

fn one_row(values: Vec<i64>) -> Vec<Row> {
    if values.is_empty() { vec![] } else { vec![(vec![], values)] }
}

struct Adds;
impl Case for Adds {
    type Store = OrSetStore<u8>;
    fn effect(op: &Op) -> Effect {
        match op.kind % 8 {
            0..=4 => write(&[op.key], 1),
            5 | 6 => remove(&[op.key]),
            _ => remove(&[]),
        }
    }
    fn mutate(copy: &mut OrSet<u8>, id: ReplicaId, op: &Op) -> OrSet<u8> {
        match op.kind % 8 {
            0..=4 => copy.add(id, op.key),
            5 | 6 => copy.remove(&op.key),
            _ => copy.clear(),
        }
    }
    fn read(copy: &OrSet<u8>) -> Vec<Row> {
        copy.iter().map(|element| (vec![*element], vec![])).collect()
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        places(live)
    }
}

struct Removes;
impl Case for Removes {
    type Store = RwSetStore<u8>;
    fn effect(op: &Op) -> Effect {
        match op.kind % 8 {
            0..=3 => write(&[op.key], 1),
            4..=6 => write(&[op.key], 0),
            _ => remove(&[]),
        }
    }
    fn mutate(copy: &mut RwSet<u8>, id: ReplicaId, op: &Op) -> RwSet<u8> {
        match op.kind % 8 {
            0..=3 => copy.add(id, op.key),
            4..=6 => copy.remove(id, op.key),
            _ => copy.clear(),
        }
    }
    fn read(copy: &RwSet<u8>) -> Vec<Row> {
        copy.iter().map(|element| (vec![*element], vec![])).collect()
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        places(live)
    }
}

struct Enables;
impl Case for Enables {
    type Store = EwFlagStore;
    fn effect(op: &Op) -> Effect {
        if op.kind.is_multiple_of(2) { write(&[], 1) } else { remove(&[]) }
    }
    fn mutate(copy: &mut EwFlag, id: ReplicaId, op: &Op) -> EwFlag {
        if op.kind.is_multiple_of(2) { copy.enable(id) } else { copy.disable() }
    }
    fn read(copy: &EwFlag) -> Vec<Row> {
        copy.is_enabled().then(|| (vec![], vec![])).into_iter().collect()
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        places(live)
    }
}

struct Disables;
impl Case for Disables {
    type Store = DwFlagStore;
    fn effect(op: &Op) -> Effect {
        match op.kind % 5 {
            0 | 1 => write(&[], 1),
            2 | 3 => write(&[], 0),
            _ => remove(&[]),
        }
    }
    fn mutate(copy: &mut DwFlag, id: ReplicaId, op: &Op) -> DwFlag {
        match op.kind % 5 {
            0 | 1 => copy.enable(id),
            2 | 3 => copy.disable(id),
            _ => copy.clear(),
        }
    }
    fn read(copy: &DwFlag) -> Vec<Row> {
        copy.is_enabled().then(|| (vec![], vec![])).into_iter().collect()
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        places(live)
    }
}

fn clears(op: &Op) -> bool {
    op.kind.is_multiple_of(6)
}

fn register(op: &Op) -> Effect {
    if clears(op) { remove(&[]) } else { write(&[], op.value) }
}

struct Last;
impl Case for Last {
    type Store = LwwRegisterStore<u8>;
    fn effect(op: &Op) -> Effect {
        register(op)
    }
    fn mutate(copy: &mut LwwRegister<u8>, id: ReplicaId, op: &Op) -> LwwRegister<u8> {
        if clears(op) { copy.clear() } else { copy.write(id, time(op), op.value) }
    }
    /// The winner, then the others in the order of their dots.
    fn read(copy: &LwwRegister<u8>) -> Vec<Row> {
        let all = copy.get().into_iter().chain(copy.conflicts().map(|write| write.value));
        one_row(all.map(|value| i64::from(*value)).collect())
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        let mut rest = live.to_vec();
        rest.sort_by_key(|item| (item.time, item.dot));
        let winner = rest.pop();
        rest.sort_by_key(|item| item.dot);
        one_row(winner.into_iter().chain(rest).map(|item| item.value).collect())
    }
}

struct Many;
impl Case for Many {
    type Store = MvRegisterStore<u8>;
    fn effect(op: &Op) -> Effect {
        register(op)
    }
    fn mutate(copy: &mut MvRegister<u8>, id: ReplicaId, op: &Op) -> MvRegister<u8> {
        if clears(op) { copy.clear() } else { copy.write(id, time(op), op.value) }
    }
    fn read(copy: &MvRegister<u8>) -> Vec<Row> {
        one_row(copy.values().map(|value| i64::from(*value)).collect())
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        siblings(live)
    }
}

/// The client has read those siblings for whose place, in the order of dots, `inner` has a bit.
struct Dynamo;
impl Case for Dynamo {
    type Store = SiblingsStore<u8>;
    fn effect(op: &Op) -> Effect {
        register(op)
    }
    fn replaces(op: &Op, effect: &Effect, _: usize, live: &Live) -> (BTreeSet<usize>, i64) {
        let mut sorted = live.to_vec();
        sorted.sort_by_key(|(_, item)| item.dot);
        let read = sorted.iter().enumerate().filter(|(at, _)| op.inner & (1 << (at % 8)) != 0);
        let value = if let Effect::Write { value, .. } = effect { *value } else { 0 };
        (read.map(|(_, (number, _))| *number).collect(), value)
    }
    fn mutate(copy: &mut Siblings<u8>, id: ReplicaId, op: &Op) -> Siblings<u8> {
        let read = copy.iter().enumerate().filter(|(at, _)| op.inner & (1 << (at % 8)) != 0);
        let context: CausalContext = read.map(|(_, write)| write.dot).collect();
        if clears(op) {
            copy.remove(&context)
        } else {
            copy.update(id, &context, time(op), op.value)
        }
    }
    fn read(copy: &Siblings<u8>) -> Vec<Row> {
        one_row(copy.values().map(|value| i64::from(*value)).collect())
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        siblings(live)
    }
}

/// An increment replaces nothing, until eight own rows fold into one.
fn counted(effect: &Effect, at: usize, live: &Live) -> (BTreeSet<usize>, i64) {
    let Effect::Write { value, .. } = effect else {
        return (live.iter().map(|(number, _)| *number).collect(), 0);
    };
    let own: Vec<_> = live.iter().filter(|(_, item)| item.dot.0 == at).collect();
    if own.len() < 8 {
        return (BTreeSet::new(), *value);
    }
    let sum: i64 = own.iter().map(|(_, item)| item.value).sum();
    (own.iter().map(|(number, _)| *number).collect(), sum + value)
}

fn total(live: &[Item]) -> Vec<Row> {
    one_row(vec![live.iter().map(|item| item.value).sum()])
}

struct Sums;
impl Case for Sums {
    type Store = PnCounterStore;
    fn effect(op: &Op) -> Effect {
        if op.kind < 16 { remove(&[]) } else { write(&[], i64::from(op.value) - 128) }
    }
    fn replaces(_: &Op, effect: &Effect, at: usize, live: &Live) -> (BTreeSet<usize>, i64) {
        counted(effect, at, live)
    }
    fn mutate(copy: &mut PnCounter, id: ReplicaId, op: &Op) -> PnCounter {
        if op.kind < 16 { copy.clear() } else { copy.add(id, i64::from(op.value) - 128).unwrap() }
    }
    fn read(copy: &PnCounter) -> Vec<Row> {
        one_row(vec![copy.value() as i64])
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        total(live)
    }
}

struct Grows;
impl Case for Grows {
    type Store = GCounterStore;
    fn effect(op: &Op) -> Effect {
        if op.kind < 16 { remove(&[]) } else { write(&[], op.value) }
    }
    fn replaces(_: &Op, effect: &Effect, at: usize, live: &Live) -> (BTreeSet<usize>, i64) {
        counted(effect, at, live)
    }
    fn mutate(copy: &mut GCounter, id: ReplicaId, op: &Op) -> GCounter {
        if op.kind < 16 { copy.clear() } else { copy.add(id, u64::from(op.value)).unwrap() }
    }
    fn read(copy: &GCounter) -> Vec<Row> {
        one_row(vec![copy.value() as i64])
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        total(live)
    }
}

type Tree = OrMap<u8, OrMap<u8, MvRegister<u8>>>;

struct Nested;
impl Case for Nested {
    type Store = OrMapStore<u8, OrMap<u8, MvRegister<u8>>>;
    fn effect(op: &Op) -> Effect {
        match op.kind % 12 {
            0..=6 => write(&[op.key, op.inner], op.value),
            7 | 8 => remove(&[op.key, op.inner]),
            9 | 10 => remove(&[op.key]),
            _ => remove(&[]),
        }
    }
    fn mutate(copy: &mut Tree, id: ReplicaId, op: &Op) -> Tree {
        match op.kind % 12 {
            0..=6 => copy.update(id, op.key, |map, dot| {
                map.updating(op.inner, |register| register.writing(dot, time(op), op.value))
            }),
            7 | 8 => copy.update(id, op.key, |map, _| map.removing(&op.inner)),
            9 | 10 => copy.remove(&op.key),
            _ => copy.clear(),
        }
    }
    fn read(copy: &Tree) -> Vec<Row> {
        let mut rows = Vec::new();
        for (key, map) in copy.iter() {
            for (inner, register) in map.iter() {
                let values = register.values().map(|value| i64::from(*value)).collect();
                rows.push((vec![*key, *inner], values));
            }
        }
        rows
    }
    fn expect(live: &[Item]) -> Vec<Row> {
        siblings(live)
    }
}

macro_rules! oracles {
    ($($name:ident: $case:ty;)+) => {$(
        #[test]
        fn $name() {
            check::<$case>();
        }
    )+};
}

oracles! {
    or_set: Adds;
    rw_set: Removes;
    ew_flag: Enables;
    dw_flag: Disables;
    lww_register: Last;
    mv_register: Many;
    siblings_with_a_context: Dynamo;
    pn_counter: Sums;
    g_counter: Grows;
    or_map: Nested;
}

/// Rows that nobody can have seen are counted up in place, and no increment is lost or
/// counted twice, whoever sends what to whom.
#[test]
fn a_counter_that_merges_unseen_rows() {
    fn property(steps: Vec<Step>) -> bool {
        let mut copies = vec![PnCounter::new(), PnCounter::new(), PnCounter::new()];
        let mut known = vec![BTreeSet::new(); 3];
        let mut amounts: Vec<i128> = Vec::new();
        let mut shown = [Seq::ZERO; 3];
        for step in &steps {
            match step {
                Step::Mutate(at, op) => {
                    let amount = i64::from(op.value) - 100;
                    let _kept_here = copies[*at].add_shown(id(*at), amount, shown[*at]).unwrap();
                    known[*at].insert(amounts.len());
                    amounts.push(i128::from(amount));
                }
                Step::Send(from, to) | Step::Deliver(from, to) => {
                    let from = from % 3;
                    let state = copies[from].clone();
                    shown[from] = state.seen().greatest(id(from));
                    copies[*to].merge(&state);
                    let more = known[from].clone();
                    known[*to].extend(more);
                }
            }
        }
        copies.iter().zip(&known).enumerate().all(|(at, (copy, known))| {
            let sum: i128 = known.iter().map(|number: &usize| amounts[*number]).sum();
            let own = copy.rows().filter(|(dot, _)| dot.replica == id(at)).count();
            copy.value() == sum && own <= 8
        })
    }
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(40, 2))
        .tests(HISTORIES)
        .max_tests(HISTORIES)
        .quickcheck(property as fn(Vec<Step>) -> bool);
}

#[cfg(feature = "quickcheck")]
mod by_macro {
    use rejoin::crdt::laws::Few;
    use rejoin::crdt::{OrMap, OrSet, Siblings};

    rejoin::crdt_laws! {
        sets_in_maps: OrMap<Few, OrSet<Few>>, 1_000;
        siblings_in_maps: OrMap<Few, Siblings<u8>>, 1_000;
    }

    quickcheck::quickcheck! {
        /// Drawn values have replicas of their own, so that any two can meet.
        fn drawn_values_merge(a: OrSet<Few>, b: OrSet<Few>) -> bool {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.merge(&b);
            ba.merge(&a);
            ab == ba && ab.iter().all(|e| a.contains(e) || b.contains(e))
        }
    }
}
