//! What a statement is and what it reads, from its text alone and the names the catalog knows.
//!
//! [`Query::parse`] takes exactly one statement; [`Query::read`] says which tables it scans, by which columns, in which
//! order. Names are resolved as the databases do it, against a [`Schema`] of what exists: a name that is not there is
//! reported and never guessed.

use std::ops::ControlFlow;

use sqlparser::ast::{self, SetExpr, Statement, Visit, Visitor};
use sqlparser::dialect::{PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use crate::Dialect;

pub(crate) mod cutting;
mod fingerprint;
mod predicate;
mod scan;
mod schema;
mod scope;
mod walk;

pub use fingerprint::Fingerprint;
pub use scan::{Filter, Literal, Ordering, Parameter, Reading, ReadingError, Role, Scan, Test, Written};
pub use schema::Schema;

/// Longest text that is looked at, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// Longest text of many statements.
const MAX_BYTES_OF_ALL: usize = 16 * 1024 * 1024;
/// Operators in one statement. A chain of them is as deep as it is long, and what walks it needs stack for each.
const MAX_OPERATORS: usize = 400;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It only reads. A function that it calls may still write.
    Select,
    /// It changes or locks rows: also a `select … for update`, a `select … into`, and a `with` that deletes.
    Write,
    /// Anything else: `explain`, `create`, `set`, `vacuum`.
    Utility,
}

/// One statement that was understood.
///
/// # Examples
///
/// ```
/// use tierkeep_db::Dialect;
/// use tierkeep_db::query::{Kind, Query};
///
/// let query = Query::parse(Dialect::Postgres, "select * from t where name = ';' -- done")?;
/// assert_eq!(query.kind(), Kind::Select);
///
/// let other = Query::parse(Dialect::Postgres, "SELECT * FROM t WHERE name = $1;")?;
/// assert_eq!(query.fingerprint(), other.fingerprint());
///
/// assert!(Query::parse(Dialect::Postgres, "select 1; drop table t").is_err());
/// # Ok::<(), tierkeep_db::query::QueryError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Query {
    dialect: Dialect,
    sql: String,
    statement: Statement,
    kind: Kind,
    fingerprint: Fingerprint,
    parameters: u16,
}

/// A statement as it was written, and what was understood of it.
pub type Parsed = (String, Result<Query, QueryError>);

/// Why a text is not one statement that can be analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is nothing but blanks and comments.
    #[error("the text has no statement, accepted is exactly one")]
    Empty,
    /// There is more than one statement.
    #[error("several statements: the second begins in line {line}, column {column}, accepted is exactly one")]
    Several {
        /// Line of the second statement, from 1.
        line: u64,
        /// Its column in characters, from 1.
        column: u64,
    },
    /// The text is not SQL of the dialect as far as it is known here.
    #[error("not understood in line {line}, column {column}: {message}")]
    Syntax {
        /// Line of what was not understood, from 1.
        line: u64,
        /// Its column in characters, from 1.
        column: u64,
        /// What was found and what would have been accepted.
        message: String,
    },
    /// The statement is too long or too deeply nested to be walked safely.
    #[error("the statement is too large to analyse: {what}, accepted are {accepted}")]
    TooLarge {
        /// What there is too much of.
        what: String,
        /// How much is accepted.
        accepted: String,
    },
}

impl Query {
    /// Reads exactly one statement; a semicolon after it, in a literal or in a comment is fine.
    ///
    /// Cost: linear in the text.
    ///
    /// # Errors
    ///
    /// [`QueryError`], one variant per reason.
    pub fn parse(dialect: Dialect, sql: &str) -> Result<Self, QueryError> {
        let mut statements = split(dialect, sql, MAX_BYTES)?;
        if let [_, second, ..] = statements.as_slice() {
            let at = second.tokens[0].span.start;
            return Err(QueryError::Several { line: at.line, column: at.column });
        }
        match statements.pop() {
            Some(only) => Self::from_piece(dialect, only),
            None => Err(QueryError::Empty),
        }
    }

