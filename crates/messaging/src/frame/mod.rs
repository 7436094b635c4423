//! Framing: JSON objects one after another, any white space between, any split over reads.
//!
//! Pure and incremental: [`Decoder`] takes bytes as they come and gives whole frames. It understands strings and
//! escapes, works on bytes, and never holds more than one frame and one read.

mod decoder;
mod scanner;

pub use decoder::{Decoder, Fault, Frame, Limits};
