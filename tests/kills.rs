//! `kill -9` at any moment of an import, a sync, while compacting or recovering: what was
//! acknowledged stays, what was removed stays away, and what was not acknowledged is there
//! whole or not at all.
//!
//! Two stores write rows of their own, meet, and then each writes those of the other. Each
//! kill strikes an import that reads from a pipe, or one of the two processes of a sync. Both
//! stores are then checked against themselves, every time, and compared with a model.
//! An import that exited with 0 is acknowledged; of one that was killed, the first so many
//! commits are there. A sync that was killed has moved each store from one moment of the other
//! to a later one, or not at all. Compacting changes nothing that anybody sees, and a recovery
//! leaves the old store as it was and the new one whole or not there.
//!
//! `REJOIN_KILLS` says how many kills, `REJOIN_KILLS_ROWS` how many rows there are at first,
//! `REJOIN_KILLS_SEED` what is drawn. The moment of a kill is drawn too, but what the process
//! is doing then depends on the machine: a seed tells the same story only roughly.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code, reason = "each test uses some of it")]
#[path = "cli/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rejoin::sim::Random;
use rejoin::space::Keys;
use rejoin::storage::Identity;
use rejoin::{Snapshot, Space, Store};
use world::World;

/// Lines in one commit of an import, as its help says.
const COMMIT_LINES: usize = 10_000;

/// Of this many rows on, all of them are compared with the model after fewer of the kills.
const MANY_ROWS: usize = 100_000;

const STORES: [&str; 2] = ["a", "b"];

/// What stands under a key. A later version takes the place of an earlier one; a version may
/// be that there is nothing.
#[derive(Clone, Copy, Default)]
struct Row {
    version: u32,
    live: bool,
}

/// A line of an import: the row of this number becomes this.
#[derive(Clone, Copy)]
struct Change {
    number: usize,
    row: Row,
}

/// The rows that one of the stores writes.
struct Rows {
    /// What their keys start with.
    name: &'static str,
    /// As they stand where they are written.
    written: Vec<Row>,
    /// As the other store last saw those that have changed since.
    before: BTreeMap<usize, Row>,
    /// Those that were not looked at since all were.
    touched: BTreeSet<usize>,
}

struct Kills {
    world: World,
    random: Random,
    /// By the store that writes them.
    rows: [Rows; 2],
    /// How long an import takes for a line, about.
    of_a_line: Duration,
    slowest_open: Duration,
    /// Imports of several commits, in percent.
    large: usize,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A row, wherever it is looked for.
fn found(space: &Snapshot, key: &str) -> Option<String> {
    let siblings = space.get(key).unwrap();
    assert!(siblings.len() <= 1, "only one store at a time writes {key}");
    siblings.values().next().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// What is to be found under the key of a row.
fn value(number: usize, row: Row) -> Option<String> {
    row.live.then(|| format!("version {} of {number}", row.version))
}

/// SIGKILL; whether the process had ended before.
fn kill(mut child: Child) -> bool {
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), None | Some(0)), "it failed before it was killed: {status}");
    status.success()
}

impl Rows {
    fn named(name: &'static str) -> Self {
        Self { name, written: Vec::new(), before: BTreeMap::new(), touched: BTreeSet::new() }
    }

    fn key(&self, number: usize) -> String {
        format!("{}/{number:08}", self.name)
    }

