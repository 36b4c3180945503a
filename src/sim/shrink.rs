//! Worlds that fail, told in few words: what does not matter is left out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::app::Application;
use super::config::{Config, REPLICAS};
use super::random::Random;
use super::stats::Stats;
use super::story::Tells;
use super::world::World;
use super::wrong::Wrong;

/// Worlds that are run to make one story shorter, at most.
const TRIES: usize = 3_000;

/// A world in which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the world.
    pub seed: u64,
    /// What it drew.
    pub config: Option<Config>,
    /// What did not hold; `nothing`, where all did.
    pub what: String,
    /// Steps that were left out, because it fails without them.
    pub left_out: usize,
    /// What happened, step by step.
    pub story: Vec<String>,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "the world of seed {}: {}", self.seed, self.what)?;
        if let Some(config) = &self.config {
            writeln!(f, "it drew {config:?}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "{} steps that do not matter are left out", self.left_out)?;
        }
        for (step, line) in self.story.iter().enumerate() {
            writeln!(f, "{:4} {line}", step + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What is left out of a world.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut {
    /// The steps that are made; none for all.
    steps: Option<Vec<usize>>,
    /// Replicas that no step is about.
    muted: u16,
}

/// A world that was run to its end: what it did, and its story.
type Lived = (Stats, Vec<String>);

/// A world that failed: what it drew, how many steps it has, and what did not hold.
struct Failed {
    config: Option<Config>,
    steps: usize,
    what: String,
    story: Vec<String>,
}

/// Runs a world.
pub(super) fn live(
    seed: u64,
    cut: &Cut,
    tells: Tells,
    application: Option<&dyn Application>,
) -> Result<Lived, String> {
    match attempt(seed, cut, tells, application) {
        (Ok(stats), failed) => Ok((stats, failed.story)),
        (Err(()), failed) => Err(failed.what),
    }
}

fn attempt(
    seed: u64,
    cut: &Cut,
    tells: Tells,
    application: Option<&dyn Application>,
) -> (Result<Stats, ()>, Failed) {
    let made = unless_it_panics(|| World::new(seed, tells, cut.muted, application));
    let mut world = match made {
        Ok(world) => world,
        Err(wrong) => {
            let drawn = Config::draw(seed, &mut Random::new(seed), application.is_some());
            let (config, what) = (Some(drawn), wrong.to_string());
            return (Err(()), Failed { config, steps: 0, what, story: Vec::new() });
        }
    };
    let outcome = unless_it_panics(|| history(&mut world, cut));
    let steps = world.steps();
    world.stats.ended();
    let (stats, config) = (world.stats.clone(), Some(world.config.clone()));
    let story = world.story.into_lines();
    match outcome {
        Ok(()) => (Ok(stats), Failed { config, steps, what: "nothing".to_owned(), story }),
        Err(wrong) => (Err(()), Failed { config, steps, what: wrong.to_string(), story }),
    }
}

/// What panics is one more thing that does not hold: it has a seed and a story too.
fn unless_it_panics<T>(run: impl FnOnce() -> Result<T, Wrong>) -> Result<T, Wrong> {
    // Of what it was about, only the story is looked at then.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("PANIC: {}", said.as_deref().unwrap_or("without a word")).into())
    })
}

fn history(world: &mut World<'_>, cut: &Cut) -> Result<(), Wrong> {
    let all = 0..world.steps();
    let mut make = |step| {
        let made = world.make_step(step);
        world.survive(made)
    };
    match &cut.steps {
        None => all.clone().try_for_each(&mut make)?,
        Some(steps) => steps.iter().copied().try_for_each(&mut make)?,
    }
    loop {
        // Who is found damaged only now goes, and the others begin again.
        match world.settle() {
            Ok(()) => return Ok(()),
            failed => world.survive(failed)?,
        }
    }
}

/// The story of what is left of a world.
pub(super) fn tell(
    seed: u64,
    cut: &Cut,
    tells: Tells,
    application: Option<&dyn Application>,
) -> Failure {
    let (_, Failed { config, steps, what, story }) = attempt(seed, cut, tells, application);
    let left_out = cut.steps.as_ref().map_or(0, |kept| steps - kept.len());
    Failure { seed, config, what, left_out, story }
}

/// The story of a world, made short where it fails.
pub(super) fn explain(seed: u64, frames: bool, application: Option<&dyn Application>) -> Failure {
    let tells = if frames { Tells::Frames } else { Tells::Deeds };
    let (outcome, failed) = attempt(seed, &Cut::default(), Tells::Nothing, application);
    if outcome.is_ok() {
        return tell(seed, &Cut::default(), tells, application);
    }
    let kind = Wrong::kind(&failed.what).to_owned();
    let mut tries = 0;
    let mut fails = |cut: &Cut| {
        tries += 1;
        tries <= TRIES
            && live(seed, cut, Tells::Nothing, application)
                .is_err_and(|what| Wrong::kind(&what) == kind)
    };
    let cut = shorten(failed.steps, &mut fails);
    tell(seed, &cut, tells, application)
}

/// Leaves out steps and replicas, as many at a time as can be, for as long as it goes on to
/// fail: delta debugging (Zeller and Hildebrandt, 2002).
fn shorten(steps: usize, fails: &mut dyn FnMut(&Cut) -> bool) -> Cut {
    let mut cut = Cut { steps: Some((0..steps).collect()), muted: 0 };
    loop {
        let before = cut.clone();
        for r in 0..REPLICAS {
            let without = Cut { muted: cut.muted | (1 << r), ..cut.clone() };
            if without.muted != cut.muted && fails(&without) {
                cut = without;
            }
        }
        let kept = cut.steps.as_ref().map_or(0, Vec::len);
        let mut size = kept.div_ceil(2).max(1);
        loop {
            cut = without_runs(cut, size, fails);
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
        let same = before.muted == cut.muted && before.steps == cut.steps;
        if same {
            return cut;
        }
    }
}

/// Leaves out each run of so many steps that it fails without.
fn without_runs(mut cut: Cut, size: usize, fails: &mut dyn FnMut(&Cut) -> bool) -> Cut {
    let mut end = cut.steps.as_ref().map_or(0, Vec::len);
    // From the last: what comes early is needed more often.
    while end > 0 {
        let start = end.saturating_sub(size);
        let mut steps = cut.steps.clone().unwrap_or_default();
        steps.drain(start..end);
        let without = Cut { steps: Some(steps), ..cut.clone() };
        if fails(&without) {
            cut = without;
        }
        end = start;
    }
    cut
}
