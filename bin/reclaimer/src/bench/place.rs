//! Where it is measured: a temporary folder on the disk that counts.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// A temporary folder, gone with this value.
#[derive(Debug)]
pub(super) struct Place(tempfile::TempDir);

impl Place {
    /// A folder on the disk of `dir`, which need not exist yet.
    pub(super) fn on(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir)?;
        let there = dir.ancestors().find(|dir| dir.is_dir()).context("there is no such disk")?;
        let kind = statfs(there).with_context(|| format!("cannot look at {}", there.display()))?;
        if kind.filesystem_type() == TMPFS_MAGIC {
            // Whoever reads the figures must know; where nobody can be told, they are measured all the same.
            let _ = writeln!(
                std::io::stderr(),
                "reclaimer: {} is held in memory, where a flush costs nothing and the figures say nothing of a disk; \
                 name a folder on one with --dir",
                there.display()
            );
        }
        let folder = tempfile::Builder::new()
            .prefix("reclaimer-bench-")
            .tempdir_in(there)
            .with_context(|| format!("cannot make a temporary folder in {}", there.display()))?;
        Ok(Self(folder))
    }

    /// A new folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.at(name);
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// A file in it.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
