//! The map of `docs/architecture.md`, checked against what Cargo sees.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/architecture.md");

/// What the page says that each crate may depend on: packages by package, `None` for all of them.
fn may_depend_on() -> Result<BTreeMap<String, Option<BTreeSet<String>>>> {
    let (_, table) =
        PAGE.split_once("| crate | may depend on | must not know |\n|---|---|---|\n").context("no table")?;
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, may, _] = cells[..] else { bail!("not three cells: {row}") };
        let may = match may {
            "all" => None,
            "nobody" => Some(BTreeSet::new()),
            names => Some(names.split(", ").map(package).collect::<Result<_>>()?),
        };
        Ok((package(name)?, may))
    })
    .collect()
}

/// The package of a crate as the page names it.
fn package(cell: &str) -> Result<String> {
    let name = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).context(cell.to_owned())?;
    Ok(if name == "bin/reclaimer" { "reclaimer".to_owned() } else { format!("reclaimer-{name}") })
}

/// What each of our crates depends on in its own code, of ours, as Cargo sees it.
fn depend_on() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let metadata = metadata()?;
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let path = package["manifest_path"].as_str().unwrap_or_default();
        if !path.contains("/crates/") && !path.contains("/bin/") {
            continue;
        }
        let ours = package["dependencies"]
            .as_array()
            .context("no dependencies")?
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("reclaimer"));
        let name = package["name"].as_str().context("no name")?;
        found.insert(name.to_owned(), ours.map(ToOwned::to_owned).collect());
    }
    Ok(found)
}

/// What the pure crates must not be able to reach, not even through others.
const NOT_IN_PURE: [&str; 6] = ["tokio", "diesel", "hyper", "axum", "reqwest", "tracing"];

fn metadata() -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_page_and_cargo_agree_on_who_depends_on_whom() -> Result<()> {
    let (may, does) = (may_depend_on()?, depend_on()?);
    assert_eq!(
        may.keys().collect::<Vec<_>>(),
        does.keys().collect::<Vec<_>>(),
        "the crates of the page, and Cargo's"
    );
    for (name, allowed) in may {
        // Who may depend on all cannot depend on too much.
        if let Some(allowed) = allowed {
            assert_eq!(does[&name], allowed, "{name}, and docs/architecture.md");
        }
    }
    Ok(())
}

#[test]
fn the_pure_crates_reach_no_runtime_and_no_io() -> Result<()> {
    // Both know the domain, and so their trees are the domain's and more.
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "reclaimer-policy",
            "-p",
            "reclaimer-health",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout)?;
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(!NOT_IN_PURE.contains(&name), "the pure crates reach {name}");
    }
    Ok(())
}
