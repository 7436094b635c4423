//! The map of `docs/architecture.md`, checked against what Cargo sees.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Which of our crates each of them may use in its own code.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("reclaimer-domain", &[]),
    ("reclaimer-persistence", &["reclaimer-domain"]),
    ("reclaimer-provisioning", &["reclaimer-domain"]),
    ("reclaimer-recovery", &["reclaimer-domain"]),
    ("reclaimer-oauth", &["reclaimer-domain"]),
    ("reclaimer-breaker", &[]),
    ("reclaimer-messaging", &["reclaimer-breaker", "reclaimer-domain", "reclaimer-provisioning"]),
    ("reclaimer-supervisor", &[]),
    ("reclaimer-server", &["reclaimer-domain", "reclaimer-provisioning", "reclaimer-recovery"]),
    ("reclaimer-testkit", &["reclaimer-domain"]),
    (
        "reclaimer",
        &[
            "reclaimer-breaker",
            "reclaimer-domain",
            "reclaimer-messaging",
            "reclaimer-oauth",
            "reclaimer-persistence",
            "reclaimer-provisioning",
            "reclaimer-recovery",
            "reclaimer-server",
            "reclaimer-supervisor",
        ],
    ),
];

/// What the pure crate must not be able to reach, not even through others.
const NOT_IN_DOMAIN: [&str; 6] = ["tokio", "diesel", "hyper", "axum", "reqwest", "tracing"];

fn metadata() -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn dependencies_point_one_way() -> Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    for package in packages {
        let name = package["name"].as_str().context("no name")?;
        let Some(allowed) = allowed.get(name) else { continue };
        let ours: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .context("no dependencies")?
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("reclaimer"))
            .collect();
        let expected: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(ours.is_subset(&expected), "{name} uses {ours:?}, and may use {expected:?}");
    }
    Ok(())
}

#[test]
fn the_domain_reaches_no_runtime_and_no_io() -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "reclaimer-domain", "-e", "normal", "--prefix", "none", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout)?;
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(!NOT_IN_DOMAIN.contains(&name), "the domain reaches {name}");
    }
    Ok(())
}

#[test]
fn every_crate_of_the_map_is_in_the_document() -> Result<()> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/architecture.md"))?;
    for (name, _) in MAY_USE {
        let folder = name.strip_prefix("reclaimer-").unwrap_or("bin/reclaimer");
        assert!(page.contains(&format!("`{folder}`")), "{folder} is missing in docs/architecture.md");
    }
    Ok(())
}

#[test]
fn no_folder_of_crates_is_missing_from_the_map() -> Result<()> {
    let metadata = metadata()?;
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for package in metadata["packages"].as_array().context("no packages")? {
        let path = package["manifest_path"].as_str().unwrap_or_default();
        if path.contains("/crates/") || path.contains("/bin/") {
            let name = package["name"].as_str().unwrap_or_default();
            assert!(known.contains(name), "{name} is not in the map");
        }
    }
    Ok(())
}
