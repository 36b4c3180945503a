//! Read contexts that are kept while one of two histories under one name gives way, or handed to
//! whoever holds the other one: a write with one replaces what its reader was shown, whatever
//! that is called by then, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "pair/disks.rs"]
mod disks;
mod pair;

use std::collections::BTreeSet;

use disks::drawn;
use pair::{Meeting, assert_sound, main_of, meet, standing};
use rejoin::sim::{Disk, Image, Random};
use rejoin::space::{Condition, ReadContext, Replacing};
use rejoin::{Error, Store, UsageError};

fn open(disk: &Disk, seed: u64) -> Store {
    let mut options = drawn(seed);
    options.brake_items = 1_000_000;
    disks::open(disk, options)
}

fn new(seed: u64) -> Store {
    open(&Disk::in_memory(), seed)
}

type Values = BTreeSet<String>;

fn values(store: &Store, key: &str) -> Values {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    main_of(store).get(key).unwrap().values().map(text).collect()
}

fn these<const N: usize>(values: [&str; N]) -> Values {
    values.map(str::to_owned).into()
}

fn read(store: &Store) -> ReadContext {
    // By way of its text, as an application keeps it.
    main_of(store).get("k").unwrap().context().to_string().parse().unwrap()
}

fn put(store: &Store, value: &str, replacing: Replacing<'_>) {
    main_of(store).put("k", value, replacing).unwrap();
}

/// Two twins that have "base" in common.
fn copied(seed: u64) -> [Store; 2] {
    let disk = Disk::in_memory();
    let store = open(&disk, seed);
    put(&store, "base", Replacing::Nothing);
    drop(store);
    let image = disk.image();
    [open(&disk, seed + 1), open(&disk.twin(&image), seed + 2)]
}

/// Two twins that have "base" in common, and each a value of its own beside that.
fn twins(seed: u64) -> [Store; 2] {
    let [x, y] = copied(seed);
    for (store, letter) in [(&x, 'x'), (&y, 'y')] {
        for n in 1..3 {
            put(store, &format!("{letter}{n}"), Replacing::Nothing);
        }
    }
    [x, y]
}

fn refused(store: &Store, token: &ReadContext) {
    let space = main_of(store);
    let before = standing(&space);
    let ahead = |done: Result<bool, Error>| match done {
        Err(Error::Usage(UsageError::ContextAhead { dot })) => dot,
        other => panic!("{other:?}"),
    };
    let one = ahead(space.put("k", "new", token).map(|()| true));
    let two = ahead(space.put_if("k", "new", token).map(|done| done.is_done()));
    assert_eq!(one, two);
    assert_eq!(standing(&space), before);
}

#[test]
fn a_context_of_one_history_says_nothing_to_who_holds_the_other() {
    for seed in (0..100).step_by(10) {
        let [x, y] = twins(seed);
        let [at_x, at_y] = [&x, &y].map(read);
        refused(&x, &at_y);
        refused(&y, &at_x);
        let (with_x, with_y) = (new(seed + 3), new(seed + 4));
        meet(&x, &with_x);
        meet(&y, &with_y);
        refused(&with_x, &at_y);
        refused(&with_y, &at_x);
        put(&with_x, "new", (&at_x).into());
        assert_eq!(values(&with_x, "k"), these(["new"]));
    }
}

