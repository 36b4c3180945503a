//! What an application does at a replica, and what the oracle expects of it.

use std::collections::BTreeSet;

use super::lines::Lines;
use super::oracle::Oracle;
use super::random::Random;
use crate::causal::{Dot, ReplicaId, Seq};
use crate::codec::{Cursor, Kind, limits, unzigzag};
use crate::error::Error;
use crate::space::{Item, Keys, ReadContext, Replacing, Space, Tx};

/// Something kept from a read, to be handed back later or never.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) key: &'static str,
    pub(super) context: ReadContext,
    pub(super) returned: BTreeSet<Dot>,
}

impl Kept {
    pub(super) fn read(space: &Space, key: &'static str) -> Result<Self, Error> {
        let siblings = space.get(key)?;
        let returned = siblings.entries().map(|write| write.dot).collect();
        Ok(Self { key, context: siblings.context().clone(), returned })
    }
}

/// The steps of an item beneath its key.
type Path = Vec<(Kind, Vec<u8>)>;

/// One mutation.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Put(&'static str),
    PutBlind(&'static str),
    PutSeen(Kept),
    Register { blind: bool },
    MvRegister { blind: bool },
    ClearRegister,
    Count(i64),
    Add(u8),
    Remove(u8),
    RwAdd(u8),
    RwRemove(u8),
    Flag(bool),
    DwFlag(bool),
    MapRegister(u8, u8),
    MapCount(u8),
    MapAdd(u8, u8),
    MapDeep(u8, u8),
    MapRemove(u8),
    MapDeepRemove(u8, u8),
    Delete(&'static str),
}

/// The families of mutations; a world draws some, so that they meet at few places.
pub(super) const FAMILIES: usize = 6;

impl Op {
    /// Draws one of the families of a world.
    pub(super) fn draw(random: &mut Random, families: &[usize], kept: &[Kept]) -> Self {
        let (one, two) = (random.below(2) as u8, random.below(2) as u8);
        match (*random.pick(families), random.below(10)) {
            (0, _) => {
                let key = *random.pick(&["v1", "v2"]);
                match random.below(10) {
                    0..=4 => Self::Put(key),
                    5..=7 if !kept.is_empty() => Self::PutSeen(random.pick(kept).clone()),
                    9 => Self::Delete(key),
                    _ => Self::PutBlind(key),
                }
            }
            (1, 0..4) => Self::Register { blind: one == 0 && two == 0 },
            (1, 4..8) => Self::MvRegister { blind: one == 0 },
            (1, 8) => Self::ClearRegister,
            (1, _) => Self::Delete("m"),
            (2, 9) => Self::Delete("n"),
            (2, _) => Self::Count(random.between(1, 9) as i64 - 3),
            (3, 0..5) => Self::Add(one + two),
            (3, 9) => Self::Delete("s"),
            (3, _) => Self::Remove(one + two),
            (4, 0..3) => Self::RwAdd(one),
            (4, 3..6) => Self::RwRemove(one),
            (4, 6) => Self::Delete("w"),
            (4, 7) => Self::Flag(one == 0),
            (4, 8) => Self::DwFlag(one == 0),
            (4, _) => Self::Delete("d"),
            (_, 0..2) => Self::MapRegister(one, two),
            (_, 2) => Self::MapCount(one),
            (_, 3) => Self::MapAdd(one, two),
            (_, 4 | 5) => Self::MapDeep(one, two),
            (_, 6) => Self::MapRemove(one),
            (_, 7 | 8) => Self::MapDeepRemove(one, two),
            _ => Self::Delete("map"),
        }
    }

    /// What is done instead where a counter with these own rows may not be added to.
    pub(super) fn or_removal(
        self,
        before: &[Item],
        own: ReplicaId,
        may_add: impl Fn(&[Dot]) -> bool,
    ) -> Self {
        let (instead, path): (Self, Path) = match &self {
            Self::Count(_) => (Self::Delete("n"), vec![(Kind::COUNTER, Vec::new())]),
            Self::MapCount(x) => {
                (Self::MapRemove(*x), vec![(Kind::MAP, vec![*x]), (Kind::COUNTER, Vec::new())])
            }
            _ => return self,
        };
        let rows = before.iter().filter(|item| item.path == path && item.dot.replica == own);
        let dots: Vec<Dot> = rows.map(|item| item.dot).collect();
        if may_add(&dots) { self } else { instead }
    }

    /// The key that it is about.
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Put(key) | Self::PutBlind(key) | Self::Delete(key) => key,
            Self::PutSeen(kept) => kept.key,
            Self::Register { .. } | Self::ClearRegister => "r",
            Self::MvRegister { .. } => "m",
            Self::Count(_) => "n",
            Self::Add(_) | Self::Remove(_) => "s",
            Self::RwAdd(_) | Self::RwRemove(_) => "w",
            Self::Flag(_) => "f",
            Self::DwFlag(_) => "d",
            Self::MapRegister(..)
            | Self::MapCount(_)
            | Self::MapAdd(..)
            | Self::MapDeep(..)
            | Self::MapRemove(_)
            | Self::MapDeepRemove(..) => "map",
        }
    }

    /// All that it can have changed.
    pub(super) fn keys(&self) -> Keys {
        Keys::range(self.key()..=self.key())
    }

    /// The prefix that a pure removal is about.
    fn removes(&self) -> Option<(&'static str, Path)> {
        let path = |steps: &[(Kind, u8)]| steps.iter().map(|(k, n)| (*k, vec![*n])).collect();
        Some(match self {
            Self::ClearRegister => ("r", vec![(Kind::REGISTER, Vec::new())]),
            Self::Flag(false) => ("f", vec![(Kind::EW_FLAG, Vec::new())]),
            Self::Remove(e) => ("s", path(&[(Kind::SET, *e)])),
            Self::MapRemove(x) => ("map", path(&[(Kind::MAP, *x)])),
            Self::MapDeepRemove(x, y) => ("map", path(&[(Kind::MAP, *x), (Kind::MAP, *y)])),
            Self::Delete(key) => (key, Vec::new()),
            _ => return None,
        })
    }
}

