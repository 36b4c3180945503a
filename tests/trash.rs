//! What a peer takes away without a removal record can be had back for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pair::{NOW_MS, assert_sound, main_of, meet, options, store};
use rejoin::codec::Kind;
use rejoin::space::{Replacing, Trashed};
use rejoin::{Options, Store};

const DAY_MS: u64 = 86_400_000;

/// A replica whose log of removals forgets at once: what it removes, others find by a walk.
fn forgetful(name: u8) -> Store {
    let mut options = options(name);
    options.removal_log_bytes = 0;
    Store::in_memory_with(options)
}

/// A store with a clock to be set, which holds nothing back.
fn timed(name: u8, change: impl FnOnce(&mut Options)) -> (Store, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let mut options = options(name);
    let shown = clock.clone();
    options.clock = Arc::new(move || shown.load(Ordering::SeqCst));
    options.brake_items = u64::MAX;
    change(&mut options);
    (Store::in_memory_with(options), clock)
}

fn trashed(store: &Store) -> Vec<Trashed> {
    let mut all = Vec::new();
    let visit = |gone| {
        all.push(gone);
        ControlFlow::Continue(())
    };
    main_of(store).trash().for_each(0, visit).unwrap();
    all
}

/// Keys with what stands under each, as people would read them.
fn shown(store: &Store) -> Vec<(String, Vec<Kind>)> {
    let keys = main_of(store).keys(rejoin::space::Keys::all()).unwrap();
    keys.into_iter().map(|k| (String::from_utf8(k.key).unwrap(), k.kinds)).collect()
}

fn write_everything(store: &Store) {
    main_of(store)
        .write(|tx| {
            tx.put("note", "one", None)?;
            tx.put("note", "two", Replacing::Nothing)?;
            tx.register("title").set(&"Notes".to_owned())?;
            tx.mv_register("both").set(&"x".to_owned())?;
            tx.counter("visits").add(5)?;
            tx.set("cart").add(&"apple".to_owned())?;
            tx.rw_set("guests").add(&"Ada".to_owned())?;
            tx.rw_set("guests").remove(&"Bob".to_owned())?;
            tx.flag("done").enable()?;
            tx.dw_flag("sure").enable()?;
            tx.map::<String>("user").counter(&"logins".to_owned())?.add(3)
        })
        .unwrap();
}

const KEYS: [&str; 9] =
    ["note", "title", "both", "visits", "cart", "guests", "done", "sure", "user"];

#[test]
fn every_type_comes_back_from_the_trash_and_reaches_every_replica() {
    let (here, forgetful, third) = (store(1), forgetful(2), store(3));
    write_everything(&here);
    meet(&here, &forgetful);
    meet(&here, &third);
    let before = shown(&here);
    assert_eq!(before.len(), KEYS.len());
    main_of(&forgetful).write(|tx| KEYS.iter().try_for_each(|k| tx.delete(k).map(drop))).unwrap();

    let report = meet(&here, &forgetful);
    let gone = trashed(&here);
    assert_eq!(report.repaired, gone.len() as u64);
    assert!(gone.iter().all(|g| g.peer == forgetful.replica() && g.at_ms == NOW_MS));
    assert!(gone.is_sorted_by(|a, b| a.number < b.number));
    let status = main_of(&here).status().unwrap();
    assert_eq!((status.items, status.trash_items), (0, gone.len() as u64));
    assert_sound(&here);

    let restored = main_of(&here).trash().restore(|_| true).unwrap();
    assert_eq!((restored.written, restored.standing), (gone.len() as u64, 0));
    assert!(trashed(&here).is_empty());
    // By way of the one that took it away, whose word no longer counts: the dots are new.
    meet(&here, &forgetful);
    meet(&forgetful, &third);
    meet(&here, &third);
    for store in [&here, &forgetful, &third] {
        let main = main_of(store);
        assert_eq!(shown(store), before);
        let mut notes: Vec<_> = main.get("note").unwrap().values().map(<[u8]>::to_vec).collect();
        notes.sort();
        assert_eq!(notes, [b"one", b"two"]);
        assert_eq!(main.register::<String>("title").get().unwrap().as_deref(), Some("Notes"));
        assert_eq!(main.counter("visits").get().unwrap(), 5);
        assert_eq!(main.set::<String>("cart").elements().unwrap(), ["apple"]);
        assert_eq!(main.rw_set::<String>("guests").elements().unwrap(), ["Ada"]);
        assert!(main.flag("done").get().unwrap() && main.dw_flag("sure").get().unwrap());
        let user = main.map::<String>("user");
        assert_eq!(user.counter(&"logins".to_owned()).unwrap().get().unwrap(), 3);
        assert_sound(store);
    }
    let gone = main_of(&third).trash().empty().unwrap();
    assert_eq!(gone, restored.written, "the third met the same claim");
}

