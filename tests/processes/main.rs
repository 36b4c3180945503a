//! The binary on a disk that is full, taken away or read-only, over a network that loses, stalls
//! and cuts, beside another process, and by clocks that are years apart: what was acknowledged
//! stays, every failure says what it is, and the store is sound each time.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod disks;
mod lossy;
#[allow(dead_code, reason = "each test uses some of it")]
#[path = "../cli/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use world::{EVERYTHING, Ran, World};

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

/// Who has a file open may write it whatever becomes of its mode, so that all that is acknowledged
/// then is there; it is told to whoever opens it next.
#[test]
fn permissions_taken_from_an_open_store_lose_nothing_and_are_told_at_the_next_opening() {
    let w = World::new();
    std::fs::create_dir(w.path("folder")).unwrap();
    w.import("folder/a", EVERYTHING).ok();
    w.import("b", "{\"op\":\"set.add\",\"key\":\"cart\",\"elem\":\"plum\"}\n").ok();
    let modes = |modes: [(&str, u32); 3]| {
        for (name, mode) in modes {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(w.path(name), permissions).unwrap();
        }
    };
    let serving = w.serve("folder/a");
    modes([("folder/a", 0o444), ("folder/a.id", 0o444), ("folder", 0o555)]);
    assert_eq!(w.json("b", &["sync", &serving.url()])["converged"], true);
    serving.stop();
    fails_with_words(
        w.run("folder/a", &["put", "k", "v"]),
        &["read-only", "Permission denied", "permission denied"],
    );
    modes([("folder", 0o755), ("folder/a", 0o644), ("folder/a.id", 0o644)]);
    assert!(elements(&w, "folder/a", "cart").contains("plum"));
    let rows = |store| {
        let export = w.ok(store, &["export"]);
        export.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(rows("folder/a"), rows("b"));
    is_sound(&w, "folder/a");
    is_sound(&w, "b");
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
    // What comes from the future takes a clock along: what is written next stands above what a
    // third has written meanwhile, by a clock that is right. (A day ahead is taken, no more.)
    let hours_ahead = |hours: u64| ((2026 - 1970) * 31_556_952_000 + hours * 3_600_000).to_string();
    w.ok("d", &["--now-ms", &hours_ahead(20), "register", "set", "other", "hours ahead"]);
    let from_d = w.path("d");
    at("e", 2026, &["sync", "--file", from_d.to_str().unwrap()]);
    w.ok("c", &["--now-ms", &hours_ahead(1), "register", "set", "owner", "an hour later"]);
    w.ok("e", &["--now-ms", &hours_ahead(0), "register", "set", "owner", "by one that followed"]);
    let from_e = w.path("e");
    at("c", 2026, &["sync", "--file", from_e.to_str().unwrap()]);
    for store in ["c", "e"] {
        assert_eq!(at(store, 2026, &["register", "get", "owner"]).trim(), "by one that followed");
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
