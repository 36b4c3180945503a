//! JSON Lines in.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rejoin::space::{Map, Replacing};
use rejoin::{Error, Tx};
use serde::Deserialize;
use serde_json::json;

use crate::Place;
use crate::out::{Done, Failure, Out};
use crate::text::{Element, read_bytes};

/// Lines in one commit.
const BATCH_LINES: usize = 10_000;

/// Bytes of lines in one commit, about: a batch of large values is cut here.
const BATCH_BYTES: usize = 32 << 20;

/// Bytes of one line: the largest value in hexadecimal digits, several times over.
const LINE_BYTES: usize = 64 << 20;

/// Text that is borrowed from its line wherever it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A line. What an operation does not take must not be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    path: Vec<Text<'a>>,
    #[serde(borrow, default)]
    elem: Option<Text<'a>>,
    #[serde(borrow, default)]
    field: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(default)]
    by: Option<i64>,
    #[serde(default)]
    sibling: bool,
}

/// Why a batch was not committed.
enum Stop {
    Line { number: u64, reason: String },
    Store(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

pub(crate) fn import(place: &Place, file: &Path, out: &mut Out) -> Done {
    let named = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let unreadable = |e: io::Error| Failure::new(format_args!("{named}: cannot be read: {e}"));
    let (input, bytes): (Box<dyn Read>, Option<u64>) = if file == Path::new("-") {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(file).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    let space = place.write()?;
    let started = Instant::now();
    let bar = progress(bytes);
    let mut lines = Lines::new(BufReader::with_capacity(1 << 20, input));
    let (mut rows, mut committed_lines) = (0, 0);
    let mut scratch = Scratch::default();
    let stopped = loop {
        match lines.read_batch() {
            Ok(()) => {}
            Err(ReadFailure::Io(e)) => break Some(format!("{named}: cannot be read: {e}")),
            Err(ReadFailure::TooLong { number }) => {
                break Some(format!("{named}: line {number}: longer than {LINE_BYTES} bytes"));
            }
        }
        if lines.count() == 0 {
            break None;
        }
        let written = space.write(|tx| {
            let mut rows = 0_u64;
            for (number, line) in lines.batch() {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let stop = |reason| Stop::Line { number, reason };
                let line = serde_json::from_slice(line).map_err(|e| stop(reason_of(&e)))?;
                match apply(tx, &line, &mut scratch) {
                    Ok(()) => rows += 1,
                    Err(Refusal::Line(reason)) => return Err(stop(reason)),
                    Err(Refusal::Store(Error::Usage(error))) => {
                        return Err(stop(error.to_string()));
                    }
                    Err(Refusal::Store(error)) => return Err(error.into()),
                }
            }
            Ok::<u64, Stop>(rows)
        });
        match written {
            Ok(more) => rows += more,
            Err(Stop::Line { number, reason }) => {
                break Some(format!("{named}: line {number}: {reason}"));
            }
            Err(Stop::Store(error)) => break Some(error.to_string()),
        }
        committed_lines = lines.last_number();
        bar.set_position(lines.bytes);
        bar.set_message(format!("{rows} rows"));
    };
    bar.finish_and_clear();
    if let Some(reason) = stopped {
        return Err(Failure::new(format_args!(
            "{reason}; {rows} rows (lines 1 to {committed_lines}) are committed and stay, nothing from line {} on is: mend it and import the rest",
            committed_lines + 1
        )));
    }
    let elapsed = started.elapsed();
    let per_second = per_second(rows, elapsed);
    let json = json!({
        "op": "import",
        "rows": rows,
        "seconds": elapsed.as_secs_f64(),
        "rows_per_second": per_second,
    });
    let seconds = elapsed.as_secs_f64();
    out.result(&json, format_args!("imported {rows} rows in {seconds:.2} s, {per_second} rows/s"))
}

fn per_second(rows: u64, elapsed: Duration) -> u64 {
    let ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(rows) * 1000 / ms).unwrap_or(u64::MAX)
}

/// A bar over the bytes of a file; nothing where nobody looks.
fn progress(bytes: Option<u64>) -> ProgressBar {
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

/// What is wrong with a line, without the line number within it, which is always 1.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let column = error.column();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} (at byte {column})"),
        None => text,
    }
}

enum ReadFailure {
    Io(io::Error),
    TooLong { number: u64 },
}

/// Lines of a file, a batch of them in memory.
struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    /// The number of the line before the batch.
    before: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), ends: Vec::new(), before: 0, bytes: 0 }
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    fn last_number(&self) -> u64 {
        self.before + self.ends.len() as u64
    }

    fn read_batch(&mut self) -> Result<(), ReadFailure> {
        self.before = self.last_number();
        self.buffer.clear();
        self.ends.clear();
        while self.ends.len() < BATCH_LINES && self.buffer.len() < BATCH_BYTES {
            let mut line = (&mut self.input).take(LINE_BYTES as u64 + 1);
            match line.read_until(b'\n', &mut self.buffer).map_err(ReadFailure::Io)? {
                0 => break,
                read if read > LINE_BYTES => {
                    return Err(ReadFailure::TooLong { number: self.last_number() + 1 });
                }
                read => self.bytes += read as u64,
            }
            self.ends.push(self.buffer.len());
        }
        Ok(())
    }

    /// The lines of the batch with their numbers.
    fn batch(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lines = starts.zip(self.ends.iter().copied());
        let lines = lines.map(|(from, to)| self.buffer.get(from..to).unwrap_or_default());
        (self.before + 1..).zip(lines)
    }
}

/// What is read into again and again.
struct Scratch {
    key: Vec<u8>,
    bytes: Vec<u8>,
    element: Element,
    field: Element,
    path: Vec<Element>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            key: Vec::new(),
            bytes: Vec::new(),
            element: Element::empty(),
            field: Element::empty(),
            path: Vec::new(),
        }
    }
}

