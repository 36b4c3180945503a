//! What a session tells the application.

use std::collections::BTreeSet;

use crate::causal::ReplicaId;
use crate::digest::RootHash;
#[cfg(any(doc, test))]
use crate::space::MassRemoval;
use crate::space::{Equivocation, Fork, Held};

/// What a session did, in all its spaces together and in each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Who was met, once the hello came.
    pub peer: Option<ReplicaId>,
    /// How often this side sent something that was waited upon and answered. Mere
    /// acknowledgements of chunks do not count: nobody waits for them one by one.
    pub round_trips: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Bytes of the frames sent.
    pub bytes_sent: u64,
    /// Bytes of the frames received.
    pub bytes_received: u64,
    /// Live items sent.
    pub items_sent: u64,
    /// Live items received.
    pub items_received: u64,
    /// Removal records sent.
    pub removals_sent: u64,
    /// Removal records received.
    pub removals_received: u64,
    /// Items dropped here because a walk of the digests showed that the peer, who had
    /// seen them, no longer held them.
    pub repaired: u64,
    /// Items written anew here although the peer, who had seen them, no longer held them:
    /// because that was decided ([`MassRemoval::Keep`]).
    pub kept: u64,
    /// Names under which two histories were found, and what was renamed here for it: each is
    /// told once.
    pub forks: Vec<Fork>,
    /// Events that two stores made under one name, each with another content, and of which both
    /// live: each is told once.
    pub equivocations: Vec<Equivocation>,
    /// What became of each space, in the order in which they were opened.
    pub spaces: Vec<SpaceReport>,
    /// Whether the session ran to its end.
    pub finished: bool,
}

impl Report {
    /// Whether the session ran to its end and every space of it is proven equal.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.finished && self.spaces.iter().all(|space| space.why.is_none())
    }

    /// Whether another session has something to tell the peer that this one brought about: see
    /// [`SpaceReport::untold`].
    #[must_use]
    pub fn is_untold(&self) -> bool {
        self.spaces.iter().any(|space| space.untold)
    }

    /// What two sessions with one peer about the same spaces did together, this one behind
    /// `earlier`, which was cut or left something [untold](Self::is_untold).
    ///
    /// A session names the spaces that it had to compare: of those that only the earlier one
    /// named, one that came to its end has found nothing that differs.
    #[must_use]
    pub fn behind(self, earlier: Self) -> Self {
        let Self {
            peer,
            round_trips,
            frames_sent,
            frames_received,
            bytes_sent,
            bytes_received,
            items_sent,
            items_received,
            removals_sent,
            removals_received,
            repaired,
            kept,
            mut forks,
            mut equivocations,
            mut spaces,
            finished: _,
        } = earlier;
        forks.extend(self.forks);
        equivocations.extend(self.equivocations);
        let named: BTreeSet<_> = self.spaces.iter().map(|space| space.name.clone()).collect();
        spaces.retain(|space| !named.contains(&space.name));
        if self.finished {
            for space in &mut spaces {
                (space.why, space.not_taken, space.held) = (None, false, None);
                space.untold = false;
            }
        }
        spaces.extend(self.spaces);
        Self {
            peer: self.peer.or(peer),
            round_trips: self.round_trips + round_trips,
            frames_sent: self.frames_sent + frames_sent,
            frames_received: self.frames_received + frames_received,
            bytes_sent: self.bytes_sent + bytes_sent,
            bytes_received: self.bytes_received + bytes_received,
            items_sent: self.items_sent + items_sent,
            items_received: self.items_received + items_received,
            removals_sent: self.removals_sent + removals_sent,
            removals_received: self.removals_received + removals_received,
            repaired: self.repaired + repaired,
            kept: self.kept + kept,
            forks,
            equivocations,
            spaces,
            finished: self.finished,
        }
    }

    /// What became of the space of this name.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&SpaceReport> {
        self.spaces.iter().find(|space| space.name == name)
    }
}

/// What became of one space in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceReport {
    /// Its name.
    pub name: String,
    /// The root that both sides have at what both have seen; none where it was not proven, or
    /// not asked for, since neither side has changed.
    pub root: Option<RootHash>,
    /// Why it is not proven equal; none where it is.
    pub why: Option<Why>,
    /// Whether the side that may only receive has seen events that the other has not, and
    /// which were not taken: then what is proven equal is what the giving side has seen.
    pub not_taken: bool,
    /// What is held back here of what the peer claims.
    pub held: Option<Held>,
    /// Whether this side wrote something once all was proven, which the peer hears of in the next
    /// session: of [adopted](crate::Store::adopt) items those went that are there under another
    /// dot, so that for now they count twice at the peer.
    pub untold: bool,
}

