//! What went wrong once, each told as it happened.

mod dropped;
mod resumed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::message::Message;
use super::{Report, Scope, Session, Why};
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::{Cursor, Kind, Prefix, Put};
use crate::space::{Chunk, Event, Last, Options, Removal, Store, feeder_name};
use crate::storage::{KeyRange, MemoryStorage, Order, Storage, Table};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A store whose vectors always travel against a base, and whose chunks hold one event.
fn store() -> Store {
    Store::in_memory_with(store_options())
}

fn store_options() -> Options {
    let mut options = Options::with(
        Arc::new(|| 1_000),
        Arc::new(|bytes: &mut [u8]| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            bytes.iter_mut().zip(next.to_be_bytes().iter().cycle()).for_each(|(b, n)| *b = *n);
        }),
    );
    options.tuning.chunk_events = 1;
    options.tuning.frame_bytes = 1;
    options.tuning.short_vector_bytes = 0;
    options
}

fn put(store: &Store, key: &str) {
    store.space("main").unwrap().put(key, "1", None).unwrap();
}

fn keys(store: &Store) -> Vec<String> {
    let entries = store.space("main").unwrap().keys(crate::space::Keys::all()).unwrap();
    entries.into_iter().map(|e| String::from_utf8(e.key).unwrap()).collect()
}

/// Two sides and a pipe that delivers in turns; the left one opened.
struct Pair {
    sides: [Session; 2],
    now_ms: u64,
}

impl Pair {
    fn new(left: &Store, right: &Store) -> Self {
        let left = Session::connect(left, Scope::All, [1; 16]).unwrap();
        Self { sides: [left, Session::accept(right, [2; 16])], now_ms: 0 }
    }

    /// Sends what one side has to say, at most so many frames; how many there were.
    fn send(&mut self, from: usize, most: usize) -> usize {
        for sent in 0..most {
            let now_ms = self.now_ms;
            let Some(frame) = self.sides[from].poll_frame(now_ms).unwrap() else { return sent };
            self.sides[1 - from].handle_frame(now_ms, &frame).unwrap();
        }
        most
    }

    /// Goes on until the second side has staged something.
    fn run_until_staged(&mut self, store: &Store) {
        while store.space("main").unwrap().status().unwrap().staged == 0 {
            assert!(self.send(1, usize::MAX) + self.send(0, 1) > 0, "nothing is staged");
        }
    }

    /// Sends all that there is to say now.
    fn go_on(&mut self) {
        while self.send(0, usize::MAX) + self.send(1, usize::MAX) > 0 {}
    }

    /// Time goes by.
    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.sides.iter_mut().for_each(|side| side.handle_timeout(self.now_ms).unwrap());
        self.go_on();
    }

    fn run(mut self) -> [Report; 2] {
        while self.send(0, usize::MAX) + self.send(1, usize::MAX) > 0 {}
        assert!(self.sides.iter().all(Session::is_over), "stalled: {:?}", self.sides);
        self.sides.map(|side| side.report().clone())
    }
}

fn meet(left: &Store, right: &Store) {
    for report in Pair::new(left, right).run() {
        assert!(report.converged(), "{report:?}");
    }
}

/// Whose delta is staged.
fn staged_of(store: &Store) -> Option<ReplicaId> {
    store.space("main").unwrap().staged().unwrap().map(|offer| offer.feeder)
}

/// Two stores that are equal, of which only the second knows that it was proven.
fn half_proven() -> (Store, Store) {
    let (a, b) = (store(), store());
    put(&a, "apple");
    put(&b, "banana");
    let mut pair = Pair::new(&a, &b);
    loop {
        pair.send(0, usize::MAX);
        let frame = pair.sides[1].poll_frame(0).unwrap().unwrap();
        let mut cursor = Cursor::new("frame", &frame);
        cursor.varint().unwrap();
        if matches!(Message::decode(&mut cursor), Ok(Message::Proven { .. })) {
            break; // lost
        }
        pair.sides[0].handle_frame(0, &frame).unwrap();
    }
    assert_eq!(keys(&a), keys(&b));
    (a, b)
}

#[test]
fn a_delta_that_came_before_the_vector_is_not_waited_for_again() {
    let (a, b) = half_proven();
    put(&b, "cherry");
    meet(&a, &b); // the opener must ask for the vector that the answer names a base for
    assert_eq!(keys(&a), ["apple", "banana", "cherry"]);
}

#[test]
fn a_proof_does_not_overtake_the_vector_that_was_asked_for() {
    let (a, b) = half_proven();
    put(&b, "cherry");
    // The answerer must ask, and the opener hears the answer before the question.
    let mut pair = Pair::new(&b, &a);
    while pair.send(0, usize::MAX) + pair.send(1, 1) > 0 {}
    assert!(pair.run().iter().all(Report::converged));
    assert_eq!(keys(&a), ["apple", "banana", "cherry"]);
}

