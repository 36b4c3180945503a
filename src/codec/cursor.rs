//! Reading and writing flat bytes.
//!
//! Everything that stands on disk or travels is a flat row of these few forms: single
//! bytes, fixed runs of bytes, and varints. A varint is LEB128: seven bits a byte, the low
//! ones first, the top bit set on all but the last byte. Each value has *one* spelling,
//! because digests are made of bytes: a varint longer than it must be, a list out of
//! order or bytes left over are errors.

use super::error::{DecodeError, Problem};
use super::limits;
use crate::causal::{Dot, ReplicaId, Seq, Tag, TaggedVector, VersionVector};

/// Appends flat values to a buffer.
pub trait Put {
    /// Appends a varint.
    fn put_varint(&mut self, n: u64);
    /// Appends a length as a varint, then the bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
    /// The same of a text, or of as much of its start as at most so many bytes hold.
    fn put_text(&mut self, text: &str, most_bytes: usize);
    /// Appends the count, then for each entry, ascending by replica, 16 bytes and a varint.
    fn put_vector(&mut self, vector: &VersionVector);
    /// The same, with 8 bytes behind each entry: its tag.
    fn put_tagged(&mut self, vector: &TaggedVector);
}

impl Put for Vec<u8> {
    fn put_varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.push((n as u8) | 0x80);
            n >>= 7;
        }
        self.push(n as u8);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }

    fn put_text(&mut self, text: &str, most_bytes: usize) {
        let mut end = text.len().min(most_bytes);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.put_bytes(text.get(..end).unwrap_or_default().as_bytes());
    }

    fn put_vector(&mut self, vector: &VersionVector) {
        self.put_varint(vector.len() as u64);
        for (replica, seq) in vector.iter() {
            self.extend_from_slice(replica.as_bytes());
            self.put_varint(seq.get());
        }
    }

    fn put_tagged(&mut self, vector: &TaggedVector) {
        self.put_varint(vector.len() as u64);
        for (replica, seq, tag) in vector.iter() {
            self.extend_from_slice(replica.as_bytes());
            self.put_varint(seq.get());
            self.extend_from_slice(tag.as_bytes());
        }
    }
}

/// Signed to unsigned, small amounts of either sign to small numbers: 0, -1, 1, -2 … become 0, 1, 2, 3 …
#[must_use]
pub const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[must_use]
pub const fn unzigzag(n: u64) -> i64 {
    ((n >> 1) as i64) ^ -((n & 1) as i64)
}

/// Reads flat values off the front of a slice; what it hands out borrows from there.
///
/// Nothing here takes memory: a count is checked against the bytes that remain before the
/// caller makes room for that many things.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    what: &'static str,
    whole_bytes: usize,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Reads `bytes`; `what` names them in errors.
    #[must_use]
    pub const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, whole_bytes: bytes.len(), rest: bytes }
    }

    /// An error at the place reached.
    #[must_use]
    pub fn wrong(&self, problem: Problem) -> DecodeError {
        DecodeError { what: self.what, at: self.whole_bytes - self.rest.len(), problem }
    }

    /// How many bytes remain.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Fewer remain.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.wrong(Problem::Truncated)),
        }
    }

    /// All that remains.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// Fewer remain.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.wrong(Problem::Truncated)),
        }
    }

    /// The next byte.
    ///
    /// # Errors
    /// None remains.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    /// A varint.
    ///
    /// # Errors
    /// It is cut short, longer than it must be, or above 2⁶⁴ − 1.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut n: u64 = 0;
        for (place, &byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if place == 9 && byte > 1 {
                return Err(self.wrong(Problem::Overlong));
            }
            n |= bits << (7 * place);
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return Err(self.wrong(Problem::Overlong));
                }
                self.rest = self.rest.get(place + 1..).unwrap_or_default();
                return Ok(n);
            }
        }
        Err(self.wrong(Problem::Truncated))
    }

    /// A varint that a store counts with: at most [`limits::TALLY`].
    ///
    /// # Errors
    /// It is no varint, or beyond that.
    pub fn tally(&mut self) -> Result<u64, DecodeError> {
        let here = self.clone();
        let found = self.varint()?;
        match found > limits::TALLY {
            true => Err(here.wrong(Problem::Other("a number that nothing counts to"))),
            false => Ok(found),
        }
    }

    /// A count of things of at least `least_bytes` each (at least 1), which therefore
    /// cannot be more than the bytes that remain could hold, nor more than `limit`.
    ///
    /// # Errors
    /// It is either.
    pub fn count(&mut self, least_bytes: usize, limit: usize) -> Result<usize, DecodeError> {
        let here = self.clone();
        let found = self.varint()?;
        if found > limit as u64 {
            return Err(here.wrong(Problem::TooMany { limit, found }));
        }
        if found > (self.rest.len() / least_bytes.max(1)) as u64 {
            return Err(here.wrong(Problem::Truncated));
        }
        Ok(found as usize)
    }

    /// A length and that many bytes, at most `limit`.
    ///
    /// # Errors
    /// Fewer remain, or the length is above the limit.
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1, limit)?;
        self.take(len)
    }

    /// A replica id.
    ///
    /// # Errors
    /// Fewer than 16 bytes remain.
    pub fn replica(&mut self) -> Result<ReplicaId, DecodeError> {
        self.array().map(ReplicaId::from_bytes)
    }

    /// A seq that names an event, as a varint.
    ///
    /// # Errors
    /// It is zero or no varint.
    pub fn seq(&mut self) -> Result<Seq, DecodeError> {
        let here = self.clone();
        match self.varint()? {
            0 => Err(here.wrong(Problem::ZeroSeq)),
            n => Ok(Seq::new(n)),
        }
    }

    /// A dot of 24 bytes: replica, then seq with its highest byte first, as in row keys.
    ///
    /// # Errors
    /// Fewer remain, or the seq is zero.
    pub fn fixed_dot(&mut self) -> Result<Dot, DecodeError> {
        let here = self.clone();
        let replica = self.replica()?;
        match u64::from_be_bytes(self.array()?) {
            0 => Err(here.wrong(Problem::ZeroSeq)),
            n => Ok(Dot::new(replica, Seq::new(n))),
        }
    }

    /// A version vector, as [`Put::put_vector`] wrote it.
    ///
    /// # Errors
    /// More than `limit` entries, entries out of order or doubled, or cut short.
    pub fn vector(&mut self, limit: usize) -> Result<VersionVector, DecodeError> {
        let here = self.clone();
        let count = self.count(17, limit)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((self.replica()?, self.seq()?));
        }
        VersionVector::from_sorted(entries).ok_or_else(|| here.wrong(Problem::Unsorted))
    }

    /// A tag.
    ///
    /// # Errors
    /// Fewer than 8 bytes remain.
    pub fn tag(&mut self) -> Result<Tag, DecodeError> {
        self.array().map(Tag::from_bytes)
    }

    /// A tagged vector, as [`Put::put_tagged`] wrote it.
    ///
    /// # Errors
    /// As [`vector`](Self::vector).
    pub fn tagged(&mut self, limit: usize) -> Result<TaggedVector, DecodeError> {
        let here = self.clone();
        let count = self.count(25, limit)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((self.replica()?, self.seq()?, self.tag()?));
        }
        TaggedVector::from_sorted(entries).ok_or_else(|| here.wrong(Problem::Unsorted))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left over.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong(Problem::LeftOver)) }
    }
}
