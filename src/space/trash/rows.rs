//! The rows of the trash: how entries come, go and are counted.
//!
//! Rows of the table under the space's number: `00` → count, bytes, number of the next entry:
//! varints; `01 ‖ number (8)` → when (varint), peer (16), dot (24), place as bytes, past,
//! payload.

use std::ops::ControlFlow;

use super::Trashed;
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::codec::limits::{self, MIB, PLACE_BYTES};
use crate::codec::{Cursor, DecodeError, Problem, Put, place};
use crate::error::Error;
use crate::faults::fault;
use crate::space::batch::{Batch, Renaming};
use crate::space::content::item_row;
use crate::space::options::Options;
use crate::space::rows::{
    PASS_ROWS, Pair, SPACE_BYTES, after, corrupt, dot_key, item_value, put_dot, range, space_key,
    split_dot_value, split_item_value,
};
use crate::space::scan::Item;
use crate::space::space::Space;
use crate::storage::{Order, Read, StorageError, Table, Write};

const HEAD: u8 = 0;
const ENTRIES: u8 = 1;

/// Bytes of entries that a restore holds in memory at a time.
const PASS_BYTES: usize = MIB;

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::space) struct Head {
    pub(in crate::space) count: u64,
    pub(in crate::space) bytes: u64,
    next: u64,
}

impl Head {
    fn key(space: u32) -> Vec<u8> {
        [space_key(space).as_slice(), &[HEAD]].concat()
    }

    pub(in crate::space) fn read(rows: &dyn Read, space: u32) -> Result<Self, StorageError> {
        let key = Self::key(space);
        let Some(row) = rows.get(Table::Trash, &key)? else { return Ok(Self::default()) };
        Self::of_row(&row).map_err(|e| corrupt(Table::Trash, &key, e))
    }

    fn of_row(row: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("trash", row);
        let head = Self { count: cursor.tally()?, bytes: cursor.tally()?, next: cursor.tally()? };
        cursor.finish().map(|()| head)
    }

    fn to_row(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(30);
        [self.count, self.bytes, self.next].into_iter().for_each(|n| row.put_varint(n));
        row
    }

    fn write(self, rows: &mut dyn Write, space: u32) -> Result<(), StorageError> {
        rows.put(Table::Trash, &Self::key(space), &self.to_row())
    }

    /// Of the entries that there are, whatever was said of them before.
    #[cfg(not(target_arch = "wasm32"))]
    pub(in crate::space) fn recount(rows: &mut dyn Write, space: u32) -> Result<(), StorageError> {
        let (count, bytes) = count(rows, space)?;
        let (from, to) = entries(space);
        let mut last = Ok(0);
        rows.scan(Table::Trash, range(&from, &to), Order::Descending, &mut |key, row| {
            last = Entry::of(key, row).map(|entry| entry.number);
            ControlFlow::Break(())
        })?;
        match count {
            0 => rows.delete(Table::Trash, &Self::key(space)).map(drop),
            _ => Self { count, bytes, next: last? + 1 }.write(rows, space),
        }
    }

    fn less(&mut self, key: &[u8], value_bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub((key.len() + value_bytes) as u64);
    }
}

pub(super) fn entry_key(space: u32, number: u64) -> Vec<u8> {
    [space_key(space).as_slice(), &[ENTRIES], &number.to_be_bytes()].concat()
}

/// The range of the entries of a space.
pub(super) fn entries(space: u32) -> (Vec<u8>, Vec<u8>) {
    let from = [space_key(space).as_slice(), &[ENTRIES]].concat();
    let to = after(&from);
    (from, to)
}

