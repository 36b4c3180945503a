//! Frames made and read by hand, for the simulator's liars and for fuzzers.

use super::message::Message;
use crate::codec::{Cursor, DecodeError};

/// Reads a frame message by message, as a session does, and keeps none; how many events
/// the longest chunk in it has.
///
/// # Errors
/// As a session's.
pub(crate) fn read(frame: &[u8]) -> Result<usize, DecodeError> {
    let mut events = 0;
    each(frame, |message, _| events = events.max(events_of(&message)))?;
    Ok(events)
}

/// The first message that is spelled otherwise when it is written again, in words. What a
/// newer version may add is left out by this one, and does not count.
///
/// # Errors
/// As a session's.
pub(crate) fn respelled(frame: &[u8]) -> Result<Option<String>, DecodeError> {
    let mut found = None;
    each(frame, |message, bytes| {
        let mut again = Vec::new();
        message.encode(&mut again);
        let newer = matches!(message, Message::Hello { .. } | Message::GiveUp { .. });
        if again != bytes && !newer {
            found.get_or_insert(format!("{message:?}"));
        }
    })?;
    Ok(found)
}

fn each(frame: &[u8], mut visit: impl FnMut(Message, &[u8])) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new("frame", frame);
    while cursor.remaining() > 0 {
        let from = frame.len() - cursor.remaining();
        let message = Message::decode(&mut cursor)?;
        let to = frame.len() - cursor.remaining();
        visit(message, frame.get(from..to).unwrap_or_default());
    }
    Ok(())
}

fn events_of(message: &Message) -> usize {
    match message {
        Message::Chunk { chunk, .. } => chunk.events.len(),
        _ => 0,
    }
}
