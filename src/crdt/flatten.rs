//! From a value to the items that the store keeps of it.
//!
//! The store has one row for each live dot: where it stands, its dot, its payload. Flattening
//! says which rows a plain value amounts to, so that the two forms can be compared: over
//! histories without gaps, flattening and then joining rows gives the same as joining values
//! and then flattening. A property test holds both to it.

use serde::Serialize;

use super::{
    Causal, DwFlagStore, EwFlagStore, GCounterStore, LwwRegisterStore, MvRegisterStore, OrMapStore,
    OrSetStore, PnCounterStore, Replicated, RwSetStore, SiblingsStore, Stamped,
};
use crate::causal::{CausalContext, Dot, Hlc};
use crate::codec::{Kind, Put, zigzag};

/// One live item, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlatItem {
    /// The steps of its path.
    pub path: Vec<(Kind, Vec<u8>)>,
    /// The event that made it.
    pub dot: Dot,
    /// What it holds besides.
    pub payload: Vec<u8>,
}

/// An element, key or value that its `Serialize` cannot write as postcard, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be written as postcard: {message}")]
pub struct FlattenError {
    /// What it says.
    pub message: String,
}

/// Values that have a flat form.
pub trait Flatten {
    /// Appends the items, each under `path` and what follows it; leaves `path` as it was.
    ///
    /// # Errors
    /// An element, key or value cannot be serialised.
    fn flatten_under(
        &self,
        path: &mut Vec<(Kind, Vec<u8>)>,
        items: &mut Vec<FlatItem>,
    ) -> Result<(), FlattenError>;

    /// The items, in the order of path, then dot.
    ///
    /// # Errors
    /// An element, key or value cannot be serialised.
    fn flatten(&self) -> Result<Vec<FlatItem>, FlattenError> {
        let mut items = Vec::new();
        self.flatten_under(&mut Vec::new(), &mut items)?;
        items.sort_unstable();
        Ok(items)
    }
}

/// The join of two states in their flat form, item by item as the law says: what the store
/// must come to. Slow and obvious; the result is in the order of path, then dot. Each side has
/// seen the dots of its items, and has none of them twice.
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::{Flatten, OrSet, join_flat}};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
/// let (mut here, mut there) = (OrSet::new(), OrSet::new());
/// let _ = (here.add(a, 1), there.add(b, 2));
///
/// let flat = join_flat(&here.flatten()?, here.seen(), &there.flatten()?, there.seen());
/// here.merge(&there);
/// assert_eq!(here.flatten()?, flat);
/// # Ok::<(), rejoin::crdt::FlattenError>(())
/// ```
#[must_use]
pub fn join_flat(
    left: &[FlatItem],
    left_seen: &CausalContext,
    right: &[FlatItem],
    right_seen: &CausalContext,
) -> Vec<FlatItem> {
    let both = left.iter().filter(|item| right.contains(item));
    let only_left = left.iter().filter(|item| !right_seen.contains(item.dot));
    let only_right = right.iter().filter(|item| !left_seen.contains(item.dot));
    let mut live: Vec<FlatItem> = both.chain(only_left).chain(only_right).cloned().collect();
    live.sort_unstable();
    live
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>, FlattenError> {
    postcard::to_allocvec(value).map_err(|e| FlattenError { message: e.to_string() })
}

fn stamped(time: Hlc, value: &[u8]) -> Vec<u8> {
    [&time.to_be_bytes(), value].concat()
}

/// Appends one item a step below `path`.
fn push(
    path: &[(Kind, Vec<u8>)],
    step: (Kind, Vec<u8>),
    dot: Dot,
    payload: Vec<u8>,
    items: &mut Vec<FlatItem>,
) {
    let mut whole = Vec::with_capacity(path.len() + 1);
    whole.extend_from_slice(path);
    whole.push(step);
    items.push(FlatItem { path: whole, dot, payload });
}

type Path = Vec<(Kind, Vec<u8>)>;

impl<S: Flatten> Flatten for Causal<S> {
    fn flatten_under(
        &self,
        path: &mut Path,
        items: &mut Vec<FlatItem>,
    ) -> Result<(), FlattenError> {
        self.store().flatten_under(path, items)
    }
}

macro_rules! flatten_rows {
    ($([$($bound:tt)*] $store:ty, $kind:expr, |$row:ident: $t:ty| $payload:expr;)*) => {$(
        impl<$($bound)*> Flatten for $store {
            fn flatten_under(
                &self,
                path: &mut Path,
                items: &mut Vec<FlatItem>,
            ) -> Result<(), FlattenError> {
                let payload = |$row: &$t| -> Result<Vec<u8>, FlattenError> { Ok($payload) };
                for (dot, row) in self.0.iter() {
                    push(path, ($kind, Vec::new()), dot, payload(row)?, items);
                }
                Ok(())
            }
        }
    )*};
}

flatten_rows! {
    [T: Serialize] LwwRegisterStore<T>, Kind::REGISTER,
        |row: Stamped<T>| stamped(row.time, &bytes(&row.value)?);
    [T: Serialize] MvRegisterStore<T>, Kind::MV_REGISTER,
        |row: Stamped<T>| stamped(row.time, &bytes(&row.value)?);
    [T: AsRef<[u8]>] SiblingsStore<T>, Kind::VALUE,
        |row: Stamped<T>| stamped(row.time, row.value.as_ref());
    [] PnCounterStore, Kind::COUNTER, |amount: i64| varint(*amount);
    [] GCounterStore, Kind::COUNTER, |amount: i64| varint(*amount);
    [] DwFlagStore, Kind::DW_FLAG, |says: bool| vec![u8::from(*says)];
}

fn varint(amount: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_varint(zigzag(amount));
    bytes
}

impl Flatten for EwFlagStore {
    fn flatten_under(
        &self,
        path: &mut Path,
        items: &mut Vec<FlatItem>,
    ) -> Result<(), FlattenError> {
        for dot in self.0.dots() {
            push(path, (Kind::EW_FLAG, Vec::new()), dot, Vec::new(), items);
        }
        Ok(())
    }
}

impl<T: Serialize> Flatten for OrSetStore<T> {
    fn flatten_under(
        &self,
        path: &mut Path,
        items: &mut Vec<FlatItem>,
    ) -> Result<(), FlattenError> {
        for (element, dots) in self.0.iter() {
            let name = bytes(element)?;
            for dot in dots.dots() {
                push(path, (Kind::SET, name.clone()), dot, Vec::new(), items);
            }
        }
        Ok(())
    }
}

impl<T: Serialize> Flatten for RwSetStore<T> {
    fn flatten_under(
        &self,
        path: &mut Path,
        items: &mut Vec<FlatItem>,
    ) -> Result<(), FlattenError> {
        for (element, rows) in self.0.iter() {
            let name = bytes(element)?;
            for (dot, says) in rows.iter() {
                let payload = vec![u8::from(*says)];
                push(path, (Kind::RW_SET, name.clone()), dot, payload, items);
            }
        }
        Ok(())
    }
}

impl<K: Serialize, V: Replicated<Store: Flatten>> Flatten for OrMapStore<K, V> {
    fn flatten_under(
        &self,
        path: &mut Path,
        items: &mut Vec<FlatItem>,
    ) -> Result<(), FlattenError> {
        for (key, store) in self.0.iter() {
            path.push((Kind::MAP, bytes(key)?));
            let done = store.flatten_under(path, items);
            path.pop();
            done?;
        }
        Ok(())
    }
}
