//! Spaces that a replica drops while sessions go on, and gets back from the others, or not.
//!
//! To all others it is then one that has never seen the space; so it is to the oracle.

use super::claims::Claimed;
use super::config::Config;
use super::damage::Damage;
use super::replica::AtSpace;
use super::world::World;
use super::wrong::Wrong;
use crate::causal::VersionVector;

impl World<'_> {
    /// A replica drops one of its spaces.
    pub(super) fn drop_space(&mut self, r: usize) -> Result<(), Wrong> {
        let s = self.random.below(self.config.spaces);
        if self.replicas[r].stuck {
            return Ok(());
        }
        let name = self.replicas[r].name;
        self.damage(Damage::Dropped, || format!("{name} drops space {s}"));
        self.replicas[r].at[s].is_dropping = true;
        let dropped = self.replicas[r].store().drop_space(&Config::space_name(s));
        let dropped = dropped.map_err(|e| Wrong::at(r, "dropping a space", e))?;
        let of_it = self.links.iter_mut().filter(|link| link.ends.contains(&r));
        of_it.for_each(|link| link.dropped |= dropped);
        let at = &mut self.replicas[r].at[s];
        at.is_dropping = false;
        if dropped {
            let seen = at.seen.vector().clone();
            self.note_drop(r, s, Some(&seen))?;
        }
        self.check(r, s)
    }

    /// A space is dropped: what only this replica held of it is gone, and it writes there
    /// under another name if it had written. `seen`: all that it had seen, where that is known.
    pub(super) fn note_drop(
        &mut self,
        r: usize,
        s: usize,
        seen: Option<&VersionVector>,
    ) -> Result<(), Wrong> {
        self.forget_what_only_it_knows_of(r, s, seen);
        let space = self.replicas[r].space(s).clone();
        let (id, line) = (space.replica(), self.line_of_space(&space));
        let at = &mut self.replicas[r].at[s];
        self.names += usize::from(id != at.id);
        *at = AtSpace {
            // What it had is on its way to others still.
            ever: core::mem::take(&mut at.ever),
            // Some decisions come back with a copy.
            claimed: Claimed::copied([&at.claimed].into_iter()),
            ..AtSpace::of(id, line)
        };
        self.claims_opened(r, s)
    }
}
