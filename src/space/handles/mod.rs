//! Typed handles: a key (or a place in a map) seen as one type.
//!
//! A handle stands on a [`Space`](super::Space), where each call is a transaction or a read
//! of its own, on a [`Snapshot`](super::Snapshot), or on a [`Tx`](super::Tx). Making one
//! reads nothing; a key that cannot be shows with the first call.

mod counter;
mod flag;
mod map;
mod open;
mod register;
mod set;
mod value;

pub use counter::Counter;
pub use flag::{DwFlag, EwFlag};
pub use map::Map;
pub(crate) use register::split_stamp;
pub use register::{LwwRegister, MvRegister};
pub use set::{RwSet, Set};
pub use value::{ReadContext, Replacing, Siblings};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tx::Reads;
use super::view::View;
use crate::codec::{DecodeError, Kind, Prefix};
use crate::error::{Error, UsageError, shown};

/// Where a handle stands: on what, and at which key or place in a map.
#[derive(Clone, Debug)]
pub(super) struct At<C> {
    on: C,
    base: Result<Prefix, DecodeError>,
}

impl<C: Reads> At<C> {
    fn key(on: C, key: &[u8]) -> Self {
        Self { on, base: Prefix::key(key) }
    }

    fn base(&self) -> Result<&Prefix, Error> {
        self.base.as_ref().map_err(|e| UsageError::Place(e.clone()).into())
    }

    fn step(&self, kind: Kind, name: &[u8]) -> Result<Prefix, Error> {
        self.base()?.step(kind, name).map_err(|e| UsageError::Place(e).into())
    }

    /// The types that stand here, whatever their handle.
    fn kinds(&self) -> Result<Vec<Kind>, Error> {
        let base = self.base()?;
        self.on.read(|view| Ok(view.kinds(base.as_bytes())?))
    }
}

/// The bytes of a value or element.
fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(value).map_err(|e| UsageError::Encode { reason: e.to_string() }.into())
}

/// The value or element of these bytes, which are all of it.
fn decode<T: DeserializeOwned>(at: &Prefix, kind: Kind, bytes: &[u8]) -> Result<T, Error> {
    let reason = match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => return Ok(value),
        Ok((_, rest)) => format!("{} bytes left over", rest.len()),
        Err(e) => e.to_string(),
    };
    let key = crate::codec::place::key_of(at.as_bytes()).unwrap_or_default();
    let (key, kind) = (shown(&key), kind.to_string());
    Err(UsageError::Undecodable { key, kind, bytes: bytes.to_vec(), reason }.into())
}

/// Visits the raw names of the distinct steps of one kind directly beneath a prefix, each
/// with the payloads of what lives exactly there.
fn each_element(
    view: &View<'_>,
    base: &Prefix,
    kind: Kind,
    mut visit: impl FnMut(&[u8], &[Vec<u8>]) -> Result<core::ops::ControlFlow<()>, Error>,
) -> Result<(), Error> {
    use core::ops::ControlFlow;
    let prefix = [base.as_bytes(), &[kind.number()]].concat();
    let (mut place, mut payloads): (Vec<u8>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let mut ended = Ok(ControlFlow::Continue(()));
    let mut flush = |place: &[u8], payloads: &[Vec<u8>]| match place {
        [] => Ok(ControlFlow::Continue(())),
        place => {
            let name = crate::codec::place::last_step_of(place).map(|(_, name)| name);
            visit(&name.unwrap_or_default(), payloads)
        }
    };
    view.each_row(&prefix, &mut |row| {
        if row.place != place {
            ended = flush(&place, &payloads);
            payloads.clear();
            place.clear();
            place.extend_from_slice(row.place);
        }
        payloads.push(row.payload()?.to_vec());
        Ok(match &ended {
            Ok(flow) => *flow,
            Err(_) => ControlFlow::Break(()),
        })
    })?;
    if ended?.is_continue() { flush(&place, &payloads).map(|_| ()) } else { Ok(()) }
}
