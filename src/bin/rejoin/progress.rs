//! How far a long command is, for who looks at a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many bytes, or a count where nobody knows how many; nothing where nobody
/// looks.
pub(crate) fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, form) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {bytes}/{total_bytes} {msg} {elapsed} (left: {eta})",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg} {elapsed}"),
    };
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}
