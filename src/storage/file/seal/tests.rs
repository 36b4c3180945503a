//! Sealed blocks over memory: against a plain map, damaged, moved, cut and torn.

use std::collections::BTreeMap;

use quickcheck::{Arbitrary, Gen, QuickCheck};
use redb::backends::InMemoryBackend;

use super::*;

const BLOCK: u64 = BLOCK_BYTES as u64;

type Memory = Arc<InMemoryBackend>;

fn sealed(memory: &Memory) -> Sealed {
    Sealed::open(memory.clone()).unwrap()
}

fn bytes(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; memory.len().unwrap() as usize];
    memory.read(0, &mut bytes).unwrap();
    bytes
}

fn memory(bytes: &[u8]) -> Memory {
    let memory = InMemoryBackend::new();
    memory.set_len(bytes.len() as u64).unwrap();
    memory.write(0, bytes).unwrap();
    Arc::new(memory)
}

/// A first block as the engine writes it: made in two phases, and which commit counts.
fn first(counts: u8, text: &[u8]) -> Vec<u8> {
    let mut first = vec![0; 320];
    first[9] = 4 | counts;
    first[64..64 + text.len()].copy_from_slice(text);
    first
}

fn block(n: u64) -> Vec<u8> {
    (0..BLOCK).map(|at| (at ^ (n * 31)) as u8).collect()
}

/// A synced file of so many blocks, all written.
fn written(blocks: u64) -> Memory {
    let memory = Memory::default();
    let file = sealed(&memory);
    file.set_len(blocks * BLOCK).unwrap();
    file.write(0, &first(0, b"one")).unwrap();
    for n in 1..blocks {
        file.write(n * BLOCK, &block(n)).unwrap();
    }
    file.sync_data().unwrap();
    memory
}

fn read(file: &Sealed, n: u64) -> io::Result<Vec<u8>> {
    let mut out = vec![0; BLOCK_BYTES];
    file.read(n * BLOCK, &mut out).map(|()| out)
}

/// The block that an error names.
fn damaged<T: core::fmt::Debug>(result: io::Result<T>) -> u64 {
    let error = result.unwrap_err();
    error.get_ref().and_then(|error| error.downcast_ref::<Damage>()).unwrap().block
}

#[derive(Clone, Debug)]
enum Op {
    Whole(u64, u64, u8),
    Part(u64, u16, Vec<u8>),
    First(u16, Vec<u8>),
    SetLen(u64),
    Reopen,
}

/// A block near the border of a group.
fn near(g: &mut Gen) -> u64 {
    *g.choose(&[0, 512, 1024]).unwrap() + 1 + u64::arbitrary(g) % 4
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0..=2 => Self::Whole(near(g), 1 + u64::arbitrary(g) % 3, u8::arbitrary(g)),
            3 | 4 => Self::Part(near(g), u16::arbitrary(g) % 4096, Arbitrary::arbitrary(g)),
            5 => Self::First(u16::arbitrary(g) % 300, Arbitrary::arbitrary(g)),
            6 => Self::SetLen(near(g)),
            _ => Self::Reopen,
        }
    }
}

/// Any calls, against a map of the blocks that were written.
fn holds(ops: Vec<Op>) {
    let memory = Memory::default();
    let mut file = sealed(&memory);
    let (mut len, mut blocks) = (0, BTreeMap::<u64, Vec<u8>>::new());
    let mut start = vec![0; BLOCK_BYTES];
    file.set_len(BLOCK).unwrap();
    for op in ops {
        match op {
            Op::Whole(at, count, byte) if at + count <= len => {
                file.write(at * BLOCK, &vec![byte; (count * BLOCK) as usize]).unwrap();
                blocks.extend((at..at + count).map(|n| (n, vec![byte; BLOCK_BYTES])));
            }
            Op::Part(at, from, data) if at + 2 <= len => {
                file.write(at * BLOCK + u64::from(from), &data).unwrap();
                for (n, byte) in (usize::from(from)..).zip(data) {
                    let (block, n) = (at + (n / BLOCK_BYTES) as u64, n % BLOCK_BYTES);
                    blocks.entry(block).or_insert_with(|| vec![0; BLOCK_BYTES])[n] = byte;
                }
            }
            Op::First(from, data) => {
                let (from, data) = (usize::from(from), &data[..data.len().min(180)]);
                file.write(from as u64, data).unwrap();
                start[from..from + data.len()].copy_from_slice(data);
            }
            Op::SetLen(to) => {
                file.set_len(to * BLOCK).unwrap();
                len = to;
                blocks.retain(|&n, _| n < to);
            }
            Op::Reopen => {
                // Something must be written there, or the file is none.
                start[0] = start[0].wrapping_add(1);
                file.write(0, &start[..1]).unwrap();
                file.sync_data().unwrap();
                file = sealed(&memory);
            }
            Op::Whole(..) | Op::Part(..) => {}
        }
        assert_eq!(file.len().unwrap(), len.max(1) * BLOCK);
        assert_eq!(read(&file, 0).unwrap(), start);
        for n in [0, 512, 1024].into_iter().flat_map(|group| group + 1..group + 8) {
            match blocks.get(&n) {
                Some(block) => assert_eq!(&read(&file, n).unwrap(), block),
                None if n < len => assert_eq!(damaged(read(&file, n)), n),
                None => assert!(read(&file, n).is_err()),
            }
        }
    }
    // Reads of any size and place are one.
    for (&n, block) in &blocks {
        let mut part = vec![0; 100];
        file.read(n * BLOCK + 1000, &mut part).unwrap();
        assert_eq!(part, block[1000..1100]);
        if let Some(next) = blocks.get(&(n + 1)) {
            let mut across = vec![0; 3 * BLOCK_BYTES / 2];
            file.read(n * BLOCK + BLOCK / 2, &mut across).unwrap();
            assert_eq!(across, [&block[BLOCK_BYTES / 2..], next].concat());
        }
    }
}

