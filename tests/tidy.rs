//! The house rules, as a test: which room may use which, how long a file may be, and what
//! must not stand in one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms in order: each uses only those before it. The error of a store speaks of all
/// that stands before `error`, and `faults` is a question that any room may ask.
const ROOMS: [&str; 10] =
    ["faults", "causal", "codec", "crdt", "storage", "error", "digest", "space", "session", "net"];
/// They stand beside the others and may use all; the binary is a crate of its own, and sees
/// what every user of the library sees.
const BESIDE: [&str; 4] = ["lib", "sim", "guide", "bin"];

/// A file stays below this many lines …
const LONG_LINES: usize = 500;
/// … but for these, a list that only gets shorter …
const LONG_FILES: [&str; 0] = [];
/// … and none may reach this.
const MOST_LINES: usize = 900;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files beneath some folders whose names end so.
fn files(folders: &[&str], ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    files(&["src", "tests", "benches", "examples", "fuzz"], ".rs")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The code of a file, without comments: line by line, so that numbers stay.
fn code_of(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect()
}

/// The room in which a file of `src` stands.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a line names after `crate::`, with what `lib.rs` hands on of them.
fn rooms_named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        let named = match after.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![after],
        };
        for name in named {
            let name: String =
                name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.push(match name.as_str() {
                "Error" | "PeerError" | "Undecodable" | "UsageError" => "error".to_owned(),
                "Options" | "Snapshot" | "Space" | "Store" | "Tx" => "space".to_owned(),
                // A macro, which stands at the top wherever it is written.
                "crdt_laws" => "crdt".to_owned(),
                _ => name,
            });
        }
    }
    rooms
}

