//! A peer that may only receive gets all and changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{Meeting, assert_sound, items, main_of, meet, options, standing, store};
use rejoin::session::{Report, Scope, Session, SessionOptions, Why};
use rejoin::space::Item;
use rejoin::{Error, PeerError, Store};

fn receive_only(yes: bool) -> SessionOptions {
    let mut options = SessionOptions::default();
    options.receive_only = yes;
    options
}

/// A session in which the first takes nothing from the second; the reports of both.
fn give(from: &Store, to: &Store, from_connects: bool) -> [Report; 2] {
    let (left, right) = if from_connects { (from, to) } else { (to, from) };
    let mut meeting = Meeting::of(left, right);
    let left = Session::connect(left, Scope::All, pair::nonce()).unwrap();
    meeting.left = left.with(receive_only(from_connects));
    meeting.right = Session::accept(right, pair::nonce()).with(receive_only(!from_connects));
    assert!(meeting.run_on(usize::MAX));
    let reports = [meeting.left.report().clone(), meeting.right.report().clone()];
    if from_connects {
        reports
    } else {
        reports.into_iter().rev().collect::<Vec<_>>().try_into().unwrap()
    }
}

fn write_some(store: &Store, first: u32, count: u32) {
    main_of(store)
        .write(|tx| (first..first + count).try_for_each(|n| tx.set("cart").add(&n)))
        .unwrap();
}

/// What is live of what `by` has seen.
fn within(store: &Store, by: &Store) -> Vec<Item> {
    let seen = main_of(by).vector().unwrap();
    items(&main_of(store)).into_iter().filter(|item| seen.contains(item.dot)).collect()
}

#[test]
fn a_mirror_gets_all_and_what_it_wrote_is_not_taken() {
    for connects in [true, false] {
        let (here, mirror) = (store(1), store(2));
        write_some(&here, 0, 1_000);
        main_of(&mirror).counter("visits").add(1).unwrap();
        let before = standing(&main_of(&here));
        for round in 0..2 {
            let [mine, theirs] = give(&here, &mirror, connects);
            assert_eq!(standing(&main_of(&here)), before);
            let root = main_of(&here).root().unwrap();
            for report in [&mine, &theirs] {
                assert!(report.converged(), "{report:?}");
                let space = report.space("main").unwrap();
                assert_eq!((space.root, space.not_taken), (Some(root), true));
            }
            assert_eq!(theirs.items_received, if round == 0 { 1_000 } else { 0 });
            assert_eq!((mine.items_received, mine.repaired), (0, 0));
            assert!(round == 0 || mine.bytes_sent + mine.bytes_received < 700, "{mine:?}");
        }
        assert_eq!(main_of(&mirror).counter("visits").get().unwrap(), 1);
        assert_eq!(within(&mirror, &here), items(&main_of(&here)));
        assert_sound(&here);
        assert_sound(&mirror);
        // Attached as any other it gives what it has.
        meet(&here, &mirror);
        assert_eq!(main_of(&here).counter("visits").get().unwrap(), 1);
        let [mine, _] = give(&here, &mirror, connects);
        assert!(mine.converged() && !mine.space("main").unwrap().not_taken, "{mine:?}");
    }
}

#[test]
fn what_a_mirror_removes_or_replaces_stays_where_it_came_from() {
    for (connects, forgets) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut options = options(2);
        options.removal_log_bytes = if forgets { 0 } else { 1 << 20 };
        let (here, mirror) = (store(1), Store::in_memory_with(options));
        write_some(&here, 0, 100);
        main_of(&here).put("note", "mine", None).unwrap();
        give(&here, &mirror, connects);
        main_of(&mirror).put("note", "changed", None).unwrap();
        main_of(&mirror).delete("cart").unwrap();
        let before = standing(&main_of(&here));
        write_some(&mirror, 500, 5);
        for _ in 0..2 {
            let [mine, theirs] = give(&here, &mirror, connects);
            assert_eq!(standing(&main_of(&here)), before);
            for report in [&mine, &theirs] {
                let space = report.space("main").unwrap();
                assert_eq!((space.why, space.not_taken), (Some(Why::ReceiveOnly), true));
                assert!(report.finished);
            }
            assert_eq!(main_of(&here).trash().empty().unwrap(), 0);
        }
        // It goes on receiving.
        write_some(&here, 200, 3);
        let [_, theirs] = give(&here, &mirror, connects);
        assert_eq!(theirs.items_received, 3);
        assert_sound(&here);
        assert_sound(&mirror);
    }
}

