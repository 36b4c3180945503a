//! Peers that speak the protocol and lie.
//!
//! A [`Lie`] is a session that a peer makes up, message by message, against a store that runs
//! the shipped code. Whatever it says, three things hold afterwards: the store is sound, what
//! it took was bounded by what was sent, and an honest peer becomes equal with it. A lie that
//! is no more than a use of the peer's rights ([`Lie::is_within_rights`]: whoever may write may
//! write nonsense, and in the name of others, until writers sign) may change what the store
//! holds; after any other it is as it was, and the session ended with a typed error, or says
//! of the space why it is not proven.
//!
//! ```
//! use rejoin::{Store, sim::hostile::{self, Lie}};
//!
//! let victim = Store::in_memory();
//! let space = victim.space("main")?;
//! space.set("cart").add(&"apple".to_owned())?;
//! let root = space.root()?;
//! for lie in Lie::ALL.into_iter().filter(|lie| !lie.is_within_rights()) {
//!     let told = hostile::tell(&victim, "main", lie, 1)?;
//!     assert!(!told.report.converged());
//!     assert_eq!(space.root()?, root);
//! }
//! # Ok::<(), rejoin::Error>(())
//! ```

mod lie;
mod walks;

pub use lie::Lie;

use super::random::Random;
use crate::causal::{Dot, ReplicaId, Seq, VersionVector};
use crate::codec::{Kind, Place, Prefix, Put, limits};
use crate::error::{Error, PeerError};
use crate::session::forge::{self, Heard, Say, Stands};
use crate::session::{Report, Scope, Session};
use crate::space::{Chunk, Claim, Event, Last, Removal, Store};

/// What came of a lie.
#[derive(Debug)]
#[non_exhaustive]
pub struct Told {
    /// Why the victim ended the session, if it did.
    pub error: Option<PeerError>,
    /// Bytes that the liar sent.
    pub sent_bytes: u64,
    /// Bytes that it was answered.
    pub heard_bytes: u64,
    /// Frames that it was answered.
    pub heard_frames: u64,
    /// What the victim says of the session.
    pub report: Report,
}

/// Lies to a store about a space, in one session; the seed says in which name, and whether
/// the liar connects or is connected to.
///
/// # Errors
/// The storage failed: what a peer does wrong is in [`Told::error`].
pub fn tell(store: &Store, space: &str, lie: Lie, seed: u64) -> Result<Told, Error> {
    let mut liar = Liar::new(store, space, seed)?;
    let said = liar.tell(lie);
    liar.told_of(said)
}

/// A peer that is no liar: one whose delta brings an item of each of these origins, which
/// must be ascending. Their names are its choice.
///
/// # Errors
/// As [`tell`].
pub fn tell_of_origins(store: &Store, space: &str, origins: &[ReplicaId]) -> Result<Told, Error> {
    let mut teller = Liar::new(store, space, 0)?;
    let said = teller.tell_of_origins(origins);
    teller.told_of(said)
}

/// Rounds of a talk without end, for a liar that does not tire first.
const ROUNDS: usize = 2_000;
/// Messages and items of those who say much.
const MANY: u64 = 20_000;
const SPACES: u64 = 5_000;
const EVENTS_A_CHUNK: usize = 8_192;
const A_YEAR_MS: u64 = 365 * 86_400_000;

struct Liar {
    name: ReplicaId,
    other: ReplicaId,
    victim: ReplicaId,
    space: String,
    /// What the victim has seen.
    seen: VersionVector,
    connects: bool,
    session: Session,
    random: Random,
    now_ms: u64,
    told: Told,
    heard: Vec<Heard>,
}

/// Whether the session goes on.
type Goes = Result<(), Error>;

impl Liar {
    fn new(store: &Store, space: &str, seed: u64) -> Result<Self, Error> {
        let mut random = Random::new(seed);
        let mut id = |first| {
            let mut id = [first; 16];
            random.fill(&mut id[1..]);
            ReplicaId::from_bytes(id)
        };
        // The other comes after the liar in the order of names.
        let (name, other, connects) = (id(0xe0), id(0xe1), seed.is_multiple_of(2));
        let session = match connects {
            true => Session::accept(store, [2; 16]),
            false => Session::connect(store, Scope::Prefix(space.to_owned()), [2; 16])?,
        };
        let handle = store.space(space)?;
        let told = Told {
            error: None,
            sent_bytes: 0,
            heard_bytes: 0,
            heard_frames: 0,
            report: Report::default(),
        };
        Ok(Self {
            name,
            other,
            victim: handle.replica(),
            space: space.to_owned(),
            seen: handle.vector()?,
            connects,
            session,
            random,
            now_ms: 0,
            told,
            heard: Vec::new(),
        })
    }

