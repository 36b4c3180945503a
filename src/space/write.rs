//! Transactions: from the closure to the commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::batch::{Batch, Finished};
use super::change::Change;
use super::rows::read_state;
use super::shared::Noted;
use super::space::Space;
use super::store::{number_of, number_space, save_clock};
use super::tx::Tx;
use super::writer::{Group, Joining, WriterGuard};
use crate::causal::{HybridClock, Seq, VersionVector};
use crate::error::Error;
use crate::faults::fault;
use crate::storage::{Durability, Overlay, StorageError, Verdict, Write};

impl Space {
    /// Runs a transaction: all that the closure changes is committed as one, here and at
    /// every replica it reaches, and is on disk when this returns. Where the closure fails
    /// or panics, nothing of it happened.
    ///
    /// Closures run one at a time in the whole store; the wait for the disk is shared: threads
    /// that write at the same time return from one commit. So many threads write many times as
    /// much as one, and a closure should not wait for anything slow.
    ///
    /// # Errors
    /// What the closure returned; or the storage failed, or this is within a write.
    ///
    /// ```
    /// # let store = rejoin::Store::in_memory();
    /// let space = store.space("main")?;
    /// space.write(|tx| {
    ///     tx.set::<String>("cart").add(&"apple".to_owned())?;
    ///     tx.counter("clicks").add(1)
    /// })?;
    /// assert_eq!(space.counter("clicks").get()?, 1);
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    pub fn write<R, E: From<Error>>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.change_with(|change| {
            let tx = Tx::new(change);
            let done = work(&tx)?;
            Ok((done, tx.into_change()))
        })
    }

    /// Runs a transaction of local events.
    pub(crate) fn change<R>(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.change_with(|mut change| {
            let done = work(&mut change)?;
            Ok((done, change))
        })
    }

    fn change_with<R, E: From<Error>>(
        &self,
        work: impl for<'t> FnOnce(Change<'t>) -> Result<(R, Change<'t>), E>,
    ) -> Result<R, E> {
        let shared = &self.store.shared;
        let _inside = shared.writers.enter();
        let mut guard = shared.writer_beside_group().map_err(E::from)?;
        self.renew_name(&mut guard).map_err(E::from)?;
        let mut clock = guard.clock;
        let grouped = !shared.options.relaxed && !shared.writers.alone(&guard);
        let durability = match shared.options.relaxed {
            true => guard.relax(),
            false if fault!(WriteAcknowledgedBeforeTheDisk) => Durability::Eventual,
            false => Durability::Immediate,
        };
        let ran = self.in_turn::<R, E>(&mut guard, grouped, durability, |batch| {
            let (done, change) = work(self.changing(batch, clock))?;
            let batch = change.batch;
            if !batch.changed() {
                return Ok((done, None));
            }
            if change.clock != clock {
                save_clock(batch.rows, &change.clock).map_err(Error::from)?;
                clock = change.clock;
            }
            Ok((done, Some(batch)))
        });
        guard.clock = clock;
        let group = guard.gathering();
        drop(guard);
        if let Some(group) = group {
            shared.settle(group).map_err(E::from)?;
        }
        ran
    }

    /// Local events on a batch. The caller has the right to write.
    pub(super) fn changing<'t>(&self, batch: Batch<'t>, clock: HybridClock) -> Change<'t> {
        let shared = &self.store.shared;
        Change {
            batch,
            replica: self.replica(),
            shown: Seq::new(self.shared.shown.load(Ordering::SeqCst)),
            clock,
            now_ms: shared.now_ms(),
            past_origins: shared.options.past_origins,
            space_name: self.shared.name.clone(),
        }
    }

    /// Runs work with the group of writers that gathers, or in a transaction of its own.
    fn in_turn<R, E: From<Error>>(
        &self,
        writer: &mut WriterGuard<'_>,
        grouped: bool,
        durability: Durability,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        if grouped {
            return self.in_group(writer, work);
        }
        writer.settle_group();
        self.in_batch(writer, durability, work)
    }

    /// Runs work on a batch in a write transaction and commits the batch it hands back.
    pub(super) fn in_batch<R, E: From<Error>>(
        &self,
        writer: &mut WriterGuard<'_>,
        durability: Durability,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        let (mut work, mut done, mut noted) = (Some(work), None, None);
        let committed = writer.commit(durability, &mut |rows: &mut dyn Write| {
            let Some(work) = work.take() else { return Ok(Verdict::Abort) };
            let number = self.numbered(rows)?;
            let ran = self.run(rows, number, None, work);
            let (result, finished) = match ran {
                Ok((result, finished)) => (Ok(result), finished),
                Err(error) => (Err(error), None),
            };
            done = Some(result);
            noted = finished;
            Ok(if noted.is_some() { Verdict::Commit } else { Verdict::Abort })
        });
        committed.map_err(|e| E::from(Error::from(e)))?;
        if let Some(noted) = noted {
            noted.note();
        }
        done.unwrap_or_else(|| {
            let reason = "the storage ran no transaction and reported no failure".to_owned();
            Err(E::from(StorageError::MustReopen { reason }.into()))
        })
    }

    /// Runs work on a batch above what a group of writers has changed, and joins the group
    /// with it.
    fn in_group<R, E: From<Error>>(
        &self,
        writer: &mut WriterGuard<'_>,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<R, E> {
        let failed = |e: StorageError| E::from(Error::from(e));
        let group = writer.group().map_err(failed)?;
        match self.run_above(group, work) {
            Ok((done, changed)) => {
                group.join(changed);
                Ok(done)
            }
            Err(error) => {
                if group.has_members() {
                    group.join(None);
                }
                Err(error)
            }
        }
    }

    /// The work, above what a group has changed: its result, and what it changed itself.
    fn run_above<R, E: From<Error>>(
        &self,
        group: &Group,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<(R, Option<Joining>), E> {
        let failed = |e: StorageError| E::from(Error::from(e));
        let below = group.rows();
        let mut rows = Overlay::on(&below);
        let number = self.numbered(&mut rows).map_err(failed)?;
        let (done, noted) = self.run(&mut rows, number, group.vector(number), work)?;
        let changes = rows.into_changes();
        Ok((done, noted.map(|noted| (number, noted, changes))))
    }

    /// The number of the space, which it is given where it has none.
    fn numbered(&self, rows: &mut dyn Write) -> Result<u32, StorageError> {
        match number_of(rows, &self.shared.name)? {
            Some(number) => Ok(number),
            None => number_space(rows, &self.shared.name),
        }
    }

    /// Runs work on a batch over these rows and finishes the batch it hands back. The vector
    /// is the one that these rows have, where the caller knows it.
    fn run<R, E: From<Error>>(
        &self,
        rows: &mut dyn Write,
        number: u32,
        vector: Option<Arc<VersionVector>>,
        work: impl for<'t> FnOnce(Batch<'t>) -> Result<(R, Option<Batch<'t>>), E>,
    ) -> Result<(R, Option<Noted>), E> {
        let failed = |e: StorageError| E::from(Error::from(e));
        let state = read_state(rows, number).map_err(failed)?;
        // Whose vector is known has been changed for the same commit.
        let touched = vector.is_some();
        let vector = match vector {
            Some(vector) => vector,
            None => self.shared.vector(rows, number, state.commit).map_err(failed)?,
        };
        let name = self.shared.name.clone();
        let tagged = self.shared.tagged.load(Ordering::SeqCst);
        let batch = Batch::new(rows, number, name, vector, state)
            .in_touched(touched)
            .knowing(&self.shared)
            .tagging(self.store.shared.tag, tagged.then(|| self.replica()));
        let (result, batch) = work(batch)?;
        let Some(batch) = batch else { return Ok((result, None)) };
        let limit = self.store.shared.options.removal_log_bytes;
        let Finished { commit, base: vector, risen, tagged } =
            batch.finish(limit).map_err(failed)?;
        let space = self.shared.clone();
        Ok((result, Some(Noted { space, number, commit, vector, risen, tagged })))
    }
}