macro_rules! performs {
    ($name:ident on $on:ty) => {
        pub(super) fn $name(on: $on, op: &Op, value: u8) -> Result<(), Error> {
            match op {
                Op::Put(key) => on.put(key, [value], None),
                Op::PutBlind(key) => on.put(key, [value], Replacing::Nothing),
                Op::PutSeen(kept) => on.put(kept.key, [value], &kept.context),
                Op::Register { blind: false } => on.register("r").set(&value),
                Op::Register { blind: true } => on.register("r").set_blind(&value),
                Op::MvRegister { blind: false } => on.mv_register("m").set(&value),
                Op::MvRegister { blind: true } => on.mv_register("m").set_blind(&value),
                Op::ClearRegister => on.register::<u8>("r").clear().map(drop),
                Op::Count(by) => on.counter("n").add(*by),
                Op::Add(e) => on.set("s").add(e),
                Op::Remove(e) => on.set("s").remove(e).map(drop),
                Op::RwAdd(e) => on.rw_set("w").add(e),
                Op::RwRemove(e) => on.rw_set("w").remove(e),
                Op::Flag(true) => on.flag("f").enable(),
                Op::Flag(false) => on.flag("f").disable(),
                Op::DwFlag(true) => on.dw_flag("d").enable(),
                Op::DwFlag(false) => on.dw_flag("d").disable(),
                Op::MapRegister(x, y) => on.map::<u8>("map").map::<u8>(x)?.register(y)?.set(&value),
                Op::MapCount(x) => on.map::<u8>("map").counter(x)?.add(i64::from(value)),
                Op::MapAdd(x, e) => on.map::<u8>("map").set(x)?.add(e),
                Op::MapDeep(x, y) => {
                    on.map::<u8>("map").map::<u8>(x)?.map::<u8>(y)?.set(&value)?.add(&value)
                }
                Op::MapRemove(x) => on.map::<u8>("map").remove(x).map(drop),
                Op::MapDeepRemove(x, y) => on.map::<u8>("map").map::<u8>(x)?.remove(y).map(drop),
                Op::Delete(key) => on.delete(key).map(drop),
            }
        }
    };
}

performs!(perform on &Space);
performs!(perform_in on &Tx<'_>);

/// What one mutation did.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// Its event; none where there was nothing to do.
    pub(super) dot: Option<Dot>,
    pub(super) wrote: Option<Item>,
    pub(super) removed: Vec<Dot>,
}

impl Deed {
    /// Whether it left a record of what it removed.
    pub(super) const fn is_removal(&self) -> bool {
        self.dot.is_some() && self.wrote.is_none()
    }

    /// The same, with the dots by which the oracle goes.
    pub(super) fn called(self, lines: &Lines) -> Self {
        Self {
            dot: self.dot.map(|dot| lines.dot(dot)),
            wrote: self.wrote.map(|item| lines.item(item)),
            removed: self.removed.into_iter().map(|dot| lines.dot(dot)).collect(),
        }
    }

