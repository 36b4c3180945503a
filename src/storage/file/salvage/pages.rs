//! Pages of a damaged file, read without the engine.
//!
//! The engine's trees are trees of hashes: beside each pointer to a page stands the XXH3 (128
//! bits) of what the page must hold. A page that matches is *sound*, whatever else in the file
//! is not. One that does not match is *suspect*.
//!
//! The usual damage is one flipped bit, and that can be taken back: the seal of a block says
//! what its bytes must hash to, so the bit whose flipping makes it match is the one. Whether
//! the page is sound then is for the pointer's hash to say, as ever. Should the seal be what
//! was hit, the page matches its pointer and nobody asks the seal.
//!
//! Of the page that leads to all tables there are copies beside the first block.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::codec::limits::VALUE_BYTES;
use crate::storage::file::first::{Geometry, Pointer};
use crate::storage::file::seal::{BLOCK_BYTES, located, seal_of};

/// Blocks of which a flipped bit is looked for: a file of which more is damaged has other
/// troubles, and each costs some ten milliseconds.
const MOST_TRIES: u32 = 2_000;

/// No page of rows is longer: one of the largest value, and small rows before it, is not.
const MOST_STRAY_BYTES: usize = 2 * VALUE_BYTES;

/// What pages of rows behind their first blocks may have in all, in files, and what pages that do
/// not match may: those that only look like long ones may lie in each other.
const MOST_FILES: u64 = 16;

/// How wide the keys and values of a tree are; those without a width name where they end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
}

pub(super) type PageBytes = Rc<Vec<u8>>;

/// A page that did not match: its bytes where they were mended, and whether it matches now.
type Damaged = (Option<PageBytes>, bool);

/// The blocks of a file that may be damaged.
pub(super) struct Pages {
    file: Arc<dyn StorageBackend>,
    file_bytes: u64,
    geometry: Geometry,
    /// Of the page in which the list of tables begins, kept beside the first block.
    copies: Vec<Vec<u8>>,
    tries: Cell<u32>,
    /// Pages that did not match when they were first read. The bytes only of those in which a bit
    /// was flipped back or of which there was a copy: few, and each costs time. The others are
    /// read again, since half a file may be of that kind.
    damaged: RefCell<BTreeMap<(u64, u128), Damaged>>,
    /// Blocks that were read as those behind the first of a page of rows.
    behind: Cell<u64>,
    /// Bytes of the pages that did not match.
    unsound_bytes: Cell<u64>,
    mended: Cell<u64>,
}

impl Pages {
    pub(super) fn new(
        file: Arc<dyn StorageBackend>,
        file_bytes: u64,
        geometry: Geometry,
        copies: Vec<Vec<u8>>,
    ) -> Self {
        let [mended, behind, unsound_bytes] = [(); 3].map(|()| Cell::new(0));
        let (tries, damaged) = (Cell::new(0), RefCell::default());
        Self { file, file_bytes, geometry, copies, tries, damaged, behind, unsound_bytes, mended }
    }

    pub(super) fn set_geometry(&mut self, geometry: Geometry) {
        if self.geometry != geometry {
            self.geometry = geometry;
            self.damaged.get_mut().clear();
        }
    }

    /// How many there may be in the file.
    pub(super) const fn count(&self) -> u64 {
        self.file_bytes / BLOCK_BYTES as u64 + 1
    }

    /// Pages that did not match and could not be mended.
    pub(super) fn lost(&self) -> u64 {
        // A damaged pointer may lead to a page that is as it must be.
        let damaged = self.damaged.borrow();
        let unsound = damaged.iter().filter(|(_, (_, sound))| !sound).map(|((page, _), _)| *page);
        unsound.collect::<BTreeSet<_>>().len() as u64
    }

    /// Pages that did not match until a bit was flipped back, or a copy of them taken.
    pub(super) fn mended(&self) -> u64 {
        self.mended.get()
    }

