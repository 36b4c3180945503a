//! Twins, stores that go on under one name: what went wrong where a line was cut, or a third
//! replica came between. Each is a story, over several draws of names and tags.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "pair/disks.rs"]
mod disks;
mod pair;

use disks::drawn;
use pair::{Meeting, main_of};
use rejoin::session::{Scope, Session};
use rejoin::sim::{Disk, Image};
use rejoin::space::Replacing;
use rejoin::{Error, PeerError, Store};

fn open(disk: &Disk, seed: u64) -> Store {
    disks::open(disk, drawn(seed))
}

fn new(seed: u64) -> Store {
    open(&Disk::in_memory(), seed)
}

/// A store that is opened from an image, as a twin.
fn twin(disk: &Disk, image: &Image, seed: u64) -> (Disk, Store) {
    let disk = disk.twin(image);
    let store = open(&disk, seed);
    (disk, store)
}

fn whole(a: &Store, b: &Store) -> Result<(), String> {
    let mut meeting = Meeting::of(a, b);
    meeting.run_on(400);
    for report in [meeting.left.report(), meeting.right.report()] {
        if !report.converged() {
            return Err(format!("{report:?}"));
        }
    }
    Ok(())
}

/// Runs until the session has renamed on either side, and cuts it there.
fn cut_at_rename(a: &Store, b: &Store) -> bool {
    let mut meeting = Meeting::of(a, b);
    for _ in 0..200 {
        let over = meeting.run_on(1);
        if !meeting.left.report().forks.is_empty() || !meeting.right.report().forks.is_empty() {
            return true;
        }
        if over {
            return false;
        }
    }
    false
}

fn add(store: &Store, key: &str) {
    main_of(store).counter(key).add(1).unwrap();
}

fn count(store: &Store, key: &str) -> i128 {
    main_of(store).counter(key).get().unwrap()
}

/// X staged half of what it made at B and was cut; its twin Y went on behind that, and B held
/// under Y's vector what X had made.
#[test]
fn what_one_twin_staged_is_not_the_others() {
    for frames in 2..14 {
        let disk = Disk::in_memory();
        let a = open(&disk, 1);
        let b = new(2);
        add(&a, "base");
        whole(&a, &b).unwrap();
        drop(a);
        let image = disk.image();
        let x = open(&disk, 3);
        let (_disk, y) = twin(&disk, &image, 4);
        for n in 0..7 {
            for (store, letter) in [(&x, b'x'), (&y, b'y')] {
                let large = vec![n; 200_000];
                main_of(store).put([letter, n], large, Replacing::Nothing).unwrap();
            }
        }
        Meeting::of(&x, &b).run_on(frames);
        let held =
            |letter| (0..7).filter(|n| main_of(&b).get([letter, *n]).unwrap().len() == 1).count();
        whole(&y, &b).unwrap();
        assert_eq!(held(b'y'), 7, "cut after {frames}");
        whole(&x, &b).unwrap();
        assert_eq!((held(b'x'), held(b'y')), (7, 7), "cut after {frames}");
    }
}

/// Q gave way and was cut; S takes what it renamed from it, and what P still calls by the old
/// name from P.
#[test]
fn what_gave_way_elsewhere_counts_once_at_a_third_replica() {
    let mut found = Vec::new();
    for seed in 0..6 {
        let s = |n: u64| 1000 * seed + n;
        let disk = Disk::in_memory();
        let a = open(&disk, s(1));
        let (r, q, p, relay) = (new(s(2)), new(s(3)), new(s(4)), new(s(5)));
        add(&a, "base");
        drop(a);
        let image = disk.image();
        let (_d, m) = twin(&disk, &image, s(6));
        add(&m, "m");
        whole(&m, &r).unwrap();
        let (_e, x) = twin(&disk, &image, s(7));
        add(&x, "x");
        whole(&x, &q).unwrap();
        whole(&x, &p).unwrap();
        let renamed = cut_at_rename(&q, &r);
        whole(&q, &relay).unwrap();
        whole(&p, &relay).unwrap();
        found.push((seed, renamed, count(&relay, "x"), count(&p, "x")));
    }
    assert!(found.iter().all(|f| f.2 == 1 && f.3 == 1), "{found:?}");
}

/// The same with a fork within the branch: what P alone has may go.
#[test]
fn a_fork_within_what_gave_way_elsewhere_loses_nothing() {
    let mut found = Vec::new();
    for seed in 0..12 {
        let s = |n: u64| 1000 * seed + n;
        let disk = Disk::in_memory();
        let a = open(&disk, s(1));
        let (r, q, p, relay) = (new(s(2)), new(s(3)), new(s(4)), new(s(5)));
        add(&a, "base");
        drop(a);
        let image = disk.image();
        let (_d, m) = twin(&disk, &image, s(6));
        add(&m, "m");
        whole(&m, &r).unwrap();
        let (xd, x) = twin(&disk, &image, s(7));
        add(&x, "x");
        drop(x);
        let image = xd.image();
        let (_f, y) = twin(&xd, &image, s(8));
        add(&y, "y");
        whole(&y, &q).unwrap();
        let (_g, z) = twin(&xd, &image, s(9));
        add(&z, "z");
        whole(&z, &p).unwrap();
        let renamed = cut_at_rename(&q, &r);
        let one = whole(&q, &relay);
        let two = whole(&p, &relay);
        let three = whole(&r, &relay);
        let four = whole(&p, &relay);
        let counts: Vec<_> =
            ["base", "m", "x", "y", "z"].iter().map(|k| count(&relay, k)).collect();
        found.push((
            seed,
            renamed,
            counts,
            count(&p, "z"),
            [one, two, three, four].map(|r| r.is_ok()),
        ));
    }
    assert!(found.iter().all(|f| f.2 == [1, 1, 1, 1, 1]), "{found:#?}");
}

