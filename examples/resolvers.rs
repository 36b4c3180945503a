//! Two replicas write the same keys, apart. Five rules make one value of each two, the same at
//! both replicas, without a word between them.
//!
//! ```sh
//! cargo run --release --example resolvers
//! ```
//!
//! A resolver is a function of the siblings alone. It is set for a prefix of keys, and asked
//! when a key is read; the siblings stay until the application writes.

mod meeting;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use meeting::meet;
use rejoin::space::resolvers;
use rejoin::{Options, Space, Store};
use serde::{Deserialize, Serialize};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the application keeps under `order/…`, as JSON.
#[derive(Serialize, Deserialize)]
struct Order {
    user: String,
    state: String,
    pieces: u32,
}

fn order(value: &[u8]) -> Option<Order> {
    serde_json::from_slice(value).ok()
}

/// What it keeps under `cart/…`.
fn cart(value: &[u8]) -> Option<BTreeSet<String>> {
    serde_json::from_slice(value).ok()
}

/// Each replica sets the same resolvers when it opens its store.
fn set_resolvers(space: &Space) {
    // 1. The latest timestamp. Of all keys for which nothing else is set.
    space.set_resolver("", resolvers::latest);
    // 2. By priority: what is shipped is not open any more.
    let states = ["shipped", "paid", "open"];
    space.set_resolver("order/", resolvers::preferred(states, |v| Some(order(v)?.state)));
    // 3. By user: what the boss wrote counts.
    space.set_resolver("order/office/", resolvers::preferred(["boss"], |v| Some(order(v)?.user)));
    // 4. By a rule of the domain: the greatest quantity.
    space.set_resolver("order/bulk/", resolvers::greatest(|v| Some(order(v)?.pieces)));
    // 5. The union of carts.
    space.set_resolver(
        "cart/",
        resolvers::union(cart, |all| serde_json::to_vec(all).unwrap_or_default()),
    );
}

const RULES: [(&str, &str); 5] = [
    ("motto", "the latest timestamp"),
    ("order/7", "by priority: shipped, paid, open"),
    ("order/office/1", "by user: the boss"),
    ("order/bulk/3", "the greatest quantity"),
    ("cart/ada", "the union of carts"),
];

fn main() -> Result<()> {
    let (desk, phone) = (store_at(1_000), store_at(2_000)); // the phone writes a second later
    let (at_desk, on_phone) = (desk.space("shop")?, phone.space("shop")?);
    set_resolvers(&at_desk);
    set_resolvers(&on_phone);

    let order = |user: &str, state: &str, pieces| {
        serde_json::to_string(&Order { user: user.into(), state: state.into(), pieces })
    };
    let writes = [
        ["fresh every day".to_owned(), "open on Sundays".to_owned()],
        [order("ada", "shipped", 1)?, order("ada", "paid", 1)?],
        [order("boss", "open", 2)?, order("ben", "open", 9)?],
        [order("ada", "open", 700)?, order("ben", "open", 50)?],
        [r#"["bread","milk"]"#.to_owned(), r#"["bread","eggs"]"#.to_owned()],
    ];
    for ((key, _), [here, there]) in RULES.iter().zip(&writes) {
        at_desk.put(key, here, None)?;
        on_phone.put(key, there, None)?;
    }
    meet(&desk, &phone)?;

    for (key, rule) in RULES {
        let resolved = at_desk.get_resolved(key)?.ok_or("nothing there")?;
        println!("{key}: {rule}\n");
        for value in resolved.siblings.values() {
            let mark = if value == resolved.value { "→" } else { " " };
            println!("  {mark} {}", text(value));
        }
        if !resolved.siblings.values().any(|value| value == resolved.value) {
            println!("  → {}", text(&resolved.value));
        }
        println!();
        // The same at the other replica, which has asked nobody.
        assert_eq!(on_phone.get_resolved(key)?, Some(resolved));
    }
    let one_answer =
        |key: &str| Ok::<_, rejoin::Error>(at_desk.get_resolved(key)?.map(|r| r.value));
    assert_eq!(one_answer("motto")?.as_deref(), Some(&b"open on Sundays"[..]));
    assert_eq!(one_answer("cart/ada")?.as_deref(), Some(&br#"["bread","eggs","milk"]"#[..]));

    // Reading has changed nothing: both siblings of each key are there. One replica writes
    // back what was read, with the context of the read, and then there is one.
    for (key, _) in RULES {
        let resolved = at_desk.get_resolved(key)?.ok_or("nothing there")?;
        assert_eq!(resolved.siblings.len(), 2);
        at_desk.put(key, &resolved.value, resolved.context())?;
    }
    meet(&desk, &phone)?;
    for (key, _) in RULES {
        assert_eq!(on_phone.get(key)?.len(), 1);
        assert_eq!(on_phone.get(key)?, at_desk.get(key)?);
    }
    assert_eq!(at_desk.root()?, on_phone.root()?);
    println!("The desk wrote the answers back, and they met again. Both are equal:");
    println!("  desk   root {}\n  phone  root {}", at_desk.root()?, on_phone.root()?);
    Ok(())
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// A store whose clock stands so many milliseconds after some moment.
fn store_at(ms: u64) -> Store {
    Store::in_memory_with(Options::with(
        Arc::new(move || 1_700_000_000_000 + ms),
        Options::default().entropy,
    ))
}