/// Whoever gave way, and wherever: what was read of both histories is replaced in the end, and
/// what came beside it stays.
#[test]
fn a_context_is_good_after_what_it_names_got_another_name() {
    for seed in (0..200).step_by(10) {
        let [x, y] = twins(seed);
        let [at_x, at_y] = [&x, &y].map(read);
        put(&x, "x3", Replacing::Nothing);
        put(&y, "y3", Replacing::Nothing);
        let hub = new(seed + 3);
        for store in [&x, &y, &x] {
            meet(store, &hub);
        }
        let all = ["base", "x1", "x2", "x3", "y1", "y2", "y3"];
        assert_eq!(values(&hub, "k"), these(all));
        // What was read stands there, and more.
        assert!(!main_of(&hub).put_if("k", "no", &at_x).unwrap().is_done());
        put(&hub, "after x", (&at_x).into());
        assert_eq!(values(&hub, "k"), these(["after x", "x3", "y1", "y2", "y3"]));
        put(&x, "after y", (&at_y).into());
        assert_eq!(values(&x, "k"), these(["after y", "x1", "x2", "x3", "y3"]));
        // The pasts of what was written say the same to those who were not asked.
        for store in [&x, &y, &x] {
            meet(store, &hub);
        }
        for store in [&x, &y, &hub] {
            assert_eq!(values(store, "k"), these(["after x", "after y", "x3", "y3"]));
            assert_sound(store);
        }
    }
}

#[test]
fn a_condition_holds_of_what_got_another_name_as_long_as_nothing_else_changed() {
    for seed in (0..200).step_by(10) {
        let [x, y] = copied(seed);
        // With a past that names what both have, and without one.
        let replacing = if seed % 20 == 0 { Replacing::Observed } else { Replacing::Nothing };
        put(&x, "x1", replacing);
        put(&x, "x2", replacing);
        main_of(&y).put("elsewhere", "y1", None).unwrap();
        main_of(&y).put("elsewhere", "y2", None).unwrap();
        let token = read(&x);
        let hub = new(seed + 3);
        for store in [&y, &x, &y] {
            meet(store, &hub);
        }
        assert!(
            main_of(&hub)
                .write_if([("k", Condition::from(&token))], |_| Ok::<_, Error>(()))
                .unwrap()
                .is_done()
        );
        put(&x, "x3", Replacing::Nothing);
        meet(&x, &hub);
        assert!(!main_of(&hub).put_if("k", "no", &token).unwrap().is_done());
        assert!(main_of(&y).put_if("k", "yes", &token).unwrap().is_done());
        assert_eq!(values(&y, "k"), these(["yes"]));
    }
}

/// A fork within a fork: before z1 came x1, and in another history m1, under one seq. Once each
/// has a name of its own nothing says which of the two the reader of z1 was shown.
#[test]
fn a_context_leaves_what_it_may_not_have_meant() {
    let mut left = 0;
    for seed in (0..400).step_by(10) {
        let disk = Disk::in_memory();
        let store = open(&disk, seed);
        put(&store, "base", Replacing::Nothing);
        drop(store);
        let image = disk.image();
        let m = open(&disk.twin(&image), seed + 1);
        put(&m, "m1", Replacing::Nothing);
        put(&m, "m2", Replacing::Nothing);
        let x = open(&disk, seed + 2);
        put(&x, "x1", Replacing::Nothing);
        drop(x);
        let image = disk.image();
        let [y, z] = ["y1", "z1"].map(|value| {
            let at = seed + 3 + u64::from(value == "z1");
            let store = open(&disk.twin(&image), at);
            put(&store, value, Replacing::Nothing);
            store
        });
        let token = read(&z);
        assert_eq!(values(&z, "k"), these(["base", "x1", "z1"]));
        let hub = new(seed + 5);
        for store in [&m, &y, &z, &m, &y, &z] {
            meet(store, &hub);
        }
        assert_eq!(values(&hub, "k"), these(["base", "m1", "m2", "x1", "y1", "z1"]));
        put(&hub, "new", (&token).into());
        let now = values(&hub, "k");
        assert!(now.is_superset(&these(["m1", "m2", "y1", "new"])), "{now:?}");
        assert!(now.is_disjoint(&these(["base", "z1"])), "{now:?}");
        left += usize::from(now.contains("x1"));
    }
    assert!(left > 0, "it was always clear");
}

