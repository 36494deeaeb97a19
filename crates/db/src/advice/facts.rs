//! What is known of the tables, columns and indexes that a workload touches.

use std::collections::BTreeMap;

use crate::query::{Filter, Literal, Test};
use crate::statement::{IndexDefinition, IndexKey, IndexMethod, IndexPredicate, KeyOrder, Keyed};
use crate::{Ident, TableName};

pub(super) mod postgres;
pub(super) mod sqlite;

/// Share of rows between two bounds, or beyond one, where nothing better is known.
const RANGE: f64 = 0.1;
/// Share of rows that begin with a text.
const PREFIX: f64 = 0.02;
/// Share of rows that have a text anywhere in them: what PostgreSQL takes for a pattern that it does not know.
const CONTAINS: f64 = 0.005;
/// Pages of a range of blocks of which the least and the greatest value are kept, by default.
pub(super) const RANGE_PAGES: f64 = 128.0;
/// Entries that an index of trigrams has of a row, for each byte of the text: most texts have each of theirs once.
pub(super) const TRIGRAMS_PER_BYTE: f64 = 0.8;
/// Bytes of such an entry, packed.
const TRIGRAM_BYTES: f64 = 2.0;
/// Bytes of an entry besides its keys: pointer, header, alignment.
const ENTRY_BYTES: f64 = 16.0;
/// Pages of an index are filled to nine tenths.
const FILL: f64 = 0.9;

/// Facts by table.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) tables: BTreeMap<TableName, TableFacts>,
    /// Whether the extension pg_trgm was created in this database.
    pub(super) has_trigrams: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TableFacts {
    /// Rows, if anybody ever counted.
    pub(super) rows: Option<f64>,
    /// Pages of 8 KiB; as many as 50 rows to a page would take where that is not known.
    pub(super) pages: f64,
    pub(super) columns: BTreeMap<Ident, ColumnFacts>,
    pub(super) indexes: Vec<ExistingIndex>,
    /// Columns of each foreign key of the table.
    pub(super) foreign_keys: Vec<Vec<Ident>>,
    /// Scans of the table and its indexes since statistics were reset, where that is counted.
    pub(super) scans: Option<i64>,
    /// Whether its rows are in other tables.
    pub(super) is_partitioned: bool,
    /// Whether this role may read it.
    pub(super) is_readable: bool,
}

