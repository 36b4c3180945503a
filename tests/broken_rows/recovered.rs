//! A store that is recovered from rows that cannot be right takes none of them: a check finds it
//! sound, and no other replica loses anything by it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use rejoin::Store;
use rejoin::space::RecoverReport;
use rejoin::storage::{FileOptions, RedbStorage, Table};

use crate::pair::{assert_sound, main_of};
use crate::world::{Row, World, living, open, options_of, rows_of, session, tables_of};

/// The store that is recovered from one of these rows.
fn recovered(folder: &Path, rows: &[Row]) -> (RecoverReport, Store) {
    made(folder, rows);
    from_file(folder)
}

/// Makes a store of these rows.
fn made(folder: &Path, rows: &[Row]) {
    let old = folder.join("old");
    for file in ["old", "old.id"] {
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
}

fn from_file(folder: &Path) -> (RecoverReport, Store) {
    let (old, new) = (folder.join("old"), folder.join("new"));
    for file in ["new", "new.id"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
    let report = Store::recover_telling(&old, &new, &options_of(77), |_| {}).unwrap();
    assert_eq!(report.file_bytes, std::fs::metadata(&new).unwrap().len());
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
    assert!(whole.waiting == 1 && whole.items > 20, "{whole:?}");
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
            // What is gone without a trace nobody counts, and that is one item at most.
            let lost = if gone { 1 } else { report.lost };
            assert!(saved(&report) + lost >= saved(&whole), "{what}: {report:?}");
        }
    }
}

/// The rows of a store with these spaces in which one register each tells its name.
fn stores_of(names: &[&str]) -> (Store, Vec<Row>) {
    let tables = tables_of(1, &[]);
    let store = open(1, &tables).unwrap();
    for name in names {
        let space = store.space(name).unwrap();
        (0..10).for_each(|n| space.put(format!("{n}"), *name, None).unwrap());
    }
    (store, rows_of(&tables))
}

fn changed(rows: &[Row], table: Table, key: &[u8], change: impl Fn(&mut Row)) -> Vec<Row> {
    let mut rows = rows.to_vec();
    let row = rows.iter_mut().find(|row| row.0 == table && row.1 == key);
    change(row.unwrap());
    rows
}

/// What is in each space, after all that waits was taken over.
fn told(store: &Store) -> BTreeMap<String, BTreeSet<String>> {
    store.adopt().unwrap();
    let spaces = store.spaces("").unwrap().into_iter().map(|name| {
        let space = store.space(&name).unwrap();
        let values = (0..10).flat_map(|n| {
            let siblings = space.get(format!("{n}")).unwrap();
            siblings.values().map(|v| String::from_utf8(v.to_vec()).unwrap()).collect::<Vec<_>>()
        });
        (name, values.collect())
    });
    spaces.collect()
}

