//! The engine's first block, kept in two pairs of copies.
//!
//! ```text
//! pair (seq even) ‖ pair (seq odd)
//! pair := copy ‖ copy                          alike, 4096 bytes each
//! copy := "rejoin" 1a 0a ‖ version (8) ‖ seq (8) ‖ start of the engine's first block (480)
//!         ‖ XXH3 of these 504 bytes (8) ‖ start of the page with the engine's list of tables (3584)
//! ```
//! Numbers are highest byte first. The engine uses 320 bytes of its first block.
//!
//! # The list of tables
//! One page leads to all tables; damaged, it would take everything with it. So a copy of it stands
//! behind each copy of the first block, for whoever recovers the file: nobody else reads it. The
//! engine's hash of it is in the first block, so that it needs none of its own. Where the page could
//! not be read, or is longer than there is room, it is not there.
//!
//! # Why four
//! Each sync that changes the block writes one pair, in turn, with the next seq. What counts
//! is the greatest seq in any sound copy. A cut while a pair is being written leaves the other
//! pair, as it was synced before. But with one copy in place of a pair, decay of the newest
//! could not be told from such a cut, and the store would silently go back by one state. So
//! there are two: one bit flipped spoils one of them, and the other says the same.

use std::io;

use twox_hash::XxHash3_64;

use super::BLOCK_BYTES;
use crate::storage::file::first::Commit;

/// Bytes that the copies take at the start of the file.
pub(in super::super) const HEAD_BYTES: u64 = 4 * BLOCK_BYTES as u64;

const MAGIC: [u8; 8] = *b"rejoin\x1a\n";
/// The newest layout of the file that this version reads, and the one it writes.
const VERSION: u64 = 1;
const KEPT_BYTES: usize = 480;
const CHECKED_BYTES: usize = 24 + KEPT_BYTES;
const LIST_AT: usize = CHECKED_BYTES + 8;

/// The engine's byte that says which of two commits counts, and how it was made.
const STATE_BYTE: usize = 9;
const COUNTS_BIT: u8 = 1;
const TWO_PHASES_BIT: u8 = 4;

/// Why the first block of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Unreadable {
    #[error("its first bytes are something else's")]
    Foreign,
    #[error("layout {found} of the file, this version reads up to {known}")]
    Newer { known: u64, found: u64 },
    #[error("none of the four copies of the first block is there and sound")]
    Damaged,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether a file that starts so has a copy with the mark of a store.
pub(in super::super) fn has_magic(start: &[u8]) -> bool {
    start.chunks(BLOCK_BYTES).any(|copy| copy.starts_with(&MAGIC))
}

/// What the copies at the start of a damaged file keep of the engine's first block, and of its
/// list of tables: the sound ones first, the newest of them first.
pub(in super::super) fn heads(start: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for copy in start.chunks(BLOCK_BYTES) {
        let Some(kept) = copy.get(CHECKED_BYTES - KEPT_BYTES..CHECKED_BYTES) else { continue };
        let mut list = copy.get(LIST_AT..).unwrap_or_default().to_vec();
        list.resize(BLOCK_BYTES, 0);
        all.push((sound(copy).map(|(_, seq, _)| seq), kept.to_vec(), list));
    }
    all.sort_by_key(|(seq, ..)| core::cmp::Reverse(*seq));
    all.into_iter().map(|(_, kept, list)| (kept, list)).collect()
}

/// Whether one of the two pairs was written and has no sound copy any more, so that the newest
/// commit may have been there. A cut while a pair was being written looks the same.
pub(in super::super) fn is_pair_lost(start: &[u8]) -> bool {
    let pair = |n: u64| {
        let at = n as usize * 2 * BLOCK_BYTES;
        let bytes = start.get(at..).unwrap_or_default();
        let bytes = bytes.get(..2 * BLOCK_BYTES).unwrap_or(bytes);
        let seqs = bytes.chunks(BLOCK_BYTES).filter_map(|copy| sound(copy).map(|(_, seq, _)| seq));
        let newest = seqs.filter(|seq| seq % 2 == n).max();
        (newest, bytes.iter().any(|byte| *byte != 0))
    };
    let pairs = [pair(0), pair(1)];
    let newest = pairs.iter().filter_map(|(seq, _)| *seq).max();
    // The first sync writes one pair, the second the other.
    let written = newest.is_some_and(|seq| seq > 1);
    pairs.iter().any(|(seq, there)| seq.is_none() && (written || *there))
}

