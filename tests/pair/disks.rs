//! Stores on simulated disks, with the randomness of a seed.

use std::sync::{Arc, Mutex};

use rejoin::sim::{Disk, Random};
use rejoin::{Options, Store};

use crate::pair::NOW_MS;

/// A clock that stands still, and randomness that is another with each seed.
pub(crate) fn drawn(seed: u64) -> Options {
    let random = Mutex::new(Random::new(seed));
    let entropy = move |bytes: &mut [u8]| random.lock().unwrap().fill(bytes);
    Options::with(Arc::new(|| NOW_MS), Arc::new(entropy))
}

pub(crate) fn open(disk: &Disk, options: Options) -> Store {
    let entropy = options.entropy.clone();
    let storage = disk.open(&mut |bytes| entropy(bytes)).unwrap();
    Store::on(storage, options).unwrap()
}
