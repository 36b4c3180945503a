//! One history, and what it comes to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin::session::{Scope, Session};
use rejoin::space::{Keys, ReadContext, Replacing};
use rejoin::{Error, Options, Space, Store};

/// What a history came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The root of each space, which all replicas share in the end.
    pub roots: Vec<[u8; 32]>,
    /// A hash over every frame that went, and every item at every replica in the end.
    pub seen: u64,
    /// How many bytes of frames went.
    pub bytes: u64,
}

impl Played {
    /// All of it as words.
    #[must_use]
    pub fn words(&self) -> Vec<u64> {
        let roots = self.roots.iter().flat_map(|root| root.as_chunks::<8>().0);
        roots.map(|word| u64::from_be_bytes(*word)).chain([self.seen, self.bytes]).collect()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the world's dice, which `sim` has too, but not in a
/// browser.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn nonce(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a over all that must be the same everywhere.
struct Seen(u64);

impl Seen {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_be_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

struct History {
    random: Random,
    stores: Vec<Store>,
    contexts: Vec<ReadContext>,
    /// Wall time, which replicas are told by their own clocks, years apart.
    now_ms: Arc<AtomicU64>,
    seen: Seen,
    bytes: u64,
}

const SPACES: [&str; 2] = ["main", "other"];
const YEAR_MS: u64 = 365 * 86_400_000;

/// Plays the history of a seed.
///
/// # Errors
/// The library failed, which it must not.
///
/// # Panics
/// Replicas that have met do not agree.
pub fn play(seed: u64) -> Result<Played, Error> {
    let mut random = Random(mix(seed));
    let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
    let replicas = 2 + random.below(3);
    let stores: Vec<Store> =
        (0..replicas).map(|_| Store::in_memory_with(drawn_options(&mut random, &now_ms))).collect();
    let seen = Seen(0xcbf2_9ce4_8422_2325);
    let mut history = History { random, stores, contexts: Vec::new(), now_ms, seen, bytes: 0 };
    for _ in 0..history.random.below(120) {
        match history.random.below(10) {
            0 | 1 => history.meet()?,
            _ => history.write()?,
        }
        history.now_ms.fetch_add(history.random.below(1 << 20), Ordering::Relaxed);
    }
    history.settle()
}

/// The options of a replica: some forget all removals, or most of the pasts.
fn drawn_options(random: &mut Random, now_ms: &Arc<AtomicU64>) -> Options {
    let (away, now_ms) = (random.below(20) * YEAR_MS, Arc::clone(now_ms));
    let clock = move || now_ms.load(Ordering::Relaxed) + away;
    let drawn = AtomicU64::new(random.next());
    let entropy = move |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = mix(drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)) as u8;
        }
    };
    let mut options = Options::with(Arc::new(clock), Arc::new(entropy));
    options.removal_log_bytes = [0, 100, u64::MAX][random.below(3) as usize];
    options.past_origins = [1, 16][random.below(2) as usize];
    options
}

impl History {
    fn two(&mut self) -> (Store, Store) {
        let count = self.stores.len() as u64;
        let one = self.random.below(count);
        let other = (one + 1 + self.random.below(count - 1)) % count;
        (self.stores[one as usize].clone(), self.stores[other as usize].clone())
    }

    fn space(&mut self) -> Result<Space, Error> {
        let store = &self.stores[self.random.below(self.stores.len() as u64) as usize];
        store.space(SPACES[usize::from(self.random.below(4) == 0)])
    }

    /// One write of one kind or another, or several as one.
    fn write(&mut self) -> Result<(), Error> {
        let space = self.space()?;
        let random = &mut self.random;
        let (few, wide) = (random.below(3), random.next());
        let name = few.to_string();
        match random.below(20) {
            0 => space.put("v", wide.to_be_bytes(), None),
            1 => space.put("v", [few as u8], Replacing::Nothing),
            2 => match self.contexts.pop() {
                // Read elsewhere, perhaps: it may name what was not seen here.
                Some(context) => {
                    let done = space.put("v", [few as u8], &context);
                    self.seen.bytes(&[u8::from(done.is_ok())]);
                    Ok(())
                }
                None => Ok(()),
            },
            3 | 4 => {
                let siblings = space.get("v")?;
                siblings.values().for_each(|value| self.seen.bytes(value));
                self.seen.bytes(&siblings.context().to_bytes());
                self.contexts.push(siblings.context().clone());
                Ok(())
            }
            5 => space.register("r").set(&(wide, name)),
            6 => space.mv_register("m").set(&f64::from_bits(wide).to_bits()),
            // So large that some are refused: together they are no 64-bit number.
            7 => {
                let done = space.counter("n").add(wide as i64);
                self.seen.bytes(&[u8::from(done.is_ok())]);
                Ok(())
            }
            8 => space.set("s").add(&few),
            9 => space.set("s").remove(&few).map(drop),
            10 => space.rw_set("w").add(&name),
            11 => space.rw_set("w").remove(&name),
            12 => space.flag("f").enable(),
            13 => space.flag("f").disable(),
            14 => space.dw_flag("d").disable(),
            15 => space.map::<u64>("map").map::<String>(&few)?.counter(&name)?.add(-1),
            16 => space.map::<u64>("map").remove(&few).map(drop),
            17 => space.write(|tx| {
                // Runs of events, so that there are blocks of the digest, and holes in them.
                for at in 0..wide % 400 {
                    tx.set("many").add(&(at, few))?;
                    if at % 3 == 0 {
                        tx.set("many").remove(&(at, (few + 1) % 3))?;
                    }
                }
                tx.register("r").set(&(wide, name))
            }),
            // More than one chunk, now and then.
            18 if wide.is_multiple_of(4) => space.put("v", vec![few as u8; 300_000], None),
            18 => space.delete("many").map(drop),
            _ => space.delete(["v", "n", "w", "map", "r"][(wide % 5) as usize]).map(drop),
        }
    }

