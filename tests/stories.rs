//! Stories of replicas that meet, through the public face only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::causal::ReplicaId;
use rejoin::session::{Report, Scope, Session, Why};
use rejoin::space::{Keys, Stored};
use rejoin::storage::MemoryStorage;
use rejoin::{Error, Options, PeerError, Store};

/// A pipe that delivers in turns, and counts.
struct Pipe {
    sides: [Session; 2],
    now_ms: u64,
}

impl Pipe {
    fn about(left: &Store, right: &Store, scope: Scope) -> Self {
        let left = Session::connect(left, scope, [1; 16]).unwrap();
        Self { sides: [left, Session::accept(right, [2; 16])], now_ms: 0 }
    }

    fn between(left: &Store, right: &Store) -> Self {
        Self::about(left, right, Scope::All)
    }

    /// Delivers at most so many frames from one side; how many there were.
    fn deliver(&mut self, from: usize, most: usize) -> Result<usize, Error> {
        for sent in 0..most {
            let Some(frame) = self.sides[from].poll_frame(self.now_ms)? else { return Ok(sent) };
            self.sides[1 - from].handle_frame(self.now_ms, &frame)?;
        }
        Ok(most)
    }

    /// Delivers what there is; whether anything was.
    fn turn(&mut self) -> Result<bool, Error> {
        Ok(self.deliver(0, usize::MAX)? + self.deliver(1, usize::MAX)? > 0)
    }

    fn run(&mut self) -> Result<[Report; 2], Error> {
        while self.turn()? {}
        Ok([self.sides[0].report().clone(), self.sides[1].report().clone()])
    }
}

fn meet(left: &Store, right: &Store) -> [Report; 2] {
    let mut pipe = Pipe::between(left, right);
    let reports = pipe.run().unwrap();
    assert!(pipe.sides.iter().all(Session::is_over), "stalled: {reports:?}");
    assert!(reports.iter().all(Report::converged), "{reports:?}");
    reports
}

fn root(store: &Store) -> String {
    store.space("main").unwrap().root().unwrap().to_string()
}

fn cart(store: &Store) -> Vec<Stored<String>> {
    store.space("main").unwrap().set::<String>("cart").elements().unwrap()
}

fn add(store: &Store, element: &str) {
    store.space("main").unwrap().set("cart").add(&element.to_owned()).unwrap();
}

fn remove(store: &Store, element: &str) {
    store.space("main").unwrap().set::<String>("cart").remove(&element.to_owned()).unwrap();
}

/// A store whose delta takes several chunks: 3 MiB of values.
fn fill(store: &Store, name: &str) {
    let space = store.space("main").unwrap();
    for n in 0..12 {
        space.put(format!("{name} {n}"), vec![n; 256 * 1024], None).unwrap();
    }
}

/// A store of this id, with what another tells.
fn store_of(id: u8, tell: impl FnOnce(&mut Options)) -> (Store, MemoryStorage, Options) {
    let mut options = Options::default();
    tell(&mut options);
    let storage = MemoryStorage::new(ReplicaId::from_bytes([id; 16]));
    let store = Store::on(Box::new(storage.clone()), options.clone()).unwrap();
    (store, storage, options)
}

#[test]
fn a_removal_goes_down_a_chain_and_nothing_comes_back_up() {
    let (a, b, c) = (Store::in_memory(), Store::in_memory(), Store::in_memory());
    add(&a, "apple");
    add(&a, "banana");
    meet(&a, &b);
    meet(&b, &c);
    remove(&b, "apple"); // B and C know of A's apple; A goes away for a year
    meet(&b, &c);
    assert_eq!(cart(&c), ["banana"]);
    add(&a, "cherry");
    meet(&c, &a); // C never was the one who removed it
    assert_eq!(cart(&a), ["banana", "cherry"]);
    meet(&a, &b);
    assert_eq!(cart(&b), ["banana", "cherry"]);
    assert_eq!((root(&a), root(&b)), (root(&b), root(&a)));
    let [report, _] = meet(&a, &b);
    assert_eq!((report.round_trips, report.items_sent, report.items_received), (1, 0, 0));
    assert!(report.bytes_sent + report.bytes_received < 300, "{report:?}");
}

