//! The walk: down the two digests to the blocks in which they differ.
//!
//! Each message opens some nodes: it lists their children as the sender has them, at the
//! cut that both have reached, in the eight-byte form that is keyed for this session. The
//! other side compares and opens, in its answer, those that differ; so a level costs half
//! a round trip. It ends where nothing is left to open: the blocks found so far, of 256
//! events each, hold every difference. A tree is at most ten levels high, and only what
//! differs is opened, so a walk costs about `64 × 9` bytes for each node above a difference.
//! It does not help where everything differs; then it costs a fiftieth of the items.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::nodes::{Blocks, Opened, Short};
use crate::causal::VersionVector;
use crate::digest::{self, Node};
use crate::error::Error;
use crate::space::Space;

/// Children listed at the start without knowing whether they differ, at most.
const GREEDY_CHILDREN: usize = 256;

/// Blocks that one walk repairs, at most; a proof that still fails begins another.
const WALK_BLOCKS: usize = 100_000;

/// Nodes that both may open in a walk for each difference, at most, beside those for a few:
/// as many as lead from the root down to a block. An origin of 2⁴⁴ events and more has a
/// higher tree, and more of them.
const DESCENTS: usize = 8;
const FEW_DIFFERENCES: usize = 16;

/// How many nodes both may open that led to so many differences. A node is opened because it
/// differs, so a difference stands beneath it; who opens many and shows none is lying, or
/// what differed has gone meanwhile.
pub(super) fn most_descents(differences: usize, cut: &VersionVector) -> usize {
    let height = cut.iter().map(|(_, seq)| usize::from(digest::top_level(seq))).max();
    let a_path = DESCENTS.max(2 + height.unwrap_or(0));
    a_path.saturating_mul(differences.saturating_add(FEW_DIFFERENCES))
}

/// Whether the nodes that the peer opened are children of those that this side opened in
/// its last message, or of others that come with them: who opens what nobody listed asks
/// for work without end. The first ones of a walk begin with the root.
pub(super) fn follows(opened: &[Opened], asked: &[Node], cut: &VersionVector) -> bool {
    let is_opened = |node: &Node| opened.binary_search_by_key(node, |o| o.node).is_ok();
    opened.iter().all(|Opened { node, .. }| match parent(node, cut) {
        Some(parent) => asked.binary_search(&parent).is_ok() || is_opened(&parent),
        None => asked.is_empty() && *node == Node::Root,
    })
}

/// The node that lists this one, in the tree of the cut.
fn parent(node: &Node, cut: &VersionVector) -> Option<Node> {
    let Node::Inner { origin, level, index } = *node else {
        return matches!(node, Node::Bucket(_)).then_some(Node::Root);
    };
    match level.cmp(&digest::top_level(cut.get(origin))) {
        Ordering::Less => Some(Node::Inner { origin, level: level + 1, index: index / 64 }),
        Ordering::Equal if index == 0 => {
            Some(Node::Bucket(origin.as_bytes().first().copied().unwrap_or_default()))
        }
        _ => None,
    }
}

/// The key under which hashes are shortened in a session: an attacker who makes items
/// cannot aim at nonces.
pub(super) fn short_key(opener: &[u8; 16], answerer: &[u8; 16]) -> [u8; 32] {
    blake3::derive_key("rejoin 2026 walk", &[opener.as_slice(), answerer].concat())
}

/// Reads nodes of one side at the cut.
struct Side<'a> {
    space: &'a Space,
    cut: &'a VersionVector,
    key: &'a [u8; 32],
}

/// A node and its children.
type Family = (Node, Vec<(Node, Short)>);

impl Side<'_> {
    /// The children of some nodes.
    fn open(&self, nodes: &[Node]) -> Result<Vec<Family>, Error> {
        self.space.with_digest(|rows, number, vector| {
            let open = |node: &Node| {
                let children = digest::children(rows, number, vector, self.cut, node)?;
                let short = |(child, hash)| (child, digest::short(&hash, self.key));
                Ok((*node, children.into_iter().map(short).collect()))
            };
            nodes.iter().map(open).collect()
        })
    }
}

fn told(families: &[Family]) -> Vec<Opened> {
    families.iter().map(|(node, children)| Opened::new(*node, children)).collect()
}

/// What one side answers to the nodes that the other opened.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Nodes to open in the answer.
    pub(super) opened: Vec<Opened>,
    /// Blocks that differ.
    pub(super) blocks: Blocks,
}

/// The first step: the root and, while they are few, what is beneath it.
pub(super) fn start(
    space: &Space,
    cut: &VersionVector,
    key: &[u8; 32],
) -> Result<Vec<Opened>, Error> {
    let side = Side { space, cut, key };
    let mut all = side.open(&[Node::Root])?;
    let mut level = all.clone();
    loop {
        let children = level.iter().flat_map(|(_, children)| children.iter().map(|c| c.0));
        let next: Vec<Node> = children.filter(can_open).collect();
        level = side.open(&next)?;
        let listed: usize = all.iter().chain(&level).map(|(_, children)| children.len()).sum();
        if next.is_empty() || listed > GREEDY_CHILDREN {
            all.sort_by_key(|(node, _)| *node);
            return Ok(told(&all));
        }
        all.extend(level.iter().cloned());
    }
}

fn can_open(node: &Node) -> bool {
    !matches!(node, Node::Inner { level: 0, .. })
}

/// Compares what the other side opened with what is here.
pub(super) fn compare(
    space: &Space,
    cut: &VersionVector,
    key: &[u8; 32],
    theirs: Vec<Opened>,
) -> Result<Step, Error> {
    let side = Side { space, cut, key };
    let mut theirs: BTreeMap<Node, Vec<(Node, Short)>> =
        theirs.iter().map(|opened| (opened.node, opened.nodes(cut))).collect();
    // Where a node is listed together with its parent, whether it differs is not known yet.
    let beneath: BTreeSet<Node> = theirs.values().flatten().map(|child| child.0).collect();
    let mut work: VecDeque<Node> =
        theirs.keys().filter(|node| !beneath.contains(node)).copied().collect();
    let (mut blocks, mut open) = (Vec::new(), Vec::new());
    while let Some(node) = work.pop_front() {
        let Some(listed) = theirs.remove(&node) else { continue };
        let mine = side.open(&[node])?.pop().map(|family| family.1).unwrap_or_default();
        for child in digest::differing(&mine, &listed) {
            match child {
                Node::Inner { origin, level: 0, index } => blocks.push((origin, index)),
                _ if theirs.contains_key(&child) => work.push_back(child),
                _ => open.push(child),
            }
        }
    }
    blocks.sort_unstable();
    blocks.truncate(WALK_BLOCKS);
    open.sort_unstable();
    Ok(Step { opened: told(&side.open(&open)?), blocks })
}
