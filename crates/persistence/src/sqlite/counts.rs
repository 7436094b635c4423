//! The `job_count` table: how many jobs each queue has in each state.
//!
//! Each row says under what it is counted. What we write ourselves is summed up over a group of operations and settled at
//! its end: a handful of statements, however large the group. Rows that other programs wrote are told by that they are
//! counted under something else than they are; an index holds them alone, so that counting stays exact without
//! looking through the table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{Connection, QueryResult, SqliteConnection};
use reclaimer_domain::job::Job;

use super::effects::Effects;
use super::statement::prepared;

/// The columns `counted_in` and `counted_as`.
type Stored = (Option<String>, Option<String>);

/// A queue and a state, as stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) queue: Arc<str>,
    pub(crate) status: Cow<'static, str>,
}

impl Place {
    /// Where a row says that it is counted.
    pub(crate) fn of(counted_in: Option<String>, counted_as: Option<String>) -> Option<Self> {
        Some(Self::stored(&counted_in?, counted_as?))
    }

    /// A queue and a state as a row has them.
    fn stored(queue: &str, status: String) -> Self {
        Self { queue: queue.into(), status: status.into() }
    }

    /// Where a job belongs.
    pub(crate) fn now(job: &Job) -> Self {
        Self { queue: job.queue.shared(), status: job.status.as_str().into() }
    }
}

/// What moved from where to where.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    moves: Vec<(Option<Place>, Option<Place>)>,
}

impl Counts {
    pub(crate) fn moved(&mut self, from: Option<Place>, to: Option<Place>) {
        if from != to {
            self.moves.push((from, to));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.moves.len()
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.moves.truncate(len);
    }

    /// Settles all moves.
    pub(crate) fn write(&mut self, conn: &mut SqliteConnection) -> QueryResult<()> {
        let mut sums: BTreeMap<Place, i64> = BTreeMap::new();
        for (from, to) in self.moves.drain(..) {
            if let Some(from) = from {
                *sums.entry(from).or_default() -= 1;
            }
            if let Some(to) = to {
                *sums.entry(to).or_default() += 1;
            }
        }
        for (place, by) in sums.into_iter().filter(|(_, by)| *by != 0) {
            prepared!(
                "INSERT INTO job_count (queue, status, jobs) VALUES (?, ?, ?) \
                 ON CONFLICT (queue, status) DO UPDATE SET jobs = jobs + excluded.jobs",
                &*place.queue,
                &*place.status,
                by,
            )
            .run(conn)?;
        }
        Ok(())
    }
}

/// How many jobs each place has, and whether other programs wrote some of them.
pub(crate) fn read(conn: &mut SqliteConnection) -> QueryResult<(BTreeMap<Place, i64>, bool)> {
    // Of one moment: a row that is settled between two looks would count twice, or not at all.
    conn.transaction(|conn| {
        let settled: Vec<(String, String, i64)> = prepared!("SELECT queue, status, jobs FROM job_count")
            .rows::<(Text, Text, BigInt)>()
            .all(conn)?;
        let uncounted: Vec<((String, String), Stored, i64)> = prepared!(
            "SELECT queue, status, counted_in, counted_as, count(*) FROM job INDEXED BY job_uncounted \
             WHERE counted_in IS NOT queue OR counted_as IS NOT status \
             GROUP BY queue, status, counted_in, counted_as"
        )
        .rows::<((Text, Text), (Nullable<Text>, Nullable<Text>), BigInt)>()
        .all(conn)?;
        let mut counts: BTreeMap<Place, i64> = BTreeMap::new();
        for (queue, status, jobs) in settled {
            *counts.entry(Place::stored(&queue, status)).or_default() += jobs;
        }
        let foreign = !uncounted.is_empty();
        for ((queue, status), (counted_in, counted_as), jobs) in uncounted {
            if let Some(place) = Place::of(counted_in, counted_as) {
                *counts.entry(place).or_default() -= jobs;
            }
            *counts.entry(Place::stored(&queue, status)).or_default() += jobs;
        }
        Ok((counts, foreign))
    })
}

/// So many rows that other programs wrote are settled at once.
const MOST_SETTLED: u32 = 500;

/// Counts some of the rows that other programs wrote.
pub(super) fn settle(conn: &mut SqliteConnection, effects: &mut Effects) -> QueryResult<()> {
    let rows: Vec<(String, (String, String), Stored)> = prepared!(
        "SELECT id, queue, status, counted_in, counted_as FROM job INDEXED BY job_uncounted \
         WHERE counted_in IS NOT queue OR counted_as IS NOT status LIMIT +?",
        MOST_SETTLED
    )
    .rows::<(Text, (Text, Text), (Nullable<Text>, Nullable<Text>))>()
    .all(conn)?;
    for (id, (queue, status), (counted_in, counted_as)) in rows {
        prepared!("UPDATE job SET counted_in = queue, counted_as = status WHERE id = ?", &id).run(conn)?;
        effects.counts.moved(Place::of(counted_in, counted_as), Some(Place::stored(&queue, status)));
    }
    Ok(())
}
