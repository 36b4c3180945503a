//! Conflicts: what concurrent writes become, and how an application decides between them.
//!
//! # What concurrent means
//! Two writes are concurrent where neither has seen the other. It has nothing to do with
//! clocks: a write of Monday and one of Friday are concurrent if the replicas did not meet
//! in between, and two writes within one millisecond are not if the second came from a read of
//! the first. A write that has seen another one replaces it, always. So there is a conflict
//! only where nobody could have known better, and each type says what becomes of it: see the
//! table in [`model`](super::model#what-each-type-is).
//!
//! | what it is | use |
//! |---|---|
//! | members, tags, the products in a cart | [`Set`](crate::space::Set): each element merges by itself, removals too |
//! | likes, stock, votes | [`Counter`](crate::space::Counter) |
//! | a title, a setting: one of two may win, and the other one be looked up | [`LwwRegister`](crate::space::LwwRegister) |
//! | a note, a price: people should see both | [`MvRegister`](crate::space::MvRegister) |
//! | a record of many fields | [`Map`](crate::space::Map) with a register for each field, so that two people who change two fields do not meet at all |
//! | what only the application can merge | opaque values: [`get`](crate::Space::get) and [`put`](crate::Space::put), below |
//!
//! # Siblings and tokens
//! Opaque values work in the way of Dynamo (DeCandia et al. 2007). `get` returns every
//! concurrent value, the *siblings*, with a *read context*: a token that says what was seen.
//! `put` takes it back and replaces exactly that. What came in between stays:
//!
//! ```
//! use rejoin::{Store, space::Replacing};
//!
//! let space = Store::in_memory().space("main")?;
//! space.put("note", "ring the bell", None)?;
//! let read = space.get("note")?; // and somebody thinks about it for a while
//!
//! space.put("note", "use the side door", None)?; // meanwhile
//! space.put("note", "ring twice", read.context())?;
//! let values: Vec<_> = space.get("note")?.values().map(<[u8]>::to_vec).collect();
//! assert_eq!(values, [b"use the side door".to_vec(), b"ring twice".to_vec()]);
//!
//! // A token is text or bytes: it may go through a form in a browser and come back.
//! let token = space.get("note")?.context().to_string();
//! let read: rejoin::space::ReadContext = token.parse()?;
//! space.put("note", "side door, then ring twice", &read)?;
//! assert_eq!(space.get("note")?.len(), 1);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! Without a token `put` replaces what stands here *now*, whoever wrote it: right where
//! nothing was read first, and a lost update where something was.
//!
//! # Conditional writes
//! [`put_if`](crate::Space::put_if) goes further: it writes only if nothing came in between,
//! and else hands over what did. [`write_if`](crate::Space::write_if) makes a whole
//! transaction depend on several keys.
//!
//! ```
//! use rejoin::{Store, space::{Condition, Outcome}};
//!
//! let space = Store::in_memory().space("hall")?;
//! assert!(space.put_if("seat 7", "Ada", Condition::Absent)?.is_done());
//! match space.put_if("seat 7", "Ben", Condition::Absent)? {
//!     Outcome::Done(_) => panic!("it was taken"),
//!     Outcome::Unmet { siblings, .. } => {
//!         assert_eq!(siblings.values().next(), Some(&b"Ada"[..]));
//!     }
//! }
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! **It is decided here only.** Of the threads and sessions of this store one wins. A
//! replica that was not asked may decide otherwise, and then both have written: the key has
//! two siblings where they meet, nothing is lost, and somebody has to be told that the
//! seat was sold twice. [`Condition`](crate::space::Condition) shows it in code. Where that must
//! not happen at all, let one replica decide and the others ask it: no store that
//! accepts every write without a network can promise it.
//!
//! A condition is about opaque values, or that nothing at all lives under a key. For what a
//! set or a counter must say, look it up in the closure of [`write`](crate::Space::write), and
//! return an error where it does not: nothing else writes meanwhile, and the error undoes all.
//!
//! # Resolvers
//! Most applications do not want to see siblings at each read, but one value. A *resolver* is
//! a function set for all keys with a prefix, which makes one of several:
//!
//! ```
//! use std::collections::BTreeSet;
//! use rejoin::{Store, space::{Replacing, resolvers}};
//!
//! fn items(cart: &[u8]) -> Option<BTreeSet<String>> {
//!     Some(std::str::from_utf8(cart).ok()?.split(',').map(str::to_owned).collect())
//! }
//!
//! let space = Store::in_memory().space("shop")?;
//! space.set_resolver("", resolvers::latest);
//! space.set_resolver("cart/", resolvers::union(items, |all| {
//!     Vec::from_iter(all.iter().cloned()).join(",").into_bytes()
//! }));
//!
//! space.put("cart/ada", "bread,milk", None)?;
//! space.put("cart/ada", "bread,eggs", Replacing::Nothing)?; // as if made elsewhere
//! let cart = space.get_resolved("cart/ada")?.expect("two carts");
//! assert_eq!(cart.value, b"bread,eggs,milk");
//!
//! // Both siblings are still there. The application writes when it has something to write,
//! // with the context of the read.
//! space.put("cart/ada", "bread,eggs,milk,tea", cart.context())?;
//! assert_eq!(space.get("cart/ada")?.len(), 1);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! [`resolvers`](crate::space::resolvers) has the usual ones ready-made: the latest timestamp,
//! the greatest quantity, by priority, by user, the union. The example `resolvers` runs all five.
//! The rules for one of your own:
//! - **It looks at the siblings and at nothing else**: no clock, no randomness, no other
//!   key, no order of a hash map. They come in order of their dots, the same everywhere; so
//!   all replicas come to one answer, without a word between them.
//! - **It says `None` where it does not understand a sibling**, such as one of a newer
//!   version of the application. Then `get_resolved` fails with
//!   [`Unresolved`](crate::UsageError::Unresolved), and `get` still shows all. A guess would be
//!   written back by somebody, and the sibling be gone.
//! - **Reading does not write.** Two replicas that both wrote back what they read would make
//!   two siblings anew, with one value. That does no harm, and it is traffic for nothing: write
//!   back where the application writes anyway.
//! - It is code, so it is not replicated: set it each time the store is opened.
//! - What one side took out of a cart comes back by a union: a value does not know what it
//!   no longer holds. A [`Set`](crate::space::Set) does.
