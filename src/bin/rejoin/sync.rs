//! Syncing with a server or with another file.

use std::time::{Duration, Instant};

use rejoin::net::{NetOptions, SyncError, sync_url};
use rejoin::session::{Report, Scope, Session, SessionOptions};
use rejoin::space::{Equivocation, Fork, Item, MassRemoval};
use rejoin::{Error, Store};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::args::SyncArgs;
use crate::out::{Done, Failure, Out, note};
use crate::serve::{runtime, trace};
use crate::trash::{held_json, held_text};
use crate::{Place, open, text};

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
    // The name is checked before anybody is called.
    store.space(&place.space)?;
    let done = match (&args.url, &args.file) {
        (Some(url), _) => {
            trace(LevelFilter::WARN);
            runtime()?.block_on(sync_url(&store, scope, url, &options))
        }
        (None, Some(file)) => {
            let other = open(file, true, place.now_ms)?;
            meet(&store, &other, scope, options.session).map_err(|(error, report)| SyncError {
                reason: rejoin::net::NetError::Session {
                    peer: file.display().to_string(),
                    source: Box::new(error),
                },
                report,
            })
        }
        (None, None) => return Err(Failure::new("give a URL or --file")),
    };
    match done {
        Ok(report) => tell(&report, None, out),
        Err(SyncError { reason, report }) => {
            let error = Failure::from(reason);
            if let Failure::Message(message) = &error
                && out.json
            {
                tell(&report, Some(message), out)?;
            } else if report.items_received > 0 {
                note(format_args!("{}", line(&report)));
            }
            Err(error)
        }
    }
}

