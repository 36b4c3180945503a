//! What a local event does: which live items a mutation replaces, by the rule of its type.
//!
//! The table of the design, one function a line: a register replaces all that is observed
//! at its path, a counter its newest row that nobody can have seen, a removal everything
//! observed beneath a prefix. Who only adds replaces what it observed of that element.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::batch::Batch;
use super::fields;
use super::rows::{PASS_ROWS, Removal, SPACE_BYTES, after, item_key};
use super::view::Found;
use crate::causal::{Dot, HybridClock, ReplicaId, Seq, VersionVector};
use crate::codec::{Kind, Prefix, Put, limits, zigzag};
use crate::crdt::rules::{self, CounterPlan};
use crate::error::{Error, UsageError};
use crate::faults::fault;
use crate::storage::StorageError;

/// Removed dots that are collected one by one before only the past is kept.
pub(super) const RECORD_DOTS: usize = 64;

/// A transaction of local events in one space.
pub struct Change<'t> {
    pub(super) batch: Batch<'t>,
    pub(super) replica: ReplicaId,
    /// Own events up to here may have been seen by a peer.
    pub(super) shown: Seq,
    pub(super) clock: HybridClock,
    pub(super) now_ms: u64,
    pub(super) past_origins: usize,
    pub(super) space_name: Arc<str>,
}

impl Change<'_> {
    /// Writes an item that replaces every live one at its place.
    pub(crate) fn replace_all(&mut self, at: &Prefix, payload: &[u8]) -> Result<Dot, Error> {
        let place = at.place();
        let mut dead = self.batch.view().found(place.as_bytes())?;
        if fault!(LwwByClockBeforeCausality) {
            dead.retain(|found| found.payload.get(..STAMP_BYTES) <= payload.get(..STAMP_BYTES));
        }
        self.write(place.as_bytes(), dead, VersionVector::new(), payload, false)
    }

    /// Writes an item that replaces what `seen` covers at its place: all that a reader
    /// with that context was shown, and what those had replaced.
    pub(crate) fn replace_seen(
        &mut self,
        at: &Prefix,
        seen: &VersionVector,
        payload: &[u8],
    ) -> Result<Dot, Error> {
        let place = at.place();
        let mut dead = self.batch.view().found(place.as_bytes())?;
        dead.retain(|found| seen.contains(found.dot) || fault!(ContextIgnored));
        self.write(place.as_bytes(), dead, seen.clone(), payload, false)
    }

    /// The payload of a register: the writer's timestamp, then the value.
    pub(crate) fn stamped(&mut self, value: &[u8]) -> Vec<u8> {
        let now = self.clock.tick(self.now_ms);
        [now.to_be_bytes().as_slice(), value].concat()
    }

    /// Adds to a counter: by the shared rule, which of our own rows the new one replaces.
    pub(crate) fn count(&mut self, at: &Prefix, amount: i64) -> Result<Dot, Error> {
        let place = at.place();
        let mut own = self.batch.view().found(place.as_bytes())?;
        // A row with fields of a newer version stays: added up with others it would lose them.
        let known = |payload: &[u8]| fields::amount(payload).is_ok_and(|(_, more)| more.is_empty());
        own.retain(|found| found.dot.replica == self.replica && known(&found.payload));
        let amounts: Result<Vec<_>, Error> =
            own.iter().map(|found| Ok((found.dot.seq, counter_amount(&found.payload)?))).collect();
        let shown = if fault!(CounterRowReplacedAfterItWasShown) { Seq::ZERO } else { self.shown };
        let CounterPlan { replaces, amount } = rules::plan_add(&amounts?, shown, amount)?;
        own.retain(|found| replaces.contains(&found.dot.seq));
        // A row that nobody can have seen needs no naming: only its own past lives on.
        let unseen = own.first().is_some_and(|f| own.len() == 1 && f.dot.seq > shown);
        let mut payload = Vec::with_capacity(10);
        payload.put_varint(zigzag(amount));
        let dead = own.iter().map(|f| (f.key.clone(), f.dot)).collect::<Vec<_>>();
        let mut past = VersionVector::new();
        for found in &own {
            past.join(&found.past);
            if !unseen {
                past.advance(found.dot);
            }
        }
        for (key, dot) in dead {
            if !fault!(CounterRowsKeptWhenAddedUp) {
                self.batch.remove_item(&key, dot)?;
            }
        }
        self.write(place.as_bytes(), Vec::new(), past, &payload, true)
    }

    fn write(
        &mut self,
        place: &[u8],
        dead: Vec<Found>,
        seen: VersionVector,
        payload: &[u8],
        counter: bool,
    ) -> Result<Dot, Error> {
        if payload.len() > limits::VALUE_BYTES + STAMP_BYTES {
            return Err(UsageError::ValueTooLarge {
                limit: limits::VALUE_BYTES,
                found: payload.len() - STAMP_BYTES,
            }
            .into());
        }
        let mut direct = seen;
        let mut inherited = VersionVector::new();
        for found in dead {
            direct.advance(found.dot);
            inherited.join(&found.past);
            self.batch.remove_item(&found.key, found.dot)?;
        }
        let keep_own = counter.then_some(self.replica).filter(|_| !fault!(CounterPastPruned));
        let mut past = prune(direct, inherited, self.past_origins, keep_own);
        let dot = self.batch.mint(self.replica)?;
        if fault!(PastWidenedToTheWholeVector) {
            past = (*self.batch.base).clone();
            past.join(&self.batch.risen);
            past.advance(Dot::new(self.replica, dot.seq.prev()));
        }
        if fault!(PastDroppedAndRepairOff) {
            past = VersionVector::new();
        }
        self.batch.insert_item(dot, place, &past, payload)?;
        Ok(dot)
    }

    /// Removes everything observed beneath an encoded prefix and leaves a record in the
    /// log; where nothing lives, nothing happens.
    pub(crate) fn remove(&mut self, prefix: &Prefix) -> Result<Option<Dot>, Error> {
        let mut past = VersionVector::new();
        let mut dots = Vec::new();
        let (mut any_past, mut count) = (false, 0_usize);
        let mut from = prefix.as_bytes().to_vec();
        let to = after(&item_key(self.batch.space, prefix.as_bytes(), None));
        loop {
            let mut found: Vec<(Vec<u8>, Dot)> = Vec::new();
            self.batch.view().each_row_between(&from, &to, &mut |row| {
                let inherited = row.past()?;
                any_past |= !inherited.is_empty();
                past.join(&inherited);
                past.advance(row.dot);
                if dots.len() < RECORD_DOTS {
                    dots.push(row.dot);
                }
                found.push((row.key.to_vec(), row.dot));
                Ok(if found.len() < PASS_ROWS {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                })
            })?;
            count += found.len();
            let whole = found.len() < PASS_ROWS;
            if let Some((last, _)) = found.last() {
                from = last.get(SPACE_BYTES..).unwrap_or_default().to_vec();
            }
            for (key, dot) in found {
                self.batch.remove_item(&key, dot)?;
            }
            if whole {
                break;
            }
        }
        if count == 0 {
            return Ok(None);
        }
        if fault!(RemovalPastWidened) {
            past = past.iter().map(|(replica, seq)| (replica, Seq::new(seq.get() + 8))).collect();
            dots.clear();
        }
        let dot = self.batch.mint(self.replica)?;
        dots.sort_unstable();
        let exact = !any_past && dots.len() == count;
        let removal = if exact && dots.len() * 4 <= prefix.as_bytes().len() + 20 * past.len() {
            Removal::Dots(dots)
        } else {
            Removal::Prefix { prefix: prefix.clone(), past }
        };
        let origins = match &removal {
            Removal::Dots(_) => 1,
            Removal::Prefix { past, .. } => past.len(),
        };
        // A record of more origins than this is left to the proof.
        if origins <= limits::REMOVAL_ORIGINS && !fault!(RemovalNotLogged) {
            self.batch.log_removal(dot, &removal)?;
        }
        Ok(Some(dot))
    }
}

