//! Every page: the repository's documents, the endpoints, the commands.

use clap::CommandFactory;
use maud::{Markup, html};
use serde_json::Value;

use super::{Page, Site, markdown};

macro_rules! documents {
    ($($page:literal: $file:literal,)*) => {
        /// The documents that are pages: path of the page, path of the file, text.
        const DOCUMENTS: &[(&str, &str, &str)] =
            &[$(($page, $file, include_str!(concat!("../../../../", $file)))),*];
    };
}

documents! {
    "readme": "README.md",
    "changelog": "CHANGELOG.md",
    "architecture": "docs/architecture.md",
    "decisions": "docs/decisions/README.md",
    "decisions/0001": "docs/decisions/0001-group-commit-writer.md",
    "decisions/0002": "docs/decisions/0002-whole-record-updates.md",
    "decisions/0003": "docs/decisions/0003-axum-on-hyper-util.md",
    "decisions/0004": "docs/decisions/0004-diesel-with-hand-built-statements.md",
    "decisions/0005": "docs/decisions/0005-worker-launcher.md",
    "decisions/0006": "docs/decisions/0006-flush-beside-the-next-group.md",
    "decisions/0007": "docs/decisions/0007-traces-made-of-what-was-committed.md",
    "decisions/0008": "docs/decisions/0008-allocator-of-the-program.md",
    "operating": "docs/operating.md",
    "watching": "docs/watching.md",
    "dashboard": "docs/dashboard.md",
    "performance": "docs/performance.md",
    "worker-http": "docs/worker-http.md",
    "worker-protocol": "docs/worker-protocol.md",
    "recovery": "docs/recovery.md",
    "testing-policies": "docs/testing-policies.md",
    "reference/states": "docs/reference/states.md",
    "reference/errors": "docs/reference/errors.md",
    "reference/metrics": "docs/reference/metrics.md",
    "ops": "docs/ops/README.md",
    "reference/configuration": "docs/reference/configuration.md",
    "migrations": "migrations/README.md",
    "crates/domain": "crates/domain/README.md",
    "crates/persistence": "crates/persistence/README.md",
    "crates/policy": "crates/policy/README.md",
    "crates/provisioning": "crates/provisioning/README.md",
    "crates/recovery": "crates/recovery/README.md",
    "crates/retention": "crates/retention/README.md",
    "crates/health": "crates/health/README.md",
    "crates/feed": "crates/feed/README.md",
    "crates/messaging": "crates/messaging/README.md",
    "crates/oauth": "crates/oauth/README.md",
    "crates/alerts": "crates/alerts/README.md",
    "crates/baseline": "crates/baseline/README.md",
    "crates/breaker": "crates/breaker/README.md",
    "crates/supervisor": "crates/supervisor/README.md",
    "crates/server": "crates/server/README.md",
    "crates/telemetry": "crates/telemetry/README.md",
    "crates/dashboard": "crates/dashboard/README.md",
    "crates/testkit": "crates/testkit/README.md",
}

/// All pages by path.
pub(super) fn all() -> Site {
    let mut site = Site::new();
    for (page, file, text) in DOCUMENTS {
        let (title, body) = markdown::render(file, text, page_of);
        site.insert((*page).to_owned(), Page { title: title.unwrap_or_else(|| (*page).to_owned()), body });
    }
    let endpoints = endpoints();
    let commands = commands();
    site.insert("api".to_owned(), contents("The HTTP API", &endpoints));
    site.insert("cli".to_owned(), contents("The command line", &commands));
    site.extend(endpoints);
    site.extend(commands);
    let index = index(&site);
    site.insert(String::new(), index);
    site
}

fn page_of(file: &str) -> Option<String> {
    DOCUMENTS.iter().find(|(_, known, _)| *known == file).map(|(page, _, _)| (*page).to_owned())
}

fn index(site: &Site) -> Page {
    let shown = site.iter().filter(|(path, _)| !path.starts_with("api/") && !path.starts_with("cli/"));
    let body = html! {
        p { "Reclaimer hands jobs to workers and gets every job back that goes wrong." }
        ul { @for (path, page) in shown { li { (link(path, &page.title)) } } }
    };
    Page { title: "Reclaimer".to_owned(), body: body.into_string() }
}

fn contents(title: &str, pages: &[(String, Page)]) -> Page {
    let body = html! { ul { @for (path, page) in pages { li { (link(path, &page.title)) } } } };
    Page { title: title.to_owned(), body: body.into_string() }
}

fn link(path: &str, title: &str) -> Markup {
    html! { a href={ "/docs/" (path) } { (title) } }
}

/// One page per endpoint of the server's own description.
fn endpoints() -> Vec<(String, Page)> {
    let description = serde_json::to_value(reclaimer_server::openapi()).unwrap_or_default();
    let mut pages = Vec::new();
    for (path, methods) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let slug = path.replace(['{', '}'], "").replace('/', "-");
            let title = format!("{} {path}", method.to_uppercase());
            pages.push((
                format!("api/{method}{slug}"),
                Page { title, body: endpoint(&description, operation).into_string() },
            ));
        }
    }
    pages
}

fn endpoint(description: &Value, operation: &Value) -> Markup {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // An answer that many endpoints share is described once, elsewhere.
    let shared = |answer: &Value| {
        let place = answer["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
        text(&place.and_then(|place| description.pointer(place)).unwrap_or(answer)["description"])
    };
    html! {
        p { (text(&operation["summary"])) }
        p { (text(&operation["description"])) }
        @if let Some(parameters) = operation["parameters"].as_array() {
            h2 { "Parameters" }
            dl { @for parameter in parameters {
                dt { code { (text(&parameter["name"])) } " (" (text(&parameter["in"])) ")" }
                dd { (text(&parameter["description"])) }
            } }
        }
        @if let Some(answers) = operation["responses"].as_object() {
            h2 { "Answers" }
            dl { @for (status, answer) in answers {
                dt { code { (status) } }
                dd { (shared(answer)) }
            } }
        }
        p { a href="/docs/reference/errors" { "Codes of errors" } " · " a href="/docs/api" { "All endpoints" } }
    }
}

/// One page per command.
fn commands() -> Vec<(String, Page)> {
    let mut pages = Vec::new();
    let mut root = crate::cli::Cli::command();
    root.build();
    collect(&mut root, "", &mut pages);
    pages
}

fn collect(command: &mut clap::Command, prefix: &str, pages: &mut Vec<(String, Page)>) {
    let name = format!("{prefix}{}", command.get_name());
    let help = command.render_long_help().to_string();
    let body = html! {
        pre { (help) }
        p { a href="/docs/cli" { "All commands" } }
    };
    pages.push((
        format!("cli/{}", name.replace(' ', "-")),
        Page { title: name.clone(), body: body.into_string() },
    ));
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        collect(below, &format!("{name} "), pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_document_is_forgotten() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        let mut files = Vec::new();
        for folder in ["docs", "crates"] {
            for entry in walkdir::WalkDir::new(format!("{root}{folder}")) {
                let entry = entry.unwrap();
                if entry.path().extension().is_some_and(|ending| ending == "md") {
                    files.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        for file in files {
            assert!(page_of(&file).is_some(), "{file} has no page");
        }
    }

    #[test]
    fn an_endpoint_shows_the_answers_that_it_shares_with_others() {
        let pages = endpoints();
        let (_, page) = pages.iter().find(|(path, _)| path == "api/post-api-jobs").unwrap();
        assert!(page.body.contains("No valid token"), "{}", page.body);
        assert!(!page.body.contains("<dd></dd>"), "{}", page.body);
    }
}
