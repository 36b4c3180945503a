//! JSON Lines out.

use std::io::Write;
use std::ops::ControlFlow;

use rejoin::Space;
use rejoin::causal::{Dot, Hlc};
use rejoin::codec::{Cursor, Kind, unzigzag};
use rejoin::space::{Item, Keys};
use serde::Serialize;

use crate::out::{Done, Failure, Out, note};
use crate::text::{self, Element};

/// A line, as import reads it.
#[derive(Default, Serialize)]
struct Line<'a> {
    op: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    path: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    elem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sibling: bool,
}

/// The live items at one place.
struct Group {
    key: Vec<u8>,
    path: Vec<(Kind, Vec<u8>)>,
    rows: Vec<(Dot, Vec<u8>)>,
}

pub(crate) fn export(space: &Space, out: &mut Out) -> Done {
    let mut group: Option<Group> = None;
    let (mut done, mut unknown, mut fields) = (Ok(()), 0_u64, 0_u64);
    space.snapshot()?.for_each_item(Keys::all(), |item: Item| {
        let known = item.path.iter().all(|(kind, _)| kind.name().is_some());
        fields += u64::from(known && !item.unknown().is_empty());
        match &mut group {
            Some(group) if group.key == item.key && group.path == item.path => {
                group.rows.push((item.dot, item.payload));
                return ControlFlow::Continue(());
            }
            _ => {}
        }
        let rows = vec![(item.dot, item.payload)];
        if let Some(whole) = group.replace(Group { key: item.key, path: item.path, rows }) {
            done = write(whole, &mut unknown, out);
        }
        if done.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    done?;
    if let Some(last) = group {
        write(last, &mut unknown, out)?;
    }
    if unknown > 0 {
        note(format_args!(
            "{unknown} items are of types that this version does not know and were left out; use a newer rejoin"
        ));
    }
    if fields > 0 {
        note(format_args!(
            "{fields} items have fields that this version does not know, which were left out; use a newer rejoin"
        ));
    }
    Ok(())
}

/// Writes the lines that make what stands at one place.
fn write(group: Group, unknown: &mut u64, out: &mut Out) -> Done {
    let Group { key, mut path, mut rows } = group;
    let count = rows.len() as u64;
    let Some((kind, name)) = path.pop().filter(|_| path.iter().all(|(k, _)| *k == Kind::MAP))
    else {
        *unknown += count;
        return Ok(());
    };
    let key = text::json(&key);
    let mut path: Vec<String> =
        path.iter().map(|(_, field)| Element::of_encoding(field).json()).collect();
    let mut put = |line: Line<'_>| line_out(&line, out);
    match kind {
        Kind::SET | Kind::RW_SET => {
            let elem = Some(Element::of_encoding(&name).json());
            let op = match (kind, rows.iter().all(|(_, payload)| payload.first() == Some(&1))) {
                (Kind::SET, _) => "set.add",
                (_, true) => "rw_set.add",
                (_, false) => "rw_set.remove",
            };
            put(Line { op, key: &key, path: &path, elem, ..Line::default() })
        }
        Kind::EW_FLAG | Kind::DW_FLAG => {
            let op = match (kind, rows.iter().all(|(_, payload)| payload.first() == Some(&1))) {
                (Kind::EW_FLAG, _) => "flag.enable",
                (_, true) => "dw_flag.enable",
                (_, false) => "dw_flag.disable",
            };
            put(Line { op, key: &key, path: &path, ..Line::default() })
        }
        Kind::COUNTER => {
            let mut sum = 0_i128;
            for (_, payload) in &rows {
                let amount = Cursor::new("counter row", payload).varint();
                sum += i128::from(amount.map(unzigzag).map_err(Failure::new)?);
            }
            loop {
                let by = sum.clamp(i64::MIN.into(), i64::MAX.into());
                sum -= by;
                let by = i64::try_from(by).ok();
                put(Line { op: "counter.add", key: &key, path: &path, by, ..Line::default() })?;
                if sum == 0 {
                    return Ok(());
                }
            }
        }
        Kind::VALUE if path.is_empty() => {
            for (at, (_, payload)) in rows.iter().enumerate() {
                let value = Some(text::json(split_stamp(payload)?.1));
                let sibling = at > 0;
                put(Line { op: "put", key: &key, value, sibling, ..Line::default() })?;
            }
            Ok(())
        }
        Kind::REGISTER | Kind::MV_REGISTER => {
            let mut stamped = Vec::with_capacity(rows.len());
            for (dot, payload) in rows.drain(..) {
                let (stamp, value) = split_stamp(&payload)?;
                stamped.push((stamp, dot, Element::of_encoding(value)));
            }
            let (mut op, mut field) = ("mv_register.set", None);
            if kind == Kind::REGISTER {
                // The winner goes last, so that it wins where this is imported.
                stamped.sort_unstable_by_key(|(stamp, dot, _)| (*stamp, *dot));
                field = path.pop();
                op = if field.is_some() { "map.set" } else { "register.set" };
            }
            for (at, (.., value)) in stamped.into_iter().enumerate() {
                let (field, value) = (field.clone(), Some(value.json()));
                let sibling = at > 0;
                put(Line { op, key: &key, path: &path, field, value, sibling, ..Line::default() })?;
            }
            Ok(())
        }
        _ => {
            *unknown += count;
            Ok(())
        }
    }
}

fn line_out(line: &Line<'_>, out: &mut Out) -> Done {
    serde_json::to_writer(out.writer(), line).map_err(std::io::Error::from)?;
    Ok(out.writer().write_all(b"\n")?)
}

/// Timestamp and value of a register.
fn split_stamp(payload: &[u8]) -> Result<(Hlc, &[u8]), Failure> {
    let (stamp, value) = payload.split_first_chunk().ok_or_else(|| {
        Failure::new("the store is corrupt: a register without a timestamp; run check")
    })?;
    Ok((Hlc::from_be_bytes(*stamp), value))
}
