//! What peers' claims take away, what of it is held back, and what an application decides.
//!
//! The other things that a replica keeps of its own and that no peer compares are asked for
//! here too: the trash, the log of removals, what resolvers make of siblings.

use std::collections::BTreeSet;

use super::op::Deed;
use super::random::Random;
use super::world::{World, items};
use super::wrong::Wrong;
use crate::causal::{Dot, ReplicaId, Seq};
use crate::codec::Kind;
use crate::error::Error;
use crate::session::{Report, SessionOptions};
use crate::space::{Item, Keys, MassRemoval, Space, resolvers};

/// Milliseconds in which all that claims took away counts: a day is counted in hours.
const A_DAY_MS: u64 = 23 * 3_600_000;

/// What the world knows of claims on a space at a replica.
#[derive(Default)]
pub(super) struct Claimed {
    /// The number of the next entry of the trash.
    trash: u64,
    /// Whose claims took away how many items, and when, since nobody decided about them.
    taken: Vec<(ReplicaId, u64, u64)>,
    /// About whom something was decided.
    decided: BTreeSet<ReplicaId>,
}

impl Claimed {
    /// Of a store that was copied: a decision made before that goes with the copy.
    pub(super) fn copied<'c>(all: impl Iterator<Item = &'c Self>) -> Self {
        let decided = all.flat_map(|one| &one.decided).copied().collect();
        Self { decided, ..Self::default() }
    }

    /// The clock jumps: what is a day ago is no longer known.
    pub(super) fn forget_when(&mut self) {
        self.taken.clear();
    }
}

/// What a side of a session has reported before it is handed something.
#[derive(Clone, Copy)]
pub(super) struct Before {
    repaired: u64,
    kept: u64,
    pub(super) forks: usize,
}

impl Before {
    pub(super) const fn of(report: &Report) -> Self {
        Self { repaired: report.repaired, kept: report.kept, forks: report.forks.len() }
    }
}

/// What resolvers make of the siblings under two keys: of one that goes by their order, and of
/// one that goes by time.
pub(super) fn set_resolvers(space: &Space) {
    space.set_resolver("v1", |all| Some(all.iter().flat_map(|one| one.value.to_vec()).collect()));
    space.set_resolver("v2", resolvers::latest);
}

/// What they make of what stands in a space.
pub(super) fn resolved(space: &Space) -> Result<[Option<Vec<u8>>; 2], Error> {
    let of = |key| Ok::<_, Error>(space.get_resolved(key)?.map(|resolved| resolved.value));
    Ok([of("v1")?, of("v2")?])
}

fn is_counter(item: &Item) -> bool {
    item.path.last().is_some_and(|(kind, _)| *kind == Kind::COUNTER)
}

