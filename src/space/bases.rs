//! What was proven common with whom: so that the next hello need only say what changed.
//!
//! Rows of the table under the space's number: `00 ‖ hash (16)` → vector, and
//! `01 ‖ peer (16)` → when last met (8), hash (16). Vectors are shared where equal.

use std::ops::ControlFlow;

use super::rows::{SPACE_BYTES, after, corrupt, range, read_tagged, space_key};
use super::space::Space;
use super::store::number_of;
use super::stretches::tag_at;
use crate::causal::{Dot, ReplicaId, Seq, TaggedVector, VersionVector};
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::error::Error;
use crate::storage::{Durability, Order, Read, StorageError, Table, Verdict};

/// Names a vector by its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VectorHash(pub(crate) [u8; 16]);

impl VectorHash {
    pub(crate) fn of(vector: &TaggedVector) -> Self {
        let mut bytes = Vec::with_capacity(8 + 28 * vector.len());
        bytes.put_tagged(vector);
        let hash = blake3::derive_key("rejoin 2026 version vector", &bytes);
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

const VECTORS: u8 = 0;
const PEERS: u8 = 1;

fn vector_key(space: u32, hash: VectorHash) -> Vec<u8> {
    [space_key(space).as_slice(), &[VECTORS], &hash.0].concat()
}

struct Met {
    peer: ReplicaId,
    at: u64,
    hash: VectorHash,
}

impl Met {
    fn key(space: u32, peer: ReplicaId) -> Vec<u8> {
        [space_key(space).as_slice(), &[PEERS], peer.as_bytes()].concat()
    }

    /// Everybody remembered, the one met last at the end.
    fn all(rows: &dyn Read, space: u32) -> Result<Vec<Self>, StorageError> {
        let from = [space_key(space).as_slice(), &[PEERS]].concat();
        let to = after(&from);
        let (mut met, mut wrong) = (Vec::new(), None);
        rows.scan(Table::Bases, range(&from, &to), Order::Ascending, &mut |key, value| {
            let peer = key.get(from.len()..).and_then(|id| id.try_into().ok());
            let at = value.first_chunk::<8>().map(|at| u64::from_be_bytes(*at));
            let hash = value.get(8..).and_then(|hash| hash.try_into().ok());
            match (peer, at, hash) {
                (Some(peer), Some(at), Some(hash)) => {
                    let peer = ReplicaId::from_bytes(peer);
                    met.push(Self { peer, at, hash: VectorHash(hash) });
                }
                _ => wrong = Some(corrupt(Table::Bases, key, "not a peer's base")),
            }
            ControlFlow::Continue(())
        })?;
        met.sort_by_key(|met| met.at);
        wrong.map_or(Ok(met), Err)
    }
}

/// Whether a row of the table is one of these.
pub(super) fn check_row(key: &[u8], row: &[u8]) -> Result<(), DecodeError> {
    let mut name = Cursor::new("base", key);
    let _: [u8; SPACE_BYTES] = name.array()?;
    let (kind, hash) = (name.u8()?, name.array()?);
    name.finish()?;
    let mut cursor = Cursor::new("base", row);
    match kind {
        VECTORS => {
            let vector = cursor.tagged(limits::VECTOR_REPLICAS)?;
            if VectorHash::of(&vector) != VectorHash(hash) {
                return Err(cursor.wrong(Problem::Other("not the vector of this hash")));
            }
            cursor.finish()
        }
        PEERS => {
            let _: ([u8; 8], [u8; 16]) = (cursor.array()?, cursor.array()?);
            cursor.finish()
        }
        other => Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
    }
}

/// What a row says, written again; a vector is not held against the hash in its key.
///
/// # Errors
/// The row is none of these.
#[cfg(feature = "sim")]
pub(super) fn respelled(key: &[u8], row: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if key.get(SPACE_BYTES) != Some(&VECTORS) {
        return check_row(key, row).map(|()| row.to_vec());
    }
    let mut cursor = Cursor::new("base", row);
    let vector = cursor.tagged(limits::VECTOR_REPLICAS)?;
    cursor.finish()?;
    let mut again = Vec::with_capacity(row.len());
    again.put_tagged(&vector);
    Ok(again)
}

impl Space {
    /// The vector of this hash, if it was proven common with anybody remembered.
    pub(crate) fn base(&self, hash: VectorHash) -> Result<Option<TaggedVector>, Error> {
        let snapshot = self.snapshot()?;
        let Some(space) = snapshot.space else { return Ok(None) };
        let key = vector_key(space, hash);
        let Some(row) = snapshot.rows.get(Table::Bases, &key)? else { return Ok(None) };
        let mut cursor = Cursor::new("base", &row);
        let vector = cursor.tagged(limits::VECTOR_REPLICAS);
        Ok(Some(vector.map_err(|e| corrupt(Table::Bases, &key, e))?))
    }

    /// The hash of the vector last proven common with `peer`, or with whoever was met last.
    pub(crate) fn base_with(&self, peer: Option<ReplicaId>) -> Result<Option<VectorHash>, Error> {
        let snapshot = self.snapshot()?;
        let Some(space) = snapshot.space else { return Ok(None) };
        let met = Met::all(&*snapshot.rows, space)?;
        let found = match peer {
            None => met.last(),
            Some(peer) => met.iter().find(|met| met.peer == peer),
        };
        Ok(found.map(|met| met.hash))
    }

    /// A vector that this replica covers, with the tags of its entries.
    fn tagged(&self, vector: &VersionVector) -> Result<TaggedVector, Error> {
        let snapshot = self.snapshot()?;
        let Some(space) = snapshot.space else { return Ok(TaggedVector::untagged(vector)) };
        let now = read_tagged(&*snapshot.rows, space)?;
        let tagged = |(replica, seq): (ReplicaId, Seq)| match now.get(replica) {
            (newest, tag) if newest == seq => Ok((replica, seq, tag)),
            _ => Ok((replica, seq, tag_at(&*snapshot.rows, space, Dot::new(replica, seq))?)),
        };
        let entries = vector.iter().map(tagged).collect::<Result<Vec<_>, StorageError>>()?;
        Ok(TaggedVector::from_sorted(entries).unwrap_or_default())
    }

    /// Remembers that `vector` was proven common with `peer`. A crash may forget it again,
    /// which costs a round trip and nothing else. What was salvaged and is covered by now is
    /// decided: how many stand-ins that has removed here, of which the peer has not heard.
    pub(crate) fn save_base(&self, peer: ReplicaId, vector: &VersionVector) -> Result<u64, Error> {
        let removed = self.settle_waiting()?;
        let vector = &self.tagged(vector)?;
        let hash = VectorHash::of(vector);
        if self.base_with(None)? == Some(hash) && self.base_with(Some(peer))? == Some(hash) {
            return Ok(removed);
        }
        let mut writer = self.store.shared.writer()?;
        let name = &self.shared.name;
        writer.commit(Durability::Eventual, &mut |rows| {
            let Some(space) = number_of(rows, name)? else { return Ok(Verdict::Abort) };
            let mut met = Met::all(rows, space)?;
            let at = met.last().map_or(1, |last| last.at.saturating_add(1));
            let mut gone: Vec<Met> = Vec::new();
            if let Some(known) = met.iter().position(|met| met.peer == peer) {
                gone.push(met.remove(known));
            } else if met.len() >= limits::BASES {
                let oldest = met.remove(0);
                rows.delete(Table::Bases, &Met::key(space, oldest.peer))?;
                gone.push(oldest);
            }
            let row = [at.to_be_bytes().as_slice(), &hash.0].concat();
            rows.put(Table::Bases, &Met::key(space, peer), &row)?;
            let mut bytes = Vec::new();
            bytes.put_tagged(vector);
            rows.put(Table::Bases, &vector_key(space, hash), &bytes)?;
            for gone in gone {
                if gone.hash != hash && met.iter().all(|met| met.hash != gone.hash) {
                    rows.delete(Table::Bases, &vector_key(space, gone.hash))?;
                }
            }
            Ok(Verdict::Commit)
        })?;
        Ok(removed)
    }
}
