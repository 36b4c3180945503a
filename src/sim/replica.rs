//! The replicas of a world: how they come, fail, and come back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError};

use super::claims::{self, Claimed};
use super::config::Config;
use super::damage::Damage;
use super::disk::{Disk, Image, Trouble};
use super::op::{Deed, Kept};
use super::oracle::Seen;
use super::world::{World, items};
use super::wrong::Wrong;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::error::Error;
use crate::space::{Keys, Options, Space, Store, Tuning};
use crate::storage::{Identity, StorageError};

pub(super) struct Replica {
    pub(super) name: char,
    pub(super) alive: bool,
    /// Meets nobody and writes nothing.
    pub(super) away: bool,
    pub(super) disk: Disk,
    /// What was copied of the disk.
    pub(super) backup: Option<Backup>,
    /// Whether it is opened next on what was copied, and cannot notice.
    pub(super) is_twin: bool,
    /// Whether bits of the file were turned over.
    pub(super) rotten: bool,
    /// Whether the store must be opened anew before it takes a write.
    pub(super) stuck: bool,
    pub(super) skew_ms: Arc<AtomicI64>,
    options: Options,
    open: Option<Open>,
    pub(super) at: Vec<AtSpace>,
}

/// What was copied of a disk, and what must be on it of each space.
#[derive(Clone)]
pub(super) struct Backup {
    pub(super) image: Image,
    pub(super) held: Vec<VersionVector>,
}

struct Open {
    store: Store,
    spaces: Vec<Space>,
}

/// What a replica comes with.
pub(super) struct Copied {
    pub(super) disk: Disk,
    /// Whether bits of it may have turned over before it was copied.
    pub(super) rotten: bool,
    /// Where it cannot notice that it was copied, what must be on it of each space.
    pub(super) held: Option<Vec<VersionVector>>,
}

/// What the world knows of a space at a replica.
pub(super) struct AtSpace {
    /// The name under which it writes.
    pub(super) id: ReplicaId,
    /// The line of what it has written last, or writes next, since it was opened.
    pub(super) line: ReplicaId,
    /// What was read and may be handed back.
    pub(super) kept: Vec<Kept>,
    pub(super) seen: Seen,
    /// All that ever lived here under this name.
    pub(super) ever: BTreeSet<Dot>,
    /// The commit when last looked at: as long as there is no other, nothing can have changed.
    pub(super) commit: u64,
    /// Events under its name up to here were made.
    pub(super) made: Seq,
    /// What was acknowledged as lasting, and what a session that came to its end said to be
    /// here.
    pub(super) promised: VersionVector,
    /// What it showed when such a session came to its end: all of that is on disk.
    pub(super) lasting: Seen,
    /// A transaction that failed: it is there after opening, or it is not.
    pub(super) unsure: Option<Unsure>,
    /// Whether dropping it failed: it is dropped after opening, or it is not.
    pub(super) is_dropping: bool,
    /// What is known of peers' claims.
    pub(super) claimed: Claimed,
}

impl AtSpace {
    /// Of a replica that writes under this name, and in this line.
    pub(super) fn of(id: ReplicaId, line: ReplicaId) -> Self {
        Self {
            id,
            line,
            kept: Vec::new(),
            seen: Seen::default(),
            ever: BTreeSet::new(),
            commit: 0,
            made: Seq::ZERO,
            promised: VersionVector::new(),
            lasting: Seen::default(),
            unsure: None,
            is_dropping: false,
            claimed: Claimed::default(),
        }
    }

    /// Of one that was not opened yet.
    fn unopened() -> Self {
        let nobody = ReplicaId::from_bytes([0; 16]);
        Self::of(nobody, nobody)
    }
}

/// The events of a transaction that failed, from `first` to `last`, called as they were there.
#[derive(Clone)]
pub(super) struct Unsure {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) deeds: Vec<Deed>,
}

impl Replica {
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn opened(&self) -> &Open {
        self.open.as_ref().unwrap_or_else(|| panic!("{} is closed", self.name))
    }

    pub(super) fn store(&self) -> &Store {
        &self.opened().store
    }

