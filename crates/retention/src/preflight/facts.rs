//! What the catalog says about a table.

use serde::Serialize;
use tierkeep_db::{Dialect, Ident};

use super::keeping::ColumnType;
use super::partitions::Partitioning;

/// A table as the catalog describes it, for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableFacts {
    /// Which database said so.
    #[serde(skip)]
    pub dialect: Dialect,
    /// The catalog's number of the table on PostgreSQL; SQLite has none.
    pub oid: Option<u32>,
    /// Its schema; on SQLite `main`, `temp`, or the name of an attached file.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What kind of relation it is.
    pub kind: TableKind,
    /// Whether a crash empties it, or the end of the session (unlogged and temporary tables).
    pub is_volatile: bool,
    /// Its columns, in their order.
    pub columns: Vec<ColumnFacts>,
    /// The columns of the primary key, in the key's order; empty if there is none.
    pub primary_key: Vec<String>,
    /// Its indexes, by name. On SQLite a key that is the row number has none.
    pub indexes: Vec<Index>,
    /// Foreign keys that point at this table, or at one of its partitions.
    pub pointed_at_by: Vec<PointedAt>,
    /// Foreign keys of this table.
    pub points_to: Vec<PointsTo>,
    /// Its CHECK constraints.
    pub checks: Vec<CheckConstraint>,
    /// Triggers that fire and are not the change feed's, those of partitions included.
    pub triggers: Vec<Trigger>,
    /// Rewrite rules that are switched on; SQLite has none.
    pub rules: Vec<String>,
    /// Whether row-level security filters what the present role sees or may do.
    pub row_security_applies: bool,
    /// Whether row-level security is switched on, and whether for the owner, too.
    pub row_security: RowSecurity,
    /// What the present role may do.
    pub privileges: Privileges,
    /// Rows as the planner believes; on SQLite, without statistics, at most so many. `None` if nothing is known.
    pub estimated_rows: Option<u64>,
    /// Bytes with indexes and large values, all partitions together. `None` on SQLite, which would have to read the table.
    pub total_bytes: Option<u64>,
    /// How it is partitioned, if it is.
    pub partitioning: Option<Partitioning>,
    /// Tables that inherit from it and are no partitions, quoted.
    pub heirs: Vec<String>,
}

/// What kind of relation a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A table.
    Ordinary,
    /// A table on SQLite that takes only values of the declared types.
    Strict,
    /// A table in parts.
    Partitioned,
    /// A view.
    View,
    /// A view whose rows are stored.
    MaterializedView,
    /// A table of another server.
    Foreign,
    /// A table of a module of SQLite.
    Virtual,
    /// Something else with columns.
    Other,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnFacts {
    /// Its name, exactly.
    pub name: String,
    /// Its type as the database prints it; as declared on SQLite, where it may be empty.
    pub type_name: String,
    /// The type below all domains, printed; the declared one on SQLite.
    pub base_type_name: String,
    /// What can be said about the values that fit.
    #[serde(skip)]
    pub column_type: ColumnType,
    /// Whether the type is a domain that refuses some values of its base.
    pub is_constrained_domain: bool,
    /// Whether it may hold no value.
    pub nullable: bool,
    /// Whether a row that does not mention it gets a value.
    pub has_default: bool,
    /// Whether it is computed; an archive keeps such values as plain ones, and restoring does not write them.
    pub generated: Generated,
    /// Whether it is an identity; restoring a value of one that is `Always` needs `overriding system value`.
    pub identity: Identity,
}

/// Whether a column is computed from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Generated {
    /// It is written.
    No,
    /// Computed when the row is written.
    Stored,
    /// Computed when the row is read.
    Virtual,
}

/// Whether a column is an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// It is none.
    No,
    /// A number is given unless one is said.
    ByDefault,
    /// A number is given, and one that is said refused.
    Always,
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// What it is ordered by; `None` for an expression. Columns it only carries are left out.
    pub columns: Vec<Option<String>>,
    /// Whether it refuses a second row with the same values, or, by an exclusion, one that conflicts.
    pub is_unique: bool,
    /// Whether queries can use it: an interrupted `create index concurrently` leaves one that they cannot.
    pub is_valid: bool,
    /// The condition of a partial index.
    pub predicate: Option<String>,
    /// How it is built: `btree`, `hash`, `gin`, …
    pub method: String,
}

/// What happens to rows whose parent is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The deletion is refused, at the end of the statement or of the transaction.
    NoAction,
    /// The deletion is refused at once.
    Restrict,
    /// They are deleted, too.
    Cascade,
    /// Their reference becomes null.
    SetNull,
    /// Their reference becomes the column's default.
    SetDefault,
}

/// A foreign key of another table onto this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointedAt {
    /// Its name; SQLite has none.
    pub name: Option<String>,
    /// The table that points here, with its schema, quoted.
    pub child: String,
    /// Its columns.
    pub child_columns: Vec<String>,
    /// The columns of this table they name.
    pub parent_columns: Vec<String>,
    /// What a deletion here does there.
    pub on_delete: OnDelete,
    /// Whether it can be checked at the end of the transaction.
    pub is_deferrable: bool,
    /// Whether an index of the child leads with its columns.
    pub is_indexed: bool,
}

/// A foreign key of this table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointsTo {
    /// Its name; SQLite has none.
    pub name: Option<String>,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table it names, with its schema, quoted.
    pub parent: String,
    /// The columns there.
    pub parent_columns: Vec<String>,
    /// Whether all rows were checked.
    pub is_validated: bool,
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckConstraint {
    /// Its name; often absent on SQLite.
    pub name: Option<String>,
    /// Its text as the database prints it, with spaces squeezed.
    pub text: String,
    /// Whether all rows were checked.
    pub is_validated: bool,
}

