//! Two processes: served stores, and peers that are not there or vanish.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::world::{EVERYTHING, World};

#[test]
fn two_stores_edit_apart_and_meet() {
    let w = World::new();
    w.ok("a", &["set", "add", "cart", "apple", "milk"]);
    w.ok("a", &["counter", "add", "visits", "2"]);
    w.ok("b", &["set", "add", "cart", "banana"]);
    w.ok("b", &["register", "set", "title", "Groceries"]);
    let server = w.serve("a");
    let first = w.json("b", &["sync", &server.url()]);
    assert_eq!(first["converged"], true);
    assert_eq!((&first["spaces"], &first["items_sent"]), (&json!(1), &json!(2)));
    assert_eq!((&first["items_received"], &first["repaired"]), (&json!(3), &json!(0)));
    let second = w.json("b", &["sync", &server.url()]);
    assert_eq!(second["round_trips"], 1);
    let bytes = second["bytes_sent"].as_u64().unwrap() + second["bytes_received"].as_u64().unwrap();
    assert!(bytes < 300, "{bytes}");
    assert_eq!(second["root"], w.json("b", &["status"])["root"]);
    for field in ["removals_sent", "removals_received"] {
        assert_eq!(second[field], 0);
    }
    // One change on each side, while the other is away.
    w.ok("b", &["set", "remove", "cart", "milk"]);
    server.stop();
    w.ok("a", &["counter", "add", "visits", "-5"]);
    let server = w.serve("a");
    let third = w.json("b", &["sync", &server.url()]);
    assert_eq!((&third["removals_sent"], &third["items_received"]), (&json!(1), &json!(1)));
    assert!(third["round_trips"].as_u64().unwrap() <= 2);
    let bytes = third["bytes_sent"].as_u64().unwrap() + third["bytes_received"].as_u64().unwrap();
    assert!(bytes < 1024, "{bytes}");
    server.stop();
    for store in ["a", "b"] {
        assert_eq!(w.ok(store, &["set", "list", "cart"]), "apple\nbanana\n");
        assert_eq!(w.ok(store, &["counter", "get", "visits"]), "-3\n");
        assert_eq!(w.ok(store, &["check"]).lines().count(), 1);
    }
    assert_eq!(w.json("a", &["status"])["root"], w.json("b", &["status"])["root"]);
    assert_eq!(w.ok("a", &["export"]), w.ok("b", &["export"]));
}

#[test]
fn garbage_on_the_socket_leaves_the_server_as_it_was() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let before = w.state("a");
    let server = w.serve("a");
    for garbage in [&b"\0\0\0\0"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 100_000]] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    // Masked with zeros, as a client may: garbage, another version, a text, half a frame.
    let hello = b"\0\x01rejoin\x02";
    for (first, length, body, refused) in [
        (0x82, 3, &b"abc"[..], true),
        (0x82, 9, hello, true),
        (0x81, 3, b"abc", false),
        (0x82, 100, b"half", false),
    ] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut accepted = Vec::new();
        while !accepted.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            accepted.extend(byte);
        }
        stream.write_all(&[first, 0x80 | length, 0, 0, 0, 0]).unwrap();
        stream.write_all(body).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.contains("peer"), refused, "{answer}");
        if body == hello {
            assert!(answer.contains("version 2"), "{answer}");
        }
    }
    assert_eq!(w.json("b", &["sync", &server.url()])["converged"], true);
    server.stop();
    assert_eq!(w.state("a"), before);
}

#[test]
fn peers_that_are_not_there_or_vanish_are_told() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    let before = w.state("a");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    w.run("a", &["sync", &format!("ws://{free}")]).fails(1, &["connection refused", "server"]);
    w.run("a", &["sync", "wss://localhost:1"]).fails(1, &["TLS", "ws://"]);
    w.run("a", &["sync", "http://localhost:1"]).fails(1, &["http", "ws://HOST:PORT"]);
    w.run("a", &["sync", "localhost:7777"]).fails(1, &["ws://HOST:PORT"]);
    let other = w.path("a").to_str().unwrap().to_owned();
    w.run("a", &["sync", "--file", &other]).fails(1, &["already open"]);
    // One hangs up at once, one after the handshake, one speaks another protocol.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let answers = [
        ("", "went away during the handshake"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "handshake failed: HTTP 404"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "cannot be reached: HTTP 502"),
        ("SSH-2.0-OpenSSH\r\n", "handshake failed"),
    ];
    for (answer, says) in answers {
        let hangs_up = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            });
            w.run("a", &["sync", &url])
        });
        hangs_up.fails(1, &[says]);
    }
    assert_eq!(w.state("a"), before);
}

