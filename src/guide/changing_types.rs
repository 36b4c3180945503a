//! Changing your types over the years: replicas do not all update on one day.
//!
//! A store outlives the version of the application that made it, and replicas of different
//! versions write into one space. So an old version meets what a new one has written, and
//! the other way round. Two things are promised:
//! - **What a type cannot read stays in its place.** Reads that decode give
//!   [`Stored<T>`](crate::space::Stored): a value, or [`Undecodable`](crate::Undecodable) with the
//!   bytes. The rest of the scan comes as ever, and the bytes are handed on to other replicas
//!   unread.
//! - **Nothing drops it by accident.** To get at the values is to say what becomes of the
//!   others; and an element that is not understood is removed only by being named,
//!   [`remove_undecodable`](crate::space::Set::remove_undecodable).
//!
//! # The encoding
//! Values, elements and fields of maps are written by serde in
//! [postcard](https://docs.rs/postcard): no names of fields, no types, nothing but the
//! values one after the other. That is short, and it means that **bytes do not tell what they
//! are**. Some changes are safe:
//!
//! | change | old reads new | new reads old |
//! |---|---|---|
//! | a new variant behind all others of an enum | the new variant is undecodable | yes |
//! | a variant, field or type renamed | yes | yes |
//! | a `String` to a newtype of it | yes | yes |
//! | a `u16` to a `u32` or `u64` (not a `u8`, which is written otherwise) | where the number fits | yes |
//! | a field added or removed, anywhere | **no**: undecodable, or worse, misread | **no** |
//! | fields or variants in another order, a variant removed between others | **no**: misread | **no** |
//! | the last variant of an enum removed | yes | that variant is undecodable |
//! | `#[serde(skip_serializing_if)]`, `flatten`, `untagged` | never: postcard cannot read them back | |
//!
//! *Misread* is the bad one: nobody notices that `(width, height)` has become
//! `(height, width)`. So make what changes visible in the bytes:
//!
//! # An envelope with a version
//! Wrap each type that may grow in an enum with one variant for each of its shapes, from the
//! first day on. The number of the variant stands first, so it is the version:
//!
//! ```
//! use rejoin::{Store, space::Stored};
//! use serde::{Deserialize, Serialize};
//!
//! // The first release.
//! mod old {
//!     # use serde::{Deserialize, Serialize};
//!     #[derive(Debug, PartialEq, Serialize, Deserialize)]
//!     pub enum Recipe {
//!         V1 { title: String, serves: u8 },
//!     }
//! }
//! // Years later: a field has become wider, and one came to be.
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Recipe {
//!     V1 { title: String, serves: u8 },
//!     V2 { title: String, serves: u16, author: Option<String> },
//! }
//!
//! impl Recipe {
//!     fn latest(self) -> Self {
//!         match self {
//!             Recipe::V1 { title, serves } => {
//!                 Recipe::V2 { title, serves: serves.into(), author: None }
//!             }
//!             latest => latest,
//!         }
//!     }
//! }
//!
//! let space = Store::in_memory().space("kitchen")?;
//! space.register("soup").set(&old::Recipe::V1 { title: "Soup".into(), serves: 4 })?;
//!
//! // The new version reads what the old one wrote, and makes it its own when it writes.
//! let soup = space.register::<Recipe>("soup").get()?.expect("a recipe").latest();
//! assert_eq!(soup, Recipe::V2 { title: "Soup".into(), serves: 4, author: None });
//! space.register("soup").set(&soup)?;
//!
//! // The old version cannot read that, and knows that it cannot.
//! match space.register::<old::Recipe>("soup").stored()? {
//!     Some(Stored::Undecodable(newer)) => assert_eq!(newer.bytes()[0], 1), // the variant
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! The old version should show such a thing as *made by a newer version*, and let it be. Where
//! it must write to the register all the same, its write replaces what is there, as any does:
//! that is a decision of the application, not an accident.
//!
//! If old and new have to work on one record together for long, give each field a register of
//! its own in a [`Map`](crate::space::Map): a field that a version does not know
//! is then a key that it does not touch, and a new field needs no new version at all.
//!
//! # Elements and fields have one encoding
//! The encoding of a set's element, or of a map's field, is its *identity*: it is found,
//! added and removed by its bytes, at every replica. That asks two things of its type.
//!
//! **One spelling.** Two equal values must have equal bytes. Maps in an element are therefore
//! written in the order of their keys' bytes, whatever order they come in: hash maps are
//! fine. A hash *set* cannot be told from a list by looking at it, so each element is read
//! back before it is used, eight times, and refused where that gives other bytes. A hash set
//! slips through now and then, about once in a hundred times; so it is found in the first days
//! of development, and not years later in the field. Use `BTreeSet`. The values of registers
//! are free: nothing is found by them.
//!
//! **A bounded shape.** Values come from other devices, and serde decodes them by the type
//! that you ask for. A type that holds itself, such as a list of boxes, recurses as deep as
//! the bytes say, and up to 8 MiB of them can say very deep; a `Vec` of units takes no bytes for
//! each. Give what comes from outside a flat type, or check its depth as you decode it.
//!
//! ```
//! use std::collections::{BTreeSet, HashMap, HashSet};
//! use rejoin::{Error, Store, UsageError};
//!
//! let space = Store::in_memory().space("main")?;
//! let colours = ["red", "green", "blue", "black", "white", "grey", "pink", "brown"];
//! let set: HashSet<String> = colours.map(String::from).into();
//! match space.set("palettes").add(&set) {
//!     Err(Error::Usage(UsageError::ManyEncodings { reason })) => println!("{reason}"),
//!     other => panic!("{other:?}"),
//! }
//! space.set("palettes").add(&BTreeSet::from_iter(set))?; // sorted: one encoding
//!
//! let weights = HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
//! space.set("weights").add(&weights)?; // a map is sorted as it is written
//! assert!(space.set("weights").contains(&weights)?);
//! # Ok::<(), Error>(())
//! ```
//!
//! **For ever.** An element written as `V1` and the same one written as `V2` are two elements.
//! So keep elements small and dull, an id or a name, and what is known about them in a map
//! beside the set. Where a type of elements has to change, move the old ones over:
//!
//! ```
//! use rejoin::{Store, space::Stored};
//!
//! let space = Store::in_memory().space("main")?;
//! space.set("ids").add(&7_u8)?;
//! space.set("ids").add(&300_u16)?; // a newer version was here already
//! space.write(|tx| {
//!     for id in tx.set::<u8>("ids").elements()? {
//!         match id {
//!             Stored::Value(id) => {
//!                 tx.set("ids").remove(&id)?;
//!                 tx.set("ids").add(&u16::from(id))?;
//!             }
//!             Stored::Undecodable(_) => {} // not an old one, so nothing to move
//!         }
//!     }
//!     Ok::<_, rejoin::Error>(())
//! })?;
//! assert_eq!(space.set::<u16>("ids").elements()?, [7, 300]);
//!
//! // What nobody can read any more can go, if the application says so.
//! let ids = space.set::<u8>("ids");
//! for id in ids.elements()? {
//!     if let Stored::Undecodable(junk) = id {
//!         assert!(ids.remove_undecodable(&junk)?);
//!     }
//! }
//! assert_eq!(ids.elements()?, [7]);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! An element is taken for one of your type only if it is spelled as your type would write
//! it. Bytes that merely read as one, such as those with something left over behind, are
//! undecodable: otherwise they could be seen and never be removed.
//!
//! # Opaque values
//! [`put`](crate::Space::put) takes bytes, so their form is all yours: one that names its
//! fields, such as JSON, can be read by old versions with what they do not know kept aside. Let a
//! [resolver](crate::Space::set_resolver) answer `None` for what it cannot read; the siblings then stay.
