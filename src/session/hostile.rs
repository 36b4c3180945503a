//! Peers that speak the protocol and lie.

mod long_ends;
mod portions;
mod walks;

use super::message::{Message, Standing};
use super::nodes::Opened;
use super::roll::Call;
use super::{Report, Scope, Session, SessionOptions, Why};
use crate::causal::{Dot, ReplicaId, Seq, Tag, TaggedVector, VersionVector};
use crate::codec::{Kind, Prefix, Put, limits};
use crate::digest::{Node, RootHash};
use crate::error::{Error, PeerError};
use crate::space::{Chunk, Claim, Event, Last, Removal, Store, VectorHash};

const EVIL: ReplicaId = ReplicaId::from_bytes([0xee; 16]);
const THIRD: ReplicaId = ReplicaId::from_bytes([0x33; 16]);

fn at(key: impl AsRef<[u8]>) -> Prefix {
    Prefix::key(key.as_ref()).unwrap().step(Kind::VALUE, b"").unwrap()
}

fn vector(entries: &[(ReplicaId, u64)]) -> VersionVector {
    let mut entries: Vec<_> = entries.iter().map(|(r, s)| (*r, Seq::new(*s))).collect();
    entries.sort_unstable();
    entries.into_iter().collect()
}

fn standing(of: &VersionVector) -> Box<Standing> {
    Box::new(Standing {
        hash: VectorHash::of(&TaggedVector::untagged(of)),
        root: RootHash::from_bytes([7; 32]),
        base: None,
        changes: TaggedVector::untagged(of),
        staged: None,
    })
}

fn frame(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|m| m.encode(&mut out));
    out
}

/// Hands these messages to a session, under the number that is due.
fn hand(session: &mut Session, messages: &[u8]) -> Result<(), Error> {
    let mut out = Vec::new();
    out.put_varint(session.report().frames_received);
    out.extend_from_slice(messages);
    session.handle_frame(0, &out)
}

fn hello() -> Message {
    Message::Hello {
        replica: EVIL,
        opening: Tag::UNKNOWN,
        nonce: [9; 16],
        scope: Scope::All,
        call: Call::Each,
    }
}

fn drain(session: &mut Session) -> usize {
    let mut bytes = 0;
    while let Ok(Some(frame)) = session.poll_frame(0) {
        bytes += frame.len();
    }
    bytes
}

/// A session of the store with a peer that connected and opened `main`.
fn accepted(store: &Store, theirs: &VersionVector) -> Session {
    let mut session = Session::accept(store, [2; 16]);
    let open = Message::Open { space: 0, name: "main".to_owned(), standing: standing(theirs) };
    hand(&mut session, &frame(&[hello(), open])).unwrap();
    drain(&mut session);
    session
}

/// A session of the store, which connected, with a peer that answered `main`.
fn connected(store: &Store, theirs: &VersionVector) -> Session {
    let mut session = Session::connect(store, Scope::Space("main".to_owned()), [2; 16]).unwrap();
    drain(&mut session);
    let answer = Message::Answer { space: 0, standing: standing(theirs) };
    hand(&mut session, &frame(&[hello(), answer])).unwrap();
    drain(&mut session);
    session
}

fn honest(left: &Store, right: &Store) -> [Report; 2] {
    let scope = Scope::All;
    let mut sides =
        [Session::connect(left, scope, [1; 16]).unwrap(), Session::accept(right, [2; 16])];
    loop {
        let mut moved = false;
        for from in 0..2 {
            while let Some(frame) = sides[from].poll_frame(0).unwrap() {
                moved = true;
                sides[1 - from].handle_frame(0, &frame).unwrap();
            }
        }
        if !moved {
            return sides.map(|s| s.report().clone());
        }
    }
}

fn put(store: &Store, key: &str) {
    store.space("main").unwrap().put(key, "1", None).unwrap();
}

fn keys(store: &Store) -> Vec<String> {
    let entries = store.space("main").unwrap().keys(crate::space::Keys::all()).unwrap();
    entries.into_iter().map(|e| String::from_utf8(e.key).unwrap()).collect()
}

