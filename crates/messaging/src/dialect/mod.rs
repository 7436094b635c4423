//! The two dialects that crawlers speak, as codecs over one model of messages.

mod envelope;
mod flat;
mod read;

pub use envelope::Envelope;
pub use flat::{EntityTypes, Flat, UnknownEntity};

use chrono::{DateTime, Utc};

use crate::message::{Heard, Outbound, Unreadable};

/// A way of saying things.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// `{origin, destination, type, key, payload, timestamp}`.
    Envelope(Envelope),
    /// `{type, timestamp, jobId?, data}`.
    Flat(Flat),
}

impl Dialect {
    /// Reads the bytes of one frame.
    ///
    /// # Errors
    /// When they are not a message of the dialect.
    pub fn read(&self, frame: &[u8]) -> Result<Heard, Unreadable> {
        match self {
            Self::Envelope(envelope) => envelope.read(frame),
            Self::Flat(flat) => flat.read(frame),
        }
    }

    /// Writes a message behind what is in `out`, with a newline; false when the dialect has no word for it.
    pub fn write(&self, message: &Outbound, now: DateTime<Utc>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Envelope(envelope) => envelope.write(message, now, out),
            Self::Flat(flat) => flat.write(message, now, out),
        }
    }
}
