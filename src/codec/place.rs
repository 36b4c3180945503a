//! Where an item stands: key and path, in an encoding whose byte order is their order.
//!
//! A place is `key ‖ step … step ‖ 00`. The key and the bytes of a step are written with
//! each zero byte as `00 ff` and end with `00 00`; a step is one byte of [`Kind`] followed by
//! its bytes. So rows sorted by bytes are sorted by key, then path, and all that stands
//! beneath a prefix of steps is one range. The single `00` at the end (no kind is zero)
//! keeps what stands *at* a path apart from what stands beneath it.

use core::fmt;

use super::error::{DecodeError, Problem};
use super::limits;

/// The type of a step of a path: which rule merges what stands there.
///
/// The type is part of the path, so replicas that use one key for different types lose
/// nothing: both stand side by side. A kind that this version does not know is kept and
/// passed on byte for byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    /// An opaque Dynamo value.
    pub const VALUE: Self = Self(1);
    /// A last-writer-wins register.
    pub const REGISTER: Self = Self(2);
    /// A multi-value register.
    pub const MV_REGISTER: Self = Self(3);
    /// A counter.
    pub const COUNTER: Self = Self(4);
    /// An element of a set in which adding wins.
    pub const SET: Self = Self(5);
    /// An element of a set in which removing wins.
    pub const RW_SET: Self = Self(6);
    /// A flag in which enabling wins.
    pub const EW_FLAG: Self = Self(7);
    /// A flag in which disabling wins.
    pub const DW_FLAG: Self = Self(8);
    /// A key of a map; what stands in the map there follows as further steps.
    pub const MAP: Self = Self(9);

    /// The kind of this number; zero is none.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number of the kind, never zero.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The kind's name, if this version knows it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "value",
            2 => "register",
            3 => "mv_register",
            4 => "counter",
            5 => "set",
            6 => "rw_set",
            7 => "flag",
            8 => "dw_flag",
            9 => "map",
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown type {}", self.0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The ending of a place that names a path rather than what stands beneath it.
const END: u8 = 0;

fn put_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &b in bytes {
        out.push(b);
        if b == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Splits an escaped run off the front: its raw bytes' count and what follows it.
fn split_escaped(bytes: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let mut at = 0;
    loop {
        let found = bytes.get(at..).unwrap_or_default().iter().position(|&b| b == 0);
        let zero = at + found.ok_or(Problem::Truncated)?;
        match bytes.get(zero + 1) {
            Some(0xff) => at = zero + 2,
            Some(0) => {
                let (run, rest) = bytes.split_at_checked(zero).ok_or(Problem::Truncated)?;
                return Ok((run, rest.get(2..).unwrap_or_default()));
            }
            Some(_) => return Err(Problem::Other("a zero byte that is not escaped")),
            None => return Err(Problem::Truncated),
        }
    }
}

fn unescape(run: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(run.len());
    let mut after_zero = false;
    for &b in run {
        if !after_zero {
            out.push(b);
        }
        after_zero = b == 0 && !after_zero;
    }
    out
}

/// The start of places: a key, and the steps of a path as far as they are known.
///
/// [`Prefix::place`] closes it to name the path itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    bytes: Vec<u8>,
    key_bytes: usize,
    steps: usize,
}

impl Prefix {
    /// Everything under a key.
    ///
    /// # Errors
    /// The key is empty or longer than [`limits::KEY_BYTES`].
    pub fn key(key: &[u8]) -> Result<Self, DecodeError> {
        check_key(key.len())?;
        let mut bytes = Vec::with_capacity(key.len() + 16);
        put_escaped(&mut bytes, key);
        Ok(Self { key_bytes: bytes.len(), bytes, steps: 0 })
    }