fn sound(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// Chunk of items.
fn chunk(events: Vec<(Dot, Event)>, last: Option<Last>) -> Chunk {
    let mut upto = VersionVector::new();
    events.iter().for_each(|(dot, _)| upto.advance(*dot));
    Chunk { events, upto, last }
}

fn send(session: &mut Session, chunk: Chunk) -> Result<(), Error> {
    hand(session, &frame(&[Message::Chunk { space: 0, chunk: Box::new(chunk.spelled()) }]))
}

/// A frame full of one message is refused, and is not answered at length.
fn refused(session: &mut Session, one: &Message, times: usize) {
    let bytes = frame(core::slice::from_ref(one)).repeat(times);
    let error = hand(session, &bytes).unwrap_err();
    assert!(matches!(error, Error::Peer(_)), "{error}");
    assert!(drain(session) < 1000);
}

fn many_origins(store: &Store) {
    let mut session = accepted(store, &vector(&[]));
    let origins: Vec<_> = (0..2000_u32)
        .map(|n| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&(n * 2_000_003).to_be_bytes());
            (ReplicaId::from_bytes(id), 1)
        })
        .collect();
    let place = at("k").place();
    let mut events: Vec<_> = origins
        .iter()
        .map(|(r, s)| {
            (
                Dot::new(*r, Seq::new(*s)),
                Event::Item {
                    place: place.as_bytes().to_vec(),
                    past: VersionVector::new(),
                    payload: vec![0; 9],
                },
            )
        })
        .collect();
    events.sort_by_key(|e| e.0);
    let last = Last { vector: vector(&origins), ..Last::default() };
    send(&mut session, chunk(events, Some(last))).unwrap();
}

#[test]
fn a_vector_is_asked_for_once() {
    let store = Store::in_memory();
    many_origins(&store);
    let mut session = accepted(&store, &vector(&[]));
    refused(&mut session, &Message::WantVector { space: 0 }, 1_000_000);
}

#[test]
fn proofs_and_walks_take_turns_and_end() {
    let store = Store::in_memory();
    put(&store, "a");
    let theirs = store.space("main").unwrap().vector().unwrap();
    let opened = vec![Opened { node: Node::Root, children: vec![] }];
    let nodes = Message::Nodes { space: 0, opened, blocks: vec![] };
    for message in [Message::Again { space: 0 }, nodes] {
        let mut session = connected(&store, &theirs);
        refused(&mut session, &message, 100_000);
        let mut session = connected(&store, &theirs);
        let one = frame(&[message]);
        let turns = (0..1000).take_while(|_| {
            drain(&mut session);
            hand(&mut session, &one).is_ok()
        });
        assert!(turns.count() < 1000, "a session without end");
    }
}

#[test]
fn chunks_beyond_the_window_are_refused() {
    let store = Store::in_memory();
    put(&store, "a");
    let last = Chunk { last: Some(Last::default()), ..Chunk::default() };
    for chunk in [Chunk::default(), last] {
        let mut session = accepted(&store, &vector(&[(EVIL, 100)]));
        let message = Message::Chunk { space: 0, chunk: Box::new(chunk.spelled()) };
        refused(&mut session, &message, 100_000);
        drop(session);
        sound(&store);
    }
}

#[test]
fn places_in_few_bytes_do_not_fill_the_memory() {
    let store = Store::in_memory();
    put(&store, "a");
    let mut session = accepted(&store, &vector(&[(EVIL, 100_000)]));
    let place = at(vec![0_u8; 4096]).place();
    let event = |past| Event::Item { place: place.as_bytes().to_vec(), past, payload: vec![0; 8] };
    let events = (1..=1_000).map(|n| (Dot::new(EVIL, Seq::new(n)), event(VersionVector::new())));
    let chunk = Box::new(chunk(events.collect(), None).spelled());
    refused(&mut session, &Message::Chunk { space: 0, chunk }, 1);
}

#[test]
fn siblings_with_pasts_and_records_of_one_prefix_take_few_scans() {
    let count = 20_000;
    for records in [false, true] {
        let store = Store::in_memory();
        put(&store, "a");
        let theirs = vector(&[(EVIL, 2 * count), (THIRD, 1)]);
        let mut session = accepted(&store, &theirs);
        let past = vector(&[(THIRD, 1)]);
        let item = |past| Event::Item {
            place: at("k").place().as_bytes().to_vec(),
            past,
            payload: vec![0; 8],
        };
        let events = (1..=count).map(|n| {
            (
                Dot::new(EVIL, Seq::new(n)),
                match records {
                    true => item(VersionVector::new()),
                    false => item(past.clone()),
                },
            )
        });
        let record = Removal::Prefix { prefix: at("k"), past: past.clone() };
        let more = (count + 1..=2 * count)
            .map(|n| (Dot::new(EVIL, Seq::new(n)), Event::Removal(record.clone())));
        let events = events.chain(more.take_while(|_| records)).collect();
        // One scan for each of them would take many minutes here.
        send(&mut session, chunk(events, Some(Last { vector: theirs, ..Last::default() })))
            .unwrap();
        sound(&store);
    }
}

