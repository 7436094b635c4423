//! The data folder: everything the server owns.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reclaimer_server::Address;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::system::random_bytes;

/// The name of the file with the admin token.
pub(crate) const ADMIN_TOKEN: &str = "admin.token";
/// The name of the file with the workers' token.
pub(crate) const WORKER_TOKEN: &str = "worker.token";
const LISTEN: &str = "listen";
/// Which process holds the folder.
const HOLDER: &str = "lock";

/// Between two attempts to write what could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The data folder of a running server, held by it alone.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The folder itself, locked until the process ends, however it ends: that needs no room and no right to write.
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
        let lock =
            File::open(path).with_context(|| format!("cannot use the data folder {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = std::fs::read_to_string(path.join(HOLDER)).unwrap_or_default();
            bail!(
                "another server (process {}) uses the data folder {}; end it first, or choose another with --data",
                holder.trim(),
                path.display()
            );
        }
        // It only makes the refusal above easier to understand.
        drop(std::fs::write(path.join(HOLDER), format!("{}\n", std::process::id())));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The digest of a token that lies in the folder; made first where there is none, and written down as soon as the
    /// folder takes it.
    pub(crate) fn token(&self, name: &str) -> Result<[u8; 32]> {
        let path = self.path.join(name);
        let token = match std::fs::read_to_string(&path) {
            Ok(token) => token.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let token = hex::encode(random_bytes()?);
                let (written, text) = (path.clone(), format!("{token}\n"));
                if let Some(trying) = insist(&path, move || write_new(&written, &text)) {
                    drop(trying.detach());
                }
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

    /// Writes down where the server listens, for whoever looks, as soon as the folder takes it: all of it at once, or
    /// nothing.
    pub(crate) fn announce(&self, addresses: &[Address]) -> Announced {
        let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        let (path, partial) = (self.path.join(LISTEN), self.path.join("listen.partial"));
        let written = path.clone();
        let write =
            move || std::fs::write(&partial, &lines).and_then(|()| std::fs::rename(&partial, &written));
        Announced { _trying: insist(&path, write), path }
    }
}

/// It is written down where the server listens; no longer when this is dropped.
#[derive(Debug)]
pub(crate) struct Announced {
    path: PathBuf,
    _trying: Option<AbortOnDropHandle<()>>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        // What is left behind by a crash must not mislead either, so nobody relies on its absence.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Writes a file; where that fails, on a full disk say, the server comes up without it, and a task tries again until it is
/// written.
fn insist(
    path: &Path,
    write: impl Fn() -> std::io::Result<()> + Send + 'static,
) -> Option<AbortOnDropHandle<()>> {
    let error = write().err()?;
    let path = path.display().to_string();
    warn!(area = "JOB-MANAGER", path, %error, "a file of the data folder cannot be written; it is tried again");
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(TRY_AGAIN).await;
            if write().is_ok() {
                info!(area = "JOB-MANAGER", path, "the file is written now");
                return;
            }
        }
    })))
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

    #[tokio::test]
    async fn a_token_is_written_when_its_folder_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::take(folder.path()).unwrap();
        let in_the_way = folder.path().join("admin.partial");
        std::fs::create_dir(&in_the_way).unwrap();
        let digest = data.token(ADMIN_TOKEN).unwrap();
        assert!(!folder.path().join(ADMIN_TOKEN).exists());
        std::fs::remove_dir(&in_the_way).unwrap();
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        while !folder.path().join(ADMIN_TOKEN).exists() {
            beat.tick().await;
        }
        assert_eq!(data.token(ADMIN_TOKEN).unwrap(), digest, "what is written is what counts already");
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::take(folder.path()).unwrap();
        std::fs::write(folder.path().join(ADMIN_TOKEN), "\n").unwrap();
        assert!(data.token(ADMIN_TOKEN).unwrap_err().to_string().contains("is empty"));
    }
}
