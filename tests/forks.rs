//! Copies of a store that nothing at their opening could notice: two histories under one name.
//! Whatever is copied, put back and run beside each other, nothing of any of them is lost,
//! nothing comes back, and nothing counts twice.
//!
//! The oracle is the law itself, over elements that are written once each: an element lives
//! after a meeting where both held it, or one did and the other had never seen it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "pair/disks.rs"]
mod disks;
mod pair;

use std::collections::BTreeSet;

use pair::{Meeting, main_of};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use rejoin::session::{Report, Why};
use rejoin::sim::{Disk, Image};
use rejoin::space::Fork;
use rejoin::{Options, Store};

/// A device: its disk, the store that is open on it, and what must be there.
struct Device {
    disk: Disk,
    store: Option<Store>,
    seen: BTreeSet<u32>,
    live: BTreeSet<u32>,
    /// A copy of its disk, and what must be on it.
    image: Option<(Image, BTreeSet<u32>, BTreeSet<u32>)>,
}

/// Randomness that is never the same twice.
fn options(drawn: &mut u64, log: bool) -> Options {
    *drawn += 1;
    let mut options = disks::drawn(*drawn);
    if !log {
        options.removal_log_bytes = 0;
    }
    options.brake_items = 1_000_000;
    options
}

struct World {
    devices: Vec<Device>,
    drawn: u64,
    written: u32,
    log: bool,
    forks: Vec<Fork>,
}

impl World {
    fn new(devices: usize, log: bool) -> Self {
        let mut world = Self { devices: Vec::new(), drawn: 0, written: 0, log, forks: Vec::new() };
        for _ in 0..devices {
            world.add(Disk::in_memory(), BTreeSet::new(), BTreeSet::new());
        }
        world
    }

    fn add(&mut self, disk: Disk, seen: BTreeSet<u32>, live: BTreeSet<u32>) -> usize {
        self.devices.push(Device { disk, store: None, seen, live, image: None });
        self.open(self.devices.len() - 1);
        self.devices.len() - 1
    }

    fn open(&mut self, at: usize) {
        let options = options(&mut self.drawn, self.log);
        let device = &mut self.devices[at];
        device.store = None;
        device.store = Some(disks::open(&device.disk, options));
    }

    fn store(&self, at: usize) -> &Store {
        self.devices[at].store.as_ref().unwrap()
    }

    fn write(&mut self, at: usize) {
        self.written += 1;
        let element = self.written;
        let space = main_of(self.store(at));
        space
            .write(|tx| {
                tx.set("all").add(&element)?;
                // Few rows in each, so that no copy adds up what it had in common with another.
                tx.counter([b'n', element as u8 % 32]).add(1)
            })
            .unwrap();
        self.devices[at].seen.insert(element);
        self.devices[at].live.insert(element);
    }

    fn remove(&mut self, at: usize, which: usize) {
        let live = &self.devices[at].live;
        let Some(element) = live.iter().nth(which % live.len().max(1)).copied() else { return };
        let space = main_of(self.store(at));
        space.set("all").remove(&element).unwrap();
        self.devices[at].live.remove(&element);
    }

    fn copy(&mut self, at: usize) {
        let device = &mut self.devices[at];
        device.store = None;
        device.image = Some((device.disk.image(), device.seen.clone(), device.live.clone()));
        self.open(at);
    }

    fn put_back(&mut self, at: usize) {
        let device = &mut self.devices[at];
        let Some((image, seen, live)) = device.image.clone() else { return };
        device.store = None;
        device.disk = device.disk.twin(&image);
        (device.seen, device.live) = (seen, live);
        self.open(at);
    }

    fn run_twin(&mut self, at: usize) {
        let Some((image, seen, live)) = self.devices[at].image.clone() else { return };
        let disk = self.devices[at].disk.twin(&image);
        self.add(disk, seen, live);
    }

    fn elements(&self, at: usize) -> BTreeSet<u32> {
        let elements = main_of(self.store(at)).set::<u32>("all").elements().unwrap();
        elements.into_iter().map(|element| element.decoded().unwrap()).collect()
    }

    /// The two meet, and the line is cut after so many frames: nobody has lost anything.
    fn cut(&mut self, a: usize, b: usize, frames: usize) -> Result<(), String> {
        if a == b {
            return Ok(());
        }
        let mut meeting = Meeting::of(self.store(a), self.store(b));
        meeting.run_on(frames);
        meeting.left.close();
        meeting.right.close();
        for at in [a, b] {
            let found = self.elements(at);
            if !found.is_superset(&self.devices[at].live) {
                return Err(format!("{a} and {b} were cut: {at} has {found:?}"));
            }
            self.devices[at].seen.clone_from(&found);
            self.devices[at].live = found;
        }
        Ok(())
    }

