//! A player of one side of a session whose frames are any bytes at all; shared by the tests
//! and the fuzz target.
//!
//! The first byte says what they are played against. Its lowest bit is 0 where a store with some
//! data accepts the session, and 1 where it connects; the next is 1 where that store has so many
//! spaces that it compares them with those of whoever it connects to. What follows is split into
//! frames: two bytes of length, lowest first, then so many, or what is left. Each is given
//! the number that is due, and they are fed to that session. Whatever they are:
//!
//! - the store is sound afterwards, rows against rows and digest against rows;
//! - unless the frames were a delta to its end, or claims, it is as it was, each of its spaces;
//! - and then an honest peer becomes equal with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::causal::VersionVector;
use rejoin::codec::Put;
use rejoin::digest::RootHash;
use rejoin::session::{Report, Scope, Session};
use rejoin::{Error, Options, Space, Store};

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

/// What is played against, as the first byte tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Against {
    /// Whether the victim connects, or else accepts.
    pub(crate) connects: bool,
    /// Whether it has many spaces.
    pub(crate) many: bool,
}

impl Against {
    fn of(byte: u8) -> Self {
        Self { connects: byte & 1 != 0, many: byte & 2 != 0 }
    }

    fn byte(self) -> u8 {
        u8::from(self.connects) | u8::from(self.many) << 1
    }

    /// A new victim.
    pub(crate) fn victim(self) -> Store {
        let store = victim();
        if self.many {
            add_spaces(&store, MANY);
        }
        store
    }

    /// A session of the victim's.
    pub(crate) fn session(self, victim: &Store) -> Result<Session, Error> {
        if self.connects { connect(victim) } else { Ok(accept(victim)) }
    }

    /// And one of its peer's.
    pub(crate) fn session_of_peer(self, peer: &Store) -> Result<Session, Error> {
        Self { connects: !self.connects, ..self }.session(peer)
    }
}

/// More spaces than are opened one by one.
const MANY: usize = 20;

/// The store that is played against: some of each type, and some removed; and two more spaces.
pub(crate) fn victim() -> Store {
    let store = store(1);
    fill_spaces(&store);
    store
}

/// All that the victim holds.
pub(crate) fn fill_spaces(store: &Store) {
    fill(&main_of(store)).expect("memory does not fail");
    for name in ["beside", "beyond"] {
        let space = store.space(name).expect("memory does not fail");
        space.set::<u32>("cart").add(&1).expect("memory does not fail");
    }
}

/// So many spaces more, with little in each.
pub(crate) fn add_spaces(store: &Store, count: usize) {
    for n in 0..count {
        let space = store.space(&format!("list {n}")).expect("memory does not fail");
        space.counter("n").add(1).expect("memory does not fail");
    }
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
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let [low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (frame, after) = rest.split_at(length);
        frames.push(frame);
        bytes = after;
    }
    frames
}

/// What these bytes are played against, and their frames.
pub(crate) fn parts(bytes: &[u8]) -> (Against, Vec<&[u8]>) {
    let (first, frames) = bytes.split_first().unwrap_or((&0, &[]));
    (Against::of(*first), split(frames))
}

/// The bytes of a session against this, in which these frames come.
pub(crate) fn join(against: Against, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![against.byte()];
    for frame in frames {
        let length = u16::try_from(frame.len()).expect("frames of tests are short");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(frame);
    }
    bytes
}

/// How a store stands: of each space that holds anything its vector, its root and its items.
fn standing(store: &Store) -> Result<BTreeMap<String, Stand>, Error> {
    let mut all = BTreeMap::new();
    for name in store.spaces("")? {
        let space = store.space(&name)?;
        let stand = (space.vector()?, space.root()?, space.status()?.items);
        if !stand.0.is_empty() {
            all.insert(name, stand);
        }
    }
    Ok(all)
}

type Stand = (VersionVector, RootHash, u64);

/// Whether two stores hold the same, in all their spaces.
fn are_equal(a: &Store, b: &Store) -> bool {
    let roots = |store: &Store| -> Result<Vec<_>, Error> {
        Ok(standing(store)?.into_iter().map(|(name, stand)| (name, stand.1)).collect())
    };
    roots(a).expect("memory does not fail") == roots(b).expect("memory does not fail")
}

