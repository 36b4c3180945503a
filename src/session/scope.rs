//! Which spaces a session is about.

use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::session::message::text;

/// Which spaces a session is about: those of both stores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The one of this name.
    Space(String),
    /// Those whose names start so.
    Prefix(String),
    /// All.
    All,
}

impl Scope {
    /// Whether a space of this name belongs.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Space(only) => name == only,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::All => true,
        }
    }

    /// What the names of all its spaces start with, where it is not about one of them only.
    pub(super) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Space(_) => None,
            Self::Prefix(prefix) => Some(prefix),
            Self::All => Some(""),
        }
    }

    /// The one space that it is about.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Space(name) => Some(name),
            Self::Prefix(_) | Self::All => None,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (tag, name) = match self {
            Self::All => (0, ""),
            Self::Space(name) => (1, name.as_str()),
            Self::Prefix(prefix) => (2, prefix.as_str()),
        };
        out.push(tag);
        if tag > 0 {
            out.put_bytes(name.as_bytes());
        }
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let limit = *limits::SPACE_NAME_BYTES.end();
        Ok(match cursor.u8()? {
            0 => Self::All,
            1 => Self::Space(text(cursor, limit)?),
            2 => Self::Prefix(text(cursor, limit)?),
            other => return Err(cursor.wrong(Problem::UnknownTag { found: other.into() })),
        })
    }
}
