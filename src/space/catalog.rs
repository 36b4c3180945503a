//! Which spaces a store holds, how each stands, and which changed since when.
//!
//! The commits of a store that change what a space has seen or holds are numbered; a space is
//! *touched* by them. One row says of each space which commit touched it last, so that those
//! touched since any commit are read straight from the end of that table, however many
//! spaces there are. Beside its number each space keeps a *leaf*: a hash of its name, its
//! vector and its root. Leaves are made anew when they are asked for, and only those of
//! spaces touched since. Ordered by name they are what two stores that never met compare.

use std::ops::ControlFlow;

use super::bases::VectorHash;
use super::rows::{PASS_ROWS, after, batch, corrupt, range, read_count, read_tagged};
use super::space::kept_root;
use super::store::{Store, number_of};
use crate::codec::{Cursor, DecodeError, Problem, limits};
use crate::digest;
use crate::error::{Error, shown};
use crate::storage::{Durability, Order, Read, StorageError, Table, Verdict, Write};

/// How a space stands, in short: equal leaves, equal spaces.
pub(crate) type Leaf = [u8; 16];

/// Up to which touch the leaves are right.
pub(super) const LEAVES_KEY: &[u8] = b"leaves";

/// The number of the last commit that touched a space; 0 where there was none.
fn newest_touch(rows: &dyn Read) -> Result<u64, StorageError> {
    let mut newest = Ok(0);
    rows.scan(Table::Touched, range(&[], &[]), Order::Descending, &mut |key, _| {
        newest = touch_of(key);
        ControlFlow::Break(())
    })?;
    newest
}

/// Refuses the number of a commit that has not been: what is touched up to it would be taken for
/// what it was before.
pub(super) fn check_reached(rows: &dyn Read, commit: u64, key: &[u8]) -> Result<(), StorageError> {
    match commit <= newest_touch(rows)? {
        true => Ok(()),
        false => Err(corrupt(Table::Meta, key, "the number of a commit that has not been")),
    }
}

fn touch_of(key: &[u8]) -> Result<u64, StorageError> {
    read_touch(key).map_err(|e| corrupt(Table::Touched, key, e))
}

fn read_touch(key: &[u8]) -> Result<u64, DecodeError> {
    let number = key.try_into().map(u64::from_be_bytes).ok();
    let wrong = || Cursor::new("touch", key).wrong(Problem::Other("not the number of a commit"));
    number.filter(|number| *number <= limits::TALLY).ok_or_else(wrong)
}

/// Whether this can be a row that says which space a commit touched; without a name one that was
/// dropped.
pub(super) fn check_touched(key: &[u8], name: &[u8]) -> Result<(), DecodeError> {
    read_touch(key)?;
    if name.is_empty() { Ok(()) } else { check_name(name) }
}

/// Whether these bytes can be the name of a space.
pub(super) fn check_name(name: &[u8]) -> Result<(), DecodeError> {
    let wrong = |problem| Err(Cursor::new("name of a space", name).wrong(problem));
    if core::str::from_utf8(name).is_err() {
        return wrong(Problem::NotUtf8);
    }
    match limits::SPACE_NAME_BYTES.contains(&name.len()) {
        true => Ok(()),
        false => wrong(Problem::Other("empty, or longer than a name may be")),
    }
}

/// Notes that a space changes now, and when it did before that; the number of the commit.
pub(super) fn touch(rows: &mut dyn Write, name: &str, before: u64) -> Result<u64, StorageError> {
    let now = newest_touch(rows)? + 1;
    if before > 0 {
        rows.delete(Table::Touched, &before.to_be_bytes())?;
    }
    rows.put(Table::Touched, &now.to_be_bytes(), name.as_bytes())?;
    Ok(now)
}

/// Notes that a space is dropped now, by a row without a name: what was equal before that no
/// longer is, so no meeting that began before may be remembered.
pub(super) fn drop_touched(rows: &mut dyn Write, before: u64) -> Result<(), StorageError> {
    touch(rows, "", before).map(drop)
}

/// The spaces touched after a commit, in that order, some at a time.
fn touched_after(
    rows: &dyn Read,
    commit: u64,
    most: usize,
) -> Result<Vec<(u64, String)>, StorageError> {
    let Some(from) = commit.checked_add(1) else { return Ok(Vec::new()) };
    let (found, _) = batch(rows, Table::Touched, &from.to_be_bytes(), &[], most)?;
    found.iter().map(|(key, name)| Ok((touch_of(key)?, shown(name)))).collect()
}

