//! What a process writes: into our log line by line, the last lines kept as evidence.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::AREA;
use crate::evidence::{KEPT_LINES, Line, MAX_KEPT, Stream};
use crate::instance::Instance;

/// The most bytes of a line that are logged; of what is longer, the rest is dropped unread.
const MAX_LOGGED: usize = 4_096;

/// How much is read at once.
const CHUNK: usize = 8_192;

/// How much is still read after the end of a process: the most that a pipe holds as the kernel is set up usually. More
/// can only come from a process that escaped its guard, and is not waited for.
const MOST_LEFT: usize = 1 << 20;

/// The last lines of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<Line>>>);

impl Tail {
    fn lines(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Line) {
        let mut lines = self.lines();
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Takes what was kept.
    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.lines()).into()
    }
}

/// Reads what a process writes to one stream until it is closed, or until `ended` says that the process is gone: then
/// what it left in the pipe is read, and nobody is waited for who inherited the other end.
pub(crate) async fn read<R>(
    mut from: R,
    stream: Stream,
    instance: Instance,
    tail: Tail,
    ended: CancellationToken,
) where
    R: AsyncRead + AsFd + Unpin,
{
    let mut cutter = Cutter::default();
    let mut chunk = vec![0; CHUNK];
    let mut say = |text: String, kept: String| {
        info!(area = AREA, worker_id = %instance, stream = stream.as_str(), "{text}");
        tail.push(Line { stream, text: kept });
    };
    loop {
        let read = tokio::select! {
            biased;
            () = ended.cancelled() => break,
            read = from.read(&mut chunk) => read,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(length) => cutter.push(&chunk[..length], &mut say),
        }
    }
    let mut left = MOST_LEFT;
    // The runtime made the pipe non-blocking; asked directly, it says exactly when it is empty.
    while left > 0
        && let Ok(length @ 1..) = rustix::io::read(&from, &mut chunk)
    {
        cutter.push(&chunk[..length], &mut say);
        left = left.saturating_sub(length);
    }
    cutter.finish(&mut say);
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Cutter {
    line: Vec<u8>,
    clipped: bool,
}

impl Cutter {
    /// Takes bytes; says each line that they complete, as it is logged and as it is kept.
    fn push(&mut self, mut bytes: &[u8], say: &mut impl FnMut(String, String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_line(say);
        }
        self.add(bytes);
    }

    /// Says what is left without an end.
    fn finish(&mut self, say: &mut impl FnMut(String, String)) {
        if !self.line.is_empty() || self.clipped {
            self.end_line(say);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_LOGGED - self.line.len();
        self.clipped |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, say: &mut impl FnMut(String, String)) {
        let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = String::from_utf8_lossy(bytes);
        say(clip(&text, MAX_LOGGED, self.clipped), clip(&text, MAX_KEPT, self.clipped));
        self.line.clear();
        self.clipped = false;
    }
}

/// The text in at most `most` bytes; where something is missing, it ends in an ellipsis.
fn clip(text: &str, most: usize, clipped: bool) -> String {
    const MARK: &str = "…";
    if !clipped && text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most - MARK.len());
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut say = |text, kept| lines.push((text, kept));
        let mut cutter = Cutter::default();
        for chunk in chunks {
            cutter.push(chunk, &mut say);
        }
        cutter.finish(&mut say);
        lines
    }

    fn texts(chunks: &[&[u8]]) -> Vec<String> {
        cut(chunks).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn lines_may_come_in_any_pieces() {
        assert_eq!(texts(&[b"on", b"e\ntwo\r\n\nla", b"st"]), ["one", "two", "", "last"]);
        assert_eq!(texts(&[b"one\n"]), ["one"]);
        assert_eq!(texts(&[]), [""; 0]);
        assert_eq!(texts(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn long_lines_are_clipped_at_a_character() {
        let long = "ä".repeat(MAX_LOGGED);
        let lines = cut(&[long.as_bytes(), b"\nnext"]);
        let (text, kept) = &lines[0];
        assert!(text.len() <= MAX_LOGGED && text.ends_with("ä…"), "{}", text.len());
        assert!(kept.len() <= MAX_KEPT && kept.ends_with("ä…"), "{}", kept.len());
        assert_eq!(lines[1].0, "next");

        let fits = "x".repeat(MAX_KEPT);
        assert_eq!(cut(&[fits.as_bytes()]), [(fits.clone(), fits.clone())]);
        let exact = "x".repeat(MAX_LOGGED);
        assert_eq!(texts(&[exact.as_bytes(), b"\n"]), [exact.as_str()]);
        assert!(texts(&[exact.as_bytes(), b"x\n"])[0].ends_with("x…"));
    }

    #[test]
    fn the_last_lines_are_kept() {
        let tail = Tail::default();
        for number in 0..KEPT_LINES + 10 {
            tail.push(Line { stream: Stream::Stdout, text: number.to_string() });
        }
        let lines = tail.take();
        assert_eq!(lines.len(), KEPT_LINES);
        assert_eq!((lines[0].text.as_str(), lines[KEPT_LINES - 1].text.as_str()), ("10", "59"));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes: Vec<u8>, cuts in prop::collection::vec(0_usize..200, 0..5)) {
            let whole = cut(&[&bytes]);
            let mut rest = bytes.as_slice();
            let mut chunks = Vec::new();
            for at in cuts {
                let (chunk, after) = rest.split_at(at.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(cut(&chunks), whole);
        }
    }
}
