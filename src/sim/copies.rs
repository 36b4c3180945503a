//! Replicas that are copied and put back, whether they notice it or not.

use super::claims::Claimed;
use super::config::REPLICAS;
use super::damage::Damage;
use super::replica::{AtSpace, Backup, Copied};
use super::world::World;
use super::wrong::Wrong;
use crate::causal::VersionVector;

impl World<'_> {
    /// A copy is made of a replica's files while it is closed. Where others may go on under
    /// its name, sometimes while it runs, as where a whole machine is copied.
    pub(super) fn back_up(&mut self, r: usize) -> Result<(), Wrong> {
        if self.replicas[r].stuck {
            // What it holds may not be on the disk.
            return self.crash(r);
        }
        let name = self.replicas[r].name;
        let runs = self.config.twins && !self.config.on_blocks && self.random.percent(40);
        if runs {
            let failed = |error| Wrong::at(r, "being copied", error);
            self.replicas[r].store().flush().map_err(failed)?;
            for s in 0..self.config.spaces {
                // Else a counter's newest row may be replaced, which counts twice where the
                // copy meets what replaced it, until the two have walked: a known gap.
                let space = self.replicas[r].space(s);
                space.snapshot_to_show(space.generation()).map_err(failed)?;
            }
            self.tell(|| format!("{name} is copied while it runs"));
        } else {
            self.shut(r)?;
            self.tell(|| format!("{name} is closed and copied"));
        }
        let replica = &mut self.replicas[r];
        let held = replica.at.iter().map(|at| at.seen.vector().clone()).collect();
        replica.backup = Some(Backup { image: replica.disk.image(), held });
        if runs { Ok(()) } else { self.open(r) }
    }

    /// A replica is put back to its copy.
    pub(super) fn restore(&mut self, r: usize) -> Result<(), Wrong> {
        let Some(Backup { image, .. }) = self.replicas[r].backup.clone() else {
            return self.back_up(r);
        };
        let name = self.replicas[r].name;
        let replica = self.take_away(r);
        replica.disk.put_back(&image);
        replica.stuck = false;
        self.damage(Damage::Restored, || format!("{name} is put back to its copy"));
        self.open(r)
    }

    /// A replica's copy goes on beside it.
    pub(super) fn clone_of(&mut self, r: usize) -> Result<(), Wrong> {
        if self.replicas.len() >= REPLICAS {
            return Ok(());
        }
        let Some(Backup { image, .. }) = self.replicas[r].backup.clone() else {
            return self.back_up(r);
        };
        let name = self.replicas[r].name;
        let replica = &self.replicas[r];
        let (disk, rotten) = (replica.disk.with(&image), replica.rotten);
        self.damage(Damage::Cloned, || format!("{name}'s copy is opened elsewhere"));
        self.join(Some(Copied { disk, rotten, held: None }))
    }

    /// A replica is put back to its copy, and nothing tells it so.
    pub(super) fn restore_unnoticed(&mut self, r: usize) -> Result<(), Wrong> {
        let Some(Backup { image, held }) = self.replicas[r].backup.clone() else {
            return self.back_up(r);
        };
        let name = self.replicas[r].name;
        let replica = self.take_away(r);
        replica.disk = replica.disk.twin(&image);
        replica.stuck = false;
        self.damage(Damage::Unnoticed, || {
            format!("{name} is put back to its copy, and cannot notice")
        });
        self.begin_as_twin(r, held);
        self.open(r)
    }

    /// A replica's copy is run beside it under its name; sometimes two of them are.
    pub(super) fn twin_of(&mut self, r: usize) -> Result<(), Wrong> {
        let twins = if self.random.percent(30) { 2 } else { 1 };
        for _ in 0..twins {
            if self.replicas.len() >= REPLICAS {
                return Ok(());
            }
            let Some(Backup { image, held }) = self.replicas[r].backup.clone() else {
                return self.back_up(r);
            };
            let replica = &self.replicas[r];
            let (name, rotten, disk) = (replica.name, replica.rotten, replica.disk.twin(&image));
            self.damage(Damage::Twinned, || {
                format!("{name}'s copy is run elsewhere, and neither can notice")
            });
            self.join(Some(Copied { disk, rotten, held: Some(held) }))?;
        }
        Ok(())
    }

    /// What is known of a replica that is to be opened as it was when it was copied: that this
    /// much must be there. What it did since it has forgotten, and nobody promised it.
    pub(super) fn begin_as_twin(&mut self, r: usize, held: Vec<VersionVector>) {
        self.twinned = true;
        let replica = &mut self.replicas[r];
        replica.is_twin = true;
        for (at, held) in replica.at.iter_mut().zip(held) {
            let claimed = Claimed::copied([&at.claimed].into_iter());
            *at = AtSpace { promised: held, claimed, ..AtSpace::of(at.id, at.line) };
        }
    }
}
