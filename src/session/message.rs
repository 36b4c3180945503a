//! Frames and the messages in them.
//!
//! A frame is its number, counted from 0 at each side, and a run of messages, each a tag and
//! its fields; numbers are varints. All but the first two name the space they are about by a number, which whoever opens it gives
//! out: even ones the side that connected, odd ones the other.
//!
//! | tag | message | fields |
//! |---|---|---|
//! | 1 | hello | `rejoin`, version, replica (16), nonce (16), opening (8), scope, call, credentials |
//! | 2 | opened | |
//! | 3 | open | space, name, standing |
//! | 4 | answer | space, standing |
//! | 5 | same | space |
//! | 6 | want vector | space |
//! | 7 | vector | space, vector |
//! | 8 | chunk | space, chunk |
//! | 9 | taken | space, chunks |
//! | 10 | proof | space, root (32) |
//! | 11 | proven | space |
//! | 12 | again | space |
//! | 13 | nodes | space, nodes, blocks |
//! | 14 | give up | space, reason |
//! | 15 | refuse | text |
//! | 16 | spaces | whether it goes on (1), ranges |
//! | 17 | takes nothing | |
//! | 18 | want histories | space, whether it asks back (1), origins (each 16) |
//! | 19 | histories | space, histories |
//! | 20 | contents | space, blocks |
//! | 21 | unlike | space, chunk |
//!
//! Credentials are bytes in which a later version proves who speaks. None are sent yet, and who
//! does not know them passes them over: they only ever add to what a peer may do, so unread they
//! grant nothing.
//!
//! A call says how the spaces to open are found: 0 each side opens what it has, 1 and the
//! name of a meeting (16) what was touched since, 2 the two compare. A range is: name at
//! which it begins, name before which it ends, and 0, how many spaces and a hash (8), or 1
//! and the spaces, each a name and a hash (8).
//!
//! A standing is: hash of the tagged vector (16), root (32), base (0, or 1 and its hash), the
//! entries of the tagged vector that are not so in the base, staging (0, or 1, a peer and a vector).
//!
//! A history is: origin (16), up to which seq, and stretches, each a first seq and a tag (8).
//!
//! Contents are blocks: each an origin (16), its number, and its live dots, each the low byte of a
//! seq (1) and the hash of its item (16).
//!
//! Tags from 64 on are free for sessions that stay open once all is proven.

use crate::causal::{ReplicaId, Tag, TaggedVector, VersionVector};
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::digest::RootHash;
use crate::error::{Error, PeerError};
use crate::space::{BlockContents, History, SpelledChunk, VectorHash};

use super::contents::{put_contents, take_contents};
use super::histories::{put_histories, take_histories, take_origins};
use super::nodes::{Opened, put_nodes, take_nodes};
use super::ranges::{Range, put_ranges, take_ranges};
use super::report::Why;
use super::roll::Call;
use super::scope::Scope;

/// The version of the protocol that this library speaks.
pub const PROTOCOL_VERSION: u64 = 1;

const MAGIC: &[u8; 6] = b"rejoin";
/// Bytes of the credentials in a hello.
const CREDENTIAL_BYTES: usize = 4096;
/// Bytes of the text of a refusal.
const REFUSAL_BYTES: usize = 200;

/// How a space stands at one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) hash: VectorHash,
    pub(super) root: RootHash,
    /// The vector that `changes` go on from; none for the empty one.
    pub(super) base: Option<VectorHash>,
    pub(super) changes: TaggedVector,
    /// Whose delta is staged here and up to where.
    pub(super) staged: Option<(ReplicaId, VersionVector)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Hello {
        replica: ReplicaId,
        /// Of the store, drawn when it was opened.
        opening: Tag,
        nonce: [u8; 16],
        scope: Scope,
        call: Call,
    },
    AllOpened,
    Open {
        space: u64,
        name: String,
        standing: Box<Standing>,
    },
    Answer {
        space: u64,
        standing: Box<Standing>,
    },
    Same {
        space: u64,
    },
    WantVector {
        space: u64,
    },
    Vector {
        space: u64,
        vector: TaggedVector,
    },
    Chunk {
        space: u64,
        chunk: Box<SpelledChunk>,
    },
    Taken {
        space: u64,
        chunks: u64,
    },
    Proof {
        space: u64,
        root: RootHash,
    },
    Proven {
        space: u64,
    },
    Again {
        space: u64,
    },
    Nodes {
        space: u64,
        opened: Vec<Opened>,
        blocks: Vec<(ReplicaId, u64)>,
    },
    GiveUp {
        space: u64,
        why: Why,
    },
    Refuse {
        reason: String,
    },
    Spaces {
        last: bool,
        ranges: Vec<Range>,
    },
    /// Whoever says it takes nothing from the peer: it need not send anything to be taken.
    TakesNothing,
    WantHistories {
        space: u64,
        /// Whether this side should tell the histories though it asked for them.
        back: bool,
        origins: Vec<ReplicaId>,
    },
    Histories {
        space: u64,
        histories: Vec<History>,
    },
    Contents {
        space: u64,
        blocks: Vec<BlockContents>,
    },
    /// Items under dots that live at the peer too and hold something else there.
    Unlike {
        space: u64,
        chunk: Box<SpelledChunk>,
    },
}

