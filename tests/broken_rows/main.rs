//! A row that cannot be right is an error that names it. It is never taken for one that is not
//! there, what fails on it has changed nothing, and no other replica loses anything by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "../pair/mod.rs"]
mod pair;
mod recovered;
mod world;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use rejoin::causal::ReplicaId;
use rejoin::space::{Keys, MassRemoval};
use rejoin::storage::{MemoryStorage, StorageError, Table};
use rejoin::{Error, Space, Store};
use world::{Other, Row, World, living, open, options_of, rows_of, session, tables_of};

/// What one replica may do alone, each in one transaction.
type Work = fn(&Space) -> Result<(), Error>;

const READS: [(&str, Work); 14] = [
    ("status", |s| s.status().map(drop)),
    ("root", |s| s.root().map(drop)),
    ("items", |s| s.for_each_item(Keys::all(), |_| ControlFlow::Continue(()))),
    ("keys", |s| s.keys(Keys::all()).map(drop)),
    ("value", |s| s.get("note").map(drop)),
    ("register", |s| s.mv_register::<String>("both").get().map(drop)),
    ("counter", |s| s.counter("visits").get().map(drop)),
    ("set", |s| s.set::<i32>("cart").elements().map(drop)),
    ("set in which removing wins", |s| s.rw_set::<String>("guests").elements().map(drop)),
    ("flags", |s| s.flag("done").get().and(s.dw_flag("sure").get()).map(drop)),
    ("map", |s| s.map::<String>("user").fields().map(drop)),
    ("held", |s| s.held().map(drop)),
    ("trash", |s| s.trash().for_each(0, |_| ControlFlow::Continue(()))),
    ("waiting", |s| s.waiting().map(drop)),
];

const WRITES: [(&str, Work); 12] = [
    ("put", |s| s.put("note", "new", None)),
    ("set register", |s| s.register("title").set(&"New".to_owned())),
    ("set multi-value register", |s| s.mv_register("both").set(&"y".to_owned())),
    ("count", |s| s.counter("visits").add(1)),
    ("add", |s| s.set("cart").add(&77)),
    ("remove", |s| s.set("cart").remove(&3).map(drop)),
    ("remove where removing wins", |s| s.rw_set("guests").remove(&"Ada".to_owned())),
    ("disable", |s| s.flag("done").disable()),
    ("delete", |s| s.delete("cart").map(drop)),
    ("restore", |s| s.trash().restore(|_| true).map(drop)),
    ("empty", |s| s.trash().empty().map(drop)),
    ("decide", |s| s.decide(ReplicaId::from_bytes([2; 16]), MassRemoval::Keep)),
];

type WorkOnAll = fn(&Store) -> Result<(), Error>;

/// What is done with a whole store, in as many transactions as it takes.
const WHOLE: [(&str, WorkOnAll); 4] = [
    ("drop", |s| s.drop_space("main").map(drop)),
    ("compact", Store::compact),
    ("write to another space", |s| s.space("gone")?.put("key", "value", None)),
    ("adopt", |s| s.adopt().map(drop)),
];

fn says_so(error: &Error) -> bool {
    matches!(error, Error::Storage(StorageError::Corrupt { .. } | StorageError::Damaged { .. }))
}

/// What cannot be made again: all but hashes, and what was found wrong.
fn kept(storage: &MemoryStorage) -> Vec<Row> {
    let mut rows = rows_of(storage);
    rows.retain(|(table, ..)| !matches!(table, Table::Digest | Table::Meta | Table::Spaces));
    rows
}

impl World {
    /// Tries all that can be done with these rows; by what it was noticed that they are not right.
    fn with(&self, rows: Vec<Row>) -> Vec<String> {
        let mut broken = Broken { world: self, rows, noticed_by: Vec::new() };
        broken.try_all();
        broken.noticed_by
    }
}

/// A store of which one row is not what it must be.
struct Broken<'a> {
    world: &'a World,
    rows: Vec<Row>,
    noticed_by: Vec<String>,
}

