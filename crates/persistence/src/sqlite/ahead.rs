//! What is due, looked up once for many claims of a group.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::name::{Command, QueueName};

use super::due::{Wanted, due};
use super::job_table::Found;

/// What claims of one group have found and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// So many claims follow in the group, this one included.
    pub(super) left: usize,
    /// What the last claim wanted.
    wanted: Option<(Option<QueueName>, Vec<Command>)>,
    found: VecDeque<Found>,
}

impl Ahead {
    /// The next claim looks anew.
    pub(crate) fn forget(&mut self) {
        *self = Self { left: self.left, ..Self::default() };
    }

    /// Queued jobs whose moment has come. The second claim in a row that wants the same looks for all that may follow it;
    /// nothing happens between them that has another job wait.
    pub(super) fn due(
        &mut self,
        conn: &mut SqliteConnection,
        wanted: &Wanted<'_>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> QueryResult<Vec<Found>> {
        if wanted.only.is_some() {
            return due(conn, wanted, limit, now);
        }
        let same = self.wanted.as_ref().is_some_and(|(queue, commands)| {
            queue.as_ref() == wanted.queue && commands.as_slice() == wanted.commands
        });
        if !same {
            self.wanted = Some((wanted.queue.cloned(), wanted.commands.to_vec()));
            self.found.clear();
            return due(conn, wanted, limit, now);
        }
        // One that asked an instant earlier may not have what was due an instant later.
        let is_due = |found: &Found| found.as_ref().map_or(true, |loaded| loaded.job.run_at <= now);
        if self.found.front().is_none_or(|first| !is_due(first)) {
            self.found = due(conn, wanted, limit.max(self.left), now)?.into();
        }
        let ready = self.found.iter().take(limit).take_while(|found| is_due(found)).count();
        Ok(self.found.drain(..ready).collect())
    }
}