impl Message {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match self {
            Self::Hello { replica, opening, nonce, scope, call } => {
                out.extend_from_slice(MAGIC);
                out.put_varint(PROTOCOL_VERSION);
                out.extend_from_slice(replica.as_bytes());
                out.extend_from_slice(nonce);
                out.extend_from_slice(opening.as_bytes());
                scope.encode(out);
                call.encode(out);
                out.put_bytes(&[]);
            }
            Self::AllOpened | Self::TakesNothing => {}
            Self::Open { space, name, standing } => {
                out.put_varint(*space);
                out.put_bytes(name.as_bytes());
                standing.encode(out);
            }
            Self::Answer { space, standing } => {
                out.put_varint(*space);
                standing.encode(out);
            }
            Self::Same { space }
            | Self::WantVector { space }
            | Self::Proven { space }
            | Self::Again { space } => out.put_varint(*space),
            Self::Vector { space, vector } => {
                out.put_varint(*space);
                out.put_tagged(vector);
            }
            Self::Chunk { space, chunk } | Self::Unlike { space, chunk } => {
                out.put_varint(*space);
                chunk.encode(out);
            }
            Self::Taken { space, chunks } => {
                out.put_varint(*space);
                out.put_varint(*chunks);
            }
            Self::Proof { space, root } => {
                out.put_varint(*space);
                out.extend_from_slice(root.as_bytes());
            }
            Self::Nodes { space, opened, blocks } => {
                out.put_varint(*space);
                put_nodes(out, opened, blocks);
            }
            Self::GiveUp { space, why } => {
                out.put_varint(*space);
                out.push(why.number());
            }
            Self::Refuse { reason } => out.put_text(reason, REFUSAL_BYTES),
            Self::Spaces { last, ranges } => {
                out.push(u8::from(!last));
                put_ranges(out, ranges);
            }
            Self::WantHistories { space, back, origins } => {
                out.put_varint(*space);
                out.push(u8::from(*back));
                out.put_varint(origins.len() as u64);
                origins.iter().for_each(|origin| out.extend_from_slice(origin.as_bytes()));
            }
            Self::Histories { space, histories } => {
                out.put_varint(*space);
                put_histories(out, histories);
            }
            Self::Contents { space, blocks } => {
                out.put_varint(*space);
                put_contents(out, blocks);
            }
        }
    }

    /// Whether it says what its sender holds.
    pub(super) const fn vouches(&self) -> bool {
        matches!(
            self,
            Self::Open { .. }
                | Self::Answer { .. }
                | Self::Same { .. }
                | Self::Proof { .. }
                | Self::Proven { .. }
                | Self::Contents { .. }
                | Self::Unlike { .. }
        )
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Hello { .. } => 1,
            Self::AllOpened => 2,
            Self::Open { .. } => 3,
            Self::Answer { .. } => 4,
            Self::Same { .. } => 5,
            Self::WantVector { .. } => 6,
            Self::Vector { .. } => 7,
            Self::Chunk { .. } => 8,
            Self::Taken { .. } => 9,
            Self::Proof { .. } => 10,
            Self::Proven { .. } => 11,
            Self::Again { .. } => 12,
            Self::Nodes { .. } => 13,
            Self::GiveUp { .. } => 14,
            Self::Refuse { .. } => 15,
            Self::Spaces { .. } => 16,
            Self::TakesNothing => 17,
            Self::WantHistories { .. } => 18,
            Self::Histories { .. } => 19,
            Self::Contents { .. } => 20,
            Self::Unlike { .. } => 21,
        }
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let here = cursor.clone();
        Ok(match cursor.u8()? {
            1 => Self::decode_hello(cursor)?,
            2 => Self::AllOpened,
            3 => {
                let space = cursor.varint()?;
                let name = text(cursor, *limits::SPACE_NAME_BYTES.end())?;
                if name.is_empty() {
                    return Err(cursor.wrong(Problem::Empty));
                }
                Self::Open { space, name, standing: Standing::decode(cursor)? }
            }
            4 => Self::Answer { space: cursor.varint()?, standing: Standing::decode(cursor)? },
            5 => Self::Same { space: cursor.varint()? },
            6 => Self::WantVector { space: cursor.varint()? },
            7 => {
                let space = cursor.varint()?;
                Self::Vector { space, vector: cursor.tagged(limits::VECTOR_REPLICAS)? }
            }
            8 => {
                let space = cursor.varint()?;
                Self::Chunk { space, chunk: Box::new(SpelledChunk::decode(cursor)?) }
            }
            9 => Self::Taken { space: cursor.varint()?, chunks: cursor.varint()? },
            10 => {
                let space = cursor.varint()?;
                Self::Proof { space, root: RootHash::from_bytes(cursor.array()?) }
            }
            11 => Self::Proven { space: cursor.varint()? },
            12 => Self::Again { space: cursor.varint()? },
            13 => {
                let space = cursor.varint()?;
                let (opened, blocks) = take_nodes(cursor)?;
                Self::Nodes { space, opened, blocks }
            }
            14 => Self::GiveUp { space: cursor.varint()?, why: Why::of_number(cursor.u8()?) },
            15 => Self::Refuse { reason: text(cursor, REFUSAL_BYTES)? },
            16 => Self::Spaces { last: !present(cursor)?, ranges: take_ranges(cursor)? },
            17 => Self::TakesNothing,
            18 => {
                let (space, back) = (cursor.varint()?, present(cursor)?);
                Self::WantHistories { space, back, origins: take_origins(cursor)? }
            }
            19 => Self::Histories { space: cursor.varint()?, histories: take_histories(cursor)? },
            20 => Self::Contents { space: cursor.varint()?, blocks: take_contents(cursor)? },
            21 => {
                let space = cursor.varint()?;
                Self::Unlike { space, chunk: Box::new(SpelledChunk::decode(cursor)?) }
            }
            other => return Err(here.wrong(Problem::UnknownTag { found: other.into() })),
        })
    }

    /// A hello of another version says so, whatever follows in it.
    fn decode_hello(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let here = cursor.clone();
        if cursor.array()? != *MAGIC {
            return Err(here.wrong(Problem::Other("not a rejoin peer")));
        }
        let here = cursor.clone();
        let found = cursor.varint()?;
        if found != PROTOCOL_VERSION {
            return Err(here.wrong(Problem::UnknownVersion { known: PROTOCOL_VERSION, found }));
        }
        let (replica, nonce, opening) = (cursor.replica()?, cursor.array()?, cursor.tag()?);
        let (scope, call) = (Scope::decode(cursor)?, Call::decode(cursor)?);
        cursor.bytes(CREDENTIAL_BYTES)?;
        Ok(Self::Hello { replica, opening, nonce, scope, call })
    }
}

