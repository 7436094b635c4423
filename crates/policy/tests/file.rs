//! What is refused in a policy file and what is doubted, each with its line.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use reclaimer_policy::file::{Finding, read};
use reclaimer_policy::{Defaults, Effect, Policy, limits};

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// Everything that is wrong with a file.
fn refused(text: &str) -> Vec<String> {
    shown(&read(text, Defaults::default()).unwrap_err().findings)
}

/// Everything that is doubtful in a file.
fn doubted(text: &str) -> Vec<String> {
    shown(&read(text, Defaults::default()).unwrap().warnings)
}

/// A file of one rule with this `match` and these further lines.
fn rule(matched: &str, more: &str) -> String {
    format!("[[rule]]\nname = \"r\"\nmatch = {{ {matched} }}\naction = \"requeue\"\n{more}\n")
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let [finding] = &refused("[[rule]]\nname = \"a\"\nmatch = { status = \"failed\"\naction = 1\n")[..]
    else {
        panic!("one finding")
    };
    assert_eq!(finding, "4:1: missing comma between key-value pairs, expected `,`");
    let [finding] = &refused("[[rule]]\nname = \"a\"\nname = \"b\"\n")[..] else { panic!("one finding") };
    assert!(finding.starts_with("3:1: ") && finding.contains("duplicate"), "{finding}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    let text = "[default]\n[[rule]]\nname = \"r\"\nactoin = \"requeue\"\n\
                action = \"requeue\"\nmatch = { error_contain = \"x\", zzzzzzzzzzzz = 1 }\n";
    assert_eq!(
        refused(text),
        [
            "1:2: unknown key `default`; did you mean `defaults`?",
            "4:1: rule `r`: unknown key `actoin`; did you mean `action`?",
            "6:11: rule `r`: unknown key `error_contain`; did you mean `error_contains`?",
            "6:32: rule `r`: unknown key `zzzzzzzzzzzz`; `match` takes `status`, `retryable`, `stuck`, \
             `attempt_at_least`, `older_than`, `priority_below`, `queue`, `error_type`, `command`, \
             `error_contains`, `error_regex`",
        ]
    );
    assert_eq!(
        refused("[[rule]]\nname = \"r\"\naction = \"retry\"\n"),
        ["3:10: rule `r`: `action`: one of `requeue`, `quarantine`, `leave`, got `retry`"]
    );
}

#[test]
fn values_out_of_range_are_refused_with_what_is_allowed() {
    for (matched, more, expected) in [
        (
            "older_than = \"-5m\"",
            "",
            "3:24: rule `r`: `older_than` is a length of time, e.g. \"90s\" or \"2h 30m\", from 0s to 10years, \
             got \"-5m\"",
        ),
        (
            "attempt_at_least = -1",
            "",
            "3:30: rule `r`: `attempt_at_least` is a whole number from 0 to 4294967295, got -1",
        ),
        ("", "priority = 20", "5:12: rule `r`: `priority` is a whole number from -20 to 19, got 20"),
        (
            "",
            "poison_after = 0",
            "5:16: rule `r`: `poison_after` is a whole number from 1 to 4294967295, got 0",
        ),
        (
            "queue = []",
            "",
            "3:19: rule `r`: `queue` is a text or a list of 1 to 100 texts, got an empty list",
        ),
        (
            "retryable = \"maybe\"",
            "",
            "3:23: rule `r`: `retryable` is true, false, or \"not_said\" where the worker did not say",
        ),
        (
            "stuck = \"asleep\"",
            "",
            "3:19: rule `r`: `stuck`: one of `lease_expired`, `timeout`, `no_update`, got `asleep`",
        ),
        (
            "",
            "require = [\"account_vald\"]",
            "5:12: rule `r`: `require`: one of `account_present`, `account_valid`, got `account_vald`; did you mean `account_valid`?",
        ),
        ("", "backoff = { kind = \"fixed\" }", "5:11: rule `r`: a fixed backoff needs a `delay`"),
        (
            "",
            "backoff = { kind = \"fixed\", delay = \"1s\", base = \"1s\" }",
            "5:43: rule `r`: unknown key `base`; a fixed backoff takes `kind`, `delay`, `cap`, `jitter`",
        ),
        (
            "",
            "backoff = { kind = \"exponential\", base = \"1s\", factor = 0.5 }",
            "5:57: rule `r`: `factor` is a number from 1 to 1000, got 0.5",
        ),
    ] {
        let found = refused(&rule(matched, more));
        assert!(found.len() == 1 && found[0] == expected, "{found:#?}\n{expected}");
    }
}

#[test]
fn a_rule_needs_a_name_of_its_own_and_an_action() {
    assert_eq!(refused("[[rule]]\naction = \"leave\"\n"), ["1:1: a rule needs `name`"]);
    assert_eq!(refused("[[rule]]\nname = \"a\"\n"), ["1:1: rule `a`: a rule needs `action`"]);
    let twice = "[[rule]]\nname = \"a\"\naction = \"leave\"\n".repeat(2);
    assert_eq!(refused(&twice), ["5:8: there is a rule `a` in line 2 already"]);
    assert_eq!(refused("rule = 1\n"), ["1:8: rules are tables of a list, each under [[rule]]"]);
}

#[test]
fn patterns_that_are_none_or_would_be_costly_are_refused() {
    let starts = |matched: &str, expected: &str| {
        let found = refused(&rule(matched, ""));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:#?}\n{expected}");
    };
    starts("error_regex = \"(a\"", "3:11: rule `r`: `error_regex`: `(a`: unclosed group");
    starts(
        "error_regex = '(a)\\1'",
        "3:11: rule `r`: `error_regex`: `(a)\\1`: backreferences are not supported",
    );
    starts(
        "error_regex = '((\\w{50}){50}){50}'",
        "3:11: rule `r`: `error_regex`: `((\\w{50}){50}){50}`: takes more than 128 KiB once compiled",
    );
    starts("command = \"[a\"", "3:11: rule `r`: `command`: `[a` is no glob: ");
    let long = "x".repeat(limits::LONGEST_PATTERN + 1);
    starts(
        &format!("error_contains = \"{long}\""),
        "3:28: rule `r`: `error_contains` is a text of 1 to 1000 characters",
    );
}

/// A pattern that would take ages in a backtracking engine is no trouble: the time of a search is in proportion to what
/// is searched, of which there is a limit.
#[test]
fn a_pattern_that_is_catastrophic_elsewhere_is_harmless_here() {
    let policy: Policy = rule("error_regex = '^(a+)+$'", "").parse().unwrap();
    let job = reclaimer_testkit::a_job().failed_with(&("a".repeat(100_000) + "!")).build();
    let account = reclaimer_domain::account::AccountState::NotNeeded;
    let subject = reclaimer_policy::Subject { job: &job, account: &account, sign: None };
    let decision = policy.decide(&subject, reclaimer_testkit::noon(), &mut reclaimer_testkit::seeded(1));
    // What stands behind the first 4 KiB is not seen: the pattern meets letters alone.
    assert_eq!(decision.rule.unwrap().as_str(), "r");
}

#[test]
fn a_policy_that_is_too_large_is_refused() {
    let large = "#".repeat(limits::LARGEST_FILE + 1);
    assert_eq!(refused(&large), ["1:1: a policy file has at most 512 KiB"]);
    let many: String = (0..=limits::MOST_RULES)
        .map(|n| format!("[[rule]]\nname = \"r{n}\"\naction = \"leave\"\n"))
        .collect();
    let found = refused(&many);
    assert_eq!(found, ["1502:8: rule `r500`: a policy has at most 500 rules"]);
}

#[test]
fn rules_that_can_never_match_are_doubted() {
    let two = |first: &str, second: &str| {
        let rule = |name: &str, matched: &str| {
            format!("[[rule]]\nname = \"{name}\"\nmatch = {{ {matched} }}\naction = \"requeue\"\n")
        };
        doubted(&format!("builtin = false\n{}{}", rule("first", first), rule("second", second)))
    };
    let swallowed =
        ["7:8: rule `second`: it never matches: rule `first` in line 3 takes every job that it would"];
    let failed = "status = \"failed\"";
    for (first, second) in [
        (failed.to_owned(), format!("{failed}, error_contains = \"x\"")),
        (
            format!("{failed}, command = \"PROJECT_*\""),
            format!("{failed}, command = [\"PROJECT_A\", \"PROJECT_B*\"]"),
        ),
        (
            format!("{failed}, error_contains = \"TOKEN\""),
            format!("{failed}, error_contains = \"access token\""),
        ),
        (format!("{failed}, attempt_at_least = 2"), format!("{failed}, attempt_at_least = 3")),
        (format!("{failed}, priority_below = 5"), format!("{failed}, priority_below = 0")),
        ("status = \"running\"".to_owned(), "stuck = \"timeout\"".to_owned()),
    ] {
        assert_eq!(two(&first, &second), swallowed, "{first} / {second}");
    }
    for (first, second) in [
        (format!("{failed}, command = \"PROJECT_A*\""), format!("{failed}, command = \"PROJECT_*\"")),
        (format!("{failed}, older_than = \"2h\""), format!("{failed}, older_than = \"1h\"")),
        (format!("{failed}, error_regex = \"a\""), format!("{failed}, error_contains = \"a\"")),
        ("stuck = \"timeout\"".to_owned(), "status = \"running\"".to_owned()),
    ] {
        assert_eq!(two(&first, &second), [""; 0], "{first} / {second}");
    }
    assert_eq!(
        doubted(&rule("status = \"failed\", stuck = \"timeout\"", "")),
        ["3:30: rule `r`: it never matches: only a running job is stuck"]
    );
    assert_eq!(
        doubted(&rule("status = \"queued\"", "")),
        ["3:11: rule `r`: it never matches: recovery looks at failed and running jobs, not at queued ones"]
    );
}

#[test]
fn what_takes_over_built_in_rules_or_has_no_effect_is_doubted() {
    assert_eq!(
        doubted("[[rule]]\nname = \"all\"\naction = \"leave\"\nmax_recoveries = 3\n"),
        [
            "2:8: rule `all`: it takes every job of the built-in rules `retryable`, `unknown-data-type`, \
             `missing-account-data`, `missing-access-token` and `stuck`, and more",
            "4:1: rule `all`: `max_recoveries` has no effect with action = \"leave\"",
        ]
    );
    assert_eq!(
        doubted("[[rule]]\nname = \"stuck\"\naction = \"quarantine\"\nmatch = { stuck = \"timeout\" }\n"),
        [
            "2:8: rule `stuck`: it replaces the built-in rule of this name, in its place behind the file's other rules"
        ]
    );
    assert_eq!(doubted("builtin = false\n[[rule]]\nname = \"stuck\"\naction = \"leave\"\n"), [""; 0]);
}

#[test]
fn defaults_come_from_the_file_and_else_from_whoever_reads_it() {
    let outside = Defaults { max_recoveries: 9, poison_after: 8, ..Defaults::default() };
    let text = "[defaults]\npoison_after = 2\nlook_again = \"1h\"\n";
    let policy = read(text, outside).unwrap().policy;
    let found = policy.defaults();
    assert_eq!((found.max_recoveries, found.poison_after), (9, 2));
    assert_eq!(found.look_again, Duration::from_secs(3_600));
    assert_eq!(found.backoff, Defaults::default().backoff);
    let empty = read("", outside).unwrap().policy;
    assert_eq!(empty.hash(), Policy::builtin_with(outside).hash(), "an empty file changes nothing");
}

#[test]
fn a_rule_of_a_built_in_name_takes_its_place() {
    let policy: Policy = "[[rule]]\nname = \"stuck\"\naction = \"leave\"\n[[rule]]\nname = \"own\"\n\
                          match = { queue = \"q\" }\naction = \"leave\"\n"
        .parse()
        .unwrap();
    let names: Vec<&str> = policy.rules().map(|rule| rule.name.as_str()).collect();
    assert_eq!(
        names,
        ["own", "retryable", "unknown-data-type", "missing-account-data", "missing-access-token", "stuck"]
    );
    assert_eq!(policy.rules().last().unwrap().effect, Effect::Leave);
}
