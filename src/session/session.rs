//! The session over all its spaces.

mod ending;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::around::{Around, Peer};
use super::arrivals::{Arrival, Arrivals};
use super::message::{Message, malformed};
use super::options::{OneWay, SessionOptions};
use super::report::{Report, SpaceReport, Why};
use super::roll::Roll;
use super::scope::Scope;
use super::sync::{Poll, SpaceSync};
use super::walk;
use crate::codec::{Cursor, Put, limits};
use crate::error::{Error, PeerError};
use crate::faults::fault;
use crate::space::{STAGING_PATIENCE_MS, Store, feeder_name};

/// How often a chunk that waits for another delta's staging is tried again, in milliseconds.
const RETRY_MS: u64 = STAGING_PATIENCE_MS / 50;

/// Bytes of a frame's number, at most.
const NUMBER_BYTES: usize = 10;

/// One side of a session: a state machine. Frames go in by [`handle_frame`](Self::handle_frame)
/// and come out of [`poll_frame`](Self::poll_frame); time comes in as milliseconds of any
/// clock that does not go back; a pipe that delivers whole frames in order is all it needs.
/// Frames are numbered, so that one that loses, repeats or swaps frames ends the session and
/// loses nothing else.
///
/// **Poll until there is nothing more after everything that you hand in**, and stop where
/// [`is_over`](Self::is_over) says so and all is sent.
pub struct Session {
    store: Store,
    /// How often names had given way in it when this began.
    ways: u64,
    opener: bool,
    nonce: [u8; 16],
    options: SessionOptions,
    peer: Option<Peer>,
    hello_sent: bool,
    /// Whether the peer is still to be told that nothing is taken from it.
    to_tell: bool,
    /// Whether the peer's hello was the last message that came.
    just_met: bool,
    roll: Roll,
    next_id: u64,
    spaces: BTreeMap<u64, SpaceSync>,
    /// Spaces that the peer opened.
    arrivals: Arrivals,
    /// Spaces that may have something to send; those that wait for the window.
    ready: VecDeque<u64>,
    stalled: BTreeSet<u64>,
    waiting: BTreeSet<u64>,
    retry_at_ms: Option<u64>,
    under_way: u64,
    /// A message that no longer fitted the last frame.
    carry: Option<Vec<u8>>,
    refusal: Option<String>,
    over: bool,
    /// Whether the frame that is being made says what is here.
    vouches: bool,
    /// Whether this side has said something that calls for an answer.
    asked: bool,
    report: Report,
}

impl Session {
    /// The side that connects. The nonce must be random: it keeps those who write items
    /// from aiming at the short hashes of a walk.
    ///
    /// # Errors
    /// The storage failed, or was found [damaged](Store::damage): then no session begins.
    pub fn connect(store: &Store, scope: Scope, nonce: [u8; 16]) -> Result<Self, Error> {
        store.check_undamaged()?;
        let roll = Roll::connect(store, scope).inspect_err(|error| store.note_error(error))?;
        Ok(Self::new(store, true, roll, nonce))
    }

    /// The side that is connected to.
    #[must_use]
    pub fn accept(store: &Store, nonce: [u8; 16]) -> Self {
        Self::new(store, false, Roll::accept(), nonce)
    }

    fn new(store: &Store, opener: bool, roll: Roll, nonce: [u8; 16]) -> Self {
        Self {
            store: store.clone(),
            ways: store.ways(),
            opener,
            nonce,
            options: SessionOptions::default(),
            peer: None,
            hello_sent: false,
            to_tell: false,
            just_met: false,
            roll,
            next_id: u64::from(!opener),
            spaces: BTreeMap::new(),
            arrivals: Arrivals::default(),
            ready: VecDeque::new(),
            stalled: BTreeSet::new(),
            waiting: BTreeSet::new(),
            retry_at_ms: None,
            under_way: 0,
            carry: None,
            refusal: None,
            over: false,
            vouches: false,
            asked: false,
            report: Report::default(),
        }
    }

    /// The session with these options: to be said before its first frame.
    #[must_use]
    pub fn with(mut self, options: SessionOptions) -> Self {
        self.to_tell = options.receive_only;
        self.options = options;
        self
    }

