//! Commands on the whole store, and on opaque values.

use std::ops::ControlFlow;

use rejoin::Space;
use rejoin::codec::Kind;
use rejoin::space::{Condition, Keys, ReadContext, Replacing};
use serde_json::{Map, Value, json};

use crate::Place;
use crate::args::{PutArgs, Rule};
use crate::out::{Done, Failure, Out, note, warn_of_damage};
use crate::resolve::resolve;
use crate::text;
use crate::trash::{held_json, held_text};

/// The names of types, with commas between.
pub(crate) fn names(kinds: &[Kind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Says so where a key holds other types than the one asked for.
pub(crate) fn tell_others(space: &Space, key: &[u8], asked: Kind) -> Done {
    let mut kinds = space.kinds(key)?;
    kinds.retain(|kind| *kind != asked);
    if !kinds.is_empty() {
        let (key, kinds) = (text::line(key), names(&kinds));
        note(format_args!("{key} also holds another type: {kinds}; nothing of it is lost"));
    }
    Ok(())
}

/// What was found wrong, and what to do: nothing goes to anybody until it is done.
fn tell_damage(found: &str, out: &mut Out) -> Done {
    out.line(format_args!(
        "damaged     {found}; neither syncs nor serves: see rejoin recover --help, or check again"
    ))
}

/// Of a store whose rows cannot be read, that it was found damaged, where it was: the rest cannot
/// be said.
fn tell_unreadable(space: &Space, out: &mut Out) -> Done {
    let Ok(Some(found)) = space.store().damage() else { return Ok(()) };
    if !out.json {
        return tell_damage(&found, out);
    }
    out.line(json!({
        "replica": space.store().replica().to_string(),
        "space": text::json(space.name().as_bytes()),
        "damage": found,
    }))
}

pub(crate) fn status(space: &Space, out: &mut Out) -> Done {
    let status = match space.status() {
        Ok(status) => status,
        Err(error) => {
            tell_unreadable(space, out)?;
            return Err(error.into());
        }
    };
    let vector: Map<String, Value> =
        status.vector.iter().map(|(id, seq)| (id.to_string(), seq.get().into())).collect();
    if out.json {
        return out.line(json!({
            "replica": status.replica.to_string(),
            "space": text::json(status.space.as_bytes()),
            "vector": vector,
            "root": status.root.to_string(),
            "keys": status.keys,
            "items": status.items,
            "staged": status.staged,
            "file_bytes": status.file_bytes,
            "removal_log_bytes": status.removal_log_bytes,
            "waiting": status.waiting,
            "held": status.held.iter().map(held_json).collect::<Vec<_>>(),
            "trash_items": status.trash_items,
            "trash_bytes": status.trash_bytes,
            "commit": status.commit,
            "damage": status.damage,
        }));
    }
    if let Some(found) = &status.damage {
        tell_damage(found, out)?;
    }
    out.line(format_args!("replica     {}", status.replica))?;
    out.line(format_args!("space       {}", text::line(status.space.as_bytes())))?;
    for (id, seq) in &vector {
        out.line(format_args!("seen        {id} up to {seq}"))?;
    }
    out.line(format_args!("root        {}", status.root))?;
    out.line(format_args!("keys        {}", status.keys))?;
    out.line(format_args!("items       {}", status.items))?;
    out.line(format_args!("staged      {}", status.staged))?;
    if status.waiting > 0 {
        out.line(format_args!("waiting     {}; see rejoin adopt --help", status.waiting))?;
    }
    for held in &status.held {
        out.line(format_args!("held        {}", held_text(held, &status.space)))?;
    }
    if status.trash_items > 0 {
        out.line(format_args!("in trash    {}; see rejoin trash list", status.trash_items))?;
    }
    out.line(format_args!("file bytes  {}", status.file_bytes))
}

pub(crate) fn keys(space: &Space, prefix: &[u8], out: &mut Out) -> Done {
    let mut done = Ok(());
    space.for_each_key(Keys::prefix(prefix), |entry| {
        done = if out.json {
            let types: Vec<_> = entry.kinds.iter().map(ToString::to_string).collect();
            out.line(json!({"key": text::json(&entry.key), "types": types}))
        } else {
            out.line(format_args!("{}\t{}", text::line(&entry.key), names(&entry.kinds)))
        };
        if done.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    done
}

pub(crate) fn check(place: &Place, deep: bool, out: &mut Out) -> Done {
    let store = place.existing()?;
    let report = if deep { store.check_deep()? } else { store.check()? };
    let sound = report.is_sound();
    let json = json!({
        "sound": sound,
        "spaces": report.spaces,
        "items": report.items,
        "problems": report.problems,
    });
    let (spaces, items) = (report.spaces, report.items);
    if sound {
        return out.result(&json, format_args!("sound: {spaces} spaces, {items} items"));
    }
    let count = report.problems.len();
    out.result(&json, format_args!("not sound: {spaces} spaces, {items} items, {count} problems"))?;
    if !out.json {
        report.problems.iter().try_for_each(|problem| out.line(problem))?;
    }
    Err(Failure::new(format_args!(
        "{}: the store is not sound; save what is into a new store with rejoin recover, sync a fresh store with a peer, or restore a backup",
        place.path.display()
    )))
}

pub(crate) fn compact(place: &Place, out: &mut Out) -> Done {
    let store = place.existing()?;
    warn_of_damage(&store);
    let before = store.file_bytes()?;
    store.compact()?;
    let open = store.file_bytes()?;
    // Closed, it gives back what it did not use.
    drop(store);
    let after = std::fs::metadata(&place.path).map_or(open, |metadata| metadata.len());
    let json = json!({"op": "compact", "file_bytes_before": before, "file_bytes": after});
    out.result(&json, format_args!("compacted from {before} to {after} bytes"))
}

pub(crate) fn get(space: &Space, key: &[u8], rule: Option<Rule>, out: &mut Out) -> Done {
    let siblings = space.get(key)?;
    tell_others(space, key, Kind::VALUE)?;
    let resolved = rule.and_then(|rule| resolve(rule, &siblings));
    if out.json {
        let values: Vec<_> = siblings.values().map(text::json).collect();
        let context = siblings.context().to_string();
        let mut json = json!({"key": text::json(key), "values": values, "context": context});
        if let (Some(_), Some(json)) = (rule, json.as_object_mut()) {
            json.insert("resolved".to_owned(), resolved.as_deref().map(text::json).into());
        }
        out.line(json)?;
    } else {
        match (rule, &resolved) {
            (Some(_), resolved) => {
                resolved.iter().try_for_each(|value| out.line(text::line(value)))?;
            }
            (None, _) => {
                siblings.values().try_for_each(|value| out.line(text::line(value)))?;
            }
        }
        out.line(format_args!("context {}", siblings.context()))?;
    }
    if rule.is_some() && resolved.is_none() && !siblings.is_empty() {
        return Err(Failure::new(format_args!(
            "{}: the rule does not decide between its {} siblings: one of them is not what it is about; get it without a rule",
            text::line(key),
            siblings.len()
        )));
    }
    Ok(())
}

pub(crate) fn put(place: &Place, args: &PutArgs, out: &mut Out) -> Done {
    let (key, value) = (&args.key.0, &args.value.0);
    let token = |token: &Option<String>| -> Result<Option<ReadContext>, Failure> {
        let token = token.as_deref().map(str::parse).transpose();
        token.map_err(|e| Failure::from(rejoin::Error::Usage(e)))
    };
    let (context, if_context) = (token(&args.context)?, token(&args.if_context)?);
    let condition = match &if_context {
        Some(context) => Some(Condition::Unchanged(context)),
        None => args.if_absent.then_some(Condition::Absent),
    };
    let space = place.write()?;
    let written = match condition {
        Some(condition) => space.put_if(key, value, condition)?.is_done(),
        None => {
            let replacing = match &context {
                Some(context) => Replacing::Seen(context),
                None if args.blind => Replacing::Nothing,
                None => Replacing::Observed,
            };
            space.put(key, value, replacing)?;
            true
        }
    };
    tell_others(&space, key, Kind::VALUE)?;
    let siblings = space.get(key)?.len();
    let json =
        json!({"op": "put", "key": text::json(key), "written": written, "siblings": siblings});
    let key = text::line(key);
    if written {
        let bytes = value.len();
        return out
            .result(&json, format_args!("put {bytes} bytes under {key}, siblings: {siblings}"));
    }
    if out.json {
        out.line(json)?;
    }
    Err(Failure::new(match args.if_absent {
        true => format!("{key}: something stands there already, so nothing was written"),
        false => {
            format!("{key}: it was changed since that token, so nothing was written; get it again")
        }
    }))
}

pub(crate) fn delete(space: &Space, key: &[u8], out: &mut Out) -> Done {
    let removed = space.delete(key)?;
    let json = json!({"op": "delete", "key": text::json(key), "removed": removed});
    let key = text::line(key);
    match removed {
        true => out.result(&json, format_args!("deleted {key}")),
        false => out.result(&json, format_args!("nothing stood under {key}")),
    }
}
