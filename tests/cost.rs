//! What a session costs, shape by shape: round trips, and the bytes of each frame. A session
//! that becomes dearer is a red diff here. `REJOIN_BLESS=1 cargo test --test cost` writes down
//! what it costs now.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::fmt::Write as _;
use std::path::Path;

use pair::{Meeting, main_of, meet, options, store};
use rejoin::Store;

struct Cost {
    round_trips: u64,
    bytes: usize,
    line: String,
}

/// Meets, and writes down what it cost.
fn cost(shape: &str, a: &Store, b: &Store) -> Cost {
    let mut meeting = Meeting::of(a, b);
    assert!(meeting.run_on(usize::MAX));
    let report = meeting.left.report();
    assert!(report.converged(), "{shape}: {report:?}");
    let (round_trips, bytes) = (report.round_trips, meeting.bytes());
    let mut line = format!("{shape}: {round_trips} round trips, {bytes} bytes:");
    for (from_left, bytes) in &meeting.frames {
        write!(line, " {}{bytes}", if *from_left { '>' } else { '<' }).unwrap();
    }
    Cost { round_trips, bytes, line }
}

fn fill(store: &Store, elements: u32) {
    main_of(store).write(|tx| (0..elements).try_for_each(|n| tx.set("cart").add(&n))).unwrap();
}

/// Two that have met, and hold the same.
fn pair_of(elements: u32) -> (Store, Store) {
    pair_with_log(elements, 64 << 20)
}

fn pair_with_log(elements: u32, removal_log_bytes: u64) -> (Store, Store) {
    let mut tight = options(1);
    tight.removal_log_bytes = removal_log_bytes;
    let (a, b) = (Store::in_memory_with(tight), store(2));
    fill(&a, elements);
    meet(&a, &b);
    (a, b)
}

fn change_both(a: &Store, b: &Store) {
    main_of(a).set("cart").add(&1_000_000_u32).unwrap();
    main_of(b).register("title").set(&"thirty-two bytes of a new title!").unwrap();
}

fn costs() -> Vec<Cost> {
    let mut costs = Vec::new();
    let mut shape = |name: &str, a: &Store, b: &Store| costs.push(cost(name, a, b));

    shape("two with no space", &store(1), &store(2));

    let (a, b) = pair_of(1_000);
    shape("equal", &a, &b);
    change_both(&a, &b);
    shape("one change on each side", &a, &b);
    main_of(&a).counter("n").add(1).unwrap();
    shape("one change here", &a, &b);
    main_of(&b).counter("n").add(1).unwrap();
    shape("one change there", &a, &b);
    main_of(&a)
        .write(|tx| (0..100_u32).try_for_each(|n| tx.set("cart").remove(&n).map(drop)))
        .unwrap();
    shape("a hundred removals in a row", &a, &b);
    main_of(&a).delete("cart").unwrap();
    shape("a set of nine hundred removed", &a, &b);
    shape("a new replica, of which all was removed", &store(3), &a);

    let (a, _) = pair_of(1_000);
    shape("a new replica, a thousand elements", &store(3), &a);

    let (a, b) = pair_with_log(10_000, 0);
    for n in [5_u32, 4_000, 9_990] {
        main_of(&a).set("cart").remove(&n).unwrap();
    }
    shape("three removals of ten thousand, forgotten", &a, &b);
    shape("the same again", &a, &b);

    // A vector of a hundred entries travels once, and then as what changed.
    let (a, b) = (store(1), store(2));
    for n in 0..100 {
        let writer = store(100 + n);
        main_of(&writer).counter("visits").add(1).unwrap();
        meet(&a, &writer);
    }
    shape("a new replica, a hundred writers", &b, &a);
    shape("a hundred writers, equal", &a, &b);
    change_both(&a, &b);
    shape("a hundred writers, one change on each side", &a, &b);

    let (a, b) = (store(1), store(2));
    for n in 0..100 {
        a.space(&format!("space {n:02}")).unwrap().counter("n").add(n).unwrap();
    }
    shape("a hundred new spaces", &a, &b);
    shape("a hundred spaces, equal", &a, &b);
    a.space("space 42").unwrap().counter("n").add(1).unwrap();
    b.space("space 43").unwrap().counter("n").add(1).unwrap();
    shape("a hundred spaces, one changed on each side", &a, &b);
    costs
}

#[test]
fn a_session_costs_what_it_did() {
    let costs = costs();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cost.txt");
    let mut text = String::from(
        "# Shape: what it costs, and each frame: > from the side that connects, < from the other.\n",
    );
    for cost in &costs {
        text.push_str(&cost.line);
        text.push('\n');
    }
    if std::env::var_os("REJOIN_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let Ok(kept) = std::fs::read_to_string(&path) else { return }; // a package of the library alone
    for (now, before) in text.lines().zip(kept.lines()) {
        assert_eq!(now, before, "cheaper? REJOIN_BLESS=1 writes it down");
    }
    assert_eq!(text.lines().count(), kept.lines().count());
}

/// What is promised, whatever the table says.
#[test]
fn equal_ones_find_out_at_once_and_one_change_is_small() {
    for elements in [0, 1, 1_000] {
        let (a, b) = pair_of(elements);
        for _ in 0..2 {
            let equal = cost("equal", &a, &b);
            assert!(equal.round_trips == 1 && equal.bytes < 300, "{}", equal.line);
        }
        // Also where they have become equal by way of a third.
        let c = store(3);
        meet(&c, &b);
        let strangers = cost("equal strangers", &a, &c);
        assert!(strangers.round_trips == 1 && strangers.bytes < 300, "{}", strangers.line);
        for _ in 0..3 {
            change_both(&a, &b);
            let changed = cost("one change on each side", &a, &b);
            assert!(changed.round_trips <= 2 && changed.bytes <= 1024, "{}", changed.line);
        }
    }
}

#[test]
fn apple_and_banana_are_both_in_the_cart() {
    let (a, b) = (store(1), store(2));
    let cart = |store: &Store| main_of(store).set::<String>("cart");
    cart(&a).add(&"apple".into()).unwrap();
    cart(&b).add(&"banana".into()).unwrap();
    meet(&a, &b);
    for store in [&a, &b] {
        assert_eq!(cart(store).elements().unwrap(), ["apple", "banana"]);
        assert_eq!(main_of(store).root().unwrap(), main_of(&a).root().unwrap());
    }
    assert_eq!(meet(&a, &b).round_trips, 1);
}
