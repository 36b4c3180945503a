//! Recovering damaged stores: nothing that lives at a peer dies, nothing that was salvaged is
//! lost, and nothing that was removed comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pair::{main_of, meet, options, store};
use rejoin::space::{Keys, RecoverReport};
use rejoin::storage::{
    Durability, FileOptions, KeyRange, Order, RedbStorage, Storage, StorageError, Table, Verdict,
};
use rejoin::{Error, Space, Store};

const SHARED: usize = 400;
const OWN: usize = 300;

struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 29)) % count as u64) as usize
    }
}

fn value_of(space: &Space, key: &str) -> Vec<String> {
    let siblings = space.get(key).unwrap();
    siblings.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

/// A store that meets peers, writes on, is damaged and recovered.
struct Story {
    folder: tempfile::TempDir,
    /// Has met the damaged store before it wrote what only it has.
    healthy: Store,
    /// Has met it after the half of that.
    late: Store,
    /// The file, as it was when its process ended.
    bytes: Vec<u8>,
}

impl Story {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn told(closes: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        let (healthy, late) = (store(2), store(3));
        let old = Store::open_with(&path, options(1)).unwrap();
        let space = main_of(&old);
        for n in 0..SHARED {
            let tx = space.write(|tx| {
                tx.put(format!("shared/{n}"), format!("first {n}"), None)?;
                tx.counter(format!("count/{}", n % 40)).add(n as i64)?;
                tx.set::<String>("names").add(&format!("name {n}"))
            });
            tx.unwrap();
        }
        old.space("other").unwrap().put("here", "too", None).unwrap();
        meet(&old, &healthy);
        let there = main_of(&healthy);
        for n in (0..SHARED).step_by(5) {
            there.delete(format!("shared/{n}")).unwrap();
            there.set::<String>("names").remove(&format!("name {n}")).unwrap();
        }
        for n in 0..OWN {
            if n == OWN / 2 {
                meet(&old, &late);
            }
            let tx = space.write(|tx| {
                tx.put(format!("own/{n}"), format!("own {n}"), None)?;
                tx.counter(format!("tally/{n}")).add(7)?;
                tx.put(format!("shared/{}", n + 3 - n % 5), format!("second {n}"), None)
            });
            tx.unwrap();
        }
        let bytes = if closes {
            drop((space, old));
            std::fs::read(&path).unwrap()
        } else {
            std::fs::read(&path).unwrap()
        };
        Self { folder, healthy, late, bytes }
    }

    /// A peer as it stood, which may be met without the story being another one afterwards.
    fn again(of: &Store, name: u8) -> Store {
        let copy = store(name);
        meet(&copy, of);
        copy
    }

    fn recover(&self, bytes: &[u8]) -> (RecoverReport, Store) {
        let (old, new) = (self.path("damaged"), self.path("new"));
        for file in ["new", "new.id", "damaged.id"] {
            let _ = std::fs::remove_file(self.path(file));
        }
        std::fs::write(&old, bytes).unwrap();
        let report = Store::recover_telling(&old, &new, &options(9), |_| {}).unwrap();
        assert_eq!(std::fs::read(&old).unwrap(), bytes, "the old store was only read");
        assert!(!self.path("damaged.id").exists());
        let new = Store::open_with(&new, options(9)).unwrap();
        assert_eq!(new.replica(), report.replica);
        let check = new.check().unwrap();
        assert!(check.is_sound(), "{:?}", check.problems);
        (report, new)
    }

    /// What must hold after any damage, and how many of the items that only the old store had
    /// are there again in the end.
    fn goes_on(&self, (report, new): (RecoverReport, Store), what: &str) -> usize {
        let healthy = Self::again(&self.healthy, 12);
        let late = Self::again(&self.late, 13);
        meet(&new, &healthy);
        for space in [main_of(&new), main_of(&healthy)] {
            for n in 0..SHARED {
                let found = value_of(&space, &format!("shared/{n}"));
                let names = space.set::<String>("names").contains(&format!("name {n}")).unwrap();
                if n % 5 == 0 {
                    assert!(found.is_empty() && !names, "{what}: shared/{n} came back: {found:?}");
                } else {
                    assert!(!found.is_empty() && names, "{what}: shared/{n} died");
                }
            }
            for n in 0..40 {
                let sum: i128 = (0..SHARED).filter(|m| m % 40 == n).map(|m| m as i128).sum();
                let found = space.counter(format!("count/{n}")).get().unwrap();
                assert_eq!(found, sum, "{what}: count/{n}");
            }
        }
        assert_eq!(value_of(&new.space("other").unwrap(), "here"), ["too"], "{what}");

        let waited = main_of(&new).waiting().unwrap();
        assert!(waited <= report.waiting);
        assert_eq!(new.adopt().unwrap(), waited, "{what}");
        assert_eq!(main_of(&new).waiting().unwrap(), 0);
        meet(&new, &healthy);
        let own = |space: &Space| {
            let there = (0..OWN).filter(|n| {
                let found = value_of(space, &format!("own/{n}"));
                assert!(found.is_empty() || found == [format!("own {n}")], "{what}: {found:?}");
                let tally = space.counter(format!("tally/{n}")).get().unwrap();
                assert!(tally == 0 || tally == 7, "{what}: tally/{n} is {tally}");
                !found.is_empty()
            });
            there.count()
        };
        let salvaged = own(&main_of(&healthy));
        // One that knew half of what was adopted: until the session is over both count.
        meet(&new, &late);
        meet(&new, &late);
        meet(&new, &healthy);
        let in_the_end = own(&main_of(&new));
        assert!(in_the_end >= salvaged.max(OWN / 2), "{what}: {salvaged} then {in_the_end}");
        assert_eq!(own(&main_of(&late)), in_the_end, "{what}");
        let roots = [&new, &healthy, &late].map(|store| main_of(store).root().unwrap());
        assert!(roots[0] == roots[1] && roots[0] == roots[2], "{what}");
        let check = new.check().unwrap();
        assert!(check.is_sound(), "{what}: {:?}", check.problems);
        salvaged
    }
}

#[test]
fn an_undamaged_store_is_copied_as_it_is() {
    for closes in [true, false] {
        let story = Story::told(closes);
        let (report, new) = story.recover(&story.bytes);
        assert_eq!((report.lost, report.waiting, report.pages_lost), (0, 0, 0));
        assert_eq!((report.spaces, report.incomplete.len()), (2, 0));
        assert!(!report.journal_damaged);
        // It claims all that the old one had seen, so that what that one removed stays so.
        let healthy = Story::again(&story.healthy, 12);
        assert!(meet(&new, &healthy).items_received == 0);
        assert_eq!(story.goes_on((report, new), "whole"), OWN);
    }
}

#[test]
fn one_flipped_bit_costs_nothing() {
    for closes in [true, false] {
        let story = Story::told(closes);
        let mut dice = Dice(5);
        for _ in 0..4 {
            let (at, bit) = (dice.below(story.bytes.len()), dice.below(8));
            let mut bytes = story.bytes.clone();
            bytes[at] ^= 1 << bit;
            let recovered = story.recover(&bytes);
            assert!(recovered.0.incomplete.is_empty(), "bit {bit} of byte {at}: {recovered:?}");
            let what = format!("bit {bit} of byte {at}");
            assert_eq!(story.goes_on(recovered, &what), OWN, "{what}");
        }
    }
}

#[test]
fn lost_pages_delete_nothing_at_a_peer_and_bring_nothing_back() {
    let (mut incomplete, mut whole, mut partly, mut lost) = (0, 0, 0, 0);
    for closes in [true, false] {
        let story = Story::told(closes);
        let mut dice = Dice(7);
        for _ in 0..9 {
            let mut bytes = story.bytes.clone();
            let blocks: Vec<usize> =
                (0..1 + dice.below(120)).map(|_| 4 + dice.below(bytes.len() / 4096 - 4)).collect();
            for block in &blocks {
                let from = block * 4096 + dice.below(3000);
                bytes[from..from + 1000].iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            let what = format!("closed {closes}, blocks {blocks:?}");
            let recovered = story.recover(&bytes);
            incomplete += usize::from(!recovered.0.incomplete.is_empty());
            whole += usize::from(recovered.0.incomplete.is_empty());
            lost += usize::from(recovered.0.lost > 0);
            let salvaged = story.goes_on(recovered, &what);
            partly += usize::from(salvaged > 0 && salvaged < OWN);
        }
    }
    assert!(
        incomplete > 4 && whole > 1 && partly > 1 && lost > 2,
        "{incomplete} {whole} {partly} {lost}"
    );
}

#[test]
fn a_file_cut_short_gives_what_is_left_of_it() {
    let story = Story::told(true);
    for eighths in 1..8 {
        let bytes = &story.bytes[..story.bytes.len() * eighths / 8];
        let recovered = story.recover(bytes);
        story.goes_on(recovered, &format!("{eighths} eighths"));
    }
}

/// Of a killed store the newest writes stand in the journal alone. Damage there once kept all
/// the rest from being read.
#[test]
fn a_killed_store_with_a_damaged_journal_is_recovered() {
    let story = Story::told(false);
    let mut stuck = 0;
    for block in (4..story.bytes.len() / 4096).step_by(3) {
        let mut bytes = story.bytes.clone();
        bytes[block * 4096 + 100..block * 4096 + 1100].fill(0x5a);
        let path = story.path("stuck");
        std::fs::write(&path, &bytes).unwrap();
        let refused = Store::open_with(&path, options(7)).err();
        let _ = std::fs::remove_file(story.path("stuck.id"));
        if !matches!(refused, Some(Error::Storage(StorageError::Corrupt { .. }))) {
            continue;
        }
        let recovered = story.recover(&bytes);
        if !recovered.0.journal_damaged {
            continue;
        }
        stuck += 1;
        if stuck % 8 == 1 {
            story.goes_on(recovered, &format!("block {block}"));
        }
    }
    assert!(stuck > 0, "no block of the journal was hit");
}

/// What the journal says behind its damage of a space that was dropped and begun anew is of the
/// space of that name.
#[test]
fn a_space_begun_anew_in_a_damaged_journal_is_the_one_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for value in ["first", "second"] {
        let store = Store::open_with(at("old"), options(1)).unwrap();
        store.drop_space("other").unwrap();
        for n in 0..30 {
            store.space("other").unwrap().put(format!("{n}"), value, None).unwrap();
        }
        if value == "second" {
            std::fs::copy(at("old"), at("killed")).unwrap();
        }
    }
    let (bytes, mut found) = (std::fs::read(at("killed")).unwrap(), 0);
    for block in 4..bytes.len() / 4096 {
        let mut bytes = bytes.clone();
        bytes[block * 4096 + 100..block * 4096 + 1100].fill(0x5a);
        for file in ["new", "new.id"] {
            let _ = std::fs::remove_file(at(file));
        }
        std::fs::write(at("damaged"), &bytes).unwrap();
        let report = Store::recover_telling(at("damaged"), at("new"), &options(9), |_| {}).unwrap();
        let new = Store::open_with(at("new"), options(9)).unwrap();
        assert!(new.check().unwrap().is_sound(), "block {block}");
        if report.journal_damaged && report.items == 30 {
            assert_eq!(new.spaces("").unwrap(), ["other"], "block {block}: {report:?}");
            found += report.waiting;
        }
    }
    assert!(found > 0, "nothing was found behind damage");
}

fn rows(storage: &RedbStorage, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut rows, all) = (Vec::new(), KeyRange { from: &[], to: None });
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    storage.read().unwrap().scan(table, all, Order::Ascending, &mut visit).unwrap();
    rows
}

