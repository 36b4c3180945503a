//! What the fuzzer begins with: golden bytes, and a little of each kind made here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rejoin::causal::{Dot, ReplicaId, Seq, VersionVector};
use rejoin::codec::Put;
use rejoin::storage::Table;

use crate::targets::{self, Row};

/// A name and its bytes.
type Seed = (String, Vec<u8>);

/// Of each target names and bytes; those of whole sessions are recorded by the tests of
/// frames.
pub(crate) fn all() -> Vec<(&'static str, Vec<Seed>)> {
    vec![
        ("frame", golden("messages.txt")),
        ("row", rows()),
        ("token", golden("contexts.txt").into_iter().flat_map(with_and_without_sum).collect()),
        ("vector", vectors()),
        ("store_file", patches()),
        ("import_line", lines()),
    ]
}

/// The bytes of a target's seeds.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    let all = all().into_iter().find(|(name, _)| *name == target);
    all.into_iter().flat_map(|(_, seeds)| seeds).map(|(_, bytes)| bytes).collect()
}

fn golden(file: &str) -> Vec<Seed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let text = fs::read_to_string(path).unwrap_or_default();
    let vectors = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16);
    vectors
        .map(|line| {
            let (name, hex) = line.split_once(' ').unwrap();
            let bytes = hex.as_bytes().chunks(2).map(|digits| byte(digits).unwrap()).collect();
            (name.to_owned(), bytes)
        })
        .collect()
}

fn with_and_without_sum((name, bytes): Seed) -> [Seed; 2] {
    let without = bytes[..bytes.len() - 8].to_vec();
    [(format!("{name}_without_sum"), without), (name, bytes)]
}

/// What a row is of: its table, and the region where a table has several.
pub(crate) fn kind((table, key, _): &Row) -> String {
    let table = match table {
        Table::Meta => {
            let name = key.split(|byte| *byte == b'/').next().unwrap_or_default();
            return format!("meta_{}", String::from_utf8_lossy(name));
        }
        Table::Vectors | Table::Digest | Table::Bases | Table::Trash => {
            return format!("{table:?}_{}", key[4]).to_lowercase();
        }
        table => format!("{table:?}"),
    };
    table.to_lowercase()
}

/// The first row of each kind, as it is; and one that pretends to be the last there can be.
fn rows() -> Vec<Seed> {
    let (mut seeds, mut known) = (Vec::new(), BTreeSet::new());
    for (n, row) in targets::rows().iter().enumerate() {
        let with = |value: &[u8]| [&(n as u16).to_le_bytes(), value].concat();
        if known.insert(kind(row)) {
            seeds.push((kind(row), with(&row.2)));
        }
        let own = [0, 0, 0, 0, 0].into_iter().chain([1; 16]);
        if row.0 == Table::Vectors && own.eq(row.1.iter().copied()) {
            let value = [[0xff; 8].as_slice(), &row.2[8..]].concat();
            seeds.push(("own_vector_at_its_end".to_owned(), with(&value)));
        }
    }
    seeds
}

fn id(n: u32) -> [u8; 16] {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    id
}

fn vectors() -> Vec<Seed> {
    let of = |entries: &[(u32, u64)]| {
        let dot = |(n, seq): &(u32, u64)| Dot::new(ReplicaId::from_bytes(id(*n)), Seq::new(*seq));
        let vector: VersionVector = entries.iter().map(dot).collect();
        let mut bytes = Vec::new();
        bytes.put_vector(&vector);
        bytes
    };
    let (none, one) = (of(&[]), of(&[(1, 1)]));
    let some = of(&[(1, 300), (2, u64::MAX), (70_000, 1 << 40)]);
    let run = [none.clone(), one.clone(), some.clone(), one.clone()].concat();
    [("none", none), ("one", one), ("some", some), ("run", run)]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into()
}

