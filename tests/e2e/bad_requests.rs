//! Malformed, oversized, unknown-field and wrong-type requests to every endpoint of the description.

use anyhow::{Context, Result};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::rig::{Answer, Server, Setup, query};

/// An endpoint of the description.
struct Endpoint {
    method: Method,
    path: String,
    has_body: bool,
    /// How many fields the object in its body has.
    fields: usize,
}

/// Every endpoint that the server's own description names, with ids put in.
async fn endpoints(server: &Server) -> Result<Vec<Endpoint>> {
    let description = server.ask(Method::GET, "/openapi.json", None, None).await?.expect(200);
    let paths = description["paths"].as_object().context("no paths")?;
    let mut endpoints = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().context("no methods")? {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let path = path
                .replace("{id}", "01JGR0000000000000000000AA")
                .replace("{queue}", "default")
                .replace("{number}", "1");
            let body = operation.get("requestBody");
            let fields = body.map_or(0, |body| fields(&description, body));
            endpoints.push(Endpoint { method, path, has_body: body.is_some(), fields });
        }
    }
    assert!(endpoints.len() > 20, "the description names {} endpoints", endpoints.len());
    Ok(endpoints)
}

/// How many fields the schema of a body has, wherever it is described.
fn fields(description: &Value, body: &Value) -> usize {
    let schema = body.to_string();
    let names = schema.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    let properties = names.map(|name| &description["components"]["schemas"][name]["properties"]);
    properties.filter_map(|properties| Some(properties.as_object()?.len())).max().unwrap_or(0)
}

/// The answer is a problem document, and its detail names the fault.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, names: &[&str], what: &str) {
    assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.body);
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(kind, "application/problem+json", "{what}: {}", answer.body);
    for key in ["type", "title", "status", "detail", "code", "requestId"] {
        assert!(!answer.body[key].is_null(), "{what}: no `{key}` in {}", answer.body);
    }
    assert_eq!(answer.body["requestId"].as_str(), answer.headers["x-request-id"].to_str().ok(), "{what}");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!(names.iter().any(|name| detail.contains(name)), "{what}: {names:?} is not named in: {detail}");
}

const EVERYTHING: &str = "SELECT * FROM job; SELECT * FROM job_event; SELECT * FROM account; SELECT * FROM queue; \
                          SELECT * FROM area; SELECT * FROM recovery_run;";

#[tokio::test]
async fn every_endpoint_names_the_fault_and_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    server.create(json!({ "command": "X" })).await?;
    let before = query(&server.database(), EVERYTHING)?;

    for Endpoint { method, path, has_body, fields } in endpoints(&server).await? {
        let what = format!("{method} {path}");
        let open = matches!(path.as_str(), "/healthz" | "/readyz" | "/openapi.json");
        let plain = || server.request(method.clone(), &path).bearer_auth(&server.admin);
        let json = |body: String| plain().header(CONTENT_TYPE, "application/json").body(body);
        if !open {
            let answer = server.ask(method.clone(), &path, None, None).await?;
            assert_problem(&answer, 401, &["token"], &format!("{what} without a token"));
            let answer = server.ask(method.clone(), &path, Some("wrong"), None).await?;
            assert_problem(&answer, 401, &["token"], &format!("{what} with a wrong token"));
        }
        if path.starts_with("/api/admin") {
            let answer = server.ask(method.clone(), &path, Some(&server.worker), None).await?;
            assert_problem(&answer, 403, &["admin"], &format!("{what} as a worker"));
        }
        let answer = server.send(plain().query(&[("frobnicate", "1")])).await?;
        if !has_body {
            assert_problem(&answer, 400, &["frobnicate"], &format!("{what} with an unknown parameter"));
        }
        if !has_body {
            continue;
        }
        let large = format!("{{\"x\": \"{}\"}}", "y".repeat(1_100_000));
        assert_problem(&server.send(json(large)).await?, 413, &["1"], &format!("{what} oversized"));
        let answer = server.send(json("{\"a\": tru".to_owned())).await?;
        assert_problem(&answer, 400, &["line 1"], &format!("{what} malformed"));
        let answer = server.send(plain().header(CONTENT_TYPE, "text/plain").body("x")).await?;
        assert_problem(&answer, 415, &["application/json"], &format!("{what} as text"));
        let answer = server.send(json("\"text\"".to_owned())).await?;
        assert_problem(&answer, 400, &["object"], &format!("{what} of a wrong type"));
        if path != "/api/internal/jobs/progress" {
            let answer = server.send(json("{\"frobnicate\": 1}".to_owned())).await?;
            assert_problem(&answer, 400, &["frobnicate"], &format!("{what} with an unknown field"));
        }
        // Where an object is asked for, a list of its fields' values is none; some take a list of objects.
        let many = matches!(path.as_str(), "/api/jobs" | "/api/internal/jobs/progress");
        for length in [0, fields].into_iter().filter(|_| !many) {
            let answer = server.send(json(json!(vec![Value::Null; length]).to_string())).await?;
            assert_problem(&answer, 400, &["object"], &format!("{what} of a list of {length}"));
        }
    }
    assert_eq!(query(&server.database(), EVERYTHING)?, before, "nothing changed");
    Ok(())
}

