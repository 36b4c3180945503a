//! What the laws do not ask: how values are read, what is refused, and what deltas hold.

use super::*;
use crate::causal::{CausalContext, Dot, Hlc, ReplicaId, Seq};

fn replica(n: u8) -> ReplicaId {
    ReplicaId::from_bytes([n; 16])
}

const A: u8 = 1;
const B: u8 = 2;

fn dot(n: u8, seq: u64) -> Dot {
    Dot::new(replica(n), Seq::new(seq))
}

fn at(ms: u64) -> Hlc {
    Hlc::new(ms, 0)
}

/// Both, having written apart.
fn merged<S: DotStore>(mut one: Causal<S>, other: &Causal<S>) -> Causal<S> {
    one.merge(other);
    one
}

#[test]
fn a_register_reads_the_later_write_and_shows_the_other() {
    let (mut one, mut other) = (LwwRegister::new(), LwwRegister::new());
    assert!(one.is_empty() && one.get().is_none() && one.winner().is_none());
    let _ = one.write(replica(A), at(2), 'a');
    let _ = other.write_at(dot(B, 7), at(1), 'b').unwrap();
    let both = merged(one.clone(), &other);
    assert!(!both.is_empty());
    assert_eq!(both.get(), Some(&'a'));
    let winner = both.winner().unwrap();
    assert_eq!((winner.dot, winner.time, *winner.value), (dot(A, 1), at(2), 'a'));
    assert!(both.conflicts().map(|write| write.dot).eq([dot(B, 7)]));
    assert_eq!(one.conflicts().count(), 0);

    // At one time the dot decides, and a write that has seen both ends the conflict.
    let _ = other.write_at(dot(B, 8), at(2), 'c').unwrap();
    let mut both = merged(one, &other);
    assert_eq!(both.get(), Some(&'c'));
    let _ = both.write(replica(A), at(0), 'd');
    assert_eq!((both.get(), both.conflicts().count()), (Some(&'d'), 0));
    let _ = both.clear();
    assert!(both.is_empty());
}

#[test]
fn a_register_of_many_values_and_siblings_read_all() {
    let (mut one, mut other) = (MvRegister::new(), MvRegister::new());
    assert!(one.is_empty() && one.values().len() == 0);
    let _ = one.write(replica(A), at(2), 'a');
    let _ = other.write_at(dot(B, 1), at(1), 'b').unwrap();
    one.merge(&other);
    assert!(one.values().eq([&'a', &'b']) && one.len() == 2 && !one.is_empty());
    assert!(
        one.writes()
            .map(|write| (write.dot, write.time))
            .eq([(dot(A, 1), at(2)), (dot(B, 1), at(1)),])
    );

    let mut value = Siblings::new();
    assert_eq!(value.resolve(|_| ()), None);
    let nothing = CausalContext::new();
    let _ = value.update(replica(A), &nothing, at(1), 'a');
    let read = value.seen().clone();
    let _ = value.update(replica(B), &nothing, at(2), 'b');
    assert_eq!((value.len(), value.is_empty()), (2, false));
    assert_eq!(
        value.resolve(|all| all.map(|write| *write.value).collect()),
        Some("ab".to_string())
    );
    // Who has read the first replaces the first.
    let _ = value.update(replica(A), &read, at(3), 'c');
    assert!(value.values().eq([&'c', &'b']));
    // A context that has seen more of the writer than is here: the name is fresh in both.
    let far: CausalContext = [dot(A, 9)].into_iter().collect();
    let _ = value.update(replica(A), &far, at(4), 'd');
    assert!(value.iter().any(|write| write.dot == dot(A, 10)));
    let _ = value.remove(&read);
    assert_eq!(value.len(), 3, "what was read is gone already");
    let _ = value.remove(&value.seen().clone());
    assert!(value.is_empty());
}

#[test]
fn siblings_refuse_a_dot_that_their_context_has_seen() {
    let mut value = Siblings::new();
    let seen: CausalContext = [dot(A, 1)].into_iter().collect();
    assert_eq!(value.update_at(dot(A, 1), &seen, at(1), 'a'), Err(DotSeen { dot: dot(A, 1) }));
    assert!(value.is_empty() && value.seen().is_empty());
    let _ = value.update_at(dot(A, 2), &seen, at(1), 'a').unwrap();
    assert_eq!(value.seen().count(), 2);
}

