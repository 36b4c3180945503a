//! Replicas, what is in flight between them, and what is asked of them after each step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Config;
use super::link::{Link, Move};
use super::op::{self, Kept, Op};
use super::oracle::{Oracle, Strictness};
use super::random::Random;
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::digest::RootHash;
use crate::error::Error;
use crate::session::{Report, Scope, Session, Why};
use crate::space::{Item, Keys, Options, Space, Store, Tuning};
use crate::storage::MemoryStorage;

/// What went wrong, in words.
pub(super) type Wrong = String;

/// What the worlds of a run did, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Worlds.
    pub worlds: u64,
    /// Events of applications.
    pub events: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Those cut.
    pub cuts: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Items dropped by repair.
    pub repaired: u64,
    /// Sides of sessions that lost their staging to another.
    pub displaced: u64,
    /// Sides of sessions that gave up because writes went on between their proofs.
    pub unproven: u64,
    /// Replicas opened again.
    pub reopened: u64,
    /// Times that a chunk waited for another delta's staging.
    pub waits: u64,
    /// Questions asked of a replica's space.
    pub checks: u64,
}

impl Stats {
    /// Adds those of other worlds.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.worlds, other.worlds),
            (&mut self.events, other.events),
            (&mut self.sessions, other.sessions),
            (&mut self.cuts, other.cuts),
            (&mut self.frames, other.frames),
            (&mut self.bytes, other.bytes),
            (&mut self.repaired, other.repaired),
            (&mut self.displaced, other.displaced),
            (&mut self.unproven, other.unproven),
            (&mut self.reopened, other.reopened),
            (&mut self.waits, other.waits),
            (&mut self.checks, other.checks),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

pub(super) struct Replica {
    pub(super) name: char,
    pub(super) alive: bool,
    storage: MemoryStorage,
    options: Options,
    pub(super) store: Store,
    pub(super) spaces: Vec<Space>,
    /// What was read and may be handed back, per space.
    kept: Vec<Vec<Kept>>,
    /// The vectors when last looked at: they only rise.
    vectors: Vec<VersionVector>,
    /// The commits when last looked at: as long as there is none, nothing can have changed.
    commits: Vec<u64>,
}

/// A seeded world: replicas that run the shipped code on memory, sessions between them
/// whose frames are delivered one at a time, and an oracle for each space.
pub struct World {
    pub(super) config: Config,
    pub(super) random: Random,
    clock: Arc<AtomicU64>,
    pub(super) replicas: Vec<Replica>,
    pub(super) links: Vec<Link>,
    oracles: Vec<Oracle>,
    roots: BTreeMap<(usize, Vec<Dot>), RootHash>,
    pub(super) stats: Stats,
    story: Option<Vec<String>>,
    written: u8,
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").field("config", &self.config).finish_non_exhaustive()
    }
}

fn failed(at: &str) -> impl Fn(Error) -> Wrong + '_ {
    move |error| format!("ERROR: {at}: {error}")
}

fn items_of(
    visit: impl FnOnce(&mut dyn FnMut(Item)) -> Result<(), Error>,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    visit(&mut |item| items.push(item))?;
    Ok(items)
}

macro_rules! items {
    ($on:expr) => {
        items_of(|keep| {
            $on.for_each_item(Keys::all(), |item| {
                keep(item);
                core::ops::ControlFlow::Continue(())
            })
        })
    };
}

impl World {
    /// The world of a seed. With `tells`, it keeps its story.
    pub(super) fn new(seed: u64, tells: bool) -> Result<Self, Wrong> {
        let mut random = Random::new(seed);
        let config = Config::draw(&mut random);
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let dice = Arc::new(Mutex::new(Random::new(random.next())));
        let mut world = Self {
            clock,
            replicas: Vec::new(),
            links: Vec::new(),
            oracles: (0..config.spaces).map(|_| Oracle::default()).collect(),
            roots: BTreeMap::new(),
            stats: Stats { worlds: 1, ..Stats::default() },
            story: tells.then(Vec::new),
            written: 0,
            config,
            random,
        };
        for (name, skew_ms) in ('A'..).zip(world.config.clock_skews_ms.clone()) {
            let (clock, dice) = (world.clock.clone(), dice.clone());
            let mut options = Options::with(
                Arc::new(move || clock.load(Ordering::Relaxed).saturating_add(skew_ms)),
                Arc::new(move |bytes| {
                    dice.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
                }),
            );
            options.removal_log_bytes = world.config.removal_log_bytes;
            options.past_origins = world.config.past_origins;
            options.tuning = Tuning {
                chunk_events: world.config.chunk_events,
                frame_bytes: world.config.frame_bytes,
                short_vector_bytes: world.config.short_vector_bytes,
                spares: world.config.spares,
                ..Tuning::default()
            };
            let mut id = [0; 16];
            (options.entropy)(&mut id);
            id[0] %= world.config.buckets;
            let storage = MemoryStorage::new(ReplicaId::from_bytes(id));
            let (store, spaces) = world.open(&storage, &options)?;
            world.tell(|| format!("{name} is {}", store.replica()));
            world.replicas.push(Replica {
                name,
                alive: true,
                storage,
                options,
                store,
                kept: vec![Vec::new(); spaces.len()],
                vectors: vec![VersionVector::new(); spaces.len()],
                commits: vec![0; spaces.len()],
                spaces,
            });
        }
        Ok(world)
    }

