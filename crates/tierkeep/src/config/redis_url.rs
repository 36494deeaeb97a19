//! The address of a Redis or Valkey server, printed without its password.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// `redis://[user[:password]@]host[:port][/number]`, `rediss://…` with TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    redacted: String,
}

/// A text that is no such address. It holds no password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not the address of a redis server")]
pub struct RedisUrlError(String);

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let redacted = redact(text);
        let valid = text
            .strip_prefix("redis://")
            .or_else(|| text.strip_prefix("rediss://"))
            .is_some_and(|rest| is_server(rest.rsplit_once('@').map_or(rest, |(_, server)| server)));
        if valid { Ok(Self { redacted }) } else { Err(RedisUrlError(redacted)) }
    }
}

/// `host[:port][/number]`
fn is_server(text: &str) -> bool {
    let (address, database) = text.split_once('/').unwrap_or((text, ""));
    let (host, port) = match address.rsplit_once(':') {
        // the colons of an IPv6 address stand in brackets
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (address, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    !host.is_empty()
        && (bracketed || !host.contains([':', '[', ']', '?', '#', ' ']))
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
        && (database.is_empty() || database.parse::<u32>().is_ok())
}

/// Hides what stands before the last `@`, apart from a user name with a password behind it.
fn redact(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    match rest.rsplit_once('@') {
        None => text.to_owned(),
        Some((credentials, server)) => {
            let user = credentials.split_once(':').map_or("", |(user, _)| user);
            format!("{scheme}{user}:***@{server}")
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.redacted).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["redis://localhost", "redis://[::1]:6379/0", "rediss://u:p@cache.example:6380/15", "redis://h/"] {
            assert!(good.parse::<RedisUrl>().is_ok(), "{good}");
        }
        for bad in ["", "localhost:6379", "http://h", "redis://", "redis://h:0", "redis://h:65536", "redis://h/x"] {
            assert!(bad.parse::<RedisUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        for text in ["redis://:se@cret@h", "redis://app:secret@h/1", "nonsense://app:secret@h", "redis://secret@h:x"] {
            let shown = match text.parse::<RedisUrl>() {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => error.to_string(),
            };
            assert!(!shown.contains("cret"), "{shown}");
        }
    }
}
