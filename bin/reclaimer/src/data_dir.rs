//! The data folder: everything the server owns.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use reclaimer_server::Address;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::system::random_bytes;

/// The name of the file with the admin token.
pub(crate) const ADMIN_TOKEN: &str = "admin.token";
/// The name of the file with the workers' token.
pub(crate) const WORKER_TOKEN: &str = "worker.token";
const LISTEN: &str = "listen";
const LOCK: &str = "lock";

/// The data folder of a running server, held by it alone.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock until the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the folder where it does not exist, and takes it for this process.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the data folder {}", path.display()))?;
        let name = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&name)
            .with_context(|| format!("cannot use the data folder {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            bail!(
                "another server (process {}) uses the data folder {}; end it first, or choose another with --data",
                holder.trim(),
                path.display()
            );
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The digest of a token that lies in the folder; made first where there is none.
    pub(crate) fn token(&self, name: &str) -> Result<[u8; 32]> {
        let path = self.path.join(name);
        let token = match std::fs::read_to_string(&path) {
            Ok(token) => token.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let token = hex::encode(random_bytes()?);
                write_new(&path, &format!("{token}\n"))
                    .with_context(|| format!("cannot write {}", path.display()))?;
                token
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        if token.is_empty() {
            bail!("{} is empty; remove it, and the next start makes a new token", path.display());
        }
        Ok(Sha256::digest(token.as_bytes()).into())
    }

    /// Says when others may look at what holds secrets: the folder, or the database.
    pub(crate) fn warn_of_onlookers(&self, database: &Path) {
        if is_open_to_others(&self.path) {
            let folder = self.path.display();
            warn!(area = "JOB-MANAGER", %folder, "others may look into the data folder; chmod 700 keeps them out");
        }
        if is_open_to_others(database) {
            let file = database.display();
            warn!(area = "JOB-MANAGER", %file, "others may read the database, credentials included; chmod 600 keeps them out");
        }
    }

    /// Where the token files lie.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down where the server listens, for whoever looks: all of it at once, or nothing.
    pub(crate) fn write_addresses(&self, addresses: &[Address]) -> Result<()> {
        let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        let (path, partial) = (self.path.join(LISTEN), self.path.join("listen.partial"));
        std::fs::write(&partial, lines)
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Nobody listens any more.
    pub(crate) fn remove_addresses(&self) {
        // What is left behind by a crash must not mislead either, so nobody relies on its absence.
        drop(std::fs::remove_file(self.path.join(LISTEN)));
    }
}

/// Whether others than the owner may do anything with a file or folder, as far as its mode tells; no when it is not there.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

/// The addresses that a running server wrote down, as text.
pub(crate) fn read_addresses(data_dir: &Path) -> Result<Vec<String>> {
    let path = data_dir.join(LISTEN);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no server runs on the data folder {}; start one, or name one with --server",
            data_dir.display()
        )
    })?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// Writes a file of the owner's alone, whole or not at all.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_its_tokens_are_the_owners_alone_and_last() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let data = DataDir::take(&path).unwrap();
        let first = data.token(ADMIN_TOKEN).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(ADMIN_TOKEN))), (0o700, 0o600));
        assert_eq!(data.token(ADMIN_TOKEN).unwrap(), first);
        assert_ne!(data.token(WORKER_TOKEN).unwrap(), first);
    }

    #[test]
    fn two_servers_never_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::take(folder.path()).unwrap();
        let refused = DataDir::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(data);
        assert!(DataDir::take(folder.path()).is_ok());
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::take(folder.path()).unwrap();
        std::fs::write(folder.path().join(ADMIN_TOKEN), "\n").unwrap();
        assert!(data.token(ADMIN_TOKEN).unwrap_err().to_string().contains("is empty"));
    }
}
