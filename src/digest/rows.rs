//! The rows of the digest, and those of the dots that it reads.
//!
//! All keys of [`Table::Digest`] begin with the space's number (4 bytes) and a region (1):
//!
//! | region | then | value |
//! |---|---|---|
//! | 0 root | | hash |
//! | 1 marks | origin (16), block (8) | live dots more than when it was hashed (2, signed) |
//! | 2 buckets | bucket (1) | hash |
//! | 3 origins | origin (16) | hash, height (1) |
//! | 4 nodes | origin (16), level (1), index (8) | hash; of a block, and its live dots − 1 (1) |
//!
//! So the children of any node stand side by side. The *height* of an origin is the level
//! up to which its nodes have rows; above it, node 0 of every level equals the origin.

use core::ops::ControlFlow;

use smallvec::SmallVec;

use super::hash::{BlockHasher, ItemHash, NodeHash, RootHash};
use super::node;
use crate::causal::{ReplicaId, Seq};
use crate::storage::{KeyRange, Order, Read, StorageError, Table, Write};

pub(super) const ROOT: u8 = 0;
pub(super) const MARKS: u8 = 1;
pub(super) const BUCKETS: u8 = 2;
pub(super) const ORIGINS: u8 = 3;
pub(super) const NODES: u8 = 4;

type Key = SmallVec<[u8; 32]>;

/// Children of one node by position.
pub(super) type Children = SmallVec<[(u8, NodeHash); 8]>;