#[test]
fn what_was_staged_before_a_cut_is_not_sent_again() {
    let (a, b) = (Store::in_memory(), Store::in_memory());
    fill(&a, "value");
    let mut cut = Pipe::between(&a, &b);
    while b.space("main").unwrap().status().unwrap().staged < 6 {
        assert!(cut.deliver(1, usize::MAX).unwrap() + cut.deliver(0, 1).unwrap() > 0);
    }
    cut.sides.iter_mut().for_each(Session::close);
    let status = b.space("main").unwrap().status().unwrap();
    assert_eq!((status.keys, status.items), (0, 0), "nothing of it shows");
    assert!(b.check().unwrap().is_sound());

    let [report, _] = meet(&a, &b);
    assert_eq!(report.items_sent, 12 - status.staged);
    assert_eq!(root(&a), root(&b));
    assert_eq!(b.space("main").unwrap().keys(Keys::all()).unwrap().len(), 12);
}

#[test]
fn nobody_resumes_what_another_peer_staged() {
    let (a, b, c) = (Store::in_memory(), Store::in_memory(), Store::in_memory());
    fill(&a, "value");
    meet(&a, &c);
    let mut cut = Pipe::between(&a, &b);
    while b.space("main").unwrap().status().unwrap().staged == 0 {
        cut.turn().unwrap();
    }
    drop(cut);
    // C has removed what B has staged from A. Its delta covers that, and vouches for none of it.
    c.space("main").unwrap().delete("value 0").unwrap();
    meet(&c, &b);
    let status = b.space("main").unwrap().status().unwrap();
    assert_eq!((status.keys, status.staged), (11, 0));
    assert_eq!(root(&c), root(&b));
}

#[test]
fn a_log_of_no_bytes_is_made_good_by_a_walk() {
    let (a, _, _) = store_of(1, |options| options.removal_log_bytes = 0);
    let b = Store::in_memory();
    let space = a.space("main").unwrap();
    let numbers = space.set::<u32>("numbers");
    space.write(|tx| (0..20_000_u32).try_for_each(|n| tx.set("numbers").add(&n))).unwrap();
    meet(&a, &b);
    for n in [7, 7_000, 14_000] {
        numbers.remove(&n).unwrap();
    }
    let [_, report] = meet(&a, &b);
    assert_eq!((report.removals_received, report.repaired), (0, 3));
    assert!(report.round_trips <= 5, "{report:?}");
    assert!(report.bytes_sent + report.bytes_received < 8 * 1024, "{report:?}");
    assert_eq!(b.space("main").unwrap().set::<u32>("numbers").len().unwrap(), 19_997);
    assert_eq!(root(&a), root(&b));
    assert_eq!(meet(&b, &a)[0].round_trips, 1);
}

#[test]
fn of_two_large_deltas_one_waits_and_both_arrive() {
    let (a, b, c) = (Store::in_memory(), Store::in_memory(), Store::in_memory());
    fill(&a, "from A");
    fill(&c, "from C");
    let mut first = Pipe::between(&a, &b);
    while b.space("main").unwrap().status().unwrap().staged == 0 {
        first.turn().unwrap();
    }
    // The first goes on slowly, so the second waits, and asks to be woken.
    let mut second = Pipe::between(&c, &b);
    while second.turn().unwrap() {}
    assert!(!second.sides[1].is_over());
    let at = second.sides[1].poll_timeout().expect("it waits");
    let reports = first.run().unwrap();
    assert!(reports.iter().all(Report::converged));
    second.now_ms = at;
    second.sides[1].handle_timeout(at).unwrap();
    let reports = second.run().unwrap();
    assert!(reports.iter().all(Report::converged), "{reports:?}");
    assert_eq!(b.space("main").unwrap().keys(Keys::all()).unwrap().len(), 24);
}

