//! rejoin
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod causal;
pub mod codec;
pub mod digest;
pub mod storage;
