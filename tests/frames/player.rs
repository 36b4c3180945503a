//! A player of one side of a session whose frames are any bytes at all; shared by the tests
//! and the fuzz target.
//!
//! The first byte says whether the store with some data that they are played against accepts the
//! session, where it is even, or connects. The others are split into frames: two bytes of length,
//! lowest first, then so many, or what is left. Each is given the number that is due. Whatever they
//! are:
//!
//! - the store is sound afterwards, rows against rows and digest against rows;
//! - unless the frames were a delta to its end, or claims, it is as it was;
//! - and then an honest peer becomes equal with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::causal::VersionVector;
use rejoin::codec::Put;
use rejoin::digest::RootHash;
use rejoin::session::{Report, Scope, Session};
use rejoin::{Options, Space, Store};

/// The nonces of the side that connects, and of the one that accepts.
const NONCES: [[u8; 16]; 2] = [[1; 16], [2; 16]];
/// Which side of a session the store is that is played against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Accepts = 0,
    Connects = 1,
}

/// Longer input tells nothing new.
const INPUT_BYTES: usize = 1 << 20;

/// A store in memory that is always the same one: its name, its times, its nonces.
pub(crate) fn store(name: u8) -> Store {
    Store::in_memory_with(options(name))
}

/// The options of that store.
pub(crate) fn options(name: u8) -> Options {
    let drawn = AtomicU64::new(0);
    let entropy = move |bytes: &mut [u8]| {
        let n = drawn.fetch_add(1, Ordering::Relaxed) as u8;
        bytes.fill(name.wrapping_add(n.wrapping_mul(16)));
    };
    Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(entropy))
}

/// The space that most of it is about.
pub(crate) fn main_of(store: &Store) -> Space {
    store.space("main").expect("memory does not fail")
}

/// Another, of which there is less.
pub(crate) fn list_of(store: &Store) -> Space {
    store.space("list").expect("memory does not fail")
}

/// The store that is played against: some of each type, and some removed.
pub(crate) fn victim() -> Store {
    let store = store(1);
    fill(&main_of(&store)).expect("memory does not fail");
    list_of(&store).put("first", "one", None).expect("memory does not fail");
    store
}

/// Some of each type, in few commits: fuzzers make it anew each time.
pub(crate) fn fill(space: &Space) -> Result<(), rejoin::Error> {
    space.write(|tx| {
        let cart = tx.set::<u32>("cart");
        (0..40_u32).try_for_each(|n| cart.add(&n))?;
        tx.register("title").set(&"Groceries")?;
        tx.mv_register("note").set(&"ring")?;
        tx.put("raw", b"\0\x01\xff", None)
    })?;
    space.write(|tx| {
        let cart = tx.set::<u32>("cart");
        (0..20_u32).try_for_each(|n| cart.remove(&(2 * n)).map(drop))?;
        tx.counter("guests").add(4)?;
        tx.flag("open").enable()?;
        tx.dw_flag("shut").disable()?;
        tx.rw_set::<u32>("banned").remove(&7).map(drop)?;
        tx.map::<String>("prices").register(&"milk".to_owned())?.set(&120_u32)?;
        tx.map::<String>("prices").counter(&"egg".to_owned())?.add(-3)?;
        tx.delete("raw").map(drop)
    })
}

/// A peer of the victim's that has written on its own.
pub(crate) fn honest(name: u8) -> Store {
    let store = store(name);
    let space = main_of(&store);
    let write = || -> Result<(), rejoin::Error> {
        space.set::<u32>("cart").add(&100)?;
        space.set::<u32>("cart").add(&101)?;
        space.set::<u32>("cart").remove(&100)?;
        space.register("title").set(&"Party")?;
        space.map::<String>("prices").register(&"milk".to_owned())?.set(&130_u32)
    };
    write().expect("memory does not fail");
    list_of(&store).put("second", "two", None).expect("memory does not fail");
    store
}

/// A replica that has seen all of a store's and lacks some of it without a record.
pub(crate) fn forgetful(name: u8, of: &Store, removes: &[u32]) -> Result<Store, rejoin::Error> {
    let mut options = options(name);
    options.removal_log_bytes = 0;
    let store = Store::in_memory_with(options);
    meet(&store, of)?;
    let cart = main_of(&store).set::<u32>("cart");
    removes.iter().try_for_each(|n| cart.remove(n).map(drop))?;
    Ok(store)
}

/// A peer that has written nothing, under a name that these bytes cannot foresee.
fn newcomer(bytes: &[u8]) -> Store {
    let name = *blake3::hash(bytes).as_bytes();
    let entropy = move |bytes: &mut [u8]| {
        bytes.iter_mut().zip(name.iter().cycle()).for_each(|(b, n)| *b = *n);
    };
    Store::in_memory_with(Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(entropy)))
}

/// Which side the store is, and the frames in these bytes.
pub(crate) fn split(bytes: &[u8]) -> (Side, Vec<&[u8]>) {
    let (side, mut bytes) = match bytes {
        [] => (Side::Accepts, bytes),
        [side, rest @ ..] if side % 2 == 0 => (Side::Accepts, rest),
        [_, rest @ ..] => (Side::Connects, rest),
    };
    let mut frames = Vec::new();
    while let [low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (frame, after) = rest.split_at(length);
        frames.push(frame);
        bytes = after;
    }
    (side, frames)
}

