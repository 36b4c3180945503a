//! What an event is called for ever, though its name may change.
//!
//! The oracle goes by dots. But where two stores go on under one name, one dot names two
//! events, and where one of the two histories [gives way](crate::space::Fork), one event gets
//! another dot. What stays is its [`Tag`] and its seq. So in worlds that have such stores, all
//! that a replica shows is told to the oracle in dots of *lines*: the events that one opening
//! made under one name. A line's name is made of its tag, and a vector has an entry for each
//! line that it covers anything of. In these terms a vector only rises and what is dead stays
//! dead, also while names give way.
//!
//! In the other worlds a line is called as its replica, and nothing is asked of the store.

use std::borrow::Cow;

use super::world::World;
use super::wrong::Wrong;
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::error::Error;
use crate::space::{Item, Snapshot, Space};

/// To which line each event of a space belongs, as a replica knows it at one moment.
pub(super) struct Lines {
    /// With which events lines begin, ascending; none where a line is called as its replica.
    begins: Option<Vec<(Dot, Tag)>>,
}

/// What the line of a tag is called.
pub(super) fn line_of(tag: Tag) -> ReplicaId {
    let [a, b, c, d, e, f, g, h] = *tag.as_bytes();
    ReplicaId::from_bytes([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0])
}

impl Lines {
    /// Those of names that never give way.
    pub(super) const fn of_names() -> Self {
        Self { begins: None }
    }

    /// What an event is called for ever.
    pub(super) fn dot(&self, dot: Dot) -> Dot {
        let Some(begins) = &self.begins else { return dot };
        let after = begins.partition_point(|(first, _)| *first <= dot);
        let begun = after.checked_sub(1).and_then(|at| begins.get(at));
        match begun.filter(|(first, _)| first.replica == dot.replica) {
            Some((_, tag)) => Dot::new(line_of(*tag), dot.seq),
            // Nobody says who made it: a peer that lied, or a rule that is broken on purpose.
            None => dot,
        }
    }

    /// With the line of a tag, which this event begins or goes on.
    pub(super) fn begun(mut self, event: Dot, tag: Tag) -> Self {
        if self.dot(event).replica != line_of(tag)
            && let Some(begins) = &mut self.begins
        {
            let at = begins.partition_point(|(first, _)| *first <= event);
            begins.insert(at, (event, tag));
        }
        self
    }

    pub(super) fn item(&self, item: Item) -> Item {
        Item { dot: self.dot(item.dot), ..item }
    }

    pub(super) fn items<'i>(&self, items: &'i [Item]) -> Cow<'i, [Item]> {
        match &self.begins {
            None => Cow::Borrowed(items),
            Some(_) => items.iter().map(|item| self.item(item.clone())).collect(),
        }
    }

    /// An entry for each line of which the vector covers anything.
    pub(super) fn vector<'v>(&self, vector: &'v VersionVector) -> Cow<'v, VersionVector> {
        let Some(begins) = &self.begins else { return Cow::Borrowed(vector) };
        let mut lines = VersionVector::new();
        for (replica, top) in vector.iter() {
            let from = begins.partition_point(|(first, _)| *first < Dot::new(replica, Seq::FIRST));
            let upto = begins.partition_point(|(first, _)| *first <= Dot::new(replica, top));
            let of = &begins[from..upto.max(from)];
            // Each goes on to where the next begins; before the first one nobody knows.
            let ends = of.iter().map(|(first, _)| first.seq.prev()).chain([top]);
            let names = [replica].into_iter().chain(of.iter().map(|(_, tag)| line_of(*tag)));
            for (line, end) in names.zip(ends).filter(|(_, end)| !end.is_zero()) {
                lines.advance(Dot::new(line, end));
            }
        }
        Cow::Owned(lines)
    }
}

impl World<'_> {
    /// The lines of a space at a moment of a replica.
    pub(super) fn lines_at(&self, snapshot: &Snapshot) -> Result<Lines, Error> {
        match self.config.twins {
            false => Ok(Lines::of_names()),
            true => Ok(Lines { begins: Some(snapshot.stretches()?) }),
        }
    }

    /// Those of a space as it is now at a replica.
    pub(super) fn lines(&self, r: usize, s: usize) -> Result<Lines, Wrong> {
        if !self.config.twins {
            return Ok(Lines::of_names());
        }
        let snapshot = self.replicas[r].space(s).snapshot();
        let lines = snapshot.and_then(|snapshot| self.lines_at(&snapshot));
        lines.map_err(|e| Wrong::at(r, "being asked who made what", e))
    }

    /// The line of what a replica writes in a space from now on.
    pub(super) fn line_of_space(&self, space: &Space) -> ReplicaId {
        match self.config.twins {
            true => line_of(space.opening()),
            false => space.replica(),
        }
    }

    /// A replica has just made its event of this seq: the line that it stands in, which is
    /// that of its opening.
    pub(super) fn learn_line(
        &mut self,
        r: usize,
        s: usize,
        (lines, made): (&Lines, Dot),
    ) -> Result<ReplicaId, Wrong> {
        let line = lines.dot(made).replica;
        let (name, at) = (self.replicas[r].name, &mut self.replicas[r].at[s]);
        if line != at.line && line != made.replica {
            let what = format!("TAG: {name} made {made} in another opening's line, {line}");
            return Err(what.into());
        }
        at.line = line;
        if self.config.twins {
            self.oracles[s].note_writer(line, made.replica);
        }
        Ok(line)
    }
}
