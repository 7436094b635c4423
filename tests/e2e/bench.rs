//! The measurements: that they measure, not what.

use anyhow::Result;
use serde_json::Value;

use crate::rig::reclaimer;

/// Runs a measurement, and answers what it printed. Every rate in it is a rate beside another.
async fn measured(words: &[&str]) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let mut all = vec!["bench"];
    all.extend(words);
    all.push("--json");
    let measured = reclaimer(folder.path(), &[], &all).await?.json(0)?;
    for rate in measured["rates"].as_array().into_iter().flatten() {
        let sound = |key: &str| rate[key].as_f64().is_some_and(|rate| rate.is_finite() && rate > 0.0);
        assert!(sound("perSecond") && sound("baselinePerSecond") && sound("ratio"), "{rate}");
    }
    assert!(std::fs::read_dir(folder.path())?.next().is_none(), "nothing is left behind");
    Ok(measured)
}

fn how_many(measured: &Value, of: &str) -> usize {
    measured[of].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn the_store_is_measured_beside_the_bare_engine() -> Result<()> {
    let measured = measured(&["store", "--each", "5ms"]).await?;
    assert_eq!(how_many(&measured, "rates"), 13);
    let rates = measured["rates"].as_array().into_iter().flatten();
    assert!(rates.into_iter().all(|rate| rate["timesReference"].is_f64()), "{measured}");
    Ok(())
}

#[tokio::test]
async fn the_store_is_measured_beside_many_finished_jobs() -> Result<()> {
    let measured = measured(&["store", "--each", "5ms", "--rows", "2000"]).await?;
    assert_eq!(how_many(&measured, "rates"), 5);
    Ok(())
}

#[tokio::test]
async fn the_server_is_measured_beside_one_that_writes_to_a_bare_table() -> Result<()> {
    let measured = measured(&["http", "--each", "5ms", "--samples", "3", "--connections", "4"]).await?;
    assert_eq!((how_many(&measured, "rates"), how_many(&measured, "times")), (11, 3), "{measured}");
    Ok(())
}

#[tokio::test]
async fn the_worker_link_is_measured_beside_the_same() -> Result<()> {
    let measured = measured(&["socket", "--each", "5ms", "--connections", "4"]).await?;
    assert_eq!(how_many(&measured, "rates"), 4, "{measured}");
    Ok(())
}

#[tokio::test]
async fn pages_are_measured_beside_the_same_on_few_jobs() -> Result<()> {
    let measured = measured(&["pages", "--rows", "2000", "--samples", "2"]).await?;
    let times = measured["times"].as_array().into_iter().flatten();
    let sound = |time: &&Value| time["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0);
    assert_eq!((times.clone().count(), times.filter(sound).count()), (60, 60), "{measured}");
    Ok(())
}

#[tokio::test]
async fn workers_die_and_nothing_is_lost_or_recorded_twice() -> Result<()> {
    let measured = measured(&["recovery", "--quick"]).await?;
    assert_eq!((how_many(&measured, "rates"), how_many(&measured, "times")), (3, 7), "{measured}");
    let counts = measured["counts"].as_array().into_iter().flatten();
    let must_be_none: Vec<&Value> = counts
        .filter(|count| count["note"].as_str().is_some_and(|note| note.starts_with("must be 0")))
        .collect();
    assert_eq!(must_be_none.len(), 2, "{measured}");
    assert!(must_be_none.iter().all(|count| count["number"] == 0.0), "{measured}");
    Ok(())
}

#[tokio::test]
async fn a_server_under_load_keeps_within_its_memory() -> Result<()> {
    let measured = measured(&["soak", "--for", "2s", "--rows", "2000"]).await?;
    assert_eq!((how_many(&measured, "curve"), &measured["broken"]), (200, &Value::Null), "{measured}");
    Ok(())
}

#[tokio::test]
async fn an_idle_server_is_measured() -> Result<()> {
    let measured = measured(&["footprint", "--rows", "2000", "--starts", "2", "--each", "100ms"]).await?;
    assert_eq!((how_many(&measured, "times"), how_many(&measured, "counts")), (2, 5), "{measured}");
    Ok(())
}

#[tokio::test]
async fn the_pure_parts_are_measured() -> Result<()> {
    assert_eq!(how_many(&measured(&["codec", "--each", "5ms"]).await?, "rates"), 7);
    assert_eq!(how_many(&measured(&["policy", "--each", "5ms"]).await?, "rates"), 5);
    Ok(())
}
