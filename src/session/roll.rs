//! Which spaces a session opens.
//!
//! Where a side has few spaces it opens all of them, and then the other side those that it
//! has beside them. Where it has many, and met the other before, both open only those
//! touched since. Where they did not meet, they first compare which spaces they have and how
//! each stands: ordered by name, in ranges, each with a hash of what it holds, of which the
//! ranges that differ are cut finer until they are short enough to be listed (range-based set
//! reconciliation: Meyer, 2023). Who is sent a list opens the spaces in it that differ.
//!
//! ```text
//! connects                                    is connected to
//!   hello: we met as M   opens …     ─────▶
//!                                    ◀─────   hello: so we did   opens …
//!
//!   hello: let us compare            ─────▶
//!                                    ◀─────   hello   spaces: hashes of ranges
//!   spaces: hashes, lists  opens …   ─────▶
//!                                    ◀─────   spaces: …          opens …
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::message::Message;
use super::ranges::{Catalog, FAN_OUT, RANGES_A_MESSAGE, Range};
use super::scope::Scope;
use crate::causal::ReplicaId;
use crate::codec::limits;
use crate::error::{Error, PeerError};
use crate::space::{MeetingId, Store};

/// How often a space is opened once more, because names in it have forked: each time one
/// side knows the whole of the other's histories, and mostly once is enough.
const TIMES_AGAIN: u8 = 16;

/// Answers of one side while two compare, at most: each cuts what differs into 32.
const ANSWERS: u8 = 16;

/// How the two come to know which spaces to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Each opens all that it has.
    Each,
    /// Each opens what was touched since a meeting of the two.
    Since(MeetingId),
    /// They compare.
    Compare,
}

/// Where a comparison stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is none.
    None,
    Theirs,
    /// All ranges are equal, or were opened.
    Over,
}

/// What one side knows of which spaces are to be opened.
pub(super) struct Roll {
    opener: bool,
    pub(super) scope: Option<Scope>,
    pub(super) call: Call,
    turn: Turn,
    /// Names still to open, last first.
    to_open: Vec<String>,
    opened: BTreeSet<String>,
    /// Spaces to be opened once more, by whichever side did before, each with the number it had,
    /// and how often each was.
    to_come: BTreeMap<String, u64>,
    again: BTreeMap<String, u8>,
    /// Under which number they were opened before.
    were: BTreeMap<u64, String>,
    /// Those that were given up here, and how often the peer opened them before it knew.
    given_up: BTreeMap<String, u8>,
    new_spaces: usize,
    said_all: bool,
    heard_all: bool,
    catalog: Catalog,
    /// The ranges of the peer's message, as far as it came, and how many it may have.
    heard: Vec<Range>,
    most_heard: usize,
    answers: u8,
    queue: VecDeque<Message>,
    /// The commit here up to which spaces that are not opened are equal.
    as_of: u64,
    /// Spaces opened before the two began to compare, and the commit since which they were
    /// touched: where one went on changing, what was said of it is older than the comparison.
    early: (BTreeSet<String>, u64),
    /// Spaces proven, and when they were touched before that.
    settled: BTreeMap<String, u64>,
    /// Whether a space was opened and not proven.
    unproven: bool,
}

fn protocol(what: &'static str) -> Error {
    PeerError::Protocol { what }.into()
}

impl Roll {
    fn new(opener: bool, scope: Option<Scope>) -> Self {
        Self {
            opener,
            scope,
            call: Call::Each,
            turn: Turn::None,
            to_open: Vec::new(),
            opened: BTreeSet::new(),
            to_come: BTreeMap::new(),
            again: BTreeMap::new(),
            were: BTreeMap::new(),
            given_up: BTreeMap::new(),
            new_spaces: 0,
            said_all: false,
            heard_all: false,
            catalog: Catalog::default(),
            heard: Vec::new(),
            most_heard: FAN_OUT,
            answers: 0,
            queue: VecDeque::new(),
            as_of: 0,
            early: (BTreeSet::new(), 0),
            settled: BTreeMap::new(),
            unproven: false,
        }
    }

    /// Of the side that connects.
    pub(super) fn connect(store: &Store, scope: Scope) -> Result<Self, Error> {
        let mut roll = Self::new(true, Some(scope.clone()));
        let Some(prefix) = scope.prefix() else {
            roll.open_all(scope.name().into_iter().map(str::to_owned).collect());
            return Ok(roll);
        };
        let most = store.tuning().few_spaces;
        let few = store.spaces_up_to(prefix, most + 1)?;
        if few.len() <= most {
            roll.open_all(few);
        } else if let Some(meeting) = store.last_meeting(prefix)? {
            roll.call = Call::Since(meeting.id);
            roll.as_of = meeting.commit;
            roll.open_all(store.touched_since(meeting.commit, prefix)?);
        } else {
            roll.call = Call::Compare;
        }
        Ok(roll)
    }

    /// Of the side that is connected to.
    pub(super) fn accept() -> Self {
        Self::new(false, None)
    }

