//! Many spaces in a store: sessions name only those that changed, and dropping one is local.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use quickcheck::{Arbitrary, Gen, QuickCheck};
use rejoin::session::{Report, Scope, Session};
use rejoin::{Error, Store, UsageError};

mod pair;
use pair::{Meeting, assert_sound, items, store};

fn meet_about(left: &Store, right: &Store, scope: Scope) -> (Report, usize) {
    let mut meeting = about(left, right, scope);
    assert!(meeting.run_on(usize::MAX));
    let bytes = meeting.bytes();
    for side in [&meeting.left, &meeting.right] {
        assert!(side.report().converged(), "{:?}", side.report());
    }
    (meeting.left.report().clone(), bytes)
}

/// Nonces that differ from session to session, as they must.
fn about(left: &Store, right: &Store, scope: Scope) -> Meeting {
    let mut meeting = Meeting::of(left, right);
    meeting.left = Session::connect(left, scope, pair::nonce()).unwrap();
    meeting.right = Session::accept(right, pair::nonce());
    meeting
}

fn fill(store: &Store, spaces: std::ops::Range<u32>) {
    for n in spaces {
        store.space(&format!("user/{n:05}")).unwrap().set("tags").add(&n).unwrap();
    }
}

/// All that is live, by space.
fn contents(store: &Store) -> BTreeMap<String, Vec<rejoin::space::Item>> {
    let names = store.spaces("").unwrap().into_iter();
    let all = names.map(|name| (name.clone(), items(&store.space(&name).unwrap())));
    all.filter(|(_, items)| !items.is_empty()).collect()
}

#[test]
fn a_pair_that_has_met_names_only_what_changed() {
    let (a, b) = (store(1), store(2));
    fill(&a, 0..1000);
    let (first, _) = meet_about(&a, &b, Scope::All);
    assert_eq!(first.spaces.len(), 1000);

    // Nothing changed: nobody names anything.
    let (report, bytes) = meet_about(&a, &b, Scope::All);
    assert_eq!((report.spaces.len(), report.round_trips), (0, 1), "{report:?}");
    assert!(bytes < 160, "{bytes}");
    let (report, _) = meet_about(&b, &a, Scope::All);
    assert_eq!((report.spaces.len(), report.round_trips), (0, 1), "{report:?}");

    // Ten changed, some here, some there, one at both, one of them new.
    for n in 0..5 {
        a.space(&format!("user/{:05}", n * 7)).unwrap().set("tags").add(&9999_u32).unwrap();
        b.space(&format!("user/{:05}", n * 11)).unwrap().counter("n").add(1).unwrap();
    }
    b.space("zebra").unwrap().counter("n").add(1).unwrap();
    let (report, bytes) = meet_about(&a, &b, Scope::All);
    assert_eq!(report.spaces.len(), 10, "{report:?}");
    assert!(report.round_trips <= 3, "{report:?}");
    assert!(bytes < 4096, "{bytes} bytes");
    assert_eq!(contents(&a), contents(&b));

    // Equal again, whoever asks.
    assert_eq!(meet_about(&a, &b, Scope::All).0.spaces.len(), 0);
    assert_eq!(meet_about(&b, &a, Scope::All).0.spaces.len(), 0);
    // A meeting about all spaces is one about those of a prefix too.
    let prefix = || Scope::Prefix("user/".to_owned());
    assert_eq!(meet_about(&a, &b, prefix()).0.spaces.len(), 0);
    [&a, &b].into_iter().for_each(assert_sound);
}

#[test]
fn a_pair_that_has_not_met_compares() {
    let (a, b, c) = (store(1), store(2), store(3));
    fill(&a, 0..600);
    meet_about(&a, &b, Scope::All);
    meet_about(&c, &b, Scope::All);
    a.space("user/00300").unwrap().set("tags").add(&1_u32).unwrap();
    c.space("user/00301").unwrap().set("tags").add(&2_u32).unwrap();
    c.space("user/00301x").unwrap().set("tags").add(&3_u32).unwrap();
    for turned in [false, true] {
        let (left, right) = if turned { (&c, &a) } else { (&a, &c) };
        let (report, bytes) = meet_about(left, right, Scope::All);
        assert_eq!(report.spaces.len(), if turned { 0 } else { 3 }, "{report:?}");
        assert!(report.round_trips <= 5 && bytes < 8192, "{report:?}");
        assert_eq!(contents(&a), contents(&c));
    }
    // An empty store learns all, from either side.
    let (d, e) = (store(4), store(5));
    assert_eq!(meet_about(&a, &d, Scope::All).0.spaces.len(), 601);
    assert_eq!(meet_about(&e, &a, Scope::All).0.spaces.len(), 601);
    assert_eq!(contents(&d), contents(&e));
    [&a, &b, &c, &d, &e].into_iter().for_each(assert_sound);
}

