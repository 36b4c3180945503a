//! The single write path: every change of a space's rows, local or from a peer, goes
//! through a [`Batch`], which keeps items, dots, removal log, counts and digest in step
//! and ends in one commit.

mod log;
mod rename;
mod staged;

pub(super) use rename::Renaming;
pub(super) use staged::{STAGED_KEY, release_staged};

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::catalog;
use super::rows::{
    PASS_ROWS, Run, Runs, State, Which, after, batch, corrupt, dot_key, dot_of_key, dot_value,
    entry_value, item_key, item_value, numbered_key, range, space_key, split_dot_value, vector_key,
};
use super::shared::SpaceShared;
use super::stretches::{Tags, tag_at};
use super::trash::Trashing;
use super::view::View;
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::codec::limits;
use crate::digest::{ItemHash, Marks};
use crate::faults::fault;
use crate::storage::{Order, StorageError, Table, Write};

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
    /// The commit that this batch becomes part of touched the space before.
    touched: bool,
    pub(super) trash: Trashing,
    /// The tag of what this store makes, and the name of which a stretch with it is known to be
    /// begun.
    tag: Tag,
    tagged: Option<ReplicaId>,
    /// The first events that were made here, of each name.
    made: SmallVec<[Dot; 1]>,
    /// Where it is known which tags events have.
    known: Option<Tags<'t>>,
    /// Whether names gave way, which changes the vector even where nothing rises.
    renamed: bool,
}

impl<'t> Batch<'t> {
    pub(super) fn new(
        rows: &'t mut dyn Write,
        space: u32,
        name: Arc<str>,
        base: Arc<VersionVector>,
        state: State,
    ) -> Self {
        Self {
            rows,
            space,
            name,
            state,
            base,
            risen: VersionVector::new(),
            marks: Marks::default(),
            dots: Runs::default(),
            removals: Runs::default(),
            touched: false,
            trash: Trashing::default(),
            tag: Tag::UNKNOWN,
            tagged: None,
            made: SmallVec::new(),
            known: None,
            renamed: false,
        }
    }

    /// The same, of a store that tags what it makes so, and has done so before under a name.
    pub(super) fn tagging(mut self, tag: Tag, tagged: Option<ReplicaId>) -> Self {
        (self.tag, self.tagged) = (tag, tagged);
        self
    }

    /// The same, of a space of which this is known. The caller has the right to write, so that
    /// its generation stays what it is.
    pub(super) fn knowing(mut self, space: &'t SpaceShared) -> Self {
        self.known = Some(Tags::new(space, space.generation.load(Ordering::SeqCst)));
        self
    }

    /// The same, where others that changed the space wait for the same commit.
    pub(super) fn in_touched(mut self, touched: bool) -> Self {
        self.touched = touched;
        self
    }

    /// What stands in the space, the changes of this batch included.
    pub(super) fn view(&self) -> View<'_> {
        View::new(self.rows, Some(self.space), &self.base, Some(&self.risen), self.state.staged > 0)
            .tagged_by(self.known.map(|known| known.with_made(&self.made)))
    }

    /// The greatest seq seen of `replica`, this batch included.
    pub(super) fn seen(&self, replica: ReplicaId) -> Seq {
        self.risen.get(replica).max(self.base.get(replica))
    }

    /// The next dot of `replica`, which is thereby seen.
    pub(super) fn mint(&mut self, replica: ReplicaId) -> Result<Dot, StorageError> {
        let seen = self.seen(replica);
        if seen >= limits::EVENT_SEQ {
            let key = vector_key(self.space, Which::Seen, replica);
            return Err(corrupt(Table::Vectors, &key, "more events than a replica can make"));
        }
        let dot = Dot::new(replica, seen.next());
        self.make(dot);
        Ok(dot)
    }

    /// Makes an event under this very dot, if its replica has not come so far: what is between is
    /// dead from the start. Whether it could.
    pub(super) fn mint_at(&mut self, dot: Dot) -> bool {
        if dot.seq <= self.seen(dot.replica) || dot.seq > limits::EVENT_SEQ {
            return false;
        }
        self.make(dot);
        true
    }

    fn make(&mut self, dot: Dot) {
        self.raise(dot);
        if self.made.iter().all(|first| first.replica != dot.replica) {
            self.made.push(dot);
        }
    }

    /// How many replicas the vector names, about: one that rises may count twice.
    pub(super) fn origins(&self) -> usize {
        self.base.len() + self.risen.len()
    }

    /// Sees an event.
    pub(super) fn raise(&mut self, dot: Dot) {
        self.risen.advance(dot);
        self.dots.push(dot);
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
        self.marks.came(dot);
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

    /// Takes away the item with this key, live or staged.
    pub(super) fn remove_item(&mut self, key: &[u8], dot: Dot) -> Result<(), StorageError> {
        self.rows.delete(Table::Items, key)?;
        self.rows.delete(Table::Dots, &dot_key(self.space, dot))?;
        if dot.seq <= self.seen(dot.replica) {
            self.state.items = self.state.items.saturating_sub(1);
            if !fault!(BlockNotMarkedDirty) {
                self.marks.went(dot);
            }
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

    /// Whether anything happened that must be kept.
    pub(super) fn changed(&self) -> bool {
        !self.risen.is_empty() || self.trash.changed()
    }

    /// Writes what is kept once a commit: vector, digest marks, commit and log rows, state.
    pub(super) fn finish(mut self, log_limit_bytes: u64) -> Result<Finished, StorageError> {
        let mut made = core::mem::take(&mut self.made);
        made.retain(|_| !fault!(NoTags));
        let tagged = self.tagged;
        for first in made.iter().filter(|first| tagged != Some(first.replica)) {
            self.begin_stretch(*first, self.tag.under(first.replica))?;
        }
        for (replica, seq) in self.risen.iter() {
            debug_assert!(seq > self.base.get(replica), "a vector only rises");
            let key = vector_key(self.space, Which::Seen, replica);
            let tag = match made.iter().any(|first| first.replica == replica) {
                true => self.tag.under(replica),
                false => tag_at(self.rows, self.space, Dot::new(replica, seq))?,
            };
            self.rows.put(Table::Vectors, &key, &entry_value(seq, tag))?;
        }
        if !self.touched && (self.renamed || !self.risen.is_empty() || !self.marks.is_empty()) {
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
        self.trash.finish(self.rows, self.space)?;
        self.rows.put(Table::States, &space_key(self.space), &self.state.to_row())?;
        let tagged = made.first().map(|first| first.replica);
        Ok(Finished { commit: number, base: self.base, risen: self.risen, tagged })
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
    /// The vector before, and what rose above it.
    pub(super) base: Arc<VersionVector>,
    pub(super) risen: VersionVector,
    /// The name under which events were made here, which are tagged.
    pub(super) tagged: Option<ReplicaId>,
}
