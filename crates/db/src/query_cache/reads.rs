//! What the text of a query names, on PostgreSQL.
//!
//! The parser says that it is one plain query, and which functions it calls. Which tables it reads is not left to the
//! parser: every chain of names in the text may be one, and the catalog decides.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, ObjectName, Query, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use super::Uncachable;
use super::parameter::says_time;

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// What may be a relation: a name, or a schema's and a name, each in quotes.
    pub(super) relations: BTreeSet<String>,
    /// Functions it calls, without schema.
    pub(super) functions: BTreeSet<String>,
    /// All names: `row.name` may call a function.
    pub(super) names: BTreeSet<String>,
}

/// Words that are values without being called. They are no names unless they are quoted, or stand behind a point.
const CHANGEABLE: [&str; 12] = [
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "tablesample",
    "user",
];

/// Columns of every table that change though no row does, and types whose values are looked up in the catalogs or depend on
/// today's offset.
const CHANGEABLE_NAMES: [&str; 18] = [
    "cmax",
    "cmin",
    "ctid",
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "tableoid",
    "timetz",
    "xmax",
    "xmin",
];

/// What looks like a call and is none in the catalog.
const FORMS: [&str; 6] = ["coalesce", "greatest", "grouping", "least", "nullif", "trim"];

impl Reads {
    /// Reads a query as PostgreSQL does where `standard_conforming_strings` is on.
    pub(super) fn of(text: &str) -> Result<Self, Uncachable> {
        let lower = text.to_ascii_lowercase();
        if lower.contains("u&\"") || lower.contains("u&'") {
            return Err(Uncachable::Unparsable("names and texts with u& are not read".to_owned()));
        }
        let dialect = PostgreSqlDialect {};
        let tokens =
            Tokenizer::new(&dialect, text).tokenize().map_err(|error| Uncachable::Unparsable(error.to_string()))?;
        let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
        let mut reads = Self::default();
        reads.take_tokens(&tokens)?;
        let statements =
            Parser::parse_sql(&dialect, text).map_err(|error| Uncachable::Unparsable(error.to_string()))?;
        let [Statement::Query(query)] = &statements[..] else {
            let what = if statements.len() == 1 { "only a query can be kept" } else { "it is not one statement" };
            return Err(Uncachable::NoQuery(what.to_owned()));
        };
        match query.visit(&mut reads) {
            ControlFlow::Continue(()) => Ok(reads),
            ControlFlow::Break(reason) => Err(reason),
        }
    }

    fn take_tokens(&mut self, tokens: &[Token]) -> Result<(), Uncachable> {
        for (at, token) in tokens.iter().enumerate() {
            match token {
                Token::Word(word) => {
                    let name = name_of(word);
                    let is_behind_point = at > 0 && tokens[at - 1] == Token::Period;
                    let is_keyword = word.quote_style.is_none() && !is_behind_point;
                    if (is_keyword && CHANGEABLE.contains(&name.as_str())) || CHANGEABLE_NAMES.contains(&name.as_str())
                    {
                        return Err(Uncachable::Changeable(name));
                    }
                    // `time with time zone`
                    if is_keyword
                        && name == "time"
                        && matches!(&tokens[at + 1..], [Token::Word(next), ..] if next.value.eq_ignore_ascii_case("with"))
                    {
                        return Err(Uncachable::Changeable(name));
                    }
                    if is_keyword && name == "operator" {
                        return Err(Uncachable::Operators);
                    }
                    if let [Token::Period, Token::Word(second), ..] = &tokens[at + 1..] {
                        self.relations.insert(format!("{}.{}", quoted(&name), quoted(&name_of(second))));
                    }
                    self.relations.insert(quoted(&name));
                    self.names.insert(name);
                }
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::NationalStringLiteral(text)
                | Token::UnicodeStringLiteral(text)
                    if says_time(text) =>
                {
                    return Err(Uncachable::Changeable(text.clone()));
                }
                Token::DollarQuotedString(text) if says_time(&text.value) => {
                    return Err(Uncachable::Changeable(text.value.clone()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn calls(&mut self, name: &ObjectName) -> ControlFlow<Uncachable> {
        let Some(name) = name.0.last().and_then(|part| part.as_ident()).map(folded) else {
            return ControlFlow::Break(Uncachable::UnknownFunction(name.to_string()));
        };
        if !FORMS.contains(&name.as_str()) {
            self.functions.insert(name);
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Reads {
    type Break = Uncachable;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Uncachable> {
        if !query.locks.is_empty() {
            return ControlFlow::Break(Uncachable::Locks);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &sqlparser::ast::Select) -> ControlFlow<Uncachable> {
        if select.into.is_some() {
            return ControlFlow::Break(Uncachable::NoQuery("it makes a table".to_owned()));
        }
        ControlFlow::Continue(())
    }

    /// Of statements within the query, such as `with gone as (delete …)`.
    fn pre_visit_statement(&mut self, _statement: &Statement) -> ControlFlow<Uncachable> {
        ControlFlow::Break(Uncachable::NoQuery("it writes".to_owned()))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Uncachable> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.calls(name),
            TableFactor::Table { .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. } => ControlFlow::Continue(()),
            other => ControlFlow::Break(Uncachable::Unparsable(format!("{other} is not read"))),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Uncachable> {
        match expression {
            Expr::Function(function) => self.calls(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn name_of(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.replace("\"\"", "\"") } else { word.value.to_ascii_lowercase() }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.replace("\"\"", "\"") } else { ident.value.to_ascii_lowercase() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
