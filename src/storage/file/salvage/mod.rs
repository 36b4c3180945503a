//! Reading what is sound of a damaged file: without the engine, and without writing to it.
//!
//! The engine gives up at the first page that is not as it was written: a damaged root hides a
//! whole table, a damaged list of free pages keeps the file from opening, and a damaged journal
//! too. Here its trees are walked page by page, around what is damaged (`pages` says what is
//! sound, `tree` walks), and of the journal as much counts as is whole from its start: up to
//! there the store is as it stood after one of its commits. What stands in the journal behind
//! that is handed out apart.
//!
//! Which commit counts is told by the copies of the first block, newest first, sound ones before
//! others: in each the commit that the engine would take, then the one before it. The first whose
//! list of tables is whole is taken; where there is none, the one that shows the most of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;

mod pages;
#[cfg(test)]
mod tests;
mod tree;

use super::first::{Commit, Pointer};
use super::journal::read_changes;
use super::path::{exists, resolve};
use super::seal::{HEAD_BYTES, heads, is_pair_lost};
use super::tables::name;
use crate::storage::identity::{beside, io};
use crate::storage::overlay::{Changed, Changes};
use crate::storage::{KeyRange, Order, Read, StorageError, Table, Visit};
use pages::{Leaf, Pages, Widths};
use tree::{Met, Tree, Within};

const ANY: Widths = Widths { key: None };
const JOURNAL_NAME: &str = "journal";
const JOURNAL_WIDTHS: Widths = Widths { key: Some(8) };

/// Keys between which rows may be missing: the last one before, and the first one behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) before: Option<Vec<u8>>,
}

/// What reading a whole table has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Where rows may be missing; empty where all are there.
    pub(crate) gaps: Vec<Gap>,
    /// What may be rows, of pages that are damaged.
    pub(crate) suspects: Vec<(Vec<u8>, Vec<u8>)>,
    sound: u64,
}

/// Of how many rows in damaged pages are kept to be held against other rows.
const MOST_SUSPECTS: usize = 100_000;

/// Table, key, and what was put there, or nothing where it was deleted.
type Change<'c> = (Table, &'c [u8], Option<&'c [u8]>);

/// A file that may be damaged, open for reading.
pub(crate) struct Wreck {
    pages: Pages,
    tables: BTreeMap<String, Tree>,
    /// All tables are known.
    listed: bool,
    /// What the whole start of the journal says.
    journal: Changes,
    /// What stands in the journal behind what is damaged.
    later: Changes,
    journal_whole: bool,
    /// The newest commit may be another one.
    behind: bool,
    /// Held so that nobody writes meanwhile.
    _lock: Option<File>,
}

/// The tables that a list of them names, and whether the list is whole.
fn list(pages: &Pages, commit: &Commit) -> (BTreeMap<String, Tree>, bool) {
    let root = Tree { root: commit.root, trusted: true, widths: ANY, length: commit.length };
    let (mut tables, mut listed) = (BTreeMap::new(), 0);
    root.walk(pages, Within::ALL, &mut |met| {
        let (name, row, trusted) = match met {
            Met::Row(name, row) => (name, row, true),
            Met::Suspect(name, row) => (name, row, false),
            Met::Gap => return ControlFlow::Continue(()),
        };
        listed += u64::from(trusted);
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some(tree) = table(&name, row, trusted) {
            tables.insert(name, tree);
        }
        ControlFlow::Continue(())
    });
    (tables, listed == commit.length)
}

/// The engine's record of a table: kind (1), rows (8), has a root (1), root (24), rows again (8) …
fn table(name: &str, row: &[u8], trusted: bool) -> Option<Tree> {
    let length = u64::from_le_bytes(*row.get(1..)?.first_chunk()?);
    let root = Pointer::of_root(row.get(10..)?)?;
    let widths = if name == JOURNAL_NAME { JOURNAL_WIDTHS } else { ANY };
    let has_root = *row.get(9)? != 0 || !trusted;
    has_root.then_some(Tree { root, trusted, widths, length })
}

