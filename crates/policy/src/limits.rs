//! How large a policy may be. With these no rule and no pattern can stall the engine, whatever a worker reports.

use std::time::Duration;

/// The most rules of a policy, the built-in ones included.
pub const MOST_RULES: usize = 500;

/// The most bytes of a policy file.
pub const LARGEST_FILE: usize = 512 * 1_024;

/// The most characters of a pattern, and of each text that an error is searched for.
pub const LONGEST_PATTERN: usize = 1_000;

/// The most entries of a list in `match`.
pub const MOST_ENTRIES: usize = 100;

/// The most characters of a rule's reason.
pub const LONGEST_REASON: usize = 500;

/// The longest time that anything in a policy may take: ten years of 365.25 days.
pub const LONGEST_TIME: Duration = Duration::from_secs(10 * 31_557_600);

/// Patterns are matched against so many bytes of an error, from its beginning; what stands behind them is not seen.
pub const SEEN_OF_ERROR: usize = 4_096;

/// The most bytes that one compiled pattern may take. What a search costs at worst is in proportion to this and to
/// [`SEEN_OF_ERROR`].
pub(crate) const LARGEST_PATTERN: usize = 128 * 1_024;

/// The most bytes that all patterns of a policy may take together.
pub(crate) const LARGEST_SET: usize = 2 * 1_024 * 1_024;

/// The most bytes for the states that a search makes up as it goes; when they are used up it begins anew.
pub(crate) const SEARCH_CACHE: usize = 2 * 1_024 * 1_024;

/// How deeply a pattern may be nested.
pub(crate) const DEEPEST_PATTERN: u32 = 50;
