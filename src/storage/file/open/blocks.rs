//! A store in blocks that no file holds: what simulated disks are.

use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use redb::StorageBackend;

use super::{Engine, FORMAT, FORMAT_KEY, NONCE_KEY, Plan, REPLICA_KEY, Session, draw, launch};
use crate::causal::ReplicaId;
use crate::codec::Put;
use crate::storage::file::journal::Journal;
use crate::storage::file::{FileOptions, Inner};
use crate::storage::identity::{FileMark, io};
use crate::storage::{Entropy, Identity, StorageError};

/// Opens, or makes, a store in blocks that no file holds: without an identity file, so that
/// the caller has to know whether it must take a fresh name.
pub(in crate::storage::file) fn open_blocks(
    blocks: Arc<dyn StorageBackend>,
    options: &FileOptions,
    entropy: Entropy<'_>,
) -> Result<Inner, StorageError> {
    let path = Path::new("blocks");
    let new = blocks.len().map_err(|source| io(path, "opening the store", source))? == 0;
    let (health, database) = launch(path, blocks.clone(), options.cache_bytes)?;
    let journal = Journal::default();
    journal.load(&health, &database)?;
    let engine = Engine {
        health,
        database: RwLock::new(Some(database)),
        journal,
        file: None,
        blocks,
        cache_bytes: options.cache_bytes,
        mark: FileMark::default(),
        modified: None,
    };
    engine.open_gate()?;
    let (replica, nonce) = (ReplicaId::from_bytes(draw(entropy)), draw(entropy));
    let mut format = Vec::new();
    format.put_varint(FORMAT);
    let own: [(&[u8], &[u8]); 3] =
        [(FORMAT_KEY, &format), (REPLICA_KEY, replica.as_bytes()), (NONCE_KEY, &nonce)];
    let (replica, identity) = if new {
        engine.commit_own(&own)?;
        (replica, Identity::Created)
    } else {
        let (previous, _) = engine.own_rows()?;
        if options.fresh_id {
            engine.commit_own(&own[1..])?;
            (replica, Identity::Fresh { previous })
        } else {
            (previous, Identity::Kept)
        }
    };
    let session = Session { id: None, nonce, fresh: nonce, armed: true };
    Ok(Inner { engine, writer: Mutex::new(session), replica, identity, plan: Plan::default() })
}
