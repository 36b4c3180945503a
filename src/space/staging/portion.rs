//! Putting the rows of a chunk, a portion at a time.

use core::ops::Range;

use crate::causal::{Dot, HybridClock, VersionVector};
use crate::codec::limits::MIB;
use crate::codec::{Kind, place};
use crate::error::Error;
use crate::faults::fault;
use crate::space::batch::{Batch, Staging};
use crate::space::chunk::{Brought, SpelledChunk, nth};
use crate::space::handles::split_stamp;
use crate::space::rows::Removal;
use crate::storage::StorageError;

/// How far ahead of the wall clock here a remote timestamp may be and still be followed,
/// in milliseconds: a day. The data is taken in any case.
const CLOCK_AHEAD_MS: u64 = 86_400_000;

/// Memory that the items of a portion take, about: pasts take twelve times what they take in a
/// chunk.
const PORTION_BYTES: usize = 2 * MIB;
const ITEM_BYTES: usize = 96;
const ENTRY_BYTES: usize = 24;

/// Where rows ahead of the vector may stand.
pub(super) enum Staged {
    /// Anywhere: another delta is being staged.
    Anywhere,
    /// Up to here: they are all of the delta that holds the place.
    UpTo(VersionVector),
}

impl Staged {
    fn may_hold(&self, dot: Dot) -> bool {
        match self {
            Self::Anywhere => true,
            Self::UpTo(staged) => staged.contains(dot),
        }
    }
}

/// Items whose rows are put together: each table in its own order, neighbours share pages.
#[derive(Default)]
struct Portion<'c> {
    items: Vec<(Dot, Range<usize>, VersionVector, &'c [u8])>,
    /// One behind the other: the next one is read where the last one was.
    places: Vec<u8>,
    bytes: usize,
}

impl<'c> Portion<'c> {
    fn push(&mut self, dot: Dot, place: &[u8], past: VersionVector, payload: &'c [u8]) {
        let from = self.places.len();
        self.places.extend_from_slice(place);
        self.bytes += place.len() + ITEM_BYTES + ENTRY_BYTES * past.len();
        self.items.push((dot, from..self.places.len(), past, payload));
    }

    fn put(&mut self, batch: &mut Batch<'_>) -> Result<(), StorageError> {
        let items = self.items.iter().map(|(dot, place, past, payload)| Staging {
            dot: *dot,
            place: self.places.get(place.clone()).unwrap_or_default(),
            past,
            payload,
        });
        batch.stage_items(items.collect())?;
        self.items.clear();
        self.places.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Puts the rows of a chunk. Under a dot that `staged` covers a row may stand already, at
/// another place even, from a peer that says otherwise; it goes first.
pub(super) fn stage(
    batch: &mut Batch<'_>,
    chunk: &SpelledChunk,
    staged: &Staged,
    clock: &mut HybridClock,
    wall_ms: u64,
) -> Result<(), Error> {
    let mut portion = Portion::default();
    let half = chunk.last.is_some() && fault!(ChunkAppliedByHalf);
    let (live, removed) = chunk.counts();
    let mut left = if half { (live + removed) / 2 } else { u64::MAX };
    chunk.each::<Error>(&mut |dot, brought| {
        if left == 0 {
            return Ok(());
        }
        left -= 1;
        match brought {
            Brought::Item { place, past, payload } => {
                if !makes_room(batch, dot, staged)? {
                    return Ok(());
                }
                if let Ok(Kind::VALUE | Kind::REGISTER | Kind::MV_REGISTER) =
                    place::leaf_kind(place)
                {
                    clock.observe(split_stamp(payload)?.0, wall_ms, CLOCK_AHEAD_MS);
                }
                portion.push(dot, place, past, payload);
                if portion.bytes >= PORTION_BYTES {
                    portion.put(batch)?;
                }
            }
            Brought::Removal(removal) => {
                if makes_room(batch, dot, staged)? {
                    batch.stage_removal(dot, &removal)?;
                }
            }
            Brought::Run { count, first } => {
                for n in 0..count {
                    if makes_room(batch, nth(dot, n), staged)? {
                        batch.stage_removal(nth(dot, n), &Removal::Dots(vec![nth(first, n)]))?;
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(portion.put(batch)?)
}

/// Whether an event is to be staged: not one that was seen. What stands in its way goes.
fn makes_room(batch: &mut Batch<'_>, dot: Dot, staged: &Staged) -> Result<bool, StorageError> {
    if dot.seq <= batch.seen(dot.replica) && !fault!(SeenEventsTakenAgain) {
        return Ok(false);
    }
    if batch.state.staged > 0 && staged.may_hold(dot) {
        batch.unstage(dot)?;
    }
    Ok(true)
}
