//! Random causal values for property tests. Feature `quickcheck`.
//!
//! Version vectors and contexts name few replicas and small seqs, so that two of them have
//! something in common, and gaps open and close.

use quickcheck::{Arbitrary, Gen};

use super::{
    CausalContext, Dot, DottedVersionVector, Hlc, HybridClock, ReplicaId, Seq, VersionVector,
};

impl Arbitrary for ReplicaId {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::from_bytes(u128::arbitrary(g).to_be_bytes())
    }
}

impl Arbitrary for Seq {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::new(u64::arbitrary(g))
    }
}

/// One of four replicas, and one of its first twelve events.
impl Arbitrary for Dot {
    fn arbitrary(g: &mut Gen) -> Self {
        let replica = ReplicaId::from_bytes([u8::arbitrary(g) % 4; 16]);
        Self::new(replica, Seq::new(1 + u64::arbitrary(g) % 12))
    }
}

impl Arbitrary for VersionVector {
    fn arbitrary(g: &mut Gen) -> Self {
        Vec::<Dot>::arbitrary(g).into_iter().collect()
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let entries: Vec<(ReplicaId, Seq)> = self.iter().collect();
        Box::new((0..entries.len()).map(move |left_out| {
            let kept = entries.iter().enumerate().filter(|(at, _)| *at != left_out);
            kept.map(|(_, entry)| *entry).collect()
        }))
    }
}

impl Arbitrary for CausalContext {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut seen = Self::from(VersionVector::arbitrary(g));
        seen.extend(Vec::<Dot>::arbitrary(g));
        seen
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let dots: Vec<Dot> = self.dots_beyond(&VersionVector::new()).collect();
        Box::new(dots.shrink().map(|dots| dots.into_iter().collect()))
    }
}

impl Arbitrary for DottedVersionVector {
    fn arbitrary(g: &mut Gen) -> Self {
        let past = VersionVector::arbitrary(g);
        let replica = Dot::arbitrary(g).replica;
        let seq = past.get(replica).get() + 1 + u64::arbitrary(g) % 3;
        Self::beyond(Dot::new(replica, Seq::new(seq)), past)
    }
}

impl Arbitrary for Hlc {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::from_u64(u64::arbitrary(g))
    }
}

impl Arbitrary for HybridClock {
    fn arbitrary(g: &mut Gen) -> Self {
        Self::after(Hlc::arbitrary(g))
    }
}
