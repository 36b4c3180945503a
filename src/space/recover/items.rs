//! Items, and the rows of their dots: each tells whether the other is what it was.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::Recovery;
use crate::causal::{Dot, VersionVector};
use crate::codec::{Kind, Place, limits, place};
use crate::digest::ItemHash;
use crate::space::change::STAMP_BYTES;
use crate::space::rows::{
    corrupt, dot_key, dot_of_key, dot_value, item_key, item_value, number_in, split_dot_value,
    split_item_key, split_item_value,
};
use crate::storage::{StorageError, Survey, Table};

impl Recovery<'_> {
    /// Puts an item where it stands in a store.
    fn put(
        &mut self,
        number: u32,
        (place, dot): (&[u8], Dot),
        value: &[u8],
    ) -> Result<(), StorageError> {
        let Some(found) = self.spaces.get_mut(&number) else { return Ok(()) };
        let parts = split_item_value(value);
        let (past, payload) = parts.map_err(|e| corrupt(Table::Items, place, e))?;
        if self.to.get(Table::Dots, &dot_key(number, dot))?.is_some() {
            found.incomplete = true; // two places for one dot: the one that came first stays
            return Ok(());
        }
        let row = dot_value(ItemHash::of(dot, place, payload), !past.is_empty(), place);
        self.to.put(Table::Dots, &dot_key(number, dot), &row)?;
        self.to.put(Table::Items, &item_key(number, place, Some(dot)), value)?;
        found.items += 1;
        found.marks.came(dot);
        Ok(())
    }

    pub(super) fn items(&mut self) -> Result<Survey, StorageError> {
        self.survey(Table::Items, |this, key, value| {
            let Some((number, found)) = this.space(key)? else { return Ok(()) };
            let Some((place, dot)) = sound_item(key, value) else {
                found.incomplete = true;
                return Ok(());
            };
            match found.is_staged(dot) {
                true => Ok(()),
                false => this.put(number, (place, dot), value),
            }
        })
    }

    /// Looks through all pages for the items of a gap: what led to them may be gone, and they not.
    /// Such a page may be one of old, so that an item counts only where the row of its dot says
    /// that it lives, and hashes to what it says.
    pub(super) fn strays(&mut self, items: &Survey) -> Result<(), StorageError> {
        if items.gaps.is_empty() {
            return Ok(());
        }
        let mut missing = BTreeMap::new();
        self.survey(Table::Dots, |this, key, row| {
            if this.space(key)?.is_some() && this.to.get(Table::Dots, key)?.is_none() {
                missing.insert(key.to_vec(), row.to_vec());
            }
            Ok(())
        })?;
        let (wreck, mut wrong) = (self.wreck, Ok(()));
        wreck.strays(&mut |key, value| {
            wrong = self.stray(key, value, &missing);
            if wrong.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        wrong
    }

    fn stray(
        &mut self,
        key: &[u8],
        value: &[u8],
        missing: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<(), StorageError> {
        let Some((place, dot)) = sound_item(key, value) else { return Ok(()) };
        let Some(number) = number_in(key) else { return Ok(()) };
        let dot_key = dot_key(number, dot);
        let row = missing.get(&dot_key).map(|row| split_dot_value(row));
        let Some(Ok(row)) = row else { return Ok(()) };
        let Ok((past, payload)) = split_item_value(value) else { return Ok(()) };
        if row.has_past == past.is_empty() || !row.is_of(dot, place, payload) {
            return Ok(());
        }
        let there = self.to.get(Table::Items, &item_key(number, place, Some(dot)))?;
        let Some(found) = self.spaces.get_mut(&number) else { return Ok(()) };
        match there {
            // The hash says nothing of pasts, and names that give way change them.
            Some(there) => {
                found.incomplete |= there != value;
                Ok(())
            }
            None if found.is_staged(dot) => Ok(()),
            None => self.put(number, (place, dot), value),
        }
    }

    /// Holds each row of a dot against its item.
    pub(super) fn dots(&mut self, items: &Survey) -> Result<(), StorageError> {
        let mut suspects = BTreeMap::new();
        for (key, value) in &items.suspects {
            if let (Some(number), Some((place, dot))) = (number_in(key), sound_item(key, value)) {
                suspects.insert(dot_key(number, dot), (place, value.as_slice()));
            }
        }
        let survey = self.survey(Table::Dots, |this, key, row| {
            this.space(key)?;
            this.dot(key, row, &suspects)
        })?;
        // A row of a damaged page that says what an item's does is sound, however it stands there.
        for (key, row) in &survey.suspects {
            // Only of what an item says as well: else a number in it might be none of a space.
            if suspects.contains_key(key.as_slice()) && self.space(key)?.is_some() {
                self.dot(key, row, &suspects)?;
            }
        }
        let (without_items, without_dots) =
            (self.touched_by(&items.gaps), self.touched_by(&survey.gaps));
        for number in without_items.intersection(&without_dots) {
            if let Some(found) = self.spaces.get_mut(number) {
                found.incomplete = true;
            }
        }
        Ok(())
    }

    fn dot(
        &mut self,
        key: &[u8],
        row: &[u8],
        suspects: &BTreeMap<Vec<u8>, (&[u8], &[u8])>,
    ) -> Result<(), StorageError> {
        let Some(number) = number_in(key) else { return Ok(()) };
        let Some(found) = self.spaces.get_mut(&number) else { return Ok(()) };
        let (Ok(dot), Ok(old)) = (dot_of_key(key), split_dot_value(row)) else {
            found.incomplete = true;
            return Ok(());
        };
        if found.is_staged(dot) {
            return Ok(());
        }
        if let Some(made) = self.to.get(Table::Dots, key)? {
            let made = split_dot_value(&made).map_err(|e| corrupt(Table::Dots, key, e))?;
            if made.hash == old.hash && made.place == old.place {
                return Ok(());
            }
            // Which of the two is wrong nobody can tell.
            self.to.delete(Table::Items, &item_key(number, made.place, Some(dot)))?;
            self.to.delete(Table::Dots, key)?;
            found.items -= 1;
        } else if let Some((place, value)) = suspects.get(key)
            && let Ok((past, payload)) = split_item_value(value)
            && old.is_of(dot, place, payload)
            && past.is_empty() != old.has_past
        {
            // The hash says nothing of the past. Without it an item is the same and replaces
            // less by itself; only what a counter's row adds up must not count beside it.
            let counts = place::leaf_kind(place).is_ok_and(|kind| kind == Kind::COUNTER);
            if past.is_empty() || !counts {
                let value = item_value(&VersionVector::new(), payload);
                return self.put(number, (place, dot), &value);
            }
        }
        found.lost += 1;
        found.incomplete = true;
        Ok(())
    }
}

/// Place and dot of an item's row, where both are what they must be.
pub(super) fn sound_item<'k>(key: &'k [u8], value: &[u8]) -> Option<(&'k [u8], Dot)> {
    let (place, dot) = split_item_key(key).ok()?;
    Place::check(place).ok()?;
    let payload = split_item_value(value).ok()?.1;
    (payload.len() <= limits::VALUE_BYTES + STAMP_BYTES).then_some((place, dot))
}
