//! The bounded log of removal records.

use std::ops::ControlFlow;

use super::{Batch, run_range};
use crate::causal::Dot;
use crate::faults::fault;
use crate::space::rows::{
    Removal, Runs, after, batch, corrupt, dot_key, dot_of_key, range, space_key,
};
use crate::storage::{Order, StorageError, Table};

#[cfg(feature = "sim")]
impl crate::space::Space {
    /// Whether the record of a removal is kept, and how many bytes of records there are.
    pub(crate) fn keeps_record(&self, dot: Dot) -> Result<(bool, u64), crate::error::Error> {
        let snapshot = self.snapshot()?;
        let Some(number) = snapshot.space else { return Ok((false, 0)) };
        let kept = snapshot.rows.get(Table::Removals, &dot_key(number, dot))?.is_some();
        Ok((kept, snapshot.state.log_bytes))
    }
}

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
        let end = match fault!(LogTrimmedByTheWrongEnd) {
            true => Order::Descending,
            false => Order::Ascending,
        };
        while self.state.log_bytes > limit_bytes {
            let mut found = None;
            self.rows.scan(Table::RemovalAges, range(&from, &to), end, &mut |key, row| {
                found = Some((key.to_vec(), row.to_vec()));
                ControlFlow::Break(())
            })?;
            let Some((age_key, row)) = found else {
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
