//! The spaces of a store.

use serde_json::json as object;

use crate::Place;
use crate::out::{Done, Failure, Out};
use crate::text::{json, line};

/// Lists the names that start with `prefix`.
pub(crate) fn list(place: &Place, prefix: &str, out: &mut Out) -> Done {
    let names = place.existing()?.spaces(prefix)?;
    if out.json {
        let names: Vec<_> = names.iter().map(|name| json(name.as_bytes())).collect();
        return out.line(object!({"spaces": names}));
    }
    names.iter().try_for_each(|name| out.line(line(name.as_bytes())))
}

/// Drops a space of this store, and of no other.
pub(crate) fn drop_space(place: &Place, name: &str, out: &mut Out) -> Done {
    if !place.existing()?.drop_space(name)? {
        return Err(Failure::new(format_args!("there is no space {name:?}; see rejoin spaces")));
    }
    let dropped = object!({"dropped": json(name.as_bytes())});
    out.result(&dropped, format_args!("dropped {} here", line(name.as_bytes())))
}
