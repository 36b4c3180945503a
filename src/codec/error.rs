//! What can be wrong with bytes.

/// Bytes that are not the canonical spelling of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {problem} at byte {at}")]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// How many bytes into it.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with bytes, and the limit where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// They end too early.
    #[error("cut short")]
    Truncated,
    /// They go on after the end.
    #[error("bytes left over")]
    LeftOver,
    /// A varint longer than it must be, or above 64 bits.
    #[error("a number that is not in its shortest spelling")]
    Overlong,
    /// More things, or a longer thing, than the format allows.
    #[error("{found} where {limit} is the most")]
    TooMany {
        /// The most there may be.
        limit: usize,
        /// How many there are.
        found: u64,
    },
    /// Fewer than the format asks for.
    #[error("empty where something must stand")]
    Empty,
    /// A list that must ascend does not, or names something twice.
    #[error("entries out of order or doubled")]
    Unsorted,
    /// A dot whose seq is zero.
    #[error("a seq of zero")]
    ZeroSeq,
    /// A tag that this version does not know where it must.
    #[error("unknown tag {found}")]
    UnknownTag {
        /// The tag.
        found: u64,
    },
    /// A format or protocol of another version.
    #[error("version {found} where {known} is known")]
    UnknownVersion {
        /// The version that this library speaks.
        known: u64,
        /// The version found.
        found: u64,
    },
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    NotUtf8,
    /// A checksum that does not match.
    #[error("a checksum that does not match")]
    Checksum,
    /// Something else that is not canonical, in words.
    #[error("{0}")]
    Other(&'static str),
}
