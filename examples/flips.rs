//! One flipped bit: what a store makes of it, and what a plain redb database does.
//!
//! `cargo run --release --example flips [FLIPS [SEED]]`
//!
//! For each flip a bit anywhere in the file is turned over, the file opened, and every row
//! read by a scan and by its key; where one cannot be, the others
//! still must be, once the file is opened anew. Plain redb gets no more than 4,000 of the flips:
//! now and then one makes it panic while it panics, which ends the process. Half of the files were closed in peace; of the others a
//! copy was taken in the middle of a transaction, as a process that is killed leaves them.
#![allow(clippy::indexing_slicing, reason = "what is counted and flipped is ours")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use redb::{Database, ReadableDatabase, TableDefinition};
use rejoin::storage::{
    Durability, FileOptions, KeyRange, Order, RedbStorage, Storage, StorageError, Table, Verdict,
};

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// What became of a flip.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// Every row as it was.
    Right,
    /// An error that names the place of the damage; nine of ten rows, or more, are read as they
    /// were.
    Corrupt,
    /// The same, and fewer rows can be read: the others lead through that place.
    Closed,
    /// Another error.
    Refused,
    /// Rows that are wrong, missing, or of an older state, and no error.
    Wrong,
    Panic,
}

const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Right, "right data"),
    (Outcome::Corrupt, "corrupt, with its place"),
    (Outcome::Closed, "the same, many rows gone"),
    (Outcome::Refused, "another error"),
    (Outcome::Wrong, "silently wrong"),
    (Outcome::Panic, "panic"),
];

/// A kind of file: how it is made and read.
pub(crate) trait Kind {
    /// Writes these rows, and closes; or leaves a copy of a file in which another transaction
    /// was on its way.
    fn make(&self, path: &Path, rows: &Rows, crashed: bool) -> Result<(), Box<dyn Error>>;

    /// Every row, or what becomes of a file that does not give these.
    fn read(&self, path: &Path, wanted: &Rows) -> Result<Rows, Outcome>;
}

pub(crate) struct Store;
struct PlainRedb;

const PLAIN: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

/// Small, so that a transaction on its way has written to the file.
const CACHE_BYTES: usize = 100_000;

fn open(path: &Path) -> Result<RedbStorage, StorageError> {
    let options = FileOptions { cache_bytes: CACHE_BYTES, ..FileOptions::default() };
    // The same names again and again will do for files that no other replica meets.
    RedbStorage::open(path, &options, &mut |bytes| bytes.fill(7))
}

/// What is written when the process dies: other values under half of the keys.
fn unfinished(rows: &Rows) -> impl Iterator<Item = (&Vec<u8>, Vec<u8>)> {
    rows.iter().step_by(2).map(|(key, value)| (key, vec![0xee; value.len()]))
}

impl Kind for Store {
    fn make(&self, path: &Path, rows: &Rows, crashed: bool) -> Result<(), Box<dyn Error>> {
        let made = path.with_extension("made");
        let storage = open(&made)?;
        for part in rows.iter().collect::<Vec<_>>().chunks(rows.len() / 5) {
            storage.write(Durability::Immediate, &mut |write| {
                for (key, value) in part {
                    write.put(Table::Items, key, value)?;
                }
                Ok(Verdict::Commit)
            })?;
        }
        let copy = || fs::copy(&made, path).map(drop);
        if crashed {
            let mut copied = Ok(());
            storage.write(Durability::Immediate, &mut |write| {
                for (key, value) in unfinished(rows) {
                    write.put(Table::Items, key, &value)?;
                }
                copied = copy();
                Ok(Verdict::Abort)
            })?;
            copied?;
        } else {
            drop(storage);
            copy()?;
        }
        Ok(())
    }

    fn read(&self, path: &Path, wanted: &Rows) -> Result<Rows, Outcome> {
        let rows = || -> Result<Rows, StorageError> {
            let storage = open(path)?;
            let mut found = Rows::new();
            let all = KeyRange { from: &[], to: None };
            storage.read()?.scan(Table::Items, all, Order::Ascending, &mut |key, value| {
                found.insert(key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            })?;
            let snapshot = storage.read()?;
            for (key, value) in &mut found {
                if snapshot.get(Table::Items, key)?.as_ref() != Some(value) {
                    value.clear();
                }
            }
            Ok(found)
        };
        rows().map_err(|error| match outcome_of(&error) {
            Outcome::Corrupt => the_rest(path, wanted),
            other => other,
        })
    }
}

fn outcome_of(error: &StorageError) -> Outcome {
    match error {
        StorageError::Corrupt { place, .. } if place.contains("block") => Outcome::Corrupt,
        // A panic inside the engine, which did not come out of the library.
        StorageError::EnginePanic { .. } => Outcome::Panic,
        _ => Outcome::Refused,
    }
}

/// What becomes of a damaged file of whose rows some are asked for one by one: each is as it
/// was, or the damage is named again. After an error the store is opened anew.
fn the_rest(path: &Path, wanted: &Rows) -> Outcome {
    let (mut asked, mut readable) = (0, 0);
    let mut opened = None;
    for (key, value) in wanted.iter().step_by(7) {
        asked += 1;
        let storage = match opened.take() {
            Some(storage) => Ok(storage),
            None => open(path),
        };
        let Ok(storage) = storage else { return Outcome::Closed };
        match storage.read().and_then(|snapshot| snapshot.get(Table::Items, key)) {
            Ok(Some(found)) if found == *value => {
                readable += 1;
                opened = Some(storage);
            }
            Ok(_) => return Outcome::Wrong,
            Err(error) => match outcome_of(&error) {
                Outcome::Corrupt => {}
                other => return other,
            },
        }
    }
    if readable * 10 >= asked * 9 { Outcome::Corrupt } else { Outcome::Closed }
}

impl Kind for PlainRedb {
    fn make(&self, path: &Path, rows: &Rows, crashed: bool) -> Result<(), Box<dyn Error>> {
        let made = path.with_extension("made");
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&made)?;
        let put = |part: &mut dyn Iterator<Item = (&Vec<u8>, Vec<u8>)>| {
            let mut write = database.begin_write()?;
            write.set_quick_repair(true);
            let mut table = write.open_table(PLAIN)?;
            for (key, value) in part {
                table.insert(&key[..], &value[..])?;
            }
            drop(table);
            Ok::<_, Box<dyn Error>>(write)
        };
        for part in rows.iter().collect::<Vec<_>>().chunks(rows.len() / 5) {
            put(&mut part.iter().map(|&(key, value)| (key, value.clone())))?.commit()?;
        }
        if crashed {
            let write = put(&mut unfinished(rows))?;
            fs::copy(&made, path)?;
            write.abort()?;
        } else {
            drop(database);
            fs::copy(&made, path)?;
        }
        Ok(())
    }

