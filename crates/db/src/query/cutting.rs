//! Statements out of a stream, one at a time: a file may be longer than memory.

use std::io::{self, BufRead};

use super::MAX_BYTES;
use crate::Dialect;

/// A statement as it stands in a stream.
pub(crate) enum Cut {
    /// Its text, without the semicolon.
    Text(String),
    /// Only how it begins: it is longer than what is looked at.
    TooLong(String),
}

/// Hands out each statement of a stream, in their order, and keeps nothing of it. Bytes that are no UTF-8 are replaced.
///
/// # Errors
///
/// What reading says.
pub(crate) fn cut(dialect: Dialect, stream: &mut impl BufRead, mut each: impl FnMut(Cut)) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut place = Place { dialect, within: Within::Plain, before: [b' '; 2] };
    loop {
        let bytes = stream.fill_buf()?;
        if bytes.is_empty() {
            give(&mut piece, &mut each);
            return Ok(());
        }
        for byte in bytes {
            if place.ends_statement(*byte) {
                give(&mut piece, &mut each);
            } else if piece.len() <= MAX_BYTES {
                piece.push(*byte);
            }
        }
        let length = bytes.len();
        stream.consume(length);
    }
}

fn give(piece: &mut Vec<u8>, each: &mut impl FnMut(Cut)) {
    const SHOWN: usize = 200;
    let is_too_long = piece.len() > MAX_BYTES;
    let text = String::from_utf8_lossy(if is_too_long { &piece[..SHOWN] } else { piece.as_slice() }).into_owned();
    piece.clear();
    each(if is_too_long { Cut::TooLong(text) } else { Cut::Text(text) });
}

/// Where in a statement a byte is.
enum Within {
    Plain,
    /// Up to this byte; whether a backslash takes the meaning from what follows it.
    Quoted {
        until: u8,
        escapes: bool,
    },
    Line,
    /// So many deep; PostgreSQL's are nested.
    Comment(u32),
    /// After a `$` that may begin a quote, with what stands between so far.
    Tag(Vec<u8>),
    /// Up to this text, of which so many bytes were just met.
    Dollars {
        until: Vec<u8>,
        met: usize,
    },
}

struct Place {
    dialect: Dialect,
    within: Within,
    /// The last byte, and the one before it; what has taken part in something is a blank.
    before: [u8; 2],
}

impl Place {
    /// Takes in a byte; whether it is the semicolon behind a statement.
    fn ends_statement(&mut self, byte: u8) -> bool {
        let [last, second] = self.before;
        self.before = [byte, last];
        match &mut self.within {
            Within::Plain => return self.plain(byte, last, second),
            Within::Quoted { until, escapes } => {
                if *escapes && last == b'\\' {
                    self.before = [b' '; 2];
                } else if byte == *until {
                    // A doubled one begins the next quote at once.
                    self.within = Within::Plain;
                }
            }
            Within::Line => {
                if byte == b'\n' {
                    self.within = Within::Plain;
                }
            }
            Within::Comment(depth) => {
                match (last, byte) {
                    (b'*', b'/') => *depth -= 1,
                    (b'/', b'*') if self.dialect == Dialect::Postgres => *depth += 1,
                    _ => return false,
                }
                self.before = [b' '; 2];
                if *depth == 0 {
                    self.within = Within::Plain;
                }
            }
            Within::Tag(tag) => {
                if byte == b'$' {
                    let until = [b"$", tag.as_slice(), b"$"].concat();
                    self.within = Within::Dollars { until, met: 0 };
                } else if is_of_word(byte) && !(tag.is_empty() && byte.is_ascii_digit()) {
                    tag.push(byte);
                } else {
                    self.within = Within::Plain;
                    return self.plain(byte, b'$', b' ');
                }
            }
            Within::Dollars { until, met } => {
                *met = if byte == until[*met] { *met + 1 } else { usize::from(byte == b'$') };
                if *met == until.len() {
                    self.within = Within::Plain;
                    self.before = [b' '; 2];
                }
            }
        }
        false
    }