/// In a map the context is that of the whole map: of what it has seen, only what stands here
/// is replaced.
#[test]
fn siblings_in_a_map_replace_none_of_their_neighbours() {
    let mut map: OrMap<char, Siblings<u8>> = OrMap::new();
    let nothing = CausalContext::new();
    for (at_key, value) in [('x', 1), ('y', 2)] {
        let _ = map.update(replica(A), at_key, |s, dot| s.updating(dot, &nothing, at(1), value));
    }
    let seen = map.seen().clone();
    let mut elsewhere = map.clone();
    let delta = map.update(replica(A), 'x', |s, dot| s.updating(dot, &seen, at(2), 3));
    elsewhere.merge(&delta);
    assert!(elsewhere == map && map.get(&'x').unwrap().values().eq([&3]));
    assert!(map.get(&'y').unwrap().values().eq([&2]));
    let _ = map.update(replica(A), 'y', |s, dot| s.updating(dot, &nothing, at(2), 4));
    assert!(map.get(&'y').unwrap().values().eq([&2, &4]));
}

#[test]
fn counters_read_their_sum_and_rows() {
    let mut counter = PnCounter::new();
    assert_eq!(counter.value(), 0);
    let _ = counter.add(replica(A), 5).unwrap();
    let _ = counter.add_at(dot(B, 4), -7).unwrap();
    assert_eq!(counter.value(), -2);
    assert!(counter.rows().eq([(dot(A, 1), 5), (dot(B, 4), -7)]));
    // What nobody can have seen is counted up in its place.
    let _ = counter.add_shown(replica(A), 1, Seq::ZERO).unwrap();
    let _ = counter.add_shown_at(dot(B, 5), -1, Seq::new(3)).unwrap();
    assert!(counter.rows().eq([(dot(A, 2), 6), (dot(B, 5), -8)]));
    assert_eq!(counter.add_at(dot(B, 5), 1), Err(CounterError::Dot(DotSeen { dot: dot(B, 5) })));

    let mut growing = GCounter::new();
    assert_eq!(growing.value(), 0);
    let _ = growing.add(replica(A), 5).unwrap();
    let _ = growing.add_at(dot(B, 4), 7).unwrap();
    assert_eq!(growing.value(), 12);
    assert!(growing.rows().eq([(dot(A, 1), 5), (dot(B, 4), 7)]));
    let _ = growing.add_shown_at(dot(B, 5), 1, Seq::new(3)).unwrap();
    assert!(growing.rows().eq([(dot(A, 1), 5), (dot(B, 5), 8)]));
    let error = growing.add(replica(A), u64::MAX).unwrap_err();
    assert_eq!(error, CounterOverflow { total: 5, amount: i64::MAX });
    let _ = growing.add(replica(A), i64::MAX as u64 - 5).unwrap();
    assert!(growing.add(replica(A), 1).is_err());

    let below = PnCounterStore(DotFun::of(dot(A, 1), -1));
    let below = Causal::from_parts(below, [dot(A, 1)].into_iter().collect()).unwrap();
    let bytes = postcard::to_allocvec(&below).unwrap();
    assert!(postcard::from_bytes::<PnCounter>(&bytes).is_ok());
    assert!(postcard::from_bytes::<GCounter>(&bytes).is_err());
    let zero = GCounterStore(DotFun::of(dot(A, 1), 0));
    let zero = Causal::from_parts(zero, [dot(A, 1)].into_iter().collect()).unwrap();
    let bytes = postcard::to_allocvec(&zero).unwrap();
    assert_eq!(postcard::from_bytes::<GCounter>(&bytes).unwrap(), zero);
}

/// Or else a removal that has observed a row leaves what the row that replaced it took over.
#[test]
fn an_increment_replaces_no_row_that_was_shown() {
    let mut counter = PnCounter::new();
    let _ = (counter.add(replica(A), 5), counter.add(replica(A), 1));
    assert!(counter.rows().eq([(dot(A, 1), 5), (dot(A, 2), 1)]));
    let _ = counter.add_at(dot(A, 3), 2).unwrap();
    let _ = counter.add_shown(replica(A), 3, Seq::new(3)).unwrap();
    let _ = counter.add_shown_at(dot(A, 5), 4, Seq::new(4)).unwrap();
    assert!(counter.rows().map(|row| row.1).eq([5, 1, 2, 3, 4]));
    let _ = counter.add_shown(replica(A), 1, Seq::new(4)).unwrap();
    assert!(counter.rows().map(|row| row.1).eq([5, 1, 2, 3, 5]));
}

