//! Names under which replicas find two histories, and what changes for them.

use super::claims::Before;
use super::config::Config;
use super::world::World;
use super::wrong::Wrong;
use crate::causal::{ReplicaId, Seq};
use crate::space::Fork;

impl World<'_> {
    /// A side of a session was handed something: what it has found of forked names.
    pub(super) fn judge_forks(
        &mut self,
        l: usize,
        side: usize,
        before: Before,
    ) -> Result<(), Wrong> {
        let link = &self.links[l];
        let found = link.sides[side].report().forks.get(before.forks..).unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        let (r, about, found) = (link.ends[side], link.about.clone(), found.to_vec());
        found.into_iter().try_for_each(|fork| self.judge_fork(r, &about, &fork))
    }

    fn judge_fork(&mut self, r: usize, about: &str, fork: &Fork) -> Result<(), Wrong> {
        let name = self.replicas[r].name;
        let Some(s) = (0..self.config.spaces).find(|s| Config::space_name(*s) == fork.space) else {
            return Err(format!("FORK: {about}: {name} tells of {fork:?}").into());
        };
        let own = self.replicas[r].at[s].id;
        if !self.twinned || fork.writes_as.is_some() != (fork.replica == own) {
            return Err(format!("FORK: {about}: {name}, who is {own}, finds {fork:?}").into());
        }
        self.stats.forks += 1;
        self.tell(|| {
            let Fork { replica, after, renamed, writes_as, .. } = fork;
            let after = after.get();
            let goes = renamed.map_or("nothing is there to rename".to_owned(), |renamed| {
                format!("what it has after that goes on as {renamed}")
            });
            let writes = writes_as.map_or(String::new(), |id| format!(", and it writes as {id}"));
            format!(
                "{about}: {name} finds two of {replica} after {after} in space {s}; {goes}{writes}"
            )
        });
        self.note_fork(r, s, fork.writes_as.unwrap_or(own), Seq::ZERO);
        // What lies in the trash is called there as it was.
        self.claims_opened(r, s)
    }

    /// Events were renamed at a replica, which writes under this name since, and has written
    /// so many events.
    pub(super) fn note_fork(&mut self, r: usize, s: usize, id: ReplicaId, own: Seq) {
        let line = self.line_of_space(&self.replicas[r].space(s).clone());
        let at = &mut self.replicas[r].at[s];
        // Other dots may stand under the names that were read.
        at.kept.clear();
        if id != at.id {
            self.names += 1;
            (at.id, at.line, at.made, at.unsure) = (id, line, own, None);
        }
    }
}
