//! The store's types and the plain values are the same: any history, on both, with the same
//! dots, amounts to the same items at every replica after every step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::collections::BTreeMap;

use pair::{assert_sound, items, main_of, meet, store};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use rejoin::causal::{CausalContext, Dot, Hlc, ReplicaId, Seq, VersionVector};
use rejoin::codec::{Cursor, limits};
use rejoin::crdt::{
    Causal, DotStore, DwFlag, EwFlag, FlatItem, Flatten, LwwRegister, MvRegister, OrMap, OrSet,
    PnCounter, RwSet, Siblings,
};
use rejoin::space::{ReadContext, Replacing};
use rejoin::{Error, Store, UsageError};

const REPLICAS: usize = 4;
const KEYS: [&str; 2] = ["k", "\0"];

/// What an operation is on, besides the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Lww(u8),
    LwwClear,
    Mv(u8),
    MvClear,
    Count(i8),
    Add(u8),
    Remove(u8),
    RwAdd(u8),
    RwRemove(u8),
    Enable,
    Disable,
    DwEnable,
    DwDisable,
    MapCount(u8, i8),
    MapLww(u8, u8),
    MapBan(u8, u8),
    MapRemove(u8),
    DeepAdd(u8, u8, u8),
    DeepWrite(u8, u8, u8),
    DeepRemove(u8, u8),
    Put(u8),
    PutBlind(u8),
    /// With the context that was read so many reads ago.
    PutSeen(u8, u8),
    Read,
    Delete,
}

#[derive(Clone, Debug)]
enum Step {
    /// One transaction of these, at this replica and key.
    Write(usize, Vec<(usize, Op)>),
    Meet(usize, usize),
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        // Few fields, elements and values, so that they meet.
        let mut few = |of: u8| u8::arbitrary(g) % of;
        let amount = |n: u8| n as i8 - 3;
        match few(28) {
            0 | 1 => Self::Lww(few(4)),
            2 => Self::LwwClear,
            3 | 4 => Self::Mv(few(4)),
            5 => Self::MvClear,
            6 => Self::Count(amount(few(7))),
            7 | 8 => Self::Add(few(3)),
            9 => Self::Remove(few(3)),
            10 => Self::RwAdd(few(3)),
            11 => Self::RwRemove(few(3)),
            12 => Self::Enable,
            13 => Self::Disable,
            14 => Self::DwEnable,
            15 => Self::DwDisable,
            16 => Self::MapCount(few(2), amount(few(7))),
            17 => Self::MapLww(few(2), few(4)),
            18 => Self::MapBan(few(2), few(2)),
            19 => Self::MapRemove(few(2)),
            20 => Self::DeepAdd(few(2), few(2), few(3)),
            21 => Self::DeepWrite(few(2), few(2), few(3)),
            22 => Self::DeepRemove(few(2), few(2)),
            23 => Self::Put(few(4)),
            24 => Self::PutBlind(few(4)),
            25 => Self::PutSeen(few(4), few(4)),
            26 => Self::Read,
            _ => Self::Delete,
        }
    }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let replica = |g: &mut Gen| usize::arbitrary(g) % REPLICAS;
        if u8::arbitrary(g) % 4 == 0 {
            let (a, b) = (replica(g), replica(g));
            return Self::Meet(a, if a == b { (a + 1) % REPLICAS } else { b });
        }
        let count = 1 + usize::from(u8::arbitrary(g) % 6) / 4;
        let at = replica(g);
        let ops = (0..count).map(|_| (usize::arbitrary(g) % KEYS.len(), Op::arbitrary(g)));
        Self::Write(at, ops.collect())
    }
}

/// The plain values of one key, of every type: a key may have several.
#[derive(Clone, Default)]
struct Values {
    lww: LwwRegister<u8>,
    mv: MvRegister<u8>,
    count: PnCounter,
    set: OrSet<u8>,
    rw: RwSet<u8>,
    ew: EwFlag,
    dw: DwFlag,
    counts: OrMap<u8, PnCounter>,
    registers: OrMap<u8, LwwRegister<u8>>,
    bans: OrMap<u8, RwSet<u8>>,
    sets: OrMap<u8, OrMap<u8, OrSet<u8>>>,
    writes: OrMap<u8, OrMap<u8, MvRegister<u8>>>,
    opaque: Siblings<Vec<u8>>,
}

impl Values {
    fn merge(&mut self, other: &Self) {
        macro_rules! merge {
            ($($field:ident)*) => {$( self.$field.merge(&other.$field); )*};
        }
        merge!(lww mv count set rw ew dw counts registers bans sets writes opaque);
    }

