//! Golden bytes of rows and chunks, and what their decoders make of damaged ones.

mod dropping;
pub(in crate::space) mod staging;

use super::chunk::{Chunk, Claim, Event, Last, SpelledChunk};
use super::rows::*;
use crate::causal::{Dot, ReplicaId, Seq, Tag, VersionVector};
use crate::codec::{Cursor, DecodeError, Kind, Prefix, limits};
use crate::digest::ItemHash;
use crate::space::vectors::{Vector, check, damaged};
use quickcheck::{Arbitrary, Gen, QuickCheck};

pub(crate) fn replica(n: u8) -> ReplicaId {
    ReplicaId::from_bytes([n; 16])
}

fn dot(n: u8, seq: u64) -> Dot {
    Dot::new(replica(n), Seq::new(seq))
}

pub(crate) fn vector(entries: &[(u8, u64)]) -> VersionVector {
    entries.iter().map(|(n, seq)| dot(*n, *seq)).collect()
}

fn under(key: &str, steps: &[(Kind, &[u8])]) -> Prefix {
    let key = Prefix::key(key.as_bytes()).unwrap();
    steps.iter().fold(key, |at, (kind, name)| at.step(*kind, name).unwrap())
}

fn item(prefix: &Prefix, past: &[(u8, u64)], payload: &[u8]) -> Event {
    let place = prefix.place().as_bytes().to_vec();
    Event::Item { place, past: vector(past), payload: payload.to_vec() }
}

fn dots(dots: &[(u8, u64)]) -> Event {
    Event::Removal(Removal::Dots(dots.iter().map(|(n, seq)| dot(*n, *seq)).collect()))
}

/// A chunk of each shape.
pub(crate) fn sample_chunks() -> Vec<(&'static str, Chunk)> {
    let stamped = |value: &[u8]| [&[0, 1, 2, 3, 4, 5, 0, 7], value].concat();
    let cart = |element: &[u8]| under("cart", &[(Kind::SET, element)]);
    let items = Chunk {
        events: vec![
            (dot(1, 4), item(&cart(b"apple"), &[], b"")),
            (dot(1, 5), item(&cart(b"apricot"), &[(1, 3), (2, 200)], b"")),
            (dot(1, 300), item(&under("note", &[(Kind::REGISTER, b"")]), &[], &stamped(b"x"))),
            (dot(2, 1), item(&under("n", &[(Kind::COUNTER, b"")]), &[], &[0x85, 0x01])),
        ],
        upto: vector(&[(1, 301), (2, 1)]),
        last: None,
    };
    let field = under("m", &[(Kind::MAP, b"\0field"), (Kind::MAP, b"")]);
    let removals = Chunk {
        events: vec![
            (dot(1, 1), dots(&[(2, 7)])),
            (dot(1, 2), dots(&[(2, 8)])),
            (dot(1, 3), dots(&[(2, 9)])),
            (dot(1, 9), dots(&[(1, 8), (2, 1), (2, 4)])),
            (
                dot(1, 10),
                Event::Removal(Removal::Prefix { prefix: field, past: vector(&[(1, 4), (3, 2)]) }),
            ),
            (dot(1, 11), dots(&[(3, 1)])),
        ],
        upto: vector(&[(1, 11)]),
        last: None,
    };
    let claims = vec![
        Claim { origin: replica(1), block: 0, bits: [0x55; 32] },
        Claim { origin: replica(1), block: 200, bits: [0; 32] },
        Claim { origin: replica(4), block: 0, bits: [0xff; 32] },
    ];
    let last = Chunk {
        events: vec![(dot(3, 1), item(&under("flag", &[(Kind::DW_FLAG, b"")]), &[], &[1]))],
        upto: vector(&[(3, 1)]),
        last: Some(Last {
            vector: vector(&[(1, 11), (3, 1)]),
            stretches: vec![
                (dot(1, 9), Tag::from_bytes([0x11; 8])),
                (dot(3, 1), Tag::from_bytes([0x33; 8])),
            ],
            claims,
        }),
    };
    let future = Kind::new(200).unwrap();
    let unknown = Chunk {
        events: vec![(dot(1, 1), item(&under("later", &[(future, b"?")]), &[], b"anything"))],
        upto: vector(&[(1, 1)]),
        last: Some(Last::default()),
    };
    vec![
        ("chunk_of_items", items),
        ("chunk_of_removals", removals),
        ("chunk_last_with_claims", last),
        ("chunk_of_an_unknown_type", unknown),
        ("chunk_last_of_nothing", Chunk { last: Some(Last::default()), ..Chunk::default() }),
    ]
}

