//! Deltas that end with a vector as long as one may be.

use super::*;
use crate::causal::TaggedVector;
use crate::space::Outgoing;

/// Far out, where a seq takes as many bytes as one may.
const FAR: Seq = Seq::new(1 << 63);

/// Names of which nobody has any event, each with one stretch where it is below `stretches`.
fn names(store: &Store, names: core::ops::Range<usize>, stretches: usize) {
    let first = |n: usize| {
        let mut id = [0; 16];
        id[1..5].copy_from_slice(&(n as u32 + 1).to_be_bytes());
        Dot::new(ReplicaId::from_bytes(id), FAR)
    };
    let vector = names.clone().map(first).collect();
    let stretches = names.start..names.end.min(stretches);
    let stretches = stretches.map(|n| (first(n), Tag::from_bytes([7; 8]))).collect();
    let last = Some(Last { vector, stretches, ..Last::default() });
    let mut session = accepted(store, &super::vector(&[(EVIL, 1)]));
    send(&mut session, Chunk { last, ..Chunk::default() }).unwrap();
}

/// Beside a large value, the end of a delta is too much for one frame: a replica that is new could
/// never be filled.
#[test]
fn a_large_value_beside_many_replicas_comes_to_whoever_is_new() {
    let (store, new) = (Store::in_memory(), Store::in_memory());
    put(&store, "small");
    names(&store, 0..limits::STRETCHES, limits::STRETCHES);
    store.space("main").unwrap().put("large", vec![1; limits::VALUE_BYTES], None).unwrap();
    for report in honest(&new, &store) {
        assert!(report.converged(), "{report:?}");
    }
    assert_eq!(keys(&new), ["large", "small"]);
}

/// As many replicas as there may be, and as many stretches, are too much for one frame by
/// themselves.
#[test]
fn the_longest_vector_and_most_stretches_come_to_whoever_is_new() {
    let (store, new) = (Store::in_memory(), Store::in_memory());
    put(&store, "small");
    // In two deltas, since nobody sends all of it at once.
    names(&store, 0..limits::STRETCHES, limits::STRETCHES);
    names(&store, limits::STRETCHES..limits::VECTOR_REPLICAS - 5, limits::STRETCHES);
    for report in honest(&new, &store) {
        assert!(report.converged(), "{report:?}");
    }
    assert_eq!(keys(&new), ["small"]);
}

/// An end that goes by itself is not to wait for a chunk that has nothing else: where something is
/// written before each, there is none.
#[test]
fn a_long_end_comes_while_writes_go_on() {
    let store = Store::in_memory();
    put(&store, "small");
    names(&store, 0..limits::STRETCHES, limits::STRETCHES);
    let space = store.space("main").unwrap();
    let (none, opened) = (VersionVector::new(), TaggedVector::new());
    let mut sending = Outgoing::new(&none, &none, space.generation());
    let ends = |n: u32| {
        put(&store, &format!("written {n}"));
        let chunk = sending.next(&space, &none, (&opened, &opened), &[], &none).unwrap();
        chunk.unwrap().last.is_some()
    };
    assert!((0..100).any(ends));
}
