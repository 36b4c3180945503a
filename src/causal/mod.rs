//! Causality: who has seen what.

mod dot;
mod replica;
mod vector;

pub use dot::{Dot, Seq};
pub use replica::{ParseReplicaIdError, ReplicaId};
pub use vector::{Causality, VersionVector};
