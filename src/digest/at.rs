//! The digest at a cut: what its root and nodes would be if nothing later were there.

use super::hash::{BucketHasher, ItemHash, NodeHash, RootHash, inner};
use super::node::{FAN_OUT, Node, above, block_of, exists, first_child, position, seqs, top_level};
use super::refresh::{bucket_of, is_clean};
use super::rows::{self, Children, Origin};
use crate::causal::{ReplicaId, Seq, VersionVector};
use crate::storage::{Read, StorageError};

/// Origins of a bucket read at a time.
const PAGE: usize = 1024;

/// The root over the live dots that `cut` covers, of a space whose digest is clean and
/// whose vector is `vector`. Where the cut names more than the vector, the vector counts.
///
/// # Errors
/// The storage failed.
pub fn root_at(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
    cut: &VersionVector,
) -> Result<RootHash, StorageError> {
    let at = At::new(read, space, vector, cut)?;
    Ok(RootHash::of_buckets(&at.buckets()?))
}

/// The children of a node that are present at `cut`, ascending, with their hashes; of a
/// space whose digest is clean and whose vector is `vector`.
///
/// The nodes depend on the cut alone, so two replicas at one cut speak of the same ones. A
/// block has no children, nor has a node that the cut does not reach: a name that a
/// peer made up costs a lookup.
///
/// # Errors
/// The storage failed.
pub fn children(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
    cut: &VersionVector,
    node: &Node,
) -> Result<Vec<(Node, NodeHash)>, StorageError> {
    let at = At::new(read, space, vector, cut)?;
    match *node {
        Node::Root => {
            let buckets = at.buckets()?.into_iter();
            Ok(buckets.map(|(bucket, hash)| (Node::Bucket(bucket), hash)).collect())
        }
        Node::Bucket(bucket) => {
            let mut found = Vec::new();
            at.each_origin(bucket, &mut |origin, hash| {
                let level = top_level(cut.get(origin));
                found.push((Node::Inner { origin, level, index: 0 }, hash));
            })?;
            Ok(found)
        }
        Node::Inner { origin, level, index } => {
            let Some(below) = level.checked_sub(1).filter(|_| exists(level, index)) else {
                return Ok(Vec::new());
            };
            let children = at.children(origin, level, index)?.into_iter();
            let first = first_child(index);
            let name = |at: u8| Node::Inner { origin, level: below, index: first + u64::from(at) };
            Ok(children.map(|(at, hash)| (name(at), hash)).collect())
        }
    }
}

/// Which dots of a block are live and covered by `cut` (and `vector`, the space's own):
/// dot 256 × `block` + *i* is bit *i* % 8, the lowest being 0, of byte *i* / 8.
///
/// Needs no clean digest.
///
/// # Errors
/// The storage failed.
pub fn live_bits(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
    cut: &VersionVector,
    origin: ReplicaId,
    block: u64,
) -> Result<[u8; 32], StorageError> {
    let mut bits = [0_u8; 32];
    let last = vector.get(origin).min(cut.get(origin));
    rows::each_live(read, space, origin, block, last, &mut |low, _| {
        if let Some(byte) = bits.get_mut(usize::from(low / 8)) {
            *byte |= 1 << (low % 8);
        }
    })?;
    Ok(bits)
}

/// Whether the live dots of a block are those of which its hash was made, in a space whose digest
/// is clean and whose vector is `vector`. A hole in the rows would, to others, be a removal.
///
/// # Errors
/// The storage failed.
pub fn is_as_hashed(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
    origin: ReplicaId,
    block: u64,
) -> Result<bool, StorageError> {
    let kept = rows::block(read, space, origin, block)?;
    Ok(kept == rows::made_block(read, space, origin, block, vector.get(origin))?)
}

