//! The slow, obvious truth about one space, kept beside the replicas.

use std::collections::{BTreeMap, BTreeSet};

use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::Kind;
use crate::space::Item;

/// Which event wrote which item, and which events removed it: everything that ever
/// happened in a space, at all replicas together.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    items: BTreeMap<Dot, Item>,
    removed_by: BTreeMap<Dot, BTreeSet<Dot>>,
    /// The last seq of each transaction of several events, by its first.
    transactions: BTreeMap<Dot, Seq>,
    /// What the writer of a transaction had seen with it, by its last event.
    pasts: BTreeMap<Dot, VersionVector>,
    /// Under which name a line was written, where it is not called by it.
    writers: BTreeMap<ReplicaId, ReplicaId>,
    /// Which row of a counter added up which, and where two did, both.
    added_up: BTreeMap<Dot, Dot>,
    twice: Vec<(Dot, [Dot; 2])>,
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

/// What a replica showed when it was asked last; nothing, at first. What held then need not
/// be asked again: a vector only rises, and what is dead stays dead.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    vector: VersionVector,
    live: Vec<Dot>,
    /// Of what is live, that which was not when it was asked before.
    fresh: Vec<Dot>,
}

impl Seen {
    /// The vector that it showed.
    #[must_use]
    pub const fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// Whether an item was live then.
    pub(super) fn showed(&self, dot: Dot) -> bool {
        self.live.binary_search(&dot).is_ok()
    }

