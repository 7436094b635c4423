//! The globs and regular expressions of a whole policy, compiled once, and searched at most once per decision: one
//! pass over the error, one over the command, however many rules ask.

#![expect(clippy::wildcard_enum_match_arm, reason = "another crate's errors, told as they are")]

use std::ops::Range;

use globset::Glob;
use regex::{RegexBuilder, RegexSet, RegexSetBuilder, SetMatches, bytes};

use crate::limits::{DEEPEST_PATTERN, LARGEST_PATTERN, LARGEST_SET, SEARCH_CACHE};

/// What rules look for in errors and commands.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    errors: RegexSet,
    commands: bytes::RegexSet,
}

/// Places of patterns in their set.
pub(crate) type Places = Range<usize>;

impl Patterns {
    /// Which patterns occur in an error.
    pub(crate) fn in_error(&self, error: &str) -> SetMatches {
        self.errors.matches(error)
    }

    /// Which globs fit a command.
    pub(crate) fn in_command(&self, command: &str) -> bytes::SetMatches {
        self.commands.matches(command.as_bytes())
    }
}

/// Gathers patterns. What cannot be one is refused with the reason.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    errors: Vec<String>,
    commands: Vec<String>,
}

impl Gathered {
    /// A text to be found in any case of letters.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), String> {
        self.error(format!("(?i:{})", regex::escape(text)))
    }

    /// A regular expression.
    pub(crate) fn regex(&mut self, regex: &str) -> Result<(), String> {
        self.error(regex.to_owned())
    }

    fn error(&mut self, pattern: String) -> Result<(), String> {
        RegexBuilder::new(&pattern)
            .size_limit(LARGEST_PATTERN)
            .dfa_size_limit(SEARCH_CACHE)
            .nest_limit(DEEPEST_PATTERN)
            .build()
            .map_err(|error| told(&error))?;
        self.errors.push(pattern);
        Ok(())
    }

    /// A glob.
    pub(crate) fn glob(&mut self, glob: &str) -> Result<(), String> {
        let glob = Glob::new(glob).map_err(|error| error.kind().to_string())?;
        bytes::RegexBuilder::new(glob.regex())
            .size_limit(LARGEST_PATTERN)
            .build()
            .map_err(|error| told(&error))?;
        self.commands.push(glob.regex().to_owned());
        Ok(())
    }

    /// How many error patterns there are so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// How many globs there are so far.
    pub(crate) fn commands(&self) -> usize {
        self.commands.len()
    }

    /// All of them, ready to be searched for.
    pub(crate) fn compile(&self) -> Result<Patterns, String> {
        let errors = RegexSetBuilder::new(&self.errors)
            .size_limit(LARGEST_SET)
            .dfa_size_limit(SEARCH_CACHE)
            .nest_limit(DEEPEST_PATTERN)
            .build()
            .map_err(|error| together(&error))?;
        let commands = bytes::RegexSetBuilder::new(&self.commands)
            .size_limit(LARGEST_SET)
            .dfa_size_limit(SEARCH_CACHE)
            .build()
            .map_err(|error| together(&error))?;
        Ok(Patterns { errors, commands })
    }
}

fn together(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!(
            "the patterns of all rules together take more than {} KiB; use fewer or smaller ones",
            limit / 1_024
        ),
        other => told(other),
    }
}

/// What is wrong with a pattern, in one line.
fn told(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!(
            "takes more than {} KiB once compiled; use smaller repetitions, or `(?-u)` with `\\w`, `\\d` and `\\s`",
            limit / 1_024
        ),
        // The library draws the pattern with a mark below it, and closes with the reason.
        other => {
            let text = other.to_string();
            let reason = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
            reason.map_or_else(|| text.replace('\n', " "), ToOwned::to_owned)
        }
    }
}
