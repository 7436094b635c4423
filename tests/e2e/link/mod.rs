//! Links: workers over real sockets, spoken by hand where the words matter, and as real processes where their end does.

mod envelope;
mod flat;
mod misbehaviour;
mod reconnecting;
mod transcript;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, until};

/// A link that workers of the envelope dialect connect to, and one for crawlers of the flat dialect.
const LISTENING: &str = "[[link]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n\
                         [[link]]\nname = \"flat\"\npath = \"flat.sock\"\ndialect = \"flat\"\n";

/// Starts a server with both links and these further settings.
async fn start(folder: &Path, more: &str) -> Result<Server> {
    Server::start(folder, &Setup::with(&format!("{LISTENING}{more}"))).await
}

/// Waits until a job has this status.
async fn becomes(server: &Server, job: &str, status: &str) -> Result<Value> {
    until(&format!("job {job} to be {status}"), async || {
        let job = server.job(job).await?;
        Ok((job["status"] == status).then_some(job))
    })
    .await
}

/// The kinds of a job's events.
async fn kinds(server: &Server, job: &str) -> Result<Vec<String>> {
    let events = server.events(job).await?;
    Ok(events.iter().filter_map(|event| Some(event["kind"].as_str()?.to_owned())).collect())
}

/// Sets an account of the provider `g`, whose access token ended.
async fn account_that_needs_a_refresh(server: &Server, id: &str) -> Result<()> {
    let account = json!({
        "userId": "u", "providerId": "g", "accessToken": "old", "refreshToken": "r",
        "accessTokenExpiresAt": "2020-01-01T00:00:00Z",
    });
    let path = format!("/api/admin/accounts/{id}");
    let answer = server.admin(reqwest::Method::PUT, &path, Some(account)).await?;
    assert!(answer.status.is_success(), "{}", answer.body);
    Ok(())
}

/// The view of links and workers.
async fn fleet(server: &Server) -> Result<Value> {
    Ok(server.admin(reqwest::Method::GET, "/api/admin/workers", None).await?.expect(200))
}
