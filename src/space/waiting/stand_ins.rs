//! What stands in for salvaged items: under which names, and whose it is.
//!
//! Two stores that are both recovered may have salvaged one item. If each adopts it, a counter adds
//! it twice, and no peer that has seen the item may be left to take either of them away. So the
//! name of a stand-in tells whose events it stands in for, and a store in which an item waits
//! looks for it where the item stood: what has its payload and its past, under a name that
//! stands in for its replica's, is the stand-in of that item here too. Of two the one with the
//! smaller dot stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::{Waiting, waiting_key};
use crate::causal::{Dot, ReplicaId, Seq, Tag};
use crate::space::batch::Batch;
use crate::space::rows::{
    Removal, Which, corrupt, dot_key, item_key, range, read_vector, split_item_key,
};
use crate::storage::{Order, StorageError, Table};

/// Under how many names stand-ins are written in one go: each stays in the vector for ever.
const MOST_NAMES: usize = 1_000;

/// What tells a name of stand-ins for events of this replica: the second half of it.
fn mark_of(origin: ReplicaId) -> [u8; 8] {
    let hash = blake3::derive_key("rejoin 2026 whose events are stood in for", origin.as_bytes());
    hash.first_chunk().copied().unwrap_or_default()
}

/// The names under which stand-ins are written that are made in an opening with this tag.
pub(super) struct Names {
    tag: Tag,
    origins: BTreeSet<ReplicaId>,
}

impl Names {
    pub(super) fn of(tag: Tag) -> Self {
        Self { tag, origins: BTreeSet::new() }
    }

    /// The name for those of events of `origin`; beyond the limit, one that tells nothing.
    pub(super) fn name(&mut self, origin: ReplicaId) -> ReplicaId {
        let is_full = self.origins.len() >= MOST_NAMES;
        let known = !is_full || self.origins.contains(&origin);
        if known {
            self.origins.insert(origin);
        }
        let hash =
            blake3::derive_key("rejoin 2026 stand-ins for salvaged items", self.tag.as_bytes());
        let mut bytes: [u8; 16] = hash.first_chunk().copied().unwrap_or_default();
        if let (true, Some(half)) = (known, bytes.last_chunk_mut()) {
            *half = mark_of(origin);
        }
        ReplicaId::from_bytes(bytes)
    }
}

impl Batch<'_> {
    /// The names in the vector by their second halves, since each may be one of stand-ins.
    pub(super) fn names_by_mark(&self) -> Result<BTreeMap<[u8; 8], Vec<ReplicaId>>, StorageError> {
        let mut names: BTreeMap<[u8; 8], Vec<ReplicaId>> = BTreeMap::new();
        for (name, _) in read_vector(self.rows, self.space, Which::Seen)?.iter() {
            if let Some(mark) = name.as_bytes().last_chunk() {
                names.entry(*mark).or_default().push(name);
            }
        }
        Ok(names)
    }

    /// What another store has written anew in place of an item that waits here as well, unless
    /// what stands in for it here has a smaller dot. Of two items of one replica that are alike in
    /// all else one may stand in for both.
    pub(super) fn stand_in_of_another(
        &self,
        waiting: &Waiting<'_>,
        names: &BTreeMap<[u8; 8], Vec<ReplicaId>>,
    ) -> Result<Option<Dot>, StorageError> {
        let Some(names) = names.get(&mark_of(waiting.dot.replica)) else { return Ok(None) };
        let before = match waiting.stand_in {
            Some(dot) if self.rows.get(Table::Dots, &dot_key(self.space, dot))?.is_some() => {
                Some(dot)
            }
            // It was replaced, or waits in its turn.
            stand_in if !self.needs_stand_in(stand_in)? => return Ok(None),
            _ => None,
        };
        for name in names {
            let [from, to] = [Seq::ZERO, Seq::MAX]
                .map(|seq| item_key(self.space, waiting.place, Some(Dot::new(*name, seq))));
            let mut found = None;
            self.rows.scan(
                Table::Items,
                range(&from, &to),
                Order::Ascending,
                &mut |key, value| {
                    if value != waiting.value {
                        return ControlFlow::Continue(());
                    }
                    found = Some(split_item_key(key).map(|(_, dot)| dot));
                    ControlFlow::Break(())
                },
            )?;
            let dot = found.transpose().map_err(|e| corrupt(Table::Items, &from, e))?;
            if let Some(dot) = dot.filter(|dot| before.is_none_or(|before| *dot < before)) {
                return Ok(Some(dot));
            }
        }
        Ok(None)
    }

    /// Removes what stands in for an item that is decided; and where that was salvaged in its turn,
    /// what stands in for it. How many were here.
    pub(super) fn remove_stand_ins(
        &mut self,
        own: ReplicaId,
        mut stand_in: Option<Dot>,
    ) -> Result<u64, StorageError> {
        let mut removed = 0;
        while let Some(dot) = stand_in.take() {
            // Whoever replaced it has seen it.
            if self.remove_dot(dot)? {
                let by = self.mint(own)?;
                self.log_removal(by, &Removal::Dots(vec![dot]))?;
                removed += 1;
                continue;
            }
            let key = waiting_key(self.space, dot);
            if let Some(row) = self.rows.get(Table::Meta, &key)? {
                stand_in = Waiting::of(&key, &row)?.stand_in;
                self.rows.delete(Table::Meta, &key)?;
            }
        }
        Ok(removed)
    }

    /// Whether an item has nothing that stands in for it, or what did was lost, so that nobody here
    /// has seen it.
    pub(super) fn needs_stand_in(&self, stand_in: Option<Dot>) -> Result<bool, StorageError> {
        let Some(dot) = stand_in else { return Ok(true) };
        let unseen = dot.seq > self.seen(dot.replica);
        Ok(unseen && self.rows.get(Table::Meta, &waiting_key(self.space, dot))?.is_none())
    }
}