    /// What came of it, once all was said.
    fn told_of(mut self, said: Goes) -> Result<Told, Error> {
        match said {
            Ok(()) | Err(Error::Peer(_)) => {}
            Err(error) => return Err(error),
        }
        self.session.close();
        self.told.report = self.session.report().clone();
        Ok(self.told)
    }

    /// An item of each of these, in chunks.
    fn tell_of_origins(&mut self, origins: &[ReplicaId]) -> Goes {
        let all: Vec<(ReplicaId, u64)> = origins.iter().map(|origin| (*origin, 1)).collect();
        let vector = self.begin_beyond(&all)?;
        let mut chunks = origins.chunks(EVENTS_A_CHUNK).peekable();
        while let Some(origins) = chunks.next() {
            let event = |origin: &ReplicaId| (Dot::new(*origin, Seq::FIRST), self.item("origin"));
            let events = origins.iter().map(event).collect();
            let last = chunks.peek().is_none();
            let last = last.then(|| Last { vector: vector.clone(), ..Last::default() });
            self.say(&[Say::Chunk(0, chunk(events, last))])?;
        }
        Ok(())
    }

    /// Says something, and hears what is answered.
    fn say(&mut self, says: &[Say]) -> Goes {
        self.send(&forge::messages(says))
    }

    /// Sends messages in a frame of the number that is due.
    fn send(&mut self, messages: &[u8]) -> Goes {
        let mut frame = Vec::with_capacity(messages.len() + 2);
        frame.put_varint(self.session.report().frames_received);
        frame.extend_from_slice(messages);
        self.told.sent_bytes += frame.len() as u64;
        let taken = self.session.handle_frame(self.now_ms, &frame);
        let heard = self.hear();
        let ended = taken.and(heard);
        if let Err(Error::Peer(error)) = &ended {
            self.told.error.get_or_insert_with(|| error.clone());
        }
        ended
    }

    fn hear(&mut self) -> Goes {
        while let Some(frame) = self.session.poll_frame(self.now_ms)? {
            self.told.heard_bytes += frame.len() as u64;
            self.told.heard_frames += 1;
            self.heard.extend(forge::heard(&frame, &self.seen));
        }
        Ok(())
    }

    /// Begins to talk of the space, which stands so at the liar's side. In a frame of its own:
    /// the first one must be short, and a lie may be long.
    fn begin(&mut self, stands: Stands) -> Goes {
        let hello = Say::Hello(self.name);
        if self.connects {
            self.say(&[hello])?;
            return self.say(&[Say::Open(0, self.space.clone(), stands), Say::AllOpened]);
        }
        self.hear()?;
        self.say(&[hello])?;
        self.say(&[Say::Answer(0, stands), Say::AllOpened])
    }

    fn stands(&self, vector: VersionVector) -> Stands {
        Stands { hash_of: vector.clone(), vector, root: [7; 32] }
    }

    /// Begins with the victim's vector and more.
    fn begin_beyond(&mut self, more: &[(ReplicaId, u64)]) -> Result<VersionVector, Error> {
        let mut vector = self.seen.clone();
        more.iter().for_each(|(replica, seq)| vector.advance(Dot::new(*replica, Seq::new(*seq))));
        self.begin(self.stands(vector.clone()))?;
        Ok(vector)
    }

    fn item(&self, key: &str) -> Event {
        item(place(key, Kind::SET, b"lie"), Vec::new())
    }

    fn dot(&self, seq: u64) -> Dot {
        Dot::new(self.name, Seq::new(seq))
    }

    /// A delta of these events in one chunk, which leads to this vector.
    fn delta(&mut self, events: Vec<(Dot, Event)>, vector: VersionVector) -> Goes {
        let last = Some(Last { vector, ..Last::default() });
        self.say(&[Say::Chunk(0, chunk(events, last))])
    }