fn engine(path: &Path) -> RedbStorage {
    let mut n = 0;
    RedbStorage::open(path, &FileOptions::default(), &mut |bytes| {
        n += 1;
        bytes.fill(n);
    })
    .unwrap()
}

/// Rows that are missing from sound pages, as after a defect: all pages read well.
#[test]
fn a_hole_in_sound_pages_is_no_claim_either() {
    let story = Story::told(true);
    for (tables, known) in [(vec![Table::Items], 1), (vec![Table::Items, Table::Dots], 0)] {
        let path = story.path("holed");
        std::fs::write(&path, &story.bytes).unwrap();
        let _ = std::fs::remove_file(story.path("holed.id"));
        if known == 0 {
            // Only the root tells, so it must have been asked for.
            let store = Store::open_with(&path, options(7)).unwrap();
            main_of(&store).root().unwrap();
        }
        let storage = engine(&path);
        let items = rows(&storage, Table::Items);
        let (item, _) =
            items.iter().rfind(|(key, _)| key.windows(8).any(|w| w == b"shared/7")).unwrap();
        let dot: Vec<u8> = [&item[..4], &item[item.len() - 24..]].concat();
        let delete = storage.write(Durability::Immediate, &mut |to| {
            for table in &tables {
                assert!(to.delete(*table, if *table == Table::Items { item } else { &dot })?);
            }
            Ok(Verdict::Commit)
        });
        delete.unwrap();
        drop(storage);
        let recovered = story.recover(&std::fs::read(&path).unwrap());
        assert_eq!(recovered.0.incomplete, ["main"], "{tables:?}");
        assert_eq!((recovered.0.lost, recovered.0.pages_lost), (known, 0));
        story.goes_on(recovered, &format!("{tables:?}"));
    }
}

