//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::text::{Bytes, Element, Name};

/// The space of those who name none.
pub(crate) const DEFAULT_SPACE: &str = "main";

/// A durable, replicated store of conflict-free values: every replica accepts every write,
/// and replicas that meet exchange only what the other lacks.
///
/// Keys, elements and values are text; what is not text prints and is accepted as hex:…
/// (bytes) or raw:… (an encoding that is no text), and so is text that begins like that.
#[derive(Debug, Parser)]
#[command(
    name = "rejoin",
    version,
    propagate_version = true,
    after_help = "Examples:
  rejoin --store a.rejoin set add cart apple banana
  rejoin --store a.rejoin serve
  rejoin --store b.rejoin sync ws://127.0.0.1:7777
  rejoin --store b.rejoin set list cart

Exit codes: 0 done, 1 failed (the message says what, where and what to do), 2 wrong usage."
)]
pub(crate) struct Cli {
    /// The store's file; beside it stands FILE.id. Commands that write make it.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// The space in the store.
    #[arg(long, global = true, value_name = "NAME", default_value = DEFAULT_SPACE)]
    pub(crate) space: Name,
    /// The store takes a fresh replica id: for one that comes with an image or a container, which
    /// may be started from one state more than once. Each opening that writes costs an entry in
    /// the vectors.
    #[arg(long, global = true)]
    pub(crate) fresh_id: bool,
    /// Prints JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The time at the start, in milliseconds since 1970, in place of the system's: for tests.
    #[arg(long, global = true, hide = true, value_name = "MS")]
    pub(crate) now_ms: Option<u64>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows how the space stands: replica, vector, root, counts.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin status --json")]
    Status,
    /// Lists the keys, one a line, with the types under each.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin keys --prefix user/")]
    Keys {
        /// Only keys that start so.
        #[arg(long, value_name = "P", default_value = "")]
        prefix: Bytes,
    },
    /// Lists the spaces of the store, one a line.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin spaces --prefix user/")]
    Spaces {
        /// Only spaces whose names start so.
        #[arg(long, value_name = "P", default_value = "")]
        prefix: Name,
    },
    /// Drops a space of this store. Other stores keep what they hold of it, and the next
    /// sync that is about it brings it back; what no other store has seen is lost.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin drop-space 2024/march")]
    DropSpace { name: Name },
    /// Checks the whole store against itself; exit code 0 where it is sound.
    #[command(after_help = "Examples:\n  rejoin --store a.rejoin check
  rejoin --store a.rejoin check --deep")]
    Check {
        /// Reads the engine's own pages too, each one in use, past all caches.
        #[arg(long)]
        deep: bool,
    },
    /// Gives space that deletes have freed back to the file system.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin compact")]
    Compact,
    /// Copies the whole store, as it is at one moment, into a new file under a name of its own.
    #[command(after_help = "Example:
  rejoin --store a.rejoin backup a.backup
To restore, open the backup or move it, with its FILE.id, to where the store was. A store
that another process has open is backed up there, or by syncing a fresh store with it.")]
    Backup {
        /// The copy; there must be no file of this name.
        file: PathBuf,
    },
    /// Saves what is sound of the damaged store OLD in the new file NEW; OLD is only read.
    #[command(after_help = "Example:
  rejoin recover a.rejoin saved.rejoin
  rejoin --store saved.rejoin sync ws://127.0.0.1:7777 --all
  rejoin --store saved.rejoin adopt

Spaces of which nothing is lost are as they were. Of others the items saved wait: whether
they live is decided by the next store that has seen them, so that nothing is deleted because
of the damage and nothing deleted comes back. adopt then writes what no other store knows.")]
    Recover {
        /// The damaged store's file, which no process has open.
        old: PathBuf,
        /// The new store; there must be no file of this name.
        new: PathBuf,
        /// Adopts everything at once: where there is no other store to sync with.
        #[arg(long)]
        adopt: bool,
    },
    /// Writes the salvaged items that wait, and that no other store knows, anew.
    #[command(after_help = "Example:\n  rejoin --store saved.rejoin adopt
Sync with every store that can be reached first: see rejoin recover --help.")]
    Adopt,
    /// Prints each sibling under a key on a line, and last the context to hand back to put.
    #[command(after_help = "Examples:
  rejoin --store a.rejoin get note
  rejoin --store a.rejoin get stock/nails --resolve greatest")]
    Get {
        key: Bytes,
        /// Prints the one value that this rule makes of the siblings, which stay until a put
        /// with the context. Where it does not decide, the exit code is 1.
        #[arg(long, value_name = "RULE")]
        resolve: Option<Rule>,
    },
    /// Writes an opaque value in place of the siblings that are here.
    #[command(after_help = "Examples:
  rejoin --store a.rejoin put note 'buy milk'
  rejoin --store a.rejoin put note merged --context 0104…
  rejoin --store a.rejoin put note another --blind
  rejoin --store a.rejoin put seat/7 Ada --if-absent
  rejoin --store a.rejoin put seat/7 Ben --if-context 0104…

A condition is decided at this store alone. Where it does not hold, nothing is written and
the exit code is 1; two stores apart may both write, and then get shows both.")]
    Put(PutArgs),
    /// Removes all that is observed under a key, of whatever type.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin delete note")]
    Delete { key: Bytes },
    /// Sets: adding wins over a concurrent removal.
    #[command(
        subcommand,
        after_help = "Example:\n  rejoin --store a.rejoin set add cart apple banana"
    )]
    Set(SetCommand),
    /// Counters: every replica adds to and takes from them.
    #[command(subcommand, after_help = "Example:\n  rejoin --store a.rejoin counter add visits -2")]
    Counter(CounterCommand),
    /// Registers: of concurrent writes the last one wins.
    #[command(
        subcommand,
        after_help = "Example:\n  rejoin --store a.rejoin register set title Groceries"
    )]
    Register(RegisterCommand),
    /// Maps from fields to registers.
    #[command(
        subcommand,
        after_help = "Example:\n  rejoin --store a.rejoin map set user/1 name Ada"
    )]
    Map(MapCommand),
    /// Flags: enabling wins over a concurrent disabling.
    #[command(subcommand, after_help = "Example:\n  rejoin --store a.rejoin flag enable done")]
    Flag(FlagCommand),
    /// What peers took away here without a removal record: kept for a week.
    #[command(
        subcommand,
        after_help = "Examples:
  rejoin --store a.rejoin trash list
  rejoin --store a.rejoin trash restore 17 18
  rejoin --store a.rejoin trash restore --prefix note/

