//! What only a newer version knows is kept, shown as unknown, and passed on byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod pair;

use std::process::Command;

use pair::{items, main_of, meet, store};
use rejoin::Store;
use rejoin::codec::Kind;
use rejoin::sim::hostile::{Lie, tell};

#[test]
fn items_of_unknown_types_pass_through_a_third_replica_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (first, third) = (Store::open(&path).unwrap(), store(3));
    tell(&first, "main", Lie::UnknownTypes, 0).unwrap();
    let there = items(&main_of(&first));
    assert_eq!(there.len(), 3);
    let second = store(2);
    meet(&first, &second);
    meet(&second, &third);
    for store in [&second, &third] {
        assert_eq!(items(&main_of(store)), there);
        assert_eq!(main_of(store).root().unwrap(), main_of(&first).root().unwrap());
        pair::assert_sound(store);
    }
    // Beside what is known, and told by number.
    main_of(&third).set("later").add(&1_u8).unwrap();
    let kinds = main_of(&third).kinds("later").unwrap();
    let shown: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["set", "map", "unknown type 200", "unknown type 255"]);
    let under = main_of(&third).map::<()>("later");
    let steps: Vec<Kind> = there.iter().flat_map(|item| item.path.iter().map(|s| s.0)).collect();
    assert!(steps.contains(&Kind::new(201).unwrap()) && under.fields().unwrap().len() == 1);

    // The binary says what it cannot show, and loses none of it.
    drop(first);
    let rejoin = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        let output = command.arg("--store").arg(&path).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (keys, _) = rejoin(&["keys"]);
    assert_eq!(keys, "later\tmap,unknown type 200,unknown type 255\n");
    let (_, said) = rejoin(&["get", "later"]);
    assert!(said.contains("unknown type 200"), "{said}");
    let (lines, said) = rejoin(&["export"]);
    assert!(lines.is_empty() && said.contains("3 items are of types"), "{lines} {said}");
    assert_eq!(items(&main_of(&Store::open(&path).unwrap())), there);

    // A delete takes them like others, everywhere.
    main_of(&third).delete("later").unwrap();
    meet(&third, &second);
    assert!(items(&main_of(&second)).is_empty());
}

/// All that a replica of this version knows of what has fields of a newer one.
fn known_of(store: &Store) -> (i128, bool, bool, bool, bool) {
    let space = main_of(store);
    // An element that is no number, so told by how many there are.
    let (set, rw_set) = (space.set::<u8>("elements"), space.rw_set::<u8>("elements"));
    (
        space.counter("counted").get().unwrap(),
        set.len().unwrap() == 1,
        rw_set.len().unwrap() == 1,
        space.flag("flags").get().unwrap(),
        space.dw_flag("flags").get().unwrap(),
    )
}

#[test]
fn unknown_fields_of_known_types_pass_through_a_third_replica_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (first, third) = (Store::open(&path).unwrap(), store(3));
    tell(&first, "main", Lie::UnknownFields, 0).unwrap();
    let there = items(&main_of(&first));
    let unknown: Vec<&[u8]> = there.iter().map(|item| item.unknown()).collect();
    assert_eq!(unknown, [&b"\0later"[..], b"\xff\0", b"later", b"later", b"\x01"]);
    let second = store(2);
    meet(&first, &second);
    // Beside a counter's row that says more than this version knows it writes rows of its own.
    for n in 0..20 {
        main_of(&second).counter("counted").add(n).unwrap();
    }
    meet(&second, &third);
    for store in [&second, &third] {
        let mut here = items(&main_of(store));
        here.retain(|item| !item.unknown().is_empty());
        assert_eq!(here, there);
        assert_eq!(known_of(store), (7 + 190, true, true, true, true));
        pair::assert_sound(store);
    }
    assert_eq!(known_of(&first), (7, true, true, true, true));
    assert_eq!(main_of(&second).root().unwrap(), main_of(&third).root().unwrap());
    drop(first);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    let output = command.arg("--store").arg(&path).arg("export").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("5 items have fields"), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("counter.add") && lines.contains("\"rw_set.add\""), "{lines}");
    assert!(lines.contains("dw_flag.enable"), "{lines}");
}