/// However it is read: or else live items pile up with every mutation.
#[test]
fn what_is_said_again_takes_the_place_of_what_was_said() {
    fn is_last<S: DotStore>(value: &Causal<S>) -> bool {
        let mut live = Vec::new();
        value.each_dot(&mut |dot| live.push(dot));
        live == [dot(B, 1)]
    }
    let (a, b) = (replica(A), replica(B));
    let mut lww = LwwRegister::new();
    let _ = (lww.write(a, at(1), 'x'), lww.write(b, at(1), 'x'));
    let mut mv = MvRegister::new();
    let _ = (mv.write(a, at(1), 'x'), mv.write(b, at(1), 'x'));
    let (mut or_set, mut rw_set) = (OrSet::new(), RwSet::new());
    let _ = (or_set.add(a, 'x'), or_set.add(b, 'x'));
    let _ = (rw_set.add(a, 'x'), rw_set.add(b, 'x'));
    let (mut ew, mut dw) = (EwFlag::new(), DwFlag::new());
    let _ = (ew.enable(a), ew.enable(b), dw.enable(a), dw.enable(b));
    assert!(is_last(&lww) && is_last(&mv) && is_last(&or_set) && is_last(&rw_set));
    assert!(is_last(&ew) && is_last(&dw));
}

#[test]
fn sets_read_what_is_in_them() {
    let mut set = OrSet::new();
    assert_eq!((set.is_empty(), set.len(), set.contains(&'x')), (true, 0, false));
    let _ = set.add(replica(A), 'x');
    let mut other = OrSet::new();
    let _ = other.add_at(dot(B, 3), 'x').unwrap();
    let _ = other.add(replica(B), 'y');
    set.merge(&other);
    assert!(set.iter().eq([&'x', &'y']) && set.len() == 2 && !set.is_empty());
    assert!(set.contains(&'x') && !set.contains(&'z'));
    assert!(set.dots(&'x').eq([dot(A, 1), dot(B, 3)]) && set.dots(&'z').count() == 0);
    let gone = set.remove(&'x');
    assert!(!set.contains(&'x') && gone.seen().count() == 2);
    assert!(set.remove(&'z').seen().is_empty());

    let mut set = RwSet::new();
    assert_eq!((set.is_empty(), set.len(), set.contains(&'x')), (true, 0, false));
    let _ = set.add(replica(A), 'x');
    let mut other = RwSet::new();
    let _ = other.remove_at(dot(B, 3), 'x').unwrap();
    let _ = other.add_at(dot(B, 4), 'y').unwrap();
    set.merge(&other);
    assert!(set.iter().eq([&'y']) && set.len() == 1 && !set.is_empty());
    assert!(set.contains(&'y') && !set.contains(&'x') && !set.contains(&'z'));
    let _ = set.add(replica(A), 'x'); // by somebody who has seen the removal
    assert!(set.contains(&'x'));
    let (_, _) = (set.remove(replica(A), 'x'), set.remove(replica(A), 'y'));
    assert!(set.is_empty());
}

#[test]
fn flags_read_as_their_rule_says() {
    let mut flag = EwFlag::new();
    assert!(!flag.is_enabled());
    let _ = flag.enable_at(dot(A, 2)).unwrap();
    assert!(flag.is_enabled());
    let mut off = flag.clone();
    let _ = off.disable();
    assert!(!off.is_enabled());
    let _ = flag.enable(replica(A));
    assert!(merged(flag, &off).is_enabled(), "enabling wins");

    let mut flag = DwFlag::new();
    assert!(!flag.is_enabled());
    let _ = flag.enable_at(dot(A, 2)).unwrap();
    assert!(flag.is_enabled());
    let mut off = flag.clone();
    let _ = off.disable_at(dot(B, 1)).unwrap();
    let _ = flag.enable(replica(A));
    assert!(flag.is_enabled() && !off.is_enabled());
    let mut both = merged(flag, &off);
    assert!(!both.is_enabled(), "disabling wins");
    let _ = both.enable(replica(A));
    assert!(both.is_enabled());
    let _ = both.disable(replica(A));
    assert!(!both.is_enabled());
}

