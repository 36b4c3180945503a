//! Stores whose file was damaged, recovered, and made to write anew what was salvaged: whoever
//! they meet, in the end nothing counts twice and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pair::{main_of, meet, options, store};
use rejoin::Store;
use rejoin::space::{Beside, RecoverReport};
use rejoin::storage::{
    Durability, FileOptions, KeyRange, Order, RedbStorage, Storage, Table, Verdict,
};

const COUNTERS: usize = 8;

/// What each counts once, though some of it is alike: a counter that was seen by a peer goes on in
/// another row.
fn fill(of: &Store) {
    let space = main_of(of);
    (0..COUNTERS).for_each(|n| space.counter(format!("count/{n}")).add(5).unwrap());
    meet(of, &store(200));
    for n in 0..COUNTERS {
        space.counter(format!("count/{n}")).add(5).unwrap();
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

/// Where a store of this name, and the one recovered of it, have their files.
fn files(folder: &Path, name: u8) -> [PathBuf; 2] {
    ["old", "new"].map(|what| folder.join(format!("{what} {name}")))
}

/// Spoils all vectors of a closed store: nothing of what it has is claimed any more. Of its items
/// every third one goes, if so asked, from which on.
fn spoil(file: &Path, lost: Option<usize>) {
    let mut drawn = 100;
    let mut entropy = |bytes: &mut [u8]| {
        drawn += 1;
        bytes.fill(drawn);
    };
    let file = RedbStorage::open(file, &FileOptions::default(), &mut entropy).unwrap();
    let write = file.write(Durability::Immediate, &mut |rows| {
        let mut keys = Vec::new();
        let all = KeyRange { from: &[], to: None };
        rows.scan(Table::Vectors, all, Order::Ascending, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        keys.iter().try_for_each(|key| rows.put(Table::Vectors, key, &[1]))?;
        keys.clear();
        rows.scan(Table::Items, all, Order::Ascending, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        let mut lost = keys.iter().skip(lost.unwrap_or(usize::MAX)).step_by(3);
        lost.try_for_each(|key| rows.delete(Table::Items, key).map(drop))?;
        Ok(Verdict::Commit)
    });
    write.unwrap();
}

fn recover(old: &Path, new: &Path, name: u8) -> (RecoverReport, Store) {
    let report = Store::recover_telling(old, new, &options(name), |_| {}).unwrap();
    (report, Store::open_with(new, options(name)).unwrap())
}

/// A copy of what `of` holds in a file of which the vector is spoiled, recovered: all waits.
fn recovered(folder: &Path, name: u8, of: &Store) -> (RecoverReport, Store) {
    recovered_without(folder, name, of, None)
}

/// The same, without some of the items.
fn recovered_without(
    folder: &Path,
    name: u8,
    of: &Store,
    lost: Option<usize>,
) -> (RecoverReport, Store) {
    let [old, new] = files(folder, name);
    meet(&Store::open_with(&old, options(name)).unwrap(), of);
    spoil(&old, lost);
    recover(&old, &new, name + 1)
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
        assert_eq!(report.waiting, 4 * COUNTERS as u64);
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

/// What each of two has salvaged is there, and once, though one stands in for what the other lost.
#[test]
fn two_that_salvaged_different_items_have_all_of_them_in_the_end() {
    for case in 0..8 {
        let (folder, origin) = (tempfile::tempdir().unwrap(), store(1));
        fill(&origin);
        let [name, other] = if case & 1 == 0 { [20, 60] } else { [60, 20] };
        let (_, first) = recovered_without(folder.path(), name, &origin, Some(0));
        let (_, second) = recovered_without(folder.path(), other, &origin, Some(1));
        assert!(first.adopt().unwrap() > 0);
        if case & 2 != 0 {
            assert!(second.adopt().unwrap() > 0);
        }
        meet(&second, &first);
        second.adopt().unwrap();
        for _ in 0..2 {
            meet(&second, &first);
        }
        is_right(&first, "first");
        is_right(&second, "second");
        assert!(are_equal(&[&first, &second]));
        // Who has seen the half of it decides the half of it.
        let late = store(9);
        if case & 4 != 0 {
            meet(&late, &origin);
            main_of(&late).counter("count/1").add(0).unwrap();
        }
        for _ in 0..3 {
            meet(&second, &first);
            meet(&second, &late);
        }
        for (store, who) in [(&first, "first"), (&second, "second"), (&late, "late")] {
            is_right(store, &format!("case {case}, {who} in the end"));
        }
        assert!(are_equal(&[&first, &second, &late]));
    }
}

/// A salvaged item had replaced what a peer still has: where it is written anew, it has again.
#[test]
fn what_an_adopted_item_had_replaced_does_not_stand_beside_it() {
    let (folder, late) = (tempfile::tempdir().unwrap(), store(2));
    let origin = store(1);
    main_of(&origin).put("key", "old", None).unwrap();
    meet(&origin, &late);
    let old = main_of(&origin).get("key").unwrap();
    main_of(&origin).put("key", "new", Some(old.context())).unwrap();
    let (report, new) = recovered(folder.path(), 20, &origin);
    assert_eq!(report.waiting, 1);
    meet(&new, &late);
    assert_eq!((main_of(&new).waiting().unwrap(), new.adopt().unwrap()), (1, 1));
    let is_new = |store: &Store| {
        let siblings = main_of(store).get("key").unwrap();
        assert_eq!(siblings.values().collect::<Vec<_>>(), [b"new"]);
    };
    is_new(&new);
    meet(&new, &late);
    is_new(&late);
    assert!(are_equal(&[&new, &late]));
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

/// An adopted item came from a peer, under its own dot, in a session that was cut before all was
/// proven; then the store was damaged once more. What stands in for what is still known.
#[test]
fn a_stand_in_stays_one_when_its_item_is_salvaged_again() {
    let mut both = 0;
    for frames in 1..7 {
        let (folder, peer) = (tempfile::tempdir().unwrap(), store(1));
        fill(&peer);
        let (report, new) = recovered(folder.path(), 20, &peer);
        assert_eq!(new.adopt().unwrap(), report.waiting);
        pair::Meeting::of(&new, &peer).run_on(frames);
        both += u64::from(new.space("main").unwrap().status().unwrap().items > report.waiting);
        drop(new);
        let [again, _] = files(folder.path(), 30);
        let [_, old] = files(folder.path(), 20);
        spoil(&old, None);
        let (_, new) = recover(&old, &again, 31);
        new.adopt().unwrap();
        for _ in 0..2 {
            meet(&new, &peer);
        }
        is_right(&new, &format!("{frames} frames"));
        assert!(are_equal(&[&new, &peer]));
    }
    assert!(both > 0, "no session was cut between the delta and the proof");
}

/// A recovered store was killed, and any block of its file is gone: of its journal too, behind
/// whose damage may stand what was adopted, or that it was decided.
#[test]
fn a_stand_in_behind_a_damaged_journal_stays_one() {
    let (folder, peer) = (tempfile::tempdir().unwrap(), store(1));
    fill(&peer);
    let (report, new) = recovered(folder.path(), 20, &peer);
    let [_, file] = files(folder.path(), 20);
    let write = |n: u64| main_of(&new).put(format!("more/{n}"), "more", None).unwrap();
    let mut killed = Vec::new();
    (0..2).for_each(write);
    assert_eq!(new.adopt().unwrap(), report.waiting);
    killed.push(std::fs::read(&file).unwrap());
    meet(&new, &store(2));
    (2..4).for_each(write);
    let knows = store(3);
    meet(&new, &knows);
    meet(&new, &peer);
    killed.push(std::fs::read(&file).unwrap());
    let [damaged, again] = files(folder.path(), 40);
    let mut journals = 0;
    for (moment, bytes) in killed.iter().enumerate() {
        for block in 4..bytes.len() / 4096 {
            let mut bytes = bytes.clone();
            if bytes[block * 4096..][..4096].iter().all(|byte| *byte == 0) {
                continue;
            }
            bytes[block * 4096..][..4096].fill(0);
            std::fs::write(&damaged, &bytes).unwrap();
            for file in [&again, &again.with_file_name("new 40.id")] {
                let _ = std::fs::remove_file(file);
            }
            let (report, new) = recover(&damaged, &again, 41);
            journals += u64::from(report.journal_damaged);
            let what = format!("moment {moment}, block {block}, {report:?}");
            if report.also_lost.contains(&Beside::Waiting) {
                continue;
            }
            new.adopt().unwrap();
            let [peer, knows] = [(&peer, 5), (&knows, 6)].map(|(of, name)| {
                let copy = store(name);
                meet(&copy, of);
                copy
            });
            // Who has the stand-ins, and who knows what they stand in for.
            meet(&new, &knows);
            for _ in 0..2 {
                meet(&new, &peer);
            }
            is_right(&new, &what);
            is_right(&peer, &what);
        }
    }
    assert!(journals > 4, "{journals}");
}