    fn tell(&mut self, lie: Lie) -> Goes {
        match lie {
            Lie::KnowsOurFuture => {
                let next = self.seen.get(self.victim).get() + 1 + self.random.below(1 << 20) as u64;
                self.begin_beyond(&[(self.victim, next)]).map(drop)
            }
            Lie::RemovesOurFuture => {
                let vector = self.begin_beyond(&[(self.name, 1)])?;
                let next = Dot::new(self.victim, self.seen.get(self.victim).next());
                let removal = Event::Removal(Removal::Dots(vec![next]));
                self.delta(vec![(self.dot(1), removal)], vector)
            }
            Lie::VectorOfAnotherHash => {
                let mut vector = self.seen.clone();
                vector.advance(self.dot(9));
                let stands = Stands { hash_of: self.seen.clone(), vector, root: [7; 32] };
                self.begin(stands)
            }
            Lie::ShrinkingVector => {
                self.begin_beyond(&[(self.name, 9)])?;
                let mut vector = self.seen.clone();
                vector.advance(self.dot(4));
                self.delta(vec![(self.dot(9), self.item("shrunk"))], vector)
            }
            Lie::VectorTooHigh => {
                let vector = self.begin_beyond(&[(self.other, u64::MAX), (self.name, 1)])?;
                self.delta(vec![(self.dot(1), self.item("high"))], vector)
            }
            Lie::VectorTooLow => {
                self.begin(self.stands(VersionVector::new()))?;
                (0..ROUNDS).try_for_each(|_| self.say(&[Say::WantVector(0)]))
            }
            Lie::OverflowingSeq => {
                let vector = self.begin_beyond(&[(self.name, u64::MAX)])?;
                self.delta(vec![(self.dot(limits::EVENT_SEQ.get() + 1), self.item("over"))], vector)
            }
            Lie::NeverEqual => self.never_equal(),
            Lie::EndlessWalk => self.endless_walk(),
            Lie::UnlistedNodes => self.unlisted_nodes(),
            Lie::ClaimsWithoutWalk => {
                let vector = self.begin_beyond(&[(self.name, 1)])?;
                let claim = Claim { origin: self.victim, block: 0, bits: [0; 32] };
                let last = Some(Last { vector, claims: vec![claim], ..Last::default() });
                self.say(&[Say::Chunk(0, chunk(Vec::new(), last))])
            }
            Lie::OutOfOrder => {
                self.begin_beyond(&[(self.name, 2)])?;
                let one = chunk(vec![(self.dot(1), self.item("b"))], None);
                let mut bytes = forge::messages(&[Say::Chunk(0, one)]);
                // The group once more: count of groups, and again what follows it.
                let group = bytes.split_off(20);
                let Some(count) = bytes.last_mut() else { return Ok(()) };
                *count = 2;
                let again = group.get(..group.len().saturating_sub(1)).unwrap_or_default();
                let frame = [bytes.as_slice(), again, &group].concat();
                self.send(&frame)
            }
            Lie::OurDots => {
                let vector = self.begin_beyond(&[(self.name, 1)])?;
                let own = self.seen.get(self.victim).get();
                let mut events: Vec<_> = (1..=own)
                    .map(|seq| (Dot::new(self.victim, Seq::new(seq)), self.item("forged")))
                    .chain([(self.dot(1), self.item("own"))])
                    .collect();
                events.sort_by_key(|event| event.0);
                self.delta(events, vector)
            }
            Lie::DotsOfOthers => {
                let vector = self.begin_beyond(&[(self.other, 3)])?;
                let events = (1..=3).map(|n| Dot::new(self.other, Seq::new(n)));
                self.delta(events.map(|dot| (dot, self.item("theirs"))).collect(), vector)
            }
            Lie::Replays => {
                let vector = self.begin_beyond(&[(self.name, 2)])?;
                let first = chunk(vec![(self.dot(1), self.item("once"))], None);
                let last = Some(Last { vector, ..Last::default() });
                let last = chunk(vec![(self.dot(2), self.item("twice"))], last);
                let says = [first, last].map(|chunk| Say::Chunk(0, chunk));
                says.iter().try_for_each(|say| self.say(&[say.clone(), say.clone(), say.clone()]))
            }
            Lie::MixedSpaces => {
                let vector = self.begin_beyond(&[(self.name, 1)])?;
                let last = Some(Last { vector, ..Last::default() });
                let chunk = chunk(vec![(self.dot(1), self.item("mixed"))], last);
                self.say(&[Say::Chunk(2 + u64::from(self.connects), chunk)])
            }
            Lie::ManyReplicas => {
                let many: Vec<(ReplicaId, u64)> = (0..65_536).map(|n| (numbered(n), 1)).collect();
                let vector = self.begin_beyond(&many)?;
                let dots = many.iter().map(|(replica, _)| Dot::new(*replica, Seq::new(1)));
                self.delta(dots.map(|dot| (dot, self.item("many"))).collect(), vector)
            }
            Lie::EndlessSiblings => {
                let vector = self.begin_beyond(&[(self.name, MANY)])?;
                let place = place("siblings", Kind::VALUE, b"");
                let sibling = |n: u64| (self.dot(n), item(place.clone(), vec![0; 8]));
                self.delta((1..=MANY).map(sibling).collect(), vector)
            }
            Lie::BeyondTheWindow => {
                self.begin_beyond(&[(self.name, MANY)])?;
                let one = |n| Say::Chunk(0, chunk(vec![(self.dot(n), self.item("window"))], None));
                let says: Vec<Say> = (1..=100).map(one).collect();
                self.say(&says)
            }
            Lie::SlowBytes => {
                self.begin_beyond(&[(self.name, 9)])?;
                self.say(&[Say::Chunk(0, chunk(vec![(self.dot(1), self.item("slow"))], None))])?;
                for _ in 0..ROUNDS {
                    self.now_ms += 1_000;
                    self.session.handle_timeout(self.now_ms)?;
                    self.hear()?;
                }
                Ok(())
            }
            Lie::FromTheFuture => {
                let far = limits::EVENT_SEQ.get() - self.random.below(2) as u64;
                let vector = self.begin_beyond(&[(self.name, far)])?;
                let stamp = (10 * A_YEAR_MS + 1_700_000_000_000) << 16;
                let payload = stamp.to_be_bytes().to_vec();
                let event = item(place("future", Kind::REGISTER, b""), payload);
                self.delta(vec![(self.dot(far), event)], vector)
            }
            Lie::ManySpaces => self.many_spaces(),
            Lie::UnknownTypes => {
                let vector = self.begin_beyond(&[(self.name, 3)])?;
                let unknown = |n| Kind::new(n).unwrap_or(Kind::VALUE);
                let places = [
                    vec![(unknown(200), &b"?"[..])],
                    vec![(Kind::MAP, b"field"), (unknown(201), b"")],
                    vec![(unknown(255), b"\0deep"), (Kind::SET, b"element")],
                ];
                let event = |(n, steps): (u64, Vec<_>)| {
                    let payload = if n == 3 { Vec::new() } else { b"\0\xff as it is".to_vec() };
                    (self.dot(n), item(place_of("later", &steps), payload))
                };
                let events = (1..).zip(places).map(event).collect();
                self.delta(events, vector)
            }
            Lie::UnknownFields => {
                let items: [(&str, Kind, &[u8], &[u8]); 5] = [
                    ("counted", Kind::COUNTER, b"", b"\x0e\0later"),
                    ("elements", Kind::SET, b"element", b"\xff\0"),
                    ("elements", Kind::RW_SET, b"element", b"\x01later"),
                    ("flags", Kind::EW_FLAG, b"", b"later"),
                    ("flags", Kind::DW_FLAG, b"", b"\x01\x01"),
                ];
                let vector = self.begin_beyond(&[(self.name, 5)])?;
                let event = |(n, (key, kind, name, payload)): (u64, (_, _, _, &[u8]))| {
                    (self.dot(n), item(place(key, kind, name), payload.to_vec()))
                };
                let events = (1..).zip(items).map(event).collect();
                self.delta(events, vector)
            }
            Lie::Noise => {
                self.begin_beyond(&[(self.name, 9)])?;
                let mut noise = vec![0; 1 + self.random.below(4096)];
                self.random.fill(&mut noise);
                self.say(&[Say::Raw(noise)])
            }
        }
    }

