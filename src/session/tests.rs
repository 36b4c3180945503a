//! What went wrong once, each told as it happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::message::Message;
use super::{Report, Scope, Session};
use crate::codec::Cursor;
use crate::space::{Options, Store};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A store whose vectors always travel against a base, and whose chunks hold one event.
fn store() -> Store {
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
    Store::in_memory_with(options)
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
}

impl Pair {
    fn new(left: &Store, right: &Store) -> Self {
        let left = Session::connect(left, Scope::All, [1; 16]).unwrap();
        Self { sides: [left, Session::accept(right, [2; 16])] }
    }

    /// Sends what one side has to say, at most so many frames; how many there were.
    fn send(&mut self, from: usize, most: usize) -> usize {
        for sent in 0..most {
            let Some(frame) = self.sides[from].poll_frame(0).unwrap() else { return sent };
            self.sides[1 - from].handle_frame(0, &frame).unwrap();
        }
        most
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

/// Two stores that are equal, of which only the second knows that it was proven.
fn half_proven() -> (Store, Store) {
    let (a, b) = (store(), store());
    put(&a, "apple");
    put(&b, "banana");
    let mut pair = Pair::new(&a, &b);
    loop {
        pair.send(0, usize::MAX);
        let frame = pair.sides[1].poll_frame(0).unwrap().unwrap();
        if matches!(Message::decode(&mut Cursor::new("frame", &frame)), Ok(Message::Proven { .. })) {
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
