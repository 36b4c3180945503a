//! The laws themselves, and what is said of one that is broken.

use core::fmt::{self, Debug, Display};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::history::letter;
use super::{History, Mergeable};

/// A law that does not hold, and the shortest story found in which it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// The law, in words.
    pub law: &'static str,
    /// What happened, step by step.
    pub story: Vec<String>,
    /// What should have been equal and is not: how each was come to, and what it is.
    pub found: Vec<(String, String)>,
}

impl std::error::Error for Broken {}

impl Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a law is broken: {}\n", self.law)?;
        for (number, line) in (1..).zip(&self.story) {
            writeln!(f, "  {number}. {line}")?;
        }
        let longest = self.found.iter().map(|(how, _)| how.chars().count()).max().unwrap_or(0);
        for (how, what) in &self.found {
            write!(f, "\n  {how:longest$}  {what}")?;
        }
        Ok(())
    }
}

/// What it does, or the words with which it panics.
pub(super) fn calmly<R>(what: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic: Box<dyn Any + Send>| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

/// What is broken where the code under test panics instead of giving an answer.
pub(super) const NO_PANIC: &str = "nothing panics";

/// How a value was come to, and what it is. The words are put together only if they are told.
type Found<'a, V> = (&'a dyn Display, &'a V);

impl<V: Mergeable> History<V> {
    pub(super) fn broken<const N: usize>(
        &self,
        law: &'static str,
        found: [(&dyn Display, String); N],
    ) -> Broken {
        let found = found.map(|(how, what)| (how.to_string(), self.with_letters(what)));
        Broken { law, story: self.story(), found: found.into() }
    }

    /// A law that asks for two values to be equal.
    fn same(&self, law: &'static str, one: Found<'_, V>, other: Found<'_, V>) -> Result<(), Broken>
    where
        V: PartialEq + Debug,
    {
        if one.1 == other.1 {
            return Ok(());
        }
        Err(self.broken(law, [one, other].map(|(how, value)| (how, format!("{value:?}")))))
    }
}

fn joined<V: Mergeable>(left: &V, right: &V) -> V {
    let mut both = left.clone();
    both.merge(right);
    both
}

/// Whether a history keeps all laws: see [`check`](super::check) for what they are.
///
/// # Errors
/// The first law that does not hold, those of merging before those of mutations and deltas.
pub fn laws<V>(history: &History<V>) -> Result<(), Broken>
where
    V: Mergeable + PartialEq + Debug + Serialize + DeserializeOwned,
{
    copies_merge(history)?;
    mutations_add(history)?;
    deltas_tell(history)
}

/// Copies may meet in any order, any number of times.
fn copies_merge<V: Mergeable + PartialEq + Debug>(history: &History<V>) -> Result<(), Broken> {
    for (l, copy, _) in history.told() {
        let twice: Found<'_, V> = (&format_args!("{l} merged with itself"), &joined(copy, copy));
        history.same("merging is idempotent", twice, (&l, copy))?;
    }
    let [a, b, c] = history.copies();
    for (l, left, r, right) in [("A", a, "B", b), ("B", b, "C", c), ("A", a, "C", c)] {
        let forth: Found<'_, V> = (&format_args!("{l} merged with {r}"), &joined(left, right));
        let back: Found<'_, V> = (&format_args!("{r} merged with {l}"), &joined(right, left));
        history.same("merging is commutative", forth, back)?;
    }
    let left: Found<'_, V> = (&"A with B, then with C", &joined(&joined(a, b), c));
    let right: Found<'_, V> = (&"A with (B with C)", &joined(a, &joined(b, c)));
    history.same("merging is associative", left, right)?;
    for (l, copy, _) in history.told() {
        let (law, empty) = ("the empty value changes nothing", V::default());
        let into = (&format_args!("the empty value merged with {l}") as _, &joined(&empty, copy));
        history.same(law, into, (&l, copy))?;
        let from = (&format_args!("{l} merged with the empty value") as _, &joined(copy, &empty));
        history.same(law, from, (&l, copy))?;
    }
    Ok(())
}

/// A mutation adds to what is known, and its delta does the same elsewhere.
fn mutations_add<V>(history: &History<V>) -> Result<(), Broken>
where
    V: Mergeable + PartialEq + Debug + Serialize + DeserializeOwned,
{
    for made in history.mutations() {
        let (l, step, before) = (letter(made.at), made.step, &made.before);
        let after: Found<'_, V> = (&format_args!("{l} after step {step}"), &made.after);
        let Some(delta) = made.delta.and_then(|number| history.deltas().get(number)) else {
            let law = "a mutation that is not possible changes nothing";
            history.same(law, (&format_args!("{l} before step {step}"), before), after)?;
            continue;
        };
        let law = "a mutation only adds to what is known";
        let how = format_args!("{l} before and after step {step}, merged");
        history.same(law, (&how, &joined(before, &made.after)), after)?;
        let law = "a delta does what the mutation did";
        let how = format_args!("{l} before step {step}, merged with the delta");
        history.same(law, (&how, &joined(before, delta)), after)?;
        let how = format_args!("the delta, merged with {l} before step {step}");
        history.same(law, (&how, &joined(delta, before)), after)?;
        survives(history, "the delta", delta)?;
    }
    Ok(())
}

/// A copy is what its deltas say, whatever their order, in its value and in its bytes.
fn deltas_tell<V>(history: &History<V>) -> Result<(), Broken>
where
    V: Mergeable + PartialEq + Debug + Serialize + DeserializeOwned,
{
    for (l, copy, deltas) in history.told() {
        let law = "all deltas together, in any order, are the state";
        let (mut forth, mut back) = (V::default(), V::default());
        deltas.iter().for_each(|delta| forth.merge(delta));
        deltas.iter().rev().for_each(|delta| back.merge(delta));
        let how = format_args!("what {l} has heard of, merged in order");
        history.same(law, (&how, &forth), (&l, copy))?;
        let how = format_args!("what {l} has heard of, merged backwards");
        history.same(law, (&how, &back), (&l, copy))?;
        let (one, other) = (survives(history, l, copy)?, encode(&back).unwrap_or_default());
        if one != other {
            return Err(spelling(history, l, copy, &one, &other));
        }
    }
    Ok(())
}

fn encode<V: Serialize>(value: &V) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(value)
}

fn spelling<V: Mergeable + Debug>(
    history: &History<V>,
    name: &str,
    value: &V,
    one: &[u8],
    other: &[u8],
) -> Broken {
    let law = "equal values have the same bytes";
    let found: [(&dyn Display, String); 3] = [
        (&name, format!("{value:?}")),
        (&"one spelling", format!("{one:?}")),
        (&"another", format!("{other:?}")),
    ];
    history.broken(law, found)
}

/// The bytes of a value, if they are its only ones and lead back to it.
fn survives<V>(history: &History<V>, name: &str, value: &V) -> Result<Vec<u8>, Broken>
where
    V: Mergeable + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let lost = |what: String| {
        let law = "a value survives being written and read";
        history.broken(law, [(&name, format!("{value:?}")), (&"read back", what)])
    };
    let bytes = encode(value).map_err(|error| lost(format!("not written: {error}")))?;
    let read = postcard::from_bytes::<V>(&bytes);
    let read = read.map_err(|error| lost(format!("not read: {error}")))?;
    if read != *value {
        return Err(lost(format!("{read:?}")));
    }
    let again = encode(&read).unwrap_or_default();
    if again == bytes { Ok(bytes) } else { Err(spelling(history, name, value, &bytes, &again)) }
}
