//! Which spaces there are, and what they are called.
//!
//! A space is told by three rows: that of its name, which has its number; that of its state, which
//! names the commit that touched it last; and that of this commit, which has its name. Where one of
//! them is damaged the others tell.

use std::collections::BTreeMap;

use super::{Beside, Found, Recovery};
use crate::error::shown;
use crate::space::catalog::check_name;
use crate::space::rows::{number_in, read_state};
use crate::storage::{Read, StorageError, Table};

/// What a space is called by the commit that touched it last, and by the row of its name.
type Said = (Option<String>, Option<String>);

impl Recovery<'_> {
    pub(super) fn names(&mut self) -> Result<(), StorageError> {
        let mut numbered = true;
        let names = self.survey(Table::Spaces, |this, name, row| {
            let Some(number) = number_in(row) else {
                numbered = false;
                return Ok(());
            };
            let twice = this.spaces.contains_key(&number);
            let found = this.spaces.entry(number).or_default();
            found.name = sound_name(name).filter(|_| !twice);
            Ok(())
        })?;
        let states = self.survey(Table::States, |this, key, _| this.space(key).map(drop))?;
        self.named = numbered && names.gaps.is_empty() && states.gaps.is_empty();
        if !names.gaps.is_empty() && !states.gaps.is_empty() {
            self.report.also_lost.insert(Beside::Spaces);
        }
        Ok(())
    }

    /// What the commit that touched a space last calls it.
    fn name_by_touch(&self, number: u32) -> Result<Option<String>, StorageError> {
        let Ok(state) = read_state(self.wreck, number) else { return Ok(None) };
        let name = self.wreck.get(Table::Touched, &state.touched.to_be_bytes())?;
        Ok(name.as_deref().and_then(sound_name))
    }

    /// Gives each space a name that no other has: first those of which both rows say the same, then
    /// by the commit, then by the row of the name. Where the two differ, and where neither tells,
    /// nobody knows of which space the vector is.
    pub(super) fn name(&mut self, spaces: &mut BTreeMap<u32, Found>) -> Result<(), StorageError> {
        let mut said: Vec<Said> = Vec::with_capacity(spaces.len());
        for (number, found) in &mut *spaces {
            said.push((self.name_by_touch(*number)?, found.name.take()));
        }
        let rounds: [fn(&Said) -> Option<&String>; 3] = [
            |(touch, row)| touch.as_ref().filter(|_| touch == row),
            |(touch, _)| touch.as_ref(),
            |(_, row)| row.as_ref(),
        ];
        for round in rounds {
            for (said, found) in said.iter().zip(spaces.values_mut()) {
                if let (None, Some(name)) = (&found.name, round(said))
                    && self.taken.insert(name.clone())
                {
                    found.name = Some(name.clone());
                }
            }
        }
        for ((touch, row), (number, found)) in said.iter().zip(spaces) {
            let doubted =
                [touch, row].into_iter().any(|said| said.is_some() && *said != found.name);
            found.incomplete |= doubted || found.name.is_none();
            found.name.get_or_insert_with(|| self.new_name(*number));
        }
        Ok(())
    }

    /// A name for a space of which nobody knows what it is called.
    pub(super) fn new_name(&mut self, number: u32) -> String {
        let mut name = format!("recovered-{number}");
        while !self.taken.insert(name.clone()) {
            name.push('-');
        }
        name
    }
}

/// What a row calls a space, where that can be its name.
pub(super) fn sound_name(name: &[u8]) -> Option<String> {
    check_name(name).ok().map(|()| shown(name))
}
