//! How many live dots there must be: so that a lost row is not taken for a removal.
//!
//! To others, a dot that this replica has seen and does not hold was removed. Hashes alone do
//! not keep a hole in the rows from being told to them:
//!
//! 1. A writes a1 … a9 and the row of a5 is lost. The block is marked.
//! 2. The block is hashed: over what is there. The hash is right, and so is every check
//!    against it.
//! 3. A meets B, which has a5. The proof fails, the walk finds the block, A claims that a5 is
//!    dead, and B drops it.
//!
//! And a hole in a block that was hashed before travels without any claim: the delta for C
//! leaves a5 out, C's vector covers it, and then C tells B that it was removed.
//!
//! So for each block it is kept how many dots were live when it was hashed, in its row, and how
//! many came and went since, in its mark. The sum is what must be there at any moment. It is
//! held against the rows when the block is hashed anew, and when a delta passes over it.

use std::collections::BTreeMap;

use super::node::{block_of, seqs};
use super::rows;
use crate::causal::{ReplicaId, Seq};
use crate::storage::{Read, StorageError};

/// Holds the live dots found in a block against how many there must be.
pub(super) fn check_count(
    (origin, block): (ReplicaId, u64),
    found: i32,
    wanted: i32,
) -> Result<(), StorageError> {
    if found == wanted {
        return Ok(());
    }
    let place = format!("block {block} of replica {origin}");
    let reason = format!("{wanted} of its events have a live item, and {found} are there");
    Err(StorageError::Corrupt { place, reason })
}

/// Holds the live dots of an origin against how many there must be in each block. `found` are
/// all from seq `from` to `to`, `last` is what the space has seen of the origin. A block that
/// ends behind `to` is not looked at: what comes next will show it whole.
///
/// Costs a look at the rows of these blocks and marks; and where `from` stands in the middle
/// of a block, at most 255 rows of dots.
///
/// # Errors
/// A block has not as many live dots as it must have: rows are lost. Or the storage failed.
pub fn check_counts(
    read: &dyn Read,
    space: u32,
    origin: ReplicaId,
    last: Seq,
    (from, to): (Seq, Seq),
    found: impl Iterator<Item = Seq>,
) -> Result<(), StorageError> {
    let (first_block, last_block) = (block_of(from), block_of(to));
    let mut wanted: BTreeMap<u64, (i32, i32)> = BTreeMap::new();
    rows::each_count(read, space, origin, (first_block, last_block), &mut |block, live| {
        let (_, wanted) = wanted.entry(block).or_default();
        *wanted = wanted.saturating_add(live);
    })?;
    for seq in found {
        wanted.entry(block_of(seq)).or_default().0 += 1;
    }
    let whole = to >= last || seqs(last_block).is_some_and(|(_, end)| end <= to.get());
    if !whole {
        wanted.remove(&last_block);
    }
    if let Some((found, _)) = wanted.get_mut(&first_block) {
        rows::each_live(read, space, origin, first_block, from.prev(), &mut |_, _| *found += 1)?;
    }
    let mut counts = wanted.into_iter();
    counts.try_for_each(|(block, (found, wanted))| check_count((origin, block), found, wanted))
}

#[cfg(test)]
mod tests {
    use quickcheck::TestResult;

    use super::super::testing::{SPACE, Step, World, check, dot_key};
    use super::super::{live_hashes, refresh};
    use super::*;
    use crate::storage::{Table, Write};

    fn is_corrupt<T>(result: Result<T, StorageError>) -> bool {
        matches!(result, Err(StorageError::Corrupt { .. }))
    }

    /// What a delta does that reads all dots of an origin, so many at a time.
    fn check_counts_of(world: &World, from: Seq, rows_a_pass: usize) -> Result<(), StorageError> {
        for (origin, last) in world.vector.iter() {
            let mut found = Vec::new();
            for block in 0..=last.get() / 256 {
                let at = (&world.rows, SPACE, &world.vector);
                found.extend(live_hashes(at.0, at.1, at.2, at.2, origin, block)?);
            }
            found.retain(|(seq, _)| *seq >= from);
            let mut from = from;
            while from <= last {
                let pass: Vec<Seq> =
                    found.drain(..rows_a_pass.min(found.len())).map(|f| f.0).collect();
                let to = if pass.len() < rows_a_pass { last } else { pass[pass.len() - 1] };
                let pass = pass.into_iter();
                check_counts(&world.rows, SPACE, origin, last, (from, to), pass)?;
                from = to.next();
            }
        }
        Ok(())
    }

    /// A history whose seqs stay small enough to look at each block.
    fn small(steps: &[Step]) -> Vec<Step> {
        let small = |step: &Step| match *step {
            Step::Add { origin, jump } => Step::Add { origin, jump: jump % 6 },
            Step::Skip { origin, jump } => Step::Skip { origin, jump: jump % 6 },
            Step::Stage { origin, jump } => Step::Stage { origin, jump: jump % 6 },
            other => other,
        };
        steps.iter().map(small).collect()
    }

    #[test]
    fn a_lost_row_is_noticed_before_it_is_hashed_and_before_it_is_passed_over() {
        fn property(steps: Vec<Step>, marked: bool, lost: u16, pass: u8) -> TestResult {
            let mut world = World::after(&small(&steps));
            let pass = usize::from(pass % 8) + 1;
            if marked {
                world.marks.save(&mut world.rows, SPACE).unwrap();
            } else {
                world.refresh();
            }
            check_counts_of(&world, Seq::FIRST, pass).unwrap();
            let mut whole = world.clone();
            let lost = usize::from(lost) % world.live.len().max(1);
            let Some(lost) = world.live.keys().nth(lost).copied() else {
                return TestResult::discard();
            };
            // Whatever was sent before, the block is looked at whole.
            check_counts_of(&world, lost.seq.next(), pass).unwrap();
            world.rows.delete(Table::Dots, &dot_key(SPACE, lost)).unwrap();
            assert!(is_corrupt(check_counts_of(&world, lost.seq, pass)));
            world.marks.changed(lost);
            world.marks.save(&mut world.rows, SPACE).unwrap();
            assert!(is_corrupt(refresh(&mut world.rows, SPACE, &world.vector)));
            assert!(is_corrupt(check_counts_of(&world, Seq::FIRST, pass)));
            TestResult::from_bool(whole.refresh() == whole.reference())
        }
        check(property as fn(_, _, _, _) -> _);
    }
}
