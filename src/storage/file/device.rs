//! A disk in memory that loses its power: it keeps what was synced, and of the rest what it
//! likes.
//!
//! Each sector written since the last sync ends with any of the contents it had meanwhile,
//! each by itself, and so does the length.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// Draws a number below the one given.
pub(crate) type Dice<'a> = &'a mut dyn FnMut(usize) -> usize;

/// What a disk does instead of what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The power goes with this call.
    #[cfg_attr(not(test), allow(dead_code, reason = "a world cuts at syncs"))]
    NoPower,
    /// The power goes with this call, or with the first sync after it: the moment at which
    /// most is on its way.
    NoPowerAtSync,
    /// A sync fails; what was written since the last one may be lost.
    NoSync,
    /// Nothing more can be written.
    Full,
    /// A read fails.
    NoRead,
}

#[derive(Debug, Default)]
struct Medium {
    bytes: Vec<u8>,
    /// What stood there at the last sync, of sectors written since, and what came over it.
    since: BTreeMap<usize, Vec<Sector>>,
    /// The lengths since the last sync, the one of then first.
    lens: Vec<usize>,
    /// Calls of the kind concerned until the failure.
    failing: Option<(usize, Failure)>,
    gone: bool,
    /// Handles given out; only the newest has power.
    handles: u64,
    failed: bool,
    /// Whether it says of most syncs that they are done when they are not, and how many
    /// there were.
    lies: bool,
    syncs: u64,
}

/// Of so many syncs a disk that lies does one.
pub(crate) const TRUE_SYNCS: u64 = 4;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device(Arc<Mutex<Medium>>);

impl Device {
    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk that holds these bytes, synced.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Medium { bytes, ..Medium::default() })))
    }

    /// How many bytes it has.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.medium().bytes.len()
    }

    /// All bytes as they are read.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.medium().bytes.clone()
    }

    /// Lets the disk fail after so many calls that it could fail at.
    pub(crate) fn fail_after(&self, calls: usize, failure: Failure) {
        self.medium().failing = Some((calls, failure));
    }

    /// Lets the failure that is to come come within so many calls.
    #[cfg(test)]
    pub(crate) fn fail_within(&self, most: usize) {
        if let Some((calls, _)) = &mut self.medium().failing {
            *calls = most.min(*calls);
        }
    }

    /// The disk works again. Whether it had failed.
    pub(crate) fn mend(&self) -> bool {
        let mut medium = self.medium();
        medium.failing = None;
        core::mem::take(&mut medium.failed)
    }

    /// From now on most syncs are none.
    #[cfg(feature = "sim")]
    pub(crate) fn lie(&self) {
        self.medium().lies = true;
    }

    /// Whether a failure is to come.
    pub(crate) fn may_fail(&self) -> bool {
        self.medium().failing.is_some()
    }

    /// Whether it has failed since it was mended.
    pub(crate) fn has_failed(&self) -> bool {
        self.medium().failed
    }

    /// Whether the power is gone.
    pub(crate) fn is_off(&self) -> bool {
        self.medium().gone
    }

    /// No handle given out so far reads or writes anything more.
    pub(crate) fn power_off(&self) {
        self.medium().gone = true;
    }

    /// The power goes, and comes back: what is found then.
    pub(crate) fn lose_unsynced(&self, dice: Dice<'_>) {
        let medium = &mut *self.medium();
        medium.gone = true;
        let now = medium.bytes.len();
        let len = match medium.lens.len() {
            0 => now,
            lens => medium.lens.get(dice(lens)).copied().unwrap_or(now),
        };
        medium.bytes.resize(now.max(len), 0);
        // Some cuts lose nearly all, some nearly nothing.
        let arrives = dice(101);
        for (sector, contents) in core::mem::take(&mut medium.since) {
            let which = if dice(100) < arrives { dice(contents.len()) } else { 0 };
            let start = sector * SECTOR_BYTES;
            let place = medium.bytes.get_mut(start..start + SECTOR_BYTES);
            if let (Some(place), Some(content)) = (place, contents.get(which)) {
                place.copy_from_slice(content);
            }
        }
        medium.bytes.resize(len, 0);
        medium.lens.clear();
    }

    /// Turns over a bit.
    pub(crate) fn flip(&self, byte: usize, bit: u8) {
        if let Some(byte) = self.medium().bytes.get_mut(byte) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// What a store is opened on. Those handed out before have no power any more.
    pub(crate) fn handle(&self) -> Arc<dyn StorageBackend> {
        let mut medium = self.medium();
        medium.gone = false;
        medium.handles += 1;
        Arc::new(Handle { device: self.clone(), number: medium.handles })
    }
}

