//! The side that is connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{StatusCode, header};
use tracing::{debug, error, info, warn};

use super::client::{handshake_failed, late};
use super::drive::{Job, Role, run};
use super::error::{NetError, SyncError};
use super::meter::Metered;
use super::options::{NetOptions, ServerOptions};
use super::socket::{Socket, config};
use crate::session::{Report, Scope};
use crate::space::Store;

/// How long to wait after the system would not hand out another connection.
const BREATH: Duration = Duration::from_millis(100);

/// A server of one store: many sessions at a time, each over a WebSocket of its own.
///
/// **There is no access control yet**: whoever reaches it can read and write everything.
///
/// ```
/// # use rejoin::{Store, net::{NetOptions, Server, ServerOptions, sync_url}, session::Scope};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let (here, there) = (Store::in_memory(), Store::in_memory());
/// there.space("main")?.set::<String>("cart").add(&"apple".to_owned())?;
///
/// let server = Server::bind(&there, "127.0.0.1:0", ServerOptions::default()).await?;
/// let url = format!("ws://{}", server.local_addr());
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
///
/// let report = sync_url(&here, Scope::All, &url, &NetOptions::default()).await?;
/// assert!(report.converged());
/// assert_eq!(here.space("main")?.set::<String>("cart").elements()?, ["apple"]);
/// drop(stop);
/// serving.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    store: Store,
    listener: TcpListener,
    address: SocketAddr,
    options: ServerOptions,
}

impl Server {
    /// Listens on an address, for example `127.0.0.1:7777`; port 0 is any that is free.
    ///
    /// # Errors
    /// The address is in use or cannot be, or others reach it and
    /// [`ServerOptions::insecure`] is not set. The store was found
    /// [damaged](Store::damage): each session would be refused.
    pub async fn bind(
        store: &Store,
        address: impl ToSocketAddrs + ToString,
        options: ServerOptions,
    ) -> Result<Self, NetError> {
        store.check_undamaged().map_err(NetError::of_store)?;
        let named = address.to_string();
        let bind = |source| NetError::Bind { address: named.clone(), source };
        let none = || std::io::Error::other("no address has this name");
        let found = lookup_host(address).await.map_err(bind)?.next();
        let address = found.ok_or_else(|| bind(none()))?;
        if !options.insecure && !address.ip().is_loopback() {
            return Err(NetError::NotLoopback { address });
        }
        let listener = TcpListener::bind(address).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::AddrInUse => NetError::AddressInUse { address },
            _ => bind(e),
        })?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { store: store.clone(), listener, address, options })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done. Then nobody new is let in, sessions under way get
    /// [`ServerOptions::grace`] to end, and those that have not are cut: they lose nothing.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let Self { store, listener, address, options } = self;
        let (stops, stopped) = watch::channel(false);
        let places = Arc::new(Semaphore::new(options.sessions.max(1)));
        let mut sessions = JoinSet::new();
        let accept = async {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (stream, from) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(e) => {
                        warn!(%address, error = %e, "no connection accepted");
                        tokio::time::sleep(BREATH).await;
                        continue;
                    }
                };
                let (store, net, stop) = (store.clone(), options.net.clone(), stopped.clone());
                sessions.spawn(async move {
                    let _place = place;
                    debug!(%from, "connected");
                    tell(from, &serve(store, stream, from, net, stop).await);
                });
                while sessions.try_join_next().is_some() {}
            }
        };
        tokio::select! {
            () = stop => {}
            () = accept => {}
        }
        drop(listener);
        info!(%address, sessions = sessions.len(), "stopping");
        let all_done = async { while sessions.join_next().await.is_some() {} };
        if timeout(options.grace, all_done).await.is_err() {
            stops.send_replace(true);
            while sessions.join_next().await.is_some() {}
        }
    }
}

/// One connection, from the handshake to the end.
async fn serve(
    store: Store,
    stream: TcpStream,
    from: SocketAddr,
    options: NetOptions,
    mut stop: watch::Receiver<bool>,
) -> Result<Report, SyncError> {
    let peer = from.to_string();
    let _ = stream.set_nodelay(true);
    let (stream, meter) = Metered::new(stream);
    let handshake =
        tokio_tungstenite::accept_hdr_async_with_config(stream, no_browsers, Some(config()));
    let shaken = tokio::select! {
        shaken = timeout(options.handshake_timeout, handshake) => shaken,
        _ = stop.changed() => return Err(NetError::Stopped { peer }.into()),
    };
    let socket = match shaken {
        Ok(shaken) => shaken.map_err(|e| handshake_failed(&peer, e))?,
        Err(_) => return Err(late(&peer, "the handshake", options.handshake_timeout).into()),
    };
    let (role, scope) = (Role::Accept, Scope::All);
    run(Job { store, role, scope, peer, options, meter, stop }, Socket::new(socket)).await
}

/// Lets nobody in who names an origin, as every browser does: a page from anywhere may open
/// a WebSocket to the machine it is shown on, and would read and write the store.
#[allow(clippy::result_large_err, reason = "the library's signature")]
fn no_browsers(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if !request.headers().contains_key(header::ORIGIN) {
        return Ok(response);
    }
    let body = "browsers are not let in: there is no access control yet".to_owned();
    let mut refusal = ErrorResponse::new(Some(body));
    *refusal.status_mut() = StatusCode::FORBIDDEN;
    Err(refusal)
}

fn tell(from: SocketAddr, done: &Result<Report, SyncError>) {
    let report = match done {
        Ok(report) => report,
        Err(SyncError { reason, report }) => {
            let items_received = report.items_received;
            match reason {
                // No peer's doing: most often nobody is served until somebody sees to it.
                NetError::Store { .. } => {
                    error!(%from, error = %reason, items_received, "the store here ended a session");
                }
                _ => warn!(%from, error = %reason, items_received, "session ended early"),
            }
            return tell_found(from, report);
        }
    };
    info!(
        %from,
        peer = report.peer.map(tracing::field::display),
        spaces = report.spaces.len(),
        converged = report.converged(),
        round_trips = report.round_trips,
        bytes_sent = report.bytes_sent,
        bytes_received = report.bytes_received,
        items_sent = report.items_sent,
        items_received = report.items_received,
        "session over"
    );
    tell_found(from, report);
}

/// What somebody has to know or to decide. It is in this report and in no later one, nor in the
/// peer's, also where the session ended early.
fn tell_found(from: SocketAddr, report: &Report) {
    for fork in &report.forks {
        warn!(%from, "{fork}");
    }
    for equivocation in &report.equivocations {
        warn!(%from, "{equivocation}");
    }
    for space in &report.spaces {
        let name = &space.name;
        if space.untold {
            warn!(
                %from,
                "space {name:?}: of items that were adopted, those went that are there under another dot; until the peer syncs once more, it has both"
            );
        }
        let Some(held) = &space.held else { continue };
        let peer = held.peer;
        warn!(
            %from,
            "space {name:?}: held back: {held}; decide it with Space::decide, or, once the server has stopped, with rejoin decide {peer} allow|keep --space {name:?}"
        );
    }
}
