use std::collections::{BTreeMap, BTreeSet};

use quickcheck::TestResult;

use super::testing::{Rows, SPACE, Step, World, check, dot, dot_key, item, origin};
use super::*;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::Cursor;
use crate::storage::{Read, StorageError, Table, Write};

/// A cut: per origin which live dot it stops at, and by how much beside it.
type CutChoice = Vec<(u16, u8)>;

fn cut_of(world: &World, choice: &CutChoice) -> VersionVector {
    let seqs = (0..5).zip(choice.iter().chain(std::iter::repeat(&(0, 7))));
    seqs.map(|(n, (nth, beside))| {
        let whole = world.vector.get(origin(n));
        let own: Vec<u64> =
            world.live.keys().filter(|d| d.replica == origin(n)).map(|d| d.seq.get()).collect();
        let at = own.get(usize::from(*nth) % own.len().max(1)).copied().unwrap_or(300);
        let seq = match beside % 8 {
            0 => 0,
            1 => at - 1,
            2 => at,
            3 => at.saturating_add(1),
            4 => at | 255,
            5 => at & !255,
            6 => whole.get().saturating_add(1000),
            _ => whole.get(),
        };
        (origin(n), Seq::new(seq))
    })
    .collect()
}

fn equal<T: PartialEq + core::fmt::Debug>(found: T, wanted: T, what: &str) -> TestResult {
    if found == wanted {
        TestResult::passed()
    } else {
        TestResult::error(format!("{what}: {found:?} instead of {wanted:?}"))
    }
}

#[test]
fn whatever_happened_the_root_is_that_of_the_definition() {
    fn property(steps: Vec<Step>) -> TestResult {
        let mut world = World::default();
        for step in &steps {
            world.step(*step);
            if let Step::Refresh = step {
                let kept = root(&world.rows, SPACE).unwrap();
                assert_eq!(kept, Some(world.reference()));
            }
        }
        let found = world.refresh();
        assert!(is_clean(&world.rows, SPACE).unwrap());
        assert_eq!(recompute(&world.rows, SPACE, &world.vector).unwrap(), found);
        equal(found, world.reference(), "root")
    }
    check(property as fn(_) -> _);
}

#[test]
fn the_root_knows_no_order_of_arrival() {
    fn property(steps: Vec<Step>) -> TestResult {
        let mut world = World::after(&steps);
        let mut forwards = World::of(&world.vector, &world.live);
        let mut backwards = World::default();
        for (dot, item) in world.live.iter().rev() {
            backwards.vector.advance(*dot);
            backwards.put(*dot, *item);
            backwards.refresh();
        }
        assert_eq!(forwards.refresh(), backwards.refresh());
        equal(world.refresh(), forwards.refresh(), "root")
    }
    check(property as fn(_) -> _);
}

#[test]
fn at_a_cut_only_what_it_covers_counts() {
    fn property(steps: Vec<Step>, choice: CutChoice) {
        let mut world = World::after(&steps);
        world.refresh();
        let cut = cut_of(&world, &choice);
        let covered = world.covered(&cut);
        let found = root_at(&world.rows, SPACE, &world.vector, &cut).unwrap();
        let mut other = World::of(&cut, &covered);
        assert_eq!(found, reference::root(&covered), "reference");
        assert_eq!(found, other.refresh(), "root of a space of what is covered");
        let mut open = vec![Node::Root];
        while let Some(node) = open.pop() {
            let list = |of: &World| children(&of.rows, SPACE, &of.vector, &cut, &node).unwrap();
            let wanted = list(&other);
            assert_eq!(list(&world), wanted, "children of {node:?}");
            open.extend(wanted.into_iter().map(|(node, _)| node));
        }
    }
    check(property as fn(_, _) -> _);
}

/// What a walk took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cost {
    rounds: usize,
    opened: usize,
    /// Children on both sides.
    children: usize,
}

