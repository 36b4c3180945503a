//! The slow, obvious truth about one space, kept beside the replicas.

use std::collections::{BTreeMap, BTreeSet};

use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::space::Item;

/// Which event wrote which item, and which events removed it: everything that ever
/// happened in a space, at all replicas together.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    items: BTreeMap<Dot, Item>,
    removed_by: BTreeMap<Dot, BTreeSet<Dot>>,
    transactions: Vec<(ReplicaId, u64, u64)>,
}

/// How much may be asked of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Logs and pasts are whole and nothing is spared: not even for a moment does
    /// anything live that a covered event removed.
    Exact,
    /// Something was forgotten on purpose: a removal may show late.
    Pruned,
}

impl Oracle {
    /// An event: what it wrote, if it did, and what it removed.
    pub fn add(&mut self, dot: Dot, wrote: Option<Item>, removed: impl IntoIterator<Item = Dot>) {
        if let Some(item) = wrote {
            self.items.insert(dot, item);
        }
        for dead in removed {
            self.removed_by.entry(dead).or_default().insert(dot);
        }
    }

    /// The events of one transaction: those of `replica` from `first` to `last`.
    pub fn add_transaction(&mut self, replica: ReplicaId, first: u64, last: u64) {
        if first < last {
            self.transactions.push((replica, first, last));
        }
    }

    /// Whether any event removed this one's item.
    #[must_use]
    pub fn is_removed(&self, dot: Dot) -> bool {
        self.removed_by.contains_key(&dot)
    }

    /// What a replica that has seen `vector` must show in the end.
    #[must_use]
    pub fn live(&self, vector: &VersionVector) -> BTreeSet<Dot> {
        let dead = |dot| self.removers(dot).any(|by| vector.contains(by));
        self.items.keys().copied().filter(|dot| vector.contains(*dot) && !dead(*dot)).collect()
    }

    fn removers(&self, dot: Dot) -> impl Iterator<Item = Dot> + '_ {
        self.removed_by.get(&dot).into_iter().flatten().copied()
    }

    /// Asks of what a replica shows at one moment:
    ///
    /// - **I1** what is covered and not live was removed by somebody;
    /// - **I2** by an event that is covered here too: nothing vanishes before its successor;
    /// - **I3** with [`Strictness::Exact`], nothing that a covered event removed is live;
    /// - **TX** of a transaction all events are covered or none, and nothing is shown that
    ///   is not covered;
    /// - and each item stands where it was written, with what was written.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn check(
        &self,
        vector: &VersionVector,
        shown: &[Item],
        strictness: Strictness,
    ) -> Result<(), String> {
        let mut live = BTreeSet::new();
        for item in shown {
            let dot = item.dot;
            if !vector.contains(dot) {
                return Err(format!("TX: {dot} is shown, and is ahead of the vector"));
            }
            match self.items.get(&dot) {
                None => return Err(format!("I0: {dot} is shown, and nobody wrote an item there")),
                Some(wrote) if wrote != item => {
                    return Err(format!("I0: {dot} was {wrote:?} and is {item:?}"));
                }
                Some(_) => {}
            }
            if !live.insert(dot) {
                return Err(format!("I0: {dot} is shown twice"));
            }
            let by = self.removers(dot).find(|by| vector.contains(*by));
            if let (Strictness::Exact, Some(by)) = (strictness, by) {
                return Err(format!("I3: {dot} lives, and {by}, which is covered, removed it"));
            }
        }
        for dot in self.items.keys().filter(|dot| vector.contains(**dot)) {
            if live.contains(dot) {
                continue;
            }
            if !self.is_removed(*dot) {
                return Err(format!("I1: {dot} is lost"));
            }
            if !self.removers(*dot).any(|by| vector.contains(by)) {
                return Err(format!("I2: {dot} vanished before what removed it came"));
            }
        }
        for (replica, first, last) in &self.transactions {
            let seen = vector.get(*replica).get();
            if *first <= seen && seen < *last {
                return Err(format!("TX: {seen} of {replica}, of a transaction {first} to {last}"));
            }
        }
        Ok(())
    }
}
