//! Pages by key of rows whose columns, order and filter are known at run time only, both ways.
//!
//! - **The order is total**: it ends where a unique index says so, which is read from the catalog or promised by the caller.
//!   So no row is skipped or repeated, however many are equal in the other columns, and whatever is inserted or deleted
//!   meanwhile: a row that is there during the whole scan is seen once.
//! - **A page costs the same wherever it is**, given an index over the columns of the order: see
//!   [`Keyset::statement`] for the shapes.
//! - **Items are always in the order that was asked for**, whichever way one walks.
//! - **Cursors are opaque and signed.** They carry the key in full precision, the way to walk, and what order and filter they
//!   belong to; a cursor that was altered, or is of another list, is refused with an error that says so.
//!
//! For statements that the program knows when it is compiled, [`Page`](crate::Page) is less.

use std::sync::{Arc, OnceLock};

use crate::asking::BoundSql;
use crate::statement::{KeyColumn, KeysetShape};
use crate::{
    Database, Dialect, Error, FromRow, Nulls, PageSize, Queries, Row, Selection, SortColumn, Value, ValueError,
};

mod catalog;
mod cursor;

pub use cursor::{CursorKey, CursorKeyError};
use cursor::{Marks, Position, Signed};

/// An order of rows that has pages.
///
/// # Examples
///
/// ```
/// use tierkeep_db::keyset::{CursorKey, Keyset, Start};
/// use tierkeep_db::{Database, Error, Ident, PageSize, Relation, Selection, SortColumn};
/// use tierkeep_db::{SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// # let file = SqlitePath::new(directory.path().join("a.db"));
/// let sqlite = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
/// sqlite
///     .write(|tx| {
///         Ok::<_, Error>(tx.execute_batch(
///             "create table t (id integer primary key, score integer);
///              insert into t (score) values (10), (null), (20), (10)",
///         )?)
///     })
///     .await?;
/// let db = Database::Sqlite(sqlite);
///
/// let rows = Selection::of(Relation::plain("t".parse()?, &[Ident::new("id")?, Ident::new("score")?]));
/// let order = vec![SortColumn::descending("score"), SortColumn::ascending("id")];
/// let keyset = Keyset::checked(&db, rows, order, CursorKey::new(b"a secret of 16 bytes or more")?).await?;
///
/// let first = keyset.load(&db, Start::First, PageSize::new(3)?).await?;
/// assert_eq!(first.map(|row| row.get::<i64>("id")).items, [Ok(3), Ok(1), Ok(4)]);
/// let next = first.next.expect("there is one more");
/// let second = keyset.load(&db, Start::At(&next), PageSize::new(3)?).await?;
/// assert_eq!(second.items.len(), 1);
/// assert!(second.has_previous && !second.has_next);
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Keyset {
    selection: Selection,
    order: Arc<[SortColumn]>,
    key: CursorKey,
    /// For PostgreSQL and for SQLite.
    marks: Arc<[OnceLock<Marks>; 2]>,
}

/// Where a page starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// At the first row.
    First,
    /// At the last row, which ends the page.
    Last,
    /// Where a cursor says.
    At(&'a str),
}

/// Which way a page was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Walk {
    /// From the first row to the last.
    Forward,
    /// From the last row to the first.
    Backward,
}

/// Rows of one page, in order, and where the pages beside it start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysetPage<T> {
    /// The rows, in the order that was asked for.
    pub items: Vec<T>,
    /// Cursor of the page after this one; present if `has_next`.
    pub next: Option<String>,
    /// Cursor of the page before this one; present if `has_previous`.
    pub previous: Option<String>,
    /// Whether there are more rows in the direction of the walk: `has_next` or `has_previous`.
    pub has_more: bool,
    /// Whether there are rows after this page.
    pub has_next: bool,
    /// Whether there are rows before this page.
    pub has_previous: bool,
    /// Which way it was walked.
    pub walk: Walk,
}

