//! A store that has rows in every table, the others that meet it, and rows as tables.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use rejoin::causal::{Dot, ReplicaId};
use rejoin::session::{Scope, Session};
use rejoin::space::Replacing;
use rejoin::storage::{Durability, KeyRange, MemoryStorage, Order, Storage, Table, Verdict};
use rejoin::{Error, Options, Space, Store};

use crate::pair::{self, Meeting, assert_sound, items, main_of, meet, options};

pub(crate) type Row = (Table, Vec<u8>, Vec<u8>);

pub(crate) fn rows_of(storage: &dyn Storage) -> Vec<Row> {
    let (mut rows, all) = (Vec::new(), KeyRange { from: &[], to: None });
    let read = storage.read().unwrap();
    for table in Table::ALL {
        read.scan(table, all, Order::Ascending, &mut |key, value| {
            rows.push((table, key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    rows
}

/// Tables of their own with these rows.
pub(crate) fn tables_of(name: u8, rows: &[Row]) -> MemoryStorage {
    let storage = MemoryStorage::new(ReplicaId::from_bytes([name; 16]));
    let fill = storage.write(Durability::Immediate, &mut |to| {
        rows.iter().try_for_each(|(table, key, value)| to.put(*table, key, value))?;
        Ok(Verdict::Commit)
    });
    fill.unwrap();
    storage
}

/// The options of each store, the same ones at each opening.
pub(crate) fn options_of(name: u8) -> Options {
    let mut options = options(name);
    match name {
        1 => options.brake_items = 3,
        2 => options.removal_log_bytes = 0, // forgets at once what it removed
        _ => {}
    }
    options
}

pub(crate) fn open(name: u8, storage: &MemoryStorage) -> Result<Store, Error> {
    Store::on(Box::new(storage.clone()), options_of(name))
}

/// A store that has rows in every table, and others that meet it.
pub(crate) struct World {
    pub(crate) here: Vec<Row>,
    pub(crate) others: Vec<Other>,
}

pub(crate) struct Other {
    pub(crate) name: u8,
    pub(crate) rows: Vec<Row>,
    /// What an honest session takes away from it.
    pub(crate) lost: BTreeSet<Dot>,
}

fn write_everything(main: &Space) {
    main.write(|tx| {
        tx.put("note", "one", None)?;
        tx.put("note", "two", Replacing::Nothing)?;
        tx.register("title").set(&"Notes".to_owned())?;
        tx.mv_register("both").set(&"x".to_owned())?;
        tx.counter("visits").add(5)?;
        (0..12).try_for_each(|n| tx.set("cart").add(&n))?;
        tx.rw_set("guests").add(&"Ada".to_owned())?;
        tx.flag("done").enable()?;
        tx.dw_flag("sure").enable()?;
        tx.map::<String>("user").counter(&"logins".to_owned())?.add(3)?;
        tx.map::<String>("user").register(&"name".to_owned())?.set(&"Ada")
    })
    .unwrap();
}

impl World {
    pub(crate) fn new() -> Self {
        let storages: Vec<_> = (1..=5).map(|name| tables_of(name, &[])).collect();
        let stores = (1..).zip(&storages).map(|(name, s)| open(name, s).unwrap());
        let [here, peer, third, fourth, _newcomer] = stores.collect::<Vec<_>>().try_into().unwrap();
        let main = main_of(&here);
        write_everything(&main);
        meet(&here, &peer);
        // Items with a past, at both, of several origins; one goes to the trash here.
        main_of(&peer).put("note", "of two", Replacing::Nothing).unwrap();
        let note = main_of(&peer).get("note").unwrap();
        main_of(&peer).put("note", "three", note.context()).unwrap();
        main_of(&peer).delete("title").unwrap();
        main.counter("visits").add(2).unwrap();
        meet(&here, &peer);
        // So many origins that vectors are told by what they have in common.
        (6..11).for_each(|name| {
            let other = Store::in_memory_with(options(name));
            main_of(&other).put([name], "value", None).unwrap();
            meet(&here, &other);
        });
        // A name used up, and a meeting that counts since.
        here.space("gone").unwrap().put("key", "value", None).unwrap();
        here.drop_space("gone").unwrap();
        meet(&here, &fourth);
        // More is claimed than is believed.
        (5..12).for_each(|n| assert!(main_of(&peer).set("cart").remove(&n).unwrap()));
        assert!(Meeting::of(&here, &peer).run(usize::MAX).is_some());
        // Half of a delta.
        for key in ["first", "second", "third"] {
            main_of(&third).put(key, vec![0; 200_000], None).unwrap();
        }
        let mut cut = Meeting::of(&third, &here);
        while main.status().unwrap().staged == 0 {
            assert!(!cut.run_on(1));
        }
        cut.left.close();
        cut.right.close();
        // What nobody else has seen: records of both kinds, and a block that waits to be hashed.
        main.root().unwrap();
        main.set("cart").remove(&0).unwrap();
        main.delete("user").unwrap();
        main.put("newest", "one", None).unwrap();

        let status = main.status().unwrap();
        assert!(status.staged > 0 && status.trash_items > 0 && status.removal_log_bytes > 0);
        assert_eq!(status.held.len(), 1);
        assert_sound(&here);
        let mut all: Vec<_> = storages.iter().map(|tables| rows_of(tables)).collect();
        let others = all.split_off(1);
        let mut here = all.remove(0);
        here.push(salvaged(&here));
        let others = (2..).zip(others).map(|(name, rows)| {
            let (store, there) =
                (open(1, &tables_of(1, &here)), open(name, &tables_of(name, &rows)));
            let (store, there) = (store.unwrap(), there.unwrap());
            let before = living(&there);
            session(&store, &there, true).unwrap();
            Other { name, rows, lost: before.difference(&living(&there)).copied().collect() }
        });
        Self { others: others.collect(), here }
    }
}

/// Something salvaged, as a recovered store has it: 0, the place with its length, the item.
fn salvaged(rows: &[Row]) -> Row {
    let (_, key, item) = rows.iter().find(|(table, ..)| *table == Table::Items).unwrap();
    let (space, rest) = key.split_at(4);
    let (place, _) = rest.split_at(rest.len() - 24);
    let key = [b"salvaged/".as_slice(), space, &[99; 16], &[0, 0, 0, 0, 0, 0, 0, 1]].concat();
    (Table::Meta, key, [&[0, place.len() as u8], place, item].concat())
}

/// A session to its end; how the first failed, if it did.
pub(crate) fn session(here: &Store, there: &Store, connects: bool) -> Result<(), Error> {
    let (a, b) = if connects { (here, there) } else { (there, here) };
    let left = Session::connect(a, Scope::All, pair::nonce());
    let left = if connects { left? } else { left.unwrap() };
    let mut sides = [left, Session::accept(b, pair::nonce())];
    let (mine, mut failed, mut moved) = (usize::from(!connects), Ok(()), true);
    while moved {
        moved = false;
        for from in 0..2 {
            let frame = sides[from].poll_frame(0).or_else(|error| {
                assert_eq!(from, mine, "{error}");
                failed = Err(error);
                sides[from].poll_frame(0)
            });
            let Some(frame) = frame.unwrap() else { continue };
            moved = true;
            if let Err(error) = sides[1 - from].handle_frame(0, &frame)
                && from != mine
                && failed.is_ok()
            {
                failed = Err(error);
            }
        }
    }
    failed
}

/// The dots of what lives at a replica.
pub(crate) fn living(store: &Store) -> BTreeSet<Dot> {
    items(&main_of(store)).into_iter().map(|item| item.dot).collect()
}
