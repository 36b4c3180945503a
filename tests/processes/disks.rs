//! Disks that are full or read-only, each a small file system of its own.
//!
//! The room that is left goes from none to where a command comes to its end, so that the disk is
//! found full at each write on the way. `REJOIN_DISK_STEP` says by how many pages at once: with 1
//! it is each that there is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use crate::world::{EVERYTHING, Ran, World};
use crate::{elements, fails_with_words, is_sound};

const PAGE_BYTES: usize = 4096;

/// What a full disk is called.
const FULL: [&str; 3] = ["No space left", "StorageFull", "storage full"];

/// Says so past the harness, which shows nothing of what a test prints that passes: not every
/// machine may mount, and one that may not must not look as if all had been tried. With
/// `REJOIN_DISKS` it is a failure.
fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let strict = std::env::var_os("REJOIN_DISKS").is_some();
    assert!(!strict, "{test} cannot be run here, and REJOIN_DISKS asks for it: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// A small file system of its own, where that may be had.
struct Disk(PathBuf);

impl Disk {
    /// Nothing where the test is over already, in a namespace or because nobody may mount here.
    fn mounted(w: &World, name: &str, options: &str) -> Option<Self> {
        let path = w.path(name);
        std::fs::create_dir(&path).unwrap();
        let mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()];
        let Err(refused) = output_of(&mount) else { return Some(Self(path)) };
        // As root of a namespace of one's own one may, on most machines.
        if let Err(why) = output_of(&[&NAMESPACE[..], &mount].concat()) {
            skipped(&format!("no file system can be mounted here: {refused}{why}"));
            return None;
        }
        let (test, program) = (std::thread::current(), std::env::current_exe().unwrap());
        let test = test.name().unwrap_or_default();
        let again = [program.to_str().unwrap(), test, "--exact", "--nocapture"];
        // Where none has this name, all went well with none that ran.
        match output_of(&[&NAMESPACE[..], &again].concat()) {
            Ok(told) if told.contains("1 passed") => None,
            other => panic!("in a namespace of its own, {test:?}: {other:?}"),
        }
    }

    /// With `bind` it is of this mount alone, which root of a namespace may change too.
    fn remounted(&self, options: &str) {
        output_of(&["mount", "-o", options, self.0.to_str().unwrap()]).unwrap();
    }

    /// Takes all room but for so many pages.
    fn fill(&self, pages_left: u64) {
        let mut filler = std::fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[7; PAGE_BYTES]).is_ok() {}
        let pages = filler.metadata().unwrap().len() / PAGE_BYTES as u64;
        filler.set_len(pages.saturating_sub(pages_left) * PAGE_BYTES as u64).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn names(&self) -> BTreeSet<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        std::fs::read_dir(&self.0).unwrap().map(name).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Before a command: it is run in namespaces of users and of mounts.
const NAMESPACE: [&str; 3] = ["unshare", "--map-root-user", "--mount"];

/// What a command printed, or what it said of why it failed.
fn output_of(command: &[&str]) -> Result<String, String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.map_err(|error| format!("{}: {error}", command[0]))?;
    let [out, err] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() { Ok(out) } else { Err([out, err].concat()) }
}

/// Files, put back over themselves with their times, so that a store does not notice that it was
/// put back and each round begins at the same place.
struct Kept(Vec<(PathBuf, Vec<u8>, SystemTime)>);

impl Kept {
    fn of(w: &World, store: &str) -> Self {
        let files = [w.path(store), w.path(&format!("{store}.id"))];
        let kept = files.map(|path| {
            let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes, modified)
        });
        Self(kept.into())
    }

    fn put_back(&self) {
        for (path, bytes, modified) in &self.0 {
            let file = std::fs::File::create(path).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            // What was never written takes no room, and would be room for the store if it did.
            for (page, number) in bytes.chunks(PAGE_BYTES).zip(0..) {
                if page.iter().any(|byte| *byte != 0) {
                    file.write_all_at(page, number * PAGE_BYTES as u64).unwrap();
                }
            }
            file.set_modified(*modified).unwrap();
        }
    }
}