    /// The two meet; what must be there afterwards.
    fn meet(&mut self, a: usize, b: usize) -> Result<(), String> {
        if a == b {
            return Ok(());
        }
        let (left, right) = (&self.devices[a], &self.devices[b]);
        let live: BTreeSet<u32> = left
            .live
            .union(&right.live)
            .filter(|e| left.live.contains(e) || !left.seen.contains(e))
            .filter(|e| right.live.contains(e) || !right.seen.contains(e))
            .copied()
            .collect();
        let seen: BTreeSet<u32> = left.seen.union(&right.seen).copied().collect();
        let mut meeting = Meeting::of(self.store(a), self.store(b));
        meeting.run_on(usize::MAX);
        for report in [meeting.left.report(), meeting.right.report()] {
            if !report.converged() {
                return Err(format!("{a} and {b}: {report:?}"));
            }
            self.forks.extend(report.forks.iter().cloned());
        }
        for at in [a, b] {
            self.devices[at].live.clone_from(&live);
            self.devices[at].seen.clone_from(&seen);
            let found = self.elements(at);
            if found != live {
                let lost: Vec<_> = live.difference(&found).collect();
                let back: Vec<_> = found.difference(&live).collect();
                return Err(format!("{a} and {b} met: {at} lost {lost:?}, got back {back:?}"));
            }
        }
        Ok(())
    }

