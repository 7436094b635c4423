//! The pure cores: policy, codec, state machine, and what is read of a report.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::id::{IdGenerator, RunId};
use reclaimer_domain::job::report::{Holder, Outcome, Report};
use reclaimer_domain::job::{Job, LeaseToken, NewJob, Progress, Status};
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::wire::{JobOnTheWire, read_report};
use reclaimer_messaging::dialect::{Dialect, Envelope};
use reclaimer_messaging::frame::{Decoder, Frame, Limits};
use reclaimer_policy::{Policy, Subject};

use crate::Piece;

/// So many rules a policy has beside the built-in ones.
const RULES: usize = 45;
const LEASE: Duration = Duration::from_secs(60);

/// A report as a crawler sends it over a link.
const FRAME: &str = concat!(
    r#"{"origin":"external-crawler","destination":"web-server","type":"message","key":"PROGRESS_UPDATE","payload":"#,
    r#"{"taskId":"01JX0A7Z6TQK3W0V5B9D2E4F6G","lease":"74dbe4a1422ee6fc06f88fe898c57f54","status":"processing","#,
    r#""timestamp":"2025-06-03T16:00:05.000Z","processedItems":40,"totalItems":200,"currentDataType":"issues","#,
    r#""message":"page 4 of \"issues\"","progress":{"cursor":"eyJpZCI6MTIzNDU2Nzg5MH0="}},"timestamp":1748966405000}"#
);

/// The pieces of work of the pure cores.
///
/// # Errors
/// When one of them cannot be prepared: a defect.
pub fn cores() -> Result<Vec<Piece>> {
    let now = DateTime::<Utc>::from_timestamp(1_748_966_405, 0).context("a moment")?;
    Ok(vec![
        decided(
            "policy: a failure that a rule in the middle matches",
            failed(now, "the answer says E22")?,
            None,
            now,
        )?,
        decided(
            "policy: a failure that no rule matches",
            failed(now, &"nothing that is known ".repeat(5))?,
            None,
            now,
        )?,
        decided("policy: a stuck job", job(now, Status::Running)?, Some(StuckSign::NoUpdate), now)?,
        cut_and_read()?,
        report_read()?,
        job_written(now)?,
        through_its_states(now)?,
    ])
}

fn job(now: DateTime<Utc>, status: Status) -> Result<Job> {
    let mut job = Job::new("01JX0A7Z6TQK3W0V5B9D2E4F6G".parse()?, NewJob::of("PROJECT_ISSUES".parse()?), now);
    job.status = status;
    job.attempt = 1;
    Ok(job)
}

fn failed(now: DateTime<Utc>, error: &str) -> Result<Job> {
    let mut job = job(now, Status::Failed)?;
    job.finished_at = Some(now);
    job.progress.insert("error".to_owned(), error.into());
    Ok(job)
}

fn policy() -> Result<Policy> {
    let mut rules = String::new();
    for n in 0..RULES {
        let asks = match n % 3 {
            0 => format!("error_contains = \"socket {n} hung up\""),
            1 => format!("error_regex = 'says E{n}\\b'"),
            _ => format!("command = \"GROUP_{n}*\", error_type = \"http_{n}\""),
        };
        writeln!(
            rules,
            "[[rule]]\nname = \"rule-{n}\"\nmatch = {{ status = \"failed\", {asks} }}\naction = \"requeue\""
        )?;
    }
    Ok(rules.parse()?)
}

fn decided(name: &'static str, job: Job, sign: Option<StuckSign>, now: DateTime<Utc>) -> Result<Piece> {
    let policy = policy()?;
    let mut rng = StdRng::seed_from_u64(7);
    Ok(Piece::new(name, 10_000, move || {
        let subject = Subject { job: black_box(&job), account: &AccountState::NotNeeded, sign };
        black_box(policy.decide(&subject, now, &mut rng));
        Ok(())
    }))
}

fn cut_and_read() -> Result<Piece> {
    let dialect = Dialect::Envelope(Envelope {
        id: "web-server".to_owned(),
        kind: "web-server".to_owned(),
        pid: 1,
        peer: "external-crawler".to_owned(),
        command_peer: "external-crawler".to_owned(),
    });
    let mut decoder = Decoder::new(Limits::default());
    Ok(Piece::new("codec: a report cut and read", 1_500, move || {
        decoder.push(black_box(FRAME.as_bytes()));
        let Some(Frame::Whole(bytes)) = decoder.next_frame() else { anyhow::bail!("no frame: a defect") };
        black_box(dialect.read(bytes)?);
        Ok(())
    }))
}

fn report_read() -> Result<Piece> {
    let frame: serde_json::Value = serde_json::from_str(FRAME)?;
    let body = frame["payload"].to_string();
    Ok(Piece::new("wire: a report read", 1_500, move || {
        black_box(read_report(serde_json::from_slice(black_box(body.as_bytes()))?, None)?);
        Ok(())
    }))
}

fn job_written(now: DateTime<Utc>) -> Result<Piece> {
    let mut job = job(now, Status::Queued)?;
    job.claim(&"worker-1".parse()?, "74dbe4a1422ee6fc06f88fe898c57f54".parse()?, LEASE, now)?;
    job.payload = serde_json::from_str(FRAME)?;
    let wire = JobOnTheWire::new(job, None);
    let mut out = Vec::new();
    Ok(Piece::new("wire: a job written", 1_500, move || {
        out.clear();
        serde_json::to_writer(&mut out, black_box(&wire))?;
        black_box(&out);
        Ok(())
    }))
}

/// Taken, lost, decided about, taken back, taken again and reported.
fn through_its_states(now: DateTime<Utc>) -> Result<Piece> {
    let queued = job(now, Status::Queued)?;
    let (worker, policy): (WorkerId, Policy) = ("worker-1".parse()?, Policy::builtin());
    let (token, run): (LeaseToken, RunId) =
        ("74dbe4a1422ee6fc06f88fe898c57f54".parse()?, IdGenerator::new(StdRng::seed_from_u64(7)).run(now));
    let report = Report {
        job: queued.id.clone(),
        holder: Holder::Lease(token.clone()),
        sender: None,
        outcome: Outcome::Completed,
        stamp: None,
        digest: None,
        said: Progress::default(),
        resume_state: None,
        areas: Vec::new(),
    };
    let mut rng = StdRng::seed_from_u64(7);
    Ok(Piece::new("states: claimed, lost, recovered, claimed, reported", 1_500, move || {
        let mut job = queued.clone();
        black_box(job.claim(&worker, token.clone(), LEASE, now)?);
        let sign = Some(StuckSign::LeaseExpired);
        let decision =
            policy.decide(&Subject { job: &job, account: &AccountState::NotNeeded, sign }, now, &mut rng);
        black_box(job.recover(&decision, &run, now)?);
        black_box(job.claim(&worker, token.clone(), LEASE, now)?);
        black_box(job.report(&report, LEASE, now)?);
        ensure!(job.status == Status::Finished, "a reported job is {}: a defect", job.status);
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_piece_can_be_done_again_and_again() {
        for mut piece in crate::all().unwrap() {
            for _ in 0..3 {
                (piece.once)().unwrap();
            }
        }
    }
}
