//! What cannot be is refused with its cause, its place and its limit, and leaves the items, the
//! vector and the root as they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{assert_sound, items, main_of, meet, options_at, standing, store};
use rejoin::codec::{DecodeError, Kind, Place, Prefix, Problem, limits};
use rejoin::space::{ReadContext, Replacing, Stored};
use rejoin::{Error, Space, Store, UsageError};
use serde::{Deserialize, Serialize, Serializer};

/// Refuses what it is given, and leaves no trace of it.
#[track_caller]
fn refused<T: std::fmt::Debug>(
    space: &Space,
    attempt: impl Fn(&Space) -> Result<T, Error>,
) -> UsageError {
    let before = standing(space);
    let error = attempt(space).expect_err("this cannot be");
    assert_eq!(standing(space), before, "{error}");
    match error {
        Error::Usage(usage) => usage,
        other => panic!("the fault is the caller's: {other}"),
    }
}

fn filled(name: u8) -> Store {
    let store = store(name);
    let space = main_of(&store);
    space.set("cart").add(&"apple".to_owned()).unwrap();
    space.counter("n").add(7).unwrap();
    space.put("raw", "x", None).unwrap();
    store
}

fn place_problem(error: UsageError) -> (&'static str, Problem) {
    match error {
        UsageError::Place(DecodeError { what, problem, .. }) => (what, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_that_cannot_be() {
    let store = filled(1);
    let space = main_of(&store);
    let most = *limits::KEY_BYTES.end();
    let longest = vec![b'k'; most];
    space.counter(&longest).add(1).unwrap();
    space.put(vec![0; most], "zeros take two bytes each", None).unwrap();
    let too_long = vec![b'k'; most + 1];
    let long = ("key", Problem::TooMany { limit: most, found: most as u64 + 1 });
    for (key, expected) in [(too_long, long), (Vec::new(), ("key", Problem::Empty))] {
        let key = key.as_slice();
        for error in [
            refused(&space, |s| s.counter(key).add(1)),
            refused(&space, |s| s.counter(key).get()),
            refused(&space, |s| s.set(key).add(&1_u8)),
            refused(&space, |s| s.set::<u8>(key).elements()),
            refused(&space, |s| s.rw_set(key).remove(&1_u8)),
            refused(&space, |s| s.register(key).set(&1_u8)),
            refused(&space, |s| s.mv_register::<u8>(key).get()),
            refused(&space, |s| s.flag(key).enable()),
            refused(&space, |s| s.dw_flag(key).disable()),
            refused(&space, |s| s.put(key, "x", None)),
            refused(&space, |s| s.get(key)),
            refused(&space, |s| s.delete(key)),
            refused(&space, |s| s.kinds(key)),
            refused(&space, |s| s.map::<u8>(key).counter(&1)?.add(1)),
            refused(&space, |s| s.map::<u8>(key).fields()),
        ] {
            assert_eq!(place_problem(error), expected);
        }
    }
    assert_sound(&store);
    let other = pair::store(2);
    meet(&store, &other);
    assert_eq!(items(&main_of(&other)), items(&space));
}

#[test]
fn elements_and_paths_that_cannot_be() {
    let store = filled(1);
    let space = main_of(&store);
    // A kind, an ending and the length of the string stand beside the element itself.
    let fits = "e".repeat(limits::PATH_BYTES - 6);
    space.set("cart").add(&fits).unwrap();
    assert!(space.set("cart").contains(&fits).unwrap());
    for extra in [1, 5, 1_000_000] {
        let long = "e".repeat(limits::PATH_BYTES - 6 + extra);
        for error in [
            refused(&space, |s| s.set("cart").add(&long)),
            refused(&space, |s| s.set("cart").remove(&long)),
            refused(&space, |s| s.set("cart").contains(&long)),
            refused(&space, |s| s.rw_set("cart").add(&long)),
            refused(&space, |s| s.map("m").counter(&long)?.add(1)),
            refused(&space, |s| s.map("m").remove(&long)),
        ] {
            let (what, problem) = place_problem(error);
            let limit = limits::PATH_BYTES;
            assert_eq!(what, "bytes of a path");
            assert!(
                matches!(problem, Problem::TooMany { limit: l, .. } if l == limit),
                "{problem:?}"
            );
        }
    }
    // Thirty-two steps, the register's own among them.
    let nested = |steps: usize| {
        let mut map = space.map::<u8>("deep");
        for _ in 1..steps {
            map = map.map(&0).unwrap();
        }
        map.register::<u8>(&0).unwrap()
    };
    nested(limits::PATH_STEPS - 1).set(&1).unwrap();
    assert_eq!(nested(limits::PATH_STEPS - 1).get().unwrap(), Some(1));
    for steps in [limits::PATH_STEPS, 100] {
        let (what, problem) = place_problem(refused(&space, |_| nested(steps).set(&1)));
        assert_eq!(what, "steps of a path");
        assert!(matches!(problem, Problem::TooMany { limit: 32, .. }), "{problem:?}");
    }
    assert_sound(&store);
    meet(&store, &pair::store(2));
}

#[test]
fn values_that_cannot_be() {
    let store = filled(1);
    let space = main_of(&store);
    let most = limits::VALUE_BYTES;
    space.put("large", vec![7; most], None).unwrap();
    for error in [
        refused(&space, |s| s.put("raw", vec![7; most + 1], None)),
        refused(&space, |s| s.put("raw", vec![7; most + 1], Replacing::Nothing)),
        refused(&space, |s| s.register("raw").set(&vec![7_u8; most])),
        refused(&space, |s| s.mv_register("raw").set(&vec![7_u8; most])),
    ] {
        let found = match error {
            UsageError::ValueTooLarge { limit, found } if limit == most => found,
            other => panic!("{other:?}"),
        };
        assert!(found > most && found < most + 10);
    }
    // The largest value travels.
    let other = pair::store(2);
    meet(&store, &other);
    assert_eq!(main_of(&other).get("large").unwrap().values().next().unwrap().len(), most);
    assert_sound(&other);
}

#[derive(Deserialize)]
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not for you"))
    }
}

#[test]
fn values_that_serde_cannot_write() {
    let store = filled(1);
    let space = main_of(&store);
    for error in [
        refused(&space, |s| s.register("r").set(&Unspeakable)),
        refused(&space, |s| s.map("m").register::<u8>(&Unspeakable).map(drop)),
        refused(&space, |s| s.write(|tx| tx.mv_register("r").set(&Unspeakable))),
    ] {
        assert!(matches!(&error, UsageError::Encode { .. }), "{error:?}");
    }
}

#[test]
fn names_of_spaces_that_cannot_be() {
    let store = filled(1);
    let before = store.spaces("").unwrap();
    for name in [String::new(), "s".repeat(256), "ü".repeat(128)] {
        match store.space(&name) {
            Err(Error::Usage(UsageError::SpaceName { limit: 255, found })) => {
                assert_eq!(found, name.len());
            }
            other => panic!("{other:?}"),
        }
    }
    let longest = "s".repeat(255);
    store.space(&longest).unwrap().counter("n").add(1).unwrap();
    assert_eq!(store.spaces("").unwrap().len(), before.len() + 1);
    let other = pair::store(2);
    meet(&store, &other);
    assert_eq!(other.space(&longest).unwrap().counter("n").get().unwrap(), 1);
}

#[test]
fn two_types_under_one_key_are_both_kept_and_told() {
    let (a, b) = (store(1), store(2));
    let (here, there) = (main_of(&a), main_of(&b));
    here.set("thing").add(&"apple".to_owned()).unwrap();
    there.counter("thing").add(5).unwrap();
    there.map::<u8>("thing").flag(&1).unwrap().enable().unwrap();
    meet(&a, &b);
    for space in [&here, &there] {
        assert_eq!(space.kinds("thing").unwrap(), [Kind::COUNTER, Kind::SET, Kind::MAP]);
        assert_eq!(space.set::<String>("thing").elements().unwrap(), ["apple"]);
        assert_eq!(space.counter("thing").get().unwrap(), 5);
        let keys = space.keys(rejoin::space::Keys::all()).unwrap();
        assert_eq!((keys.len(), keys[0].kinds.len()), (1, 3));
        let under = space.map::<u8>("thing");
        assert_eq!(
            (under.fields().unwrap(), under.kinds(&1).unwrap()),
            (vec![Stored::Value(1)], vec![Kind::EW_FLAG])
        );
    }
    here.delete("thing").unwrap();
    meet(&a, &b);
    assert!(there.kinds("thing").unwrap().is_empty());
}

#[test]
fn counters_that_would_leave_their_range() {
    let (a, b) = (store(1), store(2));
    let space = main_of(&a);
    for (key, start, step) in [("up", i64::MAX, 1), ("down", i64::MIN, -1)] {
        space.counter(key).add(start).unwrap();
        match refused(&space, |s| s.counter(key).add(step)) {
            UsageError::CounterOverflow(overflow) => {
                assert_eq!((overflow.total, overflow.amount), (start.into(), step));
            }
            other => panic!("{other:?}"),
        }
        // In a transaction with others, all of it is refused.
        refused(&space, |s| {
            s.write(|tx| {
                tx.set("cart").add(&1_u8)?;
                tx.counter(key).add(step)
            })
        });
        // Back within the range, and what another adds does not count here.
        space.counter(key).add(-step).unwrap();
        space.counter(key).add(step).unwrap();
        main_of(&b).counter(key).add(start).unwrap();
    }
    meet(&a, &b);
    assert_eq!(space.counter("up").get().unwrap(), 2 * i128::from(i64::MAX));
    assert_eq!(space.counter("down").get().unwrap(), 2 * i128::from(i64::MIN));
    refused(&space, |s| s.counter("up").add(1));
    assert_sound(&a);
}

#[test]
fn read_contexts_that_cannot_be() {
    let (a, b) = (filled(1), filled(2));
    let (here, there) = (main_of(&a), main_of(&b));
    let token = here.get("raw").unwrap().context().clone();

    // Of another key, of another space.
    let other_space = a.space("other").unwrap();
    other_space.put("raw", "x", None).unwrap();
    let foreign = other_space.get("raw").unwrap().context().clone();
    for (context, key, of) in
        [(&token, "raws", ("main", "raw")), (&foreign, "raw", ("other", "raw"))]
    {
        match refused(&here, |s| s.put(key, "y", context)) {
            UsageError::ContextForeign { space, key } => {
                assert_eq!((space.as_str(), key.as_str()), of);
            }
            other => panic!("{other:?}"),
        }
    }
    // Of what this replica has not seen.
    match refused(&there, |s| s.put("raw", "y", &token)) {
        UsageError::ContextAhead { dot } => assert_eq!(dot.replica, a.replica()),
        other => panic!("{other:?}"),
    }
    // Damaged in any way, as bytes and as text.
    let bytes = token.to_bytes();
    assert_eq!(ReadContext::from_bytes(&bytes).unwrap(), token);
    for cut in 0..bytes.len() {
        malformed(ReadContext::from_bytes(&bytes[..cut]));
    }
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        malformed(ReadContext::from_bytes(&flipped));
    }
    malformed(ReadContext::from_bytes(&[bytes.as_slice(), &[0]].concat()));
    let text = token.to_string();
    assert_eq!(text.parse::<ReadContext>().unwrap(), token);
    for wrong in [&text[1..], &text[2..], &text.to_uppercase(), "", "zz", "é"] {
        malformed(wrong.parse());
    }
    // After meeting, the token is as good there as here.
    meet(&a, &b);
    there.put("raw", "y", &token).unwrap();
    assert_eq!(there.get("raw").unwrap().values().collect::<Vec<_>>(), [b"x", b"y"]);
}

