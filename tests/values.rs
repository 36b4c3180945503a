//! Stories of conflict-free values, and their bytes in three formats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::Debug;

use rejoin::causal::{CausalContext, Dot, Hlc, ReplicaId, Seq, VersionVector};
use rejoin::crdt::{
    Causal, CounterError, DotFun, DotSeen, DotStore, DwFlag, EwFlag, GCounter, LwwRegister,
    MvRegister, NotCausal, OrMap, OrSet, PnCounter, RwSet, Siblings, SiblingsStore,
};
use serde::{Serialize, de::DeserializeOwned};

fn replica(n: u8) -> ReplicaId {
    ReplicaId::from_bytes([n; 16])
}

fn dot(n: u8, seq: u64) -> Dot {
    Dot::new(replica(n), Seq::new(seq))
}

fn at(ms: u64) -> Hlc {
    Hlc::new(ms, 0)
}

/// Both get what the other has.
fn meet<S: DotStore + PartialEq + Debug>(left: &mut Causal<S>, right: &mut Causal<S>) {
    left.merge(right);
    right.merge(left);
    assert_eq!(left, right);
}

fn elements<'a>(set: &OrSet<&'a str>) -> Vec<&'a str> {
    set.iter().copied().collect()
}

#[test]
fn apple_and_banana() {
    let (mut a, mut b) = (OrSet::new(), OrSet::new());
    let _ = a.add(replica(1), "apple");
    let _ = b.add(replica(2), "banana");
    meet(&mut a, &mut b);
    assert_eq!(elements(&a), ["apple", "banana"]);
}

#[test]
fn an_addition_survives_a_removal_at_the_same_time() {
    let (mut a, mut b) = (OrSet::new(), OrSet::new());
    let _ = a.add(replica(1), "apple");
    meet(&mut a, &mut b);
    let _ = a.remove("apple");
    let _ = b.add(replica(2), "apple");
    meet(&mut a, &mut b);
    assert_eq!(elements(&a), ["apple"]);
}

#[test]
fn what_was_removed_stays_removed_when_an_old_copy_comes_back() {
    let mut a = OrSet::new();
    let _ = a.add(replica(1), "apple");
    let mut year_old = a.clone();
    let _ = a.remove("apple");
    meet(&mut a, &mut year_old);
    assert!(a.is_empty());
    assert_eq!(a.seen().count(), 1); // nothing but a number is left of it
}

#[test]
fn added_again_after_it_was_removed() {
    let (mut a, mut b) = (OrSet::new(), OrSet::new());
    let first = a.add(replica(1), "apple");
    let gone = a.remove("apple");
    let again = a.add(replica(1), "apple");
    for delta in [&again, &gone, &first, &gone] {
        b.merge(delta); // in the worst order
    }
    assert_eq!(elements(&b), ["apple"]);
    assert_eq!(a, b);
}

#[test]
fn a_field_changes_while_its_key_is_removed() {
    let mut a: OrMap<&str, OrMap<&str, LwwRegister<&str>>> = OrMap::new();
    for (field, value) in [("name", "Ada"), ("mail", "ada@example.org")] {
        let _ = a.update(replica(1), "user", |user, dot| {
            user.updating(field, |register| register.writing(dot, at(1), value))
        });
    }
    let mut b = a.clone();
    let _ = a.remove("user");
    let _ = b.update(replica(2), "user", |user, dot| {
        user.updating("mail", |register| register.writing(dot, at(2), "countess@example.org"))
    });
    meet(&mut a, &mut b);
    let user = a.get("user").unwrap();
    assert_eq!(user.get("mail").unwrap().get(), Some(&"countess@example.org"));
    assert!(!user.contains_key("name")); // observed, and removed
}

