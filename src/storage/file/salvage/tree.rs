//! Walking a tree of which pages may be damaged: around them, and on behind.

use std::ops::ControlFlow;

use super::pages::{Branch, Leaf, Pages, Widths};
use crate::storage::file::first::Pointer;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// No tree comes near it: a page of pointers has hundreds of children.
const MOST_LEVELS: usize = 32;

/// What a walk comes by, in the order of the keys.
pub(super) enum Met<'p> {
    /// A row of a sound page.
    Row(&'p [u8], &'p [u8]),
    /// What may be a row, of a page that is not.
    Suspect(&'p [u8], &'p [u8]),
    /// Rows may be missing here.
    Gap,
}

/// Keys from the first on, before the second; an empty one is no bound.
#[derive(Clone, Copy)]
pub(super) struct Within<'k>(pub(super) &'k [u8], pub(super) Option<&'k [u8]>);

impl Within<'_> {
    pub(super) const ALL: Within<'static> = Within(&[], None);

    fn holds(&self, key: &[u8]) -> bool {
        key >= self.0 && self.1.is_none_or(|to| key < to)
    }
}

/// What a walk has left of the pages that a file can hold: a tree visits each at most once,
/// and one that is made to lead to the same page again and again would never end.
struct Left(u64);

pub(super) type Visit<'v> = &'v mut dyn FnMut(Met<'_>) -> ControlFlow<()>;

/// A tree: where its root is, and whether that is told by a page that is sound itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub(super) root: Pointer,
    pub(super) trusted: bool,
    pub(super) widths: Widths,
    /// Rows that it should have.
    pub(super) length: u64,
}

impl Tree {
    pub(super) fn walk(&self, pages: &Pages, within: Within<'_>, visit: Visit<'_>) {
        let mut left = Left(pages.count());
        let at = (self.root, self.trusted, MOST_LEVELS);
        let _ = self.beneath(pages, at, &mut left, within, visit);
    }

    fn beneath(
        &self,
        pages: &Pages,
        (pointer, trusted, levels): (Pointer, bool, usize),
        left: &mut Left,
        within: Within<'_>,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        // A damaged pointer may lead anywhere, to a page of old even: only one that leads to
        // what it says is followed.
        if levels == 0 || left.0 == 0 {
            return visit(Met::Gap);
        }
        left.0 -= 1;
        let found =
            pages.page(pointer, trusted, self.widths).filter(|(_, sound)| *sound || trusted);
        let Some((page, sound)) = found else { return visit(Met::Gap) };
        match page.first() {
            Some(&LEAF) => match Leaf::of(&page, self.widths) {
                Some(leaf) => rows(leaf, sound, within, visit),
                None => visit(Met::Gap),
            },
            Some(&BRANCH) => match Branch::of(&page, self.widths) {
                Some(branch) => self.children(pages, (branch, sound, levels), left, within, visit),
                None => visit(Met::Gap),
            },
            _ => visit(Met::Gap),
        }
    }

    fn children(
        &self,
        pages: &Pages,
        (branch, sound, levels): (Branch<'_>, bool, usize),
        left: &mut Left,
        within: Within<'_>,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        if !sound {
            visit(Met::Gap)?;
        }
        for n in 0..branch.children() {
            // Of a damaged page the keys say nothing.
            let before = |key: Option<&[u8]>| key.is_some_and(|key| key < within.0);
            let behind = |key: Option<&[u8]>| key.zip(within.1).is_some_and(|(key, to)| key >= to);
            let above = n.checked_sub(1).and_then(|n| branch.key(n));
            if sound && (before(branch.key(n)) || behind(above)) {
                continue;
            }
            match branch.child(n) {
                Some(child) => {
                    self.beneath(pages, (child, sound, levels - 1), left, within, visit)?;
                }
                None => visit(Met::Gap)?,
            }
        }
        if sound { ControlFlow::Continue(()) } else { visit(Met::Gap) }
    }
}

fn rows(leaf: Leaf<'_>, sound: bool, within: Within<'_>, visit: Visit<'_>) -> ControlFlow<()> {
    if !sound {
        visit(Met::Gap)?;
    }
    for n in 0..leaf.count {
        match leaf.row(n) {
            Some((key, value)) if within.holds(key) => match sound {
                true => visit(Met::Row(key, value))?,
                false => visit(Met::Suspect(key, value))?,
            },
            Some(_) => {}
            None if sound => visit(Met::Gap)?,
            None => {}
        }
    }
    ControlFlow::Continue(())
}