#[track_caller]
fn malformed(found: Result<ReadContext, UsageError>) {
    assert!(matches!(found, Err(UsageError::ContextMalformed(_))), "{found:?}");
}

#[test]
fn a_made_up_context_removes_nothing_that_it_was_not_shown() {
    // A token that claims a vector this replica has not reached: whatever its checksum.
    let a = filled(1);
    let space = main_of(&a);
    let token = space.get("raw").unwrap().context().to_bytes();
    let sum = token.len() - 8;
    let mut forged = token[..sum].to_vec();
    let seq = sum - 9; // in one byte, before its tag
    forged[seq] += 100;
    let hash = blake3::derive_key("rejoin 2026 read context", &forged);
    forged.extend_from_slice(&hash[..8]);
    let forged = ReadContext::from_bytes(&forged).unwrap();
    match refused(&space, |s| s.put("raw", "y", &forged)) {
        UsageError::ContextAhead { dot } => assert!(dot.seq.get() > 100),
        other => panic!("{other:?}"),
    }
}

#[test]
fn puts_in_the_way_of_dynamo() {
    let store = store(1);
    let space = main_of(&store);
    let values = || {
        let siblings = space.get("bid").unwrap();
        siblings.values().map(|v| String::from_utf8(v.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    let empty = space.get("bid").unwrap();
    assert!(empty.is_empty());
    space.put("bid", "10", None).unwrap();
    let old = space.get("bid").unwrap();
    // Blind keeps all, the context of nothing read too.
    space.put("bid", "20", Replacing::Nothing).unwrap();
    space.put("bid", "30", empty.context()).unwrap();
    assert_eq!(values(), ["10", "20", "30"]);
    // An old context replaces what was read then, and keeps what came since.
    space.put("bid", "11", old.context()).unwrap();
    assert_eq!(values(), ["20", "30", "11"]);
    // The same context again: what it has seen is gone already.
    space.put("bid", "12", old.context()).unwrap();
    assert_eq!(values(), ["20", "30", "11", "12"]);
    // Without a context, all that is here goes.
    space.put("bid", "40", None).unwrap();
    assert_eq!(values(), ["40"]);
    assert_sound(&store);
    let other = pair::store(2);
    meet(&other, &store);
    let seen = main_of(&other).get("bid").unwrap();
    assert_eq!(
        seen.entries().map(|write| write.dot.replica).collect::<Vec<_>>(),
        [store.replica()]
    );
}

const YEAR_MS: u64 = 365 * 86_400_000;

#[test]
fn a_clock_ten_years_ahead_wins_until_somebody_has_seen_it() {
    let ahead = Store::in_memory_with(options_at(1, pair::NOW_MS + 10 * YEAR_MS));
    let (b, c) = (store(2), store(3));
    let register = |store: &Store| main_of(store).register::<String>("title");
    register(&ahead).set(&"wrong".to_owned()).unwrap();
    register(&c).set(&"unseen".to_owned()).unwrap();
    meet(&ahead, &b);
    register(&b).set(&"right".to_owned()).unwrap();
    meet(&ahead, &b);
    for store in [&ahead, &b] {
        assert_eq!(register(store).get().unwrap().as_deref(), Some("right"));
        assert!(register(store).conflicts().unwrap().is_empty());
    }
    // Against one that has seen neither, clocks decide, and the loser stays readable.
    meet(&b, &c);
    for store in [&b, &c] {
        assert!(register(store).get().unwrap().is_some());
        assert_eq!(register(store).conflicts().unwrap().len(), 1);
    }
    // Two that have not seen each other: the clock ahead wins, and can be corrected.
    register(&ahead).set(&"wrong again".to_owned()).unwrap();
    register(&b).set(&"meanwhile".to_owned()).unwrap();
    meet(&ahead, &b);
    assert_eq!(register(&b).get().unwrap().as_deref(), Some("wrong again"));
    assert_eq!(register(&b).conflicts().unwrap(), ["meanwhile"]);
    register(&b).set(&"corrected".to_owned()).unwrap();
    meet(&ahead, &b);
    meet(&c, &b);
    for store in [&ahead, &b, &c] {
        assert_eq!(register(store).get().unwrap().as_deref(), Some("corrected"));
        assert!(register(store).conflicts().unwrap().is_empty());
    }
}

#[test]
fn bytes_that_are_no_place() {
    let prefix = Prefix::key(b"k").unwrap().step(Kind::SET, b"\0e").unwrap();
    let (whole, open) = (prefix.place(), prefix.as_bytes());
    for bytes in [whole.as_bytes(), open] {
        for cut in 0..bytes.len() {
            both(&bytes[..cut]);
        }
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            both(&flipped);
        }
    }
    // Refused, or the one spelling of a place; nothing is a place and a prefix too.
    fn both(bytes: &[u8]) {
        let (place, prefix) = (Place::from_bytes(bytes), Prefix::from_bytes(bytes));
        assert!(place.is_err() || prefix.is_err());
        let again = |key: &[u8], steps: &[(Kind, Vec<u8>)]| {
            let key = Prefix::key(key).unwrap();
            steps.iter().fold(key, |at, (kind, name)| at.step(*kind, name).unwrap())
        };
        if let Ok(place) = place {
            assert_eq!(again(&place.key(), &place.steps()).place().as_bytes(), bytes);
        }
        if let Ok(prefix) = prefix {
            let steps = rejoin::codec::place::steps_of(bytes).unwrap();
            let key = rejoin::codec::place::key_of(bytes).unwrap();
            assert_eq!(again(&key, &steps), prefix);
        }
    }
}

/// The session's milliseconds are of any clock, from any beginning; the bound on what is
/// followed was once taken from there, so nothing was ever followed.
#[test]
fn a_write_that_has_seen_another_is_stamped_later() {
    let stamp = |store: &Store| main_of(store).get("raw").unwrap().entries().next().unwrap().time;
    let hour_ms = 3_600_000;
    for (ahead_ms, followed) in [(hour_ms, true), (10 * YEAR_MS, false)] {
        let ahead = Store::in_memory_with(options_at(1, pair::NOW_MS + ahead_ms));
        let b = store(2);
        main_of(&ahead).put("raw", "x", None).unwrap();
        let seen = stamp(&ahead);
        assert_eq!(seen.ms(), pair::NOW_MS + ahead_ms);
        meet(&ahead, &b);
        main_of(&b).put("raw", "y", None).unwrap();
        assert_eq!(stamp(&b) > seen, followed, "{} after {seen}", stamp(&b));
        meet(&ahead, &b);
        assert_eq!(main_of(&ahead).get("raw").unwrap().values().collect::<Vec<_>>(), [b"y"]);
    }
}
