//! Saving what is sound of a damaged store into a new one.
//!
//! A vector that covers a dot together with the item's absence *is* a delete. So what is lost
//! must not be covered by what the new store claims to have seen. The obvious code lowers the
//! vector: for each origin to just below the first event that is lost. It deletes all the same:
//!
//! 1. A has written b2 in place of a1, which P has still; nobody else knows b2. The page with b2
//!    is damaged. The new store claims {a: 1, b: 1}, and holds neither.
//! 2. It meets P. Both have seen a1, one no longer holds it: a1 dies at P.
//! 3. What replaced it is nowhere. Damage has become a deletion, as if b2 had been written and
//!    then removed by everybody.
//!
//! What is dead below a cut was removed by events that may be above it, and whoever claims the
//! cut must hold those: a store moves between *closed* cuts only. Which events removed what is
//! dead is written nowhere. So there are two closed cuts that a recovered space can claim for
//! certain: its own vector, where nothing is lost, and the empty one.
//!
//! **The rule: a space of which nothing is lost is copied, with its vector. One of which
//! anything is lost, or may be, claims nothing; what was salvaged of it waits under its own dots
//! for a vector that covers them ([`waiting`](super::waiting)), and peers fill the rest.** The
//! causal join then decides each item as it would have done before: no item that lives at a peer
//! is claimed to be dead, none that a peer has seen die comes back, a counter's row counts once.
//!
//! A journal that is damaged loses nothing of what stood before it: up to its first lost commit
//! the store is as it once stood, so that is what is copied, and what is salvaged of the later ones
//! waits.
//!
//! # How it is known that nothing is lost
//! Each item is a row of items and a row of dots. Of every row of dots the item must be there and
//! hash to what the row says; of a damaged page of items, and of one to which nothing leads any
//! more, rows that hash so count as sound.
//! Where the table of items has a gap, that of dots must have none there. Vector and journal
//! must be whole, and the root must be that of the dots where the digest has kept one that can be
//! read. The row of a space's name and the commit that touched it last must not differ in what it
//! is called.
//!
//! # What is lost for good
//! What only this store had ever seen and what is damaged beyond reading. Of a space that was
//! not whole: removals that no peer had heard of, so what they removed is there again; the removal
//! log; and what was [dropped](super::Store::drop_space) is dropped no more if its name, or the
//! note that it is being dropped, stood in the damage. Of the trash, and of what waited in a
//! recovered store, what cannot be read. Positions in the changes of the old store mean nothing in
//! the new one. Nothing is found where all four copies of the first block are gone.

mod finish;
mod items;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use super::check::check_row;
use super::dropping::is_dropped;
use super::options::Options;
use super::rows::{Runs, SPACE_BYTES, Which, number_in, read_vector, vector_entry};
use super::store::Store;
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::digest::{self, Marks};
use crate::error::Error;
use crate::storage::{
    FileOptions, Gap, RedbStorage, Storage, StorageError, Survey, Table, Wreck, Write,
};

/// What a store holds beside items, and may have lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Beside {
    /// Spaces, of which nothing is left that names them.
    Spaces,
    /// Records of removals: peers that have not heard of those come to them by a walk of the
    /// digests, where the [brake](super::MassRemoval) may ask.
    Removals,
    /// Things in the [trash](super::Trash).
    Trash,
    /// Salvaged items that waited since an earlier recovery, or what tells which of those that were
    /// [adopted](super::Store::adopt) stand in for which: then they stay, where a peer knows the
    /// others after all.
    Waiting,
}

impl Beside {
    /// One word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spaces => "spaces",
            Self::Removals => "removals",
            Self::Trash => "trash",
            Self::Waiting => "waiting",
        }
    }
}

impl core::fmt::Display for Beside {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Spaces => "whole spaces",
            Self::Removals => "records of removals",
            Self::Trash => "things in the trash",
            Self::Waiting => "what was salvaged earlier, or what tells which of it was adopted",
        })
    }
}

/// What a recovery has saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoverReport {
    /// The name under which the new store writes.
    pub replica: ReplicaId,
    /// Spaces found.
    pub spaces: u64,
    /// Those of which something is lost, or may be. The new store claims to have seen nothing
    /// of them.
    pub incomplete: Vec<String>,
    /// Items that are here as they were.
    pub items: u64,
    /// Items saved that wait to be decided: see [`Store::adopt`].
    pub waiting: u64,
    /// Items that are known to be lost. Of a gap in both tables nobody knows how many there were.
    pub lost: u64,
    /// What else may be lost, of which nobody knows how much.
    pub also_lost: BTreeSet<Beside>,
    /// Commits of the journal may be lost: the newest writes before a crash. So may one where both
    /// copies that a sync wrote of the first block are gone, which a power cut leaves as well.
    pub journal_damaged: bool,
    /// Pages of the file that could not be read.
    pub pages_lost: u64,
    /// Pages in which one flipped bit was found and taken back, or of which there was a copy.
    pub pages_mended: u64,
    /// Bytes of the new file.
    pub file_bytes: u64,
}