    fn open(
        &self,
        storage: &MemoryStorage,
        options: &Options,
    ) -> Result<(Store, Vec<Space>), Wrong> {
        let store = Store::on(Box::new(storage.clone()), options.clone());
        let store = store.map_err(failed("opening"))?;
        let spaces: Result<_, _> =
            (0..self.config.spaces).map(|n| store.space(&Config::space_name(n))).collect();
        Ok((store, spaces.map_err(failed("a space"))?))
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(what());
        }
    }

    /// What happened so far, where it was kept.
    pub(super) fn story(&self) -> &[String] {
        self.story.as_deref().unwrap_or_default()
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn pass_time(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// The replicas that live.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|r| self.replicas[*r].alive).collect()
    }

    // ---- local events

    /// Draws mutations and makes them at a replica, in one transaction.
    pub(super) fn write(&mut self, r: usize, count: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let ops: Vec<Op> = (0..count)
            .map(|_| {
                let kept = &self.replicas[r].kept[s];
                Op::draw(&mut self.random, &self.config.families, kept)
            })
            .collect();
        self.make(r, s, &ops)
    }

    fn make(&mut self, r: usize, s: usize, ops: &[Op]) -> Result<(), Wrong> {
        let space = self.replicas[r].spaces[s].clone();
        let id = self.replicas[r].store.replica();
        let own = space.vector().map_err(failed("a vector"))?.get(id).get();
        let (mut deeds, mut last) = (Vec::new(), own);
        let oracle = &self.oracles[s];
        let is_removed = |dot| oracle.is_removed(dot);
        let mut value = self.written;
        let mut judged = Ok(());
        if let ([op], true) = (ops, value.is_multiple_of(2)) {
            value = value.wrapping_add(1);
            let before = items!(space).map_err(failed("a scan"))?;
            op::perform(&space, op, value).map_err(failed("a write"))?;
            let after = items!(space).map_err(failed("a scan"))?;
            let deed = op::judge(op, &before, &after, op::dot_after(id, last), is_removed)?;
            last += u64::from(deed.dot.is_some());
            deeds.push(deed);
        } else {
            let done = space.write(|tx| {
                let mut before = items!(tx)?;
                for op in ops {
                    value = value.wrapping_add(1);
                    op::perform_in(tx, op, value)?;
                    let after = items!(tx)?;
                    match op::judge(op, &before, &after, op::dot_after(id, last), is_removed) {
                        Ok(deed) => {
                            last += u64::from(deed.dot.is_some());
                            deeds.push(deed);
                        }
                        Err(wrong) => judged = Err(wrong),
                    }
                    before = after;
                }
                Ok::<_, Error>(())
            });
            done.map_err(failed("a transaction"))?;
        }
        self.written = value;
        let name = self.replicas[r].name;
        self.tell(|| {
            let did = deeds.iter().zip(ops).map(|(deed, op)| match deed.dot {
                Some(dot) => format!("{op:?} as {} removing {:?}", dot.seq, deed.removed),
                None => format!("{op:?}, for nothing"),
            });
            format!("{name} writes in space {s}: {}", did.collect::<Vec<_>>().join("; "))
        });
        judged?;
        self.stats.events += last - own;
        let oracle = &mut self.oracles[s];
        oracle.add_transaction(id, own + 1, last);
        for deed in deeds {
            if let Some(dot) = deed.dot {
                oracle.add(dot, deed.wrote, deed.removed);
            }
        }
        let vector = space.vector().map_err(failed("a vector"))?;
        if vector.get(id).get() != last {
            return Err(format!("OP: {name} made {} events, not {last}", vector.get(id)));
        }
        self.check(r, s)
    }

    /// A replica reads a key and keeps the context.
    pub(super) fn read(&mut self, r: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let key = *self.random.pick(&["v1", "v2"]);
        let kept = Kept::read(&self.replicas[r].spaces[s], key).map_err(failed("a read"))?;
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} reads {key} in space {s}: {:?}", kept.context));
        let all = &mut self.replicas[r].kept[s];
        if all.len() > 5 {
            all.remove(0);
        }
        all.push(kept);
        Ok(())
    }

    // ---- sessions

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

    fn cut_all_of(&mut self, r: usize) -> Result<(), Wrong> {
        while let Some(l) = self.links.iter().position(|link| link.ends.contains(&r)) {
            self.cut(l)?;
        }
        Ok(())
    }

    /// A replica dies for ever.
    pub(super) fn die(&mut self, r: usize) -> Result<(), Wrong> {
        self.cut_all_of(r)?;
        self.replicas[r].alive = false;
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} dies"));
        Ok(())
    }

    /// A replica stops and is opened again from its storage.
    pub(super) fn reopen(&mut self, r: usize) -> Result<(), Wrong> {
        self.cut_all_of(r)?;
        self.stats.reopened += 1;
        let replica = &self.replicas[r];
        let (name, storage) = (replica.name, replica.storage.clone());
        let options = replica.options.clone();
        let (store, spaces) = self.open(&storage, &options)?;
        self.tell(|| format!("{name} is opened again"));
        self.replicas[r].store = store;
        self.replicas[r].spaces = spaces;
        self.replicas[r].commits.fill(0);
        self.check_all(r)
    }

    // ---- questions

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

    // ---- the end

    /// Two replicas meet with nobody else about.
    fn meet_alone(&mut self, a: usize, b: usize) -> Result<[Report; 2], Wrong> {
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
            self.replicas[r].spaces.iter().map(Space::standing).collect()
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
