//! Somebody with a browser that runs no scripts.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use scraper::{Html, Selector};

use crate::rig::{PATIENCE, Server};

/// An answer.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// A browser.
#[derive(Debug)]
pub(super) struct Visitor {
    client: Client,
    base: String,
    pub(super) cookie: Option<String>,
}

impl Page {
    /// Where a redirect leads.
    pub(super) fn location(&self) -> Option<&str> {
        self.header(LOCATION.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The text of each element, as people read it.
    pub(super) fn all(&self, selector: &str) -> Vec<String> {
        let page = Html::parse_document(&self.text);
        let found = Selector::parse(selector).map(|selector| {
            let text = |it: scraper::ElementRef<'_>| {
                it.descendants().map(|node| piece(node.value())).collect::<String>()
            };
            let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
            page.select(&selector).map(text).map(words).collect()
        });
        found.unwrap_or_default()
    }

    /// The text of the first such element.
    pub(super) fn one(&self, selector: &str) -> String {
        self.all(selector).into_iter().next().unwrap_or_default()
    }

    /// The values of an attribute.
    pub(super) fn attributes(&self, selector: &str, name: &str) -> Vec<String> {
        let page = Html::parse_document(&self.text);
        let Ok(selector) = Selector::parse(selector) else { return Vec::new() };
        page.select(&selector).filter_map(|it| it.attr(name)).map(ToOwned::to_owned).collect()
    }

    /// The CSRF token of the page's forms.
    pub(super) fn csrf(&self) -> String {
        self.attributes("input[name=csrf]", "value").into_iter().next().unwrap_or_default()
    }

    /// The fields that a form sends as it stands, and where to.
    pub(super) fn form(&self, selector: &str) -> Result<(String, Vec<(String, String)>)> {
        let action = self.attributes(selector, "action").into_iter().next().context("no such form")?;
        let inputs = format!("{selector} input[type=hidden]");
        let (names, values) = (self.attributes(&inputs, "name"), self.attributes(&inputs, "value"));
        Ok((action, names.into_iter().zip(values).collect()))
    }
}

impl Visitor {
    /// Somebody who has not logged in.
    pub(super) fn new(server: &Server) -> Result<Self> {
        let client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build()?;
        Ok(Self { client, base: server.base.clone(), cookie: None })
    }

    /// Somebody who has.
    pub(super) async fn logged_in(server: &Server) -> Result<Self> {
        let mut visitor = Self::new(server)?;
        let page = visitor.log_in(&server.admin).await?;
        ensure!(page.status == StatusCode::SEE_OTHER, "{}: {}", page.status, page.text);
        Ok(visitor)
    }

    /// A request to be finished by the caller.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Page> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Page { status, headers, text: answer.text().await? })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Page> {
        self.send(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Page> {
        self.send(self.request(Method::POST, path).body(encoded(fields)).header("content-type", FORM)).await
    }

    /// Sends the login form, and keeps the cookie that comes back.
    pub(super) async fn log_in(&mut self, token: &str) -> Result<Page> {
        let page = self.post("/login", &[("token", token)]).await?;
        if let Some(set) = page.header(SET_COOKIE.as_str()) {
            self.cookie = set.split_once(';').map(|(pair, _)| pair.to_owned());
        }
        Ok(page)
    }

    /// Sends a form of a page as it stands, with these fields besides.
    pub(super) async fn submit(&self, page: &Page, form: &str, more: &[(&str, &str)]) -> Result<Page> {
        let (action, fields) = page.form(form)?;
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = fields.chain(more.iter().copied()).collect();
        self.post(&action, &fields).await
    }

    /// Follows where an answer leads, until there is a page.
    pub(super) async fn follow(&self, page: Page) -> Result<Page> {
        let location = page.location().with_context(|| format!("{}: {}", page.status, page.text))?.to_owned();
        self.get(&location).await
    }
}

/// What people see of a node of a page: its text, and a gap where something new begins.
fn piece(node: &scraper::Node) -> &str {
    match node.as_element().map(scraper::node::Element::name) {
        Some("td" | "th" | "tr" | "dt" | "dd" | "p" | "li" | "h2" | "h3" | "div" | "option") => " ",
        Some(_) => "",
        None => node.as_text().map_or("", |text| text),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Fields as a form sends them.
fn encoded(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.bytes().map(one).collect::<String>()
    };
    fields
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// The numbers of the overview's tiles, by state.
pub(super) fn tiles(page: &Page) -> BTreeMap<String, String> {
    let (names, values) = (page.all(".tiles .name"), page.all(".tiles .value"));
    names.into_iter().zip(values).collect()
}
