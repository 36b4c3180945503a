//! Salvaged items that wait to be decided: may they live?
//!
//! Where something of a space was lost, a [recovered](super::Store::recover) store claims to have
//! seen nothing of it, and what was salvaged stands apart, each item under its old dot. It is not
//! there for readers, peers and the digest.
//!
//! **The first vector that covers its dot decides an item**: it comes with the delta of a peer
//! that has seen the event, so the item is here under its own dot if it lives there, and was
//! removed if it does not. Either way the salvaged copy has done its duty.
//!
//! What no peer has seen is *adopted* when somebody says so: written anew under a new dot, its
//! past kept. The obvious code does that for everything, at once:
//!
//! 1. A counter at A holds a5 with 3, which B has as well. A's file is damaged and salvaged into
//!    C, which writes c1 with 3 in place of a5.
//! 2. C meets B: both hold a5 and c1, and read 6. A set's element that B had removed is back.
//! 3. Giving c1 the past {a: 5} instead takes a3 with it, which stood beside a5 and was lost
//!    with the page: damage has become a deletion at B.
//!
//! So C waits for B. And as there may be a D that knows a5 and was not met before the word was
//! given, an adopted item is a *stand-in*: once a vector covers a5 here, c1 is removed, by a
//! record that names c1 and nothing else. Stand-ins have names of their own and not the
//! store's, since a counter adds its own newest rows up into one, and 3 could not be taken out
//! of that again.
//!
//! Rows in the table of what concerns the whole store: `salvaged/ ‖ number of the space ‖ dot` →
//! a byte: 1 where something stands in for it, 2 where something did and was lost, 3 for both, 4 where
//! it is decided and what was lost goes where it comes, else 0; with 1 and 3 the dot of the stand-in;
//! the place with its length; past and payload, of a decided one neither.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::batch::{Batch, Renaming};
use super::rows::{
    DOT_BYTES, PASS_ROWS, Which, after, batch, corrupt, dot_of_key, item_value, put_dot, range,
    read_vector, space_key, split_item_value,
};
use super::space::Space;
use super::store::{Store, number_of};
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::codec::{Cursor, DecodeError, Place, Problem, Put, limits};
use crate::error::Error;
use crate::storage::{Durability, Order, Read, StorageError, Table, Write};

mod stand_ins;

use stand_ins::Names;

pub(super) const WAITING_KEY: &[u8] = b"salvaged/";

fn prefix(space: u32) -> Vec<u8> {
    [WAITING_KEY, &space_key(space)].concat()
}

pub(super) fn waiting_key(space: u32, dot: Dot) -> Vec<u8> {
    let mut key = prefix(space);
    put_dot(&mut key, dot);
    key
}

/// What became of what waits.
#[derive(Default)]
struct Settled {
    /// Items of which it is known now whether they live, or what stands in for them.
    decided: u64,
    /// Stand-ins that were written.
    adopted: u64,
    /// Stand-ins that were removed.
    removed: u64,
}

/// A salvaged item that waits.
pub(super) struct Waiting<'r> {
    pub(super) dot: Dot,
    stand_in: Option<Dot>,
    /// What stood in for it was lost once, and may come.
    lost: bool,
    /// It does not wait any more; what stood in for it goes where it comes.
    decided: bool,
    pub(super) place: &'r [u8],
    /// Past and payload.
    pub(super) value: &'r [u8],
}