    /// Reads each statement of a text by itself, so that one that is not understood does not hide the others.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the text cannot even be split: a quote that is not closed, or more than fits.
    pub fn parse_all(dialect: Dialect, text: &str) -> Result<Vec<Parsed>, QueryError> {
        let pieces = split(dialect, text, MAX_BYTES_OF_ALL)?;
        Ok(pieces.into_iter().map(|piece| (piece.text.clone(), Self::from_piece(dialect, piece))).collect())
    }

    fn from_piece(dialect: Dialect, piece: Piece) -> Result<Self, QueryError> {
        if piece.text.len() > MAX_BYTES {
            return Err(QueryError::TooLarge {
                what: format!("{} bytes", piece.text.len()),
                accepted: format!("{MAX_BYTES} bytes"),
            });
        }
        let operators = piece.tokens.iter().filter(|token| is_operator(&token.token)).count();
        if operators > MAX_OPERATORS {
            return Err(QueryError::TooLarge {
                what: format!("{operators} operators"),
                accepted: MAX_OPERATORS.to_string(),
            });
        }
        let fingerprint = Fingerprint::of(&piece.tokens);
        let mut tokens = piece.tokens;
        number_parameters(&mut tokens);
        let parameters = tokens.iter().filter_map(|token| parameter(&token.token)).max().unwrap_or(0);
        let statement = parse(dialect, tokens)?;
        let kind = kind(&statement);
        Ok(Self { dialect, sql: piece.text, statement, kind, fingerprint, parameters })
    }

    /// Returns the statement as it was written, without what surrounds it and without a semicolon at its end.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Which language it was read as.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it has in common with statements that differ only in values.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The highest number of a parameter, `$3` or `?3`, where each `?` has the number after the highest one before it; 0 if
    /// there is none. SQLite's parameters with names are not counted.
    pub fn parameters(&self) -> u16 {
        self.parameters
    }

    /// Says which tables are scanned, by what, and what is written.
    ///
    /// Views are read through; a table expression, a subquery and a `lateral` see the names that the databases let them
    /// see.
    ///
    /// # Errors
    ///
    /// [`ReadingError`] if a table does not exist in `schema`, a view cannot be read, or the statement is a utility.
    pub fn read(&self, schema: &Schema) -> Result<Reading, ReadingError> {
        walk::read(self.dialect, &self.statement, schema)
    }

    /// The statement as a tree.
    pub(crate) fn statement(&self) -> &Statement {
        &self.statement
    }
}

/// One statement of a text.
struct Piece {
    text: String,
    tokens: Vec<TokenWithSpan>,
}

/// Cuts a text at the semicolons that are tokens of their own. Pieces without a token but blanks are left out.
fn split(dialect: Dialect, sql: &str, most: usize) -> Result<Vec<Piece>, QueryError> {
    if sql.len() > most {
        return Err(QueryError::TooLarge { what: format!("{} bytes", sql.len()), accepted: format!("{most} bytes") });
    }
    let tokens = tokenize(dialect, sql)?;
    let (mut pieces, mut reader) = (Vec::new(), Reader::new(sql));
    // Every piece ends at a semicolon, or with the text.
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let is_blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_) | Token::EOF);
        let Some(first) = tokens.iter().position(|token| !is_blank(token)) else { continue };
        let last = tokens.iter().rposition(|token| !is_blank(token)).unwrap_or(first);
        let tokens = tokens[first..=last].to_vec();
        let start = reader.offset(tokens[0].span.start);
        let end = reader.offset(tokens[tokens.len() - 1].span.end);
        pieces.push(Piece { text: sql[start..end.max(start)].to_owned(), tokens });
    }
    Ok(pieces)
}

fn tokenize(dialect: Dialect, sql: &str) -> Result<Vec<TokenWithSpan>, QueryError> {
    let dialect: &dyn sqlparser::dialect::Dialect = match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
    };
    Tokenizer::new(dialect, sql).tokenize_with_location().map_err(|error| QueryError::Syntax {
        line: error.location.line,
        column: error.location.column,
        message: error.message,
    })
}

/// Finds the bytes at which lines and columns are, from the beginning of a text to its end.
struct Reader<'a> {
    sql: &'a str,
    letters: std::iter::Peekable<std::str::CharIndices<'a>>,
    line: u64,
    column: u64,
}

