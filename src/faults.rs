//! Deliberate faults, to show that the tests bite.
//!
//! Each breaks one rule of the design by one line where the rule stands: in the code that ships,
//! but for the one that a simulated disk keeps in the place of an identity file. They exist only
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

/// Each is declared here, and made where the rule stands.
#[cfg(rejoin_faults)]
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A rule to break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

#[cfg(rejoin_faults)]
faults! {
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
    /// Half of a delta's last chunk is there when its vector is.
    ChunkAppliedByHalf,
    /// A written item has no past, and a proof that fails is taken for one that holds.
    PastDroppedAndRepairOff,
    /// A delta ends in the middle of a transaction.
    TransactionSplit,
    /// Relaxed writes are shown to a peer before they are on disk.
    SyncSkippedBeforeEventsAreShown,
    /// What came from one peer is shown to another before it is on disk.
    SyncSkippedBeforeEventsArePassedOn,
    /// A session ends before what it brought is on disk.
    SyncSkippedAtTheEnd,
    /// A write returns before it is on disk.
    WriteAcknowledgedBeforeTheDisk,
    /// A store that was put back or copied keeps its name.
    DotReusedAfterRestore,
    /// A removal does not mark its block of the digest.
    BlockNotMarkedDirty,
    /// A register's write leaves what has a later timestamp.
    LwwByClockBeforeCausality,
    /// A counter's row forgets the own rows that it replaced.
    CounterPastPruned,
    /// A counter's rows stay beside the one that adds them up.
    CounterRowsKeptWhenAddedUp,
    /// A put replaces all siblings, whatever its context has seen.
    ContextIgnored,
    /// Two deltas are staged as one.
    TwoSessionsFeedOneStaging,
    /// What a peer says to be dead stays.
    RepairDropsNothing,
    /// Removal records come and remove nothing.
    RemovalRecordsNotApplied,
    /// A removal leaves no record.
    RemovalNotLogged,
    /// A removal's past reaches beyond what its writer has seen.
    RemovalPastWidened,
    /// What a displaced delta had staged stays.
    DisplacedStagingKept,
    /// Frames are taken as they come.
    FramesTakenOutOfOrder,
    /// Nothing is tagged, so that a fork of a name goes unnoticed.
    NoTags,
    /// A file that was copied without its identity keeps its name.
    CopiedFileKeepsItsName,
    /// Of an event with two contents only one lives on.
    SecondContentForgotten,
    /// A commit leaves the vector that is kept in memory as it was.
    VectorCachedOverAChange,
    /// A space that changed since its root was made counts as equal where two meet again.
    MeetingRememberedOverAChange,
    /// Two that changed while they walked are said to differ for good.
    ChangeTakenForTwoContents,
    /// A peer may name events of ours that we never made.
    OwnFutureTaken,
    /// A delta may lead further than the vector that ends it.
    DeltaBeyondItsVectorTaken,
    /// A peer may claim that items are dead without having walked.
    ClaimsTakenWithoutAWalk,
    /// Events that were seen are staged once more when they are sent again.
    SeenEventsTakenAgain,
    /// What another peer staged appears when a delta of one chunk covers it.
    ForeignStagedRowsShown,
    /// Whatever a peer claims is dropped, however much it is.
    BrakeIgnored,
    /// What a peer's claims took away before does not count.
    BrakeForgetsTheDay,
    /// What is to be kept is not written anew.
    KeptItemsNotWritten,
    /// What a peer takes away without a record is thrown away.
    TrashSkipped,
    /// A log that is full drops its newest records.
    LogTrimmedByTheWrongEnd,
    /// Sessions go on over a drop of the space as if it were the same.
    DropIsNoWay,
    /// A delta goes on behind what was staged under names that have given way since.
    ForkIsNoWay,
    /// A replica makes the dots anew that it had made in a space before it dropped it.
    NameKeptOverADrop,
    /// A resolver is handed the own siblings first.
    ResolverNotDeterministic,
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
