//! How the rows of a space are spelled.
//!
//! Each key starts with the space's number in this store, four bytes, highest first; the
//! number never travels. A dot in a key is 24 bytes: replica, then seq, highest byte first.
//!
//! | table | key after the number | value |
//! |---|---|---|
//! | items | place, dot | past, payload |
//! | dots | dot | item hash (16), flag *has a past* (1), place |
//! | removals | dot | a [`Removal`] |
//! | removal ages | commit (8) | runs of dots |
//! | commits | commit (8) | runs of dots |
//! | vectors | 0 (1), replica | seq (8), tag of that event (8) |
//! | vectors | 1 (1), replica | up to which seq a delta is staged (8) |
//! | vectors | 2 (1), replica, first seq of a stretch (8) | its tag (8) |
//! | states | nothing | a [`State`] |

use std::ops::ControlFlow;

use super::change::RECORD_DOTS;
use crate::causal::{Dot, ReplicaId, Seq, Tag, TaggedVector, VersionVector};
use crate::codec::{Cursor, DecodeError, Prefix, Problem, Put, limits};
use crate::digest::ItemHash;
use crate::storage::{KeyRange, Order, Read, StorageError, Table};

/// The bytes of a dot in a key.
pub(super) const DOT_BYTES: usize = 24;
/// Rows that a pass holds in memory at a time, while it goes through many.
pub(super) const PASS_ROWS: usize = 1024;
/// The bytes of a space's number in front of each key.
pub(super) const SPACE_BYTES: usize = 4;

pub(super) fn put_dot(out: &mut Vec<u8>, dot: Dot) {
    out.extend_from_slice(dot.replica.as_bytes());
    out.extend_from_slice(&dot.seq.get().to_be_bytes());
}

pub(super) fn space_key(space: u32) -> [u8; SPACE_BYTES] {
    space.to_be_bytes()
}

/// The key of a row found by its dot: dots and removals.
pub(super) fn dot_key(space: u32, dot: Dot) -> Vec<u8> {
    let mut key = Vec::with_capacity(SPACE_BYTES + DOT_BYTES);
    key.extend_from_slice(&space_key(space));
    put_dot(&mut key, dot);
    key
}

/// The dot at the end of a key.
pub(super) fn dot_of_key(key: &[u8]) -> Result<Dot, DecodeError> {
    let start = key.len().saturating_sub(DOT_BYTES);
    Cursor::new("row key", key.get(start..).unwrap_or_default()).fixed_dot()
}

/// The key of an item: `place` may also be a prefix, then this is where its range starts.
pub(super) fn item_key(space: u32, place: &[u8], dot: Option<Dot>) -> Vec<u8> {
    let mut key = Vec::with_capacity(SPACE_BYTES + place.len() + DOT_BYTES);
    key.extend_from_slice(&space_key(space));
    key.extend_from_slice(place);
    if let Some(dot) = dot {
        put_dot(&mut key, dot);
    }
    key
}

/// Place and dot of an item's key.
pub(super) fn split_item_key(key: &[u8]) -> Result<(&[u8], Dot), DecodeError> {
    let place_end = key.len().saturating_sub(DOT_BYTES);
    let place = key.get(SPACE_BYTES..place_end).unwrap_or_default();
    Ok((place, dot_of_key(key)?))
}

pub(super) fn numbered_key(space: u32, number: u64) -> Vec<u8> {
    [space_key(space).as_slice(), &number.to_be_bytes()].concat()
}

/// Which of the vectors of a space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// What the space has seen.
    Seen = 0,
    /// Up to where a delta is staged.
    Staged = 1,
    /// No vector: the stretches of each replica's events ([`Tag`](crate::causal::Tag)).
    Stretches = 2,
}

pub(super) fn vector_key(space: u32, which: Which, replica: ReplicaId) -> Vec<u8> {
    [space_key(space).as_slice(), &[which as u8], replica.as_bytes()].concat()
}

pub(super) fn read_vector(
    rows: &dyn Read,
    space: u32,
    which: Which,
) -> Result<VersionVector, StorageError> {
    let mut entries = Vec::new();
    each_entry(rows, space, which, |replica, value| {
        entries.push((replica, seq_of(value)?));
        Some(())
    })?;
    VersionVector::from_sorted(entries).ok_or_else(|| no_vector(space, which))
}

