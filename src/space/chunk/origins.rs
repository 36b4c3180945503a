//! The replicas that a chunk names: listed once, ascending; elsewhere in it they are their
//! places in that list.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::{Chunk, Event};
use crate::causal::{ReplicaId, VersionVector};
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::space::rows::Removal;

/// The list, as it stands in the bytes.
pub(super) struct Origins<'c> {
    ids: &'c [[u8; 16]],
    /// Which of them were named so far, where somebody asks.
    named: Vec<Cell<bool>>,
}

impl<'c> Origins<'c> {
    pub(super) const fn of(ids: &'c [[u8; 16]]) -> Self {
        Self { ids, named: Vec::new() }
    }

    /// Reads the list, which ascends.
    pub(super) fn take(cursor: &mut Cursor<'c>) -> Result<Self, DecodeError> {
        let count = cursor.count(16, 2 * limits::VECTOR_REPLICAS)?;
        let (ids, _) = cursor.take(16 * count)?.as_chunks();
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(cursor.wrong(Problem::Unsorted));
        }
        Ok(Self::of(ids))
    }

    /// Notes from now on which are named.
    pub(super) fn noting(self) -> Self {
        Self { named: vec![Cell::new(false); self.ids.len()], ..self }
    }

    /// Whether each was named since that is noted.
    pub(super) fn all_named(&self) -> bool {
        self.named.iter().all(Cell::get)
    }

    /// How many are listed.
    pub(super) const fn count(&self) -> usize {
        self.ids.len()
    }

    /// Whether one is listed.
    pub(super) fn list(&self, origin: ReplicaId) -> bool {
        self.ids.binary_search(origin.as_bytes()).is_ok()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>, origin: ReplicaId) {
        out.put_varint(self.ids.binary_search(origin.as_bytes()).unwrap_or(usize::MAX) as u64);
    }

    pub(super) fn put_vector(&self, out: &mut Vec<u8>, vector: &VersionVector) {
        out.put_varint(vector.len() as u64);
        for (replica, seq) in vector.iter() {
            self.put(out, replica);
            out.put_varint(seq.get());
        }
    }

    /// Reads which one is named.
    pub(super) fn origin(&self, cursor: &mut Cursor<'_>) -> Result<ReplicaId, DecodeError> {
        let here = cursor.clone();
        let index = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
        let Some(origin) = self.ids.get(index) else {
            return Err(here.wrong(Problem::Other("an origin that the chunk does not list")));
        };
        if let Some(named) = self.named.get(index) {
            named.set(true);
        }
        Ok(ReplicaId::from_bytes(*origin))
    }

    pub(super) fn vector(
        &self,
        cursor: &mut Cursor<'_>,
        limit: usize,
    ) -> Result<VersionVector, DecodeError> {
        // None is named twice.
        let count = cursor.count(2, limit.min(self.count()))?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((self.origin(cursor)?, cursor.seq()?));
        }
        VersionVector::from_sorted(entries).ok_or_else(|| cursor.wrong(Problem::Unsorted))
    }
}

/// All that a chunk names, ascending.
pub(super) fn named_by(chunk: &Chunk) -> Vec<[u8; 16]> {
    let mut named: BTreeSet<ReplicaId> = chunk.upto.iter().map(|e| e.0).collect();
    for (_, event) in &chunk.events {
        match event {
            Event::Item { past, .. } | Event::Removal(Removal::Prefix { past, .. }) => {
                named.extend(past.iter().map(|e| e.0));
            }
            Event::Removal(Removal::Dots(dots)) => named.extend(dots.iter().map(|d| d.replica)),
        }
    }
    if let Some(last) = &chunk.last {
        named.extend(last.vector.iter().map(|e| e.0));
        named.extend(last.claims.iter().map(|c| c.origin));
    }
    named.iter().map(|origin| *origin.as_bytes()).collect()
}
