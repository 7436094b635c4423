//! One statement over many rows of values: `… (?, ?), (?, ?) …`.
//!
//! Rows are taken so many at a time, and those that are left one by one: each statement exists in two lengths, and each of
//! these is prepared once per connection.

use std::marker::PhantomData;

use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};

use super::statement::Bind;

/// So many rows are taken at a time.
const AT_ONCE: usize = 32;

/// What stands around the rows of values.
pub(crate) trait OverRows: 'static {
    const BEFORE: &'static str;
    const AFTER: &'static str;
}

/// Runs a statement for its effect.
pub(crate) fn run<S: OverRows, const C: usize>(
    conn: &mut SqliteConnection,
    rows: &[[Bind<'_>; C]],
) -> QueryResult<()> {
    let (parts, rest) = rows.as_chunks::<AT_ONCE>();
    for part in parts {
        ExecuteDsl::execute(Part::<S, C, AT_ONCE>::of(part), conn)?;
    }
    for one in rest.as_chunks::<1>().0 {
        ExecuteDsl::execute(Part::<S, C, 1>::of(one), conn)?;
    }
    Ok(())
}

/// A statement over `N` rows of `C` values.
struct Part<'p, 'a, S, const C: usize, const N: usize> {
    rows: &'p [[Bind<'a>; C]; N],
    kind: PhantomData<fn() -> S>,
}

impl<'p, 'a, S, const C: usize, const N: usize> Part<'p, 'a, S, C, N> {
    fn of(rows: &'p [[Bind<'a>; C]; N]) -> Self {
        Self { rows, kind: PhantomData }
    }
}

impl<S: OverRows, const C: usize, const N: usize> QueryId for Part<'_, '_, S, C, N> {
    type QueryId = Part<'static, 'static, S, C, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: OverRows, const C: usize, const N: usize> QueryFragment<Sqlite> for Part<'_, '_, S, C, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(S::BEFORE);
        for (index, row) in self.rows.iter().enumerate() {
            out.push_sql(if index == 0 { "(" } else { ", (" });
            for (index, value) in row.iter().enumerate() {
                if index > 0 {
                    out.push_sql(", ");
                }
                value.push(&mut out)?;
            }
            out.push_sql(")");
        }
        out.push_sql(S::AFTER);
        Ok(())
    }
}

impl<S, const C: usize, const N: usize> RunQueryDsl<SqliteConnection> for Part<'_, '_, S, C, N> {}
