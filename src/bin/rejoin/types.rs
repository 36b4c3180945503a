//! Commands on the types.

use std::ops::ControlFlow;

use rejoin::codec::Kind;
use rejoin::{Error, Space};
use serde_json::{Value, json};

use crate::Place;
use crate::args::{CounterCommand, FlagCommand, MapCommand, RegisterCommand, SetCommand};
use crate::out::{Done, Out, note};
use crate::text::{self, Element};
use crate::values::{names, tell_others};

pub(crate) fn set(place: &Place, command: &SetCommand, out: &mut Out) -> Done {
    match command {
        SetCommand::Add { key, elements } => {
            let space = place.write()?;
            space.write(|tx| {
                let set = tx.set::<Element>(key);
                elements.iter().try_for_each(|element| set.add(element))
            })?;
            tell_others(&space, &key.0, Kind::SET)?;
            let count = elements.len();
            let json = json!({"op": "set.add", "key": text::json(&key.0), "elements": count});
            out.result(&json, format_args!("added {count} to {}", text::line(&key.0)))
        }
        SetCommand::Remove { key, elements } => {
            let space = place.write()?;
            let removed = space.write(|tx| {
                let set = tx.set::<Element>(key);
                let mut removed = 0;
                for element in elements {
                    removed += u64::from(set.remove(element)?);
                }
                Ok::<_, Error>(removed)
            })?;
            tell_others(&space, &key.0, Kind::SET)?;
            let asked = elements.len();
            let json = json!({"op": "set.remove", "key": text::json(&key.0), "elements": asked, "removed": removed});
            let key = text::line(&key.0);
            out.result(&json, format_args!("removed {removed} of {asked} from {key}"))
        }
        SetCommand::List { key } => {
            let space = place.read()?;
            tell_others(&space, &key.0, Kind::SET)?;
            if out.json {
                let elements = space.set::<Element>(key).elements()?;
                let elements: Vec<_> =
                    elements.into_iter().map(|element| Element::from(element).json()).collect();
                return out.line(json!({"key": text::json(&key.0), "elements": elements}));
            }
            let mut done = Ok(());
            space.set::<Element>(key).for_each(|element| {
                done = out.line(Element::from(element).line());
                if done.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            done
        }
    }
}

pub(crate) fn counter(place: &Place, command: &CounterCommand, out: &mut Out) -> Done {
    /// As a number where JSON's numbers reach, else as a string.
    fn number(sum: i128) -> Value {
        i64::try_from(sum).map_or_else(|_| sum.to_string().into(), Value::from)
    }
    match command {
        CounterCommand::Add { key, amount } => {
            let space = place.write()?;
            space.counter(key).add(*amount)?;
            tell_others(&space, &key.0, Kind::COUNTER)?;
            let sum = space.counter(key).get()?;
            let json = json!({"op": "counter.add", "key": text::json(&key.0), "by": amount, "value": number(sum)});
            let key = text::line(&key.0);
            out.result(&json, format_args!("added {amount} to {key}, which is {sum} now"))
        }
        CounterCommand::Get { key } => {
            let space = place.read()?;
            tell_others(&space, &key.0, Kind::COUNTER)?;
            let sum = space.counter(key).get()?;
            out.result(&json!({"key": text::json(&key.0), "value": number(sum)}), sum)
        }
    }
}

pub(crate) fn register(place: &Place, command: &RegisterCommand, out: &mut Out) -> Done {
    match command {
        RegisterCommand::Set { key, value } => {
            let space = place.write()?;
            space.register::<Element>(key).set(value)?;
            tell_others(&space, &key.0, Kind::REGISTER)?;
            let json = json!({"op": "register.set", "key": text::json(&key.0)});
            out.result(&json, format_args!("set {}", text::line(&key.0)))
        }
        RegisterCommand::Get { key } => {
            let space = place.read()?;
            tell_others(&space, &key.0, Kind::REGISTER)?;
            let register = space.register::<Element>(key);
            let value = register.get()?;
            let conflicts: Vec<Element> =
                register.conflicts()?.into_iter().map(Element::from).collect();
            if out.json {
                return out.line(json!({
                    "key": text::json(&key.0),
                    "value": value.as_ref().map(Element::json),
                    "conflicts": conflicts.iter().map(Element::json).collect::<Vec<_>>(),
                }));
            }
            for lost in conflicts {
                note(format_args!("written concurrently, and lost: {}", lost.line()));
            }
            match value {
                Some(value) => out.line(value.line()),
                None => {
                    note(format_args!("no register stands under {}", text::line(&key.0)));
                    Ok(())
                }
            }
        }
    }
}

pub(crate) fn map(place: &Place, command: &MapCommand, out: &mut Out) -> Done {
    match command {
        MapCommand::Set { key, field, value } => {
            let space = place.write()?;
            space.map::<Element>(key).register::<Element>(field)?.set(value)?;
            tell_others(&space, &key.0, Kind::MAP)?;
            let json = json!({"op": "map.set", "key": text::json(&key.0), "field": field.json()});
            out.result(&json, format_args!("set {} of {}", field.line(), text::line(&key.0)))
        }
        MapCommand::Remove { key, field } => {
            let space = place.write()?;
            let removed = space.map::<Element>(key).remove(field)?;
            tell_others(&space, &key.0, Kind::MAP)?;
            let json = json!({"op": "map.remove", "key": text::json(&key.0), "field": field.json(), "removed": removed});
            let (key, field) = (text::line(&key.0), field.line());
            match removed {
                true => out.result(&json, format_args!("removed {field} from {key}")),
                false => out.result(&json, format_args!("{key} has no {field}")),
            }
        }
        MapCommand::Get { key } => map_get(&place.read()?, &key.0, out),
    }
}

fn map_get(space: &Space, key: &[u8], out: &mut Out) -> Done {
    tell_others(space, key, Kind::MAP)?;
    let snapshot = space.snapshot()?;
    let map = snapshot.map::<Element>(key);
    let mut fields = serde_json::Map::new();
    for field in map.fields()? {
        let field = Element::from(field);
        let value = map.register::<Element>(&field)?.get()?;
        let mut kinds = map.kinds(&field)?;
        kinds.retain(|kind| *kind != Kind::REGISTER);
        if out.json {
            let value = match (&value, kinds.is_empty()) {
                (Some(value), true) => value.json().into(),
                // What is no register shows as the types that stand there.
                (value, _) => json!({
                    "value": value.as_ref().map(Element::json),
                    "types": kinds.iter().map(ToString::to_string).collect::<Vec<_>>(),
                }),
            };
            fields.insert(field.json(), value);
            continue;
        }
        if let Some(value) = value {
            out.line(format_args!("{}\t{}", field.line(), value.line()))?;
        }
        if !kinds.is_empty() {
            out.line(format_args!("{}\t({})", field.line(), names(&kinds)))?;
        }
    }
    if out.json {
        return out.line(json!({"key": text::json(key), "fields": fields}));
    }
    Ok(())
}

pub(crate) fn flag(place: &Place, command: &FlagCommand, out: &mut Out) -> Done {
    match command {
        FlagCommand::Enable { key } => {
            let space = place.write()?;
            space.flag(key).enable()?;
            tell_others(&space, &key.0, Kind::EW_FLAG)?;
            let json = json!({"op": "flag.enable", "key": text::json(&key.0)});
            out.result(&json, format_args!("enabled {}", text::line(&key.0)))
        }
        FlagCommand::Disable { key } => {
            let space = place.write()?;
            space.flag(key).disable()?;
            tell_others(&space, &key.0, Kind::EW_FLAG)?;
            let json = json!({"op": "flag.disable", "key": text::json(&key.0)});
            out.result(&json, format_args!("disabled {}", text::line(&key.0)))
        }
        FlagCommand::Get { key } => {
            let space = place.read()?;
            tell_others(&space, &key.0, Kind::EW_FLAG)?;
            let enabled = space.flag(key).get()?;
            let json = json!({"key": text::json(&key.0), "enabled": enabled});
            out.result(&json, if enabled { "enabled" } else { "disabled" })
        }
    }
}
