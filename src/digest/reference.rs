//! The digest by its definition: slow, obvious, and sharing no code with the tree.

use std::collections::BTreeMap;

use super::{ItemHash, RootHash};
use crate::causal::{Dot, ReplicaId};

fn hash(tag: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    blake3::hash(&[tag.as_bytes(), &[0], &parts.concat()].concat()).as_bytes().to_vec()
}

pub(super) fn item(dot: Dot, place: &[u8], payload: &[u8]) -> ItemHash {
    let key = format!("{:<32}", "rejoin item hash, format 1").into_bytes().try_into().unwrap();
    let (seq, len) = (dot.seq.get().to_be_bytes(), (place.len() as u32).to_be_bytes());
    let parts = [dot.replica.as_bytes().as_slice(), &seq, &len, place, payload].concat();
    ItemHash::from_bytes(*blake3::keyed_hash(&key, &parts).as_bytes().first_chunk().unwrap())
}

/// The root over these live dots.
pub(super) fn root(live: &BTreeMap<Dot, ItemHash>) -> RootHash {
    let mut buckets: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    let mut origins: BTreeMap<ReplicaId, BTreeMap<u64, ItemHash>> = BTreeMap::new();
    for (dot, item) in live {
        origins.entry(dot.replica).or_default().insert(dot.seq.get(), *item);
    }
    for (origin, dots) in origins {
        let entry = buckets.entry(origin.as_bytes()[0]).or_default();
        entry.push([origin.as_bytes().to_vec(), origin_hash(origin, &dots)].concat());
    }
    let list = buckets.iter().map(|(n, list)| [vec![*n], hash("rejoin bucket 1", list)].concat());
    let root = hash("rejoin root 1", &list.collect::<Vec<_>>());
    RootHash::from_bytes(root.try_into().unwrap())
}

fn origin_hash(origin: ReplicaId, dots: &BTreeMap<u64, ItemHash>) -> Vec<u8> {
    let mut blocks: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for (seq, item) in dots {
        let list = blocks.entry(seq / 256).or_insert_with_key(|block| {
            vec![origin.as_bytes().to_vec(), block.to_be_bytes().to_vec()]
        });
        list.push([vec![(seq % 256) as u8], item.as_bytes().to_vec()].concat());
    }
    let mut nodes: BTreeMap<u64, Vec<u8>> =
        blocks.iter().map(|(block, list)| (*block, hash("rejoin block 1", list))).collect();
    for level in 1_u8..=10 {
        let mut parents: BTreeMap<u64, Vec<(u8, Vec<u8>)>> = BTreeMap::new();
        for (index, child) in nodes {
            parents.entry(index / 64).or_default().push(((index % 64) as u8, child));
        }
        nodes = parents
            .into_iter()
            .map(|(index, mut children)| {
                if children.len() == 1 {
                    return (index, children.remove(0).1);
                }
                let mut parts = vec![vec![level], index.to_be_bytes().to_vec()];
                parts.extend(children.into_iter().map(|(at, child)| [vec![at], child].concat()));
                (index, hash("rejoin inner 1", &parts))
            })
            .collect();
    }
    nodes.remove(&0).unwrap()
}
