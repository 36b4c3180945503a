//! A store that was opened and written more often than a history may tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Report, Scope, Session};
use crate::causal::{ReplicaId, VersionVector};
use crate::error::{Error, PeerError};
use crate::space::{Options, Store};
use crate::storage::MemoryStorage;

/// Of so many openings a history may tell here.
const MOST: usize = 8;

fn options(most: usize) -> Options {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    let entropy = |bytes: &mut [u8]| {
        let drawn = blake3::hash(&DRAWN.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes.iter_mut().zip(drawn.as_bytes()).for_each(|(byte, drawn)| *byte = *drawn);
    };
    let mut options = Options::with(Arc::new(|| 1_000), Arc::new(entropy));
    options.tuning.stretches = most;
    options
}

/// Opens a store so many times, and adds one to a counter each time.
fn opened(rows: &MemoryStorage, times: usize, most: usize) -> Store {
    for _ in 1..times {
        let store = Store::on(Box::new(rows.clone()), options(most)).unwrap();
        store.space("main").unwrap().counter("n").add(1).unwrap();
    }
    let store = Store::on(Box::new(rows.clone()), options(most)).unwrap();
    store.space("main").unwrap().counter("n").add(1).unwrap();
    store
}

fn meet(left: &Store, right: &Store) -> Result<Report, Error> {
    let mut left = Session::connect(left, Scope::All, [1; 16])?;
    let mut right = Session::accept(right, [2; 16]);
    while !(left.is_over() && right.is_over()) {
        while let Some(frame) = left.poll_frame(0)? {
            right.handle_frame(0, &frame)?;
        }
        while let Some(frame) = right.poll_frame(0)? {
            left.handle_frame(0, &frame)?;
        }
    }
    Ok(right.report().clone())
}

fn vector(store: &Store) -> VersionVector {
    store.space("main").unwrap().vector().unwrap()
}

fn count(store: &Store) -> i128 {
    store.space("main").unwrap().counter("n").get().unwrap()
}

#[test]
fn a_history_of_too_many_openings_is_refused_whole() {
    let rows = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
    let here = Store::in_memory_with(options(MOST));
    // All at once, and one more than what came before: either way.
    let many = opened(&rows, MOST, usize::MAX);
    assert!(meet(&many, &here).unwrap().converged());
    let one_more = opened(&rows, 1, usize::MAX);
    let fresh = Store::in_memory_with(options(MOST));
    for store in [&here, &fresh] {
        let (before, items) = (vector(store), count(store));
        match meet(&one_more, store) {
            Err(Error::Peer(PeerError::TooManyStretches { replica, limit })) => {
                assert_eq!((replica, limit), (one_more.replica(), MOST));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((vector(store), count(store)), (before, items));
        assert!(store.check().unwrap().is_sound());
    }
}

#[test]
fn a_store_that_was_opened_so_often_writes_under_a_fresh_name() {
    let rows = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
    let (here, late) = (Store::in_memory_with(options(MOST)), Store::in_memory_with(options(MOST)));
    for round in 1..=20 {
        let store = opened(&rows, 1, MOST);
        assert!(meet(&store, &here).unwrap().converged());
        assert_eq!((count(&store), count(&here)), (round, round));
    }
    let store = opened(&rows, 30, MOST);
    assert!(meet(&store, &late).unwrap().converged());
    assert_eq!(count(&late), 50);
    // Half as many openings as there may be under each name.
    assert_eq!(vector(&late).len(), 50_usize.div_ceil(MOST / 2));
    assert!(store.check().unwrap().is_sound());
}
