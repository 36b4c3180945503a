//! Maps of values, nested to any depth.

use core::convert::Infallible;
use std::borrow::Borrow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Causal, Change, DotMap, DotSeen, DotStore, Replicated};
use crate::causal::{CausalContext, Dot, ReplicaId};

/// A map from keys to values of any type of this module, maps among them.
///
/// The whole tree has one context, so removing a key leaves nothing behind, and what comes
/// back under it later starts from nothing. Removing a key removes what was observed
/// beneath; what is changed beneath at the same time survives. Almeida, Shoker, Baquero
/// 2016, figure 10.
///
/// The obvious map keeps under each key a value with a context of its own, and drops both
/// when the key is removed:
///
/// 1. A removes the key, and the context with it. A writes the key anew: its next dot, by
///    the new empty context, is A:1, once more.
/// 2. B has seen A:1 under this key and takes the news for old.
/// 3. A's write is lost. Keeping the context for ever instead would be a tombstone.
///
/// ```
/// use rejoin::causal::ReplicaId;
/// use rejoin::crdt::{OrMap, OrSet};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let mut here: OrMap<&str, OrSet<&str>> = OrMap::new();
/// let _ = here.update(a, "fruit", |set, dot| set.adding(dot, "apple"));
/// let mut there = here.clone();
///
/// let removed = here.remove("fruit");
/// let added = there.update(b, "fruit", |set, dot| set.adding(dot, "banana"));
/// here.merge(&added);
/// there.merge(&removed);
/// assert!(here == there);
///
/// let fruit = here.get("fruit").expect("something beneath survived");
/// assert_eq!(fruit.iter().collect::<Vec<_>>(), [&"banana"]);
/// ```
///
/// Deeper, the changes stand one in the other:
/// ```
/// use rejoin::causal::{Hlc, ReplicaId};
/// use rejoin::crdt::{LwwRegister, OrMap};
/// let a = ReplicaId::from_bytes([1; 16]);
/// let now = Hlc::new(1, 0);
///
/// let mut users: OrMap<u32, OrMap<&str, LwwRegister<&str>>> = OrMap::new();
/// let delta = users.update(a, 7, |user, dot| {
///     user.updating("name", |name| name.writing(dot, now, "Ada"))
/// });
/// assert_eq!(delta.get(&7).and_then(|u| u.get("name")).and_then(|n| n.get()), Some(&"Ada"));
/// ```
pub type OrMap<K, V> = Causal<OrMapStore<K, V>>;

/// The live items of an [`OrMap`].
pub struct OrMapStore<K, V: Replicated>(pub(super) DotMap<K, V::Store>);

