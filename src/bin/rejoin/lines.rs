//! The lines of an import: read, parsed and checked, a batch at a time.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use serde::Deserialize;

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

/// What a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    SetAdd,
    SetRemove,
    RwSetAdd,
    RwSetRemove,
    CounterAdd,
    RegisterSet,
    MvRegisterSet,
    MapSet,
    MapRemove,
    FlagEnable,
    FlagDisable,
    DwFlagEnable,
    DwFlagDisable,
    Put,
    Delete,
}

/// A line that was understood.
pub(crate) struct Op {
    pub(crate) number: u64,
    pub(crate) verb: Verb,
    pub(crate) key: Vec<u8>,
    /// Map fields that lead down to what the line is about.
    pub(crate) path: Vec<Element>,
    pub(crate) field: Element,
    /// The element or the value.
    pub(crate) element: Element,
    /// The value of a `put`.
    pub(crate) bytes: Vec<u8>,
    pub(crate) by: i64,
    pub(crate) sibling: bool,
}

/// The lines of one commit.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    /// The number of its last line.
    pub(crate) last_number: u64,
    /// Bytes read so far, this batch included.
    pub(crate) bytes: u64,
    /// Why there are no more lines to be had: then nothing of this batch is to be committed.
    pub(crate) stop: Option<String>,
}

/// Reads batches.
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0, bytes: 0, ended: false }
    }

    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        let (from, mut lines) = (self.bytes, 0);
        while lines < BATCH_LINES && self.bytes - from < BATCH_BYTES as u64 {
            match self.op() {
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Ok(Some(op)) => batch.ops.extend(op),
                Err(reason) => {
                    self.ended = true;
                    batch.stop = Some(reason);
                    break;
                }
            }
            lines += 1;
        }
        // Neighbours in the tables one after the other: a batch is one transaction, and lines
        // of one key keep their order, so nobody can tell.
        batch.ops.sort_by(|a, b| a.key.cmp(&b.key));
        batch.last_number = self.number;
        batch.bytes = self.bytes;
        batch
    }

    /// The next line, which may be an empty one; `None` at the end.
    fn op(&mut self) -> Result<Option<Option<Op>>, String> {
        self.buffer.clear();
        let mut line = (&mut self.input).take(LINE_BYTES as u64 + 1);
        let read = line.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|e: io::Error| format!("cannot be read: {e}"))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        let number = self.number;
        if read > LINE_BYTES {
            return Err(format!("line {number}: longer than {LINE_BYTES} bytes"));
        }
        if self.buffer.trim_ascii().is_empty() {
            return Ok(Some(None));
        }
        let line: Result<Line<'_>, _> = serde_json::from_slice(&self.buffer);
        line.map_err(|e| reason_of(&e))
            .and_then(|line| op_of(number, &line))
            .map(|op| Some(Some(op)))
            .map_err(|reason| format!("line {number}: {reason}"))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.ended {
            return None;
        }
        let batch = self.batch();
        let empty = batch.ops.is_empty() && batch.stop.is_none() && self.ended;
        (!empty).then_some(batch)
    }
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

fn op_of(number: u64, line: &Line<'_>) -> Result<Op, String> {
    let name = &*line.op;
    let (verb, takes) = verb_of(name).ok_or_else(|| format!("unknown op {name:?}"))?;
    check_parts(line, takes)?;
    let mut op = Op {
        number,
        verb,
        key: Vec::new(),
        path: Vec::new(),
        field: Element::empty(),
        element: Element::empty(),
        bytes: Vec::new(),
        by: 0,
        sibling: line.sibling,
    };
    read_bytes(&line.key, &mut op.key).map_err(|e| format!("key: {e}"))?;
    for step in &line.path {
        op.path.push(step.0.parse().map_err(|e| format!("path: {e}"))?);
    }
    let needs = |what: &str| format!("{name} needs {what:?}");
    let read = |text: &Option<Text<'_>>, what: &str, into: &mut Element| match text {
        None => Err(needs(what)),
        Some(text) => into.read(&text.0).map_err(|e| format!("{what}: {e}")),
    };
    if takes.elem {
        read(&line.elem, "elem", &mut op.element)?;
    }
    if takes.field {
        read(&line.field, "field", &mut op.field)?;
    }
    if verb == Verb::Put {
        let value = line.value.as_ref().ok_or_else(|| needs("value"))?;
        read_bytes(&value.0, &mut op.bytes).map_err(|e| format!("value: {e}"))?;
    } else if takes.value {
        read(&line.value, "value", &mut op.element)?;
    }
    if takes.by {
        op.by = line.by.ok_or_else(|| needs("by"))?;
    }
    Ok(op)
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

const fn verb_of(op: &str) -> Option<(Verb, Parts)> {
    const NONE: Parts =
        Parts { elem: false, field: false, value: false, by: false, sibling: false, path: true };
    const ELEM: Parts = Parts { elem: true, ..NONE };
    const VALUE: Parts = Parts { value: true, sibling: true, ..NONE };
    Some(match op.as_bytes() {
        b"set.add" => (Verb::SetAdd, ELEM),
        b"set.remove" => (Verb::SetRemove, ELEM),
        b"rw_set.add" => (Verb::RwSetAdd, ELEM),
        b"rw_set.remove" => (Verb::RwSetRemove, ELEM),
        b"counter.add" => (Verb::CounterAdd, Parts { by: true, ..NONE }),
        b"register.set" => (Verb::RegisterSet, VALUE),
        b"mv_register.set" => (Verb::MvRegisterSet, VALUE),
        b"map.set" => (Verb::MapSet, Parts { field: true, ..VALUE }),
        b"map.remove" => (Verb::MapRemove, Parts { field: true, ..NONE }),
        b"flag.enable" => (Verb::FlagEnable, NONE),
        b"flag.disable" => (Verb::FlagDisable, NONE),
        b"dw_flag.enable" => (Verb::DwFlagEnable, NONE),
        b"dw_flag.disable" => (Verb::DwFlagDisable, NONE),
        b"put" => (Verb::Put, Parts { path: false, ..VALUE }),
        b"delete" => (Verb::Delete, Parts { path: false, ..NONE }),
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
