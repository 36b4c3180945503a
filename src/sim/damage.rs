//! The kinds of damage that a world does.

macro_rules! damages {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)+) => {
        /// A kind of damage that a world does to its replicas.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Damage {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Damage {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// What it is called in lists and stories.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

impl Damage {
    /// Those that any world may draw; the others are for a share of them.
    pub(super) const COMMON: usize = Self::Lied as usize;

    /// Whether a disk fails by it: then a transaction may be there or not.
    pub(super) const fn is_of_disk(self) -> bool {
        matches!(
            self,
            Self::SyncCut
                | Self::FailedSync
                | Self::FullDisk
                | Self::FailedRead
                | Self::FlippedBits
        )
    }
}

damages! {
    /// A connection breaks, at any byte; some of what is on its way still comes.
    Cut = "cuts",
    /// A frame is lost in a connection that goes on.
    Lost = "frames lost",
    /// A frame comes twice.
    Doubled = "frames doubled",
    /// A frame overtakes another.
    Swapped = "frames swapped",
    /// One side of a connection ends, and the other does not hear of it.
    HalfOpen = "half-open links",
    /// The network falls in two parts, which nothing passes between until it heals.
    Partition = "partitions",
    /// A replica dies for ever.
    Died = "deaths",
    /// A replica is closed and opened again.
    Closed = "reopenings",
    /// The power goes between two calls of the disk: what was not synced may be lost.
    PowerCut = "power cuts",
    /// The power goes with a sync of the disk, and sometimes once more while opening.
    SyncCut = "power cuts at a sync",
    /// A sync fails: the store takes no write until it is opened again.
    FailedSync = "failed syncs",
    /// The disk is full.
    FullDisk = "full disks",
    /// A read fails.
    FailedRead = "failed reads",
    /// Bits of a closed file turn over.
    FlippedBits = "flipped bits",
    /// A replica is put back to what was copied of it earlier.
    Restored = "restores",
    /// A replica is copied, and both copies go on.
    Cloned = "clones",
    /// A new replica joins with nothing.
    Joined = "newcomers",
    /// A replica is away for 400 days.
    Away = "absences of 400 days",
    /// A wall clock jumps by up to ten years, forward or back.
    ClockJump = "clock jumps",
    /// A peer that lies is met.
    Lied = "lies told",
    /// The power goes at a disk that had said to have synced what it had not.
    LyingDisk = "power cuts of disks that lie",
    /// A replica is put back to what was copied of it earlier, and cannot notice.
    Unnoticed = "unnoticed restores",
    /// What was copied of a replica is run beside it under its name, and neither notices.
    Twinned = "twins",
    /// A replica drops a space, and may get it back from the others.
    Dropped = "drops of a space",
}
