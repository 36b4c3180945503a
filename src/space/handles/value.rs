//! Opaque values under a key, the way of Dynamo (DeCandia et al. 2007): `get` gives every
//! sibling and a context, `put` takes the context back.

use core::fmt;
use core::str::FromStr;

use super::At;
use super::register::split_stamp;
use crate::causal::{Dot, Hlc, TaggedVector, VersionVector};
use crate::codec::{Cursor, DecodeError, Kind, Prefix, Problem, Put, limits};
use crate::crdt::Write;
use crate::error::{Error, UsageError, shown};
use crate::space::change::Change;
use crate::space::renamed::{CalledNow, called_now};
use crate::space::tx::{Reads, Writes};
use crate::space::{Snapshot, Space, Tx};

/// What `get` returns: the concurrent values of a key, and the context to hand back to `put`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Siblings {
    values: Vec<(Hlc, Dot, Vec<u8>)>,
    context: ReadContext,
}

impl Siblings {
    /// The values in order of their dots: none where nothing lives, more than one where
    /// replicas wrote concurrently.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        self.values.iter().map(|(_, _, value)| value.as_slice())
    }

    /// The values with the dot and the writer's time of each, in order of their dots.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Write<'_, [u8]>> + '_ {
        let values = self.values.iter();
        values.map(|(time, dot, value)| Write { dot: *dot, time: *time, value: value.as_slice() })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing lives under the key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What was seen by this read: a `put` with it replaces exactly that.
    #[must_use]
    pub fn context(&self) -> &ReadContext {
        &self.context
    }
}

/// What a read has seen of a key: opaque bytes to the application, to be handed back with
/// the write that follows from it, now or later, here or at another replica.
///
/// Inside: the space, the key, and per origin met there the greatest seq seen, with the
/// [tag](crate::causal::Tag) of that event. That is exact, since the read returned every sibling:
/// each dot at or below was returned or is dead, and death is for ever. The tags say of which
/// history the dots are, where [two go by one name](super::super::Fork): a token that was kept
/// while one gave way is good for what that is called by then, and one of a history that is not
/// known where it is used is refused.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReadContext {
    space: String,
    key: Vec<u8>,
    seen: TaggedVector,
}

const CONTEXT_VERSION: u8 = 2;
const CHECKSUM_BYTES: usize = 8;

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::derive_key("rejoin 2026 read context", bytes);
    hash.first_chunk().copied().unwrap_or_default()
}

impl ReadContext {
    /// The key that was read.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The bytes of the token.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![CONTEXT_VERSION];
        bytes.put_bytes(self.space.as_bytes());
        bytes.put_bytes(&self.key);
        bytes.put_tagged(&self.seen);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// The token of these bytes.
    ///
    /// # Errors
    /// They are damaged, or were never a token.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UsageError> {
        Self::decode(bytes).map_err(UsageError::ContextMalformed)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("read context", bytes);
        let version = cursor.u8()?;
        if version != CONTEXT_VERSION {
            let known = CONTEXT_VERSION.into();
            return Err(cursor.wrong(Problem::UnknownVersion { known, found: version.into() }));
        }
        let space = core::str::from_utf8(cursor.bytes(*limits::SPACE_NAME_BYTES.end())?)
            .map_err(|_| cursor.wrong(Problem::NotUtf8))?
            .to_owned();
        let key = cursor.bytes(*limits::KEY_BYTES.end())?.to_vec();
        let seen = cursor.tagged(limits::VECTOR_REPLICAS)?;
        let summed = bytes.get(..bytes.len() - cursor.remaining()).unwrap_or_default();
        if cursor.array::<CHECKSUM_BYTES>()? != checksum(summed) {
            return Err(cursor.wrong(Problem::Checksum));
        }
        cursor.finish()?;
        Ok(Self { space, key, seen })
    }

    /// That the token is of this space and key, and of nothing that is yet to come; what its
    /// reader has seen, by the names that it has now.
    pub(in crate::space) fn check(
        &self,
        change: &Change<'_>,
        key: &[u8],
    ) -> Result<CalledNow, Error> {
        if *self.space != *change.space_name || self.key != key {
            let (space, key) = (self.space.clone(), shown(&self.key));
            return Err(UsageError::ContextForeign { space, key }.into());
        }
        called_now(&change.batch.view(), &self.seen)
    }

    /// What the read has seen.
    pub(in crate::space) fn seen(&self) -> &TaggedVector {
        &self.seen
    }
}

impl fmt::Display for ReadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ReadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadContext")
            .field("space", &self.space)
            .field("key", &shown(&self.key))
            .field("seen", &self.seen)
            .finish()
    }
}

