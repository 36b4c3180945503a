//! Sets.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use super::{Causal, Change, DotFun, DotMap, DotSeen, DotSet, rules};
use crate::causal::{Dot, ReplicaId};

/// A set in which adding an element wins over removing it at the same time.
///
/// Bieniusa et al., "An Optimized Conflict-free Replicated Set" (2012), arXiv 1210.3368: no
/// tombstones. An addition replaces the observed dots of its element by its own; a removal
/// removes the observed ones. Adding again always makes a new dot, or else:
///
/// 1. A and B hold *x* under the dot A:1.
/// 2. A adds *x* again, and as it is there already, nothing happens. B removes it.
/// 3. They meet, and *x* is gone, although it was added while it was removed.
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::OrSet};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let (mut here, mut there) = (OrSet::new(), OrSet::new());
/// let apple = here.add(a, "apple");
/// let banana = there.add(b, "banana");
/// here.merge(&banana); // a delta …
/// there.merge(&here); // … or a whole state
/// assert_eq!(there.iter().collect::<Vec<_>>(), [&"apple", &"banana"]);
///
/// let gone = here.remove("apple");
/// let again = there.add(b, "apple");
/// here.merge(&again);
/// there.merge(&gone);
/// assert!(here.contains("apple") && here == there);
/// # let _ = apple;
/// ```
pub type OrSet<T> = Causal<OrSetStore<T>>;

/// The live items of an [`OrSet`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de> + Ord + Clone"))]
pub struct OrSetStore<T>(pub(super) DotMap<T, DotSet>);

crate::crdt::wrap_store!([T: Ord + Clone] OrSetStore<T>, DotMap<T, DotSet>);

impl<T> OrSetStore<T> {
    /// The elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + DoubleEndedIterator {
        self.0.keys()
    }

    /// How many elements there are.
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

impl<T: Ord + Clone> OrSetStore<T> {
    /// Whether the element is in the set. O(log n).
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.get(element).is_some()
    }

    /// The dots under which the element is in the set.
    pub fn dots<Q: Ord + ?Sized>(&self, element: &Q) -> impl Iterator<Item = Dot> + '_
    where
        T: Borrow<Q>,
    {
        self.0.get(element).into_iter().flat_map(DotSet::dots)
    }

    /// The change that adds an element, in the place of its observed dots.
    pub fn adding(&self, dot: Dot, element: T) -> Change<Self> {
        let observed: Vec<Dot> = self.dots(&element).collect();
        Change::write(Self(DotMap::of(element, DotSet::of(dot))), dot, observed)
    }

    /// The change that removes the observed dots of an element.
    pub fn removing<Q: Ord + ?Sized>(&self, element: &Q) -> Change<Self>
    where
        T: Borrow<Q>,
    {
        match self.0.get_key_value(element) {
            Some((kept, dots)) => {
                let place = Self(DotMap::of(kept.clone(), DotSet::default()));
                Change::removal(place, dots.dots().collect())
            }
            None => Change::removal(Self::default(), Default::default()),
        }
    }
}

impl<T: Ord + Clone> OrSet<T> {
    /// Adds an element. O(log n).
    #[must_use = "the delta is what the other replicas need"]
    pub fn add(&mut self, replica: ReplicaId, element: T) -> Self {
        self.mutate(replica, |set, dot| set.adding(dot, element))
    }

    /// Adds an element under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn add_at(&mut self, dot: Dot, element: T) -> Result<Self, DotSeen> {
        self.apply(self.adding(dot, element))
    }

    /// Removes what was observed of an element. Needs no dot, as it makes no item. O(log n);
    /// where the delta is merged, see [`DotMap`].
    #[must_use = "the delta is what the other replicas need"]
    pub fn remove<Q: Ord + ?Sized>(&mut self, element: &Q) -> Self
    where
        T: Borrow<Q>,
    {
        let change = self.removing(element);
        self.apply(change).unwrap_or_default()
    }
}

/// A set in which removing an element wins over adding it at the same time.
///
/// Almeida, Shoker, Baquero 2016, section 7.4. An addition and a removal are both live
/// items that replace the observed ones of their element; it is in the set if it has live
/// items and none of them says removed. So a removal is kept until something replaces it:
/// the price of winning over additions that it has not seen. [`Causal::clear`] forgets all
/// that was observed.
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::RwSet};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let (mut here, mut there) = (RwSet::new(), RwSet::new());
/// let banned = here.remove(a, "mallory");
/// let invited = there.add(b, "mallory");
/// here.merge(&invited);
/// there.merge(&banned);
/// assert!(!here.contains("mallory") && here == there);
///
/// let _ = here.add(a, "mallory"); // by somebody who has seen the ban
/// assert!(here.contains("mallory"));
/// ```
pub type RwSet<T> = Causal<RwSetStore<T>>;

/// The live items of an [`RwSet`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de> + Ord + Clone"))]
pub struct RwSetStore<T>(pub(super) DotMap<T, DotFun<bool>>);

crate::crdt::wrap_store!([T: Ord + Clone] RwSetStore<T>, DotMap<T, DotFun<bool>>);

fn present(says: &DotFun<bool>) -> bool {
    rules::remove_wins(says.iter().map(|(_, says)| *says))
}

impl<T> RwSetStore<T> {
    /// The elements in order. Those removed are passed over.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().filter(|(_, says)| present(says)).map(|(element, _)| element)
    }

    /// How many elements there are. O(n), counting those removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<T: Ord + Clone> RwSetStore<T> {
    /// Whether the element is in the set. O(log n).
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.get(element).is_some_and(present)
    }

    /// The change that adds an element, in the place of all observed of it.
    pub fn adding(&self, dot: Dot, element: T) -> Change<Self> {
        self.saying(dot, element, true)
    }

    /// The change that removes an element, in the place of all observed of it.
    pub fn removing(&self, dot: Dot, element: T) -> Change<Self> {
        self.saying(dot, element, false)
    }

    fn saying(&self, dot: Dot, element: T, present: bool) -> Change<Self> {
        let observed: Vec<Dot> = self.0.get(&element).into_iter().flat_map(DotFun::dots).collect();
        Change::write(Self(DotMap::of(element, DotFun::of(dot, present))), dot, observed)
    }
}

impl<T: Ord + Clone> RwSet<T> {
    /// Adds an element. O(log n).
    #[must_use = "the delta is what the other replicas need"]
    pub fn add(&mut self, replica: ReplicaId, element: T) -> Self {
        self.mutate(replica, |set, dot| set.adding(dot, element))
    }

    /// Adds an element under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn add_at(&mut self, dot: Dot, element: T) -> Result<Self, DotSeen> {
        self.apply(self.adding(dot, element))
    }

    /// Removes an element, there or not. O(log n).
    #[must_use = "the delta is what the other replicas need"]
    pub fn remove(&mut self, replica: ReplicaId, element: T) -> Self {
        self.mutate(replica, |set, dot| set.removing(dot, element))
    }

    /// Removes an element under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn remove_at(&mut self, dot: Dot, element: T) -> Result<Self, DotSeen> {
        self.apply(self.removing(dot, element))
    }
}
