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
