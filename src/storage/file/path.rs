//! Finding a store's file, and what stands there.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::seal::{HEAD_BYTES, has_magic};
use crate::storage::StorageError;
use crate::storage::identity::io;

/// What the files of the engine start with.
const ENGINE_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// The path without links, so that one store has one identity file, whichever way it is named.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StorageError> {
    let failed = |source| io(path, "finding the store", source);
    if exists(path)? {
        return path.canonicalize().map_err(failed);
    }
    let name = path.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok(folder.unwrap_or(Path::new(".")).canonicalize().map_err(failed)?.join(name))
}

pub(super) fn exists(path: &Path) -> Result<bool, StorageError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(io(path, "finding the store", source)),
    }
}

/// Looks at what stands there before anything is made beside it or written to it.
pub(super) fn inspect(path: &Path) -> Result<(), StorageError> {
    let failed = |source| io(path, "opening the store", source);
    let not_a_store = |reason: &str| StorageError::NotAStore {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(not_a_store("it is a folder"));
    }
    if !metadata.is_file() {
        return Err(not_a_store("it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(not_a_store("it is empty; a new store is made only where there is no file"));
    }
    if metadata.permissions().readonly() {
        let refused = std::io::Error::new(ErrorKind::PermissionDenied, "the file is read-only");
        return Err(failed(refused));
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(HEAD_BYTES).read_to_end(&mut start).map_err(failed)?;
    if start.starts_with(ENGINE_MAGIC) {
        return Err(not_a_store("a redb database without seals"));
    }
    if !has_magic(&start) {
        return Err(not_a_store("its first bytes are something else's"));
    }
    Ok(())
}

/// Makes what was made and renamed in the folder of `path` outlast a power cut.
pub(super) fn sync_folder(path: &Path) -> Result<(), StorageError> {
    #[cfg(unix)]
    {
        let folder = path.parent().unwrap_or(path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| io(folder, "syncing the folder", source))?;
    }
    let _ = path;
    Ok(())
}
