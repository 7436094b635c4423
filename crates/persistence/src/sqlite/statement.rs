//! Statements as hand-built query fragments.
//!
//! Diesel's query builder makes the text of a statement anew each time it runs. A fragment with a static query id is
//! prepared once per connection and then only bound.
//!
//! SQLite prepares a statement anew at each bind whose value could have changed its plan: one that is compared with a
//! column of which a partial index names a value (`WHERE status = 'queued'`), and a limit. A `+` before such a
//! column or limit says that the value does not matter to the plan, and spares that: it costs more than most statements.

use std::borrow::Cow;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::{ExecuteDsl, LoadQuery};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{OptionalExtension, RunQueryDsl, SqliteConnection};

use super::stamp::Stamp;

/// A value bound to a `?`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bind<'a> {
    Text(Cow<'a, str>),
    Stamp(Stamp),
    Int(i64),
    Null,
}

const NULL: Option<&str> = None;

impl Bind<'_> {
    /// Binds it in the place where the statement is.
    pub(crate) fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match self {
            Self::Text(text) => out.push_bind_param::<Text, str>(text),
            Self::Stamp(stamp) => out.push_bind_param::<Text, str>(stamp.as_str()),
            Self::Int(number) => out.push_bind_param::<BigInt, i64>(number),
            Self::Null => out.push_bind_param::<Nullable<Text>, Option<&str>>(&NULL),
        }
    }
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Bind<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Bind<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<DateTime<Utc>> for Bind<'_> {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Stamp(Stamp::of(at))
    }
}

impl From<i64> for Bind<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Bind<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl<'a, T: Into<Bind<'a>>> From<Option<T>> for Bind<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Writes SQL with its binds in the place of each `?`.
fn walk<'b>(sql: &str, binds: &'b [Bind<'_>], out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    let mut from = 0;
    for (bind, mark) in binds.iter().zip(memchr::memchr_iter(b'?', sql.as_bytes())) {
        out.push_sql(&sql[from..mark]);
        from = mark + 1;
        bind.push(out)?;
    }
    out.push_sql(&sql[from..]);
    Ok(())
}

/// A statement that is prepared once per connection. `K` is a type of its own for each statement of the source, made
/// by [`prepared!`]; `R` is what its rows are in SQL types.
#[derive(Debug)]
pub(crate) struct Prepared<'a, K, const BINDS: usize, R = ()> {
    sql: &'static str,
    binds: [Bind<'a>; BINDS],
    kind: PhantomData<fn() -> (K, R)>,
}

impl<'a, K: 'static, const BINDS: usize> Prepared<'a, K, BINDS> {
    pub(crate) fn new(sql: &'static str, binds: [Bind<'a>; BINDS]) -> Self {
        debug_assert_eq!(sql.matches('?').count(), binds.len(), "{sql}");
        Self { sql, binds, kind: PhantomData }
    }

    /// Says what the rows are.
    pub(crate) fn rows<R: 'static>(self) -> Prepared<'a, K, BINDS, R> {
        Prepared { sql: self.sql, binds: self.binds, kind: PhantomData }
    }

    /// Runs it for its effect; answers how many rows it changed.
    pub(crate) fn run(self, conn: &mut SqliteConnection) -> QueryResult<usize> {
        ExecuteDsl::execute(self, conn)
    }
}

impl<K: 'static, const BINDS: usize, R: 'static> Prepared<'_, K, BINDS, R> {
    /// All rows.
    pub(crate) fn all<'c, T>(self, conn: &'c mut SqliteConnection) -> QueryResult<Vec<T>>
    where
        Self: LoadQuery<'c, SqliteConnection, T>,
    {
        self.load(conn)
    }

    /// The first row, if there is one.
    pub(crate) fn first<'c, T>(self, conn: &'c mut SqliteConnection) -> QueryResult<Option<T>>
    where
        Self: LoadQuery<'c, SqliteConnection, T>,
    {
        self.get_result(conn).optional()
    }
}

impl<K: 'static, const BINDS: usize, R: 'static> QueryId for Prepared<'_, K, BINDS, R> {
    type QueryId = K;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<K: 'static, const BINDS: usize, R: 'static> QueryFragment<Sqlite> for Prepared<'_, K, BINDS, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        walk(self.sql, &self.binds, &mut out)
    }
}

impl<K: 'static, const BINDS: usize, R: 'static> Query for Prepared<'_, K, BINDS, R> {
    type SqlType = R;
}

impl<K, const BINDS: usize, R> RunQueryDsl<SqliteConnection> for Prepared<'_, K, BINDS, R> {}

/// A statement whose text is put together at run time; prepared each time.
#[derive(Debug)]
pub(crate) struct Dynamic<'a, R> {
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind<'a>>,
    pub(crate) rows: PhantomData<fn() -> R>,
}

impl<R> QueryId for Dynamic<'_, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R> QueryFragment<Sqlite> for Dynamic<'_, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        walk(&self.sql, &self.binds, &mut out)
    }
}

impl<R: 'static> Query for Dynamic<'_, R> {
    type SqlType = R;
}

impl<R> RunQueryDsl<SqliteConnection> for Dynamic<'_, R> {}

/// `prepared!("… ? …", bind, …)`: a statement of its own.
macro_rules! prepared {
    ($sql:expr $(, $bind:expr)* $(,)?) => {{
        #[derive(Debug)]
        enum Key {}
        $crate::sqlite::statement::Prepared::<Key, _>::new(
            $sql,
            [$($crate::sqlite::statement::Bind::from($bind)),*],
        )
    }};
}
pub(crate) use prepared;