impl<'r> Waiting<'r> {
    /// An item that is salvaged now. Where it waited before, what stands in for it stays so.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn new(
        rows: &dyn Read,
        space: u32,
        (dot, place, value): (Dot, &'r [u8], &'r [u8]),
    ) -> Result<Self, StorageError> {
        let key = waiting_key(space, dot);
        let (mut stand_in, mut lost) = (None, false);
        if let Some(row) = rows.get(Table::Meta, &key)? {
            Waiting { stand_in, lost, .. } = Waiting::of(&key, &row)?;
        }
        Ok(Self { dot, stand_in, lost, decided: false, place, value })
    }

    /// Says of an item that waits in a space what stands in for it, as a row of another store does.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn take_stand_in(
        rows: &mut dyn Write,
        space: u32,
        (key, row): (&[u8], &[u8]),
    ) -> Result<(), StorageError> {
        let Waiting { dot, stand_in, .. } = Waiting::of(key, row)?;
        let key = waiting_key(space, dot);
        if let (Some(known), Some(_)) = (rows.get(Table::Meta, &key)?, stand_in) {
            let known = Waiting::of(&key, &known)?;
            let lost = known.lost || known.stand_in.is_some();
            let seen = read_vector(rows, space, Which::Seen)?;
            let stand_in = known.stand_in.filter(|dot| seen.contains(*dot)).or(stand_in);
            Waiting { stand_in, lost, ..known }.put(rows, space)?;
        }
        Ok(())
    }

    fn of(key: &[u8], row: &'r [u8]) -> Result<Self, StorageError> {
        Self::read(key, row).map_err(|e| corrupt(Table::Meta, key, e))
    }

    fn read(key: &[u8], row: &'r [u8]) -> Result<Self, DecodeError> {
        let dot = dot_of_key(key)?;
        let mut cursor = Cursor::new("salvaged item", row);
        let kind = cursor.u8()?;
        let (stood_in, lost, decided) = match kind {
            0..=3 => (kind & 1 != 0, kind & 2 != 0, false),
            4 => (false, true, true),
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        };
        let stand_in = if stood_in { Some(cursor.fixed_dot()?) } else { None };
        let place = cursor.bytes(limits::PLACE_BYTES)?;
        Ok(Self { dot, stand_in, lost, decided, place, value: cursor.take_rest() })
    }

    pub(super) fn put(&self, rows: &mut dyn Write, space: u32) -> Result<(), StorageError> {
        rows.put(Table::Meta, &waiting_key(space, self.dot), &self.to_row())
    }

    fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(DOT_BYTES + 4 + self.place.len() + self.value.len());
        row.push(match self.decided {
            true => 4,
            false => u8::from(self.stand_in.is_some()) | u8::from(self.lost) << 1,
        });
        if let Some(dot) = self.stand_in {
            put_dot(&mut row, dot);
        }
        row.put_bytes(self.place);
        row.extend_from_slice(self.value);
        row
    }
}

/// Such a row read wholly, and the past and the payload of its value.
fn read_wholly<'r>(
    key: &[u8],
    row: &'r [u8],
) -> Result<(Waiting<'r>, VersionVector, &'r [u8]), DecodeError> {
    let waiting = Waiting::read(key, row)?;
    Place::check(waiting.place)?;
    let (past, payload) = split_item_value(waiting.value)?;
    Ok((waiting, past, payload))
}

/// Whether a row of the whole store is one of these; `None` where its key is another one's.
pub(super) fn check_row(key: &[u8], row: &[u8]) -> Option<Result<(), DecodeError>> {
    key.starts_with(WAITING_KEY).then(|| read_wholly(key, row).map(drop))
}

/// What such a row says, written again; `None` where its key is another one's.
#[cfg(feature = "sim")]
pub(super) fn respelled(key: &[u8], row: &[u8]) -> Option<Result<Vec<u8>, DecodeError>> {
    let read = || {
        let (waiting, past, payload) = read_wholly(key, row)?;
        Ok(Waiting { value: &item_value(&past, payload), ..waiting }.to_row())
    };
    key.starts_with(WAITING_KEY).then(read)
}

/// What follows in the key of such a row: the number of the space first. `None` where the key is
/// another one's.
pub(super) fn waits_in(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(WAITING_KEY)
}

/// Drops what waits in a space.
pub(super) fn forget_waiting(rows: &mut dyn Write, space: u32) -> Result<(), StorageError> {
    clear(rows, Table::Meta, &prefix(space))
}

/// Deletes all rows of a table that start so.
pub(super) fn clear(rows: &mut dyn Write, table: Table, prefix: &[u8]) -> Result<(), StorageError> {
    let to = after(prefix);
    loop {
        let (found, whole) = batch(rows, table, prefix, &to, PASS_ROWS)?;
        for (key, _) in &found {
            rows.delete(table, key)?;
        }
        if whole {
            return Ok(());
        }
    }
}

impl Batch<'_> {
    /// Decides what waits and is covered now, or has been written anew by another store; with names
    /// for stand-ins, adopts the rest.
    fn settle(
        &mut self,
        own: ReplicaId,
        mut adopts: Option<Names>,
    ) -> Result<Settled, StorageError> {
        let mut from = prefix(self.space);
        let to = after(&from);
        let others = self.names_by_mark()?;
        let mut settled = Settled::default();
        loop {
            let (found, whole) = batch(self.rows, Table::Meta, &from, &to, PASS_ROWS)?;
            for (key, row) in &found {
                let waiting = Waiting::of(key, row)?;
                let covered = waiting.dot.seq <= self.seen(waiting.dot.replica);
                // A proof decides, and what is not known here any more has not been decided.
                if (covered && adopts.is_some()) || (!covered && waiting.decided) {
                    continue;
                }
                let here = self.stand_ins(&waiting, &others)?;
                if covered {
                    for dot in &here {
                        settled.removed += self.remove_stand_in(own, *dot)?;
                    }
                    if !waiting.decided {
                        self.decide(&waiting)?;
                        settled.decided += 1;
                    }
                } else if let Some((least, others)) = here.split_first() {
                    for dot in others {
                        settled.removed += self.remove_stand_in(own, *dot)?;
                    }
                    if waiting.stand_in != Some(*least) {
                        self.put_stand_in(&waiting, *least)?;
                        settled.decided += 1;
                    }
                } else if let Some(names) = &mut adopts
                    && waiting.stand_in.is_none_or(|dot| dot.seq > self.seen(dot.replica))
                {
                    let (past, payload) = split_item_value(waiting.value)
                        .map_err(|e| corrupt(Table::Meta, key, e))?;
                    // What it had replaced may have come from a peer that does not know it.
                    self.remove_covered(waiting.place, &past)?;
                    let dot = self.mint_stand_in(names, waiting.dot)?;
                    self.insert_item(dot, waiting.place, &past, payload)?;
                    self.put_stand_in(&waiting, dot)?;
                    settled.adopted += 1;
                }
            }
            match found.last() {
                Some((last, _)) if !whole => {
                    from.clone_from(last);
                    from.push(0);
                }
                _ => return Ok(settled),
            }
        }
    }
}

