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
mod stored;
mod value;

pub use counter::Counter;
pub use flag::{DwFlag, EwFlag};
pub use map::Map;
pub(crate) use register::split_stamp;
pub use register::{LwwRegister, MvRegister};
pub use set::{RwSet, Set};
pub use stored::Stored;
pub use value::{ReadContext, Replacing, Siblings};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tx::Reads;
use super::view::View;
use crate::codec::encoding::encode_name;
use crate::codec::{DecodeError, Kind, Prefix};
use crate::error::{Error, UsageError};

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

    /// Where the element or field of this name stands.
    fn named<T: Serialize + DeserializeOwned>(
        &self,
        kind: Kind,
        name: &T,
    ) -> Result<Prefix, Error> {
        self.step(kind, &encode_name(name)?)
    }

    /// The types that stand here, whatever their handle.
    fn kinds(&self) -> Result<Vec<Kind>, Error> {
        let base = self.base()?;
        self.on.read(|view| Ok(view.kinds(base.as_bytes())?))
    }
}

/// A handle on something made of values of a type of the application's.
macro_rules! handle_of {
    ($(#[$about:meta])* $name:ident<$of:ident>) => {
        $(#[$about])*
        pub struct $name<$of, C = $crate::space::Space> {
            at: $crate::space::handles::At<C>,
            of: core::marker::PhantomData<fn() -> $of>,
        }

        impl<$of, C> $name<$of, C> {
            pub(super) fn at(at: $crate::space::handles::At<C>) -> Self {
                Self { at, of: core::marker::PhantomData }
            }
        }

        impl<$of, C: Clone> Clone for $name<$of, C> {
            fn clone(&self) -> Self {
                Self::at(self.at.clone())
            }
        }

        impl<$of, C: core::fmt::Debug> core::fmt::Debug for $name<$of, C> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.at).finish()
            }
        }
    };
}
use handle_of;

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
