//! An order and the job that ships it, in one transaction: both exist or neither does.
//!
//! `cargo run -p enqueue-in-transaction`

use anyhow::{Context, Result};
use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use rand::rngs::StdRng;
use reclaimer_domain::id::IdGenerator;
use reclaimer_domain::job::NewJob;
use reclaimer_persistence::{enqueue, migrate};

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example prints, and has no clock to inject"
)]
fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shop.db");
    migrate::run(&path)?;
    let mut conn = SqliteConnection::establish(path.to_str().context("a plain path")?)?;
    conn.batch_execute(
        "PRAGMA foreign_keys = ON; CREATE TABLE purchase (id INTEGER PRIMARY KEY, what TEXT)",
    )?;
    let mut ids = IdGenerator::new(rand::make_rng::<StdRng>());

    let mut buy = |what: &str, paid: bool| {
        conn.transaction::<_, anyhow::Error, _>(|conn| {
            diesel::sql_query("INSERT INTO purchase (what) VALUES (?)")
                .bind::<diesel::sql_types::Text, _>(what)
                .execute(conn)?;
            let now = chrono::Utc::now();
            let order = NewJob { full_path: Some(what.to_owned()), ..NewJob::of("SHIP".parse()?) };
            let (job, _arrival) = enqueue(conn, ids.job(now), order, now)?;
            anyhow::ensure!(paid, "{what} was not paid for");
            Ok(job.id)
        })
    };
    for (what, paid) in [("a kettle", true), ("a piano", false)] {
        match buy(what, paid) {
            Ok(job) => println!("{what} ships by job {job}"),
            Err(error) => println!("no job: {error}"),
        }
    }
    for (status, count) in reclaimer_persistence::maintenance::inspect(&path)?.jobs {
        println!("{count} {status}");
    }
    Ok(())
}
