//! The documentation, served by the server itself under `/docs/`: the pages of this repository, one page per endpoint,
//! one per command. It is also what the demo crawls.

mod markdown;
mod pages;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// One page.
#[derive(Debug)]
struct Page {
    title: String,
    body: String,
}

/// All pages by their path below `/docs/`; the index has the empty path.
type Site = BTreeMap<String, Page>;

/// The routes of the documentation.
pub(crate) fn router() -> axum::Router {
    let site: Arc<Site> = Arc::new(pages::all());
    axum::Router::new().route("/docs/", get(index)).route("/docs/{*path}", get(page)).with_state(site)
}

/// Where the documentation begins.
pub(crate) const ROOT: &str = "/docs/";

async fn index(State(site): State<Arc<Site>>) -> Response {
    show(&site, "")
}

async fn page(State(site): State<Arc<Site>>, Path(path): Path<String>) -> Response {
    show(&site, &path)
}

fn show(site: &Site, path: &str) -> Response {
    let (status, text) = match site.get(path) {
        Some(page) => (StatusCode::OK, layout(page)),
        None => (StatusCode::NOT_FOUND, layout(&missing())),
    };
    let mut answer = (status, text.into_string()).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    );
    answer
}

fn missing() -> Page {
    Page {
        title: "No such page".to_owned(),
        body: "<p>See the <a href=\"/docs/\">contents</a>.</p>".to_owned(),
    }
}

fn layout(page: &Page) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (page.title) " – Reclaimer" }
            }
            body {
                nav { a href="/docs/" { "Reclaimer documentation" } }
                main {
                    h1 { (page.title) }
                    (PreEscaped(&page.body))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_within_the_site_leads_to_a_page() {
        let site = pages::all();
        assert!(site.len() > 60, "{} pages", site.len());
        for (path, page) in &site {
            for link in page.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let link = link.split('#').next().unwrap_or_default();
                if let Some(target) = link.strip_prefix("/docs/") {
                    assert!(site.contains_key(target), "`{path}` links to `{target}`, which is no page");
                }
            }
        }
    }

    #[test]
    fn every_page_can_be_reached_from_the_index() {
        let site = pages::all();
        let mut reached = std::collections::BTreeSet::from([String::new()]);
        let mut next = vec![String::new()];
        while let Some(path) = next.pop() {
            for link in
                site[&path].body.split("href=\"/docs/").skip(1).filter_map(|rest| rest.split('"').next())
            {
                let link = link.split('#').next().unwrap_or_default().to_owned();
                if reached.insert(link.clone()) {
                    next.push(link);
                }
            }
        }
        let unreached: Vec<&String> = site.keys().filter(|path| !reached.contains(*path)).collect();
        assert!(unreached.is_empty(), "{unreached:?}");
    }
}