#[test]
fn a_write_after_the_opening_does_not_change_the_root_that_was_found_equal() {
    let (a, b) = (store(), store());
    put(&a, "apple");
    meet(&a, &b);
    let root = a.space("main").unwrap().root().unwrap();
    let mut pair = Pair::new(&a, &b);
    pair.send(0, usize::MAX);
    put(&a, "banana");
    let reports = pair.run();
    assert!(reports.iter().all(|report| report.space("main").unwrap().root == Some(root)));
}

#[test]
fn a_delta_whose_place_was_taken_and_given_back_does_not_go_on() {
    let (a, b, c) = (store(), store(), store());
    ["apple", "banana", "cherry"].iter().for_each(|key| put(&a, key));
    ["date", "elder", "fig"].iter().for_each(|key| put(&c, key));
    let mut slow = Pair::new(&a, &b);
    slow.run_until_staged(&b);
    let feeder = feeder_name(a.replica(), a.opening(a.ways()));
    // The delta of A makes no progress for long: that of C takes its place, and ends.
    let mut quick = Pair::new(&c, &b);
    // By its own clock, which has nothing to do with that of the other session.
    quick.now_ms = 9_000_000;
    quick.go_on();
    assert_eq!(staged_of(&b), Some(feeder));
    quick.wait(9_000);
    assert_eq!(staged_of(&b), Some(feeder));
    quick.wait(1_000);
    assert!(quick.run().iter().all(Report::converged));
    // What A had staged is gone. Had its last chunk moved the vector, it would be lost.
    slow.now_ms = 60_001;
    let reports = slow.run();
    assert!(reports.iter().all(|r| r.spaces[0].why == Some(Why::Displaced)), "{reports:?}");
    meet(&a, &b);
    assert_eq!(keys(&b), ["apple", "banana", "cherry", "date", "elder", "fig"]);
}

#[test]
fn chunks_of_a_space_that_was_given_up_do_not_fill_the_window_of_the_others() {
    let (a, b) = (store(), store());
    let names = ["first", "fourth", "second", "third", "zero"];
    for (name, n) in names.iter().flat_map(|name| (0..9).map(move |n| (name, n))) {
        a.space(name).unwrap().put(format!("key {n}"), "1", None).unwrap();
    }
    // Four spaces are staged in part; then the session is cut.
    let mut cut = Pair::new(&a, &b);
    cut.send(0, 1 + names.len());
    while names[..4].iter().any(|s| b.space(s).unwrap().status().unwrap().staged == 0) {
        assert!(cut.send(1, usize::MAX) + cut.send(0, 1) > 0);
    }
    drop(cut);
    // The next takes the staging over, and loses it to one of the same pair.
    let mut one = Pair::new(&a, &b);
    one.send(0, usize::MAX);
    one.send(1, usize::MAX);
    assert!(Pair::new(&a, &b).run().iter().all(Report::converged));
    for report in one.run() {
        for name in names {
            let why = (name != "zero").then_some(Why::Displaced);
            assert_eq!(report.space(name).unwrap().why, why);
        }
    }
}

#[test]
fn a_session_that_was_told_of_nothing_staged_begins_anew() {
    let (a, b) = (store(), store());
    ["apple", "banana", "cherry", "date", "elder"].iter().for_each(|key| put(&a, key));
    put(&b, "fig");
    // B says that it has nothing staged; then another session stages some, and is cut.
    let mut one = Pair::new(&b, &a);
    one.send(0, usize::MAX);
    let mut two = Pair::new(&a, &b);
    while b.space("main").unwrap().status().unwrap().staged < 3 {
        assert!(two.send(1, usize::MAX) + two.send(0, 1) > 0);
    }
    drop(two);
    // The first sends all from the beginning, and is cut after an event.
    while one.sides[0].report().items_received < 1 {
        assert!(one.send(1, 1) + one.send(0, usize::MAX) > 0);
    }
    drop(one);
    let staged = b.space("main").unwrap().status().unwrap().staged;
    assert_eq!(staged, 1, "what another had staged went when it took the place");
    let [report, _] = Pair::new(&a, &b).run();
    assert_eq!(report.items_sent, 5 - staged, "what is staged stays so");
    let sound = b.check().unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!(keys(&a), keys(&b));
}

