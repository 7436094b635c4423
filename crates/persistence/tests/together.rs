//! Servers that share a file from its very beginning.

use std::sync::Arc;

use reclaimer_domain::ports::JobStore;
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_testkit::{Recorded, noon};

#[tokio::test]
async fn servers_that_start_at_once_make_the_database_together() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let config = SqliteConfig { min_free: 0, ..SqliteConfig::at(folder.path().join("test.db")) };
            SqliteStore::open(config, Arc::new(Recorded::default())).unwrap()
        };
        let (a, b, c) = (open(), open(), open());
        let (a, b, c) = tokio::join!(a.probe(noon()), b.probe(noon()), c.probe(noon()));
        a.and(b).and(c).unwrap();
    }
}
