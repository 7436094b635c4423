//! The page shows what runs here.

#[test]
fn the_page_shows_the_code_that_runs() {
    let page = include_str!("../../../docs/testing-policies.md");
    for (name, source) in [
        ("policy.toml", include_str!("policy.toml")),
        ("policy_example.rs", include_str!("policy_example.rs")),
        ("embedding.rs", include_str!("embedding.rs")),
    ] {
        // Without what the file says of itself.
        let code =
            source.strip_prefix("//!").and_then(|rest| rest.split_once("\n\n")).map_or(source, |it| it.1);
        assert!(page.contains(code), "docs/testing-policies.md does not show tests/{name} as it is");
    }
}
