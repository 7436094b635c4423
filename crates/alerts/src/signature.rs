//! How a receiver knows that a message is ours, and not an old one.

use hmac::{Hmac, KeyInit, Mac};
use reclaimer_domain::secret::Secret;
use sha2::Sha256;

/// The value of `x-reclaimer-signature`: HMAC-SHA256 over the timestamp, a full stop and the body.
#[must_use]
pub fn sign(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) {
        Ok(mac) => mac,
        Err(_) => unreachable!("a key of any length will do for HMAC"),
    };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_other_tools_compute() {
        // printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac sesame
        let expected = "sha256=3c3753e6c8eeaa840ae59e66e7ed44c78747150ae63e0d095bcd7eba3a7d6e5d";
        assert_eq!(sign(&Secret::new("sesame"), 1_800_000_000, br#"{"a":1}"#), expected);
        assert_ne!(sign(&Secret::new("sesame"), 1_800_000_001, br#"{"a":1}"#), expected);
        assert_ne!(sign(&Secret::new("open"), 1_800_000_000, br#"{"a":1}"#), expected);
    }
}
