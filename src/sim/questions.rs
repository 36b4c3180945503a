//! What is asked of a replica after each step.

use super::claims;
use super::op;
use super::oracle::Strictness;
use super::world::{World, dots_of, items};
use super::wrong::Wrong;
use crate::causal::Dot;
use crate::codec::limits;
use crate::space::{Item, Keys};
use crate::storage::StorageError;

/// What the names of all spaces begin with.
const SPACES: &str = "space-";

impl World<'_> {
    pub(super) fn check_all(&mut self, r: usize) -> Result<(), Wrong> {
        (0..self.config.spaces).try_for_each(|s| self.check(r, s))
    }

    /// The same after something came from another replica.
    pub(super) fn check_after(&mut self, r: usize, from: usize) -> Result<(), Wrong> {
        (0..self.config.spaces).try_for_each(|s| self.check_from(r, s, Some(from)))
    }

    /// Asks of one space at one replica what must hold at every moment.
    pub(super) fn check(&mut self, r: usize, s: usize) -> Result<(), Wrong> {
        self.check_from(r, s, None)
    }

    fn check_from(&mut self, r: usize, s: usize, from: Option<usize>) -> Result<(), Wrong> {
        let thorough = self.random.percent(2);
        let failed = |error| Wrong::at(r, "being asked", error);
        let strictness = self.strictness();
        let replica = &self.replicas[r];
        let snapshot = replica.space(s).snapshot().map_err(failed)?;
        let at = &replica.at[s];
        if at.commit == snapshot.commit() {
            return Ok(());
        }
        let id = at.id;
        let items = items!(snapshot, Keys::all()).map_err(failed)?;
        let lines = self.lines_at(&snapshot).map_err(failed)?;
        let (shown, vector) = (lines.items(&items), lines.vector(snapshot.vector()));
        let stuck = replica.stuck;
        let mut seen = core::mem::take(&mut self.replicas[r].at[s].seen);
        if stuck {
            // What was not on disk when it failed may show no more.
            seen = Default::default();
        }
        let oracle = self.oracle_for(r, s, &lines, snapshot.vector().get(id));
        let held = oracle.check(&mut seen, &vector, &shown, strictness);
        held.map_err(|what| format!("{what} ({} in space {s})", self.replicas[r].name))?;
        self.stats.checks += 1;
        let at = &mut self.replicas[r].at[s];
        at.commit = snapshot.commit();
        at.ever.extend(seen.fresh());
        at.seen = seen;
        if let Some(from) = from.filter(|_| !stuck) {
            self.judge_fresh(r, s, from)?;
        }
        if let Some(application) = self.application {
            let held = application.always(self.replicas[r].space(s));
            held.map_err(|what| format!("APP: {} in space {s}: {what}", self.replicas[r].name))?;
        }
        if thorough { self.check_thoroughly(r, s, &items) } else { Ok(()) }
    }

    /// What appears was sent by somebody with whom it lives, or had lived.
    fn judge_fresh(&self, r: usize, s: usize, from: usize) -> Result<(), Wrong> {
        let (replica, sender) = (&self.replicas[r], &self.replicas[from]);
        let own = replica.at[s].line;
        let unsent = |dot: &Dot| dot.replica != own && !sender.at[s].ever.contains(dot);
        match replica.at[s].seen.fresh().find(unsent) {
            None => Ok(()),
            Some(dot) => {
                let (to, by) = (replica.name, sender.name);
                Err(format!("I5: {dot} appears at {to} by {by}, who never had it").into())
            }
        }
    }

    /// Two have met, and may both remember how they stood then: what was not touched since by
    /// either of them is equal.
    pub(super) fn judge_meeting(&self, [a, b]: [usize; 2], about: &str) -> Result<(), Wrong> {
        if self.config.few_spaces > 0 || [a, b].iter().any(|r| self.replicas[*r].stuck) {
            return Ok(());
        }
        let failed = |r| move |error| Wrong::at(r, "being asked about a meeting", error);
        let (here, there) = (self.replicas[a].store(), self.replicas[b].store());
        let met = here.last_meeting(SPACES).map_err(failed(a))?;
        let Some(met) = met else { return Ok(()) };
        let met_there = there.meeting(here.replica(), met.id, SPACES).map_err(failed(b))?;
        let Some(met_there) = met_there else { return Ok(()) };
        let touched = [
            here.touched_since(met.commit, SPACES).map_err(failed(a))?,
            there.touched_since(met_there.commit, SPACES).map_err(failed(b))?,
        ];
        for s in 0..self.config.spaces {
            let (one, two) = (self.replicas[a].space(s), self.replicas[b].space(s));
            if touched.iter().flatten().any(|name| name == one.name()) {
                continue;
            }
            let one = one.standing().map_err(failed(a))?;
            let two = two.standing().map_err(failed(b))?;
            if (&one.vector, one.root) != (&two.vector, two.root) {
                let what = format!("MET: {about}: space {s} counts as equal: {one:?}, {two:?}");
                return Err(what.into());
            }
        }
        Ok(())
    }

    /// Whether nothing is forgotten on purpose: also no records of removals of events that are
    /// renamed.
    pub(super) fn is_exact(&self) -> bool {
        self.config.is_exact() && !self.twinned
    }

    fn strictness(&self) -> Strictness {
        let whole = self.is_exact() && self.names <= limits::PAST_ORIGINS;
        if whole { Strictness::Exact } else { Strictness::Pruned }
    }

    /// Reads, counts, scans and digest all tell of the same items.
    pub(super) fn check_thoroughly(
        &mut self,
        r: usize,
        s: usize,
        items: &[Item],
    ) -> Result<(), Wrong> {
        let replica = &self.replicas[r];
        if replica.stuck {
            return Ok(());
        }
        let space = replica.space(s);
        let at = format!("{} in space {s}", replica.name);
        let failed = |error| Wrong::at(r, "being asked all", error);
        let status = space.status().map_err(failed)?;
        let mut keys: Vec<&[u8]> = items.iter().map(|item| item.key.as_slice()).collect();
        keys.dedup();
        if (status.items, status.keys) != (items.len() as u64, keys.len() as u64) {
            return Err(format!("READ: {at}: {status:?} for {items:?}").into());
        }
        if self.application.is_none() {
            self.check_types(r, s, items, &at)?;
        }
        let resolved = match self.application {
            None => claims::resolved(space).map_err(failed)?,
            Some(_) => Default::default(),
        };
        let now = (status.root, resolved);
        let mut dots = dots_of(items);
        if self.config.twins {
            // One dot may be of two items, and one item go by two dots.
            dots.extend(dots_of(&self.lines(r, s)?.items(items)));
        }
        let known = self.roots.entry((s, dots)).or_insert_with(|| now.clone());
        if known.0 != now.0 {
            return Err(format!("DIGEST: {at}: another root for the same items").into());
        }
        if known.1 != now.1 {
            let what = format!("RESOLVED: {at}: {:?}, elsewhere {:?}", now.1, known.1);
            return Err(what.into());
        }
        let report = self.replicas[r].store().check().map_err(failed)?;
        if !report.is_sound() && self.replicas[r].rotten {
            let reason = report.problems.join("; ");
            let damaged = StorageError::Corrupt { place: "a check".to_owned(), reason };
            return Err(failed(damaged.into()));
        }
        if !report.is_sound() {
            return Err(format!("CHECK: {at}: {:?}", report.problems).into());
        }
        Ok(())
    }

    fn check_types(&self, r: usize, s: usize, items: &[Item], at: &str) -> Result<(), Wrong> {
        let failed = |error| Wrong::at(r, "being read", error);
        let space = self.replicas[r].space(s);
        let amounts = items.iter().filter(|item| item.key == b"n").map(op::amount);
        let sum: i128 = amounts.map(i128::from).sum();
        let read = space.counter("n").get().map_err(failed)?;
        if sum != read {
            let what = format!("READ: {at}: the counter reads {read}, its rows add up to {sum}");
            return Err(what.into());
        }
        for key in ["v1", "v2"] {
            let siblings = space.get(key).map_err(failed)?;
            let read = siblings.entries().map(|write| write.dot);
            let there = items.iter().filter(|i| i.key == key.as_bytes()).map(|i| i.dot);
            if !read.eq(there) {
                return Err(format!("READ: {at}: {siblings:?} under {key}, of {items:?}").into());
            }
        }
        let elements = space.set::<u8>("s").elements().map_err(failed)?;
        let mut there: Vec<u8> =
            items.iter().filter(|i| i.key == b"s").map(|i| i.path[0].1[0]).collect();
        there.dedup();
        if elements != there {
            return Err(format!("READ: {at}: elements {elements:?} of {items:?}").into());
        }
        Ok(())
    }
}
