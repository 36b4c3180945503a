//! The single write path: every change of a space's rows, local or from a peer, goes
//! through a [`Batch`], which keeps items, dots, removal log, counts and digest in step
//! and ends in one commit.

use hashbrown::HashSet;
use smallvec::SmallVec;

use super::catalog;
use super::rows::{
    PASS_ROWS, Removal, Run, Runs, State, Which, after, batch, corrupt, dot_key, dot_of_key,
    dot_value, item_key, item_value, numbered_key, range, read_state, space_key, split_dot_value,
    split_item_value, vector_key,
};
use super::view::View;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::limits;
use crate::digest::{ItemHash, Marks};
use crate::storage::{Order, StorageError, Table, Write};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// An item to be staged, borrowed from the chunk that brings it.
pub(super) struct Staging<'c> {
    pub(super) dot: Dot,
    pub(super) place: &'c [u8],
    pub(super) past: &'c VersionVector,
    pub(super) payload: &'c [u8],
}

/// What is replaced or removed: by prefix the past that covers it.
type Covered = BTreeMap<Vec<u8>, VersionVector>;

/// The changes of one commit of one space, while they are made.
pub(super) struct Batch<'t> {
    pub(super) rows: &'t mut dyn Write,
    pub(super) space: u32,
    name: Arc<str>,
    pub(super) state: State,
    /// The vector before this batch.
    pub(super) base: Arc<VersionVector>,
    /// What this batch adds to it: entries that are greater than the base's.
    pub(super) risen: VersionVector,
    marks: Marks,
    dots: Runs,
    removals: Runs,
}

impl<'t> Batch<'t> {
    pub(super) fn new(
        rows: &'t mut dyn Write,
        space: u32,
        name: Arc<str>,
        base: Arc<VersionVector>,
    ) -> Result<Self, StorageError> {
        let state = read_state(rows, space)?;
        Ok(Self {
            rows,
            space,
            name,
            state,
            base,
            risen: VersionVector::new(),
            marks: Marks::default(),
            dots: Runs::default(),
            removals: Runs::default(),
        })
    }