/// How much there is by the rows themselves.
pub(in crate::space) fn count(rows: &dyn Read, space: u32) -> Result<(u64, u64), StorageError> {
    let (from, to) = entries(space);
    let (mut count, mut bytes, mut wrong) = (0, 0, None);
    rows.scan(Table::Trash, range(&from, &to), Order::Ascending, &mut |key, row| {
        (count, bytes) = (count + 1, bytes + (key.len() + row.len()) as u64);
        wrong = Entry::of(key, row).err();
        if wrong.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    wrong.map_or(Ok((count, bytes)), Err)
}

/// Whether a row of the table is one of these; `None` where its region is not.
pub(in crate::space) fn check_row(key: &[u8], row: &[u8]) -> Option<Result<(), DecodeError>> {
    match key.get(SPACE_BYTES) {
        Some(&HEAD) => Some(Head::of_row(row).map(drop)),
        Some(&ENTRIES) => Some(Entry::read_wholly(key, row).map(drop)),
        _ => None,
    }
}

/// What a row says, written again; `None` where its region is not one of these.
#[cfg(feature = "sim")]
pub(in crate::space) fn respelled(key: &[u8], row: &[u8]) -> Option<Result<Vec<u8>, DecodeError>> {
    let entry = || {
        let (entry, past, payload) = Entry::read_wholly(key, row)?;
        Ok(Entry { value: &item_value(&past, payload), ..entry }.to_row())
    };
    match key.get(SPACE_BYTES) {
        Some(&HEAD) => Some(Head::of_row(row).map(Head::to_row)),
        Some(&ENTRIES) => Some(entry()),
        _ => None,
    }
}

/// An entry as it stands in its row.
pub(super) struct Entry<'r> {
    number: u64,
    pub(super) at_ms: u64,
    peer: ReplicaId,
    dot: Dot,
    pub(super) place: &'r [u8],
    /// Past and payload.
    pub(super) value: &'r [u8],
}

impl<'r> Entry<'r> {
    pub(super) fn of(key: &[u8], row: &'r [u8]) -> Result<Self, StorageError> {
        Self::read(key, row).map_err(|e| corrupt(Table::Trash, key, e))
    }

    fn read(key: &[u8], row: &'r [u8]) -> Result<Self, DecodeError> {
        let mut number = Cursor::new("trash", key);
        let _: [u8; 5] = number.array()?;
        let here = number.clone();
        let number = u64::from_be_bytes(number.array()?);
        if number >= limits::TALLY {
            return Err(here.wrong(Problem::Other("more entries than there can have been")));
        }
        let mut cursor = Cursor::new("trash", row);
        let (at_ms, peer, dot) = (cursor.varint()?, cursor.replica()?, cursor.fixed_dot()?);
        let place = cursor.bytes(PLACE_BYTES)?;
        Ok(Self { number, at_ms, peer, dot, place, value: cursor.take_rest() })
    }

    /// With the past and the payload of its value.
    fn read_wholly(
        key: &[u8],
        row: &'r [u8],
    ) -> Result<(Self, VersionVector, &'r [u8]), DecodeError> {
        let entry = Self::read(key, row)?;
        place::Place::check(entry.place)?;
        let (past, payload) = split_item_value(entry.value)?;
        Ok((entry, past, payload))
    }

    fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(64 + self.place.len() + self.value.len());
        row.put_varint(self.at_ms);
        row.extend_from_slice(self.peer.as_bytes());
        put_dot(&mut row, self.dot);
        row.put_bytes(self.place);
        row.extend_from_slice(self.value);
        row
    }

    pub(super) fn trashed(&self) -> Result<Trashed, DecodeError> {
        let item = Item {
            key: place::key_of(self.place)?,
            path: place::steps_of(self.place)?,
            dot: self.dot,
            payload: split_item_value(self.value)?.1.to_vec(),
        };
        Ok(Trashed { number: self.number, at_ms: self.at_ms, peer: self.peer, item })
    }
}

/// Whose delta a batch applies, and what is kept of what it takes away.
pub(in crate::space) struct Taker {
    pub(in crate::space) peer: ReplicaId,
    pub(in crate::space) now_ms: u64,
    bytes: u64,
    age_ms: u64,
}

impl Taker {
    pub(in crate::space) fn new(peer: ReplicaId, now_ms: u64, options: &Options) -> Self {
        let (bytes, age_ms) = (options.trash_bytes, options.trash_age_ms);
        Self { peer, now_ms, bytes, age_ms }
    }

    fn keeps(&self) -> bool {
        self.bytes > 0 && self.age_ms > 0 && !fault!(TrashSkipped)
    }
}

/// What a batch knows of the trash.
#[derive(Default)]
pub(in crate::space) struct Trashing {
    /// Set while a peer's delta is applied.
    pub(in crate::space) taker: Option<Taker>,
    /// Once anything came or went.
    pub(super) head: Option<Head>,
}

impl Trashing {
    pub(in crate::space) fn changed(&self) -> bool {
        self.head.is_some()
    }

    /// Drops what is too old or too much, and writes down how much there is.
    pub(in crate::space) fn finish(
        self,
        rows: &mut dyn Write,
        space: u32,
    ) -> Result<(), StorageError> {
        let Some(mut head) = self.head else { return Ok(()) };
        if let Some(Taker { now_ms, bytes, age_ms, .. }) = self.taker {
            prune(rows, space, &mut head, bytes, now_ms.saturating_sub(age_ms))?;
        }
        head.write(rows, space)
    }
}

/// Drops entries from the oldest on while there are more than so many bytes, or while they
/// went before that time.
pub(super) fn prune(
    rows: &mut dyn Write,
    space: u32,
    head: &mut Head,
    most_bytes: u64,
    before_ms: u64,
) -> Result<(), StorageError> {
    let (from, to) = entries(space);
    loop {
        let (mut dead, mut left, mut wrong) = (Vec::new(), *head, None);
        rows.scan(Table::Trash, range(&from, &to), Order::Ascending, &mut |key, row| {
            match Entry::of(key, row) {
                Ok(entry) if left.bytes > most_bytes || entry.at_ms < before_ms => {
                    left.less(key, row.len());
                    dead.push(key.to_vec());
                    return match dead.len() < PASS_ROWS {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    };
                }
                Ok(_) => {}
                Err(error) => wrong = Some(error),
            }
            ControlFlow::Break(())
        })?;
        for key in &dead {
            rows.delete(Table::Trash, key)?;
        }
        *head = left;
        match wrong {
            Some(wrong) => return Err(wrong),
            None if dead.len() < PASS_ROWS => return Ok(()),
            None => {}
        }
    }
}

