//! Two phones hold one shopping cart, change it apart with no network, meet, exchange
//! only what the other lacks, and show the same cart under the same Merkle root.
//!
//! ```sh
//! cargo run --release --example cart
//! ```
//!
//! Both stores are files in a temporary folder, and the phones meet over a real socket:
//! [`drive`] is all it takes to bring a session to a pipe of your own.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rejoin::codec::limits;
use rejoin::session::{Report, Scope, Session};
use rejoin::space::Stored;
use rejoin::{Options, Space, Store};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A phone gives up on a peer that says nothing for so long.
const PATIENCE_MS: u64 = 30_000;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ada = Store::open(folder.path().join("ada.store"))?;
    let ben = Store::open(folder.path().join("ben.store"))?;
    let (ada_cart, ben_cart) = (ada.space("cart")?, ben.space("cart")?);

    heading("Ada writes a list, and Ben's phone, which holds nothing yet, gets it");
    rename(&ada_cart, "Groceries")?;
    for product in ["apples", "bread", "milk"] {
        put_in(&ada_cart, product, 1)?;
    }
    meet(&ada, &ben)?;
    show_both(&ada_cart, &ben_cart)?;

    heading("No network. Each goes on alone");
    did("Ada", "takes the milk out");
    take_out(&ada_cart, "milk")?;
    did("Ada", "wants 2 more apples");
    count(&ada_cart, "apples", 2)?;
    did("Ada", "adds bananas");
    put_in(&ada_cart, "bananas", 6)?;
    did("Ada", "renames the list");
    rename(&ada_cart, "Saturday")?;
    println!();
    did("Ben", "takes the bread out");
    take_out(&ben_cart, "bread")?;
    did("Ben", "takes the milk out as well, and adds it again");
    take_out(&ben_cart, "milk")?;
    put_in(&ben_cart, "milk", 2)?;
    did("Ben", "wants 1 more apple");
    count(&ben_cart, "apples", 1)?;
    did("Ben", "adds coffee");
    put_in(&ben_cart, "coffee", 1)?;
    did("Ben", "renames the list too, a moment later");
    thread::sleep(Duration::from_millis(2));
    rename(&ben_cart, "Party")?;
    show_both(&ada_cart, &ben_cart)?;

    heading("They meet");
    let report = meet(&ada, &ben)?;
    show_both(&ada_cart, &ben_cart)?;
    println!("  apples   1 + 2 + 1: additions made apart all count");
    println!("  bread    Ada had not touched it: Ben's removal stands");
    println!("  milk     Ben's second milk was not the one that Ada took out: adding wins");
    let lost = ada_cart.register::<String>("name").conflicts()?;
    let lost: Vec<_> = lost.iter().filter_map(Stored::value).collect();
    println!("  name     the later one is read, the other is not lost: {lost:?}");
    println!();
    assert!(report.converged(), "both have proven that they are equal");
    assert_eq!(ada_cart.root()?, ben_cart.root()?);

    heading("They meet again, with nothing new");
    let report = meet(&ada, &ben)?;
    println!();
    assert_eq!(report.round_trips, 1);
    Ok(())
}

// ---- the cart: a set of products, a count for each, a name

fn put_in(cart: &Space, product: &str, pieces: i64) -> Result<()> {
    let product = product.to_owned();
    // One transaction: no replica ever shows the product without its count.
    cart.write(|tx| {
        tx.set("products").add(&product)?;
        tx.map::<String>("counts").counter(&product)?.add(pieces)
    })?;
    Ok(())
}

fn take_out(cart: &Space, product: &str) -> Result<()> {
    let product = product.to_owned();
    cart.write(|tx| {
        tx.set("products").remove(&product)?;
        tx.map::<String>("counts").remove(&product)
    })?;
    Ok(())
}

fn count(cart: &Space, product: &str, more: i64) -> Result<()> {
    Ok(cart.map::<String>("counts").counter(&product.to_owned())?.add(more)?)
}

fn rename(cart: &Space, name: &str) -> Result<()> {
    Ok(cart.register::<String>("name").set(&name.to_owned())?)
}

// ---- meeting: one session over a socket

