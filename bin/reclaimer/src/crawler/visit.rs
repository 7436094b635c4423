//! Visiting a page, a folder or a file, and what is found there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use scraper::{Html, Selector};
use serde_json::{Value, json};
use url::Url;

use super::{FILE, FOLDER, PAGE};

/// A page larger than this is not looked through.
const LARGEST_PAGE: usize = 4 * 1_024 * 1_024;

/// What a visit came to.
#[derive(Debug, PartialEq)]
pub(super) struct Visited {
    /// Bytes read, or entries listed.
    pub(super) items: u64,
    /// What was found.
    pub(super) areas: Vec<Value>,
}

/// Visits what a job names.
pub(super) async fn visit(client: &Client, job: &Value) -> Result<Visited> {
    let path = job["fullPath"].as_str().context("the job names no path")?;
    let root = job["payload"]["root"].as_str().context("the job's payload names no root")?;
    match job["command"].as_str() {
        Some(PAGE) => page(client, root, path).await,
        Some(FOLDER) => {
            let (root, path) = (PathBuf::from(root), path.to_owned());
            tokio::task::spawn_blocking(move || folder(&root, &path)).await?
        }
        Some(FILE) => {
            let file = inside(Path::new(root), path)?;
            let read = tokio::task::spawn_blocking(move || {
                let mut file = std::fs::File::open(&file).with_context(|| format!("{}", file.display()))?;
                Ok::<u64, anyhow::Error>(std::io::copy(&mut file, &mut std::io::sink())?)
            });
            Ok(Visited { items: read.await??, areas: Vec::new() })
        }
        other => bail!("a crawler does not know the command {other:?}"),
    }
}

async fn page(client: &Client, root: &str, path: &str) -> Result<Visited> {
    let root: Url = root.parse().context("the root is no URL")?;
    let url = root.join(path)?;
    let answer = client.get(url.clone()).send().await?;
    if answer.status().is_client_error() {
        // A link that leads nowhere is something found out, and trying again would not change it.
        return Ok(Visited { items: 0, areas: Vec::new() });
    }
    let answer = answer.error_for_status()?;
    let is_page = answer
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    let bytes = answer.bytes().await?;
    let areas = if is_page && bytes.len() <= LARGEST_PAGE {
        links(&String::from_utf8_lossy(&bytes), &url, &root)
    } else {
        Vec::new()
    };
    Ok(Visited { items: bytes.len() as u64, areas })
}

/// The pages of the same site, at or below the root's folder, that a page links to; each as an area.
fn links(text: &str, page: &Url, root: &Url) -> Vec<Value> {
    let Ok(anchors) = Selector::parse("a[href]") else { return Vec::new() };
    let below = root.join(".").unwrap_or_else(|_| root.clone());
    let document = Html::parse_document(text);
    let paths: BTreeSet<String> = document
        .select(&anchors)
        .filter_map(|anchor| page.join(anchor.value().attr("href")?).ok())
        .filter(|link| link.origin() == root.origin() && link.path().starts_with(below.path()))
        .map(|link| link[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
        .collect();
    paths.into_iter().map(|path| json!({ "fullPath": path, "type": "project" })).collect()
}

fn folder(root: &Path, path: &str) -> Result<Visited> {
    let folder = inside(root, path)?;
    let mut areas = Vec::new();
    for entry in walkdir::WalkDir::new(&folder).min_depth(1).max_depth(1).sort_by_file_name() {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str() else { continue };
        let found = Path::new(path).join(name);
        let Some(found) = found.to_str() else { continue };
        // Links are left alone: they may lead out of the tree, or round in it.
        if entry.file_type().is_dir() {
            areas.push(json!({ "fullPath": found, "type": "group", "name": name }));
        } else if entry.file_type().is_file() {
            areas.push(json!({ "fullPath": found, "type": "project", "name": name }));
        }
    }
    Ok(Visited { items: areas.len() as u64, areas })
}

/// A path of a job below the root, and never beside it.
fn inside(root: &Path, path: &str) -> Result<PathBuf> {
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    ensure!(plain, "`{path}` leads out of {}", root.display());
    Ok(root.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_same_site_are_found_once_each() {
        let root: Url = "http://h:1/docs/".parse().unwrap();
        let page = root.join("a/b").unwrap();
        let text =
            "<a href='c'>1</a><a href='c#part'>2</a><a href='/docs/d?x=1'>3</a><a href='../../other'>4</a>
                    <a href='http://elsewhere/'>5</a><a>6</a><a href='mailto:x@y'>7</a><a href='../'>8</a>";
        let found: Vec<Value> = links(text, &page, &root);
        let paths: Vec<&str> = found.iter().filter_map(|area| area["fullPath"].as_str()).collect();
        assert_eq!(paths, ["/docs/", "/docs/a/c", "/docs/d?x=1"]);
    }

    #[test]
    fn a_folder_lists_what_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        std::fs::write(root.path().join("sub/file"), "x").unwrap();
        std::os::unix::fs::symlink("/", root.path().join("sub/away")).unwrap();
        let visited = folder(root.path(), "sub").unwrap();
        assert_eq!(visited.areas, [json!({ "fullPath": "sub/file", "type": "project", "name": "file" })]);
        let top = folder(root.path(), ".").unwrap();
        assert_eq!(top.areas, [json!({ "fullPath": "./sub", "type": "group", "name": "sub" })]);
    }

    #[test]
    fn no_path_leads_out_of_the_tree() {
        assert!(inside(Path::new("/root"), "a/../../etc").is_err());
        assert!(inside(Path::new("/root"), "/etc/passwd").is_err());
        assert_eq!(inside(Path::new("/root"), "./a").unwrap(), Path::new("/root/./a"));
    }
}
