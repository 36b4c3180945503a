//! A network that loses, stalls and cuts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rejoin::Store;
use rejoin::net::{NetError, NetOptions, SyncError, sync_url};
use rejoin::session::Scope;
use rejoin::sim::Random;

use crate::world::World;
use crate::{fails_with_words, is_sound};

/// What was done to the pieces that came by a lossy network.
#[derive(Debug, Default)]
struct Tally {
    pieces: AtomicUsize,
    lost: AtomicUsize,
    cut: AtomicUsize,
    stalled: AtomicUsize,
    stalled_long: AtomicUsize,
}

/// Hands bytes on between a client and a server, and does not always do so.
struct Lossy {
    address: String,
    ends: Arc<AtomicBool>,
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Lossy {
    fn before(server: &str, seed: u64, tally: &Arc<Tally>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ends, server) = (Arc::new(AtomicBool::new(false)), server.to_owned());
        let (ended, tally) = (ends.clone(), tally.clone());
        std::thread::spawn(move || {
            let mut drawn = Random::new(seed);
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let line = Arc::new(Line::default());
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (random, line) = (Random::new(drawn.next()), line.clone());
                    let tally = tally.clone();
                    std::thread::spawn(move || hand_on(from, to, random, &line, &tally));
                }
            }
        });
        Self { address, ends }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// One connection, in both directions.
#[derive(Default)]
struct Line {
    has_lost: AtomicBool,
    moved: AtomicUsize,
}

/// A piece is what has come so far, and at most this, in which a WebSocket frame finds room.
const PIECE_BYTES: usize = 128 << 10;

/// Where something was lost and so long nothing comes by, the connection ends: the sides would
/// wait for a minute for what never comes.
const QUIET: Duration = Duration::from_millis(40);

/// Hands one direction on. Of a hundred pieces 30 are lost: half of them as a whole, and of the
/// others a part, so that what follows stands where it does not belong. Of the others some are
/// late, a few very late, and some are the end of the connection, of which a part arrives.
fn hand_on(mut from: TcpStream, mut to: TcpStream, mut random: Random, line: &Line, tally: &Tally) {
    from.set_read_timeout(Some(QUIET)).unwrap();
    let count = |of: &AtomicUsize| of.fetch_add(1, Ordering::SeqCst);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let before = line.moved.load(Ordering::SeqCst);
        let bytes = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(bytes) => &piece[..bytes],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let quiet = line.moved.load(Ordering::SeqCst) == before;
                if quiet && line.has_lost.load(Ordering::SeqCst) {
                    break;
                }
                continue;
            }
            Err(_) => break,
        };
        count(&line.moved);
        count(&tally.pieces);
        let (at, fate) = (random.below(bytes.len()), random.below(100));
        let (mut arrives, mut rest) = (bytes, &bytes[..0]);
        let mut ends = false;
        match fate {
            0..30 => {
                count(&tally.lost);
                line.has_lost.store(true, Ordering::SeqCst);
                (arrives, rest) = match random.percent(50) {
                    true => (&bytes[..0], &bytes[..0]),
                    false => (&bytes[..at], &bytes[random.between(at + 1, bytes.len())..]),
                };
            }
            30..35 => {
                count(&tally.cut);
                (arrives, ends) = (&bytes[..at], true);
            }
            35..55 => {
                count(&tally.stalled);
                std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            }
            55 => {
                count(&tally.stalled_long);
                std::thread::sleep(Duration::from_millis(200));
            }
            _ => {}
        }
        if to.write_all(arrives).is_err() || to.write_all(rest).is_err() || ends {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Of all that goes over the line a third is lost, and with it the connection, so that it takes
/// about a hundred until one comes to its end. What arrived before stays, and the next one goes on
/// behind it. A side that is opened anew would begin its delta anew, so that both stay open: the
/// binary serves, and the library, in this process, connects.
#[test]
fn a_network_that_loses_a_third_loses_no_data() {
    const CONNECTIONS: usize = 2_000;
    const ROWS: usize = 2_200;
    let w = World::new();
    // Several chunks on each side, so that no delta goes over one connection.
    let line = |side: &str, n: usize| {
        format!("{{\"op\":\"put\",\"key\":\"{side}/{n}\",\"value\":\"{side} {n:0>400}\"}}\n")
    };
    for side in ["a", "b"] {
        w.import(side, &(0..ROWS).map(|n| line(side, n)).collect::<String>()).ok();
    }
    let mut all = [w.ok("a", &["export"]), w.ok("b", &["export"])].concat();
    let serving = w.serve("a");
    let tally = Arc::new(Tally::default());
    let proxy = Lossy::before(&serving.address, 1, &tally);
    let store = Store::open(w.path("b")).unwrap();
    let space = store.space("main").unwrap();
    let staged = || space.status().unwrap().staged;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut connections, mut went_on) = (0, 0);
    loop {
        let (before, scope) = (staged(), Scope::Space("main".to_owned()));
        connections += 1;
        match runtime.block_on(sync_url(&store, scope, &proxy.url(), &NetOptions::default())) {
            Ok(report) if report.converged() => break,
            Ok(_) => {}
            Err(SyncError { reason: NetError::Panicked { reason, .. }, .. }) => panic!("{reason}"),
            Err(_) => {}
        }
        went_on += usize::from(before > 0 && staged() > before);
        let found = store.check().unwrap();
        assert!(found.is_sound(), "{:?}", found.problems);
        // All of a delta, or nothing.
        let items = space.status().unwrap().items as usize;
        assert!(items == ROWS || items == 2 * ROWS, "{items} items");
        assert!(connections < CONNECTIONS, "they do not come together: {tally:?}");
    }
    println!("{connections} connections; {went_on} went on behind what was there: {tally:?}");
    let [pieces, lost, cut, late, very_late] =
        [&tally.pieces, &tally.lost, &tally.cut, &tally.stalled, &tally.stalled_long]
            .map(|of| of.load(Ordering::SeqCst));
    assert!(connections > 3 && pieces > 30, "this was no such network: {tally:?}");
    assert!(lost * 100 > pieces * 20, "less was lost than was meant to be: {tally:?}");
    // Of 200 pieces, 10 and 42 are to be expected: fewer than these come of no draw.
    assert!(cut > 1 && late + very_late > 10, "it did not cut or did not stall: {tally:?}");
    drop((space, store));
    // The binary at the other end says what went wrong, and its store is sound.
    for _ in 0..8 {
        let ran = w.run("c", &["sync", &proxy.url()]);
        if ran.code != 0 {
            fails_with_words(ran, &["rejoin: "]);
        }
        is_sound(&w, "c");
    }
    drop(proxy);
    all = sorted(&all);
    // All that it serves, or nothing of it.
    let passed_on = sorted(&w.ok("c", &["export"]));
    assert!(passed_on.is_empty() || passed_on == all, "a part of it came to be seen");
    // Nor is what those tries left in the way of one over a line that loses nothing.
    w.ok("c", &["sync", &serving.url()]);
    serving.stop();
    for store in ["a", "b", "c"] {
        is_sound(&w, store);
        assert_eq!(sorted(&w.ok(store, &["export"])), all);
    }
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
