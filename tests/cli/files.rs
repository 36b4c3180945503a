//! The store's files: what is none, what was copied, what is backed up.

use std::path::Path;

use rejoin::Store;
use serde_json::json;

use crate::decay::flip;
use crate::found::Image;
use crate::world::{EVERYTHING, World};

#[test]
fn files_that_are_no_store_are_told_apart() {
    let w = World::new();
    w.file("text", "hello\n".repeat(1000));
    w.file("empty", "");
    std::fs::create_dir(w.path("folder")).unwrap();
    for (name, says) in
        [("text", "not a rejoin store"), ("empty", "not a rejoin store"), ("folder", "folder")]
    {
        for args in [&["status"][..], &["put", "k", "v"]] {
            w.run(name, args).fails(1, &[says, w.path(name).to_str().unwrap()]);
        }
    }
    assert_eq!(std::fs::read_to_string(w.path("text")).unwrap(), "hello\n".repeat(1000));
    w.run("no/such/folder/a", &["put", "k", "v"]).fails(1, &["no/such/folder"]);
    w.ok("a", &["put", "k", "v"]);
    let held = Store::open(w.path("a")).unwrap();
    w.run("a", &["get", "k"]).fails(1, &["already open", "close it"]);
    drop(held);
    newer(&w.path("a"));
    w.run("a", &["get", "k"]).fails(1, &["format 99", "newer rejoin"]);
    assert_eq!(w.run("a", &["put", "k", "v"]).code, 1);
}

