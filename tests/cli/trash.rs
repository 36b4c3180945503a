//! What peers took away: the trash, and the brake.

use rejoin::{Options, Store};
use serde_json::{Value, json};

use crate::world::{EVERYTHING, World};

/// Takes everything away in a copy that forgets at once what it removed, and lets the other
/// find out.
pub(crate) fn take_all_away(w: &World, store: &str, by: &str, space: &str) {
    let path = w.path(by).to_str().unwrap().to_owned();
    let synced = w.json(store, &["--space", space, "sync", "--file", &path]);
    assert_eq!(synced["converged"], true);
    let mut options = Options::default();
    options.removal_log_bytes = 0;
    let forgetful = Store::open_with(w.path(by), options).unwrap();
    let space = forgetful.space(space).unwrap();
    for entry in space.keys(rejoin::space::Keys::all()).unwrap() {
        space.delete(&entry.key).unwrap();
    }
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_a_peer_took_away_is_listed_restored_and_thrown_away() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let (exported, items) = (w.ok("a", &["export"]), w.json("a", &["status"])["items"].clone());
    assert_eq!(w.ok("a", &["trash", "list"]), "");
    take_all_away(&w, "a", "b", "main");
    let b = w.path("b").to_str().unwrap().to_owned();
    assert_eq!(w.json("a", &["sync", "--file", &b])["repaired"], items);
    assert_eq!(w.ok("a", &["export"]), "");
    assert_eq!(w.json("a", &["status"])["trash_items"], items);
    assert!(w.ok("a", &["status"]).contains("see rejoin trash list"));

    let listed = lines(&w.ok("a", &["trash", "list", "--json"]));
    assert_eq!(json!(listed.len()), items);
    let visits = listed.iter().find(|gone| gone["key"] == "visits").unwrap();
    assert_eq!((&visits["type"], &visits["value"]), (&json!("counter"), &json!(-7)));
    assert_eq!(visits["peer"], w.json("b", &["status"])["replica"]);
    let text = w.ok("a", &["trash", "list", "--prefix", "cart"]);
    assert_eq!(text.lines().count(), 4);
    assert!(text.lines().any(|line| line.ends_with("\tcart\tset\tapple\t")), "{text}");
    let title = w.ok("a", &["trash", "list", "--prefix", "visits"]);
    assert_eq!(title, format!("{}\tvisits\tcounter\t\t-7\n", visits["number"]));

    let number = visits["number"].to_string();
    assert_eq!(w.ok("a", &["trash", "restore", &number]), "restored 1 items\n");
    assert_eq!(w.ok("a", &["counter", "get", "visits"]), "-7\n");
    assert_eq!(w.json("a", &["trash", "restore", "--prefix", "cart"])["written"], 4);
    w.ok("a", &["set", "add", "user", "beside"]);
    w.ok("a", &["put", "note", "10"]);
    w.ok("a", &["trash", "restore", "--all"]);
    assert_eq!(w.ok("a", &["trash", "list"]), "");
    w.ok("a", &["set", "remove", "user", "beside"]);
    w.ok("a", &["delete", "note"]);
    // All is back but the note, and reaches the one that had taken it away.
    assert_eq!(w.json("a", &["sync", "--file", &b])["converged"], true);
    let without_note = |out: &str| {
        let lines = out.lines().filter(|line| !line.contains(r#""key":"note""#));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for store in ["a", "b"] {
        assert_eq!(without_note(&w.ok(store, &["export"])), without_note(&exported), "{store}");
    }

    take_all_away(&w, "a", "b", "main");
    w.ok("a", &["sync", "--file", &b]);
    assert!(w.json("a", &["trash", "empty"])["thrown_away"].as_u64().unwrap() > 10);
    assert_eq!(w.ok("a", &["trash", "empty"]), "threw 0 items away\n");
    w.run("a", &["trash", "restore"]).fails(2, &["--all"]);
    w.run("none", &["trash", "list"]).fails(1, &["there is no store"]);
}

#[test]
fn a_mass_removal_is_held_until_it_is_decided() {
    let many: String = (0..1_500)
        .map(|n| format!("{{\"op\":\"set.add\",\"key\":\"s\",\"elem\":\"{n}\"}}\n"))
        .collect();
    for decide in ["--allow-mass-removal", "--keep-mass-removal", "allow", "keep"] {
        let w = World::new();
        w.import("a", &many).ok();
        take_all_away(&w, "a", "b", "main");
        let b = w.path("b").to_str().unwrap().to_owned();
        let replica = w.json("b", &["status"])["replica"].as_str().unwrap().to_owned();
        let held = w.run("a", &["sync", "--file", &b, "--json"]);
        let report: Value = serde_json::from_str(&held.out).unwrap();
        assert_eq!(report["each"][0]["held"]["items"], 1_500);
        held.fails(1, &["1500 of 1500 items", &replica, "--allow-mass-removal", "rejoin decide"]);
        let status = w.json("a", &["status"]);
        assert_eq!(status["held"][0]["peer"], json!(replica));
        assert_eq!((&status["held"][0]["items"], &status["items"]), (&json!(1_500), &json!(1_500)));
        assert!(w.ok("a", &["status"]).contains("1500 of 1500 items, which"));

        let synced = if decide.starts_with("--") {
            w.json("a", &["sync", "--file", &b, decide])
        } else {
            let said = w.ok("a", &["decide", &replica, decide]);
            assert_eq!(said, format!("the next sync with {replica}: {decide}\n"));
            assert!(w.ok("a", &["status"]).contains(&format!("the next sync with it: {decide}")));
            // The other may be the one that connects.
            let a = w.path("a").to_str().unwrap().to_owned();
            w.json("b", &["sync", "--file", &a])
        };
        assert_eq!(synced["converged"], true);
        let items = if decide.ends_with("allow") || decide.contains("allow-") { 0 } else { 1_500 };
        for store in ["a", "b"] {
            let status = w.json(store, &["status"]);
            assert_eq!((&status["items"], &status["held"]), (&json!(items), &json!([])));
        }
        assert_eq!(w.json("a", &["status"])["trash_items"], 1_500 - items);
    }
    let w = World::new();
    w.run("a", &["sync", "--file", "b", "--keep-mass-removal", "--allow-mass-removal"])
        .fails(2, &[]);
    w.ok("a", &["put", "k", "v"]);
    w.run("a", &["decide", "nobody", "keep"]).fails(1, &["no replica id"]);
}
