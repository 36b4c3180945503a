//! A drop that another thread is in the middle of.

use crate::space::Store;
use crate::space::store::lock;

/// The rows tell of a drop a moment before the handles do. Who still goes by the old name then
/// must not take what it wrote under it for a peer's invention.
#[test]
fn a_drop_that_the_handles_have_not_heard_of_makes_nobody_a_forger() {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    space.put("key", "value", None).unwrap();
    let (told, name) = (space.standing_to_tell().unwrap().vector, space.replica());
    assert!(store.drop_space("main").unwrap());
    assert_ne!(core::mem::replace(&mut *lock(&space.shared.replica), name), name);
    assert!(space.suspects(&told).unwrap().is_empty());
}
