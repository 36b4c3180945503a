//! Sealed blocks: beneath the engine, a checksum for each 4 KiB of the file, verified
//! whenever it is read.
//!
//! The engine trusts what it reads: one flipped bit in its file gives wrong rows, or hides
//! some, and only a pass over everything would notice. A checksum in each row does not help,
//! since a damaged page above it loses the row. So each block that the engine writes gets a
//! *seal*, and a block that does not match its seal is an error which names it.
//!
//! # Layout
//! ```text
//! file  := first block, four copies (4 × 4096) ‖ group ‖ group …
//! group := 512 seals (4096) ‖ up to 512 blocks
//! ```
//! A seal is 8 bytes, highest first: XXH3 of the block, mixed with the block's number, so
//! that a block written at the place of another is noticed together with its seal too. Zero
//! is the seal of a block that was never written; the engine reads none of these, so reading
//! one is an error: stretches that a file system gives back as zeros are noticed as well. The
//! hash is not a cryptographic one: seals guard against decay, not against malice.
//!
//! # When seals are written
//! Into memory with the block, and to the file before each sync (or earlier, where the cache
//! needs the room). So a power cut can leave a block and its seal of different ages. That
//! does no harm. The engine never changes a block that its last commit refers to: it writes
//! elsewhere, syncs, and then the first block names what it wrote. A block whose seal is torn
//! from it was therefore written after the last commit and belongs to none, and the engine
//! writes such a block whole before it reads it. The seals of its neighbours, in the same
//! block of seals, are written again with the bytes they had, so it does not matter which of
//! its sectors arrive. Assumed of the disk: a sector of 512 bytes that is written with
//! other bytes is old or new afterwards, and one written with the same bytes stays the same.
//!
//! One kind of the engine's commits needs help with this. In one *phase* (compaction makes
//! such) it names pages in the same sync that writes them, and after a crash looks at them to
//! see whether they arrived. Here it would find blocks that do not match, which is an
//! error and not an answer. So where the first block goes over to another commit, it goes to
//! the file after a sync of all else: see `Head::goes_last`.
//!
//! # The first block
//! The engine rewrites its first block in place. Checksums of its own cover the two commits
//! named there, but not the bit that tells which of them counts: flipped, it shows the commit
//! before the last, whose pages may hold other rows by now. So `head` keeps the block in two
//! pairs of copies, each with a number and a checksum, and writes the pairs in turn.
//!
//! # What it does not notice
//! A disk that takes a block and its seal and keeps the old ones of both: they match. The
//! engine's own integrity check notices.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

mod groups;
mod head;
#[cfg(test)]
mod tests;

pub(super) use groups::seal_of;
use groups::{BLOCKS, Groups, Place};
use head::Head;
pub(super) use head::{HEAD_BYTES, Unreadable, has_magic, heads, is_pair_lost};

pub(super) const BLOCK_BYTES: usize = 4096;

/// Where in the file a block of the engine's stands, and its seal; the first one has none.
pub(super) fn located(block: u64) -> Option<(u64, u64)> {
    Place::of(block).map(|place| (place.at_byte(), place.seal_at_byte()))
}

/// A block that is not what was written there.
#[derive(Debug, thiserror::Error)]
#[error("block {block}, at byte {at_byte}: {reason}")]
pub(super) struct Damage {
    /// The engine's number of the block.
    pub(super) block: u64,
    /// Where in the file it starts.
    pub(super) at_byte: u64,
    pub(super) reason: &'static str,
}

impl Damage {
    fn error(place: Place, reason: &'static str) -> io::Error {
        let damage = Self { block: place.block, at_byte: place.at_byte(), reason };
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }
}

/// A file of sealed blocks, which to the engine looks like one without seals.
#[derive(Debug)]
pub(super) struct Sealed {
    file: Arc<dyn StorageBackend>,
    head: Mutex<Head>,
    groups: Groups,
    /// Something but the first block was written since the last sync.
    unsynced: AtomicBool,
}

