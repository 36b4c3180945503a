//! Deliberate faults, to show that the tests bite.
//!
//! Each breaks one rule of the design by one line where the rule stands. They exist only
//! in builds with `--cfg rejoin_faults`, and there only for the thread that chose one; in
//! an ordinary build the question is the constant `false`.

/// Whether the named fault is to be made here.
macro_rules! fault {
    ($name:ident) => {{
        #[cfg(rejoin_faults)]
        let made = $crate::faults::is_chosen($crate::faults::Fault::$name);
        #[cfg(not(rejoin_faults))]
        let made = false;
        made
    }};
}
pub(crate) use fault;

/// A rule to break.
#[cfg(rejoin_faults)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A proof that fails is taken for one that holds.
    NoRepair,
    /// The vector moves with each chunk instead of with the last.
    VectorMovesWithEachChunk,
    /// The vector that ends a delta is read after its items.
    FinalVectorReadLate,
    /// Repair claims what was live when the session began.
    LiveSetReadBeforeTheVector,
    /// What is found dead is dropped without the news that explains it.
    ClaimsWithoutTheNews,
    /// A written item's past is the whole vector.
    PastWidenedToTheWholeVector,
    /// Rows ahead of the vector are shown.
    StagedRowsVisible,
    /// A delta resumes behind what another peer staged.
    AnotherPeersStagingResumed,
    /// A counter's row is replaced although a peer may have seen it.
    CounterRowReplacedAfterItWasShown,
}

#[cfg(rejoin_faults)]
impl Fault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::NoRepair,
        Self::VectorMovesWithEachChunk,
        Self::FinalVectorReadLate,
        Self::LiveSetReadBeforeTheVector,
        Self::ClaimsWithoutTheNews,
        Self::PastWidenedToTheWholeVector,
        Self::StagedRowsVisible,
        Self::AnotherPeersStagingResumed,
        Self::CounterRowReplacedAfterItWasShown,
    ];
}

#[cfg(rejoin_faults)]
std::thread_local! {
    static CHOSEN: core::cell::Cell<Option<Fault>> = const { core::cell::Cell::new(None) };
}

/// Makes this thread break a rule from now on, or none.
#[cfg(rejoin_faults)]
pub fn choose(fault: Option<Fault>) {
    CHOSEN.with(|chosen| chosen.set(fault));
}

#[cfg(rejoin_faults)]
pub(crate) fn is_chosen(fault: Fault) -> bool {
    CHOSEN.with(|chosen| chosen.get() == Some(fault))
}
