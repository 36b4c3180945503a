//! Calls into the engine: its panics become errors, and its failures are remembered.
//!
//! Three states. *Sound*: everything goes on. *Failed*, after an error while writing: what
//! the engine holds in memory may be ahead of the disk, and trying again could take pages
//! for written that were lost, so nothing more is written until the store is opened anew;
//! reads go on. *Broken*, after a panic inside the engine: it is not asked anything again.
//!
//! The engine itself reads nothing more from its file after an error of the disk, not even
//! what is sound. It is then *deaf*, and another one takes its place (see
//! `Engine::hear_again`).

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::gate::Gate;
use super::seal::Damage;
use crate::storage::StorageError;

const SOUND: u8 = 0;
const FAILED: u8 = 1;
const BROKEN: u8 = 2;

#[derive(Debug)]
pub(super) struct Health {
    path: PathBuf,
    gate: Arc<Gate>,
    state: AtomicU8,
    deaf: AtomicBool,
    reason: Mutex<String>,
}

impl Health {
    pub(super) fn new(path: PathBuf, gate: Arc<Gate>) -> Self {
        let (state, deaf) = (AtomicU8::new(SOUND), AtomicBool::new(false));
        Self { path, gate, state, deaf, reason: Mutex::default() }
    }

    pub(super) const fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn readable(&self) -> Result<(), StorageError> {
        if self.state.load(Ordering::Acquire) < BROKEN { Ok(()) } else { Err(self.must_reopen()) }
    }

    pub(super) fn writable(&self) -> Result<(), StorageError> {
        if self.state.load(Ordering::Acquire) == SOUND { Ok(()) } else { Err(self.must_reopen()) }
    }

    fn must_reopen(&self) -> StorageError {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        StorageError::MustReopen { reason }
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Acquire)
    }

    pub(super) fn hears_again(&self) {
        self.deaf.store(false, Ordering::Release);
    }

    /// Lets nothing be written from now on.
    pub(super) fn fail(&self, error: &StorageError) {
        self.worsen(FAILED, error);
    }

    fn worsen(&self, state: u8, error: &StorageError) {
        self.gate.shut();
        let mut reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if reason.is_empty() {
            *reason = self.without_path(error);
        }
        self.state.fetch_max(state, Ordering::AcqRel);
    }

    /// What a panic caught while in the engine amounts to.
    pub(super) fn panicked(&self, doing: &'static str, payload: &(dyn Any + Send)) -> StorageError {
        let error = engine_panic(doing, payload);
        self.worsen(BROKEN, &error);
        error
    }

    /// A call that reads.
    pub(super) fn read<T, E: Into<redb::Error>>(
        &self,
        doing: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, StorageError> {
        self.readable()?;
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.translate(doing, error.into())),
            Err(payload) => Err(self.panicked(doing, &*payload)),
        }
    }

    /// A call within a write transaction: after an error nothing is written any more.
    pub(super) fn write<T, E: Into<redb::Error>>(
        &self,
        doing: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, StorageError> {
        self.writable()?;
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.write_failed(doing, error.into())),
            Err(payload) => Err(self.panicked(doing, &*payload)),
        }
    }

    /// What an error within a write transaction amounts to.
    pub(super) fn write_failed(&self, doing: &'static str, error: redb::Error) -> StorageError {
        let callers = matches!(error, redb::Error::ValueTooLarge(_));
        let error = self.translate(doing, error);
        if !callers {
            self.fail(&error);
        }
        error
    }

    /// Cleaning up, whatever the state: only a panic counts.
    pub(super) fn clean_up(&self, doing: &'static str, call: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
            self.panicked(doing, &*payload);
        }
    }

    /// The engine's error in our words.
    pub(super) fn translate(&self, doing: &'static str, error: redb::Error) -> StorageError {
        let path = self.path.clone();
        match error {
            redb::Error::Io(source) => {
                let error = self.disk_error(doing, source);
                self.fail(&error);
                self.deaf.store(true, Ordering::Release);
                error
            }
            redb::Error::PreviousIo => {
                self.deaf.store(true, Ordering::Release);
                self.must_reopen()
            }
            redb::Error::DatabaseAlreadyOpen => StorageError::AlreadyOpen { path },
            redb::Error::Corrupted(reason) => {
                StorageError::Corrupt { place: path.display().to_string(), reason }
            }
            redb::Error::ValueTooLarge(bytes) => {
                let message = format!("a row of {bytes} bytes is too large");
                let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, message);
                StorageError::Io { path, doing, source }
            }
            redb::Error::TransactionInProgress => {
                StorageError::Busy("a snapshot of the store is held; drop it first")
            }
            redb::Error::UpgradeRequired(version) => StorageError::NotAStore {
                path,
                reason: format!("a database of the old file format {version}"),
            },
            other => StorageError::MustReopen { reason: format!("{doing}: {other}") },
        }
    }

    /// What failed, without where the file lies: of what failed earlier a peer is told too. Where in
    /// the file stays.
    fn without_path(&self, error: &StorageError) -> String {
        match error {
            StorageError::Io { doing, source, .. } => format!("{doing}: {source}"),
            StorageError::Corrupt { place, reason } => {
                let path = self.path.display().to_string();
                match place.strip_prefix(&path).and_then(|rest| rest.strip_prefix(", ")) {
                    Some(block) => format!("{block}: {reason}"),
                    None => reason.clone(),
                }
            }
            StorageError::NotAStore { reason, .. } => reason.clone(),
            StorageError::AlreadyOpen { .. } | StorageError::NewerFormat { .. } => {
                "it is not to be used by this process".to_owned()
            }
            other => other.to_string(),
        }
    }

    fn disk_error(&self, doing: &'static str, source: std::io::Error) -> StorageError {
        let path = self.path.clone();
        if let Some(damage) = source.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            let (block, at_byte) = (damage.block, damage.at_byte);
            let place = format!("{}, block {block} at byte {at_byte}", path.display());
            return StorageError::Corrupt { place, reason: damage.reason.to_owned() };
        }
        match source.kind() {
            // The engine's own way to say that a page is not there, or not a page.
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                let place = path.display().to_string();
                StorageError::Corrupt { place, reason: source.to_string() }
            }
            _ => StorageError::Io { path, doing, source },
        }
    }
}

/// What a panic of the engine amounts to.
pub(super) fn engine_panic(doing: &'static str, payload: &(dyn Any + Send)) -> StorageError {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    StorageError::EnginePanic { doing, message: text.unwrap_or("no message").to_owned() }
}
