//! Golden bytes of every message, and what a session makes of damaged ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::message::{Message, Standing};
use super::nodes::{Child, Opened};
use super::ranges::Catalog;
use super::report::Why;
use super::roll::Call;
use super::scope::Scope;
use super::session::Session;
use crate::causal::{Seq, Tag, TaggedVector};
use crate::codec::{Cursor, DecodeError};
use crate::digest::{ItemHash, Node, RootHash};
use crate::space::tests::{replica, sample_chunks, vector};
use crate::space::vectors::{Vector, check, damaged};
use crate::space::{BlockContents, History, Options, Store, VectorHash};

fn tagged(entries: &[(u8, u64, u8)]) -> TaggedVector {
    let entry =
        |(n, seq, tag): &(u8, u64, u8)| (replica(*n), Seq::new(*seq), Tag::from_bytes([*tag; 8]));
    TaggedVector::from_sorted(entries.iter().map(entry).collect()).unwrap()
}

fn messages() -> Vec<(String, Message)> {
    let root = RootHash::from_bytes([0xee; 32]);
    let first = Standing {
        hash: VectorHash([0xaa; 16]),
        root,
        base: None,
        changes: tagged(&[(1, 3, 1), (2, 300, 2)]),
        staged: None,
    };
    let second = Standing {
        base: Some(VectorHash([0xbb; 16])),
        staged: Some((replica(9), vector(&[(9, 40)]))),
        changes: tagged(&[]),
        ..first.clone()
    };
    let inner = |n, level, index| Node::Inner { origin: replica(n), level, index };
    let opened = vec![
        Opened { node: Node::Root, children: vec![(Child::At(1), [1; 8]), (Child::At(2), [2; 8])] },
        Opened { node: Node::Bucket(1), children: vec![(Child::Origin(replica(1)), [3; 8])] },
        Opened {
            node: inner(1, 2, 3),
            children: vec![(Child::At(0), [4; 8]), (Child::At(63), [5; 8])],
        },
        Opened { node: inner(2, 1, 0), children: vec![] },
    ];
    let call = |scope, call| Message::Hello {
        replica: replica(1),
        opening: Tag::from_bytes([0x66; 8]),
        nonce: [0x77; 16],
        scope,
        call,
    };
    let hello = |scope| call(scope, Call::Each);
    let name = |n| (format!("user/{n:04}"), [n as u8; 16]);
    let few = Catalog::new((0..3).map(name).collect()).whole(&[1; 32]);
    let many = Catalog::new((0..80).map(name).collect()).whole(&[1; 32]);
    let stretch = |seq, n| (Seq::new(seq), Tag::from_bytes([n; 8]));
    let first_history = History {
        origin: replica(1),
        top: Seq::new(300),
        stretches: vec![stretch(1, 1), stretch(200, 2)],
    };
    let second_history = History { origin: replica(2), top: Seq::ZERO, stretches: vec![] };
    let contents = |n, block, lows: &[u8]| BlockContents {
        origin: replica(n),
        block,
        hashes: lows.iter().map(|low| (*low, ItemHash::from_bytes([*low; 16]))).collect(),
    };
    let blocks = vec![contents(1, 0, &[1, 255]), contents(1, 300, &[]), contents(2, 0, &[0])];
    let (_, unlike) = sample_chunks().swap_remove(0);
    let mut all = vec![
        ("hello", hello(Scope::All)),
        ("hello_for_one_space", hello(Scope::Space("main".to_owned()))),
        ("hello_for_a_prefix", hello(Scope::Prefix("täglich/".to_owned()))),
        ("opened", Message::AllOpened),
        ("open", Message::Open { space: 0, name: "main".to_owned(), standing: Box::new(first) }),
        ("answer_with_base_and_staging", Message::Answer { space: 2, standing: Box::new(second) }),
        ("same", Message::Same { space: 300 }),
        ("want_vector", Message::WantVector { space: 0 }),
        ("vector", Message::Vector { space: 1, vector: tagged(&[(1, 3, 1), (2, 300, 2)]) }),
        ("taken", Message::Taken { space: 0, chunks: 4 }),
        ("proof", Message::Proof { space: 0, root }),
        ("proven", Message::Proven { space: 0 }),
        ("again", Message::Again { space: 0 }),
        (
            "nodes",
            Message::Nodes {
                space: 0,
                opened,
                blocks: vec![(replica(1), 0), (replica(1), 300), (replica(3), 1)],
            },
        ),
        ("nodes_of_nothing", Message::Nodes { space: 0, opened: vec![], blocks: vec![] }),
        ("give_up_unfinished", Message::GiveUp { space: 0, why: Why::Unfinished }),
        ("give_up_displaced", Message::GiveUp { space: 0, why: Why::Displaced }),
        ("give_up_diverged", Message::GiveUp { space: 0, why: Why::Diverged }),
        ("give_up_dropped", Message::GiveUp { space: 0, why: Why::Dropped }),
        ("give_up_unknown", Message::GiveUp { space: 0, why: Why::Unknown }),
        ("hello_after_a_meeting", call(Scope::All, Call::Since([0x33; 16]))),
        ("hello_to_compare", call(Scope::Prefix("user/".to_owned()), Call::Compare)),
        ("spaces_listed", Message::Spaces { last: true, ranges: few }),
        ("spaces_hashed", Message::Spaces { last: false, ranges: many }),
        ("spaces_equal", Message::Spaces { last: true, ranges: vec![] }),
        ("takes_nothing", Message::TakesNothing),
        ("give_up_receive_only", Message::GiveUp { space: 0, why: Why::ReceiveOnly }),
        ("give_up_held", Message::GiveUp { space: 0, why: Why::Held }),
        ("give_up_staged_too_much", Message::GiveUp { space: 0, why: Why::StagedTooMuch }),
        ("give_up_renamed", Message::GiveUp { space: 0, why: Why::Renamed }),
        ("give_up_forked", Message::GiveUp { space: 0, why: Why::Forked }),
        (
            "want_histories",
            Message::WantHistories { space: 0, back: true, origins: vec![replica(1), replica(2)] },
        ),
        (
            "histories",
            Message::Histories { space: 2, histories: vec![first_history, second_history] },
        ),
        ("contents", Message::Contents { space: 2, blocks }),
        ("unlike", Message::Unlike { space: 2, chunk: Box::new(unlike.spelled()) }),
        ("refuse", Message::Refuse { reason: "no ✗".to_owned() }),
    ]
    .into_iter()
    .map(|(name, message)| (name.to_owned(), message))
    .collect::<Vec<_>>();
    all.extend(sample_chunks().into_iter().map(|(name, chunk)| {
        (name.to_owned(), Message::Chunk { space: 0, chunk: Box::new(chunk.spelled()) })
    }));
    all
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Result<(Message, usize), DecodeError> {
    let mut cursor = Cursor::new("frame", bytes);
    let message = Message::decode(&mut cursor)?;
    Ok((message, bytes.len() - cursor.remaining()))
}

/// What may be said in more than one way, for versions to come: bytes behind the
/// hello, and reasons of which only a newer version knows.
fn leaves_something_out(message: &Message) -> bool {
    matches!(message, Message::Hello { .. } | Message::GiveUp { why: Why::Unknown, .. })
}

#[test]
fn vectors_of_messages() {
    let made = messages();
    let tags: std::collections::BTreeSet<u8> = made.iter().map(|(_, m)| encoded(m)[0]).collect();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
    let vectors: Vec<Vector> = made
        .iter()
        .map(|(name, message)| (name.clone(), format!("{message:?}"), encoded(message)))
        .collect();
    check(
        "messages.txt",
        "Messages, of which frames are made: see the page on the format.",
        &vectors,
    );
    for ((name, message), (_, _, bytes)) in made.iter().zip(&vectors) {
        assert_eq!(decoded(bytes).as_ref(), Ok(&(message.clone(), bytes.len())), "{name}");
    }
}

#[test]
fn damaged_messages_are_refused_or_the_one_spelling_of_something() {
    for (name, message) in messages() {
        let bytes = encoded(&message);
        for damaged in damaged(&bytes) {
            let Ok((other, taken)) = decoded(&damaged) else { continue };
            assert!(damaged.len() == bytes.len(), "{name}: a part of a message is a message");
            if !leaves_something_out(&other) {
                assert_eq!(encoded(&other), damaged[..taken], "{name}: {other:?}");
            }
        }
    }
}

#[test]
fn any_bytes_at_all_are_refused_or_the_one_spelling_of_something() {
    fn property(tag: u8, rest: Vec<u8>) -> bool {
        let bytes = [&[1 + tag % 15], rest.as_slice()].concat();
        match decoded(&bytes) {
            Ok((message, taken)) if !leaves_something_out(&message) => {
                encoded(&message) == bytes[..taken]
            }
            _ => true,
        }
    }
    quickcheck::QuickCheck::new().tests(20_000).quickcheck(property as fn(u8, Vec<u8>) -> bool);
}

fn store(name: u8) -> Store {
    let drawn = AtomicU64::new(0);
    let entropy = move |bytes: &mut [u8]| {
        bytes.fill(name.wrapping_add(drawn.fetch_add(1, Ordering::Relaxed) as u8 * 16));
    };
    Store::in_memory_with(Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(entropy)))
}

