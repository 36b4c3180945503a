//! Counts the bytes that move, so that a slow line is not taken for a dead one, and that
//! somebody who has not said hello sends no more than that takes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::codec::limits;

/// Bytes that somebody unknown may send, at most: the handshake, the first frame, and what
/// is read ahead of the frame that is looked at.
const UNKNOWN_BYTES: u64 = (limits::FIRST_FRAME_BYTES + 192 * limits::KIB) as u64;

#[derive(Debug, Default)]
struct Count {
    /// Both ways.
    bytes: AtomicU64,
    read_bytes: AtomicU64,
    known: AtomicBool,
}

/// A count of bytes, shared between a pipe and who watches it.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Count>);

impl Meter {
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The peer has said hello: from now on the session says how much it may send.
    pub(super) fn know(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    fn add_read(&self, bytes: usize) -> io::Result<()> {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let before = self.0.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 > UNKNOWN_BYTES && !self.0.known.load(Ordering::Relaxed) {
            let why = "more bytes than a hello takes, and no hello";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }
}

/// A stream of bytes under a meter.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S) -> (Self, Meter) {
        let meter = Meter::default();
        (Self { stream, meter: meter.clone() }, meter)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        Poll::Ready(self.meter.add_read(into.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.meter.0.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
