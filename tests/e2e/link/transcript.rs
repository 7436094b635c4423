//! The sessions that `docs/worker-protocol.md` shows, held with a real server. `UPDATE_SNAPSHOTS=1` writes them anew.

use std::path::Path;

use anyhow::{Context, Result};
use chrono::DateTime;
use reqwest::Method;
use serde_json::{Value, json};

use super::LISTENING;
use crate::rig::{Peer, Server, Setup, until};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/worker-protocol.md");
/// Lines are broken to this many characters.
const WIDTH: usize = 118;
/// When everything happens.
const NOW: &str = "2026-01-05T14:20:00.000Z";
const NOW_MS: u64 = 1_767_622_800_000;

/// A connection and what was said over it. What differs from run to run is shown as the same every time.
struct Session {
    peer: Peer,
    said: String,
    /// What was really said, and what is shown of it.
    shown: Vec<(String, String)>,
}

impl Session {
    async fn connect(socket: &Path) -> Result<Self> {
        Ok(Self { peer: Peer::connect(socket).await?, said: String::new(), shown: Vec::new() })
    }

    async fn reconnect(&mut self, socket: &Path) -> Result<()> {
        self.peer = Peer::connect(socket).await?;
        Ok(())
    }

    fn note(&mut self, text: &str) {
        let gap = if self.said.is_empty() { "" } else { "\n" };
        self.said += &format!("{gap}# {text}\n");
    }

    /// Says something in the envelope dialect.
    async fn say(&mut self, kind: &str, key: &str, payload: Value) -> Result<()> {
        // As texts, in the order that a reader expects.
        let frame = format!(
            "{{\"origin\":\"external-crawler\",\"destination\":\"web-server\",\"type\":\"{kind}\",\"key\":\"{key}\",\
             \"payload\":{payload},\"timestamp\":{NOW_MS}}}"
        );
        self.send(&frame).await
    }

    async fn report(&mut self, job: &Value, report: Value) -> Result<()> {
        let mut payload = json!({ "taskId": job["id"], "lease": job["lease"]["token"] });
        for (key, value) in report.as_object().into_iter().flatten() {
            payload[key] = value.clone();
        }
        self.say("message", "PROGRESS_UPDATE", payload).await
    }

    /// Says something in the flat dialect.
    async fn flat(&mut self, kind: &str, job: Option<&Value>, data: Value) -> Result<()> {
        let job = job.map(|job| format!("\"jobId\":{},", job["id"])).unwrap_or_default();
        let frame = format!("{{\"type\":\"{kind}\",\"timestamp\":\"{NOW}\",{job}\"data\":{data}}}");
        self.send(&frame).await
    }

    async fn send(&mut self, frame: &str) -> Result<()> {
        self.peer.send(frame).await?;
        self.record("->", frame);
        Ok(())
    }

    /// Takes in the next message, which is to be this one, and answers its payload or data.
    async fn hear(&mut self, key: &str) -> Result<Value> {
        let line = self.peer.line().await?;
        let message: Value = serde_json::from_str(&line).with_context(|| format!("no {key} but `{line}`"))?;
        let found = message.get("key").unwrap_or(&message["type"]);
        assert_eq!(found, key, "{line}");
        self.learn(&message);
        self.record("<-", line.trim_end());
        Ok(message.get("payload").unwrap_or(&message["data"]).clone())
    }

    async fn hear_jobs(&mut self) -> Result<Vec<Value>> {
        self.hear("jobs_available").await?.as_array().cloned().context("no array of jobs")
    }

    /// Notes what in a message is different at each run.
    fn learn(&mut self, value: &Value) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("pid", Value::Number(pid)) => self.show(format!("\"pid\":{pid}"), "\"pid\":4211"),
                ("timestamp", Value::Number(at)) => self.show(at.to_string(), &NOW_MS.to_string()),
                ("id" | "jobId" | "taskId", Value::String(id)) => self.name(id, "job"),
                ("token" | "lease", Value::String(token)) => self.name(token, "lease"),
                (_, Value::String(text)) if DateTime::parse_from_rfc3339(text).is_ok() => {
                    let at = if key == "expiresAt" { "2026-01-05T14:21:00.000Z" } else { NOW };
                    self.show(format!("\"{key}\":\"{text}\""), &format!("\"{key}\":\"{at}\""));
                }
                _ => self.learn(value),
            }
        }
        for value in value.as_array().into_iter().flatten() {
            self.learn(value);
        }
    }

    fn show(&mut self, real: String, shown: &str) {
        if !self.shown.iter().any(|(known, _)| *known == real) {
            self.shown.push((real, shown.to_owned()));
        }
    }

    /// Shows a name as the next of its kind.
    fn name(&mut self, real: &str, kind: &str) {
        let count = self.shown.iter().filter(|(_, shown)| shown.starts_with(kind)).count();
        // Names that the worker made up are what they are.
        if real.len() > 10 && real != "web-server" {
            self.show(real.to_owned(), &format!("{kind}-{}", count + 1));
        }
    }

    fn record(&mut self, arrow: &str, frame: &str) {
        let mut frame = frame.to_owned();
        for (real, shown) in &self.shown {
            frame = frame.replace(real, shown);
        }
        let mut line = arrow.to_owned();
        let mut first = true;
        for part in parts(&frame) {
            if !first && line.len() + part.len() > WIDTH {
                self.said += &format!("{line}\n");
                line = "  ".to_owned();
            }
            if first || line == "  " {
                line.push(' ');
            }
            first = false;
            line += part;
        }
        self.said += &format!("{line}\n");
    }
}

