//! The steps of a history, and how they shrink.

use quickcheck::{Arbitrary, Gen, empty_shrinker};

/// How many replicas take part in a history.
pub const REPLICAS: usize = 3;

/// What happens in a history. Replicas and deltas are named by numbers that are taken modulo
/// how many there are, so that leaving out a step makes another history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<O> {
    /// A replica mutates its copy.
    Mutate(u8, O),
    /// The first sends its whole state to the second.
    Send(u8, u8),
    /// One of the deltas made so far reaches a replica, for the first time or again.
    Deliver(u8, u8),
}

impl<O: Arbitrary> Arbitrary for Step<O> {
    fn arbitrary(g: &mut Gen) -> Self {
        let replica = |g: &mut Gen| u8::arbitrary(g) % REPLICAS as u8;
        match u8::arbitrary(g) % 8 {
            0..=3 => Self::Mutate(replica(g), O::arbitrary(g)),
            4 | 5 => Self::Send(replica(g), replica(g)),
            _ => Self::Deliver(u8::arbitrary(g), replica(g)),
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Self::Mutate(at, operation) => {
                let elsewhere = at.shrink().map(move |at| Self::Mutate(at, operation.clone()));
                Box::new(elsewhere.chain(self.simpler()))
            }
            Self::Send(from, to) => {
                Box::new((from, to).shrink().map(|(from, to)| Self::Send(from, to)))
            }
            Self::Deliver(delta, to) => {
                Box::new((delta, to).shrink().map(|(delta, to)| Self::Deliver(delta, to)))
            }
        }
    }
}

impl<O: Arbitrary> Step<O> {
    /// The same mutation, with an operation made smaller.
    fn simpler(&self) -> Box<dyn Iterator<Item = Self>> {
        let Self::Mutate(at, operation) = self else { return empty_shrinker() };
        let at = *at;
        Box::new(operation.shrink().map(move |operation| Self::Mutate(at, operation)))
    }
}

impl<O> Step<O> {
    /// The replicas named, in the order in which the story tells of them.
    fn replicas(&mut self) -> impl Iterator<Item = &mut u8> {
        let (one, other) = match self {
            Self::Mutate(at, _) | Self::Deliver(_, at) => (at, None),
            Self::Send(from, to) => (to, Some(from)),
        };
        core::iter::once(one).chain(other)
    }
}

/// The steps of a history. Of two that differ only in who is who, the one in which the
/// replicas come up in the order of their letters counts as the shorter.
#[derive(Clone)]
pub(super) struct Steps<O>(pub(super) Vec<Step<O>>);

impl<O: Arbitrary> Steps<O> {
    /// The same steps, with the replicas named in the order in which they come up.
    fn in_order(&self) -> Option<Self> {
        let (mut steps, mut names) = (self.0.clone(), Vec::new());
        let mut renamed = false;
        for name in steps.iter_mut().flat_map(Step::replicas) {
            let replica = *name % REPLICAS as u8;
            let known = names.iter().position(|known| *known == replica);
            let place = known.unwrap_or(names.len()) as u8;
            if known.is_none() {
                names.push(replica);
            }
            renamed |= *name != place;
            *name = place;
        }
        renamed.then_some(Self(steps))
    }

    /// Two operations made smaller at once, in the same way: both may speak of one element,
    /// and would no longer if only one of them were.
    fn pairs(&self) -> impl Iterator<Item = Self> + use<O> {
        let steps = self.0.clone();
        let len = steps.len();
        let pairs = (0..len).flat_map(move |one| (one + 1..len).map(move |other| (one, other)));
        pairs.flat_map(move |(one, other)| {
            let steps = steps.clone();
            let simpler = |at: usize| steps.get(at).map_or_else(empty_shrinker, Step::simpler);
            simpler(one).zip(simpler(other)).map(move |pair| {
                let mut steps = steps.clone();
                for (at, step) in [(one, pair.0), (other, pair.1)] {
                    steps.splice(at..=at, [step]);
                }
                Self(steps)
            })
        })
    }
}

impl<O: Arbitrary> Arbitrary for Steps<O> {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(Vec::arbitrary(g))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.in_order().into_iter().chain(self.0.shrink().map(Self)).chain(self.pairs()))
    }
}
