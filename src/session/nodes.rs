//! Nodes of the digests, as they travel in a walk.
//!
//! ```text
//! nodes  := count, (node, count, (child, short hash (8)) …) …    ascending, and so the children
//! child  := its byte beneath the root, its origin (16) beneath a bucket,
//!           its position among the 64 (1) beneath another node
//! blocks := count, (origin (16), block) …                        ascending
//! ```

use crate::causal::{ReplicaId, VersionVector};
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::digest::{self, Node, put_node, read_node};

/// A hash as it travels: shortened under the key of the session.
pub(super) type Short = [u8; 8];

/// Blocks of origins, ascending.
pub(super) type Blocks = Vec<(ReplicaId, u64)>;

/// The children of a node of the digest, as one side has them, in their short form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) node: Node,
    pub(super) children: Vec<(Child, Short)>,
}

/// A child, by what its parent does not say already: so a list of them takes little more
/// memory than bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Child {
    /// A bucket of the root, or which of its children an origin's node has there.
    At(u8),
    /// The topmost node of an origin: both sides know it from the cut.
    Origin(ReplicaId),
}

impl Child {
    fn of(parent: &Node, child: &Node) -> Option<Self> {
        match (parent, child) {
            (_, Node::Root) => None,
            (_, Node::Bucket(bucket)) => Some(Self::At(*bucket)),
            (Node::Inner { .. }, Node::Inner { index, .. }) => Some(Self::At((index % 64) as u8)),
            (_, Node::Inner { origin, .. }) => Some(Self::Origin(*origin)),
        }
    }

    /// The node that it names.
    fn beneath(self, parent: &Node, cut: &VersionVector) -> Option<Node> {
        match (*parent, self) {
            (Node::Root, Self::At(bucket)) => Some(Node::Bucket(bucket)),
            (Node::Bucket(_), Self::Origin(origin)) => {
                let level = digest::top_level(cut.get(origin));
                Some(Node::Inner { origin, level, index: 0 })
            }
            (Node::Inner { origin, level, index }, Self::At(position)) if position < 64 => {
                let index = index.checked_mul(64)? | u64::from(position);
                let level = level.checked_sub(1)?;
                digest::exists(level, index).then_some(Node::Inner { origin, level, index })
            }
            _ => None,
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::At(position) => out.push(position),
            Self::Origin(origin) => out.extend_from_slice(origin.as_bytes()),
        }
    }

    fn take(cursor: &mut Cursor<'_>, parent: &Node) -> Result<Self, DecodeError> {
        let here = cursor.clone();
        let (child, wrong) = match parent {
            Node::Bucket(bucket) => {
                let origin = cursor.replica()?;
                if origin.as_bytes().first() != Some(bucket) {
                    let wrong = "an origin in a bucket that is not its own";
                    return Err(here.wrong(Problem::Other(wrong)));
                }
                return Ok(Self::Origin(origin));
            }
            _ => (Self::At(cursor.u8()?), "a child that its node cannot have"),
        };
        match child.beneath(parent, &VersionVector::new()) {
            Some(_) => Ok(child),
            None => Err(here.wrong(Problem::Other(wrong))),
        }
    }
}

impl Opened {
    pub(super) fn new(node: Node, children: &[(Node, Short)]) -> Self {
        let child = |(child, short): &(Node, Short)| Some((Child::of(&node, child)?, *short));
        Self { node, children: children.iter().filter_map(child).collect() }
    }

    /// The children as nodes.
    pub(super) fn nodes(&self, cut: &VersionVector) -> Vec<(Node, Short)> {
        let node =
            |(child, short): &(Child, Short)| Some((child.beneath(&self.node, cut)?, *short));
        self.children.iter().filter_map(node).collect()
    }
}

pub(super) fn put_nodes(out: &mut Vec<u8>, opened: &[Opened], blocks: &[(ReplicaId, u64)]) {
    out.put_varint(opened.len() as u64);
    for Opened { node, children } in opened {
        put_node(out, node);
        out.put_varint(children.len() as u64);
        for (child, short) in children {
            child.put(out);
            out.extend_from_slice(short);
        }
    }
    out.put_varint(blocks.len() as u64);
    for (origin, block) in blocks {
        out.extend_from_slice(origin.as_bytes());
        out.put_varint(*block);
    }
}

pub(super) fn take_nodes(cursor: &mut Cursor<'_>) -> Result<(Vec<Opened>, Blocks), DecodeError> {
    let count = cursor.count(2, limits::FRAME_BYTES)?;
    // There is one root and 256 buckets; the name of any other node has 19 bytes or more.
    let room = count.min(257 + cursor.remaining() / 19);
    let mut opened: Vec<Opened> = Vec::with_capacity(room);
    for _ in 0..count {
        let node = read_node(cursor)?;
        if opened.last().is_some_and(|last| last.node >= node) {
            return Err(cursor.wrong(Problem::Unsorted));
        }
        let children_count = cursor.count(9, limits::VECTOR_REPLICAS)?;
        let mut children: Vec<(Child, Short)> = Vec::with_capacity(children_count);
        for _ in 0..children_count {
            let child = Child::take(cursor, &node)?;
            if children.last().is_some_and(|(last, _)| *last >= child) {
                return Err(cursor.wrong(Problem::Unsorted));
            }
            children.push((child, cursor.array()?));
        }
        opened.push(Opened { node, children });
    }
    let count = cursor.count(17, limits::FRAME_BYTES)?;
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        let block = (cursor.replica()?, cursor.varint()?);
        if blocks.last().is_some_and(|last| *last >= block) {
            return Err(cursor.wrong(Problem::Unsorted));
        }
        blocks.push(block);
    }
    Ok((opened, blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A liar listed such a child; who opened it said what nobody can read.
    #[test]
    fn a_child_beyond_the_last_seq_is_refused() {
        let top = Node::Inner { origin: ReplicaId::from_bytes([1; 16]), level: 10, index: 0 };
        for (position, exists) in [(3, true), (4, false), (63, false), (64, false)] {
            let opened = Opened { node: top, children: vec![(Child::At(position), [1; 8])] };
            let mut bytes = Vec::new();
            put_nodes(&mut bytes, core::slice::from_ref(&opened), &[]);
            let taken = take_nodes(&mut Cursor::new("nodes", &bytes));
            assert_eq!(taken.is_ok(), exists, "{position}: {taken:?}");
        }
    }
}
