//! Frames over WebSocket: each one binary message, in pieces where it is long.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use super::error::PipeError;
use super::pipe::Pipe;
use crate::codec::limits;
use crate::error::PeerError;

/// Bytes of one piece of a message, at most: for each the reader makes room as soon as its
/// length is told, whatever comes of it.
const PIECE_BYTES: usize = 64 * limits::KIB;

/// What every connection is configured with: the limits of frames, and no gathering of
/// messages, since a frame gathers already. A message grows with the pieces that arrive of it.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(limits::FRAME_BYTES))
        .max_frame_size(Some(PIECE_BYTES))
        .read_buffer_size(64 * limits::KIB)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * limits::FRAME_BYTES)
}

impl From<WsError> for PipeError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => Self::Closed,
            WsError::Io(error) => error.into(),
            WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                Self::Peer(PeerError::FrameTooLarge { limit: max_size, found: size as u64 })
            }
            other => Self::NotWebSocket(other.to_string()),
        }
    }
}

/// A WebSocket as a pipe of frames.
pub(super) struct Socket<S> {
    socket: WebSocketStream<S>,
    closing: bool,
}

impl<S> Socket<S> {
    pub(super) fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, closing: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe for Socket<S> {
    type Frame = Bytes;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        Pin::new(&mut self.socket).poll_ready(cx).map_err(PipeError::from)
    }

    fn start_send(&mut self, frame: Vec<u8>) -> Result<(), PipeError> {
        let mut rest = Bytes::from(frame);
        let mut kind = Data::Binary;
        loop {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            let piece = Frame::message(piece, OpCode::Data(kind), rest.is_empty());
            Pin::new(&mut self.socket).start_send(Message::Frame(piece))?;
            if rest.is_empty() {
                return Ok(());
            }
            kind = Data::Continue;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(PipeError::from)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        limit_bytes: usize,
    ) -> Poll<Result<Option<Bytes>, PipeError>> {
        loop {
            let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                None => return Poll::Ready(Ok(None)),
                Some(message) => message?,
            };
            let what = match message {
                Message::Binary(frame) if frame.len() > limit_bytes => {
                    let found = frame.len() as u64;
                    let error = PeerError::FrameTooLarge { limit: limit_bytes, found };
                    return Poll::Ready(Err(PipeError::Peer(error)));
                }
                Message::Binary(frame) if !frame.is_empty() => return Poll::Ready(Ok(Some(frame))),
                Message::Close(_) => return Poll::Ready(Ok(None)),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                Message::Binary(_) => "an empty frame",
                Message::Text(_) => "a text message",
            };
            return Poll::Ready(Err(PipeError::Peer(PeerError::Protocol { what })));
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        if !self.closing {
            ready!(self.poll_flush(cx))?;
            self.closing = true;
        }
        Pin::new(&mut self.socket).poll_close(cx).map_err(PipeError::from)
    }
}