#[test]
fn what_names_our_own_future_as_removed_is_refused() {
    let victim = Store::in_memory();
    put(&victim, "a");
    let theirs = vector(&[(EVIL, 1)]);
    let past = vector(&[(victim.replica(), 1 << 40)]);
    let place = at("later").place();
    // Passed on to a friend, each would take away there what the victim writes later, and
    // the proof would then take it away from the victim itself.
    for event in [
        Event::Item { place: place.as_bytes().to_vec(), past: past.clone(), payload: vec![0; 8] },
        Event::Removal(Removal::Prefix { prefix: at("later"), past }),
        Event::Removal(Removal::Dots(vec![Dot::new(victim.replica(), Seq::new(2))])),
    ] {
        let mut session = accepted(&victim, &theirs);
        let last = Last { vector: theirs.clone(), ..Last::default() };
        let error =
            send(&mut session, chunk(vec![(Dot::new(EVIL, Seq::new(1)), event)], Some(last)));
        assert!(matches!(error, Err(Error::Peer(PeerError::OwnFuture { .. }))), "{error:?}");
    }
    assert_eq!(victim.space("main").unwrap().vector().unwrap().len(), 1);
    sound(&victim);
}

#[test]
fn vectors_far_ahead_and_dots_staged_twice_leave_a_store_sound() {
    let (victim, friend) = (Store::in_memory(), Store::in_memory());
    put(&victim, "a");
    let theirs =
        vector(&[(EVIL, 1), (THIRD, u64::MAX), (ReplicaId::from_bytes([1; 16]), u64::MAX >> 2)]);
    let mut session = accepted(&victim, &theirs);
    let place = at("k").place();
    let items = |payload: u8, n| {
        let event = Event::Item {
            place: place.as_bytes().to_vec(),
            past: VersionVector::new(),
            payload: vec![payload; 9],
        };
        (Dot::new(ReplicaId::from_bytes([1; 16]), Seq::new(n)), event)
    };
    let top = limits::EVENT_SEQ.get();
    // The same dots staged twice with other contents.
    send(&mut session, chunk(vec![items(1, 5), items(1, top)], None)).unwrap();
    let other = at("elsewhere").place();
    let event = Event::Item {
        place: other.as_bytes().to_vec(),
        past: VersionVector::new(),
        payload: vec![3; 9],
    };
    send(
        &mut session,
        chunk(
            vec![(Dot::new(ReplicaId::from_bytes([1; 16]), Seq::new(5)), event), items(2, top)],
            None,
        ),
    )
    .unwrap();
    sound(&victim);
    let last = Last { vector: theirs, ..Last::default() };
    send(&mut session, chunk(vec![items(3, 4), items(3, top)], Some(last))).unwrap();
    drain(&mut session);
    drop(session);
    sound(&victim);
    assert!(honest(&victim, &friend).iter().all(Report::converged));
    sound(&friend);
    assert_eq!(keys(&victim), keys(&friend));
}

#[test]
fn claims_without_a_walk_delete_nothing() {
    let store = Store::in_memory();
    put(&store, "a");
    let theirs = vector(&[(EVIL, 1)]);
    let mut session = accepted(&store, &theirs);
    let claim = Claim { origin: store.replica(), block: 0, bits: [0; 32] };
    let last = Last { vector: theirs, claims: vec![claim], ..Last::default() };
    let error = send(&mut session, Chunk { last: Some(last), ..Chunk::default() }).unwrap_err();
    assert!(matches!(error, Error::Peer(PeerError::Protocol { .. })), "{error}");
    assert_eq!(keys(&store), ["a"]);
    sound(&store);
}

/// The session options under which nothing is taken from the peer.
fn receive_only() -> SessionOptions {
    SessionOptions { receive_only: true, ..SessionOptions::default() }
}