    fn read(&self, path: &Path, _: &Rows) -> Result<Rows, Outcome> {
        let rows = || -> Result<Rows, redb::Error> {
            let database = Database::builder().set_cache_size(CACHE_BYTES).open(path)?;
            let table = database.begin_read()?.open_table(PLAIN)?;
            let mut found = Rows::new();
            for row in table.range::<&[u8]>(..)? {
                let (key, value) = row?;
                found.insert(key.value().to_vec(), value.value().to_vec());
            }
            for (key, value) in &mut found {
                if table.get(&key[..])?.is_none_or(|there| there.value() != &value[..]) {
                    value.clear();
                }
            }
            Ok(found)
        };
        rows().map_err(|_| Outcome::Refused)
    }
}

/// Flips of plain redb, at most.
const PLAIN_FLIPS: usize = 4_000;

/// Random numbers from a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count as u64) as usize
    }

    /// A byte of the file: of its first blocks, of a block in use, or anywhere.
    fn byte(&mut self, file: &[u8]) -> usize {
        match self.below(4) {
            0 => self.below(5) * 4096 + self.below(512),
            1 => self.below(file.len()),
            _ => loop {
                let block = self.below(file.len() / 4096) * 4096;
                if file[block..block + 4096].iter().any(|&byte| byte != 0) {
                    break block + self.below(4096);
                }
            },
        }
    }
}

/// Short rows and long ones, some of them over several blocks.
fn rows(dice: &mut Dice, count: u32) -> Rows {
    (0..count)
        .map(|n| {
            let most = [20, 200, 200, 6000, 20_000][dice.below(if n % 20 == 0 { 5 } else { 3 })];
            let value = (0..dice.below(most)).map(|_| dice.below(256) as u8).collect();
            (n.to_be_bytes().to_vec(), value)
        })
        .collect()
}

/// How many flips of a file with so many rows became what.
pub(crate) fn flip(
    kind: &dyn Kind,
    folder: &Path,
    (rows, flips): (u32, usize),
    crashed: bool,
    dice: &mut Dice,
) -> Result<[usize; 6], Box<dyn Error>> {
    let rows = self::rows(dice, rows);
    let path: PathBuf = folder.join(if crashed { "crashed" } else { "closed" });
    kind.make(&path, &rows, crashed)?;
    let sound = fs::read(&path)?;
    assert_eq!(kind.read(&path, &rows).map_err(|outcome| format!("{outcome:?}"))?, rows);
    let mut outcomes = [0; 6];
    for _ in 0..flips {
        let mut flipped = sound.clone();
        flipped[dice.byte(&sound)] ^= 1 << dice.below(8);
        fs::write(&path, flipped)?;
        let outcome = match catch_unwind(AssertUnwindSafe(|| kind.read(&path, &rows))) {
            Ok(Ok(found)) if found == rows => Outcome::Right,
            Ok(Ok(_)) => Outcome::Wrong,
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::Panic,
        };
        outcomes[outcome as usize] += 1;
    }
    Ok(outcomes)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let flips = args.next().map_or(Ok(400), |flips| flips.parse())?;
    let seed = args.next().map_or(Ok(1), |seed| seed.parse())?;
    // The panics are counted; a report of each would hide the table.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{flips} flips, seed {seed}\n");
    print!("{:24}", "");
    OUTCOMES.iter().for_each(|(_, name)| print!("{name:>25}"));
    let mut bad = 0;
    for (name, kind, most) in
        [("a store", &Store as &dyn Kind, usize::MAX), ("redb", &PlainRedb, PLAIN_FLIPS)]
    {
        for (state, crashed) in [("closed", false), ("crashed", true)] {
            let folder = tempfile::tempdir()?;
            let mut dice = Dice(seed + 1_000_003);
            let flips = flips.min(most) / 2;
            let outcomes = flip(kind, folder.path(), (1500, flips), crashed, &mut dice)?;
            print!("\n{:24}", format!("{name}, {state}"));
            OUTCOMES.iter().for_each(|(outcome, _)| print!("{:>25}", outcomes[*outcome as usize]));
            std::io::stdout().flush()?;
            if most > PLAIN_FLIPS {
                let all = [Outcome::Refused, Outcome::Wrong, Outcome::Panic];
                bad += all.map(|outcome| outcomes[outcome as usize]).iter().sum::<usize>();
            }
        }
    }
    println!();
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
