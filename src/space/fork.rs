//! Two histories under one name.
//!
//! A store that is copied or put back notices it when it is opened, and takes a fresh name.
//! Where it cannot notice, because file and identity came back together, it goes on making
//! events under dots that others know with other content, or are about to make. Dots alone
//! do not show it:
//!
//! 1. A makes 7 events and is copied; both make an eighth, one an apple, one a pear.
//! 2. Both meet B, one after the other. B has seen A up to 8: the pear is no news.
//! 3. B does not hold the pear, and has seen it: at the next walk the pear dies everywhere.
//!
//! But both were opened since, so what they made since carries different [tags](Tag). Each
//! entry of a vector goes with its tag, and whoever has seen more of an origin checks, *before
//! any delta goes*, that the other's entry lies on the history it knows. If not, both
//! histories are laid side by side; they are equal up to where their stretches part. One of
//! the two gives way ([`parting`]): whoever holds it gives what it has beyond that another
//! name, made of the first tag of its own, so that all who hold it come to the same dots. The
//! two are then events of two origins, and nothing of either is lost. Whoever still holds such
//! events under the old name, and meets one that has seen any under the new, gives way too before
//! anything goes: else both would hold them under two names. Names made so can be told from others,
//! and show of which events they were made.
//!
//! What a store keeps beside its items goes by the new names too: pasts of items, of those in
//! the trash and of those that wait in a recovered store. What an application keeps, a
//! [`ReadContext`](super::ReadContext), says with its tags of which history it is, and is
//! [mapped](super::renamed) where it is used.
//!
//! An origin that gives way itself writes under a fresh name from then on, and so does one
//! that meets what it made and has forgotten: it was put back, and wrote nothing since.
//!
//! # What it does not cover
//! - Copies of a *running* process (a machine resumed twice from one image of its memory): both
//!   go on under one tag. Where both contents of a dot live, see
//!   [`Equivocation`](super::Equivocation); where one was removed, the other may go with it.
//! - Read contexts that are kept over a fork within a fork: where two names may be meant for
//!   the events before the one in which a context ends, those are left out. What its reader was
//!   shown of them is not replaced and stands beside what is written.
//! - Salvaged items that [wait](super::waiting): no tag says of which history they are. Those
//!   beyond where two part go by the new name with what gives way here; where they are of the
//!   other one, a vector that covers another event under that dot decides them.
//! - A counter of which two copies have each added up rows from before they parted, which both do
//!   once there are more than eight: what these rows held counts twice then.
//! - A counter's newest row in a copy that was made while the store ran, where that had not shown
//!   the row to anybody and replaced it afterwards: the copy counts both from when it takes the
//!   new row until the same session has walked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::batch::Renaming;
use super::dropping::{name_in, use_up_name};
use super::rows::read_tagged;
use super::space::Space;
use super::stretches::{count_stretches, read_stretches, stretch_at, tag_at};
use super::trash::Taker;
use super::writer::WriterGuard;
use crate::causal::{
    Dot, Parting, ReplicaId, Seq, Stretches, Tag, TaggedVector, VersionVector, parting,
};
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::storage::{Durability, Read, StorageError, Verdict};

/// A name under which two histories were found: one copy of a store went on beside the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fork {
    /// The space in which they met.
    pub space: String,
    /// The name.
    pub replica: ReplicaId,
    /// The last event that both have; zero where they have none.
    pub after: Seq,
    /// The name under which the events after that go on which were renamed here; none where
    /// there were none: this replica was put back, and others know what it has forgotten.
    pub renamed: Option<ReplicaId>,
    /// Where the name was this replica's own, the one under which it writes from now on.
    pub writes_as: Option<ReplicaId>,
}

impl core::fmt::Display for Fork {
    /// For a log of the store that tells it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { space, replica, after, renamed, writes_as } = self;
        match renamed {
            Some(to) => write!(
                f,
                "space {space:?}: a copy of {replica} went on beside it: what is held here of one of the two after its event {after} goes on as {to}"
            )?,
            None => write!(
                f,
                "space {space:?}: this store was put back, and others know events of {replica} after {after} that it has forgotten"
            )?,
        }
        match writes_as {
            Some(own) => write!(f, "; this store writes as {own} from now on"),
            None => Ok(()),
        }
    }
}

