//! What a store is told when it is opened.

use std::sync::Arc;

use crate::codec::limits::{CHUNK_BYTES, CHUNK_EVENTS, KIB, MIB, PAST_ORIGINS, STRETCHES};

/// Spaces that are so few that a session opens all of them.
const FEW_SPACES: usize = 16;

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970, as the application's clock has them.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Fills a slice with random bytes.
pub type Randomness = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What a store is told when it is opened. All has a default but, in a browser, clock and
/// randomness.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where wall time comes from. It arbitrates between concurrent writes of a
    /// last-writer-wins register, and nothing else.
    pub clock: Clock,
    /// Where randomness comes from: ids and nonces. It must be unpredictable.
    pub entropy: Randomness,
    /// Bytes of removal records kept for each space, 64 MiB at first. What a log has
    /// forgotten costs a later session a walk of the digest, and nothing is lost.
    pub removal_log_bytes: u64,
    /// Bytes that one peer may have staged here, in all spaces together, 4 GiB at first:
    /// deltas of more than a chunk that have not come to their end. One that is larger does
    /// not arrive; the session says so
    /// ([`Why::StagedTooMuch`](crate::session::Why::StagedTooMuch)).
    pub staging_bytes: u64,
    /// Bytes kept for each space of what peers took away without a removal record, 64 MiB at
    /// first: see [`Trash`](super::Trash). 0 keeps nothing.
    pub trash_bytes: u64,
    /// For how long it is kept, in milliseconds, a week at first. 0 keeps nothing.
    pub trash_age_ms: u64,
    /// Where one peer's claims would take away more items of a space than this in a day,
    /// 1,000 at first, and more than
    pub brake_items: u64,
    /// this part of the space, in percent, 20 at first, they are held until somebody
    /// decides: see [`MassRemoval`](super::MassRemoval).
    pub brake_percent: u8,
    /// Origins kept in the past of an item, 16 at first. A past is an optimisation too.
    pub past_origins: usize,
    /// Bytes of the file's pages kept in memory, 64 MiB at first; up to 4 MiB of their
    /// checksums are kept beside them.
    pub cache_bytes: usize,
    /// Takes a fresh [`ReplicaId`](crate::causal::ReplicaId) at every open: for stores that
    /// live in images, snapshots or containers, where a file and its identity come back together.
    pub fresh_id: bool,
    /// Makes a new store where there is no file: yes at first. Where not, a file that is
    /// missing is an error.
    pub create: bool,
    /// Lets writes return before the disk has them: no at first. A power cut, or the end of the
    /// process before the store was closed, may then take the newest of them, whole
    /// transactions from the end, and what is written afterwards may have their names: flush
    /// before a [`ReadContext`](super::ReadContext) is handed to anybody who outlives the process. [`Store::flush`](super::Store::flush)
    /// waits for all, closing the store does, and so does every thousandth write or so.
    /// Reading here shows them at once; a session flushes before it shows them to a peer.
    pub relaxed: bool,
    /// What only simulated worlds set otherwise.
    pub(crate) tuning: Tuning,
}

/// What a world makes small, so that a history of a few events meets what else takes
/// millions. None of it is part of the format: peers may differ in all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// Bytes of a chunk of a delta, about.
    pub(crate) chunk_bytes: usize,
    /// Events in a chunk, at most.
    pub(crate) chunk_events: usize,
    /// Bytes of messages that a frame gathers, about.
    pub(crate) frame_bytes: usize,
    /// A vector of more bytes than this is told by what changed since a base.
    pub(crate) short_vector_bytes: usize,
    /// Whether removal records are spared to a peer that cannot need them.
    pub(crate) spares: bool,
    /// Up to so many spaces a session opens all of them, and equal roots prove them equal.
    pub(crate) few_spaces: usize,
    /// Stretches of one origin's events, at most.
    pub(crate) stretches: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES,
            chunk_events: CHUNK_EVENTS,
            frame_bytes: 64 * KIB,
            short_vector_bytes: 128,
            spares: true,
            few_spaces: FEW_SPACES,
            stretches: STRETCHES,
        }
    }
}

impl Options {
    /// The defaults, with this clock and this randomness.
    #[must_use]
    pub fn with(clock: Clock, entropy: Randomness) -> Self {
        Self {
            clock,
            entropy,
            removal_log_bytes: 64 * MIB as u64,
            staging_bytes: 4096 * MIB as u64,
            trash_bytes: 64 * MIB as u64,
            trash_age_ms: 7 * DAY_MS,
            brake_items: 1_000,
            brake_percent: 20,
            past_origins: PAST_ORIGINS,
            cache_bytes: 64 * MIB,
            fresh_id: false,
            create: true,
            relaxed: false,
            tuning: Tuning::default(),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Default for Options {
    /// The system's clock and randomness.
    fn default() -> Self {
        let clock = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        };
        // Without the system's randomness no replica can have a name of its own; a made-up
        // one could be somebody else's, so this must stop.
        let entropy = |bytes: &mut [u8]| {
            assert!(getrandom::fill(bytes).is_ok(), "the system gives no randomness");
        };
        Self::with(Arc::new(clock), Arc::new(entropy))
    }
}

impl core::fmt::Debug for Options {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Options")
            .field("removal_log_bytes", &self.removal_log_bytes)
            .field("staging_bytes", &self.staging_bytes)
            .field("trash_bytes", &self.trash_bytes)
            .field("trash_age_ms", &self.trash_age_ms)
            .field("brake_items", &self.brake_items)
            .field("brake_percent", &self.brake_percent)
            .field("past_origins", &self.past_origins)
            .field("cache_bytes", &self.cache_bytes)
            .field("fresh_id", &self.fresh_id)
            .field("relaxed", &self.relaxed)
            .finish_non_exhaustive()
    }
}
