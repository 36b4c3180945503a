//! Marking blocks whose live set changed.

use std::collections::BTreeMap;

use super::node::block_of;
use super::rows;
use crate::causal::{Dot, ReplicaId};
use crate::storage::{StorageError, Write};

/// Collects what a transaction changed in one space, so that each block is marked once.
///
/// Takes about 40 bytes of memory a block. A transaction that touches millions of
/// blocks may [`save`](Self::save) several times.
#[derive(Clone, Debug, Default)]
#[must_use = "the marks count when they are saved"]
pub struct Marks {
    /// How many live dots each block has more, or less.
    blocks: BTreeMap<(ReplicaId, u64), i32>,
    /// The block noted last, which is not yet among them: events mostly follow each other.
    last: Option<((ReplicaId, u64), i32)>,
}

impl Marks {
    /// Nothing noted.
    pub fn new() -> Self {
        Self::default()
    }

    /// The dot is live now, and was not.
    pub fn came(&mut self, dot: Dot) {
        self.note(dot, 1);
    }

    /// The dot was live, and is no more.
    pub fn went(&mut self, dot: Dot) {
        self.note(dot, -1);
    }

    /// The dot is live as before, and its row says something else now.
    pub fn changed(&mut self, dot: Dot) {
        self.note(dot, 0);
    }

    fn note(&mut self, dot: Dot, more: i32) {
        let block = (dot.replica, block_of(dot.seq));
        match &mut self.last {
            Some((last, sum)) if *last == block => *sum += more,
            last => {
                if let Some((block, sum)) = last.replace((block, more)) {
                    *self.blocks.entry(block).or_default() += sum;
                }
            }
        }
    }

    /// How many blocks are noted.
    #[must_use]
    pub fn len(&self) -> usize {
        let last = self.last.is_some_and(|(block, _)| !self.blocks.contains_key(&block));
        self.blocks.len() + usize::from(last)
    }

    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the marks into the transaction and forgets them.
    ///
    /// # Errors
    /// The storage failed; the transaction must be aborted.
    pub fn save(&mut self, tx: &mut dyn Write, space: u32) -> Result<(), StorageError> {
        if let Some((block, sum)) = self.last.take() {
            *self.blocks.entry(block).or_default() += sum;
        }
        // In order of keys, which ordered tables like best.
        for ((origin, block), more) in core::mem::take(&mut self.blocks) {
            rows::mark(tx, space, origin, block, more)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rows, SPACE, dot};
    use super::*;
    use crate::causal::Seq;

    #[test]
    fn what_is_noted_counts_until_it_is_saved() {
        let mut marks = Marks::new();
        assert!(marks.is_empty());
        for (dot, blocks) in [(dot(1, 1), 1), (dot(1, 256), 2), (dot(1, 2), 2), (dot(2, 2), 3)] {
            marks.changed(dot);
            assert!(!marks.is_empty());
            assert_eq!(marks.len(), blocks);
        }
        let mut rows = Rows::default();
        marks.save(&mut rows, SPACE).unwrap();
        assert!(marks.is_empty());
        for limit in 1..5 {
            assert_eq!(rows::marks(&rows, SPACE, limit).unwrap().len(), limit.min(3));
        }
    }

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
            marks.came(Dot::new(ReplicaId::from_bytes(id(n)), Seq::new(1)));
        }
        assert_eq!(marks.len(), 200_000);
    }
}
