//! The laws on every type, and what flattening must keep.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::laws::{Few, History, Operations, Step};
use super::*;
use crate::causal::ReplicaId;

type Nested = OrMap<Few, OrMap<Few, MvRegister<u8>>>;

crate::crdt_laws! {
    lww_registers: LwwRegister<u8>;
    mv_registers: MvRegister<u8>;
    siblings: Siblings<u8>;
    pn_counters: PnCounter;
    g_counters: GCounter;
    or_sets: OrSet<Few>;
    rw_sets: RwSet<Few>;
    ew_flags: EwFlag;
    dw_flags: DwFlag;
    maps_of_registers: OrMap<Few, LwwRegister<u8>>;
    maps_of_counters: OrMap<Few, PnCounter>;
    maps_of_sets: OrMap<Few, RwSet<Few>>;
    maps_of_flags: OrMap<Few, EwFlag>;
    maps_of_maps: Nested;
}

/// Histories without gaps: deltas do not travel alone.
fn flattening<V>(histories: u64)
where
    V: Replicated,
    V::Store: Operations + Flatten + PartialEq + Serialize + DeserializeOwned + 'static,
{
    fn property<S: Operations + Flatten>(steps: Vec<Step<S::Operation>>) -> bool {
        let ids = [1, 2, 3].map(|n| ReplicaId::from_bytes([n; 16]));
        let steps: Vec<_> =
            steps.into_iter().filter(|step| !matches!(step, Step::Deliver(..))).collect();
        let history = History::<Causal<S>>::of(ids, &steps);
        let copies = history.copies();
        let flat: Vec<_> = copies.iter().map(|copy| copy.flatten().unwrap()).collect();
        [(0, 1), (1, 2), (2, 0)].into_iter().all(|(l, r)| {
            let (a, b) = (&copies[l], &copies[r]);
            let rows = join_flat(&flat[l], a.seen(), &flat[r], b.seen());
            let mut both = a.clone();
            both.merge(b);
            // And the rows are one for each live dot.
            let mut live = 0;
            both.each_dot(&mut |_| live += 1);
            both.flatten().unwrap() == rows && live == rows.len()
        })
    }
    let histories = super::laws::cases_here(histories);
    quickcheck::QuickCheck::new()
        .rng(quickcheck::Gen::from_size_and_seed(12, 7))
        .tests(histories)
        .max_tests(histories)
        .quickcheck(property::<V::Store> as fn(Vec<Step<_>>) -> bool);
}

#[test]
fn flattening_commutes_with_joining() {
    flattening::<LwwRegister<u8>>(3_000);
    flattening::<MvRegister<u8>>(3_000);
    flattening::<PnCounter>(3_000);
    flattening::<GCounter>(3_000);
    flattening::<EwFlag>(3_000);
    flattening::<DwFlag>(3_000);
    flattening::<OrSet<Few>>(3_000);
    flattening::<RwSet<Few>>(3_000);
    flattening::<OrMap<Few, PnCounter>>(3_000);
    flattening::<OrMap<Few, OrMap<Few, RwSet<Few>>>>(3_000);
    flattening::<Siblings<Vec<u8>>>(3_000);
}

mod rows {
    use super::*;
    use crate::causal::{Dot, Hlc, Seq};
    use crate::codec::Kind;

    fn dot(seq: u64) -> Dot {
        Dot::new(ReplicaId::from_bytes([1; 16]), Seq::new(seq))
    }

    fn item(path: &[(Kind, &[u8])], seq: u64, payload: &[u8]) -> FlatItem {
        let path = path.iter().map(|(kind, name)| (*kind, name.to_vec())).collect();
        FlatItem { path, dot: dot(seq), payload: payload.to_vec() }
    }

    #[test]
    fn each_type_has_its_own_row() {
        let a = dot(1).replica;
        let time = Hlc::new(1, 2);
        let stamp = [0, 0, 0, 0, 0, 1, 0, 2];

        let mut lww = LwwRegister::new();
        let _ = lww.write(a, time, "x");
        let stamped = [&stamp[..], &[1, b'x']].concat();
        assert_eq!(lww.flatten().unwrap(), [item(&[(Kind::REGISTER, b"")], 1, &stamped)]);

        let mut mv = MvRegister::new();
        let _ = mv.write(a, time, "x");
        assert_eq!(mv.flatten().unwrap(), [item(&[(Kind::MV_REGISTER, b"")], 1, &stamped)]);

        let mut value = Siblings::new();
        let _ = value.update(a, &Default::default(), time, "x");
        let raw = [&stamp[..], b"x"].concat();
        assert_eq!(value.flatten().unwrap(), [item(&[(Kind::VALUE, b"")], 1, &raw)]);

        let mut counter = PnCounter::new();
        let _ = counter.add(a, -100).unwrap();
        assert_eq!(counter.flatten().unwrap(), [item(&[(Kind::COUNTER, b"")], 1, &[0xc7, 1])]);

        let mut growing = GCounter::new();
        let _ = growing.add(a, 1).unwrap();
        assert_eq!(growing.flatten().unwrap(), [item(&[(Kind::COUNTER, b"")], 1, &[2])]);

        let mut set = OrSet::new();
        let _ = set.add(a, "x");
        assert_eq!(set.flatten().unwrap(), [item(&[(Kind::SET, b"\x01x")], 1, b"")]);

        let mut set = RwSet::new();
        let _ = set.add(a, "x");
        let _ = set.remove(a, "y");
        assert_eq!(
            set.flatten().unwrap(),
            [
                item(&[(Kind::RW_SET, b"\x01x")], 1, &[1]),
                item(&[(Kind::RW_SET, b"\x01y")], 2, &[0])
            ]
        );

        let mut flag = EwFlag::new();
        let _ = flag.enable(a);
        assert_eq!(flag.flatten().unwrap(), [item(&[(Kind::EW_FLAG, b"")], 1, b"")]);

        let mut flag = DwFlag::new();
        let _ = flag.disable(a);
        assert_eq!(flag.flatten().unwrap(), [item(&[(Kind::DW_FLAG, b"")], 1, &[0])]);

        let mut map: OrMap<&str, OrMap<u8, EwFlag>> = OrMap::new();
        let _ = map.update(a, "k", |inner, dot| inner.updating(7, |flag| flag.enabling(dot)));
        let path: [(Kind, &[u8]); 3] =
            [(Kind::MAP, b"\x01k"), (Kind::MAP, &[7]), (Kind::EW_FLAG, b"")];
        assert_eq!(map.flatten().unwrap(), [item(&path, 1, b"")]);
    }

