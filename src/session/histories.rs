//! How histories are spelled in a frame.

use crate::causal::{ReplicaId, Seq, Tag};
use crate::codec::{Cursor, DecodeError, Problem, Put, limits};
use crate::space::History;

pub(super) fn put_histories(out: &mut Vec<u8>, histories: &[History]) {
    out.put_varint(histories.len() as u64);
    for History { origin, top, stretches } in histories {
        out.extend_from_slice(origin.as_bytes());
        out.put_varint(top.get());
        out.put_varint(stretches.len() as u64);
        for (first, tag) in stretches {
            out.put_varint(first.get());
            out.extend_from_slice(tag.as_bytes());
        }
    }
}

/// Histories, ascending by origin, each of stretches that ascend and begin within it.
pub(super) fn take_histories(cursor: &mut Cursor<'_>) -> Result<Vec<History>, DecodeError> {
    let count = cursor.count(18, limits::VECTOR_REPLICAS)?;
    let mut histories: Vec<History> = Vec::with_capacity(count);
    for _ in 0..count {
        let here = cursor.clone();
        let (origin, top) = (cursor.replica()?, Seq::new(cursor.varint()?));
        if histories.last().is_some_and(|last| last.origin >= origin) {
            return Err(here.wrong(Problem::Unsorted));
        }
        let count = cursor.count(9, limits::STRETCHES)?;
        let mut stretches: Vec<(Seq, Tag)> = Vec::with_capacity(count);
        for _ in 0..count {
            let here = cursor.clone();
            let (first, tag) = (cursor.seq()?, cursor.tag()?);
            if stretches.last().is_some_and(|last| last.0 >= first) {
                return Err(here.wrong(Problem::Unsorted));
            }
            if first > top {
                return Err(here.wrong(Problem::Other("a stretch beyond its history")));
            }
            stretches.push((first, tag));
        }
        histories.push(History { origin, top, stretches });
    }
    Ok(histories)
}

/// Origins, ascending.
pub(super) fn take_origins(cursor: &mut Cursor<'_>) -> Result<Vec<ReplicaId>, DecodeError> {
    let count = cursor.count(16, limits::VECTOR_REPLICAS)?;
    let mut origins = Vec::with_capacity(count);
    for _ in 0..count {
        let here = cursor.clone();
        let origin = cursor.replica()?;
        if origins.last().is_some_and(|last| *last >= origin) {
            return Err(here.wrong(Problem::Unsorted));
        }
        origins.push(origin);
    }
    Ok(origins)
}
