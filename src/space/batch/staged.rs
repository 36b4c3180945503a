//! Rows ahead of the vector: how they come, go, and become what stands.

use std::ops::ControlFlow;

use super::{Batch, Covered, Staging, run_range};
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::faults::fault;
use crate::space::content::item_row;
use crate::space::rows::{
    PASS_ROWS, Removal, Run, Runs, State, Which, after, batch, corrupt, dot_key, dot_of_key,
    item_key, range, read_count, space_key, split_dot_value, split_item_value, vector_key,
};
use crate::storage::{Order, StorageError, Table, Write};

/// Under it, it is counted how much each peer has staged in all spaces.
pub(in crate::space) const STAGED_KEY: &[u8] = b"staged/";

fn staged_key(peer: ReplicaId) -> Vec<u8> {
    [STAGED_KEY, peer.as_bytes()].concat()
}

/// Nothing is staged in a space any more: no longer counts it for the peer whose it was.
pub(in crate::space) fn release_staged(
    rows: &mut dyn Write,
    state: &mut State,
) -> Result<(), StorageError> {
    let bytes = core::mem::take(&mut state.staged_bytes);
    let Some(key) = state.staging_peer.take().map(staged_key) else { return Ok(()) };
    let left = read_count(rows, &key, "not a count of bytes")?.saturating_sub(bytes);
    if left > 0 {
        return rows.put(Table::Meta, &key, &left.to_be_bytes());
    }
    rows.delete(Table::Meta, &key).map(drop)
}