    fn open_all(&mut self, mut names: Vec<String>) {
        names.retain(|name| !self.opened.contains(name) && !self.to_come.contains_key(name));
        names.reverse();
        self.to_open = names;
    }

    /// Takes what the hello says.
    pub(super) fn take_hello(
        &mut self,
        store: &Store,
        (peer, key): (ReplicaId, &[u8; 32]),
        scope: Scope,
        call: Call,
    ) -> Result<(), Error> {
        if self.opener {
            return self.take_answer(store, call);
        }
        self.call = call;
        let prefix = scope.prefix().map(str::to_owned);
        self.scope = Some(scope);
        let Some(prefix) = prefix else { return Ok(()) };
        if let Call::Since(id) = call {
            match store.meeting(peer, id, &prefix)? {
                Some(meeting) => self.as_of = meeting.commit,
                None => self.call = Call::Compare,
            }
        }
        if self.call == Call::Compare {
            self.read_catalog(store)?;
            self.turn = Turn::Theirs;
            self.say_ranges(self.catalog.whole(key));
        }
        Ok(())
    }

    /// Takes what the side that is connected to makes of the call.
    fn take_answer(&mut self, store: &Store, call: Call) -> Result<(), Error> {
        match (self.call, call) {
            (ours, theirs) if ours == theirs => {}
            // It does not remember the meeting. What was opened already is opened.
            (Call::Since(_), Call::Compare) => {
                self.to_open.clear();
                self.said_all = false;
            }
            _ => return Err(protocol("another way to open spaces than was asked for")),
        }
        self.call = call;
        if call == Call::Compare {
            self.early = (self.opened.clone(), self.as_of);
            self.read_catalog(store)?;
            self.turn = Turn::Theirs;
        }
        Ok(())
    }

    fn read_catalog(&mut self, store: &Store) -> Result<(), Error> {
        let prefix = self.scope.as_ref().and_then(Scope::prefix).unwrap_or_default();
        let (as_of, spaces) = store.catalog(prefix)?;
        self.as_of = as_of;
        self.catalog = Catalog::new(spaces);
        Ok(())
    }

    fn say_ranges(&mut self, ranges: Vec<Range>) {
        self.most_heard = ranges.iter().map(Range::most_answers).sum();
        let mut rest = ranges;
        loop {
            let later = rest.split_off(rest.len().min(RANGES_A_MESSAGE));
            let last = later.is_empty();
            self.queue.push_back(Message::Spaces { last, ranges: rest });
            if last {
                return;
            }
            rest = later;
        }
    }

    /// Takes ranges of the peer's; once all of a message are there, answers.
    pub(super) fn take_ranges(
        &mut self,
        key: &[u8; 32],
        last: bool,
        ranges: Vec<Range>,
    ) -> Result<(), Error> {
        if self.turn != Turn::Theirs {
            return Err(protocol("spaces compared out of turn"));
        }
        let follows = |first: &Range| self.heard.last().is_none_or(|last| first.follows(last));
        if !ranges.first().is_none_or(follows) {
            return Err(protocol("ranges of names that do not follow each other"));
        }
        self.heard.extend(ranges);
        if self.heard.len() > self.most_heard {
            return Err(protocol("more ranges of names than were asked for"));
        }
        if !last {
            return Ok(());
        }
        let heard = core::mem::take(&mut self.heard);
        if heard.is_empty() {
            self.turn = Turn::Over;
            return Ok(());
        }
        self.answers += 1;
        if self.answers > ANSWERS {
            return Err(protocol("a comparison of spaces that comes to no end"));
        }
        let scope = self.scope.as_ref();
        let (answer, mut names) = self.catalog.answer(key, &heard);
        if !names.iter().all(|name| scope.is_some_and(|scope| scope.contains(name))) {
            return Err(protocol("a space that the session is not about"));
        }
        // One that is to be opened once more is opened by the side that did before.
        names.retain(|name| !self.to_come.contains_key(name));
        names.extend(core::mem::take(&mut self.to_open));
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.dedup();
        names.retain(|name| !self.opened.contains(name));
        self.to_open = names;
        self.turn = if answer.is_empty() { Turn::Over } else { Turn::Theirs };
        self.say_ranges(answer);
        Ok(())
    }

    /// The peer opens a space; whether it is to be talked of. A new one may come to be by it.
    pub(super) fn take_open(&mut self, name: &str, exists: bool) -> Result<bool, Error> {
        if !self.scope.as_ref().is_some_and(|scope| scope.contains(name)) {
            return Err(protocol("a space that the session is not about"));
        }
        if !self.opened.insert(name.to_owned()) {
            let again = self.given_up.get_mut(name).filter(|times| **times < TIMES_AGAIN);
            let Some(times) = again else { return Err(protocol("a space opened twice")) };
            *times += 1;
            return Ok(false);
        }
        self.to_come.remove(name);
        self.count_new(exists).map(|()| true)
    }

    /// Whether a space was opened already, by either side.
    pub(super) fn has_opened(&self, name: &str) -> bool {
        self.opened.contains(name)
    }