/// The parts of `a, b::{c, d}, e} …` between its outermost commas.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[test]
fn a_room_uses_only_rooms_before_it() {
    let place = |room: &str| ROOMS.iter().position(|other| *other == room);
    let mut wrong = Vec::new();
    for path in files(&["src"], ".rs") {
        let room = room_of(&path);
        if BESIDE.contains(&room.as_str()) {
            continue;
        }
        let here = place(&room).unwrap_or_else(|| panic!("{}: a room of no place", shown(&path)));
        let text = fs::read_to_string(&path).unwrap();
        // One text, since a list in braces may go over several lines.
        for used in rooms_named(&code_of(&text).join("\n")) {
            match place(&used) {
                Some(there) if there <= here => {}
                Some(_) => wrong.push(format!("{}: {room} uses {used}", shown(&path))),
                None => wrong.push(format!("{}: crate::{used} is no room", shown(&path))),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reading_of_edges_reads_them() {
    let text =
        "use crate::{causal::{Dot, Seq}, codec,\n space::Store};\nlet x = crate::Error::new;";
    assert_eq!(rooms_named(text), ["causal", "codec", "space", "error"]);
    assert_eq!(
        rooms_named("pub(crate) use crate::faults::fault; $crate::net::x"),
        ["faults", "net"]
    );
}

#[test]
fn the_core_knows_no_network_no_thread_and_no_clock() {
    let mut wrong = Vec::new();
    for path in files(&["src"], ".rs") {
        let room = room_of(&path);
        if !["causal", "codec", "crdt", "digest", "session"].contains(&room.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code_of(&text).iter().enumerate() {
            for word in ["std::net", "std::fs", "std::thread", "Instant::", "SystemTime"] {
                if line.contains(word) {
                    wrong.push(format!("{}:{}: {word}", shown(&path), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whoever names what a map is keyed by can make all of it collide in a map of hashes, unless
/// these are drawn from a random seed. Ordered maps have no such names.
#[test]
fn no_map_is_keyed_by_hashes() {
    let mut wrong = Vec::new();
    for path in files(&["src"], ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (number, line) in code_of(shipped).iter().enumerate() {
            if ["HashMap", "HashSet", "hashbrown"].iter().any(|word| line.contains(word))
                && !line.trim_start().starts_with('"')
            {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for path in rust_files() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let (name, listed) = (shown(&path), LONG_FILES.contains(&shown(&path).as_str()));
        assert!(lines < MOST_LINES, "{name} has {lines} lines: divide it");
        match (lines > LONG_LINES, listed) {
            (true, false) => wrong.push(format!("{name} has {lines} lines: divide it")),
            (false, true) => wrong.push(format!("{name} is short now: take it off the list")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The rooms drawn in a text, from the top down: words that stand alone in a cell, or before
/// a colon, where a cell ends with two spaces or the line of a box.
fn rooms_drawn(text: &str) -> Vec<&str> {
    let drawing = text.split("```text").find(|block| block.contains("your application"));
    let drawing = drawing.unwrap().split("```").next().unwrap();
    let cells = drawing.lines().flat_map(|line| {
        let line = line.trim_start_matches("//!");
        line.split(|c: char| !c.is_ascii()).flat_map(|part| part.split("  "))
    });
    let names = cells.map(|cell| cell.split(':').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase())).collect()
}

#[test]
fn the_house_drawn_is_the_one_that_stands() {
    let folders = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir());
    let mut standing: Vec<String> = folders.map(|path| room_of(&path)).collect();
    standing.sort();
    let outside = ["bin", "guide"]; // drawn as what they are: the binary, and this drawing
    standing.retain(|room| !outside.contains(&room.as_str()));
    for file in ["README.md", "src/guide/rooms.rs"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let mut drawn = rooms_drawn(&text);
        let layers = drawn.iter().copied().filter(|room| !BESIDE.contains(room));
        let order = ROOMS.iter().rev().copied().filter(|room| standing.iter().any(|s| s == room));
        assert!(layers.eq(order), "{file}: in another order: {drawn:?}");
        drawn.sort_unstable();
        assert_eq!(drawn, standing, "{file}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file may pass itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("dbg", "!("),
    ];
    let mut wrong = Vec::new();
    for path in rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_path_of_a_machine() {
    let words = [
        concat!("/ho", "me/"),
        concat!("/Use", "rs/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("C:", "\\"),
    ];
    let mut all = rust_files();
    for ending in [".md", ".toml", "run"] {
        all.extend(files(&[".ci", "fuzz"], ending));
    }
    let own = ["Cargo.toml", "README.md", "CHANGELOG.md"];
    all.extend(own.map(|name| root().join(name)));
    let mut wrong = Vec::new();
    for path in all {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What was mended stands in the changelog with the test that is named after it.
#[test]
fn tests_named_in_the_changelog_are_there() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let in_words = |word: &&str| {
        word.matches('_').count() > 1 && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
    };
    let named: Vec<&str> = text.split('`').filter(in_words).collect();
    assert!(named.len() > 40, "{named:?}");
    let sources = rust_files().into_iter().map(|path| fs::read_to_string(path).unwrap());
    let sources = sources.collect::<String>();
    let gone = |name: &&&str| !sources.contains(&format!("fn {name}("));
    let gone: Vec<_> = named.iter().filter(gone).collect();
    assert!(gone.is_empty(), "{gone:#?}");
    let fixed = text.split("### ").filter(|part| part.starts_with("Fixed"));
    let entries: Vec<&str> = fixed.flat_map(|part| part.split("\n- ").skip(1)).collect();
    assert!(entries.len() > 40, "{entries:?}");
    let names_one = |entry: &&str| entry.split('`').any(|word| in_words(&word));
    // The tests of fuzz targets have the short names of those.
    let bare = entries.iter().filter(|e| !names_one(e) && !e.contains("of `tests/fuzz`"));
    let bare: Vec<_> = bare.collect();
    assert!(bare.is_empty(), "defects without a test: {bare:#?}");
}

fn version(text: &str) -> Vec<u64> {
    let numbers = text.split('-').next().unwrap_or_default().split('.');
    let mut numbers: Vec<u64> = numbers.map(|n| n.parse().unwrap_or(u64::MAX)).collect();
    numbers.resize(3, 0);
    numbers
}

/// One toolchain is at hand, so that the oldest one is not tried: but no dependency states a
/// newer Rust than this package does, and the lint `incompatible_msrv` watches our own code.
#[test]
fn no_dependency_wants_a_newer_rust() {
    let ours = env!("CARGO_PKG_RUST_VERSION");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("Rust {ours} or later")), "the README states another");

    let rustc = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let rustc = String::from_utf8(rustc).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.current_dir(root()).args(["metadata", "--format-version=1", "--all-features"]);
    cargo.args(["--filter-platform", host]);
    let strict = std::env::var_os("REJOIN_CI").is_some();
    if !strict {
        // Packages of features that are off need not be here, nor a network.
        cargo.arg("--offline");
    }
    let output = cargo.output().unwrap();
    if !output.status.success() && !strict {
        eprintln!("not checked: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 20);
    let newer: Vec<String> = packages
        .iter()
        .filter_map(|package| Some((package, package["rust_version"].as_str()?)))
        .filter(|(_, theirs)| version(theirs) > version(ours))
        .map(|(package, theirs)| format!("{} wants {theirs}", package["id"]))
        .collect();
    assert!(newer.is_empty(), "{ours} is stated here: {newer:#?}");
}
