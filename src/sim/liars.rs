//! Peers that lie, in the middle of a world.

use super::damage::Damage;
use super::hostile::{self, Lie};
use super::random::Random;
use super::world::{World, items};
use super::wrong::Wrong;
use crate::space::{Item, Keys};

/// The lies told in worlds: those that take thousands of messages have tests of their own.
const LIES: [Lie; 18] = [
    Lie::KnowsOurFuture,
    Lie::RemovesOurFuture,
    Lie::VectorOfAnotherHash,
    Lie::ShrinkingVector,
    Lie::VectorTooHigh,
    Lie::OverflowingSeq,
    Lie::UnlistedNodes,
    Lie::ClaimsWithoutWalk,
    Lie::OutOfOrder,
    Lie::OurDots,
    Lie::DotsOfOthers,
    Lie::Replays,
    Lie::MixedSpaces,
    Lie::BeyondTheWindow,
    Lie::SlowBytes,
    Lie::FromTheFuture,
    Lie::UnknownTypes,
    Lie::Noise,
];

/// Liars of a world that tell the same lie; each is met again under its name.
const NAMES: u64 = 3;

impl World<'_> {
    /// A replica meets a peer that lies. What a peer may write is there then, and the oracle
    /// learns it; all else leaves the space as it was.
    pub(super) fn be_lied_to(&mut self, r: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let which = self.random.below(LIES.len());
        // One name says one thing: two contents under one dot are for other tests.
        let seed = Random::of(self.seed, which as u64 * NAMES + self.random.next() % NAMES).next();
        let (lie, name) = (LIES[which], self.replicas[r].name);
        if self.replicas[r].stuck || self.replicas[r].disk.may_fail() {
            return Ok(());
        }
        let failed = |error| Wrong::at(r, "being lied to", error);
        let (store, space) = (self.replicas[r].store().clone(), self.replicas[r].space(s).clone());
        let before = space.vector().map_err(failed)?;
        let told = hostile::tell(&store, space.name(), lie, seed).map_err(failed)?;
        self.damage(Damage::Lied, || {
            format!("{name} is lied to about space {s}, {lie:?}, and says {:?}", told.error)
        });
        let after = space.vector().map_err(failed)?;
        let report = told.report.space(space.name());
        let proven = report.is_some_and(|space| space.why.is_none());
        if !lie.is_within_rights() && (after != before || proven) {
            let what = format!("LIE: {name} believes {lie:?}: {before:?}, then {after:?}");
            return Err(what.into());
        }
        let shown: Vec<Item> = items!(space, Keys::all()).map_err(failed)?;
        let lines = self.lines(r, s)?;
        let fresh = shown.into_iter().filter(|item| !before.contains(item.dot));
        let fresh: Vec<Item> = fresh.map(|item| lines.item(item)).collect();
        let fresh = fresh.into_iter().filter(|item| self.oracles[s].is_new(item.dot));
        let fresh: Vec<Item> = fresh.collect();
        fresh.into_iter().for_each(|item| self.oracles[s].add(item.dot, Some(item), []));
        self.check_all(r)
    }
}
