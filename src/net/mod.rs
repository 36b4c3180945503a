//! Sessions over real pipes: WebSocket, and anything that reads and writes bytes.
//!
//! [`sync_url`] meets a [`Server`] by `ws://…`; [`sync_stream`] runs a session over any pair
//! of `AsyncRead` and `AsyncWrite`. What is said is [`Session`](crate::session::Session)'s
//! business; here are only pipes, time-outs and threads.
//!
//! # Threads
//! A session works on the store, and a commit waits for the disk. So each session runs, its
//! pipe included, on a blocking thread of its own ([`tokio::task::spawn_blocking`]), and the
//! runtime's threads never wait for a disk. Any flavour of runtime will do, with I/O
//! and time enabled.
//!
//! # Backpressure
//! A frame is asked of the session only when the pipe has taken the one before, and while a
//! pipe takes nothing, frames that arrive are still read: two peers that both have much to
//! say do not wait for each other. What is held of a delta is a frame or two.
//!
//! # No access control
//! Whoever reaches a server can read and write every space. So it binds loopback only,
//! unless told that [`ServerOptions::insecure`] is meant; and it refuses browsers, since a
//! page from anywhere may open a WebSocket to the machine it is shown on.

mod client;
mod drive;
mod error;
mod meter;
mod options;
mod pipe;
mod server;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub use client::{sync_stream, sync_url};
pub use drive::Role;
pub use error::{NetError, SyncError};
pub use options::{NetOptions, ServerOptions};
pub use server::Server;
