//! The lines of an import: read, parsed and checked, a batch at a time.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read};

use rejoin::codec::limits;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::text::{Element, read_bytes};

/// Lines in one commit.
const BATCH_LINES: usize = 10_000;

/// Bytes of lines in one commit, about: a batch of large values is cut here.
const BATCH_BYTES: usize = 32 << 20;

/// Bytes of one line: the largest value in hexadecimal digits, several times over.
const LINE_BYTES: usize = 64 << 20;

/// Bytes that the buffer of lines may have beyond the line that stands in it.
const SPARE_BYTES: usize = 32 << 10;

/// Letters of what stood in a line that an error shows.
const SHOWN_LETTERS: usize = 40;

/// Text that is borrowed from its line wherever it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A line. What an operation does not take must not be there.
///
/// It is read by hand for the sake of its errors: those that are derived repeat what stood
/// there in place of something else, however long that is, several times over.
#[derive(Default)]
struct Line<'a> {
    op: Cow<'a, str>,
    key: Cow<'a, str>,
    path: Vec<Text<'a>>,
    elem: Option<Text<'a>>,
    field: Option<Text<'a>>,
    value: Option<Text<'a>>,
    by: Option<i64>,
    sibling: bool,
}

/// The names of the fields.
const FIELDS: [&str; 8] = ["op", "key", "path", "elem", "field", "value", "by", "sibling"];

/// The start of what stood in a line.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_LETTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Which field a name is of.
struct Field(&'static str);

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Field, E> {
                match FIELDS.into_iter().find(|field| *field == name) {
                    Some(field) => Ok(Field(field)),
                    None => Err(E::unknown_field(&shown(name), &FIELDS)),
                }
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Line<'de>, E> {
                Err(E::custom("text where an object must be"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
                let (mut line, mut read) = (Line::default(), Vec::with_capacity(FIELDS.len()));
                while let Some(Field(name)) = map.next_key()? {
                    if read.contains(&name) {
                        return Err(de::Error::duplicate_field(name));
                    }
                    read.push(name);
                    match name {
                        "op" => line.op = map.next_value::<Text<'de>>()?.0,
                        "key" => line.key = map.next_value::<Text<'de>>()?.0,
                        "path" => line.path = map.next_value::<Path<'de>>()?.0,
                        "elem" => line.elem = map.next_value()?,
                        "field" => line.field = map.next_value()?,
                        "value" => line.value = map.next_value()?,
                        "by" => line.by = map.next_value::<Option<Whole>>()?.map(|by| by.0),
                        _ => line.sibling = map.next_value::<Truth>()?.0,
                    }
                }
                match ["op", "key"].into_iter().find(|name| !read.contains(name)) {
                    Some(missing) => Err(de::Error::missing_field(missing)),
                    None => Ok(line),
                }
            }
        }

        deserializer.deserialize_any(Fields)
    }
}

/// The fields of maps that lead down, no more than a path may have.
struct Path<'a>(Vec<Text<'a>>);

impl<'de> Deserialize<'de> for Path<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Steps;

        impl<'de> Visitor<'de> for Steps {
            type Value = Path<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of fields")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Path<'de>, E> {
                Err(E::custom("text where a list of fields must be"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Path<'de>, A::Error> {
                let mut path = Vec::new();
                while let Some(step) = seq.next_element()? {
                    if path.len() == limits::PATH_STEPS {
                        return Err(de::Error::custom("a path of too many steps"));
                    }
                    path.push(step);
                }
                Ok(Path(path))
            }
        }

        deserializer.deserialize_any(Steps)
    }
}

/// A number that a counter can count by.
struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("i64")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Whole, E> {
                Err(E::custom("text where a number must be"))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                let whole = i64::try_from(number).map(Whole);
                whole.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// Whether something is so.
struct Truth(bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Said;

        impl Visitor<'_> for Said {
            type Value = Truth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Truth, E> {
                Err(E::custom("text where true or false must be"))
            }

            fn visit_bool<E: de::Error>(self, said: bool) -> Result<Truth, E> {
                Ok(Truth(said))
            }
        }

        deserializer.deserialize_any(Said)
    }
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
        // A buffer that grew to twice its line would take what parsing that line may take.
        if self.buffer.capacity() > read.saturating_add(SPARE_BYTES) {
            self.buffer.shrink_to_fit();
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
    let (verb, takes) = verb_of(name).ok_or_else(|| format!("unknown op {:?}", shown(name)))?;
    check_parts(line, takes)?;
    let mut op = Op {
        number,
        verb,
        key: Vec::new(),
        path: Vec::with_capacity(line.path.len()),
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
