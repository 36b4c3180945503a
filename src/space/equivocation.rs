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
//!   item, so that whoever holds this item, and whenever, comes to the same dot. These hashes
//!   leave out the origin, which may get another name meanwhile.
//!
//! Each side does both in one commit, once it has seen the other's item. A replica that has seen
//! the second dot already does not take that item in again: it may have been removed since. What
//! so goes is kept in the trash.
//!
//! # What it does not cover
//! - Where only one of the two lives any more, nothing shows that there were two, and whoever
//!   holds the other takes it for removed.
//! - A read context, or a removal, that speaks of the event and was made where only one of the two
//!   was known takes away whichever keeps the dot.
//! - Of a transaction whose events all have two contents, about a chunk of items is settled at a
//!   time: where the line is cut in between, the rest follows in the next session.
//! - Each such event costs an origin. Once a vector has half of those that it may have, no more
//!   are settled, and sessions end as [`Diverged`](crate::session::Why::Diverged).

use super::batch::Batch;
use super::chunk::{Brought, Chunk, Event, SpelledChunk};
use super::content::Content;
use super::rows::{dot_key, item_key};
use super::scan::Item;
use super::space::Space;
use super::trash::Taker;
use super::view::Snapshot;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::limits;
use crate::digest::{self, ItemHash};
use crate::error::{Error, PeerError, shown};
use crate::faults::fault;
use crate::storage::{Durability, StorageError, Table};

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

impl core::fmt::Display for Equivocation {
    /// For a log of the store that tells it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { space, kept, other } = self;
        let (key, dot, other) = (shown(&kept.key), kept.dot, other.dot);
        write!(
            f,
            "space {space:?}: event {dot} was made twice, with two contents, of which one stands at {key:?}; the other goes on as {other}"
        )
    }
}

/// The live dots of a block at one side, by the low byte of their seq, with their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockContents {
    pub(crate) origin: ReplicaId,
    pub(crate) block: u64,
    pub(crate) hashes: Vec<(u8, ItemHash)>,
}

/// What became of an event with two contents.
struct Settled<'c> {
    kept: &'c Content,
    other: &'c Content,
    /// The dot of the other one.
    second: Dot,
    /// Whether either was not here before.
    is_news: bool,
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
                let content = Content::read(&*snapshot.rows, space, dot, &row)?;
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
        theirs: &SpelledChunk,
        peer: ReplicaId,
    ) -> Result<(Chunk, Vec<Equivocation>), Error> {
        let (own, options) = (self.replica(), &self.store.shared.options);
        let now_ms = self.store.shared.now_ms();
        let mut guard = self.store.shared.writer()?;
        self.check_generation(generation)?;
        self.in_batch::<_, Error>(&mut guard, Durability::Immediate, |mut batch| {
            let (mut mine, mut found, mut bytes) = (Chunk::default(), Vec::new(), 0);
            batch.trash.taker = Some(Taker::new(peer, now_ms, options));
            let mut full = false;
            theirs.each::<Error>(&mut |dot, brought| {
                let Brought::Item { place, past, payload } = brought else {
                    return Err(protocol("a removal that is said to be an item"));
                };
                if dot.seq > batch.seen(dot.replica) || past.get(own) > batch.seen(own) {
                    return Err(protocol("an item that nobody can have seen here"));
                }
                // However small the peer's are: the rest is found by the next walk.
                full |=
                    bytes >= limits::CHUNK_BYTES || batch.origins() >= limits::VECTOR_REPLICAS / 2;
                if full {
                    return Ok(());
                }
                let theirs = Content { place: place.to_vec(), past, payload: payload.to_vec() };
                let key = dot_key(batch.space, dot);
                let Some(row) = batch.rows.get(Table::Dots, &key)? else { return Ok(()) };
                let here = Content::read(batch.rows, batch.space, dot, &row)?;
                if here.hash(dot) == theirs.hash(dot) {
                    return Ok(());
                }
                let Settled { kept, other, second, is_news } = batch.part(dot, &here, &theirs)?;
                if is_news {
                    let (kept, other) = (kept.item(dot)?, other.item(second)?);
                    found.push(Equivocation { space: self.name().to_owned(), kept, other });
                }
                bytes += here.bytes();
                mine.push_item(dot, here);
                Ok(())
            })?;
            let changed = !mine.events.is_empty();
            Ok(((mine, found), changed.then_some(batch)))
        })
    }
}

