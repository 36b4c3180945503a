//! Each command in text and JSON, and what is told of wrong ones.

use std::process::Command;

use rejoin::Store;
use serde_json::json;

use crate::world::{EVERYTHING, Ran, World};

#[test]
fn every_command_speaks_text_and_json() {
    let w = World::new();
    assert_eq!(w.ok("a", &["set", "add", "s", "x", "y"]), "added 2 to s\n");
    assert_eq!(w.json("a", &["set", "list", "s"])["elements"], json!(["x", "y"]));
    assert_eq!(w.ok("a", &["set", "remove", "s", "x", "z"]), "removed 1 of 2 from s\n");
    assert_eq!(w.json("a", &["set", "add", "s", "w"])["op"], "set.add");
    assert_eq!(w.ok("a", &["counter", "add", "c", "-3"]), "added -3 to c, which is -3 now\n");
    assert_eq!(w.json("a", &["counter", "get", "c"])["value"], -3);
    assert_eq!(w.ok("a", &["register", "set", "r", "v"]), "set r\n");
    assert_eq!(w.ok("a", &["register", "get", "r"]), "v\n");
    assert_eq!(w.json("a", &["register", "get", "r"])["value"], "v");
    let none = w.run("a", &["register", "get", "nothing"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    w.ok("a", &["map", "set", "m", "name", "Ada"]);
    w.ok("a", &["map", "set", "m", "age", "36"]);
    assert_eq!(w.ok("a", &["map", "get", "m"]), "age\t36\nname\tAda\n");
    assert_eq!(w.ok("a", &["map", "remove", "m", "age"]), "removed age from m\n");
    assert_eq!(w.json("a", &["map", "get", "m"])["fields"], json!({"name": "Ada"}));
    assert_eq!(w.ok("a", &["flag", "get", "f"]), "disabled\n");
    w.ok("a", &["flag", "enable", "f"]);
    assert_eq!(w.ok("a", &["flag", "get", "f"]), "enabled\n");
    w.ok("a", &["flag", "disable", "f"]);
    assert_eq!(w.json("a", &["flag", "get", "f"])["enabled"], false);
    w.ok("a", &["put", "k", "hex:0aff"]);
    let got = w.ok("a", &["get", "k"]);
    assert!(got.starts_with("hex:0aff\ncontext "), "{got}");
    assert_eq!(w.ok("a", &["keys"]), "c\tcounter\nk\tvalue\nm\tmap\nr\tregister\ns\tset\n");
    assert_eq!(w.ok("a", &["keys", "--prefix", "r"]), "r\tregister\n");
    assert_eq!(w.ok("a", &["delete", "k"]), "deleted k\n");
    assert_eq!(w.json("a", &["delete", "k"])["removed"], false);
    let status = w.json("a", &["status"]);
    assert_eq!((&status["space"], &status["keys"]), (&json!("main"), &json!(4)));
    assert_eq!((&status["items"], &status["staged"]), (&json!(5), &json!(0)));
    assert_eq!(status["vector"][status["replica"].as_str().unwrap()], 13);
    assert!(status["file_bytes"].as_u64().unwrap() > 0);
    assert!(w.ok("a", &["status"]).contains(status["root"].as_str().unwrap()));
    assert_eq!(w.json("a", &["check"])["sound"], true);
    assert_eq!(w.json("a", &["compact"])["op"], "compact");
    // Options stand before or after the command; spaces are apart.
    let other = w.command("a", &["--space", "other", "--json", "keys"]).output().unwrap();
    assert_eq!(Ran::of(other).ok(), "");
}

#[test]
fn siblings_come_back_until_a_put_with_their_context() {
    let w = World::new();
    for (store, value) in [("a", "10"), ("b", "20"), ("c", "10")] {
        w.ok(store, &["put", "k", value]);
    }
    for other in ["b", "c"] {
        let other = w.path(other).to_str().unwrap().to_owned();
        assert_eq!(w.json("a", &["sync", "--file", &other])["converged"], true);
    }
    let got = w.json("a", &["get", "k"]);
    assert_eq!(got["values"].as_array().unwrap().len(), 3);
    let context = got["context"].as_str().unwrap();
    w.ok("a", &["put", "k", "later", "--blind"]);
    w.ok("a", &["put", "k", "merged", "--context", context]);
    let mut values = w.ok("a", &["get", "k"]);
    values.truncate(values.find("context").unwrap());
    assert_eq!(values, "later\nmerged\n");
    w.ok("a", &["put", "k", "all"]);
    assert_eq!(w.json("a", &["get", "k"])["values"], json!(["all"]));
}

#[test]
fn the_library_sees_what_the_command_line_writes() {
    let w = World::new();
    w.ok("a", &["set", "add", "cart", "apple"]);
    w.ok("a", &["register", "set", "title", "Groceries"]);
    w.ok("a", &["map", "set", "user", "name", "Ada"]);
    {
        let store = Store::open(w.path("a")).unwrap();
        let space = store.space("main").unwrap();
        assert_eq!(space.set::<String>("cart").elements().unwrap(), ["apple"]);
        assert_eq!(space.register::<String>("title").get().unwrap().unwrap(), "Groceries");
        let map = space.map::<String>("user");
        let name = map.register::<String>(&"name".into()).unwrap();
        assert_eq!(name.get().unwrap().unwrap(), "Ada");
        space.set::<(u8, u32)>("odd").add(&(1, 300)).unwrap();
    }
    assert_eq!(w.ok("a", &["set", "list", "odd"]), "raw:01ac02\n");
    w.ok("a", &["set", "remove", "odd", "raw:01ac02"]);
    assert_eq!(w.ok("a", &["set", "list", "odd"]), "");
}

#[test]
fn wrong_usage_is_told_apart() {
    let w = World::new();
    let usage: &[&[&str]] = &[
        &["fly"],
        &["set", "add", "k"],
        &["counter", "add", "k", "many"],
        &["counter", "add", "k", "9223372036854775808"],
        &["put", "k", "v", "--blind", "--context", "00"],
        &["put", "k", "hex:0"],
        &["sync"],
        &["sync", "ws://a", "--file", "b"],
        &["sync", "ws://a", "--all", "--prefix", "b"],
    ];
    for args in usage {
        assert_eq!(w.run("a", args).code, 2, "{args:?}");
    }
    let no_store = Command::new(env!("CARGO_BIN_EXE_rejoin")).arg("status").output().unwrap();
    Ran::of(no_store).fails(2, &["--store"]);
    assert!(!w.path("a").exists());
    let commands = [
        "status",
        "keys",
        "check",
        "compact",
        "backup",
        "get",
        "put",
        "delete",
        "set add",
        "set remove",
        "set list",
        "counter add",
        "counter get",
        "register set",
        "register get",
        "map set",
        "map remove",
        "map get",
        "flag enable",
        "flag disable",
        "flag get",
        "import",
        "export",
        "serve",
        "sync",
    ];
    for command in commands {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        assert!(w.ok("a", &args).contains("Example"), "{command}");
    }
}

#[test]
fn a_command_that_reads_makes_no_store() {
    let w = World::new();
    for args in [
        &["status"][..],
        &["keys"],
        &["check"],
        &["compact"],
        &["backup", "b"],
        &["get", "k"],
        &["export"],
        &["set", "list", "k"],
        &["counter", "get", "k"],
        &["register", "get", "k"],
        &["map", "get", "k"],
        &["flag", "get", "k"],
    ] {
        w.run("a", args).fails(1, &["there is no store", w.path("a").to_str().unwrap()]);
    }
    assert_eq!(std::fs::read_dir(w.folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_written_is_refused_and_changes_nothing() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    w.ok("b", &["put", "note", "elsewhere"]);
    let before = w.state("a");
    let long = "x".repeat(4097);
    let huge = w.file(
        "huge",
        format!("{{\"op\":\"put\",\"key\":\"k\",\"value\":\"{}\"}}", "v".repeat(9 << 20)),
    );
    let own = w.json("a", &["get", "note"])["context"].as_str().unwrap().to_owned();
    let foreign = w.json("b", &["get", "note"])["context"].as_str().unwrap().to_owned();
    let last = if own.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &own[..own.len() - 1]);
    let max = i64::MIN.to_string();
    let bad: &[(&[&str], &[&str])] = &[
        (&["put", &long, "v"], &["4097", "4096"]),
        (&["put", "", "v"], &["key"]),
        (&["set", "add", "s", &long], &["4096"]),
        (&["map", "set", "m", &long, "v"], &["4096"]),
        (&["import", &huge], &["line 1", "9437184", "8388608"]),
        (&["counter", "add", "visits", &max], &["counter", "-7", "add less"]),
        (&["put", "note", "v", "--context", &forged], &["read context", "get"]),
        (&["put", "note", "v", "--context", "zz"], &["hexadecimal", "get"]),
        (&["put", "other", "v", "--context", &own], &["\"note\"", "not what is written here"]),
        (&["put", "note", "v", "--context", &foreign], &["not seen", "sync"]),
        (&["put", "k", "v", "--space", ""], &["space name"]),
        (&["put", "k", "v", "--space", &long], &["space name", "255"]),
    ];
    for (args, says) in bad {
        w.run("a", args).fails(1, says);
        assert_eq!(w.state("a"), before, "{args:?}");
    }
}

#[test]
fn two_types_under_one_key_are_both_kept_and_told() {
    let w = World::new();
    w.ok("a", &["set", "add", "k", "x"]);
    let other = w.run("a", &["counter", "add", "k", "1"]);
    assert!(other.err.contains("k also holds another type: set"), "{other:?}");
    let got = w.run("a", &["set", "list", "k"]);
    assert!(got.err.contains("counter"), "{got:?}");
    assert_eq!(got.out, "x\n");
    assert_eq!(w.ok("a", &["keys"]), "k\tcounter,set\n");
}
