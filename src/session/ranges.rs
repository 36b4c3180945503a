//! Comparing which spaces two stores have, and how each stands: ranges of names.

use super::message::text;
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::space::Leaf;

/// A range that holds up to so many spaces is listed; a longer one is cut into so many.
pub(super) const FAN_OUT: usize = 32;

/// Ranges in one message, at most, so that it stays small.
pub(super) const RANGES_A_MESSAGE: usize = 1024;

/// A leaf as it travels: shortened under the key of the session.
type Short = [u8; 8];

/// What one side has in a range of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// As many spaces as this, and a hash of their names and leaves.
    Hash(u64, Short),
    /// These.
    List(Vec<(String, Short)>),
}

/// Names from `from` on, up to but without `to`; without one, to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    from: String,
    to: Option<String>,
    held: Held,
}

impl Range {
    /// Whether it begins where another ends, or later.
    pub(super) fn follows(&self, other: &Self) -> bool {
        other.to.as_ref().is_some_and(|end| *end <= self.from)
    }

    /// How many ranges an honest answer to this one has, at most.
    pub(super) fn most_answers(&self) -> usize {
        match self.held {
            Held::Hash(..) => FAN_OUT,
            Held::List(_) => 0,
        }
    }
}

/// The spaces of one side, ordered by name.
#[derive(Debug, Default)]
pub(super) struct Catalog(Vec<(String, Leaf)>);

