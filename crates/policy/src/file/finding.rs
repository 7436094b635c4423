//! What is wrong with a policy file, and where.

use std::fmt;

use reclaimer_domain::name::RuleName;
use serde::{Deserialize, Serialize};

/// Something wrong or doubtful in a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The line, from 1.
    pub line: u32,
    /// The character in that line, from 1.
    pub column: u32,
    /// The rule it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<RuleName>,
    /// The key it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What is wrong, what is allowed, what was probably meant.
    pub message: String,
}

/// `14:1: unknown key …`, to be put behind the name of the file.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule `{rule}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A policy file that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPolicy {
    /// Everything that is wrong with it, in the order of lines; at least one.
    pub findings: Vec<Finding>,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            let part = if index == 0 { "" } else { "; " };
            write!(f, "{part}{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidPolicy {}
