//! What is asked of a replica that was opened, again or for the first time.

use std::borrow::Cow;

use super::claims::Claimed;
use super::lines::Lines;
use super::oracle::{Oracle, Seen};
use super::replica::{AtSpace, Unsure};
use super::world::World;
use super::wrong::Wrong;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};

impl Unsure {
    /// It is there after all, made under this name.
    fn add_to(self, oracle: &mut Oracle, id: ReplicaId, lines: &Lines) {
        let line = lines.dot(Dot::new(id, Seq::new(self.last))).replica;
        oracle.note_writer(line, id);
        oracle.add_transaction(line, self.first, self.last);
        self.deeds.into_iter().for_each(|deed| deed.called(lines).add_to(oracle));
    }
}

impl World<'_> {
    /// A transaction failed, and is there.
    pub(super) fn judge_unsure(&mut self, r: usize, s: usize, lines: &Lines, own: Seq) {
        let at = &mut self.replicas[r].at[s];
        if let Some(unsure) = at.unsure.take()
            && own.get() >= unsure.last
        {
            at.made = Seq::new(unsure.last);
            unsure.add_to(&mut self.oracles[s], at.id, lines);
        }
    }

    /// The oracle for what a replica shows of a space, of which it has so many events of its
    /// own. Where its disk failed in a commit, that may be in the file, whatever the disk holds
    /// of it: it shows here and, until the store was opened anew, to nobody else.
    pub(super) fn oracle_for(
        &self,
        r: usize,
        s: usize,
        lines: &Lines,
        own: Seq,
    ) -> Cow<'_, Oracle> {
        let (replica, oracle) = (&self.replicas[r], &self.oracles[s]);
        let at = &replica.at[s];
        match at.unsure.as_ref().filter(|unsure| replica.stuck && own.get() >= unsure.last) {
            None => Cow::Borrowed(oracle),
            Some(unsure) => {
                let mut oracle = oracle.clone();
                unsure.clone().add_to(&mut oracle, at.id, lines);
                Cow::Owned(oracle)
            }
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
        let nothing = snapshot.vector().is_empty();
        let was_dropping = core::mem::take(&mut at.is_dropping);
        if was_dropping && nothing && (id != at.id || at.made.is_zero()) {
            return self.note_drop(r, s, None);
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