    /// Every one of these costs the victim more than it costs the liar.
    fn many_spaces(&mut self) -> Goes {
        if !self.connects {
            self.hear()?;
        }
        self.say(&[Say::Hello(self.name)])?;
        let mut vector = VersionVector::new();
        vector.advance(self.dot(1));
        let stands = self.stands(vector);
        let first = u64::from(!self.connects);
        let space = self.space.clone();
        let open = |n| Say::Open(first + 2 * n, format!("{space}/{n:06}"), stands.clone());
        for from in (0..SPACES).step_by(1_000) {
            let says: Vec<Say> = (from..from + 1_000).map(&open).collect();
            self.say(&says)?;
        }
        Ok(())
    }
}

fn numbered(n: u32) -> ReplicaId {
    let mut id = [0x5a; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    ReplicaId::from_bytes(id)
}

/// A place of one step beneath a key.
fn place(key: &str, kind: Kind, name: &[u8]) -> Option<Place> {
    place_of(key, &[(kind, name)])
}

fn place_of(key: &str, steps: &[(Kind, &[u8])]) -> Option<Place> {
    let key = Prefix::key(key.as_bytes());
    let prefix = steps.iter().try_fold(key.ok()?, |at, (kind, name)| at.step(*kind, name));
    prefix.ok().map(|prefix| prefix.place())
}

fn item(place: Option<Place>, payload: Vec<u8>) -> Event {
    let place = place.map(|place| place.as_bytes().to_vec()).unwrap_or_default();
    Event::Item { place, past: VersionVector::new(), payload }
}

fn chunk(events: Vec<(Dot, Event)>, last: Option<Last>) -> Chunk {
    let mut upto = VersionVector::new();
    events.iter().for_each(|(dot, _)| upto.advance(*dot));
    Chunk { events, upto, last }
}