/// The parts of a frame between which white space changes nothing.
fn parts(frame: &str) -> impl Iterator<Item = &str> {
    let (mut in_string, mut escaped) = (false, false);
    frame.split_inclusive(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        c == ',' && !in_string
    })
}

/// Writes a session into the page, or compares it with the page's.
fn is_on_the_page(heading: &str, session: &str) -> Result<()> {
    let page = std::fs::read_to_string(PAGE)?;
    let start = page.find(heading).with_context(|| format!("no heading `{heading}`"))?;
    let from = start + page[start..].find("```text\n").context("no session below it")? + "```text\n".len();
    let to = from + page[from..].find("```").context("the session does not end")?;
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(PAGE, format!("{}{session}{}", &page[..from], &page[to..]))?;
        return Ok(());
    }
    let hint =
        "docs/worker-protocol.md shows another session: run with UPDATE_SNAPSHOTS=1 and read what changed";
    assert_eq!(&page[from..to], session, "{hint}");
    Ok(())
}

/// Nothing happens by itself here, and nobody beats.
const STILL: &str = "[link]\nheartbeat_interval = \"10m\"\nheartbeat_timeout = \"20m\"\n\
                     [recovery]\nenabled = false\nstuck_after = \"1ms\"\n";

async fn with_account(folder: &Path) -> Result<Server> {
    let listening = LISTENING.replace("[[link]]", "[[link.each]]");
    let server = Server::start(folder, &Setup::with(&format!("{STILL}{listening}"))).await?;
    let account = json!({ "userId": "u-1", "providerId": "gitlab", "accessToken": "glpat-1",
                          "accessTokenExpiresAt": "2999-01-01T00:00:00Z" });
    server.admin(Method::PUT, "/api/admin/accounts/acc-1", Some(account)).await?.expect(201);
    Ok(server)
}

#[tokio::test]
async fn the_page_shows_real_sessions() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = with_account(folder.path()).await?;
    let envelope = envelope(server, folder.path()).await?;
    is_on_the_page("## A session in the envelope dialect", &envelope)?;
    let folder = tempfile::tempdir()?;
    let server = with_account(folder.path()).await?;
    let flat = flat(&server, folder.path()).await?;
    is_on_the_page("## A session in the flat dialect", &flat)
}

