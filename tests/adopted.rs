//! Stores whose file was damaged, recovered, and made to write anew what was salvaged: whoever
//! they meet, in the end nothing counts twice and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::ops::ControlFlow;
use std::path::Path;

use pair::{main_of, meet, options, store};
use rejoin::Store;
use rejoin::space::RecoverReport;
use rejoin::storage::{
    Durability, FileOptions, KeyRange, Order, RedbStorage, Storage, Table, Verdict,
};

const COUNTERS: usize = 40;

/// What all have written once, and each counts once.
fn fill(store: &Store) {
    let space = main_of(store);
    for n in 0..COUNTERS {
        space.counter(format!("count/{n}")).add(10).unwrap();
        space.put(format!("value/{n}"), format!("value {n}"), None).unwrap();
        space.set("names").add(&n).unwrap();
    }
}

fn is_right(store: &Store, what: &str) {
    let space = main_of(store);
    for n in 0..COUNTERS {
        assert_eq!(space.counter(format!("count/{n}")).get().unwrap(), 10, "{what}: {n}");
        let siblings = space.get(format!("value/{n}")).unwrap();
        let values: Vec<_> = siblings.values().collect();
        assert_eq!(values, [format!("value {n}").as_bytes()], "{what}");
    }
    assert_eq!(space.set::<usize>("names").elements().unwrap().len(), COUNTERS, "{what}");
    assert!(store.check().unwrap().is_sound(), "{what}");
}

/// Whether two stores have the same.
fn are_equal(stores: &[&Store]) -> bool {
    let roots: Vec<_> = stores.iter().map(|store| main_of(store).root().unwrap()).collect();
    roots.windows(2).all(|pair| pair[0] == pair[1])
}

/// A copy of what `of` holds in a file of which the vector is damaged, recovered: all waits.
fn recovered(folder: &Path, name: u8, of: &Store) -> (RecoverReport, Store) {
    let at = |what: &str| folder.join(format!("{what} {name}"));
    let old = Store::open_with(at("old"), options(name)).unwrap();
    meet(&old, of);
    drop(old);
    {
        let mut drawn = name;
        let mut entropy = |bytes: &mut [u8]| {
            drawn = drawn.wrapping_add(1);
            bytes.fill(drawn);
        };
        let file = RedbStorage::open(at("old"), &FileOptions::default(), &mut entropy).unwrap();
        let write = file.write(Durability::Immediate, &mut |rows| {
            let mut keys = Vec::new();
            let all = KeyRange { from: &[], to: None };
            rows.scan(Table::Vectors, all, Order::Ascending, &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
            keys.iter().try_for_each(|key| rows.put(Table::Vectors, key, &[1]))?;
            Ok(Verdict::Commit)
        });
        write.unwrap();
    }
    let report = Store::recover_telling(at("old"), at("new"), &options(name + 1), |_| {}).unwrap();
    (report, Store::open_with(at("new"), options(name + 1)).unwrap())
}

/// Who knew the items counts them twice when the session is over, and the report says so: the
/// next session tells it.
#[test]
fn a_session_says_that_stand_ins_went_which_the_peer_still_has() {
    let folder = tempfile::tempdir().unwrap();
    for connects in [true, false] {
        let peer = store(1);
        fill(&peer);
        let (report, new) = recovered(folder.path(), 40 + u8::from(connects) * 40, &peer);
        assert_eq!(new.adopt().unwrap(), report.waiting);
        is_right(&new, "alone");
        let meeting = |n: usize| {
            let mut meeting = match connects {
                true => pair::Meeting::of(&new, &peer),
                false => pair::Meeting::of(&peer, &new),
            };
            assert!(meeting.run_on(usize::MAX));
            let (ours, theirs) = match connects {
                true => (&meeting.left, &meeting.right),
                false => (&meeting.right, &meeting.left),
            };
            assert!(ours.report().converged() && theirs.report().converged());
            assert_eq!(ours.report().is_untold(), n == 0);
            assert!(!theirs.report().is_untold());
        };
        meeting(0);
        is_right(&new, "met");
        assert!(!are_equal(&[&new, &peer]));
        meeting(1);
        is_right(&peer, "told");
        assert!(are_equal(&[&new, &peer]));
    }
}

/// Two that were in touch are damaged both, and nobody else has what they had. Whoever adopts
/// first, and also where both do before they meet, all is there once.
#[test]
fn what_two_recovered_stores_have_salvaged_is_written_anew_once() {
    for case in ["one", "both", "both, in part", "a third"] {
        let folder = tempfile::tempdir().unwrap();
        let origin = store(1);
        fill(&origin);
        let (report, first) = recovered(folder.path(), 20, &origin);
        let (_, second) = recovered(folder.path(), 60, &origin);
        assert_eq!(report.waiting, 3 * COUNTERS as u64);
        assert_eq!(first.adopt().unwrap(), report.waiting);
        if case.starts_with("both") {
            assert_eq!(second.adopt().unwrap(), report.waiting);
        }
        if case.ends_with("in part") {
            // What was written since replaces what it has seen.
            main_of(&second).put("new", "value", None).unwrap();
            main_of(&first).counter("count/0").add(-10).unwrap();
            main_of(&second).counter("count/0").add(10).unwrap();
        }
        meet(&second, &first);
        assert_eq!(main_of(&second).waiting().unwrap(), 0, "{case}");
        assert_eq!(second.adopt().unwrap(), 0, "{case}");
        // Of what went by the proof, both hear once more.
        meet(&second, &first);
        meet(&first, &second);
        is_right(&first, case);
        is_right(&second, case);
        assert!(are_equal(&[&first, &second]), "{case}");
        // One who knew it after all: what stands in for it goes, by whichever it meets.
        let (met, other) = if case == "a third" { (&first, &second) } else { (&second, &first) };
        for _ in 0..2 {
            meet(met, &origin);
        }
        meet(other, &origin);
        meet(other, met);
        for store in [&first, &second, &origin] {
            is_right(store, case);
        }
        assert!(are_equal(&[&first, &second, &origin]), "{case}");
    }
}

/// Of items that differ in what they are, or in whose they are, none stands in for the other.
#[test]
fn what_is_not_the_same_item_stands_in_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (store(1), store(2));
    main_of(&one).counter("count").add(10).unwrap();
    main_of(&two).counter("count").add(10).unwrap();
    main_of(&one).put("value", "a", None).unwrap();
    let (_, first) = recovered(folder.path(), 20, &one);
    let (_, second) = recovered(folder.path(), 60, &two);
    assert_eq!((first.adopt().unwrap(), main_of(&second).waiting().unwrap()), (2, 1));
    meet(&second, &first);
    assert_eq!((main_of(&second).waiting().unwrap(), second.adopt().unwrap()), (1, 1));
    meet(&second, &first);
    assert_eq!(main_of(&first).counter("count").get().unwrap(), 20);
    assert_eq!(main_of(&second).counter("count").get().unwrap(), 20);
}