fn encoded(chunk: &SpelledChunk) -> Vec<u8> {
    let mut bytes = Vec::new();
    chunk.encode(&mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Result<SpelledChunk, DecodeError> {
    let mut cursor = Cursor::new("chunk", bytes);
    let chunk = SpelledChunk::decode(&mut cursor)?;
    cursor.finish()?;
    Ok(chunk)
}

#[test]
fn vectors_of_chunks() {
    let made = sample_chunks();
    let vectors: Vec<Vector> = made
        .iter()
        .map(|(name, chunk)| ((*name).to_owned(), format!("{chunk:?}"), encoded(&chunk.spelled())))
        .collect();
    check("chunks.txt", "Chunks of deltas: see the page on the format, `chunk`.", &vectors);
    for ((name, chunk), (_, _, bytes)) in made.iter().zip(&vectors) {
        let read = decoded(bytes).unwrap();
        assert_eq!((&read.whole().unwrap(), &read), (chunk, &chunk.spelled()), "{name}");
        assert_eq!(format!("{read:?}"), format!("{chunk:?}"));
    }
}

/// Whatever is decoded is the one spelling of what it says.
#[test]
fn damaged_chunks_are_refused_or_the_one_spelling_of_something() {
    for (name, chunk) in sample_chunks() {
        let bytes = encoded(&chunk.spelled());
        for damaged in damaged(&bytes) {
            if let Ok(other) = decoded(&damaged) {
                assert!(damaged.len() == bytes.len(), "{name}: a part of a chunk is a chunk");
                assert_eq!(encoded(&other), damaged, "{name}: {other:?}");
            }
        }
    }
}

/// The bytes of a chunk written down by hand: one origin, one group of so many events.
fn by_hand(upto: u64, events: u64, entries: &[&[u64]]) -> Vec<u8> {
    use crate::codec::Put;
    let mut bytes = vec![1];
    bytes.extend_from_slice(&[1; 16]);
    for n in [1, 0, upto, events] {
        bytes.put_varint(n);
    }
    entries.iter().flat_map(|entry| entry.iter()).for_each(|n| bytes.put_varint(*n));
    bytes.push(0);
    bytes
}

#[test]
fn counts_and_seqs_at_the_edge_of_64_bits_are_refused() {
    let max = u64::MAX;
    let gap = max >> 2; // the greatest that a header can say
    let run = |gap: u64, count, first| vec![gap << 2 | 2, count, 0, first];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a run longer than its group", by_hand(max, 2, &[&run(0, 3, 1)])),
        ("a run of endless length", by_hand(max, 2, &[&run(0, max, 1)])),
        ("a run that removes beyond the last seq", by_hand(max, 2, &[&run(0, 2, max)])),
        ("a run beyond where its group leads", by_hand(2, 3, &[&run(0, 3, 1)])),
        ("gaps beyond the last seq", by_hand(max, 6, &[[gap << 2 | 3, 1, 0, 1].as_slice(); 6])),
        ("a run beyond the last seq", {
            let one = [gap << 2 | 3, 1, 0, 1];
            let run = run(gap - 4, 100, 1);
            by_hand(max, 103, &[&one, &one, &one, &run])
        }),
        ("more events than a chunk may have", by_hand(max, 65_537, &[&run(0, 65_537, 1)])),
        ("a count with nothing behind it", by_hand(max, 1 << 60, &[])),
        ("a removal of nothing", by_hand(9, 1, &[&[3, 0]])),
        ("removed dots with nothing behind the count", by_hand(9, 1, &[&[3, 1 << 60]])),
    ];
    for (what, bytes) in cases {
        assert!(decoded(&bytes).is_err(), "{what}: {:?}", decoded(&bytes).map(|c| c.upto));
    }
    let most = by_hand(65_536, 65_536, &[&run(0, 65_536, 1)]);
    let chunk = decoded(&most).unwrap();
    let counts = (0, limits::CHUNK_EVENTS as u64);
    assert_eq!((chunk.counts(), encoded(&chunk)), (counts, most));
}

/// An event whose gap would not fit its header could be received, and then not sent on: it
/// would arrive elsewhere under another dot.
#[test]
fn what_is_received_can_be_sent_on() {
    let far = u64::MAX >> 2;
    let event = |gap: u64| vec![gap << 2 | 3, 1, 0, 1];
    for (events, seq) in [(1, far + 1), (2, 2 * (far + 1)), (2, far + 2)] {
        let second = if seq == far + 2 { 0 } else { far };
        let entries = [event(far), event(second)];
        let entries: Vec<&[u64]> = entries[..events].iter().map(Vec::as_slice).collect();
        if let Ok(chunk) = decoded(&by_hand(u64::MAX, events as u64, &entries)) {
            let chunk = chunk.whole().unwrap();
            let alone = Chunk { events: chunk.events[events - 1..].to_vec(), ..chunk };
            assert_eq!(decoded(&encoded(&alone.spelled())).unwrap().whole().unwrap(), alone);
        }
    }
}

/// What was received in two deltas can go on in one, to the last seq that there is.
#[test]
fn removals_at_the_last_seq_can_be_sent_on_together() {
    let max = u64::MAX;
    for (first, second) in [(max - 2, max - 1), (max - 1, max), (max, max), (max, 1)] {
        let events = vec![(dot(1, 1), dots(&[(2, first)])), (dot(1, 2), dots(&[(2, second)]))];
        let both = Chunk { events, upto: vector(&[(1, 2)]), last: None };
        assert_eq!(decoded(&encoded(&both.spelled())).unwrap().whole().unwrap(), both, "{first}");
    }
}

/// Read into memory, an entry takes twelve times what it takes here: so none may come twice.
#[test]
fn a_chunk_names_no_more_origins_than_it_lists() {
    use crate::codec::{Problem, Put};
    let start = |groups: u64| {
        let mut bytes = vec![1];
        bytes.extend_from_slice(&[7; 16]);
        bytes.put_varint(groups);
        bytes
    };
    let groups = [start(2), [0, 1, 0].repeat(2), vec![0]].concat();
    let last = [start(1), vec![0, 1, 0, 1, 2], [0, 1].repeat(2), vec![0, 0]].concat();
    for bytes in [groups, last] {
        let error = decoded(&bytes).unwrap_err();
        assert!(matches!(error.problem, Problem::TooMany { limit: 1, found: 2 }), "{error:?}");
    }
}

/// A row: its name, its bytes, and its decoder followed by its encoder.
struct Spelling {
    name: &'static str,
    about: String,
    bytes: Vec<u8>,
    again: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

fn rows() -> Vec<Spelling> {
    let row = |name, about: &dyn std::fmt::Debug, bytes: Vec<u8>, again| Spelling {
        name,
        about: format!("{about:?}"),
        bytes,
        again,
    };
    let item_again = |bytes: &[u8]| {
        split_item_value(bytes).map(|(past, payload)| {
            assert_eq!(payload_of(bytes).as_ref(), Ok(&payload));
            item_value(&past, payload)
        })
    };
    let dot_again = |bytes: &[u8]| {
        split_dot_value(bytes).map(|row| dot_value(row.hash, row.has_past, row.place))
    };
    let removal_again = |bytes: &[u8]| Removal::from_row(bytes).map(|removal| removal.to_row());
    let runs_again = |bytes: &[u8]| Runs::from_row(bytes).map(|runs| runs.to_row());
    let state_again = |bytes: &[u8]| State::from_row(bytes).map(|state| state.to_row());
    let item_key_again = |key: &[u8]| {
        let (place, dot) = split_item_key(key)?;
        crate::codec::Place::check(place)?;
        let space = key.first_chunk().map_or(0, |n| u32::from_be_bytes(*n));
        Ok(item_key(space, place, Some(dot)))
    };

    let place = under("cart", &[(Kind::SET, b"\0apple")]).place();
    let (none, past) = (VersionVector::new(), vector(&[(1, 3), (2, 200)]));
    let hash = ItemHash::from_bytes([0xab; 16]);
    let some = Removal::Dots(vec![dot(1, 2), dot(1, 3), dot(2, 1)]);
    let beneath =
        Removal::Prefix { prefix: under("m", &[(Kind::MAP, b"f")]), past: vector(&[(1, 300)]) };
    let mut runs = Runs::default();
    for dot in [dot(1, 7), dot(1, 8), dot(1, 9), dot(2, 300), dot(1, 10)] {
        runs.push(dot);
    }
    let mut state = State { commit: 1, items: 2, log_bytes: 300, staged: 0, ..State::default() };
    let mut vectors = vec![
        row("state", &state, state.to_row(), state_again),
        row(
            "item_key",
            &(&place, dot(1, 2)),
            item_key(7, place.as_bytes(), Some(dot(1, 2))),
            item_key_again,
        ),
        row("item_value", &(&none, "payload"), item_value(&none, b"payload"), item_again),
        row("item_value_with_past", &(&past, ""), item_value(&past, b""), item_again),
        row(
            "dot_value",
            &(hash, false, &place),
            dot_value(hash, false, place.as_bytes()),
            dot_again,
        ),
        row(
            "dot_value_with_past",
            &(hash, true, &place),
            dot_value(hash, true, place.as_bytes()),
            dot_again,
        ),
        row("removal_of_dots", &some, some.to_row(), removal_again),
        row("removal_beneath_a_prefix", &beneath, beneath.to_row(), removal_again),
        row("commit_runs", &runs, runs.to_row(), runs_again),
    ];
    state.staging_peer = Some(replica(9));
    state.staged = 128;
    vectors.push(row("state_while_staging", &state, state.to_row(), state_again));
    vectors
}

#[test]
fn vectors_of_rows() {
    let rows = rows();
    let vectors: Vec<Vector> =
        rows.iter().map(|r| (r.name.to_owned(), r.about.clone(), r.bytes.clone())).collect();
    check("rows.txt", "Rows of the tables of a space: see the page on the format.", &vectors);
    for row in rows {
        assert_eq!((row.again)(&row.bytes).as_ref(), Ok(&row.bytes), "{}", row.name);
    }
}

#[test]
fn damaged_rows_are_refused_or_the_one_spelling_of_something() {
    for row in rows() {
        for damaged in damaged(&row.bytes) {
            if let Ok(again) = (row.again)(&damaged) {
                assert_eq!(again, damaged, "{}", row.name);
            }
        }
    }
}

#[test]
fn any_bytes_at_all_are_refused_or_the_one_spelling_of_something() {
    fn property(bytes: Vec<u8>) -> bool {
        let chunk = decoded(&bytes).map(|chunk| encoded(&chunk));
        let rows = rows().into_iter().map(|row| (row.again)(&bytes));
        rows.chain([chunk]).flatten().all(|again| again == bytes)
    }
    QuickCheck::new().tests(5_000).quickcheck(property as fn(Vec<u8>) -> bool);
}

/// A chunk as it may be made of a space, of few names so that they meet.
#[derive(Clone, Debug)]
struct Made(Chunk);

impl Arbitrary for Made {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut events = std::collections::BTreeMap::new();
        let mut seq = 0;
        for _ in 0..usize::arbitrary(g) % 40 {
            seq += 1 + u64::from(u8::arbitrary(g) % 3 / 2) * (u64::from(u16::arbitrary(g)) + 1);
            let at = dot(1 + u8::arbitrary(g) % 3, seq);
            let past: Vec<(u8, u64)> = match u8::arbitrary(g) % 3 {
                0 => vec![(1 + u8::arbitrary(g) % 5, 1 + u64::from(u16::arbitrary(g)))],
                _ => Vec::new(),
            };
            let element = [b'a', u8::arbitrary(g) % 3, u8::arbitrary(g) % 3];
            let event = match u8::arbitrary(g) % 6 {
                0 => item(&under("cart", &[(Kind::SET, &element)]), &past, b""),
                1 => item(&under("n", &[(Kind::COUNTER, b"")]), &past, &[u8::arbitrary(g) & 0x7f]),
                2 => Event::Removal(Removal::Prefix {
                    prefix: under("m", &[(Kind::MAP, &element)]),
                    past: vector(&past),
                }),
                3 => dots(&[(2, 2 + seq), (2, 4 + seq), (4, 1)]),
                // Dots in a row, which travel as runs.
                _ => dots(&[(2, seq + u64::from(u8::arbitrary(g) % 8 / 7))]),
            };
            events.insert(at, event);
        }
        let mut upto: VersionVector = events.keys().copied().collect();
        upto.advance(Dot::new(replica(2), upto.get(replica(2)).next()));
        let last = bool::arbitrary(g).then(|| Last { vector: upto.clone(), ..Last::default() });
        Self(Chunk { events: events.into_iter().collect(), upto, last })
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let whole = self.0.clone();
        Box::new((0..whole.events.len()).map(move |left_out| {
            let mut part = whole.clone();
            part.events.remove(left_out);
            Self(part)
        }))
    }
}

#[test]
fn a_chunk_arrives_as_it_was_sent() {
    fn property(Made(chunk): Made) -> bool {
        let there = decoded(&encoded(&chunk.spelled())).unwrap();
        there.whole().unwrap() == chunk && there.counts() == chunk.counts()
    }
    QuickCheck::new().tests(5_000).quickcheck(property as fn(Made) -> bool);
}

/// What is asked of a chunk event by event is what a list of its events would say.
#[test]
fn a_chunk_read_event_by_event_says_what_a_list_of_them_would() {
    fn property(Made(chunk): Made, near: u16) -> bool {
        let spelled = chunk.spelled();
        let (runs, blocks) = (spelled.runs().unwrap(), spelled.blocks().unwrap());
        let has = |dot| chunk.events.binary_search_by_key(&dot, |event| event.0).is_ok();
        let around = chunk.events.iter().flat_map(|(Dot { replica, seq }, _)| {
            [seq.prev(), *seq, seq.next()].map(|seq| Dot::new(*replica, seq))
        });
        let of = |n, event: &Event| match event {
            Event::Item { past, .. } | Event::Removal(Removal::Prefix { past, .. }) => {
                past.get(replica(n)).get()
            }
            Event::Removal(Removal::Dots(dots)) => {
                let own = dots.iter().filter(|dot| dot.replica == replica(n));
                own.map(|dot| dot.seq.get()).max().unwrap_or(0)
            }
        };
        let replaced = |n| chunk.events.iter().map(|(_, event)| of(n, event)).max().unwrap_or(0);
        let block = |(dot, _): &(Dot, Event)| (dot.replica, dot.seq.get() / 256);
        around.chain([dot(1, near.into())]).all(|dot| runs.contain(dot) == has(dot))
            && blocks == chunk.events.iter().map(block).collect()
            && (1..6).all(|n| spelled.replaces(replica(n)).unwrap().get() == replaced(n))
    }
    QuickCheck::new().tests(2_000).quickcheck(property as fn(Made, u16) -> bool);
}

#[test]
fn a_chunk_that_arrives_damaged_is_refused_or_the_one_spelling_of_something() {
    fn property(Made(chunk): Made, at: usize, with: u8) -> bool {
        let mut bytes = encoded(&chunk.spelled());
        let at = at % bytes.len();
        bytes[at] = with;
        !decoded(&bytes).is_ok_and(|other| encoded(&other) != bytes)
    }
    QuickCheck::new().tests(20_000).quickcheck(property as fn(Made, usize, u8) -> bool);
}
