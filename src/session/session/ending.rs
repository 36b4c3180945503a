//! How a session ends, and what is kept of its spaces.

use super::Session;
use crate::error::{Error, PeerError};
use crate::session::message::Message;
use crate::session::report::{SpaceReport, Why};
use crate::session::sync::SpaceSync;
use crate::storage::StorageError;

impl Session {
    pub(super) fn fail(&mut self, error: &Error) {
        self.over = true;
        self.store.note_error(error);
        self.refusal = match error {
            Error::Peer(PeerError::Refused { .. }) => None,
            // Where the files here lie, and what to do about them, is for the ears of this side.
            // The other one puts "the peer ended the session" before it.
            Error::Storage(StorageError::Damaged { .. } | StorageError::Corrupt { .. }) => {
                Some("its store is damaged, and does not sync".to_owned())
            }
            Error::Storage(StorageError::Io { source, .. }) => {
                Some(format!("its storage failed: {source}"))
            }
            Error::Storage(StorageError::MustReopen { reason }) => {
                Some(format!("its storage failed: {reason}"))
            }
            Error::Storage(_) => Some("its storage failed".to_owned()),
            error => Some(error.to_string()),
        };
        self.close();
    }

    /// The pipe is gone: what is not proven stays so. What was staged is kept, and the next
    /// session with this peer goes on behind it.
    pub fn close(&mut self) {
        self.over = true;
        let why = Some(Why::Unfinished);
        for (_, sync) in core::mem::take(&mut self.spaces) {
            let (name, not_taken, held) = (sync.name().to_owned(), sync.not_taken, sync.held);
            let untold = sync.untold;
            let space = SpaceReport { name, root: None, why, not_taken, held, untold };
            self.report.spaces.push(space);
        }
        let again = self.roll.take_to_come();
        for name in self.arrivals.take_names().chain(again) {
            self.report.spaces.push(SpaceReport::never_begun(name, Why::Unfinished));
        }
    }

    /// The last frame of a session that failed here.
    pub(super) fn refuse(&mut self) -> Vec<u8> {
        let mut frame = self.carry.take().unwrap_or_default();
        if let Some(reason) = self.refusal.take() {
            frame.clear();
            Message::Refuse { reason }.encode(&mut frame);
        }
        frame
    }

    /// Keeps of a space that has ended, and has said so, only the report.
    pub(super) fn retire(&mut self, id: u64) {
        let Some(end) = self.spaces.get(&id).and_then(|sync| sync.end) else { return };
        if let Some(sync) = self.spaces.remove(&id) {
            let name = sync.name().to_owned();
            self.waiting.remove(&id);
            self.arrivals.forget(id);
            if end == Err(Why::Renamed) {
                return; // what becomes of it is said when it was opened once more
            }
            // Equal at what one of the two has seen is not equal.
            self.roll.note_end(&name, end.is_ok() && !sync.not_taken, sync.touched);
            if end.is_err() {
                self.roll.note_given_up(&name);
            }
            let (root, why) = (end.ok(), end.err());
            let SpaceSync { not_taken, held, untold, .. } = sync;
            self.report.spaces.push(SpaceReport { name, root, why, not_taken, held, untold });
        }
    }

    pub(super) fn end_if_done(&mut self) -> Result<(), Error> {
        if self.over {
            return Ok(()); // closed or failed: the spaces are gone because they were given up
        }
        let none_left = self.spaces.is_empty() && self.arrivals.is_empty();
        if self.roll.is_over() && none_left && self.carry.is_none() {
            if let Some(peer) = &self.peer {
                let id = blake3::derive_key("rejoin 2026 meeting", &peer.key);
                let id = id.first_chunk().copied().unwrap_or_default();
                self.roll.remember(&self.store, peer.replica, id)?;
            }
            self.store.flush()?;
            self.over = true;
            self.report.finished = true;
        }
        Ok(())
    }
}
