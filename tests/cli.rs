//! The binary as people use it: processes, files and sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rejoin::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

struct World {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out:?}"))
    }

    #[track_caller]
    fn fails(self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        for word in says {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
    }
}

impl World {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, store: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        command.arg("--store").arg(self.path(store)).args(args).env_remove("RUST_LOG");
        command
    }

    fn run(&self, store: &str, args: &[&str]) -> Ran {
        Ran::of(self.command(store, args).stdin(Stdio::null()).output().unwrap())
    }

    #[track_caller]
    fn ok(&self, store: &str, args: &[&str]) -> String {
        self.run(store, args).ok()
    }

    #[track_caller]
    fn json(&self, store: &str, args: &[&str]) -> Value {
        self.run(store, &[args, &["--json"]].concat()).json()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn import(&self, store: &str, lines: &str) -> Ran {
        let mut child = self
            .command(store, &["import", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Export, vector and root: what bad input must leave as it was.
    fn state(&self, store: &str) -> (String, Value, Value) {
        let status = self.json(store, &["status"]);
        (self.ok(store, &["export"]), status["vector"].clone(), status["root"].clone())
    }

    fn serve(&self, store: &str) -> Served {
        let mut child = self
            .command(store, &["serve", "--listen", ":0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Served { child, address: line.trim().to_owned() }
    }
}

struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Asks it to stop, as the system does.
    fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of every type, nested ones and odd bytes too.
const EVERYTHING: &str = r#"
{"op":"set.add","key":"cart","elem":"apple"}
{"op":"set.add","key":"cart","elem":"hex:ff00"}
{"op":"set.add","key":"cart","elem":"hex:6865783a"}
{"op":"set.add","key":"cart","elem":"raw:0102"}
{"op":"rw_set.add","key":"guests","elem":"Ada"}
{"op":"rw_set.remove","key":"guests","elem":"Bob"}
{"op":"counter.add","key":"visits","by":-7}
{"op":"register.set","key":"title","value":"Groceries\nand \"more\""}
{"op":"register.set","key":"title","value":"Food","sibling":true}
{"op":"mv_register.set","key":"both","value":"one"}
{"op":"mv_register.set","key":"both","value":"two","sibling":true}
{"op":"map.set","key":"user","field":"name","value":"Ada"}
{"op":"map.set","key":"user","field":"raw:05","value":"raw:"}
{"op":"counter.add","key":"user","path":["logins"],"by":3}
{"op":"set.add","key":"user","path":["tags","deep","deeper"],"elem":"x"}
{"op":"map.set","key":"user","path":["tags"],"field":"y","value":"z"}
{"op":"flag.enable","key":"done"}
{"op":"dw_flag.enable","key":"sure"}
{"op":"dw_flag.disable","key":"unsure"}
{"op":"put","key":"note","value":"10"}
{"op":"put","key":"note","value":"hex:00ff","sibling":true}
{"op":"put","key":"hex:00ff","value":""}
{"op":"set.add","key":"note","elem":"another type"}
"#;

#[test]
fn two_stores_edit_apart_and_meet() {
    let w = World::new();
    w.ok("a", &["set", "add", "cart", "apple", "milk"]);
    w.ok("a", &["counter", "add", "visits", "2"]);
    w.ok("b", &["set", "add", "cart", "banana"]);
    w.ok("b", &["register", "set", "title", "Groceries"]);
    let server = w.serve("a");
    let first = w.json("b", &["sync", &server.url()]);
    assert_eq!(first["converged"], true);
    assert_eq!((&first["spaces"], &first["items_sent"]), (&json!(1), &json!(2)));
    assert_eq!((&first["items_received"], &first["repaired"]), (&json!(3), &json!(0)));
    let second = w.json("b", &["sync", &server.url()]);
    assert_eq!(second["round_trips"], 1);
    let bytes = second["bytes_sent"].as_u64().unwrap() + second["bytes_received"].as_u64().unwrap();
    assert!(bytes < 300, "{bytes}");
    assert_eq!(second["root"], w.json("b", &["status"])["root"]);
    for field in ["removals_sent", "removals_received"] {
        assert_eq!(second[field], 0);
    }
    // One change on each side, while the other is away.
    w.ok("b", &["set", "remove", "cart", "milk"]);
    server.stop();
    w.ok("a", &["counter", "add", "visits", "-5"]);
    let server = w.serve("a");
    let third = w.json("b", &["sync", &server.url()]);
    assert_eq!((&third["removals_sent"], &third["items_received"]), (&json!(1), &json!(1)));
    assert!(third["round_trips"].as_u64().unwrap() <= 2);
    let bytes = third["bytes_sent"].as_u64().unwrap() + third["bytes_received"].as_u64().unwrap();
    assert!(bytes < 1024, "{bytes}");
    server.stop();
    for store in ["a", "b"] {
        assert_eq!(w.ok(store, &["set", "list", "cart"]), "apple\nbanana\n");
        assert_eq!(w.ok(store, &["counter", "get", "visits"]), "-3\n");
        assert_eq!(w.ok(store, &["check"]).lines().count(), 1);
    }
    assert_eq!(w.json("a", &["status"])["root"], w.json("b", &["status"])["root"]);
    assert_eq!(w.ok("a", &["export"]), w.ok("b", &["export"]));
}

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
fn an_export_imports_to_the_same_export() {
    let w = World::new();
    assert!(w.import("a", EVERYTHING).ok().starts_with("imported 23 rows"));
    let export = w.ok("a", &["export"]);
    assert_eq!(export.lines().count(), 23);
    w.import("b", &export).ok();
    assert_eq!(w.ok("b", &["export"]), export);
    assert_eq!(w.ok("b", &["register", "get", "title"]), "Food\n");
    assert_eq!(w.ok("b", &["check"]).lines().count(), 1);
    // A register under several replicas: the winner stays the winner.
    w.ok("c", &["register", "set", "title", "Last"]);
    let c = w.path("c").to_str().unwrap().to_owned();
    w.ok("b", &["sync", "--file", &c]);
    let wins = w.ok("b", &["register", "get", "title"]);
    let export = w.ok("b", &["export"]);
    w.import("d", &export).ok();
    assert_eq!(w.ok("d", &["register", "get", "title"]), wins);
    assert_eq!(w.ok("d", &["export"]), export);
}

#[test]
fn an_export_that_nobody_reads_ends_quietly() {
    let w = World::new();
    let rows: String = (0..20_000)
        .map(|i| format!("{{\"op\":\"register.set\",\"key\":\"key/{i}\",\"value\":\"v\"}}\n"))
        .collect();
    w.import("a", &rows).ok();
    let mut child =
        w.command("a", &["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_bad_line_stops_an_import_and_what_was_committed_stays() {
    let w = World::new();
    let mut lines: String = (0..10_500)
        .map(|i| format!("{{\"op\":\"counter.add\",\"key\":\"n\",\"by\":{}}}\n", i % 2))
        .collect();
    lines.push_str("{\"op\":\"counter.add\",\"key\":\"n\",\"by\":\"many\"}\n");
    w.import("a", &lines)
        .fails(1, &["line 10501", "invalid type", "10000 rows", "from line 10001"]);
    assert_eq!(w.ok("a", &["counter", "get", "n"]), "5000\n");
    let before = w.state("a");
    let long = "x".repeat(5000);
    let too_long = format!("{{\"op\":\"put\",\"key\":\"{long}\",\"value\":\"\"}}");
    let half = format!("{}{{\"op\":", "{\"op\":\"flag.enable\",\"key\":\"f\"}\n".repeat(3));
    let bad: &[(&str, &[&str])] = &[
        ("{\"op\":\"set.add\",\"key\":\"k\"}", &["line 1", "needs \"elem\""]),
        ("\n\n{\"op\":\"fly\",\"key\":\"k\"}", &["line 3", "unknown op \"fly\""]),
        ("{\"op\":\"set.add\",\"key\":\"k\",\"elm\":\"e\"}", &["line 1", "elm"]),
        ("{\"op\":\"delete\",\"key\":\"k\",\"value\":\"v\"}", &["takes no \"value\""]),
        ("{\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"path\":[\"f\"]}", &["takes no \"path\""]),
        ("{\"op\":\"put\",\"key\":\"k\",\"value\":\"hex:0\"}", &["value: an odd number"]),
        ("{\"op\":\"put\",\"key\":\"\",\"value\":\"v\"}", &["line 1", "key"]),
        (&too_long, &["line 1", "key", "4096", "5000"]),
        (&half, &["line 4"]),
        ("{\"op\":\"counter.add\",\"key\":\"n\",\"by\":9223372036854775808}", &["line 1"]),
        ("{\"op\":\"counter.add\",\"key\":\"n\",\"by\":9223372036854775807}", &["line 1", "5000"]),
        ("not json", &["line 1"]),
    ];
    for (lines, says) in bad {
        w.import("a", lines).fails(1, says);
        assert_eq!(w.state("a"), before, "{lines}");
    }
    w.run("a", &["import", "/no/such/file"]).fails(1, &["/no/such/file", "cannot be read"]);
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

#[test]
fn a_command_that_reads_makes_no_store() {
    let w = World::new();
    for args in [
        &["status"][..],
        &["keys"],
        &["check"],
        &["compact"],
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

#[test]
fn garbage_on_the_socket_leaves_the_server_as_it_was() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let before = w.state("a");
    let server = w.serve("a");
    for garbage in [&b"\0\0\0\0"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 100_000]] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    // Masked with zeros, as a client may: garbage, another version, a text, half a frame.
    let hello = b"\x01rejoin\x02";
    for (first, length, body, refused) in [
        (0x82, 3, &b"abc"[..], true),
        (0x82, 8, hello, true),
        (0x81, 3, b"abc", false),
        (0x82, 100, b"half", false),
    ] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut accepted = Vec::new();
        while !accepted.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            accepted.extend(byte);
        }
        stream.write_all(&[first, 0x80 | length, 0, 0, 0, 0]).unwrap();
        stream.write_all(body).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.contains("peer"), refused, "{answer}");
        if body == hello {
            assert!(answer.contains("version 2"), "{answer}");
        }
    }
    assert_eq!(w.json("b", &["sync", &server.url()])["converged"], true);
    server.stop();
    assert_eq!(w.state("a"), before);
}

#[test]
fn peers_that_are_not_there_or_vanish_are_told() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let before = w.state("a");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    w.run("a", &["sync", &format!("ws://{free}")]).fails(1, &["connection refused", "server"]);
    w.run("a", &["sync", "wss://localhost:1"]).fails(1, &["TLS", "ws://"]);
    w.run("a", &["sync", "http://localhost:1"]).fails(1, &["http", "ws://HOST:PORT"]);
    w.run("a", &["sync", "localhost:7777"]).fails(1, &["ws://HOST:PORT"]);
    let other = w.path("a").to_str().unwrap().to_owned();
    w.run("a", &["sync", "--file", &other]).fails(1, &["already open"]);
    // One hangs up at once, one after the handshake, one speaks another protocol.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    for answer in ["", "HTTP/1.1 404 Not Found\r\n\r\n", "SSH-2.0-OpenSSH\r\n"] {
        let hangs_up = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            });
            w.run("a", &["sync", &url])
        });
        hangs_up.fails(1, &["handshake failed"]);
    }
    assert_eq!(w.state("a"), before);
}

