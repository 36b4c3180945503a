//! What a peer's claims take away, and the brake on it.
//!
//! A claim needs no removal record, so a peer that lost its items and kept its vector claims
//! that everybody else's were removed. The brake is for that: where one peer's claims would
//! take away very many items, and a large part of a space, they are *held*. Only what they
//! would drop waits; the news that comes with them is taken, and other peers go on. It counts
//! over a day, so that many small sessions are no way round it, and after the news is applied,
//! which explains most of what an honest peer no longer holds: bulk deletes carry removal
//! records and never come here. It guards against mistakes and damage, not against malice: who
//! forges removal records, or takes a new name for each session, is not stopped by it.
//!
//! Somebody has to decide then: [`Allow`](MassRemoval::Allow), and what goes is in the
//! [`Trash`](super::Trash); or [`Keep`](MassRemoval::Keep), which writes the items anew, under
//! dots that the peer has not seen. What it is about is found anew by the session that carries
//! the decision out.
//!
//! Rows in the table of the trash, under the space's number: `02 ‖ peer (16)` → decision (1),
//! held, removed in the day before, items then: varints; count, (hour, items removed) …

use std::ops::ControlFlow;

use super::change::{Change, RECORD_DOTS};
use super::chunk::Claim;
use super::content::item_row;
use super::options::Options;
use super::rows::{
    Removal, SPACE_BYTES, after, corrupt, dot_key, range, space_key, split_dot_value,
};
use super::space::Space;
use super::store::number_of;
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::digest;
use crate::error::Error;
use crate::faults::fault;
use crate::storage::{Durability, Order, Read, StorageError, Table, Verdict, Write};

const REGION: u8 = 2;
const HOUR_MS: u64 = 3_600_000;
/// Hours over which removals are counted.
const HOURS: u64 = 24;
/// Events in a block, as a claim is about them.
const BLOCK_EVENTS: u64 = 256;

/// What to do where a peer's claims would take away too much at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MassRemoval {
    /// Hold them back, and say so: what is done unless something else was decided.
    #[default]
    Hold,
    /// Remove the items: they go to the [`Trash`](super::Trash).
    Allow,
    /// Write the items anew, so that they come to the peer too.
    Keep,
}

impl MassRemoval {
    const fn number(self) -> u8 {
        match self {
            Self::Hold => 0,
            Self::Allow => 1,
            Self::Keep => 2,
        }
    }
}

/// What is held back of one peer's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Whose claims.
    pub peer: ReplicaId,
    /// Items that they would have taken away, when the two last met.
    pub items: u64,
    /// Items that they took away in the 24 hours before.
    pub removed: u64,
    /// Items that there were in the space.
    pub of: u64,
    /// What was decided for the next session with the peer.
    pub decision: MassRemoval,
}

impl core::fmt::Display for Held {
    /// For a log; what may be decided stands at [`MassRemoval`].
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { peer, items, removed, of, .. } = self;
        write!(f, "{items} of {of} items")?;
        if *removed > 0 {
            write!(f, " after {removed} in the day before")?;
        }
        write!(f, ", which {peer} claims to be removed")
    }
}

/// What became of claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// Items dropped.
    pub(crate) repaired: u64,
    /// Items written anew instead.
    pub(crate) kept: u64,
    /// What is held back instead.
    pub(crate) held: Option<Held>,
}

/// What is known of one peer's claims on a space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    decision: MassRemoval,
    /// Items held back, those removed in the day before, and those there were.
    held: [u64; 3],
    /// Hours since 1970 and the items removed in each, ascending.
    hours: Vec<(u64, u64)>,
}

fn key(space: u32, peer: ReplicaId) -> Vec<u8> {
    [space_key(space).as_slice(), &[REGION], peer.as_bytes()].concat()
}

/// Whether a row of the table of the trash is one of these, as it is where its region says so.
pub(super) fn check_row(key: &[u8], row: &[u8]) -> Result<(), DecodeError> {
    let mut name = Cursor::new("claims of a peer", key);
    let _: [u8; SPACE_BYTES] = name.array()?;
    if name.u8()? != REGION {
        return Err(name.wrong(Problem::Other("of no region of the trash")));
    }
    name.replica()?;
    name.finish()?;
    Account::of_row(row).map(drop)
}

