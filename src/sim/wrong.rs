//! What went wrong in a world.

use crate::error::Error;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Something does not hold.
    Words(String),
    /// A replica failed; whether it may is to be judged.
    Failed { replica: usize, doing: &'static str, error: Error },
}

impl Wrong {
    pub(super) const fn at(replica: usize, doing: &'static str, error: Error) -> Self {
        Self::Failed { replica, doing, error }
    }

    /// The kind of what does not hold: the same one while a story is made shorter.
    pub(super) fn kind(what: &str) -> &str {
        what.split(':').next().unwrap_or_default()
    }
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self::Words(what)
    }
}

impl core::fmt::Display for Wrong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Words(what) => f.write_str(what),
            Self::Failed { replica, doing, error } => {
                let name = char::from(b'A' + (*replica % 26) as u8);
                write!(f, "ERROR: {name}, {doing}: {error}")
            }
        }
    }
}
