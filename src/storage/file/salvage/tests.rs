//! Reading without the engine, against reading with it.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::storage::file::seal::located;
use crate::storage::file::tests::{folder, open};
use crate::storage::{Durability, Storage, Verdict};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(n: u32) -> Vec<u8> {
    format!("key {n:06} {}", "long ".repeat(n as usize % 9)).into_bytes()
}

fn value(n: u32) -> Vec<u8> {
    let most = if n.is_multiple_of(500) { 20_000 } else { 200 };
    vec![n as u8; n as usize * 7 % most]
}

/// A store of so many rows, and some that stand in the journal still where it is not closed.
fn store(path: &Path, count: u32, closes: bool) -> Rows {
    let storage = open(path).unwrap();
    let mut rows = Rows::new();
    for from in (0..count).step_by(700) {
        let numbers = from..count.min(from + 700);
        let put = storage.write(Durability::Immediate, &mut |to| {
            for n in numbers.clone() {
                to.put(Table::Items, &key(n), &value(n))?;
            }
            Ok(Verdict::Commit)
        });
        put.unwrap();
        rows.extend(numbers.map(|n| (key(n), value(n))));
    }
    for n in count..count + 3 {
        let put = storage.write(Durability::Immediate, &mut |to| {
            to.put(Table::Items, &key(n), &[7])?;
            to.delete(Table::Items, &key(n - 3))?;
            Ok(Verdict::Commit)
        });
        put.unwrap();
        rows.insert(key(n), vec![7]);
        rows.remove(&key(n - 3));
    }
    if !closes {
        let killed = path.with_extension("killed");
        std::fs::copy(path, &killed).unwrap();
        drop(storage);
        std::fs::rename(killed, path).unwrap();
    }
    rows
}

fn read(wreck: &Wreck) -> (Rows, Survey) {
    let mut rows = Rows::new();
    let survey = wreck.survey(Table::Items, &mut |key, value| {
        rows.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    });
    (rows, survey.unwrap())
}

/// Adds what is found of these rows in pages to which nothing leads.
fn add_strays(wreck: &Wreck, rows: &Rows, found: &mut Rows) {
    wreck.strays(&mut |key, value| {
        if rows.get(key).is_some_and(|row| row == value) {
            found.insert(key.to_vec(), value.to_vec());
        }
        ControlFlow::Continue(())
    });
}

#[test]
fn an_undamaged_file_reads_as_the_engine_reads_it() {
    for (count, closes) in [(5, true), (5, false), (9_000, true), (9_000, false)] {
        let folder = folder();
        let path = folder.path().join("store");
        let rows = store(&path, count, closes);
        let wreck = Wreck::open(&path).unwrap();
        let (found, survey) = read(&wreck);
        assert!(found == rows, "{count} {closes}: {} {}", found.len(), rows.len());
        assert_eq!(survey.gaps, []);
        assert_eq!(wreck.damage(), (0, 0));
        assert!(wreck.later().is_none());
        for (key, value) in rows.iter().step_by(97) {
            assert_eq!(wreck.get(Table::Items, key).unwrap().as_ref(), Some(value));
        }
        assert_eq!(wreck.get(Table::Items, b"key").unwrap(), None);
    }
}

#[test]
fn one_flipped_bit_anywhere_loses_nothing() {
    let folder = folder();
    for closes in [true, false] {
        let path = folder.path().join(format!("store {closes}"));
        let rows = store(&path, 900, closes);
        let bytes = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged");
        let mut mended = 0;
        for n in 0..150 {
            let mut bytes = bytes.clone();
            let at = n * 2_654_435_761_usize % bytes.len();
            bytes[at] ^= 1 << (n % 8);
            std::fs::write(&damaged, bytes).unwrap();
            let wreck = Wreck::open(&damaged).unwrap();
            let (found, survey) = read(&wreck);
            assert!(found == rows && survey.gaps.is_empty(), "bit {} of byte {at}", n % 8);
            mended += wreck.damage().1;
        }
        assert!(mended > 10, "{mended} of 150 hit a page in use");
    }
}

