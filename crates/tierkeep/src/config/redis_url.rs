//! The address of a Redis or Valkey server, printed without its password.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tierkeep_cache::redis::{RedisConfig, RedisConfigError};

/// An address of a form that [`RedisConfig::new`] knows.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: String,
}

/// A text that is no such address. It holds no password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(transparent)]
pub struct RedisUrlError(#[from] RedisConfigError);

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let _ = RedisConfig::new(text)?;
        Ok(Self { text: text.to_owned() })
    }
}

impl RedisUrl {
    /// What a connection is made with; everything but the address has its default.
    ///
    /// # Errors
    /// None that were not found when the address was read.
    pub fn config(&self) -> Result<RedisConfig, RedisUrlError> {
        Ok(RedisConfig::new(&self.text)?)
    }
}

/// Hides what stands before the last `@`, apart from a user name with a password behind it, and what follows a `?`.
fn redact(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    let (rest, hidden) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    match rest.rsplit_once('@') {
        None => format!("{scheme}{rest}{hidden}"),
        Some((credentials, server)) => {
            let user = credentials.split_once(':').map_or("", |(user, _)| user);
            format!("{scheme}{user}:***@{server}{hidden}")
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.text))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&redact(&self.text)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in [
            "redis://localhost",
            "redis://[::1]:6379/0",
            "rediss://u:p@cache.example:6380/15",
            "redis://h/",
            "redis+unix:///run/r.sock?pass=secret",
        ] {
            assert!(good.parse::<RedisUrl>().is_ok(), "{good}");
        }
        for bad in ["", "localhost:6379", "http://h", "redis://", "redis://h:0", "redis://h:65536", "redis://h/x"] {
            assert!(bad.parse::<RedisUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        for text in [
            "redis://:se@cret@h",
            "redis://app:secret@h/1",
            "nonsense://app:secret@h",
            "redis://secret@h:x",
            "redis+unix:///run/r?pass=secret",
        ] {
            let shown = match text.parse::<RedisUrl>() {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => error.to_string(),
            };
            assert!(!shown.contains("cret"), "{shown}");
        }
    }
}