impl Medium {
    /// Counts a call towards the failure that is to come; what fails then.
    fn call(&mut self, fails: impl Fn(Failure) -> bool) -> io::Result<()> {
        let Some((calls, failure)) = &mut self.failing else { return Ok(()) };
        if *calls > 0 {
            // A power cut that waits for a sync counts every call before.
            let counts = fails(*failure) || *failure == Failure::NoPowerAtSync;
            *calls -= usize::from(counts);
            return Ok(());
        }
        if !fails(*failure) {
            return Ok(());
        }
        self.failed = true;
        Err(match failure {
            Failure::NoPower | Failure::NoPowerAtSync => {
                self.gone = true;
                io::Error::other("no power")
            }
            Failure::NoSync => io::Error::other("the disk forgot it"),
            Failure::Full => io::ErrorKind::StorageFull.into(),
            Failure::NoRead => io::Error::other("the cable is loose"),
        })
    }

    /// Notes what stands in a sector before it is written for the first time since a sync.
    fn keep(&mut self, sector: usize) -> &mut Vec<Sector> {
        let bytes = &self.bytes;
        self.since.entry(sector).or_insert_with(|| {
            let mut content = [0; SECTOR_BYTES];
            let from = bytes.get(sector * SECTOR_BYTES..).unwrap_or_default();
            content.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            vec![content]
        })
    }

    fn keep_len(&mut self) {
        if self.lens.is_empty() {
            self.lens.push(self.bytes.len());
        }
    }
}

#[derive(Debug)]
struct Handle {
    device: Device,
    number: u64,
}

impl Handle {
    fn powered(&self) -> io::Result<MutexGuard<'_, Medium>> {
        let medium = self.device.medium();
        match medium.gone || medium.handles != self.number {
            true => Err(io::Error::other("no power")),
            false => Ok(medium),
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.powered()?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut medium = self.powered()?;
        medium.call(|failure| failure == Failure::NoRead)?;
        let from = medium.bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut medium = self.powered()?;
        medium.call(|failure| matches!(failure, Failure::NoPower | Failure::Full))?;
        medium.keep_len();
        let (len, before) = (len as usize, medium.bytes.len());
        for sector in len / SECTOR_BYTES..before / SECTOR_BYTES {
            medium.keep(sector).push([0; SECTOR_BYTES]);
        }
        medium.lens.push(len);
        medium.bytes.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut medium = self.powered()?;
        medium.call(|failure| !matches!(failure, Failure::Full | Failure::NoRead))?;
        medium.syncs += 1;
        if medium.lies && !medium.syncs.is_multiple_of(TRUE_SYNCS) {
            return Ok(());
        }
        medium.since.clear();
        medium.lens.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut medium = self.powered()?;
        medium.call(|failure| matches!(failure, Failure::NoPower | Failure::Full))?;
        let offset = offset as usize;
        let end = offset + data.len();
        medium.keep_len();
        if end > medium.bytes.len() {
            medium.bytes.resize(end, 0);
            medium.lens.push(end);
        }
        let sectors = offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
        for sector in sectors.clone() {
            medium.keep(sector);
        }
        if let Some(place) = medium.bytes.get_mut(offset..end) {
            place.copy_from_slice(data);
        }
        for sector in sectors {
            let mut content = [0; SECTOR_BYTES];
            let from = medium.bytes.get(sector * SECTOR_BYTES..).unwrap_or_default();
            content.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            medium.keep(sector).push(content);
        }
        Ok(())
    }
}
