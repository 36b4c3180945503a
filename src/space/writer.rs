//! Who writes: one at a time, and many in one durable commit.
//!
//! A durable commit costs a wait for the disk, a change to a few rows almost nothing. So
//! writers that meet form a *group* (group commit, DeWitt et al., "Implementation Techniques
//! for Main Memory Database Systems", 1984). Each closure runs on an overlay of its own,
//! above those of the group that ran before it, above a snapshot; when it is well it joins
//! the group. The first member to wait leads: it gives those that are on their way a moment
//! to join, then makes one durable commit of all that the group changed, and all of them
//! return. Who fails, or panics, drops its overlay and was never there; who fails is told so
//! once the disk has what its closure may have read of the others. Nobody else sees a
//! group's changes before that.
//!
//! Who is alone writes straight into the storage's transaction, and no thread is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{Thread, ThreadId};
use std::time::Duration;

use super::shared::Noted;
use super::store::{StoreShared, lock};
use crate::causal::{HybridClock, VersionVector};
use crate::error::{Error, UsageError};
use crate::faults::fault;
use crate::storage::{Changed, Changes, Durability, ReadSnapshot, StorageError, Verdict, Write};

/// How long a leader waits for one more to join: as long as a thread takes to be woken and
/// to come back, and short beside a sync.
const GATHER: Duration = Duration::from_micros(200);

/// How often one who wants to write asks for its turn before it sleeps: some 20 µs.
const SPINS: u32 = 400;

/// Commits that may take their time, after which one waits for the disk: bounds what a power cut may take,
/// and what the engine holds until then.
const RELAXED_COMMITS: u32 = 1024;

/// The right to write, and the groups of those who share a commit.
pub(super) struct Writers {
    writer: Mutex<Writer>,
    /// The thread that writes now: a write within its own write would wait for itself.
    writing: Mutex<Option<ThreadId>>,
    /// Threads that are within a write of local events.
    inside: AtomicUsize,
    groups: Mutex<Groups>,
    /// Somebody joined: the leader listens.
    joined: Condvar,
    /// The newest group that came to its end.
    settled: AtomicU64,
    /// Whether any group ever failed, and its members must ask.
    some_failed: AtomicBool,
    /// Whether a commit failed since one reached the disk: nobody knows what of it is there.
    unsure: AtomicBool,
}

/// What belongs to whoever writes.
pub(super) struct Writer {
    pub(super) clock: HybridClock,
    group: Option<Group>,
    begun: u64,
    /// Relaxed writes since the last commit that waited for the disk, and
    relaxed: u32,
    /// what was taken from peers; whether a vector moved by it.
    taken: u32,
    moved: bool,
}

/// What one writer changed: the number of the space, what to note of it, and the rows.
pub(super) type Joining = (u32, Noted, Changes);

/// Changes that wait for a commit together.
pub(super) struct Group {
    number: u64,
    members: usize,
    base: Box<dyn ReadSnapshot>,
    changes: Changes,
    /// By number of the space, what to note of it once all is committed.
    noted: BTreeMap<u32, Noted>,
}

impl Group {
    /// What stands with this group's changes.
    pub(super) fn rows(&self) -> Changed<'_> {
        Changed { below: &*self.base, changes: &self.changes }
    }

    /// The vector of a space that the group changed, as of this commit of it.
    pub(super) fn vector(&self, space: u32) -> Option<Arc<VersionVector>> {
        self.noted.get(&space).map(|noted| noted.vector.clone())
    }

    /// Whether what its members changed can have been read here.
    pub(super) fn has_members(&self) -> bool {
        self.members > 0
    }

    /// One more waits for the commit, with its changes, if it made any.
    pub(super) fn join(&mut self, changed: Option<Joining>) {
        self.members += 1;
        if let Some((space, mut noted, changes)) = changed {
            self.changes.absorb(changes);
            self.noted.remove(&space); // it holds the vector, which would be copied
            noted.rise();
            self.noted.insert(space, noted);
        }
    }
}

#[derive(Default)]
struct Groups {
    /// Members of the group that gathers.
    joined: usize,
    /// Members of the group before it: so many are likely to come back.
    expected: usize,
    /// Members with whom the leader no longer waits: it need not be woken before.
    awaited: usize,
    leading: bool,
    /// Members that sleep until their group came to its end.
    waiting: Vec<Thread>,
    /// Those that failed, and how many of their members have not heard of it.
    failed: BTreeMap<u64, (StorageError, usize)>,
}

impl Groups {
    fn outcome(&mut self, number: u64) -> Result<(), StorageError> {
        let Some((error, unaware)) = self.failed.get_mut(&number) else { return Ok(()) };
        let error = error.again();
        *unaware -= 1;
        if *unaware == 0 {
            self.failed.remove(&number);
        }
        Err(error)
    }
}