impl Batch<'_> {
    /// Lets what waits, what it had replaced and what stands in for it go by the names that
    /// events get, so that it is decided by a vector that has seen them, and by no other.
    pub(super) fn rename_waiting(&mut self, renamings: &[Renaming]) -> Result<(), StorageError> {
        self.each_beneath(Table::Meta, &prefix(self.space), |b, (key, row)| {
            let mut waiting = Waiting::of(key, row)?;
            let (past, payload) =
                split_item_value(waiting.value).map_err(|e| corrupt(Table::Meta, key, e))?;
            let renamed = |dot| Renaming::dot(renamings, dot);
            let (dot, stand_in) = (renamed(waiting.dot), waiting.stand_in.and_then(renamed));
            let past = Renaming::past(renamings, &past);
            if dot.is_none() && stand_in.is_none() && past.is_none() {
                return Ok(());
            }
            let value = past.map(|past| item_value(&past, payload));
            waiting.value = value.as_deref().unwrap_or(waiting.value);
            waiting.stand_in = stand_in.or(waiting.stand_in);
            if let Some(dot) = dot {
                b.rows.delete(Table::Meta, key)?;
                waiting.dot = dot;
            }
            waiting.put(b.rows, b.space)
        })
    }
}

impl Space {
    /// Salvaged items that wait to be decided and are not here yet: see
    /// [`Store::adopt`](Store::adopt).
    ///
    /// # Errors
    /// The storage failed.
    pub fn waiting(&self) -> Result<u64, Error> {
        let rows = self.store().shared.storage.read()?;
        let Some(number) = number_of(&*rows, self.name())? else { return Ok(0) };
        Ok(unadopted(&*rows, number)?)
    }

    /// Decides what waits and is covered by now, which a proof has just shown it may be. How many
    /// stand-ins were removed for it.
    pub(super) fn settle_waiting(&self) -> Result<u64, Error> {
        if self.has_waiting()? { Ok(self.settle(false)?.removed) } else { Ok(0) }
    }

    fn has_waiting(&self) -> Result<bool, Error> {
        let rows = self.store().shared.storage.read()?;
        let Some(number) = number_of(&*rows, self.name())? else { return Ok(false) };
        let from = prefix(number);
        Ok(!batch(&*rows, Table::Meta, &from, &after(&from), 1)?.0.is_empty())
    }

    fn settle(&self, adopts: bool) -> Result<Settled, Error> {
        let mut guard = self.store().shared.writer()?;
        let own = self.replica();
        let names = adopts.then(|| Names::of(self.store().shared.tag));
        self.in_batch::<Settled, Error>(&mut guard, Durability::Immediate, |mut batch| {
            let settled = batch.settle(own, names)?;
            let changes = settled.decided + settled.adopted + settled.removed > 0;
            Ok((settled, changes.then_some(batch)))
        })
    }
}

impl Store {
    /// Writes the salvaged items that wait anew, under new dots, so that they are here and
    /// reach every replica; how many.
    ///
    /// They are those of which no replica that this store has met since it was
    /// [recovered](Self::recover) had seen anything. So first sync with all that can be
    /// reached: what they know needs no adopting, and what they have removed should not come back.
    /// Where one that was not met knew an item after all, the one written here goes again in the
    /// session with it, of which the next session with each of the others tells it; until then a
    /// counter counts it twice and what was removed there shows. So it is with what two recovered
    /// stores adopted both, until they meet.
    ///
    /// # Errors
    /// The storage failed; some spaces may have been done.
    pub fn adopt(&self) -> Result<u64, Error> {
        let mut adopted = 0;
        for name in self.spaces("")? {
            let space = self.space(&name)?;
            if space.has_waiting()? {
                adopted += space.settle(true)?.adopted;
            }
        }
        Ok(adopted)
    }
}