#[tokio::test]
async fn a_list_of_values_is_no_object() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    server.create(json!({ "command": "X" })).await?;
    let before = query(&server.database(), EVERYTHING)?;
    let none = Value::Null;
    let filter = json!(["queued", none, none, none, none, none]);
    let job = json!(["X", "default", none, none, {}, 0, none, 5, none, none, none]);
    for (path, body) in [
        ("/api/admin/jobs/bulk", json!([filter, "cancel", 100, false])),
        ("/api/admin/jobs/bulk", json!([{ "status": "queued" }, "cancel", 100, false])),
        ("/api/admin/jobs/bulk", json!({ "filter": filter, "action": "cancel" })),
        ("/api/jobs", json!([job])),
        ("/api/jobs/discovery", json!(["a", none, none, none])),
        ("/api/internal/jobs/heartbeat", json!(["w", []])),
        ("/api/internal/jobs/release", json!(["w", [], none, none])),
        ("/api/internal/refresh-token", json!(["p", "a", "u"])),
        ("/api/admin/jobs/recovery", json!(["comprehensive", true])),
    ] {
        let answer = server.admin(Method::POST, path, Some(body.clone())).await?;
        assert_problem(&answer, 400, &["object"], &format!("{path} {body}"));
    }
    let account = json!(["u", "p", none, none, none, none]);
    let answer = server.admin(Method::PUT, "/api/admin/accounts/a", Some(account)).await?;
    assert_problem(&answer, 400, &["object"], "an account");
    assert_eq!(query(&server.database(), EVERYTHING)?, before, "nothing changed");
    Ok(())
}

