//! A peer whose frames are any bytes at all. The seeds of the fuzz target are recorded here:
//! `REJOIN_BLESS=1 cargo test --test frames` writes them anew after a change of the format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod player;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use player::{
    Against, add_spaces, fill_spaces, honest, join, main_of, meet, options, parts, play, record,
    store, victim,
};
use rejoin::Store;
use rejoin::causal::ReplicaId;
use rejoin::session::SessionOptions;
use rejoin::sim::decoders;
use rejoin::sim::hostile::tell_of_origins;
use rejoin::storage::MemoryStorage;

/// What an honest session with the victim is called, and its bytes.
type Seed = (String, Vec<u8>);

/// Peers of the victim's, and what is particular about them.
fn peers() -> Vec<(&'static str, Store)> {
    let twin = store(6);
    meet(&twin, &victim()).unwrap();
    let behind = store(7);
    meet(&behind, &victim()).unwrap();
    let space = main_of(&behind);
    space
        .write(|tx| (0..10_u32).try_for_each(|n| tx.set::<u32>("cart").remove(&n).map(drop)))
        .unwrap();
    space.counter("guests").add(1).unwrap();
    vec![
        ("nothing_yet", store(5)),
        ("equal", twin),
        ("both_wrote", honest(8)),
        ("removals", behind),
        // Holds what was removed, and its log was lost: a walk.
        ("walk", forgetful()),
        ("walk_of_many", {
            let (store, third) = (forgetful(), store(14));
            let origins: Vec<_> = (0..300_u16).map(|n| ReplicaId::from_bytes(name_of(n))).collect();
            tell_of_origins(&store, "main", &origins).unwrap();
            meet(&store, &third).unwrap(); // so that it names the vector that the two shared
            store
        }),
        ("takes_nothing", honest(15)),
        ("two_contents", two_contents()),
        // The greater tag gives way: the victim's own is 0x11.
        ("fork", copy(0x31)),
        ("fork_gives_way", copy(2)),
        ("fork_of_another", {
            let third = store(12);
            meet(&third, &copy(3)).unwrap();
            third
        }),
        ("spaces", with_spaces(1)),
        // More than are opened one by one: the two compare ranges of names.
        ("many_spaces", with_spaces(40)),
    ]
}

/// What an honest peer says to so small a victim only where something comes between the two: a
/// message each, after the opening of the space.
const RARE: [(&str, &[u8]); 5] = [
    ("want_vector", &[6, 0]),
    ("taken", &[9, 0, 1]),
    ("again", &[12, 0]),
    ("give_up", &[14, 0, 1]),
    ("refuse", b"\x0f\x04busy"),
];

/// Every seed: honest sessions, and some that go on with something else.
fn seeds() -> Vec<Seed> {
    let mut seeds = honest_seeds();
    let begun: Vec<Seed> =
        seeds.iter().filter(|(name, _)| name.ends_with("both_wrote")).cloned().collect();
    for (name, bytes) in begun {
        let (against, frames) = owned(&bytes);
        for (rare, message) in RARE {
            let name = name.replace("both_wrote", rare);
            seeds.push((name, join(against, &[frames[0].clone(), message.to_vec()])));
        }
    }
    seeds
}

/// Honest sessions with the victim, each the frames of the other side.
fn honest_seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for connects in [false, true] {
        for (name, peer) in peers() {
            let against = Against { connects, many: name == "many_spaces" };
            let victim = against.victim();
            let mut options = SessionOptions::default();
            options.receive_only = name == "takes_nothing";
            let ours = against.session(&victim).unwrap();
            let theirs = against.session_of_peer(&peer).unwrap().with(options);
            let [connecting, accepting] = match connects {
                false => record(theirs, ours).unwrap(),
                true => record(ours, theirs).unwrap(),
            };
            let before = if connects { "connecting_" } else { "" };
            assert!(connecting.report.converged(), "{before}{name}: {:?}", connecting.report);
            let forks = connecting.report.forks.len() + accepting.report.forks.len();
            assert_eq!(forks > 0, name.contains("fork"), "{before}{name}: {forks}");
            let frames = if connects { accepting.frames } else { connecting.frames };
            seeds.push((format!("{before}{name}"), join(against, &frames)));
        }
    }
    seeds
}

/// A replica that has seen all of the victim's and lacks some of it without a record.
fn forgetful() -> Store {
    use rejoin::Options;
    use std::sync::Arc;
    let mut options =
        Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(|bytes: &mut [u8]| bytes.fill(10)));
    options.removal_log_bytes = 0;
    let store = Store::in_memory_with(options);
    meet(&store, &victim()).unwrap();
    let cart = main_of(&store).set::<u32>("cart");
    for n in [1, 5, 9] {
        cart.remove(&n).unwrap();
    }
    store
}

/// Names that are spread over the whole digest, ascending.
fn name_of(n: u16) -> [u8; 16] {
    let mut name = [7; 16];
    name[..2].copy_from_slice(&(n * 200).to_be_bytes());
    name
}

/// A replica that knows other contents of the victim's events.
fn two_contents() -> Store {
    let (store, twin) = (store(11), store(1));
    let cart = main_of(&twin).set::<u32>("cart");
    (100..130).for_each(|n| cart.add(&n).unwrap());
    meet(&store, &twin).unwrap();
    store
}

