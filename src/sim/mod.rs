//! Seeded worlds: replicas that run the shipped code, and an oracle that knows better.
//!
//! A world draws everything from one seed: how many replicas there are and who meets whom,
//! how much they may forget, who writes what, which frame is delivered next and which is
//! lost, whose disk fails and when. Its replicas are [`Store`](crate::Store)s on [`Disk`]s
//! with the world's clock and dice; its sessions are pairs of
//! [`Session`](crate::session::Session)s, with writes between any two frames. Then it does
//! [`Damage`]: connections break, lose and swap frames, the network parts, the power goes,
//! disks fill up, fail and lose what was not synced, replicas are put back to a backup, copied,
//! with and without noticing it, away for 400 days, dead, and new ones come, spaces are dropped.
//! Most worlds keep their replicas in tables in memory, one of ten above the engine that ships and
//! a block device.
//!
//! After every step the [`Oracle`] asks of the replica that was touched whether anything is
//! lost, has vanished early, is shown too soon or by half; and of one that was opened again
//! whether all is there that was acknowledged. In the end all is healed, those that are left
//! meet, and after a stated number of sessions they must show what the oracle says, under one
//! root, and have no more to say.
//!
//! [`run`] runs a world, [`explain`] tells the story of one that fails, made short: steps and
//! replicas that do not matter are left out. The same seed is the same world, everywhere.
//! [`Application`] is what brings a workload of your own into them:
//! [the guide](crate::guide::worlds) tells how.
//!
//! ```
//! let stats = rejoin::sim::run(7).unwrap();
//! assert_eq!(stats.worlds, 1);
//! ```
#![allow(
    clippy::indexing_slicing,
    reason = "a world numbers what it makes itself, and should stop loudly where it is wrong"
)]

mod app;
mod claims;
mod config;
mod copies;
mod damage;
#[doc(hidden)]
pub mod decoders;
mod disk;
mod dropping;
mod forks;
pub mod hostile;
mod liars;
mod lines;
mod link;
mod meetings;
mod op;
mod opened;
mod oracle;
mod questions;
mod random;
mod replica;
mod settle;
mod shrink;
mod stats;
mod steps;
mod story;
mod world;
mod writes;
mod wrong;

pub use app::Application;
pub use config::{Config, Topology};
pub use damage::Damage;
pub use disk::{Disk, Image, Trouble};
pub use oracle::{Oracle, Seen, Strictness};
pub use random::Random;
pub use shrink::Failure;
pub use stats::Stats;

use shrink::Cut;
use story::Tells;

/// Runs the world of a seed.
///
/// # Errors
/// What did not hold, and all that happened; [`explain`] makes a short story of it.
pub fn run(seed: u64) -> Result<Stats, Box<Failure>> {
    run_with(seed, None)
}

/// Runs the world of a seed with replicas of an application.
///
/// # Errors
/// What did not hold, and all that happened; [`explain_application`] makes it short.
pub fn run_application(seed: u64, application: &dyn Application) -> Result<Stats, Box<Failure>> {
    run_with(seed, Some(application))
}

fn run_with(seed: u64, application: Option<&dyn Application>) -> Result<Stats, Box<Failure>> {
    let whole = Cut::default();
    match shrink::live(seed, &whole, Tells::Nothing, application) {
        Ok((stats, _)) => Ok(stats),
        Err(_) => Err(Box::new(shrink::tell(seed, &whole, Tells::Deeds, application))),
    }
}

/// The story of a seed's world: short, where it fails; with each frame, if so asked.
#[must_use]
pub fn explain(seed: u64, frames: bool) -> Failure {
    shrink::explain(seed, frames, None)
}

/// The story of a seed's world with an application, made short where it fails.
#[must_use]
pub fn explain_application(seed: u64, application: &dyn Application) -> Failure {
    shrink::explain(seed, false, Some(application))
}