    fn lines(&self, changes: &[Change]) -> String {
        let mut text = String::new();
        for &Change { number, row } in changes {
            let key = self.key(number);
            let _ = match value(number, row) {
                Some(value) => writeln!(text, r#"{{"op":"put","key":"{key}","value":"{value}"}}"#),
                None => writeln!(text, r#"{{"op":"delete","key":"{key}"}}"#),
            };
        }
        text
    }

    /// Changes of as many rows, each of another one, so that it shows which were made.
    fn draw(&self, random: &mut Random, count: usize) -> Vec<Change> {
        let (mut drawn, mut changes) = (BTreeSet::new(), Vec::new());
        let mut new = self.written.len();
        for _ in 0..count {
            let old = random.below(self.written.len());
            let change = match self.written.get(old) {
                Some(row) if random.percent(60) && drawn.insert(old) => {
                    let live = !row.live || random.percent(40);
                    Change { number: old, row: Row { version: row.version + 1, live } }
                }
                _ => {
                    new += 1;
                    Change { number: new - 1, row: Row { version: 1, live: true } }
                }
            };
            changes.push(change);
        }
        changes
    }

    /// These changes stand in the store that writes the rows.
    fn apply(&mut self, changes: &[Change]) {
        for &Change { number, row } in changes {
            if number >= self.written.len() {
                self.written.resize(number + 1, Row::default());
            }
            self.before.entry(number).or_insert(self.written[number]);
            self.written[number] = row;
            self.touched.insert(number);
        }
    }

    /// As the other store sees it.
    fn elsewhere(&self, number: usize) -> Row {
        self.before.get(&number).copied().unwrap_or(self.written[number])
    }
}

impl Kills {
    fn path(&self, store: usize) -> std::path::PathBuf {
        self.world.path(STORES[store])
    }

    /// A row, as a store must show it.
    fn seen(&self, store: usize, writer: usize, number: usize) -> Option<String> {
        let rows = &self.rows[writer];
        let row = if store == writer { rows.written[number] } else { rows.elsewhere(number) };
        value(number, row)
    }

    /// Waits for the moment of a kill, which comes at the latest when twice the time has gone
    /// by that as many lines took at first, and that of starting a process.
    fn wait(&mut self, lines: usize) {
        let longest = Duration::from_millis(80) + self.of_a_line * 2 * lines as u32;
        let micros = self.random.below(longest.as_micros() as usize);
        std::thread::sleep(Duration::from_micros(micros as u64));
    }

    /// An import that ends and is acknowledged.
    fn import(&mut self, store: usize, count: usize) {
        let changes = self.rows[store].draw(&mut self.random, count);
        self.world.import(STORES[store], &self.rows[store].lines(&changes)).ok();
        self.rows[store].apply(&changes);
    }

    /// An import that is killed.
    fn import_killed(&mut self, store: usize) -> String {
        let most = if self.random.below(100) < self.large { 5 * COMMIT_LINES / 2 } else { 100 };
        let count = self.random.between(1, most);
        let changes = self.rows[store].draw(&mut self.random, count);
        let text = self.rows[store].lines(&changes);
        let mut child = self
            .world
            .command(STORES[store], &["import", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // Most of them meet the end of their input, which commits the lines that remain; the
        // others wait in vain for more.
        let ends = self.random.percent(75);
        let fed = if ends { text.len() } else { self.random.below(text.len()) };
        pipe.write_all(&text.as_bytes()[..fed]).unwrap();
        let pipe = (!ends).then_some(pipe);
        self.wait(count);
        let ended = kill(child);
        drop(pipe);

        let space = self.open(store, true);
        let space = space.snapshot().unwrap();
        let mut there = 0;
        for commit in changes.chunks(COMMIT_LINES) {
            let made = commit.iter().filter(|change| {
                let key = self.rows[store].key(change.number);
                found(&space, &key) == value(change.number, change.row)
            });
            let made = made.count();
            assert!(made == 0 || made == commit.len(), "{made} of {} lines", commit.len());
            assert!(made == 0 || there % COMMIT_LINES == 0, "a commit without the one before");
            there += made;
        }
        assert!(!ended || there == count, "{there} of {count} acknowledged lines");
        self.rows[store].apply(&changes[..there]);
        format!(
            "import into {}: {fed} of {} bytes read, {there} of {count} lines there{}",
            STORES[store],
            text.len(),
            if ended { ", it had ended" } else { "" }
        )
    }

    /// A sync, one of whose processes is killed.
    fn sync_killed(&mut self, server: usize, victim: usize) -> String {
        let client = 1 - server;
        let serving = self.world.serve(STORES[server]);
        let syncing = self
            .world
            .command(STORES[client], &["sync", &serving.url()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.wait(self.rows.iter().map(|rows| rows.before.len()).sum());
        let ended = if victim == client {
            let ended = kill(syncing);
            serving.stop();
            ended
        } else {
            drop(serving);
            syncing.wait_with_output().unwrap().status.success()
        };
        let mut told = format!(
            "sync of {} with served {}, {} killed",
            STORES[client], STORES[server], STORES[victim]
        );
        for store in [victim, 1 - victim] {
            let moved = self.moved(store, store == victim);
            assert!(!ended || moved, "{} acknowledged a sync and lacks rows", STORES[store]);
            let moved = if moved { "moved" } else { "stayed" };
            let _ = write!(told, ", {} {moved}", STORES[store]);
        }
        told + if ended { ", it had ended" } else { "" }
    }

    /// Compacting that is killed.
    fn compact_killed(&mut self, store: usize) -> String {
        let compacting =
            self.world.command(STORES[store], &["compact"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(self.random.below(25_000) as u64));
        let ended = kill(compacting);
        drop(self.open(store, true));
        format!("compacting {}{}", STORES[store], if ended { ", it had ended" } else { "" })
    }

    /// A recovery that is killed, and what the next one makes of what it left.
    fn recover_killed(&mut self, store: usize) -> String {
        let (old, new) = (self.path(store), self.world.path("new"));
        let before = std::fs::read(&old).unwrap();
        let [from, to] = [&old, &new].map(|path| path.to_str().unwrap().to_owned());
        let recover = || {
            let mut command = self.world.command("none", &["recover", &from, &to]);
            command.stdout(Stdio::null()).spawn().unwrap()
        };
        let (recovering, again) = (recover(), &recover);
        let longest =
            Duration::from_millis(20) + self.of_a_line * self.rows[0].written.len() as u32;
        std::thread::sleep(longest.mul_f64(self.random.below(1000) as f64 / 1000.0));
        let ended = kill(recovering);
        let there = new.exists();
        assert!(there || !ended);
        if !there {
            assert!(again().wait().unwrap().success());
        }
        assert!(std::fs::read(&old).unwrap() == before, "the old store was only to be read");
        let (saved, original) = (Store::open(&new).unwrap(), Store::open(&old).unwrap());
        assert!(saved.check().unwrap().is_sound());
        let [a, b] = [&saved, &original].map(|store| store.space("main").unwrap());
        assert_eq!(a.root().unwrap(), b.root().unwrap());
        assert_eq!(a.vector().unwrap(), b.vector().unwrap());
        drop((a, b, saved, original));
        for file in ["new", "new.id"] {
            std::fs::remove_file(self.world.path(file)).unwrap();
        }
        let how = if there { "the new store was there" } else { "there was no new store" };
        format!("recovering {}, {how}{}", STORES[store], if ended { ", it had ended" } else { "" })
    }

    /// Whether a store has come to the moment at which the other one stands: with all of its
    /// changes or with none.
    fn moved(&mut self, store: usize, was_killed: bool) -> bool {
        let space = self.open(store, was_killed).snapshot().unwrap();
        let writer = 1 - store;
        let rows = &self.rows[writer];
        let (mut old, mut new) = (0, 0);
        for (&number, &before) in &rows.before {
            let (before, after) = (value(number, before), value(number, rows.written[number]));
            if before == after {
                continue; // written and removed in between
            }
            let (key, is) = (rows.key(number), found(&space, &rows.key(number)));
            new += usize::from(is == after);
            old += usize::from(is == before);
            assert!(is == before || is == after, "{key}: {is:?}");
        }
        assert!(old == 0 || new == 0, "half a delta: {new} rows have come, {old} have not");
        let moved = old == 0;
        if moved {
            self.rows[writer].before.clear();
        }
        moved
    }

    /// A sync to its end. Then each store writes what the other one wrote.
    fn sync(&mut self, server: usize) {
        let serving = self.world.serve(STORES[server]);
        let told = self.world.json(STORES[1 - server], &["sync", &serving.url()]);
        assert_eq!(told["converged"], true);
        serving.stop();
        self.rows.iter_mut().for_each(|rows| rows.before.clear());
        self.rows.swap(0, 1);
    }

    /// Opens a store; measures the first read after a kill.
    fn open(&mut self, store: usize, was_killed: bool) -> Space {
        let (path, before) = (self.path(store), Instant::now());
        let is_there = path.exists();
        let opened = Store::open(&path).unwrap();
        let space = opened.space("main").unwrap();
        space.get(self.rows[store].key(0)).unwrap();
        let took = before.elapsed();
        // A kill is no reason to go on under another name.
        let kept = if is_there { Identity::Kept } else { Identity::Created };
        assert_eq!(opened.identity(), kept);
        if was_killed && is_there {
            println!("   open and read: {:.2} ms", took.as_secs_f64() * 1e3);
            self.slowest_open = self.slowest_open.max(took);
        }
        space
    }

    /// Whether a store is sound, and all that was touched, and some that was not, is as the
    /// model has it.
    fn look(&mut self, store: usize) {
        let space = self.open(store, false);
        is_sound(&space);
        let space = space.snapshot().unwrap();
        for writer in 0..STORES.len() {
            let count = self.rows[writer].written.len();
            let sample: Vec<usize> = (0..1_000).map(|_| self.random.below(count)).collect();
            let sample = sample.into_iter().filter(|_| count > 0);
            for number in self.rows[writer].touched.iter().copied().chain(sample) {
                let key = self.rows[writer].key(number);
                assert_eq!(found(&space, &key), self.seen(store, writer, number), "{key}");
            }
        }
    }

    /// Whether everything is as the model has it.
    fn look_at_all(&mut self, store: usize) {
        let space = self.open(store, false);
        let mut items = 0;
        space
            .for_each_item(Keys::all(), |item| {
                items += 1;
                let text = String::from_utf8(item.key).unwrap();
                let (name, number) = text.split_once('/').unwrap();
                let writer = self.rows.iter().position(|rows| rows.name == name).unwrap();
                let expected = self.seen(store, writer, number.parse().unwrap());
                // Behind the time at which it was written.
                let is = expected.is_some_and(|value| item.payload.ends_with(value.as_bytes()));
                assert!(is, "{text}: {}", item.payload.escape_ascii());
                ControlFlow::Continue(())
            })
            .unwrap();
        let live = (0..STORES.len()).map(|writer| {
            let all = 0..self.rows[writer].written.len();
            all.filter(|number| self.seen(store, writer, *number).is_some()).count()
        });
        assert_eq!(items, live.sum::<usize>(), "rows are lost");
    }
}

fn is_sound(space: &Space) {
    let found = space.store().check().unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
}

/// A process that is killed leaves all it wrote with the system, synced or not, so that a disk
/// would tell no more than memory does, and be slower.
fn in_memory() -> tempfile::TempDir {
    tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new()).unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    // The checks of a release kill more often than those of every change.
    let many = if std::env::var_os("REJOIN_CI").is_some() { 200 } else { 24 };
    let (kills, rows) = (number("REJOIN_KILLS", many), number("REJOIN_KILLS_ROWS", 500));
    let seed = number("REJOIN_KILLS_SEED", 3);
    println!("REJOIN_KILLS={kills} REJOIN_KILLS_ROWS={rows} REJOIN_KILLS_SEED={seed}");
    let mut w = Kills {
        world: World { folder: in_memory() },
        random: Random::new(seed as u64),
        rows: STORES.map(Rows::named),
        of_a_line: Duration::ZERO,
        slowest_open: Duration::ZERO,
        large: if rows < 2_000 { 4 } else { 50 },
    };
    let began = Instant::now();
    w.import(0, rows);
    w.of_a_line = began.elapsed() / rows as u32;
    let each = if rows < MANY_ROWS { 4 } else { 20 };
    for cycle in 0..kills {
        // In all roles.
        let [writer, server] = [w.random.below(2), w.random.below(2)];
        let told = match cycle % 6 {
            0 | 3 => {
                for _ in 0..w.random.below(2) {
                    let count = w.random.between(1, 300);
                    w.import(writer, count);
                }
                w.import_killed(writer)
            }
            1 | 4 => {
                for store in [0, 1] {
                    let count = w.random.between(1, rows.min(COMMIT_LINES));
                    w.import(store, count);
                }
                w.sync_killed(server, writer)
            }
            2 => w.compact_killed(writer),
            _ => w.recover_killed(writer),
        };
        println!("{cycle}: {told}");
        (0..STORES.len()).for_each(|store| w.look(store));
        if (cycle + 1) % each == 0 {
            (0..STORES.len()).for_each(|store| w.look_at_all(store));
            w.rows.iter_mut().for_each(|rows| rows.touched.clear());
        }
        if cycle % 3 == 1 && w.random.percent(50) {
            w.sync(1 - server);
        }
    }
    w.sync(0);
    for store in 0..STORES.len() {
        w.look(store);
        w.look_at_all(store);
    }
    let [a, b] = [0, 1].map(|store| w.open(store, false).root().unwrap());
    assert_eq!(a, b);
    println!("slowest open and read: {:.2} ms", w.slowest_open.as_secs_f64() * 1e3);
}
