//! The database, looked at by somebody who knows what to look for.
//!
//! [`Examination::of`] asks, and writes nothing; what is worth doing follows from its answers without asking again:
//! [`Examination::tasks`].

mod document;
mod samples;
mod task;

use std::time::Duration;

use tierkeep_db::advice::{Advice, AdviceError, AdviceOptions, RedundantReason, Workload, advise};
use tierkeep_db::statistics::{
    Bytes, Examined, IndexFinding, IndexReading, QuerySnapshot, Shortcoming, SlowQueries, SlowestBy, TableStatistics,
    indexes_postgres, indexes_sqlite, judge, query_snapshot_postgres, query_snapshot_sqlite, tables_postgres,
    tables_sqlite,
};
use tierkeep_db::{
    Connection, Database, Dialect, Error, Ident, SqliteDatabase, applied_version_postgres, applied_version_sqlite,
};
use tierkeep_learning::store::{OwnIndex, own_indexes};

pub(crate) use self::document::{Document, finding, query, table};
pub(crate) use self::samples::{GrowthByTable, note_sizes};
pub(crate) use self::task::Task;

/// An index that nobody scanned for so long, and that is so large, is worth a word.
const UNUSED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
const UNUSED_FLOOR: Bytes = Bytes(1 << 20);
/// Statements of the server's count that advice looks at, those that take most of the time.
const STATEMENTS: usize = 200;

/// What was found out.
#[derive(Debug)]
pub(crate) struct Examination {
    /// In whose language commands are.
    pub(crate) dialect: Dialect,
    /// What was counted of statements.
    pub(crate) statements: Examined<QuerySnapshot>,
    /// The tables.
    pub(crate) tables: Examined<Vec<TableStatistics>>,
    /// How tables have grown in the last 90 days, as far as somebody has noted that.
    pub(crate) growth: GrowthByTable,
    /// The indexes.
    pub(crate) indexes: IndexReading,
    /// The indexes that Tierkeep has made.
    pub(crate) own: Vec<OwnIndex>,
    /// How long the server has run, where there is one.
    pub(crate) uptime: Option<Duration>,
    /// Which indexes the counted statements want; `None` where none were counted, or nobody asked.
    pub(crate) advice: Option<Advice>,
}

impl Examination {
    /// Looks at everything but the plans of statements. Cost: a few statements over the catalog; on SQLite every page
    /// of the file is counted.
    pub(crate) async fn of(db: &Database) -> Result<Self, Error> {
        let statements = counted(db).await?;
        let (tables, growth, indexes, own, uptime) = match db {
            Database::Postgres(pool) => {
                let client = pool.get().await?;
                let tables = tables_postgres(&client).await?;
                let found = tables.found().map_or(&[][..], Vec::as_slice);
                let growth = samples::growth_postgres(&client, found).await?;
                let indexes = indexes_postgres(&client).await?;
                (tables, growth, indexes, made_postgres(&client).await?, uptime(&client).await?)
            }
            Database::Sqlite(db) => {
                let (tables, growth, indexes) = db
                    .read(|connection| {
                        let tables = tables_sqlite(connection)?;
                        let growth = samples::growth_sqlite(connection, &tables)?;
                        Ok::<_, Error>((tables, growth, indexes_sqlite(connection)?))
                    })
                    .await?;
                (Examined::Found(tables), growth, indexes, made_sqlite(db).await?, None)
            }
        };
        Ok(Self { dialect: db.dialect(), statements, tables, growth, indexes, own, uptime, advice: None })
    }

    /// Asks the planner, too, which indexes the counted statements want. Cost: about 20 plans for each of up to 200
    /// statements.
    pub(crate) async fn with_advice(mut self, db: &Database) -> Result<Self, AdviceError> {
        if let Some(workload) = workload(self.dialect, &self.statements) {
            let advice = advise(db, &workload, &AdviceOptions::default()).await?;
            self.advice = Some(without_own(&self.own, advice));
        }
        Ok(self)
    }