/// Holds the right to write; says so to the thread that has it.
pub(super) struct WriterGuard<'a> {
    store: &'a StoreShared,
    writer: MutexGuard<'a, Writer>,
}

impl core::ops::Deref for WriterGuard<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl core::ops::DerefMut for WriterGuard<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        // Who would have been the first of a group, and failed, leaves none behind.
        self.writer.group.take_if(|group| group.members == 0);
        *lock(&self.store.writers.writing) = None;
    }
}

/// Counts a thread as within a write, for as long as this is kept.
pub(super) struct Inside<'a>(&'a Writers);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Leads a group, for as long as this is kept.
struct Leading<'a>(&'a Writers);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut groups = lock(&self.0.groups);
        groups.leading = false;
        let waiting = core::mem::take(&mut groups.waiting);
        drop(groups);
        waiting.iter().for_each(Thread::unpark);
    }
}

impl Writers {
    pub(super) fn new(clock: HybridClock) -> Self {
        let writer = Writer { clock, group: None, begun: 0, relaxed: 0, taken: 0, moved: false };
        Self {
            writer: Mutex::new(writer),
            writing: Mutex::new(None),
            inside: AtomicUsize::new(0),
            groups: Mutex::default(),
            joined: Condvar::new(),
            settled: AtomicU64::new(0),
            some_failed: AtomicBool::new(false),
            unsure: AtomicBool::new(false),
        }
    }

    /// Says that this thread comes to write.
    pub(super) fn enter(&self) -> Inside<'_> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        Inside(self)
    }

    /// Waits for the right to write. Closures are short: who slept while one runs would take
    /// longer to wake than it takes to end.
    fn take_turn(&self) -> MutexGuard<'_, Writer> {
        for _ in 0..SPINS {
            match self.writer.try_lock() {
                Ok(writer) => return writer,
                Err(TryLockError::Poisoned(writer)) => return writer.into_inner(),
                Err(TryLockError::WouldBlock) => core::hint::spin_loop(),
            }
        }
        lock(&self.writer)
    }

    /// Whether a writer that has the right to write, and none but it, is at work.
    pub(super) fn alone(&self, writer: &Writer) -> bool {
        writer.group.is_none()
            && self.inside.load(Ordering::SeqCst) <= 1
            && lock(&self.groups).expected <= 1
    }
}

impl StoreShared {
    /// Waits for the right to write; a group that gathers may go on doing so.
    pub(super) fn writer_beside_group(&self) -> Result<WriterGuard<'_>, Error> {
        let me = std::thread::current().id();
        if *lock(&self.writers.writing) == Some(me) {
            return Err(UsageError::NestedWrite.into());
        }
        let writer = self.writers.take_turn();
        *lock(&self.writers.writing) = Some(me);
        Ok(WriterGuard { store: self, writer })
    }

    /// Refuses where a commit failed: what is read then may be gone after a power cut, and what
    /// was told of it would be made again as something else.
    pub(super) fn check_sure(&self) -> Result<(), Error> {
        match self.writers.unsure.load(Ordering::Acquire) {
            false => Ok(()),
            true => Ok(self.writer()?.flush_written()?),
        }
    }

    /// Waits for the right to write. What a group has gathered is committed first.
    pub(super) fn writer(&self) -> Result<WriterGuard<'_>, Error> {
        let mut guard = self.writer_beside_group()?;
        guard.settle_group();
        Ok(guard)
    }

    /// Waits until the group of this number is on disk, or leads it there.
    pub(super) fn settle(&self, number: u64) -> Result<(), Error> {
        let writers = &self.writers;
        let settled = || writers.settled.load(Ordering::Acquire) >= number;
        let mut first = true;
        while !settled() {
            let mut groups = lock(&writers.groups);
            if settled() {
                break;
            }
            if first {
                groups.joined += 1;
                if groups.joined == groups.awaited {
                    writers.joined.notify_one();
                }
            }
            first = false;
            if groups.leading {
                groups.waiting.push(std::thread::current());
                drop(groups);
                std::thread::park();
                continue;
            }
            groups.leading = true;
            let leading = Leading(writers);
            self.gather(groups);
            self.writer()?;
            drop(leading);
            if !settled() {
                let reason = "the commit of a group of writers came to no end".to_owned();
                return Err(StorageError::MustReopen { reason }.into());
            }
        }
        if writers.some_failed.load(Ordering::Acquire) {
            lock(&writers.groups).outcome(number)?;
        }
        Ok(())
    }

    /// Waits while others are on their way, as long as one after the other comes.
    fn gather(&self, mut groups: MutexGuard<'_, Groups>) {
        loop {
            let joined = groups.joined;
            groups.awaited = groups.expected.max(self.writers.inside.load(Ordering::SeqCst));
            if joined >= groups.awaited {
                return;
            }
            let waited = self.writers.joined.wait_timeout(groups, GATHER);
            let timed_out;
            (groups, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            if timed_out.timed_out() && groups.joined == joined {
                return;
            }
        }
    }
}