impl<'a> Reader<'a> {
    fn new(sql: &'a str) -> Self {
        Self { sql, letters: sql.char_indices().peekable(), line: 1, column: 1 }
    }

    /// The byte of a place that is not before the last one that was asked for; the end if the text has no such place.
    fn offset(&mut self, at: sqlparser::tokenizer::Location) -> usize {
        while let Some((offset, letter)) = self.letters.peek().copied() {
            if (self.line, self.column) == (at.line, at.column) {
                return offset;
            }
            (self.line, self.column) = if letter == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
            self.letters.next();
        }
        self.sql.len()
    }
}

fn parse(dialect: Dialect, tokens: Vec<TokenWithSpan>) -> Result<Statement, QueryError> {
    let dialect: &dyn sqlparser::dialect::Dialect = match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
    };
    let end = tokens.last().map(|token| token.span.end);
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| {
        let at = parser.peek_token().span.start;
        // Past the end of the text there is no place of its own.
        let at = if at.line == 0 { end.unwrap_or(at) } else { at };
        match error {
            ParserError::RecursionLimitExceeded => {
                QueryError::TooLarge { what: "its nesting".to_owned(), accepted: "50 levels".to_owned() }
            }
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
                let (message, place) = text.split_once(" at Line: ").unwrap_or((&text, ""));
                // The parser may have gone back before it gave up; its message says how far it had been.
                let (line, column) = place
                    .split_once(", Column: ")
                    .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)))
                    .unwrap_or((at.line, at.column));
                QueryError::Syntax { line, column, message: message.to_owned() }
            }
        }
    })?;
    let rest = parser.next_token();
    if rest.token == Token::EOF {
        return Ok(statement);
    }
    let at = rest.span.start;
    Err(QueryError::Syntax {
        line: at.line,
        column: at.column,
        message: format!("Expected: end of statement, found: {rest}"),
    })
}

/// Whether a token may make the tree one deeper without a bracket.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => {
            ["and", "or", "not", "union", "except", "intersect", "is", "collate", "at"]
                .iter()
                .any(|keyword| value.eq_ignore_ascii_case(keyword))
        }
        Token::Word(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::Whitespace(_)
        | Token::EOF => false,
        _ => true,
    }
}

/// The number of a parameter such as `$3` or `?3`.
fn parameter(token: &Token) -> Option<u16> {
    match token {
        Token::Placeholder(name) => numbered(name),
        _ => None,
    }
}

pub(crate) fn numbered(placeholder: &str) -> Option<u16> {
    placeholder.strip_prefix(['$', '?'])?.parse().ok()
}

/// Gives each `?` its number, as SQLite does.
fn number_parameters(tokens: &mut [TokenWithSpan]) {
    let mut highest = 0_u16;
    for token in tokens {
        if let Token::Placeholder(name) = &mut token.token {
            if name == "?" {
                *name = format!("?{}", highest.saturating_add(1));
            }
            highest = highest.max(numbered(name).unwrap_or(0));
        }
    }
}

fn kind(statement: &Statement) -> Kind {
    match statement {
        Statement::Query(_) => {
            if statement.visit(&mut WriteFinder).is_break() {
                Kind::Write
            } else {
                Kind::Select
            }
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => Kind::Write,
        _ => Kind::Utility,
    }
}

/// Stops at the first part of a query that writes or locks.
struct WriteFinder;

impl Visitor for WriteFinder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if query.locks.is_empty() && !writes(&query.body) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        if matches!(statement, Statement::Query(_)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn writes(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_some(),
        SetExpr::SetOperation { left, right, .. } => writes(left) || writes(right),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => true,
        // Subqueries are visited by themselves.
        SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => false,
    }
}

/// Whether a token is nothing but space between others.
fn is_space(token: &Token) -> bool {
    matches!(
        token,
        Token::Whitespace(
            Whitespace::Space
                | Whitespace::Newline
                | Whitespace::Tab
                | Whitespace::SingleLineComment { .. }
                | Whitespace::MultiLineComment(_)
        ) | Token::EOF
    )
}

#[cfg(test)]
mod tests;
