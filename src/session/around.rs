//! What the spaces of a session share.

use super::options::OneWay;
use super::report::Report;
use crate::causal::ReplicaId;
use crate::space::MassRemoval;

/// What a space's machine is handed with each call.
pub(super) struct Around<'a> {
    pub(super) now_ms: u64,
    pub(super) peer: ReplicaId,
    /// The name under which it stages.
    pub(super) feeder: ReplicaId,
    /// How often names had given way here when the session began.
    pub(super) ways: u64,
    pub(super) key: &'a [u8; 32],
    pub(super) one_way: OneWay,
    pub(super) mass_removal: MassRemoval,
    pub(super) report: &'a mut Report,
    /// Chunks sent and not yet taken, in the whole session.
    pub(super) under_way: &'a mut u64,
}

impl<'a> Around<'a> {
    pub(super) fn new(
        now_ms: u64,
        peer: &'a Peer,
        report: &'a mut Report,
        under_way: &'a mut u64,
    ) -> Self {
        let Peer { replica, feeder, ways, ref key, one_way, mass_removal } = *peer;
        Self { now_ms, peer: replica, feeder, ways, key, one_way, mass_removal, report, under_way }
    }
}

/// Who is at the other side.
pub(super) struct Peer {
    pub(super) replica: ReplicaId,
    pub(super) feeder: ReplicaId,
    pub(super) ways: u64,
    /// Shortens hashes in this session.
    pub(super) key: [u8; 32],
    pub(super) one_way: OneWay,
    pub(super) mass_removal: MassRemoval,
}
