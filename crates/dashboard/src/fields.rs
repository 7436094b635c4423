//! The fields of a query or a form. A form of checkboxes sends one name several times, so they are a list.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::failure::Failure;

/// The fields of a query or a form, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn read(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first of this name that is not blank.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).map(str::trim).find(|text| !text.is_empty())
    }

    /// All of this name.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, text)| text.as_str())
    }

    /// The first of this name that is not blank, as what it should be.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name).map(|text| parse(name, text)).transpose()
    }

    /// All of this name, as what they should be.
    pub(crate) fn all_parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Vec<T>, Failure> {
        let texts = self.all(name).map(str::trim).filter(|text| !text.is_empty());
        texts.map(|text| parse(name, text)).collect()
    }
}

fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("`{name}`: {error}")))
}

/// The fields of a request's query.
#[derive(Debug)]
pub(crate) struct Query(pub(crate) Fields);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Fields::read(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The fields of a form that carried its session's token; [`crate::guard`] read them.
#[derive(Debug)]
pub(crate) struct Form(pub(crate) Fields);

impl<S: Sync> FromRequestParts<S> for Form {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.remove::<Fields>().unwrap_or_default()))
    }
}

/// A path with a query to link to: `/jobs?status=failed`.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    path: String,
    query: Vec<(String, String)>,
}

impl Link {
    pub(crate) fn to(path: impl Into<String>) -> Self {
        Self { path: path.into(), query: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        self.query.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn and(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.with(name, text),
            None => self,
        }
    }

    pub(crate) fn href(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        format!("{}?{}", self.path, query.extend_pairs(&self.query).finish())
    }
}

/// A name as a segment of a path.
pub(crate) fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_blank_ones_are_none() {
        let fields = Fields::read(b"id=a&id=b%26&queue=+&status=failed");
        assert_eq!(fields.all("id").collect::<Vec<_>>(), ["a", "b&"]);
        assert_eq!(
            (fields.text("queue"), fields.text("status"), fields.text("x")),
            (None, Some("failed"), None)
        );
        assert!(fields.parsed::<u32>("status").is_err());
        assert_eq!(fields.parsed::<u32>("queue").unwrap(), None);
    }

    #[test]
    fn links_carry_anything() {
        let link = Link::to("/jobs").with("path", "/a?b&c=d \u{202e}").and("queue", None);
        assert_eq!(link.href(), "/jobs?path=%2Fa%3Fb%26c%3Dd+%E2%80%AE");
        assert_eq!(Link::to("/jobs").href(), "/jobs");
        assert_eq!(segment("a/b?c d"), "a%2Fb%3Fc%20d");
    }
}
