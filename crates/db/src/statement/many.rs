//! Statements that write many rows at once.

use super::{Ident, TableName};
use crate::bulk::Operation;

/// Where the rows of a statement come from. PostgreSQL only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// So many rows, each value a parameter.
    Values(usize),
    /// One array per column.
    Arrays,
    /// The temporary table.
    Table,
}

/// One write of many rows.
pub(crate) struct ManyShape<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) columns: &'a [Ident],
    /// What PostgreSQL calls the types of the columns, without limits of length: an explicit cast would cut.
    pub(crate) types: &'a [String],
    /// Columns whose type has no equality, by place.
    pub(crate) by_text: &'a [bool],
    /// Whether a row that was written says if it is new.
    pub(crate) has_versions: bool,
    pub(crate) operation: &'a Operation,
}

/// A statement whose parameters have these types, for learning what the driver calls them.
pub(crate) fn typed_parameters(types: &[String]) -> String {
    let places: Vec<String> = types.iter().zip(1..).map(|(name, place)| format!("${place}::{name}")).collect();
    format!("select {}", places.join(", "))
}

impl ManyShape<'_> {
    /// The name of the temporary table.
    const STAGE: &'static str = "pg_temp.\"tierkeep_bulk\"";

    /// The statement. It returns how many rows it inserted, updated, deleted and found, except for the two kinds of
    /// insert, which only touch rows.
    pub(crate) fn statement(&self, given: Given) -> String {
        let (table, names) = (self.table.quoted(), names(self.columns));
        let source = self.source(given);
        match self.operation {
            Operation::Insert => format!("insert into {table} ({names}) select {names} from {source}"),
            Operation::InsertMissing { conflict } => {
                let conflict = self::names(conflict);
                format!(
                    "insert into {table} ({names}) select {names} from {source} on conflict ({conflict}) do nothing"
                )
            }
            Operation::Upsert { conflict, update } => {
                let sets: Vec<String> =
                    update.iter().map(|column| format!("{0} = excluded.{0}", column.quoted())).collect();
                let insert = format!(
                    "insert into {table} as t ({names}) select {names} from given as g \
                     on conflict ({}) do update set {} where {}",
                    self::names(conflict),
                    sets.join(", "),
                    self.differs(update, "excluded")
                );
                let given = format!("with given as materialized (select {names} from {source})");
                let counts = "0::bigint as deleted, 0::bigint as found, 0::bigint as keys";
                if self.has_versions {
                    return format!(
                        "{given}, written as ({insert} returning t.xmax = 0 as is_new) \
                         select count(*) filter (where is_new) as inserted, \
                         count(*) filter (where not is_new) as updated, {counts} from written"
                    );
                }
                // by what was there when the statement began: a row that somebody else inserts meanwhile counts as new
                format!(
                    "{given}, written as ({insert} returning 1), fresh as (select count(*) as n from given as g \
                     where not exists (select 1 from {table} as t where {})) \
                     select least(fresh.n, kept.n) as inserted, greatest(kept.n - fresh.n, 0) as updated, {counts} \
                     from fresh cross join (select count(*) as n from written) as kept",
                    same(conflict)
                )
            }
            Operation::Update { keys } => {
                let written: Vec<Ident> =
                    self.columns.iter().filter(|column| !keys.contains(column)).cloned().collect();
                let sets: Vec<String> = written.iter().map(|column| format!("{0} = g.{0}", column.quoted())).collect();
                format!(
                    "with given as materialized (select {names} from {source}), \
                     written as (update {table} as t set {} from given as g where {} and ({}) returning 1) \
                     select 0::bigint as inserted, (select count(*) from written) as updated, 0::bigint as deleted, {}",
                    sets.join(", "),
                    same(keys),
                    self.differs(&written, "g"),
                    self.found(keys)
                )
            }
            Operation::Delete { keys } => format!(
                "with given as materialized (select {names} from {source}), \
                 written as (delete from {table} as t using given as g where {} returning 1) \
                 select 0::bigint as inserted, 0::bigint as updated, (select count(*) from written) as deleted, {}",
                same(keys),
                self.found(keys)
            ),
        }
    }

    /// How many keys have a row, and how many different keys there are.
    fn found(&self, keys: &[Ident]) -> String {
        let present: Vec<String> = keys.iter().map(|key| format!("g.{} is not null", key.quoted())).collect();
        format!(
            "(select count(*) from given as g where exists (select 1 from {} as t where {})) as found, \
             (select count(*) from (select distinct {} from given as g where {}) as k) as keys",
            self.table.quoted(),
            same(keys),
            keys.iter().map(|key| format!("g.{}", key.quoted())).collect::<Vec<_>>().join(", "),
            present.join(" and ")
        )
    }

    fn source(&self, given: Given) -> String {
        let names = names(self.columns);
        match given {
            Given::Table => format!("{} as g", Self::STAGE),
            Given::Arrays => {
                let arrays = self.types.iter().zip(1..).map(|(name, place)| format!("${place}::{name}[]"));
                format!("unnest({}) as g ({names})", arrays.collect::<Vec<_>>().join(", "))
            }
            Given::Values(count) => {
                let mut place = 0;
                let rows: Vec<String> = (0..count)
                    .map(|row| {
                        let values: Vec<String> = self
                            .types
                            .iter()
                            .map(|name| {
                                place += 1;
                                // the first row says what the others are
                                if row == 0 { format!("${place}::{name}") } else { format!("${place}") }
                            })
                            .collect();
                        format!("({})", values.join(", "))
                    })
                    .collect();
                format!("(values {}) as g ({names})", rows.join(", "))
            }
        }
    }

    /// Whether one of these columns is not what is given.
    fn differs(&self, columns: &[Ident], other: &str) -> String {
        let text = |column: &Ident| {
            let place = self.columns.iter().position(|known| known == column);
            place.and_then(|place| self.by_text.get(place)).copied().unwrap_or(false)
        };
        let parts: Vec<String> = columns
            .iter()
            .map(|column| {
                let (name, cast) = (column.quoted(), if text(column) { "::text" } else { "" });
                format!("t.{name}{cast} is distinct from {other}.{name}{cast}")
            })
            .collect();
        parts.join(" or ")
    }

    /// Makes the temporary table.
    pub(crate) fn make_stage(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().zip(self.types).map(|(column, name)| format!("{} {name}", column.quoted())).collect();
        format!("create temporary table \"tierkeep_bulk\" ({}) on commit drop", columns.join(", "))
    }

    /// Drops it, for the next use in the same transaction.
    pub(crate) fn drop_stage(&self) -> String {
        ["drop table ", Self::STAGE].concat()
    }

    /// Copies rows into the temporary table, or into the table itself.
    pub(crate) fn copy(&self, into: Given) -> String {
        let table = if into == Given::Table { Self::STAGE.to_owned() } else { self.table.quoted() };
        format!("copy {table} ({}) from stdin (format binary)", names(self.columns))
    }
}

