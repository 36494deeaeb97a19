//! Where in a statement its parameters stand.

use std::fmt;

use super::RawError;
use crate::Dialect;

/// A parameter as it stands in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// `:name`
    Name(String),
    /// `$1`
    Place(usize),
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// What stays as it is.
    Text(&'a str),
    /// A parameter.
    Parameter(Placeholder),
    /// `in (:ids)` or `not in (:ids)`, with nothing else between the parentheses.
    Membership { placeholder: Placeholder, is_negated: bool },
}

/// Splits a text into what stays and the parameters; a semicolon at the end and what follows it are left out.
pub(super) fn pieces(dialect: Dialect, sql: &str) -> Result<Vec<Piece<'_>>, RawError> {
    let mut reader = Reader { dialect, sql, at: 0, text_from: 0, pieces: Vec::new(), words: Vec::new() };
    let mut has_statement = false;
    while let Some(c) = reader.peek() {
        if let Some(end) = reader.unread(c)? {
            // comments are no statement, literals and quoted names are part of one
            has_statement |= !matches!(c, '-' | '/');
            if !matches!(c, '-' | '/') {
                reader.words.clear();
            }
            reader.at = end;
        } else if c == ';' {
            let end = reader.at;
            reader.at += 1;
            reader.expect_nothing_more()?;
            reader.flush(end);
            return if has_statement { Ok(reader.pieces) } else { Err(RawError::Empty) };
        } else if let Some((placeholder, end)) = reader.placeholder(c) {
            has_statement = true;
            reader.parameter(placeholder, end);
        } else {
            has_statement |= !c.is_whitespace();
            reader.step(c);
        }
    }
    reader.flush(sql.len());
    if has_statement { Ok(reader.pieces) } else { Err(RawError::Empty) }
}