/// Walks two stores down to the blocks that differ.
fn walk(a: &World, b: &World, cut: &VersionVector) -> (BTreeSet<(ReplicaId, u64)>, Cost) {
    let list = |world: &World, node: &Node| -> Vec<(Node, [u8; 8])> {
        let found = children(&world.rows, SPACE, &world.vector, cut, node).unwrap();
        assert!(found.is_sorted_by(|a, b| a.0 < b.0));
        found.into_iter().map(|(node, hash)| (node, short(&hash, &[3; 32]))).collect()
    };
    let (mut found, mut cost) = (BTreeSet::new(), Cost::default());
    let root = |world: &World| root_at(&world.rows, SPACE, &world.vector, cut).unwrap();
    let mut open = if root(a) == root(b) { vec![] } else { vec![Node::Root] };
    while !open.is_empty() {
        cost.rounds += 1;
        let mut next = Vec::new();
        for node in open {
            if let Node::Inner { origin, level: 0, index } = node {
                found.insert((origin, index));
                continue;
            }
            let (mine, theirs) = (list(a, &node), list(b, &node));
            cost.opened += 1;
            cost.children += mine.len() + theirs.len();
            next.extend(differing(&mine, &theirs));
        }
        open = next;
    }
    (found, cost)
}

fn differing_blocks(a: &World, b: &World, cut: &VersionVector) -> BTreeSet<(ReplicaId, u64)> {
    let pairs = |world: &World| world.covered(cut).into_iter().collect::<BTreeSet<_>>();
    let (a, b) = (pairs(a), pairs(b));
    a.symmetric_difference(&b).map(|(dot, _)| (dot.replica, dot.seq.get() / 256)).collect()
}

#[test]
fn a_walk_finds_the_blocks_that_differ_and_no_other() {
    fn property(
        common: Vec<Step>,
        left: Vec<Step>,
        right: Vec<Step>,
        choice: CutChoice,
    ) -> TestResult {
        let mut a = World::after(&common);
        let mut b = a.clone();
        left.iter().for_each(|step| a.step(*step));
        right.iter().for_each(|step| b.step(*step));
        a.refresh();
        b.refresh();
        for cut in [cut_of(&a, &choice), a.vector.meet(&b.vector)] {
            let wanted = differing_blocks(&a, &b, &cut);
            let (found, cost) = walk(&a, &b, &cut);
            assert!(cost.rounds <= 13, "{cost:?}");
            assert!(cost.opened <= 13 * wanted.len(), "{cost:?}");
            if found != wanted {
                return equal(found, wanted, "blocks");
            }
        }
        TestResult::passed()
    }
    check(property as fn(_, _, _, _) -> _);
}

#[test]
fn the_bits_of_a_block_are_its_live_dots() {
    fn property(steps: Vec<Step>, choice: CutChoice) {
        let world = World::after(&steps);
        let cut = cut_of(&world, &choice);
        let covered = world.covered(&cut);
        for dot in world.live.keys() {
            let block = dot.seq.get() / 256;
            let at = (&world.rows, SPACE, &world.vector, &cut);
            let bits = live_bits(at.0, at.1, at.2, at.3, dot.replica, block).unwrap();
            let found: Vec<Dot> =
                seqs_of(block, &bits).map(|seq| Dot::new(dot.replica, seq)).collect();
            let hashes = live_hashes(at.0, at.1, at.2, at.3, dot.replica, block).unwrap();
            let here = |d: &Dot| d.replica == dot.replica && d.seq.get() / 256 == block;
            let wanted: Vec<_> =
                covered.iter().filter(|(d, _)| here(d)).map(|(d, i)| (*d, *i)).collect();
            assert_eq!(found, wanted.iter().map(|(d, _)| *d).collect::<Vec<_>>());
            let hashes = hashes.into_iter().map(|(seq, i)| (Dot::new(dot.replica, seq), i));
            assert_eq!(hashes.collect::<Vec<_>>(), wanted);
        }
    }
    check(property as fn(_, _));
}

#[test]
fn dead_is_what_one_holds_and_the_other_does_not() {
    let (mut mine, mut theirs) = ([0; 32], [0; 32]);
    mine[1] = 0b0110;
    theirs[1] = 0b1100;
    let dead = dead_of(&mine, &theirs);
    assert_eq!(seqs_of(2, &dead).collect::<Vec<_>>(), [Seq::new(512 + 9)]);
    assert_eq!(seqs_of(u64::MAX, &[255; 32]).count(), 0);
}