/// The live dots of a block that `cut` and `vector` cover, with their hashes: what to look
/// at where blocks differ and their bits do not, because one dot has two contents.
///
/// Needs no clean digest.
///
/// # Errors
/// The storage failed.
pub fn live_hashes(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
    cut: &VersionVector,
    origin: ReplicaId,
    block: u64,
) -> Result<Vec<(Seq, ItemHash)>, StorageError> {
    let mut found = Vec::new();
    let last = vector.get(origin).min(cut.get(origin));
    let first = seqs(block).map_or(0, |(first, _)| first);
    rows::each_live(read, space, origin, block, last, &mut |low, item| {
        found.push((Seq::new(first | u64::from(low)), item));
    })?;
    Ok(found)
}

/// The bits of what I hold and they do not. Both have seen all of it, so it was removed.
#[must_use]
pub fn dead_of(mine: &[u8; 32], theirs: &[u8; 32]) -> [u8; 32] {
    let mut dead = *mine;
    for (mine, theirs) in dead.iter_mut().zip(theirs) {
        *mine &= !theirs;
    }
    dead
}

/// The seqs that the bits of a block name, ascending.
pub fn seqs_of(block: u64, bits: &[u8; 32]) -> impl Iterator<Item = Seq> + '_ {
    let first = seqs(block).map(|(first, _)| first);
    let set = |byte: u8| (0..8_u64).filter(move |bit| byte & (1 << bit) != 0);
    let places = bits.iter().zip(0_u64..).flat_map(move |(b, at)| set(*b).map(move |i| at * 8 + i));
    places.filter_map(move |place| Some(Seq::new(first? | place)))
}

struct At<'a> {
    read: &'a dyn Read,
    space: u32,
    vector: &'a VersionVector,
    cut: &'a VersionVector,
}

impl<'a> At<'a> {
    fn new(
        read: &'a dyn Read,
        space: u32,
        vector: &'a VersionVector,
        cut: &'a VersionVector,
    ) -> Result<Self, StorageError> {
        debug_assert!(is_clean(read, space)?, "refresh before asking for hashes");
        Ok(Self { read, space, vector, cut })
    }

    /// The buckets present at the cut.
    fn buckets(&self) -> Result<Vec<(u8, NodeHash)>, StorageError> {
        let mut touched = [false; 256];
        for (origin, _) in self.vector.beyond(self.cut).iter() {
            if let Some(touched) = touched.get_mut(usize::from(bucket_of(origin))) {
                *touched = true;
            }
        }
        let mut found = rows::buckets(self.read, self.space)?;
        let mut emptied = [false; 256];
        for (bucket, hash) in &mut found {
            if touched.get(usize::from(*bucket)) != Some(&true) {
                continue;
            }
            let mut hasher = BucketHasher::new();
            self.each_origin(*bucket, &mut |origin, hash| hasher.push(origin, hash))?;
            match hasher.finish() {
                Some(made) => *hash = made,
                None => {
                    if let Some(emptied) = emptied.get_mut(usize::from(*bucket)) {
                        *emptied = true;
                    }
                }
            }
        }
        found.retain(|(bucket, _)| emptied.get(usize::from(*bucket)) != Some(&true));
        Ok(found)
    }

