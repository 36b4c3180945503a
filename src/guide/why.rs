//! Why conflict-free types, and not operational transformation.
//!
//! Both let people change one thing at the same time and end up with the same. They differ in
//! where the order comes from.
//!
//! # Two families
//! **Operational transformation** (OT; Ellis and Gibbs, "Concurrency Control in Groupware
//! Systems", 1989) sends operations: *insert x at 2*. One that was made at the same time as
//! another is changed before it is applied: if somebody inserted at 1 meanwhile, it becomes
//! *insert x at 3*. Jupiter (Nichols et al. 1995) put a server in the middle that brings all
//! operations in one order; so did Google Wave, and so does Google Docs, which made OT the
//! standard for editors.
//!
//! **Conflict-free replicated data types** (CRDTs; Shapiro, Preguiça, Baquero, Zawirski 2011;
//! for text WOOT, 2006, and Treedoc, 2009) give each thing a name of its own: *remove the
//! event a7*. What has a name needs no change when something else happens, so operations or
//! states can be joined in any order, twice, and by way of anybody.
//!
//! # What OT needs
//! Two properties of the transformation, named by Ressel et al. (1996):
//! - **TP1**: *a, then b changed by a* gives the same as *b, then a changed by b*.
//! - **TP2**: an operation changed by two others comes out the same, in whichever order these
//!   two came.
//!
//! TP1 is enough where a server puts everything in one order, since then nobody ever sees two
//! orders. Where replicas meet as they please, TP2 is needed too, and that is hard: several
//! published transformations for text were later shown not to have it (Imine et al. 2003
//! checked them by machine). The obvious one does not:
//!
//! ```
//! #[derive(Clone, Copy)]
//! enum Op { Insert(usize, char), Delete(usize) }
//! use Op::{Delete, Insert};
//!
//! /// An operation with the number of its site, which decides between inserts at one place.
//! type By = (u8, Op);
//!
//! /// `op` as it must be after `done`, which was made at the same time.
//! fn after((site, op): By, (other, done): By) -> By {
//!     let moved = |at: usize| match done {
//!         Insert(there, _) if there < at || (there == at && other < site) => at + 1,
//!         Delete(there) if there < at => at - 1,
//!         _ => at,
//!     };
//!     let op = match op {
//!         Insert(at, letter) => Insert(moved(at), letter),
//!         // The letter to delete moves up for whatever comes in front of it.
//!         Delete(at) => Delete(match done {
//!             Insert(there, _) if there == at => at + 1,
//!             _ => moved(at),
//!         }),
//!     };
//!     (site, op)
//! }
//!
//! fn apply(text: &str, ops: [By; 3]) -> String {
//!     let mut letters: Vec<char> = text.chars().collect();
//!     for (_, op) in ops {
//!         match op {
//!             Insert(at, letter) => letters.insert(at, letter),
//!             Delete(at) => drop(letters.remove(at)),
//!         }
//!     }
//!     letters.into_iter().collect()
//! }
//!
//! // Three sites change "abc" at the same time.
//! let (x, b, y) = ((1, Insert(2, 'x')), (2, Delete(1)), (3, Insert(1, 'y')));
//!
//! // Here the deletion arrives first, there the y; x comes last in both places.
//! let here = apply("abc", [b, after(y, b), after(after(x, b), after(y, b))]);
//! let there = apply("abc", [y, after(b, y), after(after(x, y), after(b, y))]);
//! assert_eq!((here.as_str(), there.as_str()), ("axyc", "ayxc")); // and so they stay
//! ```
//! Once *b* is gone, nothing says any more that x stood behind it and y in front. A server
//! that lets only one of the two orders happen hides this. It is also what a phone in a tunnel
//! does not have.
//!
//! # The same without an order
//! The names of events do not move. Whatever order three replicas meet in, each ends with
//! what the others have:
//!
//! ```
//! # use rejoin::{Error, Store, session::{Scope, Session}};
//! # fn meet(a: &Store, b: &Store) -> Result<(), Error> {
//! #     let mut left = Session::connect(a, Scope::All, [1; 16])?;
//! #     let mut right = Session::accept(b, [2; 16]);
//! #     while !(left.is_over() && right.is_over()) {
//! #         while let Some(frame) = left.poll_frame(0)? { right.handle_frame(0, &frame)? }
//! #         while let Some(frame) = right.poll_frame(0)? { left.handle_frame(0, &frame)? }
//! #     }
//! #     Ok(())
//! # }
//! // Pairs that meet, one after the other.
//! for order in [[(0, 1), (1, 2), (0, 1)], [(1, 2), (0, 1), (1, 2)], [(0, 2), (1, 2), (0, 2)]] {
//!     let stores = [Store::in_memory(), Store::in_memory(), Store::in_memory()];
//!     let cart = |n: usize| Ok::<_, Error>(stores[n].space("main")?.set::<char>("letters"));
//!     cart(0)?.add(&'b')?;
//!     meet(&stores[0], &stores[1])?;
//!     meet(&stores[0], &stores[2])?;
//!     cart(0)?.add(&'x')?; // three changes at the same time
//!     cart(1)?.remove(&'b')?;
//!     cart(2)?.add(&'y')?;
//!     for (one, other) in order {
//!         meet(&stores[one], &stores[other])?;
//!     }
//!     for n in 0..3 {
//!         assert_eq!(cart(n)?.elements()?, ['x', 'y']);
//!     }
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! # What each costs
//! | | operational transformation | conflict-free types |
//! |---|---|---|
//! | an order | a server, or a transformation with TP2 | none |
//! | long offline | each operation made meanwhile is changed by each one made elsewhere: the product of both counts | the size of what differs |
//! | what is stored | the text, and operations until all have them | a name beside each thing: here 24 bytes for each item, and a second row for each event |
//! | deletes | leave nothing once all know | in sequences mostly tombstones; in sets and maps with a causal context, as here, nothing |
//! | history, undo | the server's log of operations | not kept here: only what is live |
//! | text | fits naturally, and is what it was made for | needs a type of its own for sequences, in which concurrent runs of text may not interleave |
//! | intentions | as good as the transformation, written for each pair of operations | as good as the type: *adding wins* is a choice, and not always yours |
//! | to get right | pairs of operations, and their triples | one law for all types, that a property test can check |
//!
//! # Where OT is the better answer
//! An editor for text with a server that is always reached: it has little to store, works
//! well, and has twenty years of use behind it. With a server in the middle one may also
//! refuse an operation, which no conflict-free type can: nobody is there to ask.
//!
//! There is no text type in this library. What there is fits keys and values that are written
//! on devices of which each may be away for long and any two may meet: there is no server
//! whose order could be used, and that leaves names.
