//! Tables in memory: for tests, simulations and the browser.
//!
//! Each key holds the versions of its value that somebody can still see, oldest first,
//! each under the number of the commit that wrote it. A snapshot is a commit number, and
//! sees of each key the newest version that is not above it. A commit that finds no
//! snapshot on the newest version of a key writes over it; otherwise it writes a further
//! one beside it and notes the key as one to prune. Dropping the oldest snapshot prunes
//! what only that one could see. So without snapshots a key holds one version, and a
//! deleted key none.
//!
//! No lock is held while the caller's code runs, except the one that lets one write
//! transaction run at a time: a scan takes its rows out in growing batches.

use core::ops::Bound;
use std::collections::{BTreeMap, VecDeque, btree_map};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

use super::overlay::{Bytes, Changes, Overlay};
use super::{
    Durability, Identity, KeyRange, Order, Read, ReadSnapshot, Storage, StorageError, Table,
    Verdict, Visit, Write, of, of_mut,
};
use crate::causal::ReplicaId;

type Row = (Bytes, Bytes);

/// How many rows a scan takes out under the lock first, and at most; it doubles between.
const BATCH_ROWS: (usize, usize) = (4, 256);

/// Tables in memory.
///
/// Clones are handles to the same tables, which live as long as one of them. So a crash of
/// a replica is simulated by dropping all that runs on a handle and starting anew on a
/// clone of it: what was committed is there, whatever its [`Durability`]; what was not is
/// gone.
///
/// Reading or writing a row takes logarithmic time; a commit takes that for each row
/// changed.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    replica: ReplicaId,
    shared: Arc<Shared>,
}

impl MemoryStorage {
    /// Empty tables for a replica of this name.
    #[must_use]
    pub fn new(replica: ReplicaId) -> Self {
        Self { replica, shared: Arc::default() }
    }

    /// Runs a write transaction, and asks of the changes that it would make, beside the rows
    /// as they stand, whether they are made.
    pub(crate) fn write_if(
        &self,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
        may: impl FnOnce(&Changes, &dyn Read) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let _one_at_a_time = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // While it runs nothing else commits, so the newest commit stays it.
        let committed = Moment { shared: &self.shared, commit: self.shared.read().commit };
        let mut transaction = Overlay::on(&committed);
        let verdict = work(&mut transaction)?;
        let changes = transaction.into_changes();
        if verdict == Verdict::Commit {
            may(&changes, &committed)?;
            if !changes.is_empty() {
                self.shared.write().apply(changes);
            }
        }
        Ok(())
    }

    /// The same rows, on their own from now on.
    #[cfg(feature = "sim")]
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(self.replica);
        let (from, mut to) = (self.shared.read(), copy.shared.write());
        to.commit = from.commit;
        for (rows, into) in from.tables.iter().zip(&mut to.tables) {
            for (key, chain) in rows {
                if let Some(value) = seen_at(chain, from.commit) {
                    let version = Version { commit: from.commit, value: Some(value.clone()) };
                    into.insert(key.clone(), SmallVec::from_buf([version]));
                }
            }
        }
        drop(to);
        copy
    }

    /// How many versions of rows are held, live and dead: for tests and for watching memory.
    #[must_use]
    pub fn versions(&self) -> usize {
        self.shared.read().tables.iter().flat_map(BTreeMap::values).map(|chain| chain.len()).sum()
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: RwLock<State>,
    writer: Mutex<()>,
}

