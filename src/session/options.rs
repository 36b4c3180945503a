//! What a session is told, beside the store and what it is about.

use crate::space::MassRemoval;

/// What a session is told, beside the store and what it is about. Each side has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The peer may only receive: no at first. It gets what this replica has, and nothing of
    /// what it sends is taken: vector, items and root here stay as they are, whatever it says.
    ///
    /// The peer is told at the beginning, so that an honest one sends nothing to be taken; one
    /// that does nevertheless ends the session with
    /// [`ReceiveOnly`](crate::PeerError::ReceiveOnly). What the two compare at the end is what
    /// *this* replica has seen: where that is equal the space counts as proven, and
    /// [`SpaceReport::not_taken`](super::SpaceReport::not_taken) says whether the peer has seen more
    /// beside it. Where the peer has removed or replaced some of that on its own, it is
    /// [`Why::ReceiveOnly`](super::Why::ReceiveOnly).
    pub receive_only: bool,
    /// What to do where the peer's claims, without removal records, would take away very many
    /// items of a space ([`Options::brake_items`](crate::Options::brake_items)): held back at first,
    /// unless [`Space::decide`](crate::Space::decide) has decided for this peer. It counts in all spaces
    /// of the session, and for what is claimed in it: that is found anew.
    pub mass_removal: MassRemoval,
}

/// Which of two sides takes nothing from the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OneWay {
    /// This side takes nothing.
    pub(super) here: bool,
    /// The peer takes nothing.
    pub(super) there: bool,
}

impl OneWay {
    pub(super) const fn either(self) -> bool {
        self.here || self.there
    }
}