    /// What had come to live since it was asked before that.
    pub(super) fn fresh(&self) -> impl Iterator<Item = Dot> + '_ {
        self.fresh.iter().copied()
    }

    /// What was live then, ascending.
    pub(super) fn live(&self) -> impl Iterator<Item = Dot> + '_ {
        self.live.iter().copied()
    }
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
            self.transactions.insert(Dot::new(replica, Seq::new(first)), Seq::new(last));
        }
    }

    /// What the writer of a transaction has seen, with its last event, which is this one.
    pub fn add_past(&mut self, last: Dot, seen: VersionVector) {
        self.pasts.insert(last, seen);
    }

    /// Events that are told as those of `line` are written under this name: whoever writes under
    /// it adds up the rows of its counters.
    pub(super) fn note_writer(&mut self, line: ReplicaId, name: ReplicaId) {
        if line != name {
            self.writers.insert(line, name);
        }
    }

    fn writer(&self, line: ReplicaId) -> ReplicaId {
        self.writers.get(&line).copied().unwrap_or(line)
    }

    /// A row of a counter is the sum of these and what was added.
    pub(super) fn add_up(&mut self, sum: Dot, rows: &[Dot]) {
        for row in rows {
            match self.added_up.get(row).copied() {
                Some(other) => self.twice.push((*row, [other, sum])),
                None => drop(self.added_up.insert(*row, sum)),
            }
        }
    }

    /// The events of `replica` after `last` never were: the power went before anybody else
    /// saw them.
    pub fn forget(&mut self, replica: ReplicaId, last: Seq) {
        let forgotten = |dot: &Dot| dot.replica == replica && dot.seq > last;
        self.items.retain(|dot, _| !forgotten(dot));
        self.transactions.retain(|dot, _| !forgotten(dot));
        self.pasts.retain(|dot, _| !forgotten(dot));
        self.added_up.retain(|_, sum| !forgotten(sum));
        self.twice.retain(|(_, sums)| !sums.iter().any(forgotten));
        self.removed_by.retain(|_, by| {
            by.retain(|dot| !forgotten(dot));
            !by.is_empty()
        });
    }

    /// Whether any event removed this one's item.
    #[must_use]
    pub fn is_removed(&self, dot: Dot) -> bool {
        self.removed_by.contains_key(&dot)
    }

    /// What an event wrote.
    pub(super) fn item(&self, dot: Dot) -> Option<&Item> {
        self.items.get(&dot)
    }

    /// Whether nothing is known of an event.
    pub(super) fn is_new(&self, dot: Dot) -> bool {
        !self.items.contains_key(&dot)
    }

    /// Whether somebody wrote just this item.
    pub(super) fn wrote(&self, item: &Item) -> bool {
        self.items.get(&item.dot) == Some(item)
    }

    /// Whether somebody wrote just this item under a dot of this seq.
    pub(super) fn wrote_as(&self, item: &Item) -> bool {
        let same = |(dot, wrote): (&Dot, &Item)| {
            dot.seq == item.dot.seq && Item { dot: item.dot, ..wrote.clone() } == *item
        };
        self.items.iter().any(same)
    }

    /// What a replica that has seen `vector` must show in the end.
    #[must_use]
    pub fn live(&self, vector: &VersionVector) -> BTreeSet<Dot> {
        let dead = |dot| self.removers(dot).any(|by| vector.contains(by));
        self.items.keys().copied().filter(|dot| vector.contains(*dot) && !dead(*dot)).collect()
    }

    /// What was removed.
    pub(super) fn removed(&self) -> impl Iterator<Item = Dot> + '_ {
        self.removed_by.keys().copied()
    }

    /// The events that removed this one's item.
    pub(super) fn removers(&self, dot: Dot) -> impl Iterator<Item = Dot> + '_ {
        self.removed_by.get(&dot).into_iter().flatten().copied()
    }

    /// Asks of what a replica shows at one moment:
    ///
    /// - **I0** the vector has not fallen since it was seen last;
    /// - **I1** what is covered and not live was removed by somebody;
    /// - **I2** by an event that is covered here too: nothing vanishes before its successor;
    /// - **I4** nothing comes back that had been seen here and did not live any more;
    /// - **C1** no amount of a counter is there twice;
    /// - **I3** with [`Strictness::Exact`], nothing that a covered event removed is live;
    /// - **TX** of a transaction all events are covered or none, and nothing is shown that
    ///   is not covered;
    /// - **PAST** with an event all is covered that its writer had seen: no causal past has holes;
    /// - and each item stands where it was written, with what was written.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn check(
        &self,
        seen: &mut Seen,
        vector: &VersionVector,
        shown: &[Item],
        strictness: Strictness,
    ) -> Result<(), String> {
        if !vector.covers(&seen.vector) {
            return Err("I0: the vector fell".to_owned());
        }
        let mut live = Vec::with_capacity(shown.len());
        for item in shown {
            self.check_live(item, vector, strictness)?;
            live.push(item.dot);
        }
        live.sort_unstable();
        if let Some(two) = live.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("I0: {} is shown twice", two[0]));
        }
        let is_live = |dot: &Dot| live.binary_search(dot).is_ok();
        for item in shown {
            self.check_counter(item, &is_live)?;
        }
        for (row, sums) in &self.twice {
            let [one, other] = sums.map(|sum| self.added_up_in(sum).find(|dot| is_live(dot)));
            if let Some((one, other)) = one.zip(other).filter(|(one, other)| one != other) {
                return Err(format!("C1: {row} counts in {one}, and in {other}"));
            }
        }
        let lived = |dot: &&Dot| seen.live.binary_search(dot).is_ok();
        let fresh: Vec<Dot> = live.iter().filter(|dot| !lived(dot)).copied().collect();
        if let Some(back) = fresh.iter().find(|dot| seen.vector.contains(**dot)) {
            return Err(format!("I4: {back} comes back"));
        }
        for gone in seen.live.iter().filter(|dot| !is_live(dot)) {
            self.check_dead(*gone, vector)?;
        }
        for (replica, last) in vector.beyond(&seen.vector).iter() {
            let first = Dot::new(replica, seen.vector.get(replica).next());
            let last = Dot::new(replica, last);
            for (dot, _) in self.items.range(first..=last).filter(|(dot, _)| !is_live(dot)) {
                self.check_dead(*dot, vector)?;
            }
            let begun = self.transactions.range(Dot::new(replica, Seq::FIRST)..=last).next_back();
            if let Some((first, end)) = begun.filter(|(_, end)| **end > last.seq) {
                return Err(format!("TX: {last} is seen, of a transaction {first} to {end:?}"));
            }
            // The newest of an origin's events had seen all that the others had.
            let past = self.pasts.range(Dot::new(replica, Seq::FIRST)..=last).next_back();
            if let Some((last, past)) = past.filter(|(_, past)| !vector.covers(past)) {
                let hole = past.beyond(vector);
                return Err(format!("PAST: {last} is seen without {hole:?}, which it had seen"));
            }
        }
        *seen = Seen { vector: vector.clone(), live, fresh };
        Ok(())
    }

    fn check_live(
        &self,
        item: &Item,
        vector: &VersionVector,
        strictness: Strictness,
    ) -> Result<(), String> {
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
        if strictness == Strictness::Exact
            && let Some(by) = self.removers(dot).find(|by| vector.contains(*by))
        {
            return Err(format!("I3: {dot} lives, and {by}, which is covered, removed it"));
        }
        Ok(())
    }

    /// A row of a counter is added up only by its writer, in a row that names it whatever else
    /// is forgotten: with that one, or one that added that up, it would count twice.
    fn check_counter(&self, item: &Item, is_live: &dyn Fn(&Dot) -> bool) -> Result<(), String> {
        if item.path.last().is_none_or(|(kind, _)| *kind != Kind::COUNTER) {
            return Ok(());
        }
        let adds_up = |by: &Dot| {
            let there = |other: &Item| (&other.key, &other.path) == (&item.key, &item.path);
            self.writer(by.replica) == self.writer(item.dot.replica)
                && self.items.get(by).is_some_and(there)
        };
        let mut last = item.dot;
        while let Some(by) = self.removers(last).find(adds_up) {
            if is_live(&by) {
                return Err(format!(
                    "C1: {} counts, and so does {by}, which added it up",
                    item.dot
                ));
            }
            last = by;
        }
        Ok(())
    }

    /// A row, and those that it was added up in, one after the other.
    fn added_up_in(&self, row: Dot) -> impl Iterator<Item = Dot> + '_ {
        core::iter::successors(Some(row), |row| self.added_up.get(row).copied())
    }

    fn check_dead(&self, dot: Dot, vector: &VersionVector) -> Result<(), String> {
        if !self.is_removed(dot) {
            return Err(format!("I1: {dot} is lost"));
        }
        if !self.removers(dot).any(|by| vector.contains(by)) {
            return Err(format!("I2: {dot} vanished before what removed it came"));
        }
        Ok(())
    }
}
