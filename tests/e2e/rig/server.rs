//! A server process and a client for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{PATIENCE, until};

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    /// `reclaimer.toml`.
    pub(crate) config: String,
    /// Runs the server as this user; the binary is then copied to where that user may read it.
    pub(crate) uid: Option<u32>,
    /// Words before the binary, e.g. `unshare …`.
    pub(crate) before: Vec<OsString>,
    /// Whether those words give it mounts of its own: its data folder is then seen through its process alone.
    pub(crate) own_mounts: bool,
    /// Where it listens, where that is not a free port alone.
    pub(crate) listen: Vec<String>,
    /// Variables of its environment.
    pub(crate) variables: Vec<(String, String)>,
    /// Whether the settings name an admin token, so that none is made.
    pub(crate) own_admin_token: bool,
    /// More of its environment.
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Setup {
    fn listen_words(&self) -> Vec<String> {
        if self.listen.is_empty() {
            return vec!["--listen=127.0.0.1:0".to_owned()];
        }
        self.listen.iter().map(|address| format!("--listen={address}")).collect()
    }

    /// With these settings.
    pub(crate) fn with(config: &str) -> Self {
        Self { config: config.to_owned(), ..Self::default() }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) data: PathBuf,
    pub(crate) base: String,
    pub(crate) admin: String,
    pub(crate) worker: String,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}

/// The built binary.
pub(crate) fn binary() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.to_owned()));
        let path = folder.map(|folder| folder.join("reclaimer")).ok_or("no target folder")?;
        if path.exists() { Ok(path) } else { Err(format!("{} is missing; use tests/run", path.display())) }
    });
    built.as_deref().map_err(|error| anyhow::anyhow!(error.clone()))
}

/// The first address that a server's log names, after what earlier servers logged.
fn said_address(log: &Path, earlier: u64) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let lines = text.get(usize::try_from(earlier).ok()?..)?.lines();
    let up = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let up = up.into_iter().find(|line| line["message"] == "the server is up")?;
    Some(up["listen"].as_str()?.split(' ').next()?.to_owned())
}

