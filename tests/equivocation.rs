//! One event with two contents: stores that go on under one name and one tag, as copies of a
//! running process do. Whoever meets, both contents live on at everybody, and nobody differs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "pair/disks.rs"]
mod disks;
mod pair;

use std::collections::{BTreeMap, BTreeSet};

use pair::{Meeting, main_of, meet, store};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use rejoin::sim::Disk;
use rejoin::space::{Equivocation, Replacing};
use rejoin::{Error, PeerError, Store};

fn elements(store: &Store) -> BTreeSet<u32> {
    let elements = main_of(store).set::<u32>("all").elements().unwrap();
    elements.into_iter().map(|element| element.decoded().unwrap()).collect()
}

fn add(store: &Store, element: u32) {
    main_of(store).set("all").add(&element).unwrap();
}

#[test]
fn both_contents_of_an_event_live_on_at_both_and_are_told_once() {
    let (one, two) = (store(1), store(1));
    assert_eq!(one.replica(), two.replica());
    let (left, right, third) = (store(2), store(3), store(4));
    main_of(&one).put("note", "tea", None).unwrap();
    main_of(&two).put("note", "rice", None).unwrap();
    meet(&one, &left);
    meet(&two, &right);

    let mut meeting = Meeting::of(&left, &right);
    meeting.run_on(usize::MAX);
    for (side, at) in [(&meeting.left, &left), (&meeting.right, &right)] {
        assert!(side.report().converged(), "{:?}", side.report());
        let [Equivocation { space, kept, other, .. }] = side.report().equivocations.as_slice()
        else {
            panic!("{:?}", side.report())
        };
        assert_eq!((space.as_str(), kept.key.as_slice()), ("main", &b"note"[..]));
        assert_eq!((kept.dot.replica, kept.dot.seq.get()), (one.replica(), 1));
        assert_eq!(other.dot.seq.get(), 1);
        assert_ne!(other.dot.replica, one.replica());
        let siblings = main_of(at).get("note").unwrap();
        assert_eq!(siblings.values().collect::<BTreeSet<_>>(), [&b"rice"[..], b"tea"].into());
        assert!(at.check().unwrap().is_sound());
    }
    assert_eq!(meeting.left.report().equivocations, meeting.right.report().equivocations);

    // Told once, and the next session is as quiet as any.
    let report = meet(&left, &right);
    assert_eq!((report.round_trips, report.equivocations.len()), (1, 0));
    // Those who hold one of the two come to the same; who holds none takes both as they are.
    for at in [&third, &one, &two] {
        assert_eq!(meet(&left, at).equivocations, []);
        assert_eq!(main_of(at).root().unwrap(), main_of(&left).root().unwrap());
    }
    assert_eq!(main_of(&right).root().unwrap(), main_of(&left).root().unwrap());
}

/// Somebody made one of the two, and removed the other, before a third that holds the loser came.
#[test]
fn what_was_settled_and_then_replaced_does_not_come_back() {
    let (one, two) = (store(1), store(1));
    let (left, right, late) = (store(2), store(3), store(4));
    main_of(&one).put("note", "tea", None).unwrap();
    main_of(&two).put("note", "rice", None).unwrap();
    meet(&one, &left);
    meet(&two, &right);
    meet(&one, &late);
    meet(&left, &right);
    let read = main_of(&left).get("note").unwrap();
    main_of(&left).put("note", "tea and rice", read.context()).unwrap();
    for at in [&late, &two, &one, &right] {
        meet(&left, at);
        let siblings = main_of(at).get("note").unwrap();
        assert_eq!(siblings.values().collect::<Vec<_>>(), [b"tea and rice"]);
    }
}

/// More than one message holds, in many blocks, large and small.
#[test]
fn thousands_of_events_with_two_contents() {
    let (one, two) = (store(1), store(1));
    let (left, right) = (store(2), store(3));
    for (at, fill) in [(&one, b'x'), (&two, b'y')] {
        for transaction in 0..10 {
            main_of(at)
                .write(|tx| {
                    (0..2_000).try_for_each(|n| {
                        let key = format!("{transaction} {n}");
                        let size = if n == 7 { 100_000 } else { 10 };
                        tx.put(key, vec![fill; size], Replacing::Nothing).map(drop)
                    })
                })
                .unwrap();
        }
    }
    meet(&one, &left);
    meet(&two, &right);
    let mut told = 0;
    for _ in 0..50 {
        let mut meeting = Meeting::of(&left, &right);
        meeting.run_on(usize::MAX);
        let report = meeting.left.report().clone();
        told += report.equivocations.len();
        assert!(report.finished, "{report:?}");
        if report.converged() {
            break;
        }
    }
    assert_eq!(told, 20_000);
    meet(&left, &right);
    assert_eq!(main_of(&left).status().unwrap().items, 40_000);
    assert!(left.check().unwrap().is_sound() && right.check().unwrap().is_sound());
}