impl RecoverReport {
    /// Whether nothing is lost, and nothing may be: items, what waited, records of removals, the
    /// trash.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let nothing = self.lost == 0 && self.incomplete.is_empty() && self.also_lost.is_empty();
        nothing && !self.journal_damaged
    }

    /// Of nothing saved yet.
    const fn empty() -> Self {
        Self {
            replica: ReplicaId::from_bytes([0; 16]),
            spaces: 0,
            incomplete: Vec::new(),
            items: 0,
            waiting: 0,
            lost: 0,
            also_lost: BTreeSet::new(),
            journal_damaged: false,
            pages_lost: 0,
            pages_mended: 0,
            file_bytes: 0,
        }
    }
}

/// Rows between two words about how far a recovery is.
const ROWS_A_WORD: u64 = 4096;

impl Store {
    /// Saves what is sound of the store in the damaged file `old` into a new store at `new`, under
    /// a name of its own. `old` is only read, whatever is wrong with it, and need not open.
    ///
    /// Spaces of which nothing is lost are as they were. Of others nothing is here at first: what
    /// was salvaged waits for a peer that has seen it, which decides whether it lives, so sync the
    /// new store next. What no peer knows, [`Store::adopt`] writes anew.
    ///
    /// Takes about as long as a [backup](Self::backup).
    ///
    /// # Errors
    /// `old` is no store, is open elsewhere or has nothing left that leads to its rows; there is a
    /// file at `new` or an identity file beside it; or the disk failed. Nothing of the new store
    /// stays behind then.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (old, new) = (folder.path().join("notes.store"), folder.path().join("notes.saved"));
    /// # rejoin::Store::open(&old)?.space("main")?.register("title").set(&"Notes")?;
    /// let report = rejoin::Store::recover(&old, &new)?;
    /// assert_eq!((report.items, report.lost), (1, 0));
    ///
    /// let saved = rejoin::Store::open(&new)?;
    /// assert_eq!(saved.replica(), report.replica);
    /// // Here a session with each peer that can be reached; then what none of them knew:
    /// saved.adopt()?;
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    pub fn recover(old: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<RecoverReport, Error> {
        Self::recover_telling(old, new, &Options::default(), |_| {})
    }

    /// [`Store::recover`], which says every few thousand rows how many it has looked at.
    ///
    /// # Errors
    /// As [`Store::recover`].
    pub fn recover_telling(
        old: impl AsRef<Path>,
        new: impl AsRef<Path>,
        options: &Options,
        mut progress: impl FnMut(u64),
    ) -> Result<RecoverReport, Error> {
        let wreck = Wreck::open(old.as_ref())?;
        let file = FileOptions { cache_bytes: options.cache_bytes, ..FileOptions::default() };
        let mut report = RecoverReport::empty();
        let mut entropy = |bytes: &mut [u8]| (options.entropy)(bytes);
        let made = RedbStorage::make(new, &file, &mut entropy, &mut |to| {
            let mut recovery = Recovery::new(&wreck, to, &mut progress);
            recovery.run()?;
            report.clone_from(&recovery.report);
            Ok(())
        })?;
        (report.pages_lost, report.pages_mended) = wreck.damage();
        (report.replica, report.file_bytes) = (made.replica(), made.close()?);
        Ok(report)
    }
}

/// What is found of a space.
#[derive(Default)]
struct Found {
    /// By the row of its name, where there is one and no more.
    name: Option<String>,
    vector: Option<VersionVector>,
    /// Up to where a delta was staged.
    staged: VersionVector,
    items: u64,
    lost: u64,
    /// Something of it waits since an earlier recovery, or is in the trash.
    kept_aside: bool,
    /// Something of it may be lost.
    incomplete: bool,
    marks: Marks,
    removals: Runs,
    log_bytes: u64,
}

impl Found {
    /// Whether an event is part of a delta that had not come to its end: it will come again.
    /// Where nobody knows, it is not taken for that; what else is above the vector shows that
    /// something of that was lost.
    fn is_staged(&mut self, dot: Dot) -> bool {
        let above = self.vector.as_ref().is_some_and(|vector| !vector.contains(dot));
        let staged = self.staged.contains(dot);
        self.incomplete |= above && !staged;
        above && staged
    }

