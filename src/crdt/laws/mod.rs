//! The laws of conflict-free values, to be checked on any of them, your own among them.
//!
//! [`check`] draws *histories*: a few replicas that mutate their copies, send each other
//! whole states, and deltas one by one, in any order and with gaps. Values drawn at random
//! would mostly be states that no history leads to. A history that breaks a law is shrunk to
//! a short one and told in words.
//!
//! ```
//! use rejoin::crdt::{LwwRegister, OrMap, OrSet};
//! use rejoin::crdt::laws::{Few, check};
//!
//! check::<OrMap<Few, OrSet<Few>>>(50);
//! check::<OrMap<Few, OrMap<Few, LwwRegister<u8>>>>(50);
//! ```
//!
//! - In a test module, [`crdt_laws!`](crate::crdt_laws) makes the tests.
//! - A store made of dot stores says by [`Operations`] how it is mutated, any other type with
//!   a merge of its own by [`Mergeable`].
//! - [`check_resolver`] asks of a function from siblings to one value that it answers alike
//!   everywhere.
//! - In property tests of an application, a drawn [`Causal`](super::Causal) is a value that
//!   can occur, and a drawn [`History`] is all copies of one.
//!
//! [The guide](crate::guide::testing) tells it from the beginning.

mod arbitrary;
mod history;
mod judge;
mod operations;
mod resolver;
mod steps;

use core::fmt::Debug;

pub use quickcheck;
use quickcheck::{Arbitrary, Gen};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use history::{History, Mergeable};
pub use judge::{Broken, laws};
use judge::{NO_PANIC, calmly};
pub use operations::{
    CounterOperation, FlagOperation, MapOperation, Operations, RegisterOperation, SetOperation,
};
pub use resolver::{check_resolver, examine_resolver};
use steps::Steps;
pub use steps::{REPLICAS, Step};

use crate::causal::ReplicaId;

/// How many histories the tests made by [`crdt_laws!`](crate::crdt_laws) draw.
pub const HISTORIES: u64 = 10_000;

/// A history has fewer steps than this.
const STEPS: usize = 12;

/// How many smaller cases are tried at most for one that fails: an operation that shrinks in
/// circles must not hold up its test for ever.
const SHRINKS: usize = 20_000;

/// Makes tests that check the laws of conflict-free values. Feature `quickcheck`.
///
/// ```
/// use rejoin::crdt::{OrMap, OrSet, laws::Few};
///
/// rejoin::crdt_laws! {
///     tags: OrMap<Few, OrSet<Few>>;
///     few_histories: OrSet<u8>, 100;
/// }
/// ```
#[macro_export]
macro_rules! crdt_laws {
    ($($name:ident: $value:ty $(, $histories:expr)?;)+) => {$(
        #[test]
        fn $name() {
            let [histories, ..] = [$($histories,)? $crate::crdt::laws::HISTORIES];
            $crate::crdt::laws::check::<$value>(histories);
        }
    )+};
}

/// One of four names. Elements and keys drawn from few names meet each other; those drawn
/// from all numbers never would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Few(pub u8);

impl Arbitrary for Few {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(u8::arbitrary(g) % 4)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new((0..self.0).map(Self))
    }
}

/// Checks the laws on that many histories, the same ones each time.
///
/// | law | what it guards against |
/// |---|---|
/// | merging is idempotent | what is heard twice counts twice |
/// | merging is commutative | two replicas merge each other and differ |
/// | merging is associative | it matters who met whom first |
/// | the empty value changes nothing | a new replica loses or invents something |
/// | a mutation that is not possible changes nothing | half of it is done |
/// | a mutation only adds to what is known | an older copy undoes it |
/// | a delta does what the mutation did | those who get deltas differ from those who get states |
/// | all deltas together, in any order, are the state | a delta that is late or early is lost |
/// | a value survives being written and read | restarting forgets |
/// | equal values have the same bytes | hashes of equal replicas differ, as with a `HashMap` |
/// | nothing panics | a sum that overflows; what it prints comes once for each try |
///
/// # Panics
/// A law is broken. The message names it, tells the shortest history found, and shows the two
/// values that differ.
pub fn check<V>(histories: u64)
where
    V: Mergeable + PartialEq + Debug + Serialize + DeserializeOwned,
{
    if let Err(broken) = examine::<V>(histories) {
        panic!("{broken}");
    }
}

/// As [`check`], for those who want to look at what is broken.
///
/// # Errors
/// A law is broken.
pub fn examine<V>(histories: u64) -> Result<(), Broken>
where
    V: Mergeable + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let replicas = [1, 2, 3].map(|n| ReplicaId::from_bytes([n; 16]));
    smallest(histories, |Steps(steps): &Steps<V::Operation>| {
        let mut history = History::<V>::at(replicas);
        let happened = calmly(|| steps.iter().for_each(|step| history.happen(step)));
        let judged = happened.and_then(|()| calmly(|| laws(&history)));
        judged.unwrap_or_else(|words| Err(history.broken(NO_PANIC, [(&"it says", words)])))
    })
}

/// How many of so many cases are tried: an interpreter takes a thousand times as long for
/// each, and looks for other mistakes.
pub(crate) const fn cases_here(cases: u64) -> u64 {
    if cfg!(miri) { cases.div_ceil(5_000) } else { cases }
}

/// Draws cases, the same ones each time. One that fails is shrunk for as long as what it
/// shrinks to fails.
fn smallest<A: Arbitrary>(
    cases: u64,
    judge: impl Fn(&A) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut g = Gen::from_size_and_seed(STEPS, 0x7265_6a6f_696e);
    for _ in 0..cases_here(cases) {
        let mut case = A::arbitrary(&mut g);
        let Err(mut broken) = judge(&case) else { continue };
        let mut tries = SHRINKS;
        let mut open = case.shrink();
        while let Some(smaller) = open.next().filter(|_| tries > 0) {
            tries -= 1;
            if let Err(found) = judge(&smaller) {
                (case, broken) = (smaller, found);
                open = case.shrink();
            }
        }
        return Err(broken);
    }
    Ok(())
}
