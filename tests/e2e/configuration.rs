//! Settings: where they come from, and what stops a start.

use anyhow::Result;
use serde_json::json;

use crate::rig::{Server, Setup, reclaimer};

#[tokio::test]
async fn the_effective_settings_name_their_sources_and_hide_secrets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = "[recovery]\ninterval = \"10m\"\n[[oauth.provider]]\nid = \"gitlab\"\n\
                token_url = \"https://gitlab.example/oauth/token\"\nclient_id = \"us\"\nclient_secret = \"sesame\"\n";
    std::fs::write(folder.path().join("reclaimer.toml"), file)?;
    let variables = [("RECLAIMER_RECOVERY__BATCH_SIZE", "7")];
    let words = ["config", "--json", "--data", "elsewhere"];
    let settings = reclaimer(folder.path(), &variables, &words).await?.json(0)?;
    let one = |key: &str| {
        let found = settings.as_array().into_iter().flatten().find(|one| one["key"] == key);
        found.map(|one| (one["value"].clone(), one["source"].clone()))
    };
    assert_eq!(one("recovery.interval"), Some((json!("10m"), json!("reclaimer.toml:2"))));
    let environment = json!("environment RECLAIMER_RECOVERY__BATCH_SIZE");
    assert_eq!(one("recovery.batch_size"), Some((json!("7"), environment)));
    assert_eq!(one("server.data_dir"), Some((json!("elsewhere"), json!("--data"))));
    assert_eq!(one("recovery.spread"), Some((json!("10s"), json!("default"))));
    assert_eq!(one("database.url"), Some((json!("sqlite://elsewhere/reclaimer.db"), json!("default"))));
    assert!(!settings.to_string().contains("sesame"), "{settings}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_with_its_place() -> Result<()> {
    for (file, said) in [
        (
            "[server]\nlistne = \"127.0.0.1:0\"\n",
            "reclaimer.toml:2: unknown key `server.listne`; did you mean `server.listen`?",
        ),
        (
            "[server]\nlisten = \"localhost\"\n",
            "reclaimer.toml:2: `server.listen`: `localhost` is no address",
        ),
        ("[database]\nurl = \"mysql://x\"\n", "reclaimer.toml:2: `database.url`: sqlite://PATH"),
        ("[auth]\nadmin_token_sha256 = \"abc\"\n", "64 hexadecimal digits"),
        ("[recovery\n", "reclaimer.toml:1: "),
    ] {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("reclaimer.toml"), file)?;
        let complaint = reclaimer(folder.path(), &[], &["serve"]).await?.complaint(1);
        assert!(complaint.contains(said), "{complaint}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
    let folder = tempfile::tempdir()?;
    let complaint = reclaimer(folder.path(), &[], &["serve", "--config", "none.toml"]).await?.complaint(1);
    assert!(complaint.contains("cannot read none.toml"), "{complaint}");
    Ok(())
}

#[tokio::test]
async fn tokens_of_ones_own_replace_the_made_ones() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // printf mine | sha256sum
    let digest = "3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff";
    let config = format!("[auth]\nadmin_token_sha256 = [\"{}\", \"{digest}\"]\n", "0".repeat(64));
    let server =
        Server::start(folder.path(), &Setup { own_admin_token: true, ..Setup::with(&config) }).await?;
    server.ask(reqwest::Method::GET, "/api/admin/queues", Some("mine"), None).await?.expect(200);
    server.ask(reqwest::Method::GET, "/api/admin/queues", Some("other"), None).await?.expect(401);
    server.ask(reqwest::Method::GET, "/api/admin/queues", Some(&server.worker), None).await?.expect(403);
    assert!(!server.data.join("admin.token").exists());
    Ok(())
}

#[tokio::test]
async fn two_servers_never_share_a_data_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let words = ["serve", "--data", "data", "--listen", "127.0.0.1:0"];
    let complaint = reclaimer(folder.path(), &[], &words).await?.complaint(1);
    assert!(complaint.contains("another server (process "), "{complaint}");
    server.create(json!({ "command": "X" })).await?;
    Ok(())
}