    /// What stands where a pointer leads, and whether that is what it must be.
    pub(super) fn page(
        &self,
        pointer: Pointer,
        trusted: bool,
        widths: Widths,
    ) -> Option<(PageBytes, bool)> {
        let known = self.damaged.borrow().get(&(pointer.page, pointer.checksum)).cloned();
        if let Some((Some(bytes), sound)) = known {
            return Some((bytes, sound));
        }
        let (at, len) = self.geometry.place(pointer.page)?;
        // Pointers that were made up may all lead to a page as long as the file.
        let spent = self.unsound_bytes.get() / MOST_FILES > self.file_bytes;
        let refused = !trusted && (spent || at.checked_add(len)? > self.file_bytes);
        if len > self.file_bytes || (refused && known.is_none()) {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        for (block, out) in (at / BLOCK_BYTES as u64..).zip(bytes.chunks_exact_mut(BLOCK_BYTES)) {
            self.block(block, out);
        }
        if known.is_some() {
            return Some((Rc::new(bytes), false));
        }
        if checksum_of(&bytes, widths) == Some(pointer.checksum) {
            return Some((Rc::new(bytes), true));
        }
        let is_it = |copy: &&Vec<u8>| checksum_of(copy, widths) == Some(pointer.checksum);
        let mut changed = false;
        if let Some(copy) = self.copies.iter().find(is_it) {
            (bytes, changed) = (copy.clone(), true);
        } else {
            let blocks = (at / BLOCK_BYTES as u64..).zip(bytes.chunks_exact_mut(BLOCK_BYTES));
            blocks.for_each(|(block, out)| changed |= self.mend(block, out));
        }
        self.unsound_bytes.set(self.unsound_bytes.get() + len);
        let sound = changed && checksum_of(&bytes, widths) == Some(pointer.checksum);
        self.mended.set(self.mended.get() + u64::from(sound));
        let bytes = Rc::new(bytes);
        let known = (changed.then(|| bytes.clone()), sound);
        self.damaged.borrow_mut().insert((pointer.page, pointer.checksum), known);
        Some((bytes, sound))
    }

    /// The rows that start at a block, if that and those behind it are as they were written and a
    /// page of rows: of some table, and of some commit.
    pub(super) fn stray(&self, block: u64) -> Option<Vec<u8>> {
        let mut bytes = self.sealed(block)?;
        if bytes.first() != Some(&1) {
            return None;
        }
        let used = Leaf::of(&bytes, Widths { key: None })?.end()?;
        if used > MOST_STRAY_BYTES {
            return None;
        }
        let behind = used.div_ceil(BLOCK_BYTES).saturating_sub(1);
        for next in (block + 1..).take(behind) {
            if self.behind.get() >= MOST_FILES * self.count() {
                return None;
            }
            self.behind.set(self.behind.get() + 1);
            bytes.extend_from_slice(&self.sealed(next)?);
        }
        Some(bytes)
    }

    /// A block that matches its seal.
    fn sealed(&self, block: u64) -> Option<Vec<u8>> {
        let (at_byte, seal_at_byte) = located(block)?;
        let (mut bytes, mut seal) = (vec![0; BLOCK_BYTES], [0; 8]);
        self.file.read(at_byte, &mut bytes).ok()?;
        self.file.read(seal_at_byte, &mut seal).ok()?;
        (u64::from_be_bytes(seal) == seal_of(block, &bytes)).then_some(bytes)
    }

    /// Reads a block of the engine's; where the file ends before it, or does not let itself
    /// be read, nothing but zeros.
    fn block(&self, block: u64, out: &mut [u8]) {
        let read = located(block).map(|(at_byte, _)| self.file.read(at_byte, out));
        if !matches!(read, Some(Ok(()))) {
            out.fill(0);
        }
    }

    /// Flips the one bit back that makes a block match its seal.
    fn mend(&self, block: u64, bytes: &mut [u8]) -> bool {
        let Some((_, seal_at_byte)) = located(block) else { return false };
        let mut seal = [0; 8];
        if self.file.read(seal_at_byte, &mut seal).is_err() {
            return false;
        }
        let seal = u64::from_be_bytes(seal);
        let spent = self.tries.get() >= MOST_TRIES || bytes.iter().all(|byte| *byte == 0);
        if seal == 0 || spent || seal_of(block, bytes) == seal {
            return false;
        }
        self.tries.set(self.tries.get() + 1);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let flip = |bytes: &mut [u8]| {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << bit;
                    }
                };
                flip(bytes);
                if seal_of(block, bytes) == seal {
                    return true;
                }
                flip(bytes);
            }
        }
        false
    }
}

