//! What is asked of a replica after each step, and of all of them in the end.

use super::op;
use super::oracle::Strictness;
use super::world::{World, Wrong, failed, items};
use crate::causal::{Dot, VersionVector};
use crate::digest::RootHash;
use crate::error::Error;
use crate::space::Item;

impl World {
    pub(super) fn check_all(&mut self, r: usize) -> Result<(), Wrong> {
        (0..self.config.spaces).try_for_each(|s| self.check(r, s))
    }

    /// Asks of one space at one replica what must hold at every moment.
    pub(super) fn check(&mut self, r: usize, s: usize) -> Result<(), Wrong> {
        let thorough = self.random.percent(5);
        let strictness = self.strictness();
        let replica = &self.replicas[r];
        let at = format!("{} in space {s}", replica.name);
        let snapshot = replica.spaces[s].snapshot().map_err(failed(&at))?;
        if core::mem::replace(&mut self.replicas[r].commits[s], snapshot.commit())
            == snapshot.commit()
        {
            return Ok(());
        }
        let replica = &self.replicas[r];
        let items = items!(snapshot).map_err(failed(&at))?;
        let vector = snapshot.vector().clone();
        self.stats.checks += 1;
        if !vector.covers(&replica.vectors[s]) {
            return Err(format!("I0: {at}: the vector fell"));
        }
        self.oracles[s]
            .check(&vector, &items, strictness)
            .map_err(|what| format!("{what} ({at})"))?;
        self.replicas[r].vectors[s] = vector;
        if thorough { self.check_thoroughly(r, s, &items) } else { Ok(()) }
    }

    fn strictness(&self) -> Strictness {
        if self.config.is_exact() { Strictness::Exact } else { Strictness::Pruned }
    }

    /// Reads, counts, scans and digest all tell of the same items.
    fn check_thoroughly(&mut self, r: usize, s: usize, items: &[Item]) -> Result<(), Wrong> {
        let replica = &self.replicas[r];
        let space = &replica.spaces[s];
        let at = format!("{} in space {s}", replica.name);
        let failed = failed(&at);
        let status = space.status().map_err(&failed)?;
        let mut keys: Vec<&[u8]> = items.iter().map(|item| item.key.as_slice()).collect();
        keys.dedup();
        if (status.items, status.keys) != (items.len() as u64, keys.len() as u64) {
            return Err(format!("READ: {at}: {status:?} for {items:?}"));
        }
        let sum: i128 = items
            .iter()
            .filter(|item| item.key == b"n")
            .map(|item| i128::from(op::amount(item)))
            .sum();
        let read = space.counter("n").get().map_err(&failed)?;
        if sum != read {
            return Err(format!("READ: {at}: the counter reads {read}, its rows add up to {sum}"));
        }
        for key in ["v1", "v2"] {
            let siblings = space.get(key).map_err(&failed)?;
            let read = siblings.entries().map(|write| write.dot);
            let there = items.iter().filter(|i| i.key == key.as_bytes()).map(|i| i.dot);
            if !read.eq(there) {
                return Err(format!("READ: {at}: {siblings:?} under {key}, of {items:?}"));
            }
        }
        let elements = space.set::<u8>("s").elements().map_err(&failed)?;
        let mut there: Vec<u8> =
            items.iter().filter(|i| i.key == b"s").map(|i| i.path[0].1[0]).collect();
        there.dedup();
        if elements != there {
            return Err(format!("READ: {at}: elements {elements:?} of {items:?}"));
        }
        let mut dots: Vec<Dot> = items.iter().map(|item| item.dot).collect();
        dots.sort_unstable();
        let known = *self.roots.entry((s, dots)).or_insert(status.root);
        if known != status.root {
            return Err(format!("DIGEST: {at}: another root for the same items"));
        }
        let report = replica.store.check().map_err(&failed)?;
        if !report.is_sound() {
            return Err(format!("CHECK: {at}: {:?}", report.problems));
        }
        Ok(())
    }

    /// All that is left meet until they are quiet, and must be what the oracle says.
    pub(super) fn settle(&mut self) -> Result<(), Wrong> {
        while !self.links.is_empty() {
            self.cut(0)?;
        }
        let left = self.living();
        self.tell(|| "all that is left meet".to_owned());
        for pass in 0.. {
            for (at, a) in left.iter().enumerate() {
                for b in &left[at + 1..] {
                    let (a, b) = if self.random.percent(50) { (*a, *b) } else { (*b, *a) };
                    let reports = self.meet_alone(a, b)?;
                    if let Some(report) = reports.iter().find(|r| pass > 0 && !r.converged()) {
                        return Err(format!("END: not proven: {report:?}"));
                    }
                }
            }
            if self.are_equal(&left)? {
                break;
            }
            if pass == 3 {
                return Err("END: not equal after all have met four times".to_owned());
            }
        }
        // Once more, now that there is nothing to say. Where each message has a frame of
        // its own, what is asked between two of them counts as more than one round trip.
        let trips = if self.config.frame_bytes > 1000 { 1 } else { u64::MAX };
        for (a, b) in left.iter().zip(&left[1..]) {
            for report in self.meet_alone(*a, *b)? {
                let moved = report.items_sent + report.removals_sent + report.repaired;
                if !report.converged() || moved > 0 || report.round_trips > trips {
                    return Err(format!("END: not quiet: {report:?}"));
                }
            }
        }
        (0..self.config.spaces).try_for_each(|s| self.check_end(s, &left))
    }

    fn are_equal(&self, left: &[usize]) -> Result<bool, Wrong> {
        let standing = |r: usize| -> Result<Vec<_>, Error> {
            let spaces = self.replicas[r].spaces.iter();
            spaces.map(|space| space.standing().map(|now| (now.vector, now.root))).collect()
        };
        let all: Result<Vec<_>, _> = left.iter().map(|r| standing(*r)).collect();
        Ok(all.map_err(failed("a root"))?.windows(2).all(|two| two[0] == two[1]))
    }

    fn check_end(&mut self, s: usize, left: &[usize]) -> Result<(), Wrong> {
        let mut vector = VersionVector::new();
        for r in left {
            vector.join(&self.replicas[*r].spaces[s].vector().map_err(failed("a vector"))?);
        }
        let want = self.oracles[s].live(&vector);
        let mut shown: Option<(RootHash, Vec<Item>)> = None;
        for r in left.iter().copied() {
            let at = format!("{} in space {s}", self.replicas[r].name);
            let space = self.replicas[r].spaces[s].clone();
            if space.vector().map_err(failed(&at))? != vector {
                return Err(format!("END: {at}: the vector is not all there is"));
            }
            let items = items!(space).map_err(failed(&at))?;
            self.check_thoroughly(r, s, &items)?;
            let live = items.iter().map(|item| item.dot).collect();
            if let Some(lost) = want.difference(&live).next() {
                return Err(format!("END: {at}: {lost} is lost"));
            }
            let forgiven = left.len() < self.replicas.len() && !self.config.is_exact();
            if let Some(zombie) = live.difference(&want).next().filter(|_| !forgiven) {
                return Err(format!("END: {at}: {zombie} should be dead"));
            }
            let root = space.root().map_err(failed(&at))?;
            let shows = (root, items);
            if shown.as_ref().is_some_and(|shown| *shown != shows) {
                return Err(format!("END: {at}: shows something else than the others"));
            }
            shown = Some(shows);
        }
        Ok(())
    }
}