#[test]
fn a_counter_in_a_map_starts_from_nothing_after_its_key_was_removed() {
    let mut a: OrMap<&str, PnCounter> = OrMap::new();
    let add = |map: &mut OrMap<&'static str, PnCounter>, n, amount| {
        map.try_update(replica(n), "likes", |c, dot| c.adding(dot, amount, Seq::MAX)).unwrap()
    };
    let _ = add(&mut a, 1, 5);
    let mut b = a.clone();
    let _ = a.remove("likes");
    let _ = add(&mut b, 2, 3);
    meet(&mut a, &mut b);
    assert_eq!(a.get("likes").unwrap().value(), 3); // exactly what the removal had not seen
    let _ = a.remove("likes");
    let _ = add(&mut a, 1, 1);
    assert_eq!(a.get("likes").unwrap().value(), 1);
}

#[test]
fn a_write_that_has_seen_another_wins_against_a_clock_ten_years_ahead() {
    let ten_years_ms = 10 * 365 * 24 * 3600 * 1000;
    let (mut a, mut b) = (LwwRegister::new(), LwwRegister::new());
    let _ = a.write(replica(1), at(ten_years_ms), "from the future");
    meet(&mut a, &mut b);
    let _ = b.write(replica(2), at(1), "corrected");
    meet(&mut a, &mut b);
    assert_eq!(a.get(), Some(&"corrected"));
    assert_eq!(a.conflicts().count(), 0);
}

