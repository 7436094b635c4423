//! The reference page is the list of metrics.

use reclaimer_telemetry::METRICS;

const HEAD: &str = "\
# Metrics

What `GET /metrics` answers, in the text format of Prometheus. It needs the admin token, unless `server.open_metrics` is set:

```yaml
scrape_configs:
  - job_name: reclaimer
    authorization: { credentials_file: /etc/prometheus/reclaimer.token }
    static_configs: [{ targets: [\"127.0.0.1:7400\"] }]
```

Counters begin at 0 when the server starts. Labels that come from outside are bounded: of queues and rules a hundred each are
told apart, and further ones are `other`. [`docs/ops/`](../ops/README.md) has alert rules and a dashboard that use these.

| metric | kind | labels | means |
|---|---|---|---|
";

#[test]
fn the_reference_page_is_this_list() {
    let mut page = HEAD.to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        page.push_str(&format!("| `{}` | {} | {labels} | {} |\n", metric.name, metric.kind, metric.help));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == page, "docs/reference/metrics.md is not up to date: run with UPDATE_SNAPSHOTS=1");
}