#[test]
fn a_space_dropped_in_the_middle_takes_no_other_with_it() {
    let mut dropped = 0;
    for dropper in [0, 1] {
        for frames in 1..20 {
            let stores = [store(), store()];
            for (store, key) in stores.iter().zip(["apple", "banana"]) {
                for name in ["first", "second", "third"] {
                    (0..3).for_each(|n| {
                        let space = store.space(name).unwrap();
                        space.put(format!("{key} {n}"), "1", None).unwrap();
                    });
                }
            }
            let mut pair = Pair::new(&stores[0], &stores[1]);
            let mut sent = 0;
            while sent < frames {
                let moved = pair.send(0, 1) + pair.send(1, 1);
                sent += moved;
                if moved == 0 {
                    break;
                }
            }
            stores[dropper].drop_space("second").unwrap();
            for report in pair.run() {
                assert!(report.finished, "{report:?}");
                dropped += usize::from(report.space("second").unwrap().why == Some(Why::Dropped));
                for name in ["first", "third"] {
                    assert_eq!(report.space(name).unwrap().why, None, "{frames}: {report:?}");
                }
            }
        }
    }
    assert!(dropped >= 2, "{dropped}");
}

#[test]
fn more_spaces_than_have_room_wait_and_come_to_their_turn() {
    let (a, b) = (store(), store());
    for n in 0..2_500 {
        a.space(&format!("{n:04}")).unwrap().put("key", "1", None).unwrap();
    }
    meet(&a, &b);
    assert_eq!(b.spaces("").unwrap().len(), 2_500);
}

/// A holds the place at B with many chunks to come, each of so many bytes, and C waits.
fn one_that_waits(value_bytes: usize) -> (Store, Pair, Pair) {
    let (a, b, c) = (store(), store(), store());
    let value = vec![b'x'; value_bytes];
    let main = a.space("main").unwrap();
    (0..200).for_each(|n| main.put(format!("{n:03}"), &value, None).unwrap());
    ["date", "elder", "fig"].iter().for_each(|key| put(&c, key));
    let mut holds = Pair::new(&a, &b);
    holds.run_until_staged(&b);
    let mut waits = Pair::new(&c, &b);
    waits.go_on();
    (b, holds, waits)
}

#[test]
fn a_delta_that_only_trickles_loses_its_place() {
    let (b, mut holds, mut waits) = one_that_waits(1);
    // A chunk each five seconds: progress, but less than a delta must make.
    for _ in 0..11 {
        assert!(holds.send(1, usize::MAX) + holds.send(0, 1) > 0);
        waits.wait(5_000);
        assert!(!waits.sides[0].is_over());
    }
    assert!(holds.send(1, usize::MAX) + holds.send(0, 1) > 0);
    waits.wait(5_000);
    assert!(waits.run().iter().all(Report::converged));
    let staged = b.space("main").unwrap().status().unwrap().staged;
    assert_eq!((staged, keys(&b).len()), (0, 3), "what it had staged is gone");
    assert!(holds.run().iter().all(|r| r.spaces[0].why == Some(Why::Displaced)));
    assert!(b.check().unwrap().is_sound());
}

#[test]
fn a_delta_that_goes_on_keeps_its_place() {
    let (b, mut holds, mut waits) = one_that_waits(10_000);
    for _ in 0..100 {
        assert!(holds.send(1, usize::MAX) + holds.send(0, 1) > 0);
        waits.wait(5_000);
        assert!(!waits.sides[0].is_over());
    }
    assert!(holds.run().iter().all(Report::converged));
    waits.wait(1_000);
    assert!(waits.run().iter().all(Report::converged));
    assert_eq!(keys(&b).len(), 203);
}

