//! Types of an application's own: each law has a plausible mistake that breaks it, and the
//! story that is told of it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use quickcheck::{Arbitrary, Gen};
use rejoin::causal::ReplicaId;
use rejoin::crdt::Stamped;
use rejoin::crdt::laws::{Few, History, Mergeable, examine, examine_resolver};
use serde::{Deserialize, Serialize};

const HISTORIES: u64 = 2_000;

/// No mistake of this file takes more histories than these to be found.
const FEW: u64 = 100;

/// A type whose delta is its whole state.
macro_rules! own {
    ($(#[$what:meta])* $name:ident($($(#[$of:meta])* $inner:ty),+) $operation:ty:
        |$me:ident, $at:pat_param, $op:ident| $mutate:expr;
        |$into:ident, $from:ident| $merge:expr) => {
        $(#[$what])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        struct $name($($(#[$of])* $inner),+);

        impl Mergeable for $name {
            type Operation = $operation;

            fn mutate(&mut self, $at: ReplicaId, $op: &$operation) -> Option<Self> {
                let $me = &mut *self;
                $mutate;
                Some(self.clone())
            }

            fn merge(&mut self, $from: &Self) {
                let $into = self;
                $merge;
            }
        }
    };
}

own! {
    /// Right: for each replica what it has counted.
    Counts(BTreeMap<ReplicaId, u64>) u8:
    |me, at, more| *me.0.entry(at).or_default() += u64::from(*more);
    |me, other| for (at, count) in &other.0 {
        let mine = me.0.entry(*at).or_default();
        *mine = count.max(mine).to_owned();
    }
}

own! {
    Sums(u64) u8:
    |me, _, more| me.0 += u64::from(*more);
    |me, other| me.0 += other.0
}

own! {
    /// The later wins, and of two at one time the one that stands there.
    Latest(u8, u8) (u8, u8):
    |me, _, write| *me = Self(me.0.max(write.0 % 4), write.1);
    |me, other| if other.0 > me.0 { *me = other.clone() }
}

own! {
    /// The mean of both, where zero stands for *none yet*.
    Mean(u8) u8:
    |me, _, to| if me.0 == 0 { me.0 = *to };
    |me, other| me.0 = match (me.0, other.0) {
        (0, one) | (one, 0) => one,
        (one, two) => one.midpoint(two),
    }
}

own! {
    /// The lowest price, where zero stands for *none yet*.
    Lowest(u8) u8:
    |me, _, price| me.0 = if me.0 == 0 { *price } else { me.0.min(*price) };
    |me, other| me.0 = me.0.min(other.0)
}

own! {
    /// The greatest, but for a writer who says otherwise.
    Greatest(u8) u8:
    |me, _, to| me.0 = *to;
    |me, other| me.0 = me.0.max(other.0)
}

own! {
    /// One field was forgotten in the file.
    Forgets(u8, #[serde(skip)] u8) u8:
    |me, _, to| *me = Self(me.0.max(*to), me.1.max(*to));
    |me, other| *me = Self(me.0.max(other.0), me.1.max(other.1))
}

own! {
    Hashed(HashSet<Few>) Few:
    |me, _, element| me.0.insert(*element);
    |me, other| me.0.extend(&other.0)
}

own! {
    Overflows(u8) u8:
    |me, _, to| me.0 = me.0.max(*to);
    |me, other| {
        assert!(u16::from(me.0) + u16::from(other.0) < 256, "too much");
        me.0 = me.0.max(other.0);
    }
}

/// A set of names of at most two; a third is refused, too late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Refuses(BTreeSet<Few>);

impl Mergeable for Refuses {
    type Operation = Few;

    fn mutate(&mut self, _: ReplicaId, name: &Few) -> Option<Self> {
        self.0.insert(*name);
        (self.0.len() <= 2).then(|| self.clone())
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

/// A set whose delta forgets what it is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mute(BTreeSet<Few>);

impl Mergeable for Mute {
    type Operation = Few;

    fn mutate(&mut self, _: ReplicaId, name: &Few) -> Option<Self> {
        self.0.insert(*name);
        Some(Self::default())
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

/// Each replica's log; entries that come early, before those in front of them, are dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Logs(BTreeMap<ReplicaId, (usize, Vec<Few>)>);

impl Mergeable for Logs {
    type Operation = Few;

    fn mutate(&mut self, at: ReplicaId, entry: &Few) -> Option<Self> {
        let (_, log) = self.0.entry(at).or_default();
        log.push(*entry);
        Some(Self(BTreeMap::from([(at, (log.len() - 1, vec![*entry]))])))
    }

    fn merge(&mut self, other: &Self) {
        for (at, theirs) in &other.0 {
            let mut pieces = [self.0.remove(at).unwrap_or_default(), theirs.clone()];
            pieces.sort_by_key(|(start, _)| *start);
            let mut log = Vec::new();
            for (start, piece) in pieces {
                if (start..start + piece.len()).contains(&log.len()) {
                    log.extend_from_slice(&piece[log.len() - start..]);
                }
            }
            if !log.is_empty() {
                self.0.insert(*at, (0, log));
            }
        }
    }
}

rejoin::crdt_laws! {
    a_type_that_keeps_the_laws: Counts, HISTORIES;
}

/// The law that is said to be broken, and how many steps the shortest story has.
fn broken<V>() -> (&'static str, usize)
where
    V: Mergeable + PartialEq + std::fmt::Debug + Serialize + serde::de::DeserializeOwned,
{
    let broken = examine::<V>(FEW).expect_err("a law is broken");
    (broken.law, broken.story.len())
}

#[test]
fn each_law_is_broken_by_a_mistake() {
    assert_eq!(broken::<Sums>(), ("merging is idempotent", 1));
    assert_eq!(broken::<Latest>(), ("merging is commutative", 1));
    assert_eq!(broken::<Mean>(), ("merging is associative", 3));
    assert_eq!(broken::<Lowest>(), ("the empty value changes nothing", 1));
    assert_eq!(broken::<Refuses>(), ("a mutation that is not possible changes nothing", 3));
    assert_eq!(broken::<Greatest>(), ("a mutation only adds to what is known", 2));
    assert_eq!(broken::<Mute>(), ("a delta does what the mutation did", 1));
    assert_eq!(broken::<Logs>(), ("all deltas together, in any order, are the state", 2));
    assert_eq!(broken::<Forgets>(), ("a value survives being written and read", 1));
    assert_eq!(broken::<Hashed>().0, "equal values have the same bytes");
    assert_eq!(broken::<Overflows>(), ("nothing panics", 1));
}

#[test]
fn the_story_is_told_in_words() {
    let told = examine::<Logs>(HISTORIES).expect_err("entries that come early are lost");
    let story = "\
a law is broken: all deltas together, in any order, are the state

  1. A: Few(0)
  2. A: Few(0)

  what A has heard of, merged backwards  Logs({A: (0, [Few(0)])})
  A                                      Logs({A: (0, [Few(0), Few(0)])})";
    assert_eq!(told.to_string(), story);
    let told = examine::<Overflows>(HISTORIES).expect_err("it panics");
    let story = "\
a law is broken: nothing panics

  1. A: 128

  it says  too much";
    assert_eq!(told.to_string(), story);
}

#[test]
fn a_history_tells_itself() {
    let long = |history: &History<Counts>| {
        let story = history.story();
        let line = |says| story.iter().any(|line| line == says);
        line("B receives all of A") && line("B receives the delta of step 1, again")
    };
    let drawn = (0..).map(|seed| History::arbitrary(&mut Gen::from_size_and_seed(12, seed)));
    let mut history = drawn.into_iter().find(long).expect("some history is such");
    while let Some(shorter) = history.shrink().find(long) {
        history = shorter;
    }
    let story = "
  1. A: 0
  2. B receives all of A
  3. B receives the delta of step 1, again
  A is now Counts({A: 0})
  B is now Counts({A: 0})
  C is now Counts({})
";
    assert_eq!(format!("{history:?}"), story);
}

/// The law that a resolver breaks, and for how many siblings.
fn unfit<T: Arbitrary + std::fmt::Debug, U: PartialEq + std::fmt::Debug>(
    resolve: impl Fn(&[T]) -> U,
) -> Result<(), (&'static str, usize)> {
    examine_resolver(FEW, resolve).map_err(|broken| (broken.law, broken.story.len()))
}

#[test]
fn a_resolver_is_a_function_of_the_siblings() {
    const ORDER: &str = "a resolver does not look at the order of siblings";
    assert_eq!(unfit(|bids: &[u8]| bids.iter().max().copied()), Ok(()));
    assert_eq!(unfit(|bids: &[u8]| bids.first().copied()), Err((ORDER, 2)));
    let latest = |writes: &[Stamped<u8>]| writes.iter().max_by_key(|w| w.time).map(|w| w.value);
    assert_eq!(unfit(latest), Err((ORDER, 2)));
    let middle = |bids: &[u8]| if bids.len() < 4 { 0 } else { bids[1] };
    assert_eq!(unfit(middle), Err((ORDER, 4)));

    let asked = Cell::new(0);
    let counts = |_: &[u8]| asked.replace(asked.get() + 1);
    assert_eq!(unfit(counts), Err(("a resolver gives the same answer twice", 1)));
    // Two that wrote the same are two siblings.
    let differ = |bids: &[u64]| assert!(bids.len() < 2 || bids[0] != bids[1]);
    assert_eq!(unfit(differ), Err(("nothing panics", 2)));
}
