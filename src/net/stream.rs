//! Frames over a plain stream of bytes: each a length of four bytes, big-endian, and
//! then the frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::PipeError;
use super::pipe::Pipe;
use crate::codec::limits::KIB;
use crate::error::PeerError;

const LENGTH_BYTES: usize = 4;

/// Bytes asked of the stream at a time, so also what a frame's buffer grows by at most
/// before they have arrived.
const READ_BYTES: usize = 64 * KIB;

/// A stream of bytes as a pipe of frames.
pub(super) struct Framed<S> {
    stream: S,
    /// The length of the frame under way, as far as it has arrived.
    length: [u8; LENGTH_BYTES],
    length_read: usize,
    /// How many bytes the frame under way has, once its length is known and allowed.
    expected: Option<usize>,
    frame: Vec<u8>,
    scratch: Vec<u8>,
    out: Vec<u8>,
    written: usize,
}

impl<S> Framed<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            length: [0; LENGTH_BYTES],
            length_read: 0,
            expected: None,
            frame: Vec::new(),
            scratch: vec![0; READ_BYTES],
            out: Vec::new(),
            written: 0,
        }
    }
}

/// Reads up to all of `into`; how much.
fn poll_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<Result<usize, PipeError>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe for Framed<S> {
    type Frame = Vec<u8>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(PipeError::Closed)),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, frame: Vec<u8>) -> Result<(), PipeError> {
        let length = u32::try_from(frame.len()).map_err(|_| {
            PipeError::Io(std::io::Error::other("a frame that its length cannot tell"))
        })?;
        self.out.clear();
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(&frame);
        self.written = 0;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        ready!(self.poll_ready(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        limit_bytes: usize,
    ) -> Poll<Result<Option<Vec<u8>>, PipeError>> {
        let expected = loop {
            if let Some(expected) = self.expected {
                break expected;
            }
            let into = self.length.get_mut(self.length_read..).unwrap_or_default();
            match ready!(poll_some(&mut self.stream, cx, into))? {
                0 if self.length_read == 0 => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(PipeError::Closed)),
                read => self.length_read += read,
            }
            if self.length_read < LENGTH_BYTES {
                continue;
            }
            let found = u32::from_be_bytes(self.length);
            self.expected = match usize::try_from(found) {
                Ok(0) => {
                    let what = "an empty frame";
                    return Poll::Ready(Err(PipeError::Peer(PeerError::Protocol { what })));
                }
                Ok(expected) if expected <= limit_bytes => Some(expected),
                _ => {
                    let found = found.into();
                    let error = PeerError::FrameTooLarge { limit: limit_bytes, found };
                    return Poll::Ready(Err(PipeError::Peer(error)));
                }
            };
        };
        while self.frame.len() < expected {
            let most = (expected - self.frame.len()).min(READ_BYTES);
            let into = self.scratch.get_mut(..most).unwrap_or_default();
            match ready!(poll_some(&mut self.stream, cx, into))? {
                0 => return Poll::Ready(Err(PipeError::Closed)),
                read => {
                    self.frame.extend_from_slice(self.scratch.get(..read).unwrap_or_default());
                }
            }
        }
        (self.length_read, self.expected) = (0, None);
        Poll::Ready(Ok(Some(core::mem::take(&mut self.frame))))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        ready!(self.poll_flush(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}
