//! How two replicas become equal, step by step; what a cut does; what it costs.
//!
//! Anti-entropy after Dynamo (DeCandia et al. 2007), with version vectors for what is new and
//! Merkle trees only for what the vectors cannot say. [`session`](crate::session) is the
//! machine that does this, [`format`](super::format) the bytes that travel.
//!
//! # Words
//! A session is about some spaces (one, a prefix of names, all) of two stores; what follows
//! is of each of them. Messages travel in frames, several in one where they are ready together.
//! Frames are numbered: a pipe that loses, repeats or swaps them ends the session.
//!
//! | message | says |
//! |---|---|
//! | hello | who I am: version of the protocol, replica, which spaces, a nonce; and how we find those to open |
//! | open, answer | how a space stands here: a hash of my vector, my root, the vector itself or what changed in it since we last met, and what is staged |
//! | opened | these were all the spaces that I open |
//! | same | vector and root are mine too |
//! | chunk, last chunk | items and removal records that you have not seen; the last one brings the vector to which they lead |
//! | taken | so many of your chunks are on disk: send more |
//! | proof | my root at the cut, which is what both have seen now |
//! | proven | it is mine too |
//! | again | it is not, but one of us has news beyond the cut: send that, and prove again |
//! | nodes | children of these nodes of my digest |
//! | want vector, vector | I do not know the base that your vector goes on from; here is the whole of it |
//! | takes nothing | right behind the hello: you only receive from me |
//! | spaces | hashes of ranges of names, or short lists: what I have there, and how it stands |
//! | give up, refuse | this space cannot be proven now; this session cannot go on |
//!
//! The sequences below are compared by a test with what the code sends. Each line is a frame.
//!
//! ## Equal
//! ```text
//!  the side that connects                          the side that accepts
//!
//!  hello, open, opened ──────────────────────────────────────────────▶
//!    vector …, root …
//!  ◀──────────────────────────────────────────── hello, same, opened
//! ```
//! One round trip of some 190 bytes, whatever the size of the stores.
//!
//! ## One change on each side
//! ```text
//!  hello, open, opened ──────────────────────────────────────────────▶
//!    vector a3 b1, root …                 the vectors show what is news
//!  ◀──────────────────────────── hello, answer, last chunk, opened
//!    vector a2 b2                         the item b2, at once
//!  last chunk, proof ────────────────────────────────────────────────▶
//!    the item a3, and the root at a3 b2   the same root here
//!  ◀───────────────────────────────────────────────────────── proven
//! ```
//! Two round trips. The accepting side knows from the opening what the other lacks, and sends
//! it with its answer.
//!
//! ## A new replica
//! ```text
//!  hello, opened ────────────────────────────────────────────────────▶
//!    it has no spaces yet
//!  ◀──────────────────────────────────────────── hello, open, opened
//!                                         one that it has not heard of
//!  answer ───────────────────────────────────────────────────────────▶
//!    an empty vector
//!  ◀───────────────────────────────────────────────────── last chunk
//!                                         all that is live, and the vector; nothing of
//!                                         what was ever removed
//!  ◀────────────────────────────────────────────────────────── proof
//!  proven ───────────────────────────────────────────────────────────▶
//! ```
//! The side that opened a space proves it.
//!
//! ## A removal that the log forgot
//! ```text
//!  hello, open, opened ──────────────────────────────────────────────▶
//!    a has removed three things, and its log of removals has room for none
//!  ◀──────────────────────────────────────── hello, answer, opened
//!  last chunk, proof ────────────────────────────────────────────────▶
//!    only the vector: there are three     it still holds the three:
//!    events, and nothing to show          another root
//!  ◀────────────────────────────────────────────────────────── nodes
//!                                         root, buckets, blocks by their hashes
//!  last chunk ───────────────────────────────────────────────────────▶
//!    what is live here in the blocks      drops the three: seen there,
//!    that differ: the claims              and held no longer
//!  ◀───────────────────────────────────────────────────── last chunk
//!                                         its claims for the same blocks
//!  proof ────────────────────────────────────────────────────────────▶
//!  ◀───────────────────────────────────────────────────────── proven
//! ```
//! A tree of more than 256 children is opened a level with each half round trip.
//!
//! ## Cut, and gone on with
//! A new replica meets one that holds 700 KiB, and the line is cut:
//! ```text
//!  hello, opened ────────────────────────────────────────────────────▶
//!  ◀──────────────────────────────────────────── hello, open, opened
//!  answer ───────────────────────────────────────────────────────────▶
//!  ◀────────────────────────────────────────────────────────── chunk
//!    staged: on disk, and not there       300 KiB
//!    for anybody
//! ```
//! Later the same two meet:
//! ```text
//!  hello, open, opened ──────────────────────────────────────────────▶
//!    staged up to here
//!  ◀──────────────────────────────────────────────── hello, answer
//!  ◀────────────────────────────────────────────────────────── chunk
//!                                         it goes on behind that
//!  ◀───────────────────────────────────────────────────── last chunk
//!    all of it appears at once
//!  ◀───────────────────────────────────────────────────────── opened
//!  taken, proof ─────────────────────────────────────────────────────▶
//!  ◀───────────────────────────────────────────────────────── proven
//! ```
//!
//! # A session in code
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
//! Each side opens the spaces it has, and answers for those that the other one opened. A long
//! vector (from seven origins on) is told as what changed against a *base*: the vector last
//! proven common with this peer, or with whoever was met last, named by its hash. Who does
//! not know the base asks for the whole vector before anything that follows from it, which
//! costs one more round trip. 64 peers are remembered for each space.
//!
//! ## Two histories under one name
//! Each entry of a vector goes with a *tag*, 8 random bytes that its replica draws whenever it
//! is opened. A store that was copied or put back, and could not notice it when it was opened,
//! makes events under dots that are taken; but under another tag. So whoever has seen more of an
//! origin sees before any delta goes whether the other's entry lies on the history it knows.
//! If not, both lay their histories side by side: where they part, one of them gives up the
//! name. Whoever holds it renames those events, the same at every replica, and the space is
//! opened once more:
//!
//! ```text
//! A, put back                                  B
//!   hello, open, opened             ─────▶
//!                                   ◀─────   hello, answer, want histories, opened
//!   want histories                  ─────▶
//!                                   ◀─────   histories
//!   give up, open                   ─────▶
//!                                   ◀─────   answer, last chunk
//!   last chunk, proof               ─────▶
//!                                   ◀─────   proven
//! ```
//!
//! The [report](crate::session::Report::forks) names it, once. A replica that gives up a name of
//! its own writes under a fresh one. Names of events that only this opening could have made,
//! and did not, are a lie, and end the session with
//! [`OwnFuture`](crate::PeerError::OwnFuture) before anything changes.
//!
//! Other sessions go on meanwhile, and each may bring what parts from what this one was told. So
//! whoever sends holds a chunk against the histories first, and whoever takes holds its end
//! against them again; what does not fit ends the space as
//! [`Unfinished`](crate::session::Why::Unfinished), and the next session begins with the
//! histories. What was staged before names gave way, at either side, is not gone on with; nor is
//! what a replica staged elsewhere before it [dropped](crate::Store::drop_space) the space.
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
//! An item that came to be and was removed since the receiver told its vector costs little: it is
//! not sent, and most often no record of its removal is. Should another session bring that item to
//! the receiver meanwhile, it lives there until a proof with somebody who knows better, which is
//! that of this session, if it comes to its end. A vector may run ahead of removals, never ahead
//! of items.
//!
//! One large delta is staged per space at a time. Another one waits while it makes progress: a
//! chunk in ten seconds, and 60 KiB in a minute, by the clock of the session that waits. Else it
//! takes the place, and what was staged there is dropped. A peer may have 4 GiB staged in all
//! ([`Options::staging_bytes`](crate::Options::staging_bytes)); a delta that would be more is dropped
//! ([`StagedTooMuch`](crate::session::Why::StagedTooMuch)), and other spaces go on.
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
//! proof is made again, three times at most. Then the digests are walked: each side answers
//! nodes with the children of those that differ, one level for each half round trip, down to
//! blocks of 256 events. The side that finds the last of them ends the walk with its claims,
//! the other one answers with its own.
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
//! Where claims would take away very many items at once, they are held back until somebody
//! decides: [`operating`](super::operating) tells when. The news is applied; the space ends unproven.
//!
//! A walk that helps nothing is tried three times, after which the two are said to differ for
//! good ([`Diverged`](crate::session::Why::Diverged)): one of them does not tell the truth.
//!
//! ## One event with two contents
//! Where a walk changed nothing, and the roots still differ, an event has two contents: two copies
//! of a running process made one each, or somebody forges. Both contents live, so neither may be
//! lost. The answering side then shows the hashes of what lives in the blocks that the walk has
//! found, the other one sends its own items where these differ, and gets those of the first. Of
//! each two the item with the smaller hash keeps the dot; the other lives on under a dot that
//! is made of its hash alone, so that every replica which holds it comes to the same one:
//! [`Equivocation`](crate::space::Equivocation).
//!
//! ```text
//!  hello, open, opened ────────────────────────────────────────────────▶
//!  ◀───────────────────────────────────────────── hello, answer, opened
//!  proof ──────────────────────────────────────────────────────────────▶
//!  ◀───────────────────────────────────────────────────────────── nodes
//!  last chunk ─────────────────────────────────────────────────────────▶
//!  ◀──────────────────────────────────────────────────────── last chunk
//!  proof ──────────────────────────────────────────────────────────────▶
//!    as the walk left it
//!  ◀────────────────────────────────────────────────────────── contents
//!                                         hashes of what lives in its block
//!  unlike ─────────────────────────────────────────────────────────────▶
//!    an item; the other one takes it in beside its own
//!  ◀──────────────────────────────────────────────────────────── unlike
//!                                         the item of that side
//!  last chunk, proof ──────────────────────────────────────────────────▶
//!  ◀──────────────────────────────────────────────────────────── proven
//! ```
//!
//! # A side that only receives
//! Where one side takes nothing from the other
//! ([`SessionOptions::receive_only`](crate::session::SessionOptions::receive_only)), it says so right
//! behind its hello. Of what it has not seen the other counts as having seen nothing, and sends
//! no delta: the cut is the giving side's vector. Proof and walk are as ever; of the claims only
//! those of the giving side count, and after one walk the two are left to differ
//! ([`ReceiveOnly`](crate::session::Why::ReceiveOnly)). What comes nevertheless ends the session.
//!
//! # Many spaces
//! Up to sixteen spaces are opened each time, so that their roots prove them equal. Of more, the
//! two name as few as they can. The commits of a store that change a space are numbered, and a
//! pair whose session came to its end keeps the number it had then, under a name that both
//! make of their nonces: *what was touched here up to my number equals what was touched there up
//! to yours*. So the next hello names that meeting, and each opens what was touched since. It
//! looks at nothing else, however many spaces there are, and nothing but the names of the two
//! numbers has to agree: who does not know the meeting says so, and the two compare.
//!
//! ## Many spaces, of a pair that met
//! ```text
//!  hello, opened ────────────────────────────────────────────────────▶
//!  ◀──────────────────────────────────────────────────── hello, opened
//! ```
//!
//! ## Many spaces, of a pair that did not
//! Each space has a leaf: a hash of its name, vector and root, made anew only for spaces that
//! were touched. Ordered by name, the leaves are compared in ranges, of which those that
//! differ are cut in 32, until they are short enough to be listed (range-based set
//! reconciliation, Meyer 2023); who is sent a list opens what differs.
//! ```text
//!  hello, opened ────────────────────────────────────────────────────▶
//!    we met as … (it was another)
//!  ◀──────────────────────────────────────────────────── hello, spaces
//!                                             let us compare: 20 ranges
//!  spaces ───────────────────────────────────────────────────────────▶
//!    a list of the two in the range that differs
//!  ◀───────────────────────────────────────────── spaces, open, opened
//!  answer, opened ───────────────────────────────────────────────────▶
//!  ◀──────────────────────────────────────────────── last chunk, proof
//!  proven ───────────────────────────────────────────────────────────▶
//! ```
//!
//! # What a cut does
//! A pipe may break at any byte.
//!
//! - Before the last chunk of a delta: nothing of it is visible. What was staged stays, the
//!   next session with the *same* peer says so in its opening, and that peer goes on behind
//!   it. Another peer's delta does not build on it: staging vouches for what one peer said. Nor
//!   does that of a peer that was opened anew since, which may be a copy: it begins anew. So over
//!   a line that is cut again and again, what has much to send stays open: `rejoin sync --retry
//!   100`, `rejoin serve`, or a program that holds the store, rather than one `rejoin sync` after
//!   the other.
//! - After the last chunk: the delta stands whole. The proof is missing; the next session
//!   makes it.
//! - Within claims: nothing of them is applied, or all with its news.
//!
//! # What it costs
//! | case | round trips | bytes |
//! |---|---|---|
//! | equal | 1 | about 190 for one space of one writer, 216 of two (third meeting of `cargo run --release --example cart`) |
//! | *d* items differ | 2 | those of the *d* items, and about 420 more (519 in all for a note of 13 and one of 17 bytes: the second sync of the README's shell story) |
//! | a base is not known | 1 more | the whole vector, 17 to 26 bytes for each replica that ever wrote |
//! | a proof fails once | 1 more | the news |
//! | repair | 2 more, and half a one for each level that is not opened at once | for each block that differs 32 bytes, and 9 for each of up to 64 children of a node above it |
//!
//! It does not depend on the number of items that are equal, nor on how long the two were
//! apart. Where everything differs the walk costs about a byte for 28 events, before claims.
