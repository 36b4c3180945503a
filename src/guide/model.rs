//! The model: what a write is, what is kept of a delete, and who wins.
//!
//! # Words
//! - A **replica** is one copy that writes, named by 16 random bytes: a
//!   [`ReplicaId`](crate::causal::ReplicaId).
//! - A **space** is a set of keys that replicates as one unit.
//! - An **event** is one change of one space by one replica. Its name is a **dot**: the
//!   replica, and a number that counts that replica's events in that space, 1, 2, 3 …
//! - A **version vector** says which events were seen: per replica the greatest number.
//!   It needs no more, since events of one origin arrive in order.
//! - An **item** is what is live: where it stands (key and path), its dot, what it holds.
//! - An item's **past** says which events it replaced. Dot and past together are a *dotted
//!   version vector*.
//!
//! # The one law
//! The state of a space is its live items and its version vector. Two states are joined so:
//!
//! ```text
//! live   = (live₁ ∩ live₂) ∪ (live₁ not seen by 2) ∪ (live₂ not seen by 1)
//! vector = the greater of both, entry by entry
//! ```
//!
//! **A dot that one side has seen and no longer holds was removed; a dot that it has not
//! seen is news.** That is all there is to merging. No tombstone is needed: the vector alone
//! tells *gone* from *never seen*, and it has one entry for each replica, however much was
//! deleted. This is the causal join of Almeida, Shoker and Baquero, "Delta State Replicated
//! Data Types" (2018), with one context shared by a whole space.
//!
//! The law on bare dots:
//!
//! ```
//! use std::collections::BTreeSet;
//! use rejoin::causal::{Dot, VersionVector};
//!
//! type State = (BTreeSet<Dot>, VersionVector);
//!
//! fn join(one: &State, two: &State) -> State {
//!     let kept = |dot: &&Dot, other: &State| other.0.contains(*dot) || !other.1.contains(**dot);
//!     let live = one.0.iter().filter(|dot| kept(dot, two));
//!     let live = live.chain(two.0.iter().filter(|dot| kept(dot, one)));
//!     let mut vector = one.1.clone();
//!     vector.join(&two.1);
//!     (live.copied().collect(), vector)
//! }
//! # use rejoin::causal::{ReplicaId, Seq};
//! # let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
//! # let state = |live: &[Dot], seen: &[Dot]| -> State {
//! #     let mut vector = VersionVector::new();
//! #     seen.iter().for_each(|dot| vector.advance(*dot));
//! #     (live.iter().copied().collect(), vector)
//! # };
//! # let dot = |replica, seq| Dot::new(replica, Seq::new(seq));
//! // One side saw a1 and removed it by a2; the other replaced a1 by b1.
//! let here = state(&[], &[dot(a, 2)]);
//! let there = state(&[dot(b, 1)], &[dot(a, 1), dot(b, 1)]);
//! assert_eq!(join(&here, &there), state(&[dot(b, 1)], &[dot(a, 2), dot(b, 1)]));
//! assert_eq!(join(&here, &there), join(&there, &here));
//! ```
//!
//! # What each type is
//! A type says only which live items a mutation replaces, and how live items are read:
//!
//! | type | a mutation replaces | read as | concurrently |
//! |---|---|---|---|
//! | opaque value ([`Space::put`](crate::Space::put)) | what is here, or what the given context has seen | every sibling | all stay |
//! | [`LwwRegister`](crate::space::LwwRegister) | all observed | the greatest (timestamp, dot) | the later clock is read, the others are [`conflicts`](crate::space::LwwRegister::conflicts) |
//! | [`MvRegister`](crate::space::MvRegister) | all observed | every value | all stay |
//! | [`Counter`](crate::space::Counter) | nothing of anybody else's | the sum | all count |
//! | [`Set`](crate::space::Set) | the observed items of that element | elements with a live item | adding wins |
//! | [`RwSet`](crate::space::RwSet) | the observed items of that element | elements with no live removal | removing wins |
//! | [`EwFlag`](crate::space::EwFlag) | the observed items | whether one is live | enabling wins |
//! | [`DwFlag`](crate::space::DwFlag) | the observed items | whether all that is live says so | disabling wins |
//! | [`Map`](crate::space::Map) | removing a key: all observed beneath | keys with anything live beneath | a change beneath wins |
//!
//! Clocks decide only between *concurrent* writes of an LWW register. A write that has
//! seen another replaces it, whatever the clocks say: a clock ten years ahead poisons nothing.
//!
//! # One history, step by step
//! Two replicas, A and B. The helper prints the dots of what is live, with names for ids.
//!
//! ```
//! use rejoin::space::Keys;
//! use rejoin::{Space, Store};
//! # use std::ops::ControlFlow;
//! # use rejoin::session::{Scope, Session};
//! # fn meet(a: &Store, b: &Store) -> Result<rejoin::session::Report, rejoin::Error> {
//! #     let mut left = Session::connect(a, Scope::All, [1; 16])?;
//! #     let mut right = Session::accept(b, [2; 16]);
//! #     while !(left.is_over() && right.is_over()) {
//! #         while let Some(frame) = left.poll_frame(0)? { right.handle_frame(0, &frame)? }
//! #         while let Some(frame) = right.poll_frame(0)? { left.handle_frame(0, &frame)? }
//! #     }
//! #     assert!(left.report().converged());
//! #     Ok(left.report().clone())
//! # }
//! let (a, b) = (Store::in_memory(), Store::in_memory());
//! let (on_a, on_b) = (a.space("main")?, b.space("main")?);
//! let name = |id| if id == a.replica() { "a" } else { "b" };
//! let live = |space: &Space| -> Result<Vec<String>, rejoin::Error> {
//!     let mut dots = Vec::new();
//!     space.for_each_item(Keys::all(), |item| {
//!         dots.push(format!("{}{}", name(item.dot.replica), item.dot.seq.get()));
//!         ControlFlow::Continue(())
//!     })?;
//!     Ok(dots)
//! };
//! let seen = |space: &Space| -> Result<(u64, u64), rejoin::Error> {
//!     let vector = space.vector()?;
//!     Ok((vector.get(a.replica()).get(), vector.get(b.replica()).get()))
//! };
//! let apple = "apple".to_owned();
//!
//! // 1. A adds an apple. The event is a1, and one item is live.
//! on_a.set("cart").add(&apple)?;
//! assert_eq!((live(&on_a)?, seen(&on_a)?), (vec!["a1".to_owned()], (1, 0)));
//!
//! // 2. They meet. B has seen a1 and holds it: to receive is no event.
//! meet(&a, &b)?;
//! assert_eq!((live(&on_b)?, seen(&on_b)?), (vec!["a1".to_owned()], (1, 0)));
//!
//! // 3. Apart. A removes the apple: event a2, which leaves no item, only a vector one
//! //    higher, and a line in a bounded log that helps to tell others quickly.
//! on_a.set("cart").remove(&apple)?;
//! assert_eq!((live(&on_a)?, seen(&on_a)?), (vec![], (2, 0)));
//!
//! // 4. Meanwhile B, who wants it very much, adds it again: b1 replaces a1.
//! on_b.set("cart").add(&apple)?;
//! assert_eq!((live(&on_b)?, seen(&on_b)?), (vec!["b1".to_owned()], (1, 1)));
//!
//! // 5. They meet. A has not seen b1: news, it stays. B has seen a1 and no longer holds it,
//! //    and neither does A: gone. Adding has won over the concurrent removal, and no rule
//! //    for that was needed.
//! let report = meet(&a, &b)?;
//! for space in [&on_a, &on_b] {
//!     assert_eq!((live(space)?, seen(space)?), (vec!["b1".to_owned()], (2, 1)));
//! }
//! assert_eq!(on_a.root()?, on_b.root()?);
//!
//! // 6. A, who has now seen b1, removes the apple again: this removal wins.
//! on_a.set("cart").remove(&apple)?;
//! meet(&a, &b)?;
//! assert_eq!((live(&on_b)?, seen(&on_b)?), (vec![], (3, 1)));
//!
//! // 7. A third replica, empty, learns all there is to know: a vector of two entries.
//! let c = Store::in_memory();
//! let report = meet(&c, &b)?;
//! assert_eq!((report.items_received, report.removals_received), (0, 0));
//! assert_eq!(seen(&c.space("main")?)?, (3, 1));
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # Why a vector may not run ahead
//! A vector that covers a dot together with the item's absence *is* a delete. So the obvious
//! code, which raises the vector with each piece of a delta that comes in, deletes:
//!
//! 1. A sends B a large delta. B raises its vector to all of A's events, stores the first
//!    half of the items, and the line is cut.
//! 2. B meets C. Of the second half B says: seen, and not here. So it was removed.
//! 3. C drops it. It lives on only at A, and dies there too when A meets C.
//!
//! Here the vector moves with the last piece, in the same commit in which the items appear.
//! What came before is *staged*: on disk, and not there for anybody. A cut leaves it, and the
//! next session with the same peer goes on behind it. [`sync`](super::sync) tells the rest.
//!
//! # Transactions
//! [`Space::write`](crate::Space::write) commits whole here; and since a vector only ever
//! moves from one closed moment of the sender to another, what it wrote arrives whole or not at
//! all at every other replica too. What it removed goes in the same moment, where a record of that
//! comes along. Where none does (the log has forgotten it, or never had it since it would have
//! named too many replicas; or another session brought the item while this one was under way), it
//! is seen until a proof with somebody who knows of the removal. Should all who know be gone
//! before that, it stays.
//!
//! # What a delete costs
//! Nothing that stays. The rows of the item go; a record in the removal log (bounded, 64 MiB
//! for each space unless told otherwise) tells peers which dots went. When the log has
//! forgotten, or a record was lost, the digests of two replicas differ, and the walk finds the
//! block and drops what one side no longer holds. The log is an optimisation; the digest is
//! the guarantee.
