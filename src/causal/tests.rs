//! What the random histories of each file do not ask: ends of ranges, words, small questions.

use super::{
    CausalContext, Causality, Dot, DottedVersionVector, Hlc, HybridClock, ReplicaId, Seq,
    VersionVector,
};

fn replica(n: u8) -> ReplicaId {
    ReplicaId::from_bytes([n; 16])
}

fn dot(n: u8, seq: u64) -> Dot {
    Dot::new(replica(n), Seq::new(seq))
}

fn vector<const N: usize>(dots: [Dot; N]) -> VersionVector {
    dots.into_iter().collect()
}

#[test]
fn seqs_stay_within_their_ends() {
    assert_eq!(Seq::new(7).next(), Seq::new(8));
    assert_eq!(Seq::new(7).prev(), Seq::new(6));
    assert_eq!((Seq::MAX.next(), Seq::ZERO.prev()), (Seq::MAX, Seq::ZERO));
    assert!(Seq::ZERO.is_zero() && !Seq::FIRST.is_zero() && Seq::FIRST.get() == 1);
}

/// Stories, errors and logs name events so.
#[test]
fn what_is_printed_names_its_parts() {
    let name = "0".repeat(24);
    let one = ReplicaId::from_bytes(1_u128.to_be_bytes());
    let event = Dot::new(one, Seq::new(12));
    assert_eq!(format!("{one} {one:?}"), format!("{name}01 {name}01"));
    assert_eq!(format!("{} {event} {event:?}", event.seq), format!("12 {name}01:12 {name}01:12"));
    let seen: VersionVector = [Dot::new(one, Seq::new(3))].into_iter().collect();
    assert_eq!(format!("{seen:?}"), format!("{{{name}01: Seq(3)}}"));
    let dotted = DottedVersionVector::new(event, seen).unwrap();
    assert_eq!(format!("{dotted:?}"), format!("{name}01:12 after {{{name}01: Seq(3)}}"));
    let time = Hlc::new(1_234, 5);
    assert_eq!(format!("{time} {time:?}"), "1234+5 1234+5");
}

#[test]
fn a_vector_answers_for_each_replica() {
    let seen = vector([dot(1, 3), dot(3, 5)]);
    assert_eq!(seen.get(replica(1)), Seq::new(3));
    assert_eq!((seen.get(replica(2)), seen.get(replica(4))), (Seq::ZERO, Seq::ZERO));
    assert!(seen.contains(dot(1, 3)) && seen.contains(dot(1, 1)) && !seen.contains(dot(1, 4)));
    assert!(!seen.contains(dot(2, 1)));
    assert_eq!((seen.len(), seen.is_empty()), (2, false));
    let nothing = VersionVector::new();
    assert_eq!((nothing.len(), nothing.is_empty()), (0, true));
    assert!(seen.covers(&nothing) && !nothing.covers(&seen) && nothing.covers(&nothing));
    assert_eq!(seen.beyond(&vector([dot(1, 3), dot(3, 4)])), vector([dot(3, 5)]));
}

/// One entry needs no memory of its own, and is told apart from many and from none.
#[test]
fn a_vector_of_none_one_or_many_sorted_entries_is_made() {
    for entries in [vec![], vec![dot(1, 1)], vec![dot(1, 1), dot(2, 9), dot(3, 4)]] {
        let made = VersionVector::from_sorted(entries.iter().map(|dot| (dot.replica, dot.seq)));
        assert_eq!(made, Some(entries.into_iter().collect()));
    }
}

