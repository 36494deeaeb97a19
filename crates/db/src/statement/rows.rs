//! Statements that write one row of a table whose columns are known at run time only.

use super::{Dialect, Ident, SqlType, TableName};

/// A column that is written, and how a bound value becomes its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WrittenColumn {
    /// Its name.
    pub column: Ident,
    /// The type of the value that is bound.
    pub bound: SqlType,
    /// What is done with the value.
    pub conversion: Conversion,
}

/// What is done with a bound value on its way into a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// Nothing but what an assignment does: a text that is too long, or a number that is too large, is an error.
    Assigned,
    /// A boolean is negated.
    Negated,
    /// An instant becomes a wall time in UTC. Nothing on SQLite, which has no such type.
    WallTime,
    /// The value is cast to a type that an assignment does not reach, such as a boolean to an integer.
    Cast(SqlType),
}

impl WrittenColumn {
    /// The value at place `place`, which counts from 1.
    fn value(&self, dialect: Dialect, place: usize) -> String {
        let bound = match dialect {
            // the type of a parameter would otherwise be the column's, which may be one that the driver cannot write
            Dialect::Postgres => format!("cast(${place} as {})", dialect.type_name(self.bound)),
            Dialect::Sqlite => format!("?{place}"),
        };
        match (self.conversion, dialect) {
            (Conversion::Negated, _) => format!("not {bound}"),
            (Conversion::WallTime, Dialect::Postgres) => format!("{bound} at time zone 'UTC'"),
            (Conversion::Cast(to), Dialect::Postgres) => format!("cast({bound} as {})", dialect.type_name(to)),
            (Conversion::Assigned | Conversion::WallTime | Conversion::Cast(_), _) => bound,
        }
    }
}

/// Inserts one row of these columns, their values bound in this order, and returns the value of `returned`.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{Conversion, Dialect, Ident, SqlType, WrittenColumn, insert_row};
///
/// let done = WrittenColumn { column: Ident::new("done")?, bound: SqlType::Boolean, conversion: Conversion::Negated };
/// assert_eq!(
///     insert_row(Dialect::Sqlite, &"t".parse()?, &[&done], &Ident::new("id")?),
///     r#"insert into "t" ("done") values (not ?1) returning "id""#
/// );
/// # Ok::<(), tierkeep_db::StatementError>(())
/// ```
#[must_use]
pub fn insert_row(dialect: Dialect, table: &TableName, columns: &[&WrittenColumn], returned: &Ident) -> String {
    let names: Vec<String> = columns.iter().map(|column| column.column.quoted()).collect();
    let values: Vec<String> = columns.iter().zip(1..).map(|(column, place)| column.value(dialect, place)).collect();
    let (table, names, values) = (table.quoted(), names.join(", "), values.join(", "));
    format!("insert into {table} ({names}) values ({values}) returning {}", returned.quoted())
}

/// Sets these columns of the row whose `key` has the value bound first; the columns' values follow in this order.
#[must_use]
pub fn update_row(dialect: Dialect, table: &TableName, key: &WrittenColumn, columns: &[&WrittenColumn]) -> String {
    let sets: Vec<String> = columns
        .iter()
        .zip(2..)
        .map(|(column, place)| format!("{} = {}", column.column.quoted(), column.value(dialect, place)))
        .collect();
    format!("update {} set {} where {}", table.quoted(), sets.join(", "), equals(dialect, key, 1))
}

/// Deletes the rows in which all of these columns have the values that are bound in this order.
#[must_use]
pub fn delete_rows(dialect: Dialect, table: &TableName, keys: &[&WrittenColumn]) -> String {
    let conditions: Vec<String> = keys.iter().zip(1..).map(|(key, place)| equals(dialect, key, place)).collect();
    format!("delete from {} where {}", table.quoted(), conditions.join(" and "))
}

/// Locks the row whose `key` has the bound value until the transaction ends; no row = there is none. On SQLite, where the
/// transaction has locked the whole database, it only looks.
#[must_use]
pub fn lock_row(dialect: Dialect, table: &TableName, key: &WrittenColumn) -> String {
    let lock = match dialect {
        Dialect::Postgres => " for update",
        Dialect::Sqlite => "",
    };
    format!("select 1 from {} where {}{lock}", table.quoted(), equals(dialect, key, 1))
}

fn equals(dialect: Dialect, key: &WrittenColumn, place: usize) -> String {
    format!("{} = {}", key.column.quoted(), key.value(dialect, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, bound: SqlType, conversion: Conversion) -> WrittenColumn {
        WrittenColumn { column: Ident::new(name).unwrap(), bound, conversion }
    }

    #[test]
    fn every_conversion_has_its_place_and_type() {
        let key = column("id", SqlType::Bigint, Conversion::Assigned);
        let done = column("fin\"ished", SqlType::Boolean, Conversion::Negated);
        let start = column("at", SqlType::Timestamptz, Conversion::WallTime);
        let flag = column("flag", SqlType::Boolean, Conversion::Cast(SqlType::Integer));
        let table: TableName = "odd.\"t.1\"".parse().unwrap();

        assert_eq!(
            update_row(Dialect::Postgres, &table, &key, &[&done, &start, &flag]),
            "update \"odd\".\"t.1\" set \"fin\"\"ished\" = not cast($2 as boolean), \
             \"at\" = cast($3 as timestamptz) at time zone 'UTC', \
             \"flag\" = cast(cast($4 as boolean) as integer) where \"id\" = cast($1 as bigint)"
        );
        assert_eq!(
            update_row(Dialect::Sqlite, &table, &key, &[&done, &start, &flag]),
            "update \"odd\".\"t.1\" set \"fin\"\"ished\" = not ?2, \"at\" = ?3, \"flag\" = ?4 where \"id\" = ?1"
        );
    }

    #[test]
    fn rows_are_deleted_and_locked_by_all_their_keys() {
        let (user, content) = (
            column("user_id", SqlType::Uuid, Conversion::Assigned),
            column("content_id", SqlType::Uuid, Conversion::Assigned),
        );
        let table: TableName = "t".parse().unwrap();

        assert_eq!(
            delete_rows(Dialect::Postgres, &table, &[&user, &content]),
            "delete from \"t\" where \"user_id\" = cast($1 as uuid) and \"content_id\" = cast($2 as uuid)"
        );
        assert_eq!(
            lock_row(Dialect::Postgres, &table, &user),
            "select 1 from \"t\" where \"user_id\" = cast($1 as uuid) for update"
        );
        assert_eq!(lock_row(Dialect::Sqlite, &table, &user), "select 1 from \"t\" where \"user_id\" = ?1");
    }
}