/// What SQLite runs for each row, whose values are bound in the order of the columns: the write, and what follows if it
/// touched nothing.
pub(crate) fn one_row_sqlite(operation: &Operation, table: &TableName, columns: &[Ident]) -> (String, Option<String>) {
    let place = |column: &Ident| {
        let at = columns.iter().position(|known| known == column);
        format!("?{}", at.map_or(0, |at| at + 1))
    };
    let insert = || {
        let values: Vec<String> = columns.iter().map(place).collect();
        format!("insert into {} ({}) values ({})", table.quoted(), names(columns), values.join(", "))
    };
    let is_row = |keys: &[Ident]| {
        let parts: Vec<String> = keys.iter().map(|key| format!("{} = {}", key.quoted(), place(key))).collect();
        parts.join(" and ")
    };
    let update = |keys: &[Ident], written: &[Ident]| {
        let pair = |column: &Ident, sign: &str| format!("{} {sign} {}", column.quoted(), place(column));
        let sets: Vec<String> = written.iter().map(|column| pair(column, "=")).collect();
        let differs: Vec<String> = written.iter().map(|column| pair(column, "is not")).collect();
        format!(
            "update {} set {} where {} and ({})",
            table.quoted(),
            sets.join(", "),
            is_row(keys),
            differs.join(" or ")
        )
    };
    let exists = |keys: &[Ident]| format!("select 1 from {} where {}", table.quoted(), is_row(keys));
    match operation {
        Operation::Insert => (insert(), None),
        Operation::InsertMissing { conflict } => {
            (format!("{} on conflict ({}) do nothing", insert(), names(conflict)), None)
        }
        Operation::Upsert { conflict, update: written } => {
            (format!("{} on conflict ({}) do nothing", insert(), names(conflict)), Some(update(conflict, written)))
        }
        Operation::Update { keys } => {
            let written: Vec<Ident> = columns.iter().filter(|column| !keys.contains(column)).cloned().collect();
            (update(keys, &written), Some(exists(keys)))
        }
        Operation::Delete { keys } => (format!("delete from {} where {}", table.quoted(), is_row(keys)), None),
    }
}

fn same(keys: &[Ident]) -> String {
    let parts: Vec<String> = keys.iter().map(|key| format!("t.{0} = g.{0}", key.quoted())).collect();
    parts.join(" and ")
}

fn names(columns: &[Ident]) -> String {
    columns.iter().map(Ident::quoted).collect::<Vec<_>>().join(", ")
}