/// The vector of a space with the tags of its entries.
pub(super) fn read_tagged(rows: &dyn Read, space: u32) -> Result<TaggedVector, StorageError> {
    let mut entries = Vec::new();
    each_entry(rows, space, Which::Seen, |replica, value| {
        entries.push((replica, seq_of(value)?, tag_of(value.get(8..)?)?));
        Some(())
    })?;
    TaggedVector::from_sorted(entries).ok_or_else(|| no_vector(space, Which::Seen))
}

/// The last event that a row of a vector covers.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn vector_entry(key: &[u8], row: &[u8]) -> Option<Dot> {
    let replica = <[u8; 16]>::try_from(key.get(SPACE_BYTES + 1..)?).ok()?;
    seq_of(row).map(|seq| Dot::new(ReplicaId::from_bytes(replica), seq))
}

/// The value of an entry of the vector of a space.
pub(super) fn entry_value(seq: Seq, tag: Tag) -> [u8; 16] {
    let mut value = [0; 16];
    let (first, second) = value.split_at_mut(8);
    first.copy_from_slice(&seq.get().to_be_bytes());
    second.copy_from_slice(tag.as_bytes());
    value
}

fn seq_of(value: &[u8]) -> Option<Seq> {
    value.first_chunk().map(|seq| Seq::new(u64::from_be_bytes(*seq)))
}

pub(super) fn tag_of(value: &[u8]) -> Option<Tag> {
    value.try_into().ok().map(Tag::from_bytes)
}

fn no_vector(space: u32, which: Which) -> StorageError {
    let key = [space_key(space).as_slice(), &[which as u8]].concat();
    corrupt(Table::Vectors, &key, "not a version vector")
}

fn each_entry(
    rows: &dyn Read,
    space: u32,
    which: Which,
    mut visit: impl FnMut(ReplicaId, &[u8]) -> Option<()>,
) -> Result<(), StorageError> {
    let from = [space_key(space).as_slice(), &[which as u8]].concat();
    let to = after(&from);
    let mut sound = true;
    rows.scan(Table::Vectors, range(&from, &to), Order::Ascending, &mut |key, value| {
        let replica = key.get(SPACE_BYTES + 1..).and_then(|id| <[u8; 16]>::try_from(id).ok());
        let visited = replica.and_then(|id| visit(ReplicaId::from_bytes(id), value));
        sound &= visited.is_some();
        if sound { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if sound { Ok(()) } else { Err(no_vector(space, which)) }
}

/// Whether a row of the table of vectors is one of these.
pub(super) fn check_vector_row(key: &[u8], row: &[u8]) -> Result<(), DecodeError> {
    let (mut name, mut cursor) = (Cursor::new("vector", key), Cursor::new("vector", row));
    let _: [u8; SPACE_BYTES] = name.array()?;
    let which = name.u8()?;
    if which == Which::Stretches as u8 {
        name.fixed_dot()?;
    } else {
        name.replica()?;
        let here = cursor.clone();
        if u64::from_be_bytes(cursor.array()?) == 0 {
            return Err(here.wrong(Problem::ZeroSeq));
        }
    }
    if which != Which::Staged as u8 {
        cursor.tag()?;
    }
    name.finish()?;
    cursor.finish()
}

/// The first key after all that start with `prefix`; empty where there is none.
pub(super) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Keys from `from` up to `to`, where an empty `to` is the end of the table.
pub(super) fn range<'a>(from: &'a [u8], to: &'a [u8]) -> KeyRange<'a> {
    KeyRange { from, to: (!to.is_empty()).then_some(to) }
}

/// Key and value of a row.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// The rows of a range, at most `most` of them, as owned pairs: so that a caller may write
/// while it goes through them. Whether that was all.
pub(super) fn batch(
    rows: &dyn Read,
    table: Table,
    from: &[u8],
    to: &[u8],
    most: usize,
) -> Result<(Vec<Pair>, bool), StorageError> {
    batch_within(rows, table, from, to, (most, usize::MAX))
}

/// The same, and not many more bytes than that.
pub(super) fn batch_within(
    rows: &dyn Read,
    table: Table,
    from: &[u8],
    to: &[u8],
    (most, most_bytes): (usize, usize),
) -> Result<(Vec<Pair>, bool), StorageError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut whole = true;
    rows.scan(table, range(from, to), Order::Ascending, &mut |key, value| {
        if found.len() == most || bytes >= most_bytes {
            whole = false;
            return ControlFlow::Break(());
        }
        bytes += key.len() + value.len();
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((found, whole))
}

pub(super) fn corrupt(table: Table, key: &[u8], reason: impl ToString) -> StorageError {
    StorageError::Corrupt {
        place: format!("{table:?} row {}", key.escape_ascii()),
        reason: reason.to_string(),
    }
}

/// The number of a space where a key or a row begins with one. The last that there can be is no
/// space's: they could not be counted.
pub(super) fn number_in(bytes: &[u8]) -> Option<u32> {
    let number = bytes.first_chunk().map(|number| u32::from_be_bytes(*number));
    number.filter(|number| *number < u32::MAX)
}

/// A number that the whole store keeps under a key, 8 bytes; zero where there is none yet.
pub(super) fn read_count(
    rows: &dyn Read,
    key: &[u8],
    otherwise: &str,
) -> Result<u64, StorageError> {
    let Some(row) = rows.get(Table::Meta, key)? else { return Ok(0) };
    let bytes = row.as_slice().try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| corrupt(Table::Meta, key, otherwise))
}

/// The value of an item: its past, then its payload.
pub(super) fn item_value(past: &VersionVector, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + 20 * past.len() + payload.len());
    value.put_vector(past);
    value.extend_from_slice(payload);
    value
}

/// The payload of an item's value; nothing of the past is made.
pub(super) fn payload_of(value: &[u8]) -> Result<&[u8], DecodeError> {
    let mut cursor = Cursor::new("item row", value);
    for _ in 0..cursor.count(17, limits::REMOVAL_ORIGINS)? {
        cursor.replica()?;
        cursor.seq()?;
    }
    Ok(cursor.take_rest())
}

pub(super) fn split_item_value(value: &[u8]) -> Result<(VersionVector, &[u8]), DecodeError> {
    let mut cursor = Cursor::new("item row", value);
    let past = cursor.vector(limits::REMOVAL_ORIGINS)?;
    Ok((past, cursor.take_rest()))
}

/// What the row of a dot says.
pub(super) struct DotRow<'a> {
    pub(super) hash: ItemHash,
    pub(super) has_past: bool,
    pub(super) place: &'a [u8],
}

pub(super) fn dot_value(hash: ItemHash, has_past: bool, place: &[u8]) -> Vec<u8> {
    [hash.as_bytes().as_slice(), &[u8::from(has_past)], place].concat()
}

#[cfg(not(target_arch = "wasm32"))]
impl DotRow<'_> {
    /// Whether this is the row of an item: the hash says nothing of its past.
    pub(super) fn is_of(&self, dot: Dot, place: &[u8], payload: &[u8]) -> bool {
        self.place == place && self.hash == ItemHash::of(dot, place, payload)
    }
}

