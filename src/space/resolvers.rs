//! Ready-made resolvers, for [`Space::set_resolver`](super::Space::set_resolver) and
//! [`Siblings::resolve`](super::Siblings::resolve).
//!
//! Each is a function of the siblings alone, so it answers alike at every replica. Those that
//! look into values are handed a function that does so. Where that cannot read one of
//! the siblings, because a newer version of the application wrote it, they decide nothing:
//! to choose among the rest would drop a value that nobody has looked at, as soon as the
//! answer is written back.
//!
//! | rule | resolver |
//! |---|---|
//! | the latest timestamp | [`latest`] |
//! | the greatest quantity, or any rule of the domain that can be compared | [`greatest`] |
//! | by priority: *shipped* before *paid* before *open* | [`preferred`], with the field that says so |
//! | by user: what Ada wrote before what Ben wrote | [`preferred`], with the field of the user |
//! | the union of carts | [`union`] |
//!
//! ```
//! use std::collections::BTreeSet;
//! use rejoin::{Store, space::{Replacing, resolvers}};
//!
//! let space = Store::in_memory().space("main")?;
//! space.put("order", "ada:open", None)?;
//! space.put("order", "ben:paid", Replacing::Nothing)?; // as if made elsewhere
//! let order = space.get("order")?;
//!
//! // A value is `user:state` here; with JSON or postcard it would be a field of a struct.
//! fn part(value: &[u8], at: usize) -> Option<String> {
//!     Some(std::str::from_utf8(value).ok()?.split(':').nth(at)?.to_owned())
//! }
//! let by_state = resolvers::preferred(["paid", "open"], |value| part(value, 1));
//! assert_eq!(order.resolve(by_state).as_deref(), Some(&b"ben:paid"[..]));
//! let by_user = resolvers::preferred(["ada", "ben"], |value| part(value, 0));
//! assert_eq!(order.resolve(by_user).as_deref(), Some(&b"ada:open"[..]));
//!
//! space.put("cart", "bread,milk", None)?;
//! space.put("cart", "bread,eggs", Replacing::Nothing)?;
//! let carts = resolvers::union(
//!     |cart| Some(std::str::from_utf8(cart).ok()?.split(',').map(str::to_owned).collect()),
//!     |all: &BTreeSet<String>| Vec::from_iter(all.iter().cloned()).join(",").into_bytes(),
//! );
//! assert_eq!(space.get("cart")?.resolve(carts).as_deref(), Some(&b"bread,eggs,milk"[..]));
//! # Ok::<(), rejoin::Error>(())
//! ```

use core::cmp::Reverse;
use std::collections::BTreeSet;

use crate::crdt::Write;

/// The one written last by the clocks of the writers; of two at one time that of the greater
/// dot. Of what was written concurrently, that is: a value that was written after another
/// one was seen has replaced it, whatever the clocks say.
#[must_use]
pub fn latest(siblings: &[Write<'_, [u8]>]) -> Option<Vec<u8>> {
    greatest(|_| Some(()))(siblings)
}

/// The one of which `rank` is the greatest; of equals the latest. `None` where `rank` cannot
/// read one of them. [`Reverse`] makes it the least.
pub fn greatest<R: Ord>(
    rank: impl Fn(&[u8]) -> Option<R>,
) -> impl Fn(&[Write<'_, [u8]>]) -> Option<Vec<u8>> {
    move |siblings| {
        let ranked = siblings.iter().map(|one| Some((rank(one.value)?, one.time, one.dot, one)));
        let ranked: Option<Vec<_>> = ranked.collect();
        let best = ranked?.into_iter().max_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
        best.map(|(.., one)| one.value.to_vec())
    }
}

/// The one whose `field` stands first in `order`: a priority, a user. What is not in it comes
/// after all that is; of equals the latest. `None` where `field` cannot read one of them.
pub fn preferred<P: PartialEq<F>, F>(
    order: impl IntoIterator<Item = P>,
    field: impl Fn(&[u8]) -> Option<F>,
) -> impl Fn(&[Write<'_, [u8]>]) -> Option<Vec<u8>> {
    let order: Vec<P> = order.into_iter().collect();
    greatest(move |value| {
        let field = field(value)?;
        let place = order.iter().position(|preferred| *preferred == field);
        Some(Reverse(place.unwrap_or(order.len())))
    })
}

/// All that is in any of them: of carts, of tags, of members. `None` where `read` cannot read
/// one of them. What one side took out meanwhile comes back: only a [`Set`](super::Set)
/// knows of removals.
pub fn union<T: Ord>(
    read: impl Fn(&[u8]) -> Option<BTreeSet<T>>,
    write: impl Fn(&BTreeSet<T>) -> Vec<u8>,
) -> impl Fn(&[Write<'_, [u8]>]) -> Option<Vec<u8>> {
    move |siblings| {
        let mut all = BTreeSet::new();
        for one in siblings {
            all.extend(read(one.value)?);
        }
        Some(write(&all))
    }
}