#[test]
fn a_delta_that_stands_still_loses_its_place() {
    let (a, b, c) = (Store::in_memory(), Store::in_memory(), Store::in_memory());
    fill(&a, "from A");
    fill(&c, "from C");
    let mut first = Pipe::between(&a, &b);
    while b.space("main").unwrap().status().unwrap().staged == 0 {
        assert!(first.deliver(1, usize::MAX).unwrap() + first.deliver(0, 1).unwrap() > 0);
    }
    let mut second = Pipe::between(&c, &b);
    second.run().unwrap();
    assert!(!second.sides[0].is_over(), "it waits, by its own clock");
    second.now_ms = 10_000;
    second.sides.iter_mut().for_each(|side| side.handle_timeout(10_000).unwrap());
    assert!(second.run().unwrap().iter().all(Report::converged));
    first.now_ms = 60_001;
    for report in first.run().unwrap() {
        assert_eq!(report.space("main").unwrap().why, Some(Why::Displaced));
    }
    meet(&a, &b);
    assert_eq!(b.space("main").unwrap().keys(Keys::all()).unwrap().len(), 24);
}

#[test]
fn one_two_and_a_hundred_spaces() {
    for count in [1, 2, 100] {
        let (a, b) = (Store::in_memory(), Store::in_memory());
        for n in 0..count {
            let store = if n % 2 == 0 { &a } else { &b };
            store.space(&format!("space {n}")).unwrap().put("key", [n], None).unwrap();
        }
        let [report, _] = meet(&a, &b);
        assert_eq!(report.spaces.len(), usize::from(count));
        assert_eq!(a.spaces("").unwrap(), b.spaces("").unwrap());
        for name in a.spaces("").unwrap() {
            let root = |store: &Store| store.space(&name).unwrap().root().unwrap();
            assert_eq!(root(&a), root(&b));
        }
        let [report, _] = meet(&b, &a);
        assert_eq!((report.round_trips, report.items_sent), (1, 0), "{count}: {report:?}");
    }
}

#[test]
fn a_session_about_a_prefix_leaves_the_rest_alone() {
    let (a, b) = (Store::in_memory(), Store::in_memory());
    for name in ["mine/one", "mine/two", "yours"] {
        a.space(name).unwrap().put("key", "A", None).unwrap();
        b.space(name).unwrap().put("key", "B", None).unwrap();
    }
    b.space("mine/three").unwrap().put("key", "B", None).unwrap();
    let mut pipe = Pipe::about(&a, &b, Scope::Prefix("mine/".to_owned()));
    assert!(pipe.run().unwrap().iter().all(Report::converged));
    let siblings = |store: &Store, name| store.space(name).unwrap().get("key").unwrap().len();
    assert_eq!((siblings(&a, "mine/one"), siblings(&b, "mine/two")), (2, 2));
    assert_eq!((siblings(&a, "mine/three"), siblings(&a, "yours")), (1, 1));
    let mut pipe = Pipe::about(&b, &a, Scope::Space("yours".to_owned()));
    assert!(pipe.run().unwrap().iter().all(Report::converged));
    assert_eq!((siblings(&a, "yours"), siblings(&b, "yours")), (2, 2));
}

#[test]
fn a_store_put_back_to_an_earlier_state_meets_its_own_future() {
    let (a, ..) = store_of(1, |_| {});
    let b = Store::in_memory();
    add(&a, "apple");
    add(&a, "banana");
    meet(&a, &b);
    // The same id, an earlier state: a backup that nobody noticed.
    let (restored, ..) = store_of(1, |_| {});
    add(&restored, "cherry");
    // It was opened anew, which tags what it wrote since: that goes on under another name.
    let reports = Pipe::between(&restored, &b).run().unwrap();
    assert!(reports.iter().all(Report::converged), "{reports:?}");
    assert_eq!(cart(&restored), ["apple", "banana", "cherry"]);
    assert_eq!((cart(&b), root(&b)), (cart(&restored), root(&restored)));
    assert_eq!(reports.iter().map(|report| report.forks.len()).sum::<usize>(), 1);
}

