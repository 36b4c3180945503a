//! Marking blocks whose live set changed.

use std::collections::BTreeSet;

use super::node::block_of;
use super::rows;
use crate::causal::{Dot, ReplicaId, Seq};
use crate::storage::{StorageError, Write};

/// A range of up to this many blocks is marked block by block; a longer one, which may
/// come from a peer's vector and be as long as 2⁵⁶, by looking where rows stand.
const SHORT_RANGE_BLOCKS: u64 = 64;

/// Marks the block of one dot. For many dots of one transaction take [`Marks`].
///
/// # Errors
/// The storage failed.
pub fn mark(tx: &mut dyn Write, space: u32, dot: Dot) -> Result<(), StorageError> {
    rows::mark(tx, space, dot.replica, block_of(dot.seq))
}

/// Collects what a transaction changed in one space, so that each block is marked once.
///
/// Takes about 32 bytes of memory a block. A transaction that touches millions of
/// blocks may [`save`](Self::save) several times.
#[derive(Clone, Debug, Default)]
#[must_use = "the marks count when they are saved"]
pub struct Marks {
    blocks: BTreeSet<(ReplicaId, u64)>,
    ranges: Vec<(ReplicaId, u64, u64)>,
    last: Option<(ReplicaId, u64)>,
}

impl Marks {
    /// Nothing noted.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row of `dot` came, went or changed.
    pub fn note(&mut self, dot: Dot) {
        let block = (dot.replica, block_of(dot.seq));
        if self.last != Some(block) {
            self.last = Some(block);
            self.blocks.insert(block);
        }
    }

    /// The rows of `origin` from seq `from` to `to`, both included, may have come, gone or
    /// changed: what a vector that moves from `from` − 1 to `to` now covers.
    pub fn note_range(&mut self, origin: ReplicaId, from: Seq, to: Seq) {
        let (first, last) = (block_of(from), block_of(to));
        if from > to {
            return;
        }
        if last - first < SHORT_RANGE_BLOCKS {
            self.blocks.extend((first..=last).map(|block| (origin, block)));
        } else {
            self.ranges.push((origin, first, last));
        }
    }

    /// How many blocks and ranges are noted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len() + self.ranges.len()
    }

    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the marks into the transaction, *after its changes to the rows of dots*, and
    /// forgets them. Of a long range only blocks are marked in which a dot has a row now
    /// or had one when the block was last hashed.
    ///
    /// # Errors
    /// The storage failed; the transaction must be aborted.
    pub fn save(&mut self, tx: &mut dyn Write, space: u32) -> Result<(), StorageError> {
        self.last = None;
        // In order of keys, which ordered tables like best.
        for (origin, block) in core::mem::take(&mut self.blocks) {
            rows::mark(tx, space, origin, block)?;
        }
        for (origin, first, last) in self.ranges.drain(..) {
            let mut next = Some(first);
            while let Some(from) = next.filter(|from| *from <= last) {
                let live = rows::next_block_of_dots(tx, space, origin, from, last)?;
                let hashed = rows::next_block_hashed(tx, space, origin, from, last)?;
                let Some(block) = live.into_iter().chain(hashed).min() else { break };
                rows::mark(tx, space, origin, block)?;
                next = block.checked_add(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of origins that all have one hash, for a hasher that is widely used and not seeded
    /// (of each word: rotate, xor, multiply): whoever keyed a map by it would compare each with all.
    #[test]
    fn names_built_to_collide_are_names_like_others() {
        let half = |word: u64| word.wrapping_mul(0x517c_c1b7_2722_0a95);
        let hash = |id: &[u8; 16]| {
            let word = |at| u64::from_le_bytes(id[at..at + 8].try_into().unwrap());
            half(half(word(0)).rotate_left(5) ^ word(8))
        };
        let id = |n: u64| {
            let second = half(n).rotate_left(5) ^ 0x5eed;
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_le_bytes());
            id[8..].copy_from_slice(&second.to_le_bytes());
            id
        };
        let mut marks = Marks::new();
        for n in 0..200_000 {
            assert_eq!(hash(&id(n)), half(0x5eed));
            marks.note(Dot::new(ReplicaId::from_bytes(id(n)), Seq::new(1)));
        }
        assert_eq!(marks.len(), 200_000);
    }
}
