//! Where nodes stand, and how they are named in frames.

use crate::causal::{ReplicaId, Seq};
use crate::codec::{Cursor, DecodeError, Problem, Put};

/// The level whose one node covers every seq there is.
pub const MAX_LEVEL: u8 = 10;

/// Bits of a seq that say where in its block it stands.
const BLOCK_BITS: u32 = 8;
/// Bits of an index that say which child it is.
const FAN_BITS: u32 = 6;
/// Children of an inner node, at most.
pub(super) const FAN_OUT: u64 = 1 << FAN_BITS;
const MAX_BLOCK: u64 = u64::MAX >> BLOCK_BITS;

/// A node of the tree.
///
/// The order is that of the tree from left to right among children of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// The root; its children are the buckets.
    Root,
    /// The origins whose id begins with this byte.
    Bucket(u8),
    /// A node of an origin's tree: a block at level 0, where [`live_bits`](super::live_bits)
    /// tells what is live, and an inner node above.
    Inner {
        /// Whose events.
        origin: ReplicaId,
        /// How high it stands, at most [`MAX_LEVEL`].
        level: u8,
        /// The how many-th of its level, from 0.
        index: u64,
    },
}

/// The block in which `seq` stands.
pub(crate) const fn block_of(seq: Seq) -> u64 {
    seq.get() >> BLOCK_BITS
}

/// The place of `seq` in its block.
pub(crate) const fn low_byte(seq: Seq) -> u8 {
    seq.get() as u8
}

/// The least and greatest seq of a block; `None` where no seq is that great.
pub(super) const fn seqs(block: u64) -> Option<(u64, u64)> {
    if block > MAX_BLOCK {
        return None;
    }
    let first = block << BLOCK_BITS;
    Some((first, first | 0xff))
}

/// The index, `levels` higher, of the node above `index`.
pub(super) const fn above(index: u64, levels: u8) -> u64 {
    match index.checked_shr(FAN_BITS * levels as u32) {
        Some(index) => index,
        None => 0,
    }
}

/// The index of the first child of node `index`.
pub(super) const fn first_child(index: u64) -> u64 {
    index << FAN_BITS
}

/// The position of child `index` at its parent.
pub(super) const fn position(index: u64) -> u8 {
    (index % FAN_OUT) as u8
}

/// The least level whose node 0 covers all seqs up to `seq`. Both sides of a walk take
/// the seq of their common cut, so they agree where an origin's tree begins.
#[must_use]
pub const fn top_level(seq: Seq) -> u8 {
    let (mut rest, mut level) = (block_of(seq), 0);
    while rest > 0 {
        rest >>= FAN_BITS;
        level += 1;
    }
    level
}

/// Whether there can be such a node.
pub(crate) const fn exists(level: u8, index: u64) -> bool {
    level <= MAX_LEVEL && index <= above(MAX_BLOCK, level)
}

/// The nodes to open next: those on either side alone, or on both with different hashes.
/// Both lists ascend, as [`children`](super::children) makes them, with whole hashes or
/// [`short`](super::short) ones.
#[must_use]
pub fn differing<H: PartialEq>(mine: &[(Node, H)], theirs: &[(Node, H)]) -> Vec<Node> {
    let (mut mine, mut theirs) = (mine.iter().peekable(), theirs.iter().peekable());
    let mut found = Vec::new();
    loop {
        let (left, right) = match (mine.peek(), theirs.peek()) {
            (None, None) => return found,
            (Some((node, _)), None) | (None, Some((node, _))) => {
                found.push(*node);
                mine.next();
                theirs.next();
                continue;
            }
            (Some(left), Some(right)) => (*left, *right),
        };
        if left.0 <= right.0 {
            mine.next();
        }
        if right.0 <= left.0 {
            theirs.next();
        }
        if left.0 != right.0 || left.1 != right.1 {
            found.push(left.0.min(right.0));
        }
    }
}

const ROOT_TAG: u8 = 0;
const BUCKET_TAG: u8 = 1;
const INNER_TAG: u8 = 2;

/// Appends a node's name to a frame: a tag; for a bucket its byte; for a node of an origin
/// its id (16 bytes), level (1) and index (varint).
pub fn put_node(buf: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Root => buf.push(ROOT_TAG),
        Node::Bucket(bucket) => buf.extend_from_slice(&[BUCKET_TAG, *bucket]),
        Node::Inner { origin, level, index } => {
            buf.push(INNER_TAG);
            buf.extend_from_slice(origin.as_bytes());
            buf.push(*level);
            buf.put_varint(*index);
        }
    }
}

/// Reads a node's name, as [`put_node`] wrote it.
///
/// # Errors
/// It is cut short, not canonical, or names a node that no tree can have.
pub fn read_node(cursor: &mut Cursor<'_>) -> Result<Node, DecodeError> {
    let here = cursor.clone();
    match cursor.u8()? {
        ROOT_TAG => Ok(Node::Root),
        BUCKET_TAG => Ok(Node::Bucket(cursor.u8()?)),
        INNER_TAG => {
            let origin = cursor.replica()?;
            let here = cursor.clone();
            let level = cursor.u8()?;
            if level > MAX_LEVEL {
                let limit = usize::from(MAX_LEVEL);
                return Err(here.wrong(Problem::TooMany { limit, found: u64::from(level) }));
            }
            let here = cursor.clone();
            let index = cursor.varint()?;
            if !exists(level, index) {
                return Err(here.wrong(Problem::Other("a node beyond the last seq")));
            }
            Ok(Node::Inner { origin, level, index })
        }
        tag => Err(here.wrong(Problem::UnknownTag { found: u64::from(tag) })),
    }
}