/// The events of an origin, as stretches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) origin: ReplicaId,
    /// How far it leads.
    pub(crate) top: Seq,
    pub(crate) stretches: Stretches,
}

/// What is given up here of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivesWay {
    origin: ReplicaId,
    after: Seq,
    /// The tag of the first event after that, if there is any.
    tag: Option<Tag>,
    /// Whether nobody else has any of it, and so its tag does not matter.
    alone: bool,
}

/// What comes of laying histories side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parted {
    /// What gives way here.
    pub(crate) here: Vec<GivesWay>,
    /// Of which origins something must give way at the peer.
    pub(crate) there: Vec<ReplicaId>,
}

/// The name under which events go on that begin with this one and gave up theirs. Made of
/// nothing else, so that it does not depend on whom else one met before.
pub(super) fn forked(first: Seq, tag: Tag) -> ReplicaId {
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 fork");
    hasher.update(tag.as_bytes()).update(&first.get().to_be_bytes());
    let hash = hasher.finalize();
    let mut id = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    mark(&mut id);
    ReplicaId::from_bytes(id)
}

/// Marks an id as one that was made of the first event of a fork.
fn mark(id: &mut [u8; 16]) {
    let [made @ .., a, b, c, d] = id;
    let hash = blake3::derive_key("rejoin 2026 mark of a fork", made);
    let [first, second, third, fourth, ..] = hash;
    (*a, *b, *c, *d) = (first, second, third, fourth);
}

pub(super) fn is_forked(replica: ReplicaId) -> bool {
    let mut id = *replica.as_bytes();
    mark(&mut id);
    id == *replica.as_bytes()
}

/// The names of `theirs` that were made in a fork, and under which they have seen more than
/// `vector` has.
pub(super) fn forked_beyond(
    vector: &VersionVector,
    theirs: impl Iterator<Item = (ReplicaId, Seq)>,
) -> BTreeMap<ReplicaId, Seq> {
    theirs.filter(|(name, seq)| *seq > vector.get(*name) && is_forked(*name)).collect()
}

/// Of what was seen here up to `vector`, what goes by another name elsewhere, as these show: the
/// first event that does has been seen there under that name, and not here. Mostly there is no
/// such name; where there is, it costs a hash for each stretch that is known.
pub(super) fn gone_by(
    rows: &dyn Read,
    space: u32,
    vector: &VersionVector,
    theirs: &BTreeMap<ReplicaId, Seq>,
) -> Result<Vec<GivesWay>, StorageError> {
    let mut gone = Vec::new();
    if theirs.is_empty() {
        return Ok(gone);
    }
    for (origin, top) in vector.iter() {
        let stretches = read_stretches(rows, space, origin, (Seq::FIRST, top))?;
        let first = stretches.iter().find(|(first, tag)| {
            let name = forked(*first, *tag);
            theirs.get(&name).is_some_and(|seq| seq >= first) && vector.get(name) < *first
        });
        gone.extend(first.map(|(first, tag)| GivesWay {
            origin,
            after: first.prev(),
            tag: Some(*tag),
            alone: false,
        }));
    }
    Ok(gone)
}

impl Space {
    /// The origins of which the peer's entry does not lie on the history that is known here, or
    /// of which this replica must ask: its own, where the peer has seen more of it.
    ///
    /// # Errors
    /// The peer names events that only this opening could have made, and did not; or the
    /// storage failed.
    pub(crate) fn suspects(&self, theirs: &TaggedVector) -> Result<Vec<ReplicaId>, Error> {
        // As it is now: other sessions, and writes, may have moved it since the peer was told.
        let snapshot = self.snapshot()?;
        let mine = match snapshot.space {
            Some(space) => read_tagged(&*snapshot.rows, space)?,
            None => TaggedVector::new(),
        };
        let own = self.replica();
        let mut suspects = Vec::new();
        for (origin, seq, tag) in theirs.iter() {
            let (top, newest) = mine.get(origin);
            let agrees = match seq.cmp(&top) {
                core::cmp::Ordering::Equal => tag.agrees(newest),
                core::cmp::Ordering::Less => match snapshot.space {
                    None => true,
                    Some(space) => {
                        tag.agrees(tag_at(&*snapshot.rows, space, Dot::new(origin, seq))?)
                    }
                },
                // Whoever has seen more finds out.
                core::cmp::Ordering::Greater if origin != own => true,
                core::cmp::Ordering::Greater if !self.writes_as(&*snapshot.rows, own)? => true,
                core::cmp::Ordering::Greater => {
                    let impossible = tag == Tag::UNKNOWN || tag == self.store.shared.tag.under(own);
                    if impossible && !fault!(OwnFutureTaken) {
                        let theirs = Dot::new(own, seq);
                        return Err(PeerError::OwnFuture { theirs, own: top.get() }.into());
                    }
                    false
                }
            };
            if !agrees {
                suspects.push(origin);
            }
        }
        Ok(suspects)
    }