    /// A space was given up here, and the peer does not know that yet.
    pub(super) fn note_given_up(&mut self, name: &str) {
        self.given_up.entry(name.to_owned()).or_default();
    }

    /// A space is opened once more; whether it may be.
    pub(super) fn open_again(&mut self, name: &str, id: u64, opened_here: bool) -> bool {
        let times = self.again.entry(name.to_owned()).or_default();
        if *times >= TIMES_AGAIN || !self.opened.remove(name) {
            return false;
        }
        *times += 1;
        self.to_come.insert(name.to_owned(), id);
        self.were.insert(id, name.to_owned());
        if opened_here {
            self.to_open.push(name.to_owned());
        }
        true
    }

    /// The peer has given up the space of this number for good: where it was to be opened
    /// once more, its name.
    pub(super) fn never_comes(&mut self, id: u64) -> Option<String> {
        let name = self.to_come.iter().find(|(_, of)| **of == id).map(|(name, _)| name.clone())?;
        self.to_come.remove(&name);
        self.to_open.retain(|other| *other != name);
        self.unproven = true;
        Some(name)
    }

    /// The space that had this number, and was opened once more.
    pub(super) fn was(&self, id: u64) -> Option<&str> {
        self.were.get(&id).map(String::as_str)
    }

    /// The spaces that were to be opened once more and were not.
    pub(super) fn take_to_come(&mut self) -> impl Iterator<Item = String> + use<> {
        core::mem::take(&mut self.to_come).into_keys()
    }

    fn count_new(&mut self, exists: bool) -> Result<(), Error> {
        self.new_spaces += usize::from(!exists);
        if self.new_spaces > limits::NEW_SPACES {
            return Err(PeerError::TooManySpaces { limit: limits::NEW_SPACES }.into());
        }
        Ok(())
    }

    /// The peer has opened all that it opens.
    pub(super) fn take_all_opened(&mut self, store: &Store) -> Result<(), Error> {
        let sent_before_it_knew = !self.opener
            && self.call == Call::Compare
            && self.answers == 0
            && self.turn != Turn::Over;
        if sent_before_it_knew {
            return Ok(());
        }
        if core::mem::replace(&mut self.heard_all, true) {
            return Err(protocol("opened twice"));
        }
        if self.opener {
            return Ok(());
        }
        let scope = self.scope.clone();
        let prefix = scope.as_ref().and_then(Scope::prefix);
        match (self.call, prefix) {
            (Call::Each, Some(prefix)) => self.open_all(store.spaces(prefix)?),
            (Call::Each, None) => {
                let name = scope.as_ref().and_then(Scope::name);
                self.open_all(name.into_iter().map(str::to_owned).collect());
            }
            (Call::Since(_), Some(prefix)) => {
                self.open_all(store.touched_since(self.as_of, prefix)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// What is to be said before the next space is opened.
    pub(super) fn poll(&mut self) -> Option<Message> {
        self.queue.pop_front()
    }

    /// The next space to open.
    pub(super) fn next(&mut self, store: &Store) -> Result<Option<String>, Error> {
        let Some(name) = self.to_open.pop() else { return Ok(None) };
        self.opened.insert(name.clone());
        self.to_come.remove(&name);
        if self.call == Call::Compare {
            self.count_new(store.space(&name)?.exists()?)?;
        }
        Ok(Some(name))
    }

    /// Says that all is opened, once it is.
    pub(super) fn say_all_opened(&mut self) -> Option<Message> {
        let knows = match self.turn {
            Turn::None => self.opener || self.heard_all,
            Turn::Over => true,
            Turn::Theirs => false,
        };
        // What an own hello called for is known once the answer is there.
        if self.said_all
            || !knows
            || (self.opener && self.call == Call::Compare && self.turn == Turn::None)
        {
            return None;
        }
        self.said_all = true;
        Some(Message::AllOpened)
    }

    /// Whether no space is opened any more, by either side.
    pub(super) fn is_over(&self) -> bool {
        self.said_all
            && self.heard_all
            && self.to_open.is_empty()
            && self.to_come.is_empty()
            && self.queue.is_empty()
    }

    /// A space came to its end; where it was proven, when it was touched before that, or
    /// nothing where it goes on changing.
    pub(super) fn note_end(&mut self, name: &str, proven: bool, touched: Option<u64>) {
        self.unproven |= !proven;
        match touched.filter(|_| proven) {
            Some(touched) => {
                self.settled.insert(name.to_owned(), touched);
            }
            None if self.early.0.contains(name) => self.as_of = self.as_of.min(self.early.1),
            None => {}
        }
    }

    /// All came to its end: remembers that the two met.
    pub(super) fn remember(
        &self,
        store: &Store,
        peer: ReplicaId,
        id: MeetingId,
    ) -> Result<(), Error> {
        let Some(prefix) = self.scope.as_ref().and_then(Scope::prefix) else { return Ok(()) };
        let nothing_new = matches!(self.call, Call::Since(_)) && self.opened.is_empty();
        if self.unproven || nothing_new {
            return Ok(());
        }
        store.remember_meeting(peer, id, prefix, self.as_of, &self.settled)
    }
}
