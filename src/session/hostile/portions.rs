//! What it takes to apply a chunk, beside reading it.

use super::*;

/// An entry of a past takes two bytes in a chunk, twelve times as much in memory and ten times as
/// much in a row: neither all pasts nor all rows are held at once.
#[test]
fn a_chunk_full_of_pasts_is_applied_in_portions() {
    let dir = tempfile::tempdir().unwrap();
    let cache_bytes = 4 * limits::MIB; // what the engine holds of the file
    let options = crate::space::Options { cache_bytes, ..Default::default() };
    let store = Store::open_with(dir.path().join("store"), options).unwrap();
    put(&store, "a");
    let name =
        |n: u8| ReplicaId::from_bytes([[n].as_slice(), &[1; 15]].concat().try_into().unwrap());
    let past: VersionVector = (0..200).map(|n| Dot::new(name(n), Seq::FIRST)).collect();
    let place = at("k").place().as_bytes().to_vec();
    let item = |n| {
        let (place, past) = (place.clone(), past.clone());
        (Dot::new(EVIL, Seq::new(n)), Event::Item { place, past, payload: vec![0; 9] })
    };
    let upto = vector(&[(EVIL, 10_000)]);
    let chunk = Chunk { events: (1..=10_000).map(item).collect(), upto, last: None };
    let mut session = accepted(&store, &vector(&[(EVIL, 10_001)]));
    let chunk = Box::new(chunk.spelled());
    let bytes = frame(&[Message::Chunk { space: 0, chunk }]);
    let mut taken = None;
    let memory = allocation_counter::measure(|| taken = Some(hand(&mut session, &bytes)));
    assert!(matches!(taken, Some(Ok(()))), "{taken:?}");
    assert_eq!(store.space("main").unwrap().status().unwrap().staged, 10_000);
    let most = (4 * bytes.len() + 2 * cache_bytes) as u64;
    assert!(memory.bytes_max <= most, "{} for {}", memory.bytes_max, bytes.len());
}