/// N gave way to M and was cut, M's holder is gone for ever: N must go on with Y's.
#[test]
fn who_gave_way_to_one_that_is_gone_goes_on_with_another() {
    let mut found = Vec::new();
    for seed in 0..12 {
        let s = |n: u64| 1000 * seed + n;
        let disk = Disk::in_memory();
        let a = open(&disk, s(1));
        let (r, q, p) = (new(s(2)), new(s(3)), new(s(4)));
        add(&a, "base");
        drop(a);
        let image = disk.image();
        for (seed, key, to) in [(s(6), "m", &r), (s(7), "x", &q), (s(8), "y", &p)] {
            let (_d, t) = twin(&disk, &image, seed);
            add(&t, key);
            whole(&t, to).unwrap();
        }
        let renamed = cut_at_rename(&q, &r);
        drop(r);
        let results: Vec<_> = (0..3).map(|_| whole(&q, &p)).collect();
        found.push((seed, renamed, results));
    }
    assert!(found.iter().all(|f| f.2.iter().any(Result::is_ok)), "{found:#?}");
}

/// No third one is needed: what tells them apart is when they were opened.
#[test]
fn two_copies_that_meet_each_other_first_become_one_history() {
    for seed in (0..200).step_by(10) {
        let disk = Disk::in_memory();
        let first = open(&disk, seed);
        add(&first, "base");
        drop(first);
        let image = disk.image();
        let x = open(&disk, seed + 1);
        let (_, y) = twin(&disk, &image, seed + 2);
        assert_eq!(x.replica(), y.replica());
        // Nothing was written since: they are equal.
        whole(&x, &y).unwrap();
        for (n, store) in [&x, &x, &y].into_iter().enumerate() {
            main_of(store).set("all").add(&n).unwrap();
        }
        let mut meeting = Meeting::of(&x, &y);
        meeting.run_on(400);
        let reports = [meeting.left.report(), meeting.right.report()];
        assert!(reports.iter().all(|report| report.converged()), "{reports:?}");
        assert_eq!(reports.iter().map(|report| report.forks.len()).sum::<usize>(), 1);
        // Both go on, under two names from now on.
        for (n, store) in [(3, &x), (4, &y)] {
            assert_eq!(main_of(store).set::<usize>("all").elements().unwrap().len(), 3);
            main_of(store).set("all").add(&n).unwrap();
            add(store, "base");
        }
        whole(&x, &y).unwrap();
        for store in [&x, &y] {
            assert_eq!(main_of(store).set::<usize>("all").elements().unwrap().len(), 5);
            assert_eq!(count(store, "base"), 3);
        }
    }
}

/// The log of one still knew when it had removed what then gave way; under those dots stood
/// records that its twin had sent meanwhile, ahead of the vector.
#[test]
fn a_log_that_is_full_drops_nothing_that_is_staged() {
    for (seed, frames) in (0..5).flat_map(|n| (2..14).map(move |frames| (10 * n, frames))) {
        let disk = Disk::in_memory();
        let base = open(&disk, seed);
        for n in 0..4_usize {
            main_of(&base).set("all").add(&n).unwrap();
        }
        drop(base);
        let image = disk.image();
        let mut options = drawn(seed + 1);
        options.removal_log_bytes = 400;
        let b = disks::open(&disk, options);
        let (_, c) = twin(&disk, &image, seed + 2);
        for store in [&b, &c] {
            for n in 0..4_usize {
                main_of(store).set("all").remove(&n).unwrap();
            }
        }
        for n in 0..3 {
            main_of(&c).put([n], vec![0; 200_000], Replacing::Nothing).unwrap();
        }
        for n in 4..10_usize {
            main_of(&b).set("all").add(&n).unwrap();
        }
        cut_at_rename(&c, &b);
        let mut meeting = Meeting::of(&c, &b);
        meeting.run_on(frames);
        meeting.left.close();
        meeting.right.close();
        for n in 10..50_usize {
            main_of(&b).set("all").add(&n).unwrap();
            main_of(&b).set("all").remove(&n).unwrap();
        }
        whole(&b, &c).unwrap();
        for store in [&b, &c] {
            assert!(store.check().unwrap().is_sound());
            assert_eq!(main_of(store).status().unwrap().items, 9);
        }
    }
}

/// Also by sessions that were made before and after names had given way.
#[test]
fn a_store_that_meets_itself_is_told_so_whatever_gave_way_meanwhile() {
    let disk = Disk::in_memory();
    drop(open(&disk, 1));
    let image = disk.image();
    let x = open(&disk, 2);
    let (_, y) = twin(&disk, &image, 3);
    for store in [&x, &y] {
        add(store, "n");
    }
    let session = |store| Session::connect(store, Scope::All, pair::nonce()).unwrap();
    let before = [&x, &y].map(session);
    whole(&x, &y).unwrap();
    for (store, mut left) in [&x, &y].into_iter().zip(before) {
        let mut right = Session::accept(store, pair::nonce());
        let hello = left.poll_frame(0).unwrap().unwrap();
        let error = right.handle_frame(0, &hello).unwrap_err();
        assert!(matches!(error, Error::Peer(PeerError::SameReplica { .. })), "{error}");
    }
}
