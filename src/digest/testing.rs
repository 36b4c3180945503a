//! What the tests are made of: rows in memory, and histories of one space.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use quickcheck::{Arbitrary, Gen, QuickCheck, Testable};

use super::{ItemHash, Marks, RootHash, reference, refresh};
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::storage::{KeyRange, Order, Read, StorageError, Table, Visit, Write};

/// Draws cases; an interpreter takes a thousand times as long for each, and gets few.
pub(super) fn check(property: impl Testable) {
    QuickCheck::new().tests(if cfg!(miri) { 2 } else { 200 }).quickcheck(property);
}

/// Tables in memory, without transactions.
#[derive(Clone, Default)]
pub(super) struct Rows(BTreeMap<(u8, Vec<u8>), Vec<u8>>);

impl Rows {
    pub(super) fn count(&self, table: Table) -> usize {
        self.0.keys().filter(|key| key.0 == table as u8).count()
    }

    pub(super) fn all(&self, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        let of = self.0.iter().filter(|((of, _), _)| *of == table as u8);
        of.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

impl Read for Rows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(&(table as u8, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        assert_eq!(order, Order::Ascending);
        let from = Bound::Included((table as u8, range.from.to_vec()));
        let to = Bound::Excluded(match range.to {
            Some(to) => (table as u8, to.to_vec()),
            None => (table as u8 + 1, Vec::new()),
        });
        for ((_, key), value) in self.0.range((from, to)) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Write for Rows {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.0.insert((table as u8, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        Ok(self.0.remove(&(table as u8, key.to_vec())).is_some())
    }
}

pub(super) const SPACE: u32 = 7;

/// Origins of which the first three share a bucket.
pub(super) fn origin(n: u8) -> ReplicaId {
    let mut bytes = [n; 16];
    bytes[0] = [5, 5, 5, 0, 255][usize::from(n) % 5];
    ReplicaId::from_bytes(bytes)
}

pub(super) fn dot(origin_number: u8, seq: u64) -> Dot {
    Dot::new(origin(origin_number), Seq::new(seq))
}

pub(super) fn item(dot: Dot, content: u8) -> ItemHash {
    ItemHash::of(dot, b"place", &[content])
}

pub(super) fn dot_key(space: u32, dot: Dot) -> Vec<u8> {
    let seq = dot.seq.get().to_be_bytes();
    [space.to_be_bytes().as_slice(), dot.replica.as_bytes(), &seq].concat()
}

/// One space, and beside it what the reference needs.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) rows: Rows,
    pub(super) vector: VersionVector,
    pub(super) live: BTreeMap<Dot, ItemHash>,
    pub(super) staged: BTreeMap<Dot, ItemHash>,
    pub(super) marks: Marks,
}

/// What can happen in a space. Things are named by number, so that a shrunk history still
/// means something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// An origin's next event, some numbers further, leaves an item.
    Add { origin: u8, jump: u8 },
    /// An origin's vector moves and leaves nothing.
    Skip { origin: u8, jump: u8 },
    /// A row arrives ahead of the vector.
    Stage { origin: u8, jump: u8 },
    /// A live item goes.
    Remove(u16),
    /// A live item gets another content.
    Rewrite(u16, u8),
    /// The marks are saved, and wait.
    Save,
    /// The marks are saved and worked off.
    Refresh,
}

const JUMPS: [u64; 8] = [1, 1, 1, 2, 255, 256, 16_384, 3_000_000];

fn jump(n: u8) -> u64 {
    if n == u8::MAX { 1 << 50 } else { JUMPS[usize::from(n) % 8] }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let (origin, jump) = (u8::arbitrary(g) % 5, u8::arbitrary(g));
        match u8::arbitrary(g) % 13 {
            0..=4 => Self::Add { origin, jump },
            5 => Self::Skip { origin, jump },
            6 => Self::Stage { origin, jump },
            7 | 8 => Self::Remove(u16::arbitrary(g)),
            9 => Self::Rewrite(u16::arbitrary(g), u8::arbitrary(g)),
            10 => Self::Save,
            _ => Self::Refresh,
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match *self {
            Self::Add { origin, jump } => {
                Box::new((origin, jump).shrink().map(|(origin, jump)| Self::Add { origin, jump }))
            }
            Self::Remove(n) => Box::new(n.shrink().map(Self::Remove)),
            _ => Box::new(std::iter::empty()),
        }
    }
}

impl World {
    /// A space of these live dots, with this vector.
    pub(super) fn of<'a>(
        vector: &VersionVector,
        live: impl IntoIterator<Item = (&'a Dot, &'a ItemHash)>,
    ) -> Self {
        let mut world = Self { vector: vector.clone(), ..Self::default() };
        for (dot, item) in live {
            world.put(*dot, *item);
        }
        world
    }

    pub(super) fn after(steps: &[Step]) -> Self {
        let mut world = Self::default();
        steps.iter().for_each(|step| world.step(*step));
        world
    }

    fn row(&mut self, dot: Dot, item: ItemHash) {
        let value = [item.as_bytes().as_slice(), b"where it stands"].concat();
        self.rows.put(Table::Dots, &dot_key(SPACE, dot), &value).unwrap();
    }

    pub(super) fn put(&mut self, dot: Dot, item: ItemHash) {
        self.row(dot, item);
        match self.live.insert(dot, item) {
            Some(_) => self.marks.changed(dot),
            None => self.marks.came(dot),
        }
    }

    pub(super) fn add(&mut self, dot: Dot) {
        self.advance(dot);
        self.put(dot, item(dot, 0));
    }

    pub(super) fn remove(&mut self, dot: Dot) {
        self.rows.delete(Table::Dots, &dot_key(SPACE, dot)).unwrap();
        self.live.remove(&dot);
        self.marks.went(dot);
    }

    /// Moves the vector; what was staged up to there becomes live.
    fn advance(&mut self, dot: Dot) {
        self.vector.advance(dot);
        let staged = core::mem::take(&mut self.staged);
        for (dot, item) in staged {
            if self.vector.contains(dot) {
                self.marks.came(dot);
                self.live.insert(dot, item);
            } else {
                self.staged.insert(dot, item);
            }
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        let next = |origin_number: u8, n: u8| {
            let seq = self.vector.get(origin(origin_number)).get();
            dot(origin_number, seq.saturating_add(jump(n)))
        };
        let pick = |n: u16| self.live.keys().nth(usize::from(n) % self.live.len().max(1)).copied();
        match step {
            Step::Add { origin, jump } => self.add(next(origin, jump)),
            Step::Skip { origin, jump } => self.advance(next(origin, jump)),
            Step::Stage { origin, jump } => {
                let dot = next(origin, jump);
                self.row(dot, item(dot, 9));
                self.staged.insert(dot, item(dot, 9));
            }
            Step::Remove(n) => {
                if let Some(dot) = pick(n) {
                    self.remove(dot);
                }
            }
            Step::Rewrite(n, content) => {
                if let Some(dot) = pick(n) {
                    self.put(dot, item(dot, content));
                }
            }
            Step::Save => self.save(),
            Step::Refresh => {
                self.refresh();
            }
        }
    }

    fn save(&mut self) {
        self.marks.save(&mut self.rows, SPACE).unwrap();
    }

    pub(super) fn refresh(&mut self) -> RootHash {
        self.save();
        refresh(&mut self.rows, SPACE, &self.vector).unwrap()
    }

    /// The live dots that a cut covers.
    pub(super) fn covered(&self, cut: &VersionVector) -> BTreeMap<Dot, ItemHash> {
        self.live.iter().filter(|(dot, _)| cut.contains(**dot)).map(|(d, i)| (*d, *i)).collect()
    }

    pub(super) fn reference(&self) -> RootHash {
        reference::root(&self.live)
    }
}