#[test]
fn a_server_says_why_it_does_not_listen() {
    let w = World::new();
    let server = w.serve("a");
    w.run("b", &["serve", "--listen", &server.address])
        .fails(1, &["already in use", &server.address]);
    w.run("b", &["serve", "--listen", "0.0.0.0:0"])
        .fails(1, &["no access control", "read and write everything", "--insecure"]);
    w.run("b", &["serve", "--listen", "nonsense"]).fails(1, &["nonsense"]);
    server.stop();
}

#[test]
fn all_spaces_or_those_with_a_prefix_or_one() {
    let w = World::new();
    for (store, space) in [("a", "x/1"), ("a", "x/2"), ("b", "x/3"), ("b", "y")] {
        w.ok(store, &["--space", space, "put", "k", space]);
    }
    let b = w.path("b").to_str().unwrap().to_owned();
    let one = w.json("a", &["--space", "x/3", "sync", "--file", &b]);
    assert_eq!(one["spaces"], 1);
    assert!(one["root"].is_string());
    let some = w.json("a", &["sync", "--file", &b, "--prefix", "x/"]);
    assert_eq!((&some["spaces"], &some["converged"]), (&json!(3), &json!(true)));
    assert_eq!(w.ok("a", &["--space", "y", "keys"]), "");
    let all = w.json("a", &["sync", "--file", &b, "--all"]);
    assert_eq!(all["spaces"], 4);
    assert_eq!(w.ok("a", &["--space", "y", "keys"]), "k\tvalue\n");
}

