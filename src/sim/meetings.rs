//! Sessions between the replicas of a world, a frame at a time.

use std::collections::VecDeque;

use super::link::{Link, Move};
use super::world::{World, Wrong, failed};
use crate::session::{Report, Scope, Session, Why};

impl World {
    /// Begins a session.
    pub(super) fn meet(&mut self, a: usize, b: usize, scope: Scope) -> Result<(), Wrong> {
        let mut nonces = [[0; 16]; 2];
        self.random.fill(&mut nonces[0]);
        self.random.fill(&mut nonces[1]);
        let opener = Session::connect(&self.replicas[a].store, scope.clone(), nonces[0]);
        let answerer = Session::accept(&self.replicas[b].store, nonces[1]);
        let about =
            format!("{}{}#{}", self.replicas[a].name, self.replicas[b].name, self.stats.sessions);
        self.tell(|| format!("{about} begins, about {scope:?}"));
        self.stats.sessions += 1;
        self.links.push(Link {
            ends: [a, b],
            sides: [opener.map_err(failed("connecting"))?, answerer],
            wires: [VecDeque::new(), VecDeque::new()],
            quiet: [false, false],
            about,
        });
        Ok(())
    }

    /// One thing happens on a link; whether it goes on.
    pub(super) fn step(&mut self, l: usize) -> Result<bool, Wrong> {
        let now_ms = self.now_ms();
        let link = &mut self.links[l];
        for side in 0..2 {
            if link.sides[side].poll_timeout().is_some_and(|at| at <= now_ms) {
                self.stats.waits += 1;
                link.quiet[side] = false;
                link.sides[side].handle_timeout(now_ms).map_err(failed("a time-out"))?;
                let r = link.ends[side];
                self.check_all(r)?;
                return Ok(true);
            }
        }
        let moves: Vec<Move> = link.moves().collect();
        if moves.is_empty() {
            if link.is_over() {
                self.end(l)?;
                return Ok(false);
            }
            return match link.wake_at() {
                Some(at) => {
                    let later = at.saturating_sub(now_ms);
                    self.pass_time(later);
                    Ok(true)
                }
                None => Err(format!("STALLED: {}: {:?}", link.about, link.sides)),
            };
        }
        let step = *self.random.pick(&moves);
        match step {
            Move::Poll(side) => self.poll(l, side)?,
            Move::Deliver(side) => self.deliver(l, side)?,
        }
        Ok(true)
    }

    fn poll(&mut self, l: usize, side: usize) -> Result<(), Wrong> {
        let now_ms = self.now_ms();
        let link = &mut self.links[l];
        let at = format!("{} polls side {side}", link.about);
        let frame = link.sides[side].poll_frame(now_ms).map_err(failed(&at))?;
        let told = frame.as_deref().filter(|_| self.story.is_some());
        let words = told.map(Session::describe_frame);
        match frame {
            None => link.quiet[side] = true,
            Some(frame) => link.wires[1 - side].push_back(frame),
        }
        if let Some(words) = words {
            let name = self.replicas[self.links[l].ends[side]].name;
            self.tell(|| format!("{at}: {name} sends {words}"));
        }
        Ok(())
    }

    fn deliver(&mut self, l: usize, side: usize) -> Result<(), Wrong> {
        let now_ms = self.now_ms();
        let link = &mut self.links[l];
        let Some(frame) = link.wires[side].pop_front() else { return Ok(()) };
        let (about, r) = (link.about.clone(), link.ends[side]);
        self.stats.frames += 1;
        self.stats.bytes += frame.len() as u64;
        link.quiet[side] = false;
        let handled = link.sides[side].handle_frame(now_ms, &frame);
        let name = self.replicas[r].name;
        self.tell(|| format!("{about}: {name} takes {}", Session::describe_frame(&frame)));
        handled.map_err(failed(&about))?;
        self.check_all(r)
    }

    /// A session ran to its end.
    fn end(&mut self, l: usize) -> Result<(), Wrong> {
        let link = self.links.remove(l);
        let [left, right] = [link.sides[0].report().clone(), link.sides[1].report().clone()];
        self.tell(|| format!("{} ends: {:?} / {:?}", link.about, left.spaces, right.spaces));
        for report in [&left, &right] {
            self.stats.repaired += report.repaired;
            for space in &report.spaces {
                match space.why {
                    Some(Why::Displaced) => self.stats.displaced += 1,
                    Some(Why::Unfinished) => self.stats.unproven += 1,
                    Some(why @ Why::Diverged) => {
                        return Err(format!("REPORT: {}: {why}: {space:?}", link.about));
                    }
                    _ => {}
                }
            }
            if !report.finished {
                return Err(format!("REPORT: {} is over and not finished: {report:?}", link.about));
            }
        }
        agree(&left, &right).map_err(|what| format!("REPORT: {}: {what}", link.about))
    }

    /// The pipe breaks: of what is in flight some may still come, the rest is lost.
    pub(super) fn cut(&mut self, l: usize) -> Result<(), Wrong> {
        self.stats.cuts += 1;
        for side in 0..2 {
            let still = self.random.below(self.links[l].wires[side].len() + 1);
            let still = if self.random.percent(50) { 0 } else { still };
            for _ in 0..still {
                self.deliver(l, side)?;
            }
        }
        let mut link = self.links.remove(l);
        self.tell(|| format!("{} is cut", link.about));
        link.sides.iter_mut().for_each(Session::close);
        Ok(())
    }

    pub(super) fn cut_all_of(&mut self, r: usize) -> Result<(), Wrong> {
        while let Some(l) = self.links.iter().position(|link| link.ends.contains(&r)) {
            self.cut(l)?;
        }
        Ok(())
    }

    /// Two replicas meet with nobody else about.
    pub(super) fn meet_alone(&mut self, a: usize, b: usize) -> Result<[Report; 2], Wrong> {
        const MOST_STEPS: usize = 20_000;
        self.meet(a, b, Scope::All)?;
        for _ in 0..MOST_STEPS {
            let link = &self.links[0];
            let over = link.moves().next().is_none() && link.is_over();
            let reports = [link.sides[0].report().clone(), link.sides[1].report().clone()];
            if !self.step(0)? {
                return Ok(reports);
            }
            if over {
                break;
            }
        }
        Err(format!("STALLED: {} and {} do not come to an end", a, b))
    }
}

/// What two sides say of a session that ran to its end.
fn agree(left: &Report, right: &Report) -> Result<(), Wrong> {
    for one in &left.spaces {
        let Some(other) = right.space(&one.name) else {
            return Err(format!("{one:?}, of which the other side knows nothing"));
        };
        if (one.root, one.why) != (other.root, other.why) {
            return Err(format!("{one:?}, and {other:?}"));
        }
    }
    let sent = [left.items_sent, left.removals_sent, left.bytes_sent, left.frames_sent];
    let received = [
        right.items_received,
        right.removals_received,
        right.bytes_received,
        right.frames_received,
    ];
    if left.spaces.iter().all(|space| space.why.is_none()) && sent != received {
        return Err(format!("sent {sent:?}, received {received:?}"));
    }
    Ok(())
}
