//! A drop that another thread is in the middle of.
//!
//! The rows tell of it a moment before the handles do. Who still goes by the old name then must
//! not take what it wrote under it for a peer's invention.

use super::staging::{incoming, take};
use super::{dot, under, vector};
use crate::causal::{Dot, TaggedVector};
use crate::codec::Kind;
use crate::error::{Error, UsageError};
use crate::space::chunk::{Chunk, Event};
use crate::space::store::lock;
use crate::space::{Space, Store};

/// A space that wrote one event and was dropped, seen by a handle that has not heard of it, and
/// what was told of it before.
fn dropped_behind_its_handle() -> (Space, TaggedVector) {
    let store = Store::in_memory();
    let space = store.space("main").unwrap();
    space.put("key", "value", None).unwrap();
    let (told, name) = (space.standing_to_tell().unwrap().vector, space.replica());
    assert!(store.drop_space("main").unwrap());
    assert_ne!(core::mem::replace(&mut *lock(&space.shared.replica), name), name);
    (space, told)
}

#[test]
fn a_drop_that_the_handles_have_not_heard_of_makes_nobody_a_forger() {
    let (space, told) = dropped_behind_its_handle();
    assert!(space.suspects(&told).unwrap().is_empty());
}

#[test]
fn a_delta_over_what_was_written_before_a_drop_is_no_forgery() {
    let (space, told) = dropped_behind_its_handle();
    let over = Dot::new(space.replica(), told.get(space.replica()).0);
    let place = under("key", &[(Kind::SET, b"apple")]).place().as_bytes().to_vec();
    let past = [over].into_iter().collect();
    let event = Event::Item { place, past, payload: Vec::new() };
    let chunk = Chunk { events: vec![(dot(9, 1), event)], upto: vector(&[(9, 1)]), last: None };
    let refused = take(&mut incoming(&space, 9).0, &chunk);
    assert!(matches!(refused, Err(Error::Usage(UsageError::SpaceDropped { .. }))), "{refused:?}");
}