impl FromStr for ReadContext {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |at| {
            let problem = Problem::Other("not lower-case hexadecimal digits in pairs");
            UsageError::ContextMalformed(DecodeError { what: "read context", at, problem })
        };
        let digit = |at: usize, b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(wrong(at)),
        };
        let mut bytes = Vec::with_capacity(text.len() / 2);
        for (at, pair) in text.as_bytes().chunks(2).enumerate() {
            match *pair {
                [high, low] => bytes.push(digit(2 * at, high)? << 4 | digit(2 * at + 1, low)?),
                _ => return Err(wrong(2 * at)),
            }
        }
        Self::from_bytes(&bytes)
    }
}

/// What a `put` replaces.
#[derive(Clone, Copy, Debug, Default)]
pub enum Replacing<'a> {
    /// Every sibling that is here now.
    #[default]
    Observed,
    /// What a read has seen; what came since stays beside.
    Seen(&'a ReadContext),
    /// Nothing: the value stands beside all that is here.
    Nothing,
}

impl<'a> From<&'a ReadContext> for Replacing<'a> {
    fn from(context: &'a ReadContext) -> Self {
        Self::Seen(context)
    }
}

impl<'a> From<Option<&'a ReadContext>> for Replacing<'a> {
    fn from(context: Option<&'a ReadContext>) -> Self {
        context.map_or(Self::Observed, Self::Seen)
    }
}

fn get<C: Reads>(on: C, key: &[u8]) -> Result<Siblings, Error> {
    let at = At::key(on, key);
    let place = at.step(Kind::VALUE, b"")?.place();
    let (found, seen) = at.on.read(|view| {
        let found = view.found(place.as_bytes())?;
        let mut seen = VersionVector::new();
        for found in &found {
            seen.advance(found.dot);
            seen.join(&found.past);
        }
        let seen = view.tagged(&seen)?;
        Ok((found, seen))
    })?;
    let mut values = Vec::with_capacity(found.len());
    for found in found {
        let (stamp, value) = split_stamp(&found.payload)?;
        values.push((stamp, found.dot, value.to_vec()));
    }
    let context = ReadContext { space: at.on.space_name(), key: key.to_vec(), seen };
    Ok(Siblings { values, context })
}

fn put<C: Writes>(on: &C, key: &[u8], value: &[u8], replacing: Replacing<'_>) -> Result<(), Error> {
    let place =
        Prefix::key(key).and_then(|at| at.step(Kind::VALUE, b"")).map_err(UsageError::Place)?;
    on.change(|change| {
        let payload = change.stamped(value);
        match replacing {
            Replacing::Observed => change.replace_all(&place, &payload),
            Replacing::Nothing => change.replace_seen(&place, &VersionVector::new(), &payload),
            Replacing::Seen(context) => {
                let now = context.check(change, key)?;
                change.replace_seen(&place, &now.seen, &payload)
            }
        }
        .map(drop)
    })
}

fn delete<C: Writes>(on: &C, key: &[u8]) -> Result<bool, Error> {
    let prefix = Prefix::key(key).map_err(UsageError::Place)?;
    on.change(|change| Ok(change.remove(&prefix)?.is_some()))
}

macro_rules! values {
    (reads [$($life:tt)*] $on:ty, by $self:ident => $held:expr) => {
        impl<$($life)*> $on {
            /// The values under a key, with the context to hand back to `put`.
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn get(&$self, key: impl AsRef<[u8]>) -> Result<Siblings, Error> {
                get($held, key.as_ref())
            }
        }
    };
    (writes [$($life:tt)*] $on:ty, by $self:ident => $held:expr) => {
        values!(reads [$($life)*] $on, by $self => $held);

        impl<$($life)*> $on {
            /// Writes a value under a key in place of what `replacing` says: all that is
            /// here (`None`), what a read has seen (its context), or [`Replacing::Nothing`].
            ///
            /// # Errors
            /// Key or value are outside the limits, the context is of another space
            /// or key or names what this replica has not seen, or the storage failed.
            pub fn put<'a>(
                &$self,
                key: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
                replacing: impl Into<Replacing<'a>>,
            ) -> Result<(), Error> {
                put(&$held, key.as_ref(), value.as_ref(), replacing.into())
            }

            /// Removes all that is observed under a key, of whatever type; whether
            /// anything was.
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn delete(&$self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
                delete(&$held, key.as_ref())
            }
        }
    };
}

values!(writes [] Space, by self => self.clone());
values!(reads [] Snapshot, by self => self.clone());
values!(writes ['t] Tx<'t>, by self => self);
