//! Disks that fail, for worlds and for tests of applications.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use crate::causal::ReplicaId;
use crate::faults::fault;
use crate::storage::device::{Device, Failure, TRUE_SYNCS};
use crate::storage::{
    Changes, Durability, Entropy, FileOptions, Identity, MemoryStorage, Read, ReadSnapshot,
    RedbStorage, Storage, StorageError, Verdict, Write,
};

/// What a disk does instead of what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The power goes with a sync. What was not synced, that commit too, is there or lost
    /// when it comes back: commits in the order in which they were made.
    PowerCut,
    /// A sync fails. As after a power cut, but that the store can still be read.
    FailedSync,
    /// Nothing more can be written.
    Full,
    /// A read fails.
    FailedRead,
}

/// A disk with one store on it, which fails as it is told: what is beneath the replicas of a
/// world. Clones are the same disk, and it outlives the stores opened on it.
///
/// ```
/// use rejoin::sim::{Disk, Random, Trouble};
/// use rejoin::{Options, Store};
///
/// let (disk, mut random) = (Disk::in_memory(), Random::new(1));
/// let mut open = || Store::on(disk.open(&mut |bytes| random.fill(bytes))?, Options::default());
///
/// let store = open()?;
/// store.space("main")?.counter("n").add(1)?; // acknowledged: it is on disk
/// disk.fail_after(0, Trouble::FailedSync);
/// store.space("main")?.counter("n").add(1).unwrap_err();
/// store.space("main")?.counter("n").add(1).unwrap_err(); // it never claims success again
/// drop(store);
///
/// disk.power_cut(&mut Random::new(2));
/// let n = open()?.space("main")?.counter("n").get()?;
/// assert!(n == 1 || n == 2); // the write that failed is there, or it is not
/// # Ok::<(), rejoin::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Disk {
    kind: Kind,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
enum Kind {
    Tables(Arc<Tables>),
    Blocks(Device),
}

/// All that a disk held at one moment.
#[derive(Clone, Debug)]
pub struct Image {
    held: Held,
    /// The name of the store on it, once it was opened.
    replica: Option<ReplicaId>,
}

#[derive(Clone, Debug)]
enum Held {
    Tables(MemoryStorage),
    Blocks(Vec<u8>),
}

