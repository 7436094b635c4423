//! Workers' reports, and what they find.

use reclaimer_domain::area::Area;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::lifecycle::Verdict;
use reclaimer_domain::job::{Job, SpawnIntent};
use reclaimer_domain::ports::{Refused, ReportAnswer, ReportOrder, StoreError};

use chrono::{DateTime, Utc};

use super::data::Data;
use super::effects::Effects;
use super::late;

/// Applies one report, records its areas and spawns their missing jobs.
pub(super) fn report(
    data: &mut Data,
    effects: &mut Effects,
    order: ReportOrder,
) -> Result<ReportAnswer, StoreError> {
    let ReportOrder { report, spawn, lease_for, now } = order;
    let mut job = match data.find(&report.job) {
        None => return Ok(ReportAnswer::Refused(Refused::NoSuchJob(report.job))),
        Some(Err(broken)) => {
            let refused = Refused::Broken { id: broken.id, reason: broken.reason };
            return Ok(ReportAnswer::Refused(refused));
        }
        Some(Ok(job)) => job,
    };
    match job.report(&report, lease_for, now) {
        Err(illegal) => return Ok(ReportAnswer::Refused(illegal.into())),
        Ok(Verdict::Duplicate) => return Ok(ReportAnswer::Duplicate { status: job.status }),
        Ok(Verdict::Overtaken) => {
            data.save(&job, []);
            return Ok(ReportAnswer::Duplicate { status: job.status });
        }
        Ok(Verdict::Stale) => {
            late::keep(data, &job, &report, now);
            return Ok(ReportAnswer::Stale { status: job.status });
        }
        Ok(Verdict::Applied(entries)) => data.save(&job, entries),
    }
    let spawned = found(data, effects, &job, &report.areas, &spawn, now)?;
    let expires_at = job.lease.map(|lease| lease.expires_at);
    Ok(ReportAnswer::Applied { status: job.status, expires_at, spawned })
}

/// Records areas, and creates the intended jobs whose (account, area, command) has none yet; answers how many.
pub(super) fn found(
    data: &mut Data,
    effects: &mut Effects,
    finder: &Job,
    areas: &[Area],
    intents: &[SpawnIntent],
    now: DateTime<Utc>,
) -> Result<u32, StoreError> {
    for area in areas {
        let known = data.areas.remove(&area.full_path);
        let (external_id, name) = known.map(|known| (known.external_id, known.name)).unwrap_or_default();
        let merged = Area {
            external_id: area.external_id.clone().or(external_id),
            name: area.name.clone().or(name),
            ..area.clone()
        };
        data.areas.insert(area.full_path.clone(), merged);
    }
    let mut spawned = 0;
    for intent in intents {
        let Some(area) = areas.get(intent.area) else { continue };
        let exists = data.rows().any(|row| {
            row.job.full_path.as_ref() == Some(&area.full_path)
                && row.job.command == intent.command
                && row.job.account_id == finder.account_id
        });
        if !exists {
            data.insert_new(effects, &intent.job(finder, area, now), Actor::System)?;
            spawned += 1;
        }
    }
    Ok(spawned)
}