enum Refusal {
    Line(String),
    Store(Error),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Line(reason)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The map at the end of a path.
fn beneath<'t, 'a>(
    tx: &'a Tx<'t>,
    key: &[u8],
    path: &[Element],
) -> Result<Map<Element, &'a Tx<'t>>, Error> {
    path.iter().try_fold(tx.map::<Element>(key), |map, field| map.map(field))
}

/// A handle on a type under a key, or at the end of a path under it.
macro_rules! at {
    ($tx:expr, $key:expr, $path:expr, $make:ident $(::<$of:ty>)?) => {
        match $path.split_last() {
            None => $tx.$make$(::<$of>)?($key),
            Some((last, above)) => beneath($tx, $key, above)?.$make$(::<$of>)?(last)?,
        }
    };
}

/// Applies a line.
fn apply(tx: &Tx<'_>, line: &Line<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
    let Scratch { key, bytes, element, field, path } = scratch;
    read_bytes(&line.key, key).map_err(|e| format!("key: {e}"))?;
    path.clear();
    for step in &line.path {
        path.push(step.0.parse().map_err(|e| format!("path: {e}"))?);
    }
    let op = &*line.op;
    let expected = parts_of(op).ok_or_else(|| format!("unknown op {op:?}"))?;
    check_parts(line, expected)?;
    let read = |text: &Option<Text<'_>>, name: &str, into: &mut Element| match text {
        None => Err(format!("{op} needs {name:?}")),
        Some(text) => into.read(&text.0).map_err(|e| format!("{name}: {e}")),
    };
    let key = key.as_slice();
    if expected.elem {
        read(&line.elem, "elem", element)?;
    }
    if expected.field {
        read(&line.field, "field", field)?;
    }
    if expected.value && op != "put" {
        read(&line.value, "value", element)?;
    }
    match op {
        "set.add" => at!(tx, key, path, set::<Element>).add(element)?,
        "set.remove" => drop(at!(tx, key, path, set::<Element>).remove(element)?),
        "rw_set.add" => at!(tx, key, path, rw_set::<Element>).add(element)?,
        "rw_set.remove" => at!(tx, key, path, rw_set::<Element>).remove(element)?,
        "counter.add" => {
            let by = line.by.ok_or_else(|| format!("{op} needs \"by\""))?;
            at!(tx, key, path, counter).add(by)?;
        }
        "register.set" => {
            let register = at!(tx, key, path, register::<Element>);
            if line.sibling { register.set_blind(element)? } else { register.set(element)? }
        }
        "mv_register.set" => {
            let register = at!(tx, key, path, mv_register::<Element>);
            if line.sibling { register.set_blind(element)? } else { register.set(element)? }
        }
        "map.set" => {
            let register = beneath(tx, key, path)?.register::<Element>(field)?;
            if line.sibling { register.set_blind(element)? } else { register.set(element)? }
        }
        "map.remove" => drop(beneath(tx, key, path)?.remove(field)?),
        "flag.enable" => at!(tx, key, path, flag).enable()?,
        "flag.disable" => at!(tx, key, path, flag).disable()?,
        "dw_flag.enable" => at!(tx, key, path, dw_flag).enable()?,
        "dw_flag.disable" => at!(tx, key, path, dw_flag).disable()?,
        "put" => {
            let value = line.value.as_ref().ok_or_else(|| format!("{op} needs \"value\""))?;
            read_bytes(&value.0, bytes).map_err(|e| format!("value: {e}"))?;
            let replacing = if line.sibling { Replacing::Nothing } else { Replacing::Observed };
            tx.put(key, bytes, replacing)?;
        }
        // The only one left: what it is was looked up above.
        _ => drop(tx.delete(key)?),
    }
    Ok(())
}

/// Which parts an operation takes beside its key.
#[derive(Clone, Copy, Default)]
struct Parts {
    elem: bool,
    field: bool,
    value: bool,
    by: bool,
    sibling: bool,
    path: bool,
}

const fn parts_of(op: &str) -> Option<Parts> {
    const NONE: Parts =
        Parts { elem: false, field: false, value: false, by: false, sibling: false, path: true };
    Some(match op.as_bytes() {
        b"set.add" | b"set.remove" | b"rw_set.add" | b"rw_set.remove" => {
            Parts { elem: true, ..NONE }
        }
        b"counter.add" => Parts { by: true, ..NONE },
        b"register.set" | b"mv_register.set" => Parts { value: true, sibling: true, ..NONE },
        b"map.set" => Parts { field: true, value: true, sibling: true, ..NONE },
        b"map.remove" => Parts { field: true, ..NONE },
        b"flag.enable" | b"flag.disable" | b"dw_flag.enable" | b"dw_flag.disable" => NONE,
        b"put" => Parts { value: true, sibling: true, path: false, ..NONE },
        b"delete" => Parts { path: false, ..NONE },
        _ => return None,
    })
}

/// Refuses what an operation has no use for: it was meant otherwise.
fn check_parts(line: &Line<'_>, takes: Parts) -> Result<(), String> {
    let given = [
        ("elem", line.elem.is_some(), takes.elem),
        ("field", line.field.is_some(), takes.field),
        ("value", line.value.is_some(), takes.value),
        ("by", line.by.is_some(), takes.by),
        ("sibling", line.sibling, takes.sibling),
        ("path", !line.path.is_empty(), takes.path),
    ];
    match given.iter().find(|(_, given, taken)| *given && !*taken) {
        Some((name, ..)) => Err(format!("{} takes no {name:?}", line.op)),
        None => Ok(()),
    }
}