/// Visits what waits in a space.
fn each_waiting(
    rows: &dyn Read,
    space: u32,
    mut visit: impl FnMut(Waiting<'_>),
) -> Result<(), StorageError> {
    let from = prefix(space);
    let (to, mut wrong) = (after(&from), Ok(()));
    rows.scan(Table::Meta, range(&from, &to), Order::Ascending, &mut |key, row| {
        wrong = Waiting::of(key, row).map(&mut visit);
        if wrong.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    wrong
}

/// How many items wait in a space for which nothing stands in, or what did was lost.
pub(super) fn unadopted(rows: &dyn Read, space: u32) -> Result<u64, StorageError> {
    let seen = read_vector(rows, space, Which::Seen)?;
    let mut count = 0;
    each_waiting(rows, space, |waiting| {
        let here = waiting.stand_in.is_some_and(|dot| seen.contains(dot));
        count += u64::from(!waiting.decided && !here);
    })?;
    Ok(count)
}

/// What stands in for the items that wait in a space.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn stand_ins_in(rows: &dyn Read, space: u32) -> Result<BTreeSet<Dot>, StorageError> {
    let mut found = BTreeSet::new();
    each_waiting(rows, space, |waiting| found.extend(waiting.stand_in))?;
    Ok(found)
}

/// Moves what stands in a new store as if it were here to where it waits: all of a space. What
/// stands in for something that waits is that, and does not wait beside it.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn set_aside(rows: &mut dyn Write, space: u32) -> Result<(), StorageError> {
    use super::rows::{dot_key, split_item_key};
    let from = space_key(space);
    let (to, stand_ins) = (after(&from), stand_ins_in(rows, space)?);
    loop {
        let (found, whole) = batch(rows, Table::Items, &from, &to, PASS_ROWS)?;
        for (key, value) in &found {
            let (place, dot) = split_item_key(key).map_err(|e| corrupt(Table::Items, key, e))?;
            if !stand_ins.contains(&dot) {
                Waiting::new(rows, space, (dot, place, value))?.put(rows, space)?;
            }
            rows.delete(Table::Items, key)?;
            rows.delete(Table::Dots, &dot_key(space, dot))?;
        }
        if whole {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::Seq;
    use crate::space::tests::{replica, vector};

    /// Origin 1 gives up what it has after 2, and 3, the name of the stand-ins, all.
    #[test]
    fn what_waits_goes_by_the_names_that_events_get() {
        let space = Store::in_memory().space("main").unwrap();
        let dot = |n, seq| Dot::new(replica(n), Seq::new(seq));
        let row = |dot, stand_in, past: &[(u8, u64)]| (dot, stand_in, vector(past));
        let before = [
            row(dot(1, 2), None, &[(2, 9)]),
            row(dot(1, 4), Some(dot(3, 7)), &[(1, 3), (2, 9)]),
            row(dot(1, 9), None, &[]),
            row(dot(2, 4), None, &[(1, 2)]),
            row(dot(2, 5), Some(dot(3, 8)), &[(1, 4), (3, 1)]),
        ];
        let renamed = [
            row(dot(1, 2), None, &[(2, 9)]),
            row(dot(2, 4), None, &[(1, 2)]),
            row(dot(2, 5), Some(dot(7, 8)), &[(1, 2), (6, 4), (7, 1)]),
            row(dot(6, 4), Some(dot(7, 7)), &[(1, 2), (2, 9), (6, 3)]),
            row(dot(6, 9), None, &[]),
        ];
        let renaming =
            |n, after, to| Renaming { origin: replica(n), after: Seq::new(after), to: replica(to) };
        type Row = (Dot, Option<Dot>, VersionVector);
        let mut guard = space.store().shared.writer().unwrap();
        let found =
            space.in_batch::<Vec<Row>, Error>(&mut guard, Durability::Immediate, |mut b| {
                for (dot, stand_in, past) in &before {
                    let value = &item_value(past, b"payload");
                    let waiting = Waiting {
                        dot: *dot,
                        stand_in: *stand_in,
                        lost: false,
                        decided: false,
                        place: b"place",
                        value,
                    };
                    waiting.put(b.rows, b.space)?;
                }
                b.rename(&[renaming(1, 2, 6), renaming(3, 0, 7)])?;
                let mut found = Vec::new();
                b.each_beneath(Table::Meta, &prefix(b.space), |_, (key, row)| {
                    let Waiting { dot, stand_in, place, value, .. } = Waiting::of(key, row)?;
                    let (past, payload) = split_item_value(value).unwrap();
                    assert_eq!((place, payload), (b"place".as_slice(), b"payload".as_slice()));
                    found.push((dot, stand_in, past));
                    Ok(())
                })?;
                Ok((found, None))
            });
        assert_eq!(found.unwrap(), renamed);
    }
}
