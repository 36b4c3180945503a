//! What is refused of a delta, and what is taken back of one.

use super::{dot, item, replica, under, vector};
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::{Kind, limits};
use crate::error::{Error, PeerError};
use crate::space::chunk::{Chunk, Last};
use crate::space::staging::{Incoming, Offer, Resumes, Taken};
use crate::space::{MassRemoval, Space, Store};

/// A session with a peer, and what is staged from there.
pub(in crate::space) fn incoming(space: &Space, peer: u8) -> (Incoming, VersionVector) {
    let names = (replica(peer), replica(peer + 100));
    Incoming::open(space, space.generation(), names, Resumes::Now).unwrap()
}

pub(super) fn take(incoming: &mut Incoming, chunk: &Chunk) -> Result<Taken, Error> {
    let nothing = VersionVector::new();
    incoming.take(&chunk.spelled(), &nothing, (&nothing, MassRemoval::default()), 0)
}

/// An element of an origin's event, as a chunk that is not the last of its delta.
fn element(origin: u8, seq: u64) -> Chunk {
    let place = under("cart", &[(Kind::SET, b"apple")]);
    let upto = vector(&[(origin, seq)]);
    Chunk { events: vec![(dot(origin, seq), item(&place, &[], b""))], upto, last: None }
}

/// Told on, a vector of more replicas would be refused by everybody: nobody could meet this
/// replica any more.
#[test]
fn a_delta_that_leads_to_more_replicas_than_may_be_told_is_refused() {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    space.put("key", "value", None).unwrap();
    let before = space.status().unwrap();
    let name = |n: usize| ReplicaId::from_bytes((n as u128).to_be_bytes());
    let many: VersionVector =
        (0..limits::VECTOR_REPLICAS).map(|n| Dot::new(name(n), Seq::FIRST)).collect();
    assert_eq!(many.len(), limits::VECTOR_REPLICAS); // of itself it may be told
    let last = Some(Last { vector: many, ..Last::default() });
    let refused = take(&mut incoming(&space, 9).0, &Chunk { last, ..Chunk::default() });
    assert!(matches!(refused, Err(Error::Peer(PeerError::Protocol { .. }))), "{refused:?}");
    assert_eq!(space.status().unwrap(), before);
}

/// What was told of the staging holds for the delta that is sent then: behind what another
/// session of the same peer staged later there may be missing what its sender had removed by
/// then.
#[test]
fn a_session_goes_on_only_behind_what_it_was_told_of() {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    let (mut other, _) = incoming(&space, 1);
    assert_eq!(take(&mut other, &element(5, 3)).unwrap(), Taken::Staged);
    let told = space.staged().unwrap();
    assert_eq!(take(&mut other, &element(5, 4)).unwrap(), Taken::Staged);
    let open = |offered: Option<Offer>| {
        let names = (replica(1), replica(101));
        Incoming::open(&space, space.generation(), names, Resumes::Told(offered.as_ref())).unwrap()
    };
    assert!(open(told).1.is_empty());
    assert_eq!(take(&mut other, &element(5, 5)).unwrap(), Taken::Staged, "it kept the place");
    let (mut resumed, staged) = open(space.staged().unwrap());
    assert_eq!(staged, vector(&[(5, 5)]));
    assert_eq!(take(&mut other, &element(5, 6)).unwrap(), Taken::Displaced);
    assert_eq!(take(&mut resumed, &element(5, 6)).unwrap(), Taken::Staged);
}

/// Who goes on behind what it had staged here goes on behind nothing once that was taken back;
/// what another peer has staged stays.
#[test]
fn only_what_this_peer_has_staged_is_taken_back() {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    let mut cut = incoming(&space, 1).0;
    assert_eq!(take(&mut cut, &element(5, 3)).unwrap(), Taken::Staged);
    drop(cut);
    let staged = || (space.status().unwrap().staged, incoming(&space, 1).1);
    space.forget_staged(space.generation(), replica(102)).unwrap();
    assert_eq!(staged(), (1, vector(&[(5, 3)])));

    let mut resumed = incoming(&space, 1).0;
    space.forget_staged(space.generation(), replica(101)).unwrap();
    assert_eq!(staged(), (0, vector(&[])));
    assert!(store.check().unwrap().is_sound());
    // Nor does the session that had its place bring an end without its beginning.
    let last = Some(Last { vector: vector(&[(5, 4)]), ..Last::default() });
    let end = Chunk { upto: vector(&[(5, 4)]), last, ..Chunk::default() };
    assert_eq!(take(&mut resumed, &end).unwrap(), Taken::Displaced);
    assert!(space.vector().unwrap().is_empty());
}

/// The note of how far is staged is what the next session goes on behind: who sends again what is
/// here does not move it back, or rows would stand beyond it of which nobody knows.
#[test]
fn what_is_sent_again_moves_no_note_of_it_back() {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    let mut liar = incoming(&space, 1).0;
    for seq in [3, 4, 2] {
        assert_eq!(take(&mut liar, &element(5, seq)).unwrap(), Taken::Staged);
    }
    assert_eq!(space.staged().unwrap().unwrap().upto, vector(&[(5, 4)]));
    drop(liar);
    assert_eq!(take(&mut incoming(&space, 1).0, &element(5, 3)).unwrap(), Taken::Staged);
    assert_eq!(space.staged().unwrap().unwrap().upto, vector(&[(5, 4)]));
    let sound = store.check().unwrap();
    assert!(sound.is_sound(), "{sound:?}");
}
