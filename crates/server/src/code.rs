//! The stable words that refusals carry, each with the status it comes with and what it means. `docs/reference/errors.md`
//! shows this list.

/// Declares the words and the list of all of them.
macro_rules! codes {
    ($($name:ident = $word:literal, $status:literal, $meaning:literal;)*) => {
        $(pub(crate) const $name: &str = $word;)*

        /// Word, status, meaning.
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$(($word, $status, $meaning)),*];
    };
}

codes! {
    INVALID_REQUEST = "invalid_request", "400", "the body does not have the shape that is asked for; the text names the field";
    MALFORMED_JSON = "malformed_json", "400", "the body is not JSON";
    BROKEN_BODY = "broken_body", "400", "the body broke off before its end";
    INVALID_PARAMETER = "invalid_parameter", "400", "a query parameter is unknown or wrong; the text names it";
    INVALID_HEADER = "invalid_header", "400", "a header is wrong; the text names it";
    INVALID_PATH = "invalid_path", "400", "a name in the path is none of its kind";
    TOO_MANY = "too_many", "400", "more items than one request takes; split it";
    UNAUTHORIZED = "unauthorized", "401", "no valid token, or a socket peer who may not call";
    FORBIDDEN = "forbidden", "403", "a worker's token where an admin's is needed";
    CSRF = "csrf", "403", "the request comes with a session of the dashboard, and without its CSRF token";
    NOT_FOUND = "not_found", "404", "there is nothing at this path";
    UNKNOWN_ACCOUNT = "unknown_account", "404, in an order 422", "there is no such account; set it first";
    UNKNOWN_WORKER = "unknown_worker", "404", "no worker of this name is connected by a link or supervised";
    UNKNOWN_LINK = "unknown_link", "404", "no link of this name is configured";
    UNKNOWN_RUN = "unknown_run", "404", "there is no such recovery run";
    METHOD_NOT_ALLOWED = "method_not_allowed", "405", "the path is there, the method is not; the header `allow` says which are";
    SLOW_BODY = "slow_body", "408", "the body did not arrive in time";
    STALE_LEASE = "stale_lease", "409", "the sender does not hold the job any more: final for the worker, which drops the job";
    NO_POLICY_FILE = "no_policy_file", "409", "the policy in force was read from no file; set `recovery.policy`, and start the server again";
    RECOVERY_RUNNING = "recovery_running", "409", "a recovery cycle runs; `Retry-After` says when to ask again";
    ACCOUNT_NOT_VALID = "account_not_valid", "409", "the account has no token that holds; it must be authorised again";
    UNKNOWN_PROVIDER = "unknown_provider", "409", "the account's provider is not configured; add it as `[[oauth.provider]]`";
    REFRESH_REFUSED = "refresh_refused", "409", "the provider refused the refresh for good; authorise the account again";
    NOT_SUPERVISED = "not_supervised", "409", "the worker's process was not started here; restart it where it was";
    NO_WEBHOOK = "no_webhook", "409", "no webhook for alerts is set";
    NO_BREAKER = "no_breaker", "409", "workers connect to this link by themselves; there is nothing to guard";
    TOO_LARGE = "too_large", "413", "the body is larger than 1 MiB; split it";
    NOT_JSON = "not_json", "415", "send the body with `content-type: application/json`";
    UNKNOWN_HOST = "unknown_host", "421", "the server is not called that; see `server.allowed_hosts`";
    POLICY_REFUSED = "policy_refused", "422", "the policy file cannot be used; the text names lines and reasons, and the policy before it stays in force";
    UNKNOWN_PARENT = "unknown_parent", "422", "there is no job that this one could come from";
    WRONG_PROVIDER = "wrong_provider", "422", "the account belongs to another provider";
    WRONG_USER = "wrong_user", "422", "the account belongs to another user";
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", "422", "another order was carried out under this key; choose a new one";
    INTERNAL = "internal", "500", "a defect of the server's own; the log has the details under the request's id";
    UNDELIVERED = "undelivered", "502", "the webhook for alerts did not take the message; the text says why";
    PROVIDER_UNAVAILABLE = "provider_unavailable", "502", "the provider cannot be reached; ask again";
    STORAGE_SLOW = "storage_slow", "503", "the database did not take a write in time";
    TOO_MANY_WAITING = "too_many_waiting", "503; `jobs/open` 200", "as many workers wait for jobs, or listen to events, as the server lets; ask again a little later";
    TIMEOUT = "timeout", "`jobs/open` only", "provisioning took too long; ask again";
}

#[cfg(test)]
mod tests {
    use super::*;
    use reclaimer_domain::ports::StoreError;

    /// What the domain refuses reports and orders with.
    const OF_THE_DOMAIN: [(&str, &str, &str); 9] = [
        ("unknown_job", "404", "there is no such job"),
        ("illegal_transition", "409", "the job's state forbids it; the text names both ends"),
        ("not_terminal", "409", "only a finished or cancelled job can be run again"),
        ("key_held", "409", "a live job holds the unique key"),
        ("unknown_late_result", "404", "the job has no late result of this number"),
        ("accepted_before", "409", "the late result was accepted already"),
        ("broken_row", "409", "the job's row cannot be read; recovery sets it aside"),
        ("invalid_report", "400", "a report cannot be read; the text names the field"),
        ("unknown_status", "400", "a report has a status that is none; the text names those there are"),
    ];

    #[test]
    fn the_reference_page_has_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        for code in StoreError::CODES {
            assert!(
                stored.contains(&format!("| `{code}` | ")),
                "`{code}` is missing in docs/reference/errors.md"
            );
        }
        let (head, _) = stored.split_once("## From the API\n").unwrap();
        let rows: String = ALL
            .iter()
            .chain(&OF_THE_DOMAIN)
            .map(|(code, status, meaning)| format!("| `{code}` | {status} | {meaning} |\n"))
            .collect();
        let page = format!("{head}## From the API\n\n| code | status | means |\n|---|---|---|\n{rows}");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, page).unwrap();
            return;
        }
        assert!(page == stored, "docs/reference/errors.md is not up to date: run with UPDATE_SNAPSHOTS=1");
    }
}
