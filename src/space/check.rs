//! Checking a store against itself: rows against rows, digest against rows.

mod beside;

#[cfg(any(feature = "sim", not(target_arch = "wasm32")))]
pub(super) use beside::check_row;

use super::catalog;
use super::meetings::Meeting;
use super::rows::{
    PASS_ROWS, Removal, State, after, batch_within, dot_key, dot_of_key, item_key, read_state,
    space_key, split_dot_value, split_item_key, split_item_value,
};
use super::store::{Store, number_of};
use super::trash::{self, Head};
use crate::causal::VersionVector;
use crate::codec::Place;
use crate::codec::limits::MIB;
use crate::digest::{self, ItemHash};
use crate::error::Error;
use crate::storage::{Read, StorageError, Table};

/// Bytes of rows that a pass holds, beside the last one's.
const PASS_BYTES: usize = MIB;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Spaces looked at.
    pub spaces: u64,
    /// Items looked at, staged ones too.
    pub items: u64,
    /// What is wrong, in words, the first hundred things; empty where the store is sound.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// The report of a check that came to an end so.
    fn stopped(mut self, checked: Result<(), Error>) -> Result<Self, Error> {
        match checked {
            Ok(()) => Ok(self),
            Err(Error::Storage(error @ StorageError::Corrupt { .. })) => {
                self.problems.push(error.to_string());
                Ok(self)
            }
            Err(error) => Err(error),
        }
    }

    fn wrong(&mut self, space: &str, what: impl core::fmt::Display) {
        self.note(format!("space {space:?}: {what}"));
    }

    fn note(&mut self, what: String) {
        const MOST: usize = 100;
        if self.problems.len() < MOST {
            self.problems.push(what);
        }
    }
}

impl Store {
    /// Checks the store against itself: each item against its dot and its hash, counts
    /// against rows, each node of the digest against the dots, and of all other rows whether
    /// they can be read; and whether spaces have numbers of their own, and nothing counts further
    /// than the commits that have been. Reads every row, each block of the file verified against its
    /// seal, and holds a MiB of them in memory, or one, and the names and numbers of spaces. What it
    /// does not look at is the engine's own: see [`check_deep`](Self::check_deep). It stops at a
    /// block that does not match its seal, since nothing can be said of what stands behind it.
    ///
    /// A store that is not sound [does not sync](Self::damage) any more, until a check finds
    /// nothing; of one that was found damaged each check is a [deep](Self::check_deep) one, since
    /// what was found may be the engine's own.
    ///
    /// # Errors
    /// The storage failed. What is found wrong is no error but in the report.
    pub fn check(&self) -> Result<CheckReport, Error> {
        match self.damage()? {
            Some(_) => self.check_deep(),
            None => self.check_rows(),
        }
    }

    fn check_rows(&self) -> Result<CheckReport, Error> {
        let mut report = CheckReport::default();
        let checked = self.check_spaces(&mut report);
        self.judged(report.stopped(checked)?)
    }

    /// Writes down what a check has found.
    fn judged(&self, report: CheckReport) -> Result<CheckReport, Error> {
        match report.problems.first() {
            Some(found) => self.note_damage(found.clone()),
            None => self.take_back_damage()?,
        }
        Ok(report)
    }

    /// The same, and before it the engine's pages: each one in use is read from the disk,
    /// past all caches, against its seal and the engine's checksum, and the list of those
    /// that are free against those that are. Where that finds something, the report holds
    /// nothing else, and the store must be opened anew before anything is written.
    ///
    /// Others that write wait for this part; no snapshot may be held.
    ///
    /// # Errors
    /// The storage failed, or a snapshot is held. What is found wrong is no error but in the
    /// report.
    pub fn check_deep(&self) -> Result<CheckReport, Error> {
        // Under the right to write: within a transaction this would wait for itself.
        let writer = self.shared.writer()?;
        let checked = self.shared.storage.check();
        drop(writer);
        let mut report = CheckReport::default();
        match checked {
            Ok(true) => self.check_rows(),
            Ok(false) => {
                report.problems.push("the engine's pages do not match their checksums".to_owned());
                self.judged(report)
            }
            Err(error) => self.judged(report.stopped(Err(error.into()))?),
        }
    }

    fn check_spaces(&self, report: &mut CheckReport) -> Result<(), Error> {
        for name in self.spaces("")? {
            let space = self.space(&name)?;
            space.root()?; // makes the hashes that wait to be made
            let snapshot = space.snapshot()?;
            let Some(number) = number_of(&*snapshot.rows, &name)? else { continue };
            report.spaces += 1;
            let mut check = Check {
                name: &name,
                rows: &*snapshot.rows,
                space: number,
                vector: &snapshot.vector,
                found: State::default(),
                report,
            };
            check.items()?;
            check.dots()?;
            check.removals()?;
            check.counts()?;
            check.beside()?;
            check.digest()?;
        }
        let rows = self.shared.storage.read()?;
        for table in beside::OF_STORE {
            each_row(&*rows, table, &[], |key, row| {
                if let Err(what) = beside::check_row(table, key, row) {
                    report.note(format!("{table:?} {}: {what}", key.escape_ascii()));
                }
                Ok(())
            })?;
        }
        beside::numbers(&*rows, report)?;
        if report.is_sound() {
            catalog::leaves_upto(&*rows)?;
            Meeting::all(&*rows)?;
        }
        Ok(())
    }
}

