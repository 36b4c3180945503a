//! Three replicas write one key at the same time: every value comes back, and the
//! application, which knows what they mean, decides.
//!
//! ```sh
//! cargo run --release --example siblings
//! ```
//!
//! The way of Dynamo (DeCandia et al. 2007): `get` returns all concurrent values with a
//! context, `put` takes the context back and so replaces exactly what was read.

mod meeting;

use std::collections::BTreeSet;
use std::error::Error;

use meeting::{meet, short};
use rejoin::Store;
use rejoin::crdt::Write;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const KEY: &str = "highest-bid";

fn main() -> Result<()> {
    let stores = [Store::in_memory(), Store::in_memory(), Store::in_memory()];
    let mut spaces = Vec::new();
    for store in &stores {
        spaces.push(store.space("auction")?);
    }

    println!("Three replicas, none of which has heard of another, write under {KEY:?}:\n");
    for (replica, (space, bid)) in spaces.iter().zip(["10", "20", "10"]).enumerate() {
        space.put(KEY, bid, None)?;
        println!("  s{replica}  put {bid}");
    }

    meet_all(&stores)?;
    println!("\nThey meet. No value has seen another, so each of the three writes stays:\n");
    let [first, ..] = spaces.as_slice() else { return Ok(()) };
    let siblings = first.get(KEY)?;
    let mut bids = BTreeSet::new();
    // Each comes with its writer's time and its dot, for resolvers that go by them.
    for Write { dot, value, .. } in siblings.entries() {
        let bid: u32 = std::str::from_utf8(value)?.parse()?;
        bids.insert(bid);
        println!("  {bid}  written by {}… as its event {}", short(dot.replica), dot.seq.get());
    }
    assert_eq!(siblings.len(), 3);
    assert_eq!(bids, BTreeSet::from([10, 20]));
    println!("\n  {} siblings, {} distinct values: {bids:?}", siblings.len(), bids.len());

    // The rule is the application's: here the highest bid holds.
    let highest = bids.last().copied().unwrap_or_default().to_string();
    first.put(KEY, &highest, siblings.context())?;
    println!("\ns0 resolves: it puts {highest} with the context of its read, which replaces");
    println!("what was read and nothing else. They meet again:\n");

    meet_all(&stores)?;
    for (replica, space) in spaces.iter().enumerate() {
        let siblings = space.get(KEY)?;
        let values: Vec<_> = siblings.values().map(String::from_utf8_lossy).collect();
        println!("  s{replica}  get {values:?}   root {}…", short(space.root()?));
        assert_eq!(values, ["20"]);
        assert_eq!(space.root()?, first.root()?);
    }
    Ok(())
}

/// Everybody learns of everybody: along the line and back.
fn meet_all(stores: &[Store; 3]) -> Result<()> {
    let [s0, s1, s2] = stores;
    for (a, b) in [(s0, s1), (s1, s2), (s0, s1)] {
        meet(a, b)?;
    }
    Ok(())
}
