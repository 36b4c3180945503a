//! Where a peer claims, without records, that very many items were removed, somebody decides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pair::{Meeting, NOW_MS, assert_sound, items, main_of, meet, options, standing, store};
use rejoin::session::{Report, Scope, Session, SessionOptions, Why};
use rejoin::space::{Held, MassRemoval};
use rejoin::{Options, Store};

const HOUR_MS: u64 = 3_600_000;

fn made(name: u8, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = options(name);
    change(&mut options);
    Store::in_memory_with(options)
}

/// A replica that forgets at once what it removed: as if it had lost it.
fn forgetful(name: u8) -> Store {
    made(name, |options| options.removal_log_bytes = 0)
}

fn add(store: &Store, range: std::ops::Range<u32>) {
    main_of(store).write(|tx| range.clone().try_for_each(|n| tx.set("cart").add(&n))).unwrap();
}

fn remove(store: &Store, range: std::ops::Range<u32>) {
    let gone =
        |tx: &rejoin::Tx<'_>| range.clone().try_for_each(|n| tx.set("cart").remove(&n).map(drop));
    main_of(store).write::<(), rejoin::Error>(gone).unwrap();
}

fn count(store: &Store) -> usize {
    main_of(store).set::<u32>("cart").len().unwrap()
}

/// A session between the two, the second connecting where that is asked for; what each
/// reports.
fn session(a: &Store, b: &Store, b_connects: bool, asked: MassRemoval) -> [Report; 2] {
    let mut options = SessionOptions::default();
    options.mass_removal = asked;
    let (left, right) = if b_connects { (b, a) } else { (a, b) };
    let mut meeting = Meeting::of(left, right);
    let left = Session::connect(left, Scope::All, pair::nonce()).unwrap();
    let right = Session::accept(right, pair::nonce());
    (meeting.left, meeting.right) = match b_connects {
        true => (left, right.with(options)),
        false => (left.with(options), right),
    };
    assert!(meeting.run_on(usize::MAX));
    let (left, right) = (meeting.left.report().clone(), meeting.right.report().clone());
    if b_connects { [right, left] } else { [left, right] }
}

fn hold(a: &Store, b: &Store) -> [Report; 2] {
    session(a, b, false, MassRemoval::Hold)
}

fn held(store: &Store) -> Vec<Held> {
    let held = main_of(store).held().unwrap();
    assert_eq!(main_of(store).status().unwrap().held, held);
    held
}

#[test]
fn what_is_removed_honestly_does_not_meet_the_brake() {
    let (a, b) = (store(1), store(2));
    add(&a, 0..2_000);
    meet(&a, &b);
    remove(&b, 0..2_000);
    add(&b, 5_000..5_010);
    let report = meet(&a, &b);
    assert_eq!((count(&a), report.repaired), (10, 0));
    assert!(held(&a).is_empty());
    assert_eq!(main_of(&a).trash().empty().unwrap(), 0);
}

#[test]
fn claims_on_very_much_are_held_and_all_else_goes_on() {
    for b_connects in [false, true] {
        let (a, b, c) = (store(1), forgetful(2), store(3));
        add(&a, 0..2_000);
        meet(&a, &b);
        meet(&a, &c);
        remove(&b, 0..2_000);
        add(&b, 9_000..9_005);
        for round in 0..3 {
            add(&b, 9_005 + round..9_006 + round);
            let [mine, theirs] = session(&a, &b, b_connects, MassRemoval::Hold);
            // The news came, and nothing else.
            assert_eq!(count(&a), 2_006 + round as usize);
            let space = mine.space("main").unwrap();
            assert_eq!((space.why, space.root, mine.repaired), (Some(Why::Held), None, 0));
            let expected = space.held.unwrap();
            assert_eq!(expected.of, 2_006 + u64::from(round));
            assert_eq!((expected.peer, expected.items), (b.replica(), 2_000));
            assert_eq!((expected.removed, expected.decision), (0, MassRemoval::Hold));
            assert_eq!(held(&a), [expected]);
            let space = theirs.space("main").unwrap();
            assert_eq!((space.why, space.held), (Some(Why::Held), None));
            assert!(mine.finished && theirs.finished && !mine.converged());
        }
        // Others go on, and the one that lost all holds nothing back.
        assert!(hold(&a, &c).iter().all(Report::converged));
        assert_eq!(count(&c), 2_008);
        assert!(held(&b).is_empty() && held(&c).is_empty());
        assert_sound(&a);
        assert_sound(&b);
    }
}