/// What one side has to send does not depend on how much the other one asks for.
#[test]
fn small_values_on_one_side_and_large_ones_on_the_other() {
    for sizes in [[10, 1_000_000], [1_000_000, 10]] {
        let (one, two) = (store(1), store(1));
        let (left, right) = (store(2), store(3));
        for ((at, fill), size) in [(&one, b'x'), (&two, b'y')].into_iter().zip(sizes) {
            for n in 0..40 {
                let value = vec![fill; size];
                main_of(at).put(format!("{n}"), value, Replacing::Nothing).unwrap();
            }
        }
        meet(&one, &left);
        meet(&two, &right);
        let mut meeting = Meeting::of(&left, &right);
        while !meeting.try_run(usize::MAX).unwrap() || !meeting.left.report().converged() {
            assert!(meeting.frames.iter().all(|(_, bytes)| *bytes < 3_000_000));
            meeting = Meeting::of(&left, &right);
        }
        assert!(meeting.frames.iter().all(|(_, bytes)| *bytes < 3_000_000));
        assert_eq!(main_of(&left).status().unwrap().items, 80);
    }
}

/// More rounds than one session has turns for end it in peace.
#[test]
fn many_large_values_of_two_contents_take_two_sessions() {
    let (one, two) = (store(1), store(1));
    let (left, right) = (store(2), store(3));
    for (at, fill) in [(&one, b'x'), (&two, b'y')] {
        for n in 0..40 {
            let value = vec![fill; 300_000];
            main_of(at).put(format!("{n}"), value, Replacing::Nothing).unwrap();
        }
    }
    meet(&one, &left);
    meet(&two, &right);
    let first = Meeting::of(&left, &right).run(usize::MAX).unwrap();
    assert!(first.finished && !first.converged(), "{first:?}");
    meet(&left, &right);
    assert_eq!(main_of(&left).status().unwrap().items, 80);
}

/// A device: its disk, and what is open on it.
struct Device {
    disk: Disk,
    store: Option<Store>,
    /// The number of its opening, which its twins share at first.
    opening: u64,
}

/// Which event of which opening: twins make the same ones with other contents.
type Event = (u64, u64);

struct World {
    devices: Vec<Device>,
    /// How many of them, the first ones, go by one name.
    twins: usize,
    drawn: u64,
    /// The elements, by which event each was added.
    added: BTreeMap<u32, Event>,
    removed: BTreeSet<u32>,
    /// The events that removed them.
    removals: BTreeSet<Event>,
    told: Vec<BTreeSet<String>>,
}

impl World {
    fn new(twins: usize, others: usize) -> Self {
        let (told, devices, added) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (removed, removals) = (BTreeSet::new(), BTreeSet::new());
        let mut world = Self { devices, twins, drawn: 1, added, removed, removals, told };
        (0..twins + others).for_each(|_| world.add());
        world
    }

    fn add(&mut self) {
        let at = self.devices.len();
        self.devices.push(Device { disk: Disk::in_memory(), store: None, opening: 0 });
        self.told.push(BTreeSet::new());
        if at >= self.twins {
            self.drawn += 1;
        }
        self.open(at);
    }

    /// Opens it with randomness that no other opening has but those of its twins at first.
    fn open(&mut self, at: usize) {
        let device = &mut self.devices[at];
        device.store = None;
        device.opening = self.drawn;
        device.store = Some(disks::open(&device.disk, disks::drawn(self.drawn)));
    }

    fn store(&self, at: usize) -> &Store {
        self.devices[at].store.as_ref().unwrap()
    }

    /// The newest event of a device.
    fn newest(&self, at: usize) -> Event {
        let space = main_of(self.store(at));
        (self.devices[at].opening, space.vector().unwrap().get(space.replica()).get())
    }

    fn write(&mut self, at: usize) {
        let element = self.added.len() as u32 + 1;
        add(self.store(at), element);
        self.added.insert(element, self.newest(at));
    }

    fn remove(&mut self, at: usize, which: usize) {
        let shown = elements(self.store(at));
        let Some(element) = shown.iter().nth(which % shown.len().max(1)) else { return };
        main_of(self.store(at)).set("all").remove(element).unwrap();
        self.removed.insert(*element);
        self.removals.insert(self.newest(at));
    }

    /// Whether an element may be there, and may not: of its event another content was removed, or
    /// is itself a removal, so that not both of them lived when they met.
    fn is_unsure(&self, element: u32) -> bool {
        let event = self.added[&element];
        let same = |other: &&u32| **other != element && self.added[other] == event;
        let mut others = self.added.keys().filter(same);
        let removed = self.removed.contains(&element);
        self.removals.contains(&event)
            || others.any(|other| removed || self.removed.contains(other))
    }

