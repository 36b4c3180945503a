//! An application changes its types over the years, and its replicas do not all update on one
//! day: what one version cannot read, it neither trips over nor loses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use pair::{main_of, meet, standing, store};
use rejoin::codec::Kind;
use rejoin::space::Stored;
use rejoin::{Error, Space, Store, Undecodable, UsageError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The first version.
mod old {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    pub(crate) enum Unit {
        Piece,
        Gram,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Recipe {
        V1 { title: String, serves: u8 },
    }
}

/// Years later: a unit more, and a recipe that knows its author.
mod new {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    pub(crate) enum Unit {
        Piece,
        Gram,
        Litre, // behind those that were there
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Recipe {
        V1 { title: String, serves: u8 },
        V2 { title: String, serves: u16, author: Option<String> },
    }

    impl Recipe {
        pub(crate) fn latest(self) -> Self {
            match self {
                Self::V1 { title, serves } => {
                    Self::V2 { title, serves: serves.into(), author: None }
                }
                latest => latest,
            }
        }
    }
}

fn undecodable<T>(stored: &[Stored<T>]) -> Vec<&Undecodable> {
    let mut found = Vec::new();
    for one in stored {
        if let Stored::Undecodable(other) = one {
            found.push(other);
        }
    }
    found
}

fn values<T: Clone>(stored: &[Stored<T>]) -> Vec<T> {
    stored.iter().filter_map(Stored::value).cloned().collect()
}

/// How each version sees what stands in a file.
#[track_caller]
fn both_versions_read(space: &Space) {
    let units = space.set::<new::Unit>("units").elements().unwrap();
    assert_eq!(units, [new::Unit::Piece, new::Unit::Gram, new::Unit::Litre]);
    let units = space.set::<old::Unit>("units").elements().unwrap();
    assert_eq!(values(&units), [old::Unit::Piece, old::Unit::Gram]);
    assert_eq!(undecodable(&units)[0].bytes(), [2]);
    assert_eq!(units.len(), 3);

    let recipes = space.map::<String>("recipes");
    let soup = recipes.register::<new::Recipe>(&"soup".into()).unwrap().get().unwrap().unwrap();
    let title = "Soup".to_owned();
    assert_eq!(soup.latest(), new::Recipe::V2 { title, serves: 4, author: None });
    let stored = recipes.register::<old::Recipe>(&"bread".into()).unwrap().stored().unwrap();
    assert!(matches!(stored, Some(Stored::Undecodable(other)) if other.key() == "recipes"));
}

#[test]
fn years_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kitchen.store");
    let open = || Store::open(&path).unwrap();
    {
        let store = open();
        let space = main_of(&store);
        space.set("units").add(&old::Unit::Piece).unwrap();
        space.set("units").add(&old::Unit::Gram).unwrap();
        let soup = old::Recipe::V1 { title: "Soup".into(), serves: 4 };
        space.map::<String>("recipes").register(&"soup".into()).unwrap().set(&soup).unwrap();
    }
    let bread = new::Recipe::V2 { title: "Bread".into(), serves: 300, author: None };
    {
        let store = open();
        let space = main_of(&store);
        space.set("units").add(&new::Unit::Litre).unwrap();
        space.map::<String>("recipes").register(&"bread".into()).unwrap().set(&bread).unwrap();
        both_versions_read(&space);
    }
    // The file goes back to a device with the old version, which works on what it knows.
    let store = open();
    let space = main_of(&store);
    both_versions_read(&space);
    space
        .write(|tx| {
            for unit in tx.set::<old::Unit>("units").elements()? {
                if let Stored::Value(unit) = unit {
                    tx.set("units").remove(&unit)?;
                    tx.set("units").add(&unit)?;
                }
            }
            let soup = old::Recipe::V1 { title: "Soup".into(), serves: 4 };
            tx.map::<String>("recipes").register(&"soup".into())?.set(&soup)
        })
        .unwrap();
    both_versions_read(&space);
    // And hands on what it cannot read.
    let other = pair::store(2);
    meet(&store, &other);
    both_versions_read(&main_of(&other));
    let read = main_of(&other).map::<String>("recipes").register(&"bread".into()).unwrap().get();
    assert_eq!(read.unwrap(), Some(bread));
}

#[test]
fn a_scan_gives_all_others_and_what_it_cannot_read_in_its_place() {
    let store = store(1);
    let space = main_of(&store);
    for n in [1_u64, 300, 2, 70_000] {
        space.set("set").add(&n).unwrap();
        space.rw_set("rw").add(&n).unwrap();
        space.map::<u64>("map").counter(&n).unwrap().add(1).unwrap();
        space.mv_register("mv").set_blind(&n).unwrap();
        space.register("lww").set_blind(&n).unwrap();
    }
    let before = standing(&space);
    #[track_caller]
    fn check(read: Vec<Stored<u8>>, key: &str, kind: Kind) {
        let mut small = values(&read);
        small.sort_unstable();
        assert_eq!(small, [1, 2]);
        for other in undecodable(&read) {
            assert_eq!((other.key(), other.kind()), (key, kind));
            assert!(postcard::from_bytes::<u64>(other.bytes()).unwrap() >= 300);
            let told = other.to_string();
            assert!(told.contains(key) && told.contains(kind.name().unwrap()), "{told}");
        }
        assert_eq!(read.len(), 4);
    }
    check(space.set::<u8>("set").elements().unwrap(), "set", Kind::SET);
    check(space.rw_set::<u8>("rw").elements().unwrap(), "rw", Kind::RW_SET);
    check(space.map::<u8>("map").fields().unwrap(), "map", Kind::MAP);
    check(space.mv_register::<u8>("mv").get().unwrap(), "mv", Kind::MV_REGISTER);
    // In order of the encodings: 01, 02, 70,000 and 300.
    let set = space.set::<u8>("set").elements().unwrap();
    assert!(set[0] == 1 && set[1] == 2 && undecodable(&set[2..]).len() == 2);
    let mut seen = Vec::new();
    space
        .set::<u8>("set")
        .for_each(|one| {
            seen.push(one);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, set);

    // The winner of a register is one value, so there `get` may fail, and `stored` never does.
    let lww = space.register::<u8>("lww");
    let (winner, mut all) = (lww.stored().unwrap().unwrap(), lww.conflicts().unwrap());
    match (lww.get(), &winner) {
        (Err(Error::Usage(UsageError::Undecodable(told))), Stored::Undecodable(other)) => {
            assert_eq!(told, *other);
        }
        (got, stored) => panic!("{got:?} for {stored:?}"),
    }
    all.push(winner);
    check(all, "lww", Kind::REGISTER);
    assert_eq!(standing(&space), before);
    // It is there for who asks for the right type, and can be written over.
    assert_eq!(space.register::<u64>("lww").get().unwrap(), Some(70_000));
    space.register("lww").set(&5_u8).unwrap();
    assert_eq!(space.register::<u8>("lww").get().unwrap(), Some(5));
}

#[test]
fn what_cannot_be_read_can_be_removed() {
    let (a, b) = (store(1), store(2));
    let (space, other) = (main_of(&a), main_of(&b));
    for n in [7_u64, 300] {
        space.set("set").add(&n).unwrap();
        space.rw_set("rw").add(&n).unwrap();
        space.map::<u64>("map").map::<u8>(&n).unwrap().counter(&1).unwrap().add(1).unwrap();
    }
    meet(&a, &b);
    space
        .write(|tx| {
            let (set, rw, map) = (tx.set::<u8>("set"), tx.rw_set::<u8>("rw"), tx.map::<u8>("map"));
            for other in undecodable(&set.elements()?) {
                assert!(set.remove_undecodable(other)?);
                assert!(!set.remove_undecodable(other)?);
            }
            for other in undecodable(&rw.elements()?) {
                rw.remove_undecodable(other)?;
            }
            for other in undecodable(&map.fields()?) {
                assert!(map.remove_undecodable(other)?);
                assert!(!map.remove_undecodable(other)?);
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    meet(&a, &b);
    for space in [&space, &other] {
        assert_eq!(space.set::<u64>("set").elements().unwrap(), [7]);
        assert_eq!(space.rw_set::<u64>("rw").elements().unwrap(), [7]);
        assert_eq!(space.map::<u64>("map").fields().unwrap(), [7]);
    }
}

/// Adds it as each of the things that are named by their encoding, and says what came of it.
fn name_it<T: Serialize + DeserializeOwned>(space: &Space, name: &T) -> Vec<Result<(), Error>> {
    vec![
        space.set("set").add(name),
        space.set("set").remove(name).map(drop),
        space.rw_set("rw").add(name),
        space.rw_set("rw").remove(name),
        space.map("map").counter(name).map(drop),
        space.map("map").remove(name).map(drop),
    ]
}

#[test]
fn an_element_has_one_encoding_or_is_refused() {
    let store = store(1);
    let space = main_of(&store);
    let before = standing(&space);
    for refused in name_it(&space, &HashSet::<u32>::from_iter(0..9)) {
        let error = refused.expect_err("a hash set has no order");
        assert!(matches!(error, Error::Usage(UsageError::ManyEncodings { .. })), "{error:?}");
        assert!(error.to_string().contains("BTreeSet"), "{error}");
    }
    assert_eq!(standing(&space), before);

    // A hash map is written in order, so it is one element, however it was filled.
    type Sizes = HashMap<String, u8>;
    let up: Sizes = (0..20).map(|n| (n.to_string(), n)).collect();
    let down: Sizes = (0..20).rev().map(|n| (n.to_string(), n)).collect();
    space.set("maps").add(&up).unwrap();
    space.set("maps").add(&down).unwrap();
    assert_eq!(space.set::<Sizes>("maps").elements().unwrap(), [up]);
    assert!(space.set("maps").contains(&down).unwrap());
    assert!(space.set("maps").remove(&down).unwrap());
    assert!(space.set::<Sizes>("maps").is_empty().unwrap());
    name_it(&space, &BTreeSet::from([1, 2, 3])).into_iter().for_each(Result::unwrap);

    // What merely stands somewhere, and names nothing, may be anything.
    space.register("any").set(&HashSet::<u32>::from_iter(0..9)).unwrap();
    let read = space.register::<HashSet<u32>>("any").get().unwrap().unwrap();
    assert_eq!(read, HashSet::from_iter(0..9));
}

#[test]
fn another_spelling_of_an_element_is_told_apart() {
    /// Writes its bytes as they are.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Spelled([u8; 2]);

    let store = store(1);
    let space = main_of(&store);
    space.set("set").add(&5_u32).unwrap();
    // By another program: postcard reads 85 00 as 5, and never writes it so.
    space.set("set").add(&Spelled([0x85, 0])).unwrap();
    let elements = space.set::<u32>("set").elements().unwrap();
    assert_eq!((&elements[0], elements.len()), (&Stored::Value(5), 2));
    assert_eq!(undecodable(&elements)[0].bytes(), [0x85, 0]);
    assert!(space.set("set").remove(&5_u32).unwrap());
    assert!(space.set::<u32>("set").remove_undecodable(undecodable(&elements)[0]).unwrap());
    assert!(space.set::<u32>("set").is_empty().unwrap());
}
