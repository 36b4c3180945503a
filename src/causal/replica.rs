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