fn key(space: u32, region: u8, parts: &[&[u8]]) -> Key {
    let mut key = Key::from_slice(&space.to_be_bytes());
    key.push(region);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn dot_key(space: u32, origin: ReplicaId, seq: u64) -> Key {
    let mut key = Key::from_slice(&space.to_be_bytes());
    key.extend_from_slice(origin.as_bytes());
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn node_key(space: u32, origin: ReplicaId, level: u8, index: u64) -> Key {
    key(space, NODES, &[origin.as_bytes(), &[level], &index.to_be_bytes()])
}

/// The first key behind `key`.
fn behind(mut key: Key) -> Key {
    key.push(0);
    key
}

fn corrupt(table: Table, key: &[u8], reason: &str) -> StorageError {
    StorageError::Corrupt { place: format!("{table:?} {key:02x?}"), reason: reason.to_owned() }
}

/// What a visit of a row may say.
type Step = Result<ControlFlow<()>, StorageError>;

/// Visits rows in ascending order; an error ends the scan.
fn each(
    read: &dyn Read,
    table: Table,
    from: &[u8],
    to: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
) -> Result<(), StorageError> {
    let mut failed = None;
    let range = KeyRange { from, to: Some(to) };
    read.scan(table, range, Order::Ascending, &mut |key, value| match visit(key, value) {
        Ok(flow) => flow,
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

pub(super) fn hash_of(key: &[u8], value: &[u8]) -> Result<NodeHash, StorageError> {
    let bytes = value.try_into().map_err(|_| corrupt(Table::Digest, key, "not 32 bytes"))?;
    Ok(NodeHash::from_bytes(bytes))
}

/// Puts a row or deletes it.
fn set(tx: &mut dyn Write, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
    match value {
        Some(value) => tx.put(Table::Digest, key, value),
        None => tx.delete(Table::Digest, key).map(|_| ()),
    }
}

// ---- dots

/// Visits the live dots of a block up to seq `last`: low byte and item hash.
pub(super) fn each_live(
    read: &dyn Read,
    space: u32,
    origin: ReplicaId,
    block: u64,
    last: Seq,
    visit: &mut dyn FnMut(u8, ItemHash),
) -> Result<(), StorageError> {
    let Some((first, end)) = node::seqs(block) else { return Ok(()) };
    let end = end.min(last.get());
    if end < first {
        return Ok(());
    }
    let from = dot_key(space, origin, first);
    let to = behind(dot_key(space, origin, end));
    each(read, Table::Dots, &from, &to, &mut |key, value| {
        let (_, seq, item) = dot_row(key, value)?;
        visit(node::low_byte(seq), item);
        Ok(ControlFlow::Continue(()))
    })
}

fn dot_row(key: &[u8], value: &[u8]) -> Result<(ReplicaId, Seq, ItemHash), StorageError> {
    let parts = key.split_at_checked(4).and_then(|(_, dot)| dot.split_first_chunk::<16>());
    let seq = parts.and_then(|(_, seq)| seq.try_into().ok());
    match (parts, seq, value.first_chunk()) {
        (Some((origin, _)), Some(seq), Some(item)) => Ok((
            ReplicaId::from_bytes(*origin),
            Seq::new(u64::from_be_bytes(seq)),
            ItemHash::from_bytes(*item),
        )),
        _ => Err(corrupt(Table::Dots, key, "a key of another length, or no item hash")),
    }
}

/// Visits every dot row of a space, staged ones too.
pub(super) fn each_dot(
    read: &dyn Read,
    space: u32,
    visit: &mut dyn FnMut(ReplicaId, Seq, ItemHash),
) -> Result<(), StorageError> {
    let from = space.to_be_bytes();
    // One longer than any key of the space.
    let to = [from.as_slice(), &[0xff; 25]].concat();
    each(read, Table::Dots, &from, &to, &mut |key, value| {
        let (origin, seq, item) = dot_row(key, value)?;
        visit(origin, seq, item);
        Ok(ControlFlow::Continue(()))
    })
}

/// A block made of its live dots up to seq `last`.
pub(super) fn made_block(
    read: &dyn Read,
    space: u32,
    origin: ReplicaId,
    block: u64,
    last: Seq,
) -> Result<Option<Block>, StorageError> {
    let (mut hasher, mut live) = (BlockHasher::new(origin, block), 0);
    each_live(read, space, origin, block, last, &mut |low, item| {
        hasher.push(low, item);
        live += 1;
    })?;
    Ok(hasher.finish().map(|hash| Block { hash, live }))
}

/// How many rows there are, of any region.
pub(super) fn count(read: &dyn Read, space: u32) -> Result<u64, StorageError> {
    let (from, to) = (space.to_be_bytes(), key(space, u8::MAX, &[]));
    let mut count = 0;
    each(read, Table::Digest, &from, &to, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

// ---- marks

/// Marks a block that has so many live dots more, or less, than before.
pub(super) fn mark(
    tx: &mut dyn Write,
    space: u32,
    origin: ReplicaId,
    block: u64,
    more: i32,
) -> Result<(), StorageError> {
    let key = key(space, MARKS, &[origin.as_bytes(), &block.to_be_bytes()]);
    let before = tx.get(Table::Digest, &key)?;
    // A lookup is cheaper than dirtying a page that says the same already.
    if more == 0 && before.is_some() {
        return Ok(());
    }
    let before = before.map_or(Ok(0), |value| more_of(&key, &value))?;
    // Where it does not fit, the count is wrong in any case, and that will be noticed.
    let more = i16::try_from(before.saturating_add(more)).unwrap_or(i16::MAX);
    tx.put(Table::Digest, &key, &more.to_be_bytes())
}

pub(super) fn more_of(key: &[u8], value: &[u8]) -> Result<i32, StorageError> {
    let bytes = value.try_into().map_err(|_| corrupt(Table::Digest, key, "not a mark"))?;
    Ok(i16::from_be_bytes(bytes).into())
}

pub(super) fn unmark(
    tx: &mut dyn Write,
    space: u32,
    origin: ReplicaId,
    block: u64,
) -> Result<(), StorageError> {
    let key = key(space, MARKS, &[origin.as_bytes(), &block.to_be_bytes()]);
    set(tx, &key, None)
}

/// A block that waits to be hashed, and how many live dots it has more than when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) origin: ReplicaId,
    pub(super) block: u64,
    pub(super) more: i32,
}

/// The first marks of a space, at most `limit`, by origin and block.
pub(super) fn marks(read: &dyn Read, space: u32, limit: usize) -> Result<Vec<Mark>, StorageError> {
    let mut found = Vec::new();
    let (from, to) = (key(space, MARKS, &[]), key(space, MARKS + 1, &[]));
    each_mark(read, &from, &to, &mut |mark| {
        found.push(mark);
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

fn each_mark(
    read: &dyn Read,
    from: &[u8],
    to: &[u8],
    visit: &mut dyn FnMut(Mark) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    each(read, Table::Digest, from, to, &mut |key, value| {
        let parts = key.split_at_checked(5).and_then(|(_, rest)| rest.split_first_chunk());
        match parts.and_then(|(origin, block)| Some((origin, block.try_into().ok()?))) {
            Some((origin, block)) => Ok(visit(Mark {
                origin: ReplicaId::from_bytes(*origin),
                block: u64::from_be_bytes(block),
                more: more_of(key, value)?,
            })),
            None => Err(corrupt(Table::Digest, key, "a mark of another length")),
        }
    })
}

/// Visits how many live dots blocks of an origin have, from one block to another: by what is
/// kept of each, and by its mark, each of which may come first.
pub(super) fn each_count(
    read: &dyn Read,
    space: u32,
    origin: ReplicaId,
    (first, last): (u64, u64),
    visit: &mut dyn FnMut(u64, i32),
) -> Result<(), StorageError> {
    let ends = |of: &dyn Fn(u64) -> Key| (of(first), behind(of(last)));
    let (from, to) = ends(&|block| node_key(space, origin, 0, block));
    each(read, Table::Digest, &from, &to, &mut |key, value| {
        let block = key.last_chunk().map_or(0, |block| u64::from_be_bytes(*block));
        visit(block, block_row(key, value)?.live.into());
        Ok(ControlFlow::Continue(()))
    })?;
    let (from, to) = ends(&|block| key(space, MARKS, &[origin.as_bytes(), &block.to_be_bytes()]));
    each_mark(read, &from, &to, &mut |mark| {
        visit(mark.block, mark.more);
        ControlFlow::Continue(())
    })
}

// ---- nodes

/// What is kept of a block with live dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) hash: NodeHash,
    /// How many dots it was made of, at least one.
    pub(super) live: u16,
}

pub(super) fn block_row(key: &[u8], value: &[u8]) -> Result<Block, StorageError> {
    match value.split_last() {
        Some((fewer, hash)) => Ok(Block { hash: hash_of(key, hash)?, live: u16::from(*fewer) + 1 }),
        None => Err(corrupt(Table::Digest, key, "no block's row")),
    }
}

/// What is kept of a block.
pub(super) fn block(
    read: &dyn Read,
    space: u32,
    origin: ReplicaId,
    block: u64,
) -> Result<Option<Block>, StorageError> {
    let key = node_key(space, origin, 0, block);
    read.get(Table::Digest, &key)?.map(|value| block_row(&key, &value)).transpose()
}

/// Puts what is kept of a block.
pub(super) fn set_block(
    tx: &mut dyn Write,
    space: u32,
    (origin, block): (ReplicaId, u64),
    made: Option<Block>,
) -> Result<(), StorageError> {
    let row = made.map(|made| {
        let fewer = u8::try_from(made.live.saturating_sub(1)).unwrap_or(u8::MAX);
        [made.hash.as_bytes().as_slice(), &[fewer]].concat()
    });
    set(tx, &node_key(space, origin, 0, block), row.as_deref())
}

/// The hash in the row of a node; that of a block has its live dots behind it.
fn node_hash(level: u8, key: &[u8], value: &[u8]) -> Result<NodeHash, StorageError> {
    match level {
        0 => Ok(block_row(key, value)?.hash),
        _ => hash_of(key, value),
    }
}

/// Puts the hash of an inner node; whether it was another before.
pub(super) fn set_node(
    tx: &mut dyn Write,
    space: u32,
    (origin, level, index): (ReplicaId, u8, u64),
    hash: Option<NodeHash>,
) -> Result<bool, StorageError> {
    let key = node_key(space, origin, level, index);
    let before = tx.get(Table::Digest, &key)?;
    let changed = before.as_deref() != hash.as_ref().map(|hash| hash.as_bytes().as_slice());
    if changed {
        set(tx, &key, hash.as_ref().map(|hash| hash.as_bytes().as_slice()))?;
    }
    Ok(changed)
}

/// The hash of a node that has a row.
pub(super) fn node(
    read: &dyn Read,
    space: u32,
    (origin, level, index): (ReplicaId, u8, u64),
) -> Result<Option<NodeHash>, StorageError> {
    let key = node_key(space, origin, level, index);
    read.get(Table::Digest, &key)?.map(|value| node_hash(level, &key, &value)).transpose()
}

/// The nodes of a level that have rows, from index `from` up to but without `to`, which
/// are children of one node.
pub(super) fn siblings(
    read: &dyn Read,
    space: u32,
    (origin, level): (ReplicaId, u8),
    from: u64,
    to: u64,
) -> Result<Children, StorageError> {
    let mut found = Children::new();
    let (from, to) = (node_key(space, origin, level, from), node_key(space, origin, level, to));
    each(read, Table::Digest, &from, &to, &mut |key, value| {
        let index = key.last_chunk().map_or(0, |index| u64::from_be_bytes(*index));
        found.push((node::position(index), node_hash(level, key, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

// ---- origins

/// What is kept of an origin with live dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) hash: NodeHash,
    /// The level up to which its nodes have rows.
    pub(super) height: u8,
}

pub(super) fn origin_of(key: &[u8], value: &[u8]) -> Result<Origin, StorageError> {
    match value.split_last() {
        Some((&height, hash)) if height <= node::MAX_LEVEL => {
            Ok(Origin { hash: hash_of(key, hash)?, height })
        }
        _ => Err(corrupt(Table::Digest, key, "no origin's row")),
    }
}

pub(super) fn origin(
    read: &dyn Read,
    space: u32,
    origin: ReplicaId,
) -> Result<Option<Origin>, StorageError> {
    let key = key(space, ORIGINS, &[origin.as_bytes()]);
    read.get(Table::Digest, &key)?.map(|value| origin_of(&key, &value)).transpose()
}

pub(super) fn set_origin(
    tx: &mut dyn Write,
    space: u32,
    origin: ReplicaId,
    kept: Option<Origin>,
) -> Result<(), StorageError> {
    let key = key(space, ORIGINS, &[origin.as_bytes()]);
    let value = kept.map(|kept| {
        let mut value = kept.hash.as_bytes().to_vec();
        value.push(kept.height);
        value
    });
    set(tx, &key, value.as_deref())
}

/// The origins of a bucket behind `after`, at most `limit`.
pub(super) fn origins(
    read: &dyn Read,
    space: u32,
    bucket: u8,
    after: Option<ReplicaId>,
    limit: usize,
) -> Result<Vec<(ReplicaId, Origin)>, StorageError> {
    let mut found = Vec::new();
    each_origin(read, space, bucket, after, &mut |origin, kept| {
        found.push((origin, kept));
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// Visits the origins of a bucket behind `after`.
pub(super) fn each_origin(
    read: &dyn Read,
    space: u32,
    bucket: u8,
    after: Option<ReplicaId>,
    visit: &mut dyn FnMut(ReplicaId, Origin) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let from = match after {
        Some(origin) => behind(key(space, ORIGINS, &[origin.as_bytes()])),
        None => key(space, ORIGINS, &[&[bucket]]),
    };
    let to = match bucket.checked_add(1) {
        Some(next) => key(space, ORIGINS, &[&[next]]),
        None => key(space, ORIGINS + 1, &[]),
    };
    each(read, Table::Digest, &from, &to, &mut |key, value| match key.last_chunk() {
        Some(origin) => Ok(visit(ReplicaId::from_bytes(*origin), origin_of(key, value)?)),
        None => Err(corrupt(Table::Digest, key, "no origin's row")),
    })
}

// ---- buckets and root

pub(super) fn set_bucket(
    tx: &mut dyn Write,
    space: u32,
    bucket: u8,
    hash: Option<NodeHash>,
) -> Result<(), StorageError> {
    let key = key(space, BUCKETS, &[&[bucket]]);
    set(tx, &key, hash.as_ref().map(|hash| hash.as_bytes().as_slice()))
}

/// The buckets that are present.
pub(super) fn buckets(read: &dyn Read, space: u32) -> Result<Vec<(u8, NodeHash)>, StorageError> {
    let mut found = Vec::new();
    let (from, to) = (key(space, BUCKETS, &[]), key(space, BUCKETS + 1, &[]));
    each(read, Table::Digest, &from, &to, &mut |key, value| {
        let Some([bucket]) = key.get(from.len()..) else {
            return Err(corrupt(Table::Digest, key, "no bucket's row"));
        };
        found.push((*bucket, hash_of(key, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub(super) fn root(read: &dyn Read, space: u32) -> Result<RootHash, StorageError> {
    let key = key(space, ROOT, &[]);
    match read.get(Table::Digest, &key)? {
        Some(value) => Ok(RootHash::from_bytes(*hash_of(&key, &value)?.as_bytes())),
        None => Ok(RootHash::empty()),
    }
}

/// Puts the root; the empty one needs no row.
pub(super) fn set_root(
    tx: &mut dyn Write,
    space: u32,
    root: Option<RootHash>,
) -> Result<(), StorageError> {
    let key = key(space, ROOT, &[]);
    set(tx, &key, root.as_ref().map(|root| root.as_bytes().as_slice()))
}