/// What such a row says, written again.
///
/// # Errors
/// The row is none of these.
#[cfg(feature = "sim")]
pub(super) fn respelled(key: &[u8], row: &[u8]) -> Result<Vec<u8>, DecodeError> {
    check_row(key, row)?;
    Account::of_row(row).map(|account| account.to_row())
}

impl Account {
    fn of_row(row: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("claims of a peer", row);
        let decision = match cursor.u8()? {
            0 => MassRemoval::Hold,
            1 => MassRemoval::Allow,
            2 => MassRemoval::Keep,
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        };
        let held = [cursor.tally()?, cursor.tally()?, cursor.tally()?];
        let count = cursor.count(2, HOURS as usize)?;
        let mut hours = Vec::with_capacity(count);
        for _ in 0..count {
            hours.push((cursor.tally()?, cursor.tally()?));
        }
        cursor.finish()?;
        Ok(Self { decision, held, hours })
    }

    fn to_row(&self) -> Vec<u8> {
        let mut row = vec![self.decision.number()];
        self.held.iter().for_each(|n| row.put_varint(*n));
        row.put_varint(self.hours.len() as u64);
        for (hour, items) in &self.hours {
            row.put_varint(*hour);
            row.put_varint(*items);
        }
        row
    }

    fn read(rows: &dyn Read, space: u32, peer: ReplicaId) -> Result<Self, StorageError> {
        let key = key(space, peer);
        let Some(row) = rows.get(Table::Trash, &key)? else { return Ok(Self::default()) };
        Self::of_row(&row).map_err(|e| corrupt(Table::Trash, &key, e))
    }

    /// Puts the row, or deletes it where it says nothing. So many peers are remembered as
    /// have a base; the one whose removals are longest ago, and not held, goes first.
    fn write(&self, rows: &mut dyn Write, space: u32, peer: ReplicaId) -> Result<(), StorageError> {
        let own = key(space, peer);
        if *self == Self::default() {
            rows.delete(Table::Trash, &own)?;
            return Ok(());
        }
        let mut others = Self::all(rows, space)?;
        others.retain(|(other, _)| *other != peer);
        if others.len() >= limits::BASES {
            let age = |account: &Self| (account.held[0] > 0, account.hours.last().copied());
            let oldest = others.iter().min_by_key(|(_, account)| age(account));
            if let Some((oldest, _)) = oldest {
                rows.delete(Table::Trash, &key(space, *oldest))?;
            }
        }
        rows.put(Table::Trash, &own, &self.to_row())
    }

    /// Every peer of which anything is known: at most [`limits::BASES`].
    fn all(rows: &dyn Read, space: u32) -> Result<Vec<(ReplicaId, Self)>, StorageError> {
        let from = [space_key(space).as_slice(), &[REGION]].concat();
        let to = after(&from);
        let (mut all, mut wrong) = (Vec::new(), None);
        rows.scan(Table::Trash, range(&from, &to), Order::Ascending, &mut |key, row| {
            let peer = key.get(from.len()..).and_then(|id| id.try_into().ok());
            match (peer, Self::of_row(row)) {
                (Some(peer), Ok(account)) => all.push((ReplicaId::from_bytes(peer), account)),
                _ => wrong = Some(corrupt(Table::Trash, key, "not the claims of a peer")),
            }
            ControlFlow::Continue(())
        })?;
        wrong.map_or(Ok(all), Err)
    }

    /// Forgets what is more than a day ago. Hours in the future are those of a clock that was
    /// put back: they count as now, so that they end too.
    fn today(&mut self, now_ms: u64) -> u64 {
        let now = now_ms / HOUR_MS;
        let mut later = 0;
        self.hours.retain(|(hour, items)| {
            later += if *hour > now { *items } else { 0 };
            *hour <= now && now - hour < HOURS
        });
        self.add(now, later);
        self.hours.iter().map(|(_, items)| items).sum()
    }

    fn add(&mut self, hour: u64, more: u64) {
        match self.hours.last_mut() {
            Some((last, items)) if *last == hour => *items += more,
            _ if more > 0 => self.hours.push((hour, more)),
            _ => {}
        }
    }

