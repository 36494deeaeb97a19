//! Pages by number, for lists that people leaf through.
//!
//! A page costs what lies before it: PostgreSQL and SQLite read and throw away `offset` rows. The result says so, and a limit
//! can be set. Rows that are inserted or deleted meanwhile are repeated or skipped; [`keyset`](crate::keyset) has neither
//! trouble.

use crate::statement::OffsetShape;
use crate::{Database, Dialect, Error, FromRow, PageSize, Queries, Row, Selection, SortColumn, Value, ValueError};

/// Rows skipped from which on a page is called deep. Reading and throwing away costs about as much per row as reading.
const DEEP: u64 = 10_000;
/// Rows counted where the planner of SQLite knows nothing of a filter.
const UNKNOWN_CAP: u64 = 10_000;

/// A list with an order that has numbered pages.
///
/// # Examples
///
/// ```
/// use tierkeep_db::offset::{Count, Listing, PageNumber, Total};
/// use tierkeep_db::{Database, Error, Ident, PageSize, Relation, Selection, SortColumn};
/// use tierkeep_db::{SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// # let file = SqlitePath::new(directory.path().join("a.db"));
/// let sqlite = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
/// sqlite
///     .write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (id integer); insert into t values (1), (2), (3)")?))
///     .await?;
/// let db = Database::Sqlite(sqlite);
///
/// let rows = Selection::of(Relation::plain("t".parse()?, &[Ident::new("id")?]));
/// let listing = Listing::new(rows, vec![SortColumn::descending("id")])?.count(Count::Exact);
/// let page = listing.load(&db, PageNumber::new(2)?, PageSize::new(2)?).await?;
/// assert_eq!(page.items[0].get::<i64>("id")?, 1);
/// assert_eq!((page.total, page.pages), (Some(Total::Exact(3)), Some(2)));
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Listing {
    selection: Selection,
    order: Vec<SortColumn>,
    count: Count,
    deepest: Option<u64>,
}

/// The number of a page, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageNumber(u64);

/// Whether rows are counted, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// They are not. The default.
    Skipped,
    /// All of them, which reads all of them.
    Exact,
    /// Up to so many.
    AtMost(u64),
    /// As many as the planner expects, without reading them. On SQLite that is known only of whole tables after `analyze`;
    /// else up to 10,000 are counted.
    Estimated,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Total {
    /// Exactly so many, at the moment of counting.
    Exact(u64),
    /// So many or more.
    AtLeast(u64),
    /// About so many.
    Estimated(u64),
}

/// What the place of a page costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Little.
    Shallow,
    /// The database reads and throws away so many rows, 10,000 or more, for this page: leaf by key instead.
    Deep {
        /// The rows.
        skipped: u64,
    },
}

/// Rows of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetPage<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// The number of this page.
    pub page: PageNumber,
    /// Most rows of a page.
    pub size: PageSize,
    /// Whether there are rows after this page.
    pub has_more: bool,
    /// How many rows there are, if that was asked.
    pub total: Option<Total>,
    /// How many pages that makes, with the certainty of `total`.
    pub pages: Option<u64>,
    /// What the place of this page costs.
    pub depth: Depth,
}

/// Why there is no such page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OffsetError {
    /// Without an order, pages are of no particular rows.
    #[error("no order is given, at least one column is needed")]
    NoOrder,
    /// The first page is 1.
    #[error("there is no page {given}, accepted are 1 and above")]
    PageNumber {
        /// The number.
        given: i64,
    },
    /// The page is deeper than the list allows.
    #[error("page {page} skips {skipped} rows, accepted are up to {deepest}: leaf by key, or narrow the filter")]
    TooDeep {
        /// The number of the page.
        page: u64,
        /// Rows before it.
        skipped: u64,
        /// The limit that was set.
        deepest: u64,
    },
}

