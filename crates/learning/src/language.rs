//! Languages of the messages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A language that every message exists in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// A language without messages.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("language {0:?} has no messages; accepted: en, zh")]
pub struct LanguageError(String);

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::En => "en",
            Self::Zh => "zh",
        })
    }
}

/// Reads a language tag by its primary part: `zh-Hans-CN` is Chinese.
impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(tag: &str) -> Result<Self, LanguageError> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("en") {
            Ok(Self::En)
        } else if primary.eq_ignore_ascii_case("zh") {
            Ok(Self::Zh)
        } else {
            Err(LanguageError(crate::key::clip(tag)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_part_of_a_tag_decides() {
        assert_eq!("zh-Hans-CN".parse(), Ok(Language::Zh));
        assert_eq!("EN".parse(), Ok(Language::En));
        assert!("fr".parse::<Language>().is_err());
        assert!("".parse::<Language>().is_err());
    }
}
