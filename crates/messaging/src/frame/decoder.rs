//! Bytes in, frames out.

use bytes::{Buf, BytesMut};

use super::scanner::{Scanned, Scanner};

/// What a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame, in bytes.
    pub frame: usize,
    /// A frame that is too large or too deep is skipped to its end; one that does not end within so many bytes is given
    /// up.
    pub skip: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: 1_024 * 1_024, skip: 16 * 1_024 * 1_024 }
    }
}

/// What the decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The bytes of one JSON object whose structure is sound.
    Whole(&'a [u8]),
    /// A burst of bytes that are no frame.
    Rubbish {
        /// How they begin, at most [`Decoder::SAMPLE`] bytes.
        sample: &'a [u8],
        /// Why.
        fault: Fault,
    },
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Their structure is not that of a JSON object.
    #[error("bytes that are no JSON object")]
    Broken,
    /// The object is larger than allowed.
    #[error("a frame of more than {0} bytes")]
    TooLarge(usize),
    /// The object is nested deeper than allowed.
    #[error("a frame nested deeper than {depth} levels", depth = super::scanner::DEEPEST)]
    TooDeep,
    /// The object did not end within what is skipped: nothing behind it can be told apart any more.
    #[error("a frame that does not end")]
    Endless,
}

/// Where the decoder is.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Between frames.
    Between,
    /// Within rubbish that was told of already: the next `{` may begin a frame.
    Seeking,
    /// Within a frame, which begins at the beginning of the buffer.
    Within(Scanner),
    /// Within a frame that is dropped as it comes.
    Skipping(Skip),
    /// Behind a frame that did not end.
    GivenUp,
}

/// The way to the end of a frame that is dropped: brackets are counted, strings are looked past.
#[derive(Debug, Clone, Copy)]
struct Skip {
    depth: u32,
    in_string: bool,
    escaped: bool,
    left: usize,
}

/// Takes bytes as they come and gives whole frames.
///
/// After rubbish it goes on at the next byte that can begin a frame. Rubbish is told of once per burst, with a sample.
/// A frame that is too large or too deep is dropped whole, without being held, so that nothing within it is mistaken for
/// a frame.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    /// How far the buffer was looked at.
    seen: usize,
    /// How much of the beginning of the buffer was given out and can go.
    spent: usize,
    state: State,
    sample: Vec<u8>,
}

impl Decoder {
    /// The most bytes of rubbish that are shown.
    pub const SAMPLE: usize = 64;

    /// A decoder at the beginning of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), seen: 0, spent: 0, state: State::Between, sample: Vec::new() }
    }

    /// Where to read into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.discard();
        &mut self.buffer
    }

    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }

    fn discard(&mut self) {
        self.buffer.advance(self.spent);
        self.seen -= self.spent;
        self.spent = 0;
    }

    /// Drops what was looked at, up to `end`.
    fn drop_to(&mut self, end: usize) {
        self.spent = end;
        self.seen = end;
    }

    /// The next frame; `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        self.discard();
        loop {
            let rest = &self.buffer[self.seen..];
            if rest.is_empty() {
                return None;
            }
            match self.state {
                State::Between => {
                    let blank = rest.iter().take_while(|byte| is_blank(**byte)).count();
                    self.drop_to(self.seen + blank);
                    self.discard();
                    match self.buffer.first() {
                        None => return None,
                        Some(b'{') => self.begin(),
                        Some(_) => return Some(self.broken(0)),
                    }
                }
                State::Seeking => {
                    let start = memchr::memchr(b'{', rest);
                    self.drop_to(self.seen + start.unwrap_or(rest.len()));
                    self.discard();
                    if start.is_some() {
                        self.begin();
                    }
                }
                State::Within(mut scanner) => match scanner.scan(rest) {
                    Scanned::Ended(length) => {
                        let end = self.seen + length;
                        if end > self.limits.frame {
                            return Some(self.too_large(end, State::Between));
                        }
                        self.state = State::Between;
                        self.drop_to(end);
                        return Some(Frame::Whole(&self.buffer[..end]));
                    }
                    Scanned::GoesOn => {
                        self.seen = self.buffer.len();
                        self.state = State::Within(scanner);
                        if self.seen <= self.limits.frame {
                            return None;
                        }
                        let skip = self.skip();
                        return Some(self.too_large(self.seen, State::Skipping(skip)));
                    }
                    Scanned::Broken(at) => return Some(self.broken(self.seen + at)),
                    Scanned::TooDeep(at) => {
                        let end = self.seen + at;
                        self.seen = end;
                        self.state = State::Skipping(self.skip());
                        self.take_sample(end);
                        self.drop_to(end);
                        return Some(Frame::Rubbish { sample: &self.sample, fault: Fault::TooDeep });
                    }
                },
                State::Skipping(mut skip) => {
                    let skipped = skip.over(rest);
                    let end = self.seen + skipped.unwrap_or(rest.len());
                    self.drop_to(end);
                    self.discard();
                    self.state = match (skipped, skip.left) {
                        (Some(_), _) => State::Between,
                        (None, 0) => {
                            self.state = State::GivenUp;
                            return Some(Frame::Rubbish { sample: &[], fault: Fault::Endless });
                        }
                        (None, _) => State::Skipping(skip),
                    };
                }
                State::GivenUp => {
                    self.buffer.clear();
                    self.drop_to(0);
                    return None;
                }
            }
        }
    }

    /// A frame begins at the beginning of the buffer.
    fn begin(&mut self) {
        self.seen = 1;
        self.state = State::Within(Scanner::begun());
    }

    /// The byte at `at` cannot belong to what came before it; a frame may begin there.
    fn broken(&mut self, at: usize) -> Frame<'_> {
        self.take_sample(at + 1);
        self.drop_to(at);
        self.state = State::Seeking;
        Frame::Rubbish { sample: &self.sample, fault: Fault::Broken }
    }

    fn too_large(&mut self, end: usize, then: State) -> Frame<'_> {
        self.take_sample(end);
        self.drop_to(end);
        self.state = then;
        Frame::Rubbish { sample: &self.sample, fault: Fault::TooLarge(self.limits.frame) }
    }

    fn take_sample(&mut self, end: usize) {
        self.sample.clear();
        self.sample.extend_from_slice(&self.buffer[..end.min(Self::SAMPLE)]);
    }

    /// How the frame goes on whose beginning is in the buffer.
    fn skip(&self) -> Skip {
        let mut skip = Skip { depth: 0, in_string: false, escaped: false, left: usize::MAX };
        // What was looked at is sound and does not end.
        let _ = skip.over(&self.buffer[..self.seen]);
        Skip { left: self.limits.skip, ..skip }
    }
}

impl Skip {
    /// Where the frame ends in these bytes, if it does.
    fn over(&mut self, bytes: &[u8]) -> Option<usize> {
        let within = bytes.len().min(self.left);
        for (at, byte) in bytes[..within].iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        self.left -= within;
        None
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
