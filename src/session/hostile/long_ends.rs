//! Deltas that end with a vector as long as one may be.

use super::*;

/// Beside a large value, the end of a delta is too much for one frame: a replica that is new could
/// never be filled.
#[test]
fn a_large_value_beside_many_replicas_comes_to_whoever_is_new() {
    let (store, new) = (Store::in_memory(), Store::in_memory());
    put(&store, "small");
    let far = Seq::new(u64::MAX >> 2);
    let first = |n: usize| {
        let mut id = [0; 16];
        id[1..5].copy_from_slice(&(n as u32 + 1).to_be_bytes());
        Dot::new(ReplicaId::from_bytes(id), far)
    };
    let all = limits::STRETCHES;
    let stretches: Vec<_> = (0..all).map(|n| (first(n), Tag::from_bytes([7; 8]))).collect();
    let vector = stretches.iter().map(|(dot, _)| *dot).collect();
    let last = Some(Last { vector, stretches, ..Last::default() });
    let mut session = accepted(&store, &super::vector(&[(EVIL, 1)]));
    send(&mut session, Chunk { last, ..Chunk::default() }).unwrap();
    drop(session);
    store.space("main").unwrap().put("large", vec![1; limits::VALUE_BYTES], None).unwrap();
    for report in honest(&new, &store) {
        assert!(report.converged(), "{report:?}");
    }
    assert_eq!(keys(&new), ["large", "small"]);
}
