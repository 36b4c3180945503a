//! What a sync finds that somebody has to know, told of the store in which it was found: by the
//! server that has it open, or by `sync --file` of the other file.

use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::storage::{
    Durability, FileOptions, KeyRange, Order, RedbStorage, Storage, Table, Verdict,
};
use rejoin::{Options, Store};
use serde_json::{Value, json};

use crate::trash::take_all_away;
use crate::world::World;

/// A store and its identity, put back over themselves with their times, as an image brings both
/// back: nothing at its opening can notice.
pub(crate) struct Image(Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)>);

impl Image {
    pub(crate) fn of(w: &World, store: &str) -> Self {
        let files = [w.path(store), w.path(&format!("{store}.id"))];
        let kept = files.map(|path| {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), fs::read(&path).unwrap(), modified)
        });
        Self(kept.into())
    }

    pub(crate) fn put_back(&self) {
        for (path, bytes, modified) in &self.0 {
            fs::write(path, bytes).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(*modified).unwrap();
        }
    }
}

/// A store put back behind the back of its peer, which knows more of its events than it does.
fn put_back(w: &World) {
    w.ok("a", &["set", "add", "cart", "apple"]);
    let image = Image::of(w, "a");
    w.ok("a", &["set", "add", "cart", "pear"]);
    let a = w.path("a").to_str().unwrap().to_owned();
    w.json("b", &["sync", "--file", &a]);
    image.put_back();
}

/// Two stores, each with another content of one event: what copies of a running process make.
fn two_contents(w: &World) {
    for (store, reader, value) in [("one", "a", "tea"), ("two", "b", "rice")] {
        // Of the same randomness, so under the same name and tag.
        let (mut options, drawn) = (Options::default(), AtomicU64::new(0));
        options.entropy =
            Arc::new(move |bytes| bytes.fill(1 + drawn.fetch_add(1, Ordering::Relaxed) as u8));
        let path = w.path(store);
        let made = Store::open_with(&path, options).unwrap();
        made.space("main").unwrap().put("note", value, None).unwrap();
        drop(made);
        w.json(reader, &["sync", "--file", path.to_str().unwrap()]);
    }
}

/// A store that holds 1,500 items, of which `b` claims without records that they were removed.
fn mass_removal(w: &World, space: &str) {
    let line = |n| format!("{{\"op\":\"set.add\",\"key\":\"s\",\"elem\":\"{n}\"}}\n");
    let lines = w.file("lines", (0..1_500).map(line).collect::<String>());
    w.ok("a", &["--space", space, "import", &lines]);
    take_all_away(w, "a", "b", space);
}

fn replica(w: &World, store: &str) -> String {
    w.json(store, &["status"])["replica"].as_str().unwrap().to_owned()
}

/// What a server warned of.
fn warnings(w: &World, words: &str) -> usize {
    w.log().lines().filter(|line| line.contains("WARN") && line.contains(words)).count()
}

#[test]
fn a_server_tells_that_its_store_gave_up_a_name() {
    let w = World::new();
    put_back(&w);
    let name = replica(&w, "a");
    let server = w.serve("a");
    let synced = w.json("b", &["sync", &server.url()]);
    assert_eq!((&synced["converged"], &synced["forks"]), (&json!(true), &json!([])));
    w.json("b", &["sync", &server.url()]);
    server.stop();
    let now = replica(&w, "a");
    assert_ne!(now, name);
    let log = w.log();
    assert_eq!(warnings(&w, "space \"main\": this store was put back"), 1, "{log}");
    assert!(log.contains(&name) && log.contains(&format!("writes as {now}")), "{log}");
}

#[test]
fn a_server_tells_of_an_event_with_two_contents() {
    let w = World::new();
    two_contents(&w);
    let server = w.serve("a");
    let synced = w.json("b", &["sync", &server.url()]);
    server.stop();
    assert_eq!(synced["equivocations"].as_array().unwrap().len(), 1);
    let dot = synced["equivocations"][0]["kept"]["dot"].as_str().unwrap();
    let said = format!("space \"main\": event {dot} was made twice");
    assert_eq!(warnings(&w, &said), 1, "{}", w.log());
}

#[test]
fn a_server_tells_what_it_holds_back_and_how_to_decide() {
    let w = World::new();
    mass_removal(&w, "x/1");
    let peer = replica(&w, "b");
    let server = w.serve("a");
    w.run("b", &["--space", "x/1", "sync", &server.url()]).fails(1, &["the other holds"]);
    server.stop();
    let said = "space \"x/1\": held back: 1500 of 1500 items";
    assert_eq!(warnings(&w, said), 1, "{}", w.log());
    let decide = format!("rejoin decide {peer} allow|keep --space \"x/1\"");
    assert_eq!(warnings(&w, &decide), 1, "{}", w.log());
    // As it says.
    w.ok("a", &["decide", &peer, "allow", "--space", "x/1"]);
    let server = w.serve("a");
    assert_eq!(w.json("b", &["--space", "x/1", "sync", &server.url()])["converged"], true);
    server.stop();
    assert_eq!(warnings(&w, ""), 0, "{}", w.log());
}

