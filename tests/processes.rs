//! The binary on a disk that is full, taken away or read-only, over a network that loses, stalls
//! and cuts, beside another process, and by clocks that are years apart: what was acknowledged
//! stays, every failure says what it is, and the store is sound each time.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code, reason = "each test uses some of it")]
#[path = "cli/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rejoin::Store;
use rejoin::net::{NetError, NetOptions, SyncError, sync_url};
use rejoin::session::Scope;
use rejoin::sim::Random;
use world::{EVERYTHING, Ran, World};

/// Says so past the harness, which shows nothing of what a test prints that passes: not every
/// machine may mount, and one that may not must not look as if all had been tried.
fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// A small file system of its own, where that may be had.
struct Disk(PathBuf);

impl Disk {
    fn mounted(w: &World, name: &str, options: &str) -> Option<Self> {
        let path = w.path(name);
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        match mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output_of() {
            Ok(()) => Some(Self(path)),
            Err(why) => {
                skipped(&format!("no file system can be mounted here: {}", why.trim()));
                None
            }
        }
    }

    fn remounted(&self, options: &str) {
        Command::new("mount").args(["-o", options]).arg(&self.0).output_of().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

trait Ask {
    fn output_of(&mut self) -> Result<(), String>;
}

impl Ask for Command {
    fn output_of(&mut self) -> Result<(), String> {
        let output = self.output().map_err(|error| error.to_string())?;
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(why) }
    }
}

/// A failure that says what it is.
#[track_caller]
fn fails_with_words(ran: Ran, words: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    assert!(words.iter().any(|word| ran.err.contains(word)), "{words:?}: {ran:?}");
}

fn elements(w: &World, store: &str, key: &str) -> BTreeSet<String> {
    w.ok(store, &["set", "list", key]).lines().map(str::to_owned).collect()
}

#[track_caller]
fn is_sound(w: &World, store: &str) {
    assert_eq!(w.json(store, &["check"])["sound"], true);
}

/// Takes all room of a file system but for so many pages.
fn fill(path: &Path, pages_left: u64) {
    let mut filler = std::fs::File::create(path).unwrap();
    while filler.write_all(&[7; 4096]).is_ok() {}
    let whole = filler.metadata().unwrap().len() / 4096 * 4096;
    filler.set_len(whole.saturating_sub(pages_left * 4096)).unwrap();
}

#[test]
fn a_full_disk_loses_nothing_wherever_it_is_met() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    let filler = disk.0.join("filler");
    w.import("disk/a", EVERYTHING).ok();
    let big = |w: &World| -> BTreeSet<String> {
        let keys = w.ok("disk/a", &["keys", "--prefix", "big/"]);
        keys.lines().filter_map(|line| Some(line.split_once('\t')?.0.to_owned())).collect()
    };
    let mut acknowledged = BTreeSet::new();
    let (mut failures, mut in_a_row) = (0, 0);
    for pages_left in 0..120 {
        fill(&filler, pages_left);
        let key = format!("big/{pages_left}");
        let ran = w.run("disk/a", &["put", &key, &"long ".repeat(12_000)]);
        let done = ran.code == 0;
        if done {
            acknowledged.insert(key.clone());
            in_a_row += 1;
        } else {
            fails_with_words(ran, &["No space left", "StorageFull", "storage full"]);
            failures += 1;
            in_a_row = 0;
        }
        // While it is full: all of it can be read, also what hashes have yet to be made of.
        let there = big(&w);
        assert!(acknowledged.is_subset(&there), "{pages_left}: an acknowledged write is gone");
        assert!(there.iter().all(|one| *one == key || acknowledged.contains(one)));
        acknowledged = there;
        assert_eq!(w.json("disk/a", &["status"])["space"], "main");
        is_sound(&w, "disk/a");
        if in_a_row == 4 {
            break;
        }
    }
    assert!(failures > 3 && in_a_row > 0, "{failures} failures, {in_a_row} at last went well");
    std::fs::remove_file(&filler).unwrap();
    w.ok("disk/a", &["set", "add", "list", "more"]);
    w.ok("disk/a", &["compact"]);
    assert_eq!(elements(&w, "disk/a", "list").len(), 1);
    assert!(acknowledged.is_subset(&big(&w)));
    is_sound(&w, "disk/a");
    assert_eq!(w.json("disk/a", &["check", "--deep"])["sound"], true);
}

