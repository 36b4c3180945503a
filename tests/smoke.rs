#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
use rejoin::Store;
use rejoin::session::{Scope, Session};

fn meet(a: &Store, b: &Store) -> (rejoin::session::Report, rejoin::session::Report) {
    let mut left = Session::connect(a, Scope::All, [1; 16]).unwrap();
    let mut right = Session::accept(b, [2; 16]);
    loop {
        let mut quiet = true;
        while let Some(frame) = left.poll_frame(0).unwrap() {
            eprintln!(
                "→ {} {}",
                frame.len(),
                frame.escape_ascii().to_string().chars().take(100).collect::<String>()
            );
            right.handle_frame(0, &frame).unwrap();
            quiet = false;
        }
        while let Some(frame) = right.poll_frame(0).unwrap() {
            eprintln!(
                "← {} {}",
                frame.len(),
                frame.escape_ascii().to_string().chars().take(100).collect::<String>()
            );
            left.handle_frame(0, &frame).unwrap();
            quiet = false;
        }
        if quiet {
            return (left.report().clone(), right.report().clone());
        }
    }
}

#[test]
fn apple_and_banana() {
    let (a, b) = (Store::in_memory(), Store::in_memory());
    let (sa, sb) = (a.space("main").unwrap(), b.space("main").unwrap());
    sa.set::<String>("cart").add(&"apple".into()).unwrap();
    sb.set::<String>("cart").add(&"banana".into()).unwrap();
    let (left, right) = meet(&a, &b);
    eprintln!("{left:?}\n{right:?}");
    assert!(left.converged() && right.converged());
    assert_eq!(sa.set::<String>("cart").elements().unwrap(), ["apple", "banana"]);
    assert_eq!(sa.root().unwrap(), sb.root().unwrap());
    let (left, _) = meet(&a, &b);
    eprintln!("{left:?}");
    assert_eq!(left.round_trips, 1);
    sa.set::<String>("cart").remove(&"apple".into()).unwrap();
    sb.counter("n").add(3).unwrap();
    let (left, _) = meet(&a, &b);
    eprintln!("{left:?}");
    assert!(left.converged());
    assert_eq!(sb.set::<String>("cart").elements().unwrap(), ["banana"]);
    assert_eq!(sa.counter("n").get().unwrap(), 3);
}
