//! Hashes by role, and how each is made.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::causal::{Dot, ReplicaId};

/// The key that sets item hashes apart from all others, 32 bytes of ASCII.
const ITEM_KEY: &[u8; 32] = b"rejoin item hash, format 1      ";
/// Items up to this size are gathered on the stack and hashed in one call, which is twice
/// as fast as in pieces.
const GATHERED_BYTES: usize = 512;
const BLOCK_TAG: &[u8] = b"rejoin block 1\0";
const INNER_TAG: &[u8] = b"rejoin inner 1\0";
const BUCKET_TAG: &[u8] = b"rejoin bucket 1\0";
const ROOT_TAG: &[u8] = b"rejoin root 1\0";

/// The fingerprint of one live item: its dot, where it stands and what it holds.
///
/// 128 bits: finding two contents of one dot with the same hash takes 2⁶⁴ attempts, and
/// only of a replica that forges its own items.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemHash([u8; 16]);

impl ItemHash {
    /// The hash of the item that event `dot` put at `place`.
    #[must_use]
    pub fn of(dot: Dot, place: &[u8], payload: &[u8]) -> Self {
        let (seq, len) = (dot.seq.get().to_be_bytes(), (place.len() as u32).to_be_bytes());
        let parts = [dot.replica.as_bytes().as_slice(), &seq, &len, place, payload];
        let mut gathered = [0; GATHERED_BYTES];
        let mut rest = gathered.as_mut_slice();
        let fits = parts.iter().all(|part| match rest.split_off_mut(..part.len()) {
            Some(room) => {
                room.copy_from_slice(part);
                true
            }
            None => false,
        });
        let hash = if fits {
            let unused = rest.len();
            let used = gathered.get(..GATHERED_BYTES - unused).unwrap_or_default();
            blake3::keyed_hash(ITEM_KEY, used)
        } else {
            let mut hasher = blake3::Hasher::new_keyed(ITEM_KEY);
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize()
        };
        Self(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// The hash of these bytes, as it was kept or received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The hash of a block, an inner node, an origin or a bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeHash([u8; 32]);

impl NodeHash {
    /// The hash of these bytes, as it was kept or received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The fingerprint of the live dots of a space: two replicas with the same version vector
/// and the same root hold the same items.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RootHash([u8; 32]);

impl RootHash {
    /// The root of a space in which nothing is live.
    #[must_use]
    pub fn empty() -> Self {
        Self::of_buckets(&[])
    }

    /// The hash of these bytes, as it was kept or received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The root over the buckets that are present, ascending.
    pub(super) fn of_buckets(buckets: &[(u8, NodeHash)]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(ROOT_TAG);
        for (bucket, hash) in buckets {
            hasher.update(&[*bucket]);
            hasher.update(&hash.0);
        }
        Self(hasher.finalize().into())
    }
}

/// What travels instead of a hash in the walk: its first 8 bytes under a key drawn for the
/// session, so that nobody can prepare two nodes that look alike before the key is known.
///
/// Two different nodes look alike with probability 2⁻⁶⁴; the roots compared in full at
/// the end notice.
#[must_use]
pub fn short(hash: &NodeHash, key: &[u8; 32]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&hash.0);
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// A hash over a list that is absent while it is empty.
struct ListHasher {
    hasher: blake3::Hasher,
    empty: bool,
}

impl ListHasher {
    fn new(tag: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(tag);
        Self { hasher, empty: true }
    }

    fn push(&mut self, entry: &[u8]) {
        self.hasher.update(entry);
        self.empty = false;
    }

    fn finish(&self) -> Option<NodeHash> {
        (!self.empty).then(|| NodeHash(self.hasher.finalize().into()))
    }
}

/// Makes the hash of a block from its live dots, ascending.
pub(super) struct BlockHasher(ListHasher);

impl BlockHasher {
    pub(super) fn new(origin: ReplicaId, block: u64) -> Self {
        let mut list = ListHasher::new(BLOCK_TAG);
        list.hasher.update(origin.as_bytes());
        list.hasher.update(&block.to_be_bytes());
        Self(list)
    }

    pub(super) fn push(&mut self, low: u8, item: ItemHash) {
        let mut entry = [low; 17];
        if let Some(rest) = entry.last_chunk_mut::<16>() {
            *rest = item.0;
        }
        self.0.push(&entry);
    }

    pub(super) fn finish(&self) -> Option<NodeHash> {
        self.0.finish()
    }
}

/// Makes the hash of a bucket from its origins, ascending.
pub(super) struct BucketHasher(ListHasher);

impl BucketHasher {
    pub(super) fn new() -> Self {
        Self(ListHasher::new(BUCKET_TAG))
    }

    pub(super) fn push(&mut self, origin: ReplicaId, hash: NodeHash) {
        self.0.push(origin.as_bytes());
        self.0.push(&hash.0);
    }

    pub(super) fn finish(&self) -> Option<NodeHash> {
        self.0.finish()
    }
}

/// The hash of an inner node over its children by position, ascending.
pub(super) fn inner(level: u8, index: u64, children: &[(u8, NodeHash)]) -> Option<NodeHash> {
    if let [(_, only)] = children {
        return Some(*only);
    }
    let mut list = ListHasher::new(INNER_TAG);
    list.hasher.update(&[level]);
    list.hasher.update(&index.to_be_bytes());
    for (position, hash) in children {
        list.push(&[*position]);
        list.push(&hash.0);
    }
    list.finish()
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! shown_as_hex {
    ($($hash:ty),+) => {$(
        impl fmt::Display for $hash {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl fmt::Debug for $hash {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
    )+};
}

shown_as_hex!(ItemHash, NodeHash, RootHash);

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::super::testing::dot;
    use super::*;

    #[test]
    fn in_one_call_or_in_pieces_the_hash_of_an_item_is_that_of_the_definition() {
        let bytes: Vec<u8> = (0..=255).cycle().take(700).collect();
        let fits = GATHERED_BYTES - 16 - 8 - 4;
        for place in [0, 1, 20, fits - 1, fits, fits + 1] {
            for payload in 0..=fits + 1 {
                let (place, payload) = (&bytes[..place], &bytes[..payload]);
                let wanted = reference::item(dot(1, 9), place, payload);
                assert_eq!(ItemHash::of(dot(1, 9), place, payload), wanted);
            }
        }
    }
}
