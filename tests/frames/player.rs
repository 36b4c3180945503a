//! A player of one side of a session whose frames are any bytes at all; shared by the tests
//! and the fuzz target.
//!
//! Bytes are split into frames: two bytes of length, lowest first, then so many, or what is
//! left. Each is given the number that is due. They are fed to a session that a store with some data accepts. Whatever they are:
//!
//! - the store is sound afterwards, rows against rows and digest against rows;
//! - unless the frames were a delta to its end, or claims, it is as it was;
//! - and then an honest peer becomes equal with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::codec::Put;
use rejoin::session::{Report, Scope, Session};
use rejoin::{Options, Space, Store};

/// The nonce of the side that accepts.
pub(crate) const VICTIM_NONCE: [u8; 16] = [2; 16];
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

/// The space that all of it is about.
pub(crate) fn main_of(store: &Store) -> Space {
    store.space("main").expect("memory does not fail")
}

/// The store that is played against: some of each type, and some removed.
pub(crate) fn victim() -> Store {
    let store = store(1);
    let space = main_of(&store);
    fill(&space).expect("memory does not fail");
    store
}

/// Some of each type.
pub(crate) fn fill(space: &Space) -> Result<(), rejoin::Error> {
    for n in 0..40_u32 {
        space.set::<u32>("cart").add(&n)?;
    }
    for n in 0..20_u32 {
        space.set::<u32>("cart").remove(&(2 * n))?;
    }
    space.register("title").set(&"Groceries")?;
    space.mv_register("note").set(&"ring")?;
    space.counter("guests").add(4)?;
    space.flag("open").enable()?;
    space.dw_flag("shut").disable()?;
    space.rw_set::<u32>("banned").remove(&7)?;
    space.put("raw", b"\0\x01\xff", None)?;
    space.map::<String>("prices").register(&"milk".to_owned())?.set(&120_u32)?;
    space.map::<String>("prices").counter(&"egg".to_owned())?.add(-3)?;
    space.delete("raw")?;
    Ok(())
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
    store
}

/// A peer that has written nothing, under a name that these bytes cannot foresee.
fn newcomer(bytes: &[u8]) -> Store {
    let name = *blake3::hash(bytes).as_bytes();
    let entropy = move |bytes: &mut [u8]| {
        bytes.iter_mut().zip(name.iter().cycle()).for_each(|(b, n)| *b = *n);
    };
    Store::in_memory_with(Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(entropy)))
}

/// The frames in these bytes.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let [low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (frame, after) = rest.split_at(length);
        frames.push(frame);
        bytes = after;
    }
    frames
}

/// The bytes of these frames.
pub(crate) fn join(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
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
    let space = main_of(&store);
    let standing = |space: &Space| -> Result<_, rejoin::Error> {
        Ok((space.vector()?, space.root()?, space.status()?.items))
    };
    let before = standing(&space).expect("memory does not fail");

    let mut session = Session::accept(&store, VICTIM_NONCE);
    let mut now_ms = 0;
    for frame in split(bytes) {
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
    let after = standing(&space).expect("memory does not fail");
    if after.0 == before.0 {
        if report.repaired == 0 {
            assert_eq!(after, before, "changed, although nothing was committed: {report:?}");
        }
        // What was staged must not be in the way of others.
        let peer = honest(9);
        let met = meet(&peer, &store);
        let met = met.expect("an honest peer is not refused");
        assert!(met.converged(), "{met:?}");
        assert_eq!(main_of(&peer).root().ok(), space.root().ok());
    } else {
        // A delta came to its end. Whoever wrote it may have lied about anybody's events, so
        // an honest peer may find itself refused, or two contents under one dot; but nothing
        // breaks, and one who was not lied about becomes equal.
        let _ = meet(&honest(9), &store);
        let newcomer = newcomer(bytes);
        match meet(&newcomer, &store) {
            Ok(met) => {
                assert!(met.converged(), "{met:?}");
                assert_eq!(main_of(&newcomer).root().ok(), space.root().ok());
            }
            Err(error) => panic!("one who wrote nothing is refused: {error}"),
        }
    }
    let found = store.check().expect("memory does not fail");
    assert!(found.is_sound(), "{found:?}");
    report
}

/// One session between two stores; what the side that connects says of it.
pub(crate) fn meet(a: &Store, b: &Store) -> Result<Report, rejoin::Error> {
    Ok(record(a, b)?.0)
}

/// One session, and the frames that the connecting side sent in it.
pub(crate) fn record(a: &Store, b: &Store) -> Result<(Report, Vec<Vec<u8>>), rejoin::Error> {
    let mut left = Session::connect(a, Scope::All, [1; 16])?;
    let mut right = Session::accept(b, VICTIM_NONCE);
    let (mut now_ms, mut sent) = (0, Vec::new());
    while !(left.is_over() && right.is_over()) {
        let mut quiet = true;
        while let Some(frame) = left.poll_frame(now_ms)? {
            let number = frame.iter().take_while(|byte| **byte >= 0x80).count() + 1;
            sent.push(frame.get(number..).unwrap_or_default().to_vec());
            right.handle_frame(now_ms, &frame)?;
            quiet = false;
        }
        while let Some(frame) = right.poll_frame(now_ms)? {
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
