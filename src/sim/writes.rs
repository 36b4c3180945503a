//! What applications write in a world, and what the oracle is told of it.

use super::op::{self, Deed, Kept, Op};
use super::replica::Unsure;
use super::world::{World, items};
use super::wrong::Wrong;
use crate::causal::{Dot, Seq};
use crate::error::Error;
use crate::space::{Item, Keys, Space, Tx};

/// A transaction that was made, or failed.
struct Made {
    deeds: Vec<Deed>,
    told: Vec<String>,
    done: Result<Result<(), String>, Error>,
}

impl World<'_> {
    /// A replica writes: what the application does, or mutations of all types.
    pub(super) fn write(&mut self, r: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let space = self.replicas[r].space(s).clone();
        let id = space.replica();
        let own = space.vector().map_err(|e| Wrong::at(r, "a vector", e))?.get(id).get();
        let made = match self.application {
            Some(_) => self.run_application(r, &space, own),
            None => self.mutate(r, s, &space, own),
        };
        let Made { deeds, told, done } = made;
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} writes in space {s}: {}", told.join("; ")));
        let last = deeds.iter().filter_map(|deed| deed.dot).map(|dot| dot.seq.get()).max();
        let last = last.unwrap_or(own);
        let (stuck, relaxed) = (self.replicas[r].stuck, self.replicas[r].relaxed());
        let at = &mut self.replicas[r].at[s];
        match done {
            Err(_) if stuck => return Ok(()),
            Err(error) => {
                at.unsure = Some(Unsure { first: own + 1, last, deeds });
                return Err(Wrong::at(r, "a write", error));
            }
            Ok(_) if stuck && last > own => {
                return Err(format!("ACK: {name} takes a write, though its disk failed").into());
            }
            Ok(judged) => judged?,
        }
        at.made = Seq::new(last);
        if !relaxed {
            at.acknowledged = at.made;
        }
        self.stats.events += last - own;
        let removal = deeds.iter().rev().find(|deed| deed.is_removal()).and_then(|deed| deed.dot);
        let oracle = &mut self.oracles[s];
        oracle.add_transaction(id, own + 1, last);
        deeds.into_iter().for_each(|deed| deed.add_to(oracle));
        let vector = space.vector().map_err(|e| Wrong::at(r, "a vector", e))?;
        if vector.get(id).get() != last {
            let what = format!("OP: {name} made {:?} events, not {last}", vector.get(id));
            return Err(what.into());
        }
        if let Some(removal) = removal.filter(|_| self.application.is_none()) {
            self.judge_log(r, s, removal)?;
        }
        self.check(r, s)
    }

    /// Draws mutations and makes them in one transaction.
    fn mutate(&mut self, r: usize, s: usize, space: &Space, own: u64) -> Made {
        let count = self.random.between(1, self.config.transaction);
        let kept = &self.replicas[r].at[s].kept;
        let draw = |_| Op::draw(&mut self.random, &self.config.families, kept);
        let ops: Vec<Op> = (0..count).map(draw).collect();
        let (mut deeds, mut last, mut judged) = (Vec::new(), own, Ok(()));
        let (oracle, id) = (&self.oracles[s], space.replica());
        let written = &mut self.written;
        let mut judge = |op: &Op, before: &[Item], after: &[Item]| {
            let is_removed = |dot| oracle.is_removed(dot);
            match op::judge(op, before, after, op::dot_after(id, last), is_removed) {
                Ok(deed) => {
                    last += u64::from(deed.dot.is_some());
                    deeds.push(deed);
                }
                Err(wrong) => judged = Err(wrong),
            }
        };
        // A failure must not leave open what was tried: then all is made in a transaction.
        let sure = !self.replicas[r].disk.may_fail() && !self.replicas[r].stuck;
        let done = match ops.as_slice() {
            [op] if sure => {
                *written = written.wrapping_add(1);
                let before = items!(space, op.keys());
                before.and_then(|before| {
                    op::perform(space, op, *written)?;
                    judge(op, &before, &items!(space, op.keys())?);
                    Ok(())
                })
            }
            ops => space.write(|tx| {
                // What one mutation leaves at a key is there before the next.
                let mut left: Option<(&str, Vec<Item>)> = None;
                for op in ops {
                    *written = written.wrapping_add(1);
                    let before = match left.take() {
                        Some((key, items)) if key == op.key() => items,
                        _ => items!(tx, op.keys())?,
                    };
                    op::perform_in(tx, op, *written)?;
                    let after = items!(tx, op.keys())?;
                    judge(op, &before, &after);
                    left = Some((op.key(), after));
                }
                Ok(())
            }),
        };
        let told_of = self.story.is_told();
        let told = deeds.iter().zip(&ops).map(|(deed, op)| match deed.dot {
            _ if !told_of => String::new(),
            Some(dot) => format!("{op:?} as {} removing {:?}", dot.seq.get(), deed.removed),
            None => format!("{op:?}, for nothing"),
        });
        let told = told.collect();
        Made { deeds, told, done: done.map(|()| judged) }
    }

    /// The application writes in a transaction; what it did is what differs.
    fn run_application(&mut self, r: usize, space: &Space, own: u64) -> Made {
        let (mut deeds, mut told) = (Vec::new(), Vec::new());
        let random = &mut self.random;
        let (application, id) = (self.application, space.replica());
        let replica = self.replicas[r].name;
        let done = space.write(|tx: &Tx<'_>| {
            let before = items!(tx, Keys::all())?;
            if let Some(application) = application {
                told.push(application.write(tx, replica, random)?);
            }
            let after = items!(tx, Keys::all())?;
            let there = |items: &[Item], dot: Dot| items.iter().any(|item| item.dot == dot);
            let removed = before.iter().map(|i| i.dot).filter(|dot| !there(&after, *dot));
            let removed: Vec<Dot> = removed.collect();
            let last = Dot::new(id, tx.seen(id)?);
            let fresh = after.into_iter().filter(|item| !there(&before, item.dot));
            let wrote = fresh.map(|item| Deed {
                dot: Some(item.dot),
                wrote: Some(item),
                removed: Vec::new(),
            });
            deeds.extend(wrote);
            // Which of them removed what does not matter: they are seen together or not.
            if last.seq.get() > own {
                deeds.push(Deed { dot: Some(last), wrote: None, removed });
            }
            Ok::<_, Error>(())
        });
        Made { deeds, told, done: done.map(|()| Ok(())) }
    }

    /// A replica reads a key and keeps the context.
    pub(super) fn read(&mut self, r: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let key = *self.random.pick(&["v1", "v2"]);
        let kept = Kept::read(self.replicas[r].space(s), key);
        let kept = kept.map_err(|e| Wrong::at(r, "a read", e))?;
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} reads {key} in space {s}: {:?}", kept.returned));
        let all = &mut self.replicas[r].at[s].kept;
        if all.len() > 5 {
            all.remove(0);
        }
        all.push(kept);
        Ok(())
    }
}
