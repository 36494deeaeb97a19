//! Which indexes a workload is missing, which it could do without, and how to make one safely.
//!
//! [`advise`] takes statements with their calls ([`Workload`]), derives candidates from what each statement wants of each
//! table, asks the planner what they would save, weighs that against what they cost every write, and chooses a set for the
//! whole workload. What is not looked at is listed with its reason. [`create`] makes an index without blocking writers and
//! looks afterwards whether it helps.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::plan::Options;
use crate::query::{ReadingError, Schema};
use crate::statement::{IndexDefinition, drop_index};
use crate::{Database, Dialect, Error, Ident, TableName};

pub use sampled::{SampledPlan, SampledValue, sampled_plans};
pub use workload::{Workload, WorkloadStatement};

mod candidate;
mod choose;
pub mod create;
mod facts;
mod redundant;
mod sampled;
mod search;
mod show;
mod whatif;
mod workload;

/// Rows of a table below which no index is worth its upkeep.
const SMALL_TABLE: f64 = 500.0;

/// What advice may suggest. Every value is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdviceOptions {
    /// Most indexes to suggest; default 20.
    pub max_indexes: usize,
    /// Most bytes of all of them together, by estimate; default unlimited.
    pub max_bytes: u64,
    /// How long the planner may take for one statement; default 10 s. PostgreSQL only.
    pub statement_timeout: Duration,
    /// How long a lock is waited for; default 1 s. PostgreSQL only.
    pub lock_timeout: Duration,
}

/// What to do about the indexes of a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// How costs were found.
    pub method: Method,
    /// In what they are.
    pub unit: Unit,
    /// Cost of the workload as it is.
    pub before: f64,
    /// Cost with everything that is suggested, upkeep not counted.
    pub after: f64,
    /// Indexes to make, the one that saves most first.
    pub suggestions: Vec<Suggestion>,
    /// Indexes to drop.
    pub redundant: Vec<Redundant>,
    /// What was not looked at, and why.
    pub omissions: Vec<Omission>,
    /// Whether no other set of the candidates is better by the costs of single candidates.
    pub is_optimal: bool,
    /// How many candidates were looked at.
    pub candidates: usize,
}

/// How costs were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By the server's planner, to which HypoPG shows indexes that do not exist.
    Hypothetical,
    /// By a model of the planner, from the statistics of tables and columns.
    Statistics,
    /// By SQLite's planner, on an empty copy with the same statistics.
    Clone,
}

/// What a cost counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The planner's unit, about one page read in sequence; on SQLite rows that are visited.
    Cost,
    /// Milliseconds: of all statements it is known how long they take.
    Milliseconds,
}

/// An index that should be made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// What it is.
    pub index: IndexDefinition,
    /// The statement that makes it.
    pub statement: String,
    /// Statements that get cheaper, the one that gains most first.
    pub gains: Vec<Gain>,
    /// Bytes, estimated.
    pub bytes: u64,
    /// What it costs the workload's writes.
    pub upkeep: f64,
    /// What leaving it out of the suggested set would cost, upkeep not counted.
    pub saves: f64,
    /// Calls of the statements that gain, for each 1,000 rows written to the table, from which on it pays for itself.
    pub pays_from_calls: f64,
}

/// A statement that an index makes cheaper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gain {
    /// The statement.
    pub sql: String,
    /// How often it runs.
    pub calls: f64,
    /// Cost of a call as it is.
    pub before: f64,
    /// Cost of a call with everything that is suggested.
    pub after: f64,
}

/// An index that could go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Redundant {
    /// Its table.
    pub table: TableName,
    /// Its name.
    pub index: Ident,
    /// Why.
    pub reason: RedundantReason,
    /// The statement that drops it.
    pub statement: String,
    /// Bytes that it takes; 0 where that is not known.
    pub bytes: u64,
}

/// Why an index could go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RedundantReason {
    /// Another one is the same.
    Duplicate {
        /// The other one.
        of: Ident,
    },
    /// Another one begins with the same keys.
    Prefix {
        /// The other one.
        of: Ident,
    },
    /// It was never scanned since the server's statistics were reset. Look on every node that answers queries.
    Unused,
    /// Its creation failed: it serves nobody, and every write keeps it up.
    Invalid,
}

/// Something that was not looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Omission {
    /// The statement or the table.
    pub what: String,
    /// Why.
    pub reason: OmissionReason,
}

/// Why something was not looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OmissionReason {
    /// It is not SQL that is understood here.
    NotUnderstood {
        /// What was not understood.
        message: String,
    },
    /// It neither reads nor writes rows.
    Utility,
    /// It names something that does not exist or cannot be read through.
    Unreadable {
        /// What.
        #[serde(serialize_with = "as_text")]
        error: ReadingError,
    },
    /// The planner refused it.
    NotPlanned {
        /// What it said.
        message: String,
    },
    /// A table has too few rows for an index.
    SmallTable {
        /// Its rows.
        rows: f64,
    },
    /// Nobody analysed the table, so that nothing is known of it: `analyze` it.
    NoStatistics,
    /// This role may not read the table, so that its statistics are hidden.
    NotPermitted,
    /// What a statement looks for is found by trigrams only, whose extension was not created in this database.
    NoTrigrams {
        /// The column.
        column: Ident,
        /// The statement that creates it.
        command: &'static str,
    },
    /// Its rows are in partitions, each of which has indexes of its own: add statements on the partitions.
    Partitioned,
}

