//! What can go wrong with the disk.

use std::path::PathBuf;

/// The storage failed; the store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another process, or another handle of this one, has the store open.
    #[error("{}: already open, by another process or another handle of this one; close it first", path.display())]
    AlreadyOpen {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{}: not a rejoin store: {reason}", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer version of the library made the store.
    #[error("{}: the store has format {found}, this version reads up to {known}; use a newer rejoin", path.display())]
    NewerFormat {
        /// The store's file.
        path: PathBuf,
        /// The newest format that this version reads.
        known: u64,
        /// The store's format.
        found: u64,
    },
    /// The operating system refused: no such file, no permission, disk full, read error.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Rows or pages that cannot be right.
    #[error("the store is corrupt: {place}: {reason}")]
    Corrupt {
        /// Which table, row or page.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// Rows were found that cannot be right. Until a check finds none, the store does not
    /// sync: to others what it lacks would be deleted.
    #[error(
        "the store is damaged and does not sync: {found}; save what is sound into a new store and sync that, or check it again"
    )]
    Damaged {
        /// What was found.
        found: String,
    },
    /// An earlier failure left the engine unusable; opening the store anew helps.
    #[error("the store failed earlier ({reason}) and must be opened anew")]
    MustReopen {
        /// The earlier failure; no file is named.
        reason: String,
    },
    /// The engine panicked, which is a defect or corruption it did not expect.
    #[error("the storage engine failed unexpectedly while {doing}: {message}")]
    EnginePanic {
        /// What was being done.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
    /// Something is in use that must not be.
    #[error("{0}")]
    Busy(&'static str),
}

impl StorageError {
    /// The same failure, for one more who waited for what failed.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::AlreadyOpen { path } => Self::AlreadyOpen { path: path.clone() },
            Self::NotAStore { path, reason } => {
                Self::NotAStore { path: path.clone(), reason: reason.clone() }
            }
            Self::NewerFormat { path, known, found } => {
                Self::NewerFormat { path: path.clone(), known: *known, found: *found }
            }
            Self::Io { path, doing, source } => {
                let source = std::io::Error::new(source.kind(), source.to_string());
                Self::Io { path: path.clone(), doing, source }
            }
            Self::Corrupt { place, reason } => {
                Self::Corrupt { place: place.clone(), reason: reason.clone() }
            }
            Self::Damaged { found } => Self::Damaged { found: found.clone() },
            Self::MustReopen { reason } => Self::MustReopen { reason: reason.clone() },
            Self::EnginePanic { doing, message } => {
                Self::EnginePanic { doing, message: message.clone() }
            }
            Self::Busy(what) => Self::Busy(what),
        }
    }
}