#[derive(Debug, Default)]
struct State {
    /// The name under which the store writes, once it was opened.
    replica: Option<ReplicaId>,
    /// Whether what it holds was copied from elsewhere, or put back.
    copied: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// A disk of tables in memory: whole commits, in their order, are what is kept or lost.
    /// Fast.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { kind: Kind::Tables(Arc::default()), state: Arc::default() }
    }

    /// A disk of blocks, with the engine above it that files are kept by: what is kept or
    /// lost of what was not synced is sectors, each by itself.
    #[must_use]
    pub fn of_blocks() -> Self {
        Self { kind: Kind::Blocks(Device::default()), state: Arc::default() }
    }

    /// Opens the store on it. As with a file, what was copied or put back takes a fresh
    /// name; a store opened before must not be used any more.
    ///
    /// # Errors
    /// The disk fails, or what it holds is corrupt.
    pub fn open(&self, entropy: Entropy<'_>) -> Result<Box<dyn Storage>, StorageError> {
        let copied = lock(&self.state).copied && !fault!(DotReusedAfterRestore);
        let storage: Box<dyn Storage> = match &self.kind {
            Kind::Tables(tables) => {
                let previous = lock(&self.state).replica;
                let fresh = |entropy: Entropy<'_>| {
                    let mut id = [0; 16];
                    entropy(&mut id);
                    ReplicaId::from_bytes(id)
                };
                let (replica, identity) = match previous {
                    None => (fresh(entropy), Identity::Created),
                    Some(previous) if copied => (fresh(entropy), Identity::Fresh { previous }),
                    Some(previous) => (previous, Identity::Kept),
                };
                Box::new(tables.open(replica, identity))
            }
            Kind::Blocks(device) => {
                let options =
                    FileOptions { cache_bytes: 1 << 20, fresh_id: copied, ..Default::default() };
                Box::new(RedbStorage::open_blocks(device.handle(), &options, entropy)?)
            }
        };
        *lock(&self.state) = State { replica: Some(storage.replica()), copied: false };
        Ok(storage)
    }

    /// Lets it fail once, after so many calls that could fail so.
    pub fn fail_after(&self, calls: usize, trouble: Trouble) {
        match &self.kind {
            Kind::Tables(tables) => lock(&tables.power).failing = Some((calls, trouble)),
            Kind::Blocks(device) => device.fail_after(
                calls,
                match trouble {
                    Trouble::PowerCut => Failure::NoPowerAtSync,
                    Trouble::FailedSync => Failure::NoSync,
                    Trouble::Full => Failure::Full,
                    Trouble::FailedRead => Failure::NoRead,
                },
            ),
        }
    }

    /// From now on it says of most syncs that they are done when they are not: a power cut
    /// takes more than what was not synced, and a store on it is whole as it was some time ago,
    /// or is found to be corrupt.
    pub fn lie(&self) {
        match &self.kind {
            Kind::Tables(tables) => lock(&tables.power).lies = true,
            Kind::Blocks(device) => device.lie(),
        }
    }

    /// Whether a failure is to come.
    #[must_use]
    pub fn may_fail(&self) -> bool {
        match &self.kind {
            Kind::Tables(tables) => lock(&tables.power).failing.is_some(),
            Kind::Blocks(device) => device.may_fail(),
        }
    }

    /// Whether it has failed since it was made or mended: the store must be opened anew.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match &self.kind {
            Kind::Tables(tables) => lock(&tables.power).failed,
            Kind::Blocks(device) => device.has_failed(),
        }
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_off(&self) -> bool {
        match &self.kind {
            Kind::Tables(tables) => lock(&tables.power).gone,
            Kind::Blocks(device) => device.is_off(),
        }
    }

    /// Lets it work again, for who opens the store anew.
    pub fn mend(&self) {
        match &self.kind {
            Kind::Tables(tables) => tables.mend(),
            Kind::Blocks(device) => drop(device.mend()),
        }
    }

    /// From now on nothing comes from it or goes to it, until the store is opened anew.
    pub fn power_off(&self) {
        match &self.kind {
            Kind::Tables(tables) => lock(&tables.power).gone = true,
            Kind::Blocks(device) => device.power_off(),
        }
    }

    /// The power goes and comes back; of what was not synced some is lost.
    pub fn power_cut(&self, random: &mut Random) {
        match &self.kind {
            Kind::Tables(tables) => tables.lose_unsynced(random),
            Kind::Blocks(device) => device.lose_unsynced(&mut |below| random.below(below)),
        }
    }

    /// Turns over a bit of it, anywhere; in tables there is none.
    pub fn flip_bit(&self, random: &mut Random) {
        if let Kind::Blocks(device) = &self.kind {
            let byte = random.below(device.len());
            device.flip(byte, random.below(8) as u8);
        }
    }

    /// A copy of what it holds. The store must be closed.
    #[must_use]
    pub fn image(&self) -> Image {
        let held = match &self.kind {
            Kind::Tables(tables) => Held::Tables(tables.rows().copy()),
            Kind::Blocks(device) => Held::Blocks(device.bytes()),
        };
        Image { held, replica: lock(&self.state).replica }
    }

    /// Puts back what was copied of it. The store must be closed.
    pub fn put_back(&mut self, image: &Image) {
        self.kind = image.held.kind();
        lock(&self.state).copied = true;
    }

    /// Another disk, with what was copied of this one.
    #[must_use]
    pub fn with(&self, image: &Image) -> Self {
        let replica = lock(&self.state).replica;
        let state = Arc::new(Mutex::new(State { replica, copied: true }));
        Self { kind: image.held.kind(), state }
    }

    /// Another disk, with what was copied of this one, which a store cannot tell from it and
    /// so keeps its name: as where a whole machine is put back, or started twice from one
    /// snapshot. That is the name it had when it was copied.
    #[must_use]
    pub fn twin(&self, image: &Image) -> Self {
        let twin = self.with(image);
        *lock(&twin.state) = State { replica: image.replica, copied: false };
        twin
    }
}

impl Held {
    fn kind(&self) -> Kind {
        match self {
            Self::Tables(rows) => Kind::Tables(Arc::new(Tables::holding(rows.copy()))),
            Self::Blocks(bytes) => Kind::Blocks(Device::holding(bytes.clone())),
        }
    }
}

/// Tables in memory that can lose their newest commits.
#[derive(Debug)]
struct Tables {
    rows: MemoryStorage,
    power: Mutex<Power>,
}

#[derive(Debug, Default)]
struct Power {
    failing: Option<(usize, Trouble)>,
    failed: bool,
    gone: bool,
    read_only: bool,
    /// Stores opened; only the newest has power.
    handles: u64,
    /// What takes the commits back that were not synced, the oldest first.
    undo: Vec<Changes>,
    /// Whether it lies about syncing, and how many syncs there were.
    lies: bool,
    syncs: u64,
    /// A commit whose sync failed.
    unsure: Option<Changes>,
}

