//! Hybrid logical clocks: timestamps that stay near the wall clock and never contradict
//! causality.
//!
//! Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks and Consistent
//! Snapshots in Globally Distributed Databases" (2014).
//!
//! A wall clock alone orders badly: it jumps back, and two replicas disagree. The obvious
//! repair is to raise one's own clock to whatever was received, and it goes wrong so:
//!
//! 1. A's battery dies and its clock comes back in the year 2099. A writes.
//! 2. B receives the write and raises its clock to 2099. So does everybody B meets.
//! 3. A's clock is repaired. For 70 years all timestamps of the group count up from 2099.
//!
//! So [`HybridClock::observe`] is told how far ahead of its own wall clock it may follow. A
//! timestamp beyond that is still *stored* like any other: data is never refused for its
//! time, and a write that has seen it replaces it whatever the clocks say.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A timestamp: 48 bits of milliseconds since 1970, then 16 bits that count events within
/// one millisecond. Ordered as a number, in which way it is also written: highest byte first.
///
/// ```
/// use rejoin::causal::Hlc;
/// assert!(Hlc::new(7, 65_535) < Hlc::new(8, 0));
/// assert_eq!(Hlc::new(8, 3).to_be_bytes(), [0, 0, 0, 0, 0, 8, 0, 3]);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hlc(u64);

impl Hlc {
    /// The beginning of 1970.
    pub const ZERO: Self = Self(0);
    /// The last timestamp there is, in the year 10889.
    pub const MAX: Self = Self(u64::MAX);
    /// The last millisecond that fits.
    pub const MAX_MS: u64 = (1 << 48) - 1;

    /// The `counter`-th event of the millisecond `ms`; a later millisecond than
    /// [`Hlc::MAX_MS`] is taken for that one.
    #[must_use]
    pub const fn new(ms: u64, counter: u16) -> Self {
        let ms = if ms > Self::MAX_MS { Self::MAX_MS } else { ms };
        Self((ms << 16) | counter as u64)
    }

    /// The timestamp of this number.
    #[must_use]
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// Milliseconds in the upper 48 bits, the counter in the lower 16.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// Which event of that millisecond.
    #[must_use]
    pub const fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The next timestamp: the counter plus one, carried into the milliseconds. Stays at
    /// [`Hlc::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Eight bytes that sort as the timestamps do.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Hlc::to_be_bytes`].
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.ms(), self.counter())
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The clock of one replica. It reads no wall clock itself: the time is an argument, so that
/// tests and simulations can say what time it is.
///
/// ```
/// use rejoin::causal::{Hlc, HybridClock};
///
/// let mut clock = HybridClock::new();
/// assert_eq!(clock.tick(1_000), Hlc::new(1_000, 0));
/// assert_eq!(clock.tick(1_000), Hlc::new(1_000, 1)); // same millisecond: the counter
/// assert_eq!(clock.tick(400), Hlc::new(1_000, 2)); // the wall clock jumped back: no matter
///
/// // A message from a replica whose clock is a little ahead: what we write next is later.
/// assert!(clock.observe(Hlc::new(1_500, 9), 1_001, 60_000));
/// assert_eq!(clock.tick(1_002), Hlc::new(1_500, 10));
///
/// // One from the year 2099 is not followed.
/// assert!(!clock.observe(Hlc::new(4_070_908_800_000, 0), 1_600, 60_000));
/// assert_eq!(clock.tick(1_600), Hlc::new(1_600, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HybridClock {
    last: Hlc,
}

impl HybridClock {
    /// A clock that has stamped and seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: Hlc::ZERO }
    }

    /// A clock that goes on after `last`, such as the greatest timestamp kept on disk.
    #[must_use]
    pub const fn after(last: Hlc) -> Self {
        Self { last }
    }

    /// The greatest timestamp given out or followed.
    #[must_use]
    pub const fn last(&self) -> Hlc {
        self.last
    }

    /// A timestamp for an event now: later than every one before it (until [`Hlc::MAX`],
    /// where the clock stays), and not before the wall clock.
    #[must_use]
    pub fn tick(&mut self, now_ms: u64) -> Hlc {
        self.last = self.last.next().max(Hlc::new(now_ms, 0));
        self.last
    }

    /// Follows a timestamp received from elsewhere, so that what is stamped here from now on
    /// is later; unless it is more than `max_ahead_ms` ahead of this replica's wall clock.
    /// Says whether the clock now stands at or after it.
    pub fn observe(&mut self, remote: Hlc, now_ms: u64, max_ahead_ms: u64) -> bool {
        if remote.ms() <= now_ms.saturating_add(max_ahead_ms) {
            self.last = self.last.max(remote);
        }
        self.last >= remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut clock = HybridClock::after(Hlc::new(5, u16::MAX));
        assert_eq!(clock.tick(5), Hlc::new(6, 0));
        assert_eq!(clock.tick(5), Hlc::new(6, 1));
    }

    #[test]
    fn at_the_end_of_time_the_clock_stays() {
        let mut clock = HybridClock::after(Hlc::MAX);
        assert_eq!(clock.tick(0), Hlc::MAX);
        assert_eq!(clock.tick(u64::MAX), Hlc::MAX);
        assert_eq!(HybridClock::new().tick(u64::MAX), Hlc::new(Hlc::MAX_MS, 0));
    }

    #[test]
    fn a_far_clock_is_followed_when_the_wall_clock_gets_there() {
        let mut clock = HybridClock::new();
        let far = Hlc::new(100_000, 3);
        assert!(!clock.observe(far, 1_000, 60_000));
        assert_eq!(clock.last(), Hlc::ZERO);
        assert!(clock.observe(far, 40_000, 60_000));
        assert!(clock.tick(40_001) > far);
    }

    quickcheck! {
        fn ticks_ascend_and_never_lag_the_wall_clock(walls: Vec<u64>, remotes: Vec<u64>) -> bool {
            let mut clock = HybridClock::new();
            let mut last = Hlc::ZERO;
            for (at, wall) in walls.iter().enumerate() {
                let wall = wall % (1 << 40);
                if let Some(remote) = remotes.get(at) {
                    let _ = clock.observe(Hlc::from_u64(*remote), wall, 1_000);
                    // Never further ahead than allowed, whatever was received.
                    if clock.last() > last && clock.last().ms() > wall + 1_000 {
                        return false;
                    }
                }
                let now = clock.tick(wall);
                if now <= last || now.ms() < wall {
                    return false;
                }
                last = now;
            }
            true
        }

        fn bytes_sort_as_timestamps(a: u64, b: u64) -> bool {
            let (a, b) = (Hlc::from_u64(a), Hlc::from_u64(b));
            a.cmp(&b) == a.to_be_bytes().cmp(&b.to_be_bytes())
                && Hlc::from_be_bytes(a.to_be_bytes()) == a
                && Hlc::new(a.ms(), a.counter()) == a
        }
    }
}