/// Runs a command from one state by ever more room, from none, until it comes to its end time
/// after time. What it did is looked at while the disk is still full; then there is room again, and
/// it must come to its end from where it failed.
fn by_ever_more_room(
    disk: &Disk,
    step: u64,
    restore: impl Fn(),
    run: impl Fn() -> Ran,
    look: impl Fn(bool),
) -> u32 {
    let asked = std::env::var("REJOIN_DISK_STEP");
    let step = asked.map_or(step, |step| step.parse().expect("a number of pages")).max(1);
    let (mut pages_left, mut failures, mut in_a_row) = (0, 0, 0);
    while in_a_row < 3 {
        restore();
        disk.fill(pages_left);
        let ran = run();
        let done = ran.code == 0;
        look(done);
        disk.make_room();
        if done {
            in_a_row += 1;
        } else {
            (failures, in_a_row) = (failures + 1, 0);
            fails_with_words(ran, &FULL);
            let again = run();
            assert_eq!(again.code, 0, "{pages_left} pages, and then enough: {again:?}");
            look(true);
        }
        pages_left += step;
        assert!(pages_left < 1_000, "it never comes to its end");
    }
    println!("it failed {failures} times with up to {pages_left} pages left");
    assert!(failures > 0, "the disk was never full");
    failures
}

fn put(n: u32) -> String {
    format!("{{\"op\":\"put\",\"key\":\"{n}\",\"value\":\"{n:0>300}\"}}\n")
}

fn rows(numbers: Range<u32>) -> String {
    numbers.map(put).collect()
}

fn export(w: &World, store: &str) -> BTreeSet<String> {
    w.ok(store, &["export"]).lines().map(str::to_owned).collect()
}

// The steps below are the smallest by which each of these tests stays below 10 s or so where
// nothing else runs: a round is some five processes, or twice as many, and slower ones, where
// servers are among them, and more work where the store is one that takes moving pages to compact.

#[test]
fn an_import_that_meets_a_full_disk_is_there_whole_or_not_at_all() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    w.import("disk/a", &rows(0..50)).ok();
    let (kept, before) = (Kept::of(&w, "disk/a"), export(&w, "disk/a"));
    // One commit.
    let more = rows(100..500);
    w.import("b", &(rows(0..50) + &more)).ok();
    let all = export(&w, "b");
    let look = |done: bool| {
        let there = export(&w, "disk/a");
        assert!(there == all || (!done && there == before), "{} rows", there.len());
        is_sound(&w, "disk/a");
    };
    by_ever_more_room(&disk, 1, || kept.put_back(), || w.import("disk/a", &more), look);
}

#[test]
fn a_sync_that_meets_a_full_disk_in_either_role_takes_all_or_nothing() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    w.import("disk/a", &rows(0..50)).ok();
    w.import("b", &rows(100..300)).ok();
    let kept = ["disk/a", "b"].map(|store| Kept::of(&w, store));
    let [a, b] = ["disk/a", "b"].map(|store| export(&w, store));
    let all = &a | &b;
    let look = |done: bool| {
        let there = export(&w, "disk/a");
        assert!(there == all || (!done && there == a), "{} rows", there.len());
        is_sound(&w, "disk/a");
    };
    // It calls. What the other one has got of it already changes nothing.
    let serving = w.serve("b");
    let call = || w.run("disk/a", &["sync", &serving.url()]);
    by_ever_more_room(&disk, 1, || kept[0].put_back(), call, look);
    serving.stop();
    assert_eq!(export(&w, "b"), all);
    is_sound(&w, "b");
    // It is called, and the caller is told why it ends.
    let serve = || {
        let serving = w.serve("disk/a");
        let ran = w.run("b", &["sync", &serving.url()]);
        serving.stop();
        assert!(!ran.err.contains(w.path("disk").to_str().unwrap()), "{}", ran.err);
        ran
    };
    let look_at_both = |done: bool| {
        look(done);
        let there = export(&w, "b");
        assert!(there == all || (!done && there == b), "{} rows", there.len());
        is_sound(&w, "b");
    };
    by_ever_more_room(&disk, 2, || kept.iter().for_each(Kept::put_back), serve, look_at_both);
}

