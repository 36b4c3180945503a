//! Replicas, what is in flight between them, and what their applications write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Config;
use super::link::Link;
use super::op::{self, Kept, Op};
use super::oracle::Oracle;
use super::random::Random;
use super::stats::Stats;
use crate::causal::{Dot, ReplicaId, VersionVector};
use crate::digest::RootHash;
use crate::error::Error;
use crate::space::{Item, Options, Space, Store, Tuning};
use crate::storage::MemoryStorage;

/// What went wrong, in words.
pub(super) type Wrong = String;

pub(super) struct Replica {
    pub(super) name: char,
    pub(super) alive: bool,
    storage: MemoryStorage,
    options: Options,
    pub(super) store: Store,
    pub(super) spaces: Vec<Space>,
    /// What was read and may be handed back, per space.
    kept: Vec<Vec<Kept>>,
    /// The vectors when last looked at: they only rise.
    pub(super) vectors: Vec<VersionVector>,
    /// The commits when last looked at: as long as there is none, nothing can have changed.
    pub(super) commits: Vec<u64>,
}

/// A seeded world: replicas that run the shipped code on memory, sessions between them
/// whose frames are delivered one at a time, and an oracle for each space.
pub struct World {
    pub(super) config: Config,
    pub(super) random: Random,
    clock: Arc<AtomicU64>,
    pub(super) replicas: Vec<Replica>,
    pub(super) links: Vec<Link>,
    pub(super) oracles: Vec<Oracle>,
    pub(super) roots: BTreeMap<(usize, Vec<Dot>), RootHash>,
    pub(super) stats: Stats,
    pub(super) story: Option<Vec<String>>,
    written: u8,
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").field("config", &self.config).finish_non_exhaustive()
    }
}

pub(super) fn failed(at: &str) -> impl Fn(Error) -> Wrong + '_ {
    move |error| format!("ERROR: {at}: {error}")
}

pub(super) fn items_of(
    visit: impl FnOnce(&mut dyn FnMut(Item)) -> Result<(), Error>,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    visit(&mut |item| items.push(item))?;
    Ok(items)
}

/// What is live in a space, a snapshot or a transaction.
macro_rules! items {
    ($on:expr) => {
        $crate::sim::world::items_of(|keep| {
            $on.for_each_item($crate::space::Keys::all(), |item| {
                keep(item);
                core::ops::ControlFlow::Continue(())
            })
        })
    };
}
pub(super) use items;

impl World {
    /// The world of a seed. With `tells`, it keeps its story.
    pub(super) fn new(seed: u64, tells: bool) -> Result<Self, Wrong> {
        let mut random = Random::new(seed);
        let config = Config::draw(&mut random);
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let dice = Arc::new(Mutex::new(Random::new(random.next())));
        let mut world = Self {
            clock,
            replicas: Vec::new(),
            links: Vec::new(),
            oracles: (0..config.spaces).map(|_| Oracle::default()).collect(),
            roots: BTreeMap::new(),
            stats: Stats { worlds: 1, ..Stats::default() },
            story: tells.then(Vec::new),
            written: 0,
            config,
            random,
        };
        for (name, skew_ms) in ('A'..).zip(world.config.clock_skews_ms.clone()) {
            let (clock, dice) = (world.clock.clone(), dice.clone());
            let mut options = Options::with(
                Arc::new(move || clock.load(Ordering::Relaxed).saturating_add(skew_ms)),
                Arc::new(move |bytes| {
                    dice.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
                }),
            );
            options.removal_log_bytes = world.config.removal_log_bytes;
            options.past_origins = world.config.past_origins;
            options.tuning = Tuning {
                chunk_events: world.config.chunk_events,
                frame_bytes: world.config.frame_bytes,
                short_vector_bytes: world.config.short_vector_bytes,
                spares: world.config.spares,
                ..Tuning::default()
            };
            let mut id = [0; 16];
            (options.entropy)(&mut id);
            id[0] %= world.config.buckets;
            let storage = MemoryStorage::new(ReplicaId::from_bytes(id));
            let (store, spaces) = world.open(&storage, &options)?;
            world.tell(|| format!("{name} is {}", store.replica()));
            world.replicas.push(Replica {
                name,
                alive: true,
                storage,
                options,
                store,
                kept: vec![Vec::new(); spaces.len()],
                vectors: vec![VersionVector::new(); spaces.len()],
                commits: vec![0; spaces.len()],
                spaces,
            });
        }
        Ok(world)
    }