/// Both sides of a session in one process: frames go straight from one to the other.
fn meet(
    here: &Store,
    there: &Store,
    scope: Scope,
    options: SessionOptions,
) -> Result<Report, (Error, Box<Report>)> {
    let mut nonces = [0; 32];
    let entropy = rejoin::Options::default().entropy;
    entropy(&mut nonces);
    let (mut mine, mut theirs) = ([0; 16], [0; 16]);
    mine.copy_from_slice(nonces.split_at(16).0);
    theirs.copy_from_slice(nonces.split_at(16).1);
    let here = Session::connect(here, scope, mine).map_err(|e| (e, Box::default()))?;
    let mut here = here.with(options);
    let mut there = Session::accept(there, theirs);
    let started = Instant::now();
    let now_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut step = || -> Result<bool, Error> {
        let now_ms = now_ms();
        let mut moved = false;
        while let Some(frame) = here.poll_frame(now_ms)? {
            there.handle_frame(now_ms, &frame)?;
            moved = true;
        }
        while let Some(frame) = there.poll_frame(now_ms)? {
            here.handle_frame(now_ms, &frame)?;
            moved = true;
        }
        let timers = [here.poll_timeout(), there.poll_timeout()];
        if let (false, Some(at)) = (moved, timers.iter().flatten().min()) {
            std::thread::sleep(Duration::from_millis(at.saturating_sub(now_ms)));
            here.handle_timeout(*at)?;
            there.handle_timeout(*at)?;
            moved = true;
        }
        Ok(moved)
    };
    let done = loop {
        match step() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    here.close();
    let report = here.report().clone();
    done.map(|()| report.clone()).map_err(|error| (error, Box::new(report)))
}

/// Prints what a session did, and fails where it did not prove both sides equal.
fn tell(report: &Report, error: Option<&str>, out: &mut Out) -> Done {
    let converged = report.converged();
    let root = match report.spaces.as_slice() {
        [only] => only.root.map(|root| root.to_string()),
        _ => None,
    };
    let each: Vec<Value> = report
        .spaces
        .iter()
        .map(|space| {
            json!({
                "space": text::json(space.name.as_bytes()),
                "root": space.root.map(|root| root.to_string()),
                "why": space.why.map(|why| why.to_string()),
                "not_taken": space.not_taken,
                "held": space.held.as_ref().map(held_json),
            })
        })
        .collect();
    let forks: Vec<Value> = report
        .forks
        .iter()
        .map(|fork| {
            json!({
                "space": text::json(fork.space.as_bytes()),
                "replica": fork.replica.to_string(),
                "after": fork.after.get(),
                "renamed": fork.renamed.map(|replica| replica.to_string()),
                "writes_as": fork.writes_as.map(|replica| replica.to_string()),
            })
        })
        .collect();
    let item = |item: &Item| {
        json!({
            "key": text::json(&item.key),
            "dot": item.dot.to_string(),
            "payload": text::json(&item.payload),
        })
    };
    let equivocation = |told: &Equivocation| {
        let space = text::json(told.space.as_bytes());
        json!({ "space": space, "kept": item(&told.kept), "other": item(&told.other) })
    };
    let equivocations: Vec<Value> = report.equivocations.iter().map(equivocation).collect();
    let mut json = json!({
        "peer": report.peer.map(|peer| peer.to_string()),
        "spaces": report.spaces.len(),
        "round_trips": report.round_trips,
        "frames_sent": report.frames_sent,
        "frames_received": report.frames_received,
        "bytes_sent": report.bytes_sent,
        "bytes_received": report.bytes_received,
        "items_sent": report.items_sent,
        "items_received": report.items_received,
        "removals_sent": report.removals_sent,
        "removals_received": report.removals_received,
        "repaired": report.repaired,
        "kept": report.kept,
        "forks": forks,
        "equivocations": equivocations,
        "root": root,
        "converged": converged,
        "each": each,
    });
    if let (Some(error), Some(json)) = (error, json.as_object_mut()) {
        json.insert("error".to_owned(), error.into());
    }
    out.result(&json, line(report))?;
    report.forks.iter().for_each(|fork| note(format_args!("{}", fork_text(fork))));
    for Equivocation { space, kept, other, .. } in &report.equivocations {
        let key = text::line(&kept.key);
        note(format_args!(
            "space {space:?}: event {} was made twice, with two contents at {key}; one goes on as {}",
            kept.dot, other.dot
        ));
    }
    for space in report.spaces.iter().filter(|space| space.not_taken) {
        note(format_args!(
            "space {:?}: the side that only receives has more, which was not taken",
            space.name
        ));
    }
    if converged || error.is_some() {
        return Ok(());
    }
    if let Some((name, held)) = report.spaces.iter().find_map(|s| Some((&s.name, s.held.as_ref()?)))
    {
        return Err(Failure::new(format_args!("space {name:?}: held back: {}", held_text(held))));
    }
    let whys: Vec<_> = report
        .spaces
        .iter()
        .filter_map(|space| space.why.map(|why| format!("space {:?}: {why}", space.name)))
        .collect();
    let whys =
        if whys.is_empty() { "the session did not run to its end".into() } else { whys.join("; ") };
    Err(Failure::new(format_args!("not proven equal: {whys}; sync again")))
}

/// What was found under a name, in a line.
fn fork_text(fork: &Fork) -> String {
    let Fork { space, replica, after, renamed, writes_as, .. } = fork;
    let found = match renamed {
        Some(to) => format!(
            "a copy of {replica} went on beside it: what is held here of one of the two after its event {after} goes on as {to}"
        ),
        None => format!(
            "this store was put back, and others know events of {replica} after {after} that it has forgotten"
        ),
    };
    let own = writes_as.map(|own| format!("; this store writes as {own} from now on"));
    format!("space {space:?}: {found}{}", own.unwrap_or_default())
}

/// What a session did, in a line.
fn line(report: &Report) -> String {
    let whole = report.spaces.len();
    let spaces = if whole == 1 { "1 space".to_owned() } else { format!("{whole} spaces") };
    let equal = match (report.converged(), report.spaces.as_slice()) {
        (true, [only]) => match only.root {
            Some(root) => format!("both are equal at root {root}"),
            None => "both are equal".to_owned(),
        },
        (true, _) => "both are equal".to_owned(),
        (false, _) => "not proven equal".to_owned(),
    };
    format!(
        "synced {spaces} in {} round trips: sent {} items and {} removals ({} bytes), received {} and {} ({} bytes), repaired {}; {equal}",
        report.round_trips,
        report.items_sent,
        report.removals_sent,
        report.bytes_sent,
        report.items_received,
        report.removals_received,
        report.bytes_received,
        report.repaired,
    )
}
