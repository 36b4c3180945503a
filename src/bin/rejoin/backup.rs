//! A copy of the whole store.

use std::path::Path;

use rejoin::Error;
use rejoin::storage::StorageError;
use serde_json::json;

use crate::Place;
use crate::out::{Done, Failure, Out, warn_of_damage};
use crate::progress::progress;

pub(crate) fn backup(place: &Place, file: &Path, out: &mut Out) -> Done {
    let store = place.existing()?;
    warn_of_damage(&store);
    let bar = progress(None);
    let done = store.backup_telling(file, |rows, bytes| {
        bar.set_position(bytes);
        bar.set_message(format!("{rows} rows"));
    });
    bar.finish_and_clear();
    let report = done.map_err(|error| match &error {
        Error::Storage(StorageError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Failure::new(format_args!("{error}; a backup replaces nothing, take another name"))
        }
        _ => error.into(),
    })?;
    let json = json!({
        "op": "backup",
        "file": file.display().to_string(),
        "replica": report.replica.to_string(),
        "rows": report.rows,
        "row_bytes": report.row_bytes,
        "file_bytes": report.file_bytes,
    });
    let (rows, bytes, replica) = (report.rows, report.file_bytes, report.replica);
    let file = file.display();
    out.result(&json, format_args!("{file}: {rows} rows in {bytes} bytes, as replica {replica}"))
}