    /// Two meet, and may be cut off.
    fn meet(&mut self) -> Result<(), Error> {
        let (one, other) = self.two();
        let frames = match self.random.below(3) {
            0 => self.random.below(8),
            _ => u64::MAX,
        };
        let scope = match self.random.below(3) {
            0 => Scope::Space(SPACES[0].to_owned()),
            1 => Scope::Prefix("o".to_owned()),
            _ => Scope::All,
        };
        self.session(&one, &other, scope, frames).map(drop)
    }

    /// A session of so many frames at most; whether it came to its end, proven equal.
    fn session(
        &mut self,
        one: &Store,
        other: &Store,
        scope: Scope,
        mut frames: u64,
    ) -> Result<bool, Error> {
        let mut sides = [
            Session::connect(one, scope, self.random.nonce())?,
            Session::accept(other, self.random.nonce()),
        ];
        let (mut now_ms, mut turn, mut quiet) = (0, 0, 0);
        while !sides.iter().all(Session::is_over) {
            if frames == 0 {
                sides.iter_mut().for_each(Session::close);
                return Ok(false);
            }
            if let Some(frame) = sides[turn].poll_frame(now_ms)? {
                (frames, quiet) = (frames - 1, 0);
                self.seen.bytes(&frame);
                self.bytes += frame.len() as u64;
                sides[1 - turn].handle_frame(now_ms, &frame)?;
                continue;
            }
            (turn, quiet) = (1 - turn, quiet + 1);
            if quiet > 2 {
                let due = sides.iter().filter_map(Session::poll_timeout).min();
                now_ms = due.expect("both wait for each other").max(now_ms);
                for side in &mut sides {
                    side.handle_timeout(now_ms)?;
                }
            }
        }
        Ok(sides[0].report().converged())
    }

    /// All meet until all are equal, and what they came to.
    fn settle(mut self) -> Result<Played, Error> {
        let stores = self.stores.clone();
        for _ in 0..2 {
            for pair in stores.windows(2) {
                self.session(&pair[0], &pair[1], Scope::All, u64::MAX)?;
            }
            for pair in stores.windows(2).rev() {
                let proven = self.session(&pair[1], &pair[0], Scope::All, u64::MAX)?;
                assert!(proven, "a pair is not proven equal");
            }
        }
        let mut roots = Vec::new();
        for name in SPACES {
            let spaces: Vec<Space> =
                stores.iter().map(|store| store.space(name)).collect::<Result<_, _>>()?;
            for space in &spaces {
                self.read(space)?;
            }
            let root = spaces[0].root()?;
            for space in &spaces {
                assert_eq!(space.root()?, root, "{name}");
            }
            roots.push(*root.as_bytes());
        }
        Ok(Played { roots, seen: self.seen.0, bytes: self.bytes })
    }

    /// Everything that a space shows.
    fn read(&mut self, space: &Space) -> Result<(), Error> {
        let seen = &mut self.seen;
        space.snapshot()?.for_each_item(Keys::all(), |item| {
            seen.bytes(format!("{item:?}").as_bytes());
            ControlFlow::Continue(())
        })?;
        seen.bytes(&space.counter("n").get()?.to_be_bytes());
        let said = format!(
            "{:?} {:?} {:?} {:?} {} {} {:?}",
            space.register::<(u64, String)>("r").get()?,
            space.mv_register::<u64>("m").get()?,
            space.set::<u64>("s").elements()?,
            space.rw_set::<String>("w").elements()?,
            space.flag("f").get()?,
            space.dw_flag("d").get()?,
            space.map::<u64>("map").fields()?,
        );
        seen.bytes(said.as_bytes());
        seen.bytes(format!("{:?}", space.vector()?).as_bytes());
        Ok(())
    }
}
