//! The Merkle tree over the live dots of a space.
//!
//! Two replicas that have seen the same events hold the same live dots, or one of them has
//! missed a removal. Comparing one hash tells which; where it differs, walking two trees
//! down leads to the blocks of dots that differ. After Merkle (1987), and the anti-entropy
//! of Dynamo (DeCandia et al. 2007); the tree stands over event numbers instead of keys,
//! so that new events change only its right edge.
//!
//! # The tree
//! All numbers are big-endian. Every hash but the first is BLAKE3 of a *tag*, an ASCII text
//! and a zero byte, followed by what is named here.
//!
//! - **Item**: BLAKE3 with a key, `rejoin item hash, format 1` and six spaces, of origin (16
//!   bytes), seq (8), length of the place (4), the place, the payload; the first 16 bytes of
//!   the hash. Origin and seq are the dot.
//! - **Block** *b* of an origin covers its seqs 256 *b* … 256 *b* + 255; seq 0 never occurs.
//!   Tag `rejoin block 1`, origin (16), *b* (8), then for each live dot, ascending, the low
//!   byte of its seq (1) and its item hash (16). A block without a live dot is absent.
//! - **Inner node** (origin, level *L* ≥ 1, index *i*) covers its children at level *L* − 1
//!   with the indexes 64 *i* … 64 *i* + 63; blocks are level 0. Absent if all children are;
//!   *equal to its only child* if just one is present; else tag `rejoin inner 1`, *L* (1),
//!   *i* (8), then for each child present, ascending, its position 0 … 63 (1) and hash (32).
//! - **Origin**: its node at any level whose index 0 covers all its seqs. Which one makes no
//!   difference, because a node with one child is that child: so the hash of an origin does
//!   not depend on how tall its tree is, and a lone block costs no hashing above it.
//! - **Bucket** *n*: the origins whose id begins with byte *n*. Tag `rejoin bucket 1`, then
//!   for each origin present, ascending, its id (16) and hash (32). Absent without any.
//! - **Root**: tag `rejoin root 1`, then for each bucket present, ascending, *n* (1) and its
//!   hash (32). The empty space has the hash of the empty list.
//!
//! So the root at a *cut*, a version vector, depends on the live dots which the cut covers
//! and on nothing else: not on dots beyond it, the order of arrival, or what was removed.
//!
//! # What is kept
//! The store keeps the hashes of all blocks, inner nodes, origins and buckets that are
//! present, the root, and *marks*: the blocks whose live set changed since they were
//! hashed. With the hash of a block stands how many dots it was made of, in its mark how many
//! came or went since: so that [a lost row is not taken for a removal](check_counts). Nothing is kept of what is absent; an empty space keeps no row. A node with one
//! child has a row like any other, up to the level that the origin's seq asked for when it
//! was last rehashed: 100,000 dots of one origin take 391 rows for blocks, 7 + 1 for inner
//! nodes, and one each for origin, bucket and root. A lone block of an origin that has made
//! 10 million events takes 4 rows (levels 0 to 3) and these three.
//!
//! # Rules for the caller
//! 1. Mark, in the same transaction, every dot whose row came, went or changed, *once the
//!    vector covers it*: a row ahead of the vector is staged, not there for the digest.
//!    So the transaction that moves a vector notes that what the vector now covers came, just
//!    once, since it is counted.
//! 2. [`refresh`] with the space's vector before asking for roots or children.
//!
//! # What it costs
//! - *Marking*: one lookup and mostly one put per block and transaction, whatever the
//!   number of events in that block: 10,000 events in a row make 40 marks.
//! - *[`refresh`]*: for each marked block the rows of its live dots (at most 256), then per
//!   level and changed node at most 64 rows; then the origins of each changed bucket and at
//!   most 256 bucket rows. Marks are worked off 1,024 at a time, so memory stays under a
//!   megabyte whatever the number of marks. Without marks it is two lookups.
//! - *[`root`]*: two lookups.
//! - *[`root_at`]*: 256 rows; for each origin with events beyond the cut one block and, per
//!   level, 64 rows; and for each bucket with such an origin the rows of its origins.
//! - *The walk* ([`children`], [`differing`], [`live_bits`]): two sides at the same cut
//!   compare children level by level, from the root. It *ends*, because each round goes down
//!   one level; rounds are at most 13 (root, bucket, 11 of an origin), 5 where no origin has
//!   made more than a million events, 6 up to 67 million, however many blocks differ. With
//!   *d* blocks that differ at most *d* nodes of a level are opened, so at most *d* × height
//!   lists travel: 64 children of 9 bytes each with [`short`] hashes, 256 buckets at the
//!   root, and as many origins as a bucket has; then 32 bytes for the bits of each block.
//! - *When it does not help*: if one side holds almost nothing that the other holds, every
//!   block differs, and the walk visits the whole tree (a sixty-third more than the
//!   blocks); it then costs about 9 bytes a block, so 1 byte for 28 dots, before the
//!   bitmaps. Removals strewn evenly do the same. And it says nothing about events beyond
//!   the cut: sending those is the delta's work.

mod at;
mod counts;
#[cfg(feature = "sim")]
mod decoders;
mod hash;
mod marks;
mod node;
mod recompute;
mod refresh;
mod rows;
mod verify;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use at::{children, dead_of, is_as_hashed, live_bits, live_hashes, root_at, seqs_of};
pub use counts::check_counts;
#[cfg(feature = "sim")]
pub(crate) use decoders::read_row;
pub use hash::{ItemHash, NodeHash, RootHash, short};
pub use marks::Marks;
pub use node::{MAX_LEVEL, Node, differing, put_node, read_node, top_level};
pub(crate) use node::{block_of, exists, low_byte};
pub use recompute::recompute;
pub use refresh::{is_clean, refresh, root};
pub use verify::verify;
