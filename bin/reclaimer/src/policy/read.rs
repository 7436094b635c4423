//! Reading the file.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reclaimer_policy::Defaults;
use reclaimer_policy::file::{Checked, Finding, InvalidPolicy};
use reclaimer_policy::limits::LARGEST_FILE;

/// Why a file is no policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    file: PathBuf,
    /// Why it could not even be read; empty where it was.
    reason: String,
    /// What is wrong with it.
    pub(crate) findings: Vec<Finding>,
}

impl Unusable {
    pub(super) fn new(file: &Path, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), reason: reason.into(), findings: Vec::new() }
    }

    /// One line per thing that is wrong.
    pub(crate) fn lines(&self) -> Vec<String> {
        let file = self.file.display();
        if self.findings.is_empty() {
            return vec![format!("{file}: {}", self.reason)];
        }
        self.findings.iter().map(|finding| format!("{file}:{finding}")).collect()
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}

impl std::error::Error for Unusable {}

/// Reads a policy file. What it does not say is taken from `defaults`.
pub(crate) fn read(path: &Path, defaults: Defaults) -> Result<Checked, Unusable> {
    let text = text(path)?;
    reclaimer_policy::file::read(&text, defaults).map_err(|InvalidPolicy { findings }| Unusable {
        file: path.to_owned(),
        reason: String::new(),
        findings,
    })
}

/// As much of a file as a policy may have, and one byte more to tell that it is too large.
fn text(path: &Path) -> Result<String, Unusable> {
    let unreadable = |error: std::io::Error| Unusable::new(path, format!("cannot be read: {error}"));
    // Opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Unusable::new(path, "is no regular file"));
    }
    let mut text = String::new();
    let most = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Unusable::new(path, "is not UTF-8 text"))
        }
        Err(error) => Err(unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, content).unwrap();
        let text = read(&path, Defaults::default()).unwrap_err().to_string();
        text.replace(&folder.path().display().to_string(), "")
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_place() {
        let twice = b"[[rule]]\nname = \"x\"\naction = \"stay\"\nqueu = 1\n";
        assert_eq!(
            refusal(twice),
            "/policy.toml:3:10: rule `x`: `action`: one of `requeue`, `quarantine`, `leave`, got `stay`; \
             /policy.toml:4:1: rule `x`: unknown key `queu`; did you mean `queue`?"
        );
        assert_eq!(refusal(b"\xff\xfe"), "/policy.toml: is not UTF-8 text");
        assert_eq!(
            refusal(&vec![b'#'; LARGEST_FILE + 2]),
            "/policy.toml:1:1: a policy file has at most 512 KiB"
        );
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| read(path, Defaults::default()).unwrap_err().to_string();
        assert!(refused(folder.path()).ends_with(": is no regular file"));
        assert!(refused(&folder.path().join("none")).contains("cannot be read: No such file"));
    }
}
