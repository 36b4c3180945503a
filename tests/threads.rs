//! Many threads on two stores at once: writes, reads, panics, sessions whole and cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod pair;

use pair::{Meeting, assert_sound, meet};
use rejoin::{Error, Store};

const ROUNDS: u32 = 40;

#[test]
fn sixteen_threads_write_read_and_meet() {
    let dir = tempfile::tempdir().unwrap();
    let stores =
        [Store::open(dir.path().join("a")).unwrap(), Store::open(dir.path().join("b")).unwrap()];
    let threads = (0..16_usize).map(|n| {
        let stores = stores.clone();
        std::thread::spawn(move || {
            for round in 1..=ROUNDS {
                let (space, other) = (stores[n % 2].space("main").unwrap(), &stores[1 - n % 2]);
                match n / 2 {
                    0 | 1 => drop(Meeting::of(&stores[n % 2], other).run(usize::MAX)),
                    2 => drop((
                        space.root().unwrap(),
                        space.snapshot().unwrap(),
                        space.keys(rejoin::space::Keys::all()).unwrap(),
                    )),
                    3 => {
                        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            space.write(|tx| {
                                tx.counter("panics").add(1)?;
                                assert!(space.counter("panics").add(1).is_err(), "nested");
                                if round % 2 == 1 {
                                    std::panic::resume_unwind(Box::new("half of them panic"));
                                }
                                Ok::<_, Error>(())
                            })
                        }));
                        assert!(panics.is_err() == (round % 2 == 1));
                    }
                    4 => {
                        // Midway the pipe is gone.
                        drop(Meeting::of(&stores[n % 2], other).run(round as usize % 5));
                    }
                    _ => {
                        space.put(format!("{n} {round}"), "1", None).unwrap();
                        space.counter("count").add(1).unwrap();
                        space.delete(format!("{n} {}", round / 2)).unwrap();
                    }
                }
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    meet(&stores[0], &stores[1]);
    stores.iter().for_each(assert_sound);
    let counts =
        [0, 1].map(|n: usize| stores[n].space("main").unwrap().counter("count").get().unwrap());
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0] > 0);
}