#[test]
fn syncing_with_a_file_tells_that_the_other_store_gave_up_a_name() {
    for json in [false, true] {
        let w = World::new();
        put_back(&w);
        let (a, name) = (w.path("a").to_str().unwrap().to_owned(), replica(&w, "a"));
        let args: &[&str] = if json { &["--json"] } else { &[] };
        let ran = w.run("b", &[&["sync", "--file", &a], args].concat());
        let now = replica(&w, "a");
        assert_eq!((ran.code, ran.err.matches("put back").count()), (0, 1), "{ran:?}");
        let said = format!("note: {a}: space \"main\": this store was put back");
        assert!(ran.err.contains(&said) && ran.err.contains(&now), "{ran:?}");
        if json {
            let report: Value = serde_json::from_str(&ran.out).unwrap();
            let fork = &report["other"]["forks"][0];
            assert_eq!((&fork["replica"], &fork["writes_as"]), (&json!(name), &json!(now)));
            assert_eq!((&report["forks"], &report["other"]["file"]), (&json!([]), &json!(a)));
        }
        // It is told once.
        let again = w.run("b", &["sync", "--file", &a]);
        assert_eq!((again.code, again.err.as_str()), (0, ""));
    }
}

#[test]
fn syncing_with_a_file_tells_once_what_both_found() {
    let w = World::new();
    two_contents(&w);
    let a = w.path("a").to_str().unwrap().to_owned();
    let ran = w.run("b", &["sync", "--file", &a, "--json"]);
    assert_eq!((ran.code, ran.err.matches("made twice").count()), (0, 1), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["equivocations"].as_array().unwrap().len(), 1);
    assert_eq!(report["other"]["equivocations"], json!([]));
}

#[test]
fn syncing_with_a_file_tells_what_the_other_store_holds_back() {
    for space in ["main", "x/1"] {
        let w = World::new();
        mass_removal(&w, space);
        let (a, peer) = (w.path("a").to_str().unwrap().to_owned(), replica(&w, "b"));
        let ran = w.run("b", &["--space", space, "sync", "--file", &a, "--json"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["each"][0]["held"], Value::Null);
        let held = &report["other"]["held"][0];
        assert_eq!((&held["space"], &held["items"]), (&json!(space), &json!(1_500)));
        let mut decide = format!("; rejoin decide {peer} allow|keep --store {a}");
        if space != "main" {
            decide += " --space \"x/1\"";
        }
        assert_eq!(ran.err.matches("held back").count(), 1, "{ran:?}");
        ran.fails(1, &[&format!("{a}: space {space:?}: held back: 1500 of 1500 items"), &decide]);
        w.ok("a", &["decide", &peer, "keep", "--space", space]);
        let kept = w.json("b", &["--space", space, "sync", "--file", &a]);
        assert_eq!((&kept["converged"], &kept["items_received"]), (&json!(true), &json!(1_500)));
    }
}

/// A store of which one item is not what it was, in a page that is sound: only who reads it for a
/// peer notices, in the middle of a session.
fn with_a_changed_item(w: &World, store: &str) -> String {
    w.ok(store, &["put", "note", "tea"]);
    let mut drawn = 0;
    let mut entropy = |bytes: &mut [u8]| {
        drawn += 1;
        bytes.fill(drawn);
    };
    let rows = RedbStorage::open(w.path(store), &FileOptions::default(), &mut entropy).unwrap();
    let change = rows.write(Durability::Immediate, &mut |to| {
        let (mut found, all) = (Vec::new(), KeyRange { from: &[], to: None });
        to.scan(Table::Items, all, Order::Ascending, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })?;
        let (key, mut value) = found.pop().unwrap();
        *value.last_mut().unwrap() ^= 1;
        to.put(Table::Items, &key, &value)?;
        Ok(Verdict::Commit)
    });
    change.unwrap();
    w.path(store).to_str().unwrap().to_owned()
}

#[test]
fn a_store_that_proves_damaged_in_a_session_is_told_of_on_its_own_side() {
    let w = World::new();
    let told = "the store is corrupt";
    // Served: its log says what and where, the peer hears that it is so and not where it lies.
    let a = with_a_changed_item(&w, "a");
    let server = w.serve("a");
    let ran = w.run("other", &["sync", &server.url()]);
    server.stop();
    assert!(!ran.err.contains(&a) && !ran.err.contains("hash"), "{ran:?}");
    ran.fails(1, &["the peer ended the session: its store is damaged, and does not sync"]);
    let errors = |line: &&str| line.contains("ERROR") && line.contains(told);
    assert_eq!(w.log().lines().filter(errors).count(), 1, "{}", w.log());
    // It calls: what is said is not about the peer.
    with_a_changed_item(&w, "b");
    let server = w.serve("other");
    let (ran, peer) = (w.run("b", &["sync", &server.url()]), server.address.clone());
    server.stop();
    assert!(!ran.err.contains(&peer), "{ran:?}");
    ran.fails(1, &[told]);
    // Two files: which of the two.
    let c = with_a_changed_item(&w, "c");
    let ran = w.run("other", &["sync", "--file", &c]);
    ran.fails(1, &[&format!("{c}: {told}")]);
    with_a_changed_item(&w, "d");
    let other = w.path("other").to_str().unwrap().to_owned();
    let ran = w.run("d", &["sync", "--file", &other]);
    assert!(!ran.err.contains(&other), "{ran:?}");
    ran.fails(1, &[told]);
    // From now on it is known, and no file is made of that.
    let none = w.path("none").to_str().unwrap().to_owned();
    w.run("d", &["sync", "--file", &none]).fails(1, &["is damaged and does not sync"]);
    assert!(!w.path("none").exists() && !w.path("none.id").exists());
}
