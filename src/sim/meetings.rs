//! Sessions between the replicas of a world, a frame at a time.

use super::claims::Before;
use super::damage::Damage;
use super::link::{Link, Move, Wire};
use super::world::World;
use super::wrong::Wrong;
use crate::error::{Error, PeerError};
use crate::session::{Report, Scope, Session, Why, forge};

/// Times that a side may be woken with no frame between: a delta that others stage waits for a
/// minute or so, and asks five times a second.
const MOST_WAKES: usize = 2_000;

/// What became of a link in one step.
pub(super) enum Went {
    On,
    /// It is no more; what the two sides report, where they came to their end.
    Off(Option<Box<[Report; 2]>>),
}

impl World<'_> {
    /// Begins a session.
    pub(super) fn meet(&mut self, a: usize, b: usize, scope: Scope) -> Result<(), Wrong> {
        let mut nonces = [[0; 16]; 2];
        self.random.fill(&mut nonces[0]);
        self.random.fill(&mut nonces[1]);
        let of_bytes = self.random.percent(50);
        let about =
            format!("{}{}#{}", self.replicas[a].name, self.replicas[b].name, self.stats.sessions);
        self.tell(|| format!("{about}: a session begins, about {scope:?}"));
        self.stats.sessions += 1;
        let options = [self.draw_options(), self.draw_options()];
        let asked = [options[0].mass_removal, options[1].mass_removal];
        let [here, there] = options;
        let opener = Session::connect(self.replicas[a].store(), scope, nonces[0]);
        let opener = opener.map_err(|e| Wrong::at(a, "connecting", e))?.with(here);
        let answerer = Session::accept(self.replicas[b].store(), nonces[1]).with(there);
        let wire = || Wire { of_bytes, ..Wire::default() };
        self.links.push(Link {
            ends: [a, b],
            sides: [opener, answerer],
            wires: [wire(), wire()],
            quiet: [false, false],
            bad_percent: 0,
            spoilt: false,
            asked,
            promised: [false, false],
            dropped: false,
            wakes: 0,
            parted: false,
            about,
        });
        Ok(())
    }

    /// One thing happens on a link.
    pub(super) fn step(&mut self, l: usize) -> Result<Went, Wrong> {
        let now_ms = self.now_ms();
        let link = &mut self.links[l];
        for side in 0..2 {
            if link.sides[side].poll_timeout().is_some_and(|at| at <= now_ms) {
                self.stats.waits += 1;
                link.quiet[side] = false;
                link.wakes += 1;
                if link.wakes > MOST_WAKES {
                    return Err(format!("STALLED: {}: it waits for ever", link.about).into());
                }
                let r = link.ends[side];
                let before = Before::of(link.sides[side].report());
                let handled = link.sides[side].handle_timeout(now_ms);
                self.judge_forks(l, side, before)?;
                handled.map_err(|e| Wrong::at(r, "a time-out", e))?;
                self.judge_claims(l, side, before)?;
                self.check_after(r, self.links[l].ends[1 - side])?;
                return Ok(Went::On);
            }
        }
        let moves: smallvec::SmallVec<[Move; 4]> = link.moves().collect();
        if moves.is_empty() {
            if link.parted {
                return Ok(Went::On);
            }
            if link.is_over() {
                return self.end(l).map(|reports| Went::Off(Some(reports)));
            }
            return match link.wake_at() {
                Some(at) => {
                    self.pass_time(at.saturating_sub(now_ms));
                    Ok(Went::On)
                }
                None if link.spoilt => {
                    self.cut(l)?;
                    Ok(Went::Off(None))
                }
                None => Err(format!("STALLED: {}: {:?}", link.about, link.sides).into()),
            };
        }
        match *self.random.pick(&moves) {
            Move::Poll(side) => self.poll(l, side)?,
            Move::Deliver(side) => {
                let all = self.links[l].wires[side].frames.front().map_or(0, Vec::len);
                let bytes = if self.random.percent(30) { self.random.below(all) } else { all };
                return self.deliver(l, side, bytes);
            }
        }
        Ok(Went::On)
    }

    fn poll(&mut self, l: usize, side: usize) -> Result<(), Wrong> {
        let now_ms = self.now_ms();
        let link = &mut self.links[l];
        let r = link.ends[side];
        let frame = link.sides[side].poll_frame(now_ms);
        let frame = frame.map_err(|e| Wrong::at(r, "polling", e))?;
        self.promise(l, side)?;
        let told = self.tells_frames();
        let words = frame.as_deref().filter(|_| told).map(forge::describe);
        match frame {
            None => self.links[l].quiet[side] = true,
            Some(frame) => self.send(l, 1 - side, frame),
        }
        if let Some(words) = words {
            let (about, name) = (self.links[l].about.clone(), self.replicas[r].name);
            self.tell_frame(l, || format!("{about}: {name} sends {words}"));
        }
        Ok(())
    }

    /// A frame goes into the pipe, which may be a bad one.
    fn send(&mut self, l: usize, to: usize, frame: Vec<u8>) {
        let bad = self.random.percent(self.links[l].bad_percent);
        let link = &mut self.links[l];
        let frames = &mut link.wires[to].frames;
        let kind = if bad { self.random.below(3) } else { 3 };
        let damage = match kind {
            0 => Damage::Lost,
            1 => {
                frames.push_back(frame.clone());
                frames.push_back(frame);
                Damage::Doubled
            }
            2 if !frames.is_empty() => {
                let before = frames.len() - 1;
                frames.insert(before, frame);
                Damage::Swapped
            }
            _ => {
                frames.push_back(frame);
                return;
            }
        };
        link.spoilt = true;
        let about = link.about.clone();
        self.damage(damage, || format!("{about}: {}", damage.name()));
    }

    fn deliver(&mut self, l: usize, side: usize, bytes: usize) -> Result<Went, Wrong> {
        let now_ms = self.now_ms();
        let told = self.tells_frames();
        let link = &mut self.links[l];
        let Some(frame) = link.wires[side].arrive(bytes) else { return Ok(Went::On) };
        link.wakes = 0;
        let r = link.ends[side];
        self.stats.frames += 1;
        self.stats.bytes += frame.len() as u64;
        link.quiet[side] = false;
        let before = Before::of(link.sides[side].report());
        let handled = link.sides[side].handle_frame(now_ms, &frame);
        self.judge_forks(l, side, before)?;
        let (about, name) = (&self.links[l].about, self.replicas[r].name);
        let line = told.then(|| format!("{about}: {name} takes {}", forge::describe(&frame)));
        self.tell_frame(l, || line.unwrap_or_default());
        match handled {
            Err(Error::Peer(PeerError::OutOfOrder { expected, found })) if self.links[l].spoilt => {
                let about = self.links[l].about.clone();
                self.tell(|| format!("{about}: {name} refuses frame {found} for {expected}"));
                self.remove(l);
                return Ok(Went::Off(None));
            }
            handled => handled.map_err(|e| Wrong::at(r, "a frame", e))?,
        }
        self.judge_claims(l, side, before)?;
        self.promise(l, side)?;
        self.check_after(r, self.links[l].ends[1 - side])?;
        Ok(Went::On)
    }

    /// A session ran to its end.
    fn end(&mut self, l: usize) -> Result<Box<[Report; 2]>, Wrong> {
        let link = self.links.remove(l);
        let [left, right] = &link.sides;
        let reports = Box::new([left.report().clone(), right.report().clone()]);
        let [left, right] = &*reports;
        self.tell(|| {
            let ended = left.spaces.iter().map(|space| match &space.why {
                None => format!("{} is proven equal", space.name),
                Some(why) => format!("{}: {why}", space.name),
            });
            let ended: Vec<_> = ended.collect();
            format!("{}: ends: {}", link.about, ended.join(", "))
        });
        self.judge_meeting(link.ends, &link.about)?;
        for report in &*reports {
            self.judge_held(report, &link.about)?;
            self.stats.repaired += report.repaired;
            for space in &report.spaces {
                match space.why {
                    Some(Why::Displaced) => self.stats.displaced += 1,
                    Some(Why::Unfinished) => self.stats.unproven += 1,
                    Some(why @ Why::Diverged) => {
                        return Err(format!("REPORT: {}: {why}: {space:?}", link.about).into());
                    }
                    _ => {}
                }
            }
            if !report.finished && !link.spoilt {
                let what = format!("REPORT: {} is over, not finished: {report:?}", link.about);
                return Err(what.into());
            }
        }
        if !link.spoilt {
            let begins_anew = self.stats.forks > 0 || link.dropped;
            agree(left, right, begins_anew)
                .map_err(|what| format!("REPORT: {}: {what}", link.about))?;
        }
        Ok(reports)
    }

    /// The pipe breaks: of what is in flight some may still come, the rest is lost.
    pub(super) fn cut(&mut self, l: usize) -> Result<(), Wrong> {
        let about = self.links[l].about.clone();
        for side in 0..2 {
            let frames = self.links[l].wires[side].frames.len();
            let parted = self.links[l].parted || self.random.percent(50);
            let still = if parted { 0 } else { self.random.below(frames + 1) };
            for _ in 0..still {
                let all = self.links[l].wires[side].frames.front().map_or(0, Vec::len);
                if matches!(self.deliver(l, side, all)?, Went::Off(_)) {
                    return Ok(());
                }
            }
        }
        self.tell(|| format!("{about}: is cut"));
        self.remove(l);
        Ok(())
    }

    /// A link is gone, and both sides know.
    pub(super) fn remove(&mut self, l: usize) {
        let mut link = self.links.remove(l);
        link.sides.iter_mut().for_each(Session::close);
    }

    /// All links of a replica are gone, with what is in flight.
    pub(super) fn remove_all_of(&mut self, r: usize) {
        while let Some(l) = self.links.iter().position(|link| link.ends.contains(&r)) {
            self.remove(l);
        }
    }

    /// One side goes without a word, and what is sent to it comes to nothing.
    pub(super) fn half_open(&mut self, l: usize) {
        let gone = self.random.below(2);
        let link = &mut self.links[l];
        link.sides[gone].close();
        link.wires.iter_mut().for_each(|wire| wire.frames.clear());
        link.spoilt = true;
        let (about, name) = (link.about.clone(), self.replicas[link.ends[gone]].name);
        self.damage(Damage::HalfOpen, || format!("{about}: {name} goes without a word"));
    }

    /// Two replicas meet with nobody else about.
    pub(super) fn meet_alone(&mut self, a: usize, b: usize) -> Result<Box<[Report; 2]>, Wrong> {
        const MOST_STEPS: usize = 40_000;
        self.meet(a, b, Scope::All)?;
        for _ in 0..MOST_STEPS {
            if let Went::Off(Some(reports)) = self.step(0)? {
                return Ok(reports);
            }
        }
        Err(format!("STALLED: {a} and {b} do not come to an end").into())
    }
}

/// What two sides say of a session that ran to its end. Both may have given a space up at once,
/// each for its own reason. `begins_anew`: names have given way in this world, or one of the two
/// has dropped a space.
fn agree(left: &Report, right: &Report, begins_anew: bool) -> Result<(), String> {
    for one in &left.spaces {
        let Some(other) = right.space(&one.name) else {
            return Err(format!("{one:?}, of which the other side knows nothing"));
        };
        let both_gave_up = one.why.is_some() && other.why.is_some();
        if (one.root, one.why) != (other.root, other.why) && !both_gave_up {
            return Err(format!("{one:?}, and {other:?}"));
        }
    }
    let mut sent = [left.items_sent, left.removals_sent, left.bytes_sent, left.frames_sent];
    let received = [
        right.items_received,
        right.removals_received,
        right.bytes_received,
        right.frames_received,
    ];
    if begins_anew {
        // What one side had sent of a space when the other found the names forked or dropped it,
        // in this session or beside it, goes for nothing, and is sent once more.
        for n in 0..2 {
            sent[n] = sent[n].min(received[n]);
        }
    }
    if left.spaces.iter().all(|space| space.why.is_none()) && sent != received {
        return Err(format!("sent {sent:?}, received {received:?}"));
    }
    Ok(())
}
