//! The spaces of a store.

use serde_json::json;

use crate::Place;
use crate::out::{Done, Failure, Out};
use crate::text::line;

/// Lists the names that start with `prefix`.
pub(crate) fn list(place: &Place, prefix: &str, out: &mut Out) -> Done {
    let names = place.existing()?.spaces(prefix)?;
    if out.json {
        return out.line(json!({"spaces": names}));
    }
    names.iter().try_for_each(|name| out.line(line(name.as_bytes())))
}

/// Drops a space of this store, and of no other.
pub(crate) fn drop_space(place: &Place, name: &str, out: &mut Out) -> Done {
    if !place.existing()?.drop_space(name)? {
        return Err(Failure::new(format_args!("there is no space {name:?}; see rejoin spaces")));
    }
    out.result(&json!({"dropped": name}), format_args!("dropped {name} here"))
}
