//! A folder of stores, and the binary run on them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out:?}"))
    }

    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        for word in says {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, store: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        command.arg("--store").arg(self.path(store)).args(args).env_remove("RUST_LOG");
        command
    }

    pub(crate) fn run(&self, store: &str, args: &[&str]) -> Ran {
        Ran::of(self.command(store, args).stdin(Stdio::null()).output().unwrap())
    }

    #[track_caller]
    pub(crate) fn ok(&self, store: &str, args: &[&str]) -> String {
        self.run(store, args).ok()
    }

    #[track_caller]
    pub(crate) fn json(&self, store: &str, args: &[&str]) -> Value {
        self.run(store, &[args, &["--json"]].concat()).json()
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn import(&self, store: &str, lines: &str) -> Ran {
        let mut child = self
            .command(store, &["import", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Export, vector and root: what bad input must leave as it was.
    pub(crate) fn state(&self, store: &str) -> (String, Value, Value) {
        let status = self.json(store, &["status"]);
        (self.ok(store, &["export"]), status["vector"].clone(), status["root"].clone())
    }

    /// What the last server told on standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn serve(&self, store: &str) -> Served {
        self.serve_with(store, &[])
    }

    pub(crate) fn serve_with(&self, store: &str, args: &[&str]) -> Served {
        let mut child = self
            .command(store, &[&["serve", "--listen", ":0"], args].concat())
            .stdout(Stdio::piped())
            .stderr(File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Served { child, address: line.trim().to_owned() }
    }
}

pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Asks it to stop, as the system does.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of every type, nested ones and odd bytes too.
pub(crate) const EVERYTHING: &str = r#"
{"op":"set.add","key":"cart","elem":"apple"}
{"op":"set.add","key":"cart","elem":"hex:ff00"}
{"op":"set.add","key":"cart","elem":"hex:6865783a"}
{"op":"set.add","key":"cart","elem":"raw:0102"}
{"op":"rw_set.add","key":"guests","elem":"Ada"}
{"op":"rw_set.remove","key":"guests","elem":"Bob"}
{"op":"counter.add","key":"visits","by":-7}
{"op":"register.set","key":"title","value":"Groceries\nand \"more\""}
{"op":"register.set","key":"title","value":"Food","sibling":true}
{"op":"mv_register.set","key":"both","value":"one"}
{"op":"mv_register.set","key":"both","value":"two","sibling":true}
{"op":"map.set","key":"user","field":"name","value":"Ada"}
{"op":"map.set","key":"user","field":"raw:05","value":"raw:"}
{"op":"counter.add","key":"user","path":["logins"],"by":3}
{"op":"set.add","key":"user","path":["tags","deep","deeper"],"elem":"x"}
{"op":"map.set","key":"user","path":["tags"],"field":"y","value":"z"}
{"op":"flag.enable","key":"done"}
{"op":"dw_flag.enable","key":"sure"}
{"op":"dw_flag.disable","key":"unsure"}
{"op":"put","key":"note","value":"10"}
{"op":"put","key":"note","value":"hex:00ff","sibling":true}
{"op":"put","key":"hex:00ff","value":""}
{"op":"set.add","key":"note","elem":"another type"}
"#;
