//! Conditions on rows as data, rendered from checked identifiers and typed constants.
//!
//! A condition speaks of the *logical* columns of a [`Relation`], which stand for expressions over the columns that a table
//! really has. Constants are numbers, instants and texts of this program; there is no way to put a text from outside into
//! the statement as anything but a quoted literal.

use std::collections::BTreeMap;

use super::{ColumnExpr, Dialect, Ident, TableName};

/// A table and what its columns are called in conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    table: TableName,
    columns: BTreeMap<String, ColumnExpr>,
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A logical column of the row itself, or inside [`Condition::Exists`] of the row that is looked for.
    Column(&'static str),
    /// Inside [`Condition::Exists`]: a logical column of the row outside.
    Outer(&'static str),
    /// The same, as the text that the database writes of it.
    OuterText(&'static str),
    /// The first of these that is not null.
    FirstOf(Vec<Operand>),
    /// The boolean false.
    False,
    /// A number.
    Integer(i64),
    /// An instant, microseconds since 1970.
    Instant(i64),
    /// A text.
    Text(&'static str),
}

/// How two values compare; never true of a null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What must hold of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Each of these; true if there is none.
    All(Vec<Condition>),
    /// One of these at least; false if there is none.
    Any(Vec<Condition>),
    /// This is false or unknown.
    Unless(Box<Condition>),
    /// Two values compare so.
    Compare(Operand, Comparison, Operand),
    /// A boolean is true.
    True(Operand),
    /// A value is missing.
    Null(Operand),
    /// Both are missing, or they are equal.
    Same(Operand, Operand),
    /// There is a row in another relation.
    Exists(Relation, Box<Condition>),
}

/// Why a condition cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no column of {table} stands for {column:?}; there are {known}")]
pub struct UnknownColumn {
    /// The table.
    pub table: String,
    /// The logical name.
    pub column: String,
    /// The logical names it has.
    pub known: String,
}

impl Relation {
    /// A table whose columns are called as the expressions say.
    #[must_use]
    pub fn new(table: TableName, columns: impl IntoIterator<Item = (Ident, ColumnExpr)>) -> Self {
        Self { table, columns: columns.into_iter().map(|(name, expression)| (name.into(), expression)).collect() }
    }

    /// A table whose columns are called what they are called.
    #[must_use]
    pub fn plain(table: TableName, columns: &[Ident]) -> Self {
        Self::new(table, columns.iter().map(|column| (column.clone(), ColumnExpr::Column(column.clone()))))
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The same columns of another table.
    #[must_use]
    pub fn of_table(&self, table: TableName) -> Self {
        Self { table, columns: self.columns.clone() }
    }

    /// The logical columns and what stands for each, by name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &ColumnExpr)> {
        self.columns.iter().map(|(name, expression)| (name.as_str(), expression))
    }

    /// What stands for a logical column in a statement in which the table is called `alias`.
    ///
    /// # Errors
    /// [`UnknownColumn`].
    pub fn column(&self, dialect: Dialect, alias: &str, name: &str) -> Result<String, UnknownColumn> {
        let expression = self.columns.get(name).ok_or_else(|| UnknownColumn {
            table: self.table.quoted(),
            column: name.to_owned(),
            known: self.columns.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        Ok(expression.qualified(dialect, Some(alias)))
    }
}

impl Condition {
    /// The condition on a row of `relation`, which the statement calls `t`.
    ///
    /// # Errors
    /// [`UnknownColumn`].
    pub fn render(&self, dialect: Dialect, relation: &Relation) -> Result<String, UnknownColumn> {
        Scope { dialect, relation, depth: 0, outer: None }.condition(self)
    }

    /// Not this, nor unknown.
    #[must_use]
    pub fn unless(self) -> Self {
        Self::Unless(Box::new(self))
    }

    /// This and another.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::All(vec![self, other])
    }
}

/// A relation inside another one's condition.
struct Scope<'a> {
    dialect: Dialect,
    relation: &'a Relation,
    depth: usize,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn alias(&self) -> String {
        if self.depth == 0 { "t".to_owned() } else { format!("t{}", self.depth) }
    }

    fn condition(&self, condition: &Condition) -> Result<String, UnknownColumn> {
        let list = |conditions: &[Condition], word: &str, empty: &str| -> Result<String, UnknownColumn> {
            if conditions.is_empty() {
                return Ok(empty.to_owned());
            }
            let parts = conditions.iter().map(|part| self.condition(part)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("({})", parts.join(word)))
        };
        Ok(match condition {
            Condition::All(conditions) => list(conditions, " and ", "true")?,
            Condition::Any(conditions) => list(conditions, " or ", "false")?,
            Condition::Unless(inner) => match inner.as_ref() {
                // an anti-join, which the planner of neither database makes of the form below
                exists @ Condition::Exists(..) => format!("not {}", self.condition(exists)?),
                other => format!("({}) is not true", self.condition(other)?),
            },
            Condition::Compare(left, comparison, right) => {
                format!("{} {} {}", self.operand(left)?, comparison.sign(), self.operand(right)?)
            }
            Condition::True(operand) => self.operand(operand)?,
            Condition::Null(operand) => format!("{} is null", self.operand(operand)?),
            Condition::Same(left, right) => {
                let same = match self.dialect {
                    Dialect::Postgres => "is not distinct from",
                    Dialect::Sqlite => "is",
                };
                format!("{} {same} {}", self.operand(left)?, self.operand(right)?)
            }
            Condition::Exists(relation, inner) => {
                let scope = Scope { dialect: self.dialect, relation, depth: self.depth + 1, outer: Some(self) };
                format!(
                    "exists (select 1 from {} as {} where {})",
                    relation.table.quoted(),
                    scope.alias(),
                    scope.condition(inner)?
                )
            }
        })
    }

    fn operand(&self, operand: &Operand) -> Result<String, UnknownColumn> {
        Ok(match operand {
            Operand::Column(name) => self.relation.column(self.dialect, &self.alias(), name)?,
            Operand::Outer(name) => self.outside().operand(&Operand::Column(name))?,
            Operand::OuterText(name) => format!("cast({} as text)", self.operand(&Operand::Outer(name))?),
            Operand::FirstOf(operands) => {
                let operands = operands.iter().map(|each| self.operand(each)).collect::<Result<Vec<_>, _>>()?;
                format!("coalesce({})", operands.join(", "))
            }
            Operand::False => "false".to_owned(),
            Operand::Integer(number) => number.to_string(),
            Operand::Instant(micros) => match self.dialect {
                Dialect::Postgres => format!("timestamptz 'epoch' + {}", interval(*micros)),
                Dialect::Sqlite => micros.to_string(),
            },
            Operand::Text(text) => format!("'{}'", text.replace('\'', "''")),
        })
    }

    /// The scope around this one; the outermost has none around it and is meant itself.
    fn outside(&self) -> &Self {
        self.outer.unwrap_or(self)
    }
}

/// An interval of exactly so many microseconds. Before version 15 no field of one holds more than 32 bits; each bears its own
/// sign, as `intervalstyle = sql_standard` takes the first for all that have none.
fn interval(micros: i64) -> String {
    let (hours, rest) = (micros / 3_600_000_000, micros % 3_600_000_000);
    let fields = [(hours, "hours"), (rest / 1_000_000, "seconds"), (rest % 1_000_000, "microseconds")];
    let fields = fields.into_iter().filter(|(amount, _)| *amount != 0).map(|(amount, unit)| format!("{amount} {unit}"));
    let fields: Vec<String> = fields.collect();
    if fields.is_empty() { "interval '0'".to_owned() } else { format!("interval '{}'", fields.join(" ")) }
}

impl Comparison {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(table: &str, columns: &[&str]) -> Relation {
        let columns: Vec<Ident> = columns.iter().map(|name| Ident::new(name).unwrap()).collect();
        Relation::plain(table.parse().unwrap(), &columns)
    }

    #[test]
    fn a_condition_reaches_through_the_names_of_a_mapping() {
        let sessions = Relation::new(
            "s.\"odd.t\"".parse().unwrap(),
            [
                ("open", ColumnExpr::Not(Ident::new("fin\"ished").unwrap())),
                ("at", ColumnExpr::Utc(Ident::new("x").unwrap())),
            ]
            .map(|(name, expression)| (Ident::new(name).unwrap(), expression)),
        );
        let condition = Condition::Compare(Operand::Column("at"), Comparison::Less, Operand::Instant(7))
            .and(Condition::True(Operand::Column("open")).unless());

        assert_eq!(
            condition.render(Dialect::Postgres, &sessions).unwrap(),
            "(cast(t.\"x\" as timestamp) at time zone 'UTC' < timestamptz 'epoch' + interval '7 microseconds' \
             and ((not t.\"fin\"\"ished\")) is not true)"
        );
        assert_eq!(
            condition.render(Dialect::Sqlite, &sessions).unwrap(),
            "(t.\"x\" < 7 and ((not t.\"fin\"\"ished\")) is not true)"
        );
    }

    #[test]
    fn no_field_of_an_interval_needs_more_than_32_bits() {
        for (micros, expected) in [
            (0, "interval '0'"),
            (-1, "interval '-1 microseconds'"),
            (1_685_620_800_000_007, "interval '468228 hours 7 microseconds'"),
            (-3_725_000_001, "interval '-1 hours -125 seconds -1 microseconds'"),
        ] {
            assert_eq!(interval(micros), expected);
        }
    }

    #[test]
    fn the_row_inside_and_the_row_outside_are_told_apart() {
        let rows = relation("rows", &["id", "owner"]);
        let inner = Condition::Compare(Operand::Column("owner"), Comparison::Equal, Operand::Outer("owner"))
            .and(Condition::Compare(Operand::Column("id"), Comparison::Greater, Operand::Outer("id")));
        let condition = Condition::Exists(rows.clone(), Box::new(inner)).unless();

        assert_eq!(
            condition.render(Dialect::Postgres, &rows).unwrap(),
            "not exists (select 1 from \"rows\" as t1 where (t1.\"owner\" = t.\"owner\" and t1.\"id\" > t.\"id\"))"
        );
    }

    #[test]
    fn texts_are_quoted_and_unknown_columns_named() {
        let rows = relation("rows", &["id"]);
        let text = Condition::Compare(Operand::Column("id"), Comparison::Equal, Operand::Text("it's"));

        assert_eq!(text.render(Dialect::Sqlite, &rows).unwrap(), "t.\"id\" = 'it''s'");
        let unknown = Condition::Null(Operand::Column("ids")).render(Dialect::Sqlite, &rows).unwrap_err();
        assert_eq!(unknown.to_string(), "no column of \"rows\" stands for \"ids\"; there are id");
    }
}
