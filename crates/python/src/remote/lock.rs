//! Locks that all processes see: one holder, known by a random token.

use std::time::Duration;

use redis::Value;

use super::pool::Repeat;
use super::write::{flag, millis};
use super::{Remote, RemoteError, random, scripts};

/// What the holder of a lock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u8; 16]);

impl Token {
    /// The token as it is handed around.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl From<[u8; 16]> for Token {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl Remote {
    /// Takes a lock if nobody holds it; for at most `term`, or until it is released.
    ///
    /// # Errors
    /// As [`get`](Self::get). After [`RemoteError::TimedOut`] the lock may be taken until its term ends.
    pub fn lock(&self, key: &[u8], term: Option<Duration>) -> Result<Option<Token>, RemoteError> {
        let token = random()?;
        let take = |name: &[u8]| {
            let mut set = redis::cmd("SET");
            set.arg(name).arg(&token).arg("NX");
            term.iter().for_each(|term| _ = set.arg("PX").arg(millis(*term)));
            set
        };
        let answer = self.one(self.names.lock(key), take, Repeat::Unsafe)?;
        Ok((answer == Value::Okay).then_some(Token(token)))
    }

    /// Lets a lock go; `false` if it was not held any more: it had expired, and another may have it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn unlock(&self, key: &[u8], token: Token) -> Result<bool, RemoteError> {
        self.held(key, token, "release", None)
    }

    /// Lets a lock that is held last for `term` from now, or until it is released; `false` if it is not held any more.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn extend_lock(&self, key: &[u8], token: Token, term: Option<Duration>) -> Result<bool, RemoteError> {
        self.held(key, token, "extend", term)
    }

    /// Whether anybody holds a lock.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_locked(&self, key: &[u8]) -> Result<bool, RemoteError> {
        flag(self.one(self.names.lock(key), |name| redis::cmd("EXISTS").arg(name).clone(), Repeat::Safe)?)
    }

    /// Whether the holder of a token still holds its lock.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn owns_lock(&self, key: &[u8], token: Token) -> Result<bool, RemoteError> {
        let answer = self.one(self.names.lock(key), |name| redis::cmd("GET").arg(name).clone(), Repeat::Safe)?;
        Ok(answer == Value::BulkString(token.0.to_vec()))
    }

    fn held(&self, key: &[u8], token: Token, what: &str, term: Option<Duration>) -> Result<bool, RemoteError> {
        let call = |name: &[u8]| {
            let mut call = scripts::call(&scripts::LOCK, &[name]);
            call.arg(&token.0).arg(what).arg(term.map(millis).map(|term| term.to_string()).unwrap_or_default());
            call
        };
        flag(self.one(self.names.lock(key), call, Repeat::Unsafe)?)
    }
}