#[test]
fn a_damaged_page_loses_its_own_rows_and_names_the_gap() {
    let folder = folder();
    let path = folder.path().join("store");
    let rows = store(&path, 9_000, true);
    let bytes = std::fs::read(&path).unwrap();
    let (mut lost_some, mut lost_none) = (0, 0);
    for n in 0..60 {
        let mut bytes = bytes.clone();
        let block = (n * 7_919 % (bytes.len() / 4096)) * 4096;
        for byte in &mut bytes[block + 8..block + 600] {
            *byte ^= 0xa5;
        }
        let damaged = folder.path().join("damaged");
        std::fs::write(&damaged, bytes).unwrap();
        let wreck = Wreck::open(&damaged).unwrap();
        let (found, survey) = read(&wreck);
        assert!(found.iter().all(|(key, value)| rows.get(key) == Some(value)), "block {block}");
        for key in rows.keys().filter(|key| !found.contains_key(*key)) {
            let within = |gap: &Gap| {
                gap.after.as_ref().is_none_or(|after| after < key)
                    && gap.before.as_ref().is_none_or(|before| key < before)
            };
            assert!(survey.gaps.iter().any(within), "{}", key.escape_ascii());
        }
        // Behind a page of pointers all its children are found, but for those hit themselves.
        assert!(rows.len() - found.len() < 400, "{} lost", rows.len() - found.len());
        lost_some += usize::from(found.len() < rows.len());
        lost_none += usize::from(found.len() == rows.len());
    }
    assert!(lost_some > 5 && lost_none > 5, "{lost_some} {lost_none}");
}

/// The one that leads to all tables too; and what nothing leads to any more is found as it stands.
#[test]
fn no_block_takes_all_the_rest_with_it() {
    let folder = folder();
    for closes in [true, false] {
        let path = folder.path().join(format!("store {closes}"));
        let rows = store(&path, 3_000, closes);
        let (bytes, damaged) = (std::fs::read(&path).unwrap(), folder.path().join("damaged"));
        let (mut copied, mut strayed) = (0, 0);
        for block in 0..bytes.len() / 4096 {
            let mut bytes = bytes.clone();
            bytes[block * 4096..][..4096].fill(0);
            std::fs::write(&damaged, bytes).unwrap();
            let wreck = Wreck::open(&damaged).unwrap();
            let (mut found, survey) = read(&wreck);
            // Without the end of the journal it is as it once stood.
            let journal = wreck.later().is_some();
            let right = found.iter().all(|(key, value)| rows.get(key) == Some(value));
            assert!(journal || right, "block {block}");
            assert!(journal || found == rows || !survey.gaps.is_empty(), "block {block}");
            copied += wreck.damage().1;
            if found.len() + 100 < rows.len() {
                add_strays(&wreck, &rows, &mut found);
                strayed += 1;
            }
            assert!(journal || found.len() + 100 > rows.len(), "block {block}: {}", found.len());
        }
        assert_eq!(copied, 1, "the list of tables");
        assert!(strayed > 0, "no page of pointers was hit");
    }
}

#[test]
fn a_file_cut_short_gives_what_is_left() {
    let folder = folder();
    let path = folder.path().join("store");
    let rows = store(&path, 9_000, true);
    let bytes = std::fs::read(&path).unwrap();
    for tenths in 0..10 {
        let damaged = folder.path().join("damaged");
        std::fs::write(&damaged, &bytes[..bytes.len() * tenths / 10]).unwrap();
        match Wreck::open(&damaged) {
            Ok(wreck) => {
                let (found, survey) = read(&wreck);
                assert!(found.iter().all(|(key, value)| rows.get(key) == Some(value)));
                assert!(found.len() == rows.len() || !survey.gaps.is_empty(), "{tenths}");
            }
            Err(error) => assert!(tenths == 0, "{tenths}: {error}"),
        }
    }
}

