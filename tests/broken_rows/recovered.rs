//! A store that is recovered from rows that cannot be right takes none of them: a check finds it
//! sound, and no other replica loses anything by it.

use std::collections::BTreeSet;
use std::path::Path;

use rejoin::Store;
use rejoin::space::RecoverReport;
use rejoin::storage::{FileOptions, RedbStorage, Table};

use crate::pair::{assert_sound, main_of};
use crate::world::{Row, World, living, open, options_of, session, tables_of};

/// The store that is recovered from one of these rows.
fn recovered(folder: &Path, rows: &[Row]) -> (RecoverReport, Store) {
    let (old, new) = (folder.join("old"), folder.join("new"));
    for file in ["old", "old.id", "new", "new.id"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
    let mut drawn = 0;
    let mut entropy = |bytes: &mut [u8]| {
        drawn += 1;
        bytes.fill(drawn);
    };
    let made = RedbStorage::make(&old, &FileOptions::default(), &mut entropy, &mut |to| {
        rows.iter().try_for_each(|(table, key, row)| to.put(*table, key, row))
    });
    drop(made.unwrap());
    let report = Store::recover_telling(&old, &new, &options_of(77), |_| {}).unwrap();
    let store = Store::open_with(&new, options_of(78)).unwrap();
    (report, store)
}

impl World {
    /// Recovers a store of these rows, and lets it meet the one who knows most.
    fn recovers(&self, folder: &Path, rows: &[Row], what: &str) -> RecoverReport {
        let (report, store) = recovered(folder, rows);
        let check = store.check().unwrap();
        assert!(check.is_sound(), "{what}: {:?}", check.problems);
        let other = &self.others[0];
        let there = open(other.name, &tables_of(other.name, &other.rows)).unwrap();
        let before = living(&there);
        session(&store, &there, true).unwrap_or_else(|error| panic!("{what}: {error}"));
        let gone: BTreeSet<_> = before.difference(&living(&there)).copied().collect();
        assert!(gone.is_subset(&other.lost), "{what}: {gone:?}");
        assert_sound(&store);
        main_of(&store).put("goes on", "here", None).unwrap();
        report
    }
}

#[test]
fn rows_that_cannot_be_right_do_not_come_along() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let whole = world.recovers(folder.path(), &world.here, "nothing is wrong");
    assert_eq!((whole.lost, whole.incomplete.len()), (0, 0));
    let saved = |report: &RecoverReport| report.items + report.waiting;
    let last = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    for (n, (table, key, value)) in world.here.iter().enumerate() {
        let cut = |len: usize| value[..len.min(value.len())].to_vec();
        let at = |at: usize| {
            let mut value = value.clone();
            value.splice(at.min(value.len())..(at + 1).min(value.len()), last);
            value
        };
        let half = value.len() / 2;
        let ways = [cut(0), cut(1), cut(value.len().saturating_sub(1)), at(0), at(1), at(half)];
        let ways = ways.map(Some).into_iter().chain([None]); // or gone
        // Of those of which there are many, each in one way, by turns; others in all.
        let many = matches!(table, Table::Items | Table::Dots | Table::Digest | Table::Removals);
        for way in ways.skip(if many { n % 7 } else { 0 }).step_by(if many { 7 } else { 1 }) {
            let what = format!("{table:?} {}: {way:?}", key.escape_ascii());
            let (mut rows, gone) = (world.here.clone(), way.is_none());
            match way {
                Some(value) => rows[n].2 = value,
                None => drop(rows.remove(n)),
            }
            let report = world.recovers(folder.path(), &rows, &what);
            // What is above a vector that is gone may be the half of a delta.
            let above = gone && *table == Table::Vectors;
            assert!(above || saved(&report) + 1 >= saved(&whole), "{what}: {report:?}");
        }
    }
}

#[test]
fn a_space_without_a_name_that_can_be_gets_one() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let is_name = |row: &&Row| row.0 == Table::Spaces && row.1 == b"main";
    let n = world.here.iter().position(|row| is_name(&row)).unwrap();
    let long = [b'm'; 256];
    for name in [b"ma\xffn".as_slice(), b"", &long] {
        let mut rows = world.here.clone();
        rows[n].1 = name.to_vec();
        let report = world.recovers(folder.path(), &rows, &name.escape_ascii().to_string());
        assert_eq!(report.incomplete, ["recovered-0"]);
        assert!(report.waiting > 10, "{report:?}");
    }
    // Two names for one number, and a number that is another's: nothing is lost of either.
    let mut rows = world.here.clone();
    rows.push((Table::Spaces, b"more".to_vec(), rows[n].2.clone()));
    let report = world.recovers(folder.path(), &rows, "two names");
    assert_eq!(report.incomplete.len(), 1, "{report:?}");
    let mut rows = world.here.clone();
    rows[n].2[3] = 9;
    let report = world.recovers(folder.path(), &rows, "another number");
    assert!(
        report.waiting > 10 && report.incomplete.contains(&"recovered-0".to_owned()),
        "{report:?}"
    );
}
