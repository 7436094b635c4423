//! Areas that reports found, and the jobs they ask for.

use chrono::{DateTime, Utc};
use diesel::sql_types::BigInt;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::area::Area;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::{Job, SpawnIntent};
use reclaimer_domain::name::AccountId;

use super::create::{NewRow, insert_new};
use super::effects::Effects;
use super::statement::prepared;

/// Records areas, new or seen before.
pub(super) fn record(conn: &mut SqliteConnection, areas: &[Area], now: DateTime<Utc>) -> QueryResult<()> {
    for area in areas {
        prepared!(
            "INSERT INTO area (full_path, external_id, name, type, created_at, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (full_path) DO UPDATE SET \
             external_id = coalesce(excluded.external_id, external_id), name = coalesce(excluded.name, name), \
             type = excluded.type, updated_at = excluded.updated_at \
             WHERE external_id IS NOT coalesce(excluded.external_id, external_id) \
             OR name IS NOT coalesce(excluded.name, name) OR type <> excluded.type",
            &area.full_path,
            area.external_id.as_ref(),
            area.name.as_ref(),
            area.kind.as_str(),
            now,
            now,
        )
        .run(conn)?;
    }
    Ok(())
}

/// Creates the intended jobs whose (account, area, command) has none yet; answers how many.
pub(super) fn spawn(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    parent: &Job,
    areas: &[Area],
    intents: &[SpawnIntent],
    now: DateTime<Utc>,
) -> QueryResult<u32> {
    let mut spawned = 0;
    for intent in intents {
        let Some(area) = areas.get(intent.area) else { continue };
        let found: Option<(i64,)> = prepared!(
            "SELECT 1 FROM job WHERE full_path = ? AND command = ? AND account_id IS ? LIMIT 1",
            &area.full_path,
            intent.command.as_str(),
            parent.account_id.as_ref().map(AccountId::as_str),
        )
        .rows::<(BigInt,)>()
        .first(conn)?;
        if found.is_none() {
            let row = NewRow::of(intent.job(parent, area, now));
            insert_new(conn, effects, &row, Actor::System)?;
            effects.now_waits(&row.job);
            spawned += 1;
        }
    }
    Ok(spawned)
}
