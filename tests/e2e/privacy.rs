//! What holds secrets is its owner's alone, and what is not is said.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, reclaimer};

fn open_up(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// The database and its log are their owner's alone.
fn assert_private(database: &Path) -> Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(ending);
        let mode = fs::metadata(&path)?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    Ok(())
}

#[tokio::test]
async fn a_database_is_its_owners_alone_wherever_it_lies() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    open_up(&data, 0o755)?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    assert_private(&server.database())?;
    let log = fs::read_to_string(folder.path().join("err.log"))?;
    assert!(log.contains("others may look into the data folder"), "{log}");
    assert!(server.stop().await?.success());

    let elsewhere = folder.path().join("elsewhere.db");
    let config = format!("[database]\nurl = \"sqlite://{}\"\n", elsewhere.display());
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    server.create(json!({ "command": "X" })).await?;
    assert_private(&elsewhere)
}

#[tokio::test]
async fn a_database_that_others_may_read_is_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::default()).await?;
    let database = server.database();
    assert!(server.stop().await?.success());
    open_up(&database, 0o644)?;
    open_up(&at.join("data"), 0o711)?;
    let server = Server::start(at, &Setup::default()).await?;
    let log = fs::read_to_string(at.join("err.log"))?;
    assert!(log.contains("others may read the database"), "{log}");
    let findings = reclaimer(at, &[], &["doctor", "--json"]).await?.json(0)?;
    for (check, advice) in [("data folder", "chmod 700"), ("database file", "chmod 600")] {
        let found = findings.as_array().into_iter().flatten().find(|finding| finding["check"] == check);
        let found = found.unwrap_or(&Value::Null);
        assert_eq!(found["verdict"], "warning", "{findings}");
        assert!(found["advice"].as_str().is_some_and(|text| text.contains(advice)), "{findings}");
    }
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_log_says_where_the_tokens_are_and_never_the_tokens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let log = fs::read_to_string(folder.path().join("err.log"))?;
    let up = log.lines().find(|line| line.contains("the server is up")).unwrap_or_default();
    let up: Value = serde_json::from_str(up)?;
    for (field, name) in [("admin_token_file", "admin.token"), ("worker_token_file", "worker.token")] {
        assert_eq!(up[field].as_str().map(Path::new), Some(server.data.join(name).as_path()), "{up}");
    }
    assert!(!log.contains(&server.admin) && !log.contains(&server.worker));
    Ok(())
}