impl WriterGuard<'_> {
    /// The group to join, from this moment of the store on where there was none.
    pub(super) fn group(&mut self) -> Result<&mut Group, StorageError> {
        if self.writer.group.is_none() {
            let base = self.store.storage.read()?;
            self.writer.begun += 1;
            let (number, changes) = (self.writer.begun, Changes::default());
            let noted = BTreeMap::new();
            self.writer.group = Some(Group { number, members: 0, base, changes, noted });
        }
        self.writer.group.as_mut().ok_or(StorageError::Busy("a group that is not there"))
    }

    /// The number of the group that gathers, if anybody has joined it.
    pub(super) fn gathering(&self) -> Option<u64> {
        let group = self.writer.group.as_ref().filter(|group| group.members > 0);
        group.map(|group| group.number)
    }

    /// Commits what a group has gathered, and tells its members.
    pub(super) fn settle_group(&mut self) {
        let Some(Group { number, members, base, changes, noted }) = self.writer.group.take() else {
            return;
        };
        drop(base);
        let done = self.commit(Durability::Immediate, &mut |rows| {
            changes.apply(rows)?;
            Ok(Verdict::Commit)
        });
        if done.is_ok() {
            noted.into_values().for_each(Noted::note);
        }
        let writers = &self.store.writers;
        let mut groups = lock(&writers.groups);
        groups.joined = 0;
        groups.expected = members;
        if let Err(error) = done {
            groups.failed.insert(number, (error, members));
            writers.some_failed.store(true, Ordering::Release);
        }
        writers.settled.store(number, Ordering::Release);
        let waiting = core::mem::take(&mut groups.waiting);
        drop(groups);
        waiting.iter().for_each(Thread::unpark);
    }

    /// Runs work in a transaction of the storage.
    pub(super) fn commit(
        &mut self,
        durability: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError> {
        let (mut committed, mut refused) = (false, false);
        let done = self.store.storage.write(durability, &mut |rows| {
            let verdict = work(rows).inspect_err(|_| refused = true)?;
            committed = verdict == Verdict::Commit;
            Ok(verdict)
        });
        let unsure = &self.store.writers.unsure;
        if done.is_err() && !refused {
            unsure.store(true, Ordering::Release);
        }
        done?;
        if committed && durability == Durability::Immediate {
            unsure.store(false, Ordering::Release);
            (self.writer.relaxed, self.writer.taken, self.writer.moved) = (0, 0, false);
        }
        Ok(())
    }

    /// How soon the relaxed write that comes now must be on disk.
    pub(super) fn relax(&mut self) -> Durability {
        self.writer.relaxed += 1;
        self.soon()
    }

    /// How soon what a peer sent must be on disk: before it is told that it was taken, or,
    /// where it is the end of a delta, before any of it is shown to another one.
    pub(super) fn take(&mut self, moves: bool) -> Durability {
        self.writer.taken += 1;
        self.writer.moved |= moves;
        self.soon()
    }

    fn soon(&self) -> Durability {
        match self.writer.relaxed + self.writer.taken > RELAXED_COMMITS {
            true => Durability::Immediate,
            false => Durability::Eventual,
        }
    }

    /// Waits until all is on disk that a peer may be shown now.
    ///
    /// Relaxed writes, since their dots must not be minted again. And what was taken from
    /// others: suppose C takes B's newest event and what that replaced is gone; C sends the
    /// event to D, which stages it, and the power goes at C, which has forgotten it then. D
    /// resumes behind what it staged, so C leaves out what it holds again: D's vector would
    /// cover that, and not what replaced it.
    pub(super) fn flush_written(&mut self) -> Result<(), StorageError> {
        if self.store.writers.unsure.load(Ordering::Acquire) {
            return self.sync(); // which fails, until the store is opened anew
        }
        let own = self.writer.relaxed > 0 && !fault!(SyncSkippedBeforeEventsAreShown);
        let taken = self.writer.moved && !fault!(SyncSkippedBeforeEventsArePassedOn);
        if own || taken { self.sync() } else { Ok(()) }
    }

    /// Waits until all is on disk.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        let waits = self.writer.relaxed + self.writer.taken > 0 && !fault!(SyncSkippedAtTheEnd);
        if waits { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.commit(Durability::Immediate, &mut |_| Ok(Verdict::Commit))
    }
}
