//! The measurements: that they measure, not what.

use anyhow::Result;
use serde_json::Value;

use crate::rig::reclaimer;

/// Runs a measurement, and answers its figures, each of which is a rate beside another.
async fn figures(words: &[&str]) -> Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let mut all = vec!["bench"];
    all.extend(words);
    all.push("--json");
    let figures = reclaimer(folder.path(), &[], &all).await?.json(0)?;
    let figures = figures.as_array().cloned().unwrap_or_default();
    for figure in &figures {
        let rate = |key: &str| figure[key].as_f64().is_some_and(|rate| rate.is_finite() && rate > 0.0);
        assert!(rate("perSecond") && rate("baselinePerSecond") && rate("ratio"), "{figure}");
    }
    assert!(std::fs::read_dir(folder.path())?.next().is_none(), "nothing is left behind");
    Ok(figures)
}

#[tokio::test]
async fn the_store_is_measured_beside_the_bare_engine() -> Result<()> {
    let figures = figures(&["store", "--each", "5ms"]).await?;
    assert_eq!(figures.len(), 10);
    assert!(figures.iter().all(|figure| figure["timesReference"].is_f64()), "{figures:?}");
    Ok(())
}

#[tokio::test]
async fn the_store_is_measured_beside_many_finished_jobs() -> Result<()> {
    assert_eq!(figures(&["store", "--each", "5ms", "--rows", "2000"]).await?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn the_pure_parts_are_measured() -> Result<()> {
    assert_eq!(figures(&["codec", "--each", "5ms"]).await?.len(), 7);
    assert_eq!(figures(&["policy", "--each", "5ms"]).await?.len(), 5);
    Ok(())
}
