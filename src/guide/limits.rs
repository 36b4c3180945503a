//! Every limit, with its unit and its reason.
//!
//! They are constants of the format, in [`codec::limits`](crate::codec::limits): a replica with
//! other limits would refuse what its peers accept, and a delta refused by one replica for
//! ever could never arrive there. What is outside is refused whole: the write, the frame,
//! the session; never a part of a delta.
//!
//! | what | limit | because |
//! |---|---|---|
//! | key | 1 B to 4 KiB | an empty name is mostly a mistake; several keys fit a page of the tables |
//! | path | 32 steps deep | enough for any document, few enough to walk without recursion |
//! | path, encoded | 4 KiB | paths stand in the keys of the tables; a set's element is part of it |
//! | place (key and path), encoded | 12,290 B | a key of zeros takes two bytes for each |
//! | value | 8 MiB | larger things belong in files of their own, named by a value |
//! | name of a space | 1 B to 255 B | names are announced in the first frames |
//! | chunk | about 256 KiB, 65,536 events | one commit each; progress on a slow line; what a run of removals may ask for |
//! | seq of an event | 2⁶² − 1 | a gap shares a 64-bit number with a tag of two bits |
//! | frame | 16 MiB | the largest value and the largest vector fit |
//! | first frame | 64 KiB | somebody unknown gets no more memory |
//! | version vector | 400,000 replicas | at up to 34 bytes each, tags included, that fits a frame |
//! | openings of a store that tell in a space's history under one name | 262,144 | each is up to 20 B in a frame; a store takes a fresh name for the space after half as many openings in which it wrote there |
//! | past of an item | 16 origins | an optimisation: what is cut off, the proof finds |
//! | past of a removal record | 256 origins | above, no record is written, and the proof finds what went |
//! | own rows of a counter | 8 | then they fold into one |
//! | new spaces | 100,000 for one connection | a space costs a row for ever |
//! | places in a chunk, written out | 1 MiB | a place that begins like the one before takes a few bytes |
//! | commits remembered by number | 65,536 for each space | for those who follow changes |
//! | peers with a remembered base | 64 for each space | any other peer is told the whole vector |
//! | dots in one removal record | 64 | more of them travel as a prefix and its past |
//! | ranges of names in one message | 1024 | more of them go on in the next |
//! | credentials in a hello, for later versions | 4 KiB | somebody unknown gets no more memory |
//! | text of a refusal | 200 B | it is for people |
//!
//! Not of the format, so that peers may differ in them: four chunks are under way at a time in a
//! session; a large delta keeps its place while another waits as long as a chunk comes in 10 seconds,
//! and 60 KiB in a minute; a clock that is up
//! to a day ahead of the wall clock is followed, and one further ahead is not (its data is
//! taken all the same); a walk repairs up to 100,000 blocks, and a proof that still fails
//! begins another.
//!
//! To read a frame or a row takes at most four times its bytes of memory and 64 KiB, and a
//! millisecond for each 64 KiB. A run in a chunk names up to 65,536 removals in few bytes: they
//! become rows one by one.
//!
//! Siblings are not limited: they are reported, and the application resolves them.
//!
//! The table cannot drift:
//! ```
//! use rejoin::codec::limits::*;
//!
//! assert_eq!(KEY_BYTES, 1..=4 * KIB);
//! assert_eq!((PATH_STEPS, PATH_BYTES), (32, 4 * KIB));
//! assert_eq!((PLACE_BYTES, CHUNK_PLACE_BYTES), (12_290, MIB));
//! assert_eq!(VALUE_BYTES, 8 * MIB);
//! assert_eq!(SPACE_NAME_BYTES, 1..=255);
//! assert_eq!((CHUNK_BYTES, CHUNK_EVENTS), (256 * KIB, 65_536));
//! assert_eq!(EVENT_SEQ.get(), (1 << 62) - 1);
//! assert_eq!((FRAME_BYTES, FIRST_FRAME_BYTES), (16 * MIB, 64 * KIB));
//! assert_eq!((VECTOR_REPLICAS, STRETCHES), (400_000, 262_144));
//! assert_eq!((PAST_ORIGINS, REMOVAL_ORIGINS), (16, 256));
//! assert_eq!(COUNTER_ROWS, 8);
//! assert_eq!((NEW_SPACES, COMMITS, BASES), (100_000, 65_536, 64));
//! // A frame has room for the largest value and for the largest vector, each with all
//! // that may stand around it.
//! assert!(VALUE_BYTES + PLACE_BYTES + 26 * REMOVAL_ORIGINS + KIB < FRAME_BYTES);
//! assert!(34 * VECTOR_REPLICAS + KIB < FRAME_BYTES);
//! assert!(20 * STRETCHES + KIB < FRAME_BYTES);
//! ```
//!
//! # What an application may set
//! In [`Options`](crate::Options), for each replica on its own:
//!
//! ```
//! use rejoin::{Options, codec::limits::MIB};
//!
//! let options = Options::default();
//! assert_eq!(options.removal_log_bytes, 64 * MIB as u64); // removal records, each space
//! assert_eq!(options.staging_bytes, 4096 * MIB as u64); // staged by one peer, in all spaces
//! assert_eq!(options.trash_bytes, 64 * MIB as u64); // what peers took away, each space
//! assert_eq!(options.trash_age_ms, 7 * 86_400_000); // and for how long
//! assert_eq!((options.brake_items, options.brake_percent), (1_000, 20)); // then removals are held
//! assert_eq!(options.past_origins, 16); // origins in the past of what is written here
//! assert_eq!(options.cache_bytes, 64 * MIB); // pages of the file in memory
//! ```
//!
//! # What a limit looks like from outside
//! A typed error that names the limit and what was found, and a store as it was:
//! ```
//! use rejoin::{Error, Store, UsageError, codec::limits::VALUE_BYTES};
//!
//! let space = Store::in_memory().space("main")?;
//! let root = space.root()?;
//! let large = vec![0; VALUE_BYTES + 1];
//! match space.put("photo", &large, None) {
//!     Err(Error::Usage(UsageError::ValueTooLarge { limit, found })) => {
//!         assert_eq!((limit, found), (VALUE_BYTES, VALUE_BYTES + 1));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! assert_eq!(space.root()?, root);
//! # Ok::<(), Error>(())
//! ```
