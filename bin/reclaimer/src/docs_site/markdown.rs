//! Markdown as HTML, with links between the repository's files led to their pages.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// A file's heading and the rest of it as HTML. `page_of` says which page a file of the repository has.
pub(super) fn render(
    file: &str,
    text: &str,
    page_of: impl Fn(&str) -> Option<String>,
) -> (Option<String>, String) {
    let mut title: Option<String> = None;
    let mut in_title = false;
    let mut linked: Vec<bool> = Vec::new();
    let mut events = Vec::new();
    // Where the heading begins that is being read, and its words.
    let mut heading: Option<(usize, String)> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        if let (Some((_, words)), Event::Text(more) | Event::Code(more)) = (&mut heading, &event) {
            words.push_str(more);
        }
        match event {
            Event::Start(Tag::Heading { level: pulldown_cmark::HeadingLevel::H1, .. }) if title.is_none() => {
                title = Some(String::new());
                in_title = true;
            }
            Event::End(TagEnd::Heading(pulldown_cmark::HeadingLevel::H1)) if in_title => in_title = false,
            Event::Text(words) | Event::Code(words) if in_title => {
                title.get_or_insert_default().push_str(&words);
            }
            Event::Start(Tag::Heading { .. }) => {
                heading = Some((events.len(), String::new()));
                events.push(event);
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((start, words)) = heading.take()
                    && let Event::Start(Tag::Heading { id, .. }) = &mut events[start]
                {
                    *id = Some(anchor(&words).into());
                }
                events.push(event);
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                // A link to a file that has no page stays as its words.
                let target = target(file, &dest_url, &page_of);
                linked.push(target.is_some());
                if let Some(target) = target {
                    events.push(Event::Start(Tag::Link { link_type, dest_url: target, title, id }));
                }
            }
            Event::End(TagEnd::Link) => {
                if linked.pop() == Some(true) {
                    events.push(Event::End(TagEnd::Link));
                }
            }
            // The site has no pictures: what is said of one stays.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => {}
            // Raw HTML is shown, not interpreted.
            Event::Html(raw) | Event::InlineHtml(raw) => events.push(Event::Text(raw)),
            other => events.push(other),
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    (title, out)
}

/// The name by which links lead to a heading.
fn anchor(words: &str) -> String {
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn target<'a>(
    file: &str,
    link: &CowStr<'a>,
    page_of: &impl Fn(&str) -> Option<String>,
) -> Option<CowStr<'a>> {
    if link.starts_with("https://") || link.starts_with('#') {
        return Some(link.clone());
    }
    let (path, part) = link.split_once('#').map_or((&**link, None), |(path, part)| (path, Some(part)));
    let page = page_of(&resolve(file, path))?;
    Some(match part {
        Some(part) => format!("/docs/{page}#{part}").into(),
        None => format!("/docs/{page}").into(),
    })
}

/// A link relative to the file it stands in, as a path of the repository.
fn resolve(file: &str, link: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_files_become_links_between_pages() {
        let page_of =
            |file: &str| (file == "docs/reference/errors.md").then(|| "reference/errors".to_owned());
        let text = "# A *title*\n\n[codes](reference/errors.md#x), [code](../src/lib.rs), <script>, ![a cat](cat.png)\n\n## `open`, and so on";
        let (title, body) = render("docs/architecture.md", text, page_of);
        assert_eq!(title.as_deref(), Some("A title"));
        assert!(body.contains("<a href=\"/docs/reference/errors#x\">codes</a>, code"), "{body}");
        assert!(body.contains("&lt;script&gt;, a cat</p>"), "{body}");
        assert!(body.contains("<h2 id=\"open-and-so-on\"><code>open</code>, and so on</h2>"), "{body}");
    }
}
