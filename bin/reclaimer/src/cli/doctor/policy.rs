//! The policy file, and whether the running server decides by it.

use serde_json::Value;

use super::Finding;
use crate::cli::output::cell;
use crate::client::Client;
use crate::config::Recovery;
use crate::policy::Loaded;

/// The file that the settings name, by itself.
pub(super) fn file(settings: &Recovery) -> Vec<Finding> {
    match (Loaded::of(settings), &settings.policy) {
        (Err(unusable), _) => {
            let advice = "correct the file (`reclaimer policy check` tries it); the server does not start with it, and \
                          one that runs keeps the policy before it";
            unusable.lines().into_iter().map(|line| Finding::problem("policy", line, advice)).collect()
        }
        (Ok(_), None) => vec![Finding::ok("policy", "no policy file: the built-in rules alone")],
        (Ok(loaded), Some(path)) if loaded.warnings.is_empty() => {
            let (rules, hash) = (loaded.policy.rules().len(), loaded.policy.hash());
            vec![Finding::ok("policy", format!("{}: {rules} rules, {hash}", path.display()))]
        }
        (Ok(loaded), Some(path)) => {
            let advice = "change the rule, or leave it if that is meant";
            let found = loaded.warnings.iter().map(|warning| format!("{}:{warning}", path.display()));
            found.map(|found| Finding::warning("policy", found, advice)).collect()
        }
    }
}

/// What the running server decides by, beside what its file says.
pub(super) async fn in_force(client: &Client, settings: &Recovery) -> Option<Finding> {
    let view = client.get(&["api", "admin", "policy"]).await.ok()?;
    let on_file = Loaded::of(settings).ok().map(|loaded| loaded.policy.hash().to_string());
    Some(compared(&view, on_file.as_deref()))
}

fn compared(view: &Value, on_file: Option<&str>) -> Finding {
    const CHECK: &str = "policy in force";
    let hash = cell(&view["hash"]);
    if !view["refused"].is_null() {
        let found = format!("{hash}; another was refused: {}", cell(&view["refused"]["message"]));
        return Finding::warning(CHECK, found, "correct the file, then run `reclaimer policy reload`");
    }
    match on_file {
        Some(on_file) if on_file != hash => {
            let found = format!("the server decides by {hash}, its file says {on_file}");
            Finding::warning(CHECK, found, "run `reclaimer policy reload` if the file is meant")
        }
        Some(_) | None => Finding::ok(CHECK, hash),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_that_is_not_the_one_on_file_is_told() {
        let view = |refused: Value| json!({ "hash": "a1", "refused": refused });
        let verdict = |view: &Value, on_file| compared(view, on_file).verdict;
        assert_eq!(verdict(&view(Value::Null), Some("a1")), Verdict::Ok);
        assert_eq!(
            verdict(&view(Value::Null), None),
            Verdict::Ok,
            "what is wrong with the file is said elsewhere"
        );
        assert_eq!(verdict(&view(Value::Null), Some("b2")), Verdict::Warning);
        let refused = compared(&view(json!({ "message": "p.toml:3:1: oh" })), Some("a1"));
        assert!(
            refused.verdict == Verdict::Warning && refused.found.contains("p.toml:3:1: oh"),
            "{refused:?}"
        );
    }
}