#[test]
fn restoring_replaces_nothing_and_overrules_nothing() {
    let (here, forgetful) = (store(1), forgetful(2));
    write_everything(&here);
    meet(&here, &forgetful);
    main_of(&forgetful).write(|tx| KEYS.iter().try_for_each(|k| tx.delete(k).map(drop))).unwrap();
    meet(&here, &forgetful);
    main_of(&here)
        .write(|tx| {
            tx.put("note", "three", None)?;
            tx.register("title").set(&"Later".to_owned())?;
            tx.counter("visits").add(1)?;
            tx.set("cart").add(&"apple".to_owned())?;
            tx.rw_set("guests").add(&"Bob".to_owned())?;
            tx.dw_flag("sure").disable()
        })
        .unwrap();
    let restored = main_of(&here).trash().restore(|_| true).unwrap();
    // The apple, and what was said of Bob and of the flag, give way.
    assert_eq!((restored.written, restored.standing), (8, 3));
    let main = main_of(&here);
    assert_eq!(main.get("note").unwrap().len(), 3);
    assert_eq!(main.register::<String>("title").get().unwrap().as_deref(), Some("Later"));
    assert_eq!(main.counter("visits").get().unwrap(), 6);
    assert_eq!(main.rw_set::<String>("guests").elements().unwrap(), ["Ada", "Bob"]);
    assert!(!main.dw_flag("sure").get().unwrap());
    assert!(trashed(&here).is_empty());
    meet(&here, &forgetful);
    assert_sound(&here);
    assert_sound(&forgetful);
}

#[test]
fn what_is_removed_with_a_record_or_a_write_is_not_in_the_trash() {
    let (a, b) = (store(1), store(2));
    write_everything(&a);
    meet(&a, &b);
    main_of(&a).put("note", "three", None).unwrap();
    main_of(&a).delete("user").unwrap();
    main_of(&b).set::<String>("cart").remove(&"apple".to_owned()).unwrap();
    meet(&a, &b);
    for store in [&a, &b] {
        let status = main_of(store).status().unwrap();
        assert_eq!((status.trash_items, status.trash_bytes), (0, 0));
        assert!(trashed(store).is_empty());
    }
}

/// Adds elements at the first and removes them at the second, which forgets it at once; the
/// first finds out.
fn take_away(here: &Store, forgetful: &Store, elements: std::ops::Range<u32>) {
    let each = |store: &Store, add: bool| {
        let work = |tx: &rejoin::Tx<'_>| {
            elements.clone().try_for_each(|n| match add {
                true => tx.set("cart").add(&n),
                false => tx.set("cart").remove(&n).map(drop),
            })
        };
        main_of(store).write::<(), rejoin::Error>(work).unwrap();
    };
    each(here, true);
    meet(here, forgetful);
    each(forgetful, false);
    meet(here, forgetful);
}

#[test]
fn the_trash_is_bounded_by_size_and_the_oldest_go_first() {
    let (here, _) = timed(1, |options| options.trash_bytes = 5_000);
    let forgetful = forgetful(2);
    for round in 0..20 {
        take_away(&here, &forgetful, round * 10..round * 10 + 10);
        let status = main_of(&here).status().unwrap();
        assert!(status.trash_bytes <= 5_000, "{status:?}");
        assert_sound(&here);
    }
    let gone = trashed(&here);
    assert!(gone.len() > 20 && gone.len() < 200, "{}", gone.len());
    assert_eq!(gone.last().unwrap().number, 199);
    assert_eq!(gone[0].number, 200 - gone.len() as u64);
    // More at once than there is room for.
    take_away(&here, &forgetful, 1_000..1_900);
    assert!(main_of(&here).status().unwrap().trash_bytes <= 5_000);
    assert_eq!(trashed(&here).last().unwrap().number, 1_099);
}