#[test]
fn a_mirror_is_repaired_though_nothing_is_taken_from_it() {
    for connects in [true, false] {
        let mut options = options(1);
        options.removal_log_bytes = 0;
        let (here, mirror) = (Store::in_memory_with(options), store(2));
        write_some(&here, 0, 600);
        give(&here, &mirror, connects);
        main_of(&mirror).counter("visits").add(1).unwrap();
        main_of(&here)
            .write(|tx| (0..50_u32).try_for_each(|n| tx.set("cart").remove(&n).map(drop)))
            .unwrap();
        let before = standing(&main_of(&here));
        let [mine, theirs] = give(&here, &mirror, connects);
        assert!(mine.converged() && theirs.converged(), "{mine:?} {theirs:?}");
        assert_eq!((mine.repaired, theirs.repaired), (0, 50));
        assert_eq!(standing(&main_of(&here)), before);
        assert_eq!(within(&mirror, &here), items(&main_of(&here)));
    }
}

#[test]
fn two_that_take_nothing_from_each_other_come_to_an_end() {
    let (a, b) = (store(1), store(2));
    write_some(&a, 0, 10);
    meet(&a, &b);
    main_of(&a).delete("cart").unwrap();
    write_some(&b, 20, 10);
    let before = [standing(&main_of(&a)), standing(&main_of(&b))];
    let mut meeting = Meeting::of(&a, &b);
    meeting.left = Session::connect(&a, Scope::All, [3; 16]).unwrap().with(receive_only(true));
    meeting.right = Session::accept(&b, [4; 16]).with(receive_only(true));
    assert!(meeting.run_on(usize::MAX));
    let space = meeting.left.report().space("main").unwrap().clone();
    assert_eq!((space.why, space.not_taken), (Some(Why::ReceiveOnly), true));
    assert_eq!([standing(&main_of(&a)), standing(&main_of(&b))], before);
}

/// Histories drawn by a generator that always gives the same: whatever a mirror does, and
/// whoever connects, the giving side stays as it is.
#[test]
fn nothing_a_mirror_does_changes_what_it_mirrors() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    for world in 0..60 {
        let made = |name, forgets| {
            let mut options = options(name);
            options.removal_log_bytes = if forgets { 0 } else { 1 << 20 };
            Store::in_memory_with(options)
        };
        let (here, mirror) = (made(1, draw(2) == 0), made(2, draw(2) == 0));
        // Vectors too long to be sent whole at each hello.
        for name in 3..3 + draw(12) as u8 {
            let other = store(name);
            main_of(&other).counter("visits").add(1).unwrap();
            meet(if draw(3) == 0 { &mirror } else { &here }, &other);
        }
        for _ in 0..30 {
            let who = main_of(if draw(2) == 0 { &here } else { &mirror });
            let n = draw(20) as u32;
            match draw(5) {
                0 => who.set("cart").add(&n).unwrap(),
                1 => drop(who.set("cart").remove(&n).unwrap()),
                2 => who.put("note", n.to_string(), None).unwrap(),
                3 => who.counter("visits").add(1).unwrap(),
                _ => {
                    let before = standing(&main_of(&here));
                    let [mine, theirs] = give(&here, &mirror, draw(2) == 0);
                    assert_eq!(standing(&main_of(&here)), before, "world {world}");
                    for report in [&mine, &theirs] {
                        let found = report.spaces.iter().find(|space| space.name == "main");
                        let Some(space) = found else { continue };
                        assert!(matches!(space.why, None | Some(Why::ReceiveOnly)), "{space:?}");
                        let equal = within(&mirror, &here) == items(&main_of(&here));
                        assert_eq!(space.why.is_none(), equal, "world {world}: {space:?}");
                    }
                    assert!(
                        main_of(&mirror)
                            .vector()
                            .unwrap()
                            .covers(&main_of(&here).vector().unwrap())
                    );
                }
            }
        }
        assert_sound(&here);
        assert_sound(&mirror);
    }
}

#[test]
fn a_word_that_nothing_is_taken_must_come_first() {
    let (a, b) = (store(1), store(2));
    let mut left = Session::connect(&a, Scope::All, [1; 16]).unwrap();
    let mut right = Session::accept(&b, [2; 16]);
    right.handle_frame(0, &left.poll_frame(0).unwrap().unwrap()).unwrap();
    let late = right.handle_frame(0, &[1, 17]).unwrap_err();
    assert!(matches!(late, Error::Peer(PeerError::Protocol { .. })), "{late}");
}

#[test]
fn a_meeting_in_which_something_was_not_taken_is_not_remembered_as_equal() {
    let (here, mirror, between) = (store(1), store(2), store(3));
    for n in 0..20 {
        here.space(&format!("s{n}")).unwrap().counter("n").add(1).unwrap();
    }
    // The two have not met: they compare which spaces differ.
    meet(&here, &between);
    meet(&mirror, &between);
    let wrote = |store: &Store| store.space("s7").unwrap().counter("mine");
    wrote(&mirror).add(1).unwrap();
    here.space("s9").unwrap().counter("n").add(1).unwrap();
    for connects in [true, false] {
        let [mine, theirs] = give(&here, &mirror, connects);
        assert!(mine.converged() && theirs.converged());
    }
    // Now it may give, and what it wrote before must not count as known.
    meet(&mirror, &here);
    assert_eq!(wrote(&here).get().unwrap(), 1);
}
