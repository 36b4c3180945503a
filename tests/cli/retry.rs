//! `rejoin sync --retry` over lines that are cut.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::world::World;

/// Bytes that go from the client to the server before a connection ends.
const A_CONNECTION: usize = 300_000;

/// Hands connections on to a server, and ends some after so many bytes.
struct Cutting {
    address: String,
    connections: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl Cutting {
    /// Ends each connection.
    fn before(server: &str) -> Self {
        Self::ending(server, |_| (A_CONNECTION, usize::MAX))
    }

    /// Ends the first one, after so many bytes from the server.
    fn once(server: &str, bytes: usize) -> Self {
        Self::ending(server, move |n| (usize::MAX, if n == 0 { bytes } else { usize::MAX }))
    }

    /// Ends connections after so many bytes to the server, or from it.
    fn ending(server: &str, after: impl Fn(usize) -> (usize, usize) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, ended, server) = (connections.clone(), ends.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (there, back) = after(counted.fetch_add(1, Ordering::SeqCst));
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let [to, from] = [&client, &server].map(|end| end.try_clone().unwrap());
                std::thread::spawn(move || hand_on(from, to, back));
                std::thread::spawn(move || hand_on(client, server, there));
            }
        });
        Self { address, connections, ends }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, mut left: usize) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        let handed_on = bytes.min(left);
        left -= handed_on;
        if to.write_all(&piece[..handed_on]).is_err() || left == 0 {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// More than any connection carries: one try alone never comes to its end, nor do many of which
/// each begins anew.
#[test]
fn a_large_upload_over_a_line_that_is_cut_comes_to_its_end() {
    const ROWS: usize = 2_500;
    let w = World::new();
    let line = |n: usize| format!("{{\"op\":\"put\",\"key\":\"{n}\",\"value\":\"{n:0>400}\"}}\n");
    w.import("b", &(0..ROWS).map(line).collect::<String>()).ok();
    let serving = w.serve("a");
    let line = Cutting::before(&serving.address);
    for _ in 0..2 {
        let cut = w.run("b", &["sync", &line.url()]);
        assert!(cut.code != 0 && cut.err.contains("went away"), "{}", cut.err);
    }
    let before = line.connections();
    let report = w.json("b", &["sync", "--retry", "40", &line.url()]);
    assert_eq!(report["converged"], true);
    let tries = line.connections() - before;
    assert!((3..20).contains(&tries), "{tries} tries");
    drop(line);
    serving.stop();
    assert_eq!(w.ok("a", &["export"]), w.ok("b", &["export"]));
}

/// The second try of many spaces compares what is left, and names nothing else.
#[test]
fn what_was_done_before_the_line_was_cut_is_told_too() {
    const SPACES: usize = 20;
    let w = World::new();
    let spaces: Vec<String> = (0..SPACES).map(|n| format!("s{n:02}")).collect();
    for space in &spaces {
        w.ok("b", &["--space", space, "put", "k", "v"]);
    }
    let mut tries = 0;
    for (n, bytes) in (600..1_800).step_by(100).enumerate() {
        let served = format!("a{n}");
        let serving = w.serve(&served);
        let line = Cutting::once(&serving.address, bytes);
        let report = w.json("b", &["sync", "--all", "--retry", "3", &line.url()]);
        assert_eq!((&report["converged"], &report["spaces"]), (&true.into(), &SPACES.into()));
        assert!(report["items_sent"].as_u64().unwrap() >= SPACES as u64, "{report}");
        let each = report["each"].as_array().unwrap();
        let names: Vec<_> = each.iter().map(|space| space["space"].as_str().unwrap()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), SPACES);
        assert!(each.iter().all(|space| space["why"].is_null()), "{report}");
        tries += line.connections() - 1;
        drop(line);
        serving.stop();
    }
    assert!(tries > 3, "the line was hardly cut: {tries}");
}

#[test]
fn what_is_wrong_with_a_side_is_not_tried_again() {
    let w = World::new();
    w.ok("a", &["put", "k", "v"]);
    let wrong = w.run("a", &["sync", "--retry", "1000", "http://127.0.0.1:1"]);
    assert!(wrong.code != 0 && !wrong.err.contains("tries again"), "{}", wrong.err);
    // Somebody is there, and speaks something else.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("ws://{}", listener.local_addr().unwrap());
    let speaks = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let _ = client.read(&mut [0; 1024]);
        client.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").unwrap();
    });
    let wrong = w.run("a", &["sync", "--retry", "1000", &other]);
    assert!(wrong.code != 0 && !wrong.err.contains("tries again"), "{}", wrong.err);
    speaks.join().unwrap();
    // That nobody is there may pass.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let refused = w.run("a", &["sync", "--retry", "1", &nobody]);
    assert!(refused.code != 0 && refused.err.contains("connection refused"));
    assert_eq!(refused.err.matches("tries again").count(), 1, "{}", refused.err);
}