    fn held(&self, peer: ReplicaId) -> Option<Held> {
        let [items, removed, of] = self.held;
        (items > 0).then_some(Held { peer, items, removed, of, decision: self.decision })
    }
}

/// The claims of a peer, at the cut that they are about.
#[derive(Clone, Copy)]
pub(super) struct Claims<'c> {
    pub(super) peer: ReplicaId,
    pub(super) claims: &'c [Claim],
    pub(super) cut: &'c VersionVector,
}

impl Claims<'_> {
    /// Visits the dots that are live here and, by the claims, dead.
    fn each_dead(
        &self,
        change: &mut Change<'_>,
        mut visit: impl FnMut(&mut Change<'_>, Dot) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let base = change.batch.base.clone();
        for Claim { origin, block, bits } in self.claims {
            let (rows, space) = (&*change.batch.rows, change.batch.space);
            let mine = digest::live_bits(rows, space, &base, self.cut, *origin, *block)?;
            for seq in digest::seqs_of(*block, &digest::dead_of(&mine, bits)) {
                visit(change, Dot::new(*origin, seq))?;
            }
        }
        Ok(())
    }

    /// Does what is to be done about the claims, once the news that came with them is applied.
    pub(super) fn settle(
        &self,
        change: &mut Change<'_>,
        asked: MassRemoval,
        options: &Options,
    ) -> Result<Claimed, Error> {
        let mut claimed = Claimed::default();
        if self.claims.is_empty() {
            return Ok(claimed);
        }
        let (space, now_ms) = (change.batch.space, change.now_ms);
        let mut account = Account::read(change.batch.rows, space, self.peer)?;
        let before = account.clone();
        let decision = if asked == MassRemoval::Hold { account.decision } else { asked };
        match decision {
            MassRemoval::Hold => {
                claimed.held = self.brake(change, &mut account, options)?;
                if claimed.held.is_none() {
                    claimed.repaired = self.drop_dead(change)?;
                    account.held = [0; 3];
                    let counts = !fault!(BrakeForgetsTheDay);
                    account.add(now_ms / HOUR_MS, if counts { claimed.repaired } else { 0 });
                }
            }
            // Whoever was asked has answered: what comes later counts anew.
            MassRemoval::Allow => {
                claimed.repaired = self.drop_dead(change)?;
                account = Account::default();
            }
            MassRemoval::Keep => {
                claimed.kept = self.keep_dead(change)?;
                account = Account::default();
            }
        }
        if account != before {
            account.write(change.batch.rows, space, self.peer)?;
        }
        Ok(claimed)
    }

    /// Whether so many items would go that somebody must decide.
    fn brake(
        &self,
        change: &mut Change<'_>,
        account: &mut Account,
        options: &Options,
    ) -> Result<Option<Held>, Error> {
        let removed = account.today(change.now_ms);
        let of = change.batch.state.items;
        let most = (self.claims.len() as u64).saturating_mul(BLOCK_EVENTS).min(of);
        // Mostly they cannot be that many, and need not be counted.
        if removed.saturating_add(most) <= options.brake_items {
            return Ok(None);
        }
        let mut items = 0;
        self.each_dead(change, |_, _| {
            items += 1;
            Ok(())
        })?;
        let (gone, all) = (u128::from(removed + items), u128::from(removed + of));
        let much = gone > u128::from(options.brake_items)
            && gone * 100 > all * u128::from(options.brake_percent);
        if items == 0 || !much || fault!(BrakeIgnored) {
            return Ok(None);
        }
        account.held = [items, removed, of];
        Ok(account.held(self.peer))
    }

    fn drop_dead(&self, change: &mut Change<'_>) -> Result<u64, Error> {
        let mut dropped = 0;
        self.each_dead(change, |change, dot| {
            if fault!(RepairDropsNothing) {
                return Ok(());
            }
            change.batch.keep_in_trash(dot)?;
            dropped += u64::from(change.batch.remove_dot(dot)?);
            Ok(())
        })?;
        Ok(dropped)
    }

    /// Writes what is claimed dead anew. Others that hold it under the old dots are told
    /// exactly these: a past would name, with them, what stands beside them.
    fn keep_dead(&self, change: &mut Change<'_>) -> Result<u64, Error> {
        let (mut kept, mut old) = (0, Vec::new());
        self.each_dead(change, |change, dot| {
            let (rows, space) = (&*change.batch.rows, change.batch.space);
            let key = dot_key(space, dot);
            // A counter's row may have been folded with one before it.
            let Some(row) = rows.get(Table::Dots, &key)? else { return Ok(()) };
            let row = split_dot_value(&row).map_err(|e| corrupt(Table::Dots, &key, e))?;
            let place = row.place.to_vec();
            let (key, value) = item_row(rows, space, dot, &place)?;
            change.batch.remove_item(&key, dot)?;
            if !fault!(KeptItemsNotWritten) {
                change.write_anew(&place, &value)?;
            }
            kept += 1;
            old.push(dot);
            if old.len() == RECORD_DOTS {
                change.log_dots(core::mem::take(&mut old))?;
            }
            Ok(())
        })?;
        if !old.is_empty() {
            change.log_dots(old)?;
        }
        Ok(kept)
    }
}