impl World<'_> {
    /// What an application decides for a session of its own, where few items are many.
    pub(super) fn draw_options(&mut self) -> SessionOptions {
        let mut options = SessionOptions::default();
        if self.config.brakes() {
            options.mass_removal = draw_decision(&mut self.random, 80, self.config.keeps);
        }
        options
    }

    /// An application looks what is held back, and decides.
    pub(super) fn decide(&mut self, r: usize, keeps: bool) -> Result<(), Wrong> {
        for s in 0..self.config.spaces {
            let space = self.replicas[r].space(s).clone();
            let failed = |error| Wrong::at(r, "a decision", error);
            for held in space.held().map_err(failed)? {
                let decision = draw_decision(&mut self.random, 20, keeps);
                let name = self.replicas[r].name;
                self.tell(|| format!("{name} decides about {held:?}: {decision:?}"));
                // Also where the disk fails now: it may be there.
                self.replicas[r].at[s].claimed.decided.insert(held.peer);
                space.decide(held.peer, decision).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// In the end all that is held is decided.
    pub(super) fn decide_all(&mut self, r: usize, report: &Report) -> Result<bool, Wrong> {
        let mut any = false;
        let Some(peer) = report.peer else { return Ok(false) };
        for s in 0..self.config.spaces {
            let space = self.replicas[r].space(s).clone();
            if report.space(space.name()).is_some_and(|space| space.held.is_some()) {
                any = true;
                let name = self.replicas[r].name;
                self.tell(|| format!("{name} allows what {peer} claims in space {s}"));
                self.replicas[r].at[s].claimed.decided.insert(peer);
                let decided = space.decide(peer, MassRemoval::Allow);
                decided.map_err(|e| Wrong::at(r, "a decision", e))?;
            }
        }
        Ok(any)
    }

    /// A side of a session was handed something: what its peer's claims took away is in the
    /// trash, and no more than may go unasked; what was to be kept is there.
    pub(super) fn judge_claims(
        &mut self,
        l: usize,
        side: usize,
        before: Before,
    ) -> Result<(), Wrong> {
        let link = &self.links[l];
        let (r, report) = (link.ends[side], link.sides[side].report());
        let (peer, now) =
            (report.peer.unwrap_or(ReplicaId::from_bytes([0; 16])), Before::of(report));
        let asked = link.asked[side];
        if asked != MassRemoval::Hold {
            // Also where nothing goes by it: what comes later counts anew.
            let claimed = self.replicas[r].at.iter_mut().map(|at| &mut at.claimed);
            claimed.for_each(|claimed| claimed.taken.retain(|taken| taken.0 != peer));
        }
        if now.kept > before.kept {
            self.learn_kept(r, now.kept - before.kept)?;
        }
        if now.repaired == before.repaired {
            return Ok(());
        }
        let (dropped, mut trashed) = (now.repaired - before.repaired, 0);
        for s in 0..self.config.spaces {
            trashed += self.judge_trash(r, s, peer, asked)?;
        }
        if trashed < dropped && self.keeps_trash() {
            let name = self.replicas[r].name;
            let what = format!("TRASH: {name} dropped {dropped} items and kept {trashed} of them");
            return Err(what.into());
        }
        Ok(())
    }

    /// Whether the trash is large enough for whatever a world can throw away.
    const fn keeps_trash(&self) -> bool {
        self.config.trash_bytes > 1 << 20
    }

    /// What came to the trash of a space; how much that was.
    fn judge_trash(
        &mut self,
        r: usize,
        s: usize,
        peer: ReplicaId,
        asked: MassRemoval,
    ) -> Result<u64, Wrong> {
        let failed = |error| Wrong::at(r, "its trash being asked", error);
        let (lines, twins) = (self.lines(r, s)?, self.config.twins);
        let replica = &mut self.replicas[r];
        let (space, name) = (replica.space(s).clone(), replica.name);
        let at = &mut replica.at[s];
        let (oracle, mut count, mut live_before, mut wrong) = (&self.oracles[s], 0, 0, None);
        let mut next = at.claimed.trash;
        space
            .trash()
            .for_each(next, |gone| {
                next = gone.number + 1;
                count += 1;
                // Others came earlier: what another peer had staged went by that one's vector.
                let lived = at.seen.showed(lines.dot(gone.item.dot));
                live_before += u64::from(lived);
                let item = lines.item(gone.item.clone());
                // What was staged goes by the name it had at who sent it.
                let wrote = oracle.wrote(&item) || twins && !lived && oracle.wrote_as(&item);
                if lived && gone.peer != peer || !wrote {
                    wrong = Some(format!("TRASH: {name} has {gone:?}, which {peer} took away"));
                }
                core::ops::ControlFlow::Continue(())
            })
            .map_err(failed)?;
        at.claimed.trash = next;
        if let Some(wrong) = wrong {
            return Err(wrong.into());
        }
        if count == 0 {
            return Ok(0);
        }
        let now_ms = self.clock.load(std::sync::atomic::Ordering::Relaxed);
        let skew_ms = replica.skew_ms.load(std::sync::atomic::Ordering::Relaxed);
        let now_ms = now_ms.saturating_add_signed(skew_ms);
        let at = &mut replica.at[s];
        if asked != MassRemoval::Hold || at.claimed.decided.contains(&peer) {
            return Ok(count);
        }
        at.claimed.taken.push((peer, now_ms, live_before));
        let today = |(of, at_ms, _): &&(ReplicaId, u64, u64)| {
            *of == peer && now_ms.checked_sub(*at_ms).is_some_and(|ago| ago < A_DAY_MS)
        };
        let gone: u64 = at.claimed.taken.iter().filter(today).map(|taken| taken.2).sum();
        let left = items!(space, Keys::all()).map_err(failed)?.len() as u64;
        let part = gone * 100 > (gone + left) * u64::from(self.config.brake_percent);
        if gone > self.config.brake_items && part {
            let what =
                format!("BRAKE: {peer} took {gone} items from {name}, which has {left} left");
            return Err(what.into());
        }
        Ok(count)
    }

    /// A replica has written anew what a peer claims to be dead: the oracle learns it.
    fn learn_kept(&mut self, r: usize, kept: u64) -> Result<(), Wrong> {
        let failed = |error| Wrong::at(r, "being asked what it kept", error);
        let name = self.replicas[r].name;
        let (mut written, mut counters) = (0, 0);
        for s in 0..self.config.spaces {
            let space = self.replicas[r].space(s).clone();
            let id = space.replica();
            let vector = space.vector().map_err(failed)?;
            let (first, last) = (self.replicas[r].at[s].made.get() + 1, vector.get(id).get());
            if last < first {
                continue;
            }
            let lines = self.lines(r, s)?;
            let newest = Dot::new(id, Seq::new(last));
            let id = self.learn_line(r, s, (&lines, newest))?;
            let shown = items!(space, Keys::all()).map_err(failed)?;
            let shown = lines.items(&shown);
            let at = &mut self.replicas[r].at[s];
            let is_live = |dot: &Dot| shown.iter().any(|item| item.dot == *dot);
            let gone: Vec<Dot> = at.seen.live().filter(|dot| !is_live(dot)).collect();
            let oracle = &mut self.oracles[s];
            let mut were: Vec<&Item> = gone.iter().filter_map(|dot| oracle.item(*dot)).collect();
            counters += were.iter().filter(|item| is_counter(item)).count() as u64;
            let fresh = |item: &&Item| item.dot.replica == id && item.dot.seq.get() >= first;
            for item in shown.iter().filter(fresh).filter(|item| !is_counter(item)) {
                let same = |was: &&Item| {
                    (&was.key, &was.path, &was.payload) == (&item.key, &item.path, &item.payload)
                };
                let Some(was) = were.iter().position(same) else {
                    return Err(format!("KEEP: {name} wrote {item:?}, which was not there").into());
                };
                were.swap_remove(was);
                written += 1;
            }
            // Which of them took the place of what does not matter: they are seen together.
            let deeds = shown.iter().filter(fresh).map(|item| Deed {
                dot: Some(item.dot),
                wrote: Some(item.clone()),
                removed: Vec::new(),
            });
            let dot = Some(Dot::new(id, Seq::new(last)));
            let all = deeds.chain([Deed { dot, wrote: None, removed: gone.clone() }]);
            let all: Vec<Deed> = all.collect();
            oracle.add_transaction(id, first, last);
            all.into_iter().for_each(|deed| deed.add_to(oracle));
            at.made = Seq::new(last);
            self.stats.kept += last + 1 - first;
        }
        if written > kept || kept - written > counters {
            let what = format!("KEEP: {name} was to keep {kept} items, and wrote {written}");
            return Err(what.into());
        }
        Ok(())
    }

    /// A session says that something is held back: it must be much, and nobody asked.
    pub(super) fn judge_held(&mut self, report: &Report, about: &str) -> Result<(), Wrong> {
        for held in report.spaces.iter().filter_map(|space| space.held) {
            self.stats.held += 1;
            let (gone, all) = (held.removed + held.items, held.removed + held.of);
            let much = gone > self.config.brake_items
                && gone * 100 > all * u64::from(self.config.brake_percent);
            if !much || held.items == 0 || held.items > held.of {
                return Err(format!("BRAKE: {about}: {held:?}, which is not much").into());
            }
        }
        Ok(())
    }

    /// A replica was opened: from here on what comes to its trash is looked at.
    pub(super) fn claims_opened(&mut self, r: usize, s: usize) -> Result<(), Wrong> {
        let replica = &mut self.replicas[r];
        let space = replica.space(s).clone();
        let claimed = &mut replica.at[s].claimed;
        claimed.taken.clear();
        claimed.trash = 0;
        let read = space.trash().for_each(0, |gone| {
            claimed.trash = gone.number + 1;
            core::ops::ControlFlow::Continue(())
        });
        read.map_err(|e| Wrong::at(r, "its trash being asked", e))
    }

    /// A replica removed something: of a log that is too small the newest records are kept.
    pub(super) fn judge_log(&self, r: usize, s: usize, removal: Dot) -> Result<(), Wrong> {
        let replica = &self.replicas[r];
        let kept = replica.space(s).keeps_record(removal);
        let (kept, bytes) = kept.map_err(|e| Wrong::at(r, "its log being asked", e))?;
        if !kept && bytes > 0 || bytes > self.config.removal_log_bytes {
            let name = replica.name;
            let what = format!("LOG: {name} has {bytes} bytes of it, with {removal}: {kept}");
            return Err(what.into());
        }
        Ok(())
    }
}

/// So many times in a hundred nothing is decided.
fn draw_decision(random: &mut Random, hold_percent: usize, keeps: bool) -> MassRemoval {
    match random.percent(hold_percent) {
        true => MassRemoval::Hold,
        false if keeps && random.percent(50) => MassRemoval::Keep,
        false => MassRemoval::Allow,
    }
}
