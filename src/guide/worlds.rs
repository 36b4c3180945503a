//! Worlds in which everything goes wrong: how this library is tested, and how to test with it.
//!
//! A test that somebody writes by hand has two replicas, and they meet when the test says so.
//! What loses data is something else: the third copy that comes back after a year, the frame
//! that is lost between the two that mattered, the power that goes while a sync is half done.
//! The feature `sim` has worlds in which all of that happens, thousands of them a minute, and
//! an oracle that knows what must be there. [`sim`](crate::sim) says what is in them.
//!
//! # Running them
//! ```text
//! cargo run --release --features sim --example simulate -- --seeds 0..100000
//! cargo run --release --features sim --example simulate -- --seed 17
//! ```
//! The first prints how many worlds there were a second, how often each kind of damage was
//! done, and how many years passed in them. It exits with 1 where one fails. One seed is
//! one world, on any machine and to the same byte, so that a failure can be looked at again
//! and again: the second tells its story, made short, because steps and replicas without which
//! it fails as well are left out. `--frames` tells of each frame.
//!
//! # What is asked
//! After every step, of the replica that it touched:
//! - nothing is lost: what was seen and does not live was removed by somebody;
//! - nothing vanishes early: by an event that is seen here, too;
//! - a transaction is seen whole or not at all, and nothing before it is seen;
//! - with an event all is seen that its writer had seen: no causal past has holes;
//! - a counter counts each amount once;
//! - a mutation replaced just what its type says;
//! - nothing that was gone comes back, and what appears was sent by somebody who had had it;
//! - what a peer took away without a record is in the trash, and was no more than the brake
//!   lets pass; what was to be kept is there under new names;
//! - where two remember that they met, what was not touched since is equal;
//! - where nothing is forgotten on purpose, nothing that was removed shows even for a moment.
//!
//! Of a replica that was opened again, after a power cut or a failed sync: all is there that was
//! acknowledged; what was not may be lost only if no other replica has seen it; all that a
//! session brought that came to its end. A store whose sync failed takes no write until it is
//! opened again.
//!
//! In one world of six, stores are put back and copied so that nothing at their opening can notice,
//! and go on under one name. What they make is told apart by its tags, and given other names
//! where they meet; so there an event is known by its tag and number, whatever its name is.
//!
//! In one world of five, replicas drop spaces while sessions go on. To all others such a one is
//! then somebody who has never seen the space: what only it held or knew to be removed is
//! forgotten, and nothing else.
//!
//! What one frame gathers differs among the replicas of a world: one message, 100 bytes, or 64 KiB.
//! Values are of a byte, so that none comes near the limit of a frame: that is asked of by hand
//! (`a_large_value_beside_many_replicas_comes_to_whoever_is_new` and its neighbours).
//!
//! In the end the network heals and whoever is stuck or away comes back. Every two neighbours
//! meet, once a pass. After as many passes as news takes from one end to the other, and three,
//! all must show what the oracle says, under one root, and meet once more with nothing to say:
//! no event, and of bytes both ways no more than 200, and 250 for each space; where a name gave way
//! since the two had met, they tell a whole vector once before.
//!
//! What panics is one more thing that does not hold, with a seed and a story.
//!
//! What a world cannot notice is no promise of it. So each rule of the library is broken on
//! purpose, in the code that ships, by a line that only `--cfg rejoin_faults` compiles. (One line
//! stands in the simulated disk, which has no identity file: `DotReusedAfterRestore`; its twin for
//! files is `CopiedFileKeepsItsName`.) The worlds must notice every one, and a story of its own
//! each of three that worlds show rarely or not at all: `RUSTFLAGS="--cfg rejoin_faults" cargo test --release
//! --features sim --test faults -- --nocapture` prints after how many they do. To see what is said
//! of a world that fails: `REJOIN_FAULT=NoRepair RUSTFLAGS="--cfg rejoin_faults" cargo run --release
//! --features sim --example simulate`.
//!
//! # How fast
//! On average a world has 5 replicas, 206 events, 32 sessions and 14 damages; it takes 8 ms of
//! one core (118 worlds a second for each, `simulate` prints it). By `perf record --call-graph
//! dwarf` sessions take half of that (receiving a frame 34 of 100, making one 15), local writes
//! 14, and the oracle's questions 17; a fifth of all are scans of tables in memory, and the tenth
//! of the worlds on the engine and its simulated disk takes a tenth. So there is no one place to
//! mend: most of it is the shipped code at work.
//!
//! # An application of yours
//! [`Application`](crate::sim::Application) brings a workload, and what must hold. The world
//! calls it at replicas that are cut off, full, put back or copied, and asks at every moment
//! and in the end. Here a shop sells seats, and looks whether one is free before it does:
//!
//! ```
//! use rejoin::sim::{self, Application, Random};
//! use rejoin::{Error, Space, Tx};
//!
//! struct Box10;
//!
//! impl Application for Box10 {
//!     fn write(&self, tx: &Tx<'_>, _: char, random: &mut Random) -> Result<String, Error> {
//!         let sold = tx.counter("sold");
//!         if sold.get()? >= 10 {
//!             return Ok("is sold out".into());
//!         }
//!         sold.add(1)?;
//!         Ok("sells a seat".into())
//!     }
//!
//!     fn always(&self, space: &Space) -> Result<(), String> {
//!         match space.counter("sold").get() {
//!             Ok(sold) if sold > 10 => Err(format!("{sold} of 10 seats are sold")),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! // Each replica looks, and two sell the last seat at once.
//! let seed = (0..100).find(|seed| sim::run_application(*seed, &Box10).is_err()).unwrap();
//! let failure = sim::explain_application(seed, &Box10);
//! assert!(failure.what.contains("of 10 seats are sold"), "{failure}");
//! println!("{failure}"); // who sold what, who met whom, in few lines
//! ```
//!
//! No type and no merge mends this one: what must never be sold twice needs somebody to ask,
//! or an allotment for each replica ([`model`](super::model)). That it shows in the first few
//! worlds, and not in the first busy summer, is what the worlds are for. The example
//! `own_merge` has a merge that can be mended.
//!
//! Only the seed and what the replica holds may decide what an application does: no clock, no
//! randomness but the one handed in. For the laws of a merge alone, without a store, see
//! `guide::testing`.
//!
//! # A disk that fails, in tests of your own
//! [`Disk`](crate::sim::Disk) is what the worlds' replicas stand on: open a
//! [`Store`](crate::Store) on it, let it fail at the n-th sync, cut its power, put back a copy.
//!
//! # What they do not do
//! - The identity file is not in them: that a store was copied or put back is either told to it or
//!   not. Tests over real files ask whether it notices, also where it is killed at each step of
//!   opening.
//! - One event with two contents, as copies of a running process make: `tests/equivocation.rs`
//!   has worlds of its own for it. Of applications there are no twins.
//! - A counter is not added to where that would add up rows which another store under this name
//!   may add up too, or replace one that is there again when a disk that lied has lost power:
//!   they would count twice, which [is not covered](super::operating).
//! - Peers that lie tell 18 of 25 lies here, in one world of eight, and always the same in one
//!   name; those that take thousands of messages have tests of their own.
//! - Threads: a replica does one thing at a time here.