impl Default for Tables {
    fn default() -> Self {
        Self::holding(MemoryStorage::new(ReplicaId::from_bytes([0; 16])))
    }
}

impl Tables {
    fn holding(rows: MemoryStorage) -> Self {
        Self { rows, power: Mutex::default() }
    }

    fn rows(&self) -> &MemoryStorage {
        &self.rows
    }

    fn open(self: &Arc<Self>, replica: ReplicaId, identity: Identity) -> Handle {
        let mut power = lock(&self.power);
        power.gone = false;
        power.handles += 1;
        Handle { tables: self.clone(), number: power.handles, replica, identity }
    }

    fn mend(&self) {
        let mut power = lock(&self.power);
        (power.failing, power.failed, power.read_only) = (None, false, false);
    }

    fn lose_unsynced(&self, random: &mut Random) {
        let (undo, unsure) = {
            let mut power = lock(&self.power);
            power.gone = true;
            (core::mem::take(&mut power.undo), power.unsure.take())
        };
        // Some cuts lose all, some nothing.
        let lost = if random.percent(50) { undo.len() } else { random.below(undo.len() + 1) };
        let back = undo.into_iter().rev().take(lost);
        let again = unsure.filter(|_| lost == 0 && random.percent(50));
        for changes in back.chain(again) {
            // Tables in memory do not fail.
            let _ = self.rows.write(Durability::Immediate, &mut |rows| {
                changes.apply(rows)?;
                Ok(Verdict::Commit)
            });
        }
    }
}

fn failed(reason: &'static str) -> StorageError {
    let source = std::io::Error::other(reason);
    StorageError::Io { path: "disk".into(), doing: "simulating a disk", source }
}

impl Power {
    /// Whether one of the failures happens now, counting this call.
    fn fails(&mut self, at: &[Trouble]) -> Option<Trouble> {
        let (calls, trouble) = self.failing.as_mut()?;
        if !at.contains(trouble) {
            return None;
        }
        if *calls > 0 {
            *calls -= 1;
            return None;
        }
        self.failed = true;
        self.failing.take().map(|(_, trouble)| trouble)
    }

    fn syncs_indeed(&mut self) -> bool {
        self.syncs += 1;
        !self.lies || self.syncs.is_multiple_of(TRUE_SYNCS)
    }

    /// A commit: whether it is made.
    fn commit(
        &mut self,
        durability: Durability,
        changes: &Changes,
        rows: &dyn Read,
    ) -> Result<(), StorageError> {
        let syncs = durability == Durability::Immediate;
        let at: &[Trouble] = match syncs {
            true => &[Trouble::PowerCut, Trouble::FailedSync, Trouble::Full],
            false => &[Trouble::Full],
        };
        match self.fails(at) {
            Some(Trouble::Full) => {
                self.read_only = true;
                Err(failed("the disk is full"))
            }
            Some(trouble) => {
                self.unsure = Some(changes.clone());
                self.read_only = true;
                self.gone = trouble == Trouble::PowerCut;
                Err(failed("the sync failed"))
            }
            None if syncs && self.syncs_indeed() => {
                self.undo.clear();
                Ok(())
            }
            None => {
                self.undo.push(changes.undoing(rows)?);
                Ok(())
            }
        }
    }
}

/// An open store's end of the tables.
struct Handle {
    tables: Arc<Tables>,
    number: u64,
    replica: ReplicaId,
    identity: Identity,
}

impl Handle {
    fn powered(&self) -> Result<MutexGuard<'_, Power>, StorageError> {
        let power = lock(&self.tables.power);
        match power.gone || power.handles != self.number {
            true => Err(failed("no power")),
            false => Ok(power),
        }
    }
}

impl Storage for Handle {
    fn read(&self) -> Result<Box<dyn ReadSnapshot>, StorageError> {
        let mut power = self.powered()?;
        if power.fails(&[Trouble::FailedRead]).is_some() {
            power.read_only = true;
            return Err(failed("the read failed"));
        }
        self.tables.rows.read()
    }

    fn write(
        &self,
        durability: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError> {
        if self.powered()?.read_only {
            return Err(StorageError::MustReopen { reason: "the disk failed".to_owned() });
        }
        self.tables
            .rows
            .write_if(work, |changes, rows| self.powered()?.commit(durability, changes, rows))
    }

    fn file_bytes(&self) -> Result<u64, StorageError> {
        Ok(0)
    }

    fn compact(&self) -> Result<(), StorageError> {
        self.tables.rows.compact()
    }

    fn check(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    fn replica(&self) -> ReplicaId {
        self.replica
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}
