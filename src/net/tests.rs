use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::{NetError, NetOptions, Role, Server, ServerOptions, SyncError, sync_stream, sync_url};
use crate::codec::limits;
use crate::error::{Error, PeerError};
use crate::session::{Report, Scope};
use crate::{Space, Store};

fn quick() -> NetOptions {
    NetOptions {
        idle_timeout: Duration::from_millis(300),
        handshake_timeout: Duration::from_millis(300),
        close_timeout: Duration::from_millis(100),
        ..NetOptions::default()
    }
}

fn main_of(store: &Store) -> Space {
    store.space("main").unwrap()
}

fn filled(items: u32, bytes: usize) -> Store {
    let store = Store::in_memory();
    main_of(&store)
        .write(|tx| {
            for item in 0..items {
                tx.register::<Vec<u8>>(item.to_be_bytes()).set(&vec![7; bytes])?;
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    store
}

async fn over(
    a: &Store,
    b: &Store,
    buffer: usize,
) -> (Result<Report, SyncError>, Result<Report, SyncError>) {
    let (left, right) = duplex(buffer);
    let options = NetOptions::default();
    tokio::join!(
        sync_stream(a, Role::Connect, Scope::All, left, &options),
        sync_stream(b, Role::Accept, Scope::All, right, &options),
    )
}

async fn accept(store: &Store, stream: DuplexStream) -> Result<Report, SyncError> {
    sync_stream(store, Role::Accept, Scope::All, stream, &quick()).await
}

fn peer_error(error: &NetError) -> Option<&PeerError> {
    match error {
        NetError::Session { source, .. } => match &**source {
            Error::Peer(error) => Some(error),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test]
async fn two_stores_meet_over_a_stream() {
    let (a, b) = (filled(10, 5), Store::in_memory());
    main_of(&b).set::<String>("cart").add(&"banana".into()).unwrap();
    let (left, right) = over(&a, &b, 4096).await;
    let (left, right) = (left.unwrap(), right.unwrap());
    assert!(left.converged() && right.converged());
    assert_eq!(left.bytes_sent, right.bytes_received);
    assert_eq!(left.bytes_received, right.bytes_sent);
    assert_eq!(main_of(&a).root().unwrap(), main_of(&b).root().unwrap());
    let (left, right) = over(&a, &b, 4096).await;
    assert_eq!(left.unwrap().round_trips, 1);
    assert!(right.unwrap().converged());
}

/// Both have megabytes to say, and the pipe between them takes a hundred bytes at a time:
/// whoever only wrote until it was rid of its frame would wait for the other for ever.
#[tokio::test]
async fn both_talk_at_once_through_a_narrow_pipe() {
    let (a, b) = (filled(40, 100_000), filled(41, 90_000));
    let (left, right) = over(&a, &b, 100).await;
    assert!(left.unwrap().converged() && right.unwrap().converged());
    assert_eq!(main_of(&a).root().unwrap(), main_of(&b).root().unwrap());
}

#[tokio::test]
async fn the_largest_value_passes() {
    let a = Store::in_memory();
    main_of(&a).put("k", vec![1; limits::VALUE_BYTES], None).unwrap();
    let b = Store::in_memory();
    let (left, right) = over(&a, &b, 65_536).await;
    assert!(left.unwrap().converged() && right.unwrap().converged());
    assert_eq!(main_of(&b).get("k").unwrap().values().next().unwrap().len(), limits::VALUE_BYTES);
}

#[tokio::test]
async fn garbage_is_refused_and_the_refusal_arrives() {
    let store = filled(1, 1);
    let before = main_of(&store).root().unwrap();
    for garbage in [&b"\xff\xff\xff"[..], b"GET / HTTP/1.1", b"\0\x01rejoin\x07"] {
        let (mut ours, theirs) = duplex(1 << 16);
        let length = u32::try_from(garbage.len()).unwrap();
        ours.write_all(&length.to_be_bytes()).await.unwrap();
        ours.write_all(garbage).await.unwrap();
        let (served, answer) = tokio::join!(accept(&store, theirs), async {
            let mut answer = vec![0; 6];
            ours.read_exact(&mut answer).await.unwrap();
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).await.unwrap();
            answer
        });
        let failed = served.unwrap_err();
        assert_eq!(answer[4..], [0, 15], "a refusal, in the first frame");
        assert!(!failed.report.finished);
        match peer_error(&failed.reason) {
            Some(PeerError::Version { theirs: 7, .. }) => assert_eq!(garbage[1], 1),
            Some(PeerError::Malformed(_)) => assert_eq!(garbage[0], 0xff),
            Some(PeerError::OutOfOrder { expected: 0, .. }) => assert_eq!(garbage[0], b'G'),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(main_of(&store).root().unwrap(), before);
}

#[tokio::test]
async fn a_length_above_the_limit_takes_no_memory() {
    let store = Store::in_memory();
    for length in [u32::MAX, u32::try_from(limits::FIRST_FRAME_BYTES).unwrap() + 1, 0] {
        let (mut ours, theirs) = duplex(64);
        ours.write_all(&length.to_be_bytes()).await.unwrap();
        let failed = accept(&store, theirs).await.unwrap_err();
        match peer_error(&failed.reason) {
            Some(PeerError::FrameTooLarge { limit, found }) => {
                assert_eq!((*limit, *found), (limits::FIRST_FRAME_BYTES, length.into()));
            }
            Some(PeerError::Protocol { .. }) => assert_eq!(length, 0),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_at_any_byte_leaves_a_typed_error() {
    for bytes in [&b""[..], b"\0\0", b"\0\0\0\x09", b"\0\0\0\x09abc"] {
        let (mut ours, theirs) = duplex(64);
        ours.write_all(bytes).await.unwrap();
        drop(ours);
        let failed = accept(&Store::in_memory(), theirs).await.unwrap_err();
        assert!(matches!(failed.reason, NetError::ClosedEarly { .. }), "{failed}");
        assert!(!failed.report.finished);
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up() {
    let (_ours, theirs) = duplex(64);
    let failed = accept(&Store::in_memory(), theirs).await.unwrap_err();
    assert!(matches!(failed.reason, NetError::TimedOut { .. }), "{failed}");
}

#[tokio::test]
async fn a_slow_line_is_not_taken_for_a_dead_one() {
    let (a, b) = (filled(30, 1000), Store::in_memory());
    let (left, mut wire) = duplex(1024);
    let (mut far, right) = duplex(1024);
    let options = NetOptions { idle_timeout: Duration::from_secs(1), ..NetOptions::default() };
    let trickle = async {
        // Longer in all than the idle time-out, but something moves all the time.
        let (mut there, mut back) = (vec![0; 1024], vec![0; 1024]);
        loop {
            tokio::select! {
                read = wire.read(&mut there) => match read.unwrap() {
                    0 => break,
                    n => {
                        tokio::time::sleep(Duration::from_millis(60)).await;
                        let _ = far.write_all(&there[..n]).await; // it may be done
                    }
                },
                read = far.read(&mut back) => match read.unwrap() {
                    0 => break,
                    n => drop(wire.write_all(&back[..n]).await),
                },
            }
        }
    };
    let (left, right, ()) = tokio::join!(
        sync_stream(&a, Role::Connect, Scope::All, left, &options),
        sync_stream(&b, Role::Accept, Scope::All, right, &options),
        trickle
    );
    assert!(left.unwrap().converged() && right.unwrap().converged());
}

#[tokio::test]
async fn a_future_that_is_dropped_ends_its_session() {
    let (store, (ours, theirs)) = (Store::in_memory(), duplex(64));
    let session = accept(&store, theirs);
    let waited = tokio::time::timeout(Duration::from_millis(30), session).await;
    assert!(waited.is_err());
    let mut ours = ours;
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), ours.read_to_end(&mut rest)).await;
    closed.expect("the session let go of its pipe").unwrap();
}

struct Served {
    url: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    done: tokio::task::JoinHandle<()>,
}

async fn serve(store: &Store, options: ServerOptions) -> Served {
    let server = Server::bind(store, "127.0.0.1:0", options).await.unwrap();
    let url = format!("ws://{}", server.local_addr());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let done = tokio::spawn(server.run(async { drop(stopped.await) }));
    Served { url, stop: Some(stop), done }
}

#[tokio::test]
async fn a_server_serves_many_at_once() {
    let there = filled(100, 100);
    let server = serve(&there, ServerOptions { sessions: 3, ..Default::default() }).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8_u32 {
        let url = server.url.clone();
        clients.spawn(async move {
            let here = Store::in_memory();
            main_of(&here).counter("n").add(client.into()).unwrap();
            sync_url(&here, Scope::Space("main".into()), &url, &NetOptions::default()).await
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(main_of(&there).counter("n").get().unwrap(), 28);
    drop(server.stop);
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_cuts_who_does_not_end() {
    let options = ServerOptions { grace: Duration::from_millis(50), ..Default::default() };
    let mut server = serve(&Store::in_memory(), options).await;
    let address = server.url.strip_prefix("ws://").unwrap().to_owned();
    let _silent = TcpStream::connect(&address).await.unwrap();
    let stream = TcpStream::connect(&address).await.unwrap();
    let _shaken = tokio_tungstenite::client_async(&server.url, stream).await.unwrap();
    let begun = Instant::now();
    drop(server.stop.take());
    server.done.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let failed = sync_url(&Store::in_memory(), Scope::All, &server.url, &quick()).await;
    assert!(matches!(failed.unwrap_err().reason, NetError::Refused { .. }));
}

#[tokio::test]
async fn browsers_are_not_let_in() {
    let server = serve(&Store::in_memory(), ServerOptions::default()).await;
    let address = server.url.strip_prefix("ws://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nOrigin: https://evil.example\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 403");
}

#[tokio::test]
async fn addresses_that_cannot_be_are_told_apart() {
    let store = Store::in_memory();
    let reason = |url: &'static str| {
        let store = store.clone();
        async move { sync_url(&store, Scope::All, url, &quick()).await.unwrap_err().reason }
    };
    assert!(matches!(reason("wss://localhost:1").await, NetError::TlsNotSupported { .. }));
    for bad in ["http://localhost", "localhost:7777", "ws://", "ws://a:99999", "nonsense", ""] {
        let reason = reason(bad).await;
        assert!(matches!(reason, NetError::BadUrl { .. }), "{bad}: {reason}");
    }
    assert!(matches!(reason("ws://127.0.0.1:1").await, NetError::Refused { .. }));
}

#[tokio::test]
async fn a_server_binds_loopback_only_unless_told() {
    let store = Store::in_memory();
    let refused = Server::bind(&store, "0.0.0.0:0", ServerOptions::default()).await.unwrap_err();
    assert!(matches!(refused, NetError::NotLoopback { .. }));
    assert!(refused.to_string().contains("no access control"));
    let insecure = ServerOptions { insecure: true, ..Default::default() };
    Server::bind(&store, "0.0.0.0:0", insecure).await.unwrap();
    let first = Server::bind(&store, "[::1]:0", ServerOptions::default()).await;
    let Ok(first) = first else { return }; // a machine without version 6
    let address = first.local_addr();
    let second = Server::bind(&store, address, ServerOptions::default()).await.unwrap_err();
    assert!(matches!(second, NetError::AddressInUse { .. }));
}

#[tokio::test]
async fn who_does_not_speak_websocket_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (store, options) = (Store::in_memory(), quick());
    let answer = async |answer: &[u8], linger: bool| {
        let client = sync_url(&store, Scope::All, &url, &options);
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            if linger {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(client, server).0.unwrap_err().reason
    };
    let not_found = answer(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false).await;
    assert!(matches!(&not_found, NetError::Handshake { reason, .. } if reason.contains("404")));
    let other = answer(b"220 mail.example ESMTP\r\n\r\n", false).await;
    assert!(matches!(other, NetError::Handshake { .. }), "{other:?}");
    let silent = answer(b"", true).await;
    assert!(matches!(silent, NetError::TimedOut { .. }), "{silent:?}");
}

/// Somebody who said that a message of 16 MiB was coming got room for all of it at once.
#[tokio::test]
async fn a_length_without_bytes_behind_it_takes_no_room() {
    let server = serve(&Store::in_memory(), ServerOptions::default()).await;
    let address = server.url.strip_prefix("ws://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (shaken, _) = tokio_tungstenite::client_async(&server.url, stream).await.unwrap();
    let mut stream = shaken.into_inner();
    let length = u64::try_from(limits::FRAME_BYTES).unwrap().to_be_bytes();
    let head = [[0x82, 0xff].as_slice(), &length, &[0; 4]].concat();
    stream.write_all(&head).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server waits for all of it");
}

#[tokio::test]
async fn who_sends_much_and_no_hello_is_cut_off() {
    let store = Store::in_memory();
    let server = serve(&store, ServerOptions::default()).await;
    let address = server.url.strip_prefix("ws://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (shaken, _) = tokio_tungstenite::client_async(&server.url, stream).await.unwrap();
    let mut stream = shaken.into_inner();
    // Pieces of one message, of which the last one never comes.
    let piece = [[0x02, 0xfe, 0xff, 0xff].as_slice(), &[0; 4], &[0; 0xffff]].concat();
    let more = [&[0x00], &piece[1..]].concat();
    let mut sent = stream.write_all(&piece).await;
    for _ in 0..200 {
        sent = match sent {
            Ok(()) => stream.write_all(&more).await,
            Err(_) => break,
        };
    }
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "13 MB were taken from somebody unknown");
}

#[tokio::test]
async fn who_says_no_hello_loses_the_place() {
    let mut options = ServerOptions { sessions: 1, ..Default::default() };
    options.net.hello_timeout = Duration::from_millis(200);
    let server = serve(&filled(10, 5), options).await;
    let address = server.url.strip_prefix("ws://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut shaken, _) = tokio_tungstenite::client_async(&server.url, stream).await.unwrap();
    // Pings move bytes, and are no hello.
    let pings = tokio::spawn(async move {
        use futures_util::SinkExt;
        let ping = || tokio_tungstenite::tungstenite::Message::Ping(Default::default());
        while shaken.send(ping()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let store = Store::in_memory();
    let report = sync_url(&store, Scope::All, &server.url, &NetOptions::default()).await.unwrap();
    assert!(report.converged());
    pings.abort();
}

#[tokio::test]
async fn frames_longer_than_a_piece_travel_whole() {
    let (store, there) = (filled(3, 1 << 20), Store::in_memory());
    let server = serve(&there, ServerOptions::default()).await;
    let report = sync_url(&store, Scope::All, &server.url, &NetOptions::default()).await.unwrap();
    assert!(report.converged());
    let back = Store::in_memory();
    let report = sync_url(&back, Scope::All, &server.url, &NetOptions::default()).await.unwrap();
    assert!(report.converged());
    assert_eq!(main_of(&back).root().unwrap(), main_of(&store).root().unwrap());
}
