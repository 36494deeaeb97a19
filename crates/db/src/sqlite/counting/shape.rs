//! A statement without the values that stand in its text.

use std::collections::BTreeSet;

/// Characters of a shape; what is longer is cut.
const MOST_CHARS: usize = 8192;

/// Returns a text with `?` in place of texts, blobs and numbers, without comments and with single spaces. Parameters stay as
/// they are, names in quotes as well, and the values in `kept`; a list `in (1, 2, 3)` becomes `in (?)`.
///
/// What is cut off, because it is too long or a quote in it does not end, leaves nothing of a value behind.
pub(super) fn shape(text: &str, kept: &BTreeSet<String>) -> String {
    let mut out = Shape { text: String::with_capacity(text.len().min(MOST_CHARS)), has_gap: false };
    for (piece, kind) in Pieces(text) {
        if out.text.len() >= MOST_CHARS {
            out.text.push('…');
            break;
        }
        match kind {
            Kind::Gap => out.has_gap = true,
            Kind::Value if !kept.contains(piece) => out.value(),
            Kind::Value | Kind::Other => out.piece(piece),
            Kind::BlobPrefix => {}
        }
    }
    while out.text.ends_with([' ', ';']) {
        out.text.pop();
    }
    out.text
}

/// The values that a text names.
pub(super) fn values(text: &str) -> impl Iterator<Item = &str> {
    Pieces(text).filter(|(_, kind)| *kind == Kind::Value).map(|(piece, _)| piece)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// White space or a comment.
    Gap,
    /// A text, what stands behind the prefix of a blob, or a number.
    Value,
    /// It belongs to the text behind it.
    BlobPrefix,
    Other,
}

/// A text piece by piece.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a str, Kind);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0;
        let first = rest.chars().next()?;
        let (length, kind) = if first.is_ascii_whitespace() || first == '\u{b}' {
            (1, Kind::Gap)
        } else if rest.starts_with("--") {
            (rest.find('\n').unwrap_or(rest.len()), Kind::Gap)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            (comment.find("*/").map_or(rest.len(), |end| end + 4), Kind::Gap)
        } else if first == '\'' {
            (quoted(rest, '\''), Kind::Value)
        } else if let Some(closing) = closing(first) {
            (quoted(rest, closing), Kind::Other)
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            (number(rest), Kind::Value)
        } else if is_of_word(first) || matches!(first, '?' | ':' | '@') {
            let begin = first.len_utf8();
            let length = rest[begin..].find(|c| !is_of_word(c)).map_or(rest.len(), |end| end + begin);
            let is_prefix = rest[..length].eq_ignore_ascii_case("x") && rest[length..].starts_with('\'');
            (length, if is_prefix { Kind::BlobPrefix } else { Kind::Other })
        } else {
            (first.len_utf8(), Kind::Other)
        };
        self.0 = &rest[length..];
        Some((&rest[..length], kind))
    }
}

struct Shape {
    text: String,
    has_gap: bool,
}

impl Shape {
    fn piece(&mut self, piece: &str) {
        if std::mem::take(&mut self.has_gap) && !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(piece);
    }

    fn value(&mut self) {
        let before = self.text.trim_end();
        // Another value of a list, of which there may be any number.
        if let Some(list) = before.strip_suffix(',').map(str::trim_end)
            && let Some(opened) = list.strip_suffix('?').map(str::trim_end).and_then(|list| list.strip_suffix('('))
        {
            let word = opened.trim_end();
            if word.len() >= 3
                && word.is_char_boundary(word.len() - 3)
                && word[word.len() - 3..].eq_ignore_ascii_case(" in")
            {
                self.text.truncate(list.len());
                self.has_gap = false;
                return;
            }
        }
        self.piece("?");
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// What ends a name that begins so.
fn closing(first: char) -> Option<char> {
    match first {
        '"' | '`' => Some(first),
        '[' => Some(']'),
        _ => None,
    }
}

/// Bytes up to the quote that ends it, which is not doubled; all if there is none.
fn quoted(text: &str, closing: char) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == closing {
            if closing != ']' && letters.peek().is_some_and(|(_, next)| *next == closing) {
                letters.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

/// Bytes of a number: `12`, `1_000`, `0x1F`, `1.5e-7`.
fn number(text: &str) -> usize {
    let mut before = ' ';
    let is_hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    for (at, c) in text.char_indices() {
        let is_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hexadecimal;
        if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || is_sign) {
            return at;
        }
        before = c;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(text: &str) -> String {
        super::shape(text, &BTreeSet::new())
    }

    #[test]
    fn values_are_taken_out_and_names_stay() {
        for (text, expected) in [
            ("select  a\n from t -- which\n where b = 'it''s' and c=?1 ;", "select a from t where b = ? and c=?1"),
            (
                "select \"O'Brien\", [a b], `c` from t1 where x = X'00ff'",
                "select \"O'Brien\", [a b], `c` from t1 where x = ?",
            ),
            (
                "select * from t where a in (1, 2,3) and b in (?1, ?2)",
                "select * from t where a in (?) and b in (?1, ?2)",
            ),
            (
                "insert into t values (1, 'a', -2.5e-3), (0x1F, .5, null)",
                "insert into t values (?, ?, -?), (?, ?, null)",
            ),
            ("select /* 'x' */ :name, @p, $v", "select :name, @p, $v"),
            ("select 'never ends", "select ?"),
            ("", ""),
        ] {
            assert_eq!(shape(text), expected);
        }
    }

    #[test]
    fn values_that_an_index_names_stay() {
        let index = "create index i on t (a) where done = 0 and state in ('waiting', 'it''s')";
        let kept: BTreeSet<String> = values(index).map(str::to_owned).collect();

        let text = "select a from t where done = 0 and state = 'waiting' and name = 'ada' and b = 10 and c = 'it''s'";
        let expected = "select a from t where done = 0 and state = 'waiting' and name = ? and b = ? and c = 'it''s'";
        assert_eq!(super::shape(text, &kept), expected);
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = "select a".replace('a', &"a, ".repeat(10_000));

        assert!(shape(&long).len() < 8300 && shape(&long).ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_value_is_left(secret in "[a-z' ]{0,20}", number in 100_000_u32..) {
            let known = "select a from t where b = 'zqS' and c > N";
            let text = known.replace('S', &secret.replace('\'', "''")).replace('N', &number.to_string());

            prop_assert_eq!(shape(&text), "select a from t where b = ? and c > ?");
        }

        #[test]
        fn any_text_has_a_shape_that_is_its_own(text in "\\PC{0,60}") {
            let once = shape(&text);

            // Two pieces that a comment divided may begin another one.
            prop_assert!(once.len() <= text.len() + 4);
        }
    }
}