impl Shared {
    // A lock is poisoned only by a panic of the caller's work, which holds no half-made
    // state: the writer's lock guards nothing, and the state's is never held around it.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a key holds: the number of the commit, and the value or that it was deleted.
#[derive(Debug)]
struct Version {
    commit: u64,
    value: Option<Bytes>,
}

/// The versions of a key, oldest first, never empty; the oldest is never a deletion.
type Chain = SmallVec<[Version; 1]>;

fn seen_at(chain: &Chain, commit: u64) -> Option<&Bytes> {
    chain.iter().rev().find(|v| v.commit <= commit).and_then(|v| v.value.as_ref())
}

#[derive(Debug, Default)]
struct State {
    /// The newest commit.
    commit: u64,
    tables: [BTreeMap<Bytes, Chain>; Table::ALL.len()],
    /// How many snapshots are held of which commit.
    snapshots: BTreeMap<u64, usize>,
    /// Keys with a version that the commit named here superseded, in the order of commits.
    superseded: VecDeque<(u64, Table, Bytes)>,
}

impl State {
    fn apply(&mut self, changes: Changes) {
        self.commit += 1;
        let commit = self.commit;
        for (table, changes) in changes.into_tables() {
            let rows = of_mut(&mut self.tables, table);
            for (key, value) in changes {
                let Some(chain) = rows.get_mut(&key) else {
                    if value.is_some() {
                        rows.insert(key, SmallVec::from_buf([Version { commit, value }]));
                    }
                    continue;
                };
                let newest = chain.last().map_or(0, |v| v.commit);
                if self.snapshots.range(newest..).next().is_some() {
                    if value.is_some() || chain.last().is_some_and(|v| v.value.is_some()) {
                        chain.push(Version { commit, value });
                        self.superseded.push_back((commit, table, key));
                    }
                } else if value.is_none() && chain.len() == 1 {
                    rows.remove(&key);
                } else if let Some(last) = chain.last_mut() {
                    *last = Version { commit, value };
                }
            }
        }
    }

    fn release(&mut self, commit: u64) {
        if let btree_map::Entry::Occupied(mut held) = self.snapshots.entry(commit) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
                self.prune();
            }
        }
    }

    fn prune(&mut self) {
        let oldest = self.snapshots.keys().next().copied().unwrap_or(self.commit);
        while self.superseded.front().is_some_and(|(commit, ..)| *commit <= oldest) {
            let Some((_, table, key)) = self.superseded.pop_front() else { break };
            let rows = of_mut(&mut self.tables, table);
            let Some(chain) = rows.get_mut(&key) else { continue };
            let unseen = chain.iter().filter(|v| v.commit <= oldest).count().saturating_sub(1);
            chain.drain(..unseen);
            // A deletion with nothing older behind it says what no row at all says.
            if chain.first().is_some_and(|v| v.value.is_none()) {
                chain.remove(0);
            }
            if chain.is_empty() {
                rows.remove(&key);
            }
        }
    }
}

/// Rows of a range as of one commit, taken out batch by batch.
struct Rows<'a> {
    shared: &'a Shared,
    commit: u64,
    table: Table,
    range: KeyRange<'a>,
    order: Order,
    /// The key of the row taken out last.
    last: Option<Bytes>,
    batch_rows: usize,
    batch: smallvec::IntoIter<[Row; BATCH_ROWS.0]>,
    more: bool,
}

impl<'a> Rows<'a> {
    fn new(
        shared: &'a Shared,
        commit: u64,
        table: Table,
        range: KeyRange<'a>,
        order: Order,
    ) -> Self {
        Self {
            shared,
            commit,
            table,
            range,
            order,
            last: None,
            batch_rows: BATCH_ROWS.0,
            batch: SmallVec::new().into_iter(),
            more: true,
        }
    }

    fn fetch(&mut self) {
        let state = self.shared.read();
        let (mut from, mut to) = (
            Bound::Included(self.range.from),
            self.range.to.map_or(Bound::Unbounded, Bound::Excluded),
        );
        if let Some(last) = self.last.as_deref() {
            match self.order {
                Order::Ascending => from = Bound::Excluded(last),
                Order::Descending => to = Bound::Excluded(last),
            }
        }
        let range = of(&state.tables, self.table).range::<[u8], _>((from, to));
        let take = |(key, chain): (&Bytes, &Chain)| {
            seen_at(chain, self.commit).map(|value| (key.clone(), value.clone()))
        };
        let batch: SmallVec<[Row; BATCH_ROWS.0]> = match self.order {
            Order::Ascending => range.filter_map(take).take(self.batch_rows).collect(),
            Order::Descending => range.rev().filter_map(take).take(self.batch_rows).collect(),
        };
        drop(state);
        self.more = batch.len() == self.batch_rows;
        if self.more {
            self.last = batch.last().map(|(key, _)| key.clone());
        }
        self.batch_rows = (self.batch_rows * 2).min(BATCH_ROWS.1);
        self.batch = batch.into_iter();
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(row);
            }
            if !self.more {
                return None;
            }
            self.fetch();
        }
    }
}

