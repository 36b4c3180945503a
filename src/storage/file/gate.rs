//! Between the engine and the file: a visit that only reads leaves the file untouched.
//!
//! The engine marks a file as in use when it opens it, and commits when it closes it, even
//! where nothing was asked to be written. That would cost each visit several syncs, and
//! would change a file that turns out not to be a store at all. So the gate starts
//! *holding*: what the engine writes stays in memory, over what it reads. The store's first
//! write opens the gate, and from then on everything passes. After a failure the gate is
//! *shut*: reads pass, and nothing is written any more, so that what the engine still tries
//! to write cannot spoil the last good commit.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};

const HOLDING: u8 = 0;
const OPEN: u8 = 1;
const SHUT: u8 = 2;

const BLOCK_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Gate {
    file: Box<dyn StorageBackend>,
    state: AtomicU8,
    held: RwLock<Held>,
}

/// What the file would be.
#[derive(Debug)]
struct Held {
    len_bytes: u64,
    /// What of the file still counts: it was never cut below this.
    kept_bytes: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

impl Gate {
    pub(super) fn new(file: Box<dyn StorageBackend>) -> io::Result<Arc<Self>> {
        let len_bytes = file.len()?;
        let held = Held { len_bytes, kept_bytes: len_bytes, blocks: BTreeMap::new() };
        Ok(Arc::new(Self { file, state: AtomicU8::new(HOLDING), held: RwLock::new(held) }))
    }

    /// Writes down what was held, and lets everything pass from now on.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut held = self.write_held();
        if self.state() != HOLDING {
            return Ok(());
        }
        let file_bytes = self.file.len()?;
        if !held.blocks.is_empty() || file_bytes != held.len_bytes {
            if held.kept_bytes < file_bytes {
                self.file.set_len(held.kept_bytes)?;
            }
            self.file.set_len(held.len_bytes)?;
            // The first block names the others, so it goes last.
            for (&block, bytes) in held.blocks.iter().rev() {
                if block == 0 {
                    self.file.sync_data()?;
                }
                let at = block * BLOCK_BYTES as u64;
                let upto = (held.len_bytes - at.min(held.len_bytes)).min(BLOCK_BYTES as u64);
                self.file.write(at, bytes.get(..upto as usize).unwrap_or_default())?;
            }
            self.file.sync_data()?;
            held.blocks.clear();
        }
        self.state.store(OPEN, Ordering::Release);
        Ok(())
    }

    /// Lets nothing be written from now on; what is held stays readable.
    pub(super) fn shut(&self) {
        let _ = self.state.compare_exchange(OPEN, SHUT, Ordering::AcqRel, Ordering::Acquire);
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    fn read_held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_held(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where everything passes, `None`; where it is shut, an error.
    fn holding(&self) -> io::Result<Option<RwLockWriteGuard<'_, Held>>> {
        match self.state() {
            HOLDING => {
                let held = self.write_held();
                Ok((self.state() == HOLDING).then_some(held))
            }
            OPEN => Ok(None),
            _ => Err(io::Error::other("the store failed earlier; nothing is written any more")),
        }
    }
}

/// The blocks from `offset` on for `len` bytes: number, range within the block, range within
/// the `len` bytes.
fn blocks(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, core::ops::Range<usize>, core::ops::Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK_BYTES as u64) as usize;
        let count = (BLOCK_BYTES - within).min(len - done);
        let piece = (at / BLOCK_BYTES as u64, within..within + count, done..done + count);
        done += count;
        Some(piece)
    })
}

impl Held {
    fn read(&self, file: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.len_bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let in_file = self.kept_bytes.saturating_sub(offset).min(out.len() as u64) as usize;
        let (old, zeros) = out.split_at_mut(in_file);
        if !old.is_empty() {
            file.read(offset, old)?;
        }
        zeros.fill(0);
        if self.blocks.is_empty() {
            return Ok(());
        }
        for (block, within, place) in blocks(offset, out.len()) {
            let held = self.blocks.get(&block).and_then(|bytes| bytes.get(within));
            if let Some((held, out)) = held.zip(out.get_mut(place)) {
                out.copy_from_slice(held);
            }
        }
        Ok(())
    }

