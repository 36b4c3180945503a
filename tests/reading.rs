//! Reading: ranges of keys, fields of maps, and what may be printed of a store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{main_of, options, store};
use rejoin::Error;
use rejoin::codec::limits;
use rejoin::space::Keys;

#[test]
fn keys_are_ranged_by_either_end() {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let space = main_of(&store(1));
    for key in ["a", "b", "c", "d"] {
        space.put(key, "x", None).unwrap();
    }
    let keys = |range: Keys| -> String {
        let found = space.keys(range).unwrap();
        found.into_iter().map(|entry| String::from_utf8(entry.key).unwrap()).collect()
    };
    assert_eq!(keys(Keys::range::<&str>((Excluded("a"), Excluded("d")))), "bc");
    assert_eq!(keys(Keys::range::<&str>((Included("b"), Unbounded))), "bcd");
    assert_eq!(keys(Keys::range::<&str>((Unbounded, Included("b")))), "ab");
    assert_eq!(keys(Keys::range::<&str>((Excluded("b"), Unbounded))), "cd");
    assert_eq!(keys(Keys::range::<&str>((Unbounded, Excluded("")))), "");
    assert_eq!(keys(Keys::all()), "abcd");
}

#[test]
fn a_field_of_a_map_is_in_it_while_anything_lives_beneath() {
    let space = main_of(&store(1));
    let map = space.map::<String>("map");
    let field = |name: &str| name.to_owned();
    assert!(!map.contains(&field("on")).unwrap());
    map.dw_flag(&field("on")).unwrap().enable().unwrap();
    map.mv_register(&field("both")).unwrap().set(&7_u8).unwrap();
    assert!(map.dw_flag(&field("on")).unwrap().get().unwrap());
    assert!(map.contains(&field("on")).unwrap() && map.contains(&field("both")).unwrap());
    // A clone of a handle stands at the same place.
    assert!(map.clone().remove(&field("on")).unwrap());
    assert!(!map.contains(&field("on")).unwrap() && !map.remove(&field("on")).unwrap());
    let long = "x".repeat(limits::PATH_BYTES);
    assert!(matches!(map.contains(&long), Err(Error::Usage(_))));
}

/// Logs are read by more people than values may be.
#[test]
fn what_is_printed_tells_the_place_and_no_value() {
    let options = options(1);
    assert!(format!("{options:?}").contains("staging_bytes: 4294967296"));
    let space = main_of(&store(1));
    space.register("title").set(&"secret").unwrap();
    space.put("note", "secret", None).unwrap();
    let snapshot = space.snapshot().unwrap();
    let mut said = format!("{space:?} {snapshot:?} {:?}", space.register::<String>("title"));
    space
        .write(|tx| {
            said.push_str(&format!("{tx:?}"));
            Ok::<_, Error>(())
        })
        .unwrap();
    assert!(said.contains("main") && said.contains("Tx"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

/// What was removed where removing wins leaves a row, which is no element.
#[test]
fn a_set_of_nothing_but_removals_is_empty() {
    let space = main_of(&store(1));
    let guests = space.rw_set::<String>("guests");
    assert!(guests.is_empty().unwrap());
    guests.add(&"Ada".to_owned()).unwrap();
    guests.remove(&"Bob".to_owned()).unwrap();
    assert!(!guests.is_empty().unwrap());
    guests.remove(&"Ada".to_owned()).unwrap();
    assert!(guests.is_empty().unwrap());
    assert_eq!((guests.len().unwrap(), space.status().unwrap().items), (0, 2));
}