#[test]
fn a_store_that_meets_itself_is_told_so() {
    let (a, ..) = store_of(1, |_| {});
    let error = Pipe::between(&a, &a).run().unwrap_err();
    assert!(matches!(error, Error::Peer(PeerError::SameReplica { .. })), "{error}");
}

#[test]
fn a_hundred_writers_are_told_by_what_changed() {
    let (a, b) = (Store::in_memory(), Store::in_memory());
    for n in 0..120 {
        let writer = Store::in_memory();
        add(&writer, &format!("{n:03}"));
        meet(&writer, &a);
    }
    let bytes = |reports: [Report; 2]| reports[0].bytes_sent + reports[0].bytes_received;
    assert!(bytes(meet(&a, &b)) > 120 * 16);
    // From now on both know the base.
    assert!(bytes(meet(&a, &b)) < 300);
    add(&a, "one more");
    assert!(bytes(meet(&b, &a)) < 700);
    // Somebody who has met neither does not know it, and asks.
    let c = Store::in_memory();
    add(&c, "from C");
    meet(&b, &c);
    add(&a, "and more");
    let [report, _] = meet(&c, &a);
    assert!(report.round_trips <= 3, "{report:?}");
    assert_eq!(cart(&c).len(), 123);
    assert_eq!(root(&a), root(&c));
}

/// The chunk was full after the first of them, and took one event more of each of the others:
/// the frame was longer than any may be, and nobody new could ever sync.
#[test]
fn many_replicas_that_wrote_one_large_value_each_come_in_many_chunks() {
    let hub = store_of(0x10, |_| {}).0;
    for id in 0..24 {
        let writer = store_of(0x20 + id, |_| {}).0;
        let value = vec![id; 1 << 20];
        writer.space("main").unwrap().put(format!("of {id}"), value, None).unwrap();
        meet(&writer, &hub);
    }
    let late = store_of(0x11, |_| {}).0;
    meet(&late, &hub);
    assert_eq!(root(&late), root(&hub));
    assert_eq!(late.space("main").unwrap().keys(Keys::all()).unwrap().len(), 24);
}

#[test]
fn garbage_ends_the_session_and_nothing_else() {
    let (a, b) = (Store::in_memory(), Store::in_memory());
    add(&a, "apple");
    add(&b, "banana");
    let before = (root(&a), root(&b));
    let seed = AtomicU64::new(1);
    let dice = Arc::new(move |below: usize| {
        let n = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        ((n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize % below.max(1)
    });
    for round in 0..2_000 {
        let mut pipe = Pipe::between(&a, &b);
        // The session goes well up to some frame, of which one bit is wrong or the end missing.
        let mut frame = Vec::new();
        for _ in 0..=dice(2) {
            frame = pipe.sides[0].poll_frame(0).unwrap().unwrap_or_default();
            if dice(2) == 0 {
                break;
            }
        }
        match dice(3) {
            0 => frame.truncate(dice(frame.len())),
            1 => frame.extend((0..dice(40)).map(|_| dice(256) as u8)),
            _ => {
                let (at, bit) = (dice(frame.len()), dice(8));
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
        if pipe.sides[1].handle_frame(0, &frame).is_err() {
            assert!(pipe.sides[1].is_over(), "round {round}");
            let goodbye = pipe.sides[1].poll_frame(0).unwrap().expect("it says why");
            let error = pipe.sides[0].handle_frame(0, &goodbye).unwrap_err();
            assert!(matches!(error, Error::Peer(PeerError::Refused { .. })), "{error}");
        }
        assert_eq!((root(&a), root(&b)), before, "round {round}");
    }
    meet(&a, &b);
    assert_eq!(cart(&a), ["apple", "banana"]);
}