impl PageNumber {
    /// Checks a number.
    ///
    /// # Errors
    ///
    /// [`OffsetError::PageNumber`] for 0 and below.
    pub fn new(page: i64) -> Result<Self, OffsetError> {
        match u64::try_from(page) {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(OffsetError::PageNumber { given: page }),
        }
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Listing {
    /// A list in an order. Pages are of certain rows only if the order is total; that is not checked.
    ///
    /// # Errors
    ///
    /// [`OffsetError::NoOrder`]; [`SelectionError::UnknownColumn`](crate::SelectionError::UnknownColumn).
    pub fn new(selection: Selection, order: Vec<SortColumn>) -> Result<Self, Error> {
        if order.is_empty() {
            return Err(OffsetError::NoOrder.into());
        }
        order.iter().try_for_each(|sort| selection.check_column(&sort.column))?;
        Ok(Self { selection, order, count: Count::Skipped, deepest: None })
    }

    /// Whether rows are counted, and how.
    #[must_use]
    pub fn count(mut self, count: Count) -> Self {
        self.count = count;
        self
    }

    /// Refuses pages with more rows than this before them. There is no limit by default.
    #[must_use]
    pub fn deepest(mut self, rows: u64) -> Self {
        self.deepest = Some(rows);
        self
    }

    /// Reads a page: one statement, and another one if rows are counted, which may see other rows.
    ///
    /// # Errors
    ///
    /// [`OffsetError::TooDeep`]; what the database says.
    pub async fn load(&self, db: &Database, page: PageNumber, size: PageSize) -> Result<OffsetPage<Row>, Error> {
        let skipped = (page.get() - 1).saturating_mul(size.get().into());
        // both databases count rows in 63 bits
        let deepest = self.deepest.unwrap_or(i64::MAX.unsigned_abs());
        if skipped > deepest {
            return Err(OffsetError::TooDeep { page: page.get(), skipped, deepest }.into());
        }
        let shape = OffsetShape { selection: &self.selection, order: &self.order };
        let mut items = db.query(&shape.page(db.dialect(), skipped, size.limit())?).await?;
        let has_more = items.len() > size.get() as usize;
        items.truncate(size.get() as usize);
        let total = self.total(db, &shape).await?;
        let pages = total.map(|total| total.rows().div_ceil(size.get().into()));
        let depth = if skipped < DEEP { Depth::Shallow } else { Depth::Deep { skipped } };
        Ok(OffsetPage { items, page, size, has_more, total, pages, depth })
    }

    async fn total(&self, db: &Database, shape: &OffsetShape<'_>) -> Result<Option<Total>, Error> {
        match (self.count, db.dialect()) {
            (Count::Skipped, _) => Ok(None),
            (Count::Exact, dialect) => Ok(Some(Total::Exact(number(&db.query(&shape.count(dialect, None)?).await?)?))),
            (Count::AtMost(cap), dialect) => Ok(Some(capped(db, shape, dialect, cap).await?)),
            (Count::Estimated, Dialect::Postgres) => {
                let plan = db.query(&shape.plan()?).await?;
                match plan.first().and_then(|row| row.values().first()) {
                    Some(Value::Text(line)) => Ok(expected_rows(line).map(Total::Estimated)),
                    _ => Ok(None),
                }
            }
            (Count::Estimated, Dialect::Sqlite) => match self.analyzed(db).await? {
                Some(rows) => Ok(Some(Total::Estimated(rows))),
                None => Ok(Some(capped(db, shape, Dialect::Sqlite, UNKNOWN_CAP).await?)),
            },
        }
    }

    /// What `analyze` has noted of the whole table.
    async fn analyzed(&self, db: &Database) -> Result<Option<u64>, Error> {
        let (Database::Sqlite(db), Some(relation), true) =
            (db, self.selection.relation(), self.selection.is_everything())
        else {
            return Ok(None);
        };
        let table = relation.table().name().as_str().to_owned();
        db.read(move |connection| {
            // the table of statistics is absent until the first `analyze`
            let is_there =
                connection.prepare_cached("select 1 from sqlite_schema where name = 'sqlite_stat1'")?.exists([])?;
            if !is_there {
                return Ok(None);
            }
            let mut statement = connection.prepare_cached("select stat from sqlite_stat1 where tbl = ?1 limit 1")?;
            let mut rows = statement.query([table])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let stat: Option<String> = row.get(0)?;
            Ok(stat.and_then(|stat| stat.split(' ').next()?.parse().ok()))
        })
        .await
    }
}

/// Counts one row more than the cap, which tells whether it was reached or exceeded.
async fn capped(db: &Database, shape: &OffsetShape<'_>, dialect: Dialect, cap: u64) -> Result<Total, Error> {
    let cap = cap.min(i64::MAX.unsigned_abs() - 1);
    let rows = number(&db.query(&shape.count(dialect, Some(cap + 1))?).await?)?;
    Ok(if rows > cap { Total::AtLeast(cap) } else { Total::Exact(rows) })
}

fn number(rows: &[Row]) -> Result<u64, ValueError> {
    rows.first().map_or(Ok(0), |row| row.get::<i64>("n").map(i64::unsigned_abs))
}

/// Reads `Seq Scan on t  (cost=0.00..1.10 rows=10 width=4)`.
fn expected_rows(line: &str) -> Option<u64> {
    let (_, after) = line.rsplit_once(" rows=")?;
    after.split(' ').next()?.parse().ok()
}

impl Total {
    /// The number, whatever its certainty.
    #[must_use]
    pub fn rows(self) -> u64 {
        match self {
            Self::Exact(rows) | Self::AtLeast(rows) | Self::Estimated(rows) => rows,
        }
    }
}

impl OffsetPage<Row> {
    /// The page with its rows read as a type.
    ///
    /// # Errors
    ///
    /// [`ValueError`] of the first row that does not fit.
    pub fn read<T: FromRow>(self) -> Result<OffsetPage<T>, ValueError> {
        let items = self.items.iter().map(T::from_row).collect::<Result<_, _>>()?;
        let Self { page, size, has_more, total, pages, depth, .. } = self;
        Ok(OffsetPage { items, page, size, has_more, total, pages, depth })
    }
}

impl std::fmt::Display for PageNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