impl Change<'_> {
    /// The record that just these dots, ascending, are dead.
    fn log_dots(&mut self, dots: Vec<Dot>) -> Result<(), StorageError> {
        let dot = self.batch.mint(self.replica)?;
        self.batch.log_removal(dot, &Removal::Dots(dots))
    }
}

impl Space {
    /// What is held back here of what peers claim: see [`MassRemoval`].
    ///
    /// # Errors
    /// The storage failed.
    pub fn held(&self) -> Result<Vec<Held>, Error> {
        let snapshot = self.snapshot()?;
        let Some(number) = snapshot.space else { return Ok(Vec::new()) };
        let all = Account::all(&*snapshot.rows, number)?;
        Ok(all.iter().filter_map(|(peer, account)| account.held(*peer)).collect())
    }

    /// Decides what the next session with a peer does where its claims would take away very
    /// many items. It counts for one such session, and ends where the two are proven equal.
    /// [`SessionOptions::mass_removal`](crate::session::SessionOptions::mass_removal) decides it for a
    /// session of one's own.
    ///
    /// # Errors
    /// The storage failed.
    pub fn decide(&self, peer: ReplicaId, decision: MassRemoval) -> Result<(), Error> {
        self.account(peer, |account| account.decision = decision)
    }

    /// The two are equal: nothing is held any more, and nothing to decide.
    pub(crate) fn forget_held(&self, peer: ReplicaId) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        let Some(number) = snapshot.space else { return Ok(()) };
        let Account { decision, held: [items, ..], .. } =
            Account::read(&*snapshot.rows, number, peer)?;
        if items == 0 && decision == MassRemoval::Hold {
            return Ok(());
        }
        drop(snapshot);
        self.account(peer, |account| {
            (account.decision, account.held) = (MassRemoval::Hold, [0; 3]);
        })
    }

    fn account(&self, peer: ReplicaId, change: impl Fn(&mut Account)) -> Result<(), Error> {
        let mut writer = self.store.shared.writer()?;
        writer.commit(Durability::Immediate, &mut |rows| {
            let Some(space) = number_of(rows, self.name())? else { return Ok(Verdict::Abort) };
            let mut account = Account::read(rows, space, peer)?;
            change(&mut account);
            account.write(rows, space, peer)?;
            Ok(Verdict::Commit)
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Store;
    use crate::space::tests::replica;

    /// Whoever makes up names of peers must not make a space forget what it holds back.
    #[test]
    fn of_many_peers_those_of_which_something_is_held_are_remembered() {
        let space = Store::in_memory().space("main").unwrap();
        space.put("key", "value", None).unwrap();
        space.account(replica(200), |account| account.held = [7, 0, 9]).unwrap();
        let most = limits::BASES as u8;
        for n in 0..=most {
            space.account(replica(n), |account| account.hours = vec![(n.into(), 1)]).unwrap();
        }
        let snapshot = space.snapshot().unwrap();
        let all = Account::all(&*snapshot.rows, snapshot.space.unwrap()).unwrap();
        let peers: Vec<_> = all.iter().map(|(peer, _)| *peer).collect();
        let newest = (2..=most).chain([200]).map(replica);
        assert_eq!(peers, newest.collect::<Vec<_>>());
        assert_eq!(space.held().unwrap().len(), 1);
    }
}