#[test]
fn a_lone_store_gets_back_what_was_saved_of_it() {
    let story = Story::told(true);
    let mut bytes = story.bytes.clone();
    let (mut dice, mut tries) = (Dice(1), 0);
    let (report, new) = loop {
        let block = 4 + dice.below(bytes.len() / 4096 - 4);
        bytes[block * 4096 + 50..block * 4096 + 700].fill(0xee);
        let (report, new) = story.recover(&bytes);
        if report.waiting > 0 {
            break (report, new);
        }
        drop(new);
        tries += 1;
        assert!(tries < 50);
    };
    assert_eq!(report.incomplete, ["main"]);
    let space = main_of(&new);
    assert_eq!(space.status().unwrap().waiting, report.waiting);
    assert_eq!(space.status().unwrap().items, 0);
    assert_eq!(new.adopt().unwrap(), report.waiting);
    let mut items = 0;
    let each = space.snapshot().unwrap().for_each_item(Keys::all(), |_| {
        items += 1;
        ControlFlow::Continue(())
    });
    each.unwrap();
    assert_eq!(items, report.waiting);
    // Own counting goes on beside what was adopted, and what a peer knows after all goes in
    // exchange for the peer's.
    for n in 0..40 {
        space.counter(format!("count/{n}")).add(1000).unwrap();
    }
    let late = Story::again(&story.late, 13);
    meet(&new, &late);
    meet(&new, &late);
    for n in 0..40 {
        let sum: i128 = (0..SHARED).filter(|m| m % 40 == n).map(|m| m as i128).sum();
        for side in [&new, &late] {
            assert_eq!(main_of(side).counter(format!("count/{n}")).get().unwrap(), sum + 1000);
        }
    }
    assert!(new.check().unwrap().is_sound());
}

