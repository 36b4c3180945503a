//! Lies about the digests.

use super::{Goes, Liar, ROUNDS, numbered};
use crate::digest::Node;
use crate::session::forge::{Family, Heard, Say};

impl Liar {
    /// Equal vectors, and a root that is never the same.
    pub(super) fn never_equal(&mut self) -> Goes {
        self.begin(self.stands(self.seen.clone()))?;
        for round in 0..ROUNDS {
            let mut root = [0; 32];
            self.random.fill(&mut root);
            let heard = core::mem::take(&mut self.heard);
            let answers = heard.iter().filter_map(|heard| match heard {
                Heard::Proof(space) => Some(Say::Again(*space)),
                Heard::Nodes(space, _) => Some(Say::Nodes(*space, Vec::new(), Vec::new())),
                _ => None,
            });
            let mut says: Vec<Say> = answers.collect();
            if self.connects && says.is_empty() {
                says.push(Say::Proof(0, root));
            }
            if says.is_empty() || (self.session.is_over() && round > 0) {
                return Ok(());
            }
            self.say(&says)?;
        }
        Ok(())
    }

    /// All children of what the victim opens differ, and so on down: but no block.
    pub(super) fn endless_walk(&mut self) -> Goes {
        // A high tree, with many nodes that only the liar has.
        self.begin_beyond(&[(self.name, u64::MAX)])?;
        self.seen.advance(self.dot(u64::MAX));
        self.delta(Vec::new(), self.seen.clone())?;
        let mut next = vec![Node::Root];
        for round in 0..ROUNDS {
            let heard = core::mem::take(&mut self.heard);
            for heard in heard {
                if let Heard::Nodes(_, children) = heard {
                    next = children;
                }
            }
            next.sort_unstable();
            next.dedup();
            next.truncate(10_000);
            let families: Vec<Family> =
                next.drain(..).filter_map(|node| self.family(node)).collect();
            let walk = Say::Nodes(0, families, Vec::new());
            let says = match (self.connects, round) {
                (true, 0) => [Say::Proof(0, [1; 32])].to_vec(),
                (_, round) if round % 7 == 6 => [Say::Again(0)].to_vec(),
                _ => [walk].to_vec(),
            };
            self.say(&says)?;
        }
        Ok(())
    }

    /// All children that a node can have, each with a hash that no node has.
    fn family(&self, node: Node) -> Option<Family> {
        let children: Vec<Node> = match node {
            Node::Root => [self.name, self.victim]
                .iter()
                .filter_map(|id| id.as_bytes().first().copied().map(Node::Bucket))
                .collect(),
            Node::Bucket(bucket) => [self.name, self.victim]
                .into_iter()
                .filter(|id| id.as_bytes().first() == Some(&bucket))
                .map(|origin| Node::Inner { origin, level: 0, index: 0 })
                .collect(),
            Node::Inner { level: 0, .. } => return None,
            Node::Inner { origin, level, index } => (0..64)
                .filter_map(|n| Some(index.checked_mul(64)? | n))
                .map(|index| Node::Inner { origin, level: level - 1, index })
                .collect(),
        };
        let mut children: Vec<(Node, [u8; 8])> =
            children.into_iter().map(|child| (child, [0xab; 8])).collect();
        children.sort_unstable();
        children.dedup();
        Some((node, children))
    }

    pub(super) fn unlisted_nodes(&mut self) -> Goes {
        self.begin(self.stands(self.seen.clone()))?;
        if self.connects {
            self.say(&[Say::Proof(0, [1; 32])])?;
        }
        let node = |n| Node::Inner { origin: numbered(n), level: 1, index: 0 };
        let families = (0..1_000).map(|n| (node(n), Vec::new())).collect();
        self.say(&[Say::Nodes(0, families, Vec::new())])
    }
}