/// Why there is no advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdviceError {
    /// The workload is of another kind of database.
    #[error("the workload is in the sql of {workload:?}, the database is {database:?}")]
    OtherDialect {
        /// Of the workload.
        workload: Dialect,
        /// Of the database.
        database: Dialect,
    },
    /// The database could not be asked.
    #[error("the database could not be asked for advice")]
    Database(#[from] Error),
}

/// Advises on the indexes of a workload. Nothing is written; on PostgreSQL the planner is asked in a `read only`
/// transaction, with HypoPG if the extension is installed in the database, and otherwise a model of it is.
///
/// Cost: about 20 plans for each statement, and four times as many for one with parameters where HypoPG is: it is planned for any
/// values and for three sets of values that are there. If the future is dropped, its connection is closed.
///
/// # Errors
///
/// [`AdviceError`]. A statement that cannot be looked at is no error but an [`Omission`].
///
/// # Examples
///
/// ```
/// use tierkeep_db::advice::{AdviceOptions, Workload, advise};
/// use tierkeep_db::{Database, Dialect, Error, SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// let db = SqliteDatabase::open(&SqlitePath::new(directory.path().join("a.db")), SqliteConfig::default()).await?;
/// db.write(|tx| Ok::<_, Error>(tx.execute_batch("
///     create table orders (id integer primary key, customer integer not null);
///     with recursive i (i) as (select 1 union all select i + 1 from i where i < 5000)
///     insert into orders select i, i % 500 from i;")?)).await?;
///
/// let mut workload = Workload::new(Dialect::Sqlite);
/// workload.add("select * from orders where customer = ?", 1000.0, None);
/// let advice = advise(&Database::Sqlite(db), &workload, &AdviceOptions::default()).await?;
/// assert_eq!(advice.suggestions[0].index.to_string(), "main.orders (customer)");
/// # Ok(()) })
/// # }
/// ```
pub async fn advise(db: &Database, workload: &Workload, options: &AdviceOptions) -> Result<Advice, AdviceError> {
    if workload.dialect() != db.dialect() {
        return Err(AdviceError::OtherDialect { workload: workload.dialect(), database: db.dialect() });
    }
    match db {
        Database::Postgres(pool) => {
            let connection = pool.get().await?;
            let schema = Schema::load_postgres(&connection).await?;
            let read = search::read(workload, &schema);
            let facts = facts::postgres::load(&connection, &read.tables).await?;
            drop(connection);
            let problem = search::Problem::of(Dialect::Postgres, read, facts);
            let limits = Options {
                analyze: false,
                statement_timeout: options.statement_timeout,
                lock_timeout: options.lock_timeout,
            };
            let hypothetical =
                whatif::hypothetical::Hypothetical::begin(pool, &limits, problem.questions(), problem.model()).await?;
            match hypothetical {
                Some(mut planner) => {
                    let advice = search::search(problem, &mut planner, Method::Hypothetical, options).await;
                    planner.end().await?;
                    Ok(advice)
                }
                None => {
                    let mut model = problem.model();
                    Ok(search::search(problem, &mut model, Method::Statistics, options).await)
                }
            }
        }
        Database::Sqlite(db) => {
            let (workload, schema) = (workload.clone(), Schema::load(&Database::Sqlite(db.clone())).await?);
            let (problem, mut clone) = db
                .read(move |connection| {
                    let read = search::read(&workload, &schema);
                    let facts = facts::sqlite::load(connection, &schema, &read.tables)?;
                    let problem = search::Problem::of(Dialect::Sqlite, read, facts.clone());
                    let (queries, candidates) = (problem.queries(), problem.candidates());
                    let clone = whatif::clone::Clone::of(connection, facts, queries, candidates)?;
                    Ok::<_, Error>((problem, clone))
                })
                .await?;
            // Planning on the copy waits for nothing, and may take a while.
            let options = options.clone();
            let runtime = tokio::runtime::Handle::current();
            let search = tokio::task::spawn_blocking(move || {
                runtime.block_on(search::search(problem, &mut clone, Method::Clone, &options))
            });
            search.await.map_err(|error| AdviceError::Database(Error::Panicked { message: error.to_string() }))
        }
    }
}

impl Redundant {
    fn new(dialect: Dialect, table: &TableName, index: &facts::ExistingIndex, reason: RedundantReason) -> Self {
        Self {
            table: table.clone(),
            index: index.name.clone(),
            reason,
            statement: drop_index(dialect, Some(&index.schema), &index.name),
            bytes: index.bytes,
        }
    }
}

impl Default for AdviceOptions {
    fn default() -> Self {
        Self {
            max_indexes: 20,
            max_bytes: u64::MAX,
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(1),
        }
    }
}

fn as_text<S: Serializer>(error: &ReadingError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}
