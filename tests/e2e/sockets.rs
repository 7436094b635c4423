//! The API over a Unix socket, where the peer's uid decides.

use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use reqwest::Client;
use serde_json::json;

use crate::rig::{Server, Setup, reclaimer};

fn setup(config: &str) -> Setup {
    let listen = ["127.0.0.1:0", "unix:data/api.sock"].map(str::to_owned).to_vec();
    Setup { listen, ..Setup::with(config) }
}

#[tokio::test]
async fn a_peer_of_an_allowed_uid_is_a_worker_and_no_admin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &setup("")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let socket = server.data.join("api.sock");
    assert_eq!(std::fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
    let client = Client::builder().unix_socket(socket.clone()).build()?;
    let base = "http://localhost/api";
    let jobs: Vec<serde_json::Value> =
        client.get(format!("{base}/internal/jobs/open?workerId=w")).send().await?.json().await?;
    assert_eq!(jobs[0]["id"], id.as_str());
    assert_eq!(client.get(format!("{base}/admin/queues")).send().await?.status(), 403);
    let admin = client.get(format!("{base}/admin/queues")).bearer_auth(&server.admin).send().await?;
    assert_eq!(admin.status(), 200);
    assert!(server.stop().await?.success());
    assert!(!socket.exists(), "the socket's file goes with its server");
    Ok(())
}

#[tokio::test]
async fn a_peer_of_another_uid_is_refused_and_others_are_let_as_far_as_that() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &setup("[auth]\nsocket_uids = [4294967000]\n")).await?;
    let socket = server.data.join("api.sock");
    assert_eq!(std::fs::metadata(&socket)?.permissions().mode() & 0o777, 0o666);
    let client = Client::builder().unix_socket(socket).build()?;
    let answer = client.get("http://localhost/api/internal/jobs/open").send().await?;
    assert_eq!(answer.status(), 401);
    Ok(())
}

#[tokio::test]
async fn the_command_line_finds_a_server_that_listens_on_a_socket_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listen = vec!["unix:data/api.sock".to_owned()];
    let server = Server::start(folder.path(), &Setup { listen, ..Setup::default() }).await?;
    let id = reclaimer(folder.path(), &[], &["jobs", "add", "X"]).await?.expect(0);
    let listed = reclaimer(folder.path(), &[], &["jobs", "list", "--json"]).await?.json(0)?;
    assert_eq!(listed["items"][0]["id"], id.trim());
    drop(server);
    Ok(())
}
