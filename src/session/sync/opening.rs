//! The beginning of a space's talk: how it stands at each side, and what is to go.

use super::{Around, Message, OneWay, Outgoing, Phase, Sending, SpaceSync, protocol};
use crate::causal::{Causality, ReplicaId, TaggedVector, VersionVector};
use crate::codec::limits;
use crate::error::Error;
use crate::session::message::Standing;
use crate::session::report::Why;
use crate::space::{Incoming, Offer, Resumes, Space, VectorHash, feeder_name};

impl SpaceSync {
    /// Opens a space, which says how it stands here.
    pub(in crate::session) fn open(
        id: u64,
        space: Space,
        peer: Option<ReplicaId>,
    ) -> Result<Self, Error> {
        let mut sync = Self::new(id, space, true);
        let standing = sync.stand(peer)?;
        sync.root = Some(standing.root);
        let name = sync.space.name().to_owned();
        sync.queue.push_back(Message::Open { space: id, name, standing });
        Ok(sync)
    }

    /// Answers an opening of a space that was given up here before the peer knew.
    pub(in crate::session) fn given_up(id: u64, space: Space) -> Self {
        let mut sync = Self::new(id, space, false);
        sync.queue.push_back(Message::GiveUp { space: id, why: Why::Dropped });
        sync.end = Some(Err(Why::Dropped));
        sync
    }

    /// Answers the opening of a space.
    pub(in crate::session) fn answer(
        id: u64,
        space: Space,
        theirs: &Standing,
        around: &mut Around<'_>,
    ) -> Result<Self, Error> {
        let mut sync = Self::new(id, space, false);
        let standing = sync.stand(Some(around.peer))?;
        if (standing.hash, standing.root) == (theirs.hash, theirs.root) {
            sync.queue.push_back(Message::Same { space: id });
            sync.finish(around, sync.mine.clone(), standing.root)?;
            return Ok(sync);
        }
        let (incoming, staged) = Incoming::open(
            &sync.space,
            sync.generation,
            (around.peer, around.feeder),
            Resumes::Now,
        )?;
        sync.incoming = Some(incoming);
        let staged = (!staged.is_empty()).then_some((around.feeder, staged));
        sync.queue.push_back(Message::Answer {
            space: id,
            standing: Box::new(Standing { staged, ..*standing }),
        });
        sync.learn(theirs, around)?;
        Ok(sync)
    }

    /// How the space stands here; the vector against the base shared with `peer`, or with
    /// whoever was met last.
    fn stand(&mut self, peer: Option<ReplicaId>) -> Result<Box<Standing>, Error> {
        let now = self.space.standing_to_tell()?;
        let (vector, root) = (now.vector, now.root);
        self.touched_then = now.touched;
        let hash = VectorHash::of(&vector);
        let long = 20 * vector.len() > self.space.store().tuning().short_vector_bytes;
        let base = if long { self.space.base_with(peer)? } else { None };
        let known = base.map(|base| self.space.base(base)).transpose()?.flatten();
        let (base, changes) = match (base, known) {
            (Some(base), Some(known)) if vector.vector().covers(&known.vector()) => {
                (Some(base), vector.beyond(&known))
            }
            _ => (None, vector.clone()),
        };
        let mut offered = self.space.staged()?;
        // Both vectors must fit a frame; without this one the peer sends some of it again.
        offered.take_if(|offer| offer.upto.len() + changes.len() > limits::VECTOR_REPLICAS);
        self.mine = vector.vector();
        self.told.clone_from(&self.mine);
        self.mine_tagged = vector;
        self.offered.clone_from(&offered);
        let staged = offered.map(|offer| (offer.feeder, offer.upto));
        Ok(Box::new(Standing { hash, root, base, changes, staged }))
    }

    /// Learns how the space stands at the peer.
    fn learn(&mut self, theirs: &Standing, around: &mut Around<'_>) -> Result<(), Error> {
        self.one_way = around.one_way;
        let store = self.space.store();
        let own = feeder_name(store.replica(), store.opening(around.ways));
        let staged = theirs.staged.clone().filter(|(peer, _)| *peer == own).map(|(_, upto)| upto);
        if staged.is_some() && self.space.way() > around.ways {
            // It was staged before names gave way here, and stands there under the old ones; or
            // before the space was dropped here, and what it was is not what it is.
            self.give_up(around, Why::Renamed);
            return Ok(());
        }
        let base = match theirs.base {
            None => Some(TaggedVector::new()),
            Some(base) => self.space.base(base)?,
        };
        match base {
            Some(mut vector) => {
                vector.replace(&theirs.changes);
                if VectorHash::of(&vector) != theirs.hash {
                    return Err(protocol(
                        "a vector that does not have the hash it was said to have",
                    ));
                }
                self.exchange(vector, staged, around)
            }
            None => {
                self.awaited = Some((theirs.hash, staged));
                // In front of the answer: so that the vector comes before whatever the
                // answer sets off, a proof or a delta, which make no sense without it.
                self.queue.push_front(Message::WantVector { space: self.id });
                Ok(())
            }
        }
    }

    /// Both vectors are known: deltas may go.
    pub(super) fn exchange(
        &mut self,
        theirs: TaggedVector,
        staged: Option<VersionVector>,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if !self.check_forks(&theirs, around)? {
            return Ok(());
        }
        let counts = theirs.vector();
        self.theirs_tagged = theirs;
        let (mine, theirs) = self.what_counts(counts);
        let order = mine.compare(&theirs);
        // Where the opener had to ask for the vector, the whole delta of the answerer, who
        // had not, may have come before it.
        self.theirs.join(&theirs);
        self.cut.join(&mine);
        self.cut.join(&theirs);
        let outgoing = Outgoing::new(&self.theirs, &staged.unwrap_or_default(), self.generation);
        #[cfg(rejoin_faults)]
        let outgoing = outgoing.looking_early(&self.space)?;
        self.outgoing = Some(outgoing);
        self.awaiting =
            matches!(order, Causality::Before | Causality::Concurrent) && !self.delta_ended;
        if matches!(order, Causality::After | Causality::Concurrent) {
            self.sending = Some(Sending::Delta);
        }
        self.phase = Phase::Exchange;
        self.maybe_prove(around)
    }

    /// The two vectors as far as they count: of what the giving side does not take the other
    /// has seen nothing.
    fn what_counts(&mut self, theirs: VersionVector) -> (VersionVector, VersionVector) {
        let both = theirs.meet(&self.mine);
        let OneWay { here, there } = self.one_way;
        self.not_taken = here && both != theirs || there && both != self.mine;
        let mine = if there { both.clone() } else { self.mine.clone() };
        (mine, if here { both } else { theirs })
    }

    pub(super) fn take_answer(
        &mut self,
        theirs: &Standing,
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        let offered = self.offered.take().filter(|offer| offer.feeder == around.feeder);
        let names = (around.peer, around.feeder);
        let (incoming, staged) =
            Incoming::open(&self.space, self.generation, names, Resumes::Told(offered.as_ref()))?;
        self.incoming = Some(incoming);
        // What was offered may have been cleared since, or another session may have gone on with
        // it; then the peer leaves out what is not here, and its delta must not be taken.
        if let Some(Offer { upto, .. }) = offered
            && !staged.covers(&upto.beyond(self.space.snapshot()?.vector()))
        {
            self.give_up(around, Why::Displaced);
            return Ok(());
        }
        self.learn(theirs, around)
    }
}
