//! What people do by hand says what it does: which counters begin again, and which jobs it is not for.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, reclaimer};

const CONFIG: &str = "[recovery]\nenabled = false\n";

/// Fails one attempt of a job of this command, which is quarantined by it when it may fail no more.
async fn fail(server: &Server, command: &str, attempts: u32) -> Result<String> {
    let id = server.create(json!({ "command": command, "maxAttempts": attempts })).await?;
    let path = format!("/api/internal/jobs/open?workerId=w&command={command}");
    let jobs = server.worker(Method::GET, &path, None).await?.expect(200);
    server.report(&jobs[0], "failed", json!({ "error": "e" })).await?.expect(200);
    Ok(id)
}

#[tokio::test]
async fn a_retry_and_a_release_say_which_counters_begin_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::with(CONFIG)).await?;
    let failed = fail(&server, "A", 5).await?;
    let path = |id: &str, action: &str| format!("/api/admin/jobs/{id}/{action}");

    let wrong = json!({ "reset": ["attempts", "tries"] });
    let refused = server.admin(Method::POST, &path(&failed, "retry"), Some(wrong)).await?.expect(400);
    let detail = refused["detail"].as_str().unwrap_or_default();
    for word in ["tries", "attempts", "lease_losses", "recoveries"] {
        assert!(detail.contains(word), "{detail}");
    }
    let kept = json!({ "reset": [] });
    let job = server.admin(Method::POST, &path(&failed, "retry"), Some(kept)).await?.expect(200);
    assert_eq!((&job["status"], &job["attempt"], &job["reset"]), (&json!("queued"), &json!(1), &json!({})));

    let set_aside = fail(&server, "B", 1).await?;
    let job = server.admin(Method::POST, &path(&set_aside, "release"), None).await?.expect(200);
    assert_eq!(job["reset"], json!({ "lease_losses": 0, "recoveries": 0 }), "the default of a release");
    assert_eq!(job["attempt"], 1, "it gets one more attempt");
    let said = &server.events(&set_aside).await?[4];
    assert_eq!((&said["kind"], &said["detail"]["reset"]), (&json!("unquarantined"), &job["reset"]));

    let other = fail(&server, "C", 1).await?;
    let said = reclaimer(at, &[], &["jobs", "release", &other, "--reset", "attempts"]).await?.expect(0);
    assert!(said.contains("attempts 1 → 0"), "{said}");
    let wrong = reclaimer(at, &[], &["jobs", "retry", &other, "--reset", "tries"]).await?.complaint(2);
    assert!(wrong.contains("`attempts`, `lease_losses`, `recoveries`"), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn a_bulk_action_counts_before_it_acts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::with(CONFIG)).await?;
    for command in ["A", "B", "C"] {
        fail(&server, command, 5).await?;
    }
    server.create(json!({ "command": "WAITS" })).await?;

    let ask = async |order: Value| server.admin(Method::POST, "/api/admin/jobs/bulk", Some(order)).await;
    let order = json!({ "action": "retry", "filter": {}, "limit": 2, "dryRun": true });
    let dry = ask(order.clone()).await?.expect(200);
    assert_eq!((&dry["eligible"], &dry["ineligible"], &dry["done"]), (&json!(3), &json!(1), &json!(0)));
    let reasons = json!([{ "status": "queued", "count": 1, "reason": "only failed jobs can be retried" }]);
    assert_eq!((&dry["reasons"], &dry["more"]), (&reasons, &json!(true)));
    assert_eq!(dry["items"][0]["reset"]["attempts"], 1);

    let mut real = order;
    real["dryRun"] = json!(false);
    let mut wet = ask(real).await?.expect(200);
    assert_eq!(wet["done"], 2);
    (wet["done"], wet["dryRun"]) = (json!(0), json!(true));
    assert_eq!(wet, dry, "but for what was done");

    let wrong = json!({ "action": "cancel", "filter": {}, "reset": ["attempts"] });
    let refused = ask(wrong).await?.expect(400);
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("`reset`")), "{refused}");

    let words = ["jobs", "bulk", "retry", "--status", "failed", "--dry-run"];
    let said = reclaimer(at, &[], &words).await?.expect(0);
    assert!(said.contains("1 eligible, 0 not, 0 done") && said.contains("would be done"), "{said}");
    let said = reclaimer(at, &[], &["jobs", "bulk", "cancel", "--all", "--json"]).await?.json(0)?;
    assert_eq!((&said["done"], &said["ineligible"]), (&json!(4), &json!(0)));
    reclaimer(at, &[], &["jobs", "bulk", "cancel"]).await?.complaint(2);
    Ok(())
}
