//! The binary as people use it: processes, files and sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod commands;
mod conditions;
#[path = "../pair/decay.rs"]
mod decay;
mod files;
mod found;
mod meetings;
mod recover;
mod retry;
mod rows;
mod trash;
mod world;
