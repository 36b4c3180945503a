//! The steps of a history: each is drawn from its own number, so that one that is left out
//! changes none of the others.

use super::config::{REPLICAS, TEN_YEARS_MS};
use super::damage::Damage;
use super::disk::Trouble;
use super::world::World;
use super::wrong::Wrong;
use std::sync::atomic::Ordering;

const ABSENCE_MS: u64 = 400 * 86_400_000;

/// The number from which on the end of a world is drawn.
pub(super) const THE_END: u64 = u64::MAX;

impl World<'_> {
    /// How many steps there are before the end.
    pub(super) fn steps(&self) -> usize {
        self.config.replicas * self.config.writes_before + self.config.steps
    }

    /// Makes one of them.
    pub(super) fn make_step(&mut self, step: usize) -> Result<(), Wrong> {
        self.draw_for(step as u64);
        let first = self.config.replicas * self.config.writes_before;
        if step < first {
            let r = step % self.config.replicas;
            return if self.is_there(r) { self.write(r) } else { Ok(()) };
        }
        let jumps = self.random.percent(self.config.jump_percent);
        let later = if jumps { 11_000 } else { self.random.below(30) as u64 };
        self.pass_time(later);
        self.happen()
    }

    fn happen(&mut self) -> Result<(), Wrong> {
        self.come_back()?;
        if self.random.below(1000) < self.config.damage_permille {
            let damage = *self.random.pick(&self.config.damages);
            return self.do_damage(damage);
        }
        if self.config.brakes() && self.random.percent(3) {
            let Some(r) = self.pick().filter(|r| !self.replicas[*r].stuck) else { return Ok(()) };
            return self.decide(r, self.config.keeps);
        }
        let dice = self.random.below(100);
        if dice < self.config.write_percent {
            let Some(r) = self.pick() else { return Ok(()) };
            return if self.random.below(6) == 0 { self.read(r) } else { self.write(r) };
        }
        if dice < self.config.write_percent + 20 {
            return self.begin_session();
        }
        for _ in 0..self.random.between(1, 12) {
            if self.links.is_empty() {
                break;
            }
            let l = self.random.below(self.links.len());
            self.step(l)?;
        }
        Ok(())
    }

    fn begin_session(&mut self) -> Result<(), Wrong> {
        if self.links.len() >= self.config.sessions {
            return Ok(());
        }
        let Some(a) = self.pick() else { return Ok(()) };
        let Some(b) = self.pick_peer(a) else { return Ok(()) };
        let scope = self.config.scope(&mut self.random);
        self.meet(a, b, scope)?;
        let bad = [Damage::Lost, Damage::Doubled, Damage::Swapped];
        if self.config.damages.iter().any(|damage| bad.contains(damage)) && self.random.percent(30)
        {
            self.links.last_mut().into_iter().for_each(|link| link.bad_percent = 15);
        }
        Ok(())
    }

    /// Whoever is stuck or away comes back some time, and the network heals.
    fn come_back(&mut self) -> Result<(), Wrong> {
        if self.parts.is_some() && self.random.percent(8) {
            self.heal();
        }
        for r in 0..self.replicas.len() {
            if self.replicas[r].stuck && self.random.percent(15) {
                self.crash(r)?;
            }
            if self.replicas[r].away && self.random.percent(8) {
                self.come_home(r);
            }
        }
        Ok(())
    }

    pub(super) fn heal(&mut self) {
        if self.parts.take().is_some() {
            self.links.iter_mut().for_each(|link| link.parted = false);
            self.tell(|| "the network heals".to_owned());
        }
    }

    pub(super) fn come_home(&mut self, r: usize) {
        self.replicas[r].away = false;
        self.pass_time(ABSENCE_MS);
        let name = self.replicas[r].name;
        self.tell(|| format!("{name} comes back after 400 days"));
    }

    fn do_damage(&mut self, damage: Damage) -> Result<(), Wrong> {
        match damage {
            Damage::Cut => return self.cut_one(),
            Damage::HalfOpen => {
                if !self.links.is_empty() {
                    let l = self.random.below(self.links.len());
                    self.half_open(l);
                }
                return Ok(());
            }
            Damage::Partition => {
                self.part();
                return Ok(());
            }
            Damage::Lost | Damage::Doubled | Damage::Swapped => return self.begin_session(),
            Damage::Joined => {
                if self.replicas.len() >= REPLICAS {
                    return Ok(());
                }
                self.damage(damage, || "somebody new comes".to_owned());
                return self.join(None);
            }
            _ => {}
        }
        let Some(r) = self.pick() else { return Ok(()) };
        let name = self.replicas[r].name;
        match damage {
            Damage::Died if self.living().len() > 2 => {
                self.damage(damage, || format!("{name} dies"));
                self.lose(r);
            }
            Damage::PowerCut => {
                self.damage(damage, || format!("the power of {name} goes"));
                return self.crash(r);
            }
            Damage::SyncCut => self.soon_fails(r, damage, Trouble::PowerCut),
            Damage::FailedSync => self.soon_fails(r, damage, Trouble::FailedSync),
            Damage::FullDisk => self.soon_fails(r, damage, Trouble::Full),
            Damage::FailedRead => self.soon_fails(r, damage, Trouble::FailedRead),
            Damage::Closed => return self.reopen(r, 0),
            Damage::FlippedBits => {
                let flips = self.random.between(1, 3);
                return self.reopen(r, flips);
            }
            Damage::Restored => return self.restore(r),
            Damage::Cloned => return self.clone_of(r),
            Damage::Unnoticed => return self.restore_unnoticed(r),
            Damage::Twinned => return self.twin_of(r),
            Damage::Lied => return self.be_lied_to(r),
            Damage::Dropped => return self.drop_space(r),
            Damage::Away => {
                self.remove_all_of(r);
                self.replicas[r].away = true;
                self.damage(damage, || format!("{name} goes away"));
            }
            Damage::ClockJump => {
                let skew = *self.random.pick(&[TEN_YEARS_MS, -TEN_YEARS_MS, 86_400_000, 0, -5_000]);
                self.replicas[r].skew_ms.store(skew, Ordering::Relaxed);
                self.replicas[r].at.iter_mut().for_each(|at| at.claimed.forget_when());
                self.damage(damage, || format!("{name}'s clock is {skew} ms ahead"));
            }
            _ => {}
        }
        Ok(())
    }

    /// A disk is to fail soon.
    fn soon_fails(&mut self, r: usize, damage: Damage, trouble: Trouble) {
        let most = if self.config.on_blocks { 30 } else { 4 };
        let calls = self.random.below(most);
        let replica = &self.replicas[r];
        if !replica.stuck && !replica.disk.may_fail() {
            self.fail_after(r, calls, (damage, trouble));
        }
    }

    /// A disk is to fail after so many calls.
    pub(super) fn fail_after(
        &mut self,
        r: usize,
        calls: usize,
        (damage, trouble): (Damage, Trouble),
    ) {
        let replica = &self.replicas[r];
        replica.disk.fail_after(calls, trouble);
        let name = replica.name;
        self.damage(damage, || format!("{name}'s disk is to fail: {}", damage.name()));
    }

    fn cut_one(&mut self) -> Result<(), Wrong> {
        if self.links.is_empty() {
            return Ok(());
        }
        self.stats.note(Damage::Cut);
        let l = self.random.below(self.links.len());
        self.cut(l)
    }

    fn part(&mut self) {
        if self.parts.is_some() {
            return;
        }
        let mut parts = [false; REPLICAS];
        parts.iter_mut().for_each(|part| *part = self.random.percent(50));
        self.parts = Some(parts);
        for l in 0..self.links.len() {
            let [a, b] = self.links[l].ends;
            self.links[l].parted = self.are_parted(a, b);
        }
        let names = self.replicas.iter().zip(parts).filter(|(_, part)| *part);
        let names: String = names.map(|(replica, _)| replica.name).collect();
        self.damage(Damage::Partition, || format!("the network parts {names} from the others"));
    }
}