    fn plain(&mut self, byte: u8, last: u8, second: u8) -> bool {
        let is_postgres = self.dialect == Dialect::Postgres;
        self.within = match byte {
            b';' => return true,
            b'\'' => {
                let escapes = is_postgres && matches!(last, b'e' | b'E') && !is_of_word(second);
                Within::Quoted { until: b'\'', escapes }
            }
            b'"' => Within::Quoted { until: b'"', escapes: false },
            b'`' if !is_postgres => Within::Quoted { until: b'`', escapes: false },
            b'[' if !is_postgres => Within::Quoted { until: b']', escapes: false },
            b'-' if last == b'-' => Within::Line,
            b'*' if last == b'/' => {
                self.before = [b' '; 2];
                Within::Comment(1)
            }
            b'$' if is_postgres && !is_of_word(last) => Within::Tag(Vec::new()),
            _ => return false,
        };
        false
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;
    use crate::query::Query;

    fn pieces(dialect: Dialect, text: &str, capacity: usize) -> Vec<String> {
        let mut pieces = Vec::new();
        cut(dialect, &mut BufReader::with_capacity(capacity, text.as_bytes()), |piece| match piece {
            Cut::Text(text) | Cut::TooLong(text) => pieces.push(text.trim().to_owned()),
        })
        .unwrap();
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for (dialect, text, expected) in [
            (Dialect::Postgres, "select ';'; select 2", vec!["select ';'", "select 2"]),
            (Dialect::Postgres, "a 'it''s; b'; c", vec!["a 'it''s; b'", "c"]),
            (Dialect::Postgres, r"a E'\'; b'; c '\'; d", vec![r"a E'\'; b'", r"c '\'", "d"]),
            (Dialect::Postgres, "a $$ ; $$; b $x$ ; $$ $x$; c $1; d", vec!["a $$ ; $$", "b $x$ ; $$ $x$", "c $1", "d"]),
            (Dialect::Postgres, "a /* ; /* ; */ ; */; b -- ;\n; c", vec!["a /* ; /* ; */ ; */", "b -- ;", "c"]),
            (Dialect::Sqlite, "a /* /* ; */; b [;]; c `;`; d", vec!["a /* /* ; */", "b [;]", "c `;`", "d"]),
            (Dialect::Sqlite, "a '\\'; b", vec!["a '\\'", "b"]),
            (Dialect::Sqlite, ";;  ;", vec![]),
        ] {
            for capacity in [1, 2, 3, 1024] {
                assert_eq!(pieces(dialect, text, capacity), expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_next_is_found() {
        let text = "select 'x'; select 2".replace('x', &"x".repeat(2 * MAX_BYTES));

        let found = pieces(Dialect::Postgres, &text, 4096);

        assert!(found[0].len() <= 200 && found[1] == "select 2", "{found:?}");
    }

    proptest! {
        /// The tokens of the parser know where a statement ends.
        #[test]
        fn statements_are_those_of_the_parser(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "select 1", ";", " ", "'a;b'", "\"c;d\"", "-- x;\n", "/* y; */", "+", "e", "$1", " $$ z; $$", "\n", ",",
                ]),
                0..14,
            ),
        ) {
            let text = parts.concat();
            if let Ok(parsed) = Query::parse_all(Dialect::Postgres, &text) {
                let found = pieces(Dialect::Postgres, &text, 7);
                let known: Vec<String> = parsed.into_iter().map(|(text, _)| text).collect();
                let without = |text: &str| text.replace(char::is_whitespace, "");
                // A piece that is only a comment is none for the parser.
                let found = found.iter().filter(|piece| {
                    Query::parse_all(Dialect::Postgres, piece).is_ok_and(|parsed| !parsed.is_empty())
                });
                let found: Vec<String> = found.map(|piece| without(piece)).collect();
                let is_in = |(known, found): (&String, &String)| found.contains(&without(known));
                prop_assert_eq!(known.len(), found.len(), "{:?}", found);
                prop_assert!(known.iter().zip(&found).all(is_in), "{:?} {:?}", known, found);
            }
        }
    }
}
