//! A database of one trial: a copy of one that was filled once, and the directory of its exports.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tierkeep_db::{Dialect, PoolConfig};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::retention::{Cutoffs, PHASES};
use tierkeep_learning::store::{Cleanup, Keep, OpenMode, OpenOptions, Store, migrate, open};
use tierkeep_retention::{BatchSize, Order, Outcome};
use tierkeep_testkit::{PostgresServer, SqliteFile, TestDatabase};
use tokio::sync::OnceCell;

use crate::connection::Connection;
use crate::fixture::{ARCHIVE, DELETE, NOW, Rows, Size, at};

/// What the database is called in the directory of exports.
pub(crate) const INSTALLATION: &str = "crashes";
/// Columns that rows are copied to the archive with.
const COPIED: &str = "id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, \
     focus_score, break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes, \
     created_at, updated_at, goal_id, learning_plan_id, estimator";

pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) size: Size,
    exports: TempDir,
    _place: Place,
}

#[expect(dead_code, reason = "held for their destructors")]
enum Place {
    Sqlite(SqliteFile),
    Postgres(TestDatabase),
}

impl Site {
    /// A copy.
    pub(crate) async fn copy(dialect: Dialect, size: Size) -> Self {
        match dialect {
            Dialect::Sqlite => {
                let file = SqliteFile::new().unwrap();
                filled_sqlite(size).await.run(&format!("vacuum into '{}'", file.path().display())).await;
                Self::at(file.url(), size, Place::Sqlite(file))
            }
            Dialect::Postgres => Self::on(PostgresServer::shared().await.unwrap(), size).await,
        }
    }

    /// A copy on a server.
    pub(crate) async fn on(server: &PostgresServer, size: Size) -> Self {
        let fill = async |url: String| {
            fill(&url, size).await;
            Ok(())
        };
        let database = server.database_from(size.name, fill).await.unwrap();
        Self::at(database.url().to_owned(), size, Place::Postgres(database))
    }

    fn at(url: String, size: Size, place: Place) -> Self {
        Self { url, size, exports: tempfile::tempdir().unwrap(), _place: place }
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        store(&self.url).await
    }

    pub(crate) async fn connection(&self) -> Connection {
        Connection::open(&self.url).await.unwrap()
    }

    pub(crate) fn exports(&self) -> PathBuf {
        self.exports.path().to_owned()
    }

    /// Where the files are.
    pub(crate) fn files(&self) -> PathBuf {
        self.exports.path().join(INSTALLATION)
    }

    /// Cleans up in this process, where nobody dies.
    pub(crate) async fn clean_up(&self) -> Outcome {
        clean_up(&self.url, "recovery", self.exports(), self.size.batch).await.unwrap()
    }
}

pub(crate) async fn store(url: &str) -> Arc<dyn Store> {
    open(&url.parse().unwrap(), &options(OpenMode::Existing)).await.unwrap()
}

/// Cleans up everything, in small batches.
pub(crate) async fn clean_up(url: &str, command: &str, exports: PathBuf, rows: u32) -> Result<Outcome, String> {
    let store = open(&url.parse().unwrap(), &options(OpenMode::Existing)).await.map_err(|error| error.to_string())?;
    let cutoffs = Cutoffs { now: at(NOW), archive: at(ARCHIVE), delete: at(DELETE), purge: at("2020-01-01T00:00:00Z") };
    let cleanup = Cleanup { phases: PHASES.to_vec(), cutoffs, keep: Keep::Summaries };
    let order = Order {
        batch: BatchSize::Fixed(rows.try_into().unwrap()),
        max_fraction: 1.0,
        export: Some(exports),
        installation: Some(INSTALLATION.to_owned()),
        ..Order::new(command, Arc::new(|| at(NOW)))
    };
    store.clean_up(&cleanup, &order).await.map_err(|error| format!("{error:?}"))
}

fn options(mode: OpenMode) -> OpenOptions {
    OpenOptions {
        mode,
        pool: PoolConfig { size: 2, overflow: 4, ..PoolConfig::default() },
        default_zone: Zone::utc(),
        day_start: DayStart::default(),
        mapping: Mapping::default(),
    }
}

/// The files that copies are made of, one for each size, filled once.
async fn filled_sqlite(size: Size) -> Connection {
    type Cells = Mutex<HashMap<&'static str, Arc<OnceCell<SqliteFile>>>>;
    static FILLED: std::sync::LazyLock<Cells> = std::sync::LazyLock::new(Cells::default);
    let cell = Arc::clone(FILLED.lock().unwrap().entry(size.name).or_default());
    let make = async || {
        let file = SqliteFile::new().unwrap();
        fill(&file.url(), size).await;
        file
    };
    let url = cell.get_or_init(make).await.url();
    Connection::open(&url).await.unwrap()
}

async fn fill(url: &str, size: Size) {
    migrate(&url.parse().unwrap(), &options(OpenMode::Create { ids: Some(KeyType::Int) })).await.unwrap();
    let store = store(url).await;
    let rows = Rows::new(size);
    store.write_users(rows.users).await.unwrap();
    store.write_progress(rows.progress).await.unwrap();
    store.write_sessions(rows.sessions).await.unwrap();
    let outside = Connection::open(url).await.unwrap();
    let list = |ids: &[i64]| ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let (archived, superseded) = (list(&rows.archived), list(&rows.superseded));
    let copy = |ids: &str, notes: &str| {
        let columns = COPIED.replace("notes", notes);
        format!(
            "insert into study_sessions_archive ({COPIED}) select {columns} from study_sessions where id in ({ids})"
        )
    };
    let delete = format!("delete from study_sessions where id in ({archived})");
    outside.run(&format!("begin; {}; {delete}; commit", copy(&archived, "notes"))).await;
    outside.run(&copy(&superseded, "'as it was'")).await;
    while store.settle().await.unwrap().more {}
}
