//! Resolvers: one answer from several siblings, the same at every replica.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use pair::{main_of, meet, options_at, standing, store};
use quickcheck::quickcheck;
use rejoin::crdt::Write;
use rejoin::space::{Replacing, resolvers};
use rejoin::{Error, Space, Store, UsageError};

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn words(value: &[u8]) -> Option<BTreeSet<String>> {
    Some(std::str::from_utf8(value).ok()?.split(' ').map(str::to_owned).collect())
}

fn sentence(words: &BTreeSet<String>) -> Vec<u8> {
    Vec::from_iter(words.iter().cloned()).join(" ").into_bytes()
}

fn says(word: &str) -> impl Fn(&[Write<'_, [u8]>]) -> Option<Vec<u8>> + use<> {
    let word = word.as_bytes().to_vec();
    move |_| Some(word.clone())
}

/// Each ready-made resolver under a prefix of its own.
fn set_all(space: &Space) {
    space.set_resolver("latest/", resolvers::latest);
    space.set_resolver("greatest/", resolvers::greatest(number));
    space.set_resolver("least/", resolvers::greatest(|value| number(value).map(Reverse)));
    space.set_resolver("preferred/", resolvers::preferred([30, 10], number));
    space.set_resolver("union/", resolvers::union(words, sentence));
}

const PREFIXES: [&str; 5] = ["latest/", "greatest/", "least/", "preferred/", "union/"];

fn resolved(space: &Space, key: &str) -> String {
    String::from_utf8(space.get_resolved(key).unwrap().unwrap().value).unwrap()
}

#[test]
fn each_rule_and_the_siblings_stay() {
    let at = [(1, 30), (2, 10), (3, 20)]; // which replica, at which second
    let stores = at.map(|(n, s)| Store::in_memory_with(options_at(n, pair::NOW_MS + s * 1000)));
    for (store, value) in stores.iter().zip(["20", "30", "10"]) {
        let space = main_of(store);
        PREFIXES.iter().for_each(|prefix| space.put(format!("{prefix}k"), value, None).unwrap());
    }
    for (a, b) in [(0, 1), (1, 2), (0, 1)] {
        meet(&stores[a], &stores[b]);
    }
    for store in &stores {
        let space = main_of(store);
        set_all(&space);
        let before = standing(&space);
        assert_eq!(resolved(&space, "latest/k"), "20");
        assert_eq!(resolved(&space, "greatest/k"), "30");
        assert_eq!(resolved(&space, "least/k"), "10");
        assert_eq!(resolved(&space, "preferred/k"), "30");
        assert_eq!(resolved(&space, "union/k"), "10 20 30");
        assert_eq!(standing(&space), before);
        assert_eq!(space.get("union/k").unwrap().len(), 3);
    }
    // Written back with the context it replaces what was read, and what came since stays.
    let space = main_of(&stores[0]);
    let union = space.get_resolved("union/k").unwrap().unwrap();
    space.put("union/k", "15", Replacing::Nothing).unwrap();
    space.put("union/k", &union.value, union.context()).unwrap();
    assert_eq!(space.get("union/k").unwrap().len(), 2);
    assert_eq!(resolved(&space, "union/k"), "10 15 20 30");
}

#[test]
fn the_longest_prefix_counts() {
    let store = store(1);
    let space = main_of(&store);
    let no_resolver = |key: &str| match space.get_resolved(key) {
        Err(Error::Usage(UsageError::NoResolver { key: named })) => named == key,
        other => panic!("{other:?}"),
    };
    assert!(no_resolver("a/b/c"));
    for key in ["a", "a/b", "a/b/c", "a/b/d", "a/c", "b", "\u{1f34e}"] {
        space.put(key, "1", None).unwrap();
        space.put(key, "2", Replacing::Nothing).unwrap();
    }
    space.set_resolver("a/", says("a/"));
    space.set_resolver("a/b/", says("a/b/"));
    space.set_resolver("a/b/c", says("a/b/c"));
    space.set_resolver("a/b/b", says("not asked"));
    assert!(no_resolver("b") && no_resolver("a"));
    for (key, by) in [("a/b", "a/"), ("a/b/c", "a/b/c"), ("a/b/d", "a/b/"), ("a/c", "a/")] {
        assert_eq!(resolved(&space, key), by);
    }
    space.set_resolver("", says("all"));
    // Shared by all handles of the space, and by no other space.
    assert_eq!(resolved(&main_of(&store), "b"), "all");
    assert_eq!(resolved(&space, "\u{1f34e}"), "all");
    space.set_resolver("", says("other"));
    assert_eq!(resolved(&space, "b"), "other");
    assert!(space.unset_resolver("a/b/c") && !space.unset_resolver("a/b/c"));
    assert_eq!(resolved(&space, "a/b/c"), "a/b/");
    assert!(store.space("elsewhere").unwrap().get_resolved("b").is_err());
}

#[test]
fn none_one_and_those_it_does_not_decide_between() {
    let store = store(1);
    let space = main_of(&store);
    set_all(&space);
    for prefix in PREFIXES {
        let key = format!("{prefix}k");
        assert_eq!(space.get_resolved(&key).unwrap(), None);
        // A single value is the answer, whatever it is.
        space.put(&key, b"\xff", None).unwrap();
        assert_eq!(space.get_resolved(&key).unwrap().unwrap().value, b"\xff");
        // Beside another one it would be lost unseen, were the answer written back.
        space.put(&key, "5", Replacing::Nothing).unwrap();
        let before = standing(&space);
        match space.get_resolved(&key) {
            Ok(Some(_)) if prefix == "latest/" => {}
            Err(Error::Usage(UsageError::Unresolved { key: named, siblings: 2 })) => {
                assert_eq!(named, key);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(standing(&space), before);
    }
    // Of a snapshot, and in a transaction.
    space.put("greatest/k", "1", None).unwrap();
    let then = space.snapshot().unwrap();
    space
        .write(|tx| {
            tx.put("greatest/k", "2", Replacing::Nothing)?;
            let now = space.resolve(tx.get("greatest/k")?)?.unwrap();
            assert_eq!(now.value, b"2");
            tx.put("greatest/k", &now.value, now.context())
        })
        .unwrap();
    assert_eq!(space.resolve(then.get("greatest/k").unwrap()).unwrap().unwrap().value, b"1");
    assert_eq!(space.get("greatest/k").unwrap().len(), 1);
}

/// What the rules say, by the slow way.
fn expected(prefix: &str, siblings: &[(u64, Vec<u8>, u8)]) -> String {
    // By time, then by the dot: of several writes of one replica only the last is there.
    let latest = |of: &[&(u64, Vec<u8>, u8)]| of.iter().max().unwrap().2;
    let those =
        |keep: &dyn Fn(u8) -> bool| siblings.iter().filter(|s| keep(s.2)).collect::<Vec<_>>();
    let all: BTreeSet<u8> = siblings.iter().map(|s| s.2).collect();
    let (least, greatest) = (*all.first().unwrap(), *all.last().unwrap());
    let first = |n: u8| [30, 10].iter().position(|m| *m == n).unwrap_or(2);
    let best = all.iter().map(|n| first(*n)).min().unwrap();
    match prefix {
        "latest/" => latest(&those(&|_| true)).to_string(),
        "greatest/" => greatest.to_string(),
        "least/" => least.to_string(),
        "preferred/" => latest(&those(&|n| first(n) == best)).to_string(),
        _ => BTreeSet::from_iter(all.iter().map(u8::to_string))
            .into_iter()
            .collect::<Vec<_>>()
            .join(" "),
    }
}

quickcheck! {
    /// Replicas that have written at any times, and met in any order, read one answer.
    fn every_replica_reads_the_same(writes: Vec<(u8, u8)>, order: Vec<(u8, u8)>) -> bool {
        let writes = &writes[..writes.len().min(5)];
        let mut stores = Vec::new();
        let mut siblings = Vec::new();
        for (n, (value, second)) in writes.iter().enumerate() {
            let (value, at) = (value % 4 * 10, pair::NOW_MS + u64::from(second % 3));
            let store = Store::in_memory_with(options_at(n as u8 + 1, at));
            for prefix in PREFIXES {
                main_of(&store).put(format!("{prefix}k"), value.to_string(), None).unwrap();
            }
            siblings.push((at, store.replica().as_bytes().to_vec(), value));
            stores.push(store);
        }
        if stores.len() < 2 {
            return true;
        }
        let count = stores.len();
        let line = (1..count).map(|n| (n - 1, n));
        let there_and_back: Vec<_> = line.clone().chain(line.rev()).collect();
        let first = order.iter().take(4).map(|(a, b)| (usize::from(*a) % count, usize::from(*b) % count));
        for (a, b) in first.chain(there_and_back).filter(|(a, b)| a != b) {
            meet(&stores[a], &stores[b]);
        }
        stores.iter().all(|store| {
            let space = main_of(store);
            set_all(&space);
            let read = space.get("latest/k").unwrap();
            assert!(read.entries().map(|one| one.dot).is_sorted());
            PREFIXES.iter().all(|prefix| {
                resolved(&space, &format!("{prefix}k")) == expected(prefix, &siblings)
            })
        })
    }
}