    /// The row of a counter that it wrote.
    pub(super) fn counted(&self) -> Option<Dot> {
        let wrote = self.wrote.as_ref()?;
        (wrote.path.last()?.0 == Kind::COUNTER).then_some(wrote.dot)
    }

    /// What it did, to the oracle.
    pub(super) fn add_to(self, oracle: &mut Oracle) {
        if let Some(dot) = self.dot {
            oracle.add(dot, self.wrote, self.removed);
        }
    }
}

/// Compares what was live before and after a mutation with what its type says, where
/// `next` is the dot it must have taken. A row that the oracle knows to be dead already
/// may go with it.
pub(super) fn judge(
    op: &Op,
    before: &[Item],
    after: &[Item],
    next: Dot,
    is_removed: impl Fn(Dot) -> bool,
) -> Result<Deed, String> {
    let dots = |items: &[Item]| items.iter().map(|item| item.dot).collect::<BTreeSet<_>>();
    let (was, is) = (dots(before), dots(after));
    let removed: Vec<Dot> = was.difference(&is).copied().collect();
    let fresh: Vec<&Item> = after.iter().filter(|item| !was.contains(&item.dot)).collect();
    let off = |what: &str| Err(format!("OP: {op:?} {what}: removed {removed:?}, wrote {fresh:?}"));
    if let Some((key, prefix)) = op.removes() {
        let beneath = |i: &&Item| i.key == key.as_bytes() && i.path.starts_with(&prefix);
        let expected: BTreeSet<Dot> = before.iter().filter(beneath).map(|i| i.dot).collect();
        if !fresh.is_empty() || expected != removed.iter().copied().collect() {
            return off("must remove exactly what is beneath");
        }
        let dot = (!removed.is_empty()).then_some(next);
        return Ok(Deed { dot, wrote: None, removed });
    }
    let [wrote] = fresh.as_slice() else { return off("must write one item") };
    if wrote.dot != next {
        return off("must take the next dot");
    }
    let there: Vec<&Item> =
        before.iter().filter(|i| i.key == wrote.key && i.path == wrote.path).collect();
    if removed.iter().any(|dot| there.iter().all(|item| item.dot != *dot)) {
        return off("must touch its own place only");
    }
    let gone = |item: &&Item| removed.contains(&item.dot);
    match op {
        Op::PutBlind(_) | Op::Register { blind: true } | Op::MvRegister { blind: true } => {
            if !removed.is_empty() {
                return off("must replace nothing");
            }
        }
        Op::PutSeen(kept) => {
            let fits = |i: &&Item| gone(i) == kept.returned.contains(&i.dot) || is_removed(i.dot);
            if !there.iter().all(fits) {
                return off("must replace what was returned");
            }
        }
        Op::Count(by) => judge_count(&there, wrote, &removed, next.replica, Some(*by))
            .or_else(|what| off(what).map(drop))?,
        Op::MapCount(_) => judge_count(&there, wrote, &removed, next.replica, None)
            .or_else(|what| off(what).map(drop))?,
        _ if there.iter().all(gone) => {}
        _ => return off("must replace all at its place"),
    }
    Ok(Deed { dot: Some(next), wrote: Some((*wrote).clone()), removed })
}

/// An increment replaces nothing, its writer's newest row, or all rows of its writer where
/// they are many; it loses no amount.
fn judge_count(
    there: &[&Item],
    wrote: &Item,
    removed: &[Dot],
    own: ReplicaId,
    by: Option<i64>,
) -> Result<(), &'static str> {
    let rows: Vec<Dot> = there.iter().map(|i| i.dot).filter(|dot| dot.replica == own).collect();
    let newest = rows.iter().max();
    let fits = match removed {
        [] => rows.len() < limits::COUNTER_ROWS,
        [one] => Some(one) == newest,
        all => rows.len() >= limits::COUNTER_ROWS && all.len() == rows.len(),
    };
    let replaced: i64 = there.iter().filter(|i| removed.contains(&i.dot)).map(|i| amount(i)).sum();
    match fits {
        false => Err("must replace its writer's newest row, all, or none"),
        true if by.is_some_and(|by| amount(wrote) - replaced != by) => Err("must keep the amounts"),
        true => Ok(()),
    }
}

/// The amount of a counter's row.
pub(super) fn amount(item: &Item) -> i64 {
    Cursor::new("counter row", &item.payload).varint().map(unzigzag).unwrap_or(i64::MAX)
}

/// The dot after the last of `own` seqs.
pub(super) fn dot_after(replica: ReplicaId, own: u64) -> Dot {
    Dot::new(replica, Seq::new(own + 1))
}