/// Visits the spaces touched after a commit, in that order; without a name those dropped.
pub(super) fn each_touched(
    rows: &dyn Read,
    mut after: u64,
    mut visit: impl FnMut(u64, String) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    loop {
        let found = touched_after(rows, after, PASS_ROWS)?;
        let whole = found.len() < PASS_ROWS;
        for (touch, name) in found {
            after = touch;
            if visit(touch, name).is_break() {
                return Ok(());
            }
        }
        if whole {
            return Ok(());
        }
    }
}

fn leaf(rows: &mut dyn Write, name: &str, number: u32) -> Result<Leaf, StorageError> {
    let tagged = read_tagged(rows, number)?;
    let vector = tagged.vector();
    digest::refresh(rows, number, &vector)?;
    let root = kept_root(rows, number, &vector)?;
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 space");
    hasher.update(&VectorHash::of(&tagged).0).update(root.as_bytes()).update(name.as_bytes());
    Ok(hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default())
}

/// The leaf in a space's row. One that was never asked for has no leaf yet.
fn split_row(name: &[u8], row: &[u8]) -> Result<Leaf, StorageError> {
    match row.get(4..) {
        Some([]) => Ok(Leaf::default()),
        Some(leaf) => leaf.try_into().map_err(|_| corrupt(Table::Spaces, name, "not a leaf")),
        None => Err(corrupt(Table::Spaces, name, "not a number")),
    }
}

impl Store {
    /// The names of the spaces that start with `prefix`, in order.
    ///
    /// # Errors
    /// The storage failed.
    pub fn spaces(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.spaces_up_to(prefix, usize::MAX)
    }

    /// The same, and no more than so many.
    pub(crate) fn spaces_up_to(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        let to = after(prefix.as_bytes());
        let mut names = Vec::new();
        let rows = self.shared.storage.read()?;
        rows.scan(
            Table::Spaces,
            range(prefix.as_bytes(), &to),
            Order::Ascending,
            &mut |name, _| {
                if names.len() == most {
                    return ControlFlow::Break(());
                }
                names.push(shown(name));
                ControlFlow::Continue(())
            },
        )?;
        Ok(names)
    }

    /// The names that start with `prefix` of the spaces touched after a commit of the store.
    pub(crate) fn touched_since(&self, commit: u64, prefix: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        each_touched(&*self.shared.storage.read()?, commit, |_, name| {
            if !name.is_empty() && name.starts_with(prefix) {
                names.push(name);
            }
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    /// The spaces whose names start with `prefix`, in order, each with its leaf; and the
    /// number of a commit that all leaves are right for. Those touched after it may have
    /// changed again.
    pub(crate) fn catalog(&self, prefix: &str) -> Result<(u64, Vec<(String, Leaf)>), Error> {
        self.refresh_leaves()?;
        let rows = self.shared.storage.read()?;
        let as_of = leaves_upto(&*rows)?;
        let to = after(prefix.as_bytes());
        let (mut found, mut wrong) = (Vec::new(), None);
        rows.scan(
            Table::Spaces,
            range(prefix.as_bytes(), &to),
            Order::Ascending,
            &mut |name, row| {
                match split_row(name, row) {
                    Ok(leaf) => found.push((shown(name), leaf)),
                    Err(error) => wrong = Some(error),
                }
                ControlFlow::Continue(())
            },
        )?;
        wrong.map_or(Ok((as_of, found)), |error| Err(error.into()))
    }

    /// Makes the leaves of the spaces touched since this was done last, some in each commit.
    fn refresh_leaves(&self) -> Result<(), Error> {
        const A_COMMIT: usize = 256;
        loop {
            let rows = self.shared.storage.read()?;
            if touched_after(&*rows, leaves_upto(&*rows)?, 1)?.is_empty() {
                return Ok(());
            }
            drop(rows);
            self.shared.writer()?.commit(Durability::Eventual, &mut |rows| {
                let touched = touched_after(rows, leaves_upto(rows)?, A_COMMIT)?;
                let Some((last, _)) = touched.last() else { return Ok(Verdict::Abort) };
                rows.put(Table::Meta, LEAVES_KEY, &last.to_be_bytes())?;
                for (_, name) in &touched {
                    if let Some(number) = number_of(rows, name)? {
                        let leaf = leaf(rows, name, number)?;
                        let row = [number.to_be_bytes().as_slice(), &leaf].concat();
                        rows.put(Table::Spaces, name.as_bytes(), &row)?;
                    }
                }
                Ok(Verdict::Commit)
            })?;
        }
    }
}

/// Up to which commit the leaves are right.
pub(super) fn leaves_upto(rows: &dyn Read) -> Result<u64, StorageError> {
    let upto = read_count(rows, LEAVES_KEY, "not the number of a commit")?;
    check_reached(rows, upto, LEAVES_KEY).map(|()| upto)
}
