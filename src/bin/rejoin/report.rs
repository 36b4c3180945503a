//! What a sync did, as it is printed.

use std::collections::BTreeSet;
use std::path::Path;

use rejoin::session::{Report, SpaceReport};
use rejoin::space::{Equivocation, Fork, Held, Item};
use serde_json::{Value, json};

use crate::out::{Done, Failure, Out, note};
use crate::text;
use crate::trash::{decide_with, held_json, held_text};

/// What the other side of a session in one process says, of its own store.
pub(crate) struct Other<'a> {
    file: &'a Path,
    forks: Vec<Fork>,
    equivocations: Vec<Equivocation>,
    spaces: Vec<SpaceReport>,
}

impl<'a> Other<'a> {
    /// Of its report what this side's does not say already: both tell of the same event with
    /// two contents.
    pub(crate) fn of(file: &'a Path, report: Report, own: &Report) -> Self {
        let Report { mut forks, mut equivocations, spaces, .. } = report;
        forks.retain(|fork| !own.forks.contains(fork));
        let name = |told: &Equivocation| (told.space.clone(), told.kept.dot, told.other.dot);
        let known: BTreeSet<_> = own.equivocations.iter().map(name).collect();
        equivocations.retain(|told| !known.contains(&name(told)));
        Self { file, forks, equivocations, spaces }
    }

    fn json(&self) -> Value {
        let held = held(&self.spaces).map(|(space, held)| {
            let mut json = held_json(held);
            if let Some(json) = json.as_object_mut() {
                json.insert("space".to_owned(), text::json(space.as_bytes()).into());
            }
            json
        });
        json!({
            "file": self.file.display().to_string(),
            "forks": self.forks.iter().map(fork_json).collect::<Vec<_>>(),
            "equivocations": self.equivocations.iter().map(equivocation_json).collect::<Vec<_>>(),
            "held": held.collect::<Vec<_>>(),
        })
    }
}

/// What is held back, by space.
fn held(spaces: &[SpaceReport]) -> impl Iterator<Item = (&str, &Held)> {
    spaces.iter().filter_map(|space| Some((space.name.as_str(), space.held.as_ref()?)))
}

fn fork_json(fork: &Fork) -> Value {
    json!({
        "space": text::json(fork.space.as_bytes()),
        "replica": fork.replica.to_string(),
        "after": fork.after.get(),
        "renamed": fork.renamed.map(|replica| replica.to_string()),
        "writes_as": fork.writes_as.map(|replica| replica.to_string()),
    })
}

fn equivocation_json(told: &Equivocation) -> Value {
    let item = |item: &Item| {
        json!({
            "key": text::json(&item.key),
            "dot": item.dot.to_string(),
            "payload": text::json(&item.payload),
        })
    };
    let space = text::json(told.space.as_bytes());
    json!({ "space": space, "kept": item(&told.kept), "other": item(&told.other) })
}

fn space_json(space: &SpaceReport) -> Value {
    json!({
        "space": text::json(space.name.as_bytes()),
        "root": space.root.map(|root| root.to_string()),
        "why": space.why.map(|why| why.to_string()),
        "not_taken": space.not_taken,
        "untold": space.untold,
        "held": space.held.as_ref().map(held_json),
    })
}

/// Prints what a session did, and fails where it failed, or did not prove both sides equal.
pub(crate) fn tell(
    report: &Report,
    other: Option<&Other<'_>>,
    failed: Option<Failure>,
    out: &mut Out,
) -> Done {
    let error = match &failed {
        Some(Failure::Message(message)) => Some(message.as_str()),
        _ => None,
    };
    if out.json || failed.is_none() {
        out.result(&json(report, other, error), line(report))?;
    } else if report.items_received > 0 {
        note(line(report));
    }
    let held = notes(report, other);
    match failed {
        Some(failure) => {
            held.iter().for_each(note);
            Err(failure)
        }
        None if report.converged() => Ok(()),
        None => {
            // The first is what the command fails with.
            held.iter().skip(1).for_each(note);
            let whys = || why(report);
            Err(Failure::new(held.into_iter().next().unwrap_or_else(whys)))
        }
    }
}

fn json(report: &Report, other: Option<&Other<'_>>, error: Option<&str>) -> Value {
    let root = match report.spaces.as_slice() {
        [only] => only.root.map(|root| root.to_string()),
        _ => None,
    };
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
        "forks": report.forks.iter().map(fork_json).collect::<Vec<_>>(),
        "equivocations": report.equivocations.iter().map(equivocation_json).collect::<Vec<_>>(),
        "root": root,
        "converged": report.converged(),
        "each": report.spaces.iter().map(space_json).collect::<Vec<_>>(),
    });
    if let Some(json) = json.as_object_mut() {
        json.extend(other.map(|other| ("other".to_owned(), other.json())));
        json.extend(error.map(|error| ("error".to_owned(), error.into())));
    }
    json
}

/// Says beside the result what somebody has to know, of either store; what is held back, with
/// what to do, is left to the caller.
fn notes(report: &Report, other: Option<&Other<'_>>) -> Vec<String> {
    report.forks.iter().for_each(note);
    report.equivocations.iter().for_each(note);
    for space in report.spaces.iter().filter(|space| space.not_taken) {
        note(format_args!(
            "space {:?}: the side that only receives has more, which was not taken",
            space.name
        ));
    }
    for space in report.spaces.iter().filter(|space| space.untold) {
        note(format_args!(
            "space {:?}: of adopted items some went that the peer still has; sync once more",
            space.name
        ));
    }
    let own = |(space, held)| format!("space {space:?}: held back: {}", held_text(held, space));
    let mut lines: Vec<String> = held(&report.spaces).map(own).collect();
    if let Some(other) = other {
        let file = other.file.display();
        other.forks.iter().for_each(|fork| note(format_args!("{file}: {fork}")));
        other.equivocations.iter().for_each(|told| note(format_args!("{file}: {told}")));
        lines.extend(held(&other.spaces).map(|(space, held)| {
            let todo = decide_with(held, space, Some(other.file));
            format!("{file}: space {space:?}: held back: {held}; {todo}")
        }));
    }
    lines
}

/// Why a session that did not fail has not proven both sides equal.
fn why(report: &Report) -> String {
    let whys: Vec<_> = report
        .spaces
        .iter()
        .filter_map(|space| space.why.map(|why| format!("space {:?}: {why}", space.name)))
        .collect();
    let whys =
        if whys.is_empty() { "the session did not run to its end".into() } else { whys.join("; ") };
    format!("not proven equal: {whys}; sync again")
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
