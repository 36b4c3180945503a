//! One event with two contents.
//!
//! Two stores that go on under one name *and one tag* (a machine resumed twice from one image of
//! its memory, a replica that forges) make different items under one dot, and nothing in vectors
//! or stretches tells the two apart: see [`super::fork`] for what those do tell. Where both items
//! live when two replicas meet, the hash of their block shows it, since an item's hash is of its
//! content too. Then both end with both:
//!
//! - the item whose hash is the smaller one keeps the dot;
//! - the other lives on under the dot *(H("fork", its hash), 1)*. It is made of nothing but the
//!   item, so that whoever holds this item, and whenever, comes to the same dot.
//!
//! Each side does both in one commit, once it has seen the other's item. A replica that has seen
//! the second dot already does not take that item in again: it may have been removed since.
//! Where only one of the two lives any more, nothing shows that there were two, and whoever holds
//! the other takes it for removed.

use std::collections::BTreeSet;

use super::batch::Batch;
use super::chunk::{Chunk, Event};
use super::rows::{corrupt, dot_key, item_key, split_dot_value, split_item_value};
use super::scan::Item;
use super::space::Space;
use super::view::Snapshot;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::limits;
use crate::digest::{self, ItemHash};
use crate::error::{Error, PeerError};
use crate::storage::{Durability, Read, StorageError, Table};

/// An event that two stores made under one name, each with a content of its own. Both live on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Equivocation {
    /// The space.
    pub space: String,
    /// The item that keeps the event's dot.
    pub kept: Item,
    /// The other one, under the dot that it has from now on.
    pub other: Item,
}

/// The live dots of a block at one side, by the low byte of their seq, with their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockContents {
    pub(crate) origin: ReplicaId,
    pub(crate) block: u64,
    pub(crate) hashes: Vec<(u8, ItemHash)>,
}

/// An item without its dot.
struct Content {
    place: Vec<u8>,
    past: VersionVector,
    payload: Vec<u8>,
}

/// The dot under which an item lives on that gives way to another one with its dot.
fn derived(hash: ItemHash) -> Dot {
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 equivocation");
    hasher.update(hash.as_bytes());
    let id = hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default();
    Dot::new(ReplicaId::from_bytes(id), Seq::FIRST)
}

impl Space {
    /// What lives in some blocks at a cut.
    pub(crate) fn contents(
        &self,
        generation: u64,
        blocks: &[(ReplicaId, u64)],
        cut: &VersionVector,
    ) -> Result<Vec<BlockContents>, Error> {
        let snapshot = self.snapshot_to_show(generation)?;
        let contents = |&(origin, block): &(ReplicaId, u64)| {
            let live = live(&snapshot, cut, origin, block)?;
            let hashes =
                live.into_iter().map(|(seq, hash)| (digest::low_byte(seq), hash)).collect();
            Ok(BlockContents { origin, block, hashes })
        };
        blocks.iter().map(contents).collect()
    }

    /// The items here, about a chunk of them, whose dots live at the peer too and hold something
    /// else there.
    pub(crate) fn unlike(
        &self,
        generation: u64,
        theirs: &[BlockContents],
        cut: &VersionVector,
    ) -> Result<Chunk, Error> {
        let snapshot = self.snapshot_to_show(generation)?;
        let (mut chunk, mut bytes) = (Chunk::default(), 0);
        for BlockContents { origin, block, hashes: theirs } in theirs {
            for (seq, hash) in live(&snapshot, cut, *origin, *block)? {
                let low = digest::low_byte(seq);
                let at = theirs.binary_search_by_key(&low, |(low, _)| *low).ok();
                let other = at.and_then(|at| theirs.get(at)).filter(|(_, other)| *other != hash);
                if other.is_none() {
                    continue;
                }
                let dot = Dot::new(*origin, seq);
                let Some(space) = snapshot.space else { return Ok(chunk) };
                let key = dot_key(space, dot);
                let Some(row) = snapshot.rows.get(Table::Dots, &key)? else { continue };
                let content = content(&*snapshot.rows, space, dot, &row)?;
                bytes += content.bytes();
                chunk.push_item(dot, content);
                if bytes >= limits::CHUNK_BYTES {
                    return Ok(chunk);
                }
            }
        }
        Ok(chunk)
    }

