//! What `get --resolve` makes of siblings that are text.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use rejoin::space::{Siblings, resolvers};

use serde_json::value::RawValue;

use crate::args::Rule;

/// The one value, where the rule decides.
pub(crate) fn resolve(rule: Rule, siblings: &Siblings) -> Option<Vec<u8>> {
    match rule {
        Rule::Latest => siblings.resolve(resolvers::latest),
        Rule::Greatest => siblings.resolve(resolvers::greatest(Decimal::read)),
        Rule::Least => {
            siblings.resolve(resolvers::greatest(|value| Decimal::read(value).map(Reverse)))
        }
        Rule::Union => {
            let arrays = siblings.values().all(|value| elements(value).is_some());
            match arrays {
                true => siblings.resolve(resolvers::union(elements, |all| {
                    format!("[{}]", Vec::from_iter(all.iter().cloned()).join(",")).into_bytes()
                })),
                false => siblings.resolve(resolvers::union(lines, |all| {
                    Vec::from_iter(all.iter().cloned()).join("\n").into_bytes()
                })),
            }
        }
    }
}

/// The elements of a JSON array, each as it is written, but for the spaces between its parts:
/// read as values, long numbers would lose digits, and objects that say a key twice one of them.
fn elements(value: &[u8]) -> Option<BTreeSet<String>> {
    let elements: Vec<&RawValue> = serde_json::from_slice(value).ok()?;
    Some(elements.into_iter().map(|element| without_spaces(element.get())).collect())
}

/// JSON without what stands between its parts.
fn without_spaces(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut kept = json.to_owned();
    kept.retain(|letter| {
        let quote = letter == '"' && !escaped;
        in_string ^= quote;
        escaped = in_string && letter == '\\' && !escaped;
        in_string || quote || !letter.is_ascii_whitespace()
    });
    kept
}

fn lines(value: &[u8]) -> Option<BTreeSet<String>> {
    Some(std::str::from_utf8(value).ok()?.lines().map(str::to_owned).collect())
}

/// A decimal number of any length: exact, where one of a machine would make equals of two.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    below_zero: bool,
    /// Without zeros in front.
    whole: String,
    /// Without zeros behind.
    part: String,
}

impl Decimal {
    /// Digits, with a sign before and a point within where need be.
    fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && part.is_empty() || !all_digits(whole) || !all_digits(part) {
            return None;
        }
        let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
        let below_zero = sign && !(whole.is_empty() && part.is_empty());
        Some(Self { below_zero, whole: whole.to_owned(), part: part.to_owned() })
    }

    /// How far from zero: of whole numbers without zeros in front the longer is the greater.
    fn size(&self) -> (usize, &str, &str) {
        (self.whole.len(), &self.whole, &self.part)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.below_zero, other.below_zero) {
            (false, false) => self.size().cmp(&other.size()),
            (true, true) => other.size().cmp(&self.size()),
            (below, other_below) => other_below.cmp(&below),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, elements};

    #[test]
    fn elements_are_kept_as_they_are_written() {
        let of = |json: &str| elements(json.as_bytes()).map(Vec::from_iter);
        let some = |of: &[&str]| Some(of.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(
            of("[12345678901234567890123, 1e400]"),
            some(&["12345678901234567890123", "1e400"])
        );
        assert_eq!(of(r#"[{"a" : 1, "a": [ 2 ]}]"#), some(&[r#"{"a":1,"a":[2]}"#]));
        assert_eq!(of(r#"[ "a \" b" , "\\", " " ]"#), some(&[r#"" ""#, r#""\\""#, r#""a \" b""#]));
        assert_eq!(of("[]"), some(&[]));
        // However deep: nothing recurses by it.
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep).map(|of| of.len()), Some(1));
        for none in ["", "1", "{}", "[1", "[01]", "[1] 2", "a\nb"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let ordered = [
            "-10000000000000000000000000000000000001",
            "-10000000000000000000000000000000000000",
            "-2.5",
            "-2.49",
            "-.1",
            "-0",
            "0.09",
            ".1",
            "+1",
            "9",
            "10",
            "10.01",
            "9007199254740992",
            "9007199254740993",
        ];
        let read = |text: &str| Decimal::read(text.as_bytes()).unwrap();
        assert!(ordered.map(read).is_sorted_by(|a, b| a < b));
        for same in [["0", "-0.00"], ["1.50", "01.5"], ["7", " 7\n"], ["+3", "3."]] {
            assert_eq!(read(same[0]), read(same[1]));
        }
        for none in ["", ".", "-", "1e3", "1.2.3", "--1", "+-1", "seven", "0x10", "1 2", "٣"] {
            assert_eq!(Decimal::read(none.as_bytes()), None, "{none:?}");
        }
    }
}
