//! API tokens: who may ask what, as the database keeps it.
//!
//! A token's secret is never here. It is 32 random bytes, so its SHA-256 can neither be turned back nor guessed: a slow hash
//! protects words that people choose, and would cost every request some milliseconds for nothing.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use super::StoreError;

/// What a token admits to; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reading.
    Read,
    /// Writing sessions, course progress and learners.
    Write,
    /// Operating the installation.
    Admin,
}

impl Scope {
    /// All scopes, the smallest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Whether a token of this scope may do what needs `needed`.
    #[must_use]
    pub fn includes(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(TokenTextError::Scope)
    }
}

/// A text that is no scope, or no name of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenTextError {
    /// No scope.
    #[error("no scope; accepted: read, write, admin")]
    Scope,
    /// No name.
    #[error(
        "no name of a token; accepted: 1 to 64 letters, digits, '.', '-' and '_', not 12 hexadecimal digits, which is an id"
    )]
    Name,
}

/// What people call a token: 1 to 64 ASCII letters, digits, `.`, `-` and `_`; nothing that could be a token's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenName(String);

impl TokenName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_id = text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if (1..=64).contains(&text.len()) && text.bytes().all(is_known) && !is_id {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenTextError::Name)
        }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digits of a token's id.
const ID_DIGITS: usize = 12;

/// SHA-256 of a token's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The token's id: the first 12 hexadecimal digits of the hash. So whoever finds a token can tell whose it is.
    #[must_use]
    pub fn id(&self) -> String {
        self.0[..ID_DIGITS / 2].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", self.id())
    }
}

/// A token to be stored.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is called.
    pub name: TokenName,
    /// SHA-256 of its secret.
    pub hash: TokenHash,
    /// What it admits to.
    pub scope: Scope,
    /// When it is made.
    pub created_at: Timestamp,
    /// From when on it admits to nothing; `None` = never.
    pub expires_at: Option<Timestamp>,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// 12 hexadecimal digits.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// SHA-256 of its secret; `None` = what is stored is no hash, and it admits to nothing.
    pub hash: Option<TokenHash>,
    /// What it admits to; `None` = a scope that this version does not know, which admits to nothing.
    pub scope: Option<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it admits to nothing; `None` = never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it admits to something at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.hash.is_some() && self.scope.is_some() && self.revoked_at.is_none() && !self.is_expired(now)
    }

    /// Whether its time is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Tokens of a database. A platform's tables have none.
#[async_trait]
pub trait Tokens {
    /// All tokens that were ever made, the oldest first.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Those that are not revoked, expired ones among them. One small query.
    async fn unrevoked_tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Stores a token.
    ///
    /// # Errors
    /// [`StoreError::TokenNameTaken`] while another token of this name is not revoked, even if it expired;
    /// [`StoreError::ReadOnly`].
    async fn create_token(&self, token: NewToken) -> Result<Token, StoreError>;

    /// Revokes the token with this name or id; `None` = there is none that is not revoked.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`].
    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Option<Token>, StoreError>;

    /// Notes when tokens, by their ids, were last used. One transaction.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`].
    async fn note_token_uses(&self, uses: Vec<(String, Timestamp)>) -> Result<(), StoreError>;
}

/// A stored hash. One damaged row must not keep the others from being read, and with them a revocation.
pub(super) fn hash(bytes: &[u8]) -> Option<TokenHash> {
    bytes.try_into().ok().map(TokenHash)
}

/// A stored scope that this version knows.
pub(super) fn scope(text: &str) -> Option<Scope> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_the_smaller_ones() {
        let included = |scope: Scope| Scope::ALL.into_iter().filter(|needed| scope.includes(*needed)).count();

        assert_eq!(Scope::ALL.map(included), [1, 2, 3]);
        assert_eq!("write".parse(), Ok(Scope::Write));
        assert_eq!("Write".parse::<Scope>(), Err(TokenTextError::Scope));
    }

    #[test]
    fn a_name_is_no_id_and_needs_no_quotes() {
        for name in ["ci", "grafana.prod", "a-b_c", "abcdefabcdeg", &"x".repeat(64)] {
            assert_eq!(name.parse::<TokenName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "a b", "é", "a/b", "0123456789ab", "ABCDEFABCDEF", &"x".repeat(65)] {
            assert_eq!(name.parse::<TokenName>(), Err(TokenTextError::Name), "{name}");
        }
    }

    #[test]
    fn the_id_is_the_beginning_of_the_hash_and_all_that_is_shown() {
        let hash = TokenHash::new(std::array::from_fn(|at| u8::try_from(at).unwrap()));

        assert_eq!(hash.id(), "000102030405");
        assert_eq!(format!("{hash:?}"), "TokenHash(000102030405…)");
    }
}
