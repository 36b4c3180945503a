//! The one rule per type, as pure functions.
//!
//! The plain values of this module and the items of the store read and write by the same
//! rules: what a mutation replaces, and how concurrent live items are read. They stand here
//! once, so that the two cannot drift apart.

use smallvec::SmallVec;

use crate::causal::{Dot, Hlc, Seq};
use crate::codec::limits::COUNTER_ROWS;

/// A writer's own total that would leave the range of 64 bits.
///
/// Nothing was written. Only the *writer* can overflow: the sum over all writers is read in
/// 128 bits, so that no merge can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("adding {amount} to the writer's own total of {total} leaves the range of the counter")]
pub struct CounterOverflow {
    /// What the writer has added so far.
    pub total: i128,
    /// What it wanted to add.
    pub amount: i64,
}

/// What an increment of a counter does: which of the writer's own rows its new row takes the
/// place of, and the amount that the new row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterPlan {
    /// The seqs of the own rows that are replaced, ascending.
    pub replaces: SmallVec<[Seq; 2]>,
    /// The amount of the new row.
    pub amount: i64,
}

/// Plans an increment by `amount` (a decrement if negative).
///
/// `own` are the writer's live rows, ascending by seq; those above `shown` can have been
/// seen by nobody. An increment is a new row that holds its own amount. It takes the place of
/// the newest own row if nobody can have seen that one; and when there are [`COUNTER_ROWS`]
/// rows and no such row, of all.
///
/// Why a row that was shown is not simply counted up, which would keep one row per writer:
///
/// 1. A adds 1, and B sees it: row A:1 of 1.
/// 2. A adds 1 more: row A:2 of 2 takes the place of A:1. B meanwhile removes the counter,
///    and with it what it saw, A:1.
/// 3. They meet: A:2 was not seen by B, so it lives, and the counter reads 2. The removal
///    removed nothing of the 1 that it had observed.
///
/// With rows of their own amounts the counter reads 1. Folding more than eight rows brings
/// the anomaly back for amounts that a removal observed and whose writer folded them before
/// it saw the removal; all replicas agree on it, and no increment is lost.
///
/// # Errors
/// The writer's own total would leave the range of `i64`.
///
/// ```
/// use rejoin::{causal::Seq, crdt::rules::plan_add};
/// let rows = [(Seq::new(3), 10), (Seq::new(5), 7)];
///
/// let unseen = plan_add(&rows, Seq::new(4), 1)?; // row 5 was shown to nobody
/// assert_eq!((unseen.replaces.as_slice(), unseen.amount), (&[Seq::new(5)][..], 8));
///
/// let shown = plan_add(&rows, Seq::new(5), 1)?;
/// assert_eq!((shown.replaces.as_slice(), shown.amount), (&[][..], 1));
///
/// let many: Vec<_> = (1..=8).map(|n| (Seq::new(n), 10)).collect();
/// let folded = plan_add(&many, Seq::new(8), 1)?;
/// assert_eq!((folded.replaces.len(), folded.amount), (8, 81));
/// # Ok::<(), rejoin::crdt::rules::CounterOverflow>(())
/// ```
pub fn plan_add(
    own: &[(Seq, i64)],
    shown: Seq,
    amount: i64,
) -> Result<CounterPlan, CounterOverflow> {
    let total: i128 = own.iter().map(|row| i128::from(row.1)).sum();
    let after =
        i64::try_from(total + i128::from(amount)).map_err(|_| CounterOverflow { total, amount })?;
    if let Some((seq, newest)) = own.last() {
        // Amounts of both signs can have a total in range and a pair of rows out of it:
        // then the new row stands beside the newest, as if that one had been shown.
        if let (true, Some(both)) = (*seq > shown, newest.checked_add(amount)) {
            return Ok(CounterPlan { replaces: SmallVec::from_iter([*seq]), amount: both });
        }
    }
    if own.len() >= COUNTER_ROWS {
        let replaces = own.iter().map(|row| row.0).collect();
        return Ok(CounterPlan { replaces, amount: after });
    }
    Ok(CounterPlan { replaces: SmallVec::new(), amount })
}