/// The frames that a session wants to send now.
fn drain(session: &mut Session, now_ms: u64) {
    while session.poll_frame(now_ms).is_ok_and(|frame| frame.is_some()) {}
}

/// Plays these bytes against a store. Panics where it is not as it must be afterwards.
pub(crate) fn play(bytes: &[u8]) -> Report {
    let bytes = bytes.get(..INPUT_BYTES).unwrap_or(bytes);
    let (against, frames) = parts(bytes);
    let store = against.victim();
    let before = standing(&store).expect("memory does not fail");

    let mut session = against.session(&store).expect("memory does not fail");
    let mut now_ms = 0;
    drain(&mut session, now_ms); // whoever connects speaks first
    for frame in frames {
        now_ms += 1000;
        let mut numbered = Vec::with_capacity(frame.len() + 10);
        numbered.put_varint(session.report().frames_received);
        numbered.extend_from_slice(frame);
        let taken = session.handle_frame(now_ms, &numbered);
        drain(&mut session, now_ms);
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
    let vectors = |all: &BTreeMap<String, Stand>| -> Vec<_> {
        all.iter().map(|(name, stand)| (name.clone(), stand.0.clone())).collect()
    };
    if vectors(&after) == vectors(&before) {
        if report.repaired == 0 {
            assert_eq!(after, before, "changed, although nothing was committed: {report:?}");
        }
        // What was staged must not be in the way of others.
        let peer = honest(9);
        let met = meet(&peer, &store);
        let met = met.expect("an honest peer is not refused");
        assert!(met.converged(), "{met:?}");
        assert!(are_equal(&peer, &store));
    } else {
        // A delta came to its end. Whoever wrote it may have lied about anybody's events, so
        // an honest peer may find itself refused, or two contents under one dot; but nothing
        // breaks, and one who was not lied about becomes equal.
        let _ = meet(&honest(9), &store);
        let newcomer = newcomer(bytes);
        match meet(&newcomer, &store) {
            Ok(met) => {
                assert!(met.converged(), "{met:?}");
                assert!(are_equal(&newcomer, &store));
            }
            Err(error) => panic!("one who wrote nothing is refused: {error}"),
        }
    }
    let found = store.check().expect("memory does not fail");
    assert!(found.is_sound(), "{found:?}");
    report
}

fn connect(store: &Store) -> Result<Session, Error> {
    Session::connect(store, Scope::All, [1; 16])
}

fn accept(store: &Store) -> Session {
    Session::accept(store, [2; 16])
}

/// One session between two stores; what the side that connects says of it.
pub(crate) fn meet(a: &Store, b: &Store) -> Result<Report, Error> {
    let [connecting, _] = record(connect(a)?, accept(b))?;
    Ok(connecting.report)
}

/// What one side says of a session, and the frames that it sent, without their numbers.
pub(crate) struct Told {
    pub(crate) report: Report,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// One session: of the side that connects, and of the other.
pub(crate) fn record(mut left: Session, mut right: Session) -> Result<[Told; 2], Error> {
    let mut sent = [Vec::new(), Vec::new()];
    let without_number = |frame: &[u8]| {
        let number = frame.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        frame.get(number..).unwrap_or_default().to_vec()
    };
    let (mut now_ms, mut rounds) = (0, 0);
    while !(left.is_over() && right.is_over()) {
        rounds += 1;
        assert!(rounds < 10_000, "they come to no end: {left:?} {right:?}");
        let mut quiet = true;
        while let Some(frame) = left.poll_frame(now_ms)? {
            sent[0].push(without_number(&frame));
            right.handle_frame(now_ms, &frame)?;
            quiet = false;
        }
        while let Some(frame) = right.poll_frame(now_ms)? {
            sent[1].push(without_number(&frame));
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
    let [from_left, from_right] = sent;
    let told = |session: &Session, frames| Told { report: session.report().clone(), frames };
    Ok([told(&left, from_left), told(&right, from_right)])
}
