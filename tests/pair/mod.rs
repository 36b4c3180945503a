//! Stores that are always the same ones, and sessions between two of them, frame by frame.
#![allow(dead_code, reason = "each test uses some of it")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::session::{Report, Scope, Session};
use rejoin::space::{Item, Keys};
use rejoin::{Error, Options, Snapshot, Space, Store};

/// When it is.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// A clock that stands still, and randomness that is none: ids and nonces depend on the name.
pub(crate) fn options(name: u8) -> Options {
    options_at(name, NOW_MS)
}

pub(crate) fn options_at(name: u8, now_ms: u64) -> Options {
    let drawn = AtomicU64::new(0);
    let entropy = move |bytes: &mut [u8]| {
        let n = drawn.fetch_add(1, Ordering::Relaxed) as u8;
        bytes.fill(name.wrapping_add(n.wrapping_mul(16)));
    };
    Options::with(Arc::new(move || now_ms), Arc::new(entropy))
}

pub(crate) fn store(name: u8) -> Store {
    Store::in_memory_with(options(name))
}

pub(crate) fn main_of(store: &Store) -> Space {
    store.space("main").unwrap()
}

/// A session to its end, which proves all equal; what the side that connects says of it.
pub(crate) fn meet(a: &Store, b: &Store) -> Report {
    let report = Meeting::of(a, b).run(usize::MAX).unwrap();
    assert!(report.converged(), "{report:?}");
    report
}

/// Two sides of a session, and the frames that went between them.
pub(crate) struct Meeting {
    pub(crate) left: Session,
    pub(crate) right: Session,
    pub(crate) now_ms: u64,
    /// Bytes of each frame, and whether the side that connected sent it.
    pub(crate) frames: Vec<(bool, usize)>,
}

impl Meeting {
    pub(crate) fn of(a: &Store, b: &Store) -> Self {
        let left = Session::connect(a, Scope::All, [1; 16]).unwrap();
        Self { left, right: Session::accept(b, [2; 16]), now_ms: 0, frames: Vec::new() }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left.is_over() && self.right.is_over()
    }

    /// Hands over the next frame of one side; whether there was one.
    fn hand_over(&mut self, from_left: bool) -> Result<bool, Error> {
        let (from, to) = match from_left {
            true => (&mut self.left, &mut self.right),
            false => (&mut self.right, &mut self.left),
        };
        let Some(frame) = from.poll_frame(self.now_ms)? else { return Ok(false) };
        self.frames.push((from_left, frame.len()));
        to.handle_frame(self.now_ms, &frame)?;
        Ok(true)
    }

    /// Hands over at most so many frames; the report, if the session came to its end.
    pub(crate) fn run(mut self, frames: usize) -> Option<Report> {
        self.run_on(frames).then(|| self.left.report().clone())
    }

    /// The same, and the session may go on afterwards; whether it came to its end.
    pub(crate) fn run_on(&mut self, frames: usize) -> bool {
        self.try_run(frames).unwrap()
    }

    /// The same, where a side may refuse what the other says: then that is why it ended.
    pub(crate) fn try_run(&mut self, frames: usize) -> Result<bool, Error> {
        let mut left = frames;
        let mut from_left = true;
        let mut quiet = 0;
        while !self.is_over() {
            if left == 0 {
                return Ok(false);
            }
            if self.hand_over(from_left)? {
                (left, quiet) = (left - 1, 0);
                continue;
            }
            from_left = !from_left;
            quiet += 1;
            if quiet > 2 {
                let due = [self.left.poll_timeout(), self.right.poll_timeout()];
                let due = due.into_iter().flatten().min();
                let due =
                    due.unwrap_or_else(|| panic!("both wait: {:?}, {:?}", self.left, self.right));
                self.now_ms = due.max(self.now_ms);
                self.left.handle_timeout(self.now_ms)?;
                self.right.handle_timeout(self.now_ms)?;
                quiet = 0;
            }
        }
        Ok(true)
    }

    /// Bytes of all frames both ways.
    pub(crate) fn bytes(&self) -> usize {
        self.frames.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// All that is live in a space, row by row.
pub(crate) fn items(space: &Space) -> Vec<Item> {
    items_at(&space.snapshot().unwrap())
}

pub(crate) fn items_at(snapshot: &Snapshot) -> Vec<Item> {
    let mut items = Vec::new();
    snapshot
        .for_each_item(Keys::all(), |item| {
            items.push(item);
            ControlFlow::Continue(())
        })
        .unwrap();
    items
}

/// What must stay as it was where something is refused.
pub(crate) fn standing(space: &Space) -> impl PartialEq + std::fmt::Debug + use<> {
    let status = space.status().unwrap();
    (items(space), status.vector, status.root, status.removal_log_bytes, status.commit)
}

/// Nothing is wrong with the rows of a store.
pub(crate) fn assert_sound(store: &Store) {
    let found = store.check().unwrap();
    assert!(found.is_sound(), "{found:?}");
}

/// A nonce that no session before had.
pub(crate) fn nonce() -> [u8; 16] {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    u128::from(DRAWN.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}