/// Under the victim's name, what another opening made, whose tag is all of this byte.
fn copy(tag: u8) -> Store {
    let storage = MemoryStorage::new(ReplicaId::from_bytes([1; 16]));
    let store = Store::on(Box::new(storage), options(tag)).unwrap();
    fill_spaces(&store);
    main_of(&store).set::<u32>("cart").add(&u32::from(tag)).unwrap();
    store
}

/// A replica that shares three spaces with the victim, of which one is equal, and has so many more.
fn with_spaces(count: usize) -> Store {
    let store = honest(13);
    meet(&store, &victim()).unwrap();
    main_of(&store).set::<u32>("cart").remove(&3).unwrap();
    store.space("beside").unwrap().set::<u32>("cart").add(&2).unwrap();
    add_spaces(&store, count);
    store
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session")
}

#[test]
fn the_seeds_are_what_is_recorded() {
    if std::env::var_os("REJOIN_BLESS").is_some() {
        fs::create_dir_all(corpus()).unwrap();
        for (name, bytes) in seeds() {
            fs::write(corpus().join(name), bytes).unwrap();
        }
    }
    if !corpus().exists() {
        return; // a package of the library alone
    }
    for (name, bytes) in seeds() {
        let kept = fs::read(corpus().join(&name)).unwrap_or_default();
        assert!(kept == bytes, "{name} is another session now: REJOIN_BLESS=1 writes it anew");
    }
}

/// What these bytes are played against, and their frames.
fn owned(bytes: &[u8]) -> (Against, Vec<Vec<u8>>) {
    let (against, frames) = parts(bytes);
    (against, frames.iter().map(|frame| frame.to_vec()).collect())
}

#[test]
fn an_honest_session_plays_to_its_end() {
    for (name, bytes) in honest_seeds() {
        let report = play(&bytes);
        assert!(report.converged(), "{name}: {report:?}");
        assert_eq!(report.repaired > 0, name.contains("walk"), "{name}: {report:?}");
        let (against, frames) = owned(&bytes);
        assert_eq!(join(against, &frames), bytes);
    }
}

/// Of each side every message that a peer may send is among the seeds: a fuzzer hardly finds one by
/// itself.
#[test]
fn the_seeds_hold_every_message() {
    let seeds = seeds();
    for connects in [false, true] {
        let mut tags = BTreeSet::new();
        for (_, bytes) in &seeds {
            let (against, frames) = parts(bytes);
            let of_side = frames.iter().filter(|_| against.connects == connects);
            of_side.for_each(|frame| tags.extend(decoders::tags(frame).unwrap()));
        }
        let missing: Vec<u8> = (1..=21).filter(|tag| !tags.contains(tag)).collect();
        // Only who accepts says that all is the same, and what it holds in a block.
        let expected: &[u8] = if connects { &[] } else { &[5, 20] };
        assert_eq!(missing, expected, "the victim connects: {connects}");
    }
}

#[test]
fn a_session_cut_at_any_frame_leaves_the_store_sound() {
    for (_, bytes) in seeds() {
        let (against, frames) = owned(&bytes);
        for count in 0..frames.len() {
            play(&join(against, &frames[..count]));
        }
    }
}

/// What the fuzzer does for hours, for a moment: bytes of honest sessions changed at random,
/// by a generator that always gives the same. `REJOIN_ROUNDS=100000` does it for longer.
#[test]
fn frames_with_errors_leave_the_store_sound() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below.max(1)
    };
    let seeds = seeds();
    let rounds = std::env::var("REJOIN_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for _ in 0..rounds.unwrap_or(400) {
        let (against, mut frames) = owned(&seeds[draw(seeds.len())].1);
        for _ in 0..=draw(3) {
            let which = draw(frames.len());
            let at = draw(frames[which].len());
            match draw(6) {
                0 => frames[which].truncate(at),
                1 => {
                    let again = frames[which].clone();
                    frames.insert(which, again);
                }
                2 => {
                    frames.remove(which);
                }
                3 if !frames[which].is_empty() => frames[which][at] = draw(256) as u8,
                4 => frames[which].insert(at, draw(256) as u8),
                _ if !frames[which].is_empty() => frames[which][at] ^= 1 << draw(8),
                _ => {}
            }
            if frames.is_empty() {
                break;
            }
        }
        play(&join(against, &frames));
    }
}

/// Every frame of honest sessions cut at some places and with some bits flipped: other ones
/// than above, and the same each time. `REJOIN_THOROUGH` takes all of them.
#[test]
fn frames_cut_and_flipped_leave_the_store_sound() {
    let thorough = std::env::var_os("REJOIN_THOROUGH").is_some();
    let mut taken = 0;
    for (_, bytes) in seeds() {
        let (against, frames) = owned(&bytes);
        for which in 0..frames.len() {
            let len = frames[which].len();
            // Odd, so that all bits of a byte have their turn.
            let stride = if thorough { 1 } else { (9 * len / 20) | 1 };
            for damage in (0..9 * len).step_by(stride) {
                let mut frames = frames.clone();
                match damage.checked_sub(8 * len) {
                    Some(cut) => frames[which].truncate(cut),
                    None => frames[which][damage / 8] ^= 1 << (damage % 8),
                }
                taken += u64::from(play(&join(against, &frames)).finished);
            }
        }
    }
    // Some bits do not matter, such as those of a nonce.
    assert!(!thorough || taken > 0);
}