impl Wreck {
    /// Opens the file for reading, and holds its lock where it has one.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let doing = "opening the store to recover";
        let path = resolve(path)?;
        let failed = |source| io(&path, doing, source);
        if !exists(&path)? {
            return Err(failed(ErrorKind::NotFound.into()));
        }
        let not_a_store = |reason: &str| StorageError::NotAStore {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(not_a_store("it is not a file"));
        }
        let lock = match File::open(beside(&path, ".id")) {
            Ok(id) => match id.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(StorageError::AlreadyOpen { path: path.clone() });
                }
                // Where locks cannot be had nobody else has one.
                Ok(()) | Err(TryLockError::Error(_)) => Some(id),
            },
            // Lost with the rest, which recovery is for.
            Err(_) => None,
        };
        let file = File::open(&path).map_err(failed)?;
        let file =
            FileBackend::new(file).map_err(|e| failed(std::io::Error::other(e.to_string())))?;
        Self::of(Arc::new(file), lock).map_err(failed)?.ok_or_else(|| {
            not_a_store("what leads to all else is gone: its first four blocks, or the list of tables they name")
        })
    }

    fn of(file: Arc<dyn StorageBackend>, lock: Option<File>) -> std::io::Result<Option<Self>> {
        let file_bytes = file.len()?;
        let mut start = vec![0; file_bytes.min(HEAD_BYTES) as usize];
        file.read(0, &mut start)?;
        let (firsts, copies): (Vec<_>, Vec<_>) = heads(&start).into_iter().unzip();
        let mut commits = firsts.iter().flat_map(|first| Commit::all(first)).peekable();
        let Some(first) = commits.peek() else { return Ok(None) };
        let mut pages = Pages::new(file, file_bytes, first.geometry, copies);
        let mut best: Option<(BTreeMap<String, Tree>, bool, _)> = None;
        let mut behind = is_pair_lost(&start);
        for (nth, commit) in commits.enumerate() {
            pages.set_geometry(commit.geometry);
            let (tables, listed) = list(&pages, &commit);
            let better = best.as_ref().is_none_or(|(most, ..)| tables.len() > most.len());
            if listed || better {
                behind |= nth > 0;
                best = Some((tables, listed, commit.geometry));
            }
            if listed {
                break;
            }
        }
        let Some((tables, listed, geometry)) = best.filter(|(tables, ..)| !tables.is_empty())
        else {
            return Ok(None);
        };
        pages.set_geometry(geometry);
        let (journal, later) = (Changes::default(), Changes::default());
        let mut wreck = Self {
            pages,
            tables,
            listed,
            journal,
            later,
            journal_whole: false,
            behind,
            _lock: lock,
        };
        wreck.read_journal();
        Ok(Some(wreck))
    }

    fn read_journal(&mut self) {
        let (mut journal, mut later) = (Changes::default(), Changes::default());
        let (mut next, mut sound, mut whole) = (0_u64, 0, true);
        let tree = self.tables.get(JOURNAL_NAME);
        if let Some(tree) = tree {
            tree.walk(&self.pages, Within::ALL, &mut |met| {
                let (key, row) = match met {
                    Met::Row(key, row) => {
                        sound += 1;
                        (key, row)
                    }
                    Met::Suspect(key, row) => {
                        whole = false;
                        (key, row)
                    }
                    Met::Gap => {
                        whole = false;
                        return ControlFlow::Continue(());
                    }
                };
                let number = key.first_chunk().map(|number| u64::from_le_bytes(*number));
                let mut changes = Changes::default();
                let readable = read_changes(row, &mut changes).is_ok();
                whole &= readable && number == Some(next);
                next += 1;
                if whole {
                    journal.absorb(changes)
                } else {
                    later.absorb(changes)
                }
                ControlFlow::Continue(())
            });
        }
        self.journal_whole = match tree {
            Some(tree) => whole && sound == tree.length,
            None => self.listed,
        };
        (self.journal, self.later) = (journal, later);
    }

    /// Pages that could not be read, and pages in which a flipped bit was found and taken back,
    /// as far as was read.
    pub(crate) fn damage(&self) -> (u64, u64) {
        (self.pages.lost(), self.pages.mended())
    }

    /// What the journal says behind a part of it that is lost: of a moment that is not whole.
    /// `None` where nothing of it is lost.
    pub(crate) fn later(&self) -> Option<impl Iterator<Item = Change<'_>>> {
        (!self.journal_whole).then(|| self.later.iter())
    }

    /// Whether a commit behind the one that is read may be lost, since not all copies of the first
    /// block are there that would say so.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Visits the rows of all pages that are as they were written, in no order, whether anything
    /// leads to them or not: of any table, and of commits of old too. Where a page of pointers is
    /// gone, all that was beneath it is among them.
    pub(crate) fn strays(&self, visit: Visit<'_>) {
        for block in 1..self.pages.count() {
            let Some(page) = self.pages.stray(block) else { continue };
            let Some(leaf) = Leaf::of(&page, ANY) else { continue };
            for (key, value) in (0..leaf.count).filter_map(|n| leaf.row(n)) {
                if visit(key, value).is_break() {
                    return;
                }
            }
        }
    }

    /// Visits all rows of a table that are sound, in order, and tells what may be missing.
    pub(crate) fn survey(&self, table: Table, visit: Visit<'_>) -> Result<Survey, StorageError> {
        let beneath = Beneath { wreck: self, survey: RefCell::default() };
        let all = KeyRange { from: &[], to: None };
        Changed { below: &beneath, changes: &self.journal }.scan(
            table,
            all,
            Order::Ascending,
            visit,
        )?;
        let mut survey = beneath.survey.into_inner();
        match self.tables.get(name(table)) {
            // All that there were: what is damaged held no row.
            Some(tree) if survey.sound == tree.length => survey.gaps.clear(),
            Some(_) if survey.gaps.is_empty() => {
                survey.gaps.push(Gap { after: None, before: None })
            }
            None if !self.listed => survey.gaps.push(Gap { after: None, before: None }),
            _ => {}
        }
        Ok(survey)
    }
}

