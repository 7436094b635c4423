//! What was measured, and how it is shown.

use anyhow::Result;
use serde::Serialize;

use crate::cli::output::Output;

/// One measured figure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_per_second: Option<f64>,
    /// What it is measured beside.
    pub(super) baseline: &'static str,
    /// The rate of that, in the same run.
    pub(super) baseline_per_second: f64,
    pub(super) ratio: f64,
    /// How often the rate of one durable insert per transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) times_reference: Option<f64>,
}

impl Figure {
    /// A rate and the baseline's.
    pub(super) fn of(what: impl Into<String>, rate: f64, baseline: &'static str, beside: f64) -> Self {
        Self {
            what: what.into(),
            per_second: rate,
            bytes_per_second: None,
            baseline,
            baseline_per_second: beside,
            ratio: rate / beside,
            times_reference: None,
        }
    }
}

/// Prints figures as a table, or for programs.
pub(super) fn print(figures: &[Figure], output: Output) -> Result<()> {
    if output.is_json() {
        return output.json(&figures);
    }
    let has_bytes = figures.iter().any(|figure| figure.bytes_per_second.is_some());
    let has_reference = figures.iter().any(|figure| figure.times_reference.is_some());
    let mut head = vec!["work", "a second"];
    head.extend(has_bytes.then_some("bytes"));
    head.extend(["ratio", "beside, a second", "beside what"]);
    head.extend(has_reference.then_some("× REF"));
    let rows = figures.iter().map(|figure| {
        let mut row = vec![figure.what.clone(), rate(figure.per_second)];
        if has_bytes {
            let bytes = figure.bytes_per_second.map(|rate| format!("{:.2} GB/s", rate / 1e9));
            row.push(bytes.unwrap_or_default());
        }
        row.push(format!("{:.2}×", figure.ratio));
        row.push(rate(figure.baseline_per_second));
        row.push(figure.baseline.to_owned());
        if has_reference {
            row.push(figure.times_reference.map(|times| format!("{times:.1}×")).unwrap_or_default());
        }
        row
    });
    output.table(&head, rows)
}

/// A rate for people.
fn rate(per_second: f64) -> String {
    match per_second {
        many if many >= 1e6 => format!("{:.2} M", many / 1e6),
        some if some >= 100.0 => grouped(some),
        few => format!("{few:.1}"),
    }
}

/// A whole number with a comma before each three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_for_people() {
        let written = [2.46, 99.96, 100.4, 3_912.7, 86_000.0, 999_999.0, 2_520_000.0].map(rate);
        assert_eq!(written, ["2.5", "100.0", "100", "3,913", "86,000", "999,999", "2.52 M"]);
    }
}