fn patches() -> Vec<Seed> {
    let patch =
        |at: u32, bytes: &[u8]| [&at.to_le_bytes()[..], &[bytes.len() as u8], bytes].concat();
    [
        ("sound", Vec::new()),
        ("first_block", patch(9, &[1])),
        ("every_first_block", (0..4).flat_map(|n| patch(n * 4096 + 64, &[0xff; 8])).collect()),
        ("a_seal", patch(4 * 4096 + 16, &[3; 8])),
        ("a_block", patch(6 * 4096 + 100, &[4; 30])),
        ("cut", patch(9 * 4096, &[])),
        ("cut_in_a_block", patch(9 * 4096 + 5, &[])),
        ("empty", patch(0, &[])),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

fn lines() -> Vec<Seed> {
    [
        ("set", r#"{"op":"set.add","key":"cart","elem":"hex:00ff"}"#),
        ("counter", r#"{"op":"counter.add","key":"n","by":-9223372036854775808}"#),
        ("register", r#"{"op":"register.set","key":"t","value":"raw:0102","sibling":true}"#),
        ("map", r#"{"op":"map.set","key":"m","path":["a","\u0000"],"field":"f","value":"v"}"#),
        (
            "put",
            "{\"op\":\"put\",\"key\":\"k\",\"value\":\"v\"}\n\n{\"op\":\"delete\",\"key\":\"k\"}\n",
        ),
        ("wrong", r#"{"op":"put","key":"k","value":1}"#),
    ]
    .map(|(name, line)| (name.to_owned(), line.as_bytes().to_vec()))
    .into()
}

/// Long rows: as many entries as there may be, each as short as can be, in tables that hold lists;
/// and bytes that are no text, where text stands.
pub(crate) fn costly_rows() -> Vec<(&'static str, Vec<u8>)> {
    let vector = |entries: u32, tag: &[u8]| {
        let mut out = Vec::new();
        out.put_varint(entries.into());
        (0..entries).for_each(|n| out.extend([id(n).as_slice(), &[1], tag].concat()));
        out
    };
    let past = vector(4_000, &[]);
    let place = b"\x08k\0\0\x05e\0\0\0";
    let long = vec![0xff; 1 << 20];
    vec![
        ("bases_0", vector(40_000, &[1; 8])),
        ("bases_0", vector(100_000, &[1; 8])),
        ("items", past.clone()),
        ("trash_1", [&[1], [1; 23].as_slice(), &[1; 17], place, &past].concat()),
        ("trash_1", [&[1], [1; 23].as_slice(), &[1; 17], place, &past, &long].concat()),
        ("trash_2", [[0, 0, 0, 0, 24].as_slice(), &[1; 48]].concat()),
        ("meta_salvaged", [&[0], place.as_slice(), &past, &long].concat()),
        ("meta_met", [[1, 1].as_slice(), &long].concat()),
        ("vectors_0", long),
        // A removal of as many dots as there may be; runs of dots; and of each hour a claim.
        ("removals", [&[0, 0x90, 0x4e], [1; 24 * 10_000].as_slice()].concat()),
        ("commits", [[0xa0, 0x8d, 6].as_slice(), &[1; 18 * 100_000]].concat()),
        ("removalages", [[0xa0, 0x8d, 6].as_slice(), &[1; 18 * 100_000]].concat()),
        ("trash_2", [[0, 0, 0, 0, 0xa0, 0x8d, 6].as_slice(), &[1; 200_000]].concat()),
    ]
}

/// Frames of one message with as many entries as have room, each as short as can be.
pub(crate) fn full_frames() -> Vec<(&'static str, Vec<u8>)> {
    let made = |parts: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        parts(&mut out);
        out
    };
    let vector = |out: &mut Vec<u8>, entries: u32| {
        out.put_varint(entries.into());
        (0..entries).for_each(|n| out.extend([id(n).as_slice(), &[1]].concat()));
    };
    let tagged = |out: &mut Vec<u8>, entries: u32| {
        out.put_varint(entries.into());
        (0..entries).for_each(|n| out.extend([id(n).as_slice(), &[1; 9]].concat()));
    };
    let origins = |out: &mut Vec<u8>, count: u32| {
        out.extend([8, 0]);
        out.put_varint(count.into());
        (0..count).for_each(|n| out.extend(id(n)));
    };
    let node = |out: &mut Vec<u8>, n: u32, children: u8| {
        out.extend([[2].as_slice(), &id(n), &[1, 0, children]].concat());
        (0..children).for_each(|child| out.extend([child, 1, 2, 3, 4, 5, 6, 7, 8]));
    };
    let group = |out: &mut Vec<u8>, events: u64| {
        origins(out, 1);
        out.extend([1, 0]);
        out.put_varint(100_000);
        out.put_varint(events);
    };
    let name = |n: u32| format!("{n:05}");
    vec![
        (
            "a vector",
            made(&|out| {
                out.extend([7, 0]);
                tagged(out, 40_000);
            }),
        ),
        (
            "an open with two vectors",
            made(&|out| {
                out.extend([3, 0, 1, b's']);
                out.extend([0; 49]);
                tagged(out, 20_000);
                out.extend([[1].as_slice(), &id(1)].concat());
                vector(out, 20_000);
            }),
        ),
        (
            "groups of no events",
            made(&|out| {
                origins(out, 20_000);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| {
                    out.put_varint(n);
                    out.extend([1, 0]);
                });
                out.push(1);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| {
                    out.put_varint(n);
                    out.push(1);
                });
                out.extend([0, 0]);
            }),
        ),
        (
            "stretches",
            made(&|out| {
                origins(out, 1);
                out.extend([0, 1, 1, 0]);
                out.put_varint(100_000);
                out.put_varint(20_000);
                (1..=20_000).for_each(|n| {
                    out.push(0);
                    out.put_varint(n);
                    out.extend([5; 8]);
                });
                out.push(0);
            }),
        ),
        (
            "origins of histories",
            made(&|out| {
                out.extend([18, 0, 0]);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| out.extend(id(n)));
            }),
        ),
        (
            "histories of nothing",
            made(&|out| {
                out.extend([19, 0]);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| out.extend([id(n).as_slice(), &[0, 0]].concat()));
            }),
        ),
        (
            "histories of one stretch",
            made(&|out| {
                out.extend([19, 0]);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| {
                    out.extend([id(n).as_slice(), &[1, 1, 1], &[5; 8]].concat());
                });
            }),
        ),
        (
            "contents of full blocks",
            made(&|out| {
                out.extend([20, 0, 64]);
                (0..64).for_each(|n| {
                    out.extend([id(n).as_slice(), &[0, 0x80, 2]].concat());
                    (0..=255).for_each(|low| out.extend([[low].as_slice(), &[5; 16]].concat()));
                });
            }),
        ),
        (
            "contents of a dot each",
            made(&|out| {
                out.extend([20, 0, 64]);
                (0..64).for_each(|n| {
                    out.extend([id(n).as_slice(), &[0, 1, 1], &[5; 16]].concat());
                });
            }),
        ),
        (
            "claims",
            made(&|out| {
                origins(out, 1);
                out.extend([0, 1, 0, 0]);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| {
                    out.push(0);
                    out.put_varint(n);
                    out.extend([5; 32]);
                });
            }),
        ),
        (
            "items at one place",
            made(&|out| {
                group(out, 20_000);
                out.extend([[0, 0, 8].as_slice(), b"k\0\0\x05e\0\0\0", &[0, 0]].concat());
                (1..20_000).for_each(|_| out.extend([0, 8, 0, 0, 0]));
                out.push(0);
            }),
        ),
        (
            "removals of a dot each",
            made(&|out| {
                group(out, 20_000);
                (0..20_000_u64).for_each(|n| {
                    out.extend([3, 1, 0]);
                    out.put_varint(1 + 2 * n);
                });
                out.push(0);
            }),
        ),
        (
            "a run of removals",
            made(&|out| {
                group(out, 65_536);
                out.push(2);
                out.put_varint(65_536);
                out.extend([0, 1, 0]);
            }),
        ),
        (
            "nodes without children",
            made(&|out| {
                out.extend([13, 0]);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| node(out, n, 0));
                out.push(0);
            }),
        ),
        (
            "few nodes without children",
            made(&|out| {
                out.extend([13, 0]);
                out.put_varint(4_000);
                (0..4_000).for_each(|n| node(out, n, 0));
                out.push(0);
            }),
        ),
        (
            "nodes with all children",
            made(&|out| {
                out.extend([13, 0]);
                out.put_varint(2_000);
                (0..2_000).for_each(|n| node(out, n, 64));
                out.push(0);
            }),
        ),
        (
            "an origin in every node",
            made(&|out| {
                out.extend([13, 0, 1, 1, 0]);
                out.put_varint(60_000);
                (0..60_000).for_each(|n| out.extend([id(n).as_slice(), &[1; 8]].concat()));
                out.push(0);
            }),
        ),
        (
            "blocks",
            made(&|out| {
                out.extend([13, 0, 0]);
                out.put_varint(20_000);
                (0..20_000).for_each(|n| out.extend([id(n).as_slice(), &[0]].concat()));
            }),
        ),
        (
            "ranges of hashes",
            made(&|out| {
                out.extend([16, 0]);
                out.put_varint(1_024);
                (0..1_024).for_each(|n| {
                    out.put_bytes(name(n).as_bytes());
                    out.put_bytes(name(n + 1).as_bytes());
                    out.extend([0, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
                });
            }),
        ),
        (
            "ranges of lists",
            made(&|out| {
                out.extend([16, 0]);
                out.put_varint(1_024);
                (0..1_024).for_each(|n| {
                    out.put_bytes(name(2 * n).as_bytes());
                    out.put_bytes(name(2 * n + 2).as_bytes());
                    out.extend([1, 2]);
                    for n in [2 * n, 2 * n + 1] {
                        out.put_bytes(name(n).as_bytes());
                        out.extend([1, 2, 3, 4, 5, 6, 7, 8]);
                    }
                });
            }),
        ),
    ]
}

/// Lines of about so many bytes, written to take as much memory and time as can be: text with
/// escapes, which is read into a buffer of its own; text where something else must be, which an
/// error might repeat; lists and names without end; and lines as short as can be.
pub(crate) fn costly_lines(bytes: usize) -> Vec<(&'static str, String)> {
    let long = |unit: &str| unit.repeat(bytes / unit.len());
    let mut lines = vec![
        ("short lines", "{\"op\":\"delete\",\"key\":\"a\"}\n".repeat(bytes / 30)),
        ("counters", "{\"op\":\"counter.add\",\"key\":\"a\",\"by\":1}\n".repeat(bytes / 30)),
        ("a list of short steps", format!("{{\"path\":[{}\"\"]}}", long("\"\","))),
        ("steps of escapes", format!("{{\"path\":[{}\"\"]}}", long("\"\\n\","))),
        ("a list of lists", format!("{{\"path\":{}", long("["))),
        ("a list", format!("[{}1]", long("1,"))),
        ("objects in objects", long("{\"op\":")),
        ("no object", format!("\"{}\"", long("\u{feff}"))),
        ("a long number", format!("{{\"by\":{}}}", long("1"))),
        ("zeros", format!("{{\"by\":0.{}1}}", long("0"))),
        ("no line", long("\u{feff}")),
        ("only escapes", format!("{{\"op\":\"{}", long("\\n"))),
        ("an empty line", long(" ")),
    ];
    // Text of every field, of letters that take more bytes when they are shown, and of escapes.
    let texts =
        [long("a"), long("\u{feff}"), long("\\u0001"), long("\\n"), format!("\\n{}", long("a"))];
    for text in &texts {
        for field in ["op", "key", "path", "elem", "field", "value", "by", "sibling", "other"] {
            let known = "\"op\":\"put\",\"key\":\"k\"";
            lines.push((field, format!("{{{known},\"{field}\":\"{text}\"}}")));
            lines.push((field, format!("{{\"{field}\":\"{text}\"}}")));
        }
        lines.push(("a name", format!("{{\"{text}\":1}}")));
        lines.push(("two", format!("{{\"op\":\"put\",\"key\":\"{text}\",\"value\":\"{text}\"}}")));
        lines.push(("four", {
            let quarter: String = text.chars().take(bytes / 5).filter(|c| *c != '\\').collect();
            format!(
                "{{\"op\":\"map.set\",\"path\":[\"\\n{quarter}\"],\"key\":\"\\n{quarter}\",\
                 \"field\":\"\\n{quarter}\",\"value\":\"\\n{quarter}\"}}"
            )
        }));
    }
    for digits in ["hex:", "raw:"] {
        let text = format!("{digits}{}", long("00"));
        lines.push((digits, format!("{{\"op\":\"put\",\"key\":\"k\",\"value\":\"{text}\"}}")));
        lines.push((digits, format!("{{\"op\":\"set.add\",\"key\":\"k\",\"elem\":\"{text}\"}}")));
        lines.push((
            digits,
            format!("{{\"op\":\"set.add\",\"key\":\"k\",\"elem\":\"{text}\\u0030\"}}"),
        ));
    }
    lines
}
