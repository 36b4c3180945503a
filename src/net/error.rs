//! What can go wrong between two stores.

use std::io;
use std::net::SocketAddr;

use crate::error::{Error, PeerError};
use crate::session::Report;

/// What can go wrong with a pipe, a peer or an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// An address that is none.
    #[error("{url:?} is no address to sync with: {reason}; write ws://HOST:PORT")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Encryption is asked for, which is not there yet.
    #[error(
        "{url:?} asks for TLS, which is not supported yet; use ws:// over a tunnel that encrypts"
    )]
    TlsNotSupported {
        /// What was given.
        url: String,
    },
    /// Nobody listens there.
    #[error("{peer}: connection refused; is a server running there?")]
    Refused {
        /// Whom we called.
        peer: String,
    },
    /// The name or the machine cannot be reached.
    #[error("{peer}: cannot be reached: {source}")]
    Unreachable {
        /// Whom we called.
        peer: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Somebody is there and does not speak WebSocket, or does not let us in.
    #[error("{peer}: the handshake failed: {reason}")]
    Handshake {
        /// With whom.
        peer: String,
        /// Why.
        reason: String,
    },
    /// The peer went away, or the line broke, before the two had shaken hands.
    #[error("{peer}: went away during the handshake: {source}")]
    CutInHandshake {
        /// The peer.
        peer: String,
        /// What the operating system said, or that it ended too early.
        source: io::Error,
    },
    /// It took longer than the options allow.
    #[error("{peer}: nothing came of {doing} in {waited_ms} ms")]
    TimedOut {
        /// The peer.
        peer: String,
        /// What was waited for.
        doing: &'static str,
        /// For how long.
        waited_ms: u64,
    },
    /// The peer went away before the session was over.
    #[error(
        "{peer}: went away before the session was over; what has arrived is kept, sync again to go on"
    )]
    ClosedEarly {
        /// The peer.
        peer: String,
    },
    /// The pipe broke in another way.
    #[error("{peer}: {source}")]
    Io {
        /// The peer.
        peer: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The peer sent bytes that are no WebSocket messages.
    #[error("{peer}: sent what is no WebSocket message: {reason}")]
    NotWebSocket {
        /// The peer.
        peer: String,
        /// What was wrong.
        reason: String,
    },
    /// This side stopped before the session was over.
    #[error("{peer}: the session was stopped here before it was over")]
    Stopped {
        /// The peer.
        peer: String,
    },
    /// A server on an address that others reach, without saying that this is meant.
    #[error(
        "{address} can be reached by other machines, and there is no access control yet: whoever reaches it can read and write everything in the store; say \"insecure\" if that is meant"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Another server has the address.
    #[error("{address}: already in use; stop the other server or choose another port")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// A server could not listen.
    #[error("{address}: cannot listen there: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store here cannot be served or synced: it was found damaged, or its storage failed.
    #[error("{source}")]
    Store {
        /// Why.
        source: Box<Error>,
    },
    /// The session failed, most often since the peer must be refused.
    #[error("{peer}: {source}")]
    Session {
        /// The peer.
        peer: String,
        /// Why.
        source: Box<Error>,
    },
    /// The session's thread panicked, which is a defect.
    #[error("{peer}: the session panicked: {reason}")]
    Panicked {
        /// The peer.
        peer: String,
        /// The panic's message.
        reason: String,
    },
}

impl NetError {
    /// It is the store here that failed.
    pub(super) fn of_store(error: Error) -> Self {
        Self::Store { source: Box::new(error) }
    }

    /// Whether it was the pipe that failed, or nobody was there: another try may come through.
    /// What one of the sides found wrong with the other, or with itself, is found again.
    ///
    /// ```
    /// # use rejoin::net::NetError;
    /// assert!(NetError::ClosedEarly { peer: "10.0.0.7:7777".to_owned() }.is_of_the_pipe());
    /// let url = "http://10.0.0.7".to_owned();
    /// let wrong = NetError::BadUrl { url, reason: "not a scheme that it speaks".to_owned() };
    /// assert!(!wrong.is_of_the_pipe());
    /// ```
    #[must_use]
    pub const fn is_of_the_pipe(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::CutInHandshake { .. }
            | Self::TimedOut { .. }
            | Self::ClosedEarly { .. }
            | Self::Io { .. } => true,
            Self::Handshake { .. }
            | Self::NotWebSocket { .. }
            | Self::BadUrl { .. }
            | Self::TlsNotSupported { .. }
            | Self::Stopped { .. }
            | Self::NotLoopback { .. }
            | Self::AddressInUse { .. }
            | Self::Bind { .. }
            | Self::Store { .. }
            | Self::Session { .. }
            | Self::Panicked { .. } => false,
        }
    }
}

/// Why a session ended before it was over, and what it had done until then.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SyncError {
    /// What went wrong.
    #[source]
    pub reason: NetError,
    /// What was done until then. What has arrived is kept, and the next session with
    /// this peer goes on behind it.
    pub report: Box<Report>,
}

impl From<NetError> for SyncError {
    /// A failure before the session began.
    fn from(reason: NetError) -> Self {
        Self { reason, report: Box::default() }
    }
}

/// What went wrong with a pipe; whose it is comes later.
#[derive(Debug)]
pub(super) enum PipeError {
    Closed,
    Io(io::Error),
    Peer(PeerError),
    NotWebSocket(String),
}

impl PipeError {
    pub(super) fn with(self, peer: &str) -> NetError {
        let peer = peer.to_owned();
        match self {
            Self::Closed => NetError::ClosedEarly { peer },
            Self::Io(source) => NetError::Io { peer, source },
            Self::Peer(error) => NetError::Session { peer, source: Box::new(error.into()) },
            Self::NotWebSocket(reason) => NetError::NotWebSocket { peer, reason },
        }
    }
}

impl From<io::Error> for PipeError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::WriteZero => Self::Closed,
            _ => Self::Io(error),
        }
    }
}