/// What was taken away without a record, and is restored once its name gave way, replaces
/// nothing of the other history: what it had replaced gave way too.
#[test]
fn what_is_restored_replaces_nothing_of_the_other_history() {
    let mut renamed = 0;
    for seed in (0..200).step_by(10) {
        let disk = Disk::in_memory();
        drop(open(&disk, seed));
        let image = disk.image();
        let (x, y) = (open(&disk, seed + 1), open(&disk.twin(&image), seed + 2));
        put(&x, "x1", Replacing::Observed);
        put(&x, "x2", Replacing::Observed); // its past names x1
        put(&y, "y1", Replacing::Nothing);
        put(&y, "y2", Replacing::Nothing);
        let mut forgets = drawn(seed + 3);
        forgets.removal_log_bytes = 0;
        let forgetful = Store::in_memory_with(forgets);
        let (here, there) = (new(seed + 4), new(seed + 5));
        for store in [&x, &forgetful] {
            meet(store, &here);
        }
        main_of(&forgetful).delete("k").unwrap();
        meet(&here, &forgetful);
        meet(&y, &there);
        let forks = meet(&here, &there).forks;

        let trash = main_of(&here).trash();
        let mut dots = Vec::new();
        trash
            .for_each(0, |gone| {
                dots.push(gone.item.dot);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        let [dot] = dots.as_slice() else { panic!("{dots:?}") };
        if let [fork] = forks.as_slice() {
            renamed += 1;
            assert_eq!(Some(dot.replica), fork.renamed);
        }
        assert_sound(&here);
        assert_eq!(trash.restore(|_| true).unwrap().written, 1);
        for store in [&here, &y, &here] {
            meet(store, &there);
        }
        for store in [&here, &there, &y] {
            assert_eq!(values(store, "k"), these(["x2", "y1", "y2"]));
            assert_sound(store);
        }
    }
    assert!(renamed > 0, "it was always the other one that gave way");
}

/// A device: its disk, the store that is open on it, what it has seen, and what lives there.
struct Device {
    disk: Disk,
    store: Store,
    seen: Values,
    live: Values,
    image: Option<(Image, Values, Values)>,
}

struct World {
    devices: Vec<Device>,
    reads: Vec<(ReadContext, Values)>,
    drawn: u64,
    /// How often a context was good, and how often it was refused.
    taken: usize,
    refused: usize,
    /// Siblings that a reader was shown and a write with its context left.
    left: usize,
}

impl World {
    fn open(&mut self, disk: &Disk) -> Store {
        self.drawn += 1;
        open(disk, self.drawn)
    }

    fn add(&mut self, disk: Disk, seen: Values, live: Values) {
        let store = self.open(&disk);
        self.devices.push(Device { disk, store, seen, live, image: None });
    }

    /// Closes the store of a device, and opens what stands on this disk in its place.
    fn reopen(&mut self, at: usize, disk: Disk) {
        let closed = new(u64::MAX);
        drop(std::mem::replace(&mut self.devices[at].store, closed));
        self.devices[at].store = self.open(&disk);
        self.devices[at].disk = disk;
    }

    fn write(&mut self, at: usize, which: usize) {
        let value = format!("{}", self.devices[at].seen.len() + 1000 * self.drawn as usize);
        self.drawn += 1;
        let device = &mut self.devices[at];
        let mut replaced = Values::new();
        if which > 0
            && let Some((token, shown)) = self.reads.iter().rev().nth(which - 1)
        {
            match main_of(&device.store).put("k", &value, token) {
                Ok(()) => {}
                Err(Error::Usage(UsageError::ContextAhead { .. })) => {
                    self.refused += 1;
                    assert_eq!(values(&device.store, "k"), device.live, "refused, and changed");
                    return;
                }
                Err(other) => panic!("{other}"),
            }
            self.taken += 1;
            replaced.clone_from(shown);
        } else {
            put(&device.store, &value, Replacing::Nothing);
        }
        let now = values(&device.store, "k");
        assert!(now.contains(&value));
        let gone: Values = device.live.difference(&now).cloned().collect();
        assert!(gone.is_subset(&replaced), "{gone:?} went, and {replaced:?} was shown");
        self.left += device.live.intersection(&replaced).count() - gone.len();
        device.seen.insert(value);
        device.live = now;
    }

    fn meet(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let (left, right) = (&self.devices[a], &self.devices[b]);
        let stays = |d: &Device, value: &String| d.live.contains(value) || !d.seen.contains(value);
        let both = left.live.union(&right.live);
        let live: Values = both.filter(|v| stays(left, v) && stays(right, v)).cloned().collect();
        let seen: Values = left.seen.union(&right.seen).cloned().collect();
        let mut meeting = Meeting::of(&left.store, &right.store);
        meeting.run_on(usize::MAX);
        for report in [meeting.left.report(), meeting.right.report()] {
            assert!(report.converged(), "{report:?}");
        }
        for at in [a, b] {
            let device = &mut self.devices[at];
            assert_eq!(values(&device.store, "k"), live, "{a} and {b} met: {at}");
            (device.live, device.seen) = (live.clone(), seen.clone());
        }
    }

    fn step(&mut self, random: &mut Random) {
        let mut drawn = [0; 3];
        random.fill(&mut drawn);
        let [what, at, which] = drawn.map(usize::from);
        let (at, count) = (at % self.devices.len(), self.devices.len());
        let device = &mut self.devices[at];
        match what % 16 {
            0..3 => self.write(at, 0),
            3..6 => {
                let token = read(&device.store);
                self.reads.push((token, device.live.clone()));
            }
            6..9 => self.write(at, 1 + which % 6),
            9..13 => self.meet(at, which % count),
            13 => {
                let disk = device.disk.twin(&device.disk.image());
                let image = (disk.image(), device.seen.clone(), device.live.clone());
                device.image = Some(image);
                self.reopen(at, disk);
            }
            14 => {
                let Some((image, seen, live)) = device.image.clone() else { return };
                (device.seen, device.live) = (seen, live);
                let disk = device.disk.twin(&image);
                self.reopen(at, disk);
            }
            _ if count < 6 => {
                let Some((image, seen, live)) = device.image.clone() else { return };
                let disk = device.disk.twin(&image);
                self.add(disk, seen, live);
            }
            _ => {}
        }
    }
}

/// Whatever is copied, put back and run beside each other: a write replaces nothing that its
/// reader was not shown, here and, by its past, at whoever it reaches.
#[test]
fn no_context_takes_away_what_its_reader_was_not_shown() {
    let worlds = std::env::var("REJOIN_FORKS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let (mut taken, mut refused, mut left) = (0, 0, 0);
    for seed in 0..worlds {
        let mut world = World {
            devices: Vec::new(),
            reads: Vec::new(),
            drawn: seed << 32,
            taken: 0,
            refused: 0,
            left: 0,
        };
        for _ in 0..3 {
            world.add(Disk::in_memory(), Values::new(), Values::new());
        }
        let mut random = Random::new(seed);
        for _ in 0..60 {
            world.step(&mut random);
        }
        world.add(Disk::in_memory(), Values::new(), Values::new());
        let hub = world.devices.len() - 1;
        for at in (0..hub).chain(0..hub).chain(0..hub) {
            world.meet(at, hub);
        }
        for device in &world.devices {
            assert_eq!(device.live, world.devices[hub].live);
            assert_sound(&device.store);
        }
        taken += world.taken;
        refused += world.refused;
        left += world.left;
    }
    println!("{taken} taken, {refused} refused, {left} siblings left");
    assert!(taken > 3 * worlds as usize && refused > 0);
    // A fork within a fork, where nobody can say which was meant.
    assert!(left * 100 <= taken, "{left} siblings stayed of {taken} writes");
}
