//! Sets.

use core::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stored::Reading;
use super::{Stored, each_element, handle_of};
use crate::codec::{Kind, Prefix};
use crate::crdt::rules;
use crate::error::{Error, Undecodable};
use crate::space::fields;
use crate::space::tx::{Reads, Writes};

handle_of!(
    /// A set in which an addition wins over a concurrent removal (OR-set: Bieniusa et al. 2012).
    ///
    /// An element is what serde makes of it: two values with the same encoding are one
    /// element, and a value must have one encoding. Maps in it are written in the order of
    /// their keys, hash maps too; a hash set cannot be told from a list, so an element that
    /// reads back in another order is refused: use `BTreeSet`.
    /// Each element is a row of its own: adding to a set of a million costs one row.
    Set<T>
);

handle_of!(
    /// A set in which a removal wins over a concurrent addition. What was removed keeps a row
    /// that says so until it is added again.
    RwSet<T>
);

macro_rules! set_handle {
    ($name:ident, $kind:expr, $lives:expr) => {
        impl<T: Serialize + DeserializeOwned, C: Reads> $name<T, C> {
            /// Whether the element is in the set. One look-up.
            ///
            /// # Errors
            /// The key or element cannot be, or the storage failed.
            pub fn contains(&self, element: &T) -> Result<bool, Error> {
                let place = self.at.named($kind, element)?.place();
                self.at.on.read(|view| {
                    let found = view.found(place.as_bytes())?;
                    let payloads: Vec<_> = found.into_iter().map(|f| f.payload).collect();
                    Ok(!payloads.is_empty() && $lives(&payloads))
                })
            }

            /// Visits the elements in order of their encoding, holding one in memory
            /// at a time; [`ControlFlow::Break`] ends the visit. What is no `T` is visited
            /// in its place as [`Stored::Undecodable`].
            ///
            /// # Errors
            /// The key cannot be, or the storage failed.
            pub fn for_each(
                &self,
                mut visit: impl FnMut(Stored<T>) -> ControlFlow<()>,
            ) -> Result<(), Error> {
                let base = self.at.base()?;
                let reading = Reading::new(base, $kind);
                self.at.on.read(|view| {
                    each_element(view, base, $kind, |name, payloads| {
                        if $lives(payloads) {
                            return Ok(visit(reading.name(name)));
                        }
                        Ok(ControlFlow::Continue(()))
                    })
                })
            }

            /// The elements in order of their encoding, all in memory; what is no `T`
            /// stands in its place as [`Stored::Undecodable`].
            ///
            /// # Errors
            /// As [`Self::for_each`].
            pub fn elements(&self) -> Result<Vec<Stored<T>>, Error> {
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
    payloads.iter().map(|p| fields::says(p))
));

impl<T: Serialize + DeserializeOwned, C: Writes> Set<T, C> {
    /// Adds an element. Adding one that is there is an event too: it then survives a
    /// concurrent removal of what was there before.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn add(&self, element: &T) -> Result<(), Error> {
        let place = self.at.named(Kind::SET, element)?;
        self.at.on.change(|change| change.replace_all(&place, &[]).map(drop))
    }

    /// Removes an element; whether it was there. What another replica adds concurrently stays.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn remove(&self, element: &T) -> Result<bool, Error> {
        self.remove_at(self.at.named(Kind::SET, element)?)
    }

    /// Removes an element that is no `T`, as a read has shown it; whether it was there.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn remove_undecodable(&self, element: &Undecodable) -> Result<bool, Error> {
        self.remove_at(self.at.step(Kind::SET, element.bytes())?)
    }

    fn remove_at(&self, place: Prefix) -> Result<bool, Error> {
        self.at.on.change(|change| Ok(change.remove(&place)?.is_some()))
    }
}

impl<T: Serialize + DeserializeOwned, C: Writes> RwSet<T, C> {
    /// Adds an element; a concurrent removal of it wins.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn add(&self, element: &T) -> Result<(), Error> {
        self.say(self.at.named(Kind::RW_SET, element)?, 1)
    }

    /// Removes an element, also against additions made concurrently elsewhere.
    ///
    /// # Errors
    /// The key or element cannot be, or the storage failed.
    pub fn remove(&self, element: &T) -> Result<(), Error> {
        self.say(self.at.named(Kind::RW_SET, element)?, 0)
    }

    /// Removes an element that is no `T`, as a read has shown it.
    ///
    /// # Errors
    /// The key cannot be, or the storage failed.
    pub fn remove_undecodable(&self, element: &Undecodable) -> Result<(), Error> {
        self.say(self.at.step(Kind::RW_SET, element.bytes())?, 0)
    }

    fn say(&self, place: Prefix, added: u8) -> Result<(), Error> {
        self.at.on.change(|change| change.replace_all(&place, &[added]).map(drop))
    }
}