    fn clear(&mut self) -> bool {
        let mut any = false;
        macro_rules! clear {
            ($($field:ident)*) => {$( any |= cleared(&mut self.$field); )*};
        }
        clear!(lww mv count set rw ew dw counts registers bans sets writes opaque);
        any
    }

    fn flat(&self) -> Vec<FlatItem> {
        let mut all = Vec::new();
        macro_rules! flatten {
            ($($field:ident)*) => {$( all.extend(self.$field.flatten().unwrap()); )*};
        }
        flatten!(lww mv count set rw ew dw counts registers bans sets writes opaque);
        all.sort_unstable();
        all
    }
}

/// Whether anything was there to be cleared.
fn cleared<S: DotStore>(value: &mut Causal<S>) -> bool {
    let any = !DotStore::is_empty(value.store());
    let _ = value.clear();
    any
}

struct Replica {
    store: Store,
    values: [Values; KEYS.len()],
    /// Own events up to here may have been seen.
    shown: Seq,
}

/// What was read: the token, and what it says it has seen.
struct HasRead {
    key: usize,
    token: ReadContext,
    seen: VersionVector,
}

/// The seen part of a token, by the page on its format.
fn seen_of(token: &ReadContext) -> VersionVector {
    let bytes = token.to_bytes();
    let mut cursor = Cursor::new("token", &bytes);
    cursor.u8().unwrap();
    cursor.bytes(255).unwrap();
    cursor.bytes(4096).unwrap();
    cursor.tagged(limits::VECTOR_REPLICAS).unwrap().vector()
}

impl Replica {
    fn id(&self) -> ReplicaId {
        self.store.replica()
    }

    fn seq(&self) -> Seq {
        main_of(&self.store).vector().unwrap().get(self.id())
    }

    /// One operation in a transaction; whether it can happen.
    fn write(tx: &rejoin::Tx<'_>, key: &str, op: Op, read: Option<&HasRead>) -> Result<(), Error> {
        let maps = || tx.map::<u8>(key);
        match op {
            Op::Lww(n) => tx.register(key).set(&n),
            Op::LwwClear => tx.register::<u8>(key).clear().map(drop),
            Op::Mv(n) => tx.mv_register(key).set(&n),
            Op::MvClear => tx.mv_register::<u8>(key).clear().map(drop),
            Op::Count(n) => tx.counter(key).add(n.into()),
            Op::Add(n) => tx.set(key).add(&n),
            Op::Remove(n) => tx.set(key).remove(&n).map(drop),
            Op::RwAdd(n) => tx.rw_set(key).add(&n),
            Op::RwRemove(n) => tx.rw_set(key).remove(&n),
            Op::Enable => tx.flag(key).enable(),
            Op::Disable => tx.flag(key).disable(),
            Op::DwEnable => tx.dw_flag(key).enable(),
            Op::DwDisable => tx.dw_flag(key).disable(),
            Op::MapCount(f, n) => maps().counter(&f)?.add(n.into()),
            Op::MapLww(f, n) => maps().register(&f)?.set(&n),
            Op::MapBan(f, n) => maps().rw_set(&f)?.remove(&n),
            Op::MapRemove(f) => maps().remove(&f).map(drop),
            Op::DeepAdd(f, g, n) => maps().map::<u8>(&f)?.set(&g)?.add(&n),
            Op::DeepWrite(f, g, n) => maps().map::<u8>(&f)?.mv_register(&g)?.set(&n),
            Op::DeepRemove(f, g) => maps().map::<u8>(&f)?.remove(&g).map(drop),
            Op::Put(n) => tx.put(key, [n], None),
            Op::PutBlind(n) => tx.put(key, [n], Replacing::Nothing),
            Op::PutSeen(n, _) => match read {
                Some(read) => tx.put(KEYS[read.key], [n], &read.token),
                None => Ok(()),
            },
            Op::Read => Ok(()),
            Op::Delete => tx.delete(key).map(drop),
        }
    }

