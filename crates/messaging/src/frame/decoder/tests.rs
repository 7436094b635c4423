use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SMALL: Limits = Limits { frame: 64, skip: 256 };

/// What a decoder finds in these pieces, as words.
fn found(limits: Limits, pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(limits);
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next_frame() {
            found.push(match frame {
                Frame::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Frame::Rubbish { fault, .. } => format!("! {fault}"),
            });
        }
    }
    found
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(found(SMALL, &[text.as_bytes()]), expected, "whole: {text}");
    // Split at every byte, and byte by byte, the frames are the same.
    for cut in 1..text.len() {
        let (one, other) = text.as_bytes().split_at(cut);
        assert_eq!(found(SMALL, &[one, other]), expected, "cut at {cut}: {text}");
    }
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(found(SMALL, &bytes), expected, "byte by byte: {text}");
}

const BROKEN: &str = "! bytes that are no JSON object";
const TOO_LARGE: &str = "! a frame of more than 64 bytes";
const TOO_DEEP: &str = "! a frame nested deeper than 64 levels";

#[test]
fn frames_stand_alone_or_in_a_row() {
    check("{}", &["{}"]);
    check("{\"a\":1}{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]);
    check(" \r\n{\"a\":1}\n\n\t{\"b\":[1,{}]} ", &["{\"a\":1}", "{\"b\":[1,{}]}"]);
    check(
        "{\"a\":-1.5e3,\"b\":null,\"c\":[true, false]}",
        &["{\"a\":-1.5e3,\"b\":null,\"c\":[true, false]}"],
    );
}

#[test]
fn braces_quotes_and_escapes_in_strings_are_text() {
    let tricky = r#"{"a{":"}\"{\\","b":"\u007b"}"#;
    check(&format!("{tricky}{tricky}"), &[tricky, tricky]);
    check("{\"ü\":\"{🚀}\"}{}", &["{\"ü\":\"{🚀}\"}", "{}"]);
}

#[test]
fn after_rubbish_it_goes_on_at_the_next_frame() {
    check("rubbish{\"a\":1}", &[BROKEN, "{\"a\":1}"]);
    check("{\"a\":1}]]}, x {\"b\":2}", &["{\"a\":1}", BROKEN, "{\"b\":2}"]);
    check("{garbage {\"a\":1}", &[BROKEN, "{\"a\":1}"]);
    check("{{\"a\":1}", &[BROKEN, "{\"a\":1}"]);
    check("{\"a\":[1}{\"b\":2}", &[BROKEN, "{\"b\":2}"]);
    check("{\"cut\":\"off\n{\"b\":2}", &[BROKEN, "{\"b\":2}"]);
    check("{\"a\":\"\\x\"}{\"b\":2}", &[BROKEN, "{\"b\":2}"]);
}

#[test]
fn a_frame_that_is_too_large_is_dropped_whole_and_nothing_within_it_counts() {
    let large = json!({ "text": "x".repeat(90), "inner": { "type": "command" } }).to_string();
    check(&format!("{large}{{\"a\":1}}"), &[TOO_LARGE, "{\"a\":1}"]);
    let strings = json!({ "text": "}\"{".repeat(30) }).to_string();
    check(&format!("{strings}{{\"a\":1}}"), &[TOO_LARGE, "{\"a\":1}"]);
}

#[test]
fn a_frame_that_is_too_deep_is_dropped_whole() {
    let limits = Limits::default();
    let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let both = format!("{}{}", nested(64), nested(65));
    assert_eq!(found(limits, &[both.as_bytes(), b"{}"]), [nested(64).as_str(), TOO_DEEP, "{}"]);
}

#[test]
fn a_frame_that_does_not_end_is_given_up() {
    let mut decoder = Decoder::new(SMALL);
    let mut faults = Vec::new();
    decoder.push(b"{\"a\":\"");
    for _ in 0..1_000 {
        decoder.push(b"endless text");
        while let Some(frame) = decoder.next_frame() {
            if let Frame::Rubbish { fault, .. } = frame {
                faults.push(fault);
            }
        }
        assert!(decoder.buffer().len() <= 64 + 12, "nothing is hoarded");
    }
    assert_eq!(faults, [Fault::TooLarge(64), Fault::Endless]);
}

#[test]
fn rubbish_is_shown_in_part() {
    let mut decoder = Decoder::new(SMALL);
    decoder.push(&[b'x'; 500]);
    assert_eq!(decoder.next_frame(), Some(Frame::Rubbish { sample: b"x", fault: Fault::Broken }));
    assert_eq!(decoder.next_frame(), None, "one burst is told of once");
}

/// Any JSON object.
fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::hash_map(".{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::hash_map(".{0,8}", value, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Cuts text into pieces at these places.
fn cut(bytes: &[u8], mut places: Vec<prop::sample::Index>) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = places.drain(..).map(|place| place.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_messages(
        objects in proptest::collection::vec(object(), 0..8),
        pretty: bool,
        between in "[ \\t\\r\\n]{0,3}",
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let texts: Vec<String> = objects.iter().map(|object| {
            if pretty { serde_json::to_string_pretty(object).unwrap() } else { object.to_string() }
        }).collect();
        let stream = texts.join(&between);
        let pieces = cut(stream.as_bytes(), places);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(found(Limits::default(), &pieces), texts);
    }

    #[test]
    fn no_bytes_make_it_panic_or_hoard(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40),
    ) {
        let mut decoder = Decoder::new(SMALL);
        for piece in &pieces {
            decoder.push(piece);
            while decoder.next_frame().is_some() {}
            prop_assert!(decoder.buffer().len() <= SMALL.frame);
        }
    }

    #[test]
    fn rubbish_between_frames_costs_no_frame_behind_it(
        rubbish in "[^{\"]{1,30}",
        object in object(),
    ) {
        let text = object.to_string();
        let stream = format!("{rubbish}{text}\n{text}");
        let frames = found(Limits::default(), &[stream.as_bytes()]);
        prop_assert_eq!(&frames[frames.len() - 2..], [text.clone(), text]);
    }
}