    /// One step further down.
    ///
    /// # Errors
    /// The path has more than [`limits::PATH_STEPS`] steps or [`limits::PATH_BYTES`] bytes.
    pub fn step(&self, kind: Kind, name: &[u8]) -> Result<Self, DecodeError> {
        // Checked before anything is copied: an element can be as large as its writer likes.
        let path_bytes = self.bytes.len() - self.key_bytes + name.len() + 4;
        check_path(self.steps + 1, path_bytes)?;
        let mut next =
            Self { bytes: Vec::with_capacity(self.bytes.len() + name.len() + 4), ..*self };
        next.bytes.extend_from_slice(&self.bytes);
        next.bytes.push(kind.number());
        put_escaped(&mut next.bytes, name);
        next.steps += 1;
        check_path(next.steps, next.bytes.len() - next.key_bytes + 1)?;
        Ok(next)
    }

    /// The path itself, as the place of items.
    #[must_use]
    pub fn place(&self) -> Place {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 1);
        bytes.extend_from_slice(&self.bytes);
        bytes.push(END);
        Place { bytes }
    }

    /// The encoding: every place under this prefix starts with it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a prefix back.
    ///
    /// # Errors
    /// It is not the one spelling of a prefix within the limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let shape = Shape::of(bytes)?;
        if shape.closed {
            return Err(wrong(
                bytes.len(),
                Problem::Other("a whole place where a prefix must stand"),
            ));
        }
        Ok(Self { bytes: bytes.to_vec(), key_bytes: shape.key_bytes, steps: shape.steps })
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.bytes, f)
    }
}

/// Where an item stands: a key and a whole path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    bytes: Vec<u8>,
}

impl Place {
    /// Reads a place back.
    ///
    /// # Errors
    /// It is not the one spelling of a place within the limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::check(bytes)?;
        Ok(Self { bytes: bytes.to_vec() })
    }

    /// Whether these bytes are a place.
    ///
    /// # Errors
    /// They are not the one spelling of a place within the limits.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        leaf_kind(bytes).map(drop)
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        key_of(&self.bytes).unwrap_or_default()
    }

    /// The steps of the path, from the key down.
    #[must_use]
    pub fn steps(&self) -> Vec<(Kind, Vec<u8>)> {
        steps_of(&self.bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.bytes, f)
    }
}

/// The raw key at the front of an encoded place or prefix.
///
/// # Errors
/// The bytes do not start with a key.
pub fn key_of(place: &[u8]) -> Result<Vec<u8>, DecodeError> {
    split_escaped(place).map(|(key, _)| unescape(key)).map_err(|p| wrong(0, p))
}

/// The encoded key at the front of an encoded place or prefix, with its ending.
///
/// # Errors
/// The bytes do not start with a key.
pub fn encoded_key_of(place: &[u8]) -> Result<&[u8], DecodeError> {
    let (_, rest) = split_escaped(place).map_err(|p| wrong(0, p))?;
    Ok(place.get(..place.len() - rest.len()).unwrap_or_default())
}

/// The steps of an encoded place or prefix.
///
/// # Errors
/// The bytes are neither.
pub fn steps_of(place: &[u8]) -> Result<Vec<(Kind, Vec<u8>)>, DecodeError> {
    let mut steps = Vec::new();
    Shape::walk(place, |kind, name| steps.push((kind, unescape(name))))?;
    Ok(steps)
}

/// The start of every encoded place whose raw key starts with `key_prefix`.
#[must_use]
pub fn key_range_start(key_prefix: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key_prefix.len() + 2);
    put_escaped(&mut bytes, key_prefix);
    bytes.truncate(bytes.len() - 2);
    bytes
}

pub(super) struct Shape {
    pub(super) key_bytes: usize,
    pub(super) steps: usize,
    pub(super) closed: bool,
}