    /// The histories of some origins, as they are known here.
    pub(crate) fn histories(&self, origins: &[ReplicaId]) -> Result<Vec<History>, Error> {
        let snapshot = self.snapshot()?;
        let history = |origin: &ReplicaId| {
            let (origin, top) = (*origin, snapshot.vector.get(*origin));
            let Some(space) = snapshot.space else {
                return Ok(History { origin, top, stretches: Vec::new() });
            };
            let stretches = read_stretches(&*snapshot.rows, space, origin, (Seq::FIRST, top))?;
            Ok(History { origin, top, stretches })
        };
        origins.iter().map(history).collect()
    }

    /// Where this replica has made events in this opening, and shown none of them, the first.
    pub(crate) fn unshown(&self) -> Result<Option<Dot>, Error> {
        let snapshot = self.snapshot()?;
        let Some(space) = snapshot.space else { return Ok(None) };
        let own = self.replica();
        let newest = Dot::new(own, snapshot.vector.get(own));
        let stretch = stretch_at(&*snapshot.rows, space, newest)?;
        let shown = Seq::new(self.shared.shown.load(Ordering::SeqCst));
        Ok(stretch
            .filter(|(first, tag)| *tag == self.store.shared.tag.under(own) && *first > shown)
            .map(|(first, _)| Dot::new(own, first)))
    }

    /// What has given way elsewhere, as the peer's vector shows, and not here: it has seen
    /// events under the name that these get.
    pub(crate) fn given_up(&self, theirs: &TaggedVector) -> Result<Parted, Error> {
        let snapshot = self.snapshot()?;
        let Some(space) = snapshot.space else { return Ok(Parted::default()) };
        let theirs = theirs.iter().map(|(name, seq, _)| (name, seq));
        let theirs = forked_beyond(&snapshot.vector, theirs);
        let here = gone_by(&*snapshot.rows, space, &snapshot.vector, &theirs)?;
        Ok(Parted { here, there: Vec::new() })
    }

    /// Lays the peer's histories beside those known here.
    pub(crate) fn part(&self, theirs: &[History]) -> Result<Parted, Error> {
        let origins: Vec<_> = theirs.iter().map(|history| history.origin).collect();
        let own = self.replica();
        let unshown = self.unshown()?;
        let mut parted = Parted::default();
        for (mine, theirs) in self.histories(&origins)?.iter().zip(theirs) {
            let History { origin, top, ref stretches } = *mine;
            match parting((stretches, top), (&theirs.stretches, theirs.top)) {
                Parting::None if origin == own && theirs.top > top => {
                    parted.here.push(GivesWay { origin, after: top, tag: None, alone: false });
                }
                Parting::None => {}
                Parting::After { seq, left_gives_way, tag } => {
                    // Nobody else has it: so it costs nobody else anything.
                    let alone = unshown == Some(Dot::new(origin, seq.next()));
                    let tag = if alone { self.store.shared.tag.under(own) } else { tag };
                    if alone || left_gives_way {
                        parted.here.push(GivesWay { origin, after: seq, tag: Some(tag), alone });
                    } else {
                        parted.there.push(origin);
                    }
                }
            }
        }
        Ok(parted)
    }

    /// Which of the store's [ways](Store::ways) was the newest here, or a later one: no session
    /// that began before it goes on behind what was staged of this space.
    pub(crate) fn way(&self) -> u64 {
        self.shared.way.load(Ordering::SeqCst)
    }

