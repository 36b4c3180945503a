//! Syncing with a server or with another file.

use std::time::{Duration, Instant};

use rejoin::net::{NetError, NetOptions, SyncError, sync_url};
use rejoin::session::{Report, Scope, Session};
use rejoin::space::MassRemoval;
use rejoin::storage::StorageError;
use rejoin::{Error, Store};
use tracing_subscriber::filter::LevelFilter;

use crate::args::SyncArgs;
use crate::out::{Done, Failure, Out, note};
use crate::report::{Other, tell};
use crate::serve::{runtime, trace};
use crate::{Place, open};

pub(crate) fn sync(place: &Place, args: &SyncArgs, out: &mut Out) -> Done {
    let scope = match &args.prefix {
        Some(prefix) => Scope::Prefix(prefix.0.clone()),
        None if args.all => Scope::All,
        None => Scope::Space(place.space.clone()),
    };
    let mut options = NetOptions::default();
    options.session.receive_only = args.receive_only;
    options.session.mass_removal = match (args.allow_mass_removal, args.keep_mass_removal) {
        (true, _) => MassRemoval::Allow,
        (_, true) => MassRemoval::Keep,
        _ => MassRemoval::Hold,
    };
    let store = place.store()?;
    // Both before anybody is called, or another file made.
    store.space(&place.space)?;
    if let Some(found) = store.damage()? {
        return Err(Failure::of_store(&place.path, StorageError::Damaged { found }.into()));
    }
    let (report, other, failed) = match (&args.url, &args.file) {
        (Some(url), _) => {
            trace(LevelFilter::WARN);
            let (report, failed) = call(&store, &scope, (url, args.retry), &options)?;
            (report, None, failed.map(Failure::from))
        }
        (None, Some(file)) => {
            let begin = || {
                let here = Session::connect(&store, scope.clone(), nonce())
                    .map_err(|error| Failure::of_store(&place.path, error))?;
                Ok::<_, Failure>(here.with(options.session.clone()))
            };
            let here = begin()?;
            let there = open(file, true, place.now_ms)?;
            let (mut reports, failed) = meet((here, Session::accept(&there, nonce())));
            if failed.is_none() && reports.iter().any(Report::is_untold) {
                let (again, failed) = meet((begin()?, Session::accept(&there, nonce())));
                if failed.is_none() {
                    let ([a, b], [c, d]) = (again, reports);
                    reports = [a.behind(c), b.behind(d)];
                }
            }
            let [report, found] = reports;
            let failed = failed.map(|Failed { here, error }| {
                // What one of the two finds wrong with its peer is about the other file.
                let its_own = matches!(error, Error::Storage(_));
                Failure::of_store(if here == its_own { &place.path } else { file }, error)
            });
            let other = Other::of(file, found, &report);
            (report, Some(other), failed)
        }
        (None, None) => return Err(Failure::new("give a URL or --file")),
    };
    tell(&report, other.as_ref(), failed, out)
}

/// The wait before another try, and the longest; it doubles while nobody answers.
const WAITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// Meets a server, and where it is the line that fails, tries so often again. The store stays
/// open meanwhile: what was staged there goes by the opening. What was done in all, and why
/// the last try failed, where it did.
fn call(
    store: &Store,
    scope: &Scope,
    (url, retries): (&str, u32),
    options: &NetOptions,
) -> Result<(Report, Option<NetError>), Failure> {
    let runtime = runtime()?;
    let [first, most] = WAITS;
    let (mut all, mut wait, mut tried) = (Report::default(), first, 0);
    loop {
        let reason = match runtime.block_on(sync_url(store, scope.clone(), url, options)) {
            Ok(report) => return Ok((report.behind(all), None)),
            Err(SyncError { reason, report }) => {
                if report.frames_received > 0 {
                    wait = first;
                }
                all = report.behind(all);
                reason
            }
        };
        if tried == retries || !reason.is_of_the_pipe() {
            return Ok((all, Some(reason)));
        }
        tried += 1;
        note(format_args!("{reason}; tries again in {wait:?} ({tried} of {retries})"));
        std::thread::sleep(wait);
        wait = wait.saturating_mul(2).min(most);
    }
}

fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    (rejoin::Options::default().entropy)(&mut nonce);
    nonce
}

/// Why a session in one process ended early, and whether the side here said so.
struct Failed {
    here: bool,
    error: Error,
}

/// Both sides of a session in one process: frames go straight from one to the other. What each
/// of them says of it, this one first, and why it ended early, where it did.
fn meet((mut here, mut there): (Session, Session)) -> ([Report; 2], Option<Failed>) {
    let started = Instant::now();
    let now_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (ours, theirs) =
        (|error| Failed { here: true, error }, |error| Failed { here: false, error });
    let mut step = || -> Result<bool, Failed> {
        let now_ms = now_ms();
        let mut moved = false;
        while let Some(frame) = here.poll_frame(now_ms).map_err(ours)? {
            there.handle_frame(now_ms, &frame).map_err(theirs)?;
            moved = true;
        }
        while let Some(frame) = there.poll_frame(now_ms).map_err(theirs)? {
            here.handle_frame(now_ms, &frame).map_err(ours)?;
            moved = true;
        }
        let timers = [here.poll_timeout(), there.poll_timeout()];
        if let (false, Some(at)) = (moved, timers.iter().flatten().min()) {
            std::thread::sleep(Duration::from_millis(at.saturating_sub(now_ms)));
            here.handle_timeout(*at).map_err(ours)?;
            there.handle_timeout(*at).map_err(theirs)?;
            moved = true;
        }
        Ok(moved)
    };
    let failed = loop {
        match step() {
            Ok(true) => {}
            Ok(false) => break None,
            Err(failed) => break Some(failed),
        }
    };
    here.close();
    ([here.report().clone(), there.report().clone()], failed)
}
