//! A peer that names counts with nothing behind them gets no memory for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{main_of, meet, store};
use peak_alloc::PeakAlloc;
use rejoin::codec::{Put, limits};
use rejoin::session::{PROTOCOL_VERSION, Scope, Session};
use rejoin::{Error, PeerError, Store};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// More than what follows could ever be.
const ENDLESS: [u64; 4] = [1 << 16, 1 << 32, 1 << 60, u64::MAX];
/// What a session takes for itself, whatever comes.
const BASE_BYTES: usize = 64 * limits::KIB;
/// What a decoder may take for each byte that it was given.
const TIMES: usize = 4;

type Part<'a> = &'a dyn Fn(&mut Vec<u8>);

fn bytes(parts: &[Part<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    parts.iter().for_each(|part| part(&mut out));
    out
}

fn raw(bytes: &[u8]) -> impl Fn(&mut Vec<u8>) + '_ {
    |out| out.extend_from_slice(bytes)
}

fn number(n: u64) -> impl Fn(&mut Vec<u8>) {
    move |out| out.put_varint(n)
}

/// The start of each list in each message, up to where its count stands.
fn lists() -> Vec<(&'static str, Vec<u8>)> {
    let id = [9; 16];
    let hello = [b"\x01rejoin".as_slice(), &[PROTOCOL_VERSION as u8], &id, &id].concat();
    let standing = [[7; 16].as_slice(), &[8; 32], &[0]].concat();
    let origins = [[1].as_slice(), &id].concat();
    let group = bytes(&[&raw(&[8, 0]), &raw(&origins), &raw(&[1, 0]), &number(u64::MAX)]);
    let one = bytes(&[&raw(&group), &raw(&[1])]);
    let place = b"k\0\0\x05e\0\0\0";
    let item = bytes(&[&raw(&one), &raw(&[0, 0]), &number(place.len() as u64), &raw(place)]);
    let last = bytes(&[&raw(&[8, 0]), &raw(&origins), &raw(&[0, 1])]);
    let with = |start: &[u8], more: &[u8]| [start, more].concat();
    let mut lists = vec![
        ("hello: name of the space", with(&hello, &[1])),
        ("hello: prefix", with(&hello, &[2])),
        ("hello: extension", with(&hello, &[0, 0])),
        ("open: name", vec![3, 0]),
        ("open: vector", with(b"\x03\x02\x04main", &standing)),
        ("open: staged vector", with(&with(b"\x03\x02\x04main", &standing), &with(&[0, 1], &id))),
        ("answer: vector", with(&[4, 0], &standing)),
        ("vector", vec![7, 0]),
        ("chunk: origins", vec![8, 0]),
        ("chunk: groups", with(&[8, 0], &origins)),
        ("chunk: events", group.clone()),
        ("chunk: item's shared bytes", with(&one, &[0])),
        ("chunk: item's suffix", with(&one, &[0, 0])),
        ("chunk: item's past", item.clone()),
        ("chunk: item's payload", with(&item, &[0])),
        ("chunk: removal's prefix", with(&one, &[1])),
        ("chunk: removal's past", with(&one, b"\x01\x03k\0\0")),
        ("chunk: run", with(&one, &[2])),
        ("chunk: removed dots", with(&one, &[3])),
        ("chunk: vector", last.clone()),
        ("chunk: claims", with(&last, &[0])),
        ("nodes", vec![13, 0]),
        ("nodes: children", vec![13, 0, 1, 0]),
        ("nodes: blocks", vec![13, 0, 0]),
        ("refuse", vec![15]),
        ("spaces", vec![16, 0]),
        ("spaces: first name", vec![16, 0, 1]),
        ("spaces: name at the end", vec![16, 0, 1, 0]),
        ("spaces: list", vec![16, 0, 1, 0, 0, 1]),
        ("spaces: listed name", vec![16, 0, 1, 0, 0, 1, 1]),
        ("want histories", vec![18, 0, 0]),
        ("histories", vec![19, 0]),
        ("histories: stretches", with(&[19, 0], &with(&origins, &[1]))),
        ("contents", vec![20, 0]),
        ("contents: dots", with(&[20, 0], &with(&origins, &[0]))),
    ];
    // What is unlike travels as a chunk, whose lists are the same.
    let is_chunk = |(_, start): &&(&'static str, Vec<u8>)| start[0] == 8;
    let unlike: Vec<_> = lists
        .iter()
        .filter(is_chunk)
        .map(|(what, start)| (*what, with(&[21], &start[1..])))
        .collect();
    lists.extend(unlike);
    lists
}

/// A session of a store with data, as far as the peer's hello and opening.
fn session(store: &Store, opening: Option<&[u8]>) -> Session {
    let mut session = Session::accept(store, [2; 16]);
    if let Some(opening) = opening {
        session.handle_frame(0, opening).unwrap();
        while session.poll_frame(0).unwrap().is_some() {}
    }
    session
}

/// Takes messages in a frame of the number that is due; how much memory that took at its peak.
fn take(session: &mut Session, messages: &[u8]) -> (Result<(), Error>, usize) {
    let frame = bytes(&[&number(session.report().frames_received), &raw(messages)]);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let taken = session.handle_frame(0, &frame);
    (taken, MEMORY.peak_usage().saturating_sub(before))
}

/// One test, since what is measured is that of the whole process.
#[test]
fn counts_with_nothing_behind_them_take_no_memory() {
    let victim = store(1);
    for n in 0..100_u32 {
        main_of(&victim).set("cart").add(&n).unwrap();
    }
    let peer = store(9);
    main_of(&peer).counter("n").add(1).unwrap();
    let opening =
        Session::connect(&peer, Scope::All, [3; 16]).unwrap().poll_frame(0).unwrap().unwrap();

    for (what, start) in lists() {
        let starts: &[Option<&[u8]>] =
            if start[0] == 1 { &[None] } else { &[Some(opening.as_slice())] };
        for opening in starts {
            for endless in ENDLESS {
                for rest in [0, 1, 40, 4096] {
                    let rest = vec![1; rest];
                    let frame = bytes(&[&raw(&start), &number(endless), &raw(&rest)]);
                    let mut session = session(&victim, *opening);
                    let (taken, peak) = take(&mut session, &frame);
                    assert!(taken.is_err(), "{what}: {endless} of them");
                    let most = BASE_BYTES + TIMES * frame.len();
                    assert!(
                        peak <= most,
                        "{what}, {endless}: {peak} bytes for {} of a frame",
                        frame.len()
                    );
                }
            }
        }
    }

    // As many as there are bytes for: a small multiple of them.
    for (what, start) in lists() {
        for count in [1_000_u64, 10_000, 50_000] {
            for fill in [0, 1, 9, 0xff] {
                let rest = vec![fill; 60_000];
                let frame = bytes(&[&raw(&start), &number(count), &raw(&rest)]);
                let opening = (start[0] != 1).then_some(opening.as_slice());
                let mut session = session(&victim, opening);
                let (taken, peak) = take(&mut session, &frame);
                assert!(taken.is_err(), "{what}: {count} of {fill}");
                let most = BASE_BYTES + TIMES * frame.len();
                assert!(
                    peak <= most,
                    "{what}, {count} of {fill}: {peak} bytes for {}",
                    frame.len()
                );
            }
        }
    }

    // A run is the one list that is longer than its bytes: a chunk's worth of records.
    let id = [9; 16];
    let start = [[8, 0, 1].as_slice(), &id, &[1, 0]].concat();
    let most = limits::CHUNK_EVENTS as u64;
    let run = |count: u64| {
        bytes(&[
            &raw(&start),
            &number(2 * most),
            &number(count),
            &raw(&[2]),
            &number(count),
            &raw(&[0, 1, 0]),
        ])
    };
    let mut accepting = session(&victim, Some(&opening));
    let (taken, peak) = take(&mut accepting, &run(most));
    assert!(taken.is_ok(), "{taken:?}");
    assert!(peak < 64 * limits::MIB, "{peak} bytes for a run");
    let mut accepting = session(&victim, Some(&opening));
    let (taken, peak) = take(&mut accepting, &run(most + 1));
    assert!(taken.is_err() && peak < BASE_BYTES, "{taken:?}, {peak} bytes");

    // Frames that are too long are refused before they are looked at.
    for (opening, limit) in
        [(None, limits::FIRST_FRAME_BYTES), (Some(opening.as_slice()), limits::FRAME_BYTES)]
    {
        let mut session = session(&victim, opening);
        assert_eq!(session.frame_limit(), limit);
        let (taken, peak) = take(&mut session, &vec![1; limit]); // and its number
        let too_large = Error::from(PeerError::FrameTooLarge { limit, found: limit as u64 + 1 });
        assert_eq!(taken.unwrap_err().to_string(), too_large.to_string());
        assert!(peak < BASE_BYTES, "{peak} bytes");
    }

    // None of it has left anything in the way of an honest peer.
    let honest = store(7);
    main_of(&honest).counter("n").add(1).unwrap();
    meet(&honest, &victim);
    pair::assert_sound(&victim);
}
