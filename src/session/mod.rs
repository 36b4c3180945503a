//! Sessions.

mod message;
mod report;
mod scope;
#[allow(clippy::module_inception, reason = "the room's one machine has the room's name")]
mod session;
mod sync;
#[cfg(test)]
mod tests;
mod walk;

pub use message::PROTOCOL_VERSION;
pub use report::{Report, SpaceReport, Why};
pub use scope::Scope;
pub use session::Session;
