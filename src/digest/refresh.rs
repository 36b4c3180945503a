//! Rehashing what is marked.

use core::ops::ControlFlow;

use super::counts::check_count;
use super::hash::{BucketHasher, NodeHash, RootHash, inner};
use super::node::{FAN_OUT, above, first_child, top_level};
use super::rows::{self, Block, Mark, Origin};
use crate::causal::{ReplicaId, Seq, VersionVector};
use crate::storage::{Read, StorageError, Write};

/// Marks worked off at a time.
const BATCH: usize = 1024;

/// Whether no block waits to be hashed.
///
/// # Errors
/// The storage failed.
pub fn is_clean(read: &dyn Read, space: u32) -> Result<bool, StorageError> {
    Ok(rows::marks(read, space, 1)?.is_empty())
}

/// The root over all live dots up to the vector of the last [`refresh`], or `None` while
/// marks wait for the next one. Two lookups.
///
/// # Errors
/// The storage failed.
pub fn root(read: &dyn Read, space: u32) -> Result<Option<RootHash>, StorageError> {
    if is_clean(read, space)? { rows::root(read, space).map(Some) } else { Ok(None) }
}

/// Rehashes the marked blocks up to `vector`, the space's own, with all that stands above
/// them, clears the marks, and returns the root.
///
/// # Errors
/// A block has not as many live dots as it must have, or the storage failed; the transaction
/// must be aborted.
pub fn refresh(
    tx: &mut dyn Write,
    space: u32,
    vector: &VersionVector,
) -> Result<RootHash, StorageError> {
    let mut dirty = [false; 256];
    loop {
        let marks = rows::marks(tx, space, BATCH)?;
        for marks in marks.chunk_by(|a, b| a.origin == b.origin) {
            let Some(Mark { origin, .. }) = marks.first() else { continue };
            if refresh_origin(tx, space, *origin, vector.get(*origin), marks)?
                && let Some(dirty) = dirty.get_mut(usize::from(bucket_of(*origin)))
            {
                *dirty = true;
            }
        }
        for Mark { origin, block, .. } in &marks {
            rows::unmark(tx, space, *origin, *block)?;
        }
        if marks.len() < BATCH {
            break;
        }
    }
    if !dirty.contains(&true) {
        return rows::root(tx, space);
    }
    for (bucket, _) in (0..=u8::MAX).zip(dirty).filter(|(_, dirty)| *dirty) {
        let mut hasher = BucketHasher::new();
        rows::each_origin(tx, space, bucket, None, &mut |origin, kept| {
            hasher.push(origin, kept.hash);
            ControlFlow::Continue(())
        })?;
        rows::set_bucket(tx, space, bucket, hasher.finish())?;
    }
    let buckets = rows::buckets(tx, space)?;
    let root = RootHash::of_buckets(&buckets);
    rows::set_root(tx, space, (!buckets.is_empty()).then_some(root))?;
    Ok(root)
}

/// The bucket in which an origin stands.
pub(super) fn bucket_of(origin: ReplicaId) -> u8 {
    let [first, ..] = *origin.as_bytes();
    first
}

/// Rehashes marked blocks of one origin, ascending; whether the origin's hash changed.
fn refresh_origin(
    tx: &mut dyn Write,
    space: u32,
    origin: ReplicaId,
    last: Seq,
    marks: &[Mark],
) -> Result<bool, StorageError> {
    let mut changed = Vec::new();
    for Mark { block, more, .. } in marks {
        let kept = rows::block(tx, space, origin, *block)?;
        let made = rows::made_block(tx, space, origin, *block, last)?;
        let live = |block: Option<Block>| block.map_or(0, |block| i32::from(block.live));
        check_count((origin, *block), live(made), live(kept).saturating_add(*more))?;
        if made != kept {
            rows::set_block(tx, space, (origin, *block), made)?;
            changed.push(*block);
        }
    }
    if changed.is_empty() {
        return Ok(false);
    }
    let before = rows::origin(tx, space, origin)?;
    let mut height = top_level(last);
    if let Some(before) = before {
        // The tree grows: what stood there becomes the only child, node 0, of each new
        // level, before anything beside it is hashed. Without this, a first block far to
        // the right would be hashed without its elder cousins, which have no row there.
        for level in before.height + 1..=height {
            rows::set_node(tx, space, (origin, level, 0), Some(before.hash))?;
        }
        height = height.max(before.height);
    }
    for level in 1..=height {
        changed = refresh_level(tx, space, (origin, level), &changed)?;
    }
    let hash: Option<NodeHash> = rows::node(tx, space, (origin, height, 0))?;
    let after = hash.map(|hash| Origin { hash, height });
    if before != after {
        rows::set_origin(tx, space, origin, after)?;
    }
    Ok(before.map(|kept| kept.hash) != hash)
}

/// Rehashes the nodes of a level above those that changed, which ascend; which changed.
fn refresh_level(
    tx: &mut dyn Write,
    space: u32,
    (origin, level): (ReplicaId, u8),
    below: &[u64],
) -> Result<Vec<u64>, StorageError> {
    let mut changed = Vec::new();
    for below in below.chunk_by(|a, b| above(*a, 1) == above(*b, 1)) {
        let Some(index) = below.first().map(|index| above(*index, 1)) else { continue };
        let first = first_child(index);
        let children = rows::siblings(tx, space, (origin, level - 1), first, first + FAN_OUT)?;
        let hash = inner(level, index, &children);
        if rows::set_node(tx, space, (origin, level, index), hash)? {
            changed.push(index);
        }
    }
    Ok(changed)
}