impl Batch<'_> {
    /// Puts the rows of items that are ahead of the vector. Each table in its own order:
    /// neighbours share pages, which a chunk in the order of dots would touch one by one.
    pub(in crate::space) fn stage_items(
        &mut self,
        mut items: Vec<Staging<'_>>,
    ) -> Result<(), StorageError> {
        self.state.staged += items.len() as u64;
        for item in &items {
            self.put_dot_row(item.dot, item.place, item.past, item.payload)?;
        }
        items.sort_unstable_by_key(|item| (item.place, item.dot));
        for item in &items {
            self.put_item_row(item.dot, item.place, item.past, item.payload)?;
        }
        Ok(())
    }

    /// Puts a removal record that is ahead of the vector.
    pub(in crate::space) fn stage_removal(
        &mut self,
        dot: Dot,
        removal: &Removal,
    ) -> Result<(), StorageError> {
        self.rows.put(Table::Removals, &dot_key(self.space, dot), &removal.to_row())?;
        self.state.staged += 1;
        Ok(())
    }

    /// Counts bytes that a peer stages; whether they, and what it has staged in all spaces of
    /// the store, are no more than it may.
    pub(in crate::space) fn may_stage(
        &mut self,
        peer: ReplicaId,
        bytes: u64,
        most_bytes: u64,
    ) -> Result<bool, StorageError> {
        let key = staged_key(peer);
        let staged = read_count(self.rows, &key, "not a count of bytes")?.saturating_add(bytes);
        if staged > most_bytes {
            return Ok(false);
        }
        self.rows.put(Table::Meta, &key, &staged.to_be_bytes())?;
        self.state.staged_bytes = self.state.staged_bytes.saturating_add(bytes);
        Ok(true)
    }

    /// Takes away what is staged under a dot, if anything is.
    pub(in crate::space) fn unstage(&mut self, dot: Dot) -> Result<(), StorageError> {
        let key = dot_key(self.space, dot);
        if let Some(row) = self.rows.get(Table::Dots, &key)? {
            let row = split_dot_value(&row).map_err(|e| corrupt(Table::Dots, &key, e))?;
            self.rows.delete(Table::Items, &item_key(self.space, row.place, Some(dot)))?;
            self.rows.delete(Table::Dots, &key)?;
            self.state.staged = self.state.staged.saturating_sub(1);
        }
        if self.rows.delete(Table::Removals, &key)? {
            self.state.staged = self.state.staged.saturating_sub(1);
        }
        Ok(())
    }

    /// Raises the vector to `to` and makes what was staged up to there live: rows of
    /// events between the old vector and the new appear, then what their pasts and
    /// removal records cover disappears.
    ///
    /// `fresh` is what the delta brought, where it is all of one chunk; rows there
    /// that it did not bring were staged from elsewhere and are dead at the sender: they go.
    /// `None` where the whole staging is this delta's own.
    pub(in crate::space) fn promote(
        &mut self,
        to: &VersionVector,
        fresh: Option<&Runs>,
    ) -> Result<(), StorageError> {
        let old: Vec<_> = to.iter().map(|(r, _)| (r, self.seen(r))).collect();
        let runs: Vec<Run> = to
            .iter()
            .zip(old)
            .filter(|((_, new), (_, old))| new > old)
            .map(|((replica, last), (_, old))| Run { replica, first: old.next(), last })
            .collect();
        let (mut pasts, mut records) = (false, false);
        if self.state.staged > 0 {
            for run in &runs {
                if let Some(fresh) = fresh.filter(|_| !fault!(ForeignStagedRowsShown)) {
                    self.unstage_others(*run, fresh)?;
                }
                pasts |= self.show_items(*run)?;
                records |= self.show_records(*run)?;
            }
        }
        for run in &runs {
            self.risen.advance(Dot::new(run.replica, run.last));
            self.dots.0.push(*run);
        }
        for run in &runs {
            if pasts {
                self.each_item_with_past(*run)?;
            }
            if records && !fault!(RemovalRecordsNotApplied) {
                self.each_record(*run)?;
            }
        }
        Ok(())
    }

    /// Takes away what stands ahead of the vector in a run and is not among `fresh`.
    fn unstage_others(&mut self, run: Run, fresh: &Runs) -> Result<(), StorageError> {
        for table in [Table::Dots, Table::Removals] {
            self.each_row_of(table, run, |b, dot, _| {
                if fresh.contain(dot) {
                    return Ok(());
                }
                b.keep_in_trash(dot)?;
                b.unstage(dot)
            })?;
        }
        Ok(())
    }

    /// Counts the staged items of a run as live; whether any has a past. A pass over the
    /// rows as they stand: a first delta may bring millions.
    fn show_items(&mut self, run: Run) -> Result<bool, StorageError> {
        let (marks, state) = (&mut self.marks, &mut self.state);
        let (mut pasts, mut wrong) = (false, None);
        let (from, to) = run_range(self.space, run);
        self.rows.scan(Table::Dots, range(&from, &to), Order::Ascending, &mut |key, value| {
            match dot_of_key(key).and_then(|dot| Ok((dot, split_dot_value(value)?))) {
                Ok((dot, row)) => {
                    pasts |= row.has_past;
                    state.staged = state.staged.saturating_sub(1);
                    state.items += 1;
                    marks.came(dot);
                    ControlFlow::Continue(())
                }
                Err(e) => {
                    wrong = Some(corrupt(Table::Dots, key, e));
                    ControlFlow::Break(())
                }
            }
        })?;
        wrong.map_or(Ok(pasts), Err)
    }

    /// Counts the staged removal records of a run as the log's; whether there are any.
    fn show_records(&mut self, run: Run) -> Result<bool, StorageError> {
        let (removals, state) = (&mut self.removals, &mut self.state);
        let (mut any, mut wrong) = (false, None);
        let (from, to) = run_range(self.space, run);
        self.rows.scan(
            Table::Removals,
            range(&from, &to),
            Order::Ascending,
            &mut |key, value| match dot_of_key(key) {
                Ok(dot) => {
                    any = true;
                    state.staged = state.staged.saturating_sub(1);
                    state.log_bytes += (key.len() + value.len()) as u64;
                    removals.push(dot);
                    ControlFlow::Continue(())
                }
                Err(e) => {
                    wrong = Some(corrupt(Table::Removals, key, e));
                    ControlFlow::Break(())
                }
            },
        )?;
        wrong.map_or(Ok(any), Err)
    }

    fn each_item_with_past(&mut self, run: Run) -> Result<(), StorageError> {
        self.each_pass_of(Table::Dots, run, |b, rows| {
            let mut covered = Covered::new();
            for (key, value) in rows {
                let dot = dot_of_key(key).map_err(|e| corrupt(Table::Dots, key, e))?;
                let row = split_dot_value(value).map_err(|e| corrupt(Table::Dots, key, e))?;
                if !row.has_past {
                    continue;
                }
                let (key, value) = item_row(b.rows, b.space, dot, row.place)?;
                let (past, _) =
                    split_item_value(&value).map_err(|e| corrupt(Table::Items, &key, e))?;
                // Whatever its past says, an item does not replace itself.
                let before = |(r, seq): (ReplicaId, Seq)| match r == dot.replica {
                    true => (r, seq.min(dot.seq.prev())),
                    false => (r, seq),
                };
                let past: VersionVector =
                    past.iter().map(before).filter(|(_, seq)| !seq.is_zero()).collect();
                covered.entry(row.place.to_vec()).or_default().join(&past);
            }
            b.remove_all_covered(&covered)
        })
    }

    fn each_record(&mut self, run: Run) -> Result<(), StorageError> {
        self.each_pass_of(Table::Removals, run, |b, rows| {
            let mut covered = Covered::new();
            for (key, value) in rows {
                match Removal::from_row(value).map_err(|e| corrupt(Table::Removals, key, e))? {
                    Removal::Dots(dots) => {
                        for dot in dots {
                            b.remove_dot(dot)?;
                        }
                    }
                    Removal::Prefix { prefix, past } => {
                        covered.entry(prefix.as_bytes().to_vec()).or_default().join(&past);
                    }
                }
            }
            b.remove_all_covered(&covered)
        })
    }

    /// Takes away every row that is ahead of the vector. Those that are counted and not found
    /// are lost, and may have been of the delta whose vector now says that they are dead.
    pub(in crate::space) fn clear_staging(&mut self) -> Result<(), StorageError> {
        if self.state.staged > 0 {
            for table in [Table::Dots, Table::Removals] {
                let mut origin = space_key(self.space).to_vec();
                let end = after(&origin);
                while let Some((key, _)) = batch(self.rows, table, &origin, &end, 1)?.0.pop() {
                    let dot = dot_of_key(&key).map_err(|e| corrupt(table, &key, e))?;
                    let run = Run {
                        replica: dot.replica,
                        first: self.seen(dot.replica).next(),
                        last: Seq::MAX,
                    };
                    self.each_row_of(table, run, |b, dot, _| b.unstage(dot))?;
                    origin = dot_key(self.space, Dot::new(dot.replica, Seq::MAX));
                    origin.push(0);
                }
            }
        }
        if self.state.staged > 0 {
            let place = format!("what is staged in space {:?}", self.name);
            let reason = format!("{} of its rows are gone", self.state.staged);
            return Err(StorageError::Corrupt { place, reason });
        }
        self.write_staged_vector(None)?;
        release_staged(self.rows, &mut self.state)?;
        Ok(())
    }

    /// Notes up to where a delta is staged: writes those entries, or drops all of them.
    pub(in crate::space) fn write_staged_vector(
        &mut self,
        upto: Option<&VersionVector>,
    ) -> Result<(), StorageError> {
        if let Some(upto) = upto {
            for (replica, seq) in upto.iter() {
                let key = vector_key(self.space, Which::Staged, replica);
                self.rows.put(Table::Vectors, &key, &seq.get().to_be_bytes())?;
            }
            return Ok(());
        }
        let from = [space_key(self.space).as_slice(), &[Which::Staged as u8]].concat();
        let to = after(&from);
        loop {
            let (found, whole) = batch(self.rows, Table::Vectors, &from, &to, PASS_ROWS)?;
            for (key, _) in found {
                self.rows.delete(Table::Vectors, &key)?;
            }
            if whole {
                return Ok(());
            }
        }
    }
}