#[test]
fn what_was_allowed_goes_to_the_trash_and_what_comes_later_counts_anew() {
    for persisted in [false, true] {
        let (a, b) = (store(1), forgetful(2));
        add(&a, 0..2_100);
        meet(&a, &b);
        remove(&b, 0..2_000);
        hold(&a, &b);
        let asked = match persisted {
            true => {
                main_of(&a).decide(b.replica(), MassRemoval::Allow).unwrap();
                assert_eq!(held(&a)[0].decision, MassRemoval::Allow);
                MassRemoval::Hold
            }
            false => MassRemoval::Allow,
        };
        let [mine, theirs] = session(&a, &b, true, asked);
        assert!(mine.converged() && theirs.converged(), "{mine:?}");
        assert_eq!((mine.repaired, count(&a)), (2_000, 100));
        assert!(held(&a).is_empty());
        assert_eq!(main_of(&a).status().unwrap().trash_items, 2_000);
        // It was asked once.
        remove(&b, 2_000..2_050);
        assert_eq!(meet(&a, &b).repaired, 50);
        add(&a, 3_000..5_000);
        meet(&a, &b);
        remove(&b, 3_000..5_000);
        let [mine, _] = hold(&a, &b);
        assert_eq!(mine.space("main").unwrap().why, Some(Why::Held));
        // Back from the trash.
        assert_eq!(main_of(&a).trash().restore(|_| true).unwrap().written, 2_050);
        assert_sound(&a);
    }
}

#[test]
fn what_is_kept_is_written_anew_and_both_have_it_again() {
    for (b_connects, persisted) in [(false, false), (false, true), (true, false), (true, true)] {
        let (a, b, c) = (store(1), forgetful(2), store(3));
        add(&a, 0..2_000);
        main_of(&c)
            .write(|tx| {
                tx.put("note", "one", None)?;
                tx.put("note", "two", rejoin::space::Replacing::Nothing)?;
                tx.counter("visits").add(5)?;
                tx.rw_set("guests").remove(&"Bob".to_owned())?;
                tx.register("title").set(&"Notes".to_owned())
            })
            .unwrap();
        main_of(&a).counter("visits").add(2).unwrap();
        for (left, right) in [(&a, &c), (&a, &b), (&a, &c), (&b, &c)] {
            meet(left, right);
        }
        remove(&b, 0..2_000);
        for key in ["note", "visits", "guests", "title"] {
            main_of(&b).delete(key).unwrap();
        }
        add(&b, 7_000..7_001);
        hold(&a, &b);
        let asked = match persisted {
            true => {
                main_of(&a).decide(b.replica(), MassRemoval::Keep).unwrap();
                MassRemoval::Hold
            }
            false => MassRemoval::Keep,
        };
        let [mine, theirs] = session(&a, &b, b_connects, asked);
        assert!(mine.converged() && theirs.converged(), "{mine:?}\n{theirs:?}");
        assert_eq!((mine.repaired, mine.kept), (0, 2_006));
        assert!(held(&a).is_empty());
        // The one that never lost them holds back what the second claims, which has no records
        // of what was replaced. Who has them explains it.
        match b_connects {
            true => drop(meet(&a, &c)),
            false => {
                let [_, theirs] = hold(&b, &c);
                assert_eq!(theirs.space("main").unwrap().why, Some(Why::Held));
                assert_eq!(held(&c)[0].items, 2_006);
                assert!(session(&c, &b, true, MassRemoval::Allow)[0].converged());
                assert_eq!(main_of(&c).trash().empty().unwrap(), 2_006);
            }
        }
        assert!(meet(&b, &c).repaired == 0 && held(&c).is_empty());
        let all = items(&main_of(&a)).len();
        for store in [&a, &b, &c] {
            let main = main_of(store);
            assert_eq!(count(store), 2_001);
            assert_eq!(main.get("note").unwrap().len(), 2);
            assert_eq!(main.counter("visits").get().unwrap(), 7);
            assert_eq!(main.register::<String>("title").get().unwrap().as_deref(), Some("Notes"));
            assert_eq!(items(&main).len(), all);
            assert_eq!(main.root().unwrap(), main_of(&a).root().unwrap());
            assert_eq!(main.status().unwrap().trash_items, 0);
            assert_sound(store);
        }
    }
}

