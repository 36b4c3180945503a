//! What there is to lie about.

/// What a peer may lie about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lie {
    /// It has seen events of the victim's that the victim never made.
    KnowsOurFuture,
    /// It removed what the victim is still to write.
    RemovesOurFuture,
    /// Its vector has another hash than it says.
    VectorOfAnotherHash,
    /// A delta leads further than the vector that ends it.
    ShrinkingVector,
    /// It has seen events of others up to the greatest numbers there are.
    VectorTooHigh,
    /// It has seen nothing, whatever it was sent, and takes no chunk.
    VectorTooLow,
    /// An event of a number that no event can have.
    OverflowingSeq,
    /// The digests never match, and each proof is asked for again.
    NeverEqual,
    /// Every node of the digests differs, all the way down, and no block does.
    EndlessWalk,
    /// Opens nodes of the digest that nobody listed.
    UnlistedNodes,
    /// Claims that items are dead without having walked.
    ClaimsWithoutWalk,
    /// Items out of order.
    OutOfOrder,
    /// Items under the victim's own dots, with other contents.
    OurDots,
    /// Items under dots of a third replica.
    DotsOfOthers,
    /// All it says, it says three times.
    Replays,
    /// Chunks of one space under the number of another.
    MixedSpaces,
    /// A number of origins with an item each.
    ManyReplicas,
    /// Siblings at one place, one after the other.
    EndlessSiblings,
    /// Chunks without waiting for any to be taken.
    BeyondTheWindow,
    /// Half a delta, and then nothing more.
    SlowBytes,
    /// Items in its own name from a far future, and with a clock ten years ahead.
    FromTheFuture,
    /// As many spaces as it can name, and no answer in any of them.
    ManySpaces,
    /// Items of types that only a version to come knows: no lie, and met like one.
    UnknownTypes,
    /// Items of known types with fields that only a version to come knows: no lie either.
    UnknownFields,
    /// Bytes that are nothing.
    Noise,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::KnowsOurFuture,
        Self::RemovesOurFuture,
        Self::VectorOfAnotherHash,
        Self::ShrinkingVector,
        Self::VectorTooHigh,
        Self::VectorTooLow,
        Self::OverflowingSeq,
        Self::NeverEqual,
        Self::EndlessWalk,
        Self::UnlistedNodes,
        Self::ClaimsWithoutWalk,
        Self::OutOfOrder,
        Self::OurDots,
        Self::DotsOfOthers,
        Self::Replays,
        Self::MixedSpaces,
        Self::ManyReplicas,
        Self::EndlessSiblings,
        Self::BeyondTheWindow,
        Self::SlowBytes,
        Self::FromTheFuture,
        Self::ManySpaces,
        Self::UnknownTypes,
        Self::UnknownFields,
        Self::Noise,
    ];

    /// Whether it is a use, if a bad one, of what a peer that may write may do.
    #[must_use]
    pub const fn is_within_rights(self) -> bool {
        matches!(
            self,
            Self::VectorTooHigh
                | Self::DotsOfOthers
                | Self::OurDots
                | Self::Replays
                | Self::ManyReplicas
                | Self::EndlessSiblings
                | Self::FromTheFuture
                | Self::EndlessWalk
                | Self::UnknownTypes
                | Self::UnknownFields
        )
    }
}