#[test]
fn a_store_that_is_open_elsewhere_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("store");
    let held = open(&path).unwrap();
    assert!(matches!(Wreck::open(&path), Err(StorageError::AlreadyOpen { .. })));
    drop(held);
    Wreck::open(&path).unwrap();
    assert!(matches!(Wreck::open(folder.path()), Err(StorageError::NotAStore { .. })));
    let missing = Wreck::open(&folder.path().join("none"));
    assert!(matches!(missing, Err(StorageError::Io { .. })));
}

/// Where both copies are gone that a sync wrote of the first block, the newest commit may be.
#[test]
fn a_pair_of_the_first_block_that_is_gone_is_noticed() {
    let folder = folder();
    let path = folder.path().join("store");
    store(&path, 900, false);
    let bytes = std::fs::read(&path).unwrap();
    let behind = |damage: &dyn Fn(&mut [u8])| {
        let (damaged, mut bytes) = (folder.path().join("damaged"), bytes.clone());
        damage(&mut bytes);
        std::fs::write(&damaged, bytes).unwrap();
        Wreck::open(&damaged).unwrap().is_behind()
    };
    assert!(!behind(&|_| {}));
    for block in 0..4 {
        assert!(!behind(&|bytes| bytes[block * 4096..][..4096].fill(0)), "block {block}");
    }
    for pair in 0..2 {
        let at = pair * 8192;
        assert!(behind(&|bytes| bytes[at..][..8192].fill(0)));
        assert!(behind(&|bytes| bytes.copy_within(8192 - at..8192 - at + 8192, at)));
        assert!(behind(&|bytes| [at, at + 4096].into_iter().for_each(|at| bytes[at + 99] ^= 1)));
    }
    assert!(!behind(&|bytes| [0, 8192].into_iter().for_each(|at| bytes[at + 99] ^= 1)));
    // The one before is whole, and stands in for one of which the list of tables is gone.
    let (first, _) = heads(&bytes[..HEAD_BYTES as usize]).swap_remove(0);
    let newest = &Commit::all(&first)[0];
    let (list_at, _) = newest.geometry.place(newest.root.page).unwrap();
    let (list_at, _) = located(list_at / 4096).unwrap();
    assert!(behind(&|bytes| {
        bytes[list_at as usize..][..4096].fill(0);
        (0..4).for_each(|copy| bytes[copy * 4096 + 512..(copy + 1) * 4096].fill(0));
    }));
}

/// Blocks behind the first one of a value hold whatever it says: that they begin a page that is
/// longer than any, for one.
#[test]
fn a_block_that_looks_like_a_long_page_hides_no_other() {
    let folder = folder();
    let (path, damaged) = (folder.path().join("store"), folder.path().join("damaged"));
    let storage = open(&path).unwrap();
    let put = storage.write(Durability::Immediate, &mut |to| {
        for shift in 0..16_u8 {
            let mut long = [1, 0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0];
            long.rotate_left(shift.into());
            to.put(Table::Items, &[b'a', shift], &long.repeat(1_000))?;
        }
        Ok(Verdict::Commit)
    });
    put.unwrap();
    drop(storage);
    let rows = store(&path, 3_000, true);
    let (bytes, mut strayed) = (std::fs::read(&path).unwrap(), 0);
    for block in 4..bytes.len() / 4096 {
        let mut bytes = bytes.clone();
        bytes[block * 4096..][..4096].fill(0);
        std::fs::write(&damaged, bytes).unwrap();
        let wreck = Wreck::open(&damaged).unwrap();
        let (mut found, _) = read(&wreck);
        if found.len() + 100 < rows.len() {
            add_strays(&wreck, &rows, &mut found);
            assert!(found.len() + 100 > rows.len(), "block {block}: {}", found.len());
            strayed += 1;
        }
    }
    assert!(strayed > 0, "no page of pointers was hit");
}
