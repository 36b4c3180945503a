//! Conditional puts, resolved gets, and spaces.

use serde_json::{Value, json};

use crate::world::World;

#[test]
fn a_put_may_be_conditional() {
    let w = World::new();
    assert_eq!(w.json("a", &["put", "seat", "Ada", "--if-absent"])["written"], true);
    let before = w.state("a");
    w.run("a", &["put", "seat", "Ben", "--if-absent"]).fails(1, &["seat", "nothing was written"]);
    let refused = w.run("a", &["put", "seat", "Ben", "--if-absent", "--json"]);
    let said: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((&said["written"], &said["siblings"]), (&json!(false), &json!(1)));
    refused.fails(1, &["seat"]);
    assert_eq!(w.state("a"), before);

    let token = w.json("a", &["get", "seat"])["context"].as_str().unwrap().to_owned();
    w.ok("a", &["put", "seat", "Cem", "--if-context", &token]);
    let refused = w.run("a", &["put", "seat", "Ada", "--if-context", &token]);
    refused.fails(1, &["seat", "changed", "get it again"]);
    w.run("a", &["put", "other", "Ada", "--if-context", &token]).fails(1, &["seat"]);
    w.run("a", &["put", "seat", "Ada", "--if-context", "00"]).fails(1, &["last line of get"]);
    assert_eq!(w.json("a", &["get", "seat"])["values"], json!(["Cem"]));
    // Another type stands there too, and is told.
    w.ok("a", &["counter", "add", "n", "1"]);
    w.run("a", &["put", "n", "1", "--if-absent"]).fails(1, &["n: something stands there"]);
    for two in [["--if-absent", "--blind"], ["--blind", "--if-absent"]] {
        w.run("a", &[&["put", "k", "v"][..], &two].concat()).fails(2, &["cannot be used with"]);
    }
    let refused = w.run("a", &["put", "k", "v", "--if-context", &token, "--context", &token]);
    refused.fails(2, &["cannot be used with"]);
}

#[test]
fn siblings_are_resolved_by_rule_and_stay() {
    let w = World::new();
    let beside = |key: &str, values: &[&str]| {
        values.iter().for_each(|value| drop(w.ok("a", &["put", key, value, "--blind"])));
    };
    beside("stock", &["9", "10", "9.5"]);
    beside("cart", &["[\"milk\",2]", "[ 2, \"bread\" ]"]);
    beside("list", &["milk\nbread", "[1]"]);
    let get = |key: &str, rule: &str| {
        let got = w.ok("a", &["get", key, "--resolve", rule]);
        let (value, context) = got.split_once('\n').unwrap();
        assert!(context.starts_with("context "), "{got}");
        value.to_owned()
    };
    assert_eq!((get("stock", "greatest"), get("stock", "least")), ("10".into(), "9".into()));
    assert_eq!(get("stock", "latest"), "9.5");
    assert_eq!(get("cart", "union"), "[\"bread\",\"milk\",2]");
    let list = w.json("a", &["get", "list", "--resolve", "union"]);
    assert_eq!(list["resolved"], "[1]\nbread\nmilk");
    assert_eq!(list["values"].as_array().unwrap().len(), 2);
    // Undecided: said so, with all there is to decide from.
    let undecided = w.run("a", &["get", "cart", "--resolve", "greatest", "--json"]);
    let said: Value = serde_json::from_str(&undecided.out).unwrap();
    assert_eq!((&said["resolved"], said["values"].as_array().unwrap().len()), (&Value::Null, 2));
    undecided.fails(1, &["cart", "does not decide"]);
    w.run("a", &["get", "cart", "--resolve", "first"]).fails(2, &["latest", "union"]);
    // Nothing there is nothing to decide.
    assert_eq!(w.json("a", &["get", "none", "--resolve", "least"])["resolved"], Value::Null);
    // Written back with the context, it is the one value.
    let token = list["context"].as_str().unwrap();
    w.ok("a", &["put", "list", list["resolved"].as_str().unwrap(), "--if-context", token]);
    assert_eq!(w.json("a", &["get", "list"])["values"], json!(["[1]\nbread\nmilk"]));
    assert_eq!(w.json("a", &["get", "stock"])["values"].as_array().unwrap().len(), 3);
}

#[test]
fn spaces_are_listed_and_dropped_here() {
    let w = World::new();
    for space in ["user/1", "user/2", "work"] {
        w.ok("a", &["--space", space, "counter", "add", "n", "1"]);
    }
    assert_eq!(w.ok("a", &["spaces"]), "user/1\nuser/2\nwork\n");
    assert_eq!(
        w.json("a", &["spaces", "--prefix", "user/"])["spaces"],
        json!(["user/1", "user/2"])
    );
    assert_eq!(w.ok("a", &["drop-space", "user/1"]), "dropped user/1 here\n");
    assert_eq!(w.json("a", &["drop-space", "user/2"])["dropped"], "user/2");
    assert_eq!(w.ok("a", &["spaces"]), "work\n");
    w.run("a", &["drop-space", "user/1"]).fails(1, &["user/1", "rejoin spaces"]);
}
