//! Spaces that are dropped while sessions are about them.

use super::*;

/// B tells its vector against a base that A does not know, sends a chunk, and drops the space
/// before A's question for the whole vector comes: nobody answers that one any more.
#[test]
fn a_space_that_is_given_up_before_its_vector_came_ends() {
    for frames in 1..9 {
        let (a, b) = half_proven();
        ["more", "and more", "even more"].iter().for_each(|key| put(&b, key));
        let mut pair = Pair::new(&a, &b);
        pair.send(0, usize::MAX);
        pair.send(1, frames);
        b.drop_space("main").unwrap();
        pair.send(1, usize::MAX);
        let reports = pair.run();
        assert!(reports.iter().all(|report| report.finished), "dropped after {frames} frames");
    }
}
