//! What goes to standard output, and what to say when something fails.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use rejoin::net::{NetError, SyncError};
use rejoin::storage::{Identity, StorageError};
use rejoin::{Error, Store, UsageError};
use serde_json::Value;

/// Why a command ended before it was done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What, where, and what to do.
    Message(String),
    /// Nobody reads what is printed any more.
    Unread,
}

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self::Message(message.to_string())
    }

    /// Of a store among others: says which, where the error does not.
    pub(crate) fn of_store(path: &Path, error: Error) -> Self {
        match Self::from(error) {
            Self::Message(message) => Self::Message(with_path(path, message)),
            failure @ Self::Unread => failure,
        }
    }
}

/// What is wrong with a store, and with which, where it is not said in full.
pub(crate) fn with_path(path: &Path, message: String) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match message.contains(&full.display().to_string()) {
        true => message,
        false => format!("{}: {message}", path.display()),
    }
}

impl From<io::Error> for Failure {
    /// Only standard output is written without a word of its own about failures.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Message(format!("standard output: {error}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let todo = match &error {
            Error::Usage(
                UsageError::ContextMalformed(_)
                | UsageError::ContextForeign { .. }
                | UsageError::ContextAhead { .. },
            ) => "; take the token from the last line of get for this key",
            Error::Usage(UsageError::CounterOverflow(_)) => {
                "; add less, or count under another key"
            }
            Error::Usage(UsageError::Place(_)) => "; shorten it",
            Error::Usage(UsageError::ValueTooLarge { .. }) => {
                "; keep it in a file of its own, and its name here"
            }
            Error::Storage(StorageError::Corrupt { .. }) => {
                "; run check, and save what is sound with rejoin recover"
            }
            Error::Storage(StorageError::Damaged { .. }) => {
                ": rejoin recover OLD NEW, or rejoin check"
            }
            _ => "",
        };
        Self::Message(format!("{error}{todo}"))
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        match error {
            NetError::NotLoopback { address } => Self::Message(format!(
                "{address} can be reached by other machines, and there is no access control yet: whoever reaches it can read and write everything in the store; pass --insecure if that is meant, or listen on 127.0.0.1"
            )),
            NetError::Store { source } => (*source).into(),
            other => Self::Message(other.to_string()),
        }
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        error.reason.into()
    }
}

pub(crate) type Done = Result<(), Failure>;

/// Standard output, in text or JSON.
pub(crate) struct Out {
    pub(crate) json: bool,
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, stdout: BufWriter::with_capacity(1 << 16, io::stdout().lock()) }
    }

    /// A line of text.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Done {
        Ok(writeln!(self.stdout, "{line}")?)
    }

    /// The result, in one form or the other.
    pub(crate) fn result(&mut self, json: &Value, text: impl fmt::Display) -> Done {
        if self.json { self.line(json) } else { self.line(text) }
    }

    pub(crate) fn writer(&mut self) -> &mut impl Write {
        &mut self.stdout
    }

    pub(crate) fn flush(&mut self) -> Done {
        Ok(self.stdout.flush()?)
    }
}

/// Says something beside the result.
pub(crate) fn note(what: impl fmt::Display) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "note: {what}");
}

/// Says so where a store was found damaged, to whoever does something else with it: that it
/// cannot be said is no reason not to do it.
pub(crate) fn warn_of_damage(store: &Store) {
    if let Ok(Some(found)) = store.damage() {
        note(format_args!(
            "this store was found damaged ({found}), which this does not mend: see rejoin recover --help"
        ));
    }
}

/// Says so where a store took a fresh id.
pub(crate) fn tell_identity(store: &Store, path: &Path) {
    if let Identity::Fresh { previous } = store.identity() {
        note(format_args!(
            "{} was copied or restored, or its identity file {}.id is gone: it goes on as replica {}, since {previous} may live on elsewhere",
            path.display(),
            path.display(),
            store.replica()
        ));
    }
}
