//! What a seed draws before anything happens.

use super::op::FAMILIES;
use super::random::Random;
use crate::session::Scope;

/// The options of a world, all drawn from its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Replicas at the beginning.
    pub replicas: usize,
    /// Spaces of each.
    pub spaces: usize,
    /// As in [`Options`](crate::Options).
    pub removal_log_bytes: u64,
    /// As in [`Options`](crate::Options).
    pub past_origins: usize,
    /// Events in a chunk, at most.
    pub chunk_events: usize,
    /// Bytes of messages that a frame gathers; few make a frame of each message.
    pub frame_bytes: usize,
    /// A vector of more bytes is told against a base.
    pub short_vector_bytes: usize,
    /// Whether removal records are spared to a peer that cannot need them.
    pub spares: bool,
    /// How many different first bytes the ids of replicas have: few make them share the
    /// nodes of the digest.
    pub buckets: u8,
    /// How far ahead the wall clock of each replica is, in milliseconds.
    pub clock_skews_ms: Vec<u64>,
    /// The kinds of mutations that happen.
    pub families: Vec<usize>,
    /// Sessions that may overlap.
    pub sessions: usize,
    /// Steps before all meet.
    pub steps: usize,
    /// Times in a hundred that a step is a write.
    pub write_percent: usize,
    /// Writes of each replica before anybody meets: so that deltas take many chunks.
    pub writes_before: usize,
    /// Times in a hundred that a session is cut, where a step is none of the other things.
    pub cut_percent: usize,
    /// Times in a hundred that time jumps by more than a delta may stand still.
    pub jump_percent: usize,
    /// Times in a thousand that a step is the death of a replica; that one is opened again.
    pub death_permille: usize,
    /// Times in a thousand that a step opens a replica again.
    pub reopen_permille: usize,
    /// Whether some die before the end.
    pub deaths: bool,
}

impl Config {
    pub(super) fn draw(random: &mut Random) -> Self {
        let replicas = random.between(2, 6).min(random.between(2, 6));
        let skew = |random: &mut Random| match random.below(4) {
            0 => 10 * 365 * 86_400_000,
            1 => random.below(100_000) as u64,
            _ => 0,
        };
        let families = random.between(1, 3);
        Self {
            replicas,
            spaces: *random.pick(&[1, 1, 1, 1, 1, 1, 2, 3]),
            removal_log_bytes: *random.pick(&[0, 100, 400, 1 << 26, 1 << 26]),
            past_origins: *random.pick(&[0, 1, 16, 16, 16]),
            chunk_events: *random.pick(&[1, 2, 3, 3, 1000]),
            frame_bytes: *random.pick(&[1, 1, 1, 100, 1 << 16]),
            short_vector_bytes: *random.pick(&[0, 128]),
            spares: random.percent(60),
            buckets: *random.pick(&[1, 4, 255]),
            clock_skews_ms: (0..replicas).map(|_| skew(random)).collect(),
            families: (0..families).map(|_| random.below(FAMILIES)).collect(),
            sessions: random.between(1, 4),
            steps: random.between(5, 70),
            write_percent: *random.pick(&[15, 30, 45]),
            writes_before: *random.pick(&[0, 0, 4, 9]),
            cut_percent: *random.pick(&[5, 5, 15]),
            jump_percent: *random.pick(&[1, 1, 12]),
            death_permille: *random.pick(&[0, 0, 10]),
            reopen_permille: *random.pick(&[0, 10, 30]),
            deaths: random.percent(40),
        }
    }

    /// Whether nothing is forgotten on purpose, so that nothing dead may ever show.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.removal_log_bytes > 1 << 20 && self.past_origins >= self.replicas && !self.spares
    }

    pub(super) fn space_name(n: usize) -> String {
        format!("space-{n}")
    }

    /// What a session of this world is about.
    pub(super) fn scope(&self, random: &mut Random) -> Scope {
        match random.below(6) {
            0 => Scope::Space(Self::space_name(random.below(self.spaces))),
            1 => Scope::Prefix("space-".to_owned()),
            _ => Scope::All,
        }
    }
}
