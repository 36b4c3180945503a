//! Every limit of the format in one place, each with its unit and its reason.
//!
//! They are constants of the format: a replica with other limits would refuse what its
//! peers accept, and a delta refused by one replica for ever could never arrive there.

/// Bytes of a key. At least one: an empty name is mostly a mistake. At most what still
/// leaves several keys to a page of the ordered tables.
pub const KEY_BYTES: core::ops::RangeInclusive<usize> = 1..=4 * KIB;

/// Steps of a path: maps nest this deep. Enough for any document, few enough to walk
/// without recursion.
pub const PATH_STEPS: usize = 32;

/// Bytes of an encoded path. A set's element is part of the path, so this is also about
/// what an element may take. Paths stand in the keys of the ordered tables.
pub const PATH_BYTES: usize = 4 * KIB;

/// Bytes of an encoded place, at most: a key of zeros takes two bytes for each.
pub const PLACE_BYTES: usize = 2 * *KEY_BYTES.end() + 2 + PATH_BYTES;

/// Bytes of one value. Larger things belong in files of their own, named by a value.
pub const VALUE_BYTES: usize = 8 * MIB;

/// Bytes of a chunk of a delta, about: a chunk ends with the item that reaches it. Large
/// enough that the commit per chunk is cheap, small enough that a slow line shows progress.
pub const CHUNK_BYTES: usize = 256 * KIB;

/// Events in one chunk, at most. A run of removals takes few bytes for many events; this
/// bounds what the receiver does for them.
pub const CHUNK_EVENTS: usize = 65_536;

/// Bytes of the places in one chunk, written out, at most: a place that begins like the one
/// before it travels in a few bytes. Four times what the sender counts as a chunk.
pub const CHUNK_PLACE_BYTES: usize = 4 * CHUNK_BYTES;

/// Seq of an event in a chunk, at most: the gap before it shares a 64-bit number with a tag
/// of two bits. A replica that makes a million events a second gets there in 146,000 years.
pub const EVENT_SEQ: crate::causal::Seq = crate::causal::Seq::new(u64::MAX >> 2);

/// Bytes of a frame, at most, once the peer's hello was accepted: the largest value and
/// the largest vector fit in one.
pub const FRAME_BYTES: usize = 16 * MIB;

/// Bytes of the first frame, at most: somebody unknown gets no more memory than this.
pub const FIRST_FRAME_BYTES: usize = 64 * KIB;

/// Replicas in one version vector, at most: 34 bytes each with their tags, at most, make
/// 13.6 MB, which fits a frame.
pub const VECTOR_REPLICAS: usize = 400_000;

/// Stretches of events, each made in one opening of a store, that a history may tell, at
/// most. A delta that would make more of one origin's is refused; a store takes a fresh name
/// after half as many openings in which it wrote. Nor does one delta bring more: of those of many
/// origins the oldest are left out, and a fork as old as these is not noticed.
pub const STRETCHES: usize = 262_144;

/// Origins kept in the past of one item, at most; the oldest go first. A past is an
/// optimisation that the proof of a session makes good for.
pub const PAST_ORIGINS: usize = 16;

/// Origins in the past of a removal record, at most: above this no record is written,
/// and the proof of a session finds what was removed.
pub const REMOVAL_ORIGINS: usize = 256;

/// New spaces that one connection may bring, at most: a space costs a row for ever.
pub const NEW_SPACES: usize = 100_000;

/// Bytes of the name of a space. A name is announced in the first frames of a session.
pub const SPACE_NAME_BYTES: core::ops::RangeInclusive<usize> = 1..=255;

/// Rows of a replica's own in one counter before they fold into one.
pub const COUNTER_ROWS: usize = 8;

/// Commits of a space that are remembered by number, at most.
pub const COMMITS: u64 = 65_536;

/// What a store counts with, its commits and bytes, in a row of its own: it never comes so far,
/// and whoever adds to what was read needs not fear the end of 64 bits.
pub const TALLY: u64 = 1 << 56;

/// Peers with whom the vector proven common is remembered, per space.
pub const BASES: usize = 64;

/// One KiB.
pub const KIB: usize = 1024;
/// One MiB.
pub const MIB: usize = 1024 * KIB;
