//! Walks that lead to nothing.

use super::*;

/// What both open in a walk is bounded by what it finds: eight nodes for each difference, and
/// as many for sixteen more.
#[test]
fn a_walk_that_opens_nodes_and_finds_nothing_is_given_up() {
    let store = Store::in_memory();
    // Two trees of four levels in which nothing lives.
    let far = vector(&[(EVIL, (1 << 26) - 1), (THIRD, (1 << 26) - 1)]);
    let mut session = accepted(&store, &far);
    let last = Last { vector: far.clone(), ..Last::default() };
    send(&mut session, chunk(Vec::new(), Some(last))).unwrap();
    drop(session);

    let node = |origin, level, index| Node::Inner { origin, level, index };
    let differ = |nodes: &[Node]| nodes.iter().map(|node| (*node, [0xab; 8])).collect::<Vec<_>>();
    // The liar says that these differ, so the victim opens them; of the nodes beneath, the liar
    // opens some and lists what the victim has there: nothing.
    let given_up = |differing: u64, opened: u64, blocks: u64| {
        let mut session = connected(&store, &far);
        let tops = [node(THIRD, 3, 0), node(EVIL, 3, 0)];
        let buckets = [THIRD, EVIL].map(|origin| Node::Bucket(origin.as_bytes()[0]));
        let of_third: Vec<_> = (0..differing - 64).map(|n| node(THIRD, 2, n)).collect();
        let of_evil: Vec<_> = (0..64).map(|n| node(EVIL, 2, n)).collect();
        let mut walk = vec![
            Opened::new(Node::Root, &differ(&buckets)),
            Opened::new(buckets[0], &differ(&tops[..1])),
            Opened::new(buckets[1], &differ(&tops[1..])),
            Opened::new(tops[0], &differ(&of_third)),
            Opened::new(tops[1], &differ(&of_evil)),
        ];
        walk.sort_by_key(|opened| opened.node);
        hand(&mut session, &frame(&[Message::Nodes { space: 0, opened: walk, blocks: vec![] }]))
            .unwrap();
        drain(&mut session);
        let beneath = (0..opened).map(|n| Opened::new(node(EVIL, 1, n), &[])).collect();
        let blocks = (0..blocks).map(|block| (EVIL, block)).collect();
        hand(&mut session, &frame(&[Message::Nodes { space: 0, opened: beneath, blocks }]))
            .unwrap();
        drain(&mut session);
        session.close();
        session.report().spaces[0].why == Some(Why::Diverged)
    };
    assert_eq!([63, 64].map(|opened| given_up(65, opened, 0)), [false, true], "8 × 16");
    assert_eq!([71, 72].map(|opened| given_up(65, opened, 1)), [false, true], "8 × 17");
}