#[test]
fn a_peer_stages_no_more_than_it_may_in_all_spaces_together() {
    let (a, c) = (store(), store());
    let mut options = store_options();
    options.staging_bytes = 3_500;
    let tables = MemoryStorage::new(ReplicaId::from_bytes([9; 16]));
    let b = Store::on(Box::new(tables.clone()), options).unwrap();
    let fill = |store: &Store, space: &str, count: usize| {
        let space = store.space(space).unwrap();
        (0..count).for_each(|n| space.put(format!("{n:03}"), "some value", None).unwrap());
    };
    let about = |store: &Store, space: &str| {
        let left = Session::connect(store, Scope::Space(space.to_owned()), [1; 16]).unwrap();
        Pair { sides: [left, Session::accept(&b, [2; 16])], now_ms: 0 }
    };
    let staged = |space: &str| b.space(space).unwrap().status().unwrap().staged;
    let cut = |store: &Store, space: &str, count: u64| {
        let mut pair = about(store, space);
        while staged(space) < count {
            assert!(pair.send(1, usize::MAX) + pair.send(0, 1) > 0);
        }
    };
    fill(&a, "first", 20);
    fill(&a, "second", 20);
    fill(&a, "third", 20);
    cut(&a, "first", 9);
    cut(&a, "second", 9);
    // There would be room for it alone.
    for report in about(&a, "third").run() {
        assert_eq!(report.space("third").unwrap().why, Some(Why::StagedTooMuch));
        assert!(report.finished);
    }
    assert_eq!(staged("third"), 0, "what it had staged is gone");
    // The others come to their end, which makes room.
    for space in ["first", "second", "third"] {
        assert!(about(&a, space).run().iter().all(Report::converged), "{space}");
    }
    // Another peer is another matter, and what is dropped is not counted any more.
    fill(&c, "fourth", 25);
    cut(&c, "fourth", 5);
    assert!(b.drop_space("fourth").unwrap());
    assert!(b.check().unwrap().is_sound());
    let counts = KeyRange { from: b"staged/", to: Some(b"staged0") };
    let mut left = 0;
    let rows = tables.read().unwrap();
    rows.scan(Table::Meta, counts, Order::Ascending, &mut |_, _| {
        left += 1;
        core::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn what_one_staged_and_anothers_vector_covers_goes_to_the_trash() {
    let (a, b, c) = (store(), store(), store());
    ["apple", "banana", "cherry"].iter().for_each(|key| put(&a, key));
    meet(&a, &c);
    for key in ["apple", "banana", "cherry"] {
        c.space("main").unwrap().delete(key).unwrap();
    }
    let mut cut = Pair::new(&a, &b);
    cut.run_until_staged(&b);
    drop(cut);
    let staged = b.space("main").unwrap().status().unwrap().staged;
    // C has seen them removed, and B, which never showed them, needs no record of it.
    let mut options = store_options();
    options.tuning.chunk_events = 100;
    let d = Store::in_memory_with(options);
    meet(&d, &c);
    meet(&d, &b);
    let mut trashed = 0;
    b.space("main")
        .unwrap()
        .trash()
        .for_each(0, |gone| {
            assert_eq!((gone.peer, gone.item.dot.replica), (d.replica(), a.replica()));
            trashed += 1;
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(trashed, staged);
    assert!(keys(&b).is_empty() && b.check().unwrap().is_sound());
}

/// A replica that met one of two stores which go by one name and tag, and made one event each.
fn met_one_of_two(value: &str) -> Store {
    let twin = Store::in_memory_with(Options::with(
        Arc::new(|| 1_000),
        Arc::new(|bytes: &mut [u8]| bytes.fill(0xaa)),
    ));
    twin.space("main").unwrap().put("key", value, None).unwrap();
    let peer = store();
    meet(&twin, &peer);
    peer
}

/// Whoever answers a comparison of contents with anything but items that both have seen is
/// refused, and nothing has changed.
#[test]
fn lies_about_events_with_two_contents_are_refused() {
    let (left, right) = (met_one_of_two("tea"), met_one_of_two("rice"));
    let before = right.space("main").unwrap().root().unwrap();
    let twin = ReplicaId::from_bytes([0xaa; 16]);
    let prefix = Prefix::key(b"key").unwrap().step(Kind::VALUE, b"").unwrap();
    let item = |past: VersionVector| Event::Item {
        place: prefix.place().as_bytes().to_vec(),
        past,
        payload: vec![0; 9],
    };
    let chunk = |dot: Dot, event: Event, last: Option<Last>| Chunk {
        events: vec![(dot, event)],
        upto: [(dot.replica, dot.seq)].into_iter().collect(),
        last,
    };
    let first = Dot::new(twin, Seq::FIRST);
    let unseen = Dot::new(twin, Seq::new(9));
    let own_future: VersionVector = [(right.replica(), Seq::new(9))].into_iter().collect();
    let lies = [
        chunk(unseen, item(VersionVector::new()), None),
        chunk(first, Event::Removal(Removal::Dots(vec![first])), None),
        chunk(first, item(own_future), None),
        chunk(first, item(VersionVector::new()), Some(Last::default())),
    ];
    for lie in lies {
        let mut pair = Pair::new(&left, &right);
        // Until the answerer shows what lives in a block.
        let shown = loop {
            pair.send(0, usize::MAX);
            let frame = pair.sides[1].poll_frame(0).unwrap().unwrap();
            let mut cursor = Cursor::new("frame", &frame);
            cursor.varint().unwrap();
            if matches!(Message::decode(&mut cursor), Ok(Message::Contents { .. })) {
                break pair.sides[1].report().frames_received;
            }
            pair.sides[0].handle_frame(0, &frame).unwrap();
        };
        let mut frame = Vec::new();
        frame.put_varint(shown);
        Message::Unlike { space: 0, chunk: Box::new(lie.spelled()) }.encode(&mut frame);
        let refused = pair.sides[1].handle_frame(0, &frame);
        assert!(matches!(refused, Err(crate::Error::Peer(_))), "{refused:?}");
        assert_eq!(right.space("main").unwrap().root().unwrap(), before);
        assert!(right.check().unwrap().is_sound());
    }
    meet(&left, &right);
    assert_eq!(right.space("main").unwrap().get("key").unwrap().len(), 2);
}