/// The bytes of these frames, for a store that is this side.
pub(crate) fn join(side: Side, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![side as u8];
    for frame in frames {
        let length = u16::try_from(frame.len()).expect("frames of tests are short");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(frame);
    }
    bytes
}

/// Plays these bytes against a store. Panics where it is not as it must be afterwards.
pub(crate) fn play(bytes: &[u8]) -> Report {
    let bytes = bytes.get(..INPUT_BYTES).unwrap_or(bytes);
    let store = victim();
    let before = standing(&store).expect("memory does not fail");

    let (side, frames) = split(bytes);
    let mut session = match side {
        Side::Accepts => Session::accept(&store, NONCES[1]),
        Side::Connects => {
            Session::connect(&store, Scope::All, NONCES[0]).expect("memory does not fail")
        }
    };
    let mut now_ms = 0;
    while session.poll_frame(now_ms).is_ok_and(|frame| frame.is_some()) {}
    for frame in frames {
        now_ms += 1000;
        let mut numbered = Vec::with_capacity(frame.len() + 10);
        numbered.put_varint(session.report().frames_received);
        numbered.extend_from_slice(frame);
        let taken = session.handle_frame(now_ms, &numbered);
        while session.poll_frame(now_ms).is_ok_and(|frame| frame.is_some()) {}
        if taken.is_err() || session.is_over() {
            break;
        }
        if session.poll_timeout().is_some_and(|at| at <= now_ms) {
            let _ = session.handle_timeout(now_ms);
        }
    }
    session.close();
    let report = session.report().clone();
    drop(session);

    let found = store.check().expect("memory does not fail");
    assert!(found.is_sound(), "{found:?}");
    let after = standing(&store).expect("memory does not fail");
    let vectors = |of: &Standings| of.each_ref().map(|(vector, ..)| vector.clone());
    if vectors(&after) == vectors(&before) {
        if report.repaired == 0 {
            assert_eq!(after, before, "changed, although nothing was committed: {report:?}");
        }
        // What was staged must not be in the way of others.
        let peer = honest(9);
        let met = meet(&peer, &store);
        let met = met.expect("an honest peer is not refused");
        assert!(met.converged(), "{met:?}");
        assert_eq!(standing(&peer).ok(), standing(&store).ok());
    } else {
        // A delta came to its end, or a name gave way. Whoever wrote it may have lied about
        // anybody's events, so an honest peer may find itself refused, or two contents under one
        // dot; but nothing breaks, and one who was not lied about becomes equal.
        let _ = meet(&honest(9), &store);
        let newcomer = newcomer(bytes);
        match meet(&newcomer, &store) {
            Ok(met) => {
                assert!(met.converged(), "{met:?}");
                assert_eq!(standing(&newcomer).ok(), standing(&store).ok());
            }
            Err(error) => panic!("one who wrote nothing is refused: {error}"),
        }
    }
    let found = store.check().expect("memory does not fail");
    assert!(found.is_sound(), "{found:?}");
    report
}

/// Vector, root and items of each space.
type Standings = [(VersionVector, RootHash, u64); 2];

fn standing(store: &Store) -> Result<Standings, rejoin::Error> {
    let of = |space: Space| -> Result<_, rejoin::Error> {
        Ok((space.vector()?, space.root()?, space.status()?.items))
    };
    Ok([of(main_of(store))?, of(list_of(store))?])
}

/// One session between two stores; what the side that connects says of it.
pub(crate) fn meet(a: &Store, b: &Store) -> Result<Report, rejoin::Error> {
    Ok(record(a, b)?.0)
}

/// The frames of one side, without their numbers.
type Frames = Vec<Vec<u8>>;

/// One session, and what each side sent in it.
pub(crate) fn record(a: &Store, b: &Store) -> Result<(Report, [Frames; 2]), rejoin::Error> {
    let [one, other] = NONCES;
    let mut left = Session::connect(a, Scope::All, one)?;
    let mut right = Session::accept(b, other);
    let (mut now_ms, mut sent) = (0, [Vec::new(), Vec::new()]);
    let bare = |frame: &[u8]| {
        let number = frame.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        frame.get(number..).unwrap_or_default().to_vec()
    };
    while !(left.is_over() && right.is_over()) {
        let mut quiet = true;
        while let Some(frame) = left.poll_frame(now_ms)? {
            sent[0].push(bare(&frame));
            right.handle_frame(now_ms, &frame)?;
            quiet = false;
        }
        while let Some(frame) = right.poll_frame(now_ms)? {
            sent[1].push(bare(&frame));
            left.handle_frame(now_ms, &frame)?;
            quiet = false;
        }
        if quiet && !(left.is_over() && right.is_over()) {
            let due = [left.poll_timeout(), right.poll_timeout()].into_iter().flatten().min();
            let due = due.unwrap_or_else(|| {
                panic!("both wait for each other for ever: {left:?} {right:?}");
            });
            now_ms = due.max(now_ms);
            left.handle_timeout(now_ms)?;
            right.handle_timeout(now_ms)?;
        }
    }
    Ok((left.report().clone(), sent))
}
