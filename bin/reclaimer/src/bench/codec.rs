//! The worker link's codec.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use reclaimer_messaging::dialect::{Dialect, Envelope, Flat};
use reclaimer_messaging::frame::{Decoder, Frame, Limits};
use reclaimer_messaging::message::{Outbound, Receipt};
use serde::de::IgnoredAny;
use serde_json::json;

use super::figure::Rate;
use super::rate;

/// So many bytes arrive at once, as a session reads them.
const READ: usize = 64 * 1_024;
/// So many messages are one piece of work.
const MESSAGES: usize = 4_096;

pub(super) fn measure(each: Duration) -> Result<Vec<Rate>> {
    let envelope = Dialect::Envelope(Envelope {
        id: "web-server".to_owned(),
        kind: "web-server".to_owned(),
        pid: 1,
        peer: "external-crawler".to_owned(),
        command_peer: "external-crawler".to_owned(),
    });
    let progress = json!({
        "origin": "external-crawler", "destination": "web-server", "type": "message", "key": "PROGRESS_UPDATE",
        "payload": {
            "taskId": "01JX0A7Z6TQK3W0V5B9D2E4F6G", "lease": "74dbe4a1422ee6fc06f88fe898c57f54",
            "status": "processing", "timestamp": "2025-06-03T16:00:05.000Z", "processedItems": 40,
            "totalItems": 200, "currentDataType": "issues", "message": "page 4 of \"issues\"",
            "progress": { "cursor": "eyJpZCI6MTIzNDU2Nzg5MH0=" },
        },
        "timestamp": 1_748_966_405_000_u64,
    })
    .to_string();
    let heartbeat = json!({
        "origin": "external-crawler", "destination": "web-server", "type": "heartbeat", "key": "heartbeat",
        "payload": { "timestamp": 1_748_966_405_000_u64 }, "timestamp": 1_748_966_405_000_u64,
    })
    .to_string();
    let flat_beat = json!({
        "type": "heartbeat", "timestamp": "2025-07-12T10:00:00.000Z",
        "data": { "activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle", "uptime": 12.5 },
    })
    .to_string();
    let large = progress.replace("page 4 of", &"a long text without anything special in it ".repeat(100));
    let flat = Dialect::Flat(Flat::default());
    let mut rates = Vec::new();
    for (what, message) in [
        ("cut frames: heartbeats", &heartbeat),
        ("cut frames: progress", &progress),
        ("cut frames: progress of 4.6 KB", &large),
    ] {
        rates.push(figure(what, each, message, |frame| {
            black_box(frame);
            Ok(())
        })?);
    }
    for (what, message, dialect) in [
        ("cut and read: heartbeats", &heartbeat, &envelope),
        ("cut and read: progress", &progress, &envelope),
        ("cut and read: flat heartbeats", &flat_beat, &flat),
    ] {
        rates.push(figure(what, each, message, |frame| {
            black_box(dialect.read(frame)?);
            Ok(())
        })?);
    }
    rates.push(written("write: receipts", each, &envelope)?);
    Ok(rates)
}

/// Cuts a stream of one message, and does something with each.
fn figure(
    what: &'static str,
    each: Duration,
    message: &str,
    mut with: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Rate> {
    let stream = message.repeat(MESSAGES);
    // What anybody would have to do who was told where messages begin and end.
    let parsed = rate(each, || {
        for _ in 0..MESSAGES {
            serde_json::from_slice::<IgnoredAny>(black_box(message.as_bytes()))?;
        }
        Ok(())
    })?;
    let cut = rate(each, || {
        let mut decoder = Decoder::new(Limits::default());
        let mut found = 0;
        for piece in stream.as_bytes().chunks(READ) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame() {
                let Frame::Whole(bytes) = frame else { continue };
                with(bytes)?;
                found += 1;
            }
        }
        ensure!(found == MESSAGES, "{found} of {MESSAGES} messages were found: a defect");
        Ok(())
    })?;
    Ok(of(what, cut, stream.len(), parsed))
}

/// Writes one message again and again.
fn written(what: &'static str, each: Duration, dialect: &Dialect) -> Result<Rate> {
    let now = DateTime::<Utc>::from_timestamp(1_748_966_405, 0).context("a moment")?;
    let receipt = Outbound::Receipt(Receipt {
        task: Some("01JX0A7Z6TQK3W0V5B9D2E4F6G".to_owned()),
        lease: Some("74dbe4a1422ee6fc06f88fe898c57f54".to_owned()),
        outcome: Ok(()),
    });
    let mut bytes = Vec::new();
    dialect.write(&receipt, now, &mut bytes);
    let length = bytes.len();
    let message = bytes.clone();
    let parsed = rate(each, || {
        for _ in 0..MESSAGES {
            serde_json::from_slice::<IgnoredAny>(black_box(&message))?;
        }
        Ok(())
    })?;
    let wrote = rate(each, || {
        for _ in 0..MESSAGES {
            bytes.clear();
            dialect.write(black_box(&receipt), now, &mut bytes);
        }
        Ok(())
    })?;
    Ok(of(what, wrote, length * MESSAGES, parsed))
}

fn of(what: &'static str, rate: f64, bytes: usize, baseline: f64) -> Rate {
    #[expect(clippy::cast_precision_loss, reason = "both are far below what a float holds exactly")]
    let (messages, bytes) = (MESSAGES as f64, bytes as f64);
    let told = "serde_json, told where each begins and ends, ignoring all";
    Rate {
        bytes_per_second: Some(rate * bytes),
        ..Rate::of(what, rate * messages, told, baseline * messages)
    }
}
