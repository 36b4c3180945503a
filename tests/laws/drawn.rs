//! What a property test draws: values that can occur, and that shrink to such.

use std::collections::{BTreeMap, BTreeSet};

use quickcheck::{Arbitrary, Gen};
use rejoin::causal::{
    CausalContext, Dot, DottedVersionVector, Hlc, HybridClock, ReplicaId, Seq, VersionVector,
};
use rejoin::crdt::laws::{
    CounterOperation, Few, History, MapOperation, Mergeable, Operations, RegisterOperation,
    SetOperation,
};
use rejoin::crdt::{Causal, LwwRegister, OrMap, OrSet, PnCounter, Siblings, Stamped};

fn drawn<A: Arbitrary>(values: u64) -> impl Iterator<Item = A> {
    (0..values).map(|seed| A::arbitrary(&mut Gen::from_size_and_seed(12, seed)))
}

/// Makes a value anew by mutating and merging alone. Each event happens where everything
/// before it was cleared, and only those that were seen arrive; what is not live is removed by
/// somebody who has seen nothing else.
fn remade<S: Operations>(
    value: &Causal<S>,
    live: &BTreeMap<Dot, S::Operation>,
    any: &S::Operation,
) -> Causal<S> {
    let mut made = Causal::<S>::new();
    let dots: Vec<Dot> = value.seen().dots_beyond(&VersionVector::new()).collect();
    let replicas: BTreeSet<ReplicaId> = dots.iter().map(|dot| dot.replica).collect();
    for replica in replicas {
        let mut writer = Causal::<S>::new();
        for seq in 1..=value.seen().greatest(replica).get() {
            let dot = Dot::new(replica, Seq::new(seq));
            let _ = writer.clear();
            let delta = Mergeable::mutate(&mut writer, replica, live.get(&dot).unwrap_or(any));
            let delta = delta.expect("possible where nothing stands");
            assert!(delta.seen().contains(dot) && delta.seen().count() == 1);
            if value.seen().contains(dot) {
                made.merge(&delta);
                if !live.contains_key(&dot) {
                    let mut remover = delta;
                    made.merge(&remover.clear());
                }
            }
        }
    }
    made
}

/// Draws values, shrinks them all the way down one path, and makes each of them anew.
fn can_occur<S: Operations + PartialEq + std::fmt::Debug + 'static>(
    any: S::Operation,
    items: impl Fn(&Causal<S>) -> Vec<(Dot, S::Operation)>,
) {
    let mut most = 0;
    for value in drawn::<Causal<S>>(2_000) {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            let live: BTreeMap<Dot, S::Operation> = items(&value).into_iter().collect();
            assert_eq!(remade(&value, &live, &any), value);
            most = most.max(live.len());
            let smaller: Vec<_> = value.shrink().collect();
            let events = value.seen().count();
            let by_one = smaller.iter().filter(|fewer| fewer.seen().count() + 1 == events);
            assert!(by_one.count() as u64 >= events, "each event is left out once");
            for fewer in &smaller {
                assert!(value.seen().covers(fewer.seen()) && value.seen() != fewer.seen());
                let kept: BTreeSet<Dot> = items(fewer).into_iter().map(|(dot, _)| dot).collect();
                assert!(live.keys().all(|dot| kept.contains(dot) == fewer.seen().contains(*dot)));
            }
            open.extend(smaller.into_iter().last());
        }
    }
    assert!(most > 2, "something is drawn");
}