    pub(super) fn space(&self, s: usize) -> &Space {
        &self.opened().spaces[s]
    }

    pub(super) fn relaxed(&self) -> bool {
        self.options.relaxed
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }
}

impl World<'_> {
    /// A replica comes: with nothing, or on a disk that was copied.
    pub(super) fn join(&mut self, copied: Option<Copied>) -> Result<(), Wrong> {
        let r = self.replicas.len();
        let skew_ms = Arc::new(AtomicI64::new(self.config.clock_skews_ms[r]));
        let (clock, skew, dice) = (self.clock.clone(), skew_ms.clone(), self.dice.clone());
        let mut options = Options::with(
            Arc::new(move || {
                clock.load(Ordering::Relaxed).saturating_add_signed(skew.load(Ordering::Relaxed))
            }),
            Arc::new(move |bytes| dice.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes)),
        );
        options.removal_log_bytes = self.config.removal_log_bytes;
        options.past_origins = self.config.past_origins;
        options.relaxed = self.config.relaxed[r];
        options.brake_items = self.config.brake_items;
        options.brake_percent = self.config.brake_percent;
        options.trash_bytes = self.config.trash_bytes;
        options.tuning = Tuning {
            chunk_events: self.config.chunk_events,
            frame_bytes: self.config.frame_bytes[r],
            short_vector_bytes: self.config.short_vector_bytes,
            spares: self.config.spares,
            few_spaces: self.config.few_spaces,
            ..Tuning::default()
        };
        let Copied { disk, rotten, held } =
            copied.unwrap_or_else(|| Copied { disk: self.new_disk(), rotten: false, held: None });
        self.replicas.push(Replica {
            name: char::from(b'A' + r as u8),
            alive: true,
            away: false,
            disk,
            backup: None,
            is_twin: false,
            rotten,
            stuck: false,
            skew_ms,
            options,
            open: None,
            at: (0..self.config.spaces).map(|_| AtSpace::unopened()).collect(),
        });
        self.stats.replicas += 1;
        if let Some(held) = held {
            self.begin_as_twin(r, held);
        }
        self.open(r)
    }

    fn new_disk(&self) -> Disk {
        let disk = if self.config.on_blocks { Disk::of_blocks() } else { Disk::in_memory() };
        if self.config.lying_disks {
            disk.lie();
        }
        disk
    }

    /// A replica that is closed is opened.
    pub(super) fn open(&mut self, r: usize) -> Result<(), Wrong> {
        let kept = self.open_store(r)?;
        self.judge_all_opened(r, kept)
    }

    fn judge_all_opened(&mut self, r: usize, kept: bool) -> Result<(), Wrong> {
        (0..self.config.spaces).try_for_each(|s| self.judge_opened(r, s, kept))?;
        self.replicas[r].is_twin = false;
        self.check_all(r)
    }

    /// The same, and nothing is asked; whether it had its name before.
    fn open_store(&mut self, r: usize) -> Result<bool, Wrong> {
        let replica = &self.replicas[r];
        let (buckets, dice) = (self.config.buckets, self.dice.clone());
        let storage = replica.disk.open(&mut |bytes| {
            dice.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
            bytes[0] %= buckets;
        });
        let failed = |doing| move |error| Wrong::at(r, doing, error);
        let storage = storage.map_err(|e| failed("opening the disk")(e.into()))?;
        let store = Store::on(storage, replica.options.clone()).map_err(failed("opening"))?;
        let spaces = (0..self.config.spaces).map(|n| store.space(&Config::space_name(n)));
        let spaces: Vec<_> = spaces.collect::<Result<_, _>>().map_err(failed("a space"))?;
        let (name, id, identity) = (replica.name, store.replica(), store.identity());
        self.tell(|| match identity {
            Identity::Created => format!("{name} begins as {id}"),
            Identity::Kept => format!("{name} is opened"),
            Identity::Fresh { .. } => format!("{name} is opened and takes the name {id}"),
        });
        self.names += usize::from(identity != Identity::Kept);
        if self.application.is_none() {
            spaces.iter().for_each(claims::set_resolvers);
        }
        self.replicas[r].open = Some(Open { store, spaces });
        Ok(identity == Identity::Kept)
    }

    /// A disk that lied about syncing has lost its power: the store is whole as it was some time
    /// ago, or corrupt. Where it is whole it goes on, like one that was put back and cannot
    /// notice, if this world has any that do; else a new replica takes its place.
    fn replace(&mut self, r: usize) -> Result<(), Wrong> {
        let name = self.replicas[r].name;
        self.damage(Damage::LyingDisk, || format!("{name}'s disk had lied about syncing"));
        match self.look_at_what_is_left(r) {
            // The engine may panic at blocks that are each sound and do not fit together; the
            // store says so, and does not open.
            Err(Wrong::Failed {
                error:
                    Error::Storage(StorageError::Corrupt { .. } | StorageError::EnginePanic { .. }),
                ..
            }) => {
                self.tell(|| format!("{name} is corrupt"));
                self.stats.corrupt += 1;
            }
            looked => {
                looked?;
                if self.config.twins && self.random.percent(70) {
                    self.forget_what_only_it_knows(r);
                    self.tell(|| format!("{name} goes on as it is"));
                    let at = self.replicas[r].at.iter();
                    let held = at.map(|at| at.seen.vector().clone()).collect();
                    self.begin_as_twin(r, held);
                    return self.judge_all_opened(r, true);
                }
            }
        }
        let (disk, spaces) = (self.new_disk(), self.config.spaces);
        let replica = self.take_away(r);
        (replica.disk, replica.backup, replica.rotten) = (disk, None, false);
        replica.at = (0..spaces).map(|_| AtSpace::unopened()).collect();
        self.open(r)
    }

    fn look_at_what_is_left(&mut self, r: usize) -> Result<(), Wrong> {
        self.replicas[r].rotten = true;
        self.open_store(r)?;
        for s in 0..self.config.spaces {
            let space = self.replicas[r].space(s).clone();
            let vector = space.vector().map_err(|e| Wrong::at(r, "a vector", e))?;
            let lines = self.lines(r, s)?;
            self.judge_unsure(r, s, &lines, vector.get(space.replica()));
            let at = &mut self.replicas[r].at[s];
            (at.seen, at.commit) = (Seen::default(), 0);
            self.check(r, s)?;
            let items = items!(space, Keys::all());
            let items = items.map_err(|e| Wrong::at(r, "being asked", e))?;
            self.check_thoroughly(r, s, &items)?;
        }
        Ok(())
    }

    /// Where a session has just come to its end: all that there is is on disk.
    pub(super) fn promise(&mut self, l: usize, side: usize) -> Result<(), Wrong> {
        let link = &mut self.links[l];
        if link.promised[side] || !link.sides[side].report().finished {
            return Ok(());
        }
        link.promised[side] = true;
        let r = link.ends[side];
        for s in 0..self.config.spaces {
            let vector = self.replicas[r].space(s).vector();
            let vector = vector.map_err(|e| Wrong::at(r, "a vector", e))?;
            let promised = self.lines(r, s)?.vector(&vector).into_owned();
            let at = &mut self.replicas[r].at[s];
            (at.promised, at.lasting) = (promised, at.seen.clone());
        }
        Ok(())
    }

    /// A replica is closed in peace.
    pub(super) fn shut(&mut self, r: usize) -> Result<(), Wrong> {
        self.remove_all_of(r);
        if !self.replicas[r].stuck {
            self.replicas[r].store().flush().map_err(|e| Wrong::at(r, "closing", e))?;
        }
        self.replicas[r].close();
        Ok(())
    }

    /// A replica is closed in peace and opened again. Sometimes bits turn over meanwhile.
    pub(super) fn reopen(&mut self, r: usize, flips: usize) -> Result<(), Wrong> {
        let name = self.replicas[r].name;
        if self.replicas[r].stuck {
            return self.crash(r);
        }
        self.shut(r)?;
        self.damage(Damage::Closed, || format!("{name} is closed"));
        for _ in 0..flips {
            self.replicas[r].rotten = true;
            self.replicas[r].disk.flip_bit(&mut self.random);
            self.damage(Damage::FlippedBits, || format!("a bit of {name}'s file turns over"));
        }
        self.open(r)
    }

    /// The power goes, and comes back.
    pub(super) fn crash(&mut self, r: usize) -> Result<(), Wrong> {
        self.remove_all_of(r);
        let replica = &mut self.replicas[r];
        replica.disk.power_off();
        replica.close();
        replica.stuck = false;
        // What was read may name what is lost now.
        replica.at.iter_mut().for_each(|at| at.kept.clear());
        replica.disk.power_cut(&mut self.random);
        replica.disk.mend();
        if self.config.lying_disks {
            return self.replace(r);
        }
        if self.config.on_blocks && self.healings == 0 && self.random.percent(20) {
            // Recovery writes and syncs too.
            let calls = self.random.below(6);
            self.fail_after(r, calls, (Damage::SyncCut, Trouble::PowerCut));
        }
        self.open(r)
    }

    /// Replicas failed: where they may, what follows, until what follows is well.
    pub(super) fn survive(&mut self, mut made: Result<(), Wrong>) -> Result<(), Wrong> {
        while let Err(wrong) = made {
            made = self.recover(wrong)?;
        }
        Ok(())
    }

    /// A replica failed: an error where it may not, else how it went on.
    fn recover(&mut self, wrong: Wrong) -> Result<Result<(), Wrong>, Wrong> {
        let Wrong::Failed { replica: r, error: Error::Storage(error), .. } = &wrong else {
            return Err(wrong);
        };
        let r = *r;
        let damaged = matches!(error, StorageError::Corrupt { .. }) && self.replicas[r].rotten;
        if !damaged && !self.replicas[r].disk.has_failed() {
            return Err(wrong);
        }
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} fails: {wrong}"));
        self.remove_all_of(r);
        if damaged {
            self.stats.corrupt += 1;
            self.lose(r);
            return Ok(Ok(()));
        }
        if self.replicas[r].disk.is_off() || !self.replicas[r].is_open() {
            return Ok(self.crash(r));
        }
        // It can still be read; what it shows is what was on disk.
        self.replicas[r].stuck = true;
        for at in &mut self.replicas[r].at {
            (at.seen, at.commit) = (Seen::default(), 0);
        }
        Ok(Ok(()))
    }

    /// A replica goes, or forgets what it knew: of what only it was sure to know to be removed
    /// nobody can say any more whether it lives. Where nothing is forgotten on purpose, whoever
    /// has seen the removal knows.
    fn forget_what_only_it_knows(&mut self, r: usize) {
        (0..self.config.spaces).for_each(|s| self.forget_what_only_it_knows_of(r, s, None));
    }

    /// The same of one space, where this is all that it has seen of it.
    pub(super) fn forget_what_only_it_knows_of(
        &mut self,
        r: usize,
        s: usize,
        seen: Option<&VersionVector>,
    ) {
        if self.config.is_exact() && !self.config.twins {
            return;
        }
        let mut left = self.living();
        left.retain(|q| *q != r);
        let lasting = left.iter().map(|q| &self.replicas[*q].at[s].lasting);
        let known = |dot| lasting.clone().any(|at| at.vector().contains(dot) && !at.showed(dot));
        let oracle = &self.oracles[s];
        let knew = |dot| seen.is_none_or(|seen| oracle.removers(dot).any(|by| seen.contains(by)));
        self.forgiven[s].extend(oracle.removed().filter(|dot| knew(*dot) && !known(*dot)));
    }

    /// A replica is gone for ever, with all that only it knew.
    pub(super) fn lose(&mut self, r: usize) {
        self.take_away(r).alive = false;
    }

    /// The same of one that comes back otherwise.
    pub(super) fn take_away(&mut self, r: usize) -> &mut Replica {
        self.remove_all_of(r);
        self.forget_what_only_it_knows(r);
        let replica = &mut self.replicas[r];
        replica.disk.power_off();
        replica.close();
        replica
    }
}