#[test]
fn a_full_disk_fails_imports_syncs_and_recoveries_with_a_word() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=2m") else { return };
    let line = |n: u32| format!("{{\"op\":\"put\",\"key\":\"{n}\",\"value\":\"{n:0>300}\"}}\n");
    w.import("disk/a", &(0..50).map(line).collect::<String>()).ok();
    let export = w.ok("disk/a", &["export"]);
    let many: String = (100..9_000).map(line).collect();
    let words = ["No space left", "StorageFull", "storage full"];
    fails_with_words(w.import("disk/a", &many), &words);
    assert_eq!(w.ok("disk/a", &["export"]), export, "half an import");
    is_sound(&w, "disk/a");
    w.import("b", &many).ok();
    let file = w.path("b");
    fails_with_words(w.run("disk/a", &["sync", "--file", file.to_str().unwrap()]), &words);
    is_sound(&w, "disk/a");
    is_sound(&w, "b");
    let kept = w.ok("disk/a", &["export"]);
    assert!(export.lines().all(|line| kept.contains(line)));
    let new = w.path("disk/new");
    let recovery = w.run("b", &["recover", file.to_str().unwrap(), new.to_str().unwrap()]);
    fails_with_words(recovery, &words);
    let left: Vec<_> =
        std::fs::read_dir(&disk.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "a" || name == "a.id"), "{left:?}");
}

#[test]
fn a_file_that_vanished_or_may_not_be_written_is_told() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    w.import("b", "{\"op\":\"set.add\",\"key\":\"cart\",\"elem\":\"plum\"}\n").ok();
    let state = w.ok("b", &["export"]);

    // Its file is removed while a store is served: it takes nothing, and says so.
    let serving = w.serve("a");
    std::fs::rename(w.path("a"), w.path("kept")).unwrap();
    let ran = w.run("b", &["sync", &serving.url()]);
    assert!(ran.code == 1 && !ran.err.contains("panicked"), "{ran:?}");
    drop(serving);
    std::fs::rename(w.path("kept"), w.path("a")).unwrap();
    is_sound(&w, "b");
    let kept = w.ok("b", &["export"]);
    assert!(state.lines().all(|line| kept.contains(line)));
    w.ok("b", &["sync", "--file", w.path("a").to_str().unwrap()]);
    assert!(elements(&w, "a", "cart").contains("plum"));

    // Root may write where the file says that nobody may, so the store asks the file.
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(w.path("a"), permissions).unwrap();
    };
    mode(0o444);
    fails_with_words(w.run("a", &["put", "k", "v"]), &["read-only"]);
    mode(0o644);
    is_sound(&w, "a");
}

