//! What the statements return: one JSON text of the same shape from either database.

use serde::Deserialize;
use tierkeep_db::Dialect;

use super::ddl;
use super::facts::{
    CheckConstraint, ColumnFacts, Generated, Identity, Index, OnDelete, PointedAt, PointsTo, Privileges, RowSecurity,
    TableFacts, TableKind, Trigger, TriggerEvents, TriggerTime, quoted,
};
use super::keeping::ColumnType;
use super::partitions::{Bound, Partition, Partitioning};

/// A table. What one database does not say stays at its default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    #[serde(default)]
    oid: Option<u32>,
    schema: String,
    name: String,
    kind: String,
    #[serde(default)]
    is_volatile: bool,
    /// Whether rows have numbers beside their key, on SQLite.
    #[serde(default)]
    pub(super) has_row_numbers: bool,
    /// The statement that made it, on SQLite.
    #[serde(default)]
    sql: Option<String>,
    columns: Vec<RawColumn>,
    primary_key: Vec<String>,
    indexes: Vec<RawIndex>,
    pointed_at_by: Vec<RawPointedAt>,
    points_to: Vec<RawPointsTo>,
    #[serde(default)]
    checks: Vec<RawCheck>,
    triggers: Vec<RawTrigger>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    row_security_applies: bool,
    #[serde(default)]
    row_security: String,
    #[serde(default)]
    privileges: Option<RawPrivileges>,
    #[serde(default)]
    estimated_rows: Option<u64>,
    #[serde(default)]
    total_bytes: Option<u64>,
    #[serde(default)]
    range_column: Option<String>,
    #[serde(default)]
    range_type: Option<String>,
    #[serde(default)]
    partitions: Vec<RawPartition>,
    #[serde(default)]
    heirs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    name: String,
    type_name: String,
    #[serde(default)]
    base_type_name: Option<String>,
    #[serde(default)]
    catalog_name: String,
    #[serde(default)]
    is_array: bool,
    #[serde(default)]
    modifier: i32,
    #[serde(default)]
    is_constrained_domain: bool,
    nullable: bool,
    has_default: bool,
    generated: String,
    #[serde(default)]
    identity: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIndex {
    name: String,
    columns: Vec<Option<String>>,
    is_unique: bool,
    is_valid: bool,
    #[serde(default)]
    is_partial: bool,
    #[serde(default)]
    predicate: Option<String>,
    /// The statement that made it, on SQLite.
    #[serde(default)]
    sql: Option<String>,
    method: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPointedAt {
    name: Option<String>,
    child_schema: String,
    child: String,
    child_columns: Vec<String>,
    /// Empty if the foreign key leaves them to be the primary key.
    parent_columns: Vec<String>,
    on_delete: String,
    is_deferrable: bool,
    child_indexes: Vec<RawIndex>,
    /// The one column of the child's primary key that is its row number.
    #[serde(default)]
    child_row_number: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPointsTo {
    name: Option<String>,
    columns: Vec<String>,
    parent_schema: String,
    parent: String,
    parent_columns: Vec<String>,
    is_validated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    name: Option<String>,
    text: String,
    is_validated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrigger {
    name: String,
    #[serde(default)]
    function: String,
    #[serde(default)]
    table_schema: Option<String>,
    #[serde(default)]
    table: Option<String>,
    /// The bits of `pg_trigger.tgtype`.
    #[serde(default)]
    bits: u16,
    /// The statement that made it, on SQLite.
    #[serde(default)]
    sql: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrivileges {
    role: String,
    schema_usage: bool,
    select: bool,
    insert: bool,
    update: bool,
    delete: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPartition {
    schema: String,
    name: String,
    bounds: String,
    upper: Option<i64>,
    is_default: bool,
    is_plain: bool,
    estimated_rows: Option<u64>,
    bytes: u64,
}

impl RawTable {
    /// Facts of PostgreSQL.
    pub(super) fn postgres(self) -> TableFacts {
        self.facts(Dialect::Postgres, false)
    }

    /// Facts of SQLite, where rights are those of the file.
    pub(super) fn sqlite(self, can_write: bool) -> TableFacts {
        self.facts(Dialect::Sqlite, can_write)
    }

    fn facts(self, dialect: Dialect, can_write: bool) -> TableFacts {
        let full_name = format!("{}.{}", quoted(&self.schema), quoted(&self.name));
        let kind = kind(&self.kind);
        let is_strict = kind == TableKind::Strict;
        let mut checks: Vec<CheckConstraint> = self.checks.into_iter().map(RawCheck::read).collect();
        checks.extend(self.sql.iter().flat_map(|sql| ddl::checks(sql)));
        let primary_key = self.primary_key;
        let range_type = self.range_type.unwrap_or_default();
        let partitioning = (kind == TableKind::Partitioned).then(|| Partitioning {
            range_column: self.range_column,
            partitions: self.partitions.into_iter().map(|one| one.read(&range_type)).collect(),
        });
        TableFacts {
            dialect,
            oid: self.oid,
            kind,
            is_volatile: self.is_volatile,
            columns: self.columns.into_iter().map(|one| one.read(dialect, is_strict, &primary_key)).collect(),
            indexes: self.indexes.into_iter().map(RawIndex::read).collect(),
            pointed_at_by: self.pointed_at_by.into_iter().map(|one| one.read(dialect, &primary_key)).collect(),
            points_to: self.points_to.into_iter().map(RawPointsTo::read).collect(),
            checks,
            triggers: self.triggers.into_iter().map(|one| one.read(&full_name)).collect(),
            rules: self.rules,
            row_security_applies: self.row_security_applies,
            row_security: match self.row_security.as_str() {
                "forced" => RowSecurity::Forced,
                "on" => RowSecurity::On,
                _ => RowSecurity::Off,
            },
            privileges: self.privileges.map_or_else(|| of_file(can_write), RawPrivileges::read),
            estimated_rows: self.estimated_rows,
            total_bytes: self.total_bytes,
            partitioning,
            heirs: self.heirs,
            primary_key,
            schema: self.schema,
            name: self.name,
        }
    }
}

fn kind(kind: &str) -> TableKind {
    match kind {
        "r" | "table" => TableKind::Ordinary,
        "strict" => TableKind::Strict,
        "p" => TableKind::Partitioned,
        "v" | "view" => TableKind::View,
        "m" => TableKind::MaterializedView,
        "f" => TableKind::Foreign,
        "virtual" => TableKind::Virtual,
        _ => TableKind::Other,
    }
}

fn of_file(can_write: bool) -> Privileges {
    Privileges {
        role: String::new(),
        schema_usage: true,
        select: true,
        insert: can_write,
        update: can_write,
        delete: can_write,
    }
}

impl RawColumn {
    fn read(self, dialect: Dialect, is_strict: bool, primary_key: &[String]) -> ColumnFacts {
        let base_type_name = self.base_type_name.unwrap_or_else(|| self.type_name.clone());
        let column_type = match dialect {
            Dialect::Postgres => {
                let one = ColumnType::postgres(&self.catalog_name, self.modifier, &base_type_name);
                if self.is_array { ColumnType::Array(Box::new(one)) } else { one }
            }
            Dialect::Sqlite => {
                let is_integer = self.type_name.eq_ignore_ascii_case("integer");
                let is_row_number = is_integer && matches!(primary_key, [key] if *key == self.name);
                ColumnType::sqlite(&self.type_name, is_strict, is_row_number)
            }
        };
        ColumnFacts {
            name: self.name,
            type_name: self.type_name,
            base_type_name,
            column_type,
            is_constrained_domain: self.is_constrained_domain,
            nullable: self.nullable,
            has_default: self.has_default,
            generated: match self.generated.as_str() {
                "s" => Generated::Stored,
                "v" => Generated::Virtual,
                _ => Generated::No,
            },
            identity: match self.identity.as_str() {
                "a" => Identity::Always,
                "d" => Identity::ByDefault,
                _ => Identity::No,
            },
        }
    }
}

impl RawIndex {
    fn read(self) -> Index {
        let of_sql = || self.sql.as_deref().and_then(ddl::predicate).unwrap_or_default();
        Index {
            predicate: self.predicate.or_else(|| self.is_partial.then(of_sql)),
            name: self.name,
            columns: self.columns,
            is_unique: self.is_unique,
            is_valid: self.is_valid,
            method: self.method,
        }
    }
}

impl RawPointedAt {
    fn read(self, dialect: Dialect, primary_key: &[String]) -> PointedAt {
        let mut indexes = self.child_indexes.into_iter().map(RawIndex::read);
        let is_row_number = matches!((self.child_columns.as_slice(), &self.child_row_number), ([one], Some(number))
            if super::facts::same_name(dialect, one, number));
        let is_indexed = is_row_number || indexes.any(|index| index.finds_by(dialect, &self.child_columns));
        PointedAt {
            name: self.name,
            child: format!("{}.{}", quoted(&self.child_schema), quoted(&self.child)),
            child_columns: self.child_columns,
            parent_columns: if self.parent_columns.is_empty() { primary_key.to_vec() } else { self.parent_columns },
            on_delete: match self.on_delete.to_ascii_lowercase().as_str() {
                "r" | "restrict" => OnDelete::Restrict,
                "c" | "cascade" => OnDelete::Cascade,
                "n" | "set null" => OnDelete::SetNull,
                "d" | "set default" => OnDelete::SetDefault,
                _ => OnDelete::NoAction,
            },
            is_deferrable: self.is_deferrable,
            is_indexed,
        }
    }
}

impl RawPointsTo {
    fn read(self) -> PointsTo {
        PointsTo {
            name: self.name,
            columns: self.columns,
            parent: format!("{}.{}", quoted(&self.parent_schema), quoted(&self.parent)),
            parent_columns: self.parent_columns,
            is_validated: self.is_validated,
        }
    }
}

impl RawCheck {
    fn read(self) -> CheckConstraint {
        CheckConstraint { name: self.name, text: self.text, is_validated: self.is_validated }
    }
}

impl RawTrigger {
    fn read(self, own_table: &str) -> Trigger {
        let table = match (&self.table_schema, &self.table) {
            (Some(schema), Some(table)) => format!("{}.{}", quoted(schema), quoted(table)),
            _ => own_table.to_owned(),
        };
        let (time, events) = match &self.sql {
            Some(sql) => ddl::trigger(sql),
            None => (time_of(self.bits), events_of(self.bits)),
        };
        Trigger { name: self.name, function: self.function, table, time, events }
    }
}

/// The bits of a trigger, as `pg_trigger.h` of PostgreSQL numbers them.
fn time_of(bits: u16) -> TriggerTime {
    match (bits & 2 != 0, bits & 64 != 0) {
        (true, _) => TriggerTime::Before,
        (_, true) => TriggerTime::InsteadOf,
        _ => TriggerTime::After,
    }
}

fn events_of(bits: u16) -> TriggerEvents {
    TriggerEvents { insert: bits & 4 != 0, delete: bits & 8 != 0, update: bits & 16 != 0 }
}

impl RawPrivileges {
    fn read(self) -> Privileges {
        Privileges {
            role: self.role,
            schema_usage: self.schema_usage,
            select: self.select,
            insert: self.insert,
            update: self.update,
            delete: self.delete,
        }
    }
}

impl RawPartition {
    fn read(self, range_type: &str) -> Partition {
        Partition {
            name: format!("{}.{}", quoted(&self.schema), quoted(&self.name)),
            bounds: self.bounds,
            upper: self.upper.and_then(|value| Bound::read(range_type, value)),
            is_default: self.is_default,
            is_plain: self.is_plain,
            estimated_rows: self.estimated_rows,
            bytes: self.bytes,
        }
    }
}