/// A trigger of somebody else that fires in a session such as ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The function it calls; empty on SQLite.
    pub function: String,
    /// The table it is on, with its schema, quoted: this one, or one of its partitions.
    pub table: String,
    /// When it fires.
    pub time: TriggerTime,
    /// Upon what it fires.
    pub events: TriggerEvents,
}

/// When a trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerTime {
    /// Before the row is written, which it can prevent.
    Before,
    /// Afterwards.
    After,
    /// In place of the write; on views.
    InsteadOf,
}

/// Upon what a trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TriggerEvents {
    /// A row is inserted.
    pub insert: bool,
    /// A row is updated.
    pub update: bool,
    /// A row is deleted.
    pub delete: bool,
}

/// Whether row-level security is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowSecurity {
    /// Off; always so on SQLite.
    Off,
    /// On for everybody but the owner.
    On,
    /// On for the owner as well.
    Forced,
}

/// What the present role may do with a table. On SQLite everything, unless the file can only be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Privileges {
    /// Who was asked about; empty on SQLite.
    pub role: String,
    /// To name what is in the schema.
    pub schema_usage: bool,
    /// To read rows.
    pub select: bool,
    /// To add rows.
    pub insert: bool,
    /// To change rows, and to lock them.
    pub update: bool,
    /// To remove rows.
    pub delete: bool,
}

impl TableFacts {
    /// The table with its schema, quoted: ready for SQL, and for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// The column of that name. SQLite does not distinguish capitals of ASCII letters.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| self.is_same(&column.name, name))
    }

    /// Whether two names of columns are the same to this database.
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        same_name(self.dialect, one, other)
    }

    /// Whether some index finds rows by these columns, which are compared for equality.
    #[must_use]
    pub fn finds_by(&self, columns: &[String]) -> bool {
        self.is_row_number(columns) || self.indexes.iter().any(|index| index.finds_by(self.dialect, columns))
    }

    /// Whether some index yields rows in the order of `column`.
    #[must_use]
    pub fn is_ordered_by(&self, column: &str) -> bool {
        let is_led = |index: &Index| {
            let first = index.columns.first().and_then(Option::as_deref);
            index.is_valid
                && index.predicate.is_none()
                && index.method == "btree"
                && first.is_some_and(|first| self.is_same(first, column))
        };
        self.is_row_number(&[column.to_owned()]) || self.indexes.iter().any(is_led)
    }

    /// What tells rows apart: the primary key, and unique indexes over columns that hold for all rows.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Vec<&str>> {
        let primary = (!self.primary_key.is_empty()).then(|| self.primary_key.iter().map(String::as_str).collect());
        let of_index = |index: &'_ Index| index.is_unique && index.is_valid && index.predicate.is_none();
        let unique = self.indexes.iter().filter(move |index| of_index(index));
        primary.into_iter().chain(unique.filter_map(|index| index.columns.iter().map(Option::as_deref).collect()))
    }

    /// Whether rows are of a database that distinguishes them by that one column without an index.
    fn is_row_number(&self, columns: &[String]) -> bool {
        self.dialect == Dialect::Sqlite
            && matches!((columns, self.primary_key.as_slice()), ([one], [key]) if self.is_same(one, key)
                && self.column(key).is_some_and(|column| column.base_type_name.eq_ignore_ascii_case("integer")))
    }
}

impl Index {
    /// Whether it finds rows by these columns: it leads with all of them, in whatever order.
    ///
    /// A partial index counts if its condition is only that these columns are not null, as a comparison implies that.
    pub(crate) fn finds_by(&self, dialect: Dialect, columns: &[String]) -> bool {
        let leads = self.leads_with(dialect, columns);
        let implied = self.predicate.as_deref().is_none_or(|predicate| is_not_null_of(dialect, predicate, columns));
        self.is_valid && matches!(self.method.as_str(), "btree" | "hash") && leads && implied
    }

    /// Whether its first columns are these, in whatever order.
    pub(crate) fn leads_with(&self, dialect: Dialect, columns: &[String]) -> bool {
        let Some(leading) = self.columns.get(..columns.len()) else { return false };
        columns.iter().all(|column| leading.iter().flatten().any(|leading| same_name(dialect, leading, column)))
    }
}

impl std::fmt::Display for OnDelete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoAction => "no action",
            Self::Restrict => "restrict",
            Self::Cascade => "cascade",
            Self::SetNull => "set null",
            Self::SetDefault => "set default",
        })
    }
}

/// Whether a condition is `column is not null` of one of the columns, however it is put in quotes and brackets.
fn is_not_null_of(dialect: Dialect, predicate: &str, columns: &[String]) -> bool {
    let mut bare = predicate.trim();
    while let Some(inner) = bare.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        bare = inner.trim();
    }
    let at = bare.len().saturating_sub("is not null".len());
    let (Some(name), Some(rest)) = (bare.get(..at), bare.get(at..)) else { return false };
    if !rest.eq_ignore_ascii_case("is not null") {
        return false;
    }
    let name = name.trim();
    columns.iter().any(|column| name == quoted(column) || same_name(dialect, name, column))
}

pub(super) fn same_name(dialect: Dialect, one: &str, other: &str) -> bool {
    match dialect {
        Dialect::Postgres => one == other,
        Dialect::Sqlite => one.eq_ignore_ascii_case(other),
    }
}

/// A name from the catalog in double quotes. SQLite knows longer ones than [`Ident`] takes.
pub(super) fn quoted(name: &str) -> String {
    Ident::new(name).map_or_else(|_| format!("\"{}\"", name.replace('"', "\"\"")), |ident| ident.quoted())
}
