//! Peers that lie: whatever they say, the store is sound, holds what it held unless they had
//! the right to change it, has taken no more memory than a multiple of what they sent, and
//! an honest peer becomes equal with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "frames/player.rs"]
#[allow(dead_code)]
mod player;

use allocation_counter::measure;
use player::{main_of, meet};
use rejoin::Store;
use rejoin::codec::limits::MIB;
use rejoin::session::Why;
use rejoin::sim::hostile::{Lie, Told, tell};

/// What a session and its store may take, for what was sent and for itself: the rows of
/// the items that a liar may write are in memory here.
const TIMES: u64 = 64;
const BESIDE_BYTES: u64 = 8 * MIB as u64;

/// Lies to a new store, whose standing is looked at before and after.
fn lied_to(lie: Lie, seed: u64) -> (Store, Told) {
    let store = player::victim();
    let standing = || {
        let space = main_of(&store);
        (space.root().unwrap(), space.status().unwrap().items, space.vector().unwrap())
    };
    let before = standing();
    let mut told = None;
    let taken = measure(|| told = Some(tell(&store, "main", lie, seed).unwrap()));
    let told = told.unwrap();
    let most = TIMES * told.sent_bytes + BESIDE_BYTES;
    assert!(taken.bytes_max < most, "{lie:?}: {} bytes, {told:?}", taken.bytes_max);
    let found = store.check().unwrap();
    assert!(found.is_sound(), "{lie:?}: {found:?}");
    if !lie.is_within_rights() {
        assert_eq!(standing(), before, "{lie:?}: {told:?}");
        assert!(!told.report.converged(), "{lie:?}: {told:?}");
    }
    (store, told)
}

/// A peer that nobody has lied about.
fn honest(store: &Store) {
    let peer = player::store(0x77);
    main_of(&peer).set::<u32>("cart").add(&77).unwrap();
    let met = meet(&peer, store).unwrap();
    assert!(met.converged(), "{met:?}");
    assert_eq!(main_of(&peer).root().unwrap(), main_of(store).root().unwrap());
    assert!(main_of(store).set::<u32>("cart").contains(&77).unwrap());
    assert!(main_of(&peer).set::<u32>("cart").contains(&1).unwrap());
}

#[test]
fn whatever_a_liar_says_the_store_is_sound_and_the_honest_become_equal() {
    for lie in Lie::ALL {
        for seed in 0..2 {
            let (store, _) = lied_to(lie, seed);
            honest(&store);
        }
    }
}

#[test]
fn what_is_no_right_ends_with_an_error_or_a_reason() {
    for lie in Lie::ALL.into_iter().filter(|lie| !lie.is_within_rights()) {
        for seed in 0..2 {
            let (_, told) = lied_to(lie, seed);
            // These say nothing that is wrong, but never come to an end; and a root that is
            // another each time may be that of a peer which somebody else repairs.
            let patient = matches!(lie, Lie::SlowBytes | Lie::ManySpaces | Lie::NeverEqual);
            let reason = told.report.spaces.iter().find_map(|space| space.why);
            let gave_up = reason.is_some_and(|why| why != Why::Unfinished);
            assert!(told.error.is_some() || gave_up || patient, "{lie:?}: {told:?}");
        }
    }
}

#[test]
fn a_victim_lied_to_by_all_at_once_is_still_a_store() {
    let store = player::victim();
    for (seed, lie) in Lie::ALL.into_iter().enumerate() {
        tell(&store, "main", lie, seed as u64).unwrap();
    }
    assert!(store.check().unwrap().is_sound());
    honest(&store);
}

/// A walk without differences comes to an end: what both open is bounded by what they find.
#[test]
fn a_walk_that_finds_nothing_is_given_up() {
    for seed in 0..4 {
        let (_, told) = lied_to(Lie::EndlessWalk, seed);
        assert!(told.heard_frames < 300, "{told:?}");
        assert!(told.heard_bytes < 4 * told.sent_bytes + MIB as u64, "{told:?}");
    }
}

/// The liar's first frame was too long for all it had to say, so it was refused for that.
#[test]
fn a_liar_of_many_replicas_is_heard_to_the_end() {
    for seed in 0..2 {
        let (store, told) = lied_to(Lie::ManyReplicas, seed);
        assert_eq!(told.error, None);
        assert_eq!(main_of(&store).vector().unwrap().len(), 1 + 65_536);
        honest(&store);
    }
}

/// Spaces that are opened and not talked of wait: only so many hold a vector of the victim's.
#[test]
fn many_spaces_take_no_more_than_they_say() {
    let (_, told) = lied_to(Lie::ManySpaces, 0);
    let (_, turned) = lied_to(Lie::ManySpaces, 1);
    for told in [told, turned] {
        assert_eq!(told.error, None);
        assert!(told.report.spaces.len() >= 5_000);
    }
}
