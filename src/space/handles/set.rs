//! Sets.

use core::fmt;
use core::marker::PhantomData;
use core::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{At, decode, each_element, encode};
use crate::codec::Kind;
use crate::crdt::rules;
use crate::error::Error;
use crate::space::Space;
use crate::space::tx::{Reads, Writes};

/// A set in which an addition wins over a concurrent removal (OR-set: Bieniusa et al. 2012).
///
/// An element is what serde makes of it: two values with the same encoding are one
/// element, and one value must not have two encodings (no hash maps in it).
/// Each element is a row of its own: adding to a set of a million costs one row.
pub struct Set<T, C = Space> {
    at: At<C>,
    of: PhantomData<fn() -> T>,
}

/// A set in which a removal wins over a concurrent addition. What was removed keeps a row
/// that says so until it is added again.
pub struct RwSet<T, C = Space> {
    at: At<C>,
    of: PhantomData<fn() -> T>,
}

macro_rules! set_handle {
    ($name:ident, $kind:expr, $lives:expr) => {
        impl<T, C> $name<T, C> {
            pub(super) fn at(at: At<C>) -> Self {
                Self { at, of: PhantomData }
            }
        }

        impl<T, C: Clone> Clone for $name<T, C> {
            fn clone(&self) -> Self {
                Self::at(self.at.clone())
            }
        }

        impl<T, C: fmt::Debug> fmt::Debug for $name<T, C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.at).finish()
            }
        }

        impl<T: Serialize + DeserializeOwned, C: Reads> $name<T, C> {
            /// Whether the element is in the set. One look-up.
            ///
            /// # Errors
            /// The key or element cannot be, or the storage failed.
            pub fn contains(&self, element: &T) -> Result<bool, Error> {
                let place = self.at.step($kind, &encode(element)?)?.place();
                self.at.on.read(|view| {
                    let found = view.found(place.as_bytes())?;
                    let payloads: Vec<_> = found.into_iter().map(|f| f.payload).collect();
                    Ok(!payloads.is_empty() && $lives(&payloads))
                })
            }

            /// Visits the elements in order of their encoding, holding one in memory
            /// at a time; [`ControlFlow::Break`] ends the visit.
            ///
            /// # Errors
            /// The key cannot be, an element is not a `T`, or the storage failed.
            pub fn for_each(
                &self,
                mut visit: impl FnMut(T) -> ControlFlow<()>,
            ) -> Result<(), Error> {
                let base = self.at.base()?;
                self.at.on.read(|view| {
                    each_element(view, base, $kind, |name, payloads| {
                        if $lives(payloads) {
                            return Ok(visit(decode(base, $kind, name)?));
                        }
                        Ok(ControlFlow::Continue(()))
                    })
                })
            }

            /// The elements in order of their encoding, all in memory.
            ///
            /// # Errors
            /// As [`Self::for_each`].
            pub fn elements(&self) -> Result<Vec<T>, Error> {
                let mut elements = Vec::new();
                self.for_each(|element| {
                    elements.push(element);
                    ControlFlow::Continue(())
                })?;
                Ok(elements)
            }

            /// How many elements there are. Goes through all of them.
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn len(&self) -> Result<usize, Error> {
                let base = self.at.base()?;
                let mut count = 0;
                self.at.on.read(|view| {
                    each_element(view, base, $kind, |_, payloads| {
                        count += usize::from($lives(payloads));
                        Ok(ControlFlow::Continue(()))
                    })
                })?;
                Ok(count)
            }

            /// Whether there is no element.
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn is_empty(&self) -> Result<bool, Error> {
                let base = self.at.base()?;
                let mut empty = true;
                self.at.on.read(|view| {
                    each_element(view, base, $kind, |_, payloads| {
                        empty &= !$lives(payloads);
                        Ok(if empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                    })
                })?;
                Ok(empty)
            }
        }
    };
}

set_handle!(Set, Kind::SET, |_: &[Vec<u8>]| true);
set_handle!(RwSet, Kind::RW_SET, |payloads: &[Vec<u8>]| rules::remove_wins(
    payloads.iter().map(|p| p.as_slice() == [1])
));

impl<T: Serialize + DeserializeOwned, C: Writes> Set<T, C> {
    /// Adds an element. Adding one that is there is an event too: it then survives a
    /// concurrent removal of what was there before.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn add(&self, element: &T) -> Result<(), Error> {
        let place = self.at.step(Kind::SET, &encode(element)?)?;
        self.at.on.change(|change| change.replace_all(&place, &[]).map(drop))
    }

    /// Removes an element; whether it was there. What another replica adds concurrently stays.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn remove(&self, element: &T) -> Result<bool, Error> {
        let place = self.at.step(Kind::SET, &encode(element)?)?;
        self.at.on.change(|change| Ok(change.remove(&place)?.is_some()))
    }
}

impl<T: Serialize + DeserializeOwned, C: Writes> RwSet<T, C> {
    /// Adds an element; a concurrent removal of it wins.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn add(&self, element: &T) -> Result<(), Error> {
        let place = self.at.step(Kind::RW_SET, &encode(element)?)?;
        self.at.on.change(|change| change.replace_all(&place, &[1]).map(drop))
    }

    /// Removes an element, also against additions made concurrently elsewhere.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn remove(&self, element: &T) -> Result<(), Error> {
        let place = self.at.step(Kind::RW_SET, &encode(element)?)?;
        self.at.on.change(|change| change.replace_all(&place, &[0]).map(drop))
    }
}
