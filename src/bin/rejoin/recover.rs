//! Saving what is sound of a damaged store, and adopting what no peer knows.

use std::path::Path;

use rejoin::space::RecoverReport;
use rejoin::storage::StorageError;
use rejoin::{Error, Store};
use serde_json::json;

use crate::out::{Done, Failure, Out, note};
use crate::progress::progress;
use crate::{Place, options, text};

pub(crate) fn recover(
    (old, new): (&Path, &Path),
    adopts: bool,
    now_ms: Option<u64>,
    out: &mut Out,
) -> Done {
    let bar = progress(None);
    let done = Store::recover_telling(old, new, &options(now_ms), |rows| {
        bar.set_message(format!("{rows} rows"));
        bar.tick();
    });
    bar.finish_and_clear();
    let report = done.map_err(|error| match &error {
        Error::Storage(StorageError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Failure::new(format_args!("{error}; recovering replaces nothing, take another name"))
        }
        _ => error.into(),
    })?;
    let adopted = match adopts {
        true => crate::open(new, false, now_ms)?.adopt()?,
        false => 0,
    };
    // What was adopted is in the file too.
    let file_bytes = match adopted {
        0 => report.file_bytes,
        _ => std::fs::metadata(new).map_or(report.file_bytes, |metadata| metadata.len()),
    };
    let names: Vec<String> =
        report.incomplete.iter().map(|name| text::json(name.as_bytes())).collect();
    let json = json!({
        "op": "recover",
        "file": new.display().to_string(),
        "replica": report.replica.to_string(),
        "spaces": report.spaces,
        "incomplete": names,
        "items": report.items,
        "waiting": report.waiting,
        "adopted": adopted,
        "lost": report.lost,
        "also_lost": report.also_lost.iter().map(|what| what.name()).collect::<Vec<_>>(),
        "journal_damaged": report.journal_damaged,
        "pages_lost": report.pages_lost,
        "pages_mended": report.pages_mended,
        "file_bytes": file_bytes,
    });
    out.result(&json, line(&report, adopted, new))?;
    if report.waiting > adopted {
        note(format_args!(
            "sync {} with every store that can be reached: what they have seen is decided by them; then write the rest, which no other store knows, with: rejoin --store {} adopt",
            new.display(),
            new.display()
        ));
    }
    Ok(())
}

/// What was saved, in words.
fn line(report: &RecoverReport, adopted: u64, new: &Path) -> String {
    let mut text = format!(
        "{}: {} items of {} spaces, as replica {}",
        new.display(),
        report.items,
        report.spaces,
        report.replica
    );
    if report.waiting > adopted {
        text += &format!("; {} more wait to be decided", report.waiting.saturating_sub(adopted));
    }
    if adopted > 0 {
        text += &format!("; {adopted} written anew");
    }
    if report.is_whole() {
        text += "; nothing is lost";
    } else {
        text += &format!("; {} items are known to be lost", report.lost);
    }
    let mut others: Vec<String> = report.also_lost.iter().map(ToString::to_string).collect();
    if report.journal_damaged {
        others.push("some of the newest writes".to_owned());
    }
    if !others.is_empty() {
        text += &format!(", and {} may be", others.join(", "));
    }
    if report.pages_lost + report.pages_mended > 0 {
        let (lost, mended) = (report.pages_lost, report.pages_mended);
        text += &format!("; {lost} pages could not be read, {mended} were mended");
    }
    text
}

pub(crate) fn adopt(place: &Place, out: &mut Out) -> Done {
    let adopted = place.existing()?.adopt()?;
    let json = json!({"op": "adopt", "adopted": adopted});
    out.result(&json, format_args!("wrote {adopted} salvaged items anew"))
}
