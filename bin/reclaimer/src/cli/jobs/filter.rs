//! Which jobs a command is about.

use serde_json::{Map, Value, json};

/// Everything that is set must hold.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Filter {
    /// Only in these states, separated by commas
    #[arg(long)]
    status: Option<String>,
    /// Only of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only of this command
    #[arg(long)]
    command: Option<String>,
    /// Only of this account
    #[arg(long)]
    account: Option<String>,
    /// Only about this path
    #[arg(long)]
    path: Option<String>,
    /// Only held by this worker
    #[arg(long)]
    worker: Option<String>,
    /// Only with this in their id, command, path or error
    #[arg(long)]
    text: Option<String>,
}

impl Filter {
    /// What is set, under the API's names.
    pub(super) fn fields(self) -> impl Iterator<Item = (&'static str, String)> {
        let fields = [
            ("status", self.status),
            ("queue", self.queue),
            ("command", self.command),
            ("accountId", self.account),
            ("fullPath", self.path),
            ("workerId", self.worker),
            ("text", self.text),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// The same as a JSON object, with the states as a list.
    pub(super) fn json(self) -> Map<String, Value> {
        let value = |(name, text): (&str, String)| {
            let value = match name {
                "status" => text.split(',').map(str::trim).collect(),
                _ => json!(text),
            };
            (name.to_owned(), value)
        };
        self.fields().map(value).collect()
    }
}
