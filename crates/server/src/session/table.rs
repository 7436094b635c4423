//! The sessions that are open. Pure: the moment and the random bytes are arguments.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// A session ends after so long without a request, and after so long in any case.
pub(super) const IDLE: Duration = Duration::from_secs(12 * 3_600);
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// At most so many are open; one more ends the one that was used least lately.
const MOST: usize = 64;

/// A session's name here: the SHA-256 of what its cookie carries.
pub(super) type Key = [u8; 32];

#[derive(Debug)]
struct Row {
    csrf: [u8; 32],
    opened: Instant,
    used: Instant,
    notice: Option<String>,
}

impl Row {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) > IDLE
            || now.saturating_duration_since(self.opened) > LONGEST
    }
}

/// The sessions that are open.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: HashMap<Key, Row>,
}

/// The name of the session whose cookie carries this.
pub(super) fn key_of(id: &[u8; 32]) -> Key {
    Sha256::digest(id).into()
}

impl Table {
    /// Opens a session.
    pub(super) fn open(&mut self, id: &[u8; 32], csrf: [u8; 32], now: Instant) -> Key {
        self.rows.retain(|_, row| !row.is_over(now));
        if self.rows.len() >= MOST
            && let Some(oldest) = self.rows.iter().min_by_key(|(_, row)| row.used).map(|(key, _)| *key)
        {
            self.rows.remove(&oldest);
        }
        let key = key_of(id);
        self.rows.insert(key, Row { csrf, opened: now, used: now, notice: None });
        key
    }

    /// The CSRF token of an open session, which is used thereby.
    pub(super) fn touch(&mut self, key: &Key, now: Instant) -> Option<[u8; 32]> {
        let row = self.rows.get_mut(key)?;
        if row.is_over(now) {
            self.rows.remove(key);
            return None;
        }
        row.used = now;
        Some(row.csrf)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, key: &Key) {
        self.rows.remove(key);
    }

    /// What the session's next page says at its top.
    pub(super) fn notice(&mut self, key: &Key) -> Option<&mut Option<String>> {
        self.rows.get_mut(key).map(|row| &mut row.notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_nobody_uses_it() {
        let (mut table, now) = (Table::default(), Instant::now());
        let key = table.open(&[1; 32], [2; 32], now);
        assert_eq!(table.touch(&key, now + IDLE), Some([2; 32]));
        assert_eq!(table.touch(&key, now + IDLE + IDLE), Some([2; 32]), "it was used in between");
        assert_eq!(table.touch(&key, now + IDLE * 3 + Duration::from_secs(1)), None);
        assert_eq!(table.touch(&key, now), None, "it is gone for good");
    }

    #[test]
    fn a_session_that_is_used_all_the_time_ends_all_the_same() {
        let (mut table, mut now) = (Table::default(), Instant::now());
        let (key, end) = (table.open(&[1; 32], [2; 32], now), now + LONGEST);
        while now <= end {
            assert!(table.touch(&key, now).is_some());
            now += IDLE / 2;
        }
        assert_eq!(table.touch(&key, now), None);
    }

    #[test]
    fn it_is_stored_under_a_hash_and_closed_for_good() {
        let (mut table, now) = (Table::default(), Instant::now());
        let key = table.open(&[1; 32], [2; 32], now);
        assert_ne!(key, [1; 32]);
        assert_eq!(table.touch(&[1; 32], now), None);
        table.close(&key);
        assert_eq!(table.touch(&key, now), None);
    }

    #[test]
    fn one_too_many_ends_the_one_used_least_lately() {
        let (mut table, mut now) = (Table::default(), Instant::now());
        let keys: Vec<Key> = (0..MOST)
            .map(|number| {
                now += Duration::from_secs(1);
                table.open(&[u8::try_from(number).unwrap(); 32], [0; 32], now)
            })
            .collect();
        assert!(table.touch(&keys[0], now).is_some());
        table.open(&[255; 32], [0; 32], now);
        assert_eq!(table.rows.len(), MOST);
        assert!(table.rows.contains_key(&keys[0]) && !table.rows.contains_key(&keys[1]));
    }
}
