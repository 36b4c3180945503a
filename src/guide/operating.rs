//! Operating a store: backup, crash, disk, size, moving, upgrading, serving.
//!
//! A store is a file and beside it `FILE.id`, its identity. While it is open the identity file
//! is locked; whoever else opens it, in this process or another one, is told
//! [`AlreadyOpen`](crate::storage::StorageError::AlreadyOpen).
//!
//! # Backup
//! **While the store is in use**: [`Store::backup`](crate::Store::backup), or
//! `rejoin backup FILE` where no other process has the store open. It copies the rows of one
//! moment into a new store under a name of its own; writers go on.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = |name: &str| folder.path().join(name);
//! use rejoin::{Store, storage::Identity};
//!
//! let store = Store::open(file("notes.store"))?;
//! let notes = store.space("notes")?;
//! notes.put("monday", "water the plants", None)?;
//!
//! let made = store.backup(file("notes.backup"))?;
//! notes.delete("monday")?;
//!
//! // A backup is a store: to restore it, open it, or move it where the other one was.
//! let restored = Store::open(file("notes.backup"))?;
//! assert_eq!(restored.identity(), Identity::Kept);
//! assert_eq!(restored.replica(), made.replica);
//! assert_eq!(restored.space("notes")?.get("monday")?.len(), 1);
//! assert!(restored.check()?.is_sound());
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! A restored backup is a replica that has been away since the backup was made. What the
//! others did meanwhile, and what they had heard from the lost store before it was lost, it
//! learns at the next session; deletes too. What only the lost store knew is lost. Nothing
//! deleted comes back at those who had seen it deleted.
//!
//! **A store that a server holds**: sync a fresh store with it
//! (`rejoin --store copy sync ws://… --all`). A replica is a backup that is always current; it
//! also takes over every mistake, so keep some of the other kind.
//!
//! **The files themselves**, copied:
//!
//! | copy | safe | because |
//! |---|---|---|
//! | of a store that is closed | yes | the copy is noticed at opening and takes a fresh name, with or without its `FILE.id` |
//! | of a store that is open, file by file | **no** | pages of different moments: it may open, and be wrong |
//! | a snapshot of the file system or of the machine, while it is open | as after a power cut | put back, it is not noticed: see the next table |
//! | `rejoin export` | yes | values only: no history of who saw what. Imported, they are new writes |
//!
//! # What is noticed, and what not
//! Two histories under one name lose data without a word: a new write under a dot that a peer
//! has seen and forgotten is dropped as dead. So a store that may not be the one that wrote
//! last takes a fresh name before it writes anything. [`Store::identity`](crate::Store::identity)
//! tells.
//!
//! | what happened | noticed |
//! |---|---|
//! | the file was copied, anywhere | yes |
//! | the file was put back from a copy, `FILE.id` was not | yes |
//! | both were put back by copying | yes: they are other files, or were modified at another time |
//! | `FILE.id` is missing or unreadable | yes |
//! | both were renamed together, on one file system | no, and they are the original |
//! | both were put back over themselves with their times (`cp -p`, `rsync -t --inplace`) | **no** |
//! | a copy made while the store was open, or after a crash, put back in place | **no** |
//! | an image, a snapshot of a machine, a container started again from one state | **no** |
//!
//! For the last three set [`Options::fresh_id`](crate::Options::fresh_id), or give `rejoin`
//! `--fresh-id` with each command that opens the store (`rejoin --store FILE --fresh-id serve` is
//! what an image or a container starts), which costs an entry in the version vectors at each
//! opening that writes; or remove `FILE.id` when you restore. There
//! is a second net for those who do not: each opening tags what it writes, so that the first
//! session with a peer, its own or another copy's, finds [two histories under one
//! name](super::sync). One of them goes on under another name, on all replicas that hold it;
//! nothing of either is lost, nothing deleted comes back, and
//! [`Report::forks`](crate::session::Report::forks) (`rejoin sync`, the log of `rejoin serve`)
//! tells once. It costs a pass
//! over the dots of the space at each replica that holds what gives way. A [read
//! context](crate::space::ReadContext) that is kept meanwhile stays good: it is read as what its
//! events are called by then. One of the other history, where that was not met yet, is refused
//! as one that is ahead.
//!
//! Not covered, and a reason to set `fresh_id` where it may happen:
//! - A process that is copied while it *runs* (one image of a machine's memory, resumed twice)
//!   goes on in both under one tag. Where both contents of a dot live, both live on, and
//!   [`Report::equivocations`](crate::session::Report::equivocations) (`rejoin sync`, the log of
//!   `rejoin serve`) tells once;
//!   where one was removed, the other may go with it. A copy that meets the other one, or what
//!   that made, refuses ([`SameReplica`](crate::PeerError::SameReplica),
//!   [`OwnFuture`](crate::PeerError::OwnFuture)) until it is opened anew.
//! - A counter of which two copies have each added up more than eight rows that they had in
//!   common: what those held counts twice. And in a copy that was made while the store ran, a
//!   counter's newest row, where nobody had seen it and it was replaced afterwards: it counts
//!   twice until the session that brings the new one has walked.
//! - What waits in a [recovered](crate::Store::recover) store, where copies of the damaged one
//!   are met too: a salvaged item does not say of which copy it is, and may be taken for decided
//!   by a vector of the other one. Look at what [waits](crate::Space::waiting) before.
//! - Removal records of what is renamed are forgotten; the next walk finds what they said.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = |name: &str| folder.path().join(name);
//! use rejoin::{Store, storage::Identity};
//!
//! let store = Store::open(file("a.store"))?;
//! store.space("main")?.put("k", "v", None)?;
//! let name = store.replica();
//! drop(store); // closed: now it may be copied
//! std::fs::copy(file("a.store"), file("b.store"))?;
//!
//! let copy = Store::open(file("b.store"))?;
//! assert_eq!(copy.identity(), Identity::Fresh { previous: name });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Crash and power cut
//! A write is on disk when it returns, and a transaction is there whole or not at all. Nothing
//! has to be done after a crash: open the store. It takes milliseconds, however large it is.
//! This assumes a disk that has written what it said it synced.
//!
//! Where a store is opened [`relaxed`](crate::Options::relaxed), writes return before that; a
//! power cut then takes the newest of them, whole transactions from the end, back to the last
//! [`flush`](crate::Store::flush), session or thousand writes.
//!
//! # A disk that is full, or fails
//! A write that cannot be written fails with [`StorageError::Io`](crate::storage::StorageError),
//! and the store is as it was. From then on it reads and does not write: each write fails with
//! `MustReopen`, because after a failed sync nobody but who opens the file anew can know what
//! reached the disk. Make room, drop all handles, open it again. A read error fails the read.
//!
//! # Corruption
//! Each block of the file has a checksum, which is verified whenever it is read: a bit that
//! decayed gives [`Corrupt`](crate::storage::StorageError::Corrupt), which names the block, and
//! never a wrong value ([`format`](super::format) has the layout). What lies in other blocks can
//! still be read. (In a file that was not closed the newest half a MiB may stand in one place,
//! the journal; where damage hits that, the store does not open, since any row may be older
//! than what cannot be read. It can be recovered.)
//!
//! [`Store::check`](crate::Store::check) (`rejoin check`) reads all rows and holds them against
//! each other: each item against its dot and its hash, counts against rows, the digest against
//! the dots; whatever else sessions rely on is read as they would.
//! [`Store::check_deep`](crate::Store::check_deep) (`rejoin check --deep`) reads
//! every page of the engine as well. A store that is not sound does not sync: to others, an item
//! that it has seen and lost would be deleted. Sessions hold what they send, and the blocks that
//! they make claims on, against their hashes; whoever finds something wrong writes it down, and
//! from then on sessions fail with [`Damaged`](crate::storage::StorageError::Damaged), until a
//! check finds nothing ([`Store::damage`](crate::Store::damage)); `rejoin status` says what was
//! found, and `rejoin serve` does not begin. Do not mend a store that is not sound: recover it.
//!
//! ```
//! # let store = rejoin::Store::in_memory();
//! let found = store.check()?;
//! assert!(found.is_sound(), "{:?}", found.problems);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # Recovering a damaged store
//! [`Store::recover`](crate::Store::recover) (`rejoin recover OLD NEW`) saves what is sound of a
//! damaged file into a new store under a name of its own. It only reads `OLD`, which need not open:
//! it may have flipped bits or lost pages anywhere, be cut short, or have lost its `FILE.id`.
//! One flipped bit in a page is found and taken back; of a larger damage the rows beside it
//! are saved, and those behind it.
//!
//! 1. `rejoin recover notes.store notes.saved` says what was saved and what is known to be lost.
//! 2. **Spaces of which nothing is lost** are as they were: done.
//! 3. **Of a space of which anything is lost, or may be**, the new store claims to have seen
//!    nothing, for what it claimed to have seen and does not hold would be deleted at others.
//!    What was saved of it waits, and is not there for readers; `rejoin status` counts it.
//! 4. Sync the new store with every store that can be reached. They send what they hold, and
//!    what they have seen is decided by that: it lives, or it was removed and stays so.
//! 5. `rejoin --store notes.saved adopt` ([`Store::adopt`](crate::Store::adopt)) writes what none of them had seen anew.
//!    Where there is no other store, do so at once: `rejoin recover OLD NEW --adopt`.
//!
//! Should a store that was not reached before step 5 know one of the adopted items after all, the
//! one written here goes in the session with it; until then a counter counts it twice, and
//! what was removed there is seen again. At the other store it goes in the next session, which
//! `rejoin sync` and `net::sync_url` begin at once; where the other one called,
//! it goes when that calls again, and the server's log says so
//! ([`SpaceReport::untold`](crate::session::SpaceReport::untold)).
//!
//! Where several stores were damaged, recover each, let them meet, and adopt in one; what others
//! have salvaged of the same items is theirs too once they have met that one. Where two have adopted
//! before they met, a counter counts twice until they have; then of each two one goes. It takes
//! one of those that have salvaged an item to take its double away: do not throw away the store
//! that adopted before it has met whoever may know the items. What a user
//! removed or replaced in one of them meanwhile is still there where the other has adopted it too.
//! Not found are pairs whose origin was found to have two histories since, and those of more than
//! 1,000 origins in one recovery.
//!
//! *Lost* is what only the damaged store had ever seen and what is damaged itself. Of a space that
//! was not whole, removals that nobody else had heard of are forgotten too: what they removed is
//! there again. What else may be lost, such as records of removals or things in the trash, is said
//! by its kind (`RecoverReport::also_lost`, `also_lost` in JSON). Nothing can be saved where all four
//! copies of the file's first block, its first 16 KiB, are gone. Where the two are that the last sync
//! before a crash wrote, that looks as if the power had gone in the middle of it: the store opens as
//! it was one commit before, and a recovery says that some of the newest writes may be lost.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = |name: &str| folder.path().join(name);
//! use rejoin::Store;
//!
//! let store = Store::open(file("notes.store"))?;
//! store.space("notes")?.put("monday", "water the plants", None)?;
//! drop(store);
//! // A bit flips, and the identity file is lost with the folder it was in.
//! let mut bytes = std::fs::read(file("notes.store"))?;
//! let middle = bytes.len() / 2;
//! bytes[middle] ^= 1;
//! std::fs::write(file("damaged"), bytes)?;
//!
//! let report = Store::recover(file("damaged"), file("notes.saved"))?;
//! assert!(report.incomplete.is_empty() && report.lost == 0);
//! let saved = Store::open(file("notes.saved"))?;
//! assert_eq!(saved.space("notes")?.get("monday")?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trash
//! A version vector that covers an item which its sender no longer holds *is* a delete, though
//! nobody says who meant it. Mostly somebody did, and a bounded log has forgotten the record; but
//! a replica that lost its items looks the same. So what a peer takes away in this way goes to the
//! [`Trash`](crate::space::Trash) of the space, on this store alone, for a week and up to 64 MiB.
//! What the application removes or replaces, here or elsewhere with a record, does not.
//!
//! `rejoin trash list` shows it, `rejoin trash restore` writes it anew, which reaches every
//! replica, `rejoin trash empty` throws it away.
//!
//! # A mass removal is held
//! Where one peer's claims would so take away more than 1,000 items and more than a fifth of a
//! space, counted over a day, they are held back: the session takes the news, ends with
//! [`Why::Held`](crate::session::Why::Held), and names the peer and how many items; so do
//! [`Space::status`](crate::Space::status) and the log of a server. Others go on. What was
//! deleted by an application is not held: it comes with removal records. So look at that peer
//! first. Then decide:
//!
//! | | for one session | for the next one, whoever connects |
//! |---|---|---|
//! | the items are to go, into the trash | `sync --allow-mass-removal` | `rejoin decide PEER allow` |
//! | the peer has lost them, and is to get them again | `sync --keep-mass-removal` | `rejoin decide PEER keep` |
//!
//! The second writes them anew, as a [restore](crate::space::Trash::restore) does, so decide it at one
//! replica: each that keeps them adds to counters once more. What it is about is found anew by
//! that session. In code: [`SessionOptions::mass_removal`](crate::session::SessionOptions::mass_removal),
//! [`Space::decide`](crate::Space::decide).
//!
//! This guards against mistakes and damaged replicas, not against malice.
//!
//! # Size
//! [`Space::status`](crate::Space::status) (`rejoin status --json`) says what grows:
//!
//! | figure | grows with | and shrinks |
//! |---|---|---|
//! | `items` | what lives | when it is removed |
//! | `removal_log_bytes` | what is removed | by itself: at most [`removal_log_bytes`](crate::Options::removal_log_bytes) for each space |
//! | entries of `vector` | replicas that ever wrote | never |
//! | `trash_bytes` | what peers took away without a record | by itself: after a week, and at most [`trash_bytes`](crate::Options::trash_bytes) for each space |
//! | `staged` | a large delta under way, or cut | when the same peer goes on, or another takes its place |
//! | spaces | names ever written to | by [`drop_space`](crate::Store::drop_space), here only |
//! | `file_bytes` | all of it; freed pages are used again | by [`Store::compact`](crate::Store::compact) (`rejoin compact`) |
//!
//! Compacting writes the file anew in place, and takes about as long as that; writers wait,
//! and no snapshot may be held, so a backup cannot run meanwhile. It is worth it after much was
//! deleted for good. Without it a file does not grow for ever: it stays about as large as it
//! once had to be.
//!
//! # Moving to another device
//! Any of these: sync a fresh store there with the old one; make a backup and copy that;
//! close the store and copy its file. In all three the store has another name there, and its
//! vectors one entry more. Then throw the old one away, or keep both: they are two replicas.
//!
//! # Throwing a replica away
//! Sync it first with somebody who stays, and see that the report says it has converged: what
//! only this one knew is lost otherwise. Then delete the file and `FILE.id`. Nobody needs to
//! be told. Its entry in the vectors stays, 17 to 26 bytes in each space it wrote to.
//!
//! # Upgrading
//! File and protocol have version numbers. A file of a newer format is refused with
//! [`NewerFormat`](crate::storage::StorageError), a peer that speaks another protocol with
//! [`Version`](crate::PeerError::Version), both before anything changes. Until the first
//! release formats may change from version to version: back up, or export, before. Rust is 1.90
//! or later.
//!
//! # Serving
//! `rejoin serve`, or a [session](crate::session) on any pipe. **There is no access control
//! yet**: whoever reaches a served store can read and write all of it. So the server binds to
//! this machine only, unless told `--insecure`; to other machines let it be reached through
//! something that knows who is there, such as a tunnel over SSH or a private network, or a
//! proxy that speaks TLS and asks for a password. The library itself speaks no TLS yet.
//!
//! `rejoin serve --receive-only` takes nothing from anybody: whoever connects gets what is there
//! and changes nothing.
//!
//! A server is a replica like any other. It may be stopped at any time; what was cut goes on
//! at the next session, and a large delta from a store that was opened anew begins
//! [anew](super::sync#what-a-cut-does): over a bad line `rejoin sync --retry 100` keeps it open,
//! and tries so often again where the line is cut or nobody is there.
