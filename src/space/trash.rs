//! What peers took away without a record, kept for a while.
//!
//! A vector that covers a dot together with the item's absence *is* a delete: no removal
//! record says who meant it. A peer that lost its items, or lies, looks just like one whose log has
//! forgotten. So what goes in this way, by the claims of a walk or because a peer's vector
//! covers what another had staged, is not thrown away but goes to the trash of its space: here
//! only, bounded by age and by size, the oldest first. What a write or a removal record takes
//! away does not pass by here, and costs nothing.

mod rows;

use std::ops::ControlFlow;

use super::change::{Change, counter_amount};
use super::fields;
#[cfg(doc)]
use super::options::Options;
use super::rows::{corrupt, range, split_item_value};
use super::scan::Item;
use super::space::Space;
use super::store::Store;
use crate::causal::{ReplicaId, Seq};
use crate::codec::{Kind, Prefix, place};
use crate::error::Error;
use crate::storage::{Order, Table};
#[cfg(feature = "sim")]
pub(super) use rows::respelled;
use rows::{Entry, choose, entries, entry_key, prune};
pub(super) use rows::{Head, Taker, Trashing, check_row, count};

/// An item that a peer took away without a removal record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trashed {
    /// Names the entry, in this space of this store; later ones are greater.
    pub number: u64,
    /// When it went, by the clock of this store, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose claim or vector took it away.
    pub peer: ReplicaId,
    /// What it was. Its dot is dead for ever.
    pub item: Item,
}

/// What a [restore](Trash::restore) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Items written anew.
    pub written: u64,
    /// Items whose place holds something that already says so, or has the last word there.
    pub standing: u64,
}

impl Change<'_> {
    /// Writes an item that is dead under its old dot under a new one. It replaces nothing
    /// that stands; what a counter's row held is added to the counter.
    pub(super) fn write_anew(&mut self, place: &[u8], value: &[u8]) -> Result<(), Error> {
        let wrong = |e| corrupt(Table::Trash, place, e);
        let (past, payload) = split_item_value(value).map_err(wrong)?;
        let kind = place::leaf_kind(place).map_err(wrong)?;
        let known = fields::unknown(kind, payload).map_err(wrong)?.is_empty();
        if kind == Kind::COUNTER && known {
            let prefix = place.split_last().map_or(place, |(_, prefix)| prefix);
            let prefix = Prefix::from_bytes(prefix).map_err(wrong)?;
            self.count(&prefix, counter_amount(payload)?)?;
            return Ok(());
        }
        let dot = self.batch.mint(self.replica)?;
        Ok(self.batch.insert_item(dot, place, &past, payload)?)
    }

    /// Whether what stands at the place makes writing the item anew needless, or wrong. Own
    /// items above `begun` do not count: they were written anew by the same restore.
    fn stands(&self, place: &[u8], value: &[u8], begun: Seq) -> Result<bool, Error> {
        let wrong = |e| corrupt(Table::Trash, place, e);
        let payload = split_item_value(value).map_err(wrong)?.1;
        let mut others = self.batch.view().found(place)?;
        let kind = place::leaf_kind(place).map_err(wrong)?;
        Ok(match kind {
            Kind::COUNTER => false,
            // One row decides here, and it shall be one that was written since.
            Kind::RW_SET | Kind::DW_FLAG => {
                others.retain(|f| f.dot.replica != self.replica || f.dot.seq <= begun);
                !others.is_empty()
            }
            _ => others.iter().any(|found| found.payload == payload),
        })
    }
}

/// The trash of a space: what peers took away here without a removal record, because a
/// proof had failed and a walk of the digests showed that they, who had seen it, no longer held it.
///
/// Mostly they are right: the record of a removal was forgotten by a bounded log. Where they
/// are not, because a replica lost its items or lied, what it took away can be
/// [restored](Self::restore) for [`Options::trash_age_ms`], and as long as there is room
/// ([`Options::trash_bytes`], for each space). The trash is this store's own: it does not
/// travel and has no part in root, export or [`Space::root`]. A [backup](Store::backup) holds it.
///
/// ```
/// # let space = rejoin::Store::in_memory().space("main")?;
/// use std::ops::ControlFlow;
///
/// space.trash().for_each(0, |gone| {
///     println!("{}: {:?} by {}", gone.number, gone.item.key, gone.peer);
///     ControlFlow::Continue(())
/// })?;
/// let back = space.trash().restore(|gone| gone.item.key.starts_with(b"note/"))?;
/// assert_eq!(back.written, 0); // nothing was ever taken away here
/// space.trash().empty()?;
/// # Ok::<(), rejoin::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trash {
    space: Space,
}

impl Space {
    /// What peers took away here without a removal record.
    #[must_use]
    pub fn trash(&self) -> Trash {
        Trash { space: self.clone() }
    }
}