pub(super) fn text(cursor: &mut Cursor<'_>, limit: usize) -> Result<String, DecodeError> {
    let here = cursor.clone();
    let bytes = cursor.bytes(limit)?;
    core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| here.wrong(Problem::NotUtf8))
}

/// A tag that says whether something follows.
fn present(cursor: &mut Cursor<'_>) -> Result<bool, DecodeError> {
    match cursor.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
    }
}

impl Call {
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Each => out.push(0),
            Self::Since(meeting) => {
                out.push(1);
                out.extend_from_slice(&meeting);
            }
            Self::Compare => out.push(2),
        }
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(match cursor.u8()? {
            0 => Self::Each,
            1 => Self::Since(cursor.array()?),
            2 => Self::Compare,
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        })
    }
}

impl Standing {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.0);
        out.extend_from_slice(self.root.as_bytes());
        match &self.base {
            None => out.push(0),
            Some(base) => {
                out.push(1);
                out.extend_from_slice(&base.0);
            }
        }
        out.put_tagged(&self.changes);
        match &self.staged {
            None => out.push(0),
            Some((peer, upto)) => {
                out.push(1);
                out.extend_from_slice(peer.as_bytes());
                out.put_vector(upto);
            }
        }
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Box<Self>, DecodeError> {
        let hash = VectorHash(cursor.array()?);
        let root = RootHash::from_bytes(cursor.array()?);
        let base = present(cursor)?.then(|| cursor.array().map(VectorHash)).transpose()?;
        let changes = cursor.tagged(limits::VECTOR_REPLICAS)?;
        let staged = match present(cursor)? {
            false => None,
            true => Some((cursor.replica()?, cursor.vector(limits::VECTOR_REPLICAS)?)),
        };
        Ok(Box::new(Self { hash, root, base, changes, staged }))
    }
}

/// A hello of another version gets an error of its own.
pub(super) fn malformed(error: DecodeError) -> Error {
    match error.problem {
        Problem::UnknownVersion { known, found } => {
            PeerError::Version { ours: known, theirs: found }.into()
        }
        _ => PeerError::Malformed(error).into(),
    }
}
