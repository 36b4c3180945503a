//! How the contents of blocks are spelled in a frame.

use crate::codec::{Cursor, DecodeError, Problem, Put};
use crate::digest::ItemHash;
use crate::space::BlockContents;

/// Blocks whose contents are shown at a time, at most.
pub(super) const CONTENT_BLOCKS: usize = 64;

pub(super) fn put_contents(out: &mut Vec<u8>, blocks: &[BlockContents]) {
    out.put_varint(blocks.len() as u64);
    for BlockContents { origin, block, hashes } in blocks {
        out.extend_from_slice(origin.as_bytes());
        out.put_varint(*block);
        out.put_varint(hashes.len() as u64);
        for (low, hash) in hashes {
            out.push(*low);
            out.extend_from_slice(hash.as_bytes());
        }
    }
}

/// Blocks, ascending, each with its live dots, which ascend too.
pub(super) fn take_contents(cursor: &mut Cursor<'_>) -> Result<Vec<BlockContents>, DecodeError> {
    let count = cursor.count(18, CONTENT_BLOCKS)?;
    let mut blocks: Vec<BlockContents> = Vec::with_capacity(count);
    for _ in 0..count {
        let here = cursor.clone();
        let (origin, block) = (cursor.replica()?, cursor.varint()?);
        if blocks.last().is_some_and(|last| (last.origin, last.block) >= (origin, block)) {
            return Err(here.wrong(Problem::Unsorted));
        }
        let count = cursor.count(17, 256)?;
        let mut hashes: Vec<(u8, ItemHash)> = Vec::with_capacity(count);
        for _ in 0..count {
            let here = cursor.clone();
            let (low, hash) = (cursor.u8()?, ItemHash::from_bytes(cursor.array()?));
            if hashes.last().is_some_and(|last| last.0 >= low) {
                return Err(here.wrong(Problem::Unsorted));
            }
            hashes.push((low, hash));
        }
        blocks.push(BlockContents { origin, block, hashes });
    }
    Ok(blocks)
}