    fn write(&mut self, file: &dyn StorageBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        self.len_bytes = self.len_bytes.max(offset.saturating_add(data.len() as u64));
        for (block, within, place) in blocks(offset, data.len()) {
            if !self.blocks.contains_key(&block) {
                let mut bytes = Box::new([0; BLOCK_BYTES]);
                let at = block * BLOCK_BYTES as u64;
                let there = (self.len_bytes - at.min(self.len_bytes)).min(BLOCK_BYTES as u64);
                if let Some(out) = bytes.get_mut(..there as usize) {
                    self.read(file, at, out)?;
                }
                self.blocks.insert(block, bytes);
            }
            let held = self.blocks.get_mut(&block).and_then(|bytes| bytes.get_mut(within));
            if let Some((held, data)) = held.zip(data.get(place)) {
                held.copy_from_slice(data);
            }
        }
        Ok(())
    }

    fn set_len(&mut self, len_bytes: u64) {
        self.len_bytes = len_bytes;
        self.kept_bytes = self.kept_bytes.min(len_bytes);
        self.blocks.retain(|&block, bytes| {
            let kept = len_bytes.saturating_sub(block * BLOCK_BYTES as u64);
            if let Some(cut) = bytes.get_mut(kept.min(BLOCK_BYTES as u64) as usize..) {
                cut.fill(0);
            }
            kept > 0
        });
    }
}

/// The engine's end of a gate.
#[derive(Debug)]
pub(super) struct Gated(pub(super) Arc<Gate>);

impl StorageBackend for Gated {
    fn len(&self) -> io::Result<u64> {
        if self.0.state() == HOLDING {
            let held = self.0.read_held();
            if self.0.state() == HOLDING {
                return Ok(held.len_bytes);
            }
        }
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.state() == HOLDING {
            let held = self.0.read_held();
            if self.0.state() == HOLDING {
                return held.read(&*self.0.file, offset, out);
            }
        }
        self.0.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match self.0.holding()? {
            Some(mut held) => {
                held.set_len(len);
                Ok(())
            }
            None => self.0.file.set_len(len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.0.holding()? {
            Some(_) => Ok(()),
            None => self.0.file.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.0.holding()? {
            Some(mut held) => held.write(&*self.0.file, offset, data),
            None => self.0.file.write(offset, data),
        }
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }

    // The lock that counts is on the identity file. The engine's own, on the data file, is a
    // second one for the case that somebody deletes the identity file of an open store.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::QuickCheck;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn bytes(file: &dyn StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    /// Writes and changes of length through a gate, against the same on a plain file.
    fn passes(before: Vec<u8>, calls: Vec<(bool, u16, Vec<u8>)>) {
        let plain = InMemoryBackend::new();
        let file = InMemoryBackend::new();
        for file in [&plain, &file] {
            file.set_len(9000).unwrap();
            file.write(4000, &before).unwrap();
        }
        let untouched = bytes(&file);
        let gate = Gate::new(Box::new(file)).unwrap();
        let gated = Gated(gate.clone());
        for (write, at, data) in &calls {
            let at = u64::from(*at) % 20_000;
            if *write {
                let end = at + data.len() as u64;
                for file in [&plain as &dyn StorageBackend, &gated] {
                    file.set_len(file.len().unwrap().max(end)).unwrap();
                    file.write(at, data).unwrap();
                }
            } else {
                plain.set_len(at).unwrap();
                gated.set_len(at).unwrap();
            }
            assert!(bytes(&gated) == bytes(&plain));
            assert!(bytes(&*gate.file) == untouched);
        }
        gate.open().unwrap();
        assert!(bytes(&*gate.file) == bytes(&plain));
        gated.set_len(1).unwrap();
        gate.shut();
        assert!(gated.write(0, &[1]).is_err());
        assert!(gated.set_len(0).is_err());
        assert!(gated.sync_data().is_err());
        assert_eq!(bytes(&gated).len(), 1);
    }

    #[test]
    fn what_is_held_reads_as_written_and_arrives_when_the_gate_opens() {
        QuickCheck::new().quickcheck(passes as fn(Vec<u8>, Vec<(bool, u16, Vec<u8>)>));
    }
}