fn short(key: &[u8; 32], spaces: &[(String, Leaf)]) -> Short {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for (name, leaf) in spaces {
        hasher.update(&(name.len() as u64).to_be_bytes()).update(name.as_bytes()).update(leaf);
    }
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

impl Catalog {
    pub(super) fn new(spaces: Vec<(String, Leaf)>) -> Self {
        Self(spaces)
    }

    fn part(&self, from: &str, to: Option<&str>) -> &[(String, Leaf)] {
        let start = self.0.partition_point(|(name, _)| name.as_str() < from);
        let end = match to {
            None => self.0.len(),
            Some(to) => self.0.partition_point(|(name, _)| name.as_str() < to).max(start),
        };
        self.0.get(start..end).unwrap_or_default()
    }

    /// All that is here, to begin with.
    pub(super) fn whole(&self, key: &[u8; 32]) -> Vec<Range> {
        let mut ranges = Vec::new();
        cut(key, &self.0, "", None, &mut ranges);
        ranges
    }

    /// Answers the ranges of the peer: those that differ, finer, and the names of spaces
    /// to open.
    pub(super) fn answer(&self, key: &[u8; 32], theirs: &[Range]) -> (Vec<Range>, Vec<String>) {
        let (mut finer, mut names) = (Vec::new(), Vec::new());
        for Range { from, to, held } in theirs {
            let mine = self.part(from, to.as_deref());
            match held {
                Held::Hash(count, hash)
                    if *count == mine.len() as u64 && *hash == short(key, mine) => {}
                Held::Hash(..) => cut(key, mine, from, to.as_deref(), &mut finer),
                Held::List(listed) => differing(key, mine, listed, &mut names),
            }
        }
        (finer, names)
    }
}

/// Cuts a range in parts of about the same size, or lists it where it is short.
fn cut(
    key: &[u8; 32],
    spaces: &[(String, Leaf)],
    from: &str,
    to: Option<&str>,
    out: &mut Vec<Range>,
) {
    if spaces.len() <= FAN_OUT {
        let one =
            |space: &(String, Leaf)| (space.0.clone(), short(key, core::slice::from_ref(space)));
        let held = Held::List(spaces.iter().map(one).collect());
        out.push(Range { from: from.to_owned(), to: to.map(str::to_owned), held });
        return;
    }
    let mut parts = spaces.chunks(spaces.len().div_ceil(FAN_OUT)).peekable();
    let mut from = from.to_owned();
    while let Some(part) = parts.next() {
        let next = parts.peek().and_then(|next| next.first()).map(|(name, _)| name.clone());
        let end = next.clone().or_else(|| to.map(str::to_owned));
        let held = Held::Hash(part.len() as u64, short(key, part));
        out.push(Range { from, to: end, held });
        from = next.unwrap_or_default();
    }
}

/// The names that only one side has, or that stand otherwise there.
fn differing(
    key: &[u8; 32],
    mine: &[(String, Leaf)],
    theirs: &[(String, Short)],
    names: &mut Vec<String>,
) {
    let mut theirs = theirs.iter().peekable();
    for space in mine {
        while let Some((other, _)) = theirs.next_if(|(other, _)| *other < space.0) {
            names.push(other.clone());
        }
        match theirs.next_if(|(other, _)| *other == space.0) {
            Some((_, leaf)) if *leaf == short(key, core::slice::from_ref(space)) => {}
            _ => names.push(space.0.clone()),
        }
    }
    names.extend(theirs.map(|(other, _)| other.clone()));
}

/// Writes ranges: where each begins and ends is a name, empty for the first and after the last.
pub(super) fn put_ranges(out: &mut Vec<u8>, ranges: &[Range]) {
    out.put_varint(ranges.len() as u64);
    for Range { from, to, held } in ranges {
        out.put_bytes(from.as_bytes());
        out.put_bytes(to.as_deref().unwrap_or_default().as_bytes());
        match held {
            Held::Hash(count, hash) => {
                out.push(0);
                out.put_varint(*count);
                out.extend_from_slice(hash);
            }
            Held::List(spaces) => {
                out.push(1);
                out.put_varint(spaces.len() as u64);
                for (name, leaf) in spaces {
                    out.put_bytes(name.as_bytes());
                    out.extend_from_slice(leaf);
                }
            }
        }
    }
}

/// Reads ranges: ascending, and no two that overlap.
pub(super) fn take_ranges(cursor: &mut Cursor<'_>) -> Result<Vec<Range>, DecodeError> {
    let limit = *limits::SPACE_NAME_BYTES.end();
    let count = cursor.count(4, RANGES_A_MESSAGE)?;
    let mut ranges: Vec<Range> = Vec::with_capacity(count);
    for _ in 0..count {
        let here = cursor.clone();
        let from = text(cursor, limit)?;
        let to = Some(text(cursor, limit)?).filter(|to| !to.is_empty());
        if to.as_ref().is_some_and(|to| *to <= from) {
            return Err(here.wrong(Problem::Unsorted));
        }
        let held = match cursor.u8()? {
            0 => Held::Hash(cursor.varint()?, cursor.array()?),
            1 => {
                let count = cursor.count(9, FAN_OUT)?;
                let mut spaces: Vec<(String, Short)> = Vec::with_capacity(count);
                for _ in 0..count {
                    let here = cursor.clone();
                    let name = text(cursor, limit)?;
                    let inside = name >= from && to.as_ref().is_none_or(|to| name < *to);
                    if !inside || spaces.last().is_some_and(|(last, _)| *last >= name) {
                        return Err(here.wrong(Problem::Unsorted));
                    }
                    spaces.push((name, cursor.array()?));
                }
                Held::List(spaces)
            }
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        };
        let range = Range { from, to, held };
        if ranges.last().is_some_and(|last| !range.follows(last)) {
            return Err(here.wrong(Problem::Unsorted));
        }
        ranges.push(range);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quickcheck::{TestResult, quickcheck};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn catalog(spaces: &BTreeMap<u16, u8>) -> Catalog {
        Catalog(spaces.iter().map(|(n, leaf)| (format!("{n:05}"), [*leaf; 16])).collect())
    }

    /// Lets two sides compare; the names that either opens, and how many messages it took.
    fn compare(left: &Catalog, right: &Catalog) -> (Vec<String>, usize) {
        let (mut sides, mut opened, mut messages) = ([left, right], Vec::new(), 1);
        let mut said = right.whole(&KEY);
        while !said.is_empty() {
            let mut bytes = Vec::new();
            put_ranges(&mut bytes, &said);
            let mut cursor = Cursor::new("ranges", &bytes);
            let heard = take_ranges(&mut cursor).unwrap();
            assert_eq!(heard, said);
            let (answer, names) = sides[0].answer(&KEY, &heard);
            opened.extend(names);
            said = answer;
            sides.reverse();
            messages += 1;
        }
        opened.sort_unstable();
        (opened, messages)
    }

    quickcheck! {
        fn two_sides_open_what_differs_and_each_once(
            both: BTreeMap<u16, u8>, left: BTreeMap<u16, u8>, right: BTreeMap<u16, u8>
        ) -> TestResult {
            // Many in common, so that ranges are equal here and there.
            let filled = |own: &BTreeMap<u16, u8>| {
                let mut all: BTreeMap<u16, u8> = (0..2000).map(|n| (n * 20, 1)).collect();
                all.extend(both.clone());
                all.extend(own.clone());
                all
            };
            let (left, right) = (filled(&left), filled(&right));
            let mut differ: Vec<String> = Vec::new();
            for n in left.keys().chain(right.keys()) {
                if left.get(n) != right.get(n) {
                    differ.push(format!("{n:05}"));
                }
            }
            differ.sort_unstable();
            differ.dedup();
            let (opened, messages) = compare(&catalog(&left), &catalog(&right));
            TestResult::from_bool(opened == differ && messages <= 6)
        }
    }

    #[test]
    fn with_an_empty_side_the_other_opens_all() {
        let many = catalog(&(0..5000).map(|n| (n, 1)).collect());
        let none = Catalog::default();
        assert_eq!(compare(&none, &none).0.len(), 0);
        assert_eq!(compare(&many, &none).0.len(), 5000);
        assert_eq!(compare(&none, &many).0.len(), 5000);
    }
}
