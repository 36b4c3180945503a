//! What a seed draws before anything happens.

use super::damage::Damage;
use super::op::FAMILIES;
use super::random::Random;
use crate::session::Scope;

/// Replicas of a world, at most, with those that come later.
pub(super) const REPLICAS: usize = 9;

/// Who meets whom. Where a replica dies, the others close the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topology {
    /// Everybody meets everybody.
    Mesh,
    /// Each meets two, in a circle.
    Ring,
    /// As a ring that is open.
    Chain,
    /// One meets all the others, which do not meet.
    Star,
}

impl Topology {
    /// Whether two of `count` meet.
    pub(super) fn joins(self, a: usize, b: usize, count: usize) -> bool {
        let (a, b) = (a.min(b), a.max(b));
        match self {
            Self::Mesh => a != b,
            Self::Ring => b == a + 1 || (a == 0 && b + 1 == count && a != b),
            Self::Chain => b == a + 1,
            Self::Star => a == 0 && b > 0,
        }
    }

    /// Meetings in a row until news has gone from any of `count` to any other.
    pub(super) const fn far(self, count: usize) -> usize {
        match self {
            Self::Mesh => 1,
            Self::Star => 2,
            Self::Ring => count / 2,
            Self::Chain => count.saturating_sub(1),
        }
    }
}

/// The options of a world, all drawn from its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Replicas at the beginning.
    pub replicas: usize,
    /// Who meets whom.
    pub topology: Topology,
    /// Whether the replicas are kept by the engine that ships, above a block device, and not
    /// in tables in memory.
    pub on_blocks: bool,
    /// Spaces of each.
    pub spaces: usize,
    /// As in [`Options`](crate::Options).
    pub removal_log_bytes: u64,
    /// As in [`Options`](crate::Options).
    pub past_origins: usize,
    /// Whether writes wait for the disk, for each replica.
    pub relaxed: Vec<bool>,
    /// Events in a chunk, at most.
    pub chunk_events: usize,
    /// Bytes of messages that a frame gathers, for each replica; few make a frame of each
    /// message.
    pub frame_bytes: Vec<usize>,
    /// A vector of more bytes is told against a base.
    pub short_vector_bytes: usize,
    /// Whether removal records are spared to a peer that cannot need them.
    pub spares: bool,
    /// Up to so many spaces a session opens all of them; where there are more, it remembers
    /// where the two stood when they met last, or compares.
    pub few_spaces: usize,
    /// As in [`Options`](crate::Options).
    pub brake_items: u64,
    /// As in [`Options`](crate::Options).
    pub brake_percent: u8,
    /// Whether what the brake holds is sometimes kept.
    pub keeps: bool,
    /// As in [`Options`](crate::Options).
    pub trash_bytes: u64,
    /// How many different first bytes the ids of replicas have: few make them share the
    /// nodes of the digest.
    pub buckets: u8,
    /// How far ahead the wall clock of each replica is at first, in milliseconds.
    pub clock_skews_ms: Vec<i64>,
    /// The kinds of mutations that happen.
    pub families: Vec<usize>,
    /// Sessions that may overlap.
    pub sessions: usize,
    /// Steps before all is healed.
    pub steps: usize,
    /// Times in a hundred that a step is a write.
    pub write_percent: usize,
    /// Writes of each replica before anybody meets: so that deltas take many chunks.
    pub writes_before: usize,
    /// Mutations in one transaction, at most.
    pub transaction: usize,
    /// Times in a hundred that time jumps by more than a delta may stand still.
    pub jump_percent: usize,
    /// Times in a thousand that a step does damage.
    pub damage_permille: usize,
    /// The kinds of damage done, each as often as it is listed.
    pub damages: Vec<Damage>,
    /// Whether peers that lie are met.
    pub liars: bool,
    /// Whether disks say that they synced what they did not.
    pub lying_disks: bool,
    /// Whether stores are put back and copied so that they cannot notice, or are whole as they
    /// were before a disk lied, and go on under their name.
    pub twins: bool,
    /// Whether replicas drop spaces.
    pub drops: bool,
}

impl Config {
    /// Those of a seed; with an application, whose counters may be added up at any time,
    /// there are no twins.
    pub(super) fn draw(seed: u64, random: &mut Random, application: bool) -> Self {
        let mut config = Self::draw_common(random);
        // Of dice of their own, so that the other worlds are the same with and without them.
        let mut random = Random::of(seed, u64::MAX - 1);
        config.liars = random.below(8) == 0;
        config.lying_disks = random.below(12) == 0;
        if config.liars {
            config.damages.extend([Damage::Lied; 4]);
        }
        if config.lying_disks {
            config.damages.extend([Damage::PowerCut, Damage::SyncCut]);
            config.keeps = false;
        }
        config.twins = random.below(if config.lying_disks { 2 } else { 6 }) == 0 && !application;
        if config.twins {
            config.replicas = config.replicas.min(REPLICAS - 3);
        }
        if config.twins && !config.lying_disks {
            let of_twins = [Damage::Unnoticed, Damage::Unnoticed, Damage::Twinned, Damage::Twinned];
            config.damages.extend(of_twins);
        }
        config.drops = random.below(5) == 0;
        if config.drops {
            config.damages.extend([Damage::Dropped; 4]);
        }
        if config.liars || config.lying_disks || config.twins || config.drops {
            config.damage_permille = config.damage_permille.max(80);
        }
        config
    }

