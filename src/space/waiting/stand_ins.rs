//! What stands in for salvaged items: under which names, and whose it is.
//!
//! Two stores that are both recovered may have salvaged one item. If each adopts it, a counter adds
//! it twice, and no peer that has seen the item may be left to take either of them away. So the
//! dot of a stand-in tells which event it stands in for: its name whose, and its seq is that of
//! the event; what is between these of one name is dead from the start. A store in which an item
//! waits looks for it where the item stood, and what has its payload as well is the stand-in of
//! that item here too. Of two the one with the smaller dot stays, and whoever
//! notices removes the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Waiting, waiting_key};
use crate::causal::{Dot, ReplicaId, Tag, VersionVector};
use crate::codec::limits;
use crate::space::batch::Batch;
use crate::space::rows::{Removal, Which, corrupt, item_key, item_value, payload_of, read_vector};
use crate::storage::{StorageError, Table};

/// Under how many names stand-ins are written in one go: each stays in the vector for ever.
const MOST_NAMES: usize = 1_000;

/// How many names are looked through for what stands in for one item.
const MOST_ALIKE: usize = 64;

/// What tells a name of stand-ins for events of this replica: the second half of it.
fn mark_of(origin: ReplicaId) -> [u8; 8] {
    let hash = blake3::derive_key("rejoin 2026 whose events are stood in for", origin.as_bytes());
    hash.first_chunk().copied().unwrap_or_default()
}

/// The names under which stand-ins are written that are made in an opening with this tag.
pub(super) struct Names {
    tag: Tag,
    origins: BTreeSet<ReplicaId>,
}

impl Names {
    pub(super) fn of(tag: Tag) -> Self {
        Self { tag, origins: BTreeSet::new() }
    }

    /// The name for those of events of `origin`; beyond the limit, one that tells nothing.
    fn name(&mut self, origin: ReplicaId) -> ReplicaId {
        if self.origins.len() >= MOST_NAMES && !self.origins.contains(&origin) {
            return self.plain();
        }
        self.origins.insert(origin);
        let mut bytes = self.hash();
        if let Some(half) = bytes.last_chunk_mut() {
            *half = mark_of(origin);
        }
        ReplicaId::from_bytes(bytes)
    }

    /// A name that tells nothing.
    fn plain(&self) -> ReplicaId {
        ReplicaId::from_bytes(self.hash())
    }

    fn hash(&self) -> [u8; 16] {
        let context = "rejoin 2026 stand-ins for salvaged items";
        let hash = blake3::derive_key(context, self.tag.as_bytes());
        hash.first_chunk().copied().unwrap_or_default()
    }
}

impl Batch<'_> {
    /// The names in the vector by their second halves, since each may be one of stand-ins.
    pub(super) fn names_by_mark(&self) -> Result<BTreeMap<[u8; 8], Vec<ReplicaId>>, StorageError> {
        let mut names: BTreeMap<[u8; 8], Vec<ReplicaId>> = BTreeMap::new();
        for (name, _) in read_vector(self.rows, self.space, Which::Seen)?.iter() {
            if let Some(mark) = name.as_bytes().last_chunk() {
                names.entry(*mark).or_default().push(name);
            }
        }
        Ok(names)
    }

    /// What stands in for an item and is here, ascending: by the row of the item, and by names. A
    /// peer that makes up many names of one mark is not followed in all of them.
    pub(super) fn stand_ins(
        &self,
        waiting: &Waiting<'_>,
        names: &BTreeMap<[u8; 8], Vec<ReplicaId>>,
    ) -> Result<Vec<Dot>, StorageError> {
        let Dot { replica, seq } = waiting.dot;
        let named = names.get(&mark_of(replica)).into_iter().flatten().take(MOST_ALIKE);
        let mut all: Vec<Dot> = waiting.stand_in.into_iter().collect();
        all.extend(named.map(|name| Dot::new(*name, seq)));
        all.sort_unstable();
        all.dedup();
        let broken = |e| corrupt(Table::Items, waiting.place, e);
        let payload = payload_of(waiting.value).map_err(broken)?;
        let mut here = Vec::new();
        for dot in all {
            // What is staged is not here yet. The past may have been lost of one of the two.
            let key = item_key(self.space, waiting.place, Some(dot));
            if dot.seq <= self.seen(dot.replica)
                && let Some(value) = self.rows.get(Table::Items, &key)?
                && (waiting.decided || payload_of(&value).map_err(broken)? == payload)
            {
                here.push(dot);
            }
        }
        Ok(here)
    }

    /// The dot of a stand-in for this one.
    pub(super) fn mint_stand_in(
        &mut self,
        names: &mut Names,
        dot: Dot,
    ) -> Result<Dot, StorageError> {
        if self.origins() < limits::VECTOR_REPLICAS / 2 {
            let stand_in = Dot::new(names.name(dot.replica), dot.seq);
            if self.mint_at(stand_in) {
                return Ok(stand_in);
            }
        }
        self.mint(names.plain())
    }

    /// Notes what stands in for an item. What did before and is not here may come.
    pub(super) fn put_stand_in(
        &mut self,
        waiting: &Waiting<'_>,
        dot: Dot,
    ) -> Result<(), StorageError> {
        let lost = waiting.lost || self.is_elsewhere(waiting.stand_in.filter(|old| *old != dot));
        Waiting { stand_in: Some(dot), lost, ..*waiting }.put(self.rows, self.space)
    }

    /// Notes that an item is decided, for as long as what stood in for it may come.
    pub(super) fn decide(&mut self, waiting: &Waiting<'_>) -> Result<(), StorageError> {
        if !waiting.lost && !self.is_elsewhere(waiting.stand_in) {
            let key = waiting_key(self.space, waiting.dot);
            return self.rows.delete(Table::Meta, &key).map(drop);
        }
        let value = &item_value(&VersionVector::new(), &[]);
        let decided = Waiting { stand_in: None, lost: true, decided: true, value, ..*waiting };
        decided.put(self.rows, self.space)
    }

    /// Whether a stand-in is not here, and was not either, since the store was recovered.
    fn is_elsewhere(&self, stand_in: Option<Dot>) -> bool {
        stand_in.is_some_and(|dot| dot.seq > self.seen(dot.replica))
    }

    /// Removes a stand-in, if it is here: whoever replaced it has seen it. How many that are.
    pub(super) fn remove_stand_in(
        &mut self,
        own: ReplicaId,
        dot: Dot,
    ) -> Result<u64, StorageError> {
        if !self.remove_dot(dot)? {
            return Ok(0);
        }
        let by = self.mint(own)?;
        self.log_removal(by, &Removal::Dots(vec![dot]))?;
        Ok(1)
    }
}