#[derive(Debug)]
struct Snapshot {
    shared: Arc<Shared>,
    commit: u64,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.shared.write().release(self.commit);
    }
}

impl ReadSnapshot for Snapshot {}

impl Snapshot {
    fn moment(&self) -> Moment<'_> {
        Moment { shared: &self.shared, commit: self.commit }
    }
}

impl Read for Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.moment().get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        self.moment().scan(table, range, order, visit)
    }
}

/// The rows as of a commit whose versions something keeps from being pruned.
struct Moment<'a> {
    shared: &'a Shared,
    commit: u64,
}

impl Read for Moment<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let state = self.shared.read();
        let chain = of(&state.tables, table).get(key);
        Ok(chain.and_then(|chain| seen_at(chain, self.commit)).map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        if range.to.is_none_or(|to| range.from < to) {
            let mut rows = Rows::new(self.shared, self.commit, table, range, order);
            let _ = rows.try_for_each(|(key, value)| visit(&key, &value));
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn read(&self) -> Result<Box<dyn ReadSnapshot>, StorageError> {
        let mut state = self.shared.write();
        let commit = state.commit;
        *state.snapshots.entry(commit).or_default() += 1;
        Ok(Box::new(Snapshot { shared: self.shared.clone(), commit }))
    }

    fn write(
        &self,
        _: Durability,
        work: &mut dyn FnMut(&mut dyn Write) -> Result<Verdict, StorageError>,
    ) -> Result<(), StorageError> {
        self.write_if(work, |_, _| Ok(()))
    }

    fn file_bytes(&self) -> Result<u64, StorageError> {
        Ok(0)
    }

    /// Nothing to do: memory holds no more than what somebody can see.
    fn compact(&self) -> Result<(), StorageError> {
        if self.shared.read().snapshots.is_empty() {
            Ok(())
        } else {
            Err(StorageError::Busy("a snapshot is held; drop it before compacting"))
        }
    }

    fn check(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    fn replica(&self) -> ReplicaId {
        self.replica
    }

    fn identity(&self) -> Identity {
        Identity::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(storage: &MemoryStorage, key: &[u8], value: &[u8]) {
        storage
            .write(Durability::Immediate, &mut |w| {
                w.put(Table::Items, key, value)?;
                Ok(Verdict::Commit)
            })
            .unwrap();
    }

    fn delete(storage: &MemoryStorage, key: &[u8]) {
        storage
            .write(Durability::Immediate, &mut |w| {
                w.delete(Table::Items, key)?;
                Ok(Verdict::Commit)
            })
            .unwrap();
    }

    #[test]
    fn dead_versions_go_with_the_snapshots_that_saw_them() {
        let storage = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
        for round in 0..10u8 {
            put(&storage, b"a", &[round]);
        }
        assert_eq!(storage.versions(), 1);
        let early = storage.read().unwrap();
        for round in 0..10u8 {
            put(&storage, b"a", &[round]);
            put(&storage, b"b", &[round]);
        }
        // One for the snapshot and one newest, however often it was written meanwhile.
        assert_eq!(storage.versions(), 3);
        let late = storage.read().unwrap();
        delete(&storage, b"a");
        delete(&storage, b"b");
        assert_eq!(early.get(Table::Items, b"a").unwrap(), Some(vec![9]));
        assert_eq!(early.get(Table::Items, b"b").unwrap(), None);
        assert_eq!(late.get(Table::Items, b"b").unwrap(), Some(vec![9]));
        drop(early);
        assert_eq!(late.get(Table::Items, b"a").unwrap(), Some(vec![9]));
        drop(late);
        assert_eq!(storage.versions(), 0);
    }

    #[test]
    fn a_clone_sees_what_was_committed() {
        let storage = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
        put(&storage, b"a", b"1");
        let again = storage.clone();
        drop(storage);
        assert_eq!(again.read().unwrap().get(Table::Items, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(again.replica(), ReplicaId::from_bytes([1; 16]));
    }
}