impl Broken<'_> {
    fn fresh(&self) -> MemoryStorage {
        tables_of(1, &self.rows)
    }

    fn store(&self) -> Store {
        open(1, &self.fresh()).unwrap()
    }

    /// Notes what failed; whether it did.
    fn look(&mut self, what: &str, done: &Result<(), Error>) -> bool {
        if let Err(error) = done {
            assert!(says_so(error), "{what}: {error}");
            self.noticed_by.push(what.to_owned());
        }
        done.is_err()
    }

    /// Tries all that can be done with the store, each on rows of its own.
    fn try_all(&mut self) {
        if let Err(error) = open(1, &self.fresh()) {
            self.look("open", &Err(error));
            return;
        }
        for (what, work) in READS.into_iter().chain(WRITES) {
            let storage = self.fresh();
            let before = kept(&storage);
            let done = open(1, &storage).unwrap().space("main").and_then(|space| work(&space));
            if self.look(what, &done) {
                assert!(kept(&storage) == before, "{what} failed and changed something");
            }
        }
        for (what, work) in WHOLE {
            let done = work(&self.store());
            self.look(what, &done);
        }
        let mut forgets = options_of(1);
        forgets.removal_log_bytes = 0;
        let store = Store::on(Box::new(self.fresh()), forgets).unwrap();
        let done = store.space("main").and_then(|space| space.put("key", "value", None));
        self.look("trim the log", &done);
        for other in &self.world.others {
            [true, false].into_iter().for_each(|connects| self.meet(other, connects));
        }
        let store = self.store();
        let report = store.check().unwrap();
        assert_eq!(report.is_sound(), store.damage().unwrap().is_none());
        // What anybody came upon, a check finds too.
        assert!(!report.is_sound() || self.noticed_by.is_empty(), "{:?}", self.noticed_by);
        if !report.is_sound() {
            self.noticed_by.push("check".to_owned());
        }
    }

    fn meet(&mut self, other: &Other, connects: bool) {
        let there = open(other.name, &tables_of(other.name, &other.rows)).unwrap();
        let before = living(&there);
        let store = self.store();
        let done = session(&store, &there, connects);
        self.look("session", &done);
        // Or else it would be taken back, and come upon again.
        if let Some(found) = store.damage().unwrap() {
            assert!(!store.check().unwrap().is_sound(), "{found}, and a check finds nothing");
        }
        let gone: BTreeSet<_> = before.difference(&living(&there)).copied().collect();
        assert!(gone.is_subset(&other.lost), "{} lost {gone:?}", other.name);
    }
}

/// What may be cut without anybody's noticing: a shorter payload of what was salvaged is one too.
fn may_pass(table: Table, key: &[u8], len: usize) -> bool {
    table == Table::Meta && key.starts_with(b"salvaged/") && len > 1
}

#[test]
fn a_row_cut_short_is_an_error_and_deletes_nothing() {
    let world = World::new();
    assert!(world.with(world.here.clone()).is_empty(), "nothing is wrong yet");
    for (n, (table, key, value)) in world.here.iter().enumerate() {
        for len in BTreeSet::from([0, 1, value.len().saturating_sub(1)]) {
            if len >= value.len() {
                continue;
            }
            let mut rows = world.here.clone();
            rows[n].2.truncate(len);
            let noticed = !world.with(rows).is_empty();
            let what = || format!("{table:?} {}, {len} bytes", key.escape_ascii());
            assert!(noticed || may_pass(*table, key, len), "{}", what());
        }
    }
}

/// The past of an item is under no hash; out of order it is none.
#[test]
fn a_past_out_of_order_is_found_by_whoever_reads_it_and_by_a_check() {
    let world = World::new();
    let is_past = |row: &&Row| row.0 == Table::Items && row.2[0] == 2;
    let n = world.here.iter().position(|row| is_past(&row)).expect("of two origins");
    let mut rows = world.here.clone();
    // A count, and two entries of 16 bytes and a short number.
    let (first, second) = rows[n].2[1..35].split_at_mut(17);
    first.swap_with_slice(second);
    let noticed = world.with(rows);
    assert!(noticed.iter().any(|by| by == "session") && noticed.iter().any(|by| by == "check"));
}

/// A row under the beginning of another one's key, where none has its place.
#[test]
fn a_row_under_a_key_cut_short_deletes_nothing() {
    let world = World::new();
    let begin = |row: &Row| (row.0, row.1[..5.min(row.1.len())].to_vec(), row.2.clone());
    let mut strange: Vec<Row> = world.here.iter().map(begin).collect();
    strange.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
    strange.retain(|row| world.here.iter().all(|(table, key, _)| (*table, key) != (row.0, &row.1)));
    for row in strange {
        let noticed = !world.with(world.here.iter().chain([&row]).cloned().collect()).is_empty();
        let may_be = matches!(row.0, Table::Meta | Table::Spaces | Table::States);
        assert!(noticed || may_be, "{:?} {}", row.0, row.1.escape_ascii());
    }
}

/// A row of an item, of its dot or of the digest, or what is remembered of others, is not there
/// at all. Of some nobody can tell, but nobody else loses anything.
#[test]
fn a_row_that_is_gone_deletes_nothing_elsewhere() {
    let world = World::new();
    for n in 0..world.here.len() {
        let mut rows = world.here.clone();
        let (table, key, _) = rows.remove(n);
        let counted = matches!(table, Table::Items | Table::Dots | Table::Digest);
        if counted || matches!(table, Table::Bases | Table::Trash) {
            let noticed = !world.with(rows).is_empty();
            assert!(noticed || !counted, "{table:?} {}", key.escape_ascii());
        }
    }
}

