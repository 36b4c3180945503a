//! The end of a world: all is healed, and those that are left meet until they are equal.

use super::config::Topology;
use super::steps::THE_END;
use super::world::{World, items};
use super::wrong::Wrong;
use crate::causal::{Dot, VersionVector};
use crate::digest::RootHash;
use crate::session::Report;
use crate::space::{Item, Keys};

/// Times that all neighbours meet, beyond those in which news goes from end to end.
const PASSES: usize = 3;

/// Bytes both ways of a session that has nothing to say, at most, and with each space: hellos,
/// hashes, and a short vector or two. How much the spaces hold does not matter.
const QUIET_BYTES: usize = 200;
const QUIET_BYTES_OF_A_SPACE: usize = 250;

/// Times that two meet again because something was held back.
const MOST_DECISIONS: usize = 6;

impl World<'_> {
    /// All that are left meet until they are quiet, and must be what the oracle says.
    ///
    /// In each pass every two neighbours meet once. After as many passes as it takes to come
    /// from one end to the other, and three, all must be equal.
    pub(super) fn settle(&mut self) -> Result<(), Wrong> {
        // What is drawn once more is not what was drawn: openings draw tags.
        self.draw_for(THE_END - 16 * self.healings);
        self.healings += 1;
        while !self.links.is_empty() {
            self.remove(0);
        }
        self.heal();
        for r in self.living() {
            self.replicas[r].disk.mend();
            if self.replicas[r].away {
                self.come_home(r);
            }
            if self.replicas[r].stuck || !self.replicas[r].is_open() {
                self.crash(r)?;
            }
        }
        self.tell(|| "all is healed, and those that are left meet".to_owned());
        let left = self.living();
        let topology = self.healed();
        let passes = topology.far(left.len()) + PASSES;
        for pass in 0.. {
            self.meet_neighbours(&left, pass)?;
            if self.are_equal(&left)? {
                break;
            }
            if pass == passes {
                return Err(format!("END: not equal after {pass} passes").into());
            }
        }
        self.are_quiet(&left)?;
        (0..self.config.spaces).try_for_each(|s| self.check_end(s, &left))
    }

    /// Who meets whom in the end: where all could, one meets the others, in fewer sessions.
    const fn healed(&self) -> Topology {
        match self.config.topology {
            Topology::Mesh => Topology::Star,
            other => other,
        }
    }

    fn meet_neighbours(&mut self, left: &[usize], pass: usize) -> Result<(), Wrong> {
        for (a, b) in self.neighbours(left) {
            let (a, b) = if self.random.percent(50) { (a, b) } else { (b, a) };
            let mut reports = self.meet_alone(a, b)?;
            // Either side may hold something back, and what comes in two walks twice.
            for _ in 0..MOST_DECISIONS {
                let [left, right] = &*reports;
                // What one keeps it writes; to a copy of it, that is its own future, and
                // gives way when they meet the next time.
                let wrote_as_both = left.peer == right.peer && left.kept + right.kept > 0;
                let decided = self.decide_all(a, left)? | self.decide_all(b, right)?;
                if !decided && !wrote_as_both {
                    break;
                }
                reports = self.meet_alone(a, b)?;
            }
            // The first time something may be staged that goes for nothing.
            if let Some(report) = reports.iter().find(|r| pass > 0 && !r.converged()) {
                return Err(format!("END: not proven: {report:?}").into());
            }
        }
        Ok(())
    }

    /// Who meet in the end.
    fn neighbours(&self, left: &[usize]) -> Vec<(usize, usize)> {
        let (topology, count) = (self.healed(), left.len());
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let joined = pairs.filter(|(a, b)| topology.joins(*a, *b, count));
        joined.map(|(a, b)| (left[a], left[b])).collect()
    }

    /// Once more, now that there is nothing to say. Where a name gave way since two have met, they
    /// have no vector in common any more, and tell each other a whole one, once.
    fn are_quiet(&mut self, left: &[usize]) -> Result<(), Wrong> {
        let most = QUIET_BYTES + QUIET_BYTES_OF_A_SPACE * self.config.spaces;
        let bytes = |report: &Report| (report.bytes_sent + report.bytes_received) as usize;
        for (a, b) in self.neighbours(left) {
            // Where each message has a frame of its own, what is asked between two of them counts
            // as more than one round trip.
            let frames = self.config.frame_bytes[a].min(self.config.frame_bytes[b]);
            // Who opens what was touched since they met does not know what the other opens.
            let trips = match self.config.few_spaces {
                _ if frames <= 1000 => u64::MAX,
                0 => 2,
                _ => 1,
            };
            let mut reports = self.meet_alone(a, b)?;
            if self.stats.forks > 0 && reports.iter().any(|report| bytes(report) > most) {
                reports = self.meet_alone(a, b)?;
            }
            for report in &*reports {
                let moved = report.items_sent + report.removals_sent + report.repaired;
                let moved = moved + report.forks.len() as u64;
                let loud = report.round_trips > trips || bytes(report) > most;
                if !report.converged() || moved > 0 || loud {
                    return Err(format!("END: not quiet: {report:?}").into());
                }
            }
        }
        Ok(())
    }

    fn are_equal(&self, left: &[usize]) -> Result<bool, Wrong> {
        let mut all: Vec<Vec<(VersionVector, RootHash)>> = Vec::new();
        for r in left {
            let spaces = (0..self.config.spaces).map(|s| self.replicas[*r].space(s).standing());
            let standing = spaces.map(|now| now.map(|now| (now.vector.vector(), now.root)));
            let standing: Result<_, _> = standing.collect();
            all.push(standing.map_err(|e| Wrong::at(*r, "a root", e))?);
        }
        Ok(all.windows(2).all(|two| two[0] == two[1]))
    }

    fn check_end(&mut self, s: usize, left: &[usize]) -> Result<(), Wrong> {
        let Some(first) = left.first() else { return Ok(()) };
        let failed = |r| move |error| Wrong::at(r, "being asked in the end", error);
        let vector = self.replicas[*first].space(s).vector().map_err(failed(*first))?;
        let want = self.oracles[s].live(&self.lines(*first, s)?.vector(&vector));
        let mut shown: Option<(RootHash, Vec<Item>)> = None;
        for r in left.iter().copied() {
            let at = format!("{} in space {s}", self.replicas[r].name);
            let space = self.replicas[r].space(s).clone();
            let items = items!(space, Keys::all()).map_err(failed(r))?;
            self.check_thoroughly(r, s, &items)?;
            let live = self.lines(r, s)?.items(&items).iter().map(|item| item.dot).collect();
            if let Some(lost) = want.difference(&live).next() {
                return Err(format!("END: {at}: {lost} is lost").into());
            }
            let lives_on = |dot: &&Dot| !self.forgiven[s].contains(dot);
            if let Some(zombie) = live.difference(&want).find(lives_on) {
                return Err(format!("END: {at}: {zombie} should be dead").into());
            }
            let root = space.root().map_err(failed(r))?;
            let shows = (root, items);
            if shown.as_ref().is_some_and(|shown| *shown != shows) {
                return Err(format!("END: {at}: shows something else than the others").into());
            }
            shown = Some(shows);
            if let Some(application) = self.application {
                application.finally(&space).map_err(|what| format!("APP: {at}: {what}"))?;
            }
        }
        Ok(())
    }
}