#[test]
fn sealed_blocks_hold_what_was_written_and_nothing_else() {
    QuickCheck::new().tests(60).quickcheck(holds as fn(Vec<Op>));
}

#[test]
fn the_length_survives_the_way_to_the_file_and_back() {
    let mut before = 0;
    for blocks in (1..2000).chain([1 << 20, (1 << 20) + 1, 1 << 40]) {
        let file = groups::file_blocks(blocks);
        assert_eq!(groups::engine_blocks(file), blocks);
        assert!(file > before);
        before = file;
    }
    assert_eq!((groups::engine_blocks(0), groups::engine_blocks(3)), (0, 0));
}

/// As the page on the format tells it, without a word from the code.
#[test]
fn the_file_is_laid_out_as_the_guide_says() {
    let file = bytes(&written(515));
    assert_eq!(file.len(), (4 + 1 + 512 + 1 + 2) * 4096);
    let number = |at: usize| u64::from_be_bytes(file[at..at + 8].try_into().unwrap());
    // Synced once: the pair of odd seqs.
    assert!(file[..2 * 4096].iter().all(|&byte| byte == 0));
    for copy in [2 * 4096, 3 * 4096] {
        assert_eq!(file[copy..copy + 8], *b"rejoin\x1a\n");
        assert_eq!((number(copy + 8), number(copy + 16)), (1, 1));
        assert_eq!(file[copy + 24..copy + 24 + 320], first(0, b"one"));
        let checksum = twox_hash::XxHash3_64::oneshot(&file[copy..copy + 504]);
        assert_eq!(number(copy + 504), checksum);
        assert!(file[copy + 512..copy + 4096].iter().all(|&byte| byte == 0));
    }
    for n in 1..515_usize {
        let (group, index) = ((n - 1) / 512, (n - 1) % 512);
        let group_at = 4096 * (4 + group * 513);
        let at = 4096 * (4 + group * 513 + 1 + index);
        assert_eq!(file[at..at + 4096], block(n as u64));
        let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seal = twox_hash::XxHash3_64::oneshot(&file[at..at + 4096]) ^ mixed;
        assert_eq!(number(group_at + 8 * index), seal);
    }
    let (group_at, index) = (4096 * (4 + 513), 2);
    assert_eq!(number(group_at + 8 * index), 0, "never written");
    // The hash itself, so that it is the same everywhere and for ever.
    assert_eq!(twox_hash::XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
}

#[test]
fn one_flipped_bit_is_no_other_block() {
    let sound = bytes(&written(6));
    // Every byte of the copies that counts, of the seals, and some of the blocks.
    let copies = (0..4).flat_map(|copy| (0..520).map(move |at| copy * BLOCK_BYTES + at));
    let seals = HEAD_BYTES as usize..HEAD_BYTES as usize + 64;
    let rest = (HEAD_BYTES as usize + BLOCK_BYTES..sound.len()).step_by(97);
    let mut noticed = 0;
    for (n, at) in copies.chain(seals).chain(rest).enumerate() {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (n % 8);
        let file = sealed(&memory(&flipped));
        let mut start = vec![0; 320];
        file.read(0, &mut start).unwrap();
        assert_eq!(start, first(0, b"one"), "byte {at}");
        for n in 1..6 {
            match read(&file, n) {
                Ok(there) => assert_eq!(there, block(n), "byte {at}"),
                Err(error) => {
                    assert_eq!(damaged(Err::<(), _>(error)), n);
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 200, "{noticed}");
}

#[test]
fn blocks_at_the_place_of_others_are_noticed_though_their_seals_came_along() {
    let memory = written(1030);
    let mut moved = bytes(&memory);
    let group = 513 * BLOCK_BYTES;
    let (first_group, second) = (HEAD_BYTES as usize, HEAD_BYTES as usize + group);
    moved.copy_within(first_group..first_group + group, second);
    let file = sealed(&self::memory(&moved));
    assert_eq!(read(&file, 512).unwrap(), block(512));
    for n in 513..1025 {
        assert_eq!(damaged(read(&file, n)), n);
    }
    // And without.
    let mut swapped = bytes(&memory);
    let at = first_group + BLOCK_BYTES;
    swapped.copy_within(at..at + BLOCK_BYTES, at + 3 * BLOCK_BYTES);
    assert_eq!(damaged(read(&sealed(&self::memory(&swapped)), 4)), 4);
}

#[test]
fn a_stretch_that_came_back_as_zeros_is_noticed() {
    let mut zeros = bytes(&written(600));
    zeros[HEAD_BYTES as usize..].fill(0);
    let file = sealed(&memory(&zeros));
    for n in [1, 2, 512, 513, 599] {
        assert_eq!(damaged(read(&file, n)), n);
    }
}

#[test]
fn a_cut_while_the_first_block_is_written_leaves_the_one_before_or_the_new_one() {
    let memory = written(3);
    let before = bytes(&memory);
    let file = sealed(&memory);
    file.write(0, &first(0, b"two")).unwrap();
    file.sync_data().unwrap();
    let after = bytes(&memory);
    let changed: Vec<usize> = (0..after.len() / 512)
        .filter(|n| before[n * 512..][..512] != after[n * 512..][..512])
        .collect();
    assert_eq!(changed.len(), 2, "one sector in each copy of a pair");
    for arrived in 0..4 {
        for torn in [false, true] {
            let mut cut = before.clone();
            for (n, sector) in changed.iter().enumerate() {
                if arrived & (1 << n) != 0 {
                    let count = if torn { 300 } else { 512 };
                    cut[sector * 512..][..count].copy_from_slice(&after[sector * 512..][..count]);
                }
            }
            let wanted = if arrived == 0 || torn { &b"one"[..] } else { b"two" };
            let there = read(&sealed(&self::memory(&cut)), 0).unwrap();
            assert_eq!(there[64..67], *wanted, "{arrived} {torn}");
        }
    }
}

#[test]
fn what_is_no_sealed_file_is_told_from_a_damaged_and_a_newer_one() {
    let memory = written(3);
    let file = sealed(&memory);
    file.write(0, b"two").unwrap();
    file.sync_data().unwrap();
    let sound = bytes(&memory);
    let open = |bytes: &[u8]| Sealed::open(self::memory(bytes));
    assert!(matches!(open(&[7; 30_000]), Err(Unreadable::Foreign)));
    assert!(matches!(open(&sound[..8192]), Err(Unreadable::Damaged)));
    let mut damaged = sound.clone();
    for copy in 0..4 {
        damaged[copy * BLOCK_BYTES + 100] ^= 1;
    }
    assert!(matches!(open(&damaged), Err(Unreadable::Damaged)));
    let mut newer = sound;
    for copy in newer[..HEAD_BYTES as usize].chunks_mut(BLOCK_BYTES) {
        copy[15] = 2;
        let seal = twox_hash::XxHash3_64::oneshot(&copy[..504]).to_be_bytes();
        copy[504..512].copy_from_slice(&seal);
    }
    assert!(matches!(open(&newer), Err(Unreadable::Newer { known: 1, found: 2 })));
}

#[test]
fn the_engine_may_not_hide_more_in_its_first_block_than_is_kept() {
    let file = sealed(&written(2));
    let refused = file.write(479, &[1, 1]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    file.write(479, &[1, 0]).unwrap();
}

/// What reaches a file, in order.
#[derive(Debug, Default)]
struct Noted {
    memory: InMemoryBackend,
    calls: Mutex<Vec<&'static str>>,
}

impl StorageBackend for Noted {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.calls.lock().unwrap().push("sync");
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let seals = offset.saturating_sub(HEAD_BYTES).is_multiple_of(513 * BLOCK);
        self.calls.lock().unwrap().push(match offset {
            0..HEAD_BYTES => "first",
            _ if seals => "seals",
            _ => "block",
        });
        self.memory.write(offset, data)
    }
}

#[test]
fn another_commit_counts_only_after_all_it_names_is_synced() {
    let noted = Arc::new(Noted::default());
    let file = Sealed::open(noted.clone()).unwrap();
    let calls = || std::mem::take(&mut *noted.calls.lock().unwrap());
    file.set_len(3 * BLOCK).unwrap();
    let commit = |state: u8| {
        let mut first = first(0, &[calls().len() as u8, state]);
        first[9] = state;
        file.write(0, &first).unwrap();
        file.write(BLOCK, &block(1)).unwrap();
        file.sync_data().unwrap();
        calls()
    };
    let one_sync = ["block", "seals", "first", "sync"];
    let two_syncs = ["block", "seals", "sync", "first", "sync"];
    assert_eq!(commit(4), two_syncs, "nothing was there to count");
    assert_eq!(commit(6), one_sync, "the same one counts, made in two phases");
    assert_eq!(commit(1), two_syncs, "another one counts, in one phase");
    assert_eq!(commit(3), two_syncs, "what counts was made in one phase");
    assert_eq!(commit(5), two_syncs);
    assert_eq!(commit(7), one_sync);
    file.write(0, &[1]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(calls(), ["first", "sync"]);
    file.sync_data().unwrap();
    assert_eq!(calls(), ["sync"]);
}
