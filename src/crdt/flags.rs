//! Flags.

use serde::{Deserialize, Serialize};

use super::{Causal, Change, DotFun, DotSeen, DotSet, DotStore, rules};
use crate::causal::{Dot, ReplicaId};

/// A flag in which enabling wins over disabling it at the same time.
///
/// Enabling makes a live dot; disabling removes the observed ones. Almeida, Shoker, Baquero
/// 2016, figure 9.
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::EwFlag};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let mut here = EwFlag::new();
/// let _ = here.enable(a);
/// let mut there = here.clone();
///
/// let off = here.disable();
/// let on = there.enable(b);
/// here.merge(&on);
/// there.merge(&off);
/// assert!(here.is_enabled() && here == there);
/// ```
pub type EwFlag = Causal<EwFlagStore>;

/// The live items of an [`EwFlag`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EwFlagStore(pub(super) DotSet);

crate::crdt::wrap_store!([] EwFlagStore, DotSet);

impl EwFlagStore {
    /// Whether the flag is enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.0.is_empty()
    }

    /// The change that enables the flag, in the place of all observed.
    pub fn enabling(&self, dot: Dot) -> Change<Self> {
        Change::write(Self(DotSet::of(dot)), dot, self.0.dots())
    }

    /// The change that disables it: the observed enablings are removed.
    pub fn disabling(&self) -> Change<Self> {
        self.clearing()
    }
}

impl EwFlag {
    /// Enables the flag.
    #[must_use = "the delta is what the other replicas need"]
    pub fn enable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, EwFlagStore::enabling)
    }

    /// Enables the flag under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn enable_at(&mut self, dot: Dot) -> Result<Self, DotSeen> {
        self.apply(self.enabling(dot))
    }

    /// Disables the flag. Needs no dot, as it makes no item.
    #[must_use = "the delta is what the other replicas need"]
    pub fn disable(&mut self) -> Self {
        self.clear()
    }
}

/// A flag in which disabling wins over enabling it at the same time.
///
/// Both are live items that replace the observed ones; the flag is enabled if there is one
/// and none says disabled. Almeida, Shoker, Baquero 2016, section 7.4 (there with two kinds
/// of dots, here with the payload saying which).
///
/// ```
/// use rejoin::{causal::ReplicaId, crdt::DwFlag};
/// let [a, b] = [1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
///
/// let (mut here, mut there) = (DwFlag::new(), DwFlag::new());
/// let off = here.disable(a); // never enabled here, and it wins all the same
/// let on = there.enable(b);
/// here.merge(&on);
/// there.merge(&off);
/// assert!(!here.is_enabled() && here == there);
///
/// let _ = here.enable(a); // has seen both
/// assert!(here.is_enabled());
/// ```
pub type DwFlag = Causal<DwFlagStore>;

/// The live items of a [`DwFlag`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DwFlagStore(pub(super) DotFun<bool>);

crate::crdt::wrap_store!([] DwFlagStore, DotFun<bool>);

impl DwFlagStore {
    /// Whether the flag is enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        rules::remove_wins(self.0.iter().map(|(_, says)| *says))
    }

    /// The change that enables the flag, in the place of all observed.
    pub fn enabling(&self, dot: Dot) -> Change<Self> {
        self.saying(dot, true)
    }

    /// The change that disables the flag, in the place of all observed.
    pub fn disabling(&self, dot: Dot) -> Change<Self> {
        self.saying(dot, false)
    }

    fn saying(&self, dot: Dot, enabled: bool) -> Change<Self> {
        Change::write(Self(DotFun::of(dot, enabled)), dot, self.0.dots())
    }
}

impl DwFlag {
    /// Enables the flag.
    #[must_use = "the delta is what the other replicas need"]
    pub fn enable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, DwFlagStore::enabling)
    }

    /// Enables the flag under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn enable_at(&mut self, dot: Dot) -> Result<Self, DotSeen> {
        self.apply(self.enabling(dot))
    }

    /// Disables the flag.
    #[must_use = "the delta is what the other replicas need"]
    pub fn disable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, DwFlagStore::disabling)
    }

    /// Disables the flag under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already.
    pub fn disable_at(&mut self, dot: Dot) -> Result<Self, DotSeen> {
        self.apply(self.disabling(dot))
    }
}