#[test]
fn every_value_drawn_or_shrunk_can_occur() {
    can_occur(SetOperation::Add(Few(0)), |set: &OrSet<Few>| {
        let dots = |element| set.dots(element).map(|dot| (dot, SetOperation::Add(*element)));
        set.iter().flat_map(dots).collect()
    });
    can_occur(CounterOperation::Add(0), |counter: &PnCounter| {
        counter.rows().map(|(dot, amount)| (dot, CounterOperation::Add(amount))).collect()
    });
    can_occur(RegisterOperation::Write(Hlc::ZERO, 0), |register: &LwwRegister<u8>| {
        let writes = register.winner().into_iter().chain(register.conflicts());
        writes.map(|w| (w.dot, RegisterOperation::Write(w.time, *w.value))).collect()
    });
    can_occur((0, RegisterOperation::Write(Hlc::ZERO, 0)), |siblings: &Siblings<u8>| {
        let write = |time, value: &u8| (0, RegisterOperation::Write(time, *value));
        siblings.iter().map(|w| (w.dot, write(w.time, w.value))).collect()
    });
    let add = |key: &Few, element: &Few| MapOperation::Update(*key, SetOperation::Add(*element));
    can_occur(add(&Few(0), &Few(0)), |map: &OrMap<Few, OrSet<Few>>| {
        let mut live = Vec::new();
        for (key, set) in map.iter() {
            for element in set.iter() {
                live.extend(set.dots(element).map(|dot| (dot, add(key, element))));
            }
        }
        live
    });
}

/// A tenth of all numbers drawn were zero, one or the greatest there is, replicas among them:
/// of thirty pairs of values one could not be merged.
#[test]
fn no_two_replicas_drawn_have_one_name() {
    let mut seen = BTreeSet::new();
    for history in drawn::<History<OrSet<Few>>>(2_000) {
        assert!(history.replicas().iter().all(|replica| seen.insert(*replica)));
    }
    let mut g = Gen::from_size_and_seed(12, u64::MAX);
    assert!((0..2_000).all(|_| seen.insert(ReplicaId::arbitrary(&mut g))));
}

/// Follows every first and last way of shrinking to its end.
fn shrinks_to_an_end<A: Arbitrary>(values: u64, mut ask: impl FnMut(&A, &A)) {
    for whole in drawn::<A>(values) {
        for last in [false, true] {
            let (mut value, mut steps) = (whole.clone(), 0);
            while let Some(smaller) =
                if last { value.shrink().last() } else { value.shrink().next() }
            {
                ask(&value, &smaller);
                (value, steps) = (smaller, steps + 1);
                assert!(steps < 10_000, "shrinking goes in circles");
            }
        }
    }
}

#[test]
fn everything_shrinks_to_an_end() {
    shrinks_to_an_end(200, |whole: &VersionVector, smaller| {
        assert!(whole.covers(smaller) && whole != smaller);
    });
    shrinks_to_an_end(200, |whole: &CausalContext, smaller| {
        assert!(whole.covers(smaller) && whole != smaller);
    });
    shrinks_to_an_end(200, |_: &DottedVersionVector, smaller| {
        assert!(!smaller.past().contains(smaller.dot()));
    });
    shrinks_to_an_end(200, |whole: &Dot, smaller| {
        assert!(smaller.replica == whole.replica && Seq::ZERO < smaller.seq);
    });
    for (seq, time, clock) in drawn::<(Seq, Hlc, HybridClock)>(200) {
        assert!(seq.shrink().all(|smaller| smaller < seq));
        assert!(time.shrink().all(|smaller| smaller < time));
        assert!(clock.shrink().all(|smaller| smaller.last() < clock.last()));
    }
    shrinks_to_an_end(20, |_: &Stamped<Vec<Few>>, _| ());
    shrinks_to_an_end(50, |_: &OrMap<Few, OrMap<Few, Siblings<u8>>>, _| ());
    shrinks_to_an_end(20, |whole: &History<OrMap<Few, LwwRegister<Few>>>, smaller| {
        assert!(smaller.steps().len() <= whole.steps().len());
        let again: History<OrMap<_, _>> = History::of(*smaller.replicas(), smaller.steps());
        assert_eq!(again.copies(), smaller.copies());
    });
}

/// A value that somebody has put together by hand can have seen more than memory holds.
#[test]
fn a_value_that_has_seen_too_much_stays_as_it_is() {
    let all = VersionVector::from_iter([Dot::new(ReplicaId::from_bytes([1; 16]), Seq::MAX)]);
    let value = OrSet::<Few>::from_parts(Default::default(), all.clone().into()).unwrap();
    assert_eq!(value.shrink().count(), 0);
    assert!(CausalContext::from(all).shrink().next().is_some());
}
