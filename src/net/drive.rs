//! Runs one session over one pipe.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use super::client::late;
use super::error::{NetError, PipeError, SyncError};
use super::meter::Meter;
use super::options::NetOptions;
use super::pipe::Pipe;
use crate::error::Error;
use crate::session::{Report, Scope, Session};
use crate::space::Store;

/// Which side of a session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The one that connects and says what the session is about.
    Connect,
    /// The one that is connected to.
    Accept,
}

/// What a session is run with.
pub(super) struct Job {
    pub(super) store: Store,
    pub(super) role: Role,
    pub(super) scope: Scope,
    /// Whom we speak with, for messages.
    pub(super) peer: String,
    pub(super) options: NetOptions,
    pub(super) meter: Meter,
    /// A change, or the sender's end, stops the session.
    pub(super) stop: watch::Receiver<bool>,
}

/// Runs a session on a thread of its own, where it may wait for the disk.
pub(super) async fn run<P: Pipe + Send + 'static>(job: Job, pipe: P) -> Result<Report, SyncError> {
    let peer = job.peer.clone();
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(job.run(pipe))).await;
    done.unwrap_or_else(|e| {
        let reason = match e.try_into_panic() {
            Ok(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "without a message".to_owned()),
            Err(e) => e.to_string(),
        };
        Err(NetError::Panicked { peer, reason }.into())
    })
}

/// What happens next.
enum Event<F> {
    /// The pipe takes a frame.
    CanSend,
    Frame(F),
    /// The peer has closed.
    Ended,
    /// The session wants to be told the time.
    Timer,
    Stopped,
}

impl Job {
    async fn run<P: Pipe>(mut self, mut pipe: P) -> Result<Report, SyncError> {
        let started = Instant::now();
        let mut session = match self.begin() {
            Ok(session) => session,
            Err(error) => return Err(self.failed(error).into()),
        };
        let outcome = self.converse(&mut session, &mut pipe, started).await;
        session.close();
        let gone = matches!(&outcome, Err(NetError::ClosedEarly { .. } | NetError::Io { .. }));
        if !gone {
            let _ = timeout(self.options.close_timeout, end(&mut session, &mut pipe)).await;
        }
        let report = session.report().clone();
        match outcome {
            Ok(()) => Ok(report),
            Err(reason) => Err(SyncError { reason, report: Box::new(report) }),
        }
    }

    fn begin(&self) -> Result<Session, Error> {
        let mut nonce = [0; 16];
        // The system's randomness: that of the store may be a test's, and the nonce is
        // what keeps those who write items from aiming at the short hashes of a walk.
        getrandom::fill(&mut nonce).map_err(|e| crate::storage::StorageError::MustReopen {
            reason: format!("the system gives no randomness: {e}"),
        })?;
        let session = match self.role {
            Role::Connect => Session::connect(&self.store, self.scope.clone(), nonce)?,
            Role::Accept => Session::accept(&self.store, nonce),
        };
        Ok(session.with(self.options.session.clone()))
    }

    /// Not the peer's fault where it is the storage: that is the one here.
    fn failed(&self, error: Error) -> NetError {
        match error {
            Error::Storage(_) => NetError::of_store(error),
            _ => NetError::Session { peer: self.peer.clone(), source: Box::new(error) },
        }
    }

