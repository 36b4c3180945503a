//! The fields of an item's payload, and those of a newer version behind them.
//!
//! A version to come may say more in an item of a type that this one knows: behind the fields
//! that are known. They are content like any other, so hash and root cover them; they are kept
//! and passed on byte for byte, and this version reads over them. What changes the meaning of
//! the known fields is no field behind them but another type.
//!
//! In an opaque value and a register all that stands behind the timestamp is the application's
//! value, which has no end of its own: what a newer version has to say there is another type too.

use super::change::STAMP_BYTES;
use crate::codec::{Cursor, DecodeError, Kind, Problem, unzigzag};

/// The amount in the payload of a counter's row, and what stands behind it.
pub(crate) fn amount(payload: &[u8]) -> Result<(i64, &[u8]), DecodeError> {
    let mut cursor = Cursor::new("counter row", payload);
    let amount = unzigzag(cursor.varint()?);
    Ok((amount, cursor.take_rest()))
}

/// What a row of a type in which removing wins says: present, or enabled, or not.
pub(crate) fn says(payload: &[u8]) -> bool {
    payload.first() == Some(&1)
}

/// What stands in a payload behind the fields that this version knows of the kind: all of it,
/// where it does not know the kind.
///
/// # Errors
/// The known fields are not what the kind allows.
pub(crate) fn unknown(kind: Kind, payload: &[u8]) -> Result<&[u8], DecodeError> {
    let mut cursor = Cursor::new("payload", payload);
    match kind {
        Kind::VALUE | Kind::REGISTER | Kind::MV_REGISTER => {
            cursor.take(STAMP_BYTES)?;
            return Ok(&[]);
        }
        Kind::COUNTER => return amount(payload).map(|(_, unknown)| unknown),
        Kind::RW_SET | Kind::DW_FLAG => {
            let here = cursor.clone();
            match cursor.u8()? {
                0 | 1 => {}
                other => return Err(here.wrong(Problem::UnknownTag { found: other.into() })),
            }
        }
        _ => {}
    }
    Ok(cursor.take_rest())
}
