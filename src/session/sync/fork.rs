//! Two histories under one name, found before any delta goes: see [`crate::space::Fork`].
//!
//! ```text
//! finds an entry off the history it knows          the other side
//!   want histories: origins       ─────▶
//!                                 ◀─────   histories of these
//!   lays them beside its own; where it gives way it renames
//!   give up: renamed              ─────▶   the space is opened once more
//!   else histories                ─────▶   lays them beside its own, renames
//!                                 ◀─────   give up: renamed
//! ```
//! Whoever is asked about its own name, and has shown nobody what it made in this opening,
//! asks *back* instead: what only one replica has is renamed there, and costs nobody else
//! anything. Where both ask at once, the question of the side that opened the space stands.

use super::{Around, Phase, SpaceSync, protocol};
use crate::causal::{ReplicaId, TaggedVector};
use crate::codec::limits::MIB;
use crate::error::Error;
use crate::session::message::Message;
use crate::session::report::Why;
use crate::space::{History, Parted};

/// Bytes of the histories in one message, about; of more origins the space speaks when it is
/// opened once more.
const HISTORIES_BYTES: usize = MIB;

impl SpaceSync {
    /// Looks whether the peer's vector lies on the histories known here; if not, asks for
    /// the peer's. Whether the two may go on.
    pub(super) fn check_forks(
        &mut self,
        theirs: &TaggedVector,
        around: &mut Around<'_>,
    ) -> Result<bool, Error> {
        let given_up = self.space.given_up(theirs)?;
        let suspects = self.space.suspects(theirs)?;
        if given_up.here.is_empty() && suspects.is_empty() {
            return Ok(true);
        }
        if self.one_way.either() {
            // A side that takes nothing does not rename for the sake of the other.
            self.give_up(around, Why::Forked);
            return Ok(false);
        }
        if given_up.here.is_empty() {
            self.ask(suspects, false);
        } else {
            self.halt();
            self.gives_way = Some(given_up);
        }
        Ok(false)
    }

    /// Gives up the names that were found to be given up at the peer.
    pub(in crate::session) fn follow(&mut self, around: &mut Around<'_>) -> Result<(), Error> {
        match self.gives_way.take().filter(|_| self.end.is_none()) {
            Some(parted) => self.give_way(&parted, around),
            None => Ok(()),
        }
    }

    fn ask(&mut self, origins: Vec<ReplicaId>, back: bool) {
        self.halt();
        self.asked_histories = true;
        self.spoken_of.extend(origins.iter().copied());
        self.queue.push_back(Message::WantHistories { space: self.id, back, origins });
    }

    /// Whether the space ended because of that, and this is the first time to ask.
    pub(in crate::session) fn is_to_open_again(&mut self) -> bool {
        self.end == Some(Err(Why::Renamed)) && !core::mem::replace(&mut self.again, true)
    }

    /// From here on nothing counts but histories, until the space is given up.
    fn halt(&mut self) {
        self.phase = Phase::Forked;
        self.sending = None;
    }

    pub(super) fn told_to_show_histories(
        &mut self,
        (origins, back): (Vec<ReplicaId>, bool),
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if self.one_way.either() {
            self.give_up(around, Why::Forked);
            return Ok(());
        }
        if !back && self.asked_histories && self.opener {
            return Ok(()); // it will answer what it was asked
        }
        self.spoken_of.extend(origins.iter().copied());
        let alone = self.space.unshown()?;
        if !back && alone.is_some_and(|first| origins.contains(&first.replica)) {
            if core::mem::replace(&mut self.asked_back, true) {
                return Err(protocol("histories asked for twice"));
            }
            self.ask(origins, true);
            return Ok(());
        }
        self.show_histories(&origins)
    }

    fn show_histories(&mut self, origins: &[ReplicaId]) -> Result<(), Error> {
        if core::mem::replace(&mut self.histories_shown, true) {
            return Err(protocol("histories asked for twice"));
        }
        self.halt();
        let mut histories = self.space.histories(origins)?;
        let mut bytes = 0;
        let fits = |history: &History| {
            bytes += 32 + 18 * history.stretches.len();
            bytes
        };
        let sizes: Vec<usize> = histories.iter().map(fits).collect();
        histories.truncate(sizes.iter().filter(|bytes| **bytes <= HISTORIES_BYTES).count().max(1));
        self.queue.push_back(Message::Histories { space: self.id, histories });
        Ok(())
    }

    pub(super) fn take_histories(
        &mut self,
        histories: &[History],
        around: &mut Around<'_>,
    ) -> Result<(), Error> {
        if !histories.iter().all(|history| self.spoken_of.contains(&history.origin)) {
            return Err(protocol("a history that nobody asked for"));
        }
        let parted = self.space.part(histories)?;
        if !parted.here.is_empty() {
            return self.give_way(&parted, around);
        }
        if self.histories_shown {
            // They fit, or the peer does not do its part.
            self.give_up(around, Why::Forked);
            return Ok(());
        }
        if parted.there.is_empty() {
            // The peer suspected what only goes on beyond what it knows.
            let origins: Vec<_> = histories.iter().map(|history| history.origin).collect();
            return self.show_histories(&origins);
        }
        self.show_histories(&parted.there)
    }

    fn give_way(&mut self, parted: &Parted, around: &mut Around<'_>) -> Result<(), Error> {
        // What is staged from the peer goes with the names.
        self.incoming = None;
        match self.space.give_way(self.generation, parted, around.peer)? {
            Some(forks) => {
                around.report.forks.extend(forks);
                self.give_up(around, Why::Renamed);
            }
            None => self.give_up(around, Why::Unfinished),
        }
        Ok(())
    }
}
