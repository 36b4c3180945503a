//! What the engine's first block says: which commits there are, and where their lists of tables
//! begin.

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use super::seal::BLOCK_BYTES;

/// Where a page stands, and what it must hash to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) page: u64,
    pub(super) checksum: u128,
}

impl Pointer {
    pub(super) const BYTES: usize = 24;

    /// The engine's spelling of a root: page, then hash.
    pub(super) fn of_root(bytes: &[u8]) -> Option<Self> {
        let (page, rest) = bytes.split_first_chunk()?;
        let checksum = rest.first_chunk()?;
        Some(Self { page: u64::from_le_bytes(*page), checksum: u128::from_le_bytes(*checksum) })
    }
}

/// How the engine divides its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    header_pages: u64,
    data_pages: u64,
}

impl Geometry {
    /// The engine's offset of a page, and its length.
    pub(super) fn place(self, page: u64) -> Option<(u64, u64)> {
        const TWENTY_BITS: u64 = (1 << 20) - 1;
        let order = page >> 59;
        if order > 20 {
            return None;
        }
        let (index, region) = (page & (TWENTY_BITS >> order), (page >> 20) & TWENTY_BITS);
        let (block, len) = (BLOCK_BYTES as u64, (BLOCK_BYTES as u64) << order);
        let region_bytes = self.header_pages.checked_add(self.data_pages)?.checked_mul(block)?;
        let base = region.checked_mul(region_bytes)?.checked_add(block)?;
        let within = self.header_pages.checked_mul(block)?.checked_add(index.checked_mul(len)?)?;
        Some((base.checked_add(within)?, len))
    }
}

/// What the first block says of one commit.
pub(super) struct Commit {
    pub(super) geometry: Geometry,
    /// The list of tables, and how many they are.
    pub(super) root: Pointer,
    pub(super) length: u64,
}

impl Commit {
    /// The two commits that the first block names, the one that counts first.
    pub(super) fn all(first: &[u8]) -> Vec<Self> {
        const SLOTS_AT: usize = 64;
        const SLOT_BYTES: usize = 128;
        const CHECKED_BYTES: usize = 112;
        let number = |at: usize| {
            let bytes = first.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
        };
        let geometry = Geometry { header_pages: number(16), data_pages: number(20) };
        let second = first.get(9).is_some_and(|state| state & 1 != 0);
        let slots = if second { [1, 0] } else { [0, 1] };
        let slot = |n: usize| {
            let slot = first.get(SLOTS_AT + n * SLOT_BYTES..)?.get(..SLOT_BYTES)?;
            let (checked, checksum) = slot.split_at_checked(CHECKED_BYTES)?;
            let sound =
                u128::from_le_bytes(*checksum.first_chunk()?) == XxHash3_128::oneshot(checked);
            let has_root = *checked.get(1)? != 0;
            let root = Pointer::of_root(checked.get(8..)?)?;
            let length = u64::from_le_bytes(*checked.get(8 + Pointer::BYTES..)?.first_chunk()?);
            (sound && has_root).then_some(Self { geometry, root, length })
        };
        slots.into_iter().filter_map(slot).collect()
    }

    /// The page in which the list of tables begins, as it stands in the engine's file.
    pub(super) fn list(&self, file: &dyn StorageBackend) -> Option<Vec<u8>> {
        let (at, len) = self.geometry.place(self.root.page)?;
        let mut page = vec![0; BLOCK_BYTES];
        (len == BLOCK_BYTES as u64 && file.read(at, &mut page).is_ok()).then_some(page)
    }
}
