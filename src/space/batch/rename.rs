//! Events that go on under another name, because theirs has forked.

use std::sync::Arc;

use super::Batch;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::limits;
use crate::space::content::Content;
use crate::space::rows::{
    PASS_ROWS, Pair, Removal, Run, Runs, Which, after, batch, corrupt, dot_key, dot_of_key,
    entry_value, item_key, item_value, space_key, split_dot_value, vector_key,
};
use crate::space::stretches::{read_stretches, stretch_key, tag_at};
use crate::storage::{StorageError, Table};

/// What gives up its name: the events of an origin after a seq, which go on as those of `to`,
/// under the seqs they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) struct Renaming {
    pub(in crate::space) origin: ReplicaId,
    pub(in crate::space) after: Seq,
    pub(in crate::space) to: ReplicaId,
}

impl Renaming {
    /// The one of these, ascending by origin, that concerns a dot.
    fn of(renamings: &[Self], dot: Dot) -> Option<&Self> {
        let at = renamings.binary_search_by(|renaming| renaming.origin.cmp(&dot.replica)).ok()?;
        renamings.get(at).filter(|renaming| dot.seq > renaming.after)
    }

    /// What a dot is called from now on; nothing where it keeps its name.
    pub(in crate::space) fn dot(renamings: &[Self], dot: Dot) -> Option<Dot> {
        Self::of(renamings, dot).map(|renaming| Dot::new(renaming.to, dot.seq))
    }

    /// A past that names what is renamed by the names it gets; nothing where it names none.
    pub(in crate::space) fn past(
        renamings: &[Self],
        past: &VersionVector,
    ) -> Option<VersionVector> {
        let mut renamed: Option<VersionVector> = None;
        for (origin, seq) in past.iter() {
            let Some(renaming) = Self::of(renamings, Dot::new(origin, seq)) else { continue };
            let vector = renaming.lower(renamed.as_ref().unwrap_or(past));
            let vector = renamed.insert(vector);
            vector.advance(Dot::new(renaming.to, seq));
            if vector.len() > limits::REMOVAL_ORIGINS {
                // No chunk brings more. What is left out, a proof finds.
                *vector = vector.iter().filter(|entry| entry.0 != origin).collect();
            }
        }
        renamed
    }

    /// A vector that has seen nothing of what is renamed, and all else that this one has.
    fn lower(&self, vector: &VersionVector) -> VersionVector {
        let lower = |(replica, seq): (ReplicaId, Seq)| match replica == self.origin {
            true => (replica, seq.min(self.after)),
            false => (replica, seq),
        };
        let entries = vector.iter().map(lower).filter(|entry| !entry.1.is_zero());
        VersionVector::from_sorted(entries).unwrap_or_default()
    }

    fn of_removal(renamings: &[Self], dot: Dot, removal: &Removal) -> bool {
        let concerns = |dot| Self::of(renamings, dot).is_some();
        concerns(dot)
            || match removal {
                Removal::Dots(dots) => dots.iter().any(|dot| concerns(*dot)),
                Removal::Prefix { past, .. } => {
                    past.iter().any(|(origin, seq)| concerns(Dot::new(origin, seq)))
                }
            }
    }
}