/// Why there are no pages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysetError {
    /// No column is named.
    #[error("no order is given, at least one column is needed")]
    NoOrder,
    /// A column stands in the order twice.
    #[error("column `{column}` stands in the order twice")]
    ColumnTwice {
        /// The column.
        column: String,
    },
    /// There is no such table.
    #[error("there is no table {table}")]
    NoTable {
        /// Its name.
        table: String,
    },
    /// Rows may be equal in all columns of the order, so that pages would skip or repeat some.
    #[error("{table} may have several rows that are equal in {order}: end the order with {}", unique_hint(unique))]
    NotUnique {
        /// The table.
        table: String,
        /// The columns of the order.
        order: String,
        /// Sets of columns that would do.
        unique: Vec<String>,
    },
    /// A statement of the caller has no unique index to be found.
    #[error("whether rows of a statement are unique cannot be looked up: promise it with `Keyset::assuming_unique`")]
    NotATable,
    /// A column that was said to have no nulls has one.
    #[error("column `{column}` was said to have no nulls and has one: say where nulls stand in the order")]
    UnexpectedNull {
        /// The column.
        column: String,
    },
    /// The text is no cursor: it was cut, or never was one.
    #[error("the cursor is damaged, accepted is `next` or `previous` of a page, unchanged")]
    Damaged,
    /// The signature is not of this cursor.
    #[error("the cursor was altered or signed with another key: start again from the first page")]
    Signature,
    /// The cursor was made by another version of this program.
    #[error("the cursor was made by another version, start again from the first page")]
    Version,
    /// The cursor belongs to rows of another table, or in another order.
    #[error("the cursor belongs to another list or sort order, start again from the first page")]
    OtherOrder,
    /// The cursor belongs to the same list with another filter, or other values in it.
    #[error("the cursor belongs to another filter, start again from the first page")]
    OtherFilter,
}

fn unique_hint(unique: &[String]) -> String {
    if unique.is_empty() { "a column that is unique and never null".to_owned() } else { unique.join(" or with ") }
}

/// The statement of one page, and what its rows mean.
#[derive(Debug, Clone)]
pub struct KeysetQuery<'a> {
    keyset: &'a Keyset,
    dialect: Dialect,
    position: Option<Position>,
    walk: Walk,
    size: PageSize,
    statement: BoundSql,
}

impl Keyset {
    /// An order that the catalog says is total: the columns of some unique index are among those of the order, and none
    /// of these may be null. Columns of the order that the catalog says are never null are taken as such, which lets more
    /// of the key be one condition. One or two round trips, once.
    ///
    /// # Errors
    ///
    /// [`KeysetError::NotUnique`], which names what would do; [`KeysetError::NotATable`] for a statement of the caller;
    /// [`SelectionError::UnknownColumn`](crate::SelectionError::UnknownColumn); what the database says.
    pub async fn checked(
        db: &Database,
        selection: Selection,
        order: Vec<SortColumn>,
        key: CursorKey,
    ) -> Result<Self, Error> {
        let mut keyset = Self::assuming_unique(selection, order, key)?;
        let relation = keyset.selection.relation().ok_or(KeysetError::NotATable)?;
        let facts = catalog::facts(db, relation).await?;
        keyset.order = facts.apply(relation, &keyset.order)?.into();
        keyset.marks = Arc::default();
        Ok(keyset)
    }

    /// An order that the caller promises to be total: no two rows are equal in all of its columns. If they are, one of
    /// them may be skipped.
    ///
    /// # Errors
    ///
    /// [`KeysetError::NoOrder`] and [`KeysetError::ColumnTwice`];
    /// [`SelectionError::UnknownColumn`](crate::SelectionError::UnknownColumn).
    pub fn assuming_unique(selection: Selection, order: Vec<SortColumn>, key: CursorKey) -> Result<Self, Error> {
        if order.is_empty() {
            return Err(KeysetError::NoOrder.into());
        }
        for (place, sort) in order.iter().enumerate() {
            selection.check_column(&sort.column)?;
            if order[..place].iter().any(|before| before.column == sort.column) {
                return Err(KeysetError::ColumnTwice { column: sort.column.clone() }.into());
            }
        }
        Ok(Self { selection, order: order.into(), key, marks: Arc::default() })
    }