impl SpaceReport {
    /// Of a space that was not even begun.
    pub(super) const fn never_begun(name: String, why: Why) -> Self {
        let (root, why) = (None, Some(why));
        Self { name, root, why, not_taken: false, held: None, untold: false }
    }
}

/// Why a space is not proven equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The session is not over, or was cut; or the two went on changing while they
    /// compared, and the next session has to prove it.
    Unfinished,
    /// Another session took over the staging that this one fed.
    Displaced,
    /// The two go on differing after what can be repaired was: a side does not tell the truth.
    Diverged,
    /// One side takes nothing from the other ([`SessionOptions::receive_only`]), which goes on
    /// differing: it removed or replaced, on its own, some of what the giving side holds.
    ///
    /// [`SessionOptions::receive_only`]: super::SessionOptions::receive_only
    ReceiveOnly,
    /// One side claims that very many items were removed, without records of that, and the
    /// other holds this back until somebody decides: see [`MassRemoval`].
    Held,
    /// The space was dropped, or names in it were changed by another session, here or at the
    /// peer, while the two compared it.
    Dropped,
    /// One side has staged as much of the other's deltas as it may
    /// ([`Options::staging_bytes`](crate::Options::staging_bytes)); what it had of this space is gone.
    StagedTooMuch,
    /// Two histories were found under one name, and one side has given those of its events that
    /// part from it another; or what is staged of the space is from before such a thing, or from
    /// before its sender dropped it. The space is opened once more.
    Renamed,
    /// Two histories were found under one name, and neither side gives way: one of them may only
    /// receive, or does not tell the truth.
    Forked,
    /// For a reason that a newer version of the peer knows.
    Unknown,
}

impl Why {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Unfinished => 1,
            Self::Displaced => 2,
            Self::Diverged => 3,
            Self::ReceiveOnly => 4,
            Self::Held => 5,
            Self::Dropped => 6,
            Self::StagedTooMuch => 7,
            Self::Renamed => 8,
            Self::Forked => 9,
            Self::Unknown => 0,
        }
    }

    pub(super) const fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Unfinished,
            2 => Self::Displaced,
            3 => Self::Diverged,
            4 => Self::ReceiveOnly,
            5 => Self::Held,
            6 => Self::Dropped,
            7 => Self::StagedTooMuch,
            8 => Self::Renamed,
            9 => Self::Forked,
            _ => Self::Unknown,
        }
    }
}

impl core::fmt::Display for Why {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "not proven yet: the session ended early, or both went on changing",
            Self::Displaced => "another session took over what this one was staging",
            Self::Diverged => "the replicas go on differing: one of them does not tell the truth",
            Self::ReceiveOnly => {
                "the side that only receives has changed what it received, and nothing is taken from it"
            }
            Self::Held => {
                "one side claims, without removal records, that very many items were removed, and the other holds that back until somebody decides"
            }
            Self::Dropped => "the space was dropped, or names in it changed, meanwhile",
            Self::StagedTooMuch => {
                "one side stages no more bytes for the other; raise Options::staging_bytes there"
            }
            Self::Renamed => {
                "events were renamed, or the space was dropped, and it is opened once more"
            }
            Self::Forked => {
                "two histories go by one name, and neither side gives way: one may only receive, or does not tell the truth"
            }
            Self::Unknown => "for a reason that only a newer version knows",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The earlier session had to hold something back, and somebody decided; the later one found
    /// nothing that differs, and so does not name the space.
    #[test]
    fn what_was_held_back_is_not_told_once_all_is_equal() {
        let held = Held {
            peer: ReplicaId::from_bytes([1; 16]),
            items: 9,
            removed: 0,
            of: 9,
            decision: MassRemoval::Hold,
        };
        let space = SpaceReport {
            not_taken: true,
            held: Some(held),
            ..SpaceReport::never_begun("main".to_owned(), Why::Held)
        };
        let earlier = || Report { spaces: vec![space.clone()], ..Report::default() };
        let cut = Report::default().behind(earlier());
        assert_eq!(cut.spaces, earlier().spaces);
        let ended = Report { finished: true, ..Report::default() }.behind(earlier());
        assert!(ended.converged());
        assert_eq!((ended.spaces[0].held, ended.spaces[0].not_taken), (None, false));
    }
}
