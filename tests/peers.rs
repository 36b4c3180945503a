//! Peers that break the protocol: the session ends with an error that says whose fault it is,
//! the peer is told once, and the store is as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{main_of, meet, standing, store};
use rejoin::session::{PROTOCOL_VERSION, Scope, Session};
use rejoin::{Error, PeerError, Store};

fn hello(version: u8, id: u8) -> Vec<u8> {
    [b"\x01rejoin".as_slice(), &[version], &[id; 16], &[3; 24], &[0, 0, 0]].concat()
}

fn victim() -> Store {
    let store = store(1);
    main_of(&store).set("cart").add(&1_u8).unwrap();
    store
}

fn numbered(number: u8, messages: &[u8]) -> Vec<u8> {
    [&[number], messages].concat()
}

/// Hands these frames, each in its turn, to a session that accepts; what it says of the last.
#[track_caller]
fn refused(frames: &[Vec<u8>]) -> PeerError {
    let store = victim();
    let session = Session::accept(&store, [2; 16]);
    let frames: Vec<Vec<u8>> = (0..).zip(frames).map(|(n, frame)| numbered(n, frame)).collect();
    refused_as_they_are(store, session, &frames)
}

/// The same of frames that have their numbers.
#[track_caller]
fn refused_as_they_are(store: Store, mut session: Session, frames: &[Vec<u8>]) -> PeerError {
    let before = standing(&main_of(&store));
    let (last, first) = frames.split_last().unwrap();
    for frame in first {
        session.handle_frame(0, frame).unwrap();
        while session.poll_frame(0).unwrap().is_some() {}
        assert!(!session.is_over());
    }
    let Err(error) = session.handle_frame(0, last) else { panic!("this was taken: {last:?}") };
    assert!(session.is_over());
    let told = session.poll_frame(0).unwrap();
    assert_eq!(session.poll_frame(0).unwrap(), None, "once is enough");
    session.handle_frame(0, &hello(1, 9)).unwrap(); // whatever comes then is not heard
    assert!(!session.report().converged() && !session.report().finished);
    drop(session);
    assert_eq!(standing(&main_of(&store)), before);
    meet(&store, &pair::store(7));

    // What the peer is told is what went wrong here, in so many words, as far as they go.
    let peer = pair::store(8);
    let mut other = Session::connect(&peer, Scope::All, [4; 16]).unwrap();
    other.poll_frame(0).unwrap();
    match (other.handle_frame(0, &numbered(0, &told.unwrap()[1..])), error) {
        (Err(Error::Peer(PeerError::Refused { reason })), Error::Peer(error)) => {
            assert!(error.to_string().starts_with(&reason) && reason.len() > 10, "{reason}");
            assert_eq!(other.poll_frame(0).unwrap(), None, "a refusal is not refused");
            error
        }
        wrong => panic!("{wrong:?}"),
    }
}

fn honest() -> Vec<u8> {
    hello(PROTOCOL_VERSION as u8, 9)
}

#[test]
fn another_version_of_the_protocol() {
    let theirs = PROTOCOL_VERSION + 1;
    let error = refused(&[hello(theirs as u8, 9)]);
    assert_eq!(error, PeerError::Version { ours: PROTOCOL_VERSION, theirs });
    // Whatever that version says behind it.
    let other = [b"\x01rejoin\x09".as_slice(), b"something else altogether"].concat();
    assert_eq!(refused(&[other]), PeerError::Version { ours: PROTOCOL_VERSION, theirs: 9 });
}

