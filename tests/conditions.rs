//! Conditional writes: decided at one replica, at one moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::sync::Barrier;

use pair::{main_of, meet, standing, store};
use rejoin::space::{Condition, Outcome, Replacing};
use rejoin::{Error, Space, UsageError};

fn values(space: &Space, key: &str) -> Vec<String> {
    let siblings = space.get(key).unwrap();
    siblings.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

#[test]
fn absent_is_what_holds_nothing_of_any_type() {
    let store = store(1);
    let space = main_of(&store);
    let put = |key: &str| space.put_if(key, "x", Condition::Absent).unwrap();
    assert!(put("free").is_done());
    let before = standing(&space);
    match put("free") {
        Outcome::Unmet { key, siblings } => {
            assert_eq!((key, siblings), (b"free".to_vec(), space.get("free").unwrap()));
        }
        done => panic!("{done:?}"),
    }
    assert_eq!(standing(&space), before);
    space.counter("taken").add(1).unwrap();
    space.map::<u8>("deep").map::<u8>(&1).unwrap().flag(&2).unwrap().enable().unwrap();
    for taken in ["taken", "deep"] {
        assert!(!put(taken).is_done());
        space.delete(taken).unwrap();
        assert!(put(taken).is_done());
    }
    // Of a key beside it nothing is asked.
    assert!(put("fre").is_done() && put("free ").is_done());
}

#[test]
fn a_token_holds_until_something_happens_to_its_key() {
    let store = store(1);
    let space = main_of(&store);
    let nothing = space.get("k").unwrap();
    let first = space.put_if("k", "1", nothing.context()).unwrap().done().unwrap();
    assert_eq!(&first, space.get("k").unwrap().context(), "as a get would return it");
    space.put("other", "x", None).unwrap();
    let second = space.put_if("k", "2", &first).unwrap().done().unwrap();
    assert_eq!(values(&space, "k"), ["2"]);

    type Happens = fn(&Space) -> Result<(), Error>;
    let happens: [Happens; 4] = [
        |space| space.put("k", "2", None), // the same value, and yet another write
        |space| space.put("k", "3", Replacing::Nothing),
        |space| space.delete("k").map(drop),
        |space| space.put("k", "again", None), // after it was deleted
    ];
    for happens in happens {
        let before = space.get("k").unwrap();
        happens(&space).unwrap();
        for gone in [&first, &second, before.context(), nothing.context()] {
            let now = space.get("k").unwrap();
            if gone == now.context() {
                continue; // deleted: nothing is there, as at first
            }
            assert!(!space.put_if("k", "lost", gone).unwrap().is_done());
            assert_eq!(space.get("k").unwrap(), now);
        }
    }
    // Both siblings were read, so both are replaced.
    space.put("k", "beside", Replacing::Nothing).unwrap();
    let both = space.get("k").unwrap();
    assert_eq!(both.len(), 2);
    assert!(space.put_if("k", "one", both.context()).unwrap().is_done());
    assert_eq!(values(&space, "k"), ["one"]);
}

#[test]
fn two_replicas_may_both_succeed_and_nothing_is_lost() {
    let (a, b) = (store(1), store(2));
    let (here, there) = (main_of(&a), main_of(&b));
    here.put("seat", "free", None).unwrap();
    meet(&a, &b);
    let token = here.get("seat").unwrap().context().clone();
    assert!(here.put_if("seat", "Ada", &token).unwrap().is_done());
    assert!(there.put_if("seat", "Ben", &token).unwrap().is_done());
    meet(&a, &b);
    assert_eq!(values(&here, "seat"), ["Ada", "Ben"]);
    assert_eq!(here.get("seat").unwrap(), there.get("seat").unwrap());
    // Now it does not hold anywhere.
    for space in [&here, &there] {
        assert!(!space.put_if("seat", "Cem", &token).unwrap().is_done());
    }
}

#[test]
fn all_conditions_hold_or_nothing_happens() {
    let store = store(1);
    let space = main_of(&store);
    space.put("a", "1", None).unwrap();
    let a = space.get("a").unwrap();
    let buy = |conditions: [(&str, Condition<'_>); 2]| {
        space.write_if(conditions, |tx| {
            tx.put("b", "bought", None)?;
            tx.counter("sold").add(1)?;
            tx.counter("sold").get()
        })
    };
    assert_eq!(buy([("a", a.context().into()), ("b", Condition::Absent)]).unwrap().done(), Some(1));
    let before = standing(&space);
    let unmet = buy([("a", a.context().into()), ("b", Condition::Absent)]).unwrap();
    assert!(matches!(&unmet, Outcome::Unmet { key, .. } if key == b"b"), "{unmet:?}");
    let unmet = buy([("b", Condition::Absent), ("a", a.context().into())]).unwrap();
    assert!(matches!(&unmet, Outcome::Unmet { key, .. } if key == b"b"), "{unmet:?}");
    assert_eq!(standing(&space), before);
    // In a transaction one that does not hold leaves the rest of it alone.
    space
        .write(|tx| {
            assert!(!tx.put_if("b", "x", Condition::Absent)?.is_done());
            assert!(tx.put_if("c", "x", Condition::Absent)?.is_done());
            assert!(!tx.put_if("c", "y", Condition::Absent)?.is_done());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(
        (values(&space, "b"), values(&space, "c")),
        (vec!["bought".into()], vec!["x".into()])
    );
}

#[test]
fn a_token_of_elsewhere_is_an_error_and_no_condition() {
    let (a, b) = (store(1), store(2));
    let (here, there) = (main_of(&a), main_of(&b));
    here.put("k", "1", None).unwrap();
    there.put("k", "2", None).unwrap();
    let foreign = here.get("k").unwrap().context().clone();
    let ahead = there.get("k").unwrap().context().clone();
    let before = standing(&here);
    let refused = here.put_if("other", "x", &foreign);
    assert!(matches!(refused, Err(Error::Usage(UsageError::ContextForeign { .. }))));
    let refused = here.write_if([("k", Condition::from(&ahead))], |_| Ok::<_, Error>(()));
    assert!(matches!(refused, Err(Error::Usage(UsageError::ContextAhead { .. }))));
    assert_eq!(standing(&here), before);
}

#[test]
fn of_many_threads_one_wins() {
    const THREADS: usize = 8;
    let store = store(1);
    let space = main_of(&store);
    for round in 0..50 {
        let key = format!("seat {round}");
        let read = space.get(&key).unwrap();
        let start = Barrier::new(THREADS);
        let attempt = |n: usize| {
            start.wait();
            let by_token = n.is_multiple_of(2);
            let condition = if by_token { read.context().into() } else { Condition::Absent };
            space.put_if(&key, n.to_string(), condition).unwrap().is_done()
        };
        let winners: Vec<usize> = std::thread::scope(|threads| {
            let attempt = &attempt;
            let all: Vec<_> =
                (0..THREADS).map(|n| threads.spawn(move || attempt(n).then_some(n))).collect();
            all.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(values(&space, &key), [winners[0].to_string()]);
    }
    // Counted by comparing and setting, nothing is lost.
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                for _ in 0..20 {
                    let mut read = space.get("n").unwrap();
                    loop {
                        let n: u32 = read
                            .values()
                            .next()
                            .map_or(0, |n| std::str::from_utf8(n).unwrap().parse().unwrap());
                        match space.put_if("n", (n + 1).to_string(), read.context()).unwrap() {
                            Outcome::Done(_) => break,
                            Outcome::Unmet { siblings, .. } => read = siblings,
                        }
                    }
                }
            });
        }
    });
    assert_eq!(values(&space, "n"), [(THREADS * 20).to_string()]);
}