    /// Whether nothing is here, and nothing was lost.
    fn is_nothing(&self) -> bool {
        let unseen = self.vector.as_ref().is_some_and(VersionVector::is_empty);
        unseen && !self.incomplete && self.items == 0 && !self.kept_aside
    }
}

struct Recovery<'a> {
    wreck: &'a Wreck,
    to: &'a mut dyn Write,
    progress: &'a mut dyn FnMut(u64),
    rows: u64,
    spaces: BTreeMap<u32, Found>,
    /// Names that spaces have got.
    taken: BTreeSet<String>,
    /// All spaces are known, so that rows of others are those of dropped ones.
    named: bool,
    report: RecoverReport,
}

impl<'a> Recovery<'a> {
    fn new(wreck: &'a Wreck, to: &'a mut dyn Write, progress: &'a mut dyn FnMut(u64)) -> Self {
        let (spaces, taken, report) = (BTreeMap::new(), BTreeSet::new(), RecoverReport::empty());
        Self { wreck, to, progress, rows: 0, spaces, taken, named: false, report }
    }

    fn run(&mut self) -> Result<(), StorageError> {
        self.names()?;
        self.vectors()?;
        let items = self.items()?;
        self.strays(&items)?;
        self.dots(&items)?;
        self.digests()?;
        self.removals()?;
        self.trash()?;
        self.whole_store()?;
        self.finish_spaces()?;
        self.later()?;
        self.count_spaces()?;
        (self.progress)(self.rows);
        Ok(())
    }

    /// Visits the sound rows of a table.
    fn survey(
        &mut self,
        table: Table,
        mut visit: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), StorageError>,
    ) -> Result<Survey, StorageError> {
        let (wreck, mut wrong) = (self.wreck, Ok(()));
        let survey = wreck.survey(table, &mut |key, value| {
            self.rows += 1;
            if self.rows.is_multiple_of(ROWS_A_WORD) {
                (self.progress)(self.rows);
            }
            wrong = visit(self, key, value);
            if wrong.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        wrong.map(|()| survey)
    }

    /// The space of a row, unless it is one that was dropped.
    fn space(&mut self, key: &[u8]) -> Result<Option<(u32, &mut Found)>, StorageError> {
        let Some(number) = number_in(key) else { return Ok(None) };
        if !self.spaces.contains_key(&number) {
            if self.named || is_dropped(self.wreck, number)? {
                return Ok(None);
            }
            self.spaces.insert(number, Found::default());
        }
        Ok(self.spaces.get_mut(&number).map(|found| (number, found)))
    }

    /// The spaces whose rows a gap may have held.
    fn touched_by(&self, gaps: &[Gap]) -> BTreeSet<u32> {
        let number = |key: &Option<Vec<u8>>| key.as_deref().and_then(number_in);
        let numbers = self.spaces.keys().copied();
        let within = |space: u32, gap: &Gap| {
            number(&gap.after).is_none_or(|after| after <= space)
                && number(&gap.before).is_none_or(|before| space <= before)
        };
        numbers.filter(|space| gaps.iter().any(|gap| within(*space, gap))).collect()
    }

    fn vectors(&mut self) -> Result<(), StorageError> {
        let survey = self.survey(Table::Vectors, |this, key, row| {
            let Some((_, found)) = this.space(key)? else { return Ok(()) };
            let sound = check_row(Table::Vectors, key, row).is_ok();
            if key.get(SPACE_BYTES) != Some(&(Which::Staged as u8)) {
                found.incomplete |= !sound;
                return if sound { this.to.put(Table::Vectors, key, row) } else { Ok(()) };
            }
            if let (true, Some(last)) = (sound, vector_entry(key, row)) {
                found.staged.advance(last);
            }
            Ok(())
        })?;
        let unknown = self.touched_by(&survey.gaps);
        for (number, found) in &mut self.spaces {
            match read_vector(self.to, *number, Which::Seen) {
                Ok(vector) if !found.incomplete && !unknown.contains(number) => {
                    found.vector = Some(vector);
                }
                Ok(_) | Err(StorageError::Corrupt { .. }) => found.incomplete = true,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Holds what was found against the roots that the digest has kept.
    fn digests(&mut self) -> Result<(), StorageError> {
        let survey = self.survey(Table::Digest, |_, _, _| Ok(()))?;
        if !survey.gaps.is_empty() {
            return Ok(());
        }
        for (number, found) in &mut self.spaces {
            let Some(vector) = found.vector.as_ref().filter(|_| !found.incomplete) else {
                continue;
            };
            match digest::root(self.wreck, *number) {
                Ok(Some(kept)) => {
                    found.incomplete = kept != digest::recompute(self.to, *number, vector)?;
                }
                // As in a gap.
                Ok(None) | Err(StorageError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
