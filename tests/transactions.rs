//! Transactions: whole here, whole at every replica, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pair::{Meeting, assert_sound, items, items_at, main_of, meet, standing, store};
use rejoin::space::{
    Counter, DwFlag, EwFlag, Keys, LwwRegister, Map, MvRegister, ReadContext, RwSet, Set, Siblings,
};
use rejoin::{Error, Snapshot, Space, Store, UsageError};

/// Writes whose deltas take several chunks: transactions of four large values each, a transfer
/// between two accounts, and a removal of what the one before wrote.
fn write_large(space: &Space, transactions: std::ops::Range<u8>) {
    for n in transactions {
        let large = vec![n; 70_000];
        space
            .write(|tx| {
                for part in 0..4 {
                    tx.put(format!("{n}/{part}"), &large, None)?;
                    tx.set("parts").add(&(n, part))?;
                }
                tx.counter("from").add(-i64::from(n))?;
                tx.counter("to").add(n.into())?;
                if let Some(before) = n.checked_sub(1) {
                    for part in 2..4 {
                        tx.delete(format!("{before}/{part}"))?;
                        tx.set("parts").remove(&(before, part))?;
                    }
                }
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}

/// Each transaction is there whole or not at all; how many are.
fn whole_transactions(snapshot: &Snapshot) -> u8 {
    let sum = snapshot.counter("from").get().unwrap() + snapshot.counter("to").get().unwrap();
    assert_eq!(sum, 0, "a transfer is seen half");
    let parts = snapshot.set::<(u8, i32)>("parts").elements().unwrap();
    let count = parts.iter().map(|part| part.value().unwrap().0 + 1).max().unwrap_or(0);
    for n in 0..count {
        let parts_of = if n + 1 == count { 4 } else { 2 };
        for part in 0..4 {
            let there = snapshot.get(format!("{n}/{part}")).unwrap();
            assert_eq!(there.len(), usize::from(part < parts_of), "{n}/{part} of {count}");
            assert_eq!(
                parts.iter().any(|there| *there == (n, part)),
                part < parts_of,
                "{n}/{part} of {count}"
            );
        }
    }
    count
}

#[test]
fn a_cut_at_any_frame_shows_no_half_of_a_transaction() {
    let sources = || {
        let source = store(1);
        write_large(&main_of(&source), 0..4);
        source
    };
    let mut whole = Meeting::of(&sources(), &store(2));
    assert!(whole.run_on(usize::MAX));
    let frames = whole.frames.len();
    assert!(frames > 6, "{frames} frames: the delta must take several");
    for cut in 0..frames {
        let (source, target) = (sources(), store(2));
        let space = main_of(&target);
        let mut meeting = Meeting::of(&source, &target);
        for sent in 0..cut {
            meeting.run_on(1);
            let seen = whole_transactions(&space.snapshot().unwrap());
            assert!([0, 4].contains(&seen), "{seen} after {sent} of {cut} frames");
        }
        drop(meeting);
        assert_sound(&target);
        // What goes on from there is whole again, with what was written since.
        let before = whole_transactions(&space.snapshot().unwrap());
        write_large(&main_of(&source), 4..5);
        main_of(&target).counter("other").add(1).unwrap();
        let report = meet(&target, &source);
        assert_eq!(whole_transactions(&space.snapshot().unwrap()), 5, "from {before}");
        assert_eq!(items(&space), items(&main_of(&source)));
        assert!(before == 0 || report.items_received < 12, "{report:?}");
        assert_sound(&target);
    }
}

#[test]
fn a_pair_that_is_cut_again_and_again_gets_there() {
    let source = store(1);
    write_large(&main_of(&source), 0..6);
    let (target, mut sessions) = (store(2), 0);
    let mut received = 0;
    loop {
        // Three frames open a session; then there is room for a chunk or two.
        let mut meeting = Meeting::of(&target, &source);
        let ended = meeting.run_on(5);
        received += meeting.left.report().items_received;
        sessions += 1;
        let space = main_of(&target);
        let seen = whole_transactions(&space.snapshot().unwrap());
        assert!([0, 6].contains(&seen), "{seen}");
        if ended {
            break;
        }
        assert!(sessions < 50, "no progress: {:?}", space.status());
    }
    assert!(sessions > 2, "{sessions} sessions: the cuts are too far apart");
    let live = items(&main_of(&source)).len() as u64;
    assert_eq!(received, live, "what was staged was sent again");
    assert_eq!(items(&main_of(&target)), items(&main_of(&source)));
}

#[test]
fn a_reader_beside_a_session_sees_whole_transactions() {
    let (a, b) = (store(1), store(2));
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let (space, mut last) = (main_of(&b), 0);
                while !done.load(Ordering::SeqCst) {
                    let snapshot = space.snapshot().unwrap();
                    let seen = whole_transactions(&snapshot);
                    assert!(seen >= last, "{seen} after {last}");
                    // One moment stays one moment, whatever is applied meanwhile.
                    thread::yield_now();
                    assert_eq!(whole_transactions(&snapshot), seen);
                    last = seen;
                }
            });
        }
        threads.spawn(|| {
            for n in 0..4 {
                write_large(&main_of(&a), 2 * n..2 * n + 2);
                meet(&a, &b);
            }
            done.store(true, Ordering::SeqCst);
        });
    });
    assert_eq!(whole_transactions(&main_of(&b).snapshot().unwrap()), 8);
}