#[test]
fn somebody_who_speaks_something_else() {
    for said in
        [b"GET / HTTP/1.1\r\n".as_slice(), b"\x16\x03\x01\x02", b"\x01rejoice", &[0xff; 100]]
    {
        let store = victim();
        let session = Session::accept(&store, [2; 16]);
        let error = refused_as_they_are(store, session, &[said.to_vec()]);
        let other = matches!(error, PeerError::Malformed(_) | PeerError::OutOfOrder { .. });
        assert!(other, "{error:?}");
        let error = refused(&[said.to_vec()]);
        assert!(matches!(error, PeerError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn a_pipe_that_loses_repeats_or_swaps_frames() {
    let frames = [honest(), vec![2], vec![2]];
    for (turns, expected, found) in
        [(&[0, 2][..], 1, 2), (&[0, 0], 1, 0), (&[1], 0, 1), (&[0, 1, 1], 2, 1)]
    {
        let store = victim();
        let session = Session::accept(&store, [2; 16]);
        let frames: Vec<_> = turns.iter().map(|&n| numbered(n, &frames[usize::from(n)])).collect();
        let error = refused_as_they_are(store, session, &frames);
        assert_eq!(error, PeerError::OutOfOrder { expected, found }, "{turns:?}");
    }
}

#[test]
fn ones_own_name() {
    // Of the same opening; under another one it is a copy, which is met like anybody.
    let mut twin = Session::connect(&victim(), Scope::All, [3; 16]).unwrap();
    let hello = twin.poll_frame(0).unwrap().unwrap();
    let store = victim();
    let session = Session::accept(&store, [2; 16]);
    let error = refused_as_they_are(store, session, &[hello]);
    assert_eq!(error, PeerError::SameReplica { replica: victim().replica() });
}

#[test]
fn messages_out_of_turn() {
    let standing = [[7; 16].as_slice(), &[8; 32], &[0, 0, 0]].concat();
    let open =
        |id: u8, name: &[u8]| [&[3, id, name.len() as u8], name, standing.as_slice()].concat();
    let one_space =
        [b"\x01rejoin\x01".as_slice(), &[9; 16], &[3; 24], b"\x01\x04main\0\0"].concat();
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("something before the hello", vec![vec![2]]),
        ("something before the hello", vec![open(0, b"main")]),
        ("a second hello", vec![honest(), honest()]),
        ("a word about what is taken that comes too late", vec![honest(), vec![2, 17]]),
        ("opened twice", vec![honest(), vec![2, 2]]),
        ("spaces compared out of turn", vec![honest(), vec![16, 0, 0]]),
        ("a space under a number that is not the peer's to give", vec![honest(), open(1, b"x")]),
        ("a space that the session is not about", vec![one_space, open(0, b"other")]),
        ("a space that was never opened", vec![honest(), vec![11, 201, 1]]),
        // A vector that is not what its hash says.
        (
            "a vector that does not have the hash it was said to have",
            vec![honest(), open(0, b"main")],
        ),
    ];
    for (what, frames) in cases {
        match refused(&frames) {
            PeerError::Protocol { what: said } => assert_eq!(said, what),
            other => panic!("{what}: {other:?}"),
        }
    }
    for frame in [vec![18], vec![0], open(0, b""), open(0, &[0xff, 0xfe])] {
        let error = refused(&[honest(), frame]);
        assert!(matches!(error, PeerError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn messages_that_do_not_fit_what_went_before() {
    // The opening of a peer with news, after which only some messages make sense.
    let peer = store(9);
    main_of(&peer).set("cart").add(&2_u8).unwrap();
    let opening =
        Session::connect(&peer, Scope::All, [3; 16]).unwrap().poll_frame(0).unwrap().unwrap();
    let opening = opening[1..].to_vec();
    for early in [
        vec![5, 0],                              // same
        vec![7, 0, 0],                           // a vector
        [[10, 0].as_slice(), &[0; 32]].concat(), // a proof before the delta has ended
        vec![9, 0, 1],                           // a chunk taken that needed no taking
        vec![11, 0],                             // proven
        vec![12, 0],                             // again
        vec![13, 0, 0, 0],                       // nodes
    ] {
        let error = refused(&[opening.clone(), early.clone()]);
        assert!(matches!(error, PeerError::Protocol { .. }), "{early:?}: {error:?}");
    }
}
