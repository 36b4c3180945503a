//! Staging that is not what the sender goes on behind.

use super::*;

fn vector(store: &Store) -> VersionVector {
    store.space("main").unwrap().vector().unwrap()
}

/// In one transaction.
fn moves(store: &Store, from: &str, to: &str) {
    let moved = store.space("main").unwrap().write::<_, crate::Error>(|tx| {
        tx.put(to, "moved", None)?;
        tx.delete(from)?;
        Ok(())
    });
    moved.unwrap();
}

/// A stages some of its delta at B, and the line is cut.
fn stages(a: &Store, b: &Store) {
    let mut cut = Pair::new(a, b);
    cut.send(0, usize::MAX);
    cut.run_until_staged(b);
}

/// 1. B says that nothing is staged there. Then A stages an item, in another session.
/// 2. A moves the item. Of the removal it says nothing in the first session, since B has said
///    that it has nothing of it.
///
/// If the first session went on behind what the other staged, B would show both.
#[test]
fn what_nobody_was_told_of_is_not_gone_on_behind() {
    let (a, b, c) = (store(), store(), store());
    put(&b, "of b");
    ["from", "y", "z"].iter().for_each(|key| put(&a, key));
    let mut first = Pair::new(&b, &a);
    let mut said = Vec::new();
    while let Some(frame) = first.sides[0].poll_frame(0).unwrap() {
        said.push(frame);
    }
    stages(&a, &b);
    moves(&a, "from", "to");
    said.iter().for_each(|frame| first.sides[1].handle_frame(0, frame).unwrap());
    while !vector(&b).covers(&vector(&a)) {
        let moved = first.send(1, 1);
        assert!(moved + first.send(0, 1) > 0, "{:?}", first.sides);
    }
    assert_eq!(keys(&b), ["of b", "to", "y", "z"], "half of a transaction is seen");
    drop(first); // before the two have proven anything
    Pair::new(&b, &c).run().iter().for_each(|report| assert!(report.converged(), "{report:?}"));
    assert_eq!(keys(&c), ["of b", "to", "y", "z"]);
}

/// 1. C has put x. E moves it to y. A has seen both, and stages some of it at B: C's x is dead
///    and left out.
/// 2. A drops the space, and gets it back from D, which has not heard of E.
/// 3. A goes on at B. If it did so behind what it staged, B's vector would cover x without
///    having it, and B would take it from everybody.
#[test]
fn what_was_staged_before_its_sender_dropped_the_space_is_not_gone_on_behind() {
    for (late, forgotten) in [(false, false), (true, false), (true, true)] {
        // Deltas go by origin: what is C's is to come first.
        let (c, e) = loop {
            let (c, e) = (store(), store());
            if c.replica() < e.replica() {
                break (c, e);
            }
        };
        let (a, b, d) = (store(), store(), store());
        put(&c, "x");
        meet(&c, &d);
        meet(&c, &e);
        moves(&e, "x", "y");
        ["more", "and more"].iter().for_each(|key| put(&e, key));
        put(&b, "of b");
        meet(&e, &a);
        stages(&a, &b);
        // A session that began before the space was dropped, or one that begins after.
        let pair = late.then(|| Pair::new(&b, &a));
        assert!(a.drop_space("main").unwrap());
        meet(&d, &a);
        if forgotten {
            // What was known of a space goes with its handles.
            (0..100).for_each(|n| drop(a.space(&format!("other {n}")).unwrap()));
        }
        let pair = pair.unwrap_or_else(|| Pair::new(&b, &a));
        for report in pair.run() {
            assert!(report.space("main").unwrap().root.is_some(), "{report:?}");
        }
        meet(&a, &c);
        for store in [&a, &b, &c, &d] {
            assert!(keys(store).contains(&"x".to_owned()), "{late} {forgotten}: nobody removed it");
        }
    }
}
