//! One spelling for texts that mean the same.

use crate::Dialect;

/// Returns a text without comments, with single spaces, and in lower case where it is not quoted.
///
/// Texts that become equal are the same statement: what is inside of quotes, dollar quotes, and on SQLite of backquotes
/// and brackets, is kept byte for byte, as are SQLite's named parameters. A text that ends within a quote or a comment is kept as it is from there on.
/// Cost: one pass.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{Dialect, query_cache::normalised};
///
/// let text = "SELECT  Name -- which\n FROM \"Users\" WHERE note = 'A  b' ;";
/// assert_eq!(normalised(Dialect::Postgres, text), "select name from \"Users\" where note = 'A  b'");
/// ```
#[must_use]
pub fn normalised(dialect: Dialect, text: &str) -> String {
    let mut normal = Normal { out: String::with_capacity(text.len()), gap: Gap::None, is_after_literal: false };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if first.is_ascii_whitespace() || first == '\u{b}' {
            normal.gap(if first == '\n' || first == '\r' { Gap::Line } else { Gap::Space });
            first.len_utf8()
        } else if rest.starts_with("--") {
            normal.gap(Gap::Line);
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            match comment(dialect, rest) {
                Some(length) => {
                    normal.gap(Gap::Space);
                    length
                }
                None => normal.literal(rest),
            }
        } else if let Some(length) = quoted(dialect, rest, normal.ends_in_escape_prefix()) {
            normal.literal(&rest[..length])
        } else {
            normal.plain(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    while normal.out.ends_with([' ', ';', '\n']) && !normal.is_after_literal {
        normal.out.pop();
    }
    normal.out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Gap {
    None,
    Space,
    Line,
}

struct Normal {
    out: String,
    gap: Gap,
    is_after_literal: bool,
}

impl Normal {
    fn gap(&mut self, gap: Gap) {
        if gap > self.gap {
            self.gap = gap;
        }
    }

    /// Writes what stands for the white space before the next piece. Two texts with a new line between them are one text,
    /// with a space only they are an error, so that difference stays.
    fn begin(&mut self, is_literal: bool) {
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        if gap == Gap::None || self.out.is_empty() {
            return;
        }
        self.out.push(if gap == Gap::Line && is_literal && self.is_after_literal { '\n' } else { ' ' });
    }

    fn literal(&mut self, text: &str) -> usize {
        self.begin(true);
        self.out.push_str(text);
        self.is_after_literal = true;
        text.len()
    }

    fn plain(&mut self, letter: char) {
        self.begin(false);
        self.out.push(letter.to_ascii_lowercase());
        self.is_after_literal = false;
    }

    /// Whether the next quote begins a text in which a backslash escapes: `e'…'`, where `e` is no end of a longer word.
    fn ends_in_escape_prefix(&self) -> bool {
        let mut letters = self.out.chars().rev();
        self.gap == Gap::None
            && !self.is_after_literal
            && letters.next() == Some('e')
            && !letters.next().is_some_and(|before| before.is_alphanumeric() || before == '_' || before == '$')
    }
}

/// The length of a comment; `None` if it does not end. PostgreSQL's are nested.
fn comment(dialect: Dialect, text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with("/*") && (depth == 0 || dialect == Dialect::Postgres) {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next()?.len_utf8();
        }
    }
}

/// The length of what is quoted at the beginning of a text, up to its end if the quote is not closed; `None` if nothing is.
fn quoted(dialect: Dialect, text: &str, has_escapes: bool) -> Option<usize> {
    let first = text.chars().next()?;
    let end = match (first, dialect) {
        ('\'' | '"', _) | ('`', Dialect::Sqlite) => first,
        ('[', Dialect::Sqlite) => ']',
        // `:Name` and `:name` are two parameters.
        (':' | '@' | '$', Dialect::Sqlite) => {
            let name = text[1..].find(|c: char| !c.is_alphanumeric() && c != '_');
            return Some(name.map_or(text.len(), |end| end + 1));
        }
        ('$', Dialect::Postgres) => return dollar_quoted(text),
        _ => return None,
    };
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && has_escapes && first == '\'' {
            letters.next();
        } else if letter == end {
            // A doubled quote is a quote; brackets have none.
            if end != ']' && letters.peek().is_some_and(|(_, next)| *next == end) {
                letters.next();
            } else {
                return Some(at + letter.len_utf8());
            }
        }
    }
    Some(text.len())
}

fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_tag =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    Some(text[tag_end..].find(tag).map_or(text.len(), |end| tag_end + end + tag_end))
}

#[cfg(test)]
mod tests;