    fn draw_common(random: &mut Random) -> Self {
        let on_blocks = random.below(10) == 0;
        let replicas = match on_blocks {
            true => random.between(2, 4),
            false if random.percent(10) => 2,
            false => random.between(3, REPLICAS).min(random.between(3, REPLICAS)),
        };
        let topology = *random.pick(&[
            Topology::Mesh,
            Topology::Mesh,
            Topology::Ring,
            Topology::Chain,
            Topology::Star,
        ]);
        let skew = |random: &mut Random| match random.below(4) {
            0 => TEN_YEARS_MS,
            1 => -TEN_YEARS_MS,
            2 => random.below(100_000) as i64,
            _ => 0,
        };
        let families = random.between(1, 3);
        let relaxed = *random.pick(&[0, 0, 30, 100]);
        let frame_bytes = *random.pick(&[1, 100, 1 << 16]);
        let frames = |random: &mut Random| match random.below(4) {
            0 => *random.pick(&[1, 100, 1 << 16]),
            _ => frame_bytes,
        };
        let brakes = random.percent(15);
        let damages = Self::draw_damages(random, on_blocks);
        let fails = damages.iter().any(|damage| damage.is_of_disk());
        Self {
            replicas,
            topology,
            on_blocks,
            spaces: *random.pick(&[1, 1, 1, 1, 1, 1, 2, 4]),
            // Without records there are claims, which the brake is about.
            removal_log_bytes: match brakes {
                true => *random.pick(&[0, 0, 100]),
                false => *random.pick(&[0, 100, 400, 1 << 26, 1 << 26]),
            },
            past_origins: *random.pick(&[0, 1, 16, 16, 16]),
            relaxed: (0..REPLICAS).map(|_| random.percent(relaxed)).collect(),
            chunk_events: *random.pick(&[1, 2, 3, 3, 1000, 1000]),
            frame_bytes: (0..REPLICAS).map(|_| frames(random)).collect(),
            short_vector_bytes: *random.pick(&[0, 128]),
            spares: random.percent(60),
            few_spaces: *random.pick(&[16, 16, 16, 0]),
            brake_items: if brakes { random.between(1, 6) as u64 } else { 1_000 },
            brake_percent: 20,
            // What a transaction kept that failed could not be told.
            keeps: !fails && random.percent(60),
            trash_bytes: *random.pick(&[1 << 26, 1 << 26, 1 << 26, 300]),
            buckets: *random.pick(&[1, 4, 255]),
            clock_skews_ms: (0..REPLICAS).map(|_| skew(random)).collect(),
            families: (0..families).map(|_| random.below(FAMILIES)).collect(),
            sessions: random.between(1, 4),
            steps: if on_blocks { random.between(20, 80) } else { random.between(120, 300) },
            write_percent: *random.pick(&[25, 35, 45]),
            writes_before: *random.pick(&[0, 2, 6]),
            transaction: *random.pick(&[1, 4, 8, 12]),
            jump_percent: *random.pick(&[1, 1, 12]),
            damage_permille: *random.pick(&[0, 40, 100, 150]),
            damages,
            liars: false,
            lying_disks: false,
            twins: false,
            drops: false,
        }
    }

    /// A few kinds in each world, so that they meet one another; cuts in all.
    fn draw_damages(random: &mut Random, on_blocks: bool) -> Vec<Damage> {
        let mut damages = vec![Damage::Cut, Damage::Cut, Damage::Closed];
        if on_blocks {
            damages.extend([Damage::FlippedBits, Damage::SyncCut]);
        }
        for _ in 0..random.between(1, 6) {
            let kind = *random.pick(&Damage::ALL[..Damage::COMMON]);
            if on_blocks || kind != Damage::FlippedBits {
                damages.push(kind);
            }
        }
        damages
    }

    /// Whether nothing is forgotten on purpose, so that nothing dead may ever show.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.removal_log_bytes > 1 << 20 && self.past_origins >= PAST_OF_ALL && !self.spares
    }

    /// Whether the brake holds what a few items go by.
    #[must_use]
    pub const fn brakes(&self) -> bool {
        self.brake_items < 1_000
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

/// Ten years.
pub(super) const TEN_YEARS_MS: i64 = 10 * 365 * 86_400_000;

/// Origins in a past that are as many as a world can have, but for names taken anew.
const PAST_OF_ALL: usize = 16;
