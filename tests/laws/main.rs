//! Every type against an oracle that is slow and obvious.
//!
//! A history is a list of steps at three replicas: mutate, send the whole state, deliver one
//! delta (out of order, twice, with gaps). The oracle knows nothing of contexts or joins. It
//! writes down each event with the events that it replaced, and which events each replica
//! knows of; live is what no known event has replaced; the rule of the type reads that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cases;
#[cfg(feature = "quickcheck")]
mod drawn;
mod oracle;
#[cfg(feature = "quickcheck")]
mod own;

use std::collections::BTreeSet;

use cases::*;
use oracle::{HISTORIES, Step, check, id};
use quickcheck::{Gen, QuickCheck};
use rejoin::causal::Seq;
use rejoin::crdt::PnCounter;

macro_rules! oracles {
    ($($name:ident: $case:ty;)+) => {$(
        #[test]
        fn $name() {
            check::<$case>();
        }
    )+};
}

oracles! {
    or_set: Adds;
    rw_set: Removes;
    ew_flag: Enables;
    dw_flag: Disables;
    lww_register: Last;
    mv_register: Many;
    siblings_with_a_context: Dynamo;
    pn_counter: Sums;
    g_counter: Grows;
    or_map: Nested;
}

/// Rows that nobody can have seen are counted up in place, and no increment is lost or
/// counted twice, whoever sends what to whom.
#[test]
fn a_counter_that_merges_unseen_rows() {
    fn property(steps: Vec<Step>) -> bool {
        let mut copies = [PnCounter::new(), PnCounter::new(), PnCounter::new()];
        let mut known = [const { BTreeSet::new() }; 3];
        let mut amounts: Vec<i128> = Vec::new();
        let mut shown = [Seq::ZERO; 3];
        for step in &steps {
            match step {
                Step::Mutate(at, op) => {
                    let amount = i64::from(op.value) - 100;
                    let _kept_here = copies[*at].add_shown(id(*at), amount, shown[*at]).unwrap();
                    known[*at].insert(amounts.len());
                    amounts.push(i128::from(amount));
                }
                Step::Send(from, to) | Step::Deliver(from, to) => {
                    let from = from % 3;
                    let state = copies[from].clone();
                    shown[from] = state.seen().greatest(id(from));
                    copies[*to].merge(&state);
                    let more = known[from].clone();
                    known[*to].extend(more);
                }
            }
        }
        copies.iter().zip(&known).enumerate().all(|(at, (copy, known))| {
            let sum: i128 = known.iter().map(|number: &usize| amounts[*number]).sum();
            let own = copy.rows().filter(|(dot, _)| dot.replica == id(at)).count();
            copy.value() == sum && own <= 8
        })
    }
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(40, 2))
        .tests(HISTORIES)
        .max_tests(HISTORIES)
        .quickcheck(property as fn(Vec<Step>) -> bool);
}

#[cfg(feature = "quickcheck")]
mod by_macro {
    use rejoin::crdt::laws::Few;
    use rejoin::crdt::{OrMap, OrSet, Siblings};

    rejoin::crdt_laws! {
        sets_in_maps: OrMap<Few, OrSet<Few>>, 1_000;
        siblings_in_maps: OrMap<Few, Siblings<u8>>, 1_000;
    }

    quickcheck::quickcheck! {
        /// Drawn values have replicas of their own, so that any two can meet.
        fn drawn_values_merge(a: OrSet<Few>, b: OrSet<Few>) -> bool {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.merge(&b);
            ba.merge(&a);
            ab == ba && ab.iter().all(|e| a.contains(e) || b.contains(e))
        }
    }
}