#[test]
fn a_meeting_that_only_one_side_finished_is_not_believed() {
    for cut in 0..12 {
        let (a, b) = (store(1), store(2));
        fill(&a, 0..40);
        meet_about(&a, &b, Scope::All);
        fill(&b, 10..60);
        b.space("user/00010").unwrap().set("tags").add(&77_u32).unwrap();
        about(&a, &b, Scope::All).run_on(cut);
        fill(&a, 60..70);
        meet_about(&b, &a, Scope::All);
        assert_eq!(contents(&a), contents(&b), "cut after {cut} frames");
        [&a, &b].into_iter().for_each(assert_sound);
    }
}

#[test]
fn a_dropped_space_is_gone_here_and_comes_back_from_others() {
    let (a, b) = (store(1), store(2));
    fill(&a, 0..30);
    let space = a.space("user/00003").unwrap();
    space.counter("n").add(5).unwrap();
    meet_about(&a, &b, Scope::All);
    let there = contents(&b);

    assert!(a.drop_space("user/00003").unwrap());
    assert!(!a.drop_space("user/00003").unwrap(), "it is gone already");
    assert!(!a.spaces("").unwrap().contains(&"user/00003".to_owned()));
    assert_eq!(space.counter("n").get().unwrap(), 0, "a handle made before sees it empty");
    assert!(space.vector().unwrap().is_empty());
    assert_sound(&a);

    // What is written now is new, under a name that nobody has seen.
    let first = space.replica();
    assert_ne!(first, a.replica());
    space.counter("n").add(2).unwrap();
    space.set("tags").add(&100_u32).unwrap();
    assert_eq!(contents(&b), there);
    meet_about(&a, &b, Scope::All);
    assert_eq!(contents(&a), contents(&b));
    assert_eq!(space.counter("n").get().unwrap(), 7);
    assert_eq!(space.set::<u32>("tags").elements().unwrap(), [3, 100]);

    // Again, and this time it is not written to.
    assert!(a.drop_space("user/00003").unwrap());
    assert_ne!(space.replica(), first);
    meet_about(&b, &a, Scope::All);
    assert_eq!(contents(&a), contents(&b));
    assert_eq!(space.counter("n").get().unwrap(), 7);
    [&a, &b].into_iter().for_each(assert_sound);
}

#[test]
fn dropping_in_the_middle_of_a_session_takes_nothing_from_the_peer() {
    for steps in 0..8 {
        let (a, b) = (store(1), store(2));
        for n in 0..50_u32 {
            a.space("main").unwrap().set("here").add(&n).unwrap();
            b.space("main").unwrap().set("there").add(&n).unwrap();
        }
        pair::meet(&a, &b);
        a.space("main").unwrap().set("here").add(&50_u32).unwrap();
        b.space("main").unwrap().set("there").remove(&7_u32).unwrap();
        let before = contents(&b);
        let mut meeting = Meeting::of(&a, &b);
        meeting.run_on(steps);
        a.drop_space("main").unwrap();
        // It fails, or was over; that is all.
        for _ in 0..10 {
            let frame = meeting.left.poll_frame(0);
            if matches!(frame, Err(Error::Usage(UsageError::SpaceDropped { .. }))) {
                break;
            }
            let Some(frame) = frame.unwrap() else { break };
            meeting.right.handle_frame(0, &frame).unwrap();
            while let Some(frame) = meeting.right.poll_frame(0).unwrap() {
                let _ = meeting.left.handle_frame(0, &frame);
            }
        }
        let lost = before["main"].iter().filter(|item| !contents(&b)["main"].contains(item));
        assert_eq!(lost.count(), 0, "dropped after {steps} frames");
        meet_about(&a, &b, Scope::All);
        assert_eq!(contents(&a), contents(&b));
        assert!(contents(&a)["main"].len() >= 99);
        [&a, &b].into_iter().for_each(assert_sound);
    }
}

#[test]
fn a_drop_that_was_cut_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let a = Store::open(&path).unwrap();
    a.space("large")
        .unwrap()
        .write(|tx| (0..20_000_u32).try_for_each(|n| tx.set("all").add(&n)))
        .unwrap();
    a.space("other").unwrap().counter("n").add(1).unwrap();
    let full = a.file_bytes().unwrap();
    assert!(a.drop_space("large").unwrap());
    drop(a);
    let a = Store::open(&path).unwrap();
    assert_eq!(a.spaces("").unwrap(), ["other"]);
    a.compact().unwrap();
    assert!(a.file_bytes().unwrap() < full / 2, "{} of {full}", a.file_bytes().unwrap());
    assert_sound(&a);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8, u8),
    Remove(u8, u8, u8),
    Drop(u8, u8),
    /// Two stores, the scope, and after how many frames the line is cut.
    Meet(u8, u8, u8, u8),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let [a, b, c, d] = [(); 4].map(|()| u8::arbitrary(g));
        match u8::arbitrary(g) % 16 {
            0..=6 => Self::Add(a, b, c),
            7..=8 => Self::Remove(a, b, c),
            9 => Self::Drop(a, b),
            _ => Self::Meet(a, b, c, d),
        }
    }
}