impl Sealed {
    /// Reads the first block; an empty file is a new one.
    pub(super) fn open(file: Arc<dyn StorageBackend>) -> Result<Self, Unreadable> {
        let mut start = vec![0; file.len()?.min(HEAD_BYTES) as usize];
        file.read(0, &mut start)?;
        let head = Mutex::new(Head::read(&start)?);
        Ok(Self { file, head, groups: Groups::new(), unsynced: AtomicBool::new(false) })
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads whole blocks of one group and verifies them.
    fn read_blocks(&self, place: Place, out: &mut [u8]) -> io::Result<()> {
        let read = self.groups.read(&*self.file, place.group, |seals| {
            self.file.read(place.at_byte(), out)?;
            for (block, place) in out.chunks_exact(BLOCK_BYTES).zip(place.onwards()) {
                match seals.of(place.index) {
                    0 => return Err(Damage::error(place, "it was never written")),
                    seal if seal != seal_of(place.block, block) => {
                        return Err(Damage::error(place, "it and its seal do not match"));
                    }
                    _ => {}
                }
            }
            Ok(())
        });
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::error(place, "the file ends before it"),
            _ => error,
        })
    }

    /// Writes whole blocks of one group and their seals.
    fn write_blocks(&self, place: Place, data: &[u8]) -> io::Result<()> {
        self.groups.change(&*self.file, place.group, |seals| {
            self.file.write(place.at_byte(), data)?;
            for (block, place) in data.chunks_exact(BLOCK_BYTES).zip(place.onwards()) {
                seals.set(place.index, seal_of(place.block, block));
            }
            Ok(())
        })
    }

    fn sync(&self, unsynced: bool) -> io::Result<()> {
        self.groups.write_changed(&*self.file)?;
        let mut head = self.head();
        if !head.is_changed() {
            return self.file.sync_data();
        }
        if unsynced && head.goes_last() {
            self.file.sync_data()?;
        }
        // For the day on which it is damaged: that it cannot be had now is no failure.
        let list = head.commit().and_then(|commit| commit.list(self));
        let (at_byte, copies) = head.copies(&list.unwrap_or_default());
        self.file.write(at_byte, &copies)?;
        self.file.sync_data()?;
        head.synced();
        Ok(())
    }

    /// What a block holds that is to be written in part.
    fn before_change(&self, place: Place) -> io::Result<[u8; BLOCK_BYTES]> {
        let mut block = [0; BLOCK_BYTES];
        let written =
            self.groups.read(&*self.file, place.group, |seals| Ok(seals.of(place.index) != 0))?;
        if written {
            self.read_blocks(place, &mut block)?;
        }
        Ok(block)
    }
}

/// A stretch of one call: within the first block, whole blocks of one group, or part of one.
enum Stretch {
    First { from: usize },
    Whole(Place),
    Part { place: Place, from: usize },
}

/// The next stretch of a call that goes on at `at_byte` for `rest_bytes`, and its length.
fn stretch(at_byte: u64, rest_bytes: usize) -> (Stretch, usize) {
    let block = at_byte / BLOCK_BYTES as u64;
    let from = (at_byte % BLOCK_BYTES as u64) as usize;
    let in_block = (BLOCK_BYTES - from).min(rest_bytes);
    match Place::of(block) {
        None => (Stretch::First { from }, in_block),
        Some(place) if in_block < BLOCK_BYTES => (Stretch::Part { place, from }, in_block),
        Some(place) => {
            let count = (rest_bytes / BLOCK_BYTES).min(BLOCKS - place.index);
            (Stretch::Whole(place), count * BLOCK_BYTES)
        }
    }
}

impl StorageBackend for Sealed {
    fn len(&self) -> io::Result<u64> {
        let file_blocks = self.file.len()? / BLOCK_BYTES as u64;
        Ok(groups::engine_blocks(file_blocks) * BLOCK_BYTES as u64)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let mut at_byte = offset;
        while !out.is_empty() {
            let (stretch, bytes) = stretch(at_byte, out.len());
            let Some((now, rest)) = out.split_at_mut_checked(bytes) else { break };
            match stretch {
                Stretch::First { from } => self.head().get(from, now),
                Stretch::Whole(place) => self.read_blocks(place, now)?,
                Stretch::Part { place, from } => {
                    let mut block = [0; BLOCK_BYTES];
                    self.read_blocks(place, &mut block)?;
                    if let Some(part) = block.get(from..from + bytes) {
                        now.copy_from_slice(part);
                    }
                }
            }
            at_byte += bytes as u64;
            out = rest;
        }
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut at_byte = offset;
        while !data.is_empty() {
            let (stretch, bytes) = stretch(at_byte, data.len());
            let Some((now, rest)) = data.split_at_checked(bytes) else { break };
            if let Stretch::First { from } = stretch {
                self.head().put(from, now)?;
            } else {
                self.unsynced.store(true, Ordering::Release);
            }
            match stretch {
                Stretch::First { .. } => {}
                Stretch::Whole(place) => self.write_blocks(place, now)?,
                Stretch::Part { place, from } => {
                    let mut block = self.before_change(place)?;
                    if let Some(part) = block.get_mut(from..from + bytes) {
                        part.copy_from_slice(now);
                    }
                    self.write_blocks(place, &block)?;
                }
            }
            at_byte += bytes as u64;
            data = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why.to_owned()));
        if !len.is_multiple_of(BLOCK_BYTES as u64) || len == 0 {
            return refused("a sealed file holds whole blocks, and at least one");
        }
        let (old, new) = (self.len()? / BLOCK_BYTES as u64, len / BLOCK_BYTES as u64);
        self.unsynced.store(true, Ordering::Release);
        // Blocks that are cut off and come back later come back as never written: those of
        // whole groups with their seals, and the others by hand.
        self.groups.forget_from(new);
        self.file.set_len(groups::file_blocks(new) * BLOCK_BYTES as u64)?;
        match Place::of(old) {
            Some(end) if old < new && end.index > 0 => {
                self.groups.change(&*self.file, end.group, |seals| {
                    seals.clear_from(end.index);
                    Ok(())
                })
            }
            _ => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let unsynced = self.unsynced.swap(false, Ordering::AcqRel);
        let synced = self.sync(unsynced);
        if synced.is_err() {
            self.unsynced.store(true, Ordering::Release);
        }
        synced
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