impl Batch<'_> {
    /// Keeps a copy of the item of a dot, live or staged, that the peer takes away now.
    pub(in crate::space) fn keep_in_trash(&mut self, dot: Dot) -> Result<(), StorageError> {
        let Some(taker) = self.trash.taker.as_ref().filter(|taker| taker.keeps()) else {
            return Ok(());
        };
        let key = dot_key(self.space, dot);
        let Some(row) = self.rows.get(Table::Dots, &key)? else { return Ok(()) };
        let place = split_dot_value(&row).map_err(|e| corrupt(Table::Dots, &key, e))?.place;
        let (_, value) = item_row(self.rows, self.space, dot, place)?;
        let mut head = self.trash.head.map_or_else(|| Head::read(self.rows, self.space), Ok)?;
        let (number, at_ms, peer) = (head.next, taker.now_ms, taker.peer);
        let key = entry_key(self.space, number);
        let row = Entry { number, at_ms, peer, dot, place, value: &value }.to_row();
        self.rows.put(Table::Trash, &key, &row)?;
        head.next += 1;
        head.count += 1;
        head.bytes += (key.len() + row.len()) as u64;
        self.trash.head = Some(head);
        Ok(())
    }

    /// Lets entries, and what they had replaced, go by the names that events get: written anew,
    /// an item must not replace what has come to stand under an old one.
    pub(in crate::space) fn rename_trash(
        &mut self,
        renamings: &[Renaming],
    ) -> Result<(), StorageError> {
        let mut head = self.trash.head.map_or_else(|| Head::read(self.rows, self.space), Ok)?;
        let before = head;
        let prefix = entries(self.space).0;
        self.each_beneath(Table::Trash, &prefix, |b, (key, row)| {
            let mut entry = Entry::of(key, row)?;
            let (past, payload) =
                split_item_value(entry.value).map_err(|e| corrupt(Table::Trash, key, e))?;
            let dot = Renaming::dot(renamings, entry.dot);
            let past = Renaming::past(renamings, &past);
            if dot.is_none() && past.is_none() {
                return Ok(());
            }
            let value = past.map(|past| item_value(&past, payload));
            entry.dot = dot.unwrap_or(entry.dot);
            entry.value = value.as_deref().unwrap_or(entry.value);
            let renamed = entry.to_row();
            head.bytes = head.bytes.saturating_sub(row.len() as u64);
            head.bytes = head.bytes.saturating_add(renamed.len() as u64);
            b.rows.put(Table::Trash, key, &renamed)
        })?;
        if head != before {
            self.trash.head = Some(head);
        }
        Ok(())
    }

    /// Throws entries away for good.
    pub(super) fn throw_away(&mut self, keys: &[(Vec<u8>, usize)]) -> Result<(), StorageError> {
        let mut head = self.trash.head.map_or_else(|| Head::read(self.rows, self.space), Ok)?;
        for (key, value_bytes) in keys {
            self.rows.delete(Table::Trash, key)?;
            head.less(key, *value_bytes);
        }
        self.trash.head = Some(head);
        Ok(())
    }
}

impl Head {
    /// Of a space, at this moment.
    pub(in crate::space) fn of(space: &Space) -> Result<Self, Error> {
        let snapshot = space.snapshot()?;
        let Some(number) = snapshot.space else { return Ok(Self::default()) };
        Ok(Self::read(&*snapshot.rows, number)?)
    }
}

/// Rows of some chosen entries, and where to go on.
pub(super) type Chosen = (Vec<Pair>, Option<Vec<u8>>);

/// The next entries that `which` chooses, as many as may be held in memory.
pub(super) fn choose(
    rows: &dyn Read,
    (from, to): (&[u8], &[u8]),
    which: &mut dyn FnMut(&Entry<'_>) -> Result<bool, DecodeError>,
) -> Result<Chosen, StorageError> {
    let (mut chosen, mut bytes, mut next, mut wrong) = (Vec::new(), 0, None, None);
    rows.scan(Table::Trash, range(from, to), Order::Ascending, &mut |key, row| {
        let entry = Entry::of(key, row);
        match entry.and_then(|entry| which(&entry).map_err(|e| corrupt(Table::Trash, key, e))) {
            Ok(true) => {
                bytes += row.len();
                chosen.push((key.to_vec(), row.to_vec()));
            }
            Ok(false) => {}
            Err(error) => {
                wrong = Some(error);
                return ControlFlow::Break(());
            }
        }
        if bytes < PASS_BYTES && chosen.len() < PASS_ROWS {
            return ControlFlow::Continue(());
        }
        next = Some([key, &[0]].concat());
        ControlFlow::Break(())
    })?;
    wrong.map_or(Ok((chosen, next)), Err)
}