pub(super) fn split_dot_value(value: &[u8]) -> Result<DotRow<'_>, DecodeError> {
    let mut cursor = Cursor::new("dot row", value);
    let hash = ItemHash::from_bytes(cursor.array()?);
    let has_past = match cursor.u8()? {
        0 => false,
        1 => true,
        other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
    };
    Ok(DotRow { hash, has_past, place: cursor.take_rest() })
}

/// What a pure removal leaves in the log: enough for another replica to do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Exactly these dots, ascending: nothing that was removed had a past of its own.
    Dots(Vec<Dot>),
    /// All beneath the prefix whose dots the past covers.
    Prefix {
        /// Where.
        prefix: Prefix,
        /// Per origin of what was removed there, and of the pasts of that, the greatest seq.
        past: VersionVector,
    },
}

const REMOVAL_DOTS: u8 = 0;
const REMOVAL_PREFIX: u8 = 1;

impl Removal {
    pub(super) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        match self {
            Self::Dots(dots) => {
                row.push(REMOVAL_DOTS);
                row.put_varint(dots.len() as u64);
                for dot in dots {
                    put_dot(&mut row, *dot);
                }
            }
            Self::Prefix { prefix, past } => {
                row.push(REMOVAL_PREFIX);
                row.put_bytes(prefix.as_bytes());
                row.put_vector(past);
            }
        }
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("removal row", row);
        let removal = match cursor.u8()? {
            REMOVAL_DOTS => {
                let here = cursor.clone();
                let count = cursor.count(DOT_BYTES, RECORD_DOTS)?;
                if count == 0 {
                    return Err(here.wrong(Problem::Empty));
                }
                let dots = (0..count).map(|_| cursor.fixed_dot()).collect::<Result<Vec<_>, _>>()?;
                if !dots.is_sorted_by(|a, b| a < b) {
                    return Err(here.wrong(Problem::Unsorted));
                }
                Self::Dots(dots)
            }
            REMOVAL_PREFIX => Self::Prefix {
                prefix: Prefix::from_bytes(cursor.bytes(limits::PLACE_BYTES)?)?,
                past: cursor.vector(limits::REMOVAL_ORIGINS)?,
            },
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        };
        cursor.finish()?;
        Ok(removal)
    }

    /// Whether a replica that has seen `seen` can hold anything of what was removed.
    pub(super) fn concerns(&self, seen: &VersionVector) -> bool {
        match self {
            Self::Dots(dots) => dots.iter().any(|dot| seen.contains(*dot)),
            Self::Prefix { past, .. } => past.iter().any(|(r, _)| !seen.get(r).is_zero()),
        }
    }
}

