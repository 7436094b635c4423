//! `reclaimer accounts`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Common;
use super::output::cell;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List accounts, without their secrets
    List,
    /// Create an account or replace all of it
    ///
    /// Tokens are read from files, so that they stand neither in the list of processes nor in the shell's history.
    Set(Set),
    /// Erase an account's secrets; its jobs wait until it is set again
    Erase {
        /// The account
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The account
    id: String,
    /// Whose it is
    #[arg(long)]
    user: String,
    /// Where its tokens count
    #[arg(long)]
    provider: String,
    /// The file that holds the access token
    #[arg(long, value_name = "FILE")]
    access_token_file: Option<PathBuf>,
    /// When the access token ends, e.g. 2026-01-05T14:20:00Z
    #[arg(long, value_name = "TIMESTAMP")]
    access_token_expires_at: Option<String>,
    /// The file that holds the refresh token
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,
    /// When the refresh token ends
    #[arg(long, value_name = "TIMESTAMP")]
    refresh_token_expires_at: Option<String>,
}

pub(super) async fn run(common: &Common, command: Command) -> Result<()> {
    let (client, output) = (common.client()?, common.output());
    let accounts = ["api", "admin", "accounts"];
    match command {
        Command::List => {
            let accounts = client.all(&accounts, &[]).await?;
            if output.is_json() {
                return output.json(&accounts);
            }
            let rows = accounts.iter().map(|account| {
                ["id", "userId", "providerId", "valid", "accessTokenExpiresAt", "refreshTokenExpiresAt"]
                    .map(|field| cell(&account[field]))
                    .to_vec()
            });
            output
                .table(&["id", "user", "provider", "valid", "access token ends", "refresh token ends"], rows)
        }
        Command::Set(set) => {
            let path = [&accounts[..], &[&set.id]].concat();
            let account = client.ask(Method::PUT, &path, &[], Some(&request(&set)?)).await?;
            if output.is_json() {
                return output.json(&account);
            }
            let state = if account["valid"] == true { "valid" } else { "not valid: no token of it holds" };
            output.text(&format!("{}: {state}", set.id))
        }
        Command::Erase { id } => {
            let path = [&accounts[..], &[&id]].concat();
            client.ask(Method::DELETE, &path, &[], None).await?;
            output.text(&format!("{id}: erased"))
        }
    }
}

fn request(set: &Set) -> Result<Value> {
    let secret = |file: &Option<PathBuf>| {
        let read = file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            text.map(|text| text.trim().to_owned()).with_context(|| format!("cannot read {}", path.display()))
        });
        read.transpose()
    };
    let fields = [
        ("userId", json!(set.user)),
        ("providerId", json!(set.provider)),
        ("accessToken", json!(secret(&set.access_token_file)?)),
        ("accessTokenExpiresAt", json!(set.access_token_expires_at)),
        ("refreshToken", json!(secret(&set.refresh_token_file)?)),
        ("refreshTokenExpiresAt", json!(set.refresh_token_expires_at)),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Ok(Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()))
}