/// Makes a store one of a later format: a number in each copy of the first block.
fn newer(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for copy in bytes.chunks_mut(4096).take(4) {
        copy[8..16].copy_from_slice(&99_u64.to_be_bytes());
        let checksum = twox_hash::XxHash3_64::oneshot(&copy[..504]);
        copy[504..512].copy_from_slice(&checksum.to_be_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

#[cfg(unix)]
#[test]
fn a_read_only_store_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let w = World::new();
    w.ok("a", &["put", "k", "v"]);
    std::fs::set_permissions(w.path("a"), std::fs::Permissions::from_mode(0o444)).unwrap();
    if std::fs::OpenOptions::new().write(true).open(w.path("a")).is_ok() {
        return; // who is root may write anything
    }
    w.run("a", &["put", "k", "w"]).fails(1, &[w.path("a").to_str().unwrap()]);
}

#[test]
fn a_copy_goes_on_under_a_name_of_its_own_and_says_so() {
    let w = World::new();
    w.ok("a", &["put", "k", "v"]);
    std::fs::copy(w.path("a"), w.path("b")).unwrap();
    let copied = w.run("b", &["put", "k", "w"]);
    assert_eq!(copied.code, 0);
    assert!(copied.err.contains("was copied or restored"), "{copied:?}");
    assert_eq!(w.run("b", &["put", "k", "x"]).err, "");
    let a = w.path("a").to_str().unwrap().to_owned();
    assert_eq!(w.json("b", &["sync", "--file", &a])["converged"], true);
}

/// A container that is started twice from one state, in which nothing can notice that.
#[test]
fn two_runs_of_one_image_write_under_fresh_names_and_nothing_is_lost() {
    let w = World::new();
    let replica = |store: &str| w.json(store, &["status"])["replica"].clone();
    w.ok("a", &["set", "add", "cart", "apple"]);
    let (image, first) = (Image::of(&w, "a"), replica("a"));
    let a = w.path("a").to_str().unwrap().to_owned();
    let mut names = vec![first];
    for element in ["pear", "plum"] {
        image.put_back();
        let run = w.run("a", &["--fresh-id", "set", "add", "cart", element]);
        // It was asked for, and is no news.
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        names.push(replica("a"));
        let synced = w.json("b", &["sync", "--file", &a]);
        assert_eq!((&synced["converged"], &synced["forks"]), (&json!(true), &json!([])));
        assert_eq!(synced["other"]["forks"], json!([]));
    }
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
    let seen = &w.json("b", &["status"])["vector"];
    for name in &names {
        assert!(seen[name.as_str().unwrap()].is_u64(), "{name} is not in {seen}");
    }
    for store in ["a", "b"] {
        assert_eq!(w.ok(store, &["set", "list", "cart"]), "pear\nplum\napple\n");
    }
    // Served under a fresh name too, and without the flag it keeps the one it has.
    let before = replica("a");
    let server = w.serve_with("a", &["--fresh-id"]);
    assert_eq!(w.json("b", &["sync", &server.url()])["converged"], true);
    server.stop();
    let served = replica("a");
    assert_ne!(served, before);
    assert_eq!(replica("a"), served);
}

#[test]
fn a_backup_is_a_store_of_its_own_and_replaces_nothing() {
    let w = World::new();
    let path = |name: &str| w.path(name).to_str().unwrap().to_owned();
    w.run("a", &["backup", &path("b")]).fails(1, &["there is no store"]);
    w.import("a", EVERYTHING).ok();
    w.command("a", &["--space", "other", "put", "k", "v"]).output().unwrap();
    let made = w.json("a", &["backup", &path("b")]);
    assert_eq!((&made["op"], &made["file"]), (&json!("backup"), &json!(path("b"))));
    assert!(made["rows"].as_u64().unwrap() > 40);
    assert_eq!(w.run("b", &["check"]).ok(), "sound: 2 spaces, 24 items\n");
    assert_eq!(w.ok("b", &["export"]), w.ok("a", &["export"]));
    let status = w.json("b", &["status"]);
    assert_eq!(status["replica"], made["replica"]);
    assert_ne!(status["replica"], w.json("a", &["status"])["replica"]);
    assert!(w.ok("a", &["backup", &path("c")]).contains(" rows in "));
    w.run("a", &["backup", &path("b")]).fails(1, &[&path("b"), "there already", "another name"]);
    w.run("a", &["backup", &path("no/folder")]).fails(1, &["no/folder"]);
    // Both go on, and meet.
    w.ok("b", &["set", "add", "cart", "pear"]);
    w.ok("a", &["set", "remove", "cart", "apple"]);
    assert_eq!(w.json("b", &["sync", "--file", &path("a"), "--all"])["repaired"], 0);
    assert_eq!(w.ok("b", &["export"]), w.ok("a", &["export"]));
}

#[test]
fn check_names_the_block_that_decayed() {
    let w = World::new();
    w.ok("a", &["put", "greeting", "hello, hello, hello"]);
    let sound = w.json("a", &["check", "--deep"]);
    assert_eq!((&sound["sound"], &sound["items"]), (&json!(true), &json!(1)));
    let mut bytes = std::fs::read(w.path("a")).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 19)
        .filter(|&at| bytes[at..].starts_with(b"hello, hello, hello"))
        .collect();
    for at in places {
        bytes[at + 3] ^= 1;
    }
    std::fs::write(w.path("a"), bytes).unwrap();
    for args in [&["check"][..], &["check", "--deep"]] {
        let found = w.run("a", args);
        assert!(found.out.contains("block") && found.out.contains("seal"), "{}", found.out);
        found.fails(1, &["not sound"]);
    }
    w.run("a", &["get", "greeting"]).fails(1, &["block", "seal"]);
}

/// Whoever finds it writes nothing more into the file; the next to open it is told all the same.
#[test]
fn damage_that_was_found_ends_syncing_until_a_check_finds_none() {
    for args in [&["check"][..], &["check", "--deep"], &["get", "greeting"]] {
        let w = World::new();
        w.ok("a", &["put", "greeting", "hello, hello, hello"]);
        w.ok("b", &["put", "other", "value"]);
        let [a, b] = ["a", "b"].map(|name| w.path(name).to_str().unwrap().to_owned());
        let bytes = std::fs::read(w.path("a")).unwrap();
        let greets = |at: &usize| bytes[*at..].starts_with(b"hello, hello, hello");
        // Where it stands in a table, and not in the journal before that.
        let place = (0..bytes.len() - 19).rfind(greets).unwrap();
        let flip = || flip(&w.path("a"), place + 3);
        flip();
        assert_eq!(w.run("a", args).code, 1);
        if args[0] == "get" {
            // A read only fails; whoever comes upon it in a sync notes it.
            w.run("b", &["sync", "--file", &a]).fails(1, &[&a, "block", "seal"]);
        }
        flip();
        for _ in 0..2 {
            // Of whose store that is said, is plain.
            let ran = w.run("a", &["sync", "--file", &b]);
            assert!(!ran.err.contains(&b), "{}", ran.err);
            ran.fails(1, &["damaged", "rejoin check"]);
            w.run("b", &["sync", "--file", &a]).fails(1, &[&a, "damaged"]);
        }
        let serving = w.serve("b");
        let ran = w.run("a", &["sync", &format!("ws://{}", serving.address)]);
        assert!(!ran.err.contains(&serving.address), "{}", ran.err);
        ran.fails(1, &["damaged", "rejoin check"]);
        serving.stop();
        let copied = w.run("a", &["backup", w.path("copy").to_str().unwrap()]);
        assert!(copied.code == 0 && copied.err.contains("found damaged"), "{copied:?}");
        w.ok("a", &["check"]);
        assert_eq!(w.json("a", &["sync", "--file", &b])["converged"], true);
    }
}

/// Neither does it begin to: each session would be refused.
#[test]
fn a_store_that_was_found_damaged_does_not_serve_and_says_where() {
    let w = World::new();
    w.ok("a", &["put", "greeting", "hello, hello, hello"]);
    assert_eq!(w.json("a", &["status"])["damage"], json!(null));
    let bytes = std::fs::read(w.path("a")).unwrap();
    let greets = |at: &usize| bytes[*at..].starts_with(b"hello, hello, hello");
    let place = (0..bytes.len() - 19).rfind(greets).unwrap();
    let flip = || flip(&w.path("a"), place + 3);
    flip();
    assert_eq!(w.run("a", &["check"]).code, 1);
    // How it stands cannot be read, but that it was found damaged is said all the same.
    let (ran, json) = (w.run("a", &["status"]), w.run("a", &["status", "--json"]));
    assert!(ran.out.starts_with("damaged") && ran.out.contains("rejoin recover"), "{ran:?}");
    let told: serde_json::Value = serde_json::from_str(json.out.lines().next().unwrap()).unwrap();
    assert!(told["damage"].as_str().unwrap().contains("block"), "{told}");
    assert_eq!((ran.code, json.code), (1, 1));
    // It reads well again, and stays damaged until somebody looked.
    flip();
    // One that does serve would run until it is stopped, so that first its line is waited for.
    assert_eq!(w.serve("a").address, "");
    for args in [&["serve", "--listen", ":0"][..], &["serve", "--listen", ":0", "--json"]] {
        let ran = w.run("a", args);
        assert!(ran.out.is_empty() && !ran.err.contains("serving"), "{ran:?}");
        ran.fails(1, &["damaged", "block", "rejoin check", "rejoin recover"]);
    }
    let status = w.json("a", &["status"]);
    let found = status["damage"].as_str().unwrap();
    assert!(found.contains("block") && found.contains("seal"), "{found}");
    let text = w.ok("a", &["status"]);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("damaged") && first.contains(found), "{text}");
    assert!(first.contains("rejoin recover"), "{text}");
    w.ok("a", &["check"]);
    assert_eq!(w.json("a", &["status"])["damage"], json!(null));
    assert!(!w.ok("a", &["status"]).contains("damaged"));
    w.serve("a").stop();
}