/// A name is told by the commit that touched the space last, where its row cannot be right; and
/// whatever is wrong, nothing comes to stand in another space, nor is lost when a peer is met.
#[test]
fn a_space_goes_by_the_name_that_is_certain() {
    let folder = tempfile::tempdir().unwrap();
    let (store, rows) = stores_of(&["a", "b"]);
    let one = |of: &str| BTreeSet::from([of.to_owned()]);
    let as_it_was = BTreeMap::from(["a", "b"].map(|name| (name.to_owned(), one(name))));
    let long = [b'm'; 256];
    let names =
        |name: &'static [u8]| changed(&rows, Table::Spaces, b"b", |row| row.1 = name.to_vec());
    let number = |number: [u8; 4]| {
        changed(&rows, Table::Spaces, b"b", |row| row.2[..4].copy_from_slice(&number))
    };
    let mut cases = vec![
        ("no text", names(b"b\xff"), 0),
        ("no name", names(b""), 0),
        ("too long", changed(&rows, Table::Spaces, b"b", |row| row.1 = long.to_vec()), 0),
        ("another", names(b"c"), 1),
        ("that of another", number([0; 4]), 0),
        ("that of none", number([0, 0, 0, 9]), 0),
        ("the last but one", number([0xff, 0xff, 0xff, 0xfe]), 0),
        ("the last", number([0xff; 4]), 0),
    ];
    for number in [0, 1] {
        // The commit is that of the other space, of none, or there is no state.
        let key = [0, 0, 0, number];
        let state = rows.iter().find(|row| row.0 == Table::States && row.1 == key).unwrap();
        let touches: Vec<_> = rows.iter().filter(|row| row.0 == Table::Touched).collect();
        assert_eq!(touches.len(), 2);
        let mut others = rows.clone();
        others.retain(|row| row != state);
        cases.push(("no state", others, 0));
        let mut others = rows.clone();
        others.retain(|row| row.0 != Table::Touched);
        cases.push(("no commits", others, 0));
        let swapped = [(0, 1), (1, 0)].into_iter().fold(rows.clone(), |rows, (from, to)| {
            let name = touches[to].2.clone();
            changed(&rows, Table::Touched, &touches[from].1, |row| row.2 = name.clone())
        });
        cases.push(("swapped", swapped, 2));
    }
    for (what, rows, incomplete) in cases {
        let (report, new) = recovered(folder.path(), &rows);
        assert!(new.check().unwrap().is_sound(), "{what}");
        assert_eq!(report.incomplete.len(), incomplete, "{what}: {report:?}");
        assert_eq!((report.spaces, report.lost), (2, 0), "{what}: {report:?}");
        assert_eq!(report.items + report.waiting, 20, "{what}: {report:?}");
        new.space("another one").unwrap().put("goes", "on", None).unwrap();
        if what != "swapped" {
            let peer = Store::in_memory_with(options_of(2));
            session(&store, &peer, true).unwrap();
            session(&new, &peer, true).unwrap();
            let mut told = told(&new);
            told.remove("another one");
            assert_eq!(told, as_it_was, "{what}");
        }
    }
    // Neither tells.
    let mut rows = names(b"b\xff");
    rows.retain(|row| row.0 != Table::Touched);
    let (report, new) = recovered(folder.path(), &rows);
    assert_eq!((report.incomplete, report.waiting), (vec!["recovered-1".to_owned()], 10));
    assert_eq!(told(&new)["recovered-1"], one("b"));
}

/// Things that a check finds, and that a recovered store once took over, or lost without a word.
#[test]
fn what_no_store_can_say_is_not_taken_over() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let wrong = |rows: &[Row]| !open(1, &tables_of(1, rows)).unwrap().check().unwrap().is_sound();
    let whole = world.recovers(folder.path(), &world.here, "nothing is wrong");
    // One event at two places.
    let (n, row) = world.here.iter().enumerate().find(|(_, row)| row.0 == Table::Items).unwrap();
    let mut rows = world.here.clone();
    let mut second = row.clone();
    second.1[6] ^= 1;
    rows.insert(n, second);
    let report = world.recovers(folder.path(), &rows, "two places");
    assert!(wrong(&rows) && report.incomplete == ["main"], "{report:?}");
    // Something salvaged in a space that there is not.
    let is_salvaged = |row: &&Row| row.0 == Table::Meta && row.1.starts_with(b"salvaged/");
    let salvaged = world.here.iter().find(is_salvaged).unwrap();
    let rows = changed(&world.here, Table::Meta, &salvaged.1, |row| row.1[12] = 9);
    let report = world.recovers(folder.path(), &rows, "nowhere");
    assert!(wrong(&rows) && report.waiting == 0 && report.lost == 1, "{report:?}");
    // An event that is above the vector, and not the half of a delta.
    let is_seen = |row: &&Row| row.0 == Table::Vectors && row.1[4] == 0 && row.1[5] == 1;
    let seen = world.here.iter().find(is_seen).unwrap();
    let rows = changed(&world.here, Table::Vectors, &seen.1, |row| row.2[7] = 1);
    let report = world.recovers(folder.path(), &rows, "above");
    assert!(wrong(&rows) && report.incomplete == ["main"] && report.lost == 0, "{report:?}");
    assert_eq!(report.waiting + report.items, whole.waiting + whole.items);
    // A removal of dots that do not ascend, by which every session would end.
    let removes_two =
        |row: &&Row| row.0 == Table::Removals && row.2.starts_with(&[0]) && row.2[1] > 1;
    let removal = world.here.iter().find(removes_two).unwrap();
    let rows =
        changed(&world.here, Table::Removals, &removal.1, |row| row.2[2..50].rotate_left(24));
    world.recovers(folder.path(), &rows, "not ascending");
    assert!(wrong(&rows));
}

