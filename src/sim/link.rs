//! Two sessions and the frames between them.

use std::collections::VecDeque;

use crate::session::Session;

/// A connection between two replicas: the two sides, and what is in flight towards each.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [usize; 2],
    pub(super) sides: [Session; 2],
    pub(super) wires: [VecDeque<Vec<u8>>; 2],
    /// Whether a side has said that it has nothing to send, and nothing came since.
    pub(super) quiet: [bool; 2],
    pub(super) about: String,
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
        polls.chain((0..2).filter(|side| !self.wires[*side].is_empty()).map(Move::Deliver))
    }

    /// When the sides want to be woken, if nothing else can happen.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.sides.iter().filter_map(Session::poll_timeout).min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.sides.iter().all(Session::is_over)
    }
}
