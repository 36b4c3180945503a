//! How two replicas become equal: the protocol as a state machine.
//!
//! A session covers one space, a prefix of their names, or all spaces of two stores, over one
//! connection. It says hello, exchanges what each side has not seen, and proves by Merkle
//! roots that both hold the same; where a bounded log has forgotten a removal it walks the
//! digests down to the blocks that differ. After the anti-entropy of Dynamo (DeCandia et al.
//! 2007); [`guide::sync`](crate::guide::sync) tells it step by step, [`guide::format`] byte by
//! byte.
//!
//! [`guide::format`]: crate::guide::format
//!
//! There is no input or output here, no clock and no thread: frames and milliseconds go in by
//! the `handle_*` calls, frames come out of [`Session::poll_frame`]. Any pipe that delivers
//! whole frames in order will do.
//!
//! # The one rule
//! **After everything that you hand in, poll until there is nothing more; stop where
//! [`Session::is_over`] says so and all that was polled is sent.** The loop of one side:
//!
//! ```
//! use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
//! use std::time::{Duration, Instant};
//! use rejoin::session::{Report, Session};
//!
//! /// Drives one side over a pipe; here the pipe is a pair of channels.
//! fn drive(
//!     mut session: Session,
//!     to_peer: Sender<Vec<u8>>,
//!     from_peer: Receiver<Vec<u8>>,
//! ) -> Result<Report, rejoin::Error> {
//!     let start = Instant::now();
//!     let now_ms = || start.elapsed().as_millis() as u64;
//!     loop {
//!         while let Some(frame) = session.poll_frame(now_ms())? {
//!             let _ = to_peer.send(frame); // a pipe that is gone shows below
//!         }
//!         if session.is_over() {
//!             return Ok(session.report().clone());
//!         }
//!         let due = session.poll_timeout().map(|at| at.saturating_sub(now_ms()));
//!         let handled = match from_peer.recv_timeout(Duration::from_millis(due.unwrap_or(30_000))) {
//!             Ok(frame) => session.handle_frame(now_ms(), &frame),
//!             Err(RecvTimeoutError::Timeout) if due.is_some() => session.handle_timeout(now_ms()),
//!             Err(_) => {
//!                 session.close(); // what was staged is kept, and resumed behind next time
//!                 return Ok(session.report().clone());
//!             }
//!         };
//!         if let Err(error) = handled {
//!             if let Some(why) = session.poll_frame(now_ms())? {
//!                 let _ = to_peer.send(why); // tells the peer what was wrong
//!             }
//!             return Err(error);
//!         }
//!     }
//! }
//!
//! use rejoin::{Store, session::Scope};
//! use std::{sync::mpsc::channel, thread};
//!
//! let (a, b) = (Store::in_memory(), Store::in_memory());
//! a.space("main")?.counter("clicks").add(3)?;
//! b.space("main")?.counter("clicks").add(4)?;
//!
//! # let random = || { let mut r = [0; 16]; (rejoin::Options::default().entropy)(&mut r); r };
//! let ((to_b, from_a), (to_a, from_b)) = (channel(), channel());
//! let accepted = Session::accept(&b, random());
//! let other_side = thread::spawn(move || drive(accepted, to_a, from_a));
//! let report = drive(Session::connect(&a, Scope::All, random())?, to_b, from_b)?;
//!
//! assert!(report.converged() && other_side.join().unwrap()?.converged());
//! assert_eq!(a.space("main")?.counter("clicks").get()?, 7);
//! assert_eq!(b.space("main")?.counter("clicks").get()?, 7);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! Over bytes instead of channels: read with a thread or task of its own, or both sides may
//! wait to write; and refuse a frame longer than [`Session::frame_limit`] before making room
//! for it. `examples/cart.rs` does both over a `TcpStream`.
//!
//! Sessions run concurrently with local writes and with each other, any number on one store.

mod around;
mod arrivals;
mod contents;
#[cfg(test)]
mod drawn;
#[cfg(feature = "sim")]
pub(crate) mod forge;
mod histories;
#[cfg(test)]
mod hostile;
mod message;
mod nodes;
mod options;
mod ranges;
mod report;
mod roll;
mod scope;
#[allow(clippy::module_inception, reason = "the room's one machine has the room's name")]
mod session;
#[cfg(test)]
mod stretches;
mod sync;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
mod walk;

pub use message::PROTOCOL_VERSION;
pub use options::SessionOptions;
pub use report::{Report, SpaceReport, Why};
pub use scope::Scope;
pub use session::Session;
