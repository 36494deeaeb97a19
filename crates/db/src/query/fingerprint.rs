//! What statements that differ only in values have in common.

use std::fmt;

use serde::Serialize;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::is_space;

/// A statement with its literals, parameters, spaces and comments taken out.
///
/// Two statements have the same one if they differ only in values, in the number of values of an `in` list or of rows of
/// `values`, in comments, in blanks and in the case of words without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Fingerprint {
    text: String,
}

impl Fingerprint {
    /// Cost: linear in the number of tokens.
    pub(super) fn of(tokens: &[TokenWithSpan]) -> Self {
        let mut words: Vec<String> = Vec::with_capacity(tokens.len());
        for token in tokens.iter().map(|token| &token.token).filter(|token| !is_space(token)) {
            match token {
                Token::Word(word) if word.quote_style.is_none() => words.push(word.value.to_lowercase()),
                token if is_value(token) => {
                    // A sign belongs to its number unless something stands before it that it could be taken from.
                    let is_sign = matches!(words.last().map(String::as_str), Some("-" | "+"));
                    let before = words.len().checked_sub(2).and_then(|at| words.get(at)).map(String::as_str);
                    if is_sign && matches!(before, None | Some("=" | "<" | ">" | "<=" | ">=" | "<>" | "," | "(")) {
                        words.pop();
                    }
                    words.push("?".to_owned());
                }
                token => words.push(token.to_string()),
            }
            collapse(&mut words);
        }
        Self { text: words.join(" ") }
    }

    /// Returns the text with `?` for each value.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A number that stays the same from version to version, for keys and names.
    pub fn digest(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.text.as_bytes())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_value(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::Placeholder(_)
    )
}

/// Makes one value of two, and one row of values of two, at the end of what was written so far.
fn collapse(words: &mut Vec<String>) {
    let ends_with = |words: &[String], end: &[&str]| {
        words.len() >= end.len() && words[words.len() - end.len()..].iter().zip(end).all(|(word, end)| word == end)
    };
    if ends_with(words, &["?", ",", "?"]) {
        // Only where the list began in a bracket: `select 1, 2` and `limit 5, 10` mean something by their numbers.
        let begins_list = match words.len().checked_sub(5).and_then(|at| words.get(at..at + 2)) {
            Some([before, opener]) => opener == "(" && matches!(before.as_str(), "in" | "values" | ","),
            _ => false,
        };
        if begins_list {
            words.truncate(words.len() - 2);
        }
    }
    if ends_with(words, &["(", "?", ")", ",", "(", "?", ")"]) {
        words.truncate(words.len() - 4);
    }
}
