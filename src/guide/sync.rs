//! How two replicas become equal, step by step; what a cut does; what it costs.
//!
//! Anti-entropy after Dynamo (DeCandia et al. 2007), with version vectors for what is new and
//! Merkle trees only for what the vectors cannot say. [`session`](crate::session) is the
//! machine that does this, [`format`](super::format) the bytes that travel.
//!
//! # The usual case
//! ```text
//!  the side that connects                        the side that accepts
//!
//!   hello, open ────────────────────────────▶
//!     who I am, and of each space: a hash of
//!     my vector, my root, what changed since
//!     we met last
//!                  ◀────────────────────────────  hello, answer, chunk
//!                                                   the same of its own; then, at once,
//!                                                   what this side has not seen
//!   chunk, proof ───────────────────────────▶
//!     what that side has not seen, and the
//!     root at the cut
//!                  ◀────────────────────────────  proven
//! ```
//! Two round trips, whatever the size of the stores. Where vector and root agree the answer is
//! *same*, after one:
//!
//! ```
//! # use rejoin::{Store, session::{Report, Scope, Session}};
//! # fn meet(a: &Store, b: &Store) -> Result<Report, rejoin::Error> {
//! #     let mut left = Session::connect(a, Scope::All, [1; 16])?;
//! #     let mut right = Session::accept(b, [2; 16]);
//! #     while !(left.is_over() && right.is_over()) {
//! #         while let Some(frame) = left.poll_frame(0)? { right.handle_frame(0, &frame)? }
//! #         while let Some(frame) = right.poll_frame(0)? { left.handle_frame(0, &frame)? }
//! #     }
//! #     Ok(left.report().clone())
//! # }
//! let (a, b) = (Store::in_memory(), Store::in_memory());
//! a.space("main")?.set("cart").add(&"apple".to_string())?;
//! b.space("main")?.set("cart").add(&"banana".to_string())?;
//!
//! let report = meet(&a, &b)?; // runs a session between the two
//! assert!(report.converged() && report.round_trips == 2);
//!
//! let report = meet(&a, &b)?; // nothing new
//! assert!(report.converged() && report.round_trips == 1);
//! assert!(report.bytes_sent + report.bytes_received < 300);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # 1. Hello, open, answer
//! A hello names protocol version, replica, scope (one space, a prefix of names, or all) and
//! a nonce. Each side then opens the spaces it has: of each it says the hash of its version
//! vector, its root, and the vector itself. A long vector (from seven origins on) is told as
//! what changed against a *base*: the vector last proven common with this peer, or with
//! whoever was met last, named by its hash. Who does not know the base asks for the whole
//! vector before anything that follows from it, which costs one more round trip. 64 peers are
//! remembered for each space.
//!
//! A peer that names events of this replica which this replica never made has met its future:
//! the store was put back to an earlier state. The session ends with
//! [`OwnFuture`](crate::PeerError::OwnFuture) before anything changes.
//!
//! # 2. Delta
//! Each side sends every live item and removal record whose dot the other has not seen,
//! ordered by origin and number, straight from the index of dots: no search, no hashing, and
//! no snapshot held between chunks. Chunks are about 256 KiB; four of them may be under way at
//! a time in a whole session, so that memory stays bounded on both sides.
//!
//! Chunks are *staged*: their rows stand in their final tables, ahead of the vector, and so are
//! not there for readers, for peers, or for the digest. The last chunk carries the vector, read
//! in the same snapshot as the end of the order. It commits: items appear, what they replaced
//! and what removal records name disappears, the vector moves, all in one commit. A delta of
//! one chunk, the usual case, is one commit and is staged nowhere.
//!
//! One large delta is staged per space at a time. Another one waits while it makes progress,
//! and takes its place after ten seconds without any.
//!
//! # 3. Proof at the cut
//! The *cut* is what both sides have seen once both deltas have ended. Both know it, so it does
//! not travel. The side that opened the space sends its root *at the cut*: of events beyond
//! it, made meanwhile by either side, the tree leaves out. Where the other side finds the
//! same root, both hold the same items, and that is what
//! [`converged`](crate::session::Report::converged) means. Writes may go on all the time: they
//! lie beyond the cut and wait for the next session.
//!
//! # 4. Repair
//! Unequal roots at one cut mean that a removal was forgotten: by the bounded log, or by a
//! past that was cut short. While either side has news beyond the cut it is sent first and the
//! proof is made again, three times at most. Then the digests are walked:
//!
//! ```text
//!   accepting side                                connecting side
//!   nodes: the children of my root ─────────▶
//!                                  ◀───────── nodes: children of those that differ
//!            … one level for each half round trip, down to blocks of 256 events …
//!   last chunk: news, and claims ───────────▶   drops what the claims leave out, in the
//!     the live bits of the blocks                commit that brings the news
//!                                  ◀─────────── last chunk: news, and claims; proof
//!   proven ─────────────────────────────────▶
//! ```
//!
//! A *claim* says which events of a block are live at the claimant. Both sides have seen all
//! of them, so what one of them no longer holds was removed. **Claim and news travel
//! together**, in one last chunk, and are applied in one commit. The obvious code, which drops
//! at once, loses data:
//!
//! 1. A and B walk. Meanwhile, at A, a put replaces the value x by y, beyond the cut.
//! 2. A's claim leaves x out. B drops x.
//! 3. The line is cut before y arrives. B shows neither.
//!
//! A walk is tried three times, after which the two are said to differ for good
//! ([`Diverged`](crate::session::Why::Diverged)): one event has two contents.
//!
//! # What a cut does
//! A pipe may break at any byte.
//!
//! - Before the last chunk of a delta: nothing of it is visible. What was staged stays, the
//!   next session with the *same* peer says so in its opening, and that peer goes on behind
//!   it. Another peer's delta does not build on it: staging vouches for what one peer said.
//! - After the last chunk: the delta stands whole. The proof is missing; the next session
//!   makes it.
//! - Within claims: nothing of them is applied, or all with its news.
//!
//! # What it costs
//! | case | round trips | bytes |
//! |---|---|---|
//! | equal | 1 | under 300 for one space (180 with two origins in the vector: third meeting of `cargo run --release --example cart`) |
//! | *d* items differ | 2 | those of the *d* items, and about 350 more (443 in all for a note of 13 and one of 17 bytes: the second sync of the README's shell story) |
//! | a base is not known | 1 more | the whole vector, 17 to 26 bytes for each replica that ever wrote |
//! | a proof fails once | 1 more | the news |
//! | repair | 3 to 6 more | for each block that differs 32 bytes, and 9 for each of up to 64 children of a node above it |
//!
//! It does not depend on the number of items that are equal, nor on how long the two were
//! apart. Where everything differs the walk costs about a byte for 28 events, before claims.
