//! How a space stands.

use super::brake::Held;
use super::space::{Space, Standing};
use super::trash::Head;
use crate::causal::{ReplicaId, VersionVector};
use crate::digest::RootHash;
use crate::error::Error;

/// How a space stands at one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The name under which this replica writes.
    pub replica: ReplicaId,
    /// The space's name.
    pub space: String,
    /// What it has seen.
    pub vector: VersionVector,
    /// The Merkle root over what lives in it.
    pub root: RootHash,
    /// Keys under which anything lives.
    pub keys: u64,
    /// Live items.
    pub items: u64,
    /// Rows received that are not there yet, because the rest of their delta is not.
    pub staged: u64,
    /// Bytes of removal records kept for peers who were away.
    pub removal_log_bytes: u64,
    /// Salvaged items that wait to be decided: see [`Store::adopt`](super::Store::adopt).
    pub waiting: u64,
    /// What peers claim to be removed and is held back here.
    pub held: Vec<Held>,
    /// Items in the trash: see [`Trash`](super::Trash).
    pub trash_items: u64,
    /// Their bytes.
    pub trash_bytes: u64,
    /// The number of the newest commit here.
    pub commit: u64,
    /// Bytes of the store on disk, with all its spaces.
    pub file_bytes: u64,
    /// What was found wrong with the store, which then does not sync: see
    /// [`Store::damage`](super::Store::damage).
    pub damage: Option<String>,
}

impl Space {
    /// How the space stands. Counting the keys goes through the items.
    ///
    /// # Errors
    /// The storage failed.
    pub fn status(&self) -> Result<Status, Error> {
        let Standing { vector, root, .. } = self.standing()?;
        let snapshot = self.snapshot()?;
        let keys = snapshot.view().count_keys()?;
        let trash = Head::of(self)?;
        Ok(Status {
            replica: self.replica(),
            space: self.name().to_owned(),
            vector: vector.vector(),
            root,
            keys,
            items: snapshot.state.items,
            staged: snapshot.state.staged,
            removal_log_bytes: snapshot.state.log_bytes,
            waiting: self.waiting()?,
            held: self.held()?,
            trash_items: trash.count,
            trash_bytes: trash.bytes,
            commit: snapshot.state.commit,
            file_bytes: self.store().file_bytes()?,
            damage: self.store().damage()?,
        })
    }
}
