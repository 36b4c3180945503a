//! Golden bytes of what the public face shows: places, read contexts, and every row of two
//! stores after a fixed history. A store of these rows is read for ever: it opens, is sound,
//! holds what it held, and syncs. `REJOIN_BLESS=1 cargo test vectors` writes them anew, where a
//! format was changed on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pair::{assert_sound, items, main_of, meet, options};
use rejoin::causal::ReplicaId;
use rejoin::codec::{Kind, Place, Prefix};
use rejoin::space::{ReadContext, Replacing};
use rejoin::storage::{Durability, KeyRange, MemoryStorage, Order, Storage, Table, Verdict};
use rejoin::{Error, Store};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file)
}

/// The lines of a file, after they were compared with what they should be.
fn check(file: &str, head: &str, lines: &[String]) -> Vec<String> {
    if std::env::var_os("REJOIN_BLESS").is_some() {
        std::fs::write(golden(file), format!("# {head}\n{}\n", lines.join("\n"))).unwrap();
    }
    let Ok(text) = std::fs::read_to_string(golden(file)) else { return lines.to_vec() };
    let kept: Vec<String> =
        text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect();
    for (now, before) in lines.iter().zip(&kept) {
        assert_eq!(now, before, "{file} has changed: is that meant?");
    }
    assert_eq!(lines.len(), kept.len(), "{file}");
    kept
}

/// A key, and the steps of a path.
type Path_ = (&'static [u8], Vec<(Kind, &'static [u8])>);

#[test]
fn places() {
    let unknown = Kind::new(200).unwrap();
    let samples: Vec<(&str, Path_)> = vec![
        ("value", (b"k", vec![(Kind::VALUE, b"")])),
        ("register", (b"title", vec![(Kind::REGISTER, b"")])),
        ("set_element", (b"cart", vec![(Kind::SET, b"\x05apple")])),
        ("zeros", (b"\0k\0", vec![(Kind::SET, b"\0"), (Kind::RW_SET, b"\0\xff\0")])),
        (
            "nested",
            (
                "schlüssel".as_bytes(),
                vec![(Kind::MAP, b"a"), (Kind::MAP, b""), (Kind::COUNTER, b"")],
            ),
        ),
        ("unknown_type", (b"later", vec![(unknown, b"?")])),
    ];
    let mut lines = Vec::new();
    for (name, (key, steps)) in &samples {
        let start = Prefix::key(key).unwrap();
        let prefix = steps.iter().fold(start, |at, (kind, name)| at.step(*kind, name).unwrap());
        let steps: Vec<String> =
            steps.iter().map(|(kind, name)| format!("{}:{}", kind.number(), hex(name))).collect();
        let whole = prefix.place();
        lines.push(format!("{name} {} {} {}", hex(key), steps.join(","), hex(whole.as_bytes())));
    }
    let head = "Name, key, steps as kind:name, and the place of these.";
    for (line, (_, (key, steps))) in check("places.txt", head, &lines).iter().zip(&samples) {
        let place = Place::from_bytes(&unhex(line.rsplit(' ').next().unwrap())).unwrap();
        assert_eq!(place.key(), *key);
        let steps: Vec<_> = steps.iter().map(|(kind, name)| (*kind, name.to_vec())).collect();
        assert_eq!(place.steps(), steps);
    }
    // Sorted by bytes they are sorted by key, then path.
    let mut sorted: Vec<(&[u8], Vec<u8>)> = samples
        .iter()
        .map(|(_, (key, _))| (*key, Prefix::key(key).unwrap().as_bytes().to_vec()))
        .collect();
    sorted.sort();
    assert!(sorted.is_sorted_by_key(|(_, encoded)| encoded.clone()));
}

/// A store on tables that can be looked into.
fn open(name: u8, tables: &MemoryStorage) -> Store {
    Store::on(Box::new(tables.clone()), options(name)).unwrap()
}

fn tables(name: u8) -> MemoryStorage {
    MemoryStorage::new(ReplicaId::from_bytes([name; 16]))
}

/// A history with every type, removals of both forms, siblings, and two meetings.
fn history(a: &Store, b: &Store) -> Result<(), Error> {
    let (here, there) = (main_of(a), main_of(b));
    here.write(|tx| {
        (0..3_u32).try_for_each(|n| tx.set("cart").add(&n))?;
        tx.register("title").set(&"Notes")?;
        tx.counter("n").add(-200)
    })?;
    there.mv_register("note").set(&"ring")?;
    there.put("bid", "10", None)?;
    there.rw_set("banned").remove(&7_u8)?;
    there.flag("open").enable()?;
    there.dw_flag("shut").disable()?;
    meet(a, b);
    here.map::<String>("prices").register(&"milk".into())?.set(&120_u32)?;
    here.map::<String>("prices").map::<u8>(&"eggs".into())?.counter(&0)?.add(3)?;
    here.register("title").set(&"Lists")?;
    there.register("title").set(&"Tasks")?;
    here.put("bid", "20", Replacing::Nothing)?;
    here.set::<u32>("cart").remove(&1)?;
    there.mv_register::<String>("note").clear()?;
    here.register::<String>("gone").set(&"x".into())?;
    here.register::<String>("gone").set(&"y".into())?;
    here.delete("gone")?;
    b.space("other")?.counter("n").add(1)?;
    meet(b, a);
    // One that forgets at once what it removed: that goes to the trash.
    let mut forgets = options(9);
    forgets.removal_log_bytes = 0;
    let forgetful = Store::in_memory_with(forgets);
    here.put("lost", "1", None)?;
    meet(a, &forgetful);
    main_of(&forgetful).delete("lost")?;
    meet(a, &forgetful);
    here.counter("n").add(1)?;
    Ok(())
}