/// What the engine's pointer to this page must say: a hash of the bytes in use.
fn checksum_of(page: &[u8], widths: Widths) -> Option<u128> {
    let used = match page.first()? {
        1 => Leaf::of(page, widths)?.end()?,
        2 => Branch::of(page, widths)?.end()?,
        _ => return None,
    };
    page.get(..used).map(XxHash3_128::oneshot)
}

fn u32_at(page: &[u8], at: usize) -> Option<usize> {
    let bytes = page.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn count_of(page: &[u8]) -> Option<usize> {
    let count = page.get(2..)?.first_chunk()?;
    let count = usize::from(u16::from_le_bytes(*count));
    (count > 0).then_some(count)
}

/// A page of rows. Nothing in it is taken for granted.
///
/// ```text
/// 1 ‖ 0 ‖ count (2) ‖ end of each key (4), where keys have no width ‖ end of each value (4)
///   ‖ keys ‖ values                                          numbers lowest byte first
/// ```
#[derive(Clone, Copy)]
pub(super) struct Leaf<'p> {
    page: &'p [u8],
    widths: Widths,
    pub(super) count: usize,
}

impl<'p> Leaf<'p> {
    pub(super) fn of(page: &'p [u8], widths: Widths) -> Option<Self> {
        Some(Self { page, widths, count: count_of(page)? })
    }

    fn value_ends(&self) -> usize {
        4 + if self.widths.key.is_none() { 4 * self.count } else { 0 }
    }

    fn key_end(&self, n: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(self.value_ends() + 4 * self.count + width * (n + 1)),
            None => u32_at(self.page, 4 + 4 * n),
        }
    }

    fn end(&self) -> Option<usize> {
        u32_at(self.page, self.value_ends() + 4 * (self.count - 1))
    }

    /// Key and value of a row, if they lie in the page.
    pub(super) fn row(&self, n: usize) -> Option<(&'p [u8], &'p [u8])> {
        let last = self.count.checked_sub(1)?;
        let (keys, values) = (self.value_ends() + 4 * self.count, self.key_end(last)?);
        let key_from = if n == 0 { keys } else { self.key_end(n - 1)? };
        let ends = |n: usize| u32_at(self.page, self.value_ends() + 4 * n);
        let value_from = if n == 0 { values } else { ends(n - 1)? };
        let key = self.page.get(key_from..self.key_end(n)?)?;
        Some((key, self.page.get(value_from..ends(n)?)?))
    }
}

/// A page of pointers, and of keys between them.
///
/// ```text
/// 2 ‖ 0 ‖ count of keys (2) ‖ 0 (4) ‖ hash of each child (16) ‖ page of each child (8)
///   ‖ end of each key (4), where keys have no width ‖ keys
/// ```
#[derive(Clone, Copy)]
pub(super) struct Branch<'p> {
    page: &'p [u8],
    widths: Widths,
    keys: usize,
}

impl<'p> Branch<'p> {
    pub(super) fn of(page: &'p [u8], widths: Widths) -> Option<Self> {
        Some(Self { page, widths, keys: count_of(page)? })
    }

    pub(super) const fn children(&self) -> usize {
        self.keys + 1
    }

    fn ends(&self) -> usize {
        8 + Pointer::BYTES * self.children()
    }

    fn key_end(&self, n: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(self.ends() + width * (n + 1)),
            None => u32_at(self.page, self.ends() + 4 * n),
        }
    }

    fn end(&self) -> Option<usize> {
        self.key_end(self.keys - 1)
    }

    /// The greatest key that may stand beneath a child, but for the last one.
    pub(super) fn key(&self, n: usize) -> Option<&'p [u8]> {
        if n >= self.keys {
            return None;
        }
        let first = self.ends() + if self.widths.key.is_none() { 4 * self.keys } else { 0 };
        let from = if n == 0 { first } else { self.key_end(n - 1)? };
        self.page.get(from..self.key_end(n)?)
    }

    pub(super) fn child(&self, n: usize) -> Option<Pointer> {
        let checksum = self.page.get(8 + 16 * n..)?.first_chunk()?;
        let page = self.page.get(8 + 16 * self.children() + 8 * n..)?.first_chunk()?;
        let (page, checksum) = (u64::from_le_bytes(*page), u128::from_le_bytes(*checksum));
        Some(Pointer { page, checksum })
    }
}