    /// The same on the plain values, under this dot and time; whether it was an event.
    fn mirror(&mut self, key: usize, op: Op, read: Option<&HasRead>, dot: Dot, at: Hlc) -> bool {
        let (shown, values) = (self.shown, &mut self.values[key]);
        match op {
            Op::Lww(n) => drop(values.lww.write_at(dot, at, n).unwrap()),
            Op::LwwClear => return cleared(&mut values.lww),
            Op::Mv(n) => drop(values.mv.write_at(dot, at, n).unwrap()),
            Op::MvClear => return cleared(&mut values.mv),
            Op::Count(n) => drop(values.count.add_shown_at(dot, n.into(), shown).unwrap()),
            Op::Add(n) => drop(values.set.add_at(dot, n).unwrap()),
            Op::Remove(n) => {
                let there = values.set.contains(&n);
                let _ = values.set.remove(&n);
                return there;
            }
            Op::RwAdd(n) => drop(values.rw.add_at(dot, n).unwrap()),
            Op::RwRemove(n) => drop(values.rw.remove_at(dot, n).unwrap()),
            Op::Enable => drop(values.ew.enable_at(dot).unwrap()),
            Op::Disable => return cleared(&mut values.ew),
            Op::DwEnable => drop(values.dw.enable_at(dot).unwrap()),
            Op::DwDisable => drop(values.dw.disable_at(dot).unwrap()),
            Op::MapCount(f, n) => {
                let change = values.counts.try_updating(f, |c| c.adding(dot, n.into(), shown));
                drop(values.counts.apply(change.unwrap()).unwrap());
            }
            Op::MapLww(f, n) => {
                let write = values.registers.update_at(dot, f, |r, dot| r.writing(dot, at, n));
                drop(write.unwrap());
            }
            Op::MapBan(f, n) => {
                drop(values.bans.update_at(dot, f, |set, dot| set.removing(dot, n)).unwrap());
            }
            Op::MapRemove(f) => {
                let mut any = false;
                macro_rules! remove_from {
                    ($($map:ident)*) => {$({
                        any |= values.$map.contains_key(&f);
                        let _ = values.$map.remove(&f);
                    })*};
                }
                remove_from!(counts registers bans sets writes);
                return any;
            }
            Op::DeepAdd(f, g, n) => {
                let add = values
                    .sets
                    .update_at(dot, f, |inner, dot| inner.updating(g, |set| set.adding(dot, n)));
                drop(add.unwrap());
            }
            Op::DeepWrite(f, g, n) => {
                let write = values.writes.update_at(dot, f, |inner, dot| {
                    inner.updating(g, |register| register.writing(dot, at, n))
                });
                drop(write.unwrap());
            }
            Op::DeepRemove(f, g) => {
                let mut any = false;
                macro_rules! remove_from {
                    ($($map:ident)*) => {$({
                        any |= values.$map.get(&f).is_some_and(|inner| inner.contains_key(&g));
                        let change = values.$map.updating(f, |inner| inner.removing(&g));
                        let _ = values.$map.apply(change).unwrap();
                    })*};
                }
                remove_from!(sets writes);
                return any;
            }
            Op::Put(n) => {
                let observed: CausalContext = live(&values.opaque).collect();
                drop(values.opaque.update_at(dot, &observed, at, vec![n]).unwrap());
            }
            Op::PutBlind(n) => {
                let nothing = CausalContext::new();
                drop(values.opaque.update_at(dot, &nothing, at, vec![n]).unwrap());
            }
            Op::PutSeen(n, _) => {
                let Some(read) = read else { return false };
                let values = &mut self.values[read.key];
                let seen = live(&values.opaque).filter(|dot| read.seen.contains(*dot)).collect();
                drop(values.opaque.update_at(dot, &seen, at, vec![n]).unwrap());
            }
            Op::Read => return false,
            Op::Delete => return values.clear(),
        }
        true
    }

    /// The items of the store by key, as the plain values have them.
    fn items(&self) -> BTreeMap<Vec<u8>, Vec<FlatItem>> {
        let mut found: BTreeMap<Vec<u8>, Vec<FlatItem>> = BTreeMap::new();
        for item in items(&main_of(&self.store)) {
            let flat = FlatItem { path: item.path, dot: item.dot, payload: item.payload };
            found.entry(item.key).or_default().push(flat);
        }
        found.values_mut().for_each(|items| items.sort_unstable());
        found
    }

    fn check(&mut self) {
        let mut found = self.items();
        for (key, values) in KEYS.iter().zip(&mut self.values) {
            let stored = found.remove(key.as_bytes()).unwrap_or_default();
            assert_eq!(stored, values.flat(), "{} has of {key:?}", self.store.replica());
        }
        assert!(found.is_empty(), "{found:?}");
    }
}

