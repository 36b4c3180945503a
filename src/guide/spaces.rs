//! Choosing spaces: what to keep together, and what apart.
//!
//! A store holds any number of spaces, each a set of keys that replicates as one unit under
//! one version vector. What is in one space is one thing in three respects.
//!
//! # What a space is the unit of
//! **Causality.** What was seen and what is gone is told by the vector of a space. A
//! [transaction](crate::Space::write) is within one space, where it arrives whole. Two spaces
//! know nothing of each other: what is written to both, one after the other, may arrive in
//! either order, or one without the other.
//!
//! **Partial replication.** A session is about one space, about those with a prefix, or about
//! all. There is no way to take half a space: the vector says *all of it, up to here*.
//!
//! **Access.** Whoever may take part in a space may read and write all of it. There is no
//! access control yet; when it comes it will be for spaces. So keep apart today what different
//! people may see.
//!
//! ```
//! use rejoin::{Store, session::{Scope, Session}};
//! # fn meet(a: &Store, b: &Store, scope: Scope) -> Result<(), rejoin::Error> {
//! #     let mut left = Session::connect(a, scope, [1; 16])?;
//! #     let mut right = Session::accept(b, [2; 16]);
//! #     while !(left.is_over() && right.is_over()) {
//! #         while let Some(frame) = left.poll_frame(0)? { right.handle_frame(0, &frame)? }
//! #         while let Some(frame) = right.poll_frame(0)? { left.handle_frame(0, &frame)? }
//! #     }
//! #     assert!(left.report().converged());
//! #     Ok(())
//! # }
//!
//! let (laptop, phone) = (Store::in_memory(), Store::in_memory());
//! for project in ["project/boat", "project/garden", "archive/2019"] {
//!     laptop.space(project)?.register("title").set(&project)?;
//! }
//! // The phone is small, and takes the projects only.
//! meet(&phone, &laptop, Scope::Prefix("project/".into()))?;
//! assert_eq!(phone.spaces("")?, ["project/boat", "project/garden"]);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # What a space costs
//! A handful of rows on disk: its name, its state, an entry of the vector for each replica
//! that ever wrote to *it*, and the top of its digest. Opening a store reads none of them. A
//! session has to find out which of its spaces differ; [`sync`](super::sync) says what that
//! costs.
//!
//! The vector is what grows. It has an entry of 17 to 26 bytes for each replica that ever
//! wrote to the space, for ever, and it travels whole to whoever is met for the first time. A
//! thousand devices that write to one space make a vector of about 20 KB. Where each writes
//! mostly to a space of its own and reads those of others, each vector has one entry.
//!
//! # One, or many
//! | | one large space | many small ones |
//! |---|---|---|
//! | transactions | over all of it | within each |
//! | who takes it | takes all | takes what they need |
//! | a vector | one, with everybody | many, each with few |
//! | dropping something old | its keys, one by one | the space, here (elsewhere it lives on) |
//! | listing, scanning | one scan | a scan for each |
//!
//! One space fits what belongs together and what all its people have: a household, a
//! document with all that hangs on it, the settings of one application. Many fit where people
//! come and go: a space for each project, chat or patient. What must change in one
//! transaction must stand in one space; begin with that.
//!
//! A space for each *record* is mostly too many: records of one kind that the same people
//! read belong under keys of one space, such as `order/17`.
//!
//! # Names
//! 1 to 255 bytes of text, the same at all replicas. A session can name a prefix, so put
//! first what you will choose by: `team/7/board/3`, not `board/3/team/7`. A prefix is bytes,
//! and `team/1` is also the start of `team/10`: end it with the separator. Two replicas that
//! make a space of one name apart have made the same space, which is what one wants of
//! `settings` and not of `new board`: give what people create a random name, and keep the
//! title inside.
//!
//! # Across spaces
//! Where something in one space names something in another, the other may not be there yet,
//! or no longer. Treat such a name as a link that may lead nowhere, for a while or for good.
//! ```
//! # let store = rejoin::Store::in_memory();
//! let board = store.space("board/3")?;
//! board.set("members").add(&"user/ada".to_string())?;
//! for member in board.set::<String>("members").elements()? {
//!     let name = store.space(&member.decoded()?)?.register::<String>("name").get()?;
//!     assert_eq!(name.unwrap_or("somebody".into()), "somebody");
//! }
//! # Ok::<(), rejoin::Error>(())
//! ```