    /// The two meet, and the line is cut after so many frames. Nothing is gone afterwards.
    fn meet(&mut self, a: usize, b: usize, frames: usize) -> Result<(), String> {
        // Of one opening, they take each other for themselves.
        if self.devices[a].opening == self.devices[b].opening {
            return Ok(());
        }
        let before = [a, b].map(|at| elements(self.store(at)));
        let mut meeting = Meeting::of(self.store(a), self.store(b));
        let error = meeting.try_run(frames).err();
        let reports = [meeting.left.report().clone(), meeting.right.report().clone()];
        meeting.left.close();
        meeting.right.close();
        drop(meeting);
        if let Some(error) = error {
            let Error::Peer(PeerError::OwnFuture { .. } | PeerError::Refused { .. }) = error else {
                return Err(format!("{a} and {b}: {error}"));
            };
            // As the error says: it was copied while it was open.
            let twins = self.twins;
            for at in [a, b].into_iter().filter(|at| *at < twins) {
                self.drawn += 1;
                self.open(at);
            }
        } else if frames == usize::MAX && !reports.iter().all(|report| report.converged()) {
            return Err(format!("{a} and {b}: {reports:?}"));
        }
        for (n, at) in [a, b].into_iter().enumerate() {
            let now = elements(self.store(at));
            let mut lost: Vec<_> = before[n].difference(&now).copied().collect();
            lost.retain(|element| !self.removed.contains(element) && !self.is_unsure(*element));
            if !lost.is_empty() {
                return Err(format!("{a} and {b}: {at} lost {lost:?}"));
            }
            for told in &reports[n].equivocations {
                if !self.told[at].insert(format!("{:?}", told.other)) {
                    return Err(format!("{a} and {b}: {at} is told twice of {told:?}"));
                }
            }
        }
        Ok(())
    }

    /// Everybody meets a newcomer, until nothing is new.
    fn heal(&mut self) -> Result<(), String> {
        self.add();
        let hub = self.devices.len() - 1;
        for _ in 0..4 {
            (0..hub).try_for_each(|at| self.meet(at, hub, usize::MAX))?;
        }
        let root = main_of(self.store(hub)).root().unwrap();
        for at in 0..=hub {
            let found = elements(self.store(at));
            let wrong = |element: &&u32| {
                let lives = found.contains(element);
                lives == self.removed.contains(element) && !self.is_unsure(**element)
            };
            if let Some(wrong) = self.added.keys().find(wrong) {
                return Err(format!("{at} has {found:?}, and {wrong} is wrong"));
            }
            let items = main_of(self.store(at)).status().unwrap().items;
            if items != found.len() as u64 {
                return Err(format!("{at} has {items} items, and shows {found:?}"));
            }
            if main_of(self.store(at)).root().unwrap() != root {
                return Err(format!("{at} has another root"));
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
}

#[derive(Clone, Debug)]
struct History {
    twins: usize,
    others: usize,
    steps: Vec<Step>,
}

impl Arbitrary for History {
    fn arbitrary(g: &mut Gen) -> Self {
        let at = |g: &mut Gen| usize::arbitrary(g) % 8;
        let step = |g: &mut Gen| match u8::arbitrary(g) % 8 {
            0..3 => Step::Write(at(g)),
            3 => Step::Remove(at(g), at(g)),
            4..6 => Step::Meet(at(g), at(g)),
            _ => Step::Cut(at(g), at(g), 1 + usize::arbitrary(g) % 12),
        };
        let length = 4 + usize::arbitrary(g) % 30;
        let steps = (0..length).map(|_| step(g)).collect();
        Self { twins: 2 + usize::arbitrary(g) % 2, others: 2 + usize::arbitrary(g) % 2, steps }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let whole = self.clone();
        Box::new((0..self.steps.len()).map(move |at| {
            let mut less = whole.clone();
            less.steps.remove(at);
            less
        }))
    }
}

#[test]
fn whoever_goes_on_under_one_name_and_tag_nothing_is_lost_and_all_come_together() {
    fn holds(history: History) -> Result<bool, String> {
        let mut world = World::new(history.twins, history.others);
        for step in &history.steps {
            let of = |at: usize| at % world.devices.len();
            match *step {
                Step::Write(at) => world.write(of(at)),
                Step::Remove(at, which) => world.remove(of(at), which),
                Step::Meet(a, b) => world.meet(of(a), of(b), usize::MAX)?,
                Step::Cut(a, b, frames) => world.meet(of(a), of(b), frames)?,
            }
        }
        world.heal().map(|()| true)
    }
    let tests = std::env::var("REJOIN_FORKS").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    QuickCheck::new().tests(tests).quickcheck(holds as fn(History) -> Result<bool, String>);
}