#[test]
fn an_emptied_space_keeps_no_row() {
    fn property(steps: Vec<Step>) -> bool {
        let mut world = World::after(&steps);
        world.refresh();
        let live: Vec<Dot> = world.live.keys().copied().collect();
        live.into_iter().for_each(|dot| world.remove(dot));
        world.refresh() == RootHash::empty() && world.rows.count(Table::Digest) == 0
    }
    check(property as fn(_) -> _);
}

#[test]
fn ten_thousand_events_make_forty_marks_and_as_few_rows_as_the_docs_say() {
    let mut world = World::default();
    (1..=10_000).for_each(|seq| world.add(dot(1, seq)));
    assert_eq!(world.marks.len(), 40);
    world.marks.save(&mut world.rows, SPACE).unwrap();
    assert_eq!(world.rows.count(Table::Digest), 40);
    (10_001..=100_000).for_each(|seq| world.add(dot(1, seq)));
    world.refresh();
    assert_eq!(world.rows.count(Table::Digest), 391 + 7 + 1 + 3);

    let mut lone = World::default();
    lone.add(dot(1, 10_000_000));
    lone.refresh();
    assert_eq!(lone.rows.count(Table::Digest), 4 + 3);
}

#[test]
fn more_marks_than_one_batch_are_all_worked_off() {
    let mut world = World::default();
    for n in 1..=2_500 {
        world.add(dot((n % 3) as u8, n * 256));
    }
    assert_eq!(world.refresh(), world.reference());
    assert!(is_clean(&world.rows, SPACE).unwrap());
}

#[test]
fn while_marks_wait_there_is_no_root() {
    let mut world = World::default();
    assert_eq!(root(&world.rows, SPACE).unwrap(), Some(RootHash::empty()));
    world.add(dot(0, 1));
    let before = world.refresh();
    world.marks.changed(dot(0, 1));
    world.marks.save(&mut world.rows, SPACE).unwrap();
    assert_eq!(root(&world.rows, SPACE).unwrap(), None);
    assert_eq!(root(&world.rows, SPACE + 1).unwrap(), Some(RootHash::empty()));
    assert_eq!(world.refresh(), before);
}

#[test]
fn a_tree_that_grows_by_two_levels_keeps_what_stood_there() {
    let mut world = World::default();
    world.add(dot(1, 1));
    world.refresh();
    world.add(dot(1, 256 * 64 * 5));
    assert_eq!(world.refresh(), world.reference());
    world.remove(dot(1, 1));
    assert_eq!(world.refresh(), world.reference());
}

#[test]
fn an_origin_that_went_on_without_items_is_still_found_at_a_cut() {
    // Its tree has rows for level 0 only, while the cuts ask for levels 1 and 2.
    let mut world = World::default();
    world.add(dot(1, 1));
    world.refresh();
    world.vector.advance(dot(1, 10_000_000));
    let other = World::of(&world.vector, &BTreeMap::new());
    for seq in [255, 256, 20_000, 5_000_000, 10_000_000, u64::MAX] {
        let cut = [dot(1, seq)].into_iter().collect();
        assert_eq!(
            root_at(&world.rows, SPACE, &world.vector, &cut).unwrap(),
            world.reference(),
            "{seq}"
        );
        assert_eq!(walk(&world, &other, &cut).0, [(origin(1), 0)].into());
    }
}

#[test]
fn a_vector_that_went_back_is_noticed() {
    let mut world = World::default();
    world.add(dot(1, 1));
    world.add(dot(1, 80_000));
    world.refresh();
    world.marks.changed(dot(1, 80_000));
    world.marks.save(&mut world.rows, SPACE).unwrap();
    let earlier = [dot(1, 5)].into_iter().collect();
    assert!(is_corrupt(refresh(&mut world.rows, SPACE, &earlier)));
    assert_eq!(world.refresh(), world.reference());
}

fn is_corrupt<T>(result: Result<T, StorageError>) -> bool {
    matches!(result, Err(StorageError::Corrupt { .. }))
}