#[test]
fn a_peer_that_may_only_receive_changes_nothing_whatever_it_sends() {
    let place = at("k").place().as_bytes().to_vec();
    let own = |store: &Store| vector(&[(EVIL, 1), (store.replica(), 1)]);
    let item = || Event::Item { place: place.clone(), past: vector(&[]), payload: vec![0; 9] };
    let removal =
        |store: &Store| Event::Removal(Removal::Dots(vec![Dot::new(store.replica(), Seq::new(1))]));
    let event = |event| vec![(Dot::new(EVIL, Seq::new(1)), event)];
    let make: [&dyn Fn(&Store) -> Chunk; 5] = [
        &|store| chunk(event(item()), Some(Last { vector: own(store), ..Last::default() })),
        &|store| chunk(event(removal(store)), Some(Last { vector: own(store), ..Last::default() })),
        &|_| chunk(event(item()), None),
        &|_| Chunk::default(),
        &|store| Chunk {
            last: Some(Last { vector: own(store), ..Last::default() }),
            ..Chunk::default()
        },
    ];
    for make in make {
        for base in [None, Some(VectorHash([5; 16]))] {
            let store = Store::in_memory();
            put(&store, "a");
            let before = store.space("main").unwrap().status().unwrap();
            let mut session = Session::accept(&store, [2; 16]).with(receive_only());
            // With a base that is not known here, the chunk comes before the vector does.
            let theirs = Box::new(Standing { base, ..*standing(&own(&store)) });
            let open = Message::Open { space: 0, name: "main".to_owned(), standing: theirs };
            hand(&mut session, &frame(&[hello(), open])).unwrap();
            drain(&mut session);
            let error = send(&mut session, make(&store)).unwrap_err();
            assert!(matches!(error, Error::Peer(PeerError::ReceiveOnly)), "{error}");
            assert_eq!(store.space("main").unwrap().status().unwrap(), before);
        }
    }
}

#[test]
fn claims_of_a_peer_that_may_only_receive_drop_nothing() {
    let store = Store::in_memory();
    put(&store, "a");
    let before = store.space("main").unwrap().status().unwrap();
    let theirs = vector(&[(store.replica(), 1)]);
    let mut session = Session::accept(&store, [2; 16]).with(receive_only());
    let open = Message::Open { space: 0, name: "main".to_owned(), standing: standing(&theirs) };
    hand(&mut session, &frame(&[hello(), open])).unwrap();
    drain(&mut session);
    let proof = Message::Proof { space: 0, root: RootHash::from_bytes([7; 32]) };
    hand(&mut session, &frame(core::slice::from_ref(&proof))).unwrap();
    drain(&mut session);
    let claim = Claim { origin: store.replica(), block: 0, bits: [0; 32] };
    let last = Last { vector: vector(&[]), claims: vec![claim], ..Last::default() };
    send(&mut session, Chunk { last: Some(last), ..Chunk::default() }).unwrap();
    drain(&mut session);
    hand(&mut session, &frame(&[proof])).unwrap();
    drain(&mut session);
    hand(&mut session, &frame(&[Message::AllOpened])).unwrap();
    drain(&mut session);
    assert_eq!(store.space("main").unwrap().status().unwrap(), before);
    let report = session.report();
    assert_eq!(report.space("main").unwrap().why, Some(Why::ReceiveOnly));
    assert_eq!(report.repaired, 0);
}

#[test]
fn credentials_are_passed_over_and_bounded() {
    for (bytes, refused) in [(1, false), (4096, false), (4097, true)] {
        let store = Store::in_memory();
        let mut hello = frame(&[hello()]);
        assert_eq!(hello.pop(), Some(0), "no credentials are sent yet");
        hello.put_bytes(&vec![0xcc; bytes]);
        let taken = hand(&mut Session::accept(&store, [2; 16]), &hello);
        assert_eq!(taken.is_err(), refused, "{bytes}");
    }
}

/// Each time it would have cost a report, and what a session holds of a space.
#[test]
fn a_space_that_was_given_up_is_not_opened_without_end() {
    let victim = Store::in_memory();
    put(&victim, "a");
    let theirs = vector(&[(EVIL, 1)]);
    let mut session = accepted(&victim, &theirs);
    hand(&mut session, &frame(&[Message::GiveUp { space: 0, why: Why::Dropped }])).unwrap();
    let mut times = 0;
    let refused = loop {
        times += 1;
        let (space, name) = (2 * times, "main".to_owned());
        let open = Message::Open { space, name, standing: standing(&theirs) };
        drain(&mut session);
        match hand(&mut session, &frame(&[open])) {
            Ok(()) if times < 1_000 => {}
            ended => break ended,
        }
    };
    assert!(matches!(refused, Err(Error::Peer(PeerError::Protocol { .. }))), "{refused:?}");
    assert!(times < 20, "{times}");
    sound(&victim);
}