#[test]
fn transactions_of_several_writers_meet_whole() {
    let stores = [store(1), store(2), store(3)];
    thread::scope(|threads| {
        for (n, store) in stores.iter().enumerate() {
            threads.spawn(move || {
                let space = main_of(store);
                for round in 0..20_i64 {
                    let transfer = space.write(|tx| {
                        tx.counter("from").add(-round)?;
                        tx.set("log").add(&(n, round))?;
                        tx.counter("to").add(round)
                    });
                    transfer.unwrap();
                    let now = space.snapshot().unwrap();
                    let sum = now.counter("from").get().unwrap() + now.counter("to").get().unwrap();
                    assert_eq!(sum, 0);
                }
            });
        }
        threads.spawn(|| {
            for round in 0..30 {
                // Writes go on between frames, so that a proof may have to wait for the next one.
                Meeting::of(&stores[round % 3], &stores[(round + 1) % 3]).run(usize::MAX).unwrap();
            }
        });
    });
    for n in 0..6 {
        meet(&stores[n % 3], &stores[(n + 1) % 3]);
    }
    for store in &stores {
        let space = main_of(store);
        assert_eq!(space.counter("to").get().unwrap(), 3 * 190);
        assert_eq!(space.counter("from").get().unwrap(), -3 * 190);
        assert_eq!(space.set::<(usize, i64)>("log").len().unwrap(), 60);
        assert_eq!(items(&space), items(&main_of(&stores[0])));
        assert_sound(store);
    }
}

#[test]
fn a_transaction_that_fails_or_panics_leaves_no_trace() {
    let store = store(1);
    let space = main_of(&store);
    space.counter("n").add(1).unwrap();
    space.set("cart").add(&"apple".to_owned()).unwrap();
    let before = standing(&space);
    let write_some = |tx: &rejoin::Tx<'_>| {
        tx.counter("n").add(5)?;
        tx.set("cart").remove(&"apple".to_owned())?;
        tx.register("title").set(&"x")?;
        assert_eq!(tx.counter("n").get()?, 6, "a transaction sees its own changes");
        assert!(!tx.set::<String>("cart").contains(&"apple".to_owned())?);
        Ok::<_, Error>(())
    };
    #[derive(Debug)]
    enum Own {
        Enough,
        Store,
    }
    impl From<Error> for Own {
        fn from(_: Error) -> Self {
            Self::Store
        }
    }
    let failed = space.write(|tx| {
        write_some(tx)?;
        Err::<(), _>(Own::Enough)
    });
    assert!(matches!(failed, Err(Own::Enough)), "{failed:?}");
    assert_eq!(standing(&space), before);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        space.write(|tx| {
            write_some(tx)?;
            if tx.counter("n").get()? == 6 {
                panic!("on purpose");
            }
            Ok::<_, Error>(())
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(standing(&space), before);
    assert_sound(&store);

    // A mistake within, noticed and handled by the closure, spoils only itself.
    space
        .write(|tx| {
            assert!(tx.counter("").add(1).is_err());
            assert!(tx.register("n").set(&vec![0_u8; 9 << 20]).is_err());
            tx.counter("n").add(1)
        })
        .unwrap();
    assert_eq!(space.counter("n").get().unwrap(), 2);
    assert_sound(&store);
    meet(&store, &pair::store(2));

    // A panic while reading a key in a visit does as little.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        space.for_each_key(Keys::all(), |_| panic!("on purpose"))
    }));
    assert!(panicked.is_err());
    space.counter("n").add(1).unwrap();
    assert_eq!(space.counter("n").get().unwrap(), 3);
}

#[test]
fn a_space_that_was_only_failed_upon_does_not_come_to_be() {
    let store = store(1);
    let failed = store.space("new").unwrap().write(|tx| {
        tx.counter("n").add(1)?;
        Err::<(), Error>(UsageError::NestedWrite.into())
    });
    assert!(failed.is_err());
    assert_eq!(store.spaces("").unwrap(), Vec::<String>::new());
    store.space("new").unwrap().write(|tx| tx.counter("n").get().map(drop)).unwrap();
    assert_eq!(store.spaces("").unwrap(), Vec::<String>::new(), "nothing was written");
}

