//! What events are called now that somebody named before one of two histories gave way.
//!
//! A read context that is kept while names give way speaks of events by the names that they
//! had, and one that is handed to whoever holds the other history of events that are not there:
//! each under dots that others have here. But it says with which [tag](Tag) each entry ends,
//! and a tag and a seq name one event. So an entry that is not of the history known here under its
//! name is looked for under those that were given to what gave way; where it is found, it stands for
//! what that name has up to it, and what the old name has up to where that begins.

use super::fork::is_forked;
use super::view::View;
use crate::causal::{Dot, ReplicaId, Seq, Tag, TaggedVector, VersionVector};
use crate::error::{Error, UsageError};
use crate::storage::StorageError;

/// What was seen, by the names that it has here now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CalledNow {
    pub(super) seen: VersionVector,
    /// What of that has its old name still, of a name of which the rest was renamed.
    before: VersionVector,
}

impl CalledNow {
    /// Whether a read that has seen `now` would have been this one: of what was renamed no item
    /// need name what its old name had before.
    pub(super) fn is_of(&self, now: &TaggedVector) -> bool {
        let mut now = now.vector();
        now.join(&self.before);
        now == self.seen
    }
}

/// Where more names than this were given to what gave way, none is looked for: each may have to
/// be held against each other one.
const BRANCHES: usize = 256;

/// A name that was given to what gave way, and the first event that has it.
struct Branch {
    name: ReplicaId,
    first: Seq,
}

/// What was seen elsewhere or earlier, by the names that it has here now.
///
/// # Errors
/// Something of it was not seen here; or the storage failed.
pub(super) fn called_now(view: &View<'_>, seen: &TaggedVector) -> Result<CalledNow, Error> {
    let mut found = CalledNow::default();
    let mut branches = None;
    for (origin, seq, tag) in seen.iter() {
        let dot = Dot::new(origin, seq);
        if view.covers(dot) && view.tag_of(dot)?.agrees(tag) {
            found.seen.advance(dot);
            continue;
        }
        let branches: &Vec<Branch> = match &mut branches {
            Some(branches) => branches,
            none => none.insert(branches_of(view)?),
        };
        let Some(branch) = branch_of(view, branches, seq, tag)? else {
            return Err(UsageError::ContextAhead { dot }.into());
        };
        let before = before(view, branches, branch);
        if !view.covers(Dot::new(origin, before)) {
            return Err(UsageError::ContextAhead { dot }.into());
        }
        found.seen.advance(Dot::new(branch.name, seq));
        if !before.is_zero() {
            found.seen.advance(Dot::new(origin, before));
            found.before.advance(Dot::new(origin, before));
        }
    }
    Ok(found)
}

fn branches_of(view: &View<'_>) -> Result<Vec<Branch>, StorageError> {
    let mut branches = Vec::new();
    for (name, _) in view.origins().filter(|entry| is_forked(entry.0)) {
        if let Some(first) = view.first_tagged(name)? {
            branches.push(Branch { name, first });
        }
        if branches.len() > BRANCHES {
            return Ok(Vec::new());
        }
    }
    Ok(branches)
}

/// The branch on which an event of this tag stands.
fn branch_of<'b>(
    view: &View<'_>,
    branches: &'b [Branch],
    seq: Seq,
    tag: Tag,
) -> Result<Option<&'b Branch>, StorageError> {
    for branch in branches.iter().filter(|_| tag != Tag::UNKNOWN) {
        let dot = Dot::new(branch.name, seq);
        if view.covers(dot) && view.tag_of(dot)? == tag {
            return Ok(Some(branch));
        }
    }
    Ok(None)
}

/// Up to where the events that went before a branch have the name that all had at first. Some
/// of them may be those of another branch, from which this one parted later, and no name says
/// so: where one goes so far, only what comes before it counts. What is left out is not
/// replaced, and stands beside what is written.
fn before(view: &View<'_>, branches: &[Branch], branch: &Branch) -> Seq {
    let mut upto = branch.first.prev();
    let others = || branches.iter().filter(|other| other.name != branch.name);
    loop {
        let holds =
            |other: &&Branch| other.first <= upto && view.covers(Dot::new(other.name, upto));
        match others().filter(holds).map(|other| other.first).min() {
            Some(first) => upto = first.prev(),
            None => return upto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::chunk::{Chunk, Last};
    use crate::space::fork::forked;
    use crate::space::tests::{replica, staging::incoming};
    use crate::space::{MassRemoval, Store};

    /// Anybody can make a token, of a name of which nobody here has seen anything.
    #[test]
    fn a_context_that_was_made_up_names_nothing_that_was_not_seen() {
        let store = Store::in_memory();
        let space = store.space("main").unwrap();
        let (first, tag) = (Seq::new(5), Tag::from_bytes([7; 8]));
        let dot = Dot::new(forked(first, tag), first);
        let vector: VersionVector = [(dot.replica, first)].into_iter().collect();
        let last = Last { vector, stretches: vec![(dot, tag)], claims: vec![] };
        let told = VersionVector::new();
        let (mut incoming, _) = incoming(&space, 9);
        let chunk = Chunk { last: Some(last), ..Chunk::default() };
        incoming.take(&chunk.spelled(), &told, (&told, MassRemoval::default()), 0).unwrap();
        let seen = TaggedVector::from_sorted(vec![(replica(1), first, tag)]).unwrap();
        let called = called_now(&space.snapshot().unwrap().view(), &seen);
        assert!(matches!(called, Err(Error::Usage(UsageError::ContextAhead { .. }))), "{called:?}");
    }
}