    /// Takes the peer's items of which something else lives here under the same dots: of each
    /// two the one keeps the dot and the other lives on under its own. What was here, about a
    /// chunk of it, for the peer to do the same, and what was not known before.
    ///
    /// # Errors
    /// The peer names what this replica has not seen, or brings no items; or the storage failed.
    /// Then nothing has changed.
    pub(crate) fn take_unlike(
        &self,
        generation: u64,
        theirs: &Chunk,
    ) -> Result<(Chunk, Vec<Equivocation>), Error> {
        let own = self.replica();
        let mut guard = self.store.shared.writer()?;
        self.check_generation(generation)?;
        self.in_batch::<_, Error>(&mut guard, Durability::Immediate, |mut batch| {
            let (mut mine, mut found, mut bytes) = (Chunk::default(), Vec::new(), 0);
            for (dot, event) in &theirs.events {
                let Event::Item { place, past, payload } = event else {
                    return Err(protocol("a removal that is said to be an item"));
                };
                if dot.seq > batch.seen(dot.replica) || past.get(own) > batch.seen(own) {
                    return Err(protocol("an item that nobody can have seen here"));
                }
                let theirs =
                    Content { place: place.clone(), past: past.clone(), payload: payload.clone() };
                let key = dot_key(batch.space, *dot);
                let Some(row) = batch.rows.get(Table::Dots, &key)? else { continue };
                let here = content(batch.rows, batch.space, *dot, &row)?;
                if here.hash(*dot) == theirs.hash(*dot) {
                    continue;
                }
                let (other, was_new) = batch.part(*dot, &here, &theirs)?;
                if was_new {
                    let (kept, other) = match here.hash(*dot) < theirs.hash(*dot) {
                        true => (here.item(*dot)?, theirs.item(other)?),
                        false => (theirs.item(*dot)?, here.item(other)?),
                    };
                    found.push(Equivocation { space: self.name().to_owned(), kept, other });
                }
                bytes += here.bytes();
                mine.push_item(*dot, here);
                // However small the peer's are: the rest is found by the next walk.
                if bytes >= limits::CHUNK_BYTES {
                    break;
                }
            }
            let changed = !mine.events.is_empty();
            Ok(((mine, found), changed.then_some(batch)))
        })
    }
}

impl Batch<'_> {
    /// Of two items under one dot lets the one with the smaller hash keep it, and gives the other
    /// its own, unless that has been seen; under which dot, and whether anything is new here.
    fn part(
        &mut self,
        dot: Dot,
        here: &Content,
        theirs: &Content,
    ) -> Result<(Dot, bool), StorageError> {
        let keeps = here.hash(dot) < theirs.hash(dot);
        let other = if keeps { theirs } else { here };
        let second = derived(other.hash(dot));
        if !keeps {
            let key = item_key(self.space, &here.place, Some(dot));
            self.remove_item(&key, dot)?;
            self.insert_item(dot, &theirs.place, &theirs.past, &theirs.payload)?;
        }
        let is_new = self.seen(second.replica) < second.seq;
        if is_new {
            if self.state.staged > 0 {
                self.unstage(second)?;
            }
            self.raise(second);
            self.insert_item(second, &other.place, &other.past, &other.payload)?;
        }
        Ok((second, is_new || !keeps))
    }
}

impl Content {
    fn bytes(&self) -> usize {
        self.place.len() + 20 * self.past.len() + self.payload.len()
    }

    fn hash(&self, dot: Dot) -> ItemHash {
        ItemHash::of(dot, &self.place, &self.payload)
    }

    fn item(&self, dot: Dot) -> Result<Item, StorageError> {
        let made = Item::made(dot, &self.place, &self.payload);
        made.map_err(|e| corrupt(Table::Items, &self.place, e))
    }
}

impl Chunk {
    /// The blocks in which its events stand.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (ReplicaId, u64)> {
        let block = |(dot, _): &(Dot, Event)| (dot.replica, digest::block_of(dot.seq));
        let blocks: BTreeSet<_> = self.events.iter().map(block).collect();
        blocks.into_iter()
    }

    fn push_item(&mut self, dot: Dot, Content { place, past, payload }: Content) {
        self.upto.advance(dot);
        self.events.push((dot, Event::Item { place, past, payload }));
    }
}

fn protocol(what: &'static str) -> Error {
    PeerError::Protocol { what }.into()
}

fn live(
    snapshot: &Snapshot,
    cut: &VersionVector,
    origin: ReplicaId,
    block: u64,
) -> Result<Vec<(Seq, ItemHash)>, StorageError> {
    let Some(number) = snapshot.space else { return Ok(Vec::new()) };
    let (rows, vector) = (&*snapshot.rows, &snapshot.vector);
    digest::live_hashes(rows, number, vector, cut, origin, block)
}

/// The item of a dot with this row.
fn content(rows: &dyn Read, space: u32, dot: Dot, row: &[u8]) -> Result<Content, StorageError> {
    let row = split_dot_value(row).map_err(|e| corrupt(Table::Dots, &dot_key(space, dot), e))?;
    let key = item_key(space, row.place, Some(dot));
    let Some(value) = rows.get(Table::Items, &key)? else {
        return Err(corrupt(Table::Items, &key, "a dot whose item is gone"));
    };
    let (past, payload) = split_item_value(&value).map_err(|e| corrupt(Table::Items, &key, e))?;
    let content = Content { place: row.place.to_vec(), past, payload: payload.to_vec() };
    match content.hash(dot) == row.hash {
        true => Ok(content),
        false => Err(corrupt(Table::Items, &key, "its content has another hash")),
    }
}