#[test]
fn a_context_answers_for_loose_dots_as_for_runs() {
    let mut seen: CausalContext =
        [dot(1, 1), dot(1, 2), dot(1, 5), dot(2, 3)].into_iter().collect();
    assert_eq!(seen.vector(), &vector([dot(1, 2)]));
    assert!(seen.loose().eq([dot(1, 5), dot(2, 3)]));
    assert_eq!(seen.greatest(replica(1)), Seq::new(5));
    assert_eq!(seen.greatest(replica(2)), Seq::new(3));
    assert_eq!(seen.greatest(replica(3)), Seq::ZERO);
    assert_eq!(seen.next_dot(replica(1)), dot(1, 6));
    assert_eq!(seen.count(), 4);
    assert!(!seen.contains(dot(1, 0)) && !seen.contains(dot(1, 3)) && seen.contains(dot(1, 5)));
    assert!(!seen.insert(dot(1, 5)) && !seen.insert(dot(1, 0)) && seen.insert(dot(1, 3)));
    assert_eq!(seen.vector(), &vector([dot(1, 3)]));

    let loose: CausalContext = [dot(1, 2)].into_iter().collect();
    let run = CausalContext::from(vector([dot(1, 1)]));
    assert!(!loose.is_empty() && !run.is_empty() && CausalContext::new().is_empty());
}

/// A run that reaches a loose dot takes it in, and one that leaves a gap does not.
#[test]
fn joining_a_run_closes_gaps_and_only_those() {
    let loose: CausalContext = [dot(1, 3), dot(1, 4), dot(1, 7), dot(2, 2)].into_iter().collect();
    let mut joined = loose.clone();
    joined.join(&vector([dot(1, 2)]).into());
    assert_eq!(joined.vector(), &vector([dot(1, 4)]));
    assert!(joined.loose().eq([dot(1, 7), dot(2, 2)]));
    let mut apart = loose.clone();
    apart.join(&vector([dot(1, 1), dot(3, 1)]).into());
    assert_eq!(apart.vector(), &vector([dot(1, 1), dot(3, 1)]));
    assert!(apart.loose().eq(loose.loose()));
}

#[test]
fn an_event_knows_itself_and_its_past() {
    let event = DottedVersionVector::new(dot(1, 4), vector([dot(1, 2), dot(2, 1)])).unwrap();
    assert_eq!((event.dot(), event.past()), (dot(1, 4), &vector([dot(1, 2), dot(2, 1)])));
    assert!(event.contains(dot(1, 4)) && event.contains(dot(1, 2)) && event.contains(dot(2, 1)));
    assert!(!event.contains(dot(1, 3)) && !event.contains(dot(1, 5)));
    assert_eq!(event.to_vector(), vector([dot(1, 4), dot(2, 1)]));
    assert!(event.descends(&event));
    assert_eq!(event.compare(&event), Causality::Equal);
}

/// No history makes them, but bytes from elsewhere may. Neither may replace the other.
#[test]
fn two_that_claim_to_have_seen_each_other_are_concurrent() {
    let event = |of, seen| DottedVersionVector::new(of, vector([seen])).unwrap();
    let (one, other) = (event(dot(1, 1), dot(2, 1)), event(dot(2, 1), dot(1, 1)));
    assert_eq!(one.compare(&other), Causality::Concurrent);
    assert_eq!(other.compare(&one), Causality::Concurrent);
}

#[test]
fn a_clock_follows_up_to_the_bound_and_not_beyond() {
    let mut clock = HybridClock::after(Hlc::new(5, 5));
    assert!(clock.observe(Hlc::new(110, 9), 100, 10));
    assert_eq!(clock.last(), Hlc::new(110, 9));
    assert!(!clock.observe(Hlc::new(111, 0), 100, 10));
    assert_eq!(clock.last(), Hlc::new(110, 9));
    // What is behind is nothing to follow; what is where the clock stands, neither.
    assert!(clock.observe(Hlc::new(1, 1), 100, 10) && clock.observe(clock.last(), 0, 0));
    assert_eq!(clock.last(), Hlc::new(110, 9));
    assert_eq!(Hlc::from_u64(Hlc::new(1, 2).as_u64()), Hlc::new(1, 2));
    assert_eq!((Hlc::MAX_MS, Hlc::MAX.ms()), (0xffff_ffff_ffff, Hlc::MAX_MS));
    assert_eq!(Hlc::new(Hlc::MAX_MS + 1, 1), Hlc::new(Hlc::MAX_MS, 1));
    assert_eq!((Hlc::new(3, u16::MAX).next(), Hlc::MAX.next()), (Hlc::new(4, 0), Hlc::MAX));
}