#[test]
fn concurrent_writes_at_one_time_are_read_alike_everywhere() {
    let (mut a, mut b) = (LwwRegister::new(), LwwRegister::new());
    let _ = a.write(replica(1), at(7), "a");
    let _ = b.write(replica(2), at(7), "b");
    meet(&mut a, &mut b);
    assert_eq!(a.get(), Some(&"b")); // the greater dot
    assert_eq!(a.conflicts().map(|write| *write.value).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_dot_already_seen_is_refused_and_changes_nothing() {
    let mut set = OrSet::new();
    let _ = set.add_at(dot(1, 7), "apple").unwrap();
    let _ = set.remove("apple");
    let before = set.clone();
    assert_eq!(set.add_at(dot(1, 7), "pear"), Err(DotSeen { dot: dot(1, 7) }));
    assert_eq!(set.add_at(dot(1, 0), "pear"), Err(DotSeen { dot: dot(1, 0) }));
    assert_eq!(set, before);

    let mut counter = PnCounter::new();
    let _ = counter.add_at(dot(1, 1), 5).unwrap();
    assert!(matches!(counter.add_at(dot(1, 1), 5), Err(CounterError::Dot(_))));
    assert!(matches!(counter.add_at(dot(1, 2), i64::MAX), Err(CounterError::Overflow(_))));
    assert_eq!(counter.value(), 5);

    let mut map: OrMap<u8, EwFlag> = OrMap::new();
    let _ = map.update_at(dot(1, 1), 1, |flag, dot| flag.enabling(dot)).unwrap();
    assert!(map.update_at(dot(1, 1), 2, |flag, dot| flag.enabling(dot)).is_err());
    assert_eq!(map.len(), 1);
}

#[test]
fn a_replica_whose_seqs_are_used_up_writes_no_more() {
    let all: VersionVector = [dot(1, u64::MAX)].into_iter().collect();
    let mut set = OrSet::from_parts(Default::default(), CausalContext::from(all)).unwrap();
    assert_eq!(set.add(replica(1), "apple"), OrSet::new());
    assert!(set.is_empty());
    let _ = set.add(replica(2), "apple");
    assert_eq!(elements(&set), ["apple"]);
}

#[test]
fn counters_of_extreme_amounts_can_always_be_merged() {
    let mut sum = PnCounter::new();
    for n in 0..4 {
        let mut one = PnCounter::new();
        let _ = one.add(replica(n), i64::MAX).unwrap();
        sum.merge(&one);
    }
    assert_eq!(sum.value(), 4 * i128::from(i64::MAX));
    assert!(sum.add(replica(1), 1).is_err());
    let mut grown = GCounter::new();
    assert!(grown.add(replica(1), u64::MAX).is_err());
    let _ = grown.add(replica(1), i64::MAX as u64).unwrap();
    assert_eq!(grown.value(), i64::MAX as u128);
}

#[test]
fn siblings_read_from_a_store_and_written_back_elsewhere() {
    // As a store's `get` would build them: values with their dots, and a vector.
    let values = [(dot(1, 4), at(4), "x"), (dot(2, 9), at(5), "y")];
    let vector: VersionVector = [dot(1, 4), dot(2, 9)].into_iter().collect();
    let read = Siblings::from_parts(SiblingsStore::from_iter(values), vector.into()).unwrap();
    assert_eq!((read.len(), read.is_empty()), (2, false));
    let newest = read.resolve(|all| all.max_by_key(|write| write.time).map(|write| *write.value));
    assert_eq!(newest, Some(Some("y")));
    assert_eq!(Siblings::<u8>::new().resolve(|_| ()), None);

    // A client writes what it made of them at a replica that has seen only one of the two.
    let mut other = Siblings::new();
    let _ = other.update_at(dot(1, 4), &CausalContext::new(), at(4), "x").unwrap();
    let _ = other.update(replica(3), read.seen(), at(6), "z");
    assert_eq!(other.values().collect::<Vec<_>>(), [&"z"]);
    other.merge(&read); // the other one comes late, and is dead already
    assert_eq!(other.values().collect::<Vec<_>>(), [&"z"]);

    // The next dot of a replica is beyond what the context has seen of it, too.
    let mut fresh = Siblings::new();
    let _ = fresh.update(replica(2), read.seen(), at(7), "w");
    assert_eq!(fresh.iter().next().unwrap().dot, dot(2, 10));
    assert!(fresh.update_at(dot(2, 3), read.seen(), at(7), "w").is_err());
}

#[test]
fn a_cart_written_with_the_context_of_the_whole_map_leaves_the_other_carts() {
    let mut carts: OrMap<&str, Siblings<&str>> = OrMap::new();
    for (user, cart) in [("ada", "milk"), ("bob", "bread")] {
        let seen = carts.seen().clone();
        let _ = carts.update(replica(1), user, |c, dot| c.updating(dot, &seen, at(1), cart));
    }
    let mut elsewhere = carts.clone();
    let seen = carts.seen().clone();
    let delta =
        carts.update(replica(1), "ada", |c, dot| c.updating(dot, &seen, at(2), "milk, eggs"));
    elsewhere.merge(&delta);
    assert_eq!(elsewhere, carts);
    let read = |user| elsewhere.get(user).unwrap().values().copied().collect::<Vec<_>>();
    assert_eq!((read("ada"), read("bob")), (vec!["milk, eggs"], vec!["bread"]));
}

fn in_three_formats<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = postcard::to_allocvec(value).unwrap();
    assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    let mut cbor = Vec::new();
    ciborium::into_writer(value, &mut cbor).unwrap();
    assert_eq!(&ciborium::from_reader::<T, _>(cbor.as_slice()).unwrap(), value);
    // Cut short anywhere it is an error and no panic.
    for end in 0..bytes.len() {
        assert!(postcard::from_bytes::<T>(&bytes[..end]).is_err());
    }
}

#[test]
fn every_type_survives_three_formats() {
    let [a, b] = [replica(1), replica(2)];
    let mut lww = LwwRegister::new();
    let mut mv = MvRegister::new();
    let mut siblings = Siblings::new();
    let (mut pn, mut g) = (PnCounter::new(), GCounter::new());
    let (mut or, mut rw) = (OrSet::new(), RwSet::new());
    let (mut ew, mut dw) = (EwFlag::new(), DwFlag::new());
    type Inner = OrMap<u32, OrSet<Vec<u8>>>;
    let mut map: OrMap<(u8, String), Inner> = OrMap::new();
    for (id, n) in [(a, 1u8), (b, 2), (a, 3)] {
        let text = format!("value {n}");
        let _ = lww.write(id, at(n.into()), text.clone());
        let _ = mv.write(id, at(n.into()), Some(text.clone()));
        let _ = siblings.update(id, &CausalContext::new(), at(n.into()), text.clone());
        let _ = pn.add(id, -i64::from(n)).unwrap();
        let _ = g.add(id, n.into()).unwrap();
        let _ = or.add(id, (n, text.clone()));
        let _ = rw.remove(id, [n; 3]);
        let _ = ew.enable(id);
        let _ = dw.disable(id);
        let _ = map.update(id, (n, text), |inner, dot| {
            inner.updating(u32::from(n), |set| set.adding(dot, vec![n; 4]))
        });
    }
    let mut delta = OrSet::new(); // with a gap before its dot
    let _ = delta.add_at(dot(1, 9), 1u8).unwrap();
    in_three_formats(&lww);
    in_three_formats(&mv);
    in_three_formats(&siblings);
    in_three_formats(&pn);
    in_three_formats(&g);
    in_three_formats(&or);
    in_three_formats(&rw);
    in_three_formats(&ew);
    in_three_formats(&dw);
    in_three_formats(&map);
    in_three_formats(&delta);
    in_three_formats(&OrSet::<u8>::new());
}

#[derive(Serialize)]
struct Parts<S> {
    store: S,
    seen: CausalContext,
}

/// Whether parts, written as they would stand in the bytes of a value, are read as one.
fn reads<T: DeserializeOwned>(store: impl Serialize, seen: &[Dot]) -> bool {
    let parts = Parts { store, seen: seen.iter().copied().collect() };
    let bytes = postcard::to_allocvec(&parts).unwrap();
    let text = serde_json::to_string(&parts).unwrap();
    let (binary, json) = (postcard::from_bytes::<T>(&bytes), serde_json::from_str::<T>(&text));
    assert_eq!(binary.is_ok(), json.is_ok());
    binary.is_ok()
}

#[test]
fn broken_invariants_are_refused() {
    let (one, two) = (dot(1, 1), dot(1, 2));
    let seen = [one, two];
    let none = Vec::<Dot>::new;

    // A set: elements with their dots.
    type Set = OrSet<u8>;
    assert!(reads::<Set>([(1u8, vec![one]), (2, vec![two])].to_vec(), &seen));
    assert!(!reads::<Set>(vec![(1u8, vec![one])], &[two])); // live, and not seen
    assert!(!reads::<Set>(vec![(1u8, vec![one]), (2, vec![one])], &seen)); // a dot twice
    assert!(!reads::<Set>(vec![(1u8, vec![one, one])], &seen));
    assert!(!reads::<Set>(vec![(1u8, vec![two, one])], &seen)); // out of order
    assert!(!reads::<Set>(vec![(2u8, vec![one]), (1, vec![two])], &seen));
    assert!(!reads::<Set>(vec![(1u8, vec![one]), (1, vec![two])], &seen)); // a key twice
    assert!(!reads::<Set>(vec![(1u8, none())], &seen)); // nothing under a key
    assert!(!reads::<Set>(vec![(1u8, vec![dot(1, 0)])], &seen)); // no event

    // A map: a dot must not stand under two keys, however deep.
    type Map = OrMap<u8, OrMap<u8, EwFlag>>;
    let inner = |dot: Dot| vec![(1u8, vec![dot])];
    assert!(reads::<Map>(vec![(1u8, inner(one)), (2, inner(two))], &seen));
    assert!(!reads::<Map>(vec![(1u8, inner(one)), (2, inner(one))], &seen));
    assert!(!reads::<Map>(vec![(1u8, Vec::<(u8, Vec<Dot>)>::new())], &seen));
    assert!(!reads::<Map>(vec![(1u8, vec![(1u8, none())])], &seen));

    // Counters.
    assert!(reads::<PnCounter>(vec![(one, -1i64), (two, 5)], &seen));
    assert!(!reads::<PnCounter>(vec![(two, 5i64), (one, -1)], &seen));
    assert!(!reads::<GCounter>(vec![(one, -1i64)], &seen)); // shrinking
    assert!(reads::<GCounter>(vec![(one, 1i64)], &seen));

    // And in memory.
    let flag = DotFun::of(one, true);
    let unseen = Causal::from_parts(flag, CausalContext::new());
    assert_eq!(unseen, Err(NotCausal::Unseen(one)));
}