/// A store that holds what the golden messages speak of, or close to it.
fn victim() -> Store {
    let store = store(1);
    let space = store.space("main").unwrap();
    for n in 0..4_u8 {
        space.set("cart").add(&n).unwrap();
    }
    space.set("cart").remove(&2_u8).unwrap();
    space.counter("n").add(3).unwrap();
    store
}

/// A frame of each golden message, damaged in each way, at each point of a session at
/// which frames are taken differently: the session goes on or refuses it, and what is
/// neither proven nor committed has left no trace.
#[test]
fn a_session_takes_damaged_frames_or_refuses_them() {
    let (scope, call) = (Scope::All, Call::Each);
    let hello =
        Message::Hello { replica: replica(9), opening: Tag::UNKNOWN, nonce: [3; 16], scope, call };
    let peer = store(9);
    peer.space("main").unwrap().set("cart").add(&7_u8).unwrap();
    let mut connecting = Session::connect(&peer, Scope::All, [3; 16]).unwrap();
    let opening = connecting.poll_frame(0).unwrap().unwrap().split_off(1);
    let numbered = |number: u8, messages: &[u8]| [&[number], messages].concat();
    let mut store = victim();
    let mut before = store.space("main").unwrap().standing().unwrap();
    let mut taken = 0;
    for (name, message) in messages() {
        // Hashes and the like take much of the bytes; some of their bits stand for all.
        let bytes = encoded(&message);
        for (count, frame) in damaged(&bytes).chain([bytes.clone()]).enumerate() {
            for start in [None, Some(encoded(&hello)), Some(opening.clone())] {
                if start.is_some() && count % 3 != 0 && count < bytes.len() * 9 {
                    continue;
                }
                let mut session = Session::accept(&store, [2; 16]);
                if let Some(start) = &start {
                    session.handle_frame(0, &numbered(0, start)).unwrap();
                    while session.poll_frame(0).unwrap().is_some() {}
                }
                let due = session.report().frames_received as u8;
                let handled = session.handle_frame(0, &numbered(due, &frame));
                taken += usize::from(handled.is_ok());
                while session.poll_frame(0).is_ok_and(|frame| frame.is_some()) {}
                assert!(handled.is_ok() || session.is_over(), "{name}");
                session.close();
                drop(session);
                let after = store.space("main").unwrap().standing().unwrap();
                if after != before {
                    assert!(matches!(message, Message::Chunk { .. }), "{name} changed the store");
                    assert!(handled.is_ok(), "{name}: refused, and something stays: {handled:?}");
                    assert!(store.check().unwrap().is_sound(), "{name}");
                    store = victim();
                    before = store.space("main").unwrap().standing().unwrap();
                }
            }
        }
        let found = store.check().unwrap();
        assert!(found.is_sound(), "{name}: {found:?}");
    }
    assert!(taken > 100, "only {taken} frames were taken: the test does not reach far");
}
