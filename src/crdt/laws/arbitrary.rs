//! Values for property tests: drawn as the outcome of a history, shrunk to fewer events.

use quickcheck::{Arbitrary, Gen, empty_shrinker};

use super::{History, Operations};
use crate::causal::{CausalContext, Dot, Hlc, VersionVector};
use crate::crdt::{Causal, Stamped};

/// A value that has seen more events than this does not shrink: each of them is tried.
const EVENTS: u64 = 4096;

/// What a replica holds at the end of a [`History`], or one of its deltas.
///
/// Each value drawn has replicas of its own, because one dot must not name two events: any
/// two values drawn can be merged, and stand for replicas that have never met. For copies
/// that have, draw a [`History`].
///
/// **A shrunk value is the same value of fewer events.** Some events never reached it: their
/// dots are not in its context, and what they wrote is not in it. That is a value that can
/// occur, since deltas may be late for ever: whoever wrote what is left may have cleared the
/// value before, and what else was seen may have been removed. (It is so for every store in
/// which each item could have been written where nothing else stood; all stores of this crate
/// are such.) The elements themselves stay as they are, and shrinking ends, because each
/// shrunk value has seen fewer events.
impl<S: Operations + 'static> Arbitrary for Causal<S> {
    fn arbitrary(g: &mut Gen) -> Self {
        let history = History::<Self>::arbitrary(g);
        let delta = u8::arbitrary(g) % 8 == 0;
        g.choose(if delta { history.deltas() } else { history.copies() })
            .cloned()
            .unwrap_or_default()
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let (events, value) = (self.seen().count(), self.clone());
        if events == 0 || events > EVENTS {
            return empty_shrinker();
        }
        let dots: Vec<Dot> = self.seen().dots_beyond(&VersionVector::new()).collect();
        // Without all, without each half, each quarter …, each one.
        let sizes = core::iter::successors(Some(dots.len()), |n| (*n > 1).then_some(n / 2));
        Box::new(sizes.flat_map(move |size| {
            let chunks = dots.chunks(size).map(|chunk| without(&value, chunk));
            chunks.collect::<Vec<_>>()
        }))
    }
}

/// The value that these events never reached.
fn without<S: Operations>(value: &Causal<S>, unheard: &[Dot]) -> Causal<S> {
    let unheard: CausalContext = unheard.iter().copied().collect();
    let everything = VersionVector::new();
    let heard = value.seen().dots_beyond(&everything).filter(|dot| !unheard.contains(*dot));
    let heard = heard.collect();
    let mut value = value.clone();
    value.merge(&Causal::from_parts(S::default(), unheard).unwrap_or_default());
    Causal::from_parts(value.into_parts().0, heard).unwrap_or_default()
}

/// Written at one of few times, so that some are equal.
impl<T: Arbitrary> Arbitrary for Stamped<T> {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { time: few_times(g), value: T::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let both = (self.time, self.value.clone());
        Box::new(both.shrink().map(|(time, value)| Self { time, value }))
    }
}

/// One of the first four milliseconds of 1970.
pub(super) fn few_times(g: &mut Gen) -> Hlc {
    Hlc::new(u64::from(u8::arbitrary(g) % 4), 0)
}