/// A space of which nothing but the trash is left is recovered as often as one likes.
#[test]
fn a_space_that_has_nothing_but_trash_stays() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let mut rows = world.here.clone();
    rows.retain(|row| !matches!(row.0, Table::Items | Table::Dots | Table::Digest));
    rows.retain(|row| row.0 != Table::Vectors && !row.1.starts_with(b"salvaged/"));
    for _ in 0..2 {
        let (report, store) = recovered(folder.path(), &rows);
        let status = main_of(&store).status().unwrap();
        assert!(status.items == 0 && status.trash_items > 0, "{report:?} {status:?}");
        drop(store);
        std::fs::copy(folder.path().join("new"), folder.path().join("old")).unwrap();
        let (report, store) = from_file(folder.path());
        let again = main_of(&store).status().unwrap();
        assert_eq!((report.spaces, again.trash_items), (1, status.trash_items), "{report:?}");
    }
}

/// Of the trash all that is sound, whatever is said of how much there is.
#[test]
fn what_is_sound_of_the_trash_is_counted_anew() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let trashed = |rows: &[Row]| {
        let (_, store) = recovered(folder.path(), rows);
        let mut numbers = Vec::new();
        let visit = main_of(&store).trash().for_each(0, |gone| {
            numbers.push(gone.number);
            ControlFlow::Continue(())
        });
        visit.unwrap();
        assert_eq!(main_of(&store).status().unwrap().trash_items, numbers.len() as u64);
        numbers
    };
    let all = trashed(&world.here);
    let of_trash: Vec<_> = world.here.iter().filter(|row| row.0 == Table::Trash).collect();
    let kinds: BTreeSet<_> = of_trash.iter().map(|row| row.1[4]).collect();
    assert!(!all.is_empty() && kinds.len() == 3, "{kinds:?}");
    for row in of_trash {
        let rows = changed(&world.here, Table::Trash, &row.1, |row| row.2.truncate(1));
        let left = usize::from(row.1[4] == 1);
        assert_eq!(trashed(&rows).len(), all.len() - left, "{row:?}");
    }
}

/// Whichever block of the file is gone: that nothing is lost is said where nothing is, and what
/// remains is all the rest.
#[test]
fn that_nothing_is_lost_is_said_only_where_nothing_is() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    // So much of everything that it takes several pages.
    let tables = tables_of(1, &world.here);
    let store = open(1, &tables).unwrap();
    let space = main_of(&store);
    (0..400).for_each(|n| space.set("many").add(&n).unwrap());
    (0..120).for_each(|n| assert!(space.set("many").remove(&n).unwrap()));
    let mut rows = rows_of(&tables);
    let waits = rows.iter().find(|row| row.1.starts_with(b"salvaged/")).unwrap().clone();
    rows.extend((2..120).map(|seq| {
        let mut row = waits.clone();
        *row.1.last_mut().unwrap() = seq;
        row
    }));
    made(folder.path(), &rows);
    let (report, new) = from_file(folder.path());
    assert!(report.is_whole(), "{report:?}");
    let all = holds(&new);
    assert!(all[0] > 40 && all[1] == 119 && all[2] > 5_000 && all[3] > 0, "{all:?}");
    drop(new);
    let (bytes, mut losses) = (std::fs::read(folder.path().join("old")).unwrap(), BTreeSet::new());
    for block in 0..bytes.len() / 4096 {
        let mut bytes = bytes.clone();
        bytes[block * 4096..][..4096].fill(0);
        std::fs::write(folder.path().join("old"), bytes).unwrap();
        let (report, new) = from_file(folder.path());
        assert!(new.check().unwrap().is_sound(), "block {block}");
        assert_eq!(report.spaces, 1, "block {block}: {report:?}");
        let now = holds(&new);
        assert_eq!(report.is_whole(), now == all, "block {block}: {now:?} of {all:?}, {report:?}");
        losses.extend(report.also_lost);
        // Items that still waited have no other row to tell that they did.
        assert!(now[0] + now[1] >= all[0], "block {block}: {now:?} of {all:?}");
    }
    assert!(losses.len() >= 3, "{losses:?}");
}

/// Where what names the spaces is gone, rows of a damaged page name none: a number in them may be
/// anything.
#[test]
fn a_damaged_page_makes_no_spaces() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let tables = tables_of(1, &world.here);
    let space = main_of(&open(1, &tables).unwrap());
    (0..400).for_each(|n| space.set("many").add(&n).unwrap());
    made(folder.path(), &rows_of(&tables));
    let bytes = std::fs::read(folder.path().join("old")).unwrap();
    let report_of = |bytes: &[u8]| {
        std::fs::write(folder.path().join("old"), bytes).unwrap();
        from_file(folder.path()).0
    };
    let is_named = |block: &usize| bytes[block * 4096..][..4096].windows(4).any(|at| at == b"main");
    let named: Vec<_> = (4..bytes.len() / 4096).filter(is_named).collect();
    let mut spoilt = 0;
    for names in named {
        let mut bytes = bytes.clone();
        bytes[names * 4096..][..4096].fill(0);
        for block in (4..bytes.len() / 4096).filter(|block| *block != names) {
            let mut bytes = bytes.clone();
            let some = &mut bytes[block * 4096 + 1000..block * 4096 + 3500];
            if some.iter().any(|byte| *byte != 0) {
                some.iter_mut().zip((1..=255_u8).cycle()).for_each(|(byte, n)| *byte ^= n);
                let report = report_of(&bytes);
                assert_eq!(report.spaces, 1, "blocks {names} and {block}: {report:?}");
                spoilt += 1;
            }
        }
    }
    assert!(spoilt > 20, "{spoilt}");
}