    fn open(
        &self,
        storage: &MemoryStorage,
        options: &Options,
    ) -> Result<(Store, Vec<Space>), Wrong> {
        let store = Store::on(Box::new(storage.clone()), options.clone());
        let store = store.map_err(failed("opening"))?;
        let spaces: Result<_, _> =
            (0..self.config.spaces).map(|n| store.space(&Config::space_name(n))).collect();
        Ok((store, spaces.map_err(failed("a space"))?))
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(what());
        }
    }

    /// What happened so far, where it was kept.
    pub(super) fn story(&self) -> &[String] {
        self.story.as_deref().unwrap_or_default()
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn pass_time(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// The replicas that live.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|r| self.replicas[*r].alive).collect()
    }

    /// Draws mutations and makes them at a replica, in one transaction.
    pub(super) fn write(&mut self, r: usize, count: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let ops: Vec<Op> = (0..count)
            .map(|_| {
                let kept = &self.replicas[r].kept[s];
                Op::draw(&mut self.random, &self.config.families, kept)
            })
            .collect();
        self.make(r, s, &ops)
    }

    fn make(&mut self, r: usize, s: usize, ops: &[Op]) -> Result<(), Wrong> {
        let space = self.replicas[r].spaces[s].clone();
        let id = self.replicas[r].store.replica();
        let own = space.vector().map_err(failed("a vector"))?.get(id).get();
        let (mut deeds, mut last) = (Vec::new(), own);
        let oracle = &self.oracles[s];
        let is_removed = |dot| oracle.is_removed(dot);
        let mut value = self.written;
        let mut judged = Ok(());
        if let ([op], true) = (ops, value.is_multiple_of(2)) {
            value = value.wrapping_add(1);
            let before = items!(space).map_err(failed("a scan"))?;
            op::perform(&space, op, value).map_err(failed("a write"))?;
            let after = items!(space).map_err(failed("a scan"))?;
            let deed = op::judge(op, &before, &after, op::dot_after(id, last), is_removed)?;
            last += u64::from(deed.dot.is_some());
            deeds.push(deed);
        } else {
            let done = space.write(|tx| {
                let mut before = items!(tx)?;
                for op in ops {
                    value = value.wrapping_add(1);
                    op::perform_in(tx, op, value)?;
                    let after = items!(tx)?;
                    match op::judge(op, &before, &after, op::dot_after(id, last), is_removed) {
                        Ok(deed) => {
                            last += u64::from(deed.dot.is_some());
                            deeds.push(deed);
                        }
                        Err(wrong) => judged = Err(wrong),
                    }
                    before = after;
                }
                Ok::<_, Error>(())
            });
            done.map_err(failed("a transaction"))?;
        }
        self.written = value;
        let name = self.replicas[r].name;
        self.tell(|| {
            let did = deeds.iter().zip(ops).map(|(deed, op)| match deed.dot {
                Some(dot) => format!("{op:?} as {} removing {:?}", dot.seq, deed.removed),
                None => format!("{op:?}, for nothing"),
            });
            format!("{name} writes in space {s}: {}", did.collect::<Vec<_>>().join("; "))
        });
        judged?;
        self.stats.events += last - own;
        let oracle = &mut self.oracles[s];
        oracle.add_transaction(id, own + 1, last);
        for deed in deeds {
            if let Some(dot) = deed.dot {
                oracle.add(dot, deed.wrote, deed.removed);
            }
        }
        let vector = space.vector().map_err(failed("a vector"))?;
        if vector.get(id).get() != last {
            return Err(format!("OP: {name} made {} events, not {last}", vector.get(id)));
        }
        self.check(r, s)
    }

    /// A replica reads a key and keeps the context.
    pub(super) fn read(&mut self, r: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        let key = *self.random.pick(&["v1", "v2"]);
        let kept = Kept::read(&self.replicas[r].spaces[s], key).map_err(failed("a read"))?;
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} reads {key} in space {s}: {:?}", kept.context));
        let all = &mut self.replicas[r].kept[s];
        if all.len() > 5 {
            all.remove(0);
        }
        all.push(kept);
        Ok(())
    }

    /// A replica dies for ever.
    pub(super) fn die(&mut self, r: usize) -> Result<(), Wrong> {
        self.cut_all_of(r)?;
        self.replicas[r].alive = false;
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} dies"));
        Ok(())
    }

    /// A replica stops and is opened again from its storage.
    pub(super) fn reopen(&mut self, r: usize) -> Result<(), Wrong> {
        self.cut_all_of(r)?;
        self.stats.reopened += 1;
        let replica = &self.replicas[r];
        let (name, storage) = (replica.name, replica.storage.clone());
        let options = replica.options.clone();
        let (store, spaces) = self.open(&storage, &options)?;
        self.tell(|| format!("{name} is opened again"));
        self.replicas[r].store = store;
        self.replicas[r].spaces = spaces;
        self.replicas[r].commits.fill(0);
        self.check_all(r)
    }
}
