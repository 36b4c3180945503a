//! Power cuts on a simulated disk: at any call, in the middle of compacting, and again while
//! the next opening recovers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::device::{Device, Failure};
use super::tests::{folder, open, random};
use super::*;
use crate::storage::{KeyRange, Order, Table};

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
    disk: &Device,
    dice: &mut Dice,
) -> Vec<Rows> {
    let mut allowed = vec![now.clone()];
    let mut before_compaction = dice.below(30);
    loop {
        if before_compaction == 0 {
            // It writes most of the file in few calls.
            disk.fail_within(dice.below(100));
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
            let calls = if time == 0 { 20 + dice.below(600) } else { 1 + dice.below(30) };
            let disk = Device::holding(std::fs::read(&path).unwrap());
            let failure = [Failure::NoPower, Failure::NoPowerAtSync][dice.below(2)];
            disk.fail_after(calls, failure);
            let blocks = disk.handle();
            let plan = Plan { backend: Some(Box::new(move |_| blocks.clone())), ..Plan::default() };
            if let Ok(storage) = RedbStorage::open_with(&path, &small, &mut random(), plan) {
                let there = rows(&storage);
                assert!(allowed.contains(&there), "cut {cut}, time {time}");
                allowed = write_until_cut(&storage, there, &disk, dice);
            }
            disk.lose_unsynced(&mut |below| dice.below(below));
            std::fs::write(&path, disk.bytes()).unwrap();
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
