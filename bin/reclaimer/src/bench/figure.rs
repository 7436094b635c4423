//! What was measured, and how it is shown.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cli::output::Output;

/// So many moments of a curve are printed, at most.
const MOMENTS: usize = 20;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Measured {
    /// How often something is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rates: Vec<Rate>,
    /// How long something takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) times: Vec<Time>,
    /// What was counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) counts: Vec<Count>,
    /// How it went over time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) curve: Vec<Moment>,
    /// What should not have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broken: Option<String>,
}

impl From<Vec<Rate>> for Measured {
    fn from(rates: Vec<Rate>) -> Self {
        Self { rates, ..Self::default() }
    }
}

/// A rate beside another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rate {
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

impl Rate {
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

/// How long something takes, seen many times.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Time {
    pub(super) what: String,
    /// How often it was seen.
    pub(super) samples: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) longest_ms: f64,
    /// The middle of what it is measured beside, in the same run, and how often that this one takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) beside_p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
}

impl Time {
    /// What so many samples come to.
    pub(super) fn of(what: impl Into<String>, mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "samples are few and the share is between 0 and 1"
            )]
            let place = ((samples.len() as f64 * share).ceil() as usize).saturating_sub(1);
            samples.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        Self {
            what: what.into(),
            samples: samples.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            longest_ms: at(1.0),
            beside_p50_ms: None,
            ratio: None,
        }
    }

    /// The same beside what it is measured beside.
    pub(super) fn beside(self, other: &Self) -> Self {
        Self { beside_p50_ms: Some(other.p50_ms), ratio: Some(self.p50_ms / other.p50_ms), ..self }
    }
}

/// Something that was counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Count {
    pub(super) what: String,
    pub(super) number: f64,
    /// What it must be, or is to be read with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// How a server stood at a moment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moment {
    /// Since the beginning.
    pub(super) seconds: f64,
    /// Durable operations in the time before.
    pub(super) per_second: f64,
    pub(super) resident_bytes: u64,
    /// How large the write-ahead log is.
    pub(super) log_bytes: u64,
}

/// Prints what was measured as tables, or for programs.
pub(super) fn print(measured: &Measured, output: Output) -> Result<()> {
    if output.is_json() {
        return output.json(measured);
    }
    if !measured.rates.is_empty() {
        rates(&measured.rates, output)?;
    }
    if !measured.times.is_empty() {
        times(&measured.times, output)?;
    }
    if !measured.counts.is_empty() {
        let rows = measured.counts.iter().map(|count| {
            vec![count.what.clone(), number(count.number), count.note.clone().unwrap_or_default()]
        });
        output.table(&["count", "", ""], rows)?;
    }
    if !measured.curve.is_empty() {
        // As many as fit a screen; the last is one of them.
        let each = measured.curve.len().div_ceil(MOMENTS);
        let rows =
            measured.curve.iter().rev().step_by(each).collect::<Vec<_>>().into_iter().rev().map(|at| {
                let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
                vec![
                    format!("{:.0} s", at.seconds),
                    number(at.per_second.round()),
                    mib(at.resident_bytes),
                    mib(at.log_bytes),
                ]
            });
        output.table(&["time", "operations a second", "resident", "log"], rows)?;
    }
    Ok(())
}

fn rates(rates: &[Rate], output: Output) -> Result<()> {
    let has_bytes = rates.iter().any(|rate| rate.bytes_per_second.is_some());
    let has_reference = rates.iter().any(|rate| rate.times_reference.is_some());
    let mut head = vec!["work", "a second"];
    head.extend(has_bytes.then_some("bytes"));
    head.extend(["ratio", "beside, a second", "beside what"]);
    head.extend(has_reference.then_some("× REF"));
    let rows = rates.iter().map(|rate| {
        let mut row = vec![rate.what.clone(), number(rate.per_second)];
        if has_bytes {
            let bytes = rate.bytes_per_second.map(|bytes| format!("{:.2} GB/s", bytes / 1e9));
            row.push(bytes.unwrap_or_default());
        }
        row.push(format!("{:.2}×", rate.ratio));
        row.push(number(rate.baseline_per_second));
        row.push(rate.baseline.to_owned());
        if has_reference {
            row.push(rate.times_reference.map(|times| format!("{times:.1}×")).unwrap_or_default());
        }
        row
    });
    output.table(&head, rows)
}

fn times(times: &[Time], output: Output) -> Result<()> {
    let has_beside = times.iter().any(|time| time.ratio.is_some());
    let mut head = vec!["time", "samples", "p50", "p99", "longest"];
    if has_beside {
        head.extend(["beside, p50", "ratio"]);
    }
    let rows = times.iter().map(|time| {
        let ms = |ms: f64| format!("{ms:.2} ms");
        let mut row = vec![time.what.clone(), time.samples.to_string()];
        row.extend([time.p50_ms, time.p99_ms, time.longest_ms].map(ms));
        if has_beside {
            row.push(time.beside_p50_ms.map(ms).unwrap_or_default());
            row.push(time.ratio.map(|ratio| format!("{ratio:.2}×")).unwrap_or_default());
        }
        row
    });
    output.table(&head, rows)
}

/// A number for people.
fn number(value: f64) -> String {
    match value {
        many if many >= 1e6 => format!("{:.2} M", many / 1e6),
        some if some >= 100.0 => grouped(some),
        whole if whole.fract() == 0.0 => format!("{whole:.0}"),
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
    fn numbers_are_written_for_people() {
        let written = [0.0, 2.46, 99.96, 100.4, 3_912.7, 86_000.0, 999_999.0, 2_520_000.0].map(number);
        assert_eq!(written, ["0", "2.5", "100.0", "100", "3,913", "86,000", "999,999", "2.52 M"]);
    }

    #[test]
    fn a_percentile_is_a_sample() {
        let time = Time::of("", (1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((time.p50_ms, time.p99_ms, time.longest_ms), (100.0, 198.0, 200.0));
        assert_eq!(Time::of("", vec![Duration::from_millis(3)]).p99_ms, 3.0);
    }
}
