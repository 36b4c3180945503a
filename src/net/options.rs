//! Time-outs and bounds.

use std::time::Duration;

use crate::session::SessionOptions;

/// How long to wait for what, and what each session is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NetOptions {
    /// For a name to be resolved and a connection to stand: 10 seconds at first.
    pub connect_timeout: Duration,
    /// For the WebSocket handshake: 10 seconds at first.
    pub handshake_timeout: Duration,
    /// For the first frame of somebody who connected, who makes hashes of all that is new
    /// to say it: 30 seconds at first. Until then it takes a place, and nobody knows whose.
    pub hello_timeout: Duration,
    /// For any byte to move while a session runs: 60 seconds at first. A peer that
    /// makes the hashes of millions of new items is silent meanwhile.
    pub idle_timeout: Duration,
    /// For the peer to take the last frame and to close: 2 seconds at first.
    pub close_timeout: Duration,
    /// What each session is told.
    pub session: SessionOptions,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(2),
            session: SessionOptions::default(),
        }
    }
}

/// What a server is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Time-outs of each session.
    pub net: NetOptions,
    /// Allows an address that other machines reach. **There is no access control yet:
    /// whoever reaches the server can read and write everything in the store.**
    pub insecure: bool,
    /// Sessions at a time, 64 at first; more wait to be accepted. Each takes a thread.
    pub sessions: usize,
    /// How long sessions under way may go on once the server is told to stop: 5 seconds
    /// at first. A session that is cut loses nothing, the next goes on behind it.
    pub grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            net: NetOptions::default(),
            insecure: false,
            sessions: 64,
            grace: Duration::from_secs(5),
        }
    }
}
