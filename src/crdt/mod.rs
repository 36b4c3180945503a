//! Conflict-free values.

pub mod rules;
