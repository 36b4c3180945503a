//! What worlds did, added up.

/// What the worlds of a run did, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Worlds.
    pub worlds: u64,
    /// Events of applications.
    pub events: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Those cut.
    pub cuts: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Items dropped by repair.
    pub repaired: u64,
    /// Sides of sessions that lost their staging to another.
    pub displaced: u64,
    /// Sides of sessions that gave up because writes went on between their proofs.
    pub unproven: u64,
    /// Replicas opened again.
    pub reopened: u64,
    /// Times that a chunk waited for another delta's staging.
    pub waits: u64,
    /// Questions asked of a replica's space.
    pub checks: u64,
}

impl Stats {
    /// Adds those of other worlds.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.worlds, other.worlds),
            (&mut self.events, other.events),
            (&mut self.sessions, other.sessions),
            (&mut self.cuts, other.cuts),
            (&mut self.frames, other.frames),
            (&mut self.bytes, other.bytes),
            (&mut self.repaired, other.repaired),
            (&mut self.displaced, other.displaced),
            (&mut self.unproven, other.unproven),
            (&mut self.reopened, other.reopened),
            (&mut self.waits, other.waits),
            (&mut self.checks, other.checks),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}
