//! Each type: what a mutation does, what it is to the oracle, and how live items are read.

use std::collections::{BTreeMap, BTreeSet};

use rejoin::causal::{CausalContext, ReplicaId};
use rejoin::crdt::{
    DwFlag, DwFlagStore, EwFlag, EwFlagStore, GCounter, GCounterStore, LwwRegister,
    LwwRegisterStore, MvRegister, MvRegisterStore, OrMap, OrMapStore, OrSet, OrSetStore, PnCounter,
    PnCounterStore, RwSet, RwSetStore, Siblings, SiblingsStore,
};

use crate::oracle::{Case, Effect, Item, Live, Op, Row, remove, time, write};

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

pub(crate) struct Adds;
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

pub(crate) struct Removes;
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

pub(crate) struct Enables;
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

pub(crate) struct Disables;
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

pub(crate) struct Last;
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

pub(crate) struct Many;
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
pub(crate) struct Dynamo;
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

pub(crate) struct Sums;
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

pub(crate) struct Grows;
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

pub(crate) struct Nested;
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
