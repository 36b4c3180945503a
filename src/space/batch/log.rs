//! The bounded log of removal records.

use super::{Batch, run_range};
use crate::causal::Dot;
use crate::space::rows::{Removal, Runs, after, batch, corrupt, dot_key, dot_of_key, space_key};
use crate::storage::{StorageError, Table};

impl Batch<'_> {
    /// Puts the record of a removal of our own.
    pub(in crate::space) fn log_removal(
        &mut self,
        dot: Dot,
        removal: &Removal,
    ) -> Result<(), StorageError> {
        let (key, row) = (dot_key(self.space, dot), removal.to_row());
        self.rows.put(Table::Removals, &key, &row)?;
        self.state.log_bytes += (key.len() + row.len()) as u64;
        self.removals.push(dot);
        Ok(())
    }

    /// Drops the oldest removal records until the log is within its limit.
    pub(super) fn trim_log(&mut self, limit_bytes: u64) -> Result<(), StorageError> {
        let from = space_key(self.space).to_vec();
        let to = after(&from);
        while self.state.log_bytes > limit_bytes {
            let Some((age_key, row)) = batch(self.rows, Table::RemovalAges, &from, &to, 1)?.0.pop()
            else {
                self.state.log_bytes = 0;
                return Ok(());
            };
            let mut runs =
                Runs::from_row(&row).map_err(|e| corrupt(Table::RemovalAges, &age_key, e))?;
            self.trim_runs(&mut runs, limit_bytes)?;
            if runs.0.is_empty() {
                self.rows.delete(Table::RemovalAges, &age_key)?;
            } else {
                self.rows.put(Table::RemovalAges, &age_key, &runs.to_row())?;
            }
        }
        Ok(())
    }

    fn trim_runs(&mut self, runs: &mut Runs, limit_bytes: u64) -> Result<(), StorageError> {
        runs.0.reverse();
        while let Some(run) = runs.0.last_mut() {
            if self.state.log_bytes <= limit_bytes {
                break;
            }
            let (from, to) = run_range(self.space, *run);
            match batch(self.rows, Table::Removals, &from, &to, 1)?.0.pop() {
                Some((key, row)) => {
                    let dot = dot_of_key(&key).map_err(|e| corrupt(Table::Removals, &key, e))?;
                    self.rows.delete(Table::Removals, &key)?;
                    let bytes = (key.len() + row.len()) as u64;
                    self.state.log_bytes = self.state.log_bytes.saturating_sub(bytes);
                    run.first = dot.seq.next();
                    if run.first > run.last {
                        runs.0.pop();
                    }
                }
                None => {
                    runs.0.pop();
                }
            }
        }
        runs.0.reverse();
        Ok(())
    }
}
