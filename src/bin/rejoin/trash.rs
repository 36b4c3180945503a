//! What peers take away without records: the trash of a space, and the brake.

use std::ops::ControlFlow;
use std::path::Path;

use rejoin::causal::ReplicaId;
use rejoin::codec::{Cursor, Kind, unzigzag};
use rejoin::space::{Held, Item, MassRemoval, Trashed};
use serde_json::{Value, json};

use crate::Place;
use crate::args::{DEFAULT_SPACE, Decision, TrashCommand};
use crate::out::{Done, Failure, Out};
use crate::text::{self, Element};

/// The bytes of a timestamp in front of a register's value.
const STAMP_BYTES: usize = 8;

pub(crate) fn trash(place: &Place, command: &TrashCommand, out: &mut Out) -> Done {
    match command {
        TrashCommand::List { prefix, from } => list(place, &prefix.0, *from, out),
        TrashCommand::Restore { numbers, prefix, all: _ } => {
            let chosen = |gone: &Trashed| match (numbers.as_slice(), prefix) {
                ([], None) => true,
                ([], Some(prefix)) => gone.item.key.starts_with(&prefix.0),
                (numbers, _) => numbers.contains(&gone.number),
            };
            restore(place, chosen, out)
        }
        TrashCommand::Empty => {
            let thrown = place.read()?.trash().empty()?;
            let json = json!({"op": "trash.empty", "thrown_away": thrown});
            out.result(&json, format_args!("threw {thrown} items away"))
        }
    }
}

fn list(place: &Place, prefix: &[u8], from: u64, out: &mut Out) -> Done {
    let mut done = Ok(());
    place.read()?.trash().for_each(from, |gone| {
        if gone.item.key.starts_with(prefix) {
            done = show(&gone, out);
        }
        if done.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    done
}

fn show(gone: &Trashed, out: &mut Out) -> Done {
    // A register, counter or flag has no name of its own.
    let named = gone.item.path.iter().filter(|(_, name)| !name.is_empty());
    let path: Vec<Element> = named.map(|(_, name)| Element::of_encoding(name)).collect();
    let kind = gone.item.path.last().map(|(kind, _)| *kind);
    let kind = kind.map_or_else(String::new, |kind| kind.to_string());
    if out.json {
        return out.line(json!({
            "number": gone.number,
            "at_ms": gone.at_ms,
            "peer": gone.peer.to_string(),
            "dot": gone.item.dot.to_string(),
            "key": text::json(&gone.item.key),
            "type": kind,
            "path": path.iter().map(Element::json).collect::<Vec<_>>(),
            "value": value(&gone.item, true),
        }));
    }
    let path: Vec<String> = path.iter().map(Element::line).collect();
    let value = match value(&gone.item, false) {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    let (number, key) = (gone.number, text::line(&gone.item.key));
    out.line(format_args!("{number}\t{key}\t{kind}\t{}\t{value}", path.join("/")))
}

/// What an item says beside where it stands.
fn value(item: &Item, json: bool) -> Value {
    let shown = |bytes: &[u8]| if json { text::json(bytes) } else { text::line(bytes) };
    let unstamped = item.payload.get(STAMP_BYTES..).unwrap_or_default();
    match item.path.last().map(|(kind, _)| *kind) {
        Some(Kind::VALUE) => shown(unstamped).into(),
        Some(Kind::REGISTER | Kind::MV_REGISTER) => {
            let value = Element::of_encoding(unstamped);
            if json { value.json().into() } else { value.line().into() }
        }
        Some(Kind::COUNTER) => {
            let amount = Cursor::new("counter row", &item.payload).varint();
            amount.map_or(Value::Null, |amount| unzigzag(amount).into())
        }
        Some(Kind::RW_SET | Kind::DW_FLAG) => (item.payload == [1]).into(),
        Some(Kind::SET | Kind::EW_FLAG) => Value::Null,
        _ => shown(&item.payload).into(),
    }
}

fn restore(place: &Place, which: impl FnMut(&Trashed) -> bool, out: &mut Out) -> Done {
    let restored = place.read()?.trash().restore(which)?;
    let (written, standing) = (restored.written, restored.standing);
    let json = json!({"op": "trash.restore", "written": written, "standing": standing});
    let beside = match standing {
        0 => String::new(),
        _ => format!("; {standing} were there already, or something later was"),
    };
    out.result(&json, format_args!("restored {written} items{beside}"))
}

impl From<Decision> for MassRemoval {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Hold => Self::Hold,
            Decision::Allow => Self::Allow,
            Decision::Keep => Self::Keep,
        }
    }
}

pub(crate) fn decide(place: &Place, peer: &str, decision: Decision, out: &mut Out) -> Done {
    let known: ReplicaId = peer.parse().map_err(|_| {
        Failure::new(format_args!("{peer:?} is no replica id; status shows those that matter"))
    })?;
    place.read()?.decide(known, decision.into())?;
    let json = json!({"op": "decide", "peer": peer, "decision": decided(decision.into())});
    out.result(&json, format_args!("the next sync with {peer}: {}", decided(decision.into())))
}

const fn decided(decision: MassRemoval) -> &'static str {
    match decision {
        MassRemoval::Hold => "hold",
        MassRemoval::Allow => "allow",
        MassRemoval::Keep => "keep",
    }
}

/// What is held back of one peer's claims.
pub(crate) fn held_json(held: &Held) -> Value {
    json!({
        "peer": held.peer.to_string(),
        "items": held.items,
        "removed": held.removed,
        "of": held.of,
        "decision": decided(held.decision),
    })
}

/// The same in words, with what to do about a space of this store.
pub(crate) fn held_text(held: &Held, space: &str) -> String {
    let here = match held.decision {
        MassRemoval::Hold => "sync with --allow-mass-removal or --keep-mass-removal, or ",
        _ => "",
    };
    format!("{held}; {here}{}", decide_with(held, space, None))
}

/// The command that decides it, or what was decided; `store` where it is another one's.
pub(crate) fn decide_with(held: &Held, space: &str, store: Option<&Path>) -> String {
    if held.decision != MassRemoval::Hold {
        return format!("the next sync with it: {}", decided(held.decision));
    }
    let mut command = format!("rejoin decide {} allow|keep", held.peer);
    if let Some(store) = store {
        command += &format!(" --store {}", store.display());
    }
    if space != DEFAULT_SPACE {
        command += &format!(" --space {:?}", text::line(space.as_bytes()));
    }
    command
}
