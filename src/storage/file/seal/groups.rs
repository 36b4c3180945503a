//! Groups of blocks, and a bounded cache of their seals.
//!
//! Which slot of the cache holds a group is given by its number, so that asking for a seal
//! costs one lock, which readers share, and no search. Two groups of one slot, 2 GiB apart,
//! drive each other out; that costs a read of 4 KiB.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use redb::StorageBackend;
use twox_hash::XxHash3_64;

use super::BLOCK_BYTES;
use super::head::HEAD_BYTES;

/// Blocks in a group, as many as seals fit in one.
pub(super) const BLOCKS: usize = BLOCK_BYTES / SEAL_BYTES;
const SEAL_BYTES: usize = 8;

/// 4 MiB of seals, taken as they are needed: those of 2 GiB. Tests have two, so that groups
/// drive each other out all the time.
const SLOTS: usize = if cfg!(test) { 2 } else { 1024 };
const SLOTS_IN_WORD: usize = 64;

/// The seal of a block at its place.
pub(in super::super) fn seal_of(block: u64, bytes: &[u8]) -> u64 {
    // Odd, so that no two numbers are mixed alike.
    let place = block.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (XxHash3_64::oneshot(bytes) ^ place).max(1)
}

/// Where a block of the engine stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) block: u64,
    pub(super) group: u64,
    /// Within the group.
    pub(super) index: usize,
}

impl Place {
    /// The first block belongs to no group.
    pub(super) fn of(block: u64) -> Option<Self> {
        let ahead = block.checked_sub(1)?;
        let (group, index) = (ahead / BLOCKS as u64, (ahead % BLOCKS as u64) as usize);
        Some(Self { block, group, index })
    }

    pub(super) const fn at_byte(self) -> u64 {
        let within = (1 + self.index as u64) * BLOCK_BYTES as u64;
        seals_at_byte(self.group).saturating_add(within)
    }

    /// Where its seal stands.
    pub(super) const fn seal_at_byte(self) -> u64 {
        seals_at_byte(self.group).saturating_add((self.index * SEAL_BYTES) as u64)
    }

    /// This one and those behind it in its group.
    pub(super) fn onwards(self) -> impl Iterator<Item = Self> {
        (self.block..).zip(self.index..BLOCKS).map(move |(block, index)| Self {
            block,
            group: self.group,
            index,
        })
    }
}

const fn seals_at_byte(group: u64) -> u64 {
    let before = group.saturating_mul((1 + BLOCKS as u64) * BLOCK_BYTES as u64);
    HEAD_BYTES.saturating_add(before)
}

/// Blocks of the file that so many of the engine need.
pub(super) const fn file_blocks(engine_blocks: u64) -> u64 {
    let grouped = engine_blocks.saturating_sub(1);
    HEAD_BYTES / BLOCK_BYTES as u64 + grouped.div_ceil(BLOCKS as u64) + grouped
}

/// Blocks of the engine for which a file of so many has room.
pub(super) const fn engine_blocks(file_blocks: u64) -> u64 {
    let Some(grouped) = file_blocks.checked_sub(HEAD_BYTES / BLOCK_BYTES as u64) else { return 0 };
    let group = 1 + BLOCKS as u64;
    1 + grouped / group * BLOCKS as u64 + (grouped % group).saturating_sub(1)
}

/// The seals of one group.
#[derive(Debug)]
pub(super) struct Seals(Vec<u8>);

impl Seals {
    /// Zero where the block was never written.
    pub(super) fn of(&self, index: usize) -> u64 {
        let seal = self.0.get(index * SEAL_BYTES..).and_then(|seals| seals.first_chunk());
        seal.map_or(0, |seal| u64::from_be_bytes(*seal))
    }

    pub(super) fn set(&mut self, index: usize, seal: u64) {
        let place = self.0.get_mut(index * SEAL_BYTES..).and_then(|seals| seals.first_chunk_mut());
        if let Some(place) = place {
            *place = seal.to_be_bytes();
        }
    }

    pub(super) fn clear_from(&mut self, index: usize) {
        self.0.get_mut(index * SEAL_BYTES..).unwrap_or_default().fill(0);
    }
}