#[tokio::test]
async fn wrong_values_are_named_with_their_place() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let before = query(&server.database(), EVERYTHING)?;
    let post = |path: &'static str, body: Value| {
        let server = &server;
        async move { server.admin(Method::POST, path, Some(body)).await }
    };
    let cases = [
        ("/api/jobs", json!({}), 400, "command"),
        ("/api/jobs", json!({ "command": "" }), 400, "command"),
        ("/api/jobs", json!({ "command": 7 }), 400, "command"),
        ("/api/jobs", json!({ "command": "X", "priority": 99 }), 400, "priority"),
        ("/api/jobs", json!({ "command": "X", "runAt": "soon" }), 400, "runAt"),
        ("/api/jobs", json!({ "command": "X", "maxAttempts": 0 }), 400, "maxAttempts"),
        ("/api/jobs", json!({ "command": "X", "accountId": "nobody" }), 422, "nobody"),
        ("/api/jobs", json!({ "command": "X", "spawnedFrom": "nothing" }), 422, "nothing"),
        ("/api/jobs", json!([{ "command": "X" }, { "command": "X", "priority": "high" }]), 400, "1"),
        ("/api/jobs", json!([{ "command": "X" }, { "command": "X", "timeoutSeconds": 0 }]), 400, "1"),
        ("/api/jobs/discovery", json!({ "accountId": "nobody" }), 422, "nobody"),
        ("/api/admin/jobs/recovery", json!({ "type": "all" }), 400, "comprehensive"),
        ("/api/admin/jobs/bulk", json!({ "filter": {}, "action": "explode" }), 400, "explode"),
        ("/api/internal/jobs/heartbeat", json!({ "leases": "x" }), 400, "leases"),
        ("/api/internal/jobs/release", json!({ "leases": [7] }), 400, "leases"),
        ("/api/internal/jobs/progress", json!({ "taskId": id, "lease": "x", "status": "done" }), 400, "done"),
        ("/api/internal/jobs/progress", json!({ "taskId": id, "status": "completed" }), 400, "lease"),
        (
            "/api/internal/jobs/progress",
            json!({ "taskId": "none", "lease": "x", "status": "completed" }),
            404,
            "none",
        ),
    ];
    for (path, body, status, name) in cases {
        let answer = post(path, body.clone()).await?;
        assert_problem(&answer, status, &[name], &format!("{path} {body}"));
    }
    let gets = [
        ("/api/jobs?limit=0", 400, "limit"),
        ("/api/jobs?limit=many", 400, "limit"),
        ("/api/jobs?status=exploded", 400, "exploded"),
        ("/api/jobs?cursor=%00", 400, "cursor"),
        ("/api/jobs/none", 404, "none"),
        ("/api/jobs/none/events", 404, "none"),
        ("/api/internal/jobs/open?limit=101", 400, "limit"),
        ("/api/internal/jobs/open?wait=61", 400, "wait"),
        ("/api/internal/jobs/open?workerId=a%20b", 400, "workerId"),
        ("/api/nothing", 404, "/api/nothing"),
    ];
    for (path, status, name) in gets {
        let answer = server.admin(Method::GET, path, None).await?;
        assert_problem(&answer, status, &[name], path);
    }
    let answer = server.admin(Method::DELETE, "/api/jobs", None).await?;
    assert_problem(&answer, 405, &["DELETE"], "DELETE /api/jobs");
    let foreign =
        server.request(Method::GET, "/api/jobs").bearer_auth(&server.admin).header("host", "evil.example");
    assert_problem(&server.send(foreign).await?, 421, &["evil.example"], "a foreign host");
    // The one thing that a stale report leaves is an event; none of these was one.
    assert_eq!(query(&server.database(), EVERYTHING)?, before, "nothing changed");
    Ok(())
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_said_to_be_that() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let order = |levels| format!("{{\"command\": \"X\", \"payload\": {}}}", nested(levels));
    let post = |path: &'static str, body: String| {
        let request = server.request(Method::POST, path).bearer_auth(&server.admin);
        server.send(request.header(CONTENT_TYPE, "application/json").body(body))
    };
    post("/api/jobs", order(64)).await?.expect(201);
    assert!(server.open("w", 1, 0).await?[0]["payload"].is_array(), "a worker gets it");
    let before = query(&server.database(), EVERYTHING)?;
    let discovery = |levels| format!("{{\"accountId\": \"a\", \"payload\": {}}}", nested(levels));
    let report = |levels| format!("{{\"taskId\": \"J\", \"x\": {}}}", nested(levels));
    for levels in [65, 200] {
        for (path, body) in [
            ("/api/jobs", order(levels)),
            ("/api/jobs", format!("[{}]", order(levels))),
            ("/api/jobs/discovery", discovery(levels)),
            ("/api/internal/jobs/progress", report(levels)),
        ] {
            let answer = post(path, body).await?;
            assert_problem(&answer, 400, &["nested too deeply"], &format!("{path}, {levels} levels"));
            assert_ne!(answer.body["code"], "malformed_json", "{}", answer.body);
        }
    }
    assert_eq!(query(&server.database(), EVERYTHING)?, before, "nothing changed");
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_what_is_allowed_in_the_fields_own_words() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let timestamp = "an RFC 3339 timestamp, e.g. 2026-01-05T14:20:00Z";
    let priority = "a whole number from -20 (soonest) to 19";
    let statuses = "a status is one of `queued`, `running`";
    let order = |field: &str, value: Value| json!({ "command": "X", field: value });
    let bulk = |field: &str, value: Value| {
        let mut request = json!({ "filter": {}, "action": "cancel" });
        request[field] = value;
        request
    };
    for (path, body, said) in [
        ("/api/jobs", order("runAt", json!("soon")), timestamp),
        ("/api/jobs", order("runAt", json!(5)), timestamp),
        ("/api/jobs", order("priority", json!("high")), priority),
        ("/api/jobs", order("priority", json!(99)), priority),
        ("/api/jobs", order("priority", json!(1.5)), priority),
        ("/api/jobs", order("maxAttempts", json!(-1)), "a whole number from 1 to 10000"),
        ("/api/jobs", order("maxAttempts", json!(0)), "a whole number from 1 to 10000"),
        ("/api/jobs", order("timeoutSeconds", json!("1")), "a whole number from 1 to 31536000"),
        ("/api/jobs", order("fullPath", json!("")), "fullPath takes 1 to"),
        ("/api/admin/jobs/recovery", json!("x"), "an object with `type`, `dryRun`"),
        ("/api/admin/jobs/bulk", bulk("filter", json!({ "status": "x" })), statuses),
        ("/api/admin/jobs/bulk", bulk("filter", json!({ "status": ["queued", "x"] })), statuses),
        ("/api/admin/jobs/bulk", bulk("filter", json!({ "status": 7 })), "a status or a list of them"),
        ("/api/admin/jobs/bulk", bulk("limit", json!(-1)), "a whole number from 1 to 1000"),
        (
            "/api/internal/jobs/release",
            json!({ "leases": [], "delaySeconds": -1 }),
            "a whole number from 0 to 86400",
        ),
    ] {
        let answer = server.admin(Method::POST, path, Some(body.clone())).await?;
        assert_problem(&answer, 400, &[said], &format!("{path} {body}"));
        assert!(!answer.body["detail"].to_string().contains("job 0"), "there is one job: {}", answer.body);
    }
    for body in [order("accountId", json!("none")), order("spawnedFrom", json!("none"))] {
        let refused = server.admin(Method::POST, "/api/jobs", Some(body)).await?.expect(422);
        assert!(!refused["detail"].to_string().contains("job 0"), "there is one job: {refused}");
    }
    for field in ["accessTokenExpiresAt", "refreshTokenExpiresAt"] {
        let account = json!({ "userId": "u", "providerId": "p", field: "never" });
        let answer = server.admin(Method::PUT, "/api/admin/accounts/a", Some(account)).await?;
        assert_problem(&answer, 400, &[timestamp], field);
    }
    for (path, said) in [
        ("/api/jobs?limit=-1", "`limit`: a whole number from 1 to 500, got `-1`"),
        ("/api/jobs?limit=many", "`limit`: a whole number from 1 to 500, got `many`"),
        ("/api/jobs/J/events?limit=501", "`limit`: a whole number from 1 to 500, got `501`"),
        ("/api/admin/accounts?limit=", "`limit`: a whole number from 1 to 500, got ``"),
        ("/api/internal/jobs/open?limit=-1", "`limit`: a whole number from 1 to 100, got `-1`"),
        ("/api/internal/jobs/open?wait=long", "`wait`: a number of seconds from 0 to 60, got `long`"),
        ("/api/internal/jobs/open?wait=NaN", "`wait`: a number of seconds from 0 to 60, got `NaN`"),
        ("/api/internal/jobs/open?peek=1", "`peek`: true or false, got `1`"),
    ] {
        let answer = server.admin(Method::GET, path, None).await?;
        assert_problem(&answer, 400, &[said], path);
    }
    Ok(())
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    for body in [
        r#"{"command": "X", "command": "Y"}"#,
        r#"[{"command": "X"}, {"command": "X", "payload": {"n": [{"a": 1, "a": 2}]}}]"#,
    ] {
        let request = server.request(Method::POST, "/api/jobs").bearer_auth(&server.admin);
        let answer = server.send(request.header(CONTENT_TYPE, "application/json").body(body)).await?;
        assert_problem(&answer, 400, &["`command` is there twice", "`a` is there twice"], body);
    }
    assert_eq!(query(&server.database(), "SELECT count(*) FROM job")?, ["0"]);
    Ok(())
}

#[tokio::test]
async fn an_unknown_parameter_of_the_description_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let answer = server.ask(Method::GET, "/openapi.json?frobnicate=1", None, None).await?;
    assert_problem(&answer, 400, &["frobnicate"], "/openapi.json");
    Ok(())
}

#[tokio::test]
async fn an_empty_text_is_refused_before_it_means_every_job() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let order = json!({ "action": "cancel", "filter": { "text": " " } });
    let refused = server.admin(Method::POST, "/api/admin/jobs/bulk", Some(order)).await?.expect(400);
    assert!(
        refused["detail"].as_str().is_some_and(|detail| detail.contains("must not be empty")),
        "{refused}"
    );
    server.admin(Method::GET, "/api/jobs?text=", None).await?.expect(400);
    assert_eq!(server.job(&id).await?["status"], "queued");
    Ok(())
}