    /// Visits the origins of a bucket that are present at the cut.
    fn each_origin(
        &self,
        bucket: u8,
        visit: &mut dyn FnMut(ReplicaId, NodeHash),
    ) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let page = rows::origins(self.read, self.space, bucket, after, PAGE)?;
            for (origin, kept) in &page {
                let cut = self.cut.get(*origin);
                let hash = if self.vector.get(*origin) <= cut {
                    Some(kept.hash)
                } else {
                    self.edge(*origin, kept, cut, top_level(cut))?
                };
                if let Some(hash) = hash {
                    visit(*origin, hash);
                }
            }
            after = match page.last() {
                Some((origin, _)) if page.len() == PAGE => Some(*origin),
                _ => return Ok(()),
            };
        }
    }

    /// The node of `level` that holds the seq `cut`, without what is later.
    fn edge(
        &self,
        origin: ReplicaId,
        kept: &Origin,
        cut: Seq,
        level: u8,
    ) -> Result<Option<NodeHash>, StorageError> {
        if cut.is_zero() {
            return Ok(None);
        }
        let last = block_of(cut);
        let made = rows::made_block(self.read, self.space, origin, last, cut)?;
        let mut hash = made.map(|block| block.hash);
        for below in 0..level {
            let edge = above(last, below);
            let index = above(edge, 1);
            let mut children = self.kept(origin, kept, below, first_child(index), edge)?;
            children.extend(hash.map(|hash| (position(edge), hash)));
            hash = inner(below + 1, index, &children);
        }
        Ok(hash)
    }

    /// The kept nodes of a level, which are children of one node, from one index up to but
    /// without another.
    fn kept(
        &self,
        origin: ReplicaId,
        kept: &Origin,
        level: u8,
        from: u64,
        to: u64,
    ) -> Result<Children, StorageError> {
        if level <= kept.height {
            return rows::siblings(self.read, self.space, (origin, level), from, to);
        }
        // Above the rows there is one node, the first, and it is the whole origin. It stands
        // before `to`: below the top of a cut's tree, the edge is never the first node.
        Ok((from == 0).then_some((0, kept.hash)).into_iter().collect())
    }

    fn children(&self, origin: ReplicaId, level: u8, index: u64) -> Result<Children, StorageError> {
        let cut = self.cut.get(origin);
        let (below, first) = (level - 1, first_child(index));
        let end = first + FAN_OUT;
        let edge = above(block_of(cut), below);
        if cut.is_zero() || level > top_level(cut) || first > edge {
            return Ok(Children::new());
        }
        let Some(kept) = rows::origin(self.read, self.space, origin)? else {
            return Ok(Children::new());
        };
        if self.vector.get(origin) <= cut {
            return self.kept(origin, &kept, below, first, end);
        }
        let mut children = self.kept(origin, &kept, below, first, end.min(edge))?;
        if edge < end {
            let hash = self.edge(origin, &kept, cut, below)?;
            children.extend(hash.map(|hash| (position(edge), hash)));
        }
        Ok(children)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quickcheck::TestResult;

    use super::super::reference;
    use super::super::testing::{SPACE, Step, World, check, dot_key};
    use super::*;
    use crate::causal::Dot;
    use crate::storage::{Table, Write};

    #[test]
    fn a_block_is_as_hashed_until_a_row_of_it_is_lost() {
        fn property(steps: Vec<Step>, lost: u16) -> TestResult {
            let mut world = World::after(&steps);
            world.refresh();
            let block = |dot: &Dot| (dot.replica, dot.seq.get() / 256);
            let blocks: BTreeSet<_> = world.live.keys().map(block).collect();
            let is_whole = |world: &World, (origin, block): (ReplicaId, u64)| {
                is_as_hashed(&world.rows, SPACE, &world.vector, origin, block).unwrap()
            };
            assert!(blocks.iter().all(|block| is_whole(&world, *block)));
            let lost = usize::from(lost) % world.live.len().max(1);
            let Some(lost) = world.live.keys().nth(lost) else { return TestResult::discard() };
            world.rows.delete(Table::Dots, &dot_key(SPACE, *lost)).unwrap();
            let hurt = block(lost);
            let found = blocks.iter().all(|block| is_whole(&world, *block) == (*block != hurt));
            TestResult::from_bool(found)
        }
        check(property as fn(_, _) -> _);
    }

    #[test]
    fn a_bucket_of_more_origins_than_two_pages_is_read_whole() {
        let first = |n: usize| {
            let mut id = [5; 16];
            id[8..].copy_from_slice(&(n as u64).to_be_bytes());
            Dot::new(ReplicaId::from_bytes(id), Seq::FIRST)
        };
        let mut world = World::default();
        (0..=2 * PAGE).for_each(|n| world.add(first(n)));
        world.refresh();
        // Without one of them the bucket is another one.
        let cut = (1..=2 * PAGE).map(first).collect();
        let at = (&world.rows, SPACE, &world.vector, &cut);
        let found = root_at(at.0, at.1, at.2, at.3).unwrap();
        assert_eq!(found, reference::root(&world.covered(&cut)));
        let listed = children(at.0, at.1, at.2, at.3, &Node::Bucket(5)).unwrap();
        assert_eq!(listed.len(), 2 * PAGE);
    }
}