/// Ben's phone listens, Ada's connects; what Ada's phone says of it afterwards.
fn meet(ada: &Store, ben: &Store) -> Result<Report> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let accepted = Session::accept(ben, nonce());
    let other_side = thread::spawn(move || drive(accepted, listener.accept()?.0));
    let connected = Session::connect(ada, Scope::All, nonce())?;
    let report = drive(connected, TcpStream::connect(address)?)?;
    let theirs = other_side.join().map_err(|_| "the other side panicked")??;
    assert!(theirs.converged());
    println!(
        "  over {address}: {} round trip{}, {} bytes out, {} bytes in",
        report.round_trips,
        if report.round_trips == 1 { "" } else { "s" },
        report.bytes_sent,
        report.bytes_received,
    );
    println!(
        "  items {} out, {} in; removals {} out, {} in",
        report.items_sent, report.items_received, report.removals_sent, report.removals_received,
    );
    Ok(report)
}

/// Drives one side of a session over a socket: frames behind four bytes of length. A thread
/// reads, so that neither side waits to write while the other waits to write as well.
fn drive(mut session: Session, mut pipe: TcpStream) -> Result<Report> {
    pipe.set_nodelay(true)?;
    let (mut reader, (to_here, frames)) = (pipe.try_clone()?, mpsc::channel());
    thread::spawn(move || {
        let mut limit = limits::FIRST_FRAME_BYTES;
        while let Ok(frame) = read_frame(&mut reader, limit) {
            limit = limits::FRAME_BYTES;
            if to_here.send(frame).is_err() {
                break;
            }
        }
    });
    let start = Instant::now();
    let now_ms = || start.elapsed().as_millis() as u64;
    loop {
        while let Some(frame) = session.poll_frame(now_ms())? {
            write_frame(&mut pipe, &frame)?;
        }
        if session.is_over() {
            pipe.shutdown(Shutdown::Write)?;
            return Ok(session.report().clone());
        }
        let timeout = session.poll_timeout().map(|at| at.saturating_sub(now_ms()));
        let patience = Duration::from_millis(timeout.unwrap_or(PATIENCE_MS));
        let taken = match frames.recv_timeout(patience) {
            Ok(frame) => session.handle_frame(now_ms(), &frame),
            Err(RecvTimeoutError::Timeout) if timeout.is_some() => session.handle_timeout(now_ms()),
            Err(gone) => {
                session.close();
                return Err(gone.into());
            }
        };
        if let Err(error) = taken {
            // One last frame tells the peer why.
            if let Some(refusal) = session.poll_frame(now_ms())? {
                write_frame(&mut pipe, &refusal)?;
            }
            return Err(error.into());
        }
    }
}

fn write_frame(pipe: &mut TcpStream, frame: &[u8]) -> Result<()> {
    let length = u32::try_from(frame.len())?.to_be_bytes();
    Ok(pipe.write_all(&[&length, frame].concat())?)
}

fn read_frame(pipe: &mut TcpStream, limit: usize) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    pipe.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(format!("a frame of {length} bytes").into());
    }
    let mut frame = vec![0; length];
    pipe.read_exact(&mut frame)?;
    Ok(frame)
}

fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    (Options::default().entropy)(&mut nonce);
    nonce
}

// ---- printing

fn heading(text: &str) {
    println!("━━ {text}\n");
}

fn did(who: &str, what: &str) {
    println!("  {who} {what}");
}

/// The lines of a cart as it is shown on one phone.
fn lines(cart: &Space) -> Result<Vec<String>> {
    // A snapshot: all that is shown belongs to one moment.
    let now = cart.snapshot()?;
    let name = now.register::<String>("name").get()?.unwrap_or_default();
    let mut lines = vec![format!("“{name}”")];
    for product in now.set::<String>("products").elements()? {
        let product = product.decoded()?;
        let pieces = now.map::<String>("counts").counter(&product)?.get()?;
        lines.push(format!("{pieces:>3} × {product}"));
    }
    Ok(lines)
}

fn show_both(ada: &Space, ben: &Space) -> Result<()> {
    let (left, right) = (lines(ada)?, lines(ben)?);
    println!("\n  {:<24}│  Ben's phone", "Ada's phone");
    println!("  {:─<24}┼──{:─<22}", "", "");
    for row in 0..left.len().max(right.len()) {
        let cell = |side: &[String]| side.get(row).cloned().unwrap_or_default();
        println!("  {:<24}│  {}", cell(&left), cell(&right));
    }
    let (left, right) = (ada.root()?.to_string(), ben.root()?.to_string());
    let short = |root: &str| root.chars().take(12).collect::<String>();
    println!("  {:─<24}┼──{:─<22}", "", "");
    let equal = if left == right { "equal" } else { "not equal" };
    println!("  root {:<19}│  root {}   {equal}\n", short(&left), short(&right));
    Ok(())
}