#[test]
fn what_is_in_the_way_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let held = Store::open(at("old")).unwrap();
    held.space("main").unwrap().put("key", "value", None).unwrap();
    let refused = Store::recover(at("old"), at("new"));
    assert!(matches!(refused, Err(Error::Storage(StorageError::AlreadyOpen { .. }))));
    drop(held);
    std::fs::write(at("new"), "something else").unwrap();
    let refused = Store::recover(at("old"), at("new"));
    assert!(matches!(refused, Err(Error::Storage(StorageError::Io { .. }))));
    assert_eq!(std::fs::read(at("new")).unwrap(), b"something else");
    let refused = Store::recover(at("new"), at("other"));
    assert!(matches!(refused, Err(Error::Storage(StorageError::NotAStore { .. }))));
    let refused = Store::recover(at("none"), at("other"));
    assert!(matches!(refused, Err(Error::Storage(StorageError::Io { .. }))));
    assert!(!at("other").exists() && !at("other.id").exists());
    // In place of the original: it is not taken for it.
    std::fs::remove_file(at("old.id")).unwrap();
    let report = Store::recover(at("old"), at("other")).unwrap();
    assert_eq!((report.items, report.waiting), (1, 0));
    assert_eq!(report.file_bytes, std::fs::metadata(at("other")).unwrap().len());
}

