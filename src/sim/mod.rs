//! Seeded worlds: replicas that run the shipped code, and an oracle that knows better.
//!
//! A world draws everything from one seed: how many replicas there are, how much they may
//! forget, who writes what, who meets whom, which frame is delivered next and which is
//! lost. Its replicas are [`Store`](crate::Store)s on memory with the world's clock and
//! dice; its sessions are pairs of [`Session`](crate::session::Session)s, up to four at a
//! time between any pair, with writes between any two frames. Sessions are cut and resumed,
//! replicas are opened again or die for ever, removal logs and pasts are short or empty,
//! chunks hold an event or three.
//!
//! After every step the [`Oracle`] asks of the replica that was touched whether anything is
//! lost, has vanished early, is shown too soon or by half. In the end those that are left
//! meet until they are quiet, and must show what the oracle says, under one root, for
//! one round trip more.
//!
//! [`run`] runs a world, [`explain`] tells its story. The same seed is the same world.
//!
//! ```
//! let stats = rejoin::sim::run(7).unwrap();
//! assert_eq!(stats.worlds, 1);
//! ```
#![allow(
    clippy::indexing_slicing,
    reason = "a world numbers what it makes itself, and should stop loudly where it is wrong"
)]

mod config;
#[doc(hidden)]
pub mod decoders;
pub mod hostile;
mod link;
mod meetings;
mod op;
mod oracle;
mod questions;
mod random;
mod stats;
mod world;

pub use config::Config;
pub use oracle::{Oracle, Strictness};
pub use random::Random;
pub use stats::Stats;
pub use world::World;

use world::Wrong;

/// A world in which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the world.
    pub seed: u64,
    /// What it drew.
    pub config: Option<Config>,
    /// What did not hold.
    pub what: String,
    /// What happened, step by step.
    pub story: Vec<String>,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "the world of seed {} fails: {}", self.seed, self.what)?;
        writeln!(f, "it drew {:?}", self.config)?;
        for (step, line) in self.story.iter().enumerate() {
            writeln!(f, "{step:4} {line}")?;
        }
        writeln!(f, "once more: REJOIN_SEED={} cargo test --features sim --test model", self.seed)
    }
}

impl std::error::Error for Failure {}

/// Runs the world of a seed; where it fails, once more to tell the story.
///
/// # Errors
/// What did not hold.
pub fn run(seed: u64) -> Result<Stats, Box<Failure>> {
    live(seed, false).or_else(|_| live(seed, true))
}

/// The story of a seed's world, whether it fails or not.
#[must_use]
pub fn explain(seed: u64) -> Failure {
    let mut world = match World::new(seed, true) {
        Ok(world) => world,
        Err(what) => return Failure { seed, config: None, what, story: Vec::new() },
    };
    let what = history(&mut world).err().unwrap_or_else(|| "nothing".to_owned());
    Failure { seed, config: Some(world.config.clone()), what, story: world.story().to_vec() }
}

fn live(seed: u64, tells: bool) -> Result<Stats, Box<Failure>> {
    let fail = |what, world: Option<&World>| {
        Box::new(Failure {
            seed,
            config: world.map(|world| world.config.clone()),
            what,
            story: world.map(|world| world.story().to_vec()).unwrap_or_default(),
        })
    };
    let mut world = World::new(seed, tells).map_err(|what| fail(what, None))?;
    match history(&mut world) {
        Ok(()) => Ok(world.stats.clone()),
        Err(what) => Err(fail(what, Some(&world))),
    }
}

fn history(world: &mut World) -> Result<(), Wrong> {
    for r in world.living() {
        for _ in 0..world.random.below(world.config.writes_before + 1) {
            world.write(r, 1)?;
        }
    }
    for _ in 0..world.config.steps {
        happen(world)?;
        let later = if world.random.percent(world.config.jump_percent) {
            11_000
        } else {
            world.random.below(30)
        };
        world.pass_time(later as u64);
    }
    if world.config.deaths {
        let living = world.living();
        let die = world.random.below(living.len() - 1);
        for _ in 0..die {
            let living = world.living();
            let r = *world.random.pick(&living);
            world.die(r)?;
        }
    }
    world.settle()
}

/// One step of a history.
fn happen(world: &mut World) -> Result<(), Wrong> {
    let living = world.living();
    let r = *world.random.pick(&living);
    if world.random.below(1000) < world.config.death_permille && living.len() > 2 {
        return world.die(r);
    }
    if world.random.below(1000) < world.config.reopen_permille {
        return world.reopen(r);
    }
    if world.random.percent(world.config.write_percent) {
        return match world.random.below(12) {
            0..2 => world.read(r),
            2..4 => {
                let count = world.random.between(2, 4);
                world.write(r, count)
            }
            _ => world.write(r, 1),
        };
    }
    if world.random.percent(20) && world.links.len() < world.config.sessions {
        let (a, b) = world.random.two_below(living.len());
        let scope = world.config.scope(&mut world.random);
        return world.meet(living[a], living[b], scope);
    }
    if world.random.percent(world.config.cut_percent) && !world.links.is_empty() {
        let l = world.random.below(world.links.len());
        return world.cut(l);
    }
    for _ in 0..world.random.between(1, 12) {
        if world.links.is_empty() {
            break;
        }
        let l = world.random.below(world.links.len());
        world.step(l)?;
    }
    Ok(())
}