    /// Takes a fresh name, as where names give way, before the first write of an opening under
    /// one that has half as many stretches as there may be. Peers refuse more than that; a
    /// write that is no transaction of the application's does not ask.
    pub(super) fn renew_name(&self, writer: &mut WriterGuard<'_>) -> Result<(), Error> {
        if self.shared.tagged.load(Ordering::SeqCst) {
            return Ok(());
        }
        let snapshot = self.snapshot()?;
        let Some(number) = snapshot.space else { return Ok(()) };
        let most = self.store.tuning().stretches / 2;
        let newest = Dot::new(self.replica(), snapshot.vector.get(self.replica()));
        if count_stretches(&*snapshot.rows, number, newest, most)? < most {
            return Ok(());
        }
        drop(snapshot);
        writer.settle_group();
        let (mut replica, tag) = (newest.replica, self.store.shared.tag);
        writer.commit(Durability::Immediate, &mut |rows| {
            use_up_name(rows, self.name(), tag)?;
            replica = name_in(rows, self.store.replica(), self.name())?;
            Ok(Verdict::Commit)
        })?;
        self.shared.begin_anew(replica);
        Ok(())
    }

    /// Gives way, in one commit; sessions about this space that are under way end. Nothing
    /// where another session has meanwhile shown what nobody else had.
    ///
    /// # Errors
    /// The storage failed, or the space changed its generation since this one: nothing has changed.
    pub(crate) fn give_way(
        &self,
        generation: u64,
        parted: &Parted,
        peer: ReplicaId,
    ) -> Result<Option<Vec<Fork>>, Error> {
        let (now_ms, options) = (self.store.shared.now_ms(), &self.store.shared.options);
        let mut guard = self.store.shared.writer()?;
        self.check_generation(generation)?;
        let unshown = self.unshown()?;
        let shown =
            |way: &GivesWay| way.alone && unshown != Some(Dot::new(way.origin, way.after.next()));
        if parted.here.iter().any(shown) {
            return Ok(None);
        }
        let (own, tag) = (self.replica(), self.store.shared.tag);
        let mut forks = Vec::new();
        let mut replica = own;
        self.in_batch::<(), Error>(&mut guard, Durability::Immediate, |mut batch| {
            batch.trash.taker = Some(Taker::new(peer, now_ms, options));
            batch.clear_staging()?;
            let name = |gives: &GivesWay| gives.tag.map(|tag| forked(gives.after.next(), tag));
            let mut renamings: Vec<Renaming> = Vec::new();
            for gives in &parted.here {
                let GivesWay { origin, after, .. } = *gives;
                renamings.extend(name(gives).map(|to| Renaming { origin, after, to }));
            }
            // What is given a name here gives it up, if it must, when the space is opened again.
            let given: BTreeSet<_> = renamings.iter().map(|renaming| renaming.to).collect();
            renamings.retain(|renaming| !given.contains(&renaming.origin));
            batch.rename(&renamings)?;
            for gives in parted.here.iter().filter(|gives| !given.contains(&gives.origin)) {
                let GivesWay { origin, after, .. } = *gives;
                let renamed = name(gives);
                let writes_as = if origin == own {
                    use_up_name(batch.rows, self.name(), tag)?;
                    replica = name_in(batch.rows, self.store.replica(), self.name())?;
                    Some(replica)
                } else {
                    None
                };
                let (space, replica) = (self.name().to_owned(), origin);
                forks.push(Fork { space, replica, after, renamed, writes_as });
            }
            Ok(((), Some(batch)))
        })?;
        let way = if fault!(ForkIsNoWay) { self.way() } else { self.store.parts_ways() };
        self.shared.way.store(way, Ordering::SeqCst);
        self.shared.begin_anew(replica);
        Ok(Some(forks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::chunk::{Chunk, Event, Last};
    use crate::space::staging::Taken;
    use crate::space::tests::{replica, staging::incoming};
    use crate::space::{MassRemoval, Store};

    fn brings(space: &Space, chunk: &Chunk) -> Taken {
        let (mut incoming, _) = incoming(space, 9);
        let told = (*space.snapshot().unwrap().vector).clone();
        incoming.take(&chunk.spelled(), &told, (&told, MassRemoval::default()), 0).unwrap()
    }

    /// A delta of nothing, which says that so much was seen under the name that events get which
    /// begin with this one.
    fn was_seen(first: u64, tag: Tag, seq: Seq) -> Chunk {
        let vector: VersionVector = [(forked(Seq::new(first), tag), seq)].into_iter().collect();
        Chunk { last: Some(Last { vector, ..Last::default() }), ..Chunk::default() }
    }

    fn all_was_seen(tag: Tag) -> Chunk {
        was_seen(1, tag, Seq::MAX)
    }

    /// A peer, which knows how this opening tags what it makes, says first that all was seen under
    /// the name that its events would get, and then that the one they have has forked.
    #[test]
    fn what_goes_because_its_new_name_was_seen_is_in_the_trash() {
        let store = Store::in_memory();
        let space = store.space("main").unwrap();
        let own = space.replica();
        assert!(matches!(
            brings(&space, &all_was_seen(store.shared.tag.under(own))),
            Taken::Committed(_)
        ));
        space.set("cart").add(&1_u32).unwrap();
        space.snapshot_to_show(space.generation()).unwrap();
        let lie = |byte| {
            let stretches = vec![(Seq::FIRST, Tag::from_bytes([byte; 8]))];
            space.part(&[History { origin: own, top: Seq::FIRST, stretches }]).unwrap()
        };
        let parted = [lie(0), lie(0xff)].into_iter().find(|parted| parted.here.len() == 1);
        space.give_way(space.generation(), &parted.unwrap(), replica(9)).unwrap();
        let status = space.status().unwrap();
        assert_eq!((status.items, status.trash_items), (0, 1));
        assert!(store.check().unwrap().is_sound());
    }

    /// Who holds events under the name that they had would hold them twice: the next session
    /// finds out, before anything is sent.
    #[test]
    fn what_is_here_under_its_old_name_is_not_taken_under_the_new() {
        let store = Store::in_memory();
        let space = store.space("main").unwrap();
        let (honest, tag) = (replica(1), Tag::from_bytes([9; 8]));
        let first = Dot::new(honest, Seq::FIRST);
        let place = b"k\0\0\x05e\0\0\0".to_vec();
        let item = Event::Item { place, past: VersionVector::new(), payload: Vec::new() };
        let vector: VersionVector = [(honest, Seq::FIRST)].into_iter().collect();
        let last = Last { vector: vector.clone(), stretches: vec![(first, tag)], claims: vec![] };
        let told = Chunk { events: vec![(first, item)], upto: vector, last: Some(last) };
        assert!(matches!(brings(&space, &told), Taken::Committed(_)));
        assert_eq!(brings(&space, &all_was_seen(tag)), Taken::Forked);
        let elsewhere = Tag::from_bytes([8; 8]);
        assert!(matches!(brings(&space, &all_was_seen(elsewhere)), Taken::Committed(_)));
        assert_eq!(space.status().unwrap().items, 1);
    }

    /// Of the new name there was seen, by a lie, as much as comes before its first event: that is
    /// nothing of it yet.
    #[test]
    fn a_new_name_is_seen_where_its_first_event_is() {
        let store = Store::in_memory();
        let space = store.space("main").unwrap();
        let (honest, tag) = (replica(1), Tag::from_bytes([9; 8]));
        let name = forked(Seq::new(2), tag);
        assert!(matches!(brings(&space, &was_seen(2, tag, Seq::FIRST)), Taken::Committed(_)));
        let last = Last {
            vector: [(honest, Seq::new(2))].into_iter().collect(),
            stretches: vec![(Dot::new(honest, Seq::new(2)), tag)],
            claims: vec![],
        };
        let told = Chunk { last: Some(last), ..Chunk::default() };
        assert!(matches!(brings(&space, &told), Taken::Committed(_)));
        assert_eq!(brings(&space, &was_seen(2, tag, Seq::new(2))), Taken::Forked);
        let gives_way = |seq| {
            let theirs: VersionVector = [(name, Seq::new(seq))].into_iter().collect();
            space.given_up(&TaggedVector::untagged(&theirs)).unwrap().here
        };
        assert_eq!(gives_way(1), []);
        let [GivesWay { origin, after, .. }] = gives_way(2)[..] else { panic!("not found out") };
        assert_eq!((origin, after), (honest, Seq::FIRST));
    }
}