async fn envelope(server: Server, folder: &Path) -> Result<String> {
    let socket = folder.join("own.sock");
    let issues = json!({ "command": "issues", "fullPath": "grp/prj", "accountId": "acc-1", "payload": { "since": "2026" } });

    let mut session = Session::connect(&socket).await?;
    session.note("The server speaks first; the worker says who it is, and asks.");
    session.hear("register").await?;
    let introduction = |leases: &[&Value]| {
        let features = ["lease", "cancel", "reattach", "ack"];
        json!({ "workerId": "w-1", "protocol": 2, "features": features, "capacity": 3, "leases": leases })
    };
    session.say("message", "registered", introduction(&[])).await?;
    session.say("jobRequest", "request_jobs", json!({ "requestId": "r-1", "limit": 1 })).await?;
    assert_eq!(session.hear_jobs().await?.len(), 0);

    session.note("It asks again, and would wait. There is a job.");
    server.create(issues.clone()).await?;
    let request = json!({ "requestId": "r-2", "limit": 1, "wait": 30, "commands": ["issues"] });
    session.say("jobRequest", "request_jobs", request.clone()).await?;
    let job = session.hear_jobs().await?.pop().context("no job")?;

    session.note("It reports, and each report is receipted.");
    session.report(&job, json!({ "status": "started" })).await?;
    session.hear("ack").await?;
    let progress = json!({ "status": "processing", "timestamp": NOW, "processedItems": 40, "totalItems": 200,
                           "currentDataType": "issues", "resumeState": { "page": 3 } });
    session.report(&job, progress).await?;
    session.hear("ack").await?;
    let areas = json!([{ "fullPath": "grp/sub", "type": "group", "name": "Sub", "externalId": "7" }]);
    session.report(&job, json!({ "status": "new_areas_discovered", "areas": areas })).await?;
    session.hear("ack").await?;

    session.note("Its token ends while it works.");
    let ask = json!({ "requestId": "t-1", "providerId": "gitlab", "accountId": "acc-1", "userId": "u-1" });
    session.say("message", "TOKEN_REFRESH_REQUEST", ask).await?;
    session.hear("TOKEN_REFRESH_RESPONSE").await?;
    let ask = json!({ "requestId": "t-2", "providerId": "gitlab", "accountId": "acc-9" });
    session.say("message", "TOKEN_REFRESH_REQUEST", ask).await?;
    session.hear("TOKEN_REFRESH_RESPONSE").await?;

    session.note("The end, said twice because the first receipt might have been lost: it counts once.");
    let end = json!({ "status": "completed", "timestamp": NOW, "itemsByType": { "issues": 200 } });
    for _ in 0..2 {
        session.report(&job, end.clone()).await?;
        session.hear("ack").await?;
    }

    session.note("What cannot be read is said, and changes nothing.");
    session.report(&job, json!({ "status": "done" })).await?;
    session.hear("nack").await?;
    session.say("jobRequest", "request_jobs", json!({ "requestId": "r-5", "limit": "many" })).await?;
    session.hear("jobs_error").await?;

    session.note("Somebody asks for a discovery: it is pushed. It fails, and the log goes along.");
    let order = json!({ "accountId": "acc-1" });
    server.admin(Method::POST, "/api/jobs/discovery", Some(order)).await?.expect(201);
    let pushed = session.hear("START_JOB").await?;
    let pushed = json!({ "id": pushed["jobId"], "lease": pushed["lease"] });
    let logs = json!({ "jobId": pushed["id"], "taskType": "GROUP_PROJECT_DISCOVERY", "error": "HTTP 502",
                       "stackTrace": "at fetch (groups:12)", "context": { "page": 1 } });
    session.say("message", "JOB_FAILURE_LOGS", logs).await?;
    let failure =
        json!({ "status": "failed", "error": "HTTP 502", "errorType": "provider_error", "retryable": true });
    session.report(&pushed, failure).await?;
    session.hear("ack").await?;

    session.note("A person pauses it: it gets no more jobs, and keeps what it has.");
    server.admin(Method::POST, "/api/admin/workers/w-1/pause", None).await?.expect(200);
    session.hear("PAUSE_CRAWLER").await?;
    session.say("jobRequest", "request_jobs", json!({ "requestId": "r-3", "limit": 1 })).await?;
    assert_eq!(session.hear_jobs().await?.len(), 0);
    server.admin(Method::POST, "/api/admin/workers/w-1/resume", None).await?.expect(200);
    session.hear("RESUME_CRAWLER").await?;

    session.note("The database is away.");
    let (path, away) = (server.database(), folder.join("away.db"));
    std::fs::rename(&path, &away)?;
    session.shown.push((path.display().to_string(), "data/reclaimer.db".to_owned()));
    session.say("jobRequest", "request_jobs", json!({ "requestId": "r-4", "limit": 2 })).await?;
    session.hear("jobs_error").await?;
    std::fs::rename(&away, &path)?;
    until("the server to be ready again", async || {
        Ok((server.ask(Method::GET, "/readyz", None, None).await?.status == 200).then_some(()))
    })
    .await?;

    session.note("Two jobs. The first one is cancelled by a person.");
    server.create(issues.clone()).await?;
    server.create(issues).await?;
    session.say("jobRequest", "request_jobs", json!({ "limit": 2, "commands": ["issues"] })).await?;
    let mut jobs = session.hear_jobs().await?;
    let (held, cancelled) = (jobs.pop().context("no job")?, jobs.pop().context("no job")?);
    let path = format!("/api/admin/jobs/{}/cancel", cancelled["id"].as_str().context("no id")?);
    server.admin(Method::POST, &path, None).await?.expect(200);
    session.hear("CANCEL_JOB").await?;

    session.note("The connection breaks. On the next one the worker names what it still holds.");
    session.reconnect(&socket).await?;
    session.hear("register").await?;
    let leases = [&held["lease"]["token"], &cancelled["lease"]["token"]];
    session.say("message", "registered", introduction(&leases)).await?;
    session.hear("reattached").await?;
    session.hear("lost").await?;

    session.note(
        "It says nothing about the job for too long, and loses it. Its late word is refused, for good.",
    );
    until("the job to be taken back", async || {
        Ok((server.recover("stuck").await?["result"]["recoveredJobs"] == 1).then_some(()))
    })
    .await?;
    session.hear("LEASE_LOST").await?;
    session.report(&held, json!({ "status": "completed" })).await?;
    session.hear("nack").await?;

    session.note(
        "A worker that leaves in order says so and closes. What it holds goes back to the queue, at no cost.",
    );
    session.say("message", "shutdown", json!({ "reason": "a new version" })).await?;
    session.peer.half_close().await?;
    session.peer.closed().await?;

    session.note("A server that ends says so as well, to workers that introduced themselves.");
    session.reconnect(&socket).await?;
    session.hear("register").await?;
    session.say("message", "registered", introduction(&[])).await?;
    session.say("jobRequest", "request_jobs", json!({ "limit": 1, "commands": ["nothing"] })).await?;
    session.hear_jobs().await?;
    server.stop().await?;
    session.hear("SHUTDOWN").await?;
    session.peer.closed().await?;
    Ok(session.said)
}