impl Shape {
    fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::walk(bytes, |_, _| ())
    }

    fn walk<'a>(
        bytes: &'a [u8],
        mut step: impl FnMut(Kind, &'a [u8]),
    ) -> Result<Self, DecodeError> {
        let key = Self::key(bytes)?;
        let from = key.key_bytes;
        key.path(bytes, from, |kind, name, _| step(kind, name))
    }

    /// What stands in front of the path.
    pub(super) fn key(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (key, rest) = split_escaped(bytes).map_err(|p| wrong(0, p))?;
        let zeros = key.iter().filter(|&&b| b == 0).count();
        check_key(key.len() - zeros)?;
        Ok(Self { key_bytes: bytes.len() - rest.len(), steps: 0, closed: false })
    }

    /// Goes on behind the step that ends at `from`; each step with where it ends.
    pub(super) fn path<'a>(
        self,
        bytes: &'a [u8],
        from: usize,
        mut step: impl FnMut(Kind, &'a [u8], usize),
    ) -> Result<Self, DecodeError> {
        let at = |rest: &[u8]| bytes.len() - rest.len();
        let mut shape = self;
        let mut rest = bytes.get(from..).unwrap_or_default();
        check_path(0, bytes.len() - shape.key_bytes)?;
        while let Some((&number, after)) = rest.split_first() {
            let Some(kind) = Kind::new(number) else {
                shape.closed = true;
                if !after.is_empty() {
                    return Err(wrong(at(after), Problem::LeftOver));
                }
                break;
            };
            let (name, after) = split_escaped(after).map_err(|p| wrong(at(after), p))?;
            shape.steps += 1;
            check_path(shape.steps, 0)?;
            step(kind, name, at(after));
            rest = after;
        }
        Ok(shape)
    }
}

fn wrong(at: usize, problem: Problem) -> DecodeError {
    DecodeError { what: "place", at, problem }
}

fn check_key(len: usize) -> Result<(), DecodeError> {
    let problem = match len {
        0 => Problem::Empty,
        n if n > *limits::KEY_BYTES.end() => {
            Problem::TooMany { limit: *limits::KEY_BYTES.end(), found: n as u64 }
        }
        _ => return Ok(()),
    };
    Err(DecodeError { what: "key", at: 0, problem })
}

fn check_path(steps: usize, bytes: usize) -> Result<(), DecodeError> {
    let too_many = |what, limit, found: usize| {
        Err(DecodeError { what, at: 0, problem: Problem::TooMany { limit, found: found as u64 } })
    };
    if steps > limits::PATH_STEPS {
        return too_many("steps of a path", limits::PATH_STEPS, steps);
    }
    if bytes > limits::PATH_BYTES {
        return too_many("bytes of a path", limits::PATH_BYTES, bytes);
    }
    Ok(())
}

fn debug(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = |raw: &[u8]| raw.escape_ascii().to_string();
    f.write_str(&key_of(bytes).map_or_else(|_| text(bytes), |key| text(&key)))?;
    for (kind, name) in steps_of(bytes).unwrap_or_default() {
        write!(f, "/{kind}:{}", text(&name))?;
    }
    Ok(())
}

/// The kind of the last step of a whole place: what type the item there is a row of.
///
/// # Errors
/// The bytes are not the one spelling of a place within the limits.
pub fn leaf_kind(place: &[u8]) -> Result<Kind, DecodeError> {
    let mut leaf = None;
    let shape = Shape::walk(place, |kind, _| leaf = Some(kind))?;
    leaf.filter(|_| shape.closed).ok_or_else(|| no_leaf(place))
}

pub(super) fn no_leaf(place: &[u8]) -> DecodeError {
    wrong(place.len(), Problem::Other("a prefix where a whole place must stand"))
}

/// The last step of an encoded place or prefix.
///
/// # Errors
/// The bytes are neither, or have no step.
pub fn last_step_of(place: &[u8]) -> Result<(Kind, Vec<u8>), DecodeError> {
    let mut last = None;
    Shape::walk(place, |kind, name| last = Some((kind, name)))?;
    let (kind, name) = last.ok_or_else(|| wrong(place.len(), Problem::Empty))?;
    Ok((kind, unescape(name)))
}

/// Where the step that starts at `start` ends, in an encoded place.
#[must_use]
pub fn first_step_end(place: &[u8], start: usize) -> Option<usize> {
    let (_, rest) = split_escaped(place.get(start + 1..)?).ok()?;
    Some(place.len() - rest.len())
}
