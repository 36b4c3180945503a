//! A peer whose frames are any bytes at all. The seeds of the fuzz target are recorded here:
//! `REJOIN_BLESS=1 cargo test --test frames` writes them anew after a change of the format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod player;

use std::fs;
use std::path::{Path, PathBuf};

use player::{Side, forgetful, honest, join, main_of, meet, play, record, split, store, victim};

/// Honest sessions with the victim, each the frames of the other side.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let behind = || {
        let behind = store(7);
        meet(&behind, &victim()).unwrap();
        let space = main_of(&behind);
        space
            .write(|tx| (0..10_u32).try_for_each(|n| tx.set::<u32>("cart").remove(&n).map(drop)))
            .unwrap();
        space.counter("guests").add(1).unwrap();
        behind
    };
    let equal = || {
        let twin = store(6);
        meet(&twin, &victim()).unwrap();
        twin
    };
    let peers: [(&str, &dyn Fn() -> rejoin::Store); 7] = [
        ("nothing_yet", &|| store(5)),
        ("equal", &equal),
        ("both_wrote", &|| honest(8)),
        ("removals", &behind),
        // Holds what was removed, and its log was lost.
        ("walk", &|| forgetful(10, &victim(), &[1, 5, 9]).unwrap()),
        ("two_contents", &two_contents),
        ("two_histories", &two_histories),
    ];
    let mut seeds = Vec::new();
    for (name, peer) in peers {
        let (report, [frames, _]) = record(&peer(), &victim()).unwrap();
        assert!(report.converged(), "{name}: {report:?}");
        seeds.push((name.to_owned(), join(Side::Accepts, &frames)));
        let (report, [_, frames]) = record(&victim(), &peer()).unwrap();
        assert!(report.converged(), "{name}: {report:?}");
        seeds.push((format!("{name}_called"), join(Side::Connects, &frames)));
    }
    seeds
}

/// A replica that met another opening of a store by the victim's name.
fn two_histories() -> rejoin::Store {
    use rejoin::Options;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};
    let drawn = AtomicU8::new(0);
    let entropy = move |bytes: &mut [u8]| match drawn.fetch_add(1, Ordering::Relaxed) {
        0 => bytes.fill(1), // the name
        n => bytes.fill(n.wrapping_mul(16).wrapping_add(12)),
    };
    let options = Options::with(Arc::new(|| 1_700_000_000_000), Arc::new(entropy));
    let (store, twin) = (store(12), rejoin::Store::in_memory_with(options));
    let cart = main_of(&twin).set::<u32>("cart");
    (200..205).for_each(|n| cart.add(&n).unwrap());
    meet(&store, &twin).unwrap();
    store
}

/// A replica that knows other contents of the victim's events.
fn two_contents() -> rejoin::Store {
    let (store, twin) = (store(11), store(1));
    let cart = main_of(&twin).set::<u32>("cart");
    (100..130).for_each(|n| cart.add(&n).unwrap());
    meet(&store, &twin).unwrap();
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

fn parts(bytes: &[u8]) -> (Side, Vec<Vec<u8>>) {
    let (side, frames) = split(bytes);
    (side, frames.into_iter().map(<[u8]>::to_vec).collect())
}

#[test]
fn an_honest_session_plays_to_its_end() {
    for (name, bytes) in seeds() {
        let report = play(&bytes);
        assert!(report.converged(), "{name}: {report:?}");
        let forked = !report.forks.is_empty();
        assert_eq!(forked, name.starts_with("two_histories"), "{name}: {report:?}");
        assert_eq!(report.repaired > 0, name.starts_with("walk"), "{name}: {report:?}");
        let (side, frames) = parts(&bytes);
        assert_eq!(join(side, &frames), bytes);
    }
}

#[test]
fn a_session_cut_at_any_frame_leaves_the_store_sound() {
    for (_, bytes) in seeds() {
        let (side, frames) = parts(&bytes);
        for count in 0..frames.len() {
            play(&join(side, &frames[..count]));
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
        let (_, seed) = &seeds[draw(seeds.len())];
        let (side, mut frames) = parts(seed);
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
        play(&join(side, &frames));
    }
}

/// Every frame of honest sessions cut at some places and with some bits flipped: other ones
/// than above, and the same each time. `REJOIN_THOROUGH` takes all of them.
#[test]
fn frames_cut_and_flipped_leave_the_store_sound() {
    let thorough = std::env::var_os("REJOIN_THOROUGH").is_some();
    let mut taken = 0;
    for (_, seed) in seeds() {
        let (side, frames) = parts(&seed);
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
                taken += u64::from(play(&join(side, &frames)).finished);
            }
        }
    }
    // Some bits do not matter, such as those of a nonce.
    assert!(!thorough || taken > 0);
}
