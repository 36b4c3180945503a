//! The root from nothing but the rows of dots.

use super::hash::{BlockHasher, BucketHasher, NodeHash, RootHash, inner};
use super::node::{MAX_LEVEL, above, block_of, low_byte, position};
use super::refresh::bucket_of;
use super::rows::{self, Block, Children};
use crate::causal::{ReplicaId, VersionVector};
use crate::storage::{Read, StorageError};

/// The root over the live dots that `vector` covers, made from the rows of dots alone, in
/// one pass over all of them and with the memory of a few nodes. A kept root that differs
/// means that the store is corrupt, or that a change was not marked.
///
/// # Errors
/// The storage failed.
pub fn recompute(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
) -> Result<RootHash, StorageError> {
    each_made(read, space, vector, &mut |_| ())
}

/// What the tree is made of, from the left to the right and each node behind its children.
pub(super) enum Made {
    /// A block.
    Block(ReplicaId, u64, Block),
    /// The node of an origin on a level from 1, by its index.
    Inner(ReplicaId, (u8, u64), NodeHash),
    /// All of an origin.
    Origin(ReplicaId, NodeHash),
    /// All of a bucket.
    Bucket(u8, NodeHash),
}

/// The same, and shows each node as it is made.
pub(super) fn each_made(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
    made: &mut dyn FnMut(Made),
) -> Result<RootHash, StorageError> {
    let mut tree = Tree {
        made,
        block: None,
        origin: None,
        levels: Default::default(),
        bucket: None,
        buckets: Vec::new(),
    };
    let mut seen = None;
    rows::each_dot(read, space, &mut |origin, seq, item| {
        let last = match seen {
            Some((known, last)) if known == origin => last,
            _ => seen.insert((origin, vector.get(origin))).1,
        };
        if seq > last {
            return;
        }
        let block = block_of(seq);
        match &mut tree.block {
            Some((place, live, hasher)) if *place == (origin, block) => {
                *live += 1;
                hasher.push(low_byte(seq), item);
            }
            _ => {
                tree.end_block();
                if tree.origin != Some(origin) {
                    tree.end_origin();
                    tree.origin = Some(origin);
                }
                let mut hasher = BlockHasher::new(origin, block);
                hasher.push(low_byte(seq), item);
                tree.block = Some(((origin, block), 1, hasher));
            }
        }
    })?;
    Ok(tree.finish())
}

/// The right edge of a tree that grows to the right.
struct Tree<'a> {
    made: &'a mut dyn FnMut(Made),
    /// The block that is still growing, and how many live dots it has.
    block: Option<((ReplicaId, u64), u16, BlockHasher)>,
    origin: Option<ReplicaId>,
    /// For each level from 1 the node that is still growing: its index and children.
    levels: [(u64, Children); MAX_LEVEL as usize],
    bucket: Option<(u8, BucketHasher)>,
    buckets: Vec<(u8, NodeHash)>,
}

impl Tree<'_> {
    fn end_block(&mut self) {
        if let Some(((origin, block), live, hasher)) = self.block.take()
            && let Some(hash) = hasher.finish()
        {
            (self.made)(Made::Block(origin, block, Block { hash, live }));
            self.add(1, block, hash);
        }
    }

    /// Adds a child to `level`, and above it the nodes that this shows to be complete.
    fn add(&mut self, level: u8, mut index: u64, mut hash: NodeHash) {
        for (growing, level) in self.levels.iter_mut().zip(1..).skip(usize::from(level) - 1) {
            let parent = above(index, 1);
            let mut complete = None;
            if growing.0 != parent {
                complete = inner(level, growing.0, &growing.1).map(|hash| (growing.0, hash));
                *growing = (parent, Children::new());
            }
            growing.1.push((position(index), hash));
            let Some(next) = complete else { return };
            (index, hash) = next;
            if let Some(origin) = self.origin {
                (self.made)(Made::Inner(origin, (level, index), hash));
            }
        }
    }

    fn end_origin(&mut self) {
        let mut top = None;
        for level in 1..=MAX_LEVEL {
            let growing = self.levels.get_mut(usize::from(level) - 1);
            let (index, children) = growing.map(core::mem::take).unwrap_or_default();
            top = inner(level, index, &children);
            if let Some((origin, hash)) = self.origin.zip(top) {
                (self.made)(Made::Inner(origin, (level, index), hash));
                self.add(level + 1, index, hash);
            }
        }
        let Some((origin, hash)) = self.origin.take().zip(top) else { return };
        (self.made)(Made::Origin(origin, hash));
        let bucket = bucket_of(origin);
        if self.bucket.as_ref().is_none_or(|(growing, _)| *growing != bucket) {
            self.end_bucket();
        }
        self.bucket.get_or_insert_with(|| (bucket, BucketHasher::new())).1.push(origin, hash);
    }

    fn end_bucket(&mut self) {
        if let Some((bucket, hasher)) = self.bucket.take()
            && let Some(hash) = hasher.finish()
        {
            (self.made)(Made::Bucket(bucket, hash));
            self.buckets.push((bucket, hash));
        }
    }

    fn finish(mut self) -> RootHash {
        self.end_block();
        self.end_origin();
        self.end_bucket();
        RootHash::of_buckets(&self.buckets)
    }
}