impl Batch<'_> {
    /// Of two items under one dot lets the one with the smaller hash keep it, and gives the other
    /// its own, unless that has been seen.
    fn part<'c>(
        &mut self,
        dot: Dot,
        here: &'c Content,
        theirs: &'c Content,
    ) -> Result<Settled<'c>, StorageError> {
        let keeps = here.nameless_hash(dot) < theirs.nameless_hash(dot);
        let (kept, other) = if keeps { (here, theirs) } else { (theirs, here) };
        let second = derived(other.nameless_hash(dot));
        let is_new = self.seen(second.replica) < second.seq;
        if !keeps {
            let lives = self.rows.get(Table::Dots, &dot_key(self.space, second))?.is_some();
            if !is_new && !lives {
                self.keep_in_trash(dot)?;
            }
            let key = item_key(self.space, &here.place, Some(dot));
            self.remove_item(&key, dot)?;
            self.insert_item(dot, &theirs.place, &theirs.past, &theirs.payload)?;
        }
        if is_new {
            if self.state.staged > 0 {
                self.unstage(second)?;
            }
            self.raise(second);
        }
        if is_new && !fault!(SecondContentForgotten) {
            self.insert_item(second, &other.place, &other.past, &other.payload)?;
        }
        Ok(Settled { kept, other, second, is_news: is_new || !keeps })
    }
}

impl Chunk {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Kind, Prefix};
    use crate::space::tests::{replica, staging::incoming};
    use crate::space::{Store, chunk::Last};

    /// Who knows an item can say that its second dot was seen, and then that its first one holds
    /// something else.
    #[test]
    fn what_goes_because_its_second_dot_was_seen_is_in_the_trash() {
        let store = Store::in_memory();
        let space = store.space("main").unwrap();
        space.set("cart").add(&1_u32).unwrap();
        let snapshot = space.snapshot().unwrap();
        let mut dots = Vec::new();
        let visit = |item: Item| {
            dots.push(item.dot);
            core::ops::ControlFlow::Continue(())
        };
        snapshot.for_each_item(crate::space::Keys::all(), visit).unwrap();
        let dot = dots[0];
        let (rows, number) = (&*snapshot.rows, snapshot.space.unwrap());
        let row = rows.get(Table::Dots, &dot_key(number, dot)).unwrap().unwrap();
        let order = Content::read(rows, number, dot, &row).unwrap().nameless_hash(dot);
        let lies = (0..100_u8).map(|n| {
            let place = Prefix::key(b"k").unwrap().step(Kind::SET, &[n]).unwrap().place();
            let place = place.as_bytes().to_vec();
            Content { place, past: VersionVector::new(), payload: Vec::new() }
        });
        let lie = lies.into_iter().find(|lie| lie.nameless_hash(dot) < order).unwrap();
        let second = derived(order);
        let vector: VersionVector = [(second.replica, second.seq)].into_iter().collect();
        let seen = Chunk { last: Some(Last { vector, ..Last::default() }), ..Chunk::default() };
        let (mut incoming, _) = incoming(&space, 9);
        let told = VersionVector::new();
        incoming.take(&seen.spelled(), &told, (&told, Default::default()), 0).unwrap();
        let mut chunk = Chunk::default();
        chunk.push_item(dot, lie);
        space.take_unlike(space.generation(), &chunk.spelled(), replica(9)).unwrap();
        let status = space.status().unwrap();
        assert_eq!((status.items, status.trash_items), (1, 1));
        assert!(store.check().unwrap().is_sound());
    }
}
