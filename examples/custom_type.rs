//! An application's own type, with its laws checked; and the same type with a plausible
//! mistake, which is found and told as a story.
//!
//! ```sh
//! cargo run --release --features quickcheck --example custom_type
//! ```
//!
//! The types here know nothing of dots or contexts: all that is asked of them is how they are
//! mutated and how they are merged. In a test module, [`crdt_laws!`](rejoin::crdt_laws) makes
//! a test of the same check.

use std::collections::BTreeMap;

use quickcheck::{Arbitrary, Gen};
use rejoin::causal::ReplicaId;
use rejoin::crdt::laws::{Broken, Mergeable, examine, examine_resolver};
use serde::{Deserialize, Serialize};

const HISTORIES: u64 = 10_000;

// ---- the stock of a shop with several tills, as it should be

/// What one till has taken in and sold since it began. Both only grow, so of two records of
/// one till the greater numbers are the newer ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Till {
    taken_in: u64,
    sold: u64,
}

/// For each till what it did. Nobody writes into the record of another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stock {
    tills: BTreeMap<ReplicaId, Till>,
}

impl Stock {
    fn pieces(&self) -> i64 {
        self.tills.values().map(|till| till.taken_in as i64 - till.sold as i64).sum()
    }
}

/// What can happen at a till.
#[derive(Clone, Copy, Debug)]
enum Deal {
    TakeIn(u8),
    Sell(u8),
}

impl Arbitrary for Deal {
    fn arbitrary(g: &mut Gen) -> Self {
        let pieces = 1 + u8::arbitrary(g) % 20;
        if bool::arbitrary(g) { Self::TakeIn(pieces) } else { Self::Sell(pieces) }
    }

    /// So that a story has the smallest amounts that do it.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match *self {
            Self::TakeIn(pieces) => Box::new((1..pieces).map(Self::TakeIn)),
            Self::Sell(pieces) => Box::new((1..pieces).map(Self::Sell)),
        }
    }
}

impl Mergeable for Stock {
    type Operation = Deal;

    fn mutate(&mut self, replica: ReplicaId, deal: &Deal) -> Option<Self> {
        let mut till = self.tills.get(&replica).copied().unwrap_or_default();
        match *deal {
            // No till sells more than it knows of.
            Deal::Sell(sold) if self.pieces() < i64::from(sold) => return None,
            Deal::Sell(sold) => till.sold += u64::from(sold),
            Deal::TakeIn(more) => till.taken_in += u64::from(more),
        }
        self.tills.insert(replica, till);
        // The delta: this till's record alone.
        Some(Self { tills: BTreeMap::from([(replica, till)]) })
    }

    fn merge(&mut self, other: &Self) {
        for (replica, theirs) in &other.tills {
            let ours = self.tills.entry(*replica).or_default();
            ours.taken_in = ours.taken_in.max(theirs.taken_in);
            ours.sold = ours.sold.max(theirs.sold);
        }
    }
}

// ---- the same with one number for each till

/// What each till has taken in, less what it sold. Shorter, and it looks as right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct NetStock {
    tills: BTreeMap<ReplicaId, i64>,
}

impl Mergeable for NetStock {
    type Operation = Deal;

    fn mutate(&mut self, replica: ReplicaId, deal: &Deal) -> Option<Self> {
        let pieces: i64 = self.tills.values().sum();
        let change = match *deal {
            Deal::Sell(sold) if pieces < i64::from(sold) => return None,
            Deal::Sell(sold) => -i64::from(sold),
            Deal::TakeIn(more) => i64::from(more),
        };
        let till = self.tills.entry(replica).or_default();
        *till += change;
        Some(Self { tills: BTreeMap::from([(replica, *till)]) })
    }

    fn merge(&mut self, other: &Self) {
        for (replica, theirs) in &other.tills {
            let ours = self.tills.entry(*replica).or_insert(*theirs);
            *ours = (*ours).max(*theirs);
        }
    }
}

// ---- a price, in which the last edit wins

/// What it costs, and when that was said. Zero is the time of no edit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Price {
    at_minute: u8,
    cents: u8,
}

/// An edit at one of few minutes: clocks that never agree would never show what happens when
/// they do.
#[derive(Clone, Copy, Debug)]
struct Edit {
    at_minute: u8,
    cents: u8,
}

impl Arbitrary for Edit {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { at_minute: 1 + u8::arbitrary(g) % 3, cents: 1 + u8::arbitrary(g) % 99 }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let Self { at_minute, cents } = *self;
        let earlier = (1..at_minute).map(move |at_minute| Self { at_minute, cents });
        Box::new(earlier.chain((1..cents).map(move |cents| Self { at_minute, cents })))
    }
}

impl Mergeable for Price {
    type Operation = Edit;

    fn mutate(&mut self, _: ReplicaId, edit: &Edit) -> Option<Self> {
        self.merge(&Self { at_minute: edit.at_minute, cents: edit.cents });
        Some(self.clone())
    }

    fn merge(&mut self, other: &Self) {
        if other.at_minute > self.at_minute {
            *self = other.clone();
        }
    }
}

// ---- what comes of it

fn main() -> Result<(), Broken> {
    heading("Stock: for each till what it has taken in, and what it has sold");
    examine::<Stock>(HISTORIES)?;
    explain("10,000 histories at three replicas keep all laws.");

    heading("NetStock: for each till one number, the greater wins");
    found(examine::<NetStock>(HISTORIES), "a mutation only adds to what is known");
    explain("An older copy of the till comes along, and what was sold is back on the shelf.");
    explain("A number that goes down as well as up cannot be merged by taking the greater.");

    heading("Price: the last edit wins, by the clock");
    found(examine::<Price>(HISTORIES), "merging is commutative");
    explain("Two edits in one minute: each replica keeps the one that it saw first, for ever.");
    explain("Something must break the tie, and be the same everywhere: the cents would do.");

    heading("A resolver that takes the first of the lowest offers");
    let first =
        |offers: &[Offer]| offers.iter().min_by_key(|offer| offer.cents).map(|offer| offer.seller);
    found(examine_resolver(HISTORIES, first), "a resolver does not look at the order of siblings");

    heading("The same, by the seller's name where offers are equal");
    examine_resolver(HISTORIES, |offers: &[Offer]| {
        offers.iter().min_by_key(|offer| (offer.cents, offer.seller)).map(|offer| offer.seller)
    })?;
    explain("Whatever the order in which the siblings come, the answer is the same.\n");
    Ok(())
}

/// One of the siblings that a resolver is given.
#[derive(Clone, Debug)]
struct Offer {
    seller: char,
    cents: u8,
}

impl Arbitrary for Offer {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { seller: char::from(b'a' + u8::arbitrary(g) % 4), cents: 90 + u8::arbitrary(g) % 3 }
    }
}

/// Tells the story of a mistake that must be found.
fn found(examined: Result<(), Broken>, law: &str) {
    match examined {
        Ok(()) => panic!("nothing was found, though this law is broken: {law}"),
        Err(broken) => {
            println!("{broken}\n");
            assert_eq!(broken.law, law);
        }
    }
}

fn heading(text: &str) {
    println!("\n━━ {text}\n");
}

fn explain(text: &str) {
    println!("  {text}");
}
