//! Whom this store met, about which spaces, and which of them were equal then.
//!
//! After a session that proved all it was about, each side keeps the number of a commit of
//! its own, under a name that both know: *what was touched here up to this commit equals
//! what was touched there up to yours*. So when the two meet again, each names the spaces
//! touched since, and no digest is compared. The last two meetings of a pair are kept, since
//! one side may not have heard that the last one came to its end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::catalog::{check_reached, each_touched};
use super::rows::{after, corrupt, range};
use super::store::Store;
use crate::causal::ReplicaId;
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::error::Error;
use crate::storage::{Durability, Order, Read, StorageError, Table, Verdict, Write};

/// Names a meeting: both sides make it of what they sent each other.
pub(crate) type MeetingId = [u8; 16];

const MET_KEY: &[u8] = b"met/";

/// Meetings kept with one peer about the same spaces.
const KEPT_A_PAIR: usize = 2;

/// A meeting that came to its end.
#[derive(Clone, Debug)]
pub(crate) struct Meeting {
    pub(crate) id: MeetingId,
    /// The commit of this store up to which all was equal.
    pub(crate) commit: u64,
    peer: ReplicaId,
    /// Counts the meetings of this store.
    count: u64,
    prefix: String,
}

impl Meeting {
    fn key(&self) -> Vec<u8> {
        [MET_KEY, self.peer.as_bytes(), &self.id].concat()
    }

    fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        row.put_varint(self.commit);
        row.put_varint(self.count);
        row.extend_from_slice(self.prefix.as_bytes());
        row
    }

    fn from_row(key: &[u8], row: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("meeting", key);
        let _: [u8; MET_KEY.len()] = cursor.array()?;
        let (peer, id) = (cursor.replica()?, cursor.array()?);
        cursor.finish()?;
        let mut cursor = Cursor::new("meeting", row);
        let (commit, count) = (cursor.tally()?, cursor.tally()?);
        let here = cursor.clone();
        let prefix = core::str::from_utf8(cursor.take_rest());
        let prefix = prefix.map_err(|_| here.wrong(Problem::NotUtf8))?.to_owned();
        Ok(Self { id, commit, peer, count, prefix })
    }

    /// All that are kept, the oldest first.
    pub(super) fn all(rows: &dyn Read) -> Result<Vec<Self>, StorageError> {
        let to = after(MET_KEY);
        let (mut all, mut wrong) = (Vec::new(), None);
        rows.scan(Table::Meta, range(MET_KEY, &to), Order::Ascending, &mut |key, row| {
            match Self::from_row(key, row) {
                Ok(meeting) => all.push(meeting),
                Err(error) => wrong = Some(corrupt(Table::Meta, key, error)),
            }
            ControlFlow::Continue(())
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if let Some(last) = all.iter().max_by_key(|meeting| meeting.commit) {
            check_reached(rows, last.commit, &last.key())?;
        }
        all.sort_by_key(|meeting| meeting.count);
        Ok(all)
    }

    /// Whether it was about all the spaces whose names start with `prefix`.
    fn covers(&self, prefix: &str) -> bool {
        prefix.starts_with(&self.prefix)
    }
}

/// Forgets every meeting about a space of this name.
pub(super) fn forget_meetings(rows: &mut dyn Write, name: &str) -> Result<(), StorageError> {
    for meeting in Meeting::all(rows)?.iter().filter(|meeting| meeting.covers(name)) {
        rows.delete(Table::Meta, &meeting.key())?;
    }
    Ok(())
}

/// Whether a row of the whole store is one of these; `None` where its key is another one's.
pub(super) fn check_row(key: &[u8], row: &[u8]) -> Option<Result<(), DecodeError>> {
    key.starts_with(MET_KEY).then(|| Meeting::from_row(key, row).map(drop))
}

/// What such a row says, written again.
#[cfg(feature = "sim")]
pub(super) fn respelled(key: &[u8], row: &[u8]) -> Option<Result<Vec<u8>, DecodeError>> {
    let read = || Meeting::from_row(key, row).map(|meeting| meeting.to_row());
    key.starts_with(MET_KEY).then(read)
}

impl Store {
    /// The newest meeting about all spaces whose names start with `prefix`.
    pub(crate) fn last_meeting(&self, prefix: &str) -> Result<Option<Meeting>, Error> {
        let mut all = Meeting::all(&*self.shared.storage.read()?)?;
        all.retain(|meeting| meeting.covers(prefix));
        Ok(all.pop())
    }

    /// The meeting with `peer` of this name, if it was about all those spaces.
    pub(crate) fn meeting(
        &self,
        peer: ReplicaId,
        id: MeetingId,
        prefix: &str,
    ) -> Result<Option<Meeting>, Error> {
        let all = Meeting::all(&*self.shared.storage.read()?)?;
        Ok(all.into_iter().find(|m| m.peer == peer && m.id == id && m.covers(prefix)))
    }

    /// Remembers a meeting in which all spaces whose names start with `prefix` were equal as
    /// they stood here at commit `from`, but for those in `settled`, which are equal as they
    /// stand since the commits named there. A crash may forget it.
    pub(crate) fn remember_meeting(
        &self,
        peer: ReplicaId,
        id: MeetingId,
        prefix: &str,
        from: u64,
        settled: &BTreeMap<String, u64>,
    ) -> Result<(), Error> {
        let mut writer = self.shared.writer()?;
        writer.commit(Durability::Eventual, &mut |rows| {
            let (mut commit, mut settles, mut dropped) = (from, true, false);
            each_touched(rows, from, |touch, name| {
                dropped |= name.is_empty();
                settles &= !name.starts_with(prefix) || settled.get(&name) == Some(&touch);
                if settles {
                    commit = touch;
                }
                ControlFlow::Continue(())
            })?;
            if dropped {
                return Ok(Verdict::Abort); // a space went since: the two may differ in it
            }
            let mut all = Meeting::all(rows)?;
            let count = all.last().map_or(1, |last| last.count + 1);
            let same = |m: &Meeting| m.peer == peer && m.prefix == prefix;
            let many = all.iter().filter(|m| same(m)).count() >= KEPT_A_PAIR;
            let full = all.len() >= KEPT_A_PAIR * limits::BASES;
            let oldest = all.iter().position(|m| if many { same(m) } else { full });
            if let Some(oldest) = oldest {
                rows.delete(Table::Meta, &all.remove(oldest).key())?;
            }
            let meeting = Meeting { id, commit, peer, count, prefix: prefix.to_owned() };
            rows.put(Table::Meta, &meeting.key(), &meeting.to_row())?;
            Ok(Verdict::Commit)
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read as if it were text it was another prefix than was written, and took seven times its
    /// bytes of memory.
    #[test]
    fn a_meeting_about_what_is_no_name_is_a_broken_row() {
        let key = [MET_KEY, &[1; 16], &[2; 16]].concat();
        let row = |prefix: &[u8]| [&[5, 1], prefix].concat();
        assert_eq!(Meeting::from_row(&key, &row(b"ma")).unwrap().prefix, "ma");
        let error = Meeting::from_row(&key, &row(b"ma\xff")).unwrap_err();
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}
