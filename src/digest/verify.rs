//! Whether the kept rows are those that the dots would give, each of them.

use super::hash::{NodeHash, RootHash};
use super::recompute::{Made, each_made};
use super::rows::{self, Origin};
use crate::causal::{ReplicaId, VersionVector};
use crate::storage::{Read, StorageError};

/// What of the kept digest is not as [`recompute`](super::recompute) makes it, in words, if
/// anything is. A root alone says nothing of what a walk finds beneath it. Only to be asked of
/// rows of which no block [waits](super::is_clean).
///
/// Costs a pass over all rows of dots, and a lookup for each row of the digest.
///
/// # Errors
/// The storage failed, or a row is none of the digest.
pub fn verify(
    read: &dyn Read,
    space: u32,
    vector: &VersionVector,
) -> Result<Option<String>, StorageError> {
    let buckets = rows::buckets(read, space)?;
    let (mut kept, mut found) = (Kept { read, space, buckets, origin: None, rows: 0 }, Ok(None));
    let root = each_made(read, space, vector, &mut |made| {
        if matches!(found, Ok(None)) {
            found = kept.differs(made);
        }
    })?;
    if let Some(differs) = found? {
        return Ok(Some(differs));
    }
    if rows::root(read, space)? != root {
        return Ok(Some("the root".to_owned()));
    }
    kept.rows += u64::from(root != RootHash::empty());
    let beside = rows::count(read, space)?.saturating_sub(kept.rows);
    Ok((beside > 0).then(|| format!("{beside} rows of what has no live dots")))
}

/// What is kept, beside what is made.
struct Kept<'a> {
    read: &'a dyn Read,
    space: u32,
    buckets: Vec<(u8, NodeHash)>,
    /// What is kept of the origin that was asked for last.
    origin: Option<(ReplicaId, Option<Origin>)>,
    /// Rows that were compared.
    rows: u64,
}

impl Kept<'_> {
    /// In words, what of this is kept otherwise.
    fn differs(&mut self, made: Made) -> Result<Option<String>, StorageError> {
        let (read, space) = (self.read, self.space);
        Ok(match made {
            Made::Block(origin, index, made) => {
                self.rows += 1;
                let same = rows::block(read, space, origin, index)? == Some(made);
                (!same).then(|| format!("block {index} of replica {origin}"))
            }
            Made::Inner(origin, (level, index), made) => {
                if level > self.origin(origin)?.map_or(0, |kept| kept.height) {
                    return Ok(None); // no row of its own
                }
                self.rows += 1;
                let same = rows::node(read, space, (origin, level, index))? == Some(made);
                (!same).then(|| format!("node {index} on level {level} of replica {origin}"))
            }
            Made::Origin(origin, made) => {
                self.rows += 1;
                let kept = self.origin(origin)?.map(|kept| kept.hash);
                (kept != Some(made)).then(|| format!("replica {origin}"))
            }
            Made::Bucket(bucket, made) => {
                self.rows += 1;
                let same = self.buckets.contains(&(bucket, made));
                (!same).then(|| format!("bucket {bucket}"))
            }
        })
    }

    fn origin(&mut self, origin: ReplicaId) -> Result<Option<Origin>, StorageError> {
        if let Some((known, kept)) = self.origin
            && known == origin
        {
            return Ok(kept);
        }
        let kept = rows::origin(self.read, self.space, origin)?;
        self.origin = Some((origin, kept));
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rows, SPACE, Step, World, check};
    use super::*;
    use crate::storage::{Table, Write};

    /// A bit at either end, a byte less, all of it gone, or a row beside it that nothing asks for.
    #[test]
    fn a_row_of_the_digest_that_is_not_as_made_is_found() {
        fn property(steps: Vec<Step>) -> bool {
            let mut world = World::after(&steps);
            world.refresh();
            let verified = |rows: &Rows| verify(rows, SPACE, &world.vector);
            let is_found = |rows: &Rows| !matches!(verified(rows), Ok(None));
            assert_eq!(verified(&world.rows).unwrap(), None);
            world.rows.all(Table::Digest).into_iter().all(|(key, value)| {
                let with = |change: &dyn Fn(&mut Rows)| {
                    let mut rows = world.rows.clone();
                    change(&mut rows);
                    is_found(&rows)
                };
                let put = |key: &[u8], value: &[u8]| {
                    with(&|rows| rows.put(Table::Digest, key, value).unwrap())
                };
                let flipped = |at: usize| {
                    let mut value = value.clone();
                    value[at] ^= 1;
                    value
                };
                put(&key, &flipped(0))
                    && put(&key, &flipped(value.len() - 1))
                    && put(&key, &value[..value.len() - 1])
                    && put(&[key.as_slice(), &[0]].concat(), &value)
                    && with(&|rows| drop(rows.delete(Table::Digest, &key)))
            })
        }
        check(property as fn(_) -> _);
    }
}