#[test]
fn spaces_do_not_touch_each_other() {
    let mut world = World::default();
    for space in [SPACE - 1, SPACE + 1, u32::MAX] {
        let key = dot_key(space, dot(1, 2));
        world.rows.put(Table::Dots, &key, item(dot(1, 2), 0).as_bytes()).unwrap();
        let mut marks = Marks::new();
        marks.came(dot(1, 2));
        marks.save(&mut world.rows, space).unwrap();
        refresh(&mut world.rows, space, &[dot(1, 9)].into_iter().collect()).unwrap();
    }
    let before = world.rows.count(Table::Digest);
    world.add(dot(1, 1));
    assert_eq!(world.refresh(), world.reference());
    assert_eq!(recompute(&world.rows, SPACE, &world.vector).unwrap(), world.reference());
    world.remove(dot(1, 1));
    world.refresh();
    assert_eq!(world.rows.count(Table::Digest), before);
}

#[test]
fn rows_that_cannot_be_right_are_errors() {
    let mut world = World::default();
    world.add(dot(1, 1));
    let corrupt = |result: Result<RootHash, StorageError>| {
        assert!(matches!(result, Err(StorageError::Corrupt { .. })), "{result:?}");
    };
    let mut short_row = world.clone();
    short_row.rows.put(Table::Dots, &dot_key(SPACE, dot(1, 1)), &[1; 15]).unwrap();
    short_row.marks.save(&mut short_row.rows, SPACE).unwrap();
    corrupt(refresh(&mut short_row.rows, SPACE, &short_row.vector));
    corrupt(recompute(&short_row.rows, SPACE, &short_row.vector));
    world.refresh();
    let root_key = [&SPACE.to_be_bytes()[..], &[0]].concat();
    assert!(world.rows.get(Table::Digest, &root_key).unwrap().is_some());
    world.rows.put(Table::Digest, &root_key, &[1; 31]).unwrap();
    corrupt(root(&world.rows, SPACE).map(Option::unwrap));
    let origin_key = [&SPACE.to_be_bytes()[..], &[3], origin(1).as_bytes()].concat();
    let mut row = world.rows.get(Table::Digest, &origin_key).unwrap().unwrap();
    let bucket = |of: &World| children(&of.rows, SPACE, &of.vector, &of.vector, &Node::Bucket(5));
    for (height, wrong) in [(MAX_LEVEL, false), (MAX_LEVEL + 1, true)] {
        *row.last_mut().unwrap() = height;
        world.rows.put(Table::Digest, &origin_key, &row).unwrap();
        assert_eq!(is_corrupt(bucket(&world)), wrong);
    }
}