/// Visits the rows of a table whose keys start so, some at a time: no scan is under way while a
/// visitor looks for others.
fn each_row(
    rows: &dyn Read,
    table: Table,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let (mut from, to) = (prefix.to_vec(), after(prefix));
    loop {
        let most = (PASS_ROWS, PASS_BYTES);
        let (mut found, whole) = batch_within(rows, table, &from, &to, most)?;
        found.iter().try_for_each(|(key, row)| visit(key, row))?;
        match found.pop() {
            Some((last, _)) if !whole => {
                from = last;
                from.push(0);
            }
            _ => return Ok(()),
        }
    }
}

struct Check<'a> {
    name: &'a str,
    rows: &'a dyn Read,
    space: u32,
    vector: &'a VersionVector,
    /// What the rows add up to.
    found: State,
    report: &'a mut CheckReport,
}

impl Check<'_> {
    fn each(
        &mut self,
        table: Table,
        mut look: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<Result<(), String>, StorageError>,
    ) -> Result<(), StorageError> {
        each_row(self.rows, table, &space_key(self.space), |key, row| {
            if let Err(what) = look(self, key, row)? {
                let place = key.escape_ascii();
                self.report.wrong(self.name, format_args!("{table:?} {place}: {what}"));
            }
            Ok(())
        })
    }

    fn items(&mut self) -> Result<(), StorageError> {
        self.each(Table::Items, |check, key, value| {
            check.report.items += 1;
            let Ok((place, dot)) = split_item_key(key) else {
                return Ok(Err("the key has no place and dot".to_owned()));
            };
            match check.vector.contains(dot) {
                true => check.found.items += 1,
                false => check.found.staged += 1,
            }
            let sound = Place::check(place).and_then(|()| split_item_value(value));
            let (past, payload) = match sound {
                Ok(parts) => parts,
                Err(e) => return Ok(Err(e.to_string())),
            };
            let row = check.rows.get(Table::Dots, &dot_key(check.space, dot))?;
            let Some(row) = row else { return Ok(Err("its dot has no row".to_owned())) };
            Ok(match split_dot_value(&row) {
                Err(e) => Err(e.to_string()),
                Ok(row) if row.has_past == past.is_empty() => {
                    Err("its dot says otherwise whether it has a past".to_owned())
                }
                Ok(row) if row.place != place => Err("its dot stands elsewhere".to_owned()),
                Ok(row) if row.hash != ItemHash::of(dot, place, payload) => {
                    Err("its content has another hash".to_owned())
                }
                Ok(_) => Ok(()),
            })
        })
    }

    fn dots(&mut self) -> Result<(), StorageError> {
        self.each(Table::Dots, |check, key, value| {
            let (Ok(dot), Ok(row)) = (dot_of_key(key), split_dot_value(value)) else {
                return Ok(Err("not a row of a dot".to_owned()));
            };
            let item = item_key(check.space, row.place, Some(dot));
            Ok(match check.rows.get(Table::Items, &item)? {
                None => Err("its item has no row".to_owned()),
                Some(_) => Ok(()),
            })
        })
    }

    fn removals(&mut self) -> Result<(), StorageError> {
        self.each(Table::Removals, |check, key, value| {
            let (Ok(dot), Ok(_)) = (dot_of_key(key), Removal::from_row(value)) else {
                return Ok(Err("not a removal record".to_owned()));
            };
            match check.vector.contains(dot) {
                true => check.found.log_bytes += (key.len() + value.len()) as u64,
                false => check.found.staged += 1,
            }
            Ok(Ok(()))
        })
    }

    fn beside(&mut self) -> Result<(), StorageError> {
        beside::OF_SPACES.into_iter().try_for_each(|table| {
            self.each(table, |_, key, row| {
                Ok(beside::check_row(table, key, row).map_err(|e| e.to_string()))
            })
        })
    }

    fn counts(&mut self) -> Result<(), StorageError> {
        let kept = read_state(self.rows, self.space)?;
        let trash = Head::read(self.rows, self.space)?;
        let (trashed, trash_bytes) = trash::count(self.rows, self.space)?;
        let pairs = [
            ("live items", kept.items, self.found.items),
            ("staged rows", kept.staged, self.found.staged),
            ("bytes of removal records", kept.log_bytes, self.found.log_bytes),
            ("items in the trash", trash.count, trashed),
            ("bytes in the trash", trash.bytes, trash_bytes),
        ];
        for (what, kept, found) in pairs {
            if kept != found {
                self.report.wrong(self.name, format_args!("{kept} {what} counted, {found} found"));
            }
        }
        let named = self.rows.get(Table::Touched, &kept.touched.to_be_bytes())?;
        if kept.touched > 0 && named.as_deref() != Some(self.name.as_bytes()) {
            self.report.wrong(self.name, "not found among the spaces that changed");
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<(), StorageError> {
        // Where somebody has written since the hashes were made there is nothing to compare.
        if digest::is_clean(self.rows, self.space)?
            && let Some(differs) = digest::verify(self.rows, self.space, self.vector)?
        {
            let what = "the digest is not that of the dots";
            self.report.wrong(self.name, format_args!("{what}: {differs}"));
        }
        Ok(())
    }
}