fn holds_what_it_held(store: &Store) {
    let space = main_of(store);
    assert_eq!(space.set::<u32>("cart").elements().unwrap(), [0, 2]);
    let title = space.register::<String>("title");
    assert!(title.get().unwrap().is_some());
    assert_eq!(title.conflicts().unwrap().len(), 1);
    assert_eq!(space.counter("n").get().unwrap(), -199);
    assert!(space.mv_register::<String>("note").get().unwrap().is_empty());
    assert_eq!(space.get("bid").unwrap().values().collect::<Vec<_>>(), [b"20", b"10"]);
    assert!(!space.rw_set::<u8>("banned").contains(&7).unwrap());
    assert!(space.flag("open").get().unwrap() && !space.dw_flag("shut").get().unwrap());
    let prices = space.map::<String>("prices");
    assert_eq!(prices.register::<u32>(&"milk".into()).unwrap().get().unwrap(), Some(120));
    let eggs = prices.map::<u8>(&"eggs".into()).unwrap().counter(&0).unwrap();
    assert_eq!(eggs.get().unwrap(), 3);
    assert!(space.kinds("gone").unwrap().is_empty());
    assert!(space.kinds("lost").unwrap().is_empty());
    assert_eq!(store.space("other").unwrap().counter("n").get().unwrap(), 1);
}

#[test]
fn every_row_of_a_store() {
    let (a, b) = (tables(1), tables(2));
    history(&open(1, &a), &open(2, &b)).unwrap();
    let root = main_of(&open(1, &a)).root().unwrap();
    let mut lines = vec![format!("root {root} -")];
    for table in Table::ALL {
        let all = KeyRange { from: &[], to: None };
        let mut visit = |key: &[u8], value: &[u8]| {
            let value = if value.is_empty() { "-".to_owned() } else { hex(value) };
            lines.push(format!("{table:?} {} {value}", hex(key)));
            ControlFlow::Continue(())
        };
        a.read().unwrap().scan(table, all, Order::Ascending, &mut visit).unwrap();
    }
    for table in Table::ALL {
        let there = lines.iter().any(|line| line.starts_with(&format!("{table:?} ")));
        assert!(there, "the history leaves no row in {table:?}");
    }
    let head =
        "Every row of a store: table, key, value (- where it is empty), after the root of `main`.";
    let kept = check("store.txt", head, &lines);

    // A store made of the rows as they were kept.
    let old = tables(1);
    let by_name: BTreeMap<String, Table> =
        Table::ALL.into_iter().map(|table| (format!("{table:?}"), table)).collect();
    old.write(Durability::Immediate, &mut |rows| {
        for line in &kept[1..] {
            let parts: Vec<&str> = line.split(' ').collect();
            let value = if parts[2] == "-" { Vec::new() } else { unhex(parts[2]) };
            rows.put(by_name[parts[0]], &unhex(parts[1]), &value)?;
        }
        Ok(Verdict::Commit)
    })
    .unwrap();
    let old = open(1, &old);
    assert_sound(&old);
    holds_what_it_held(&old);
    let trash = main_of(&old).status().unwrap().trash_items;
    assert_eq!(trash, 1);
    assert_eq!(format!("root {} -", main_of(&old).root().unwrap()), kept[0]);
    // It goes on: writes, with a peer of that time, with a new one.
    main_of(&old).counter("n").add(1).unwrap();
    main_of(&old).counter("n").add(-1).unwrap();
    let (peer, new) = (open(2, &b), pair::store(3));
    for other in [&peer, &new] {
        assert_eq!(meet(&old, other).repaired, 0);
        holds_what_it_held(other);
        assert_eq!(items(&main_of(other)), items(&main_of(&old)));
        assert_sound(other);
    }
}

#[test]
fn read_contexts() {
    let (a, b) = (tables(1), tables(2));
    history(&open(1, &a), &open(2, &b)).unwrap();
    let (a, b) = (open(1, &a), open(2, &b));
    let samples = [
        ("nothing_there", main_of(&a).get("nothing").unwrap()),
        ("two_siblings", main_of(&a).get("bid").unwrap()),
        ("elsewhere", b.space("other").unwrap().get("\0").unwrap()),
    ];
    let lines: Vec<String> =
        samples.iter().map(|(name, read)| format!("{name} {}", read.context())).collect();
    let kept = check("contexts.txt", "Name, and the token as text.", &lines);
    for (line, (_, read)) in kept.iter().zip(&samples) {
        let token: ReadContext = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(&token, read.context());
    }
    // Each is good where it was read.
    main_of(&a).put("bid", "30", samples[1].1.context()).unwrap();
    assert_eq!(main_of(&a).get("bid").unwrap().values().collect::<Vec<_>>(), [b"30"]);
}
