//! A story of three replicas and a power cut, for a test of what holds and one of what does not.

use rejoin::causal::Dot;
use rejoin::sim::{Disk, Random};
use rejoin::{Options, Store};

use crate::pair::{self, Meeting, assert_sound, main_of, meet, options};

/// Opens the store on a disk.
pub(crate) fn opened(disk: &Disk, name: u8) -> Store {
    let storage = disk.open(&mut |bytes| bytes.fill(name)).unwrap();
    let options: Options = options(name);
    Store::on(storage, options).unwrap()
}

fn values(store: &Store) -> Vec<Vec<u8>> {
    main_of(store).get("key").unwrap().values().map(<[u8]>::to_vec).collect()
}

/// C took B's newest event, which replaces another, and sent it on to D before it was on disk;
/// the power went at C, which then had again what was replaced. D resumed behind what it had
/// staged from C, so C left that out, and D's vector covered it: the value had vanished, and
/// what replaced it was not there either.
///
/// What is read at C and at D after that, and at D in the end.
pub(crate) fn newest_values() -> Vec<Vec<Vec<u8>>> {
    let (b, d, disk) = (pair::store(1), pair::store(9), Disk::in_memory());
    let c = opened(&disk, 2);
    main_of(&b).put("key", "old", None).unwrap();
    meet(&b, &c);
    // So much that D gets it in several chunks, of which B's event stands in the first.
    for key in ["one", "two", "three"] {
        main_of(&c).put(key, vec![0; 200_000], None).unwrap();
    }
    main_of(&b).put("key", "new", None).unwrap();
    let newest = Dot::new(b.replica(), main_of(&b).vector().unwrap().get(b.replica()));
    // Each has said to the other how it stands; now C takes, and then sends.
    let mut to_d = Meeting::of(&c, &d);
    assert!(!to_d.run_on(2));
    let mut from_b = Meeting::of(&b, &c);
    while !main_of(&c).vector().unwrap().contains(newest) {
        assert!(!from_b.run_on(1));
    }
    while main_of(&d).status().unwrap().staged == 0 {
        assert!(!to_d.run_on(1));
    }
    disk.power_off();
    for mut cut in [from_b, to_d] {
        cut.left.close();
        cut.right.close();
    }
    drop(c);
    disk.power_cut(&mut Random::new(1));
    let c = opened(&disk, 2);
    meet(&d, &c);
    [&c, &d].into_iter().for_each(assert_sound);
    let mut found: Vec<_> = [&c, &d].map(values).into();
    meet(&b, &d);
    found.push(values(&d));
    found
}