fn live(siblings: &Siblings<Vec<u8>>) -> impl Iterator<Item = Dot> {
    let mut dots = Vec::new();
    siblings.store().each_dot(&mut |dot| dots.push(dot));
    dots.into_iter()
}

/// Plays a history on both; panics where they differ.
fn play(steps: &[Step]) {
    let mut replicas: Vec<Replica> = (0..REPLICAS)
        .map(|n| Replica {
            store: store(1 + n as u8),
            values: Default::default(),
            shown: Seq::ZERO,
        })
        .collect();
    let mut reads: Vec<HasRead> = Vec::new();
    for step in steps {
        match step {
            Step::Write(at, ops) => {
                write(&mut replicas[*at], ops, &mut reads);
                replicas[*at].check();
            }
            Step::Meet(a, b) => {
                meet_both(&mut replicas, *a, *b);
                replicas[*a].check();
                replicas[*b].check();
            }
        }
    }
    // Twice round, so that everybody has heard of everything.
    for n in 0..2 * REPLICAS {
        meet_both(&mut replicas, n % REPLICAS, (n + 1) % REPLICAS);
    }
    let first = replicas[0].items();
    for replica in &mut replicas {
        replica.check();
        assert_eq!(replica.items(), first);
        assert_sound(&replica.store);
    }
}

fn write(replica: &mut Replica, ops: &[(usize, Op)], reads: &mut Vec<HasRead>) {
    let space = main_of(&replica.store);
    for (key, op) in ops {
        if let Op::Read = op {
            let token = space.get(KEYS[*key]).unwrap().context().clone();
            reads.push(HasRead { key: *key, seen: seen_of(&token), token });
        }
    }
    let vector = space.vector().unwrap();
    let read_of = |op: &Op| match op {
        Op::PutSeen(_, ago) => reads.iter().rev().nth(usize::from(*ago)),
        _ => None,
    };
    let before = replica.seq();
    // One look at the items after each operation: later ones may replace what it wrote.
    let mut stamps = BTreeMap::new();
    let written = space.write(|tx| {
        ops.iter().try_for_each(|(key, op)| {
            Replica::write(tx, KEYS[*key], *op, read_of(op))?;
            tx.for_each_item(rejoin::space::Keys::all(), |item| {
                let stamp = item.payload.first_chunk().map(|bytes| Hlc::from_be_bytes(*bytes));
                stamps.insert(item.dot, stamp.unwrap_or_default());
                std::ops::ControlFlow::Continue(())
            })
        })
    });
    if let Err(Error::Usage(UsageError::ContextAhead { dot })) = &written {
        // The whole transaction is refused, and rightly.
        assert!(!vector.contains(*dot));
        assert_eq!(replica.seq(), before);
        return;
    }
    written.unwrap();
    let mut next = before.next();
    for (key, op) in ops {
        let dot = Dot::new(replica.id(), next);
        let at = stamps.get(&dot).copied().unwrap_or_default();
        if replica.mirror(*key, *op, read_of(op), dot, at) {
            next = next.next();
        }
    }
    assert_eq!(replica.seq().next(), next, "{ops:?}: events of the store and of the values");
}

fn meet_both(replicas: &mut [Replica], a: usize, b: usize) {
    meet(&replicas[a].store, &replicas[b].store);
    for (to, from) in [(a, b), (b, a)] {
        let values = replicas[from].values.clone();
        replicas[to].values.iter_mut().zip(&values).for_each(|(mine, theirs)| mine.merge(theirs));
        replicas[to].shown = replicas[to].seq();
    }
}

#[test]
fn stores_and_plain_values_hold_the_same() {
    fn property(steps: Vec<Step>) -> bool {
        play(&steps);
        true
    }
    let histories = if cfg!(debug_assertions) { 300 } else { 3_000 };
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(60, 3))
        .tests(histories)
        .max_tests(histories)
        .quickcheck(property as fn(Vec<Step>) -> bool);
}

/// What only shows with many rows: a counter that folds, at both in the same step.
#[test]
fn counters_fold_alike() {
    let mut steps = Vec::new();
    for round in 0..12 {
        for replica in 0..2 {
            for _ in 0..=round % 3 {
                steps.push(Step::Write(replica, vec![(0, Op::Count(1)), (0, Op::MapCount(0, -1))]));
            }
        }
        steps.push(Step::Meet(0, 1));
        if round == 9 {
            steps.push(Step::Write(2, vec![(0, Op::MapRemove(0))]));
        }
        if round == 6 {
            steps.push(Step::Meet(0, 2));
        }
    }
    play(&steps);
}