#[derive(Debug)]
struct Slot {
    group: Option<u64>,
    /// The file has other seals.
    changed: bool,
    seals: Seals,
}

impl Slot {
    fn write(&mut self, file: &dyn StorageBackend) -> io::Result<()> {
        if let (Some(group), true) = (self.group, self.changed) {
            file.write(seals_at_byte(group), &self.seals.0)?;
        }
        self.changed = false;
        Ok(())
    }

    /// Makes the slot that of a group.
    fn turn_to(&mut self, file: &dyn StorageBackend, group: u64) -> io::Result<()> {
        if self.group == Some(group) {
            return Ok(());
        }
        self.write(file)?;
        self.group = None;
        self.seals.0.resize(BLOCK_BYTES, 0);
        file.read(seals_at_byte(group), &mut self.seals.0)?;
        self.group = Some(group);
        Ok(())
    }
}

/// The seals of all groups: those in the cache, and behind them the file.
#[derive(Debug)]
pub(super) struct Groups {
    slots: Vec<RwLock<Slot>>,
    /// A bit for each slot that may hold changed seals.
    changed: Vec<AtomicU64>,
}

impl Groups {
    pub(super) fn new() -> Self {
        let slot = || Slot { group: None, changed: false, seals: Seals(Vec::new()) };
        Self {
            slots: (0..SLOTS).map(|_| RwLock::new(slot())).collect(),
            changed: (0..SLOTS.div_ceil(SLOTS_IN_WORD)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn write_slot(slot: &RwLock<Slot>) -> RwLockWriteGuard<'_, Slot> {
        slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a group's seals, and its blocks with them: nobody changes either meanwhile.
    pub(super) fn read<T>(
        &self,
        file: &dyn StorageBackend,
        group: u64,
        look: impl FnOnce(&Seals) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(lock) = self.slots.get((group % SLOTS as u64) as usize) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let slot = lock.read().unwrap_or_else(PoisonError::into_inner);
        if slot.group == Some(group) {
            return look(&slot.seals);
        }
        drop(slot);
        let mut slot = Self::write_slot(lock);
        slot.turn_to(file, group)?;
        look(&slot.seals)
    }

    /// Changes a group's seals, and its blocks with them: nobody reads either meanwhile.
    pub(super) fn change(
        &self,
        file: &dyn StorageBackend,
        group: u64,
        change: impl FnOnce(&mut Seals) -> io::Result<()>,
    ) -> io::Result<()> {
        let number = (group % SLOTS as u64) as usize;
        let lock = self.slots.get(number).zip(self.changed.get(number / SLOTS_IN_WORD));
        let Some((lock, word)) = lock else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut slot = Self::write_slot(lock);
        slot.turn_to(file, group)?;
        change(&mut slot.seals)?;
        slot.changed = true;
        word.fetch_or(1 << (number % SLOTS_IN_WORD), Ordering::AcqRel);
        Ok(())
    }

    /// Writes all changed seals to the file.
    pub(super) fn write_changed(&self, file: &dyn StorageBackend) -> io::Result<()> {
        for (word, slots) in self.changed.iter().zip(self.slots.chunks(SLOTS_IN_WORD)) {
            let mut left = word.swap(0, Ordering::AcqRel);
            while left != 0 {
                let written = slots
                    .get(left.trailing_zeros() as usize)
                    .map_or(Ok(()), |slot| Self::write_slot(slot).write(file));
                if let Err(error) = written {
                    word.fetch_or(left, Ordering::AcqRel);
                    return Err(error);
                }
                left &= left - 1;
            }
        }
        Ok(())
    }

    /// Drops the seals of groups that a file of so many of the engine's blocks does not have.
    pub(super) fn forget_from(&self, engine_blocks: u64) {
        let groups = engine_blocks.saturating_sub(1).div_ceil(BLOCKS as u64);
        for slot in &self.slots {
            let mut slot = Self::write_slot(slot);
            if slot.group.is_some_and(|group| group >= groups) {
                slot.group = None;
                slot.changed = false;
            }
        }
    }
}
