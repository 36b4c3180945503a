//! What worlds did, added up.

use super::damage::Damage;

const KINDS: usize = Damage::ALL.len();

/// What the worlds of a run did, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Worlds.
    pub worlds: u64,
    /// Those on a block device beneath the engine that ships, the others on tables in memory.
    pub on_blocks: u64,
    /// Replicas, with those that came later.
    pub replicas: u64,
    /// Milliseconds that passed in the worlds.
    pub simulated_ms: u64,
    /// Events of applications.
    pub events: u64,
    /// Those of the world that has the fewest.
    pub fewest_events: u64,
    /// Damages of the world that has the fewest.
    pub fewest_damages: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Items dropped by repair.
    pub repaired: u64,
    /// Items written anew because a peer's claims would have taken them.
    pub kept: u64,
    /// Times that a peer's claims were held back.
    pub held: u64,
    /// Sides of sessions that lost their staging to another.
    pub displaced: u64,
    /// Sides of sessions that gave up because writes went on between their proofs.
    pub unproven: u64,
    /// Names under which a replica found two histories.
    pub forks: u64,
    /// Times that a chunk waited for another delta's staging.
    pub waits: u64,
    /// Events that were not on disk yet when the power went.
    pub undone: u64,
    /// Files that were found corrupt.
    pub corrupt: u64,
    /// Questions asked of a replica's space.
    pub checks: u64,
    pub(super) damage: [u64; KINDS],
}

impl Stats {
    /// How often each kind of damage was done.
    pub fn damage(&self) -> impl Iterator<Item = (Damage, u64)> + '_ {
        Damage::ALL.iter().copied().zip(self.damage)
    }

    /// Damage of all kinds together.
    #[must_use]
    pub fn damages(&self) -> u64 {
        self.damage.iter().sum()
    }

    /// Years of 365 days that passed in the worlds.
    #[must_use]
    pub fn simulated_years(&self) -> f64 {
        self.simulated_ms as f64 / (365.0 * 86_400_000.0)
    }

    /// The world is at its end.
    pub(super) fn ended(&mut self) {
        (self.fewest_events, self.fewest_damages) = (self.events, self.damages());
    }

    pub(super) fn note(&mut self, damage: Damage) {
        self.damage[damage as usize] += 1;
    }

    /// The counts by name, but for those of damage.
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, u64); 18] {
        [
            ("worlds", self.worlds),
            ("on_blocks", self.on_blocks),
            ("replicas", self.replicas),
            ("simulated_ms", self.simulated_ms),
            ("events", self.events),
            ("sessions", self.sessions),
            ("frames", self.frames),
            ("bytes", self.bytes),
            ("repaired", self.repaired),
            ("kept", self.kept),
            ("held", self.held),
            ("displaced", self.displaced),
            ("unproven", self.unproven),
            ("forks", self.forks),
            ("waits", self.waits),
            ("undone", self.undone),
            ("corrupt", self.corrupt),
            ("checks", self.checks),
        ]
    }

    const fn counts_mut(&mut self) -> [&mut u64; 18] {
        [
            &mut self.worlds,
            &mut self.on_blocks,
            &mut self.replicas,
            &mut self.simulated_ms,
            &mut self.events,
            &mut self.sessions,
            &mut self.frames,
            &mut self.bytes,
            &mut self.repaired,
            &mut self.kept,
            &mut self.held,
            &mut self.displaced,
            &mut self.unproven,
            &mut self.forks,
            &mut self.waits,
            &mut self.undone,
            &mut self.corrupt,
            &mut self.checks,
        ]
    }

    /// Adds those of other worlds.
    pub fn add(&mut self, other: &Self) {
        let least =
            |mine: u64, theirs: u64| if self.worlds == 0 { theirs } else { mine.min(theirs) };
        self.fewest_events = least(self.fewest_events, other.fewest_events);
        self.fewest_damages = least(self.fewest_damages, other.fewest_damages);
        for (sum, (_, more)) in self.counts_mut().into_iter().zip(other.counts()) {
            *sum += more;
        }
        for (sum, more) in self.damage.iter_mut().zip(other.damage) {
            *sum += more;
        }
    }
}