    /// Reads a page: one statement, and a second one if there is no row left at the cursor.
    ///
    /// # Errors
    ///
    /// [`Error::Keyset`] for a cursor that is not of these pages; what the database says.
    pub async fn load<Q: Queries>(&self, db: &Q, start: Start<'_>, size: PageSize) -> Result<KeysetPage<Row>, Error> {
        let query = self.statement(db.dialect(), start, size)?;
        let rows = db.query(query.bound()).await?;
        let other_side = match query.other_side(&rows)? {
            Some(statement) => !db.query(&statement).await?.is_empty(),
            None => false,
        };
        query.page(rows, other_side)
    }

    /// The statement of a page, for transactions of the caller's own.
    ///
    /// One range of an index for each way in which rows lie after the key: on PostgreSQL `(a, b) > (x, y)` where columns go
    /// the same way and have no nulls; else `a > x`, `a is null` and `a = x and b < y` beside each other, each with an order and a limit.
    /// One row more than the page is read, and one on the other side of the key.
    ///
    /// # Errors
    ///
    /// [`Error::Keyset`] for a cursor that is not of these pages; [`Error::Selection`] for the other dialect.
    pub fn statement(&self, dialect: Dialect, start: Start<'_>, size: PageSize) -> Result<KeysetQuery<'_>, Error> {
        let (position, walk) = match start {
            Start::First => (None, Walk::Forward),
            Start::Last => (None, Walk::Backward),
            Start::At(cursor) => {
                let position = self.signed(dialect)?.read(cursor, self.order.len())?;
                let walk = position.walk;
                (Some(position), walk)
            }
        };
        let statement = self.shape(position.as_ref(), walk, size.limit()).page(dialect)?;
        Ok(KeysetQuery { keyset: self, dialect, position, walk, size, statement })
    }

    fn shape<'a>(&'a self, position: Option<&'a Position>, walk: Walk, limit: u32) -> KeysetShape<'a> {
        let value = |place: usize| position.and_then(|position| position.values.get(place));
        let columns =
            self.order.iter().enumerate().map(|(place, sort)| KeyColumn { sort, value: value(place) }).collect();
        KeysetShape {
            selection: &self.selection,
            columns,
            is_backward: walk == Walk::Backward,
            is_inclusive: position.is_some_and(|position| position.is_inclusive),
            limit,
        }
    }

    /// What cursors of these pages are signed with: the key, the list with its order, and the filter with its values.
    fn signed(&self, dialect: Dialect) -> Result<Signed<'_>, Error> {
        let marks = &self.marks[usize::from(dialect == Dialect::Sqlite)];
        if let Some(marks) = marks.get() {
            return Ok(Signed::new(&self.key, *marks));
        }
        // statements without a key have the text of the list, its order and its filter, and the filter's values
        let everything = Self { selection: self.selection.unfiltered(), ..self.clone() };
        let list = everything.shape(None, Walk::Forward, 0).page(dialect)?;
        let filtered = self.shape(None, Walk::Forward, 0).page(dialect)?;
        Ok(Signed::new(&self.key, *marks.get_or_init(|| Marks::new(&list, &filtered))))
    }
}

