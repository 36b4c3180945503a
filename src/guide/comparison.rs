//! How this library compares, and what others do better.
//!
//! As of November 2026, from public documentation and papers; corrections are welcome. No
//! figures of speed: nobody's workload but yours would make them mean something.
//!
//! | | is | concurrent writes | deletes | keeps data | syncs |
//! |---|---|---|---|---|---|
//! | rejoin | a store, embedded | by type, or siblings | leave nothing; a bounded log | in one file, or memory | between any two replicas; deltas, then Merkle roots |
//! | Automerge | documents | by type; the losers stay readable | stay in the history | left to a repository layer | between any two; Bloom filters over changes |
//! | Yrs (Yjs) | documents | by type | content goes, ranges of ids stay | left to the application | state vectors |
//! | Loro | documents | by type | stay in the history, which can be cut off | left to the application | version vectors |
//! | crdts | types | by type | leave nothing in sets and maps | left to the application | left to the application |
//! | dson | types | all values of a register stay | leave nothing | left to the application | deltas; carrying them is left to the application |
//! | iroh-docs | signed entries, embedded | the newest timestamp of an author wins | leave an empty entry | in one file; contents beside it | ranges by fingerprints |
//! | Riak KV | a cluster of servers | siblings, or types | tombstones, reaped after a while | on its servers | hash trees between servers |
//! | Ditto | a product, embedded and served | by type | tombstones, for a time that all must meet in | in a file | a mesh over many radios |
//! | DynamoDB | a service | one region: in order; global tables: the last one wins | leave nothing to see | at the provider | at the provider |
//!
//! # Documents
//! **[Automerge](https://automerge.org)** is git for JSON: a document with its whole history,
//! in which every change names those before it by their hashes. *Better at*: text and rich text, lists,
//! looking back and branching, bindings for many languages, a repository layer with storage
//! and network ready, an exact specification of its format. What it takes for that is the
//! history, which stays; a document is loaded as a whole.
//!
//! **[Yrs](https://docs.rs/yrs)** is Yjs in Rust. *Better at*: text that many edit at once,
//! with bindings to the common editors, cursors and undo, and years of use in products; it
//! speaks with every Yjs client. It keeps of what was deleted the ids, in ranges.
//!
//! **[Loro](https://loro.dev)** has the richest types: rich text, lists whose elements move,
//! trees whose branches move without cycles. *Better at*: those, and at history: it travels in
//! time, and can cut off what is old.
//!
//! All three are the right choice for a document that people edit together. They hold one
//! document in memory, and leave to you how a hundred thousand of them are stored and synced.
//!
//! # Types
//! **[crdts](https://docs.rs/crdts)** are plain values with operations and merging, tested by
//! properties. *Better at*: being small; both operation-based and state-based use; sequences.
//! [`crdt`](crate::crdt) is the part here that compares.
//!
//! **[dson](https://docs.rs/dson)** is the nearest relative: delta states, dot stores, one
//! causal context and no tombstones, after the same papers. *Better at*: arrays; and it has
//! nothing beneath it, so that it goes over any link at all. It has neither store nor protocol,
//! and means to have none.
//!
//! # Stores
//! **[iroh-docs](https://docs.rs/iroh-docs)** keeps signed entries under a key and an author,
//! and reconciles sets by ranges (Meyer 2022), in redb too. *Better at*: who may write: each
//! entry is signed by its author and by a key that stands for the right to write; at getting
//! through to peers behind routers; at large contents, which travel on their own, verified
//! piece by piece. It needs no version vector, so any number of authors costs nothing until
//! they write; in return the clock decides which entry of an author is the newest, and a
//! delete is an entry that stays.
//!
//! **[Riak KV](https://docs.riak.com)** is where much of this was first in production: siblings
//! with a context, dotted version vectors, types without tombstones, anti-entropy with hash
//! trees. *Better at*: more data than one machine holds, spread over a cluster that heals
//! itself, with tools and years behind it. Its replicas are servers that mostly reach each
//! other, and not phones.
//!
//! **[Ditto](https://www.ditto.com)** is a product for devices that find each other. *Better
//! at*: finding them, over Bluetooth, local Wi-Fi and the network at once; queries, and
//! subscriptions to what they select, so that a device holds a part; permissions; many
//! languages and somebody to call. Its deletes ask every device to be seen within a window (7
//! days at the edge and 30 in the cloud unless set otherwise, by its documentation), after
//! which one that was away may bring back what was deleted.
//!
//! **[DynamoDB](https://aws.amazon.com/dynamodb/)** has in common with the Dynamo of the paper
//! (DeCandia et al. 2007) little but the name. *Better at*: conditions and transactions that
//! hold for everybody, size without end, expiry, and no machine of your own. Global tables
//! let the last writer win by its clock, or, where so configured, keep regions strongly
//! consistent. Without a network there is no write.
//!
//! # What none of this has, and what this lacks
//! This library puts together a durable store, types and siblings, transactions that arrive
//! whole, deletes that leave nothing, and a proof at the end of each session that both hold
//! the same. It lacks, today: lists and text; access control, signatures and encryption;
//! queries and indexes; expiry; bindings to other languages; a way to take half a space; and
//! the years that others have.
