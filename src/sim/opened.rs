//! What is asked of a replica that was opened, again or for the first time.

use super::claims::Claimed;
use super::lines::Lines;
use super::oracle::Seen;
use super::replica::{AtSpace, Unsure};
use super::world::World;
use super::wrong::Wrong;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};

impl World<'_> {
    /// A transaction failed, and is there.
    pub(super) fn judge_unsure(&mut self, r: usize, s: usize, lines: &Lines, own: Seq) {
        let at = &mut self.replicas[r].at[s];
        if let Some(Unsure { first, last, deeds }) = at.unsure.take()
            && own.get() >= last
        {
            at.made = Seq::new(last);
            let oracle = &mut self.oracles[s];
            let line = lines.dot(Dot::new(at.id, at.made)).replica;
            oracle.note_writer(line, at.id);
            oracle.add_transaction(line, first, last);
            deeds.into_iter().for_each(|deed| deed.called(lines).add_to(oracle));
        }
    }

    /// What was acknowledged is there; of the rest the newest may be gone.
    pub(super) fn judge_opened(&mut self, r: usize, s: usize, kept: bool) -> Result<(), Wrong> {
        let failed = |error| Wrong::at(r, "a vector", error);
        let space = self.replicas[r].space(s).clone();
        let snapshot = space.snapshot().map_err(failed)?;
        let lines = self.lines_at(&snapshot).map_err(failed)?;
        let vector = lines.vector(snapshot.vector());
        let (id, line) = (space.replica(), self.line_of_space(&space));
        let own = snapshot.vector().get(id);
        if self.config.twins {
            let name = self.replicas[r].name;
            self.tell(|| format!("what {name} writes in space {s} is told as {line}'s"));
        }
        let copied = Claimed::copied(self.replicas.iter().map(|replica| &replica.at[s].claimed));
        let replica = &mut self.replicas[r];
        let (name, relaxed, is_twin) = (replica.name, replica.relaxed(), replica.is_twin);
        let at = &mut replica.at[s];
        (at.seen, at.commit) = (Seen::default(), 0);
        if is_twin && !vector.covers(&at.promised) {
            let gone = at.promised.beyond(&vector);
            return Err(format!("ACK: {name} was copied without {gone:?}, of space {s}").into());
        }
        if is_twin || !kept {
            // It begins anew, with what was copied.
            let promised = vector.into_owned();
            *at = AtSpace { made: own, promised, claimed: copied, ..AtSpace::of(id, line) };
            return self.claims_opened(r, s);
        }
        let before = core::mem::replace(&mut at.line, line);
        self.claims_opened(r, s)?;
        if self.replicas[r].at[s].id == id {
            self.judge_unsure(r, s, &lines, own);
        } else {
            self.note_fork(r, s, id, own);
        }
        let at = &self.replicas[r].at[s];
        if !vector.covers(&at.promised) {
            let gone = at.promised.beyond(&vector);
            return Err(format!("ACK: {name} no longer has {gone:?}, of space {s}").into());
        }
        if own > at.made {
            return Err(format!("ACK: {name} has {own:?} events, and made {:?}", at.made).into());
        }
        if own == at.made {
            return Ok(());
        }
        // What is written anew because of claims comes with a delta, which may be lost.
        let keeps = self.config.keeps && self.config.brakes();
        debug_assert!(relaxed || keeps, "what waits for the disk is acknowledged");
        self.undo(r, s, before, own)
    }

    /// A replica has lost its newest events, all of this line: nobody else may know them.
    fn undo(&mut self, r: usize, s: usize, line: ReplicaId, own: Seq) -> Result<(), Wrong> {
        let name = self.replicas[r].name;
        let at = &mut self.replicas[r].at[s];
        self.stats.undone += at.made.get() - own.get();
        at.made = own;
        self.tell(|| format!("{name} lost its events after {own:?} in space {s}"));
        self.oracles[s].forget(line, own);
        self.roots.retain(|(of, _), _| *of != s);
        let knows = |seen: &VersionVector| seen.get(line) > own;
        match self.replicas.iter().find(|other| knows(other.at[s].seen.vector())) {
            Some(other) => {
                let what = format!("ACK: {} knows events of {name} that were lost", other.name);
                Err(what.into())
            }
            None => Ok(()),
        }
    }
}
