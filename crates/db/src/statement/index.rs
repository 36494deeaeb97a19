//! Definitions of indexes, and the statements that make and drop them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Dialect, Ident, TableName};

/// What an index can be keyed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keyed {
    /// A column.
    Column(Ident),
    /// A function of a column.
    Function(KeyFunction, Ident),
}

/// A function that gives the same answer for the same value for ever, in both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFunction {
    /// Text in lower case.
    Lower,
    /// Text in upper case.
    Upper,
    /// Characters in a text.
    Length,
    /// A number without its sign.
    Abs,
}

/// One key of an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexKey {
    /// By what.
    pub by: Keyed,
    /// In which direction.
    pub order: KeyOrder,
}

/// In which direction an index keeps a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrder {
    /// Lowest first; nulls last on PostgreSQL and first on SQLite.
    Ascending,
    /// Highest first; nulls first on PostgreSQL and last on SQLite.
    Descending,
    /// Lowest first, nulls first. PostgreSQL only.
    AscendingNullsFirst,
    /// Highest first, nulls last. PostgreSQL only.
    DescendingNullsLast,
    /// By the bytes of the text, so that `like 'abc%'` is a range whatever the collation. PostgreSQL only.
    Pattern,
}

/// What kind of index it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexMethod {
    /// A tree, which finds and sorts.
    #[default]
    Tree,
    /// The least and the greatest value of each range of blocks (BRIN): tiny, and good where rows lie in the order of their
    /// values. PostgreSQL only.
    Blocks,
    /// Every three letters in a row (GIN with `gin_trgm_ops` of the extension pg_trgm): texts by what is anywhere in them.
    /// PostgreSQL only.
    Trigrams,
}

/// Which rows an index has, if not all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexPredicate {
    /// Those in which the column is null.
    IsNull(Ident),
    /// Those in which the column is not null.
    IsNotNull(Ident),
    /// Those in which a boolean column is true.
    IsTrue(Ident),
    /// Those in which a boolean column is false.
    IsFalse(Ident),
    /// Those in which the column has this text.
    TextIs(Ident, String),
    /// Those in which the column has this number.
    NumberIs(Ident, i64),
}

/// An index by what it is, not by what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// The table, with its schema.
    pub table: TableName,
    /// What kind it is. Those that are no trees have neither directions nor included columns.
    #[serde(default)]
    pub method: IndexMethod,
    /// Its keys in order; at least one.
    pub keys: Vec<IndexKey>,
    /// Columns that are kept beside the keys. On SQLite, which has none, they are keys behind the others.
    pub include: Vec<Ident>,
    /// Which rows it has; all if there is none.
    pub predicate: Option<IndexPredicate>,
}

impl Keyed {
    /// The column, or the one that the function is of.
    #[must_use]
    pub fn column(&self) -> &Ident {
        match self {
            Self::Column(column) | Self::Function(_, column) => column,
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Column(column) => column.quoted(),
            Self::Function(function, column) => format!("{}({})", function.name(), column.quoted()),
        }
    }
}

impl KeyFunction {
    /// Its name in both databases.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Length => "length",
            Self::Abs => "abs",
        }
    }

    /// The function of a name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Lower, Self::Upper, Self::Length, Self::Abs]
            .into_iter()
            .find(|function| function.name().eq_ignore_ascii_case(name))
    }
}

impl IndexKey {
    /// A column, lowest first.
    #[must_use]
    pub fn ascending(column: Ident) -> Self {
        Self { by: Keyed::Column(column), order: KeyOrder::Ascending }
    }

    fn render(&self, dialect: Dialect) -> String {
        let by = self.by.render();
        match (dialect, self.order) {
            (_, KeyOrder::Ascending) | (Dialect::Sqlite, KeyOrder::AscendingNullsFirst | KeyOrder::Pattern) => by,
            (_, KeyOrder::Descending) | (Dialect::Sqlite, KeyOrder::DescendingNullsLast) => format!("{by} desc"),
            (Dialect::Postgres, KeyOrder::AscendingNullsFirst) => format!("{by} asc nulls first"),
            (Dialect::Postgres, KeyOrder::DescendingNullsLast) => format!("{by} desc nulls last"),
            (Dialect::Postgres, KeyOrder::Pattern) => format!("{by} text_pattern_ops"),
        }
    }
}

impl IndexMethod {
    fn using(self) -> &'static str {
        match self {
            Self::Tree => "",
            Self::Blocks => " using brin",
            Self::Trigrams => " using gin",
        }
    }

    fn render(self, key: &IndexKey, dialect: Dialect) -> String {
        match self {
            Self::Tree => key.render(dialect),
            Self::Blocks => key.by.render(),
            Self::Trigrams => format!("{} gin_trgm_ops", key.by.render()),
        }
    }
}

impl IndexPredicate {
    /// The column that it speaks of.
    #[must_use]
    pub fn column(&self) -> &Ident {
        match self {
            Self::IsNull(column)
            | Self::IsNotNull(column)
            | Self::IsTrue(column)
            | Self::IsFalse(column)
            | Self::TextIs(column, _)
            | Self::NumberIs(column, _) => column,
        }
    }