/// The first block as the engine sees it.
#[derive(Debug)]
pub(super) struct Head {
    /// Of the pair that was written last.
    seq: u64,
    kept: [u8; KEPT_BYTES],
    /// What the file has for certain.
    on_disk: [u8; KEPT_BYTES],
}

impl Head {
    /// The newest sound copy at the start of a file; of an empty one, zeros.
    pub(super) fn read(start: &[u8]) -> Result<Self, Unreadable> {
        let mut newest = Self { seq: 0, kept: [0; KEPT_BYTES], on_disk: [0; KEPT_BYTES] };
        if start.is_empty() {
            return Ok(newest);
        }
        // Nothing else tells a file that was cut here from one that is being made.
        if has_magic(start) && start.len() as u64 != HEAD_BYTES {
            return Err(Unreadable::Damaged);
        }
        let mut newer = None;
        for (place, copy) in (0..).zip(start.chunks(BLOCK_BYTES)) {
            let Some((version, seq, kept)) = sound(copy) else { continue };
            if version > VERSION {
                newer = Some(version);
            } else if seq % 2 == place / 2 && seq > newest.seq {
                newest = Self { seq, kept, on_disk: kept };
            }
        }
        match newer {
            Some(found) => Err(Unreadable::Newer { known: VERSION, found }),
            None if newest.seq > 0 => Ok(newest),
            None if has_magic(start) => Err(Unreadable::Damaged),
            None => Err(Unreadable::Foreign),
        }
    }

    pub(super) fn get(&self, from: usize, out: &mut [u8]) {
        let kept = self.kept.get(from..).unwrap_or_default();
        let count = kept.len().min(out.len());
        let (known, zeros) = out.split_at_mut(count);
        known.copy_from_slice(kept.get(..count).unwrap_or_default());
        zeros.fill(0);
    }

    pub(super) fn put(&mut self, from: usize, data: &[u8]) -> io::Result<()> {
        let count = KEPT_BYTES.saturating_sub(from).min(data.len());
        let (kept, beyond) = data.split_at(count);
        if beyond.iter().any(|&byte| byte != 0) {
            let why = "the engine's first block holds more than the store keeps of it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if let Some(place) = self.kept.get_mut(from..from + count) {
            place.copy_from_slice(kept);
        }
        Ok(())
    }

    pub(super) fn is_changed(&self) -> bool {
        self.kept != self.on_disk
    }

    /// Whether what is there may name pages that were not synced before. It does not where the
    /// same commit counts as on the disk, and was made in two phases: then the engine does not
    /// look at the other one named there.
    pub(super) fn goes_last(&self) -> bool {
        let state = |bytes: &[u8; KEPT_BYTES]| bytes.get(STATE_BYTE).copied().unwrap_or_default();
        let (before, now) = (state(&self.on_disk), state(&self.kept));
        before & TWO_PHASES_BIT == 0 || (before ^ now) & COUNTS_BIT != 0
    }

    /// The commit that counts.
    pub(super) fn commit(&self) -> Option<Commit> {
        Commit::all(&self.kept).into_iter().next()
    }

    /// The next pair, and where it belongs, with the page of the list of tables.
    pub(super) fn copies(&self, list: &[u8]) -> (u64, Vec<u8>) {
        let seq = self.seq + 1;
        let mut copy = Vec::with_capacity(2 * BLOCK_BYTES);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&VERSION.to_be_bytes());
        copy.extend_from_slice(&seq.to_be_bytes());
        copy.extend_from_slice(&self.kept);
        copy.extend_from_slice(&XxHash3_64::oneshot(&copy).to_be_bytes());
        copy.extend_from_slice(list.get(..BLOCK_BYTES - LIST_AT).unwrap_or_default());
        copy.resize(BLOCK_BYTES, 0);
        copy.extend_from_within(..);
        (seq % 2 * 2 * BLOCK_BYTES as u64, copy)
    }

    /// The pair is on the disk.
    pub(super) const fn synced(&mut self) {
        self.seq += 1;
        self.on_disk = self.kept;
    }
}

/// Version, seq and what is kept, of a copy that matches its checksum.
fn sound(copy: &[u8]) -> Option<(u64, u64, [u8; KEPT_BYTES])> {
    let (checked, rest) = copy.split_at_checked(CHECKED_BYTES)?;
    let seal = u64::from_be_bytes(*rest.first_chunk()?);
    if seal != XxHash3_64::oneshot(checked) {
        return None;
    }
    let (version, checked) = checked.strip_prefix(&MAGIC)?.split_first_chunk()?;
    let (seq, kept) = checked.split_first_chunk()?;
    Some((u64::from_be_bytes(*version), u64::from_be_bytes(*seq), kept.try_into().ok()?))
}
