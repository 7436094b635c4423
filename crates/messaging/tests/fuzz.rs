//! What comes from a socket may be anything. `cargo test` tries a bounded number of inputs, made up and mutated from the
//! frames below; a coverage-guided engine finds the same targets by `cargo bolero test`.

use bolero::check;
use reclaimer_messaging::dialect::{Dialect, Envelope, Flat};
use reclaimer_messaging::frame::{Decoder, Frame, Limits};

const ITERATIONS: usize = 200_000;
const LIMITS: Limits = Limits { frame: 512, skip: 4_096 };

const SEEDS: [&str; 6] = [
    r#"{"origin":"w","destination":"web-server","type":"message","key":"PROGRESS_UPDATE","payload":{"taskId":"J","status":"processing","0":{"fullPath":"a"}},"timestamp":1}"#,
    r#"{"origin":"w","destination":"*","type":"message","key":"registered","payload":{"workerId":"w","protocol":2,"features":["ack"],"leases":["x"]}}"#,
    r#"{"origin":"w","destination":"web-server","type":"jobRequest","key":"request_jobs","payload":{"requestId":7,"limit":3,"wait":1.5}}"#,
    r#"{"type":"job_failed","timestamp":"2025-07-12T10:00:04.000Z","jobId":"J","data":{"error":"\u007b {\"}","isRecoverable":true}}"#,
    r#"{"type":"jobs_discovered","timestamp":"x","jobId":"J","data":{"discovered_jobs":[{"job_type":"crawl_group","namespace_path":"g"}]}}"#,
    r#"{"type":"token_refresh_request","jobId":"J","data":{}}"#,
];

/// Everything the decoder finds, whatever the pieces.
fn frames(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, String>> {
    let mut decoder = Decoder::new(LIMITS);
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next_frame() {
            found.push(match frame {
                Frame::Whole(bytes) => Ok(bytes.to_vec()),
                Frame::Rubbish { fault, .. } => Err(fault.to_string()),
            });
        }
        assert!(decoder.buffer().len() <= LIMITS.frame + piece.len(), "bytes are hoarded");
    }
    found
}

#[test]
fn any_bytes_are_frames_or_rubbish_however_they_are_cut() {
    check!().with_iterations(ITERATIONS).with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(bytes, cuts)| {
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts {
            let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        assert_eq!(frames(&pieces), frames(&[bytes]));
    });
}

/// A change to a seed: at which byte, what becomes of it.
type Change = (u16, u8);

#[test]
fn mutated_messages_are_read_or_refused_in_both_dialects() {
    let envelope = Dialect::Envelope(Envelope {
        id: "web-server".to_owned(),
        kind: "web-server".to_owned(),
        pid: 1,
        peer: "w".to_owned(),
        command_peer: "w".to_owned(),
    });
    let flat = Dialect::Flat(Flat::default());
    check!().with_iterations(ITERATIONS).with_type::<(u8, Vec<Change>)>().for_each(|(seed, changes)| {
        let mut bytes = SEEDS[usize::from(*seed) % SEEDS.len()].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = usize::from(*at) % bytes.len();
            match byte % 4 {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, *byte),
                2 => bytes[at] ^= 1 << (byte >> 5),
                // What means something to the grammar is worth more than any byte.
                _ => bytes[at] = b"{}[]\",:\\0"[usize::from(*byte >> 2) % 9],
            }
            if bytes.is_empty() {
                return;
            }
        }
        for frame in frames(&[&bytes]).into_iter().flatten() {
            assert!(frame.starts_with(b"{") && frame.ends_with(b"}"));
            for dialect in [&envelope, &flat] {
                // Whether it is one is the dialect's to say; that it says so without a panic is what is tried here.
                drop(dialect.read(&frame));
            }
        }
    });
}
