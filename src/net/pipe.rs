//! What a session needs of a pipe: whole frames in order, each way on its own.

use std::task::{Context, Poll};

use super::error::PipeError;

/// A pipe of frames. All calls may be given up and made again: nothing is lost.
pub(super) trait Pipe {
    /// What a frame arrives as.
    type Frame: AsRef<[u8]>;

    /// Ready once the pipe takes another frame: the one before has gone out.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>>;

    /// Hands over a frame; only after `poll_ready`.
    fn start_send(&mut self, frame: Vec<u8>) -> Result<(), PipeError>;

    /// Ready once all has gone out.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>>;

    /// The next frame, of at most `limit_bytes`; none where the peer has closed.
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        limit_bytes: usize,
    ) -> Poll<Result<Option<Self::Frame>, PipeError>>;

    /// Sends all and says that nothing more is to come.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>>;
}