#[test]
fn what_a_walk_costs() {
    // Items of three origins, of which the other side lacks some.
    let mut a = World::default();
    (1..=20_000).for_each(|seq| a.add(dot(0, seq)));
    (1..=17_000).for_each(|seq| a.add(dot(1, seq)));
    (1..=300).for_each(|seq| a.add(dot(3, seq)));
    a.refresh();
    let cost = |removed: &[Dot]| {
        let mut b = a.clone();
        removed.iter().for_each(|dot| b.remove(*dot));
        b.refresh();
        let (found, cost) = walk(&a, &b, &a.vector);
        assert_eq!(found, differing_blocks(&a, &b, &a.vector));
        (found.len(), cost.rounds, cost.opened, cost.children)
    };
    // Blocks that differ, rounds, nodes opened, children named by both sides.
    assert_eq!(cost(&[]), (0, 0, 0, 0));
    assert_eq!(cost(&[dot(0, 7)]), (1, 5, 4, 140));
    assert_eq!(cost(&[dot(0, 7), dot(0, 8), dot(0, 19_999)]), (2, 5, 5, 170));
    let strewn: Vec<Dot> = (1..=17_000).step_by(400).map(|seq| dot(1, seq)).collect();
    assert_eq!(cost(&strewn), (43, 5, 5, 146));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Test vectors for other implementations: never change them.
#[test]
fn roots_are_what_they_were() {
    let root_of = |dots: &[Dot]| {
        let live: BTreeMap<Dot, ItemHash> = dots.iter().map(|d| (*d, item(*d, 0))).collect();
        let mut world = World::of(&dots.iter().copied().collect(), &live);
        assert_eq!(world.refresh(), reference::root(&live));
        world.refresh().to_string()
    };
    let found = [
        hex(item(dot(1, 1), 0).as_bytes()),
        root_of(&[]),
        root_of(&[dot(1, 1)]),
        root_of(&[dot(1, 1), dot(1, 2), dot(1, 300)]),
        root_of(&[dot(0, 1), dot(1, 255), dot(2, 256), dot(3, 70_000), dot(4, 9)]),
        root_of(&[dot(4, 1), dot(4, u64::MAX)]),
        hex(&short(&NodeHash::from_bytes([1; 32]), &[2; 32])),
    ];
    let wanted = [
        "871346a2d63f33d11c78a63f58e19d3f",
        "b6998088c5cd005be77a622d71edc440ea770bd514f67a7f5fea48f7926736e8",
        "a5b00b115bffa1658d7854033427f8b58c5a8bc4540f8899668d96cb5a7ddffe",
        "5b2d398f88fe5259f6c43790f27d69abf28645efc4a52c65d4adfe5b35e78e3b",
        "558de56b676dd74e00d6f27814333a5f6df9a30205687259f83c3da8dc55dc1d",
        "2cd997e7afe8ad44f78f8068b6109a13b953971c4901aa8305734c4d22ba44c1",
        "40369416a25cf5f2",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn names_of_nodes_are_what_they_were() {
    let names = [
        (Node::Root, "00"),
        (Node::Bucket(0xab), "01ab"),
        (
            Node::Inner { origin: origin(1), level: 0, index: 300 },
            "020501010101010101010101010101010100ac02",
        ),
        (
            Node::Inner { origin: origin(4), level: 10, index: 0 },
            "02ff0404040404040404040404040404040a00",
        ),
        (
            Node::Inner { origin: origin(4), level: 9, index: 3 },
            "02ff0404040404040404040404040404040903",
        ),
    ];
    for (node, bytes) in names {
        let mut buf = Vec::new();
        put_node(&mut buf, &node);
        assert_eq!(hex(&buf), bytes);
        let mut cursor = Cursor::new("node", &buf);
        assert_eq!(read_node(&mut cursor), Ok(node));
        cursor.finish().unwrap();
        for len in 0..buf.len() {
            assert!(read_node(&mut Cursor::new("node", &buf[..len])).is_err());
        }
    }
}

#[test]
fn names_of_nodes_that_no_tree_has_are_refused() {
    let name = |level: u8, index: u64| {
        let mut buf = Vec::new();
        put_node(&mut buf, &Node::Inner { origin: origin(1), level, index });
        read_node(&mut Cursor::new("node", &buf))
    };
    for level in 0..10 {
        let last = (u64::MAX >> 8) >> (6 * u32::from(level));
        assert!(name(level, last).is_ok());
        assert!(name(level, last + 1).is_err());
    }
    assert!(name(10, 0).is_ok());
    assert!(name(10, 1).is_err());
    assert!(name(11, 0).is_err());
    assert!(read_node(&mut Cursor::new("node", &[3])).is_err());
}

#[test]
fn a_made_up_node_has_no_children() {
    let mut world = World::default();
    [1, 300, 600].into_iter().for_each(|seq| world.add(dot(1, seq)));
    world.refresh();
    let ask = |cut: &VersionVector, level, index| {
        let node = Node::Inner { origin: origin(1), level, index };
        children(&world.rows, SPACE, &world.vector, cut, &node).unwrap().len()
    };
    let early: VersionVector = [dot(1, 300)].into_iter().collect();
    for cut in [&world.vector, &early] {
        assert_eq!(ask(cut, 1, 0), if cut == &early { 2 } else { 3 });
        for (level, index) in [(0, 0), (0, u64::MAX), (1, 1), (1, u64::MAX), (2, 0), (255, 0)] {
            assert_eq!(ask(cut, level, index), 0, "{level} {index}");
        }
    }
    assert_eq!(ask(&VersionVector::new(), 1, 0), 0);
    let rows = Rows::default();
    let none = children(&rows, SPACE, &early, &early, &Node::Root).unwrap();
    assert!(none.is_empty());
}
