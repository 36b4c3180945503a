//! Whether a resolver is a function of the siblings alone.

use core::fmt::Debug;

use quickcheck::{Arbitrary, Gen};

use super::judge::{Broken, NO_PANIC, calmly};
use super::smallest;

/// Up to so many siblings are drawn: each case asks for every order of them.
const SIBLINGS: usize = 4;

/// Siblings as they may be found: one or more, now and then two alike.
#[derive(Clone)]
struct Found<T>(Vec<T>);

impl<T: Arbitrary> Arbitrary for Found<T> {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut siblings = vec![T::arbitrary(g)];
        for _ in 0..usize::arbitrary(g) % SIBLINGS {
            let copy = if u8::arbitrary(g) % 4 == 0 { siblings.first().cloned() } else { None };
            siblings.push(copy.unwrap_or_else(|| T::arbitrary(g)));
        }
        Self(siblings)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().filter(|siblings| !siblings.is_empty()).map(Self))
    }
}

/// Checks that a resolver, a function from siblings to one value, is one that every replica
/// may run for itself: whatever the order in which it is given the siblings, and however
/// often it is asked, it gives the same answer.
///
/// Draws `cases` times one to four siblings, the same ones each time, some of them equal, and
/// asks for all their orders. Let `T` draw from few values where ties matter, such as times:
/// a [`Stamped`](crate::crdt::Stamped) value does. A resolver that reads a clock, a random
/// number or the name of its replica is caught where two askings in a row differ, and
/// otherwise not: it should have no way to them.
///
/// ```
/// use rejoin::crdt::Stamped;
/// use rejoin::crdt::laws::{check_resolver, examine_resolver};
///
/// // The greatest quantity wins.
/// check_resolver(1_000, |siblings: &[u32]| siblings.iter().max().copied());
///
/// // The latest wins; of two at one time, the one that happens to come last.
/// let broken = examine_resolver(1_000, |siblings: &[Stamped<u8>]| {
///     siblings.iter().max_by_key(|write| write.time).map(|write| write.value)
/// });
/// assert_eq!(broken.map_err(|broken| broken.story.len()), Err(2));
///
/// // With a tie-break.
/// check_resolver(1_000, |siblings: &[Stamped<u8>]| {
///     siblings.iter().max_by_key(|write| (write.time, write.value)).map(|write| write.value)
/// });
/// ```
///
/// # Panics
/// The answers differ, or the resolver panics. The message holds the fewest siblings found,
/// and both answers.
pub fn check_resolver<T, U>(cases: u64, resolve: impl Fn(&[T]) -> U)
where
    T: Arbitrary + Debug,
    U: PartialEq + Debug,
{
    if let Err(broken) = examine_resolver(cases, resolve) {
        panic!("{broken}");
    }
}

/// As [`check_resolver`], for those who want to look at what is broken.
///
/// # Errors
/// The answers differ, or the resolver panics.
pub fn examine_resolver<T, U>(cases: u64, resolve: impl Fn(&[T]) -> U) -> Result<(), Broken>
where
    T: Arbitrary + Debug,
    U: PartialEq + Debug,
{
    smallest(cases, |Found(siblings): &Found<T>| {
        let broken = |law, found: Vec<(String, String)>| {
            let story = siblings.iter().map(|sibling| format!("a sibling: {sibling:?}")).collect();
            Broken { law, story, found }
        };
        let ask = |siblings: &[T]| {
            calmly(|| resolve(siblings))
                .map_err(|words| broken(NO_PANIC, vec![("the resolver says".to_owned(), words)]))
        };
        let first = ask(siblings)?;
        let differs = |law, how: String, other: &U| {
            let asked = ("asked first".to_owned(), format!("{first:?}"));
            Err(broken(law, vec![asked, (how, format!("{other:?}"))]))
        };
        let again = ask(siblings)?;
        if first != again {
            let law = "a resolver gives the same answer twice";
            return differs(law, "asked again".to_owned(), &again);
        }
        let mut order: Vec<usize> = (0..siblings.len()).collect();
        while next_order(&mut order) {
            let turned: Vec<T> = order.iter().filter_map(|at| siblings.get(*at)).cloned().collect();
            let answer = ask(&turned)?;
            if first != answer {
                let order: Vec<String> = order.iter().map(|at| (at + 1).to_string()).collect();
                let law = "a resolver does not look at the order of siblings";
                return differs(law, format!("in the order {}", order.join(", ")), &answer);
            }
        }
        Ok(())
    })
}

/// The next order of the same numbers, as in a dictionary; `false` after the last.
fn next_order(order: &mut [usize]) -> bool {
    let Some(left) = order.windows(2).rposition(|pair| matches!(pair, [a, b] if a < b)) else {
        return false;
    };
    let (head, tail) = order.split_at_mut(left + 1);
    if let Some(pivot) = head.last_mut()
        && let Some(greater) = tail.iter_mut().rev().find(|number| **number > *pivot)
    {
        core::mem::swap(pivot, greater);
    }
    tail.reverse();
    true
}
