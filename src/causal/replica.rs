//! The name of a replica.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of one replica: 16 random bytes, drawn once when the replica is made.
///
/// Nobody hands these names out: 128 random bits are enough that two replicas never
/// draw the same one. The order of ids has no meaning beyond being the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId([u8; 16]);

/// Lower-case letters and digits without `i`, `l`, `o` and `u` (Crockford's alphabet).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

impl ReplicaId {
    /// The id made of these bytes. They should be random: two replicas under one id lose data.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits as 26 digits of 5 bits: the first digit holds the 3 highest bits.
        let bits = u128::from_be_bytes(self.0);
        for place in (0..TEXT_LEN).rev() {
            let digit = (bits >> (5 * place)) & 31;
            let letter = ALPHABET.get(digit as usize).copied().unwrap_or(b'?');
            fmt::Write::write_char(f, char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not the one spelling of a [`ReplicaId`]: 26 characters of the alphabet
/// `0123456789abcdefghjkmnpqrstvwxyz`, the first at most `7`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a replica id: {found:?} (want 26 of 0-9 a-z without i, l, o, u, the first at most 7)")]
pub struct ParseReplicaIdError {
    /// What was given, cut at 40 characters.
    pub found: String,
}

impl FromStr for ReplicaId {
    type Err = ParseReplicaIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseReplicaIdError { found: text.chars().take(40).collect() };
        if text.len() != TEXT_LEN {
            return Err(wrong());
        }
        let mut bits: u128 = 0;
        for (place, letter) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|&a| a == letter).ok_or_else(wrong)?;
            if place == 0 && digit > 7 {
                return Err(wrong());
            }
            bits = (bits << 5) | digit as u128;
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn text_and_back(high: u64, low: u64) -> bool {
            let bits = (u128::from(high) << 64) | u128::from(low);
            let id = ReplicaId::from_bytes(bits.to_be_bytes());
            id.to_string().parse::<ReplicaId>() == Ok(id)
        }

        fn texts_sort_as_ids(a: u64, b: u64) -> bool {
            let id = |n: u64| ReplicaId::from_bytes((u128::from(n) << 37).to_be_bytes());
            id(a).cmp(&id(b)) == id(a).to_string().cmp(&id(b).to_string())
        }

        /// Whatever parses is what is printed: there is one spelling.
        fn one_spelling(text: String, place: usize, letter: u8) -> bool {
            let mut near = ReplicaId::from_bytes([0xa5; 16]).to_string().into_bytes();
            near[place % TEXT_LEN] = letter % 128;
            let near = String::from_utf8(near).unwrap();
            [text, near].iter().all(|t| t.parse::<ReplicaId>().map_or(true, |id| id.to_string() == *t))
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let id = ReplicaId::from_bytes([0xa5; 16]);
        let text = id.to_string();
        assert_eq!(text.len(), TEXT_LEN);
        for wrong in [
            text.to_uppercase(),
            format!("{text}0"),
            text[1..].to_string(),
            format!("8{}", &text[1..]), // above 128 bits
            format!("{}l", &text[1..]), // a letter that is not in the alphabet
            "é".repeat(13),             // 26 bytes, 13 characters
            String::new(),
        ] {
            assert_eq!(wrong.parse::<ReplicaId>().unwrap_err().found, wrong);
        }
        let long = "0".repeat(1000).parse::<ReplicaId>().unwrap_err();
        assert_eq!(long.found.len(), 40);
    }
}