/// Which of the live, hence concurrent, writes of a register is read: the one of the greatest
/// (timestamp, dot). `None` if there is none.
///
/// Only concurrent writes are arbitrated here: a write replaces all that it has seen, so a
/// clock far in the future wins until the next write and no longer.
pub fn lww_winner<T: Copy>(rows: impl IntoIterator<Item = (Hlc, Dot, T)>) -> Option<(Hlc, Dot, T)> {
    rows.into_iter().max_by_key(|row| (row.0, row.1))
}

/// How the live, hence concurrent, statements about an element or a flag are read when
/// removing wins: present, or enabled, if there is a statement and none says removed, or
/// disabled (`false`).
pub fn remove_wins(says: impl IntoIterator<Item = bool>) -> bool {
    let mut some = false;
    for said in says {
        if !said {
            return false;
        }
        some = true;
    }
    some
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::ReplicaId;
    use quickcheck::quickcheck;

    /// Applies a plan to the rows.
    fn apply(own: &mut Vec<(Seq, i64)>, seq: u64, plan: &CounterPlan) {
        own.retain(|row| !plan.replaces.contains(&row.0));
        own.push((Seq::new(seq), plan.amount));
    }

    quickcheck! {
        fn rows_stay_few_and_keep_the_sum(adds: Vec<(i64, u8)>) -> bool {
            let (mut own, mut sum) = (Vec::new(), 0i128);
            for (seq, (amount, back)) in (1..).zip(adds) {
                let shown = Seq::new(seq - u64::from(back % 3).min(seq));
                match plan_add(&own, shown, amount) {
                    Ok(plan) => {
                        // What was shown is replaced only by folding everything.
                        let folds = plan.replaces.len() == own.len();
                        if !folds && plan.replaces.iter().any(|s| *s <= shown) {
                            return false;
                        }
                        apply(&mut own, seq, &plan);
                        sum += i128::from(amount);
                    }
                    Err(e) => {
                        let fits = i64::try_from(sum + i128::from(amount)).is_ok();
                        if fits || e != (CounterOverflow { total: sum, amount }) {
                            return false;
                        }
                    }
                }
                let kept: i128 = own.iter().map(|row| i128::from(row.1)).sum();
                if kept != sum || own.len() > COUNTER_ROWS {
                    return false;
                }
            }
            true
        }

        fn removal_wins(says: Vec<bool>) -> bool {
            remove_wins(says.iter().copied()) == (!says.is_empty() && !says.contains(&false))
        }

        fn the_winner_is_the_greatest_whatever_the_order(rows: Vec<(u64, u8)>) -> bool {
            let mut rows: Vec<_> = rows.iter().map(|&(time, r)| {
                let dot = Dot::new(ReplicaId::from_bytes([r; 16]), Seq::FIRST);
                (Hlc::from_u64(time % 4), dot, ())
            }).collect();
            let winner = lww_winner(rows.iter().copied());
            rows.sort();
            winner == lww_winner(rows.iter().rev().copied()) && winner == rows.last().copied()
        }
    }

    #[test]
    fn overflow_is_an_error_of_the_writer() {
        let rows = [(Seq::new(1), i64::MAX - 1)];
        assert!(plan_add(&rows, Seq::MAX, 1).is_ok());
        let error = plan_add(&rows, Seq::MAX, 2).unwrap_err();
        assert_eq!(error, CounterOverflow { total: i128::from(i64::MAX) - 1, amount: 2 });
        assert!(plan_add(&[(Seq::new(1), i64::MIN)], Seq::ZERO, -1).is_err());
    }

    #[test]
    fn two_rows_out_of_range_with_a_total_within_stay_apart() {
        let rows = [(Seq::new(1), -5), (Seq::new(2), i64::MAX)];
        let plan = plan_add(&rows, Seq::ZERO, 3).unwrap();
        assert_eq!((plan.replaces.len(), plan.amount), (0, 3));
    }
}
