//! An application with a merge of its own, in worlds that show where it loses something.
//!
//! `cargo run --release --features sim --example own_merge`
//!
//! A household keeps its shopping list as one text and merges copies that were changed at the
//! same time. The first merge takes the longer list: it passes every test that anybody writes
//! by hand, and loses what was added to the shorter one. The second keeps all that is in any
//! of them. Both are run in the same worlds, with cuts, failing disks and clocks that jump.
#![allow(clippy::unwrap_used, reason = "an example should stop where something is wrong")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;

use rejoin::Error;
use rejoin::sim::{self, Application, Random};
use rejoin::space::{Siblings, Space, Tx};

/// How two lists that were changed at the same time become one.
type Merge = fn(Vec<String>, Vec<String>) -> Vec<String>;

fn the_longer(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    if other.len() > one.len() { other } else { one }
}

fn all_of_both(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    one.into_iter().chain(other).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A household that only ever adds to its list.
struct Household {
    merge: Merge,
}

const LIST: &str = "list";

impl Household {
    /// The list that the siblings under the key make.
    fn read(&self, siblings: &Siblings) -> Vec<String> {
        let lists = siblings.values().map(|text| {
            let text = String::from_utf8_lossy(text).into_owned();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lists.reduce(self.merge).unwrap_or_default()
    }
}

impl Application for Household {
    fn write(&self, tx: &Tx<'_>, replica: char, random: &mut Random) -> Result<String, Error> {
        let siblings = tx.get(LIST)?;
        let mut list = self.read(&siblings);
        let item = format!("{replica}{}", random.below(1000));
        list.push(item.clone());
        tx.put(LIST, list.join("\n"), siblings.context())?;
        // The same in a set of the library's, which loses nothing: what the list must hold.
        tx.set("added").add(&item)?;
        Ok(format!("adds {item} to {} others", list.len() - 1))
    }

    fn finally(&self, space: &Space) -> Result<(), String> {
        let list = self.read(&space.get(LIST).map_err(|e| e.to_string())?);
        let added = space.set::<String>("added").elements().map_err(|e| e.to_string())?;
        match added.iter().find(|item| !list.iter().any(|there| *item == there)) {
            Some(lost) => Err(format!("{lost:?} was added, and is not on the list {list:?}")),
            None => Ok(()),
        }
    }
}

/// The first of these worlds in which something does not hold.
fn first_failure(household: &Household, worlds: u64) -> Option<u64> {
    let found = Mutex::new(None);
    let found = &found;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for seed in (thread..worlds).step_by(2) {
                    if found.lock().unwrap().is_some() {
                        return;
                    }
                    if sim::run_application(seed, household).is_err() {
                        *found.lock().unwrap() = Some(seed);
                    }
                }
            });
        }
    });
    *found.lock().unwrap()
}

fn main() -> ExitCode {
    let worlds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200);
    let naive = Household { merge: the_longer };
    let Some(seed) = first_failure(&naive, worlds) else {
        println!("{worlds} worlds did not notice that the longer list wins");
        return ExitCode::FAILURE;
    };
    println!("Where the longer list wins:\n{}", sim::explain_application(seed, &naive));

    let whole = Household { merge: all_of_both };
    if let Some(seed) = first_failure(&whole, worlds) {
        println!("{}", sim::explain_application(seed, &whole));
        return ExitCode::FAILURE;
    }
    println!("Where all of both lists is kept: {worlds} worlds, and nothing is lost");
    ExitCode::SUCCESS
}
