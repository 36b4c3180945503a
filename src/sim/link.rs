//! Two sessions and the frames between them.

use std::collections::VecDeque;

use crate::session::Session;
use crate::space::MassRemoval;

/// A connection between two replicas: the two sides, and what is in flight towards each.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [usize; 2],
    pub(super) sides: [Session; 2],
    pub(super) wires: [Wire; 2],
    /// Whether a side has said that it has nothing to send, and nothing came since.
    pub(super) quiet: [bool; 2],
    /// Times in a hundred that the pipe does not keep what it promises.
    pub(super) bad_percent: usize,
    /// Whether a frame was lost, repeated or swapped, or a side has gone without a word: then
    /// the session may end with an error, or not at all.
    pub(super) spoilt: bool,
    /// What each side was told to do about claims that take away much.
    pub(super) asked: [MassRemoval; 2],
    /// Whether a side has come to its end, at which all it has is on disk.
    pub(super) promised: [bool; 2],
    /// Whether one of them dropped a space meanwhile.
    pub(super) dropped: bool,
    /// Times that a side was woken and nothing came.
    pub(super) wakes: usize,
    /// Whether the network is parted between the two.
    pub(super) parted: bool,
    pub(super) about: String,
}

/// One direction of a connection: frames, and how much of the first has arrived, where the
/// pipe is one of bytes.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) frames: VecDeque<Vec<u8>>,
    pub(super) of_bytes: bool,
    pub(super) arrived_bytes: usize,
}

impl Wire {
    /// So many bytes more arrive; the frame that they complete, if they do.
    pub(super) fn arrive(&mut self, bytes: usize) -> Option<Vec<u8>> {
        self.arrived_bytes += bytes;
        if self.of_bytes && self.arrived_bytes < self.frames.front()?.len() {
            return None;
        }
        self.arrived_bytes = 0;
        self.frames.pop_front()
    }
}

/// What may happen next on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Poll(usize),
    Deliver(usize),
}

impl Link {
    pub(super) fn moves(&self) -> impl Iterator<Item = Move> + '_ {
        let polls = (0..2).filter(|side| !self.quiet[*side]).map(Move::Poll);
        let comes = |side: &usize| !self.parted && !self.wires[*side].frames.is_empty();
        polls.chain((0..2).filter(comes).map(Move::Deliver))
    }

    /// When the sides want to be woken, if nothing else can happen.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.sides.iter().filter_map(Session::poll_timeout).min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.sides.iter().all(Session::is_over)
    }
}