/// The sound rows of the tables, as they stand beneath the journal.
struct Beneath<'w> {
    wreck: &'w Wreck,
    survey: RefCell<Survey>,
}

impl Read for Wreck {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let beneath = Beneath { wreck: self, survey: RefCell::default() };
        Changed { below: &beneath, changes: &self.journal }.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let beneath = Beneath { wreck: self, survey: RefCell::default() };
        Changed { below: &beneath, changes: &self.journal }.scan(table, range, order, visit)
    }
}

impl Read for Beneath<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let (mut found, mut end) = (None, key.to_vec());
        end.push(0);
        let range = KeyRange { from: key, to: Some(&end) };
        self.scan(table, range, Order::Ascending, &mut |_, value| {
            found = Some(value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let Some(tree) = self.wreck.tables.get(name(table)) else { return Ok(()) };
        let mut survey = self.survey.borrow_mut();
        let Survey { gaps, suspects, sound } = &mut *survey;
        let (mut last, mut open) = (None::<Vec<u8>>, false);
        let mut backwards = Vec::new();
        tree.walk(&self.wreck.pages, Within(range.from, range.to), &mut |met| match met {
            Met::Row(key, value) => {
                *sound += 1;
                if let Some(gap) = gaps.last_mut().filter(|_| open) {
                    gap.before = Some(key.to_vec());
                }
                open = false;
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
                if order == Order::Descending {
                    backwards.push((key.to_vec(), value.to_vec()));
                    return ControlFlow::Continue(());
                }
                visit(key, value)
            }
            Met::Suspect(key, value) => {
                if suspects.len() < MOST_SUSPECTS {
                    suspects.push((key.to_vec(), value.to_vec()));
                }
                ControlFlow::Continue(())
            }
            Met::Gap => {
                if !open {
                    gaps.push(Gap { after: last.clone(), before: None });
                }
                open = true;
                ControlFlow::Continue(())
            }
        });
        let _ = backwards.iter().rev().try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }
}
