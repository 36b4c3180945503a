//! Spaces that are dropped by another thread.

use crate::space::Store;

/// The rows tell of a drop a moment before the handles do. Who still goes by the old name then
/// must not take what it wrote under it for a peer's invention.
#[test]
fn a_drop_in_another_thread_makes_nobody_a_forger() {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    let drops = |_| {
        space.put("key", "value", None).unwrap();
        store.drop_space("main").unwrap();
    };
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| (0..2_000).for_each(drops));
        while !dropping.is_finished() {
            let told = space.standing_to_tell().unwrap().vector;
            space.suspects(&told).unwrap();
        }
    });
}