impl Trash {
    /// Visits what is there from an entry's number on, the oldest first, in one pass and
    /// with one entry in memory at a time. [`ControlFlow::Break`] ends the visit.
    ///
    /// # Errors
    /// The storage failed.
    pub fn for_each(
        &self,
        from: u64,
        mut visit: impl FnMut(Trashed) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let snapshot = self.space.snapshot()?;
        let Some(number) = snapshot.space else { return Ok(()) };
        let (from, (_, to)) = (entry_key(number, from), entries(number));
        let (oldest_ms, mut wrong) = (self.oldest_ms(), None);
        snapshot.rows.scan(
            Table::Trash,
            range(&from, &to),
            Order::Ascending,
            &mut |key, row| {
                let entry = Entry::of(key, row);
                let found = entry.and_then(|entry| {
                    let kept = entry.at_ms >= oldest_ms;
                    let found = kept.then(|| entry.trashed()).transpose();
                    found.map_err(|e| corrupt(Table::Trash, key, e))
                });
                match found {
                    Ok(found) => found.map_or(ControlFlow::Continue(()), &mut visit),
                    Err(error) => {
                        wrong = Some(error);
                        ControlFlow::Break(())
                    }
                }
            },
        )?;
        wrong.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes what `which` chooses anew, in one transaction of this replica, under new dots: as
    /// any write it reaches every replica. Under the old dots it would die at the next repair.
    ///
    /// Nothing that stands is replaced, and what was written since is not overruled:
    ///
    /// | type | what comes back |
    /// |---|---|
    /// | opaque value, multi-value register | a sibling beside what stands |
    /// | last-writer-wins register | the write with the time that it had: the value where nothing later stands |
    /// | set, flag in which enabling wins | the element, or enabled, where it is not |
    /// | set in which removing wins, flag in which disabling wins | what was said last, additions and removals alike, only where nothing stands: what was said since has the last word |
    /// | counter | what the rows had added, added once more by this replica |
    /// | types that this version does not know | the item, beside what stands |
    ///
    /// Restore at one replica only: two that restore the same each add to a counter, and leave
    /// an opaque value twice. What comes back, or is there already, leaves the trash.
    ///
    /// # Errors
    /// The storage failed, or a counter would leave 64 bits; nothing has changed then.
    pub fn restore(&self, mut which: impl FnMut(&Trashed) -> bool) -> Result<Restored, Error> {
        let oldest_ms = self.oldest_ms();
        self.space.change(|change| {
            let (mut from, to) = entries(change.batch.space);
            let begun = change.batch.seen(change.replica);
            let mut restored = Restored::default();
            loop {
                let (chosen, next) = choose(change.batch.rows, (&from, &to), &mut |entry| {
                    Ok(entry.at_ms >= oldest_ms && which(&entry.trashed()?))
                })?;
                for (key, row) in &chosen {
                    let Entry { place, value, .. } = Entry::of(key, row)?;
                    if change.stands(place, value, begun)? {
                        restored.standing += 1;
                    } else {
                        change.write_anew(place, value)?;
                        restored.written += 1;
                    }
                }
                if !chosen.is_empty() {
                    let gone: Vec<_> = chosen.into_iter().map(|(k, row)| (k, row.len())).collect();
                    change.batch.throw_away(&gone)?;
                }
                match next {
                    Some(next) => from = next,
                    None => return Ok(restored),
                }
            }
        })
    }

    /// Throws away for good all that is there; how many items.
    ///
    /// # Errors
    /// The storage failed.
    pub fn empty(&self) -> Result<u64, Error> {
        self.prune(0, u64::MAX)
    }

    /// Throws away what has been there for too long, which else happens when more comes.
    pub(super) fn throw_out_old(&self) -> Result<u64, Error> {
        self.prune(u64::MAX, self.oldest_ms())
    }

    fn prune(&self, most_bytes: u64, before_ms: u64) -> Result<u64, Error> {
        if Head::of(&self.space)?.count == 0 {
            return Ok(0);
        }
        self.space.change(|change| {
            let space = change.batch.space;
            let before = Head::read(change.batch.rows, space)?;
            let mut head = before;
            prune(change.batch.rows, space, &mut head, most_bytes, before_ms)?;
            if head != before {
                change.batch.trash.head = Some(head);
            }
            Ok(before.count - head.count)
        })
    }

    /// What went before this is no longer there.
    fn oldest_ms(&self) -> u64 {
        let shared = &self.space.store.shared;
        shared.now_ms().saturating_sub(shared.options.trash_age_ms)
    }
}

impl Store {
    /// Throws away what has been in the trash of any space for too long.
    pub(super) fn throw_out_old(&self) -> Result<(), Error> {
        self.spaces("")?.iter().try_for_each(|name| {
            self.space(name)?.trash().throw_out_old()?;
            Ok(())
        })
    }
}
