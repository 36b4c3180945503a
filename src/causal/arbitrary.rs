//! Random causal values for property tests. Feature `quickcheck`.
//!
//! Version vectors and contexts name few replicas and small seqs, so that two of them have
//! something in common, and gaps open and close. Every set of dots can occur, as deltas may be
//! late for ever; what shrinks has seen less.

use quickcheck::{Arbitrary, Gen};

use super::{
    CausalContext, Dot, DottedVersionVector, Hlc, HybridClock, ReplicaId, Seq, VersionVector,
};

/// Never the same twice, nor the same as another's: two replicas of one name would give one
/// dot to two events. Does not shrink.
impl Arbitrary for ReplicaId {
    fn arbitrary(g: &mut Gen) -> Self {
        // Byte by byte: a number drawn whole is often zero, one, or the greatest there is.
        Self::from_bytes([(); 16].map(|()| u8::arbitrary(g)))
    }
}

/// Any number, [`Seq::ZERO`] among them.
impl Arbitrary for Seq {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::new(u64::arbitrary(g))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.get().shrink().map(Self::new))
    }
}

/// One of four replicas, and one of its first twelve events.
impl Arbitrary for Dot {
    fn arbitrary(g: &mut Gen) -> Self {
        let replica = ReplicaId::from_bytes([u8::arbitrary(g) % 4; 16]);
        Self::new(replica, Seq::new(1 + u64::arbitrary(g) % 12))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let replica = self.replica;
        let earlier = self.seq.shrink().filter(|seq| !seq.is_zero());
        Box::new(earlier.map(move |seq| Self::new(replica, seq)))
    }
}

impl Arbitrary for VersionVector {
    fn arbitrary(g: &mut Gen) -> Self {
        Vec::<Dot>::arbitrary(g).into_iter().collect()
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let last: Vec<Dot> = self.iter().map(|(replica, seq)| Dot::new(replica, seq)).collect();
        Box::new(last.shrink().map(Self::from_iter))
    }
}

impl Arbitrary for CausalContext {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut seen = Self::from(VersionVector::arbitrary(g));
        seen.extend(Vec::<Dot>::arbitrary(g));
        seen
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let whole = self.clone();
        let parts = (self.vector().clone(), self.loose().collect::<Vec<Dot>>());
        let smaller = parts.shrink().map(|(vector, loose)| {
            let mut seen = Self::from(vector);
            seen.extend(loose);
            seen
        });
        Box::new(smaller.filter(move |seen| whole.covers(seen) && *seen != whole))
    }
}

impl Arbitrary for DottedVersionVector {
    fn arbitrary(g: &mut Gen) -> Self {
        let past = VersionVector::arbitrary(g);
        let replica = Dot::arbitrary(g).replica;
        let seq = past.get(replica).get() + 1 + u64::arbitrary(g) % 3;
        Self::beyond(Dot::new(replica, Seq::new(seq)), past)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let both = (self.dot(), self.past().clone());
        Box::new(both.shrink().filter_map(|(dot, past)| Self::new(dot, past).ok()))
    }
}

impl Arbitrary for Hlc {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::from_u64(u64::arbitrary(g))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new((self.ms(), self.counter()).shrink().map(|(ms, counter)| Self::new(ms, counter)))
    }
}

impl Arbitrary for HybridClock {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::after(Hlc::arbitrary(g))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.last().shrink().map(Self::after))
    }
}
