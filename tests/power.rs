//! What went wrong when the power went: stores on a disk that forgets what was not synced.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod pair;
#[path = "pair/passed_on.rs"]
mod passed_on;

use pair::main_of;
use passed_on::{newest_values, opened};
use rejoin::session::{Scope, Session};
use rejoin::sim::{Disk, Trouble};

/// See the story: a value vanished at D.
#[test]
fn events_passed_on_before_they_were_on_disk_left_a_hole_after_a_power_cut() {
    let [c, d, end] = newest_values().try_into().unwrap();
    assert!(c.len() == 1 && d.len() == 1, "{c:?}, {d:?}");
    assert_eq!(end, [b"new"]);
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
