//! What commands print: tables for people, JSON for programs.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use serde_json::Value;

/// Where output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints text as it is.
    pub(crate) fn text(self, text: &str) -> Result<()> {
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }

    /// Prints a value as JSON.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        self.text(&serde_json::to_string_pretty(value)?)
    }

    /// Prints rows as a table.
    pub(crate) fn table(self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(head);
        if std::io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for row in rows {
            table.add_row(row);
        }
        self.text(&table.to_string())
    }
}

/// Text that cannot steer a terminal: no control characters, and nothing that turns the direction of what stands beside it.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// A value for a cell: text without quotes, nothing for null, and nothing that could steer a terminal.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    plain(&text)
}

/// Says what went wrong, and answers the exit code for it.
pub(crate) fn complain(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    });
    // Whoever read the output has seen enough: `reclaimer jobs list | head`.
    if !broken_pipe {
        let _ = writeln!(std::io::stderr(), "reclaimer: {error:#}");
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        assert_eq!(cell(&"a\u{1b}[2Jb".into()), "a\u{fffd}[2Jb");
        assert_eq!(cell(&"moc\u{202e}exe\u{2066}".into()), "moc\u{fffd}exe\u{fffd}");
        assert_eq!(cell(&Value::Null), "");
        assert_eq!(cell(&serde_json::json!({"a": 1})), "{\"a\":1}");
    }
}