impl Batch<'_> {
    /// Gives events that are seen here other names, where they stand and where others name
    /// them as replaced, and forgets removal records that speak of them: what these say, the
    /// next walk finds. Nothing may be staged, and the batch not have changed anything yet; one
    /// renaming of an origin, ascending by these, and none of a name that another one gives.
    /// So go what waits and what is in the trash. Goes through all dots of the space once.
    pub(in crate::space) fn rename(&mut self, renamings: &[Renaming]) -> Result<(), StorageError> {
        for renaming in renamings {
            self.rename_events(renamings, *renaming)?;
        }
        if renamings.is_empty() {
            return Ok(());
        }
        self.renamed = true;
        self.each_of_space(Table::Dots, |b, (key, row)| {
            let dot = dot_of_key(key).map_err(|e| corrupt(Table::Dots, key, e))?;
            if !split_dot_value(row).map_err(|e| corrupt(Table::Dots, key, e))?.has_past {
                return Ok(());
            }
            let Content { place, past, payload } = Content::read(b.rows, b.space, dot, row)?;
            let Some(past) = Renaming::past(renamings, &past) else { return Ok(()) };
            let key = item_key(b.space, &place, Some(dot));
            b.rows.put(Table::Items, &key, &item_value(&past, &payload))
        })?;
        self.each_of_space(Table::Removals, |b, (key, row)| {
            let dot = dot_of_key(key).map_err(|e| corrupt(Table::Removals, key, e))?;
            let removal = Removal::from_row(row).map_err(|e| corrupt(Table::Removals, key, e))?;
            if Renaming::of_removal(renamings, dot, &removal) {
                b.rows.delete(Table::Removals, key)?;
                let bytes = (key.len() + row.len()) as u64;
                b.state.log_bytes = b.state.log_bytes.saturating_sub(bytes);
            }
            Ok(())
        })?;
        self.forget_ages(renamings)?;
        self.rename_trash(renamings)?;
        self.rename_waiting(renamings)
    }

    /// Lets the log know no age of what gives way: under its dots others' records come to stand,
    /// staged ones too.
    fn forget_ages(&mut self, renamings: &[Renaming]) -> Result<(), StorageError> {
        self.each_of_space(Table::RemovalAges, |b, (key, row)| {
            let mut runs = Runs::from_row(row).map_err(|e| corrupt(Table::RemovalAges, key, e))?;
            let mut changed = false;
            for run in &mut runs.0 {
                if let Some(renaming) = Renaming::of(renamings, Dot::new(run.replica, run.last)) {
                    (run.last, changed) = (renaming.after, true);
                }
            }
            if !changed {
                return Ok(());
            }
            runs.0.retain(|run| run.first <= run.last);
            match runs.0.is_empty() {
                true => b.rows.delete(Table::RemovalAges, key).map(drop),
                false => b.rows.put(Table::RemovalAges, key, &runs.to_row()),
            }
        })
    }

    fn rename_events(
        &mut self,
        renamings: &[Renaming],
        renaming: Renaming,
    ) -> Result<(), StorageError> {
        let Renaming { origin, after, to } = renaming;
        let (top, had) = (self.seen(origin), self.seen(to));
        self.rename_stretches(renaming)?;
        if top > had {
            self.risen.advance(Dot::new(to, top));
            let first = had.max(after).next();
            self.dots.0.push(Run { replica: to, first, last: top });
        }
        let run = Run { replica: origin, first: after.next(), last: top };
        self.each_row_of(Table::Dots, run, |b, dot, row| {
            let Content { place, past, payload } = Content::read(b.rows, b.space, dot, row)?;
            let is_there = dot.seq <= had;
            let new = dot_key(b.space, Dot::new(to, dot.seq));
            if is_there && b.rows.get(Table::Dots, &new)?.is_none() {
                b.keep_in_trash(dot)?;
            }
            b.remove_item(&item_key(b.space, &place, Some(dot)), dot)?;
            if is_there {
                return Ok(()); // it came from elsewhere under the new name, and may have gone
            }
            let past = Renaming::past(renamings, &past).unwrap_or(past);
            b.insert_item(Dot::new(to, dot.seq), &place, &past, &payload)
        })?;
        self.base = Arc::new(renaming.lower(&self.base));
        let key = vector_key(self.space, Which::Seen, origin);
        if after.is_zero() {
            return self.rows.delete(Table::Vectors, &key).map(drop);
        }
        let tag = tag_at(self.rows, self.space, Dot::new(origin, after))?;
        self.rows.put(Table::Vectors, &key, &entry_value(after, tag))
    }

    fn rename_stretches(&mut self, renaming: Renaming) -> Result<(), StorageError> {
        let Renaming { origin, after, to } = renaming;
        let beyond = (after.next(), Seq::MAX);
        for (first, tag) in read_stretches(self.rows, self.space, origin, beyond)? {
            let old = stretch_key(self.space, Dot::new(origin, first));
            self.rows.delete(Table::Vectors, &old)?;
            self.put_stretch(Dot::new(to, first), tag)?;
        }
        Ok(())
    }

    /// Goes through all rows of the space in a table.
    fn each_of_space(
        &mut self,
        table: Table,
        work: impl FnMut(&mut Self, &Pair) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.each_beneath(table, &space_key(self.space), work)
    }

    /// Goes through all rows of a table whose keys start so, in bounded passes; the work may
    /// change and delete them.
    pub(in crate::space) fn each_beneath(
        &mut self,
        table: Table,
        prefix: &[u8],
        mut work: impl FnMut(&mut Self, &Pair) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let (mut from, to) = (prefix.to_vec(), after(prefix));
        loop {
            let (found, whole) = batch(self.rows, table, &from, &to, PASS_ROWS)?;
            found.iter().try_for_each(|pair| work(self, pair))?;
            match found.last() {
                Some((last, _)) if !whole => {
                    from.clone_from(last);
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }
}