    /// Indexes of Tierkeep's own that are not there.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &OwnIndex> {
        let is_there = |own: &OwnIndex| self.indexes.indexes.iter().any(|index| index.name.name().as_str() == own.name);
        self.own.iter().filter(move |own| !is_there(own))
    }

    /// What is wrong with indexes. Those that Tierkeep has made are for tasks that come seldom, and for what grows later: that
    /// nobody scanned them yet, or that another one could take their place, is no reason to drop them.
    pub(crate) fn findings(&self) -> Vec<IndexFinding> {
        let mut findings = judge(&self.indexes);
        findings.retain(|finding| match &finding.shortcoming {
            Shortcoming::Duplicate { index, .. } | Shortcoming::Redundant { index, .. } => {
                !is_own(&self.own, index.name())
            }
            Shortcoming::Unused { index, window } => {
                // a server that never reset its counts does not say since when it counts: at least since it was started
                let is_long = window.since_reset.or(self.uptime).is_some_and(|since| since >= UNUSED_AFTER);
                let is_large = finding.frees.is_some_and(|size| size >= UNUSED_FLOOR);
                is_long && is_large && !is_own(&self.own, index.name())
            }
            _ => true,
        });
        findings
    }

    /// Why something was not looked at, and what would help.
    pub(crate) fn omissions(&self) -> Vec<String> {
        let named = |what: &str, reason: Option<String>| reason.map(|reason| format!("{what}: {reason}"));
        [named("statements", self.statements.reason()), named("tables", self.tables.reason())]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The advice without dropping what Tierkeep has made.
fn without_own(own: &[OwnIndex], mut advice: Advice) -> Advice {
    advice.redundant.retain(|redundant| {
        let is_small = redundant.reason == RedundantReason::Unused && Bytes(redundant.bytes) < UNUSED_FLOOR;
        !is_small && !is_own(own, &redundant.index)
    });
    advice
}

fn is_own(own: &[OwnIndex], index: &Ident) -> bool {
    index.as_str().starts_with("tierkeep_") || own.iter().any(|own| own.name == index.as_str())
}

/// Index advice on a database, whosever tables are in it.
pub(crate) async fn advised(
    db: &Database,
    workload: &Workload,
    options: &AdviceOptions,
) -> Result<Advice, AdviceError> {
    let own = match db {
        Database::Postgres(pool) => made_postgres(&pool.get().await?).await?,
        Database::Sqlite(db) => made_sqlite(db).await?,
    };
    Ok(without_own(&own, advise(db, workload, options).await?))
}

async fn uptime(client: &Connection) -> Result<Option<Duration>, Error> {
    let sql = "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8";
    let seconds: f64 = client.query_one(sql, &[]).await?.try_get(0)?;
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// The indexes that Tierkeep has made here; none on a platform's tables that it was never attached to.
async fn made_postgres(client: &Connection) -> Result<Vec<OwnIndex>, Error> {
    let Some(version) = applied_version_postgres(client).await? else { return Ok(Vec::new()) };
    // the first migrations have no column of that name
    let of_rows = "select to_jsonb(s) ->> 'mapping' is null from tierkeep_state s";
    let of_rows = client.query_one(of_rows, &[]).await?.try_get(0)?;
    Ok(own_indexes(Dialect::Postgres, version, of_rows))
}

async fn made_sqlite(db: &SqliteDatabase) -> Result<Vec<OwnIndex>, Error> {
    let version = applied_version_sqlite(db).await?;
    Ok(version.map_or_else(Vec::new, |version| own_indexes(Dialect::Sqlite, version, true)))
}

/// What the server, or on SQLite the programs that use it, have counted of statements.
pub(crate) async fn counted(db: &Database) -> Result<Examined<QuerySnapshot>, Error> {
    match db {
        Database::Postgres(pool) => query_snapshot_postgres(&*pool.get().await?).await,
        Database::Sqlite(db) => db.read(|connection| query_snapshot_sqlite(connection)).await,
    }
}

/// Stores what this node has counted of the statements that it ran on SQLite, for [`counted`]; returns how many there are,
/// by text. PostgreSQL counts by itself.
pub(crate) async fn note_statements(db: &Database) -> Result<u64, Error> {
    match db {
        Database::Postgres(_) => Ok(0),
        Database::Sqlite(db) => db.note_statements().await,
    }
}

/// The statements that the server has counted; `None` where it has none.
pub(crate) fn workload(dialect: Dialect, statements: &Examined<QuerySnapshot>) -> Option<Workload> {
    let period = statements.found()?.whole();
    let wanted = SlowQueries { threshold_ms: 0.0, by: SlowestBy::Total, limit: STATEMENTS };
    let mut workload = Workload::new(dialect);
    // what else is counted, such as commits, has no rows to find
    for query in period.slowest(wanted).into_iter().filter(|query| is_about_rows(&query.text)) {
        workload.add(&query.text, query.calls as f64, Some(query.mean_ms()));
    }
    (!workload.statements().is_empty()).then_some(workload)
}

/// Whether a statement may read or write rows, which can be said of one that is not understood, too.
fn is_about_rows(text: &str) -> bool {
    !matches!(
        first_word(text).as_str(),
        "alter"
            | "analyze"
            | "begin"
            | "commit"
            | "create"
            | "drop"
            | "end"
            | "pragma"
            | "release"
            | "reset"
            | "rollback"
            | "savepoint"
            | "set"
            | "show"
            | "start"
            | "vacuum"
    )
}

/// In lower case; empty if a statement begins with a comment.
fn first_word(text: &str) -> String {
    let first = text.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    first.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_lowercase()
}
