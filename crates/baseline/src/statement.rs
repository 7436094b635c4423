//! Statements that are prepared once per connection and then only bound.

use std::marker::PhantomData;

use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};

/// What is bound to the one `?` of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bind<'a> {
    Nothing,
    Text(&'a str),
    Int(i64),
}

/// A statement. `K` is a type of its own for each; `R` is what its rows are in SQL types.
#[derive(Debug)]
pub(crate) struct Prepared<'a, K, R> {
    text: &'static str,
    bind: Bind<'a>,
    kind: PhantomData<fn() -> (K, R)>,
}

impl<'a, K, R> Prepared<'a, K, R> {
    fn new(text: &'static str, bind: Bind<'a>) -> Self {
        Self { text, bind, kind: PhantomData }
    }
}

impl<K: 'static, R: 'static> QueryId for Prepared<'_, K, R> {
    type QueryId = K;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<K: 'static, R: 'static> QueryFragment<Sqlite> for Prepared<'_, K, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let (before, after) = self.text.split_once('?').unwrap_or((self.text, ""));
        out.push_sql(before);
        match &self.bind {
            Bind::Nothing => {}
            Bind::Text(text) => out.push_bind_param::<Text, str>(text)?,
            Bind::Int(number) => out.push_bind_param::<BigInt, i64>(number)?,
        }
        out.push_sql(after);
        Ok(())
    }
}

impl<K: 'static, R: 'static> Query for Prepared<'_, K, R> {
    type SqlType = R;
}

impl<K, R> RunQueryDsl<SqliteConnection> for Prepared<'_, K, R> {}

#[derive(Debug)]
pub(crate) enum Begin {}
#[derive(Debug)]
pub(crate) enum Commit {}
#[derive(Debug)]
pub(crate) enum Rollback {}
#[derive(Debug)]
pub(crate) enum Insert {}
#[derive(Debug)]
pub(crate) enum Claim {}
#[derive(Debug)]
pub(crate) enum Complete {}
#[derive(Debug)]
pub(crate) enum SetBack {}

pub(crate) fn begin() -> Prepared<'static, Begin, ()> {
    Prepared::new("BEGIN IMMEDIATE", Bind::Nothing)
}

pub(crate) fn commit() -> Prepared<'static, Commit, ()> {
    Prepared::new("COMMIT", Bind::Nothing)
}

pub(crate) fn rollback() -> Prepared<'static, Rollback, ()> {
    Prepared::new("ROLLBACK", Bind::Nothing)
}

pub(crate) fn insert(payload: &str) -> Prepared<'_, Insert, ()> {
    Prepared::new("INSERT INTO bare (state, payload) VALUES (0, ?)", Bind::Text(payload))
}

pub(crate) fn claim() -> Prepared<'static, Claim, (BigInt, Text)> {
    let text = "UPDATE bare SET state = 1 WHERE id = (SELECT id FROM bare WHERE state = 0 ORDER BY id LIMIT 1) \
                RETURNING id, payload";
    Prepared::new(text, Bind::Nothing)
}

pub(crate) fn complete(id: i64) -> Prepared<'static, Complete, ()> {
    Prepared::new("UPDATE bare SET state = 2 WHERE id = ? AND state = 1", Bind::Int(id))
}

pub(crate) fn set_back() -> Prepared<'static, SetBack, ()> {
    Prepared::new("UPDATE bare SET state = 0 WHERE state = 1", Bind::Nothing)
}