    /// Names of several bytes stand in another order than the numbers that they are of.
    #[test]
    fn rows_stand_in_the_order_of_their_paths() {
        let a = dot(1).replica;
        let mut set: OrSet<u16> = OrSet::new();
        let _ = (set.add(a, 128), set.add(a, 200), set.add(a, 256));
        let path = |name: &'static [u8]| [(Kind::SET, name)];
        let rows = [
            item(&path(&[0x80, 1]), 1, b""),
            item(&path(&[0x80, 2]), 3, b""),
            item(&path(&[0xc8, 1]), 2, b""),
        ];
        assert_eq!(set.flatten().unwrap(), rows);
    }
}

/// What is joined when a map is merged: a delta must not make the other keys be looked at.
mod costs {
    use core::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::causal::Dot;

    /// Dots that count in one place how often they, and those merged with them, are joined.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Counted {
        dots: DotSet,
        /// Not known of an empty store that a join has made.
        joins: Option<Rc<Cell<usize>>>,
    }

    impl DotStore for Counted {
        fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
            let joins = self.joins.get_or_insert_with(|| other.joins.clone().unwrap());
            joins.set(joins.get() + 1);
            self.dots.join(&other.dots, meeting);
        }

        fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
            self.dots.each_dot(visit);
        }

        fn is_empty(&self) -> bool {
            self.dots.is_empty()
        }

        fn prune(&mut self) {}
    }

    type Map = OrMap<u32, Causal<Counted>>;

    const A: ReplicaId = ReplicaId::from_bytes([1; 16]);
    const B: ReplicaId = ReplicaId::from_bytes([2; 16]);

    /// More than a context may have of dots to be searched one by one.
    const KEYS: u32 = 300;

    #[derive(Default)]
    struct Count(Rc<Cell<usize>>);

    impl Count {
        fn put(&self, map: &mut Map, replica: ReplicaId, key: u32) -> Map {
            map.update(replica, key, |old, dot| {
                let store = Counted { dots: DotSet::of(dot), joins: Some(self.0.clone()) };
                Change::write(store, dot, old.dots.dots())
            })
        }

        fn full(&self, replica: ReplicaId, from: u32) -> Map {
            let mut map = Map::new();
            (from..from + KEYS).for_each(|key| drop(self.put(&mut map, replica, key)));
            map
        }

        /// How many stores were joined since it was asked before.
        fn joins(&self) -> usize {
            self.0.take()
        }
    }

    #[test]
    fn a_delta_costs_the_keys_that_it_names() {
        let count = Count::default();
        let (mut here, mut there) = (count.full(A, 0), count.full(A, 0));
        // It adds, or puts in the place of what is known there.
        for _ in 0..2 {
            count.joins();
            let delta = count.put(&mut here, A, KEYS);
            assert_eq!(count.joins(), 1);
            there.merge(&delta);
            assert_eq!(count.joins(), 1);
        }
        // Or in the place of what is not.
        let unseen = count.put(&mut here, A, KEYS);
        let latest = count.put(&mut here, A, KEYS);
        count.joins();
        there.merge(&latest);
        assert_eq!(count.joins(), 1);
        there.merge(&unseen);
        assert_eq!(here, there);

        // A removal has a key where it is made. Elsewhere it is looked for until it is found.
        for (key, looked_at) in [(KEYS, KEYS as usize + 1), (0, 1)] {
            count.joins();
            let gone = here.remove(&key);
            assert_eq!(count.joins(), 1);
            there.merge(&gone);
            assert_eq!(count.joins(), looked_at);
        }
        assert_eq!(here, there);
    }

    #[test]
    fn what_has_removed_nothing_known_costs_its_own_size() {
        let count = Count::default();
        let (mut here, other) = (count.full(A, 0), count.full(B, KEYS));
        count.joins();
        here.merge(&other);
        assert_eq!(count.joins(), KEYS as usize);

        // Keys in another order than their dots, which are known here but for the last two.
        let (mut here, mut there) = (count.full(A, 0), Map::new());
        let mut some = count.put(&mut there, B, 9);
        some.merge(&count.put(&mut there, B, 8));
        here.merge(&some);
        some.merge(&count.put(&mut there, B, 7));
        some.merge(&count.put(&mut there, B, 7));
        count.joins();
        here.merge(&some);
        assert_eq!(count.joins(), 3);
    }
}
