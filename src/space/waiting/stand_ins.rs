//! What stands in for salvaged items: under which names, and whose it is.
//!
//! Two stores that are both recovered may have salvaged one item. If each adopts it, a counter adds
//! it twice, and no peer that has seen the item may be left to take either of them away. So the
//! name of a stand-in tells whose events it stands in for, and a store in which an item waits
//! looks for it where the item stood: what has its payload and its past, under a name that
//! stands in for its replica's, is the stand-in of that item here too. Of two the one with the
//! smaller dot stays, and whoever notices removes the other.

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

    /// Where others have written an item anew that waits here: of all that stands in for it the one
    /// with the smallest dot stays, wherever it was written, and the rest goes. How many went, or
    /// `None` where nobody else has. Of two items of one replica that are alike in all else each
    /// has its own.
    pub(super) fn share_stand_ins(
        &mut self,
        own: ReplicaId,
        waiting: &Waiting<'_>,
        names: &BTreeMap<[u8; 8], Vec<ReplicaId>>,
    ) -> Result<Option<u64>, StorageError> {
        let mut all = Vec::new();
        if let Some(dot) = waiting.stand_in {
            if self.rows.get(Table::Dots, &dot_key(self.space, dot))?.is_some() {
                all.push(dot);
            } else if !self.needs_stand_in(waiting.stand_in)? {
                return Ok(None); // it was replaced, or waits in its turn
            }
        }
        let here = all.len();
        all.extend(self.stand_ins(waiting, names)?);
        let Some(least) = all.iter().min().copied().filter(|_| all.len() > here) else {
            return Ok(None);
        };
        let mut removed = 0;
        for dot in all.into_iter().filter(|dot| *dot != least) {
            removed += self.remove_stand_in(own, dot)?;
        }
        self.put_stand_in(waiting, least)?;
        Ok(Some(removed))
    }

    /// What stands in for an item by its name, and is here: of each name one, but for the name of
    /// the one that is known, since others of that name stand in for others.
    pub(super) fn stand_ins(
        &self,
        waiting: &Waiting<'_>,
        names: &BTreeMap<[u8; 8], Vec<ReplicaId>>,
    ) -> Result<Vec<Dot>, StorageError> {
        let names = names.get(&mark_of(waiting.dot.replica)).into_iter().flatten();
        let unknown = |name: &&ReplicaId| waiting.stand_in.is_none_or(|dot| dot.replica != **name);
        let found = names.filter(unknown);
        found.filter_map(|name| self.same_item(*name, waiting).transpose()).collect()
    }

    /// The first item of this replica that stands where the other one does, with its payload and
    /// its past.
    fn same_item(
        &self,
        replica: ReplicaId,
        waiting: &Waiting<'_>,
    ) -> Result<Option<Dot>, StorageError> {
        let [from, to] = [Seq::ZERO, Seq::MAX]
            .map(|seq| item_key(self.space, waiting.place, Some(Dot::new(replica, seq))));
        let mut found = None;
        self.rows.scan(Table::Items, range(&from, &to), Order::Ascending, &mut |key, value| {
            if value != waiting.value {
                return ControlFlow::Continue(());
            }
            found = Some(split_item_key(key).map(|(_, dot)| dot));
            ControlFlow::Break(())
        })?;
        found.transpose().map_err(|e| corrupt(Table::Items, &from, e))
    }

    /// Notes what stands in for an item. What did before and was lost may be elsewhere still: it is
    /// an item that waits itself, for which the same stands in.
    pub(super) fn put_stand_in(
        &mut self,
        waiting: &Waiting<'_>,
        dot: Dot,
    ) -> Result<(), StorageError> {
        let lost = match waiting.stand_in {
            Some(lost) if self.needs_stand_in(waiting.stand_in)? => lost,
            _ => waiting.dot,
        };
        let waiting = Waiting { dot: lost, stand_in: Some(dot), ..*waiting };
        waiting.put(self.rows, self.space)
    }

    /// Removes what stands in for an item that is decided; and where that was salvaged in its turn,
    /// what stands in for it. What is not here goes when it comes. How many were here.
    pub(super) fn remove_stand_ins(
        &mut self,
        own: ReplicaId,
        decided: &Waiting<'_>,
    ) -> Result<u64, StorageError> {
        let (mut removed, mut next) = (0, decided.stand_in);
        while let Some(dot) = next.take() {
            removed += self.remove_stand_in(own, dot)?;
            let key = waiting_key(self.space, dot);
            if let Some(row) = self.rows.get(Table::Meta, &key)? {
                next = Waiting::of(&key, &row)?.stand_in;
                self.rows.delete(Table::Meta, &key)?;
            }
            if dot.seq > self.seen(dot.replica) {
                let goes = Waiting { dot, stand_in: None, goes: true, ..*decided };
                goes.put(self.rows, self.space)?;
            }
        }
        Ok(removed)
    }

    /// Removes a stand-in, if it is here: whoever replaced it has seen it. How many that are.
    pub(super) fn remove_stand_in(
        &mut self,
        own: ReplicaId,
        dot: Dot,
    ) -> Result<u64, StorageError> {
        if !self.remove_dot(dot)? {
            return Ok(0);
        }
        let by = self.mint(own)?;
        self.log_removal(by, &Removal::Dots(vec![dot]))?;
        Ok(1)
    }

    /// Whether an item has nothing that stands in for it, or what did was lost, so that nobody here
    /// has seen it.
    pub(super) fn needs_stand_in(&self, stand_in: Option<Dot>) -> Result<bool, StorageError> {
        let Some(dot) = stand_in else { return Ok(true) };
        let unseen = dot.seq > self.seen(dot.replica);
        Ok(unseen && self.rows.get(Table::Meta, &waiting_key(self.space, dot))?.is_none())
    }
}
