//! Power cuts: a disk that has written what was synced, and of the rest what it likes.
//!
//! Each sector written since the last sync ends with any of the contents it had meanwhile,
//! each by itself, and so does the length of the file. Cuts come at any call, in the middle
//! of compacting, and again while the next opening recovers.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::tests::{folder, open, random};
use super::*;
use crate::storage::{KeyRange, Order, Table};

const SECTOR_BYTES: usize = 512;

/// Random numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % count as u64) as usize
    }
}

type Sector = [u8; SECTOR_BYTES];

/// What a disk keeps in mind, beside the file, which has everything written.
#[derive(Debug, Default)]
struct Medium {
    /// The file as it was at the last sync.
    synced: Vec<u8>,
    /// What sectors held since then, and how long the file was.
    since: BTreeMap<usize, Vec<Sector>>,
    lens: Vec<usize>,
    /// Calls until the power goes, or then only with the next sync: the moment at which most
    /// is on its way.
    calls_left: usize,
    at_sync: bool,
    gone: bool,
}

impl Medium {
    fn new(path: &Path, calls_left: usize, at_sync: bool) -> Self {
        let synced = std::fs::read(path).unwrap();
        Self { synced, calls_left, at_sync, ..Self::default() }
    }

    /// What is found when the power comes back.
    fn found(&self, dice: &mut Dice) -> Vec<u8> {
        let mut file = self.synced.clone();
        let lens = [&[file.len()], &self.lens[..]].concat();
        file.resize(lens[dice.below(lens.len())], 0);
        // Some cuts lose nearly all, some nearly nothing.
        let arrives = dice.below(101);
        for (sector, contents) in &self.since {
            let place = file.get_mut(sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES);
            if let (Some(place), true) = (place, dice.below(100) < arrives) {
                place.copy_from_slice(&contents[dice.below(contents.len())]);
            }
        }
        file
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    medium: Arc<Mutex<Medium>>,
}

impl Disk {
    fn powered(&self, sync: bool) -> io::Result<std::sync::MutexGuard<'_, Medium>> {
        let mut medium = self.medium.lock().unwrap();
        medium.calls_left = medium.calls_left.saturating_sub(1);
        medium.gone |= medium.calls_left == 0 && (sync || !medium.at_sync);
        if medium.gone { Err(io::Error::other("no power")) } else { Ok(medium) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut medium = self.powered(false)?;
        let before = self.file.len()? as usize;
        for sector in len as usize / SECTOR_BYTES..before / SECTOR_BYTES {
            medium.since.entry(sector).or_default().push([0; SECTOR_BYTES]);
        }
        medium.lens.push(len as usize);
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut medium = self.powered(true)?;
        medium.since.clear();
        medium.lens.clear();
        medium.synced.resize(self.file.len()? as usize, 0);
        self.file.read(0, &mut medium.synced)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut medium = self.powered(false)?;
        assert!((offset as usize).is_multiple_of(SECTOR_BYTES));
        for (sector, bytes) in (offset as usize / SECTOR_BYTES..).zip(data.chunks(SECTOR_BYTES)) {
            medium.since.entry(sector).or_default().push(bytes.try_into().unwrap());
        }
        self.file.write(offset, data)
    }
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows(storage: &RedbStorage) -> Rows {
    let mut rows = Rows::new();
    let all = KeyRange { from: &[], to: None };
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    };
    storage.read().unwrap().scan(Table::Items, all, Order::Ascending, &mut visit).unwrap();
    rows
}

/// Writes until the power goes; what may be found then: what was acknowledged last as lasting,
/// and each state after it.
fn write_until_cut(
    storage: &RedbStorage,
    mut now: Rows,
    medium: &Mutex<Medium>,
    dice: &mut Dice,
) -> Vec<Rows> {
    let mut allowed = vec![now.clone()];
    let mut before_compaction = dice.below(30);
    loop {
        if before_compaction == 0 {
            // It writes most of the file in few calls.
            let mut medium = medium.lock().unwrap();
            medium.calls_left = medium.calls_left.min(1 + dice.below(100));
            drop(medium);
            if storage.compact().is_err() {
                return allowed;
            }
            allowed = vec![now.clone()];
        }
        before_compaction = before_compaction.wrapping_sub(1);
        let durability =
            if dice.below(3) == 0 { Durability::Eventual } else { Durability::Immediate };
        let mut changed = now.clone();
        let work = &mut |write: &mut dyn Write| {
            for _ in 0..1 + dice.below(30) {
                let key = (dice.below(200) as u64).to_be_bytes().to_vec();
                if dice.below(4) == 0 {
                    write.delete(Table::Items, &key)?;
                    changed.remove(&key);
                } else {
                    let most = [20, 300, 9000][dice.below(3)];
                    let value = vec![dice.below(256) as u8; dice.below(most)];
                    write.put(Table::Items, &key, &value)?;
                    changed.insert(key, value);
                }
            }
            Ok(Verdict::Commit)
        };
        let written = storage.write(durability, work);
        now = changed;
        if written.is_ok() && durability == Durability::Immediate {
            allowed.clear();
        }
        allowed.push(now.clone());
        if written.is_err() {
            return allowed;
        }
    }
}

/// How many cuts one run of the test makes.
fn cuts() -> usize {
    std::env::var("REJOIN_TEST_CUTS").map_or(40, |cuts| cuts.parse().unwrap())
}

#[test]
fn power_cuts_lose_nothing_acknowledged_and_leave_a_store_that_opens() {
    let folder = folder();
    let path = folder.path().join("store");
    drop(open(&path).unwrap());
    let mut now = Rows::new();
    for cut in 0..cuts() {
        let dice = &mut Dice(cut as u64);
        let small = FileOptions { cache_bytes: 20_000, ..FileOptions::default() };
        let mut allowed = vec![now];
        // The first time it writes; then the power goes again and again while it recovers.
        for time in 0..1 + dice.below(3) {
            let calls_left = if time == 0 { 20 + dice.below(600) } else { 1 + dice.below(30) };
            let medium = Arc::new(Mutex::new(Medium::new(&path, calls_left, dice.below(2) == 0)));
            let disk = medium.clone();
            let backend = move |file| {
                Arc::new(Disk { file, medium: disk.clone() }) as Arc<dyn StorageBackend>
            };
            let plan = Plan { backend: Some(Box::new(backend)), ..Plan::default() };
            if let Ok(storage) = RedbStorage::open_with(&path, &small, &mut random(), plan) {
                let there = rows(&storage);
                assert!(allowed.contains(&there), "cut {cut}, time {time}");
                allowed = write_until_cut(&storage, there, &medium, dice);
            }
            std::fs::write(&path, medium.lock().unwrap().found(dice)).unwrap();
        }
        let storage = open(&path).unwrap();
        assert_eq!(storage.identity(), Identity::Kept);
        now = rows(&storage);
        assert!(allowed.contains(&now), "cut {cut}");
        assert!(storage.check().unwrap(), "cut {cut}");
        drop(storage);
        if dice.below(8) == 0 {
            put_away(&path, &mut now);
        }
    }
}

/// Empties the store and gives the space back, so that its file grows and shrinks.
fn put_away(path: &Path, now: &mut Rows) {
    let storage = open(path).unwrap();
    let emptied = storage.write(Durability::Immediate, &mut |write| {
        for key in now.keys() {
            write.delete(Table::Items, key)?;
        }
        Ok(Verdict::Commit)
    });
    emptied.unwrap();
    now.clear();
    let before = storage.file_bytes().unwrap();
    storage.compact().unwrap();
    drop(storage);
    assert!(std::fs::metadata(path).unwrap().len() <= before);
}