/// A number as great as there can be, in place of each byte of rows that count, and the touch of a
/// space: nothing adds to it.
#[test]
fn a_number_at_its_end_is_a_broken_row() {
    let world = World::new();
    let last = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let counts = |(table, key, _): &Row| match table {
        Table::States | Table::Trash => true,
        Table::Meta => key.starts_with(b"names/"),
        _ => false,
    };
    let mut tables = BTreeSet::new();
    for (n, row) in world.here.iter().enumerate().filter(|(_, row)| counts(row)) {
        tables.insert(format!("{:?}", row.0));
        let mut noticed = 0;
        for at in 0..row.2.len().min(40) {
            let mut rows = world.here.clone();
            rows[n].2.splice(at..=at, last);
            // In most places it is no number.
            noticed += usize::from(world.with(rows).iter().any(|by| by == "check"));
        }
        assert!(noticed > 0, "{row:?}");
    }
    assert_eq!(tables.len(), 3, "{tables:?}");
    let touched = world.here.iter().rposition(|row| row.0 == Table::Touched).unwrap();
    let mut rows = world.here.clone();
    rows[touched].1 = vec![0xff; 8];
    assert!(world.with(rows).iter().any(|by| by == "check"));
    // A meeting with somebody about all spaces: the commit, and which meeting it was.
    let met = |count: &[u8]| {
        let key = [b"met/".as_slice(), &[9; 16], &[3; 16]].concat();
        let row = (Table::Meta, key, [&[1], count].concat());
        world.with(world.here.iter().chain([&row]).cloned().collect())
    };
    assert!(met(&[1]).is_empty());
    assert!(met(&last).iter().any(|by| by == "check"));
}

/// What is touched up to a commit that has not been would be taken for unchanged: two stores
/// would call themselves equal.
#[test]
fn the_number_of_a_commit_that_has_not_been_is_a_broken_row() {
    let world = World::new();
    let last = world.here.iter().rfind(|(table, ..)| *table == Table::Touched).unwrap();
    let last = u64::from_be_bytes(last.1.as_slice().try_into().unwrap());
    let leaves = |upto: u64| {
        let mut rows = world.here.clone();
        rows.retain(|(table, key, _)| (*table, key.as_slice()) != (Table::Meta, b"leaves"));
        rows.push((Table::Meta, b"leaves".to_vec(), upto.to_be_bytes().to_vec()));
        world.with(rows)
    };
    let met = |upto: u64| {
        let key = [b"met/".as_slice(), &[9; 16], &[3; 16]].concat();
        let row = (Table::Meta, key, vec![u8::try_from(upto).unwrap(), 1]);
        world.with(world.here.iter().chain([&row]).cloned().collect())
    };
    for (name, with) in [("leaves", &leaves as &dyn Fn(u64) -> Vec<String>), ("met", &met)] {
        assert!(with(last).is_empty(), "{name}");
        assert!(with(last + 1).iter().any(|by| by == "check"), "{name}");
    }
}

/// Another one's, one that the next space will be given, or one without a name.
#[test]
fn a_number_of_a_space_that_is_another_one_s_is_found_by_a_check() {
    let world = World::new();
    let is_count = |row: &&Row| row.0 == Table::Meta && row.1 == b"spaces";
    let count = world.here.iter().find(is_count).unwrap().2.clone();
    let name = world.here.iter().find(|row| row.0 == Table::Spaces).unwrap();
    let found = |rows: Vec<Row>| open(1, &tables_of(1, &rows)).unwrap().check().unwrap().problems;
    assert!(found(world.here.clone()).is_empty());
    for number in [count.as_slice(), &[0xff; 4], &name.2] {
        let more = (Table::Spaces, b"more".to_vec(), number.to_vec());
        let problems = found(world.here.iter().chain([&more]).cloned().collect());
        let says_so = |p: &String| p.contains("another one's") || p.contains("more: not a number");
        assert!(problems.iter().any(says_so), "{problems:?}");
    }
    let nameless = world.here.iter().filter(|row| row.0 != Table::Spaces).cloned().collect();
    let problems = found(nameless);
    assert_eq!(problems[0], "the space of number 0 has no name");
    assert!(problems[1].contains("waits in no space"), "{problems:?}");
}

/// What is no text names no space.
#[test]
fn a_space_whose_name_is_no_text_is_found_by_a_check() {
    let world = World::new();
    let row = (Table::Spaces, b"ma\xff".to_vec(), vec![0, 0, 0, 9]);
    let noticed = world.with(world.here.iter().chain([&row]).cloned().collect());
    assert!(noticed.iter().any(|by| by == "check"), "{noticed:?}");
}