#[test]
fn it_counts_over_a_day_whatever_one_exchange_takes() {
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let shown = clock.clone();
    let a = made(1, |o| o.clock = Arc::new(move || shown.load(Ordering::SeqCst)));
    let b = forgetful(2);
    add(&a, 0..4_000);
    meet(&a, &b);
    let mut whys = Vec::new();
    for round in 0..4 {
        remove(&b, round * 500..round * 500 + 500);
        let [mine, _] = hold(&a, &b);
        whys.push(mine.space("main").unwrap().why);
        clock.fetch_add(HOUR_MS, Ordering::SeqCst);
    }
    // 500 and 500 are not more than a thousand; the third 500 are, and more than a fifth.
    assert_eq!(whys, [None, None, Some(Why::Held), Some(Why::Held)]);
    assert_eq!(count(&a), 3_000);
    let Held { items, removed, of, .. } = held(&a)[0];
    assert_eq!((items, removed, of), (1_000, 1_000, 3_000));
    // Hours later the first 500 are more than a day ago, and then the others.
    clock.store(NOW_MS + 24 * HOUR_MS, Ordering::SeqCst);
    assert_eq!(hold(&a, &b)[0].space("main").unwrap().why, Some(Why::Held));
    assert_eq!(held(&a)[0].removed, 500);
    clock.store(NOW_MS + 26 * HOUR_MS, Ordering::SeqCst);
    assert!(hold(&a, &b)[0].converged());
    assert!(held(&a).is_empty());
    assert_eq!(count(&a), 2_000);
    // A clock that was put back does not begin a new day, and does not hold for ever.
    remove(&b, 2_000..2_400);
    clock.store(NOW_MS, Ordering::SeqCst);
    assert_eq!(hold(&a, &b)[0].space("main").unwrap().why, Some(Why::Held));
    clock.store(NOW_MS + 24 * HOUR_MS, Ordering::SeqCst);
    assert!(hold(&a, &b)[0].converged());
}

#[test]
fn few_items_or_a_small_part_of_many_are_not_held() {
    for (all, gone, why) in [
        (1_000, 1_000, None),
        (1_001, 1_001, Some(Why::Held)),
        (6_000, 1_200, None),
        (6_000, 1_201, Some(Why::Held)),
    ] {
        let (a, b) = (store(1), forgetful(2));
        add(&a, 0..all);
        meet(&a, &b);
        remove(&b, 0..gone);
        let [mine, _] = hold(&a, &b);
        assert_eq!(mine.space("main").unwrap().why, why, "{gone} of {all}");
    }
    let (a, b) = (made(1, |o| (o.brake_items, o.brake_percent) = (3, 50)), forgetful(2));
    add(&a, 0..10);
    meet(&a, &b);
    remove(&b, 0..5);
    assert!(hold(&a, &b)[0].converged());
    remove(&b, 5..6);
    assert_eq!(hold(&a, &b)[0].space("main").unwrap().why, Some(Why::Held));
}

#[test]
fn each_peer_and_each_space_has_its_own_count() {
    let (a, b, c) = (store(1), forgetful(2), forgetful(3));
    let other = |store: &Store| store.space("other").unwrap();
    add(&a, 0..4_000);
    other(&a).write(|tx| (0..600_u32).try_for_each(|n| tx.set("cart").add(&n))).unwrap();
    meet(&a, &b);
    meet(&a, &c);
    remove(&b, 0..800);
    remove(&c, 800..1_600);
    other(&b).delete("cart").unwrap();
    assert!(hold(&a, &b)[0].converged());
    assert!(hold(&a, &c)[0].converged());
    assert_eq!((count(&a), other(&a).status().unwrap().items), (2_400, 0));
    // What news explains does not count: it was replaced, not lost.
    main_of(&b).write(|tx| (1_600..3_000_u32).try_for_each(|n| tx.set("cart").add(&n))).unwrap();
    assert!(hold(&a, &b)[0].converged());
}

#[test]
fn a_hold_ends_where_the_two_are_equal_by_another_way() {
    let (a, b) = (store(1), forgetful(2));
    add(&a, 0..2_000);
    meet(&a, &b);
    remove(&b, 0..2_000);
    hold(&a, &b);
    main_of(&a).decide(b.replica(), MassRemoval::Keep).unwrap();
    let before = standing(&main_of(&b));
    assert!(main_of(&a).delete("cart").unwrap());
    assert!(hold(&a, &b)[0].converged());
    assert!(held(&a).is_empty());
    assert_eq!(count(&a), 0);
    drop(before);
    // Nothing is left of the decision.
    add(&a, 0..2_000);
    meet(&a, &b);
    remove(&b, 0..2_000);
    assert_eq!(hold(&a, &b)[0].space("main").unwrap().why, Some(Why::Held));
}
