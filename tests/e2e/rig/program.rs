//! The `reclaimer` program as a command that ends.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use super::PATIENCE;
use super::server::binary;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Its output, if it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        self.out
    }

    /// What it complained of, if it ended with this code.
    #[track_caller]
    pub(crate) fn complaint(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        self.err
    }

    /// Its output as JSON, if it ended with this code.
    pub(crate) fn json(self, code: i32) -> Result<Value> {
        let out = self.expect(code);
        serde_json::from_str(&out).with_context(|| out)
    }
}

/// Runs `reclaimer` in this folder, with these variables and words, until it ends.
pub(crate) async fn reclaimer(folder: &Path, variables: &[(&str, &str)], words: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary()?);
    command.args(words).current_dir(folder).env_remove("RECLAIMER_TOKEN").kill_on_drop(true);
    command.envs(variables.iter().copied());
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}