/// Histories over a few stores and many spaces, with sessions about some or all of them, whole
/// and cut, and spaces dropped: in the end all are equal, and hold what an oracle says.
#[test]
fn histories_over_many_spaces_end_equal() {
    fn holds(steps: Vec<Step>) -> bool {
        let stores = [store(1), store(2), store(3)];
        let of = |n: u8| &stores[usize::from(n) % 3];
        let name = |n: u8| format!("{}/{}", ["x", "y"][usize::from(n) % 2], n % 24);
        for store in &stores {
            // More than are simply opened one by one.
            (0..24).for_each(|n| store.space(&name(n)).unwrap().set("s").add(&200_u8).unwrap());
        }
        let mut removed = BTreeSet::new();
        let mut added: BTreeSet<(String, u8)> = (0..24).map(|n| (name(n), 200)).collect();
        let mut dropped = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add(at, space, element) => {
                    let space = of(at).space(&name(space)).unwrap();
                    space.set("s").add(&(element % 8)).unwrap();
                    added.insert((space.name().to_owned(), element % 8));
                }
                Step::Remove(at, space, element) => {
                    let space = of(at).space(&name(space)).unwrap();
                    space.set("s").remove(&(element % 8)).unwrap();
                    removed.insert((space.name().to_owned(), element % 8));
                }
                Step::Drop(at, space) => {
                    of(at).drop_space(&name(space)).unwrap();
                    dropped.insert((name(space), at % 3));
                }
                Step::Meet(left, right, scope, frames) => {
                    if left % 3 == right % 3 {
                        continue;
                    }
                    let scope = match scope % 4 {
                        0 => Scope::Prefix("x/".to_owned()),
                        1 => Scope::Space(name(scope)),
                        _ => Scope::All,
                    };
                    let frames = if frames % 3 == 0 { usize::from(frames % 16) } else { 999 };
                    about(of(left), of(right), scope).run_on(frames);
                }
            }
        }
        for _ in 0..2 {
            for (left, right) in [(0, 1), (1, 2), (2, 0)] {
                meet_about(&stores[left], &stores[right], Scope::All);
            }
        }
        stores.iter().for_each(assert_sound);
        let all = contents(&stores[0]);
        let equal = stores.iter().all(|store| contents(store) == all);
        // Nothing is lost but by removal, or by a drop of what nobody else had.
        let there = |(space, element): &(String, u8)| {
            let space = stores[0].space(space).unwrap();
            space.set::<u8>("s").contains(element).unwrap()
        };
        let droppers = |space: &str| dropped.iter().filter(|(of, _)| of == space).count();
        let kept = added.iter().filter(|it| !removed.contains(*it) && droppers(&it.0) == 0);
        // What all had from the beginning only all can lose.
        let mut first = (0..24).map(|n| (name(n), 200)).filter(|it| droppers(&it.0) < stores.len());
        equal && kept.clone().all(there) && first.all(|it| there(&it))
    }
    let all_drop = [Step::Drop(0, 5), Step::Drop(1, 5), Step::Drop(2, 5)];
    assert!(holds(all_drop.to_vec()));
    QuickCheck::new().tests(40).quickcheck(holds as fn(Vec<Step>) -> bool);
}

/// Goes on with a session, which may fail: a space of it was dropped.
fn go_on(mut meeting: Meeting) {
    for _ in 0..100 {
        let Ok(Some(frame)) = meeting.left.poll_frame(0) else { break };
        let _ = meeting.right.handle_frame(0, &frame);
        while let Ok(Some(frame)) = meeting.right.poll_frame(0) {
            let _ = meeting.left.handle_frame(0, &frame);
        }
    }
}

#[test]
fn a_drop_beside_a_session_is_not_remembered_as_equal() {
    for (steps, left_drops) in (0..6).flat_map(|n| [(n, true), (n, false)]) {
        for name in ["user/00003", "user/00007"] {
            let (a, b) = (store(1), store(2));
            fill(&a, 0..24);
            meet_about(&a, &b, Scope::All);
            a.space("user/00007").unwrap().set("tags").add(&999_u32).unwrap();
            let mut meeting = about(&a, &b, Scope::All);
            meeting.run_on(steps);
            if left_drops { &a } else { &b }.drop_space(name).unwrap();
            go_on(meeting);
            meet_about(&a, &b, Scope::All);
            assert_eq!(contents(&a), contents(&b), "{name} dropped after {steps} frames");
        }
    }
}

