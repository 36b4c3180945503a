//! Recovering a damaged store, and names of spaces as they are shown.

use crate::world::{EVERYTHING, World};

#[test]
fn a_damaged_store_is_recovered_and_adopted() {
    let w = World::new();
    let lines: String = (0..300)
        .map(|n| format!("{{\"op\":\"put\",\"key\":\"{n}\",\"value\":\"{n:0>200}\"}}\n"))
        .collect();
    w.import("a", &lines).ok();
    let mut bytes = std::fs::read(w.path("a")).unwrap();
    // Blocks until one is hit that matters.
    let mut block = bytes.len() / 4096 / 2;
    let (old, new) = (w.path("damaged"), w.path("new"));
    let args = ["recover", old.to_str().unwrap(), new.to_str().unwrap()];
    let report = loop {
        bytes[block * 4096..block * 4096 + 2000].fill(0xee);
        std::fs::write(&old, &bytes).unwrap();
        let report = w.json("none", &args);
        if report["waiting"].as_u64().unwrap() > 0 {
            break report;
        }
        std::fs::remove_file(&new).unwrap();
        std::fs::remove_file(w.path("new.id")).unwrap();
        block -= 1;
    };
    assert_eq!(report["incomplete"], serde_json::json!(["main"]));
    assert!(report["pages_lost"].as_u64().unwrap() > 0);
    let waiting = &report["waiting"];
    assert_eq!(&w.json("new", &["status"])["waiting"], waiting);
    assert!(w.ok("new", &["status"]).contains("rejoin adopt"));
    w.run("none", &args).fails(1, &["another name"]);
    assert_eq!(&w.json("new", &["adopt"])["adopted"], waiting);
    assert_eq!(&w.json("new", &["status"])["items"], waiting);
    assert_eq!(w.json("new", &["check"])["sound"], true);

    let told = w.run("none", &["recover", old.to_str().unwrap(), w.path("told").to_str().unwrap()]);
    assert!(told.err.contains("sync"), "{told:?}");
    assert!(told.ok().contains("wait to be decided"));
    let at_once = w.path("at once");
    let at_once = ["recover", old.to_str().unwrap(), at_once.to_str().unwrap(), "--adopt"];
    let report = w.json("none", &at_once);
    assert_eq!(&report["adopted"], waiting);
    let file_bytes = std::fs::metadata(w.path("at once")).unwrap().len();
    assert_eq!(report["file_bytes"].as_u64().unwrap(), file_bytes);
    assert_eq!(&w.json("at once", &["status"])["items"], waiting);
}

/// The peer knew what was adopted, and has both until it hears that the one went: at once where the
/// store that adopted it calls, else when the peer calls again.
#[test]
fn a_sync_tells_at_once_what_went_by_it() {
    let w = World::new();
    let lines: String = (0..200)
        .map(|n| format!("{{\"op\":\"counter.add\",\"key\":\"{n}\",\"by\":{n}}}\n"))
        .collect();
    w.import("a", &lines).ok();
    let peers = ["b", "c", "d"].map(|peer| w.path(peer).display().to_string());
    peers.iter().for_each(|peer| drop(w.ok("a", &["sync", "--file", peer])));
    let bytes = std::fs::read(w.path("a")).unwrap();
    let (old, new) = (w.path("damaged"), w.path("new"));
    let args = ["recover", old.to_str().unwrap(), new.to_str().unwrap(), "--adopt"];
    let adopted = (4..bytes.len() / 4096).find_map(|block| {
        let mut bytes = bytes.clone();
        bytes[block * 4096..][..2000].fill(0xee);
        std::fs::write(&old, &bytes).unwrap();
        let adopted = w.json("none", &args)["adopted"].as_u64().unwrap();
        if adopted == 0 {
            std::fs::remove_file(&new).unwrap();
            std::fs::remove_file(w.path("new.id")).unwrap();
        }
        (adopted > 0).then_some(adopted)
    });
    assert!(adopted.unwrap() > 20);
    let alone = std::fs::read(&new).unwrap();
    let items = |store: &str| w.json(store, &["status"])["items"].as_u64().unwrap();
    let all_are_one = |peer: &str| {
        let roots = ["new", peer].map(|store| w.json(store, &["status"])["root"].clone());
        assert_eq!(roots[0], roots[1], "{peer}");
        assert_eq!(w.ok(peer, &["counter", "get", "100"]).trim(), "100");
    };
    let again = || std::fs::write(&new, &alone).unwrap();
    let by_file = w.json("new", &["sync", "--file", &peers[0]]);
    assert_eq!(
        (&by_file["converged"], &by_file["each"][0]["untold"]),
        (&true.into(), &false.into())
    );
    all_are_one("b");
    again();
    let server = w.serve("c");
    w.ok("new", &["sync", &server.url()]);
    server.stop();
    all_are_one("c");
    again();
    let server = w.serve("new");
    w.ok("d", &["sync", &server.url()]);
    assert!(items("d") > items("c"));
    w.ok("d", &["sync", &server.url()]);
    server.stop();
    let log = std::fs::read_to_string(w.path("log")).unwrap();
    assert!(log.contains("until the peer syncs once more"), "{log}");
    all_are_one("d");
}

#[test]
fn a_sound_store_is_recovered_whole() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let (old, new) = (w.path("a"), w.path("new"));
    let told = w.run("none", &["recover", old.to_str().unwrap(), new.to_str().unwrap()]);
    assert!(told.err.is_empty(), "{told:?}");
    assert!(told.ok().contains("nothing is lost"));
    assert_eq!(w.state("new"), w.state("a"));
}

/// They were shown as hex:… and `--space` took that for a name.
#[test]
fn a_space_s_name_is_given_back_as_it_is_shown() {
    let w = World::new();
    let names = ["two\nlines", "hex:6d61696e", "plain", "tab\there"];
    let store = rejoin::Store::open(w.path("a")).unwrap();
    for name in names {
        store.space(name).unwrap().put("name", name, None).unwrap();
    }
    drop(store);
    let listed = w.ok("a", &["spaces"]);
    let in_json = w.json("a", &["spaces"]);
    let in_json = in_json["spaces"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let (mut found, mut shown) = (Vec::new(), 0);
    for name in listed.lines().chain(in_json) {
        let value = w.json("a", &["--space", name, "get", "name"]);
        found.push(value["values"][0].as_str().unwrap_or_default().to_owned());
        assert_eq!(
            w.json("a", &["spaces", "--prefix", name])["spaces"].as_array().unwrap().len(),
            1
        );
        shown += 1;
    }
    assert_eq!(shown, 2 * names.len());
    found.sort();
    found.dedup();
    assert_eq!(found.len(), names.len(), "{found:?}");
    for name in listed.lines() {
        w.ok("a", &["drop-space", name]);
    }
    assert_eq!(w.ok("a", &["spaces"]), "");
}
