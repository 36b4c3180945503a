//! Import and export.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::world::{EVERYTHING, Ran, World};

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
        .fails(1, &["line 10501", "text where a number must be", "10000 rows", "from line 10001"]);
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