impl<K, V: Replicated> OrMapStore<K, V> {
    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V::Store)> + DoubleEndedIterator {
        self.0.iter()
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + DoubleEndedIterator {
        self.0.keys()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Clone, V: Replicated> OrMapStore<K, V> {
    /// What stands under a key. O(log n).
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V::Store>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// Whether anything stands under a key. O(log n).
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The change that changes what stands under a key, or the empty value if nothing does.
    pub fn updating(
        &self,
        key: K,
        change: impl FnOnce(&V::Store) -> Change<V::Store>,
    ) -> Change<Self> {
        let change = |store: &_| Ok::<_, Infallible>(change(store));
        self.try_updating(key, change).unwrap_or_else(|never| match never {})
    }

    /// As [`OrMapStore::updating`], for a change that can fail.
    ///
    /// # Errors
    /// Those of the change.
    pub fn try_updating<E>(
        &self,
        key: K,
        change: impl FnOnce(&V::Store) -> Result<Change<V::Store>, E>,
    ) -> Result<Change<Self>, E> {
        let inner = match self.0.get(&key) {
            Some(store) => change(store),
            None => change(&V::Store::default()),
        };
        Ok(inner?.within(|store| Self(DotMap::of(key, store))))
    }

    /// The change that removes everything observed under a key.
    pub fn removing<Q: Ord + ?Sized>(&self, key: &Q) -> Change<Self>
    where
        K: Borrow<Q>,
    {
        match self.0.get_key_value(key) {
            Some((kept, store)) => {
                store.clearing().within(|store| Self(DotMap::of(kept.clone(), store)))
            }
            None => Change::removal(Self::default(), CausalContext::new()),
        }
    }
}

impl<K: Ord + Clone, V: Replicated> OrMap<K, V> {
    /// Changes what stands under a key. The function gets that, or the empty value, and a
    /// fresh dot of `replica`, and answers with a change of it.
    #[must_use = "the delta is what the other replicas need"]
    pub fn update(
        &mut self,
        replica: ReplicaId,
        key: K,
        change: impl FnOnce(&V::Store, Dot) -> Change<V::Store>,
    ) -> Self {
        self.mutate(replica, |map, dot| map.updating(key, |inner| change(inner, dot)))
    }

    /// Changes what stands under a key, with a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn update_at(
        &mut self,
        dot: Dot,
        key: K,
        change: impl FnOnce(&V::Store, Dot) -> Change<V::Store>,
    ) -> Result<Self, DotSeen> {
        self.apply(self.updating(key, |inner| change(inner, dot)))
    }

    /// As [`OrMap::update`], for a change that can fail, such as that of a counter.
    ///
    /// ```
    /// use rejoin::causal::{ReplicaId, Seq};
    /// use rejoin::crdt::{OrMap, PnCounter};
    /// let a = ReplicaId::from_bytes([1; 16]);
    /// let mut stock: OrMap<&str, PnCounter> = OrMap::new();
    /// let _ = stock.try_update(a, "bolts", |n, dot| n.adding(dot, 40, Seq::MAX))?;
    /// assert_eq!(stock.get("bolts").map(|n| n.value()), Some(40));
    /// # Ok::<(), rejoin::crdt::CounterOverflow>(())
    /// ```
    ///
    /// # Errors
    /// Those of the change. Nothing was changed then.
    pub fn try_update<E>(
        &mut self,
        replica: ReplicaId,
        key: K,
        change: impl FnOnce(&V::Store, Dot) -> Result<Change<V::Store>, E>,
    ) -> Result<Self, E> {
        self.try_mutate(replica, |map, dot| map.try_updating(key, |inner| change(inner, dot)))
    }

    /// As [`OrMap::update_at`], for a change that can fail.
    ///
    /// # Errors
    /// Those of the change, or the dot was seen already. Nothing was changed then.
    pub fn try_update_at<E: From<DotSeen>>(
        &mut self,
        dot: Dot,
        key: K,
        change: impl FnOnce(&V::Store, Dot) -> Result<Change<V::Store>, E>,
    ) -> Result<Self, E> {
        let change = self.try_updating(key, |inner| change(inner, dot))?;
        Ok(self.apply(change)?)
    }

    /// Removes everything observed under a key. Needs no dot, as it makes no item.
    #[must_use = "the delta is what the other replicas need"]
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        let change = self.removing(key);
        self.apply(change).unwrap_or_default()
    }
}

crate::crdt::wrap_store!(
    [K: Ord + Clone, V: Replicated] OrMapStore<K, V>,
    DotMap<K, V::Store>
);

// By hand, because deriving would ask for the traits of `V`, not of its store.

impl<K: Clone, V: Replicated> Clone for OrMapStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: PartialEq, V: Replicated<Store: PartialEq>> PartialEq for OrMapStore<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Eq, V: Replicated<Store: Eq>> Eq for OrMapStore<K, V> {}

impl<K: Serialize, V: Replicated<Store: Serialize>> Serialize for OrMapStore<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, K, V> Deserialize<'de> for OrMapStore<K, V>
where
    K: Deserialize<'de> + Ord,
    V: Replicated<Store: Deserialize<'de>>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DotMap::deserialize(deserializer).map(Self)
    }
}