#[test]
fn a_read_only_file_system_is_told_and_can_be_recovered_from() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    w.import("disk/a", EVERYTHING).ok();
    let state = w.state("disk/a");
    disk.remounted("remount,ro");
    for args in [&["put", "k", "v"][..], &["status"], &["compact"]] {
        fails_with_words(w.run("disk/a", args), &["Read-only", "read-only"]);
    }
    let (old, new) = (w.path("disk/a"), w.path("new"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let report = w.json("none", &["recover", old, new]);
    assert_eq!((&report["waiting"], &report["lost"]), (&0.into(), &0.into()));
    assert_eq!(w.state("new"), state);
    disk.remounted("remount,rw");
    assert_eq!(w.state("disk/a"), state);
    is_sound(&w, "disk/a");
}

/// What was done to the pieces that came by a lossy network.
#[derive(Debug, Default)]
struct Tally {
    pieces: AtomicUsize,
    lost: AtomicUsize,
    cut: AtomicUsize,
    stalled: AtomicUsize,
    stalled_long: AtomicUsize,
}

/// Hands bytes on between a client and a server, and does not always do so.
struct Lossy {
    address: String,
    ends: Arc<AtomicBool>,
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Lossy {
    fn before(server: &str, seed: u64, tally: &Arc<Tally>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ends, server) = (Arc::new(AtomicBool::new(false)), server.to_owned());
        let (ended, tally) = (ends.clone(), tally.clone());
        std::thread::spawn(move || {
            let mut drawn = Random::new(seed);
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let line = Arc::new(Line::default());
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (random, line) = (Random::new(drawn.next()), line.clone());
                    let tally = tally.clone();
                    std::thread::spawn(move || hand_on(from, to, random, &line, &tally));
                }
            }
        });
        Self { address, ends }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// One connection, in both directions.
#[derive(Default)]
struct Line {
    has_lost: AtomicBool,
    moved: AtomicUsize,
}

/// A piece is what has come so far, and at most this, in which a WebSocket frame finds room.
const PIECE_BYTES: usize = 128 << 10;

/// Where something was lost and so long nothing comes by, the connection ends: the sides would
/// wait for a minute for what never comes.
const QUIET: Duration = Duration::from_millis(40);

/// Hands one direction on. Of a hundred pieces 30 are lost: half of them as a whole, and of the
/// others a part, so that what follows stands where it does not belong. Of the others some are
/// late, a few very late, and some are the end of the connection, of which a part arrives.
fn hand_on(mut from: TcpStream, mut to: TcpStream, mut random: Random, line: &Line, tally: &Tally) {
    from.set_read_timeout(Some(QUIET)).unwrap();
    let count = |of: &AtomicUsize| of.fetch_add(1, Ordering::SeqCst);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let before = line.moved.load(Ordering::SeqCst);
        let bytes = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(bytes) => &piece[..bytes],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let quiet = line.moved.load(Ordering::SeqCst) == before;
                if quiet && line.has_lost.load(Ordering::SeqCst) {
                    break;
                }
                continue;
            }
            Err(_) => break,
        };
        count(&line.moved);
        count(&tally.pieces);
        let (at, fate) = (random.below(bytes.len()), random.below(100));
        let (mut arrives, mut rest) = (bytes, &bytes[..0]);
        let mut ends = false;
        match fate {
            0..30 => {
                count(&tally.lost);
                line.has_lost.store(true, Ordering::SeqCst);
                (arrives, rest) = match random.percent(50) {
                    true => (&bytes[..0], &bytes[..0]),
                    false => (&bytes[..at], &bytes[random.between(at + 1, bytes.len())..]),
                };
            }
            30..35 => {
                count(&tally.cut);
                (arrives, ends) = (&bytes[..at], true);
            }
            35..55 => {
                count(&tally.stalled);
                std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            }
            55 => {
                count(&tally.stalled_long);
                std::thread::sleep(Duration::from_millis(200));
            }
            _ => {}
        }
        if to.write_all(arrives).is_err() || to.write_all(rest).is_err() || ends {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Of all that goes over the line a third is lost, and with it the connection, so that it takes
/// about a hundred until one comes to its end. What arrived before stays, and the next one goes on behind it. A side
/// that is opened anew would begin its delta anew, so that both stay open: the binary serves, and
/// the library, in this process, connects.
#[test]
fn a_network_that_loses_a_third_loses_no_data() {
    const CONNECTIONS: usize = 2_000;
    const ROWS: usize = 2_200;
    let w = World::new();
    // Several chunks on each side, so that no delta goes over one connection.
    let line = |side: &str, n: usize| {
        format!("{{\"op\":\"put\",\"key\":\"{side}/{n}\",\"value\":\"{side} {n:0>400}\"}}\n")
    };
    for side in ["a", "b"] {
        w.import(side, &(0..ROWS).map(|n| line(side, n)).collect::<String>()).ok();
    }
    let mut all = [w.ok("a", &["export"]), w.ok("b", &["export"])].concat();
    let serving = w.serve("a");
    let tally = Arc::new(Tally::default());
    let proxy = Lossy::before(&serving.address, 1, &tally);
    let store = Store::open(w.path("b")).unwrap();
    let space = store.space("main").unwrap();
    let staged = || space.status().unwrap().staged;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut connections, mut went_on) = (0, 0);
    loop {
        let (before, scope) = (staged(), Scope::Space("main".to_owned()));
        connections += 1;
        match runtime.block_on(sync_url(&store, scope, &proxy.url(), &NetOptions::default())) {
            Ok(report) if report.converged() => break,
            Ok(_) => {}
            Err(SyncError { reason: NetError::Panicked { reason, .. }, .. }) => panic!("{reason}"),
            Err(_) => {}
        }
        went_on += usize::from(before > 0 && staged() > before);
        let found = store.check().unwrap();
        assert!(found.is_sound(), "{:?}", found.problems);
        // All of a delta, or nothing.
        let items = space.status().unwrap().items as usize;
        assert!(items == ROWS || items == 2 * ROWS, "{items} items");
        assert!(connections < CONNECTIONS, "they do not come together: {tally:?}");
    }
    println!("{connections} connections; {went_on} went on behind what was there: {tally:?}");
    let [pieces, lost] = [&tally.pieces, &tally.lost].map(|of| of.load(Ordering::SeqCst));
    assert!(connections > 3 && pieces > 30, "this was no such network: {tally:?}");
    assert!(lost * 100 > pieces * 20, "less was lost than was meant to be: {tally:?}");
    drop((space, store));
    // The binary at the other end says what went wrong, and its store is sound.
    for _ in 0..8 {
        let ran = w.run("c", &["sync", &proxy.url()]);
        if ran.code != 0 {
            fails_with_words(ran, &["rejoin: "]);
        }
        is_sound(&w, "c");
    }
    drop(proxy);
    serving.stop();
    all = sorted(&all);
    for store in ["a", "b"] {
        is_sound(&w, store);
        assert_eq!(sorted(&w.ok(store, &["export"])), all);
    }
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn of_two_processes_on_one_store_one_is_told() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let state = w.state("a");
    let serving = w.serve("a");
    for args in [
        &["set", "add", "cart", "pear"][..],
        &["status"],
        &["compact"],
        &["sync", "--file", "nowhere"],
        &["serve", "--listen", ":0"],
        &["backup", "elsewhere"],
    ] {
        w.run("a", args).fails(1, &["already open", w.path("a").to_str().unwrap()]);
    }
    let (old, new) = (w.path("a"), w.path("new"));
    let recover = ["recover", old.to_str().unwrap(), new.to_str().unwrap()];
    w.run("none", &recover).fails(1, &["already open"]);
    assert!(!new.exists());
    serving.stop();
    assert_eq!(w.state("a"), state);
    is_sound(&w, "a");
}