/// Dots of one origin, `first` to `last`, that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) replica: ReplicaId,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

/// Runs of dots, growing by one dot at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(pub(super) Vec<Run>);

impl Runs {
    pub(super) fn push(&mut self, dot: Dot) {
        match self.0.last_mut() {
            Some(run) if run.replica == dot.replica && run.last.next() == dot.seq => {
                run.last = dot.seq
            }
            _ => self.0.push(Run { replica: dot.replica, first: dot.seq, last: dot.seq }),
        }
    }

    /// Whether a dot is among them, where they ascend.
    pub(super) fn contain(&self, dot: Dot) -> bool {
        let before = |run: &Run| (run.replica, run.last) < (dot.replica, dot.seq);
        let run = self.0.get(self.0.partition_point(before));
        run.is_some_and(|run| run.replica == dot.replica && run.first <= dot.seq)
    }

    pub(super) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        row.put_varint(self.0.len() as u64);
        for run in &self.0 {
            row.extend_from_slice(run.replica.as_bytes());
            row.put_varint(run.first.get());
            row.put_varint(run.last.get() - run.first.get());
        }
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("commit row", row);
        let count = cursor.count(18, usize::MAX)?;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            let (replica, first) = (cursor.replica()?, cursor.seq()?);
            let last = first
                .get()
                .checked_add(cursor.varint()?)
                .ok_or_else(|| cursor.wrong(Problem::Overlong))?;
            runs.push(Run { replica, first, last: Seq::new(last) });
        }
        cursor.finish()?;
        Ok(Self(runs))
    }
}

/// What a space keeps of itself in one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The number of the newest commit that changed the space.
    pub(super) commit: u64,
    /// Live items.
    pub(super) items: u64,
    /// Bytes of the removal records, keys included. Their order of age takes a little more.
    pub(super) log_bytes: u64,
    /// Rows ahead of the vector: items and removal records.
    pub(super) staged: u64,
    /// Bytes of chunks that were staged since nothing was.
    pub(super) staged_bytes: u64,
    /// Whose delta is staged.
    pub(super) staging_peer: Option<ReplicaId>,
    /// The number of the store's commit that changed vector or items last.
    pub(super) touched: u64,
}

impl State {
    pub(super) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(40);
        let counts = [self.commit, self.items, self.log_bytes, self.staged, self.touched];
        counts.into_iter().chain([self.staged_bytes]).for_each(|n| row.put_varint(n));
        row.put_bytes(self.staging_peer.as_ref().map_or(&[], |peer| peer.as_bytes()));
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("state row", row);
        let mut state = Self {
            commit: cursor.tally()?,
            items: cursor.tally()?,
            log_bytes: cursor.tally()?,
            staged: cursor.tally()?,
            touched: cursor.tally()?,
            staged_bytes: cursor.tally()?,
            staging_peer: None,
        };
        let mut peer = Cursor::new("staging peer", cursor.bytes(16)?);
        if peer.remaining() > 0 {
            state.staging_peer = Some(peer.replica()?);
        }
        cursor.finish()?;
        Ok(state)
    }
}

/// The state of a space; the empty one where it has none yet.
pub(super) fn read_state(rows: &dyn Read, space: u32) -> Result<State, StorageError> {
    let key = space_key(space);
    match rows.get(Table::States, &key)? {
        None => Ok(State::default()),
        Some(row) => State::from_row(&row).map_err(|e| corrupt(Table::States, &key, e)),
    }
}
