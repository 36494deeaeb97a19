//! A part of a text that knows where it stands.

use super::TimingError;

/// The most characters of a timing. A list of all minutes, hours, days and months has under 500.
pub(super) const LENGTH_MAX: usize = 1_000;

/// A part of a text, and the column of its first character.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// In characters, from 1.
    pub(crate) column: usize,
}

impl<'a> Piece<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, column: 1 }
    }

    /// A trimmed text that is short enough to be looked at.
    pub(crate) fn of_limited(text: &'a str) -> Result<Self, TimingError> {
        let characters = text.chars().count();
        if characters > LENGTH_MAX {
            return Err(TimingError::Length { characters });
        }
        Ok(Self::of(text).trimmed())
    }

    /// Without the white space around it.
    pub(crate) fn trimmed(self) -> Self {
        let text = self.text.trim_start();
        self.from(self.text.len() - text.len()).until(text.trim_end().len())
    }

    /// Up to the first white space, and what is after that.
    pub(crate) fn first_word(self) -> (Self, Self) {
        let end = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        (self.until(end), self.from(end).trimmed())
    }

    pub(crate) fn words(self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = self.trimmed();
        while !rest.text.is_empty() {
            let (word, after) = rest.first_word();
            words.push(word);
            rest = after;
        }
        words
    }

    pub(crate) fn split(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.until(at), self.from(at + separator.len_utf8())))
    }

    /// The digits at its beginning, and what is after them.
    pub(crate) fn digits(self) -> (Self, Self) {
        let end = self.text.find(|found: char| !found.is_ascii_digit()).unwrap_or(self.text.len());
        (self.until(end), self.from(end))
    }

    /// The column after its last character.
    pub(crate) fn end(self) -> usize {
        self.column + self.text.chars().count()
    }

    /// For a message: short, in one line, and never empty.
    pub(crate) fn shown(self) -> String {
        const CHARACTERS: usize = 40;
        if self.text.is_empty() {
            return "nothing".to_owned();
        }
        let mut shown: String = self.text.chars().take(CHARACTERS).flat_map(char::escape_debug).collect();
        if self.text.chars().nth(CHARACTERS).is_some() {
            shown.push_str("...");
        }
        shown
    }

    /// `at` is a place between characters, in bytes.
    pub(crate) fn from(self, at: usize) -> Self {
        let (before, text) = self.text.split_at(at);
        Self { text, column: self.column + before.chars().count() }
    }

    fn until(self, at: usize) -> Self {
        Self { text: self.text.split_at(at).0, ..self }
    }
}
