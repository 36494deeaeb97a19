//! A token's secret: made here, shown once, stored nowhere.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tierkeep_learning::store::TokenHash;

/// What every secret begins with, so that people and scanners for leaked secrets know it.
const PREFIX: &str = "tk_";
/// Random bytes: nobody finds one of 2^256 by trying.
const BYTES: usize = 32;

/// A new token's secret.
pub struct Secret(String);

impl Secret {
    /// A secret from the random numbers of the operating system.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The text that a client sends.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is stored of a secret: its SHA-256. One that is random needs no slow hash, which would cost every request.
#[must_use]
pub fn hash(secret: &str) -> TokenHash {
    TokenHash::new(Sha256::digest(secret).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_256_bits_and_does_not_show_them() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());

        assert_eq!((one.text().len(), &one.text()[..3]), (46, "tk_"));
        assert!(one.text()[3..].bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        assert_ne!(one.text(), other.text());
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_text() {
        assert_eq!(hash("abc").id(), "ba7816bf8f01");
    }
}
