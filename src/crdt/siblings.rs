//! Siblings: the value of Dynamo.

use serde::{Deserialize, Serialize};

use super::registers::concurrent_values;
use super::{Causal, Change, DotFun, DotSeen, Stamped, Write};
use crate::causal::{CausalContext, Dot, Hlc, ReplicaId};

/// Several concurrent values of one key, and the context to write with.
///
/// DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store" (2007), with the
/// dotted version vector *set* of Preguiça et al. 2010 for causality. A reader gets all
/// siblings and [`seen`](Causal::seen), the read context. A writer hands in the context of
/// what it has read, and its value replaces exactly that. What was written meanwhile stays
/// beside it.
///
/// In difference to [`MvRegister`](super::MvRegister) what counts is what the *client* has
/// read, not what the replica knows when the write arrives:
///
/// 1. Client C reads the cart {milk} at replica A. So does D.
/// 2. D writes {milk, bread}. C, which has seen nothing of it, writes {milk, eggs}.
/// 3. The replica knows of the bread when C's write arrives; C did not. Replacing all that
///    the replica knows would lose the bread.
///
/// ```
/// use rejoin::{causal::{Hlc, ReplicaId}, crdt::Siblings};
/// let a = ReplicaId::from_bytes([1; 16]);
/// let now = |ms| Hlc::new(ms, 0);
///
/// let mut cart = Siblings::new();
/// let nothing_read = cart.seen().clone();
/// let _ = cart.update(a, &nothing_read, now(1), vec!["milk"]);
///
/// let read = cart.seen().clone(); // by both clients
/// let _ = cart.update(a, &read, now(2), vec!["milk", "bread"]);
/// let _ = cart.update(a, &read, now(3), vec!["milk", "eggs"]);
/// assert_eq!(cart.len(), 2);
///
/// // A reader with both merges them as the application sees fit, and writes that back.
/// let read = cart.seen().clone();
/// let merged = cart.resolve(|carts| {
///     let mut all: Vec<_> = carts.flat_map(|cart| cart.value.clone()).collect();
///     all.sort();
///     all.dedup();
///     all
/// });
/// let _ = cart.update(a, &read, now(4), merged.expect("something was written"));
/// assert_eq!(cart.values().collect::<Vec<_>>(), [&vec!["bread", "eggs", "milk"]]);
/// ```
pub type Siblings<T> = Causal<SiblingsStore<T>>;

/// The live items of [`Siblings`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiblingsStore<T>(pub(super) DotFun<Stamped<T>>);

crate::crdt::wrap_store!([T: Clone] SiblingsStore<T>, DotFun<Stamped<T>>);
concurrent_values!(SiblingsStore, iter);

impl<T> SiblingsStore<T> {
    /// What the application makes of the siblings; `None` if there are none. They come in
    /// the order of their dots, the same at every replica, so a function that looks at
    /// nothing else gives the same answer everywhere. Nothing is written.
    pub fn resolve<R>(
        &self,
        choose: impl FnOnce(&mut dyn Iterator<Item = Write<'_, T>>) -> R,
    ) -> Option<R> {
        if self.is_empty() { None } else { Some(choose(&mut self.iter())) }
    }

    /// The change that writes a value in the place of those siblings here that `context` has
    /// seen. The context may be that of a whole map, [`Causal::seen`], in which these stand.
    ///
    /// Only what is here is replaced. The obvious code takes the context as it is, and then:
    ///
    /// 1. A map holds the carts of two users, and its context the dots of both.
    /// 2. A writes one cart, with the map's context as what it has read.
    /// 3. The delta says of the other cart's dots that they were seen and are no more. Where
    ///    it is merged, the other cart is gone.
    pub fn updating(&self, dot: Dot, context: &CausalContext, time: Hlc, value: T) -> Change<Self> {
        let read = self.0.dots().filter(|dot| context.contains(*dot));
        Change::write(Self(DotFun::of(dot, Stamped { time, value })), dot, read)
    }
}

/// Values with their dots and times, such as read from a store: see [`Causal::from_parts`].
impl<T> FromIterator<(Dot, Hlc, T)> for SiblingsStore<T> {
    fn from_iter<I: IntoIterator<Item = (Dot, Hlc, T)>>(values: I) -> Self {
        let rows = values.into_iter().map(|(dot, time, value)| (dot, Stamped { time, value }));
        Self(rows.collect())
    }
}

impl<T: Clone> Siblings<T> {
    /// Writes a value in the place of all that `context` has seen: the
    /// [`seen`](Causal::seen) of the siblings that the writer has read, here or at another
    /// replica. An empty context replaces nothing. What the context has seen and this value
    /// has not counts as seen here too: so a context must be one of *this* value.
    #[must_use = "the delta is what the other replicas need"]
    pub fn update(
        &mut self,
        replica: ReplicaId,
        context: &CausalContext,
        time: Hlc,
        value: T,
    ) -> Self {
        // A context from elsewhere may have seen more of the writer than this value has.
        let seq = self.seen().greatest(replica).max(context.greatest(replica)).next();
        self.update_at(Dot::new(replica, seq), context, time, value).unwrap_or_default()
    }

    /// Writes a value under a dot from outside.
    ///
    /// # Errors
    /// The dot was seen already, here or by the context.
    pub fn update_at(
        &mut self,
        dot: Dot,
        context: &CausalContext,
        time: Hlc,
        value: T,
    ) -> Result<Self, DotSeen> {
        if context.contains(dot) {
            return Err(DotSeen { dot });
        }
        let row = SiblingsStore(DotFun::of(dot, Stamped { time, value }));
        self.apply(Change::write_over(row, dot, context.clone()))
    }

    /// Removes all that `context` has seen; what was written meanwhile stays.
    #[must_use = "the delta is what the other replicas need"]
    pub fn remove(&mut self, context: &CausalContext) -> Self {
        let change = Change::removal(SiblingsStore::default(), context.clone());
        self.apply(change).unwrap_or_default()
    }
}