#[test]
fn the_trash_is_bounded_by_age() {
    let (here, clock) = timed(1, |_| {});
    let forgetful = forgetful(2);
    take_away(&here, &forgetful, 0..10);
    clock.fetch_add(6 * DAY_MS, Ordering::SeqCst);
    take_away(&here, &forgetful, 10..15);
    assert_eq!(trashed(&here).len(), 15);
    clock.fetch_add(2 * DAY_MS, Ordering::SeqCst);
    // Too old to be seen, and to come back; gone with the next that comes, or by compacting.
    assert_eq!(trashed(&here).len(), 5);
    assert_eq!(main_of(&here).status().unwrap().trash_items, 15);
    assert_eq!(main_of(&here).trash().restore(|gone| gone.number < 10).unwrap().written, 0);
    take_away(&here, &forgetful, 15..16);
    assert_eq!(main_of(&here).status().unwrap().trash_items, 6);
    clock.fetch_add(30 * DAY_MS, Ordering::SeqCst);
    here.compact().unwrap();
    let status = main_of(&here).status().unwrap();
    assert_eq!((status.trash_items, status.trash_bytes), (0, 0));
    // A clock that was put back throws nothing away.
    take_away(&here, &forgetful, 20..30);
    clock.store(NOW_MS, Ordering::SeqCst);
    take_away(&here, &forgetful, 30..40);
    assert_eq!(trashed(&here).len(), 20);
    assert_sound(&here);
}

#[test]
fn the_trash_can_be_off() {
    for off in [0, 1] {
        let (here, _) = timed(1, |options| match off {
            0 => options.trash_bytes = 0,
            _ => options.trash_age_ms = 0,
        });
        take_away(&here, &forgetful(2), 0..10);
        assert_eq!(main_of(&here).status().unwrap().trash_items, 0);
        assert!(trashed(&here).is_empty());
    }
}

#[test]
fn a_page_of_the_trash_begins_and_ends_where_it_is_told() {
    let ((here, _), forgetful) = (timed(1, |_| {}), forgetful(2));
    take_away(&here, &forgetful, 0..2_500);
    let mut page = Vec::new();
    let visit = |gone: Trashed| {
        page.push(gone.number);
        if page.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    main_of(&here).trash().for_each(1_200, visit).unwrap();
    assert_eq!(page, [1_200, 1_201, 1_202]);
    // More than are held in memory at a time, in one transaction.
    let commit = main_of(&here).status().unwrap().commit;
    let odd = main_of(&here).trash().restore(|gone| gone.number % 2 == 1).unwrap();
    assert_eq!(odd.written, 1_250);
    assert_eq!(main_of(&here).status().unwrap().commit, commit + 1);
    assert!(trashed(&here).iter().all(|gone| gone.number % 2 == 0));
    assert_sound(&here);
    assert_eq!(main_of(&here).trash().empty().unwrap(), 1_250);
    assert_eq!(main_of(&here).trash().empty().unwrap(), 0);
    // Numbers are not given out again.
    take_away(&here, &forgetful, 9_000..9_001);
    assert_eq!(trashed(&here)[0].number, 2_500);
}

#[test]
fn the_trash_is_local_and_a_backup_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let (here, forgetful, third) = (store(1), forgetful(2), store(3));
    take_away(&here, &forgetful, 0..10);
    let root = main_of(&here).root().unwrap();
    let report = meet(&here, &third);
    assert_eq!((report.items_sent, report.removals_sent), (0, 0));
    assert!(trashed(&third).is_empty());
    here.backup(folder.path().join("copy")).unwrap();
    assert_eq!(main_of(&here).trash().empty().unwrap(), 10);
    assert_eq!(main_of(&here).root().unwrap(), root);
    assert_eq!(main_of(&here).root().unwrap(), main_of(&forgetful).root().unwrap());

    let copy = Store::open(folder.path().join("copy")).unwrap();
    assert_eq!(main_of(&copy).status().unwrap().trash_items, 10);
    assert_sound(&copy);
    take_away(&here, &forgetful, 10..20);
    assert!(here.drop_space("main").unwrap());
    assert!(trashed(&here).is_empty());
}
