//! Frames made and read by hand, for the simulator's liars and for fuzzers.

use super::Scope;
use super::message::{Message, Standing};
use super::nodes::Opened;
use super::roll::Call;
use crate::causal::{ReplicaId, Tag, TaggedVector, VersionVector};
use crate::codec::{Cursor, DecodeError};
use crate::digest::{Node, RootHash};
use crate::space::{Chunk, VectorHash};

/// Reads the messages of a frame one by one, as a session does, and keeps none.
///
/// # Errors
/// As a session's.
pub(crate) fn read(messages: &[u8]) -> Result<(), DecodeError> {
    each(messages, |_, _| ())
}

/// The tags of the messages of a frame.
///
/// # Errors
/// As a session's.
pub(crate) fn tags(messages: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut tags = Vec::new();
    each(messages, |_, bytes| tags.extend(bytes.first()))?;
    Ok(tags)
}

/// The first message that is spelled otherwise when it is written again, in words. What a
/// newer version may add is left out by this one, and does not count.
///
/// # Errors
/// As a session's.
pub(crate) fn respelled(messages: &[u8]) -> Result<Option<String>, DecodeError> {
    let mut found = None;
    each(messages, |message, bytes| {
        let mut again = Vec::new();
        message.encode(&mut again);
        let newer = matches!(message, Message::Hello { .. } | Message::GiveUp { .. });
        if again != bytes && !newer {
            found.get_or_insert(format!("{message:?}"));
        }
    })?;
    Ok(found)
}

fn each(messages: &[u8], mut visit: impl FnMut(Message, &[u8])) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new("frame", messages);
    while cursor.remaining() > 0 {
        let from = messages.len() - cursor.remaining();
        let message = Message::decode(&mut cursor)?;
        let to = messages.len() - cursor.remaining();
        visit(message, messages.get(from..to).unwrap_or_default());
    }
    Ok(())
}

/// What a liar says of how a space stands at its side.
#[derive(Clone, Debug)]
pub(crate) struct Stands {
    /// Its vector, of which nothing is left out.
    pub(crate) vector: VersionVector,
    /// The vector whose hash it gives, which may be another one.
    pub(crate) hash_of: VersionVector,
    pub(crate) root: [u8; 32],
}

impl Stands {
    fn standing(&self) -> Box<Standing> {
        Box::new(Standing {
            hash: VectorHash::of(&TaggedVector::untagged(&self.hash_of)),
            root: RootHash::from_bytes(self.root),
            base: None,
            changes: TaggedVector::untagged(&self.vector),
            staged: None,
        })
    }
}

/// A message for a frame made by hand.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Hello(ReplicaId),
    AllOpened,
    Open(u64, String, Stands),
    Answer(u64, Stands),
    WantVector(u64),
    Chunk(u64, Chunk),
    Proof(u64, [u8; 32]),
    Again(u64),
    Nodes(u64, Vec<Family>, Vec<(ReplicaId, u64)>),
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// A node and its children, each with what its hash is shortened to.
pub(crate) type Family = (Node, Vec<(Node, [u8; 8])>);

/// A frame of these messages.
pub(crate) fn messages(says: &[Say]) -> Vec<u8> {
    let mut out = Vec::new();
    for say in says.iter().cloned() {
        let message = match say {
            Say::Hello(replica) => {
                let (opening, nonce) = (Tag::UNKNOWN, [9; 16]);
                Message::Hello { replica, opening, nonce, scope: Scope::All, call: Call::Each }
            }
            Say::AllOpened => Message::AllOpened,
            Say::Open(space, name, stands) => {
                Message::Open { space, name, standing: stands.standing() }
            }
            Say::Answer(space, stands) => Message::Answer { space, standing: stands.standing() },
            Say::WantVector(space) => Message::WantVector { space },
            Say::Chunk(space, chunk) => Message::Chunk { space, chunk: Box::new(chunk.spelled()) },
            Say::Proof(space, root) => Message::Proof { space, root: RootHash::from_bytes(root) },
            Say::Again(space) => Message::Again { space },
            Say::Nodes(space, families, blocks) => {
                let opened = families.iter().map(|(node, all)| Opened::new(*node, all)).collect();
                Message::Nodes { space, opened, blocks }
            }
            Say::Raw(bytes) => {
                out.extend_from_slice(&bytes);
                continue;
            }
        };
        message.encode(&mut out);
    }
    out
}

/// What a liar hears and answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A space is opened, or its opening answered.
    Stands(u64),
    Chunk(u64),
    Proof(u64),
    /// Nodes of the digest, each of which has these children.
    Nodes(u64, Vec<Node>),
}

/// What is said in a frame of the victim's, at a cut of this vector.
pub(crate) fn heard(frame: &[u8], cut: &VersionVector) -> Vec<Heard> {
    let mut all = Vec::new();
    let mut cursor = Cursor::new("frame", frame);
    let numbered = cursor.varint().is_ok();
    debug_assert!(numbered, "a session numbers its frames");
    let read = each(cursor.take_rest(), |message, _| match message {
        Message::Open { space, .. } | Message::Answer { space, .. } => {
            all.push(Heard::Stands(space));
        }
        Message::Chunk { space, .. } => all.push(Heard::Chunk(space)),
        Message::Proof { space, .. } => all.push(Heard::Proof(space)),
        Message::Nodes { space, opened, .. } => {
            let children = opened.iter().flat_map(|opened| opened.nodes(cut)).map(|c| c.0);
            all.push(Heard::Nodes(space, children.collect()));
        }
        _ => {}
    });
    debug_assert!(read.is_ok(), "a session sends what can be read: {read:?}");
    all
}

/// A frame in words, for the story of a world.
pub(crate) fn describe(frame: &[u8]) -> String {
    let mut cursor = Cursor::new("frame", frame);
    let _ = cursor.varint();
    let mut words = Vec::new();
    if let Err(error) = each(cursor.take_rest(), |message, _| words.push(format!("{message:?}"))) {
        words.push(error.to_string());
    }
    words.join(", ")
}