    /// Hands frames to and fro until the session is over and all is handed to the pipe.
    async fn converse<P: Pipe>(
        &mut self,
        session: &mut Session,
        pipe: &mut P,
        started: Instant,
    ) -> Result<(), NetError> {
        let now_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (mut may_send, role) = (true, self.role);
        loop {
            if session.is_over() && !may_send {
                return Ok(());
            }
            let timer_ms = session.poll_timeout().map(|at| at.saturating_sub(now_ms()));
            let limit_bytes = session.frame_limit();
            let known = session.report().peer.is_some();
            if known {
                self.meter.know();
            }
            let patience = self.options.hello_timeout;
            let next = self.next(pipe, may_send, limit_bytes, timer_ms);
            let next = match known || role == Role::Connect {
                true => Ok(next.await),
                // By any byte now and then one could hold a place for ever.
                false => timeout_at((started + patience).into(), next).await,
            };
            let event = match next.unwrap_or_else(|_| Err(late(&self.peer, "a hello", patience))) {
                Ok(event) => event,
                // Who has all it wanted may go.
                Err(NetError::ClosedEarly { .. }) if session.report().finished => return Ok(()),
                Err(error) => return Err(error),
            };
            match event {
                Event::CanSend => match session.poll_frame(now_ms()) {
                    Ok(Some(frame)) => {
                        pipe.start_send(frame).map_err(|e| e.with(&self.peer))?;
                    }
                    Ok(None) => may_send = false,
                    Err(error) => return Err(self.failed(error)),
                },
                Event::Frame(frame) => {
                    session
                        .handle_frame(now_ms(), frame.as_ref())
                        .map_err(|error| self.failed(error))?;
                    may_send = true;
                }
                Event::Timer => {
                    session.handle_timeout(now_ms()).map_err(|error| self.failed(error))?;
                    may_send = true;
                }
                Event::Ended if session.report().finished => return Ok(()),
                Event::Ended => return Err(PipeError::Closed.with(&self.peer)),
                Event::Stopped => return Err(NetError::Stopped { peer: self.peer.clone() }),
            }
        }
    }

    /// Waits for what happens next, as long as bytes move.
    async fn next<P: Pipe>(
        &mut self,
        pipe: &mut P,
        may_send: bool,
        limit_bytes: usize,
        timer_ms: Option<u64>,
    ) -> Result<Event<P::Frame>, NetError> {
        let idle = self.options.idle_timeout;
        let patience = timer_ms.map_or(idle, |ms| idle.min(Duration::from_millis(ms)));
        loop {
            let moved = self.meter.bytes();
            let mut stopped = pin!(self.stop.changed());
            let event = poll_fn(|cx| {
                if may_send {
                    if let Poll::Ready(ready) = pipe.poll_ready(cx) {
                        return Poll::Ready(ready.map(|()| Event::CanSend));
                    }
                } else if let Poll::Ready(Err(error)) = pipe.poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
                if let Poll::Ready(frame) = pipe.poll_frame(cx, limit_bytes) {
                    return Poll::Ready(frame.map(|f| f.map_or(Event::Ended, Event::Frame)));
                }
                stopped.as_mut().poll(cx).map(|_| Ok(Event::Stopped))
            });
            match timeout(patience, event).await {
                Ok(event) => return event.map_err(|error| error.with(&self.peer)),
                Err(_) if timer_ms.is_some() => return Ok(Event::Timer),
                // A slow line is not a dead one.
                Err(_) if self.meter.bytes() != moved => {}
                Err(_) => {
                    return Err(NetError::TimedOut {
                        peer: self.peer.clone(),
                        doing: "waiting for the peer",
                        waited_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
                    });
                }
            }
        }
    }
}

/// Sends what is left to say, closes, and waits for the peer to do so: a connection closed
/// over bytes that nobody read would take our last frame with it.
async fn end<P: Pipe>(session: &mut Session, pipe: &mut P) -> Result<(), PipeError> {
    let last_words = session.poll_frame(0).unwrap_or_default();
    if let Some(frame) = last_words {
        while_reading(pipe, |pipe, cx| pipe.poll_ready(cx)).await?;
        pipe.start_send(frame)?;
    }
    while_reading(pipe, |pipe, cx| pipe.poll_close(cx)).await?;
    poll_fn(|cx| {
        loop {
            match pipe.poll_frame(cx, crate::codec::limits::FRAME_BYTES) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    })
    .await
}

/// Does something with the pipe, and meanwhile reads and drops what comes: the peer may
/// have to get rid of it before it takes anything.
async fn while_reading<P: Pipe>(
    pipe: &mut P,
    mut work: impl FnMut(&mut P, &mut std::task::Context<'_>) -> Poll<Result<(), PipeError>>,
) -> Result<(), PipeError> {
    let mut ended = false;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(done) = work(pipe, cx) {
                return Poll::Ready(done);
            }
            if ended {
                return Poll::Pending;
            }
            match pipe.poll_frame(cx, crate::codec::limits::FRAME_BYTES) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(_) => ended = true,
            }
        }
    })
    .await
}