    /// Everybody meets a device that was never copied, until nothing is new.
    fn heal(&mut self) -> Result<(), String> {
        let hub = self.add(Disk::in_memory(), BTreeSet::new(), BTreeSet::new());
        for _ in 0..3 {
            for at in 0..hub {
                self.meet(at, hub)?;
            }
        }
        let root = main_of(self.store(hub)).root().unwrap();
        for at in 0..=hub {
            let space = main_of(self.store(at));
            if space.root().unwrap() != root {
                return Err(format!("{at} has another root in the end"));
            }
            let counted: i128 = (0..32).map(|n| space.counter([b'n', n]).get().unwrap()).sum();
            let seen = self.devices[at].seen.len() as i128;
            if counted != seen {
                return Err(format!("{at} counts {counted} of {seen}"));
            }
            let report = self.store(at).check().unwrap();
            if !report.is_sound() {
                return Err(format!("{at}: {:?}", report.problems));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Remove(usize, usize),
    Meet(usize, usize),
    Cut(usize, usize, usize),
    Reopen(usize),
    Copy(usize),
    PutBack(usize),
    RunTwin(usize),
}

#[derive(Clone, Debug)]
struct History {
    devices: usize,
    log: bool,
    steps: Vec<Step>,
}

impl Arbitrary for History {
    fn arbitrary(g: &mut Gen) -> Self {
        let devices = 2 + usize::arbitrary(g) % 3;
        let length = 10 + usize::arbitrary(g) % 50;
        let at = |g: &mut Gen| usize::arbitrary(g) % 8;
        let step = |g: &mut Gen| match u8::arbitrary(g) % 20 {
            0..6 => Step::Write(at(g)),
            6..8 => Step::Remove(at(g), usize::arbitrary(g)),
            8..12 => Step::Meet(at(g), at(g)),
            12..14 => Step::Cut(at(g), at(g), 1 + at(g)),
            14 => Step::Reopen(at(g)),
            15..17 => Step::Copy(at(g)),
            17..19 => Step::PutBack(at(g)),
            _ => Step::RunTwin(at(g)),
        };
        let steps = (0..length).map(|_| step(g)).collect();
        Self { devices, log: bool::arbitrary(g), steps }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let History { devices, log, steps } = self.clone();
        let one_less = (0..steps.len()).map(move |at| {
            let mut steps = steps.clone();
            steps.remove(at);
            History { devices, log, steps }
        });
        let less = self.steps.shrink_halves().into_iter();
        let halves = less.map(move |steps| History { devices, log, steps });
        Box::new(halves.chain(one_less))
    }
}

trait Halves: Sized {
    fn shrink_halves(&self) -> Vec<Self>;
}

impl Halves for Vec<Step> {
    fn shrink_halves(&self) -> Vec<Self> {
        let half = self.len() / 2;
        if half == 0 { Vec::new() } else { vec![self[..half].to_vec(), self[half..].to_vec()] }
    }
}

fn run(history: &History, cuts: bool) -> Result<usize, String> {
    let mut world = World::new(history.devices, history.log);
    for step in &history.steps {
        let of = |at: usize| at % world.devices.len();
        match *step {
            Step::Write(at) => world.write(of(at)),
            Step::Remove(..) if cuts => {}
            Step::Remove(at, which) => world.remove(of(at), which),
            Step::Cut(a, b, frames) if cuts => world.cut(of(a), of(b), frames)?,
            Step::Meet(a, b) | Step::Cut(a, b, _) => world.meet(of(a), of(b))?,
            Step::Reopen(at) => world.open(of(at)),
            Step::Copy(at) => world.copy(of(at)),
            Step::PutBack(at) => world.put_back(of(at)),
            Step::RunTwin(at) => world.run_twin(of(at)),
        }
    }
    world.heal()?;
    Ok(world.forks.len())
}

#[test]
fn whatever_is_copied_and_put_back_nothing_is_lost_and_nothing_comes_back() {
    fn holds(history: History) -> Result<bool, String> {
        run(&history, false).map(|_| true)
    }
    QuickCheck::new().tests(tests()).quickcheck(holds as fn(History) -> Result<bool, String>);
}

#[test]
fn wherever_a_line_is_cut_while_names_give_way_all_comes_together() {
    fn holds(history: History) -> Result<bool, String> {
        run(&history, true).map(|_| true)
    }
    QuickCheck::new().tests(tests()).quickcheck(holds as fn(History) -> Result<bool, String>);
}

/// How many histories.
fn tests() -> u64 {
    std::env::var("REJOIN_FORKS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

fn story(devices: usize, steps: &[Step]) -> World {
    let history = History { devices, log: true, steps: steps.to_vec() };
    let mut world = World::new(devices, true);
    for step in &history.steps {
        match *step {
            Step::Write(at) => world.write(at),
            Step::Remove(at, which) => world.remove(at, which),
            Step::Meet(a, b) => world.meet(a, b).unwrap(),
            Step::Cut(a, b, frames) => world.cut(a, b, frames).unwrap(),
            Step::Reopen(at) => world.open(at),
            Step::Copy(at) => world.copy(at),
            Step::PutBack(at) => world.put_back(at),
            Step::RunTwin(at) => world.run_twin(at),
        }
    }
    world
}

/// What the peer knows and a restored store has made anew is told apart before anything goes.
#[test]
fn a_store_put_back_unnoticed_keeps_what_it_wrote_since_and_what_it_forgot() {
    use Step::{Copy, Meet, PutBack, Write};
    let mut world =
        story(2, &[Write(0), Copy(0), Write(0), Write(0), Meet(0, 1), PutBack(0), Write(0)]);
    let before = main_of(world.store(0)).replica();
    world.meet(0, 1).unwrap();
    assert_eq!(world.elements(1), BTreeSet::from([1, 2, 3, 4]));
    let [fork] = world.forks.as_slice() else { panic!("{:?}", world.forks) };
    assert_eq!((fork.replica, fork.after.get()), (before, 2)); // a write is two events
    assert_eq!(fork.writes_as, Some(main_of(world.store(0)).replica()));
    assert_ne!(fork.writes_as, Some(before));
    // It is told once, and the next session costs what one costs in which nothing is new.
    world.write(0);
    world.meet(0, 1).unwrap();
    assert_eq!(world.forks.len(), 1);
    let mut meeting = Meeting::of(world.store(0), world.store(1));
    meeting.run_on(usize::MAX);
    assert_eq!(meeting.left.report().round_trips, 1);
    world.heal().unwrap();
}

/// Nothing was written since: there is nothing to rename, and the old name is not used again.
#[test]
fn a_store_put_back_unnoticed_takes_back_what_it_forgot_under_another_name() {
    use Step::{Copy, Meet, PutBack, Write};
    let mut world = story(2, &[Write(0), Copy(0), Write(0), Meet(0, 1), PutBack(0), Meet(0, 1)]);
    let [fork] = world.forks.as_slice() else { panic!("{:?}", world.forks) };
    assert_eq!((fork.after.get(), fork.renamed), (2, None));
    assert!(fork.writes_as.is_some());
    world.write(0);
    world.heal().unwrap();
}

/// The two histories meet first at replicas that made neither.
#[test]
fn forks_shown_to_peers_that_never_saw_the_other_part_where_these_meet() {
    use Step::{Copy, Meet, PutBack, Remove, Write};
    let steps = [
        Write(0),
        Copy(0),
        Write(0),
        Write(0),
        Meet(0, 1),
        PutBack(0),
        Write(0),
        Write(0),
        Meet(0, 2),
        Remove(1, 1),
        Meet(1, 2),
    ];
    let mut world = story(3, &steps);
    assert_eq!(world.elements(2), BTreeSet::from([1, 3, 4, 5]));
    assert_eq!(world.forks.len(), 1);
    world.heal().unwrap();
}

/// Three machines are started from one snapshot, and each goes its way.
#[test]
fn three_twins_of_one_snapshot_become_one() {
    use Step::{Copy, Meet, RunTwin, Write};
    let steps = [Write(0), Write(0), Meet(0, 1), Copy(0), RunTwin(0), RunTwin(0)];
    let mut world = story(2, &steps);
    for at in [0, 2, 3, 0, 2, 3] {
        world.write(at);
    }
    world.heal().unwrap();
    assert_eq!(world.elements(1).len(), 8);
}

/// A side that only receives is not renamed by what the other says.
#[test]
fn a_side_that_takes_nothing_does_not_give_way() {
    use Step::{Copy, Meet, PutBack, Write};
    let mut world = story(2, &[Write(0), Copy(0), Write(0), Meet(0, 1), PutBack(0)]);
    world.write(0);
    let root = main_of(world.store(0)).root().unwrap();
    let mut meeting = Meeting::of(world.store(0), world.store(1));
    let receive_only = {
        let mut options = rejoin::session::SessionOptions::default();
        options.receive_only = true;
        options
    };
    meeting.left = meeting.left.with(receive_only);
    meeting.run_on(usize::MAX);
    let report: &Report = meeting.left.report();
    assert_eq!(report.spaces[0].why, Some(Why::Forked));
    assert_eq!(main_of(world.store(0)).root().unwrap(), root);
}