/// Claims that come from a third replica change what lives and leave the vector as it is.
#[test]
fn what_is_repaired_between_proof_and_end_is_not_remembered_as_equal() {
    let forgetful = |name| {
        let mut options = pair::options(name);
        options.removal_log_bytes = 0;
        Store::in_memory_with(options)
    };
    let cuts = (2..8).flat_map(|c| (1..6).map(move |b| (c, b)));
    for ((cut_c, cut_b), turned) in cuts.flat_map(|cut| [(cut, false), (cut, true)]) {
        let [a, b, c] = [1, 2, 3].map(forgetful);
        fill(&a, 0..20);
        [&b, &c].into_iter().for_each(|other| drop(meet_about(&a, other, Scope::All)));
        let space = c.space("user/00005").unwrap();
        space.set("tags").add(&500_u32).unwrap();
        [&c, &b].into_iter().for_each(|other| drop(meet_about(&a, other, Scope::All)));
        space.set("tags").remove(&500_u32).unwrap();
        for n in 1000..1300_u32 {
            space.set("tags").add(&n).unwrap();
            space.set("tags").remove(&n).unwrap();
        }
        let mut with_c = about(&c, &a, Scope::All);
        let (left, right) = if turned { (&b, &a) } else { (&a, &b) };
        let mut with_b = about(left, right, Scope::All);
        if with_c.run_on(cut_c) || with_b.run_on(cut_b) {
            continue;
        }
        with_c.run_on(usize::MAX);
        with_b.run_on(usize::MAX);
        let mut again = about(&a, &b, Scope::All);
        again.run_on(usize::MAX);
        if again.left.report().converged() {
            assert_eq!(contents(&a), contents(&b), "cut after {cut_c} and {cut_b} frames");
        }
    }
}

#[test]
fn ranges_that_nobody_asked_for_are_refused() {
    let (victim, peer) = (store(1), store(2));
    fill(&victim, 0..200);
    fill(&peer, 0..17);
    let hello = Session::connect(&peer, Scope::All, pair::nonce()).unwrap().poll_frame(0);
    let hello = hello.unwrap().unwrap();
    let answers = |frame: &[u8]| {
        let mut session = Session::accept(&victim, pair::nonce());
        session.handle_frame(0, &hello).unwrap();
        while session.poll_frame(0).unwrap().is_some() {}
        session.handle_frame(0, &[&[1], frame].concat())
    };
    // A message that goes on: one range over all names, listed as holding nothing.
    let whole = [16, 1, 1, 0, 0, 1, 0];
    let error = answers(&[whole, whole].concat()).unwrap_err();
    assert!(error.to_string().contains("do not follow"), "{error}");
    // Ever more ranges, each behind the one before it.
    let name = |n: u32| format!("{n:06}");
    let mut many = Vec::new();
    for n in 0..100_000 {
        many.extend_from_slice(&[16, 1, 1, 6]);
        many.extend_from_slice(name(n).as_bytes());
        many.push(6);
        many.extend_from_slice(name(n + 1).as_bytes());
        many.extend_from_slice(&[1, 0]);
    }
    let error = answers(&many).unwrap_err();
    assert!(error.to_string().contains("more ranges"), "{error}");
}

/// C had met A, and named to B, whom it had not met, the spaces touched since. B knew of no
/// such meeting, so the two compared; C had written once more before it looked at what it
/// had, and took what it had said of the space before for as new as that. The two were equal
/// as they had said, remembered that, and never spoke of the write again.
#[test]
fn a_write_between_the_hello_and_the_comparison_was_never_sent() {
    let (a, b, c) = (store(1), store(2), store(3));
    for n in 0..20 {
        c.space(&format!("{n:02}")).unwrap().set("all").add(&n).unwrap();
    }
    pair::meet(&c, &a);
    pair::meet(&b, &a);
    let space = c.space("07").unwrap();
    space.set("all").add(&70).unwrap();
    // About this space alone, which is no meeting to remember.
    let mut alone = Meeting::of(&c, &b);
    alone.left = Session::connect(&c, Scope::Space("07".into()), pair::nonce()).unwrap();
    assert!(alone.run_on(usize::MAX));
    let mut meeting = Meeting::of(&c, &b);
    assert!(!meeting.run_on(1));
    space.set("all").add(&71).unwrap();
    assert!(meeting.run_on(usize::MAX));
    pair::meet(&c, &b);
    assert!(b.space("07").unwrap().set::<i32>("all").contains(&71).unwrap());
}
