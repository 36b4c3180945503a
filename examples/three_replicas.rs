//! A chain: Ada meets Ben, Ben meets Cleo, and Ada never meets Cleo. What each of them does
//! arrives at the others all the same, removals too, and in the end all three show one root.
//!
//! ```sh
//! cargo run --release --example three_replicas
//! ```

mod meeting;

use std::error::Error;

use meeting::{meet, short};
use rejoin::space::Stored;
use rejoin::{Space, Store};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const NAMES: [&str; 3] = ["Ada", "Ben", "Cleo"];

fn main() -> Result<()> {
    let stores = NAMES.map(|_| Store::in_memory());
    let [ada, ben, cleo] = &stores;
    let spaces = [ada.space("hike")?, ben.space("hike")?, cleo.space("hike")?];
    let [at_ada, at_ben, at_cleo] = &spaces;

    heading("Ada packs; Ben, who passes by, carries the list on to Cleo");
    for thing in ["axe", "rope", "tent"] {
        pack(at_ada, thing)?;
    }
    days(at_ada, 2)?;
    meets("Ada", ada, "Ben", ben)?;
    meets("Ben", ben, "Cleo", cleo)?;
    show(&spaces)?;

    heading("Each goes on alone");
    did("Ada leaves the axe at home, and stays 3 days longer");
    unpack(at_ada, "axe")?;
    days(at_ada, 3)?;
    did("Cleo leaves the rope at home, adds a lamp, and goes home a day earlier");
    unpack(at_cleo, "rope")?;
    pack(at_cleo, "lamp")?;
    days(at_cleo, -1)?;
    did("Ben, who knows of none of that, adds a map");
    pack(at_ben, "map")?;
    show(&spaces)?;

    heading("Ben meets Cleo, then Ada, then Cleo once more");
    meets("Ben", ben, "Cleo", cleo)?;
    meets("Ada", ada, "Ben", ben)?;
    meets("Ben", ben, "Cleo", cleo)?;
    show(&spaces)?;
    println!("  The axe is gone at Cleo, who never met Ada, and the rope at Ada: Ben, who had");
    println!("  removed neither, has told them. One number for each replica is kept for that;");
    println!("  what was seen and is not there is gone. Cleo has seen:\n");
    let seen = at_cleo.vector()?;
    for (name, store) in NAMES.iter().zip(&stores) {
        println!("    {name:<5} up to event {}", seen.get(store.replica()).get());
    }
    println!();
    for space in &spaces {
        assert_eq!(packed(space)?, ["lamp", "map", "tent"]);
        assert_eq!(space.counter("days").get()?, 4);
        assert_eq!(space.root()?, at_ada.root()?);
    }

    heading("Ben meets Ada again, with nothing new");
    let report = meets("Ben", ben, "Ada", ada)?;
    assert_eq!(report.round_trips, 1);
    Ok(())
}

// ---- what is packed: a set of things, and for how many days

fn pack(hike: &Space, thing: &str) -> Result<()> {
    Ok(hike.set("things").add(&thing.to_owned())?)
}

fn unpack(hike: &Space, thing: &str) -> Result<()> {
    assert!(hike.set("things").remove(&thing.to_owned())?);
    Ok(())
}

fn days(hike: &Space, more: i64) -> Result<()> {
    Ok(hike.counter("days").add(more)?)
}

fn packed(hike: &Space) -> Result<Vec<String>> {
    let things = hike.set::<String>("things").elements()?.into_iter();
    let mut things = things.map(Stored::decoded).collect::<std::result::Result<Vec<_>, _>>()?;
    things.sort();
    Ok(things)
}

// ---- printing

fn heading(text: &str) {
    println!("━━ {text}\n");
}

fn did(what: &str) {
    println!("  {what}");
}

fn meets(one: &str, store: &Store, other: &str, their: &Store) -> Result<rejoin::session::Report> {
    let report = meet(store, their)?;
    println!(
        "  {one} meets {other}: items {} out, {} in; removals {} out, {} in; {} bytes",
        report.items_sent,
        report.items_received,
        report.removals_sent,
        report.removals_received,
        report.bytes_sent + report.bytes_received,
    );
    Ok(report)
}

/// The lines of one column.
fn lines(hike: &Space) -> Result<Vec<String>> {
    let days = hike.counter("days").get()?;
    let mut lines = vec![format!("{days} days")];
    lines.extend(packed(hike)?.into_iter().map(|thing| format!("  {thing}")));
    Ok(lines)
}

fn show(spaces: &[Space; 3]) -> Result<()> {
    let columns: Vec<_> = spaces.iter().map(lines).collect::<Result<_>>()?;
    let line = |cells: Vec<String>| {
        let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:<18}")).collect();
        println!("  {}", cells.join("│ ").trim_end());
    };
    let rule = || println!("  {}", ["─".repeat(18), "─".repeat(19), "─".repeat(18)].join("┼"));
    println!();
    line(NAMES.map(str::to_owned).to_vec());
    rule();
    for row in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
        line(columns.iter().map(|column| column.get(row).cloned().unwrap_or_default()).collect());
    }
    rule();
    let mut roots = Vec::new();
    for space in spaces {
        roots.push(format!("root {}", short(space.root()?)));
    }
    line(roots);
    println!();
    Ok(())
}