#[test]
fn a_server_says_why_it_does_not_listen() {
    let w = World::new();
    let server = w.serve("a");
    w.run("b", &["serve", "--listen", &server.address])
        .fails(1, &["already in use", &server.address]);
    w.run("b", &["serve", "--listen", "0.0.0.0:0"])
        .fails(1, &["no access control", "read and write everything", "--insecure"]);
    w.run("b", &["serve", "--listen", "nonsense"]).fails(1, &["nonsense"]);
    server.stop();
}

#[test]
fn all_spaces_or_those_with_a_prefix_or_one() {
    let w = World::new();
    for (store, space) in [("a", "x/1"), ("a", "x/2"), ("b", "x/3"), ("b", "y")] {
        w.ok(store, &["--space", space, "put", "k", space]);
    }
    let b = w.path("b").to_str().unwrap().to_owned();
    let one = w.json("a", &["--space", "x/3", "sync", "--file", &b]);
    assert_eq!(one["spaces"], 1);
    assert!(one["root"].is_string());
    let some = w.json("a", &["sync", "--file", &b, "--prefix", "x/"]);
    assert_eq!((&some["spaces"], &some["converged"]), (&json!(3), &json!(true)));
    assert_eq!(w.ok("a", &["--space", "y", "keys"]), "");
    let all = w.json("a", &["sync", "--file", &b, "--all"]);
    assert_eq!(all["spaces"], 4);
    assert_eq!(w.ok("a", &["--space", "y", "keys"]), "k\tvalue\n");
}

#[cfg(unix)]
#[test]
fn a_client_that_is_killed_shows_nothing_and_goes_on_later() {
    let w = World::new();
    let rows: String = (0..20_000)
        .map(|i| format!("{{\"op\":\"register.set\",\"key\":\"k{i}\",\"value\":\"{i:0200}\"}}\n"))
        .collect();
    w.import("a", &rows).ok();
    let server = w.serve("a");
    let mut cut_in_the_middle = false;
    for wait_ms in [100, 200, 400, 800] {
        let mut client =
            w.command("b", &["sync", &server.url()]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        let _ = client.kill();
        client.wait().unwrap();
        if w.path("b").exists() {
            let status = w.json("b", &["status"]);
            let items = status["items"].as_u64().unwrap();
            assert!(items == 0 || items == 20_000, "half a delta shows: {items}");
            cut_in_the_middle |= status["staged"].as_u64().unwrap() > 0;
        }
    }
    eprintln!("cut while something was staged: {cut_in_the_middle}");
    let last = w.json("b", &["sync", &server.url()]);
    assert_eq!(last["converged"], true);
    server.stop();
    assert_eq!(w.json("b", &["status"])["items"], 20_000);
    assert_eq!(w.json("a", &["status"])["root"], w.json("b", &["status"])["root"]);
    w.ok("b", &["check"]);
}

#[test]
fn a_server_that_takes_nothing_gives_and_stays_as_it_is() {
    let w = World::new();
    w.import("a", EVERYTHING).ok();
    w.ok("b", &["set", "add", "mine", "x"]);
    let before = w.state("a");
    let server = w.serve_with("a", &["--receive-only"]);
    for _ in 0..2 {
        let synced = w.json("b", &["sync", &server.url()]);
        assert_eq!((&synced["converged"], &synced["root"]), (&json!(true), &before.2));
        assert_eq!(synced["each"][0]["not_taken"], true);
    }
    server.stop();
    assert_eq!(w.state("a"), before);
    assert_eq!(w.ok("b", &["set", "list", "mine"]), "x\n");
    // The other way round, over files.
    let a = w.path("a").to_str().unwrap().to_owned();
    let b = w.state("b");
    w.ok("a", &["counter", "add", "visits", "1"]);
    let run = w.run("b", &["sync", "--file", &a, "--receive-only"]);
    assert!(run.err.contains("was not taken"), "{run:?}");
    assert_eq!(w.state("b"), b);
    assert_eq!(w.ok("a", &["set", "list", "mine"]), "x\n");
}
