//! What can go wrong, by who must act: the caller, the disk, a peer.

use std::sync::Arc;

use crate::causal::{Dot, ReplicaId};
use crate::codec::encoding::{NotDecoded, NotEncoded};
use crate::codec::{DecodeError, Kind};
use crate::crdt::rules::CounterOverflow;
use crate::storage::StorageError;

/// What can go wrong with a store. After an error the store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for something that cannot be.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The disk failed, or holds something else than it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A peer sent something that must be refused.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// What a caller did that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// A key, path or element outside the limits of [`crate::codec::limits`].
    #[error("a key or path that cannot be: {0}")]
    Place(DecodeError),
    /// A value above [`crate::codec::limits::VALUE_BYTES`].
    #[error("a value of {found} bytes, where {limit} is the most")]
    ValueTooLarge {
        /// The most bytes there may be.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// The name of a space that is empty or longer than
    /// [`crate::codec::limits::SPACE_NAME_BYTES`].
    #[error("a space name of {found} bytes, where 1 to {limit} are allowed")]
    SpaceName {
        /// The most bytes there may be.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// A space that was dropped while this was about it.
    #[error("space {space:?} was dropped meanwhile")]
    SpaceDropped {
        /// Its name.
        space: String,
    },
    /// A value or element that serde could not write.
    #[error("a value that cannot be encoded: {reason}")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
    /// An element of a set or a field of a map whose type has more than one encoding for a
    /// value, or none that it reads back: it could be found by neither.
    #[error(
        "an element or field without one encoding of its own: {reason}; use BTreeSet for HashSet in it, and leave nothing out of what is written"
    )]
    ManyEncodings {
        /// What happened when it was read back.
        reason: String,
    },
    /// A value, element or field that is not of the type asked for.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// A counter of which this replica's own part would leave 64 bits.
    #[error(transparent)]
    CounterOverflow(#[from] CounterOverflow),
    /// A read context that is damaged or made up.
    #[error("a read context that is none: {0}")]
    ContextMalformed(DecodeError),
    /// A read context of another space or key.
    #[error("a read context of space {space:?}, key {key:?}, which is not what is written here")]
    ContextForeign {
        /// The space it was read in.
        space: String,
        /// The key it was read under, as text where it is text.
        key: String,
    },
    /// A read context that names an event this replica has not seen, or in whose place it knows
    /// one of another history ([`Fork`](crate::space::Fork)).
    #[error("a read context that names {dot}, which this replica has not seen; sync first")]
    ContextAhead {
        /// The newest such event.
        dot: Dot,
    },
    /// A key for whose siblings no resolver is set.
    #[error("key {key:?}: no resolver is set for it; set one for a prefix of it first")]
    NoResolver {
        /// The key, as text where it is text.
        key: String,
    },
    /// Siblings between which the resolver of their key does not decide, because it cannot
    /// read one of them or was not made for it. They are as they were.
    #[error("key {key:?}: its resolver does not decide between {siblings} siblings; read them all")]
    Unresolved {
        /// The key, as text where it is text.
        key: String,
        /// How many there are.
        siblings: usize,
    },
    /// A write inside the closure of another write of the same store: it would wait for itself.
    #[error("a write within a write of the same store; use the transaction handed to the closure")]
    NestedWrite,
    /// A handle of a transaction used inside a visit of the same transaction.
    #[error("a change of a transaction while it is being read; collect first, then change")]
    NestedChange,
}

/// Bytes in the store that are not of the type they were asked for as: written by another
/// version of the application, mostly. They stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key:?}: a {kind} that does not decode as the type asked for: {why}")]
pub struct Undecodable {
    key: Arc<str>,
    kind: Kind,
    bytes: Vec<u8>,
    why: NotDecoded,
}

impl Undecodable {
    pub(crate) fn new(key: Arc<str>, kind: Kind, bytes: &[u8], why: NotDecoded) -> Self {
        Self { key, kind, bytes: bytes.to_vec(), why }
    }

    /// The key they stand under, as text where it is text.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What they stand as: a register's value, an element of a set, a field of a map.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes, all of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a peer did that must be refused. The session with it ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Bytes that are no frame, chunk or row.
    #[error("the peer sent what cannot be: {0}")]
    Malformed(#[from] DecodeError),
    /// The peer names events that only this opening of this replica could have made, and did
    /// not: it forges, or this process was copied while it ran.
    #[error(
        "the peer knows event {theirs} of this replica, which has made only {own}: it forges, or this store was copied while it was open; open it under a fresh id (`Options::fresh_id`)"
    )]
    OwnFuture {
        /// The newest event of this replica that the peer names.
        theirs: Dot,
        /// The newest seq this replica has made.
        own: u64,
    },
    /// The peer has this replica's id and was opened with it: it is this store itself, or was
    /// copied while it ran. One of the two must be opened anew.
    #[error(
        "the peer is this store, {replica}, itself, or a copy that was made while it ran; open one of the two anew"
    )]
    SameReplica {
        /// The id of both.
        replica: ReplicaId,
    },
    /// A frame above the limit.
    #[error("the peer sent a frame of {found} bytes, where {limit} is the most")]
    FrameTooLarge {
        /// The most bytes there may be.
        limit: usize,
        /// How many there are.
        found: u64,
    },
    /// A frame out of its turn: the pipe lost, repeated or swapped frames. What was not
    /// committed yet comes with the next session.
    #[error(
        "frame {found} came where frame {expected} was due: the pipe lost, repeated or swapped frames, or no rejoin peer sends"
    )]
    OutOfOrder {
        /// The number of the frame that was due.
        expected: u64,
        /// The number of the one that came.
        found: u64,
    },
    /// A frame that does not fit what went before.
    #[error("the peer broke the protocol: {what}")]
    Protocol {
        /// What was wrong.
        what: &'static str,
    },
    /// The peer may only receive (`SessionOptions::receive_only`), and sent items, removals or
    /// a vector that would have changed this replica. Nothing of it was taken.
    #[error("the peer may only receive here, and sent something to be taken")]
    ReceiveOnly,
    /// The peer speaks another version.
    #[error("the peer speaks version {theirs} of the protocol, this replica {ours}")]
    Version {
        /// This library's version.
        ours: u64,
        /// The peer's.
        theirs: u64,
    },
    /// The peer opened more new spaces than one connection may.
    #[error("the peer brought more than {limit} new spaces in one connection")]
    TooManySpaces {
        /// The most there may be.
        limit: usize,
    },
    /// The peer brought events of a replica that was opened and written more often than a
    /// history may tell: one that does so takes a fresh name long before.
    #[error(
        "the peer brought events of {replica} from more than {limit} openings of its store, where that is the most"
    )]
    TooManyStretches {
        /// Whose events.
        replica: ReplicaId,
        /// The most there may be.
        limit: usize,
    },
    /// The peer ended the session and said why.
    #[error("the peer ended the session: {reason}")]
    Refused {
        /// What it said, cut at 200 characters.
        reason: String,
    },
}

impl From<CounterOverflow> for Error {
    fn from(overflow: CounterOverflow) -> Self {
        Self::Usage(overflow.into())
    }
}

impl From<Undecodable> for Error {
    fn from(undecodable: Undecodable) -> Self {
        Self::Usage(undecodable.into())
    }
}

impl From<NotEncoded> for Error {
    fn from(error: NotEncoded) -> Self {
        let reason = error.to_string();
        Self::Usage(match error {
            NotEncoded::Encoder(_) => UsageError::Encode { reason },
            _ => UsageError::ManyEncodings { reason },
        })
    }
}

/// A key as people read it: text where it is text, escapes where not.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}
