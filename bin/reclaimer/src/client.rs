//! A client of a running server's API, with an admin's token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use reclaimer_domain::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::data_dir::{ADMIN_TOKEN, read_addresses};

/// A server that takes longer than this to answer will not.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks a server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// The server said no, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: String,
    detail: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl std::error::Error for Refusal {}

impl Client {
    /// A client of the server at this address.
    pub(crate) fn new(base: Url, token: String) -> Result<Self> {
        if base.cannot_be_a_base() || !["http", "https"].contains(&base.scheme()) {
            bail!("`{base}` is no address of a server; write e.g. http://127.0.0.1:7400");
        }
        Ok(Self {
            http: reqwest::Client::builder().timeout(PATIENCE).build()?,
            base,
            token: Secret::new(token),
        })
    }

    /// A client of the server that runs on this data folder.
    pub(crate) fn of(data_dir: &Path, token: Option<String>) -> Result<Self> {
        let addresses = read_addresses(data_dir)?;
        let token = match token {
            Some(token) => token,
            None => {
                let path = data_dir.join(ADMIN_TOKEN);
                let text = std::fs::read_to_string(&path).with_context(|| {
                    format!(
                        "cannot read the admin token from {}; set RECLAIMER_TOKEN instead",
                        path.display()
                    )
                })?;
                text.trim().to_owned()
            }
        };
        if let Some(tcp) = addresses.iter().find(|address| !address.starts_with("unix:")) {
            return Self::new(format!("http://{}/", reachable(tcp)).parse()?, token);
        }
        let socket = addresses.iter().find_map(|address| address.strip_prefix("unix:"));
        let socket = PathBuf::from(socket.context("the server listens nowhere")?);
        let http = reqwest::Client::builder().timeout(PATIENCE).unix_socket(socket).build()?;
        Ok(Self { http, base: "http://localhost/".parse()?, token: Secret::new(token) })
    }

    /// The server's address.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Asks for the resource of these path segments.
    pub(crate) async fn ask(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        let mut request = self.http.request(method, url).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let (status, body) = self.exchange(request).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        if status.is_success() {
            return body.with_context(|| self.is_no_server());
        }
        Err(refusal(status, &body.unwrap_or_default()).into())
    }

    /// How the server is doing; one that is down says so as well.
    pub(crate) async fn health(&self) -> Result<Value> {
        let mut url = self.base.clone();
        url.set_path("/api/health");
        let (status, body) = self.exchange(self.http.get(url)).await?;
        let body = body.with_context(|| self.is_no_server())?;
        if status.is_success() || body["indicators"].is_array() {
            return Ok(body);
        }
        Err(refusal(status, &body).into())
    }

    fn is_no_server(&self) -> String {
        format!("the answer of {} is not JSON: it is not a reclaimer server", self.base)
    }

    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(StatusCode, serde_json::Result<Value>)> {
        let answer = request
            .bearer_auth(self.token.expose())
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("the server at {} cannot be reached", self.base))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(reqwest::Error::without_url);
        let bytes = bytes.with_context(|| format!("the answer of {} broke off", self.base))?;
        Ok((status, serde_json::from_slice(&bytes)))
    }

    /// Creates jobs, once, however often it is asked for under this key.
    pub(crate) async fn create_once(&self, order: &Value, key: &str) -> Result<Value> {
        let mut url = self.base.clone();
        url.set_path("/api/jobs");
        let request = self.http.post(url).header("idempotency-key", key).json(order);
        self.send(request).await
    }

    /// The time that the server's answers carry.
    pub(crate) async fn date(&self) -> Option<DateTime<Utc>> {
        let mut url = self.base.clone();
        url.set_path("/healthz");
        let answer = self.http.get(url).send().await.ok()?;
        let text = answer.headers().get(reqwest::header::DATE)?.to_str().ok()?;
        Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc())
    }

    /// Reads a resource.
    pub(crate) async fn get(&self, segments: &[&str]) -> Result<Value> {
        self.ask(Method::GET, segments, &[], None).await
    }

    /// Reads every item of a list, part by part.
    pub(crate) async fn all(&self, segments: &[&str], query: &[(&str, String)]) -> Result<Vec<Value>> {
        let mut query = query.to_vec();
        query.push(("limit", "500".to_owned()));
        let mut items = Vec::new();
        loop {
            let answer = self.ask(Method::GET, segments, &query, None).await?;
            items.extend(answer["items"].as_array().into_iter().flatten().cloned());
            let Some(next) = answer["nextCursor"].as_str() else { return Ok(items) };
            query.retain(|(name, _)| *name != "cursor");
            query.push(("cursor", next.to_owned()));
        }
    }
}

fn refusal(status: StatusCode, body: &Value) -> Refusal {
    let text = |key: &str| body[key].as_str().map(ToOwned::to_owned);
    Refusal {
        code: text("code").unwrap_or_else(|| status.to_string()),
        detail: text("detail").unwrap_or_else(|| "the server gave no reason".to_owned()),
    }
}

/// A server that listens on every address is reached on this machine's own.
fn reachable(address: &str) -> String {
    match address.parse::<std::net::SocketAddr>() {
        Ok(socket) if socket.ip().is_unspecified() && socket.is_ipv4() => {
            format!("127.0.0.1:{}", socket.port())
        }
        Ok(socket) if socket.ip().is_unspecified() => format!("[::1]:{}", socket.port()),
        Ok(_) | Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_reached_on_ours() {
        let addresses = ["0.0.0.0:1", "[::]:2", "10.0.0.1:3"].map(reachable);
        assert_eq!(addresses, ["127.0.0.1:1", "[::1]:2", "10.0.0.1:3"]);
    }

    /// Asks something that is no server of ours, and answers this.
    async fn told(answer: &'static str) -> Result<Value> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}/", listener.local_addr()?).parse()?;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut request = [0; 1_024];
            tokio::io::AsyncReadExt::read(&mut stream, &mut request).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await
        });
        Client::new(base, String::new())?.get(&["x"]).await
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_no_answer() {
        let error = told("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<h1>").await.unwrap_err();
        assert!(error.to_string().contains("not a reclaimer server"), "{error:#}");
        let cut = told("HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{}").await;
        assert!(cut.is_err(), "{cut:?}");
        assert_eq!(told("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap(), Value::Null);
        assert_eq!(
            told("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap(),
            serde_json::json!({})
        );
        let refused = told("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\n<h1>").await.unwrap_err();
        assert!(
            refused.downcast_ref::<Refusal>().is_some_and(|it| it.code.starts_with("502")),
            "{refused:#}"
        );
    }

    #[test]
    fn debug_hides_the_token() {
        let client = Client::new("http://x/".parse().unwrap(), "sesame".to_owned()).unwrap();
        assert!(!format!("{client:?}").contains("sesame"));
    }

    #[test]
    fn only_http_addresses_are_servers() {
        for text in ["ftp://x/", "mailto:x", "unix:x"] {
            assert!(Client::new(text.parse().unwrap(), String::new()).is_err(), "{text}");
        }
    }
}