    /// The most bytes that the next frame from the peer may have.
    #[must_use]
    pub fn frame_limit(&self) -> usize {
        if self.peer.is_some() { limits::FRAME_BYTES } else { limits::FIRST_FRAME_BYTES }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// The peer sent what must be refused, or the storage failed. The session is over then;
    /// one more [`poll_frame`](Self::poll_frame) gives the frame that tells the peer why.
    pub fn handle_frame(&mut self, now_ms: u64, frame: &[u8]) -> Result<(), Error> {
        if self.over {
            return Ok(());
        }
        self.take_frame(now_ms, frame).inspect_err(|error| self.fail(error))
    }

    fn take_frame(&mut self, now_ms: u64, frame: &[u8]) -> Result<(), Error> {
        let limit = self.frame_limit();
        if frame.len() > limit {
            return Err(PeerError::FrameTooLarge { limit, found: frame.len() as u64 }.into());
        }
        let expected = self.report.frames_received;
        self.report.frames_received += 1;
        self.report.bytes_received += frame.len() as u64;
        let mut cursor = Cursor::new("frame", frame);
        let number = cursor.varint().map_err(malformed)?;
        if number != expected && !fault!(FramesTakenOutOfOrder) {
            return Err(PeerError::OutOfOrder { expected, found: number }.into());
        }
        while cursor.remaining() > 0 {
            let message = Message::decode(&mut cursor).map_err(malformed)?;
            // Nobody waits for word that chunks were taken: what is asked stays asked.
            let answers = !matches!(message, Message::Taken { .. });
            if answers && core::mem::take(&mut self.asked) {
                self.report.round_trips += 1;
            }
            self.take_message(now_ms, message)?;
        }
        self.end_if_done()
    }

    fn take_message(&mut self, now_ms: u64, message: Message) -> Result<(), Error> {
        let protocol = |what| Err(PeerError::Protocol { what }.into());
        if self.peer.is_none() && !matches!(message, Message::Hello { .. } | Message::Refuse { .. })
        {
            return protocol("something before the hello");
        }
        let just_met = core::mem::take(&mut self.just_met);
        let space = match &message {
            Message::Hello { .. } if self.peer.is_some() => return protocol("a second hello"),
            Message::Hello { .. } => return self.take_hello(message),
            Message::Refuse { reason } => {
                return Err(PeerError::Refused { reason: reason.clone() }.into());
            }
            Message::TakesNothing if !just_met => {
                return protocol("a word about what is taken that comes too late");
            }
            Message::TakesNothing => {
                self.peer.iter_mut().for_each(|peer| peer.one_way.there = true);
                return Ok(());
            }
            Message::AllOpened => return self.roll.take_all_opened(&self.store),
            Message::Spaces { .. } => return self.take_spaces(message),
            Message::Open { .. } => return self.take_open(now_ms, message),
            Message::Taken { space, .. }
            | Message::Answer { space, .. }
            | Message::Same { space }
            | Message::WantVector { space }
            | Message::Vector { space, .. }
            | Message::Chunk { space, .. }
            | Message::Proof { space, .. }
            | Message::Proven { space }
            | Message::Again { space }
            | Message::Nodes { space, .. }
            | Message::WantHistories { space, .. }
            | Message::Histories { space, .. }
            | Message::Contents { space, .. }
            | Message::Unlike { space, .. }
            | Message::GiveUp { space, .. } => *space,
        };
        if space >= self.next_id.max(1) && space % 2 == u64::from(!self.opener) {
            return protocol("a space that was never opened");
        }
        if let Message::GiveUp { why, .. } = &message
            && *why != Why::Renamed
            && let Some(name) = self.roll.never_comes(space)
        {
            self.report.spaces.push(SpaceReport::never_begun(name, *why));
            return Ok(());
        }
        if let Message::GiveUp { why, .. } = &message
            && *why != Why::Renamed
            && let Some(name) = self.roll.was(space)
        {
            // It gave up before it heard of the new names, and may be gone: it will not answer.
            let anew = |(_, sync): &(&u64, &SpaceSync)| sync.name() == name && sync.end.is_none();
            let Some(id) = self.spaces.iter().find(anew).map(|(id, _)| *id) else { return Ok(()) };
            let message = Message::GiveUp { space: id, why: *why };
            return self.with_space(id, now_ms, |sync, around| sync.handle(message, around));
        }
        if let Message::GiveUp { why, .. } = &message
            && let Some(name) = self.arrivals.give_up(space)
        {
            self.roll.note_end(&name, false, None);
            self.report.spaces.push(SpaceReport::never_begun(name, *why));
            return Ok(());
        }
        self.with_space(space, now_ms, |sync, around| match message {
            Message::Taken { chunks, .. } => sync.taken(chunks, around),
            message => sync.handle(message, around),
        })
    }

    fn take_hello(&mut self, hello: Message) -> Result<(), Error> {
        let Message::Hello { replica, opening, nonce, scope, call } = hello else {
            return Ok(());
        };
        self.store.check_undamaged()?;
        // A copy that was opened since is another store; what both go by is found to have forked.
        if replica == self.store.replica() && self.store.was_opening(opening) {
            return Err(PeerError::SameReplica { replica }.into());
        }
        let key = match self.opener {
            true => walk::short_key(&self.nonce, &nonce),
            false => walk::short_key(&nonce, &self.nonce),
        };
        let one_way = OneWay { here: self.options.receive_only, there: false };
        let mass_removal = self.options.mass_removal;
        let feeder = feeder_name(replica, opening);
        self.peer = Some(Peer { replica, feeder, ways: self.ways, key, one_way, mass_removal });
        self.just_met = true;
        self.report.peer = Some(replica);
        self.roll.take_hello(&self.store, (replica, &key), scope, call)
    }

    fn take_spaces(&mut self, spaces: Message) -> Result<(), Error> {
        let Message::Spaces { last, ranges } = spaces else { return Ok(()) };
        let Some(peer) = &self.peer else { return Ok(()) };
        self.roll.take_ranges(&peer.key, last, ranges)
    }

    fn take_open(&mut self, now_ms: u64, open: Message) -> Result<(), Error> {
        let Message::Open { space: id, name, standing } = open else { return Ok(()) };
        let protocol = |what| Err(PeerError::Protocol { what }.into());
        if id % 2 != u64::from(self.opener) {
            return protocol("a space under a number that is not the peer's to give");
        }
        let exists = self.store.space(&name)?.exists()?;
        let given_up = |sync: &SpaceSync| sync.name() == name && matches!(sync.end, Some(Err(_)));
        if self.roll.has_opened(&name) && self.spaces.values().any(given_up) {
            self.roll.note_given_up(&name);
        }
        if !self.roll.take_open(&name, exists)? {
            // It was given up here while the peer renamed, and that is all there is to say.
            self.arrivals.take_number(id)?;
            self.spaces.insert(id, SpaceSync::given_up(id, self.store.space(&name)?));
            self.ready.push_back(id);
            return Ok(());
        }
        self.arrivals.push(Arrival { id, name, standing })?;
        self.admit(now_ms)
    }

    /// Begins with spaces that the peer opened, as far as there is room for them.
    fn admit(&mut self, now_ms: u64) -> Result<(), Error> {
        while let Some(peer) = &self.peer
            && let Some(Arrival { id, name, standing }) = self.arrivals.next()
        {
            let space = self.store.space(&name)?;
            let mut around = Around::new(now_ms, peer, &mut self.report, &mut self.under_way);
            let sync = SpaceSync::answer(id, space, &standing, &mut around)?;
            self.arrivals.note(id, sync.replicas());
            self.spaces.insert(id, sync);
            self.with_space(id, now_ms, |_, _| Ok(()))?;
        }
        Ok(())
    }

    fn with_space(
        &mut self,
        id: u64,
        now_ms: u64,
        work: impl FnOnce(&mut SpaceSync, &mut Around<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(peer) = &self.peer else { return Ok(()) };
        let Some(sync) = self.spaces.get_mut(&id) else { return Ok(()) };
        let under_way = self.under_way;
        let mut around = Around::new(now_ms, peer, &mut self.report, &mut self.under_way);
        let worked = work(sync, &mut around).and_then(|()| sync.follow(&mut around));
        sync.unless_dropped(worked, &mut around)?;
        if sync.is_to_open_again() {
            let name = sync.name().to_owned();
            let opened_here = id % 2 == u64::from(!self.opener);
            if !self.roll.open_again(&name, id, opened_here) {
                sync.end = Some(Err(Why::Forked));
            }
        }
        if self.under_way < under_way {
            self.ready.extend(core::mem::take(&mut self.stalled));
        }
        if sync.waits() {
            self.waiting.insert(id);
            self.retry_at_ms.get_or_insert(now_ms.saturating_add(RETRY_MS));
        } else {
            self.waiting.remove(&id);
        }
        self.ready.push_back(id);
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.retry_at_ms.filter(|_| !self.over)
    }

    /// Lets time-outs that are due happen.
    ///
    /// # Errors
    /// As [`handle_frame`](Self::handle_frame).
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), Error> {
        if self.over || self.retry_at_ms.is_none_or(|at| at > now_ms) {
            return Ok(());
        }
        self.retry_at_ms = None;
        let waiting: Vec<u64> = self.waiting.iter().copied().collect();
        for id in waiting {
            self.with_space(id, now_ms, SpaceSync::retry).inspect_err(|error| self.fail(error))?;
        }
        self.end_if_done().inspect_err(|error| self.fail(error))
    }

    /// The next frame to send, if there is anything to say now.
    ///
    /// # Errors
    /// The storage failed, or the peer has said of a space that had to wait for others what
    /// must be refused. The session is over then.
    pub fn poll_frame(&mut self, now_ms: u64) -> Result<Option<Vec<u8>>, Error> {
        let messages = match self.over {
            true => self.refuse(),
            false => self.gather(now_ms).inspect_err(|error| self.fail(error))?,
        };
        // What a peer believes to be here may be dropped there: a power cut must not take it.
        if core::mem::take(&mut self.vouches) {
            self.store.flush().inspect_err(|error| self.fail(error))?;
        }
        self.end_if_done().inspect_err(|error| self.fail(error))?;
        if messages.is_empty() {
            return Ok(None);
        }
        let mut frame = Vec::with_capacity(NUMBER_BYTES + messages.len());
        frame.put_varint(self.report.frames_sent);
        frame.extend_from_slice(&messages);
        self.report.frames_sent += 1;
        self.report.bytes_sent += frame.len() as u64;
        Ok(Some(frame))
    }

    fn gather(&mut self, now_ms: u64) -> Result<Vec<u8>, Error> {
        let first = !self.hello_sent;
        let mut frame = self.carry.take().unwrap_or_default();
        let target = self.store.tuning().frame_bytes;
        while frame.len() < target {
            let before = frame.len();
            let Some(message) = self.next_message(now_ms)? else { break };
            message.encode(&mut frame);
            self.vouches |= message.vouches();
            self.asked |= !matches!(message, Message::Taken { .. });
            let limit = if first { limits::FIRST_FRAME_BYTES } else { limits::FRAME_BYTES };
            if before > 0 && frame.len() > limit - NUMBER_BYTES {
                self.carry = Some(frame.split_off(before));
                break;
            }
        }
        Ok(frame)
    }

    fn next_message(&mut self, now_ms: u64) -> Result<Option<Message>, Error> {
        if !self.hello_sent {
            if !self.opener && self.peer.is_none() {
                return Ok(None);
            }
            self.hello_sent = true;
            let (scope, call) = (self.roll.scope.clone().unwrap_or(Scope::All), self.roll.call);
            let (replica, nonce) = (self.store.replica(), self.nonce);
            let opening = self.store.opening(self.ways);
            return Ok(Some(Message::Hello { replica, opening, nonce, scope, call }));
        }
        if core::mem::take(&mut self.to_tell) {
            return Ok(Some(Message::TakesNothing));
        }
        if let Some(message) = self.roll.poll() {
            return Ok(Some(message));
        }
        self.admit(now_ms)?;
        while let Some(id) = self.ready.pop_front() {
            let Some(peer) = &self.peer else { break };
            let Some(sync) = self.spaces.get_mut(&id) else { continue };
            let mut around = Around::new(now_ms, peer, &mut self.report, &mut self.under_way);
            let polled = sync.poll(&mut around);
            match sync.unless_dropped(polled, &mut around)? {
                Some(Poll::Message(message)) => {
                    self.ready.push_back(id);
                    return Ok(Some(message));
                }
                Some(Poll::Window) => {
                    self.stalled.insert(id);
                }
                None => self.ready.push_back(id),
                Some(Poll::Idle) => {
                    self.retire(id);
                    self.admit(now_ms)?;
                }
            }
        }
        if let Some(name) = self.roll.next(&self.store)? {
            let id = self.next_id;
            self.next_id += 2;
            let peer = self.peer.as_ref().map(|peer| peer.replica);
            let mut sync = SpaceSync::open(id, self.store.space(&name)?, peer)?;
            let open = sync.take_queued();
            self.spaces.insert(id, sync);
            return Ok(open);
        }
        Ok(self.roll.say_all_opened())
    }

    /// Whether nothing more is to come: everything is proven, or the session failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What the session has done so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.report.peer)
            .field("over", &self.over)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}
