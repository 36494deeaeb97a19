//! Rows whose columns are known at run time, and how they become types.

use std::sync::Arc;

use uuid::Uuid;

use crate::value::Kind;
use crate::{Value, ValueError};

/// A row: values by the names of their columns, in the statement's order.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{FromRow, Row, ValueError};
///
/// struct Course {
///     id: i64,
///     title: Option<String>,
/// }
///
/// impl FromRow for Course {
///     fn from_row(row: &Row) -> Result<Self, ValueError> {
///         Ok(Self { id: row.get("id")?, title: row.get("title")? })
///     }
/// }
///
/// let row = Row::new(["id", "title"], [7_i64.into(), "Rust".into()]);
/// let course = Course::from_row(&row)?;
/// assert_eq!((course.id, course.title.as_deref()), (7, Some("Rust")));
/// assert_eq!(row.get::<String>("titel").unwrap_err().to_string(), "there is no column `titel`, there are: id, title");
/// # Ok::<(), ValueError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

/// What a row can be read as.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`ValueError`], of a column that is missing or holds something else.
    fn from_row(row: &Row) -> Result<Self, ValueError>;
}

/// What a value can be read as. `Option` reads null as `None`.
pub trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if it is something else.
    fn from_value(value: &Value) -> Result<Self, ValueError>;
}

impl Row {
    /// Joins names and values; values beyond the names, and names beyond the values, are left out.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>, values: impl IntoIterator<Item = Value>) -> Self {
        let (columns, values): (Vec<String>, Vec<Value>) =
            columns.into_iter().zip(values).map(|(column, value)| (column.into(), value)).unzip();
        Self { columns: columns.into(), values }
    }

    /// A row of an answer, which has as many values as columns.
    pub(crate) fn of(columns: &Arc<[String]>, values: Vec<Value>) -> Self {
        Self { columns: Arc::clone(columns), values }
    }

    /// The names of its columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Its values, in order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value of a column; of the first, if several have the name.
    ///
    /// # Errors
    ///
    /// [`ValueError::NoColumn`]
    pub fn value(&self, column: &str) -> Result<&Value, ValueError> {
        self.columns
            .iter()
            .zip(&self.values)
            .find(|(name, _)| *name == column)
            .map(|(_, value)| value)
            .ok_or_else(|| ValueError::NoColumn { column: column.to_owned(), known: self.columns.join(", ") })
    }

    /// The value of a column as a type.
    ///
    /// # Errors
    ///
    /// [`ValueError::NoColumn`]; [`ValueError::InColumn`] if it is something else.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, ValueError> {
        T::from_value(self.value(column)?).map_err(|source| in_column(column, source))
    }

    /// The value of a column as that kind, which says on SQLite what its storage class means.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn kind(&self, column: &str, kind: Kind) -> Result<Value, ValueError> {
        self.value(column)?.clone().into_kind(kind).map_err(|source| in_column(column, source))
    }

    /// Takes the last value off, which a statement of ours has added to the caller's columns.
    pub(crate) fn split_last(mut self, columns: &Arc<[String]>) -> (Self, Option<Value>) {
        let last = self.values.pop();
        (Self { columns: Arc::clone(columns), values: self.values }, last)
    }
}

fn in_column(column: &str, source: ValueError) -> ValueError {
    ValueError::InColumn { column: column.to_owned(), source: Box::new(source) }
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self, ValueError> {
        Ok(row.clone())
    }
}

fn mismatch(value: &Value, wanted: &str, accepted: &'static str) -> ValueError {
    ValueError::Mismatch { kind: value.kind(), wanted: wanted.to_owned(), accepted }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        Ok(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Integer(number) => Ok(*number),
            other => Err(mismatch(other, "i64", "integer")),
        }
    }
}

impl FromValue for i32 {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        let number = i64::from_value(value)?;
        number.try_into().map_err(|_| ValueError::OutOfRange { given: number.to_string(), wanted: "i32".to_owned() })
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Float(number) => Ok(*number),
            other => Err(mismatch(other, "f64", "float")),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::Integer(number @ (0 | 1)) => Ok(*number == 1),
            other => Err(mismatch(other, "bool", "boolean, 0 or 1")),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Text(text) | Value::Numeric(text) | Value::Json(text) => Ok(text.clone()),
            other => Err(mismatch(other, "String", "text, numeric or json")),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            other => Err(mismatch(other, "Vec<u8>", "bytes")),
        }
    }
}

impl FromValue for Uuid {
    fn from_value(value: &Value) -> Result<Self, ValueError> {
        match value.clone().into_kind(Kind::Uuid)? {
            Value::Uuid(uuid) => Ok(uuid),
            other => Err(mismatch(&other, "Uuid", "uuid")),
        }
    }
}