impl Server {
    /// Starts a server on this folder and waits until it listens.
    pub(crate) async fn start(folder: &Path, setup: &Setup) -> Result<Self> {
        let data = folder.join("data");
        let config = folder.join("reclaimer.toml");
        std::fs::write(&config, &setup.config)?;
        // What a killed server left must not be taken for this one's.
        match std::fs::remove_file(data.join("listen")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let logged = std::fs::metadata(folder.join("err.log")).map_or(0, |found| found.len());
        let mut binary = binary()?.to_owned();
        if setup.uid.is_some() {
            let copy = folder.join("reclaimer");
            if !copy.exists() {
                std::fs::copy(&binary, &copy)?;
            }
            binary = copy;
        }
        let mut words = setup.before.clone();
        words.push(binary.into_os_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .args(setup.listen_words())
            .current_dir(folder)
            .env_remove("RECLAIMER_TOKEN")
            .envs(setup.env.iter().map(|(name, value)| (name, value)))
            .envs(setup.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(std::fs::File::options().create(true).append(true).open(folder.join("out.log"))?)
            .stderr(std::fs::File::options().create(true).append(true).open(folder.join("err.log"))?)
            .kill_on_drop(true);
        if let Some(uid) = setup.uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {words:?}"))?;
        let data = match (setup.own_mounts, child.id()) {
            (true, Some(pid)) => {
                let root = PathBuf::from(format!("/proc/{pid}/root"));
                root.join(data.strip_prefix("/").context("an absolute path")?)
            }
            _ => data,
        };
        let (listen, log) = (data.join("listen"), folder.join("err.log"));
        let address = until("the server to listen", async || {
            if let Some(status) = child.try_wait()? {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("the server ended with {status}: {said}");
            }
            let lines = std::fs::read_to_string(&listen).unwrap_or_default();
            let written = lines.lines().next().map(ToOwned::to_owned);
            // A server that cannot write it down says it in its log.
            Ok(written.or_else(|| said_address(&log, logged)))
        })
        .await?;
        let token = |name: &str| -> Result<String> {
            let path = data.join(name);
            Ok(std::fs::read_to_string(&path)
                .with_context(|| format!("{}", path.display()))?
                .trim()
                .to_owned())
        };
        Ok(Self {
            child,
            base: format!("http://{address}"),
            admin: if setup.own_admin_token { String::new() } else { token("admin.token")? },
            worker: token("worker.token")?,
            client: reqwest::Client::builder().timeout(PATIENCE).build()?,
            data,
        })
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.data.join("reclaimer.db")
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> Result<Pid> {
        let id = self.child.id().context("the server has ended")?;
        Ok(Pid::from_raw(i32::try_from(id)?))
    }

    /// Asks as an admin.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        self.ask(method, path, Some(&self.admin), body).await
    }

    /// Asks as a worker.
    pub(crate) async fn worker(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        self.ask(method, path, Some(&self.worker), body).await
    }

    /// Asks with any token, or none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// A request to be finished by the caller.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }

    /// Creates a job and answers its id.
    pub(crate) async fn create(&self, order: Value) -> Result<String> {
        let answer = self.admin(Method::POST, "/api/jobs", Some(order)).await?;
        ensure!(answer.status.is_success(), "{}: {}", answer.status, answer.body);
        Ok(answer.body["id"].as_str().context("no id")?.to_owned())
    }

    /// Takes up to `limit` jobs as this worker, waiting for one to appear.
    pub(crate) async fn open(&self, worker: &str, limit: u32, wait: u32) -> Result<Vec<Value>> {
        let path = format!("/api/internal/jobs/open?workerId={worker}&limit={limit}&wait={wait}");
        let body = self.worker(Method::GET, &path, None).await?.expect(200);
        body.as_array().cloned().with_context(|| format!("no jobs: {body}"))
    }

    /// Reports on a job that was handed out.
    pub(crate) async fn report(&self, job: &Value, status: &str, more: Value) -> Result<Answer> {
        let mut report = serde_json::json!({
            "taskId": job["id"], "lease": job["lease"]["token"], "status": status
        });
        if let (Some(report), Some(more)) = (report.as_object_mut(), more.as_object()) {
            report.extend(more.clone());
        }
        self.worker(Method::POST, "/api/internal/jobs/progress", Some(report)).await
    }

    /// A job as read.
    pub(crate) async fn job(&self, id: &str) -> Result<Value> {
        Ok(self.admin(Method::GET, &format!("/api/jobs/{id}"), None).await?.expect(200))
    }

    /// A job's events, oldest first.
    pub(crate) async fn events(&self, id: &str) -> Result<Vec<Value>> {
        let path = format!("/api/jobs/{id}/events?limit=500");
        let body = self.admin(Method::GET, &path, None).await?.expect(200);
        Ok(body["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until a job has this status.
    pub(crate) async fn becomes(&self, job: &str, status: &str) -> Result<Value> {
        until(&format!("job {job} to be {status}"), async || {
            let job = self.job(job).await?;
            Ok((job["status"] == status).then_some(job))
        })
        .await
    }

    /// The kinds of a job's events, oldest first.
    pub(crate) async fn kinds(&self, job: &str) -> Result<Vec<String>> {
        let events = self.events(job).await?;
        Ok(events.iter().filter_map(|event| Some(event["kind"].as_str()?.to_owned())).collect())
    }

    /// Links, workers and processes.
    pub(crate) async fn fleet(&self) -> Result<Value> {
        Ok(self.admin(Method::GET, "/api/admin/workers", None).await?.expect(200))
    }

    /// Runs a recovery cycle.
    pub(crate) async fn recover(&self, kind: &str) -> Result<Value> {
        let body = serde_json::json!({ "type": kind });
        Ok(self.admin(Method::POST, "/api/admin/jobs/recovery", Some(body)).await?.expect(200))
    }

    /// Ends the server as a crash would.
    pub(crate) async fn crash(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Ends the server in order.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus> {
        kill(self.pid()?, Signal::SIGTERM)?;
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await??)
    }
}
