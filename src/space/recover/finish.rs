//! What a new store is given beside its items, and what becomes of spaces that are not whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::items::sound_item;
use super::names::sound_name;
use super::{Beside, Found, Recovery};
use crate::causal::Dot;
use crate::space::catalog::touch;
use crate::space::check::check_row;
use crate::space::rows::{
    Removal, State, Which, after, dot_key, dot_of_key, number_in, numbered_key, payload_of,
    read_vector, space_key, split_dot_value,
};
use crate::space::store::{CLOCK_KEY, SPACES_KEY, number_of};
use crate::space::trash::Head;
use crate::space::waiting::{
    WAITING_KEY, Waiting, clear, set_aside, stand_ins_in, unadopted, waits_in,
};
use crate::storage::{Gap, StorageError, Survey, Table};

impl Recovery<'_> {
    pub(super) fn removals(&mut self) -> Result<(), StorageError> {
        let survey = self.survey(Table::Removals, |this, key, row| {
            let Some((_, found)) = this.space(key)? else { return Ok(()) };
            let (Ok(dot), Ok(_)) = (dot_of_key(key), Removal::from_row(row)) else {
                this.report.also_lost.insert(Beside::Removals);
                return Ok(());
            };
            if found.is_staged(dot) || found.incomplete {
                return Ok(());
            }
            found.removals.push(dot);
            found.log_bytes += (key.len() + row.len()) as u64;
            this.to.put(Table::Removals, key, row)
        })?;
        self.note(Beside::Removals, &survey);
        Ok(())
    }

    /// Notes what may be lost where a table has a gap.
    fn note(&mut self, what: Beside, survey: &Survey) {
        if !survey.gaps.is_empty() {
            self.report.also_lost.insert(what);
        }
    }

    /// What of it is sound, counted anew.
    pub(super) fn trash(&mut self) -> Result<(), StorageError> {
        let mut met = BTreeSet::new();
        let survey = self.survey(Table::Trash, |this, key, row| {
            let Some((number, found)) = this.space(key)? else { return Ok(()) };
            found.kept_aside = true;
            if check_row(Table::Trash, key, row).is_err() {
                this.report.also_lost.insert(Beside::Trash);
                return Ok(());
            }
            met.insert(number);
            this.to.put(Table::Trash, key, row)
        })?;
        self.note(Beside::Trash, &survey);
        met.iter().try_for_each(|number| Head::recount(self.to, *number))
    }

    /// Of what concerns the whole store the clock, and what waits since an earlier recovery.
    pub(super) fn whole_store(&mut self) -> Result<(), StorageError> {
        let mut survey = self.survey(Table::Meta, |this, key, row| {
            let Some(waits) = waits_in(key) else {
                let sound = key == CLOCK_KEY && check_row(Table::Meta, key, row).is_ok();
                return if sound { this.to.put(Table::Meta, key, row) } else { Ok(()) };
            };
            let known = this.space(waits)?.filter(|_| check_row(Table::Meta, key, row).is_ok());
            let Some((_, found)) = known else {
                // Of others something stands in among the items, and this told for what.
                match row.first() {
                    Some(1..=4) => drop(this.report.also_lost.insert(Beside::Waiting)),
                    _ => this.report.lost += 1,
                }
                return Ok(());
            };
            found.kept_aside = true;
            this.to.put(Table::Meta, key, row)
        })?;
        survey.gaps.retain(|gap| may_have_held(gap, WAITING_KEY));
        self.note(Beside::Waiting, &survey);
        Ok(())
    }

    pub(super) fn finish_spaces(&mut self) -> Result<(), StorageError> {
        let mut spaces = core::mem::take(&mut self.spaces);
        // Numbers that are none: the space of that name has another one. One may only begin behind
        // what is damaged of the journal.
        let mut begun = BTreeSet::new();
        if let Some(changes) = self.wreck.later() {
            let items = changes.filter(|(table, ..)| *table == Table::Items);
            begun.extend(items.filter_map(|(_, key, _)| number_in(key)));
        }
        spaces.retain(|number, found| !found.is_nothing() || begun.contains(number));
        self.name(&mut spaces)?;
        for (number, mut found) in spaces {
            let name = found.name.take().unwrap_or_default();
            self.report.spaces += 1;
            self.report.lost += found.lost;
            let mut state = State::default();
            if found.incomplete {
                set_aside(self.to, number)?;
                clear(self.to, Table::Vectors, &space_key(number))?;
                clear(self.to, Table::Removals, &space_key(number))?;
                self.report.incomplete.push(name.clone());
            } else {
                self.report.items += found.items;
                state.items = found.items;
                state.log_bytes = found.log_bytes;
                state.commit = 1;
                if !found.removals.0.is_empty() {
                    let row = found.removals.to_row();
                    self.to.put(Table::RemovalAges, &numbered_key(number, 1), &row)?;
                }
                found.marks.save(self.to, number)?;
            }
            self.found_space(number, &name, state)?;
        }
        Ok(())
    }

    /// Writes down that there is a space.
    fn found_space(
        &mut self,
        number: u32,
        name: &str,
        mut state: State,
    ) -> Result<(), StorageError> {
        state.touched = touch(self.to, name, 0)?;
        self.to.put(Table::States, &space_key(number), &state.to_row())?;
        self.to.put(Table::Spaces, name.as_bytes(), &number.to_be_bytes())?;
        self.spaces.insert(number, Found::default());
        Ok(())
    }

    /// What the journal says behind its damage. Nothing of it counts but items that hash as
    /// the row of their dot says, and those wait.
    pub(super) fn later(&mut self) -> Result<(), StorageError> {
        self.report.journal_damaged = self.wreck.is_behind();
        let Some(changes) = self.wreck.later() else { return Ok(()) };
        self.report.journal_damaged = true;
        let (mut items, mut dots, mut same) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut stand_ins = Vec::new();
        for (table, key, value) in changes {
            match (table, value) {
                (Table::Items, Some(value)) => items.push((key, value)),
                (Table::Dots, Some(value)) => drop(dots.insert(key, value)),
                (Table::Meta, Some(row)) => {
                    let number = waits_in(key).and_then(number_in);
                    let sound = check_row(Table::Meta, key, row).is_ok();
                    stand_ins.extend(number.filter(|_| sound).map(|number| (number, key, row)));
                }
                (Table::Spaces, Some(row)) => {
                    if let Some(number) = number_in(row)
                        && !self.spaces.contains_key(&number)
                    {
                        let name = sound_name(key);
                        // Dropped, and then begun anew: what was written since is of that space.
                        let known = name.as_ref().map(|name| number_of(self.to, name));
                        if let Some(known) = known.transpose()?.flatten() {
                            same.insert(number, known);
                            continue;
                        }
                        let name = name.unwrap_or_else(|| self.new_name(number));
                        self.taken.insert(name.clone());
                        self.report.spaces += 1;
                        self.found_space(number, &name, State::default())?;
                    }
                }
                _ => {}
            }
        }
        for (number, key, row) in stand_ins {
            let number = same.get(&number).copied().unwrap_or(number);
            Waiting::take_stand_in(self.to, number, (key, row))?;
        }
        let mut known: BTreeMap<u32, BTreeSet<Dot>> = BTreeMap::new();
        for (key, value) in items {
            let (Some(number), Some((place, dot))) = (number_in(key), sound_item(key, value))
            else {
                continue;
            };
            let says_so = |row: &&[u8]| {
                let (row, payload) = (split_dot_value(row), payload_of(value));
                row.ok()
                    .zip(payload.ok())
                    .is_some_and(|(row, payload)| row.is_of(dot, place, payload))
            };
            let sound = dots.get(dot_key(number, dot).as_slice()).is_some_and(says_so);
            let number = same.get(&number).copied().unwrap_or(number);
            let seen = read_vector(self.to, number, Which::Seen)?.contains(dot);
            if !sound || seen || !self.spaces.contains_key(&number) {
                continue;
            }
            let known = match known.entry(number) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(stand_ins_in(self.to, number)?),
            };
            if !known.contains(&dot) {
                Waiting::new(self.to, number, (dot, place, value))?.put(self.to, number)?;
            }
        }
        Ok(())
    }

    /// How many spaces there are, as numbers are given to them, and what waits in them.
    pub(super) fn count_spaces(&mut self) -> Result<(), StorageError> {
        for number in self.spaces.keys() {
            self.report.waiting += unadopted(self.to, *number)?;
        }
        let count = self.spaces.keys().last().map_or(0, |last| last.saturating_add(1));
        self.to.put(Table::Meta, SPACES_KEY, &count.to_be_bytes())
    }
}

/// Whether a gap may have held rows whose keys start so.
fn may_have_held(gap: &Gap, prefix: &[u8]) -> bool {
    let end = after(prefix);
    gap.after.as_ref().is_none_or(|last| *last < end)
        && gap.before.as_ref().is_none_or(|next| next.as_slice() > prefix)
}