#[test]
fn maps_read_what_stands_in_them() {
    let mut map: OrMap<char, PnCounter> = OrMap::new();
    assert_eq!((map.is_empty(), map.len(), map.contains_key(&'x')), (true, 0, false));
    let _ = map.try_update(replica(A), 'x', |c, dot| c.adding(dot, 1, Seq::MAX)).unwrap();
    let add = |c: &PnCounterStore, dot| c.adding(dot, 2, Seq::MAX).map_err(CounterError::from);
    let _ = map.try_update_at(dot(B, 2), 'y', add).unwrap();
    assert_eq!(
        map.try_update_at(dot(B, 2), 'y', add),
        Err(CounterError::Dot(DotSeen { dot: dot(B, 2) }))
    );
    assert!(map.keys().eq([&'x', &'y']) && map.len() == 2 && !map.is_empty());
    assert!(map.contains_key(&'x') && !map.contains_key(&'z') && map.get(&'z').is_none());
    assert!(map.iter().map(|(_, counter)| counter.value()).eq([1, 2]));
    assert!(map.remove(&'z').seen().is_empty());
    let before = map.store().clone();
    let gone = map.remove(&'x');
    assert!(before != *map.store() && before == before.clone());
    assert!(map.keys().eq([&'y']) && gone.is_empty() && gone.seen().count() == 1);

    let mut flags: OrMap<char, EwFlag> = OrMap::new();
    let _ = flags.update_at(dot(A, 1), 'x', |flag, dot| flag.enabling(dot)).unwrap();
    assert!(flags.update_at(dot(A, 1), 'y', |flag, dot| flag.enabling(dot)).is_err());
    assert!(flags.keys().eq([&'x']));
    // Disabling the only flag beneath a key takes the key out.
    let _ = flags.update(replica(A), 'x', |flag, _| flag.disabling());
    assert!(flags.is_empty());
    // So does what empties a map beneath it, removed here or elsewhere.
    let mut maps: OrMap<char, OrMap<char, EwFlag>> = OrMap::new();
    let _ = maps.update(replica(A), 'x', |map, dot| map.updating('y', |flag| flag.enabling(dot)));
    let mut other = maps.clone();
    let gone = maps.update(replica(A), 'x', |map, _| map.removing(&'y'));
    assert!(maps.is_empty());
    other.merge(&gone);
    assert!(other.is_empty());
}

/// Live items without an event that was seen would be dropped by the first merge.
#[test]
fn a_value_of_parts_that_do_not_fit_is_refused() {
    let store = || MvRegisterStore(DotFun::of(dot(A, 2), Stamped { time: at(1), value: 'a' }));
    let seen = |dots: &[Dot]| dots.iter().copied().collect::<CausalContext>();
    let unseen = Causal::from_parts(store(), seen(&[dot(A, 1)]));
    assert_eq!(unseen, Err(NotCausal::Unseen(dot(A, 2))));
    let made = Causal::from_parts(store(), seen(&[dot(A, 1), dot(A, 2)])).unwrap();
    assert_eq!((made.store(), made.seen().count()), (&store(), 2));
    assert_eq!(made.into_parts(), (store(), seen(&[dot(A, 1), dot(A, 2)])));

    let twice: DotMap<char, DotSet> = {
        // With a dot between the two, as the keys have it.
        let mut set = OrSetStore(DotMap::of('x', DotSet::of(dot(A, 1))));
        let nothing = CausalContext::new();
        for (key, dot) in [('y', dot(A, 2)), ('z', dot(A, 1))] {
            let other = OrSetStore(DotMap::of(key, DotSet::of(dot)));
            set.join(&other, &Meeting::new(&nothing, &nothing, &other));
        }
        set.0
    };
    let found = Causal::from_parts(OrSetStore(twice), seen(&[dot(A, 1), dot(A, 2)]));
    assert_eq!(found, Err(NotCausal::Twice(dot(A, 1))));
}

#[test]
fn a_dot_that_names_no_new_event_changes_nothing() {
    let mut set = OrSet::new();
    let _ = set.add(replica(A), 'x');
    let before = set.clone();
    for old in [dot(A, 1), dot(B, 0)] {
        assert_eq!(set.add_at(old, 'y'), Err(DotSeen { dot: old }));
        assert_eq!(set, before);
    }
    // A replica that has used up its seqs writes no more.
    let mut last = OrSet::new();
    let _ = last.add_at(dot(A, u64::MAX), 'x').unwrap();
    let before = last.clone();
    assert_eq!(last.add(replica(A), 'y'), OrSet::new());
    assert_eq!(last, before);
}