#[test]
fn clocks_that_are_decades_apart_lose_nothing() {
    let w = World::new();
    let year = |year: u64| ((year - 1970) * 31_556_952_000).to_string();
    let at = |store: &str, when: u64, args: &[&str]| {
        w.ok(store, &[&["--now-ms", &year(when)], args].concat())
    };
    let file = w.path("a");
    let sync = ["sync", "--file", file.to_str().unwrap()];
    at("a", 2046, &["register", "set", "title", "from the future"]);
    at("b", 1986, &sync);
    // Who has seen the other wins, whatever its clock says.
    at("b", 1986, &["register", "set", "title", "from the past"]);
    at("b", 1986, &sync);
    for store in ["a", "b"] {
        assert_eq!(at(store, 2026, &["register", "get", "title"]).trim(), "from the past");
    }
    // A clock that jumps back, and back again: the last write of one store is the last.
    for (n, when) in [2026, 2006, 2036, 1971].into_iter().enumerate() {
        at("a", when, &["register", "set", "title", &format!("write {n}")]);
        at("a", when, &["counter", "add", "visits", "1"]);
    }
    assert_eq!(at("a", 1990, &["register", "get", "title"]).trim(), "write 3");
    at("b", 2050, &["counter", "add", "visits", "1"]);
    at("b", 1972, &sync);
    for store in ["a", "b"] {
        assert_eq!(at(store, 2026, &["register", "get", "title"]).trim(), "write 3");
        assert_eq!(at(store, 2026, &["counter", "get", "visits"]).trim(), "5");
        is_sound(&w, store);
    }
    assert_eq!(w.state("a").2, w.state("b").2);
}