impl KeysetQuery<'_> {
    /// The statement.
    #[must_use]
    pub fn bound(&self) -> &BoundSql {
        &self.statement
    }

    /// What else must be asked to know whether there is something on the other side of the cursor; nothing, unless the page
    /// has no rows. The answer is whether this returns a row.
    ///
    /// # Errors
    ///
    /// [`Error::Selection`], as [`Keyset::statement`].
    pub fn other_side(&self, rows: &[Row]) -> Result<Option<BoundSql>, Error> {
        if !rows.is_empty() || self.position.is_none() {
            return Ok(None);
        }
        Ok(Some(self.keyset.shape(self.position.as_ref(), self.walk, 1).other_side(self.dialect)?))
    }

    /// Makes the page of the rows that the statement returned, and of the answer to [`other_side`](Self::other_side), which
    /// is false if nothing had to be asked.
    ///
    /// # Errors
    ///
    /// [`KeysetError::UnexpectedNull`] if a promise was broken.
    pub fn page(&self, rows: Vec<Row>, other_side: bool) -> Result<KeysetPage<Row>, Error> {
        let mut is_behind = other_side;
        let mut items = Vec::with_capacity(rows.len());
        let mut names: Option<Arc<[String]>> = None;
        for row in rows {
            let width = row.columns().len().saturating_sub(1);
            let names = names.get_or_insert_with(|| row.columns()[..width].into());
            let (row, last) = row.split_last(names);
            is_behind |= matches!(last, Some(Value::Bool(true) | Value::Integer(1)));
            items.push(row);
        }
        let kept = self.size.get() as usize;
        let has_more = items.len() > kept;
        items.truncate(kept);
        if self.walk == Walk::Backward {
            items.reverse();
        }
        let (has_next, has_previous) = match self.walk {
            Walk::Forward => (has_more, is_behind),
            Walk::Backward => (is_behind, has_more),
        };
        let signed = self.keyset.signed(self.dialect)?;
        let cursor = |row: Option<&Row>, walk: Walk| -> Result<String, Error> {
            Ok(signed.write(&self.position_at(row, walk)?))
        };
        let next = has_next.then(|| cursor(items.last(), Walk::Forward)).transpose()?;
        let previous = has_previous.then(|| cursor(items.first(), Walk::Backward)).transpose()?;
        Ok(KeysetPage { items, next, previous, has_more, has_next, has_previous, walk: self.walk })
    }

    /// After this row; without one, back from where this page began, its own key included.
    fn position_at(&self, row: Option<&Row>, walk: Walk) -> Result<Position, Error> {
        match (row, &self.position) {
            (Some(row), _) => {
                let values = self.keyset.order.iter().map(|sort| key_value(row, sort));
                Ok(Position { walk, is_inclusive: false, values: values.collect::<Result<_, Error>>()? })
            }
            (None, Some(position)) => {
                Ok(Position { walk, is_inclusive: !position.is_inclusive, values: position.values.clone() })
            }
            // without rows and without a key there is nothing on either side
            (None, None) => Err(KeysetError::Damaged.into()),
        }
    }
}

fn key_value(row: &Row, sort: &SortColumn) -> Result<Value, Error> {
    let value = row.value(&sort.column)?;
    if value.is_null() && sort.nulls == Nulls::Never {
        return Err(KeysetError::UnexpectedNull { column: sort.column.clone() }.into());
    }
    Ok(value.clone())
}

impl<T> KeysetPage<T> {
    /// The page with each item made into something else.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> KeysetPage<U> {
        KeysetPage {
            items: self.items.iter().map(f).collect(),
            next: self.next.clone(),
            previous: self.previous.clone(),
            has_more: self.has_more,
            has_next: self.has_next,
            has_previous: self.has_previous,
            walk: self.walk,
        }
    }
}

impl KeysetPage<Row> {
    /// The page with its rows read as a type.
    ///
    /// # Errors
    ///
    /// [`ValueError`] of the first row that does not fit.
    pub fn read<T: FromRow>(self) -> Result<KeysetPage<T>, ValueError> {
        let items = self.items.iter().map(T::from_row).collect::<Result<_, _>>()?;
        let Self { next, previous, has_more, has_next, has_previous, walk, .. } = self;
        Ok(KeysetPage { items, next, previous, has_more, has_next, has_previous, walk })
    }
}
