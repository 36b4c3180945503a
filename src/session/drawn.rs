//! The sequences drawn in the guide are what travels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::message::Message;
use super::{Scope, Session};
use crate::codec::Cursor;
use crate::space::{Options, Space, Store};

/// Who sent a frame, the side that connected or the other, and the messages in it.
type Sent = (bool, Vec<&'static str>);

const fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello { .. } => "hello",
        Message::AllOpened => "opened",
        Message::Open { .. } => "open",
        Message::Answer { .. } => "answer",
        Message::Same { .. } => "same",
        Message::WantVector { .. } => "want vector",
        Message::Vector { .. } => "vector",
        Message::Chunk { chunk, .. } if chunk.last.is_none() => "chunk",
        Message::Chunk { .. } => "last chunk",
        Message::Taken { .. } => "taken",
        Message::Proof { .. } => "proof",
        Message::Proven { .. } => "proven",
        Message::Again { .. } => "again",
        Message::Nodes { .. } => "nodes",
        Message::GiveUp { .. } => "give up",
        Message::Refuse { .. } => "refuse",
        Message::Spaces { .. } => "spaces",
        Message::TakesNothing => "takes nothing",
        Message::WantHistories { .. } => "want histories",
        Message::Histories { .. } => "histories",
        Message::Contents { .. } => "contents",
        Message::Unlike { .. } => "unlike",
    }
}

fn messages(frame: &[u8]) -> Vec<&'static str> {
    let (mut cursor, mut names) = (Cursor::new("frame", frame), Vec::new());
    cursor.varint().unwrap();
    while cursor.remaining() > 0 {
        let name = name(&Message::decode(&mut cursor).unwrap());
        // However many chunks were taken meanwhile.
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names
}

/// A session, cut after so many frames: what was sent.
fn session(left: &Store, right: &Store, most: usize) -> Vec<Sent> {
    let mut sides =
        [Session::connect(left, Scope::All, [1; 16]).unwrap(), Session::accept(right, [2; 16])];
    let mut sent = Vec::new();
    let mut quiet = 0;
    for from in [0, 1].into_iter().cycle() {
        quiet += 1;
        while let Some(frame) = sides[from].poll_frame(0).unwrap() {
            if sent.len() == most {
                sides.iter_mut().for_each(Session::close);
                return sent;
            }
            sent.push((from == 0, messages(&frame)));
            sides[1 - from].handle_frame(0, &frame).unwrap();
            quiet = 0;
        }
        if quiet == 2 {
            break;
        }
    }
    assert!(sides.iter().all(|side| side.report().converged()), "{sides:?}");
    sent
}

/// Always the same ids, and a log of removals that may forget.
fn store(id: u8, removal_log_bytes: u64) -> Store {
    let drawn = AtomicU8::new(id);
    let entropy = move |bytes: &mut [u8]| bytes.fill(drawn.fetch_add(16, Ordering::Relaxed));
    let mut options = Options::with(Arc::new(|| 1), Arc::new(entropy));
    options.removal_log_bytes = removal_log_bytes;
    Store::in_memory_with(options)
}

/// The store of an id, before it had written anything, opened another time.
fn opened_anew(id: u8) -> Store {
    let drawn = AtomicU8::new(id);
    let entropy = move |bytes: &mut [u8]| bytes.fill(drawn.swap(200, Ordering::Relaxed));
    Store::in_memory_with(Options::with(Arc::new(|| 1), Arc::new(entropy)))
}

fn main_of(store: &Store) -> Space {
    store.space("main").unwrap()
}

fn fill(store: &Store, elements: u32) {
    main_of(store).write(|tx| (0..elements).try_for_each(|n| tx.set("cart").add(&n))).unwrap();
}

fn pair() -> [Store; 2] {
    let stores = [store(1, 0), store(2, 0)];
    fill(&stores[0], 10_000);
    session(&stores[0], &stores[1], usize::MAX);
    stores
}

/// What the guide draws beneath a heading: the messages on the lines with an arrow.
fn drawn(heading: &str) -> Vec<Vec<Sent>> {
    let guide = include_str!("../guide/sync.rs");
    let (_, from) = guide.split_once(&format!("//! ## {heading}\n")).unwrap();
    let section = from.split("//! #").next().unwrap();
    let blocks = section.split("//! ```text\n").skip(1).map(|block| {
        let lines = block.split("//! ```\n").next().unwrap().lines();
        let arrows = lines.filter(|line| line.contains(['▶', '◀']));
        arrows.map(|line| {
            let words = line.trim_start_matches("//!").trim_matches([' ', '─', '▶', '◀']);
            (line.contains('▶'), words.split(", ").collect())
        })
    });
    blocks.map(Iterator::collect).collect()
}

#[test]
fn the_sequences_drawn_in_the_guide_are_what_travels() {
    let whole = |left: &Store, right: &Store| vec![session(left, right, usize::MAX)];
    let [a, b] = pair();
    assert_eq!(drawn("Equal"), whole(&a, &b));
    main_of(&a).counter("n").add(1).unwrap();
    main_of(&b).register("title").set(&1).unwrap();
    assert_eq!(drawn("One change on each side"), whole(&a, &b));
    assert_eq!(drawn("A new replica"), whole(&store(3, 0), &a));
    for element in [5_u32, 4_000, 9_990] {
        main_of(&a).set("cart").remove(&element).unwrap();
    }
    assert_eq!(drawn("A removal that the log forgot"), whole(&a, &b));

    let [left, right] = [store(6, 0), store(7, 0)];
    for n in 0..40 {
        let name = format!("user/{n}");
        for store in [&left, &right] {
            store.space(&name).unwrap().counter("n").add(1).unwrap();
        }
    }
    session(&left, &right, usize::MAX);
    assert_eq!(drawn("Many spaces, of a pair that met"), whole(&left, &right));
    let far = store(8, 0);
    session(&far, &right, usize::MAX);
    far.space("user/7").unwrap().counter("n").add(1).unwrap();
    assert_eq!(drawn("Many spaces, of a pair that did not"), whole(&left, &far));

    // The same name and an earlier state, but another opening.
    let (mut back, met) = (store(9, 0), store(10, 0));
    main_of(&back).counter("n").add(1).unwrap();
    session(&back, &met, usize::MAX);
    back = opened_anew(9);
    main_of(&back).counter("n").add(2).unwrap();
    assert_eq!(drawn("Two histories under one name"), whole(&back, &met));

    // Two stores that go by one name and one tag.
    let (left, right) = (store(12, 0), store(13, 0));
    for (n, met) in [&left, &right].into_iter().enumerate() {
        let twin = store(11, 0);
        main_of(&twin).register("drink").set(&n).unwrap();
        session(&twin, met, usize::MAX);
    }
    assert_eq!(drawn("One event with two contents"), whole(&left, &right));

    let (new, full) = (store(4, 0), store(5, 0));
    for n in 0..7_u8 {
        main_of(&full).put([n], vec![n; 100 << 10], None).unwrap();
    }
    let [cut, gone_on] = [4, usize::MAX].map(|frames| session(&new, &full, frames));
    assert_eq!(drawn("Cut, and gone on with"), [cut, gone_on]);
}
