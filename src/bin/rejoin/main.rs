//! The command line of rejoin: arguments in, text or JSON out.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod args;
mod backup;
mod export;
mod import;
mod lines;
mod out;
mod progress;
mod recover;
mod report;
mod resolve;
mod serve;
mod spaces;
mod sync;
mod text;
mod trash;
mod types;
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{CommandFactory, Parser};
use rejoin::storage::StorageError;
use rejoin::{Error, Options, Space, Store};

use args::{Cli, Command};
use out::{Done, Failure, Out, tell_identity, with_path};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let without_store = matches!(cli.command, Command::Recover { .. }).then(PathBuf::new);
    let Some(path) = cli.store.clone().or(without_store) else {
        let missing = clap::error::ErrorKind::MissingRequiredArgument;
        let what = "the store's file is missing: give --store FILE";
        Cli::command().error(missing, what).exit();
    };
    let mut out = Out::new(cli.json);
    let done = run(&cli, path, &mut out).and_then(|()| out.flush());
    match done {
        // Who stops reading has what it wanted.
        Ok(()) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = out.flush();
            if let Failure::Message(message) = failure {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "rejoin: {message}");
            }
            ExitCode::from(1)
        }
    }
}

fn run(cli: &Cli, path: PathBuf, out: &mut Out) -> Done {
    let space = cli.space.0.clone();
    let place = Place { path, space, fresh_id: cli.fresh_id, now_ms: cli.now_ms };
    match &cli.command {
        Command::Status => values::status(&place.read()?, out),
        Command::Keys { prefix } => values::keys(&place.read()?, &prefix.0, out),
        Command::Spaces { prefix } => spaces::list(&place, &prefix.0, out),
        Command::DropSpace { name } => spaces::drop_space(&place, &name.0, out),
        Command::Check { deep } => values::check(&place, *deep, out),
        Command::Compact => values::compact(&place, out),
        Command::Backup { file } => backup::backup(&place, file, out),
        Command::Recover { old, new, adopt } => {
            recover::recover((old, new), *adopt, cli.now_ms, out)
        }
        Command::Adopt => recover::adopt(&place, out),
        Command::Get { key, resolve } => values::get(&place.read()?, &key.0, *resolve, out),
        Command::Put(args) => values::put(&place, args, out),
        Command::Delete { key } => values::delete(&place.write()?, &key.0, out),
        Command::Set(command) => types::set(&place, command, out),
        Command::Counter(command) => types::counter(&place, command, out),
        Command::Register(command) => types::register(&place, command, out),
        Command::Map(command) => types::map(&place, command, out),
        Command::Flag(command) => types::flag(&place, command, out),
        Command::Trash(command) => trash::trash(&place, command, out),
        Command::Decide { peer, decision } => trash::decide(&place, peer, *decision, out),
        Command::Import { file } => import::import(&place, file, out),
        Command::Export => export::export(&place.read()?, out),
        Command::Serve(args) => serve::serve(&place, args, out),
        Command::Sync(args) => sync::sync(&place, args, out),
    }
}

/// Which store and space a command is about.
struct Place {
    path: PathBuf,
    space: String,
    fresh_id: bool,
    now_ms: Option<u64>,
}

impl Place {
    /// The space, for a command that only reads: the store must be there.
    fn read(&self) -> Result<Space, Failure> {
        Ok(self.existing()?.space(&self.space)?)
    }

    /// The store, which must be there.
    fn existing(&self) -> Result<Store, Failure> {
        if matches!(std::fs::exists(&self.path), Ok(false)) {
            return Err(Failure::new(format_args!(
                "{}: there is no store; write something to it first, or sync it with another",
                self.path.display()
            )));
        }
        self.open(false)
    }

    /// The space, for a command that writes: the store is made where it is not there.
    fn write(&self) -> Result<Space, Failure> {
        Ok(self.store()?.space(&self.space)?)
    }

    /// The store, which is made where it is not there.
    fn store(&self) -> Result<Store, Failure> {
        self.open(true)
    }

    fn open(&self, create: bool) -> Result<Store, Failure> {
        if !self.fresh_id {
            return open(&self.path, create, self.now_ms);
        }
        let mut options = options(self.now_ms);
        (options.create, options.fresh_id) = (create, true);
        // That its name is another one now was asked for.
        opened(&self.path, options)
    }
}

/// The library's own, with a clock that starts elsewhere where that is asked for.
fn options(now_ms: Option<u64>) -> Options {
    let mut options = Options::default();
    if let Some(now_ms) = now_ms {
        let started = Instant::now();
        let passed = move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        options.clock = Arc::new(move || now_ms.saturating_add(passed()));
    }
    options
}

fn opened(path: &Path, options: Options) -> Result<Store, Failure> {
    Store::open_with(path, options).map_err(|error| match error {
        // Nor can it be checked.
        Error::Storage(StorageError::Corrupt { .. }) => {
            let error = with_path(path, error.to_string());
            Failure::new(format_args!(
                "{error}; it cannot be opened: save what is sound with rejoin recover"
            ))
        }
        error => error.into(),
    })
}

/// Opens a store under the name that it has.
fn open(path: &Path, create: bool, now_ms: Option<u64>) -> Result<Store, Failure> {
    let mut options = options(now_ms);
    options.create = create;
    let store = opened(path, options)?;
    tell_identity(&store, path);
    Ok(store)
}