    fn render(&self) -> String {
        let column = self.column().quoted();
        match self {
            Self::IsNull(_) => format!("{column} is null"),
            Self::IsNotNull(_) => format!("{column} is not null"),
            Self::IsTrue(_) => column,
            Self::IsFalse(_) => format!("not {column}"),
            // No value can be bound in a definition. A backslash means itself as long as the text has no prefix.
            Self::TextIs(_, text) => format!("{column} = '{}'", text.replace('\'', "''")),
            Self::NumberIs(_, number) => format!("{column} = {number}"),
        }
    }
}

impl IndexDefinition {
    /// The name that is given to it: the table, the first columns, and a number made from the whole definition, so that
    /// equal definitions have equal names and others have others. At most 63 bytes.
    #[must_use]
    pub fn name(&self) -> Ident {
        let text = self.create(Dialect::Postgres, None, Creation::Plain);
        let digest = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        let words = std::iter::once(self.table.name().as_str())
            .chain(self.keys.iter().map(|key| key.by.column().as_str()))
            .collect::<Vec<_>>()
            .join("_");
        let plain: String = words
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .take(44)
            .collect();
        let name = format!("{plain}_tk{:012x}", digest & 0xffff_ffff_ffff);
        Ident::new(&name).expect("letters, digits and underscores, at most 59 of them")
    }

    /// The statement that creates it, under [`name`](Self::name).
    #[must_use]
    pub fn create_statement(&self, dialect: Dialect) -> String {
        let creation = match dialect {
            Dialect::Postgres => Creation::Concurrent,
            Dialect::Sqlite => Creation::Plain,
        };
        self.create(dialect, Some(&self.name()), creation)
    }

    /// The statement that creates it, under a name or under one that PostgreSQL chooses.
    pub(crate) fn create(&self, dialect: Dialect, name: Option<&Ident>, creation: Creation) -> String {
        let mut keys: Vec<String> = self.keys.iter().map(|key| self.method.render(key, dialect)).collect();
        let include: Vec<String> = self.include.iter().map(Ident::quoted).collect();
        if dialect == Dialect::Sqlite {
            keys.extend(include.iter().cloned());
        }
        // On SQLite the schema belongs to the name of the index, the table is of the same schema.
        let (name, table) = match (dialect, name, self.table.schema()) {
            (Dialect::Postgres, Some(name), _) => (name.quoted(), self.table.quoted()),
            (Dialect::Postgres, None, _) => (String::new(), self.table.quoted()),
            (Dialect::Sqlite, name, schema) => {
                let own = name.cloned().unwrap_or_else(|| self.name());
                (TableName::new(schema.cloned(), own).quoted(), self.table.name().quoted())
            }
        };
        let concurrently = match creation {
            Creation::Concurrent => "concurrently ",
            Creation::Plain => "",
        };
        let mut sql =
            format!("create index {concurrently}{name} on {table}{} ({})", self.method.using(), keys.join(", "));
        if dialect == Dialect::Postgres && !include.is_empty() {
            sql.push_str(&format!(" include ({})", include.join(", ")));
        }
        if let Some(predicate) = &self.predicate {
            sql.push_str(&format!(" where {}", predicate.render()));
        }
        sql
    }

    /// Every column in it.
    pub fn columns(&self) -> impl Iterator<Item = &Ident> {
        self.keys.iter().map(|key| key.by.column()).chain(&self.include)
    }
}

impl fmt::Display for IndexPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

/// Whether writers go on while an index is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// They do; it takes two passes and cannot be part of a transaction.
    Concurrent,
    /// They wait.
    Plain,
}

/// The statement that drops an index; on PostgreSQL without making writers wait.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{Dialect, Ident, drop_index};
///
/// let sql = drop_index(Dialect::Postgres, None, &Ident::new("orders_customer")?);
/// assert_eq!(sql, r#"drop index concurrently "orders_customer""#);
/// # Ok::<(), tierkeep_db::StatementError>(())
/// ```
#[must_use]
pub fn drop_index(dialect: Dialect, schema: Option<&Ident>, name: &Ident) -> String {
    let name = TableName::new(schema.cloned(), name.clone()).quoted();
    match dialect {
        Dialect::Postgres => format!("drop index concurrently {name}"),
        Dialect::Sqlite => format!("drop index {name}"),
    }
}

impl fmt::Display for IndexDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let render = |key: &IndexKey| self.method.render(key, Dialect::Postgres).replace('"', "");
        let keys: Vec<String> = self.keys.iter().map(render).collect();
        write!(f, "{}{} ({})", self.table, self.method.using(), keys.join(", "))?;
        if !self.include.is_empty() {
            let include: Vec<&str> = self.include.iter().map(Ident::as_str).collect();
            write!(f, " include ({})", include.join(", "))?;
        }
        match &self.predicate {
            Some(predicate) => write!(f, " where {}", predicate.render().replace('"', "")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
