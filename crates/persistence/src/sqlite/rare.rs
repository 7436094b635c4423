//! The condition of the index of rare rows.

/// The condition of the index `job_rare`, which holds every row that somebody looks for and of which few exist. A statement that
/// uses the index repeats it: the engine compares word for word.
macro_rules! rare {
    () => {
        "((status <> 'queued' AND status <> 'running' AND status <> 'finished' AND status <> 'cancelled') \
         OR (status = 'queued' AND (substr(run_at, 11, 1) <> ' ' OR instr(progress, '\"pendingStart\":true') > 0)) \
         OR (status = 'running' AND (substr(lease_expires_at, 11, 1) <> ' ' \
         OR substr(recover_after, 11, 1) <> ' ')))"
    };
}
pub(crate) use rare;