async fn flat(server: &Server, folder: &Path) -> Result<String> {
    let mut session = Session::connect(&folder.join("flat.sock")).await?;
    session.note("The crawler beats and asks.");
    let beat = json!({ "activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle", "uptime": 12.5 });
    session.flat("heartbeat", None, beat).await?;
    session.flat("job_request", None, json!({})).await?;
    session.hear("job_response").await?;
    let one = async |session: &mut Session, order: Value| {
        server.create(order).await?;
        session.flat("job_request", None, json!({})).await?;
        session.hear("job_response").await?["jobs"][0]
            .as_object()
            .cloned()
            .map(Value::Object)
            .context("no job")
    };

    session.note("A discovery. Braces and letters beyond ASCII are escaped in what it gets.");
    let order = json!({ "command": "GROUP_PROJECT_DISCOVERY", "fullPath": "gr\u{fc}{p}", "accountId": "acc-1",
                        "payload": { "gitlabGraphQLUrl": "https://gitlab.example/api/graphql" } });
    let job = one(&mut session, order).await?;
    let about = json!({ "entityType": "areas", "entityId": "gr\u{fc}{p}" });
    session.flat("job_started", Some(&job), about).await?;
    let found = json!([{ "job_type": "crawl_project", "entity_id": "8", "namespace_path": "gr\u{fc}{p}/prj",
                         "entity_name": "Prj", "priority": 1 }]);
    let summary = json!({ "total_groups": 0, "total_projects": 1 });
    let found = json!({ "discovered_jobs": found, "discovery_summary": summary });
    session.flat("jobs_discovered", Some(&job), found).await?;
    let end = json!({ "success": true, "finalCounts": { "projects": 1 }, "message": "done" });
    session.flat("job_completed", Some(&job), end).await?;

    session.note("A job whose token ends on the way.");
    let order = json!({ "command": "commits", "fullPath": "grp/prj", "accountId": "acc-1", "priority": -1 });
    let job = one(&mut session, order).await?;
    let progress = json!({ "stage": "fetching", "entityType": "commit", "processed": 40, "total": 200,
                           "itemCounts": { "commits": 40 }, "resumeState": { "currentPage": 3 } });
    session.flat("job_progress", Some(&job), progress).await?;
    session.flat("token_refresh_request", Some(&job), json!({})).await?;
    session.hear("token_refresh_response").await?;
    let end = json!({ "error": "HTTP 404", "errorType": "Error", "isRecoverable": false });
    session.flat("job_failed", Some(&job), end).await?;

    session.note("A job without an account.");
    let job = one(&mut session, json!({ "command": "users", "priority": -1 })).await?;
    session.flat("token_refresh_request", Some(&job), json!({})).await?;
    session.hear("token_refresh_response").await?;
    let end = json!({ "error": "401 unauthorized", "errorType": "Error", "isRecoverable": false });
    session.flat("job_failed", Some(&job), end).await?;
    let id = job["id"].as_str().context("no id")?;
    server.becomes(id, "failed").await?;
    assert_eq!(server.job(id).await?["progress"]["errorType"], "credential_expired");
    Ok(session.said)
}
