//! How this is tested: what holds the library to its promises, and the command that shows it.
//!
//! Where a store is the only copy of what somebody wrote, "it has tests" is not much of an
//! answer. So each line here names what is tried, what counts as a failure, and a command that
//! anybody can run. Those of the first table are part of `.ci/run`, for a short while each; the
//! variables make them longer (without `--all-features`, `cargo test` leaves out those that need a
//! feature). All that is drawn at random is drawn from a seed, which a
//! failure prints.
//!
//! | what is tried | what must hold | command |
//! |---|---|---|
//! | **worlds**: replicas that run the shipped code while frames are lost, disks fail, power goes and backups come back ([the guide](crate::guide) has a page on them, with feature `sim`) | nothing lost, nothing back, no half transaction, at any step; in the end equal to an oracle | `REJOIN_WORLDS=2000 cargo test --all-features --test model` |
//! | **broken rules**: each rule of the design broken by one line, under `--cfg rejoin_faults` | the worlds notice every one, and a story one that they hardly show | `RUSTFLAGS="--cfg rejoin_faults" cargo test --release --features sim --test faults -- --nocapture` |
//! | **equivocation**: stores that go on under one name and one tag, as copies of a running process | both contents of an event live on, told once; what is removed stays removed | `REJOIN_FORKS=20000 cargo test --features sim --test equivocation` |
//! | **forks**: stores copied, put back and run beside each other so that none can notice | nothing lost, nothing back, nothing counted twice, after each meeting | `REJOIN_FORKS=20000 cargo test --features sim --test forks` |
//! | **reads kept over forks**: contexts kept and handed on between such stores | a write replaces nothing that its reader was not shown | `REJOIN_FORKS=20000 cargo test --features sim --test twin_reads` |
//! | **laws** of each type: 14 types, 10,000 histories each, the same ones each time | merging is idempotent, commutative, associative; a delta does what the mutation did; one spelling | `cargo test --lib crdt::` |
//! | **store and plain values**: one history in both | the same items at every replica after every step | `cargo test --all-features --test equivalence` |
//! | **liars**: peers that lie in vectors, digests, dots and names | a typed error, a sound store, honest peers become equal | `cargo test --all-features --test liars --test hostile` |
//! | **bytes**: seven fuzz targets, for a moment and without a fuzzer | no panic, bounded memory, an honest peer still syncs | `REJOIN_ROUNDS=100000 cargo test --all-features --test fuzz` |
//! | **rows** cut short, misplaced or gone, each in turn, beneath a store that meets others, or is recovered | an error that names it, nothing changed by what fails, nothing lost elsewhere; a recovered store that is sound | `cargo test --all-features --test broken_rows` |
//! | **flipped bits** in closed and in crashed files | right data, or an error that names the place | `cargo run --release --example flips 100000` |
//! | **power cuts** above a block device that tears and loses what was not synced | all that was acknowledged is there, the store opens and is sound | `REJOIN_TEST_CUTS=50000 cargo test --release --lib power_cuts` |
//! | **kills**: `kill -9` of the real binary in an import, a sync in both roles, a compaction, a recovery | as above, and what was not acknowledged is there whole or not at all | `REJOIN_KILLS=500 cargo test --all-features --test kills` |
//! | **real processes**: a small disk that is full at each write of a put, an import, a sync in both roles, a recovery and a compaction, files that vanish or may not be written, two processes on one store, clocks decades apart | as above, and a word to the user | `REJOIN_DISK_STEP=1 cargo test --all-features --test processes` |
//! | **deletes without authority**: claims of a peer that has lost its items, mass removals, peers that only receive | they wait in the trash or behind the brake, or end the session | `cargo test --all-features --test trash --test brake --test receive_only` |
//! | **damage**: rows and blocks taken away beneath a store | it does not sync its holes; what is sound is recovered, and counts once whoever has salvaged it as well | `cargo test --all-features --test damage --test recover --test adopted --test cli` |
//! | **many**: 10,000 incarnations of a replica, 200,000 keys built to collide | neither hello, write nor map gets dearer | `cargo test --all-features --test incarnations --test collisions` |
//! | **a lossy line**: a proxy before the real binary loses 30 % of the pieces that come by, cuts and stalls | over about a hundred connections the stores become equal, each delta whole or not there | `cargo test --all-features --test processes -- --nocapture` |
//! | **formats**: golden bytes of frames, rows, places and a whole store | they are read for ever | `cargo test --all-features --test vectors --test frames` |
//! | **cost** of a session, shape by shape | a dearer one is a red diff | `cargo test --all-features --test cost` |
//! | **WebAssembly**: 200 histories played by node and natively | equal roots, frames and values, to the byte | `.ci/run`, step *the same roots in WebAssembly*; `REJOIN_WASM_SEEDS` for more |
//! | **undefined behaviour**: `causal`, `codec`, `crdt` and `digest` in Miri | none, in what this crate and what it calls there does | `.ci/run`, step *undefined behaviour*, with nightly and Miri |
//! | **the house**: who uses whom, how long a file is, no map of hashes, nothing left for later | | `cargo test --test tidy` |
//!
//! And these, which take hours:
//! ```text
//! cargo run --release --features sim --example simulate -- --seeds 0..1000000
//! cargo +nightly fuzz run session           # or frame, row, token, vector, store_file, import_line
//! cargo run --release --all-features --example decoders     # time and memory of the worst inputs
//! ```
//!
//! # Who watches the tests
//! A test that cannot fail shows nothing. The broken rules above are one answer: they ask
//! whether the *oracle* sees. The other two ask of the plain tests whether they reach the code,
//! and whether they would notice if it were wrong.
//!
//! **Coverage**, of lines, by the tests of the library and those of the public face:
//! ```text
//! REJOIN_WORLDS=30 cargo llvm-cov test --locked --features quickcheck,sim --lib --tests
//! ```
//! That is without the binary, its kills and its disks. It reaches 99.3 % of `causal`, 96.8 % of
//! `codec`, 98.4 % of `crdt`, 98.6 % of `digest`, 96.2 % of `space` and 97.6 % of `session`. What is left are mostly errors of a storage that fails, rows of gaps that
//! only flipped bits make, and the rules that are broken on purpose.
//!
//! **Mutants**: the code is changed in one place, and some test must fail.
//! ```text
//! cargo mutants -f 'src/causal/*.rs' -- causal::
//! cargo mutants -f 'src/crdt/*.rs' -- crdt::       # the join stands in dots.rs
//! cargo mutants -f 'src/digest/*.rs' -- digest::
//! ```
//! Of 165 mutants of `causal` 24 do not compile, 138 are noticed (5 of them by never coming to an
//! end), a test was missing for one, and two change nothing that can be seen. Of 285 of `crdt`
//! 113 do not compile, 170 are noticed, and a test was missing for two that change only what a
//! merge costs. Of 318 of `digest` 47 do not compile, 253 are noticed (5 of them by never coming
//! to an end), tests were missing for eleven, one showed a condition that nothing needed, and six
//! change nothing that can be seen, or only what it costs. `.cargo/mutants.toml` says which may
//! survive, and why.
//!
//! The tool takes out no single statement, and passes over macros and functions called `new`. Of
//! 73 changes of `crdt` made by hand, most of them such, 53 were noticed, tests were missing for
//! nine, one showed a line that nothing needed, and ten change only what it costs: eight of these
//! are noticed now.
