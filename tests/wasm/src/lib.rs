//! A history drawn from a seed: replicas in memory write, meet, are cut off and meet again. It
//! must come out the same where a pointer has 32 bits and there is neither clock nor entropy:
//! roots, frames and all that is read, to the byte.

mod history;

use std::sync::Mutex;

pub use history::{Played, play};

/// What the last history played came to.
static WORDS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Plays the history of a seed; how many words there are of it.
///
/// # Panics
/// The library failed, or replicas that have met do not agree.
#[unsafe(no_mangle)]
pub extern "C" fn words_of(seed: u64) -> u32 {
    let words = play(seed).expect("nothing of it can fail").words();
    let count = u32::try_from(words.len()).expect("a few words");
    *WORDS.lock().expect("one thread") = words;
    count
}

/// One of the words of the history played last.
///
/// # Panics
/// There is no such word.
#[unsafe(no_mangle)]
pub extern "C" fn word(at: u32) -> u64 {
    WORDS.lock().expect("one thread")[at as usize]
}