struct Reader<'a> {
    dialect: Dialect,
    sql: &'a str,
    at: usize,
    /// Where the text that is not in `pieces` yet begins.
    text_from: usize,
    pieces: Vec<Piece<'a>>,
    /// Where the last words and parentheses begin, for seeing `not in (` before a parameter.
    words: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.sql[self.at..].chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    fn flush(&mut self, end: usize) {
        if end > self.text_from {
            self.pieces.push(Piece::Text(&self.sql[self.text_from..end]));
        }
        self.text_from = end;
    }

    /// The end of what begins here and holds no parameters: literals, quoted names, comments, dollar-quoted texts, casts.
    fn unread(&self, c: char) -> Result<Option<usize>, RawError> {
        let rest = self.rest();
        let until = |close: &str, from: usize, what| {
            let found = rest[from..].find(close).map(|end| Some(self.at + from + end + close.len()));
            found.ok_or(RawError::Unfinished { at: self.at, what })
        };
        match (c, self.dialect) {
            ('-', _) if rest.starts_with("--") => {
                Ok(Some(rest.find('\n').map_or(self.sql.len(), |end| self.at + end + 1)))
            }
            ('/', Dialect::Sqlite) if rest.starts_with("/*") => until("*/", 2, "a comment"),
            ('/', Dialect::Postgres) if rest.starts_with("/*") => self.nested_comment().map(Some),
            ('\'', _) => self.quoted('\'', self.has_escapes(), "a literal").map(Some),
            ('"', _) => self.quoted('"', false, "a quoted name").map(Some),
            ('`', Dialect::Sqlite) => self.quoted('`', false, "a quoted name").map(Some),
            ('[', Dialect::Sqlite) => until("]", 1, "a quoted name"),
            ('$', Dialect::Postgres) if !self.follows_word() => match dollar_tag(rest) {
                Some(tag) => until(tag, tag.len(), "a dollar-quoted text"),
                None => Ok(None),
            },
            (':', _) if rest.starts_with("::") || rest.starts_with(":=") => Ok(Some(self.at + 2)),
            _ => Ok(None),
        }
    }

    /// The end of what is in these quotes; a doubled quote is part of it.
    fn quoted(&self, quote: char, has_escapes: bool, what: &'static str) -> Result<usize, RawError> {
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, c)) = chars.next() {
            if has_escapes && c == '\\' {
                chars.next();
            } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(self.at + offset + quote.len_utf8());
            }
        }
        Err(RawError::Unfinished { at: self.at, what })
    }

    /// Whether the literal here is one of PostgreSQL's with backslashes: `E'it\'s'`.
    fn has_escapes(&self) -> bool {
        let before = &self.sql[..self.at];
        self.dialect == Dialect::Postgres
            && before.ends_with(['e', 'E'])
            && !before[..before.len() - 1].ends_with(is_word)
    }

    /// PostgreSQL's comments nest.
    fn nested_comment(&self) -> Result<usize, RawError> {
        let (mut depth, mut offset) = (0_usize, 0);
        let rest = self.rest();
        while let Some(found) = rest[offset..].find(['/', '*']) {
            offset += found;
            if rest[offset..].starts_with("/*") {
                depth += 1;
                offset += 2;
            } else if rest[offset..].starts_with("*/") {
                depth -= 1;
                offset += 2;
                if depth == 0 {
                    return Ok(self.at + offset);
                }
            } else {
                offset += 1;
            }
        }
        Err(RawError::Unfinished { at: self.at, what: "a comment" })
    }

    fn follows_word(&self) -> bool {
        self.sql[..self.at].ends_with(is_word)
    }

    fn placeholder(&self, c: char) -> Option<(Placeholder, usize)> {
        let rest = &self.rest()[c.len_utf8()..];
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, end) = (&rest[..length], self.at + 1 + length);
        match c {
            ':' if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                Some((Placeholder::Name(name.to_owned()), end))
            }
            '$' if !self.follows_word() => Some((Placeholder::Place(name.parse().ok()?), end)),
            _ => None,
        }
    }

    /// Takes a parameter, and the `in (` and `)` around it if there is nothing else.
    fn parameter(&mut self, placeholder: Placeholder, end: usize) {
        let after = self.sql[end..].trim_start();
        let piece = match self.membership() {
            Some((from, is_negated)) if after.starts_with(')') => {
                self.flush(from);
                self.at = self.sql.len() - after.len() + 1;
                Piece::Membership { placeholder, is_negated }
            }
            _ => {
                self.flush(self.at);
                self.at = end;
                Piece::Parameter(placeholder)
            }
        };
        self.pieces.push(piece);
        self.text_from = self.at;
        self.words.clear();
    }

    /// Where the `in (` or `not in (` begins that ends here.
    fn membership(&self) -> Option<(usize, bool)> {
        let word = |back: usize| self.words.len().checked_sub(back).map(|place| self.words[place]);
        let is = |from: usize, word: &str| {
            self.sql[from..].get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
                && !self.sql[from + word.len()..].starts_with(is_word)
        };
        let (open, within) = (word(1)?, word(2)?);
        if !self.sql[open..].starts_with('(') || !is(within, "in") {
            return None;
        }
        match word(3) {
            Some(not) if is(not, "not") => Some((not, true)),
            _ => Some((within, false)),
        }
    }

    /// Passes a character and notes where words begin.
    fn step(&mut self, c: char) {
        if is_word(c) {
            if !self.follows_word() {
                self.words.push(self.at);
            }
        } else if c == '(' {
            self.words.push(self.at);
        } else if !c.is_whitespace() {
            self.words.clear();
        }
        self.at += c.len_utf8();
    }

    fn expect_nothing_more(&mut self) -> Result<(), RawError> {
        while let Some(c) = self.peek() {
            match self.unread(c)? {
                Some(end) if matches!(c, '-' | '/') => self.at = end,
                None if c.is_whitespace() => self.at += c.len_utf8(),
                _ => return Err(RawError::SeveralStatements { at: self.at }),
            }
        }
        Ok(())
    }
}

/// `$tag$` or `$$` at the beginning of a text.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 2;
    let tag = &rest[1..end - 1];
    (!tag.starts_with(|c: char| c.is_ascii_digit()) && tag.chars().all(is_word)).then(|| &rest[..end])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, ":{name}"),
            Self::Place(place) => write!(f, "${place}"),
        }
    }
}
