//! Replicas, what is in flight between them, and the oracles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::app::Application;
use super::config::{Config, REPLICAS};
use super::damage::Damage;
use super::link::Link;
use super::oracle::Oracle;
use super::random::Random;
use super::replica::Replica;
use super::stats::Stats;
use super::story::{Story, Tells};
use super::wrong::Wrong;
use crate::causal::Dot;
use crate::digest::RootHash;
use crate::space::Item;

/// When a world begins: in the year 2023, so that a clock may be ten years behind.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A seeded world: replicas that run the shipped code on disks of the world's, sessions
/// between them whose frames are delivered one at a time, and an oracle for each space.
pub(super) struct World<'a> {
    pub(super) seed: u64,
    pub(super) config: Config,
    /// What draws the step that is made now.
    pub(super) random: Random,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) dice: Arc<Mutex<Random>>,
    pub(super) replicas: Vec<Replica>,
    /// Those that no step is about: so that a story gets shorter.
    pub(super) muted: u16,
    pub(super) links: Vec<Link>,
    /// Which of the two parts of the network each replica is in, while it is parted.
    pub(super) parts: Option<[bool; REPLICAS]>,
    pub(super) oracles: Vec<Oracle>,
    /// The root over the items of these dots in a space, and what resolvers make of them.
    pub(super) roots: BTreeMap<(usize, Vec<Dot>), Shown>,
    /// Names under which was written.
    pub(super) names: usize,
    /// In each space what somebody removed, and went or was put back, and nobody else was sure
    /// to know: it may live on.
    pub(super) forgiven: Vec<BTreeSet<Dot>>,
    /// Whether two stores ever went on under one name, or may have.
    pub(super) twinned: bool,
    /// How often all was healed: once, unless somebody was found damaged only then.
    pub(super) healings: u64,
    pub(super) stats: Stats,
    pub(super) story: Story,
    pub(super) written: u8,
    pub(super) application: Option<&'a dyn Application>,
}

/// What a replica with certain items shows besides.
type Shown = (RootHash, [Option<Vec<u8>>; 2]);

/// What is live under some keys of a space, a snapshot or a transaction.
macro_rules! items {
    ($on:expr, $keys:expr) => {{
        let mut items: Vec<$crate::space::Item> = Vec::new();
        $on.for_each_item($keys, |item| {
            items.push(item);
            core::ops::ControlFlow::Continue(())
        })
        .map(|()| items)
    }};
}
pub(super) use items;

impl<'a> World<'a> {
    /// The world of a seed, with nobody in it who has written.
    pub(super) fn new(
        seed: u64,
        tells: Tells,
        muted: u16,
        application: Option<&'a dyn Application>,
    ) -> Result<Self, Wrong> {
        let mut random = Random::new(seed);
        let config = Config::draw(seed, &mut random, application.is_some());
        let mut world = Self {
            seed,
            clock: Arc::new(AtomicU64::new(BEGINNING_MS)),
            dice: Arc::new(Mutex::new(Random::new(random.next()))),
            replicas: Vec::new(),
            muted,
            links: Vec::new(),
            parts: None,
            oracles: (0..config.spaces).map(|_| Oracle::default()).collect(),
            roots: BTreeMap::new(),
            names: 0,
            forgiven: vec![BTreeSet::new(); config.spaces],
            twinned: false,
            healings: 0,
            stats: Stats { worlds: 1, on_blocks: config.on_blocks.into(), ..Stats::default() },
            story: Story::new(tells),
            written: 0,
            config,
            random,
            application,
        };
        for _ in 0..world.config.replicas {
            world.join(None)?;
        }
        Ok(world)
    }

    /// From now on all is drawn for the step of this number, whatever was drawn before it.
    pub(super) fn draw_for(&mut self, step: u64) {
        self.random = Random::of(self.seed, step);
        *self.dice.lock().unwrap_or_else(PoisonError::into_inner) = Random::of(!self.seed, step);
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        self.story.tell(what);
    }

    pub(super) fn tell_frame(&mut self, l: usize, what: impl FnOnce() -> String) {
        let about = self.links.get(l).map_or("", |link| &link.about);
        self.story.tell_frame(about, what);
    }

    pub(super) const fn tells_frames(&self) -> bool {
        self.story.tells_frames()
    }

    /// Damage is done.
    pub(super) fn damage(&mut self, damage: Damage, what: impl FnOnce() -> String) {
        self.stats.note(damage);
        self.tell(what);
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn pass_time(&mut self, ms: u64) {
        self.stats.simulated_ms += ms;
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// The replicas that live, wherever they are.
    pub(super) fn living(&self) -> Vec<usize> {
        let mut living: Vec<usize> = (0..self.replicas.len()).collect();
        living.retain(|r| self.replicas[*r].alive && !self.is_muted(*r));
        living
    }

    pub(super) const fn is_muted(&self, r: usize) -> bool {
        self.muted & (1 << r) != 0
    }

    /// Draws a replica that lives, is open, and is not away.
    pub(super) fn pick(&mut self) -> Option<usize> {
        // Among all that could be, so that who is not there changes nothing for the others.
        (0..8).find_map(|_| {
            let r = self.random.below(REPLICAS.min(2 * self.config.replicas));
            self.is_there(r).then_some(r)
        })
    }

    pub(super) fn is_there(&self, r: usize) -> bool {
        let there = self.replicas.get(r).is_some_and(|r| r.alive && !r.away && r.is_open());
        there && !self.is_muted(r)
    }

    /// Draws somebody whom `a` may meet now.
    pub(super) fn pick_peer(&mut self, a: usize) -> Option<usize> {
        let living = self.living();
        let at = living.iter().position(|r| *r == a)?;
        let peers: Vec<usize> = (0..living.len())
            .filter(|b| self.config.topology.joins(at, *b, living.len()))
            .map(|b| living[b])
            .filter(|b| self.is_there(*b) && !self.are_parted(a, *b))
            .collect();
        (!peers.is_empty()).then(|| *self.random.pick(&peers))
    }

    pub(super) fn are_parted(&self, a: usize, b: usize) -> bool {
        self.parts.is_some_and(|parts| parts[a] != parts[b])
    }
}

/// The dots of some items, ascending.
pub(super) fn dots_of(items: &[Item]) -> Vec<Dot> {
    let mut dots: Vec<Dot> = items.iter().map(|item| item.dot).collect();
    dots.sort_unstable();
    dots
}
