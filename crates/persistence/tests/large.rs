//! Lists and counts in a table of many jobs.

#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected has failed")]

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{JobFilter, JobRead, JobStore};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_testkit::{Recorded, noon};

/// More than one page looks at.
const JOBS: usize = 60_000;

/// A store of so many finished jobs of one command and account, of which the oldest and one in the middle are of another
/// command, and the middle one failed.
async fn store(folder: &tempfile::TempDir) -> SqliteStore {
    let path = folder.path().join("test.db");
    let store = SqliteStore::open(SqliteConfig::at(&path), Arc::new(Recorded::default())).unwrap();
    store.probe(noon()).await.unwrap();
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    conn.batch_execute(&format!(
        "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE;
         INSERT INTO account (id, user_id, provider, created_at, updated_at)
         VALUES ('acc', '1', 'gitlab', '2026-01-05 12:00:00.000000', '2026-01-05 12:00:00.000000');
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {JOBS})
         INSERT INTO job (id, queue, command, account_id, payload, status, priority, progress, max_attempts, run_at,
         created_at, updated_at)
         SELECT printf('job-%06d', i), 'default', iif(i % 30000 = 0, 'RARE', 'COMMON'), 'acc', '{{}}',
         iif(i = 30000, 'failed', 'finished'), 0, '{{}}', 3, '2026-01-05 12:00:00.000000',
         '2026-01-05 12:00:00.000000', '2026-01-05 12:00:00.000000' FROM n;
         COMMIT;"
    ))
    .unwrap();
    store
}

/// Every page of a filter, newest first: the ids on each.
async fn pages(store: &SqliteStore, filter: &JobFilter, limit: u32) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor: Option<JobId> = None;
    loop {
        let page = store.jobs(filter.clone(), cursor, limit).await.unwrap();
        let id = |job: &JobRead| match job {
            JobRead::Whole(job) => job.id.to_string(),
            JobRead::Broken(row) => row.id.clone(),
        };
        pages.push(page.items.iter().map(id).collect());
        cursor = page.next;
        if cursor.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_page_ends_where_enough_was_looked_at_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let rare = JobFilter { command: Some("RARE".parse().unwrap()), ..JobFilter::default() };
    // Fifty thousand of sixty thousand rows for the first page, the rest for the second.
    assert_eq!(pages(&store, &rare, 5).await, [vec!["job-030000"], vec!["job-000000"]]);
    assert_eq!(pages(&store, &rare, 1).await, [vec!["job-030000"], vec!["job-000000"]]);
    let of_account = JobFilter { account_id: Some("acc".parse().unwrap()), ..rare.clone() };
    assert_eq!(pages(&store, &of_account, 5).await, [["job-030000", "job-000000"]]);
    let failed = JobFilter { status: vec![Status::Failed], ..JobFilter::default() };
    assert_eq!(pages(&store, &failed, 5).await, [["job-030000"]]);
    let all = pages(&store, &JobFilter::default(), 25_000).await;
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [25_000, 25_000, 10_000]);
    let mut ids: Vec<&String> = all.iter().flatten().collect();
    ids.dedup();
    assert_eq!(ids.len(), JOBS, "no row is on two pages");
    let of_account = JobFilter { account_id: Some("acc".parse().unwrap()), ..JobFilter::default() };
    let merged = pages(&store, &of_account, 30_001).await;
    assert_eq!(merged, pages(&store, &JobFilter::default(), 30_001).await, "its commands are merged");
    store.close().await;
}