/// The bytes of a timestamp in front of a register's value.
pub(crate) const STAMP_BYTES: usize = 8;

/// The amount in the payload of a counter's row.
pub(crate) fn counter_amount(payload: &[u8]) -> Result<i64, StorageError> {
    let amount = fields::amount(payload).map(|(amount, _)| amount);
    amount.map_err(|e| StorageError::Corrupt {
        place: "a counter's row".to_owned(),
        reason: e.to_string(),
    })
}

/// Joins what a write replaced with what those had replaced, and keeps at most `most`
/// origins: what was replaced by this very write first, then the newest.
fn prune(
    direct: VersionVector,
    inherited: VersionVector,
    most: usize,
    keep: Option<ReplicaId>,
) -> VersionVector {
    let mut past = direct.clone();
    past.join(&inherited);
    if past.len() <= most {
        return past;
    }
    let mut entries: Vec<_> = past.iter().collect();
    entries.sort_by_key(|&(replica, seq)| {
        let first = keep == Some(replica);
        let direct = !direct.get(replica).is_zero();
        core::cmp::Reverse((first, direct, seq))
    });
    let kept = most.max(usize::from(keep.is_some_and(|own| !past.get(own).is_zero())));
    entries.into_iter().take(kept).collect()
}

/// Whether a payload is one that the kind allows; kinds of the future allow any.
pub(super) fn payload_fits(kind: Kind, payload: &[u8]) -> bool {
    fields::unknown(kind, payload).is_ok()
}