#[test]
fn a_write_within_a_write_and_a_change_within_a_visit_are_refused() {
    let store = store(1);
    let (space, other) = (main_of(&store), store.space("other").unwrap());
    for n in 0..3_u8 {
        space.set("cart").add(&n).unwrap();
    }
    space
        .write(|tx| {
            for refused in [
                space.counter("n").add(1),
                other.counter("n").add(1),
                space.clone().write(|tx| tx.counter("n").add(1)),
            ] {
                let nested = matches!(refused, Err(Error::Usage(UsageError::NestedWrite)));
                assert!(nested, "{refused:?}");
            }
            // Reading is another matter: it sees what was before.
            assert_eq!(space.counter("n").get()?, 0);
            let mut refused = Vec::new();
            tx.set::<u8>("cart").for_each(|n| {
                refused.push(tx.set("cart").remove(n.value().unwrap()));
                std::ops::ControlFlow::Continue(())
            })?;
            assert_eq!(refused.len(), 3);
            for refused in refused {
                let nested = matches!(refused, Err(Error::Usage(UsageError::NestedChange)));
                assert!(nested, "{refused:?}");
            }
            tx.counter("n").add(1)
        })
        .unwrap();
    assert_eq!(space.counter("n").get().unwrap(), 1);
    assert_eq!(space.set::<u8>("cart").len().unwrap(), 3);
    other.counter("n").add(1).unwrap();
    // Another thread waits for its turn instead.
    space
        .write(|tx| {
            let waits = thread::spawn({
                let other = other.clone();
                move || other.counter("n").add(1)
            });
            tx.counter("n").add(1)?;
            Ok::<_, Error>(waits)
        })
        .unwrap()
        .join()
        .unwrap()
        .unwrap();
    assert_eq!(other.counter("n").get().unwrap(), 2);
}

#[test]
fn a_store_opened_again_after_each_commit_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.store");
    let open = || Store::open(&path).unwrap();
    let memory = store(2);
    let mut store = open();
    let replica = store.replica();
    for round in 0..12_u8 {
        let space = main_of(&store);
        match round % 6 {
            0 => write_large(&space, round / 6..round / 6 + 1),
            1 => space.counter("n").add(round.into()).unwrap(),
            2 => space.set("cart").add(&round).unwrap(),
            3 => drop(space.delete("cart").unwrap()),
            4 => drop(meet(&store, &memory)),
            _ => space.put("raw", [round], None).unwrap(),
        }
        let before = (space.status().unwrap(), items(&space), space.get("raw").unwrap());
        drop((space, store));
        store = open();
        assert_eq!(store.replica(), replica, "after round {round}");
        let space = main_of(&store);
        let mut after = (space.status().unwrap(), items(&space), space.get("raw").unwrap());
        after.0.file_bytes = before.0.file_bytes; // the engine may take or give some
        assert_eq!(after, before, "after round {round}");
        assert_sound(&store);
    }
    // Counters go on beside what was there before the store was opened again.
    let before = main_of(&store).counter("n").get().unwrap();
    main_of(&store).counter("n").add(1).unwrap();
    assert_eq!(main_of(&store).counter("n").get().unwrap(), before + 1);
    assert!(meet(&store, &memory).converged());
    assert_eq!(items(&main_of(&store)), items(&main_of(&memory)));
}

#[test]
fn a_snapshot_stays_at_its_moment() {
    let (a, b) = (store(1), store(2));
    let space = main_of(&a);
    write_large(&space, 0..1);
    let snapshot = space.snapshot().unwrap();
    let before = items_at(&snapshot);
    write_large(&space, 1..3);
    space.set("cart").add(&1_u8).unwrap();
    meet(&a, &b);
    space.delete("cart").unwrap();
    assert_eq!(items_at(&snapshot), before);
    assert_eq!(whole_transactions(&snapshot), 1);
}

/// What applications pass from thread to thread, and keep.
#[test]
fn handles_can_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    anywhere::<Store>();
    anywhere::<Space>();
    anywhere::<Snapshot>();
    anywhere::<rejoin::Options>();
    anywhere::<Counter>();
    anywhere::<EwFlag>();
    anywhere::<DwFlag>();
    anywhere::<Siblings>();
    anywhere::<ReadContext>();
    // Whatever they are of: a handle holds none.
    type Shy = std::rc::Rc<str>;
    anywhere::<Set<Shy>>();
    anywhere::<RwSet<Shy>>();
    anywhere::<LwwRegister<Shy>>();
    anywhere::<MvRegister<Shy>>();
    anywhere::<Map<Shy>>();
    anywhere::<Map<Shy, Snapshot>>();
    fn sends<T: Send + 'static>() {}
    sends::<rejoin::session::Session>();
    sends::<Error>();
}
