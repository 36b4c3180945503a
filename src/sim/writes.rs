//! What applications write in a world, and what the oracle is told of it.

use super::lines::Lines;
use super::op::{self, Deed, Kept, Op};
use super::replica::Unsure;
use super::world::{World, items};
use super::wrong::Wrong;
use crate::causal::{Dot, Seq};
use crate::codec::limits;
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
        let before = self.lines(r, s)?;
        let made = match self.application {
            Some(_) => self.run_application(r, &space, own),
            None => self.mutate((r, s), &space, own, &before),
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
        // Where it cannot be read any more, it goes on in this opening's line.
        let (lines, read) = match self.lines(r, s) {
            Ok(lines) => (lines, Ok(())),
            Err(wrong) => (before.begun(op::dot_after(id, own), space.opening()), Err(wrong)),
        };
        self.replicas[r].at[s].made = Seq::new(last);
        self.stats.events += last - own;
        let mut made = None;
        let removal = deeds.iter().rev().find(|deed| deed.is_removal()).and_then(|deed| deed.dot);
        if last > own {
            let line = self.learn_line(r, s, (&lines, Dot::new(id, Seq::new(last))))?;
            if !relaxed {
                self.replicas[r].at[s].promised.advance(Dot::new(line, Seq::new(last)));
            }
            let oracle = &mut self.oracles[s];
            oracle.add_transaction(line, own + 1, last);
            made = Some(Dot::new(line, Seq::new(last)));
            for deed in deeds.into_iter().map(|deed| deed.called(&lines)) {
                if let Some(sum) = deed.counted() {
                    oracle.add_up(sum, &deed.removed);
                }
                deed.add_to(oracle);
            }
        }
        read?;
        let vector = space.vector().map_err(|e| Wrong::at(r, "a vector", e))?;
        if vector.get(id).get() != last {
            let what = format!("OP: {name} made {:?} events, not {last}", vector.get(id));
            return Err(what.into());
        }
        if let Some(made) = made {
            self.oracles[s].add_past(made, lines.vector(&vector).into_owned());
        }
        if let Some(removal) = removal.filter(|_| self.application.is_none()) {
            self.judge_log(r, s, removal)?;
        }
        self.check(r, s)
    }

    /// Draws mutations and makes them in one transaction.
    fn mutate(&mut self, (r, s): (usize, usize), space: &Space, own: u64, lines: &Lines) -> Made {
        let count = self.random.between(1, self.config.transaction);
        let kept = &self.replicas[r].at[s].kept;
        let draw = |_| Op::draw(&mut self.random, &self.config.families, kept);
        let ops: Vec<Op> = (0..count).map(draw).collect();
        let (mut deeds, mut last, mut judged) = (Vec::new(), own, Ok(()));
        let (mut told, told_of) = (Vec::new(), self.story.is_told());
        let (oracle, id) = (&self.oracles[s], space.replica());
        let line = self.replicas[r].at[s].line;
        let (twins, lying_disks) = (self.config.twins, self.config.lying_disks);
        let theirs = |dot: &Dot| lines.dot(*dot).replica != line;
        // Others that go on under this name may add up the same rows, but not those made since
        // the store was opened here: what these hold would count twice. So would, for a while, a
        // row that is replaced unseen, in a store that is what it was before. Both are known gaps.
        let may_add = |rows: &[Dot]| match lying_disks {
            _ if !twins => true,
            true => rows.is_empty(),
            false => rows.len() < limits::COUNTER_ROWS || !rows.iter().any(theirs),
        };
        let written = &mut self.written;
        let mut judge = |op: &Op, before: &[Item], after: &[Item]| {
            let is_removed = |dot| oracle.is_removed(lines.dot(dot));
            match op::judge(op, before, after, op::dot_after(id, last), is_removed) {
                Ok(deed) => {
                    last += u64::from(deed.dot.is_some());
                    if told_of {
                        told.push(match deed.dot {
                            Some(dot) => {
                                let removed = deed.removed.iter().map(|dot| lines.dot(*dot));
                                let removed: Vec<Dot> = removed.collect();
                                format!("{op:?} as {} removing {removed:?}", dot.seq.get())
                            }
                            None => format!("{op:?}, for nothing"),
                        });
                    }
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
                    let op = op.clone().or_removal(&before, id, may_add);
                    op::perform(space, &op, *written)?;
                    judge(&op, &before, &items!(space, op.keys())?);
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
                    let op = op.clone().or_removal(&before, id, may_add);
                    op::perform_in(tx, &op, *written)?;
                    let after = items!(tx, op.keys())?;
                    judge(&op, &before, &after);
                    left = Some((op.key(), after));
                }
                Ok(())
            }),
        };
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