#[derive(Debug, Clone)]
pub(super) struct ColumnFacts {
    /// Different values.
    pub(super) distinct: f64,
    /// Share of rows without a value.
    pub(super) null_fraction: f64,
    /// Bytes of a value.
    pub(super) width: f64,
    /// How far the order of rows follows that of values, -1 to 1.
    pub(super) correlation: f64,
    /// The most common values with their share of the rows.
    pub(super) common: Vec<(String, f64)>,
    /// Values at equal distances among the rows, in their order; none where nobody looked.
    pub(super) bounds: Vec<String>,
    /// Whether `like 'abc%'` needs an index by bytes.
    pub(super) needs_pattern: bool,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExistingIndex {
    pub(super) schema: Ident,
    pub(super) name: Ident,
    pub(super) keys: Vec<ExistingKey>,
    pub(super) include: Vec<Ident>,
    /// As the database prints it.
    pub(super) predicate: Option<String>,
    pub(super) is_unique: bool,
    /// Whether a constraint, the primary key or replication rests on it.
    pub(super) is_constraint: bool,
    pub(super) is_valid: bool,
    /// What kind it is; `None` if it is one that is not made here, such as a hash.
    pub(super) method: Option<IndexMethod>,
    pub(super) bytes: u64,
    /// Scans since statistics were reset, where that is counted.
    pub(super) scans: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExistingKey {
    /// The column, unless it is an expression.
    pub(super) column: Option<Ident>,
    /// The expression as the database prints it.
    pub(super) expression: Option<String>,
    pub(super) is_descending: bool,
    pub(super) nulls_first: bool,
    /// Whether it compares as the type does by default.
    pub(super) is_default: bool,
}

impl TableFacts {
    /// Rows, as a number to reckon with.
    pub(super) fn row_count(&self) -> f64 {
        self.rows.unwrap_or(0.0).max(1.0)
    }

    /// Share of rows that pass a condition.
    pub(super) fn selectivity(&self, filter: &Filter) -> f64 {
        let rows = self.row_count();
        let Some(column) = self.columns.get(filter.on.column()) else { return 0.1 };
        let present = 1.0 - column.null_fraction;
        let equal = (present / column.distinct.max(1.0)).max(1.0 / rows);
        let share = match filter.test {
            Test::Equal => match &filter.value {
                Some(value) if matches!(filter.on, Keyed::Column(_)) => {
                    let common = column.common.iter().find(|(common, _)| is_value(value, common));
                    common.map_or_else(|| column.rare(equal, present), |(_, share)| *share)
                }
                _ => equal,
            },
            Test::Join => equal,
            Test::AnyOf(count) => equal * count as f64,
            Test::Range => RANGE * present,
            Test::Prefix => PREFIX * present,
            Test::Contains => CONTAINS * present,
            Test::IsNull => column.null_fraction,
            Test::IsNotNull => present,
        };
        share.clamp(1.0 / rows, 1.0)
    }

    /// Share of rows that an index has.
    pub(super) fn covered(&self, predicate: Option<&IndexPredicate>) -> f64 {
        let Some(predicate) = predicate else { return 1.0 };
        let (test, value) = match predicate {
            IndexPredicate::IsNull(_) => (Test::IsNull, None),
            IndexPredicate::IsNotNull(_) => (Test::IsNotNull, None),
            IndexPredicate::IsTrue(_) => (Test::Equal, Some(Literal::Boolean(true))),
            IndexPredicate::IsFalse(_) => (Test::Equal, Some(Literal::Boolean(false))),
            IndexPredicate::TextIs(_, text) => (Test::Equal, Some(Literal::Text(text.clone()))),
            IndexPredicate::NumberIs(_, number) => (Test::Equal, Some(Literal::Number(number.to_string()))),
        };
        let on = Keyed::Column(predicate.column().clone());
        self.selectivity(&Filter { on, test, value, parameters: Vec::new() })
    }

    /// Bytes that an index would take.
    pub(super) fn index_bytes(&self, index: &IndexDefinition) -> u64 {
        let width: f64 = index.columns().map(|column| self.columns.get(column).map_or(8.0, |facts| facts.width)).sum();
        let entries = self.row_count() * self.covered(index.predicate.as_ref());
        match index.method {
            IndexMethod::Tree => {}
            // Two values for each range, a page that says where they are, and one that describes the whole.
            IndexMethod::Blocks => {
                return (24_576.0 + self.pages / RANGE_PAGES * (2.0 * width + ENTRY_BYTES)) as u64;
            }
            IndexMethod::Trigrams => {
                return (entries * width * TRIGRAMS_PER_BYTE * TRIGRAM_BYTES / FILL).max(16_384.0) as u64;
            }
        }
        // Aligned to 8 bytes; never less than the page that says where the others are, and one.
        let bytes = entries * ((width / 8.0).ceil() * 8.0 + ENTRY_BYTES) / FILL;
        bytes.max(16_384.0) as u64
    }
}

impl ColumnFacts {
    /// Share of a value that is not among the common ones.
    fn rare(&self, equal: f64, present: f64) -> f64 {
        let common: f64 = self.common.iter().map(|(_, share)| share).sum();
        let others = self.distinct - self.common.len() as f64;
        if self.common.is_empty() || others < 1.0 { equal } else { ((present - common) / others).max(0.0).min(equal) }
    }
}

impl ExistingIndex {
    /// Whether it is an ordinary tree, and not a hash, GIN or another kind.
    pub(super) fn is_tree(&self) -> bool {
        self.method == Some(IndexMethod::Tree)
    }

    /// Whether everything that an index of this definition serves is served by this one.
    pub(super) fn serves(&self, wanted: &IndexDefinition) -> bool {
        if wanted.method != IndexMethod::Tree {
            return self.is_valid && self.has_rows_of(wanted) && self.has_keys_of(wanted);
        }
        self.is_valid
            && self.is_tree()
            && self.has_rows_of(wanted)
            && self.keys.len() >= wanted.keys.len()
            && self.keys.iter().zip(&wanted.keys).all(|(key, wanted)| key.is(&wanted.by, wanted.order))
            && wanted.include.iter().all(|column| {
                self.include.contains(column) || self.keys.iter().any(|key| key.column.as_ref() == Some(column))
            })
    }

    /// Whether it has all rows that are wanted.
    fn has_rows_of(&self, wanted: &IndexDefinition) -> bool {
        self.predicate.is_none() || self.predicate.as_deref().map(plain) == wanted_predicate(wanted)
    }

    /// Whether it is of the kind and has all columns of one that is no tree, whose keys have no order.
    fn has_keys_of(&self, wanted: &IndexDefinition) -> bool {
        let has = |key: &IndexKey| self.keys.iter().any(|own| own.column.as_ref() == Some(key.by.column()));
        self.method == Some(wanted.method) && wanted.keys.iter().all(has)
    }

    /// Whether it is exactly what was wanted.
    pub(super) fn is(&self, wanted: &IndexDefinition) -> bool {
        if wanted.method != IndexMethod::Tree {
            let is_same = self.predicate.as_deref().map(plain) == wanted_predicate(wanted);
            return is_same && self.has_keys_of(wanted) && self.keys.len() == wanted.keys.len();
        }
        self.is_tree()
            && !self.is_unique
            && self.keys.len() == wanted.keys.len()
            && self.keys.iter().zip(&wanted.keys).all(|(key, wanted)| key.is(&wanted.by, wanted.order))
            && self.include == wanted.include
            && self.predicate.as_deref().map(plain) == wanted_predicate(wanted)
    }
}

impl ExistingKey {
    fn is(&self, by: &Keyed, order: KeyOrder) -> bool {
        let is_same = match by {
            Keyed::Column(column) => self.column.as_ref() == Some(column),
            Keyed::Function(function, column) => self.expression.as_deref().is_some_and(|expression| {
                plain(expression) == plain(&[function.name(), "(", column.as_str(), ")"].concat())
            }),
        };
        let (descending, nulls_first, default) = match order {
            KeyOrder::Ascending => (false, false, true),
            KeyOrder::Descending => (true, true, true),
            KeyOrder::AscendingNullsFirst => (false, true, true),
            KeyOrder::DescendingNullsLast => (true, false, true),
            KeyOrder::Pattern => (false, false, false),
        };
        is_same && self.is_descending == descending && self.nulls_first == nulls_first && self.is_default == default
    }
}

fn wanted_predicate(wanted: &IndexDefinition) -> Option<String> {
    wanted.predicate.as_ref().map(|predicate| plain(&predicate.to_string()))
}

/// An expression without casts, brackets, quotes and blanks, which is how two spellings of one are compared: PostgreSQL
/// prints `(state = 'open'::text)` and `lower((email)::text)`.
pub(super) fn plain(expression: &str) -> String {
    let mut plain = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\'' {
            let end = rest.find('\'').unwrap_or(rest.len());
            plain.push_str(&rest[..end]);
            rest = rest[end..].strip_prefix('\'').unwrap_or("");
        } else if c == ':' && rest.starts_with(':') {
            let is_type = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | ' ' | '"' | '.');
            let end = rest.find(|c: char| !is_type(c)).unwrap_or(rest.len());
            // What follows a type of one word is not part of it: `a::text and b`.
            let types = &rest[..end];
            let keyword = [" and ", " or ", " is "].iter().filter_map(|word| types.to_lowercase().find(word)).min();
            rest = &rest[keyword.unwrap_or(end)..];
        } else if !matches!(c, '(' | ')' | '"' | ' ') {
            plain.extend(c.to_lowercase());
        }
    }
    plain
}

/// Whether a value in a statement is this one of the statistics.
fn is_value(value: &Literal, common: &str) -> bool {
    match value {
        Literal::Text(text) => text == common,
        Literal::Boolean(value) => matches!((value, common), (true, "t" | "1" | "true") | (false, "f" | "0" | "false")),
        Literal::Number(number) => number == common || number.parse::<f64>().ok() == common.parse().ok(),
    }
}
