//! Workers' reports.

use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::job::lifecycle::Verdict;
use reclaimer_domain::ports::{Refused, ReportAnswer, ReportOrder, Reported, Reports};

use super::effects::Effects;
use super::job_table::Loaded;
use super::{areas, claim, event_table, job_table, late};

/// Applies reports one after the other, and then leases jobs.
pub(super) fn report_all(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: &Reports,
) -> QueryResult<Reported> {
    let waiting = effects.arrivals.len();
    let answers =
        order.reports.iter().map(|order| report(conn, effects, order)).collect::<QueryResult<_>>()?;
    if effects.arrivals.len() > waiting {
        // What they found may go before what claims have found.
        effects.claims.forget();
    }
    let next = order.next.as_ref().map(|next| claim::claim(conn, effects, next)).transpose()?;
    Ok(Reported { answers, next })
}

/// Applies one report, records its areas and spawns their missing jobs.
pub(super) fn report(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: &ReportOrder,
) -> QueryResult<ReportAnswer> {
    let ReportOrder { report, spawn, lease_for, now } = order;
    let (lease_for, now) = (*lease_for, *now);
    let Loaded { mut job, guard } = match job_table::find(conn, report.job.as_str())? {
        None => return Ok(ReportAnswer::Refused(Refused::NoSuchJob(report.job.clone()))),
        Some(Err(unreadable)) => {
            return Ok(ReportAnswer::Refused(Refused::Broken {
                id: unreadable.id.clone(),
                reason: unreadable.reason(),
            }));
        }
        Some(Ok(loaded)) => loaded,
    };
    let entries = match job.report(report, lease_for, now) {
        Err(illegal) => return Ok(ReportAnswer::Refused(illegal.into())),
        Ok(Verdict::Duplicate) => return Ok(ReportAnswer::Duplicate { status: job.status }),
        Ok(Verdict::Overtaken) if job_table::update(conn, effects, &guard, &job)? => {
            return Ok(ReportAnswer::Duplicate { status: job.status });
        }
        Ok(Verdict::Applied(entries)) if job_table::update(conn, effects, &guard, &job)? => entries,
        // The guard can only fail where another process took the job between the read and the write.
        Ok(Verdict::Stale | Verdict::Overtaken | Verdict::Applied(_)) => {
            let (history, kept) = (event_table::latest(conn, &job.id)?, late::count(conn, &job.id)?);
            if let Some(stale) = job.stale_report(report, &history, kept, now) {
                event_table::append(conn, effects, &job, stale.entry)?;
                if let Some(result) = &stale.late {
                    late::keep(conn, &job.id, result)?;
                }
            }
            return Ok(ReportAnswer::Stale { status: job.status });
        }
    };
    for entry in entries {
        event_table::append(conn, effects, &job, entry)?;
    }
    areas::record(conn, &report.areas, now)?;
    let spawned = areas::spawn(conn, effects, &job, &report.areas, spawn, now)?;
    Ok(ReportAnswer::Applied {
        status: job.status,
        expires_at: job.lease.map(|lease| lease.expires_at),
        spawned,
    })
}
