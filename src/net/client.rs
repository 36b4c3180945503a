//! The side that connects.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::Uri;

use super::drive::{Job, Role, run};
use super::error::{NetError, SyncError};
use super::meter::Metered;
use super::options::NetOptions;
use super::socket::{Socket, config};
use super::stream::Framed;
use crate::session::{Report, Scope};
use crate::space::Store;

/// Syncs with the server at `url`, which is `ws://HOST:PORT`, and closes the connection. Where
/// the session leaves something [untold](Report::is_untold), a second one tells it at once.
///
/// Dropping the future ends the session at its next step; what has arrived is kept.
///
/// # Errors
/// The address is none or nobody is there; or the session ended before it was over: then
/// the report says how far it came. A session that ran to its end and did not prove both
/// sides equal is no error: ask [`Report::converged`].
pub async fn sync_url(
    store: &Store,
    scope: Scope,
    url: &str,
    options: &NetOptions,
) -> Result<Report, SyncError> {
    let first = call(store, &scope, url, options).await?;
    if !first.is_untold() {
        return Ok(first);
    }
    // All was proven; where this one fails, the report still says that something is untold.
    match call(store, &scope, url, options).await {
        Ok(second) => Ok(second.behind(first)),
        Err(_) => Ok(first),
    }
}

/// One session with the server at `url`.
async fn call(
    store: &Store,
    scope: &Scope,
    url: &str,
    options: &NetOptions,
) -> Result<Report, SyncError> {
    let (host, port) = parse(url)?;
    // Before anybody is called.
    store.check_undamaged().map_err(NetError::of_store)?;
    let peer = format!("{host}:{port}");
    let stream = connect(&peer, bare(&host), port, options).await?;
    let (stream, meter) = Metered::new(stream);
    let handshake = tokio_tungstenite::client_async_with_config(url, stream, Some(config()));
    let (socket, _) = match timeout(options.handshake_timeout, handshake).await {
        Ok(shaken) => shaken.map_err(|e| handshake_failed(&peer, e))?,
        Err(_) => return Err(late(&peer, "the handshake", options.handshake_timeout).into()),
    };
    let (_stays, stop) = watch::channel(false);
    let (scope, options) = (scope.clone(), options.clone());
    let job = Job { store: store.clone(), role: Role::Connect, scope, peer, options, meter, stop };
    run(job, Socket::new(socket)).await
}

/// Runs a session over any stream of bytes: each frame is a length of four bytes,
/// big-endian, and the frame. The scope counts for the side that connects.
///
/// Dropping the future ends the session at its next step; what has arrived is kept.
///
/// # Errors
/// As [`sync_url`].
pub async fn sync_stream<S>(
    store: &Store,
    role: Role,
    scope: Scope,
    stream: S,
    options: &NetOptions,
) -> Result<Report, SyncError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, meter) = Metered::new(stream);
    let (_stays, stop) = watch::channel(false);
    let (peer, options) = ("the peer".to_owned(), options.clone());
    let job = Job { store: store.clone(), role, scope, peer, options, meter, stop };
    run(job, Framed::new(stream)).await
}

pub(super) fn late(peer: &str, doing: &'static str, waited: std::time::Duration) -> NetError {
    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    NetError::TimedOut { peer: peer.to_owned(), doing, waited_ms }
}

/// Host and port of an address.
fn parse(url: &str) -> Result<(String, u16), NetError> {
    let bad = |reason: &str| NetError::BadUrl { url: url.to_owned(), reason: reason.to_owned() };
    let uri: Uri = url.parse().map_err(|e| bad(&format!("{e}")))?;
    match uri.scheme_str() {
        Some("ws") => {}
        Some("wss" | "https") => return Err(NetError::TlsNotSupported { url: url.to_owned() }),
        Some(other) => return Err(bad(&format!("{other}:// is not a scheme that it speaks"))),
        None => return Err(bad("it names no scheme")),
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
    // A port that is there and no number is dropped silently by the parser.
    let port = match uri.port() {
        Some(port) => port.as_u16(),
        None if uri.authority().is_some_and(|a| a.as_str().ends_with(host)) => 80,
        None => return Err(bad("its port is no number from 0 to 65535")),
    };
    Ok((host.to_owned(), port))
}

/// A host without the brackets of a version 6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

async fn connect(
    peer: &str,
    host: &str,
    port: u16,
    options: &NetOptions,
) -> Result<TcpStream, NetError> {
    let stream = match timeout(options.connect_timeout, TcpStream::connect((host, port))).await {
        Err(_) => return Err(late(peer, "connecting", options.connect_timeout)),
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(NetError::Refused { peer: peer.to_owned() });
        }
        Ok(Err(source)) => {
            return Err(NetError::Unreachable { peer: peer.to_owned(), source });
        }
    };
    // Frames are whole: to wait for more to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

pub(super) fn handshake_failed(peer: &str, error: WsError) -> NetError {
    use ProtocolError::{HandshakeIncomplete, ResetWithoutClosingHandshake};
    let reason = match error {
        WsError::Io(source) => return NetError::CutInHandshake { peer: peer.to_owned(), source },
        WsError::ConnectionClosed
        | WsError::Protocol(HandshakeIncomplete | ResetWithoutClosingHandshake) => {
            let source = io::ErrorKind::UnexpectedEof.into();
            return NetError::CutInHandshake { peer: peer.to_owned(), source };
        }
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
            let status = response.status();
            let said = match body.is_empty() {
                true => format!("HTTP {status}"),
                false => format!("HTTP {status}: {body}"),
            };
            if status.is_server_error() {
                // A gateway, behind which nobody answers now.
                return NetError::Unreachable {
                    peer: peer.to_owned(),
                    source: io::Error::other(said),
                };
            }
            said
        }
        other => other.to_string(),
    };
    NetError::Handshake { peer: peer.to_owned(), reason }
}
