//! What stands in the store, as the type that the application asks for.

use std::cell::OnceCell;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::encoding::{NotDecoded, decode, decode_name};
use crate::codec::{Kind, Prefix, place};
use crate::error::{Undecodable, shown};

/// What stands in one place: a value of the type asked for, or, where the bytes are none,
/// the bytes.
///
/// Replicas run different versions of an application, so one meets what another has
/// written by a type it does not know yet. That spoils neither the read nor the bytes: what
/// cannot be decoded stands in its place among the rest. It cannot be passed over by
/// accident either: to get at the values is to say what is to become of the others.
///
/// ```
/// use rejoin::{Store, space::Stored};
///
/// let space = Store::in_memory().space("main")?;
/// space.set("sizes").add(&300_u32)?; // a newer version
/// space.set("sizes").add(&7_u8)?;
///
/// let sizes = space.set::<u8>("sizes").elements()?; // an older one
/// assert_eq!(sizes[0], 7); // compares like a value
/// assert!(matches!(&sizes[1], Stored::Undecodable(other) if other.bytes() == [0xac, 2]));
///
/// // All or an error, where only all will do:
/// let all: Result<Vec<u8>, _> = sizes.into_iter().map(Stored::decoded).collect();
/// assert!(all.is_err());
/// # Ok::<(), rejoin::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored<T> {
    /// A value of the type asked for.
    Value(T),
    /// Bytes that are no value of the type asked for.
    Undecodable(Undecodable),
}

impl<T> Stored<T> {
    /// The value, or what stands in its place; `?` makes an [`Error`](crate::Error) of that.
    ///
    /// # Errors
    /// It is [`Stored::Undecodable`].
    pub fn decoded(self) -> Result<T, Undecodable> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Undecodable(undecodable) => Err(undecodable),
        }
    }

    /// The value, if it is one.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Undecodable(_) => None,
        }
    }
}

/// Equal to a value where it is that value.
impl<T: PartialEq> PartialEq<T> for Stored<T> {
    fn eq(&self, other: &T) -> bool {
        self.value() == Some(other)
    }
}

/// Equal to a text where it is that text.
impl PartialEq<&str> for Stored<String> {
    fn eq(&self, other: &&str) -> bool {
        self.value().is_some_and(|value| value == other)
    }
}

/// Reads what stands under one key as one type; spells out the key only where it must be told.
pub(super) struct Reading<'a> {
    base: &'a Prefix,
    kind: Kind,
    key: OnceCell<Arc<str>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(base: &'a Prefix, kind: Kind) -> Self {
        Self { base, kind, key: OnceCell::new() }
    }

    /// A register's value.
    pub(super) fn value<T: DeserializeOwned>(&self, bytes: &[u8]) -> Stored<T> {
        self.stored(bytes, decode(bytes))
    }

    /// An element or a field, which must be spelled as it would be written here.
    pub(super) fn name<T: Serialize + DeserializeOwned>(&self, bytes: &[u8]) -> Stored<T> {
        self.stored(bytes, decode_name(bytes))
    }

    fn stored<T>(&self, bytes: &[u8], decoded: Result<T, NotDecoded>) -> Stored<T> {
        match decoded {
            Ok(value) => Stored::Value(value),
            Err(why) => {
                let shown = || shown(&place::key_of(self.base.as_bytes()).unwrap_or_default());
                let key = self.key.get_or_init(|| shown().into()).clone();
                Stored::Undecodable(Undecodable::new(key, self.kind, bytes, why))
            }
        }
    }
}
