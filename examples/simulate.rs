//! Runs seeded worlds: replicas that run the shipped code, while connections break, disks
//! fail and the power goes, and an oracle that asks of each step whether anything is lost.
//!
//! ```text
//! cargo run --release --features sim --example simulate -- --seeds 0..100000
//! cargo run --release --features sim --example simulate -- --seed 17 [--frames]
//! ```
//!
//! Prints how many worlds there were a second, what was done to them, and how many years
//! passed in them. Where one fails, it prints its seed and a short story of what happened, and
//! exits with 1. `--seed` tells the story of one world. `--threads N` takes other than all
//! cores; `--json` prints numbers for machines. Built with `--cfg rejoin_faults` it breaks the
//! rule that `REJOIN_FAULT` names, to see what is said of a world that fails.
#![allow(clippy::unwrap_used, reason = "a thread that panics should stop the others")]

use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rejoin::sim::{self, Stats};

/// Worlds live in memory, and ask for it millions of times a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Args {
    seeds: Range<u64>,
    seed: Option<u64>,
    frames: bool,
    json: bool,
    threads: usize,
    /// The rule to break, which each thread chooses for itself.
    #[cfg(rejoin_faults)]
    fault: Option<rejoin::faults::Fault>,
}

const USAGE: &str = "simulate [--seeds FROM..TO] [--seed N [--frames]] [--threads N] [--json]";

fn args() -> Result<Args, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut args = Args {
        seeds: 0..10_000,
        seed: None,
        frames: false,
        json: false,
        threads: cores,
        #[cfg(rejoin_faults)]
        fault: fault()?,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} lacks its value"));
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or("seeds are FROM..TO")?;
                args.seeds = number(from)?..number(to)?;
            }
            "--seed" => args.seed = Some(number(&value()?)?),
            "--threads" => args.threads = number(&value()?)?.clamp(1, 1024) as usize,
            "--frames" => args.frames = true,
            "--json" => args.json = true,
            _ => return Err(format!("{word:?} is no option; {USAGE}")),
        }
    }
    Ok(args)
}

#[cfg(rejoin_faults)]
fn fault() -> Result<Option<rejoin::faults::Fault>, String> {
    let Ok(name) = std::env::var("REJOIN_FAULT") else { return Ok(None) };
    let fault = rejoin::faults::Fault::ALL.iter().find(|fault| format!("{fault:?}") == name);
    fault.copied().map(Some).ok_or_else(|| format!("{name:?} is no rule that can be broken"))
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    #[cfg(rejoin_faults)]
    rejoin::faults::choose(args.fault);
    if let Some(seed) = args.seed {
        let told = sim::explain(seed, args.frames);
        println!("{told}");
        return ExitCode::from(u8::from(told.what != "nothing"));
    }
    let began = Instant::now();
    let (sum, failed) = run_all(&args);
    print(&args, &sum, failed, began.elapsed());
    let Some(seed) = failed else { return ExitCode::SUCCESS };
    eprintln!("world {seed} fails; making its story short …");
    println!("{}", sim::explain(seed, false));
    println!("once more: cargo run --release --features sim --example simulate -- --seed {seed}");
    ExitCode::FAILURE
}

/// Runs the worlds; what they did, and the seed of one that failed.
fn run_all(args: &Args) -> (Stats, Option<u64>) {
    let (next, over) = (AtomicU64::new(args.seeds.start), AtomicBool::new(false));
    let sum = Mutex::new((Stats::default(), None));
    let work = || {
        #[cfg(rejoin_faults)]
        rejoin::faults::choose(args.fault);
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.seeds.end {
                break;
            }
            let ran = sim::run(seed);
            let mut sum = sum.lock().unwrap();
            match ran {
                Ok(stats) => sum.0.add(&stats),
                Err(failure) => {
                    over.store(true, Ordering::Relaxed);
                    // The least of those that fail, whichever thread comes first.
                    sum.1 = Some(sum.1.map_or(failure.seed, |seed: u64| seed.min(failure.seed)));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads).map(|_| scope.spawn(work)).collect();
        let shows = std::io::stderr().is_terminal() && !args.json;
        while shows && threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(200));
            let done = sum.lock().unwrap().0.worlds;
            eprint!("\r{done} of {} worlds", args.seeds.end - args.seeds.start);
            let _ = std::io::stderr().flush();
        }
        if shows {
            eprintln!();
        }
    });
    sum.into_inner().unwrap()
}

fn print(args: &Args, sum: &Stats, failed: Option<u64>, took: Duration) {
    let seconds = took.as_secs_f64();
    let a_second = sum.worlds as f64 / seconds.max(0.001);
    if args.json {
        let counts = sum.counts().map(|(name, count)| format!("\"{name}\":{count}"));
        let damage = sum.damage().map(|(kind, count)| format!("\"{}\":{count}", kind.name()));
        let failed = failed.map_or("null".to_owned(), |seed| seed.to_string());
        println!(
            "{{{},\"damage\":{{{}}},\"failed_seed\":{failed},\"seconds\":{seconds:.3},\
             \"worlds_a_second\":{a_second:.1},\"simulated_years\":{:.1}}}",
            counts.join(","),
            damage.collect::<Vec<_>>().join(","),
            sum.simulated_years(),
        );
        return;
    }
    println!(
        "{} worlds in {seconds:.1} s, {a_second:.0} a second; {:.0} years passed in them",
        sum.worlds,
        sum.simulated_years()
    );
    let each = |count: u64| count as f64 / sum.worlds.max(1) as f64;
    println!(
        "in each, on average: {:.1} replicas, {:.0} events, {:.1} sessions, {:.1} damages",
        each(sum.replicas),
        each(sum.events),
        each(sum.sessions),
        each(sum.damages())
    );
    println!(
        "in the least of them: {} events; in another, {} damages",
        sum.fewest_events, sum.fewest_damages
    );
    for (name, count) in sum.counts() {
        println!("{count:>14}  {}", name.replace('_', " "));
    }
    println!("damage done:");
    for (kind, count) in sum.damage() {
        println!("{count:>14}  {}", kind.name());
    }
}
