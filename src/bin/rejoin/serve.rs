//! Serving a store until interrupted.

use std::net::SocketAddr;

use rejoin::net::{Server, ServerOptions};
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Place;
use crate::args::ServeArgs;
use crate::out::{Done, Failure, Out, note};

/// A runtime for pipes and timers: the sessions run on threads of their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format_args!("the system gives no event loop: {e}")))
}

/// What is told on standard error: as `RUST_LOG` says.
pub(crate) fn trace(first: LevelFilter) {
    let told = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = match told.parse::<Targets>() {
        Ok(filter) if !told.is_empty() => filter,
        Ok(_) => Targets::new().with_target("rejoin", first),
        Err(e) => {
            note(format_args!("RUST_LOG={told:?} is no filter ({e}); try rejoin=debug"));
            Targets::new().with_target("rejoin", first)
        }
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // Only one is ever set, here.
    let _ = tracing_subscriber::registry().with(layer).with(filter).try_init();
}

pub(crate) fn serve(place: &Place, args: &ServeArgs, out: &mut Out) -> Done {
    trace(LevelFilter::INFO);
    let listen = match args.listen.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => args.listen.clone(),
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        // Before anybody knows that we are there: who is told may interrupt at once.
        let interrupted = interrupted()?;
        let store = place.store()?;
        let mut options = ServerOptions::default();
        options.insecure = args.insecure;
        options.net.session.receive_only = args.receive_only;
        let server = Server::bind(&store, listen, options).await?;
        let address: SocketAddr = server.local_addr();
        let json = json!({"address": address.to_string(), "url": format!("ws://{address}")});
        out.result(&json, address)?;
        out.flush()?;
        tracing::info!(store = %place.path.display(), replica = %store.replica(), "serving; sync with: rejoin --store OTHER sync ws://{address}");
        if !address.ip().is_loopback() {
            tracing::warn!("there is no access control: whoever reaches {address} can read and write everything");
        }
        server.run(interrupted).await;
        Ok(())
    })
}

/// Done once the user or the system asks us to stop.
#[cfg(unix)]
fn interrupted() -> Result<impl Future<Output = ()> + Send, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let no_signals = |e| Failure::new(format_args!("signals cannot be heard: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Done once the user asks us to stop.
#[cfg(not(unix))]
fn interrupted() -> Result<impl Future<Output = ()> + Send, Failure> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