What is restored is written anew and reaches every store; nothing that stands is replaced."
    )]
    Trash(TrashCommand),
    /// Decides what the next sync with a store does with a mass removal that is held back.
    #[command(
        after_help = "Where one store claims, without removal records, that very many items were removed, that
is held back, and status says so. It is decided here for the next sync with that store, or
by sync --allow-mass-removal or --keep-mass-removal for a sync of one's own.

Example:
  rejoin --store a.rejoin decide 5d41402abc4b2a76b9719d911017c592 keep"
    )]
    Decide {
        /// The store's replica id, as status shows it.
        peer: String,
        decision: Decision,
    },
    /// Reads JSON Lines and applies each, 10,000 lines a commit.
    #[command(after_help = "Each line is one of
  {\"op\":\"set.add\",\"key\":K,\"elem\":E}           set.remove, rw_set.add, rw_set.remove
  {\"op\":\"counter.add\",\"key\":K,\"by\":N}
  {\"op\":\"register.set\",\"key\":K,\"value\":V}     mv_register.set
  {\"op\":\"map.set\",\"key\":K,\"field\":F,\"value\":V}
  {\"op\":\"map.remove\",\"key\":K,\"field\":F}
  {\"op\":\"flag.enable\",\"key\":K}                flag.disable, dw_flag.enable, dw_flag.disable
  {\"op\":\"put\",\"key\":K,\"value\":V}
  {\"op\":\"delete\",\"key\":K}
and may carry \"path\":[F,…] (the fields of maps that lead down to it); put, register.set,
mv_register.set and map.set may carry \"sibling\":true (beside what is there).

Examples:
  rejoin --store a.rejoin import rows.jsonl
  rejoin --store a.rejoin export | rejoin --store b.rejoin import -")]
    Import {
        /// The file, or - for standard input.
        file: PathBuf,
    },
    /// Writes everything in the space as JSON Lines that import reads, ordered by key.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin export > rows.jsonl")]
    Export,
    /// Serves the store to others until interrupted; prints the address first.
    #[command(after_help = "Examples:
  rejoin --store a.rejoin serve
  rejoin --store a.rejoin serve --listen :0
RUST_LOG (such as debug or rejoin=debug) chooses what is told on standard error.")]
    Serve(ServeArgs),
    /// Exchanges with another store what the other lacks, and proves both equal.
    #[command(
        group(ArgGroup::new("with").required(true).args(["url", "file"])),
        after_help = "Examples:
  rejoin --store b.rejoin sync ws://127.0.0.1:7777
  rejoin --store b.rejoin sync ws://127.0.0.1:7777 --all
  rejoin --store b.rejoin sync --file a.rejoin"
    )]
    Sync(SyncArgs),
}

/// What becomes of a mass removal.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Decision {
    /// Hold it back, as at first.
    Hold,
    /// Remove the items; they go to the trash.
    Allow,
    /// Write the items anew, so that they come to the other store too.
    Keep,
}

/// What becomes of several siblings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Rule {
    /// The one written last, by the clocks of the writers.
    Latest,
    /// The greatest number; of equals the latest.
    Greatest,
    /// The least number; of equals the latest.
    Least,
    /// All elements, where each sibling is a JSON array; else all lines. Sorted.
    Union,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("over").args(["context", "blind", "if_absent", "if_context"])))]
pub(crate) struct PutArgs {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Replaces what the get that printed this token has seen, and nothing that came since.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) context: Option<String>,
    /// Replaces nothing: the value stands beside what is here.
    #[arg(long)]
    pub(crate) blind: bool,
    /// Writes only where nothing lives under the key, of whatever type.
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Writes only where get would print this very token.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) if_context: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; :0 picks a free port of this machine.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    pub(crate) listen: String,
    /// Allows an address that other machines reach. There is no access control yet:
    /// whoever reaches it can read and write everything in the store.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Whoever connects only receives: nothing is taken from anybody.
    #[arg(long)]
    pub(crate) receive_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Where the other store is served: ws://HOST:PORT.
    pub(crate) url: Option<String>,
    /// Another store's file, which no other process has open.
    #[arg(long, value_name = "OTHER")]
    pub(crate) file: Option<PathBuf>,
    /// All spaces of both stores.
    #[arg(long, conflicts_with = "prefix")]
    pub(crate) all: bool,
    /// All spaces of both stores whose names start so.
    #[arg(long, value_name = "P")]
    pub(crate) prefix: Option<Name>,
    /// Tries so often again where the line is cut or nobody is there, each time behind what has
    /// arrived.
    #[arg(long, value_name = "TIMES", default_value_t = 0, conflicts_with = "file")]
    pub(crate) retry: u32,
    /// The other store only receives: nothing is taken from it.
    #[arg(long)]
    pub(crate) receive_only: bool,
    /// Removes what the other store claims to be removed, however much; it goes to the trash.
    #[arg(long)]
    pub(crate) allow_mass_removal: bool,
    /// Writes what the other store claims to be removed anew, for both, and removes nothing.
    #[arg(long, conflicts_with = "allow_mass_removal")]
    pub(crate) keep_mass_removal: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashCommand {
    /// Lists what is there, the oldest first, one a line: number, key, path, what it holds.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin trash list --json")]
    List {
        /// Only under keys that start so.
        #[arg(long, value_name = "P", default_value = "")]
        prefix: Bytes,
        /// Only from this number on.
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: u64,
    },
    /// Writes items anew: those of some numbers, under some keys, or all.
    #[command(
        group(ArgGroup::new("what").required(true).args(["numbers", "prefix", "all"])),
        after_help = "Example:\n  rejoin --store a.rejoin trash restore --all"
    )]
    Restore {
        #[arg(value_name = "N")]
        numbers: Vec<u64>,
        /// Those under keys that start so.
        #[arg(long, value_name = "P")]
        prefix: Option<Bytes>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Throws away for good all that is there.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin trash empty")]
    Empty,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetCommand {
    /// Adds elements, all in one commit.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin set add cart apple banana")]
    Add {
        key: Bytes,
        #[arg(required = true, value_name = "ELEM")]
        elements: Vec<Element>,
    },
    /// Removes elements, all in one commit.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin set remove cart apple")]
    Remove {
        key: Bytes,
        #[arg(required = true, value_name = "ELEM")]
        elements: Vec<Element>,
    },
    /// Prints the elements, one a line.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin set list cart")]
    List { key: Bytes },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CounterCommand {
    /// Adds a number, which may be negative.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin counter add visits -2")]
    Add {
        key: Bytes,
        #[arg(value_name = "N", allow_hyphen_values = true)]
        amount: i64,
    },
    /// Prints the sum.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin counter get visits")]
    Get { key: Bytes },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegisterCommand {
    /// Writes the value.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin register set title Groceries")]
    Set { key: Bytes, value: Element },
    /// Prints the value.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin register get title")]
    Get { key: Bytes },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MapCommand {
    /// Writes the value of a field.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin map set user/1 name Ada")]
    Set { key: Bytes, field: Element, value: Element },
    /// Removes a field with all that is observed beneath it.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin map remove user/1 name")]
    Remove { key: Bytes, field: Element },
    /// Prints the fields, one a line: field, value.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin map get user/1")]
    Get { key: Bytes },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlagCommand {
    /// Enables the flag.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin flag enable done")]
    Enable { key: Bytes },
    /// Disables the flag.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin flag disable done")]
    Disable { key: Bytes },
    /// Prints whether it is enabled.
    #[command(after_help = "Example:\n  rejoin --store a.rejoin flag get done")]
    Get { key: Bytes },
}
