//! Two stores in one program meet; `cart` shows the same over a socket.
#![allow(dead_code, reason = "each example uses some of it")]

use std::error::Error;

use rejoin::session::{Report, Scope, Session};
use rejoin::{Options, Store};

/// One session, hand to hand: what one side says the other one hears. Both have proven then
/// that they are equal; the report is of the side that connected.
pub(crate) fn meet(a: &Store, b: &Store) -> Result<Report, Box<dyn Error>> {
    let mut nonces = [[0; 16]; 2];
    nonces.iter_mut().for_each(|nonce| (Options::default().entropy)(nonce));
    let mut left = Session::connect(a, Scope::All, nonces[0])?;
    let mut right = Session::accept(b, nonces[1]);
    while !(left.is_over() && right.is_over()) {
        while let Some(frame) = left.poll_frame(0)? {
            right.handle_frame(0, &frame)?;
        }
        while let Some(frame) = right.poll_frame(0)? {
            left.handle_frame(0, &frame)?;
        }
    }
    assert!(left.report().converged() && right.report().converged());
    Ok(left.report().clone())
}

/// The start of a name that is too long to read.
pub(crate) fn short(name: impl ToString) -> String {
    name.to_string().chars().take(10).collect()
}
