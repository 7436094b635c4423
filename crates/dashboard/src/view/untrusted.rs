//! Text that comes from outside, shown as text and nothing else.
//!
//! Escaping is maud's. What remains is that text can change the order of what stands around it (marks of direction), hide
//! in it (characters without width), or be too long: here it is isolated, made visible, and cut.

use maud::{Markup, html};
use serde_json::Value;

/// A text of one line or a few, cut after so many characters.
pub(crate) fn shown(text: &str, most: usize) -> Markup {
    cut(text, most, None)
}

/// The same, with a link to the whole where it is cut.
pub(crate) fn linked(text: &str, most: usize, whole: &str) -> Markup {
    cut(text, most, Some(whole))
}

/// JSON as people read it, cut after so many characters, with a link to the whole.
pub(crate) fn json(value: &Value, most: usize, whole: &str) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre tabindex="0" { (cut(&text, most, Some(whole))) } }
}

/// A text for where there can be no markup: a title, the name of a field for those who hear it.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut plain = String::new();
    for c in text.chars().take(most) {
        if is_odd(c) { plain.push_str(&code(c)) } else { plain.push(c) }
    }
    if text.chars().nth(most).is_some() {
        plain.push('…');
    }
    plain
}

fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

fn cut(text: &str, most: usize, whole: Option<&str>) -> Markup {
    let end = text.char_indices().nth(most).map(|(place, _)| place);
    let head = &text[..end.unwrap_or(text.len())];
    html! {
        bdi { @for piece in pieces(head) { (piece) } }
        @if end.is_some() {
            span.cut {
                "… " (super::words::number(text.chars().count() as u64)) " characters"
                @if let Some(whole) = whole { ", " a href=(whole) { "all of it as text" } }
            }
        }
    }
}

/// The text in pieces: runs of ordinary characters, and each other one as its code point.
fn pieces(text: &str) -> impl Iterator<Item = Markup> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        if is_odd(first) {
            rest = &rest[first.len_utf8()..];
            return Some(html! { span.odd { (code(first)) } });
        }
        let run = rest.find(is_odd).unwrap_or(rest.len());
        let (run, after) = rest.split_at(run);
        rest = after;
        Some(html! { (run) })
    })
}

/// Whether a character is not seen, or moves others.
fn is_odd(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, most: usize) -> String {
        linked(text, most, "/whole").into_string()
    }

    #[test]
    fn markup_is_text() {
        let shown = of("<script>alert(\"1\")</script>&amp;", 100);
        assert_eq!(shown, "<bdi>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;</bdi>");
    }

    #[test]
    fn what_is_not_seen_is_named() {
        let shown = of("a\u{202e}b\0c\u{200b}\r\n\td", 100);
        let odd = |code| format!("<span class=\"odd\">{code}</span>");
        let expected = format!(
            "<bdi>a{}b{}c{}{}\n\td</bdi>",
            odd("U+202E"),
            odd("U+0000"),
            odd("U+200B"),
            odd("U+000D")
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_says_how_long_it_is() {
        let shown = of(&"é".repeat(1_048_576), 10);
        let more =
            "<span class=\"cut\">… 1,048,576 characters, <a href=\"/whole\">all of it as text</a></span>";
        assert_eq!(shown, format!("<bdi>{}</bdi>{more}", "é".repeat(10)));
        assert_eq!(of("éé", 2), "<bdi>éé</bdi>");
        assert_eq!(of("", 0), "<bdi></bdi>");
    }

    #[test]
    fn where_there_can_be_no_markup_the_same_is_named() {
        assert_eq!(plain("a\u{202e}b\0cd", 5), "aU+202EbU+0000c…");
        assert_eq!(plain("abc", 3), "abc");
    }

    #[test]
    fn every_character_is_shown_or_named() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = of(&c.to_string(), 1);
            let named = shown.contains(&format!("U+{:04X}", u32::from(c)));
            assert_eq!(named, is_odd(c), "{c:?}");
        }
    }
}