#[cfg(unix)]
#[test]
fn a_client_that_is_killed_shows_nothing_and_goes_on_later() {
    let w = World::new();
    let rows: String = (0..20_000)
        .map(|i| format!("{{\"op\":\"register.set\",\"key\":\"k{i}\",\"value\":\"{i:0200}\"}}\n"))
        .collect();
    w.import("a", &rows).ok();
    let server = w.serve("a");
    let mut cut_in_the_middle = false;
    for wait_ms in [100, 200, 400, 800] {
        let mut client =
            w.command("b", &["sync", &server.url()]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        let _ = client.kill();
        client.wait().unwrap();
        if w.path("b").exists() {
            let status = w.json("b", &["status"]);
            let items = status["items"].as_u64().unwrap();
            assert!(items == 0 || items == 20_000, "half a delta shows: {items}");
            cut_in_the_middle |= status["staged"].as_u64().unwrap() > 0;
        }
    }
    eprintln!("cut while something was staged: {cut_in_the_middle}");
    let last = w.json("b", &["sync", &server.url()]);
    assert_eq!(last["converged"], true);
    server.stop();
    assert_eq!(w.json("b", &["status"])["items"], 20_000);
    assert_eq!(w.json("a", &["status"])["root"], w.json("b", &["status"])["root"]);
    w.ok("b", &["check"]);
}
