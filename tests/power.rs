//! What went wrong when the power went: stores on a disk that forgets what was not synced.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod pair;

use pair::{Meeting, assert_sound, main_of, meet, options};
use rejoin::session::{Scope, Session};
use rejoin::sim::{Disk, Random, Trouble};
use rejoin::{Store, causal::Dot};

/// Opens the store on a disk.
fn opened(disk: &Disk, name: u8) -> Store {
    let storage = disk.open(&mut |bytes| bytes.fill(name)).unwrap();
    Store::on(storage, options(name)).unwrap()
}

/// C took B's newest event, which replaces another, and sent it on to D before it was on disk;
/// the power went at C, which then had again what was replaced. D resumed behind what it had
/// staged from C, so C left that out, and D's vector covered it: the value had vanished, and
/// what replaced it was not there either.
#[test]
fn events_passed_on_before_they_were_on_disk_left_a_hole_after_a_power_cut() {
    let (b, d, disk) = (pair::store(1), pair::store(9), Disk::in_memory());
    let c = opened(&disk, 2);
    main_of(&b).put("key", "old", None).unwrap();
    meet(&b, &c);
    // So much that D gets it in several chunks, of which B's event stands in the first.
    for key in ["one", "two", "three"] {
        main_of(&c).put(key, vec![0; 200_000], None).unwrap();
    }
    main_of(&b).put("key", "new", None).unwrap();
    let newest = Dot::new(b.replica(), main_of(&b).vector().unwrap().get(b.replica()));
    // Each has said to the other how it stands; now C takes, and then sends.
    let mut to_d = Meeting::of(&c, &d);
    assert!(!to_d.run_on(2));
    let mut from_b = Meeting::of(&b, &c);
    while !main_of(&c).vector().unwrap().contains(newest) {
        assert!(!from_b.run_on(1));
    }
    while main_of(&d).status().unwrap().staged == 0 {
        assert!(!to_d.run_on(1));
    }
    disk.power_off();
    for mut cut in [from_b, to_d] {
        cut.left.close();
        cut.right.close();
    }
    drop(c);
    disk.power_cut(&mut Random::new(1));
    let c = opened(&disk, 2);
    meet(&d, &c);
    for store in [&c, &d] {
        let value = main_of(store).get("key").unwrap();
        assert_eq!(value.len(), 1, "{value:?} at {}", store.replica());
        assert_sound(store);
    }
    meet(&b, &d);
    let value = main_of(&d).get("key").unwrap();
    assert_eq!(value.values().collect::<Vec<_>>(), [b"new"]);
}

/// A write failed with a sync, and what was read then was what may have reached the disk or not:
/// it was told to peers, whose events a power cut then made again with other content.
#[test]
fn what_a_failed_sync_left_unsure_was_told_to_peers() {
    let mut failed = 0;
    for syncs in 0..8 {
        let disk = Disk::of_blocks();
        let store = opened(&disk, 3);
        main_of(&store).put("key", "sure", None).unwrap();
        disk.fail_after(syncs, Trouble::FailedSync);
        let written = (0..3).try_for_each(|n: u8| main_of(&store).put([n], "unsure", None));
        if written.is_ok() {
            continue;
        }
        failed += 1;
        main_of(&store).get("key").unwrap(); // it can still be read
        let mut session = Session::connect(&store, Scope::All, [1; 16]).unwrap();
        while let Ok(Some(_)) = session.poll_frame(0) {}
        assert!(session.is_over() && !session.report().converged(), "after {syncs} syncs");
        let frames = session.report().frames_sent;
        assert!(frames <= 1, "{frames} frames were sent after {syncs} syncs");
    }
    assert!(failed > 3, "{failed}");
}