#[test]
fn a_recovery_that_meets_a_full_disk_leaves_nothing() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    w.import("b", &rows(0..300)).ok();
    let (state, old, new) = (w.state("b"), w.path("b"), w.path("disk/new"));
    let bytes = std::fs::read(&old).unwrap();
    let recover = ["recover", old.to_str().unwrap(), new.to_str().unwrap()];
    let restore =
        || disk.names().iter().for_each(|name| std::fs::remove_file(disk.0.join(name)).unwrap());
    let look = |done: bool| {
        assert!(std::fs::read(&old).unwrap() == bytes, "the old store was changed");
        if done {
            assert_eq!(w.state("disk/new"), state);
            is_sound(&w, "disk/new");
        } else {
            assert_eq!(disk.names(), ["filler".to_owned()].into());
        }
    };
    by_ever_more_room(&disk, 1, restore, || w.run("none", &recover), look);
}

#[test]
fn a_compaction_that_meets_a_full_disk_changes_nothing_that_is_seen() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=16m") else { return };
    let compact = || w.run("disk/a", &["compact"]);
    let by_ever_more_room = || {
        let (kept, before) = (Kept::of(&w, "disk/a"), export(&w, "disk/a"));
        let look = |_| {
            assert!(export(&w, "disk/a") == before, "rows were changed");
            is_sound(&w, "disk/a");
        };
        let failures = by_ever_more_room(&disk, 2, || kept.put_back(), compact, look);
        kept.put_back();
        failures
    };
    // Here the very opening takes room.
    w.import("disk/a", &rows(0..4_000)).ok();
    by_ever_more_room();
    // Where enough of the file is free it needs none.
    is_sound(&w, "disk/a");
    disk.fill(0);
    assert!(compact().ok().contains("compacted from"));
    disk.make_room();
    // Now little is free, and it is where pages are moved that room is missing.
    w.import("disk/a", &rows(5_000..5_800)).ok();
    let failures = by_ever_more_room();
    assert!(failures > 20, "{failures}: it meets a full disk only at its beginning");
}

#[test]
fn a_full_disk_loses_nothing_wherever_it_is_met() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    w.import("disk/a", EVERYTHING).ok();
    let big = |w: &World| -> BTreeSet<String> {
        let keys = w.ok("disk/a", &["keys", "--prefix", "big/"]);
        keys.lines().filter_map(|line| Some(line.split_once('\t')?.0.to_owned())).collect()
    };
    let mut acknowledged = BTreeSet::new();
    let (mut failures, mut in_a_row) = (0, 0);
    for pages_left in 0..120 {
        disk.fill(pages_left);
        let key = format!("big/{pages_left}");
        let ran = w.run("disk/a", &["put", &key, &"long ".repeat(12_000)]);
        let done = ran.code == 0;
        if done {
            acknowledged.insert(key.clone());
            in_a_row += 1;
        } else {
            fails_with_words(ran, &FULL);
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
    disk.make_room();
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
fn a_read_only_file_system_is_told_and_can_be_recovered_from() {
    let w = World::new();
    let Some(disk) = Disk::mounted(&w, "disk", "size=4m") else { return };
    w.import("disk/a", EVERYTHING).ok();
    let state = w.state("disk/a");
    disk.remounted("remount,bind,ro");
    for args in [&["put", "k", "v"][..], &["status"], &["compact"]] {
        fails_with_words(w.run("disk/a", args), &["Read-only", "read-only"]);
    }
    let (old, new) = (w.path("disk/a"), w.path("new"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let report = w.json("none", &["recover", old, new]);
    assert_eq!((&report["waiting"], &report["lost"]), (&0.into(), &0.into()));
    assert_eq!(w.state("new"), state);
    disk.remounted("remount,bind,rw");
    assert_eq!(w.state("disk/a"), state);
    is_sound(&w, "disk/a");
}