/// Of the one space that there is, whatever it is called: items, what waits, bytes of records of
/// removals, the trash.
fn holds(store: &Store) -> [u64; 4] {
    let names = store.spaces("").unwrap();
    assert_eq!(names.len(), 1);
    let status = store.space(&names[0]).unwrap().status().unwrap();
    [status.items, status.waiting, status.removal_log_bytes, status.trash_items]
}

/// A recovered store whose adopted items are damaged and salvaged in their turn, or lost: whatever
/// of them anybody knows, each counts once in the end, and is there.
#[test]
fn what_stood_in_is_salvaged_in_its_turn_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tables_of(1, &[]);
    let (old, peer) = (open(1, &tables).unwrap(), Store::in_memory_with(options_of(2)));
    main_of(&old).counter("n").add(5).unwrap();
    main_of(&old).put("note", "tea", None).unwrap();
    session(&old, &peer, true).unwrap();
    let is_seen = |row: &Row| row.0 == Table::Vectors && row.1[4] == 0;
    let broken = |rows: &[Row]| {
        let mut rows = rows.to_vec();
        rows.iter_mut().filter(|row| is_seen(row)).for_each(|row| row.2.truncate(3));
        rows
    };
    let is_right = |store: &Store, what: &str| {
        let main = main_of(store);
        assert_eq!(main.counter("n").get().unwrap(), 5, "{what}");
        let values = main.get("note").unwrap();
        assert_eq!(values.values().collect::<Vec<_>>(), [b"tea"], "{what}");
    };
    let (_, first) = recovered(folder.path(), &broken(&rows_of(&tables)));
    assert_eq!((main_of(&first).waiting().unwrap(), first.adopt().unwrap()), (2, 2));
    is_right(&first, "adopted");
    let knows = Store::in_memory_with(options_of(3));
    session(&first, &knows, true).unwrap();
    drop(first);
    std::fs::copy(folder.path().join("new"), folder.path().join("first")).unwrap();
    let mut drawn = 90;
    let mut entropy = |bytes: &mut [u8]| {
        drawn += 1;
        bytes.fill(drawn);
    };
    let path = folder.path().join("first");
    let file = RedbStorage::open(path, &FileOptions::default(), &mut entropy).unwrap();
    let rows = broken(&rows_of(&file));
    for lost in [false, true] {
        for met in ["nobody", "who knows the first", "who knows the second"] {
            let mut rows = rows.clone();
            rows.retain(|row| !lost || !matches!(row.0, Table::Items | Table::Dots));
            let what = format!("lost {lost}, met {met}");
            let (report, second) = recovered(folder.path(), &rows);
            assert!(second.check().unwrap().is_sound(), "{what}");
            assert_eq!(report.waiting, 2, "{what}: {report:?}");
            let other = match met {
                "who knows the first" => Some(&peer),
                "who knows the second" => Some(&knows),
                _ => None,
            };
            if let Some(other) = other {
                let copy = Store::in_memory_with(options_of(5));
                session(other, &copy, true).unwrap();
                session(&second, &copy, true).unwrap();
            }
            second.adopt().unwrap();
            assert_eq!(main_of(&second).waiting().unwrap(), 0, "{what}");
            is_right(&second, &what);
            // In the end all meet: once to hear of it, and once of what goes by that.
            let copy = Store::in_memory_with(options_of(6));
            session(&peer, &copy, true).unwrap();
            (0..2).for_each(|_| session(&second, &copy, true).unwrap());
            is_right(&copy, &what);
            is_right(&second, &what);
            let copy = Store::in_memory_with(options_of(7));
            session(&knows, &copy, true).unwrap();
            (0..2).for_each(|_| session(&second, &copy, true).unwrap());
            is_right(&copy, &what);
            is_right(&second, &what);
        }
    }
}
