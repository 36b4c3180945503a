//! JSON Lines in: one thread reads and parses, the other commits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rejoin::space::{Map, Replacing};
use rejoin::{Error, Tx};
use serde_json::json;

use crate::Place;
use crate::lines::{Batch, Lines, Op, Verb};
use crate::out::{Done, Failure, Out};
use crate::progress::progress;
use crate::text::Element;

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
    let (input, bytes): (Box<dyn Read + Send>, Option<u64>) = if file == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(file).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    let space = place.write()?;
    let started = Instant::now();
    let bar = progress(bytes);
    let lines = Lines::new(BufReader::with_capacity(1 << 20, input));
    let (mut rows, mut committed_lines) = (0, 0);
    let stopped = std::thread::scope(|threads| {
        // One batch is parsed while the one before it is written; no more wait in memory.
        let (parsed, batches) = sync_channel::<Batch>(1);
        threads.spawn(move || {
            let mut lines = lines;
            lines.try_for_each(|batch| parsed.send(batch))
        });
        for mut batch in batches {
            if let Some(reason) = batch.stop {
                return Some(format!("{named}: {reason}"));
            }
            let written = space.write(|tx| apply_all(tx, &batch.ops)).or_else(|_| {
                // In the order of the file the first bad line is found.
                batch.ops.sort_by_key(|op| op.number);
                space.write(|tx| apply_all(tx, &batch.ops))
            });
            match written {
                Ok(()) => rows += batch.ops.len() as u64,
                Err(Stop::Line { number, reason }) => {
                    return Some(format!("{named}: line {number}: {reason}"));
                }
                Err(Stop::Store(error)) => return Some(error.to_string()),
            }
            committed_lines = batch.last_number;
            bar.set_position(batch.bytes);
            bar.set_message(format!("{rows} rows"));
        }
        None
    });
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

fn apply_all(tx: &Tx<'_>, ops: &[Op]) -> Result<(), Stop> {
    ops.iter().try_for_each(|op| match apply(tx, op) {
        Err(Error::Usage(error)) => {
            Err(Stop::Line { number: op.number, reason: error.to_string() })
        }
        done => Ok(done?),
    })
}

/// Applies a line.
fn apply(tx: &Tx<'_>, op: &Op) -> Result<(), Error> {
    let Op { key, path, field, element, .. } = op;
    let key = key.as_slice();
    match op.verb {
        Verb::SetAdd => at!(tx, key, path, set::<Element>).add(element),
        Verb::SetRemove => at!(tx, key, path, set::<Element>).remove(element).map(drop),
        Verb::RwSetAdd => at!(tx, key, path, rw_set::<Element>).add(element),
        Verb::RwSetRemove => at!(tx, key, path, rw_set::<Element>).remove(element),
        Verb::CounterAdd => at!(tx, key, path, counter).add(op.by),
        Verb::RegisterSet => {
            let register = at!(tx, key, path, register::<Element>);
            if op.sibling { register.set_blind(element) } else { register.set(element) }
        }
        Verb::MvRegisterSet => {
            let register = at!(tx, key, path, mv_register::<Element>);
            if op.sibling { register.set_blind(element) } else { register.set(element) }
        }
        Verb::MapSet => {
            let register = beneath(tx, key, path)?.register::<Element>(field)?;
            if op.sibling { register.set_blind(element) } else { register.set(element) }
        }
        Verb::MapRemove => beneath(tx, key, path)?.remove(field).map(drop),
        Verb::FlagEnable => at!(tx, key, path, flag).enable(),
        Verb::FlagDisable => at!(tx, key, path, flag).disable(),
        Verb::DwFlagEnable => at!(tx, key, path, dw_flag).enable(),
        Verb::DwFlagDisable => at!(tx, key, path, dw_flag).disable(),
        Verb::Put => {
            let replacing = if op.sibling { Replacing::Nothing } else { Replacing::Observed };
            tx.put(key, &op.bytes, replacing)
        }
        Verb::Delete => tx.delete(key).map(drop),
    }
}