/// What waits in a recovered store that is damaged in its turn.
#[test]
fn what_waits_is_saved_with_the_rest() {
    let story = Story::told(true);
    let bytes = story.bytes[..story.bytes.len() * 7 / 8].to_vec();
    let (first, new) = story.recover(&bytes);
    assert!(first.waiting > 0, "{first:?}");
    let waiting = main_of(&new).waiting().unwrap();
    drop(new);
    let bytes = std::fs::read(story.path("new")).unwrap();
    let (_, again) = story.recover(&bytes);
    assert_eq!(main_of(&again).waiting().unwrap(), waiting);
    assert!(again.drop_space("main").unwrap());
    assert_eq!(main_of(&again).waiting().unwrap(), 0);
    // Of the other space something may have been lost by the second damage, or nothing.
    let waiting = again.space("other").unwrap().waiting().unwrap();
    assert_eq!(again.adopt().unwrap(), waiting);
}

/// Of a store of which nothing is lost, what peers took away can be had back as before, and who
/// was away hears of removals by their records, without a walk.
#[test]
fn trash_and_removal_records_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut forgets = options(2);
    forgets.removal_log_bytes = 0;
    let (peer, away) = (Store::in_memory_with(forgets), store(3));
    let old = Store::open_with(at("old"), options(1)).unwrap();
    let space = main_of(&old);
    space.write(|tx| (0..40).try_for_each(|n| tx.set("names").add(&n))).unwrap();
    space.put("note", "value", None).unwrap();
    space.counter("visits").add(3).unwrap();
    meet(&old, &peer);
    main_of(&peer).delete("note").unwrap();
    meet(&old, &peer);
    meet(&old, &away);
    space.set("names").remove(&7).unwrap();
    space.delete("visits").unwrap();
    let kept = |space: &Space| {
        let status = space.status().unwrap();
        (
            status.root,
            status.items,
            status.removal_log_bytes,
            status.trash_items,
            status.trash_bytes,
        )
    };
    let before = kept(&space);
    assert!(before.2 > 0 && before.3 == 1, "{before:?}");
    drop((space, old));

    let report = Store::recover_telling(at("old"), at("new"), &options(9), |_| {}).unwrap();
    assert!(report.incomplete.is_empty(), "{report:?}");
    let new = Store::open_with(at("new"), options(9)).unwrap();
    assert_eq!(kept(&main_of(&new)), before);
    assert!(new.check().unwrap().is_sound());
    let report = meet(&new, &away);
    assert_eq!((report.removals_sent, report.repaired), (2, 0));
    assert_eq!(main_of(&away).set::<i32>("names").len().unwrap(), 39);
    assert_eq!(main_of(&away).counter("visits").get().unwrap(), 0);
    assert_eq!(main_of(&new).trash().restore(|_| true).unwrap().written, 1);
    assert_eq!(value_of(&main_of(&new), "note"), ["value"]);
    // The records have their age: where there is no room, they go.
    drop(new);
    let mut forgets = options(9);
    forgets.removal_log_bytes = 0;
    let new = Store::open_with(at("new"), forgets).unwrap();
    main_of(&new).put("key", "value", None).unwrap();
    assert_eq!(main_of(&new).status().unwrap().removal_log_bytes, 0);
    assert!(new.check().unwrap().is_sound());
}