/// Decoders refuse what no history makes.
#[test]
fn bytes_out_of_order_doubled_or_empty_are_refused() {
    fn reads<S: DotStore + serde::de::DeserializeOwned>(rows: &impl serde::Serialize) -> bool {
        postcard::from_bytes::<S>(&postcard::to_allocvec(rows).unwrap()).is_ok()
    }
    let (one, two) = (dot(A, 1), dot(A, 2));
    assert!(reads::<DotSet>(&vec![one, two]));
    assert!(!reads::<DotSet>(&vec![two, one]) && !reads::<DotSet>(&vec![one, one]));
    assert!(reads::<DotFun<u8>>(&vec![(one, 1_u8), (two, 1)]));
    assert!(!reads::<DotFun<u8>>(&vec![(two, 1_u8), (one, 1)]));
    assert!(reads::<DotMap<u8, DotSet>>(&vec![(1_u8, vec![one]), (2, vec![two])]));
    assert!(!reads::<DotMap<u8, DotSet>>(&vec![(2_u8, vec![one]), (1, vec![two])]));
    assert!(!reads::<DotMap<u8, DotSet>>(&vec![(1_u8, vec![one]), (2, vec![])]));
    let error = postcard::from_bytes::<DotSet>(&[]).unwrap_err();
    assert_eq!(error, postcard::Error::DeserializeUnexpectedEnd);
    let error = serde_json::from_str::<DotSet>("7").unwrap_err().to_string();
    assert!(error.contains("entries in ascending order, none twice"), "{error}");
}

#[test]
fn stores_of_dots_read_what_lives_in_them() {
    let (one, two) = (dot(A, 1), dot(B, 2));
    let rows: DotFun<char> = [(two, 'b'), (one, 'a')].into_iter().collect();
    assert_eq!((rows.get(one), rows.get(dot(A, 2))), (Some(&'a'), None));
    assert!(rows.iter().eq([(one, &'a'), (two, &'b')]) && rows.dots().eq([one, two]));
    assert_eq!(
        (rows.len(), rows.is_empty(), DotFun::<char>::default().is_empty()),
        (2, false, true)
    );
    let dots: DotSet = [two, one].into_iter().collect();
    assert!(dots.dots().eq([one, two]) && dots.len() == 2 && !dots.is_empty());
    assert!(DotSet::default().is_empty());
    let map = DotMap::of('x', dots);
    assert!(map.keys().eq([&'x']) && map.len() == 1 && !map.is_empty());
    assert_eq!((map.get(&'x').map(DotSet::len), map.get(&'y')), (Some(2), None));
    assert!(map.iter().map(|(key, dots)| (*key, dots.len())).eq([('x', 2)]));

    let name = |n: u8| replica(n).to_string();
    assert_eq!(format!("{rows:?}"), format!("{{{}:1: 'a', {}:2: 'b'}}", name(A), name(B)));
    assert_eq!(format!("{map:?}"), format!("{{'x': {{{}:1, {}:2}}}}", name(A), name(B)));
    let set = OrSetStore(map);
    assert_eq!(format!("{set:?}"), format!("{{'x': {{{}:1, {}:2}}}}", name(A), name(B)));
}

/// A removal names dots and no keys: it finds them under whatever key they stand, and leaves
/// what it has not seen.
#[test]
fn a_removal_without_keys_finds_its_dots() {
    let mut set = OrSet::new();
    let deltas: Vec<_> = (0..600_u32).map(|n| set.add(replica(A), n)).collect();
    let mut elsewhere = set.clone();
    // Of few dots, each is looked for; of more than are counted one by one, all is walked.
    for range in [2..4, 10..290, 300..600] {
        let mut gone = OrSet::new();
        for delta in &deltas[range] {
            gone.merge(delta);
        }
        let _ = gone.clear();
        let before = set.len();
        set.merge(&gone);
        assert_eq!(before - set.len(), gone.seen().count() as usize);
    }
    assert!(set.iter().copied().eq((0..2).chain(4..10).chain(290..300)));
    let again = elsewhere.add(replica(B), 2);
    elsewhere.merge(&set);
    assert!(elsewhere.contains(&2) && !elsewhere.contains(&3) && elsewhere.len() == 19);
    set.merge(&again);
    assert_eq!(set, elsewhere);
}
