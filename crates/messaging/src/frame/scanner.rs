//! A pushdown automaton for the structure of one JSON object.
//!
//! It is strict about structure (what may follow what) and lenient about scalars (numbers and literals are any run of
//! their characters): whoever parses the frame judges those. An error is met at the first byte that cannot belong to
//! the object, which is where another may begin.

/// The deepest nesting, the object itself included.
pub(super) const DEEPEST: u32 = 64;

/// What the next byte may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// After `{`: a key or the end.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a colon, or a comma in an array.
    Value,
    /// After `[`: a value or the end.
    ValueOrEnd,
    /// After a value.
    CommaOrEnd,
    /// Within a string that is a key or a value.
    String { key: bool },
    /// After a backslash in such a string.
    Escape { key: bool },
    /// Within the hexadecimal digits of `\u`; so many are left.
    Digits { key: bool, left: u8 },
    /// Within a number or a literal.
    Scalar,
}

/// What became of a run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scanned {
    /// All of them belong to the object, which goes on.
    GoesOn,
    /// The object ended; so many of them belong to it.
    Ended(usize),
    /// The byte at this place cannot belong to it.
    Broken(usize),
    /// It is nested too deeply, from the byte at this place on.
    TooDeep(usize),
}

/// Where in an object a scan is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner {
    expect: Expect,
    depth: u32,
    /// One bit per level, the innermost lowest: set for an object, clear for an array.
    kinds: u64,
}

impl Scanner {
    /// A scan behind the `{` that begins an object.
    pub(super) fn begun() -> Self {
        Self { expect: Expect::KeyOrEnd, depth: 1, kinds: 1 }
    }

    /// Goes through some more bytes of the object.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        while at < bytes.len() {
            match self.expect {
                Expect::String { key } => match self.string(&bytes[at..], key) {
                    Some(length) => at += length,
                    None => return Scanned::Broken(at + plain(&bytes[at..])),
                },
                Expect::Scalar => {
                    at += bytes[at..].iter().take_while(|byte| is_scalar(**byte)).count();
                    if at < bytes.len() {
                        self.expect = Expect::CommaOrEnd;
                    }
                }
                _ => {
                    match self.step(bytes[at]) {
                        Step::On => at += 1,
                        Step::Ended => return Scanned::Ended(at + 1),
                        Step::Broken => return Scanned::Broken(at),
                        Step::TooDeep => return Scanned::TooDeep(at),
                    };
                }
            }
        }
        Scanned::GoesOn
    }

    /// The length of what belongs to the string, its end or an escape included; `None` when a byte cannot.
    fn string(&mut self, bytes: &[u8], key: bool) -> Option<usize> {
        let length = plain(bytes);
        match bytes.get(length) {
            None => Some(length),
            Some(b'"') => {
                self.expect = if key { Expect::Colon } else { Expect::CommaOrEnd };
                Some(length + 1)
            }
            Some(b'\\') => {
                self.expect = Expect::Escape { key };
                Some(length + 1)
            }
            Some(_) => None,
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        use Expect as E;
        match (self.expect, byte) {
            (E::Escape { key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.expect = E::String { key };
            }
            (E::Escape { key }, b'u') => self.expect = E::Digits { key, left: 4 },
            (E::Digits { key, left }, byte) if byte.is_ascii_hexdigit() => {
                self.expect = if left == 1 { E::String { key } } else { E::Digits { key, left: left - 1 } };
            }
            (E::Escape { .. } | E::Digits { .. }, _) => return Step::Broken,
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (E::KeyOrEnd | E::Key, b'"') => self.expect = E::String { key: true },
            (E::Colon, b':') => self.expect = E::Value,
            (E::CommaOrEnd, b',') => self.expect = if self.in_object() { E::Key } else { E::Value },
            (E::KeyOrEnd | E::CommaOrEnd, b'}') if self.in_object() => return self.leave(),
            (E::ValueOrEnd | E::CommaOrEnd, b']') if !self.in_object() => return self.leave(),
            (E::Value | E::ValueOrEnd, b'"') => self.expect = E::String { key: false },
            (E::Value | E::ValueOrEnd, b'{') => return self.enter(true),
            (E::Value | E::ValueOrEnd, b'[') => return self.enter(false),
            (E::Value | E::ValueOrEnd, byte) if is_scalar(byte) => self.expect = E::Scalar,
            _ => return Step::Broken,
        }
        Step::On
    }

    fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    fn enter(&mut self, object: bool) -> Step {
        if self.depth == DEEPEST {
            return Step::TooDeep;
        }
        self.depth += 1;
        self.kinds = self.kinds << 1 | u64::from(object);
        self.expect = if object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
        Step::On
    }

    fn leave(&mut self) -> Step {
        self.depth -= 1;
        self.kinds >>= 1;
        self.expect = Expect::CommaOrEnd;
        if self.depth == 0 { Step::Ended } else { Step::On }
    }
}

enum Step {
    On,
    Ended,
    Broken,
    TooDeep,
}

fn is_scalar(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.')
}

/// How many bytes at the beginning are plain text of a string: no end, no escape, no control character.
fn plain(bytes: &[u8]) -> usize {
    let stop = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    bytes[..stop].iter().position(|byte| *byte < 0x20).unwrap_or(stop)
}