    /// What stands in the space, the changes of this batch included.
    pub(super) fn view(&self) -> View<'_> {
        View::new(self.rows, Some(self.space), &self.base, Some(&self.risen), self.state.staged > 0)
    }

    /// The greatest seq seen of `replica`, this batch included.
    pub(super) fn seen(&self, replica: ReplicaId) -> Seq {
        self.risen.get(replica).max(self.base.get(replica))
    }

    /// The next dot of `replica`, which is thereby seen.
    pub(super) fn mint(&mut self, replica: ReplicaId) -> Dot {
        let dot = Dot::new(replica, self.seen(replica).next());
        self.risen.advance(dot);
        self.dots.push(dot);
        dot
    }

    /// Puts the row of a live item.
    pub(super) fn insert_item(
        &mut self,
        dot: Dot,
        place: &[u8],
        past: &VersionVector,
        payload: &[u8],
    ) -> Result<(), StorageError> {
        self.put_dot_row(dot, place, past, payload)?;
        self.put_item_row(dot, place, past, payload)?;
        self.state.items += 1;
        self.marks.note(dot);
        Ok(())
    }

    fn put_dot_row(
        &mut self,
        dot: Dot,
        place: &[u8],
        past: &VersionVector,
        payload: &[u8],
    ) -> Result<(), StorageError> {
        let hash = ItemHash::of(dot, place, payload);
        let value = dot_value(hash, !past.is_empty(), place);
        self.rows.put(Table::Dots, &dot_key(self.space, dot), &value)
    }

    fn put_item_row(
        &mut self,
        dot: Dot,
        place: &[u8],
        past: &VersionVector,
        payload: &[u8],
    ) -> Result<(), StorageError> {
        let key = item_key(self.space, place, Some(dot));
        self.rows.put(Table::Items, &key, &item_value(past, payload))
    }

    /// Puts the rows of items that are ahead of the vector. Each table in its own order:
    /// neighbours share pages, which a chunk in the order of dots would touch one by one.
    pub(super) fn stage_items(&mut self, mut items: Vec<Staging<'_>>) -> Result<(), StorageError> {
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
    pub(super) fn stage_removal(
        &mut self,
        dot: Dot,
        removal: &Removal,
    ) -> Result<(), StorageError> {
        self.rows.put(Table::Removals, &dot_key(self.space, dot), &removal.to_row())?;
        self.state.staged += 1;
        Ok(())
    }

    /// Takes away what is staged under a dot, if anything is.
    pub(super) fn unstage(&mut self, dot: Dot) -> Result<(), StorageError> {
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

    /// Takes away the item with this key, live or staged.
    pub(super) fn remove_item(&mut self, key: &[u8], dot: Dot) -> Result<(), StorageError> {
        self.rows.delete(Table::Items, key)?;
        self.rows.delete(Table::Dots, &dot_key(self.space, dot))?;
        if dot.seq <= self.seen(dot.replica) {
            self.state.items = self.state.items.saturating_sub(1);
            self.marks.note(dot);
        } else {
            self.state.staged = self.state.staged.saturating_sub(1);
        }
        Ok(())
    }

    /// Takes away the item of a dot, wherever it stands; whether there was one.
    pub(super) fn remove_dot(&mut self, dot: Dot) -> Result<bool, StorageError> {
        let key = dot_key(self.space, dot);
        let Some(row) = self.rows.get(Table::Dots, &key)? else { return Ok(false) };
        let row = split_dot_value(&row).map_err(|e| corrupt(Table::Dots, &key, e))?;
        self.remove_item(&item_key(self.space, row.place, Some(dot)), dot)?;
        Ok(true)
    }

    /// Takes away every item beneath `prefix` that `past` covers.
    pub(super) fn remove_covered(
        &mut self,
        prefix: &[u8],
        past: &VersionVector,
    ) -> Result<(), StorageError> {
        let mut from = item_key(self.space, prefix, None);
        let to = after(&from);
        loop {
            let mut dead: SmallVec<[(Vec<u8>, Dot); 4]> = SmallVec::new();
            let mut wrong = None;
            self.rows.scan(Table::Items, range(&from, &to), Order::Ascending, &mut |key, _| {
                match dot_of_key(key) {
                    Ok(dot) if past.contains(dot) => {
                        dead.push((key.to_vec(), dot));
                    }
                    Ok(_) => {}
                    Err(e) => wrong = Some(corrupt(Table::Items, key, e)),
                }
                if dead.len() < PASS_ROWS {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            let whole = dead.len() < PASS_ROWS;
            if let Some((last, _)) = dead.last() {
                from.clone_from(last);
            }
            for (key, dot) in dead {
                self.remove_item(&key, dot)?;
            }
            if whole {
                return Ok(());
            }
        }
    }

    /// Puts the record of a removal of our own.
    pub(super) fn log_removal(&mut self, dot: Dot, removal: &Removal) -> Result<(), StorageError> {
        let (key, row) = (dot_key(self.space, dot), removal.to_row());
        self.rows.put(Table::Removals, &key, &row)?;
        self.state.log_bytes += (key.len() + row.len()) as u64;
        self.removals.push(dot);
        Ok(())
    }

    /// Raises the vector to `to` and makes what was staged up to there live: rows of
    /// events between the old vector and the new appear, then what their pasts and
    /// removal records cover disappears.
    ///
    /// `fresh` are the dots that the delta brought where it is all of one chunk; rows there
    /// that it did not bring were staged from elsewhere and are dead at the sender: they go.
    /// `None` where the whole staging is this delta's own.
    pub(super) fn promote(
        &mut self,
        to: &VersionVector,
        fresh: Option<&HashSet<Dot>>,
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
                if let Some(fresh) = fresh {
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
            if records {
                self.each_record(*run)?;
            }
        }
        Ok(())
    }

    /// Takes away what stands ahead of the vector in a run and is not among `fresh`.
    fn unstage_others(&mut self, run: Run, fresh: &HashSet<Dot>) -> Result<(), StorageError> {
        for table in [Table::Dots, Table::Removals] {
            self.each_row_of(table, run, |b, dot, _| match fresh.contains(&dot) {
                true => Ok(()),
                false => b.unstage(dot),
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
                    marks.note(dot);
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
                let row = split_dot_value(value).map_err(|e| corrupt(Table::Dots, value, e))?;
                if !row.has_past {
                    continue;
                }
                let key = item_key(b.space, row.place, Some(dot));
                let Some(value) = b.rows.get(Table::Items, &key)? else {
                    return Err(corrupt(Table::Items, &key, "a dot whose item is gone"));
                };
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
            for (_, value) in rows {
                match Removal::from_row(value).map_err(|e| corrupt(Table::Removals, value, e))? {
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

    /// Takes away what is covered, each prefix in one scan: thousands of siblings, or of
    /// records about one prefix, must not each scan all the others.
    fn remove_all_covered(&mut self, covered: &Covered) -> Result<(), StorageError> {
        covered.iter().try_for_each(|(prefix, past)| self.remove_covered(prefix, past))
    }

    /// Goes through the rows of a run of dots in bounded passes; the work may delete rows.
    fn each_row_of(
        &mut self,
        table: Table,
        run: Run,
        mut work: impl FnMut(&mut Self, Dot, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.each_pass_of(table, run, |b, rows| {
            rows.iter().try_for_each(|(key, value)| {
                let dot = dot_of_key(key).map_err(|e| corrupt(table, key, e))?;
                work(b, dot, value)
            })
        })
    }

    /// The same, a pass at a time.
    fn each_pass_of(
        &mut self,
        table: Table,
        run: Run,
        mut work: impl FnMut(&mut Self, &[(Vec<u8>, Vec<u8>)]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let (mut from, to) = run_range(self.space, run);
        loop {
            let (found, whole) = batch(self.rows, table, &from, &to, PASS_ROWS)?;
            work(self, &found)?;
            match found.last() {
                Some((last, _)) if !whole => {
                    from.clone_from(last);
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }

    /// Takes away every row that is ahead of the vector.
    pub(super) fn clear_staging(&mut self) -> Result<(), StorageError> {
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
        self.write_staged_vector(None)?;
        self.state.staging_peer = None;
        Ok(())
    }

    /// Notes up to where a delta is staged: raises those entries, or drops all of them.
    pub(super) fn write_staged_vector(
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

    /// Whether anything happened that must be kept.
    pub(super) fn changed(&self) -> bool {
        !self.risen.is_empty()
    }

    /// Writes what is kept once a commit: vector, digest marks, commit and log rows, state.
    pub(super) fn finish(mut self, log_limit_bytes: u64) -> Result<Finished, StorageError> {
        for (replica, seq) in self.risen.iter() {
            debug_assert!(seq > self.base.get(replica), "a vector only rises");
            let key = vector_key(self.space, Which::Seen, replica);
            self.rows.put(Table::Vectors, &key, &seq.get().to_be_bytes())?;
        }
        if !(self.risen.is_empty() && self.marks.is_empty()) {
            self.state.touched = catalog::touch(self.rows, &self.name, self.state.touched)?;
        }
        self.marks.save(self.rows, self.space)?;
        self.state.commit += 1;
        let number = self.state.commit;
        if !self.removals.0.is_empty() {
            let row = self.removals.to_row();
            self.rows.put(Table::RemovalAges, &numbered_key(self.space, number), &row)?;
        }
        if self.state.log_bytes > log_limit_bytes {
            self.trim_log(log_limit_bytes)?;
        }
        if !self.dots.0.is_empty() {
            self.rows.put(
                Table::Commits,
                &numbered_key(self.space, number),
                &self.dots.to_row(),
            )?;
        }
        if let Some(old) = number.checked_sub(limits::COMMITS) {
            self.rows.delete(Table::Commits, &numbered_key(self.space, old))?;
        }
        self.rows.put(Table::States, &space_key(self.space), &self.state.to_row())?;
        Ok(Finished { commit: number, risen: self.risen })
    }

    /// Drops the oldest removal records until the log is within its limit.
    fn trim_log(&mut self, limit_bytes: u64) -> Result<(), StorageError> {
        let from = space_key(self.space).to_vec();
        let to = after(&from);
        while self.state.log_bytes > limit_bytes {
            let Some((age_key, row)) = batch(self.rows, Table::RemovalAges, &from, &to, 1)?.0.pop()
            else {
                self.state.log_bytes = 0;
                return Ok(());
            };
            let mut runs =
                Runs::from_row(&row).map_err(|e| corrupt(Table::RemovalAges, &age_key, e))?;
            self.trim_runs(&mut runs, limit_bytes)?;
            if runs.0.is_empty() {
                self.rows.delete(Table::RemovalAges, &age_key)?;
            } else {
                self.rows.put(Table::RemovalAges, &age_key, &runs.to_row())?;
            }
        }
        Ok(())
    }

    fn trim_runs(&mut self, runs: &mut Runs, limit_bytes: u64) -> Result<(), StorageError> {
        runs.0.reverse();
        while let Some(run) = runs.0.last_mut() {
            if self.state.log_bytes <= limit_bytes {
                break;
            }
            let (from, to) = run_range(self.space, *run);
            match batch(self.rows, Table::Removals, &from, &to, 1)?.0.pop() {
                Some((key, row)) => {
                    let dot = dot_of_key(&key).map_err(|e| corrupt(Table::Removals, &key, e))?;
                    self.rows.delete(Table::Removals, &key)?;
                    let bytes = (key.len() + row.len()) as u64;
                    self.state.log_bytes = self.state.log_bytes.saturating_sub(bytes);
                    run.first = dot.seq.next();
                    if run.first > run.last {
                        runs.0.pop();
                    }
                }
                None => {
                    runs.0.pop();
                }
            }
        }
        runs.0.reverse();
        Ok(())
    }
}

/// The keys of the rows of a run of dots.
fn run_range(space: u32, run: Run) -> (Vec<u8>, Vec<u8>) {
    let from = dot_key(space, Dot::new(run.replica, run.first));
    let mut to = dot_key(space, Dot::new(run.replica, run.last));
    to.push(0);
    (from, to)
}

/// What a batch changed, once it is committed.
pub(super) struct Finished {
    pub(super) commit: u64,
    pub(super) risen: VersionVector,
}
