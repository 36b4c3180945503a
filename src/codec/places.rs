//! Places in a row, of which each begins like the one before it.

use super::place::{Shape, no_leaf};
use super::{DecodeError, Kind};

/// Reads places of which each begins like the one before it: what they share is read once.
#[derive(Debug, Default)]
pub(crate) struct Places {
    key_bytes: usize,
    /// The kinds of the last one's steps, and where these end.
    steps: Vec<(Kind, usize)>,
}

impl Places {
    /// As [`leaf_kind`](super::place::leaf_kind), of a place that has its first `shared` bytes in common with the last one.
    ///
    /// # Errors
    /// The bytes are not the one spelling of a place within the limits; no other follows it then.
    pub(crate) fn leaf_kind(&mut self, place: &[u8], shared: usize) -> Result<Kind, DecodeError> {
        // Where a step ends the bytes up to there say.
        let whole = self.steps.partition_point(|(_, end)| *end <= shared);
        self.steps.truncate(whole);
        let mut shape = match self.key_bytes {
            known @ 1.. if known <= shared => {
                Shape { key_bytes: known, steps: whole, closed: false }
            }
            _ => {
                self.steps.clear();
                Shape::key(place)?
            }
        };
        self.key_bytes = shape.key_bytes;
        let from = self.steps.last().map_or(shape.key_bytes, |(_, end)| *end);
        shape = shape.path(place, from, |kind, _, end| self.steps.push((kind, end)))?;
        let leaf = self.steps.last().map(|(kind, _)| *kind).filter(|_| shape.closed);
        leaf.ok_or_else(|| no_leaf(place))
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::codec::place::leaf_kind;

    /// A place, mostly: a few pieces, of which each may be cut out of its order.
    fn spelled(pieces: &[u8]) -> Vec<u8> {
        let pieces = pieces.iter().take(6).map(|piece| match piece % 12 {
            0..3 => &b"\x01\0\0"[..],
            3..6 => b"\x02a\0\0",
            6..8 => b"\x02\0\xff\0\0",
            8..10 => b"\x03abc\0\0",
            10 => b"\0",
            _ => b"b",
        });
        [b"k\0\0".to_vec(), pieces.collect::<Vec<_>>().concat(), vec![0]].concat()
    }

    quickcheck! {
        fn places_that_begin_like_the_last_one_are_read_as_if_alone(all: Vec<Vec<u8>>) -> bool {
            let (mut places, mut last) = (Places::default(), Vec::new());
            for pieces in all {
                let mut place = spelled(&pieces);
                if pieces.len() % 3 == 0 {
                    place = [&last[..last.len() / 2], place.as_slice()].concat();
                }
                let same = |(a, b): &(&u8, &u8)| a == b;
                let shared = last.iter().zip(&place).take_while(same).count();
                let read = places.leaf_kind(&place, shared);
                if read != leaf_kind(&place) {
                    return false;
                }
                match read {
                    Ok(_) => last = place,
                    Err(_) => (places, last) = (Places::default(), Vec::new()),
                }
            }
            true
        }
    }
}
