//! The bytes: what stands in the files, and what travels.
//!
//! Formats may change until the first release; then each keeps its number. Every format has
//! *one* spelling for each value, since digests are made of bytes: a varint longer than it
//! must be, a list out of order, bytes left over are all errors. Counts are checked against
//! the bytes that remain before memory is taken.
//!
//! # Small parts
//! | part | bytes |
//! |---|---|
//! | varint | LEB128: seven bits a byte, the low ones first, the top bit set on all but the last; at most 64 bits |
//! | bytes | length as a varint, then so many bytes |
//! | replica | 16 bytes |
//! | dot in a key | replica, then seq in 8 bytes, highest first |
//! | vector | count as a varint, then for each entry, ascending by replica: replica, seq as a varint |
//! | zigzag | 0, −1, 1, −2 … as 0, 1, 2, 3 …, then a varint |
//! | timestamp | 8 bytes, highest first: 48 bits of milliseconds since 1970, then 16 that count |
//!
//! # Places
//! A *place* is a key and a path. Both are spelled so that byte order is their order:
//!
//! ```text
//! place  := key ‖ step … ‖ 00
//! key    := its bytes, each 00 written as 00 ff, then 00 00
//! step   := kind (1 byte) ‖ its bytes, each 00 written as 00 ff, then 00 00
//! prefix := a place without the 00 at the end
//! ```
//!
//! | kind | number | bytes of the step | payload of the item |
//! |---|---|---|---|
//! | value | 1 | none | timestamp, then the value |
//! | register | 2 | none | timestamp, then the value in postcard |
//! | mv_register | 3 | none | timestamp, then the value in postcard |
//! | counter | 4 | none | amount, zigzag |
//! | set | 5 | element in postcard | nothing |
//! | rw_set | 6 | element in postcard | 1 added, 0 removed |
//! | flag | 7 | none | nothing |
//! | dw_flag | 8 | none | 1 enabled, 0 disabled |
//! | map | 9 | field in postcard; further steps follow | |
//!
//! Elements and fields have one spelling: the entries of a map in them stand in the order
//! of the bytes of their keys, each key once.
//!
//! Other kinds are those of newer versions: they are kept and passed on byte for byte. So is
//! what stands in the payload of a known kind behind what is listed here, fields of newer
//! versions, but for values and registers, where all of it is the value.
//!
//! ```
//! use rejoin::codec::{Kind, Prefix};
//!
//! // The element "egg" of the set under the key "cart"; postcard puts a length before text.
//! let place = Prefix::key(b"cart")?.step(Kind::SET, b"\x03egg")?.place();
//! assert_eq!(place.as_bytes(), b"cart\0\0\x05\x03egg\0\0\0");
//!
//! // A zero byte in a key.
//! let place = Prefix::key(b"a\0b")?.step(Kind::COUNTER, b"")?.place();
//! assert_eq!(place.as_bytes(), b"a\0\xffb\0\0\x04\0\0\0");
//! # Ok::<(), rejoin::codec::DecodeError>(())
//! ```
//!
//! # The data file
//! Blocks of 4096 bytes: the first block of a [redb](https://docs.rs/redb) database, kept
//! four times, and its other blocks in groups, with a checksum for each. Numbers are highest
//! byte first.
//!
//! ```text
//! file   := pair (seq even) ‖ pair (seq odd) ‖ group …
//! pair   := copy ‖ copy                        alike, a block each
//! copy   := "rejoin" 1a 0a ‖ layout: 1 (8) ‖ seq (8) ‖ first 480 bytes of the first block
//!           ‖ XXH3 of these 504 bytes (8) ‖ first 3584 bytes of the root of the list of tables
//! group  := seal (8) × 512 ‖ block × 512, in the last group fewer
//! seal   := 0 for a block that was never written
//!         | XXH3 of the block ⊕ (number × 9e3779b97f4a7c15 modulo 2⁶⁴), 1 in place of 0
//! ```
//! XXH3 is the one of 64 bits, without a secret or a seed. A block's number is its place in
//! the database, whose first block is 0: block *n* is the one of index (*n* − 1) mod 512 in
//! group (*n* − 1) div 512. So it begins at byte 4096 × (4 + *group* × 513 + 1 + *index*). A
//! change of the first block writes one pair, in turn, with the next seq; what counts is the
//! greatest seq in any copy that matches its checksum and stands where its seq belongs. The
//! rest of the first block is zeros. The list of tables is that of the commit that counts; only
//! who recovers the file reads it there, held against the hash that the first block has of it.
//!
//! Seals are written before each sync, and a block that does not match its own belongs to no
//! commit, or is damaged.
//!
//! In the database the storage keeps a table of its own, `rejoin`, and thirteen for the store:
//!
//! | row of `rejoin` | value |
//! |---|---|
//! | `format` | format of the tables, a varint: 1 |
//! | `nonce` | 16 bytes that the identity file names too |
//! | `replica` | 16 bytes: the name under which the store writes |
//!
//! In the others every key starts with the number that the space has in this store, 4 bytes,
//! highest first (the number never travels), except in `meta`, `spaces` and `touched`:
//!
//! | table | key after the number | value |
//! |---|---|---|
//! | `meta` | `clock` | the last timestamp given out, 8 bytes |
//! | | `spaces` | how many spaces there are, 4 bytes, highest first |
//! | | `leaves` | up to which commit of the store the leaves are right, 8 bytes |
//! | | `met/`, peer (16), meeting (16) | commit up to which all was equal, count of meetings: varints; prefix of the names |
//! | | `names/`, name of a space | how many names this replica has used up there, a varint; tag of the opening in which it gave up the last (8) |
//! | | `damaged` | what was found wrong with the store, in words |
//! | | `salvaged/`, number of a space (4), dot (24) | of a recovered store, an item that waits to be decided: 1 where something stands in for it, 2 where something did and was lost, 3 for both, 4 where it is decided and what was lost goes where it comes, else 0; with 1 and 3 the dot of the stand-in (24); place, past, payload |
//! | | `staged/`, peer (16) | bytes that this peer has staged in all spaces, 8 bytes |
//! | | `dropped/`, number of a space (4) | nothing: its rows are still to be freed |
//! | `spaces` | name of the space | its number, 4 bytes, highest first; its leaf (16), once it was asked for |
//! | `states` | nothing | commit, items, bytes of the removal log, staged rows, commit of the store that changed it last, bytes staged: six varints; peer whose delta is staged: bytes, 0 or 16 |
//! | `items` | place, dot (24) | past (a vector), payload |
//! | `dots` | dot (24) | item hash (16), whether it has a past (1), place |
//! | `removals` | dot (24) | removal, below |
//! | `removal_ages` | commit (8) | runs of the dots whose records that commit wrote |
//! | `commits` | commit (8) | runs of the dots that the commit brought |
//! | `vectors` | 0 seen (1), replica (16) | seq (8), tag of that event (8) |
//! | | 1 staged (1), replica (16) | seq (8) |
//! | | 2 stretches (1), first event (24) | tag of the events from there on (8) |
//! | `digest` | 0 | root (32) |
//! | | 1, origin (16), block (8) | a block to be hashed anew: live dots more than when it was (2, highest first, two's complement) |
//! | | 2, bucket (1) | hash (32) |
//! | | 3, origin (16) | hash (32), height (1) |
//! | | 4, origin (16), level (1), index (8) | hash (32); at level 0 also live dots less one (1) |
//! | `bases` | 0, hash of a tagged vector (16) | the tagged vector |
//! | | 1, peer (16) | when last met (8), hash of the vector proven then (16) |
//! | `touched` | commit of the store (8) | name of the space that it changed, and none after it; nothing where that was dropped |
//! | `trash` | 0 | items, their bytes, number of the next: three varints |
//! | | 1, number (8) | when it went, in milliseconds since 1970, a varint; peer (16), dot (24), place as bytes, past (a vector), payload |
//! | | 2, peer (16) | decision about a mass removal (0 hold, 1 allow, 2 keep); items held, removed in the day before, in the space then: three varints; count, (hour since 1970, items removed in it) …, at most 24 |
//!
//! ```text
//! removal := 00 ‖ count ‖ dot (24) …            exactly these, ascending
//!          | 01 ‖ prefix as bytes ‖ vector      all beneath the prefix that the vector covers
//! runs    := count ‖ (replica ‖ first seq ‖ how many more) …
//! ```
//!
//! What small commits change stands in one place first. A store that was closed has all in
//! the tables above; one that is open, or was killed, also has
//!
//! | table | key | value |
//! |---|---|---|
//! | `journal` | number of the commit since the last move, counting from 0 | its changes, below |
//! | `moves` | nothing | how often the journal was moved to the tables, and emptied |
//!
//! ```text
//! changes := (table ‖ key as bytes ‖ (00 | 01 ‖ value as bytes)) …     00: the row is deleted
//! ```
//!
//! in the order of the tables above, which count from 0, and of their keys. What the journal
//! says, in the order of its rows, goes before what the tables say.
//!
//! Rows whose dot is ahead of the vector are staged: there, and not visible.
//!
//! # The identity file
//! `FILE.id`, beside the data file: two slots of 512 bytes, written in turn and each synced.
//! The slot is the counter's lowest bit; the greater counter counts.
//!
//! ```text
//! "rejoin id" ‖ version: 1 ‖ counter ‖ previous nonce (16) ‖ next nonce (16)
//!             ‖ inode: 0, or 1 and the number ‖ birth: 0, or 1, seconds, nanoseconds
//!             ‖ closed: 0, or 1, seconds, nanoseconds
//!             ‖ zeros up to byte 480 ‖ BLAKE3 of these 480 bytes (32)
//! ```
//! Closed is when the data file was last modified, noted by a session that wrote as it ends.
//! The data file's nonce is one of the two named, it is the file noted and was not modified
//! since, or the store was copied or put back, and takes a fresh name before anything is
//! written. A third slot is there where the data file was found damaged:
//!
//! ```text
//! "rejoin note" ‖ what was found: its length and UTF-8 ‖ zeros up to byte 480 ‖ BLAKE3 as above
//! ```
//!
//! # Hashes
//! All are BLAKE3. [`digest`](crate::digest) spells out item, block, inner node, bucket and
//! root. The hash of a vector is 16 bytes of the key derivation with the context
//! `rejoin 2026 version vector`; the key of a session's short hashes that with `rejoin 2026
//! walk`, of both nonces, the opener's first.
//!
//! # Frames
//! A pipe carries whole frames in order; how they are told apart is the pipe's affair
//! (WebSocket: one binary message each, in pieces of 64 KiB at most; plain streams: 4 bytes of
//! length before each, highest first). A frame is its number, a varint counted from 0 by each side, and a run of
//! messages, each a tag byte and its fields. A frame out of its turn ends the session: the pipe
//! lost, repeated or swapped some, and what a chunk leaves out would count as dead. All messages
//! but hello, opened, refuse, spaces and takes nothing begin with the number of the space they are
//! about, a varint: even
//! where the connecting side opened it, odd where the other did.
//!
//! | tag | message | fields after the number |
//! |---|---|---|
//! | 1 | hello | `rejoin`, version: 1, replica (16), nonce (16), opening (8), scope, call, credentials as bytes (none yet; at most 4096 are passed over) |
//! | 2 | opened | none: all spaces that the sender opens are open |
//! | 3 | open | name as bytes, standing |
//! | 4 | answer | standing |
//! | 5 | same | none |
//! | 6 | want vector | none |
//! | 7 | vector | tagged vector |
//! | 8 | chunk | chunk |
//! | 9 | taken | how many chunks, a varint |
//! | 10 | proof | root (32) |
//! | 11 | proven | none |
//! | 12 | again | none |
//! | 13 | nodes | opened nodes, blocks |
//! | 14 | give up | reason (1): 1 unfinished, 2 displaced, 3 diverged, 4 receive only, 5 held, 6 dropped, 7 staged too much, 8 renamed, 9 forked; others are for newer versions |
//! | 15 | refuse | text as bytes, at most 200 |
//! | 16 | spaces | whether another of these follows (1), ranges |
//! | 17 | takes nothing | none: right behind the hello, where the sender takes nothing from the peer |
//! | 18 | want histories | whether it asks back (1); count, origin (16) … |
//! | 19 | histories | histories |
//! | 20 | contents | contents |
//! | 21 | unlike | chunk, not the last one: items whose dots live at the peer with other contents |
//!
//! Tags from 64 on are free for sessions that stay open.
//!
//! ```text
//! call     := 00 | 01 meeting (16) | 02           open what you have, what was touched since, compare
//! ranges   := count, (from as bytes, to as bytes or empty, held) …     ascending by name, 1024 at most
//! held     := 00 count, hash (8) | 01 count, (name as bytes, hash (8)) …    at most 32 are listed
//! scope    := 00 | 01 name as bytes | 02 prefix as bytes              all, one, those that start so
//! standing := hash of the tagged vector (16) ‖ root (32)
//!           ‖ base: 00, or 01 and its hash (16)
//!           ‖ tagged vector: its entries that are not so in the base
//!           ‖ staged: 00, or 01, peer (16), vector up to where
//! histories := count, (origin (16), up to which seq, count, (first seq, tag (8)) …) …   ascending
//! contents := count, (origin (16), block, count, (low byte of the seq (1), hash of the item (16)) …) …
//!                                                  64 blocks at most, ascending, and so in each
//! nodes    := count ‖ (node ‖ count ‖ (child ‖ short hash (8)) …) …
//!           ‖ count ‖ (origin (16) ‖ block) …
//! node     := 00 | 01 bucket (1) | 02 origin (16) level (1) index
//! child    := of the root: bucket (1); of a bucket: origin (16); of an inner node: position (1)
//! ```
//! A bucket is the first byte of an origin. An origin as a child stands for the topmost node
//! of its tree, which both sides know from the cut; level 0 is the blocks. Nodes, the children
//! of each, and blocks are ascending, each once. Names and text are UTF-8.
//!
//! The first message is hello, whose version comes before anything that another version
//! may spell otherwise. The [sequences](super::sync) show what answers what.
//!
//! The first bytes that ever travel:
//! ```
//! use rejoin::{Store, session::{Scope, Session}};
//!
//! let store = Store::in_memory();
//! let mut session = Session::connect(&store, Scope::Space("main".into()), [7; 16])?;
//! let frame = session.poll_frame(0)?.unwrap();
//! let replica = store.replica();
//! let hello = [
//!     b"\x00\x01rejoin\x01", // frame 0; tag, magic, version
//!     replica.as_bytes().as_slice(),
//!     &[7; 16],       // nonce
//! ];
//! let rest = [
//!     b"\x01\x04main".as_slice(), // scope: the space of this name
//!     b"\x00",       // each side opens what it has
//!     b"\x00",       // no credentials
//!     b"\x03\x00\x04main", // open: tag, number 0, name; then the standing
//! ];
//! assert!(frame.starts_with(&hello.concat()));
//! // Between them stand 8 bytes that were drawn when the store was opened.
//! assert!(frame[hello.concat().len() + 8..].starts_with(&rest.concat()));
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # Chunks
//! All numbers are varints. Replicas are named once, ascending; below they are indexes.
//!
//! ```text
//! chunk   := origins, groups, 00                          more follow
//!          | origins, groups, 01, past, stretches, claims the last one, with the vector
//! origins := count, replica (16) …
//! groups  := count, (origin, upto, events, entry …) …     ascending by origin
//! entry   := gap × 4 + tag, body                          gap: seqs left out since the last one
//!   0     item: shared, suffix as bytes, past, payload as bytes
//!   1     removal beneath a prefix: prefix as bytes, past
//!   2     events in a row that each removed one dot, in a row: count, origin, first seq removed
//!   3     removal of dots: count (at most 64), (origin, seq) …
//! past    := count, (origin, seq) …                       ascending by origin
//! stretches := count, (origin, first seq, tag (8)) …     ascending
//! claims  := count, (origin, block, live bits (32)) …     ascending
//! ```
//! An item's place is so many bytes *shared* with the place before it in the chunk, and the
//! suffix. *upto* is how far the chunk leads in that origin's events: what it leaves out up
//! to there is dead. The vector that ends a delta holds what lies beyond what the receiver had.
//!
//! There is one spelling: every origin listed is named, as much of a place is shared as can be,
//! and removals that can travel as a run (tag 2) do. Anything else is refused, and so are a
//! payload that its type does not allow, an event beyond *upto*, and dots of a removal (tag 3)
//! that are not ascending.
//!
//! A whole frame, byte by byte: a replica of the id 0a0a… has added "egg" to the set "cart",
//! and sends that to one that has nothing.
//! ```
//! # use std::sync::Arc;
//! # use rejoin::{Options, Store, session::{Scope, Session}};
//! # let store = |id| {
//! #     let entropy = Arc::new(move |bytes: &mut [u8]| bytes.fill(id));
//! #     Store::in_memory_with(Options::with(Arc::new(|| 1), entropy))
//! # };
//! # let (full, empty) = (store(0x0a), store(0x0b));
//! let space = full.space("main")?;
//! space.set("cart").add(&"egg".to_string())?;
//!
//! let mut from = Session::connect(&full, Scope::All, [1; 16])?;
//! let mut to = Session::accept(&empty, [2; 16]);
//! to.handle_frame(0, &from.poll_frame(0)?.unwrap())?; // hello, open, opened
//! from.handle_frame(0, &to.poll_frame(0)?.unwrap())?; // hello, answer, opened
//! let frame = from.poll_frame(0)?.unwrap();
//!
//! // What was drawn at the opening, made one's own by the name.
//! let tag = rejoin::causal::Tag::from_bytes([0x0a; 8]).under(full.replica());
//! let chunk: [&[u8]; 12] = [
//!     b"\x08\x00",             // a chunk of the space with the number 0
//!     b"\x01", &[0x0a; 16],    // one origin: below it is 0
//!     b"\x01\x00\x01\x01",     // one group: origin 0, up to seq 1, one event
//!     b"\x00",                 // the next seq (gap 0), an item (tag 0)
//!     b"\x00\x0ecart\0\0\x05\x03egg\0\0\0", // shares 0, then 14 bytes of place
//!     b"\x00\x00",             // no past, and no payload
//!     b"\x01",                 // the last chunk:
//!     b"\x01\x00\x01",         // the vector says one thing, origin 0 up to seq 1
//!     b"\x01\x00\x01", tag.as_bytes(), // one stretch: from its event 1 on, with this tag
//!     b"\x00",                 // no claims
//! ];
//! let root = space.root()?;
//! let proof: [&[u8]; 2] = [b"\x0a\x00", root.as_bytes()];
//! assert_eq!(frame, [vec![1], chunk.concat(), proof.concat()].concat()); // frame 1
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # Read contexts
//! What [`get`](crate::Space::get) returns and [`put`](crate::Space::put) takes back, to be
//! treated as opaque; as text in lower-case hexadecimal digits:
//! ```text
//! 02 ‖ space as bytes ‖ key as bytes ‖ tagged vector ‖ checksum (8): BLAKE3 key derivation of
//! all before it, context "rejoin 2026 read context"
//! ```
