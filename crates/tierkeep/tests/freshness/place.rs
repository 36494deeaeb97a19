//! A database for one history: Tierkeep's tables, with the foreign keys that a platform would have.

use rusqlite::Connection;
use tierkeep::config::Config;
use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{OpenMode, OpenOptions, migrate, open};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};
use tokio::sync::OnceCell;

/// For what must happen some time.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

const KEYS_OF_POSTGRES: &str = "
    alter table course_progress add foreign key (user_id) references users on delete cascade;
    alter table study_sessions add foreign key (user_id) references users on delete cascade;
    alter table study_sessions add foreign key (course_progress_id) references course_progress on delete cascade;
    alter table study_sessions_archive add foreign key (user_id) references users on delete cascade;
";

/// SQLite adds no foreign key to a table that exists.
const KEYS_OF_SQLITE: &str = "
    pragma writable_schema = on;
    update sqlite_schema
    set sql = replace(
        replace(sql, 'user_id integer not null', 'user_id integer not null references users (id) on delete cascade'),
        'course_progress_id integer,', 'course_progress_id integer references course_progress (id) on delete cascade,'
    )
    where type = 'table' and name in ('course_progress', 'study_sessions');
    update sqlite_schema
    set sql = replace(sql, 'user_id integer not null', 'user_id integer not null references users (id) on delete cascade')
    where type = 'table' and name = 'study_sessions_archive';
    pragma writable_schema = reset;
";

const PARTITIONS: &str = "
    alter table study_sessions rename to whole;
    create table study_sessions (like whole including defaults, primary key (id, start_time))
        partition by range (start_time);
    create table study_sessions_early partition of study_sessions
        for values from (minvalue) to ('2026-01-28T00:00:00Z');
    create table study_sessions_late partition of study_sessions
        for values from ('2026-01-28T00:00:00Z') to (maxvalue);
    drop table whole cascade;
    create index on study_sessions (user_id, start_time);
";

/// Another installation, so that what the last history left in Redis is that of somebody else.
const RENAME: [&str; 2] = [
    "update tierkeep_state set installation = gen_random_uuid()",
    "update tierkeep_state set installation = lower(hex(randomblob(16)))",
];

pub(crate) enum Place {
    Sqlite(SqliteFile),
    Postgres(TestDatabase, DatabaseClient),
}

pub(crate) fn options(mode: OpenMode) -> OpenOptions {
    let config = Config::default();
    OpenOptions {
        mode,
        pool: config.database.pool,
        default_zone: config.days.default_zone,
        day_start: config.days.day_start,
        mapping: Mapping::default(),
    }
}

const CREATE: OpenMode = OpenMode::Create { ids: Some(KeyType::Int) };

async fn make(url: &str) {
    let store = open(&url.parse().unwrap(), &options(CREATE)).await.unwrap();
    store.close().await;
}

impl Place {
    pub(crate) async fn new(dialect: Dialect, is_partitioned: bool) -> Self {
        match dialect {
            Dialect::Sqlite => Self::sqlite().await,
            Dialect::Postgres => Self::postgres(is_partitioned).await,
        }
    }

    async fn postgres(is_partitioned: bool) -> Self {
        let name = if is_partitioned { "partitioned" } else { "plain" };
        let database = PostgresServer::shared()
            .await
            .unwrap()
            .database_from(name, async |url| {
                make(&url).await;
                let client = DatabaseClient::connect(&url).await?;
                if is_partitioned {
                    client.batch_execute(PARTITIONS).await?;
                }
                client.batch_execute(KEYS_OF_POSTGRES).await?;
                // on the partitions as well
                make(&url).await;
                Ok(())
            })
            .await
            .unwrap();
        let client = database.client().await.unwrap();
        client.batch_execute(RENAME[0]).await.unwrap();
        Self::Postgres(database, client)
    }

    async fn sqlite() -> Self {
        static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(async || {
                let file = SqliteFile::new().unwrap();
                make(&file.url()).await;
                Connection::open(file.path()).unwrap().execute_batch(KEYS_OF_SQLITE).unwrap();
                std::fs::read(file.path()).unwrap()
            })
            .await;
        let file = SqliteFile::new().unwrap();
        std::fs::write(file.path(), template).unwrap();
        let place = Self::Sqlite(file);
        place.run(RENAME[1]).await;
        place
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(..) => Dialect::Postgres,
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => file.url(),
            Self::Postgres(database, _) => database.url().to_owned(),
        }
    }

    /// Runs statements as another program would.
    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(file) => {
                let connection = Connection::open(file.path()).unwrap();
                connection.busy_timeout(PATIENCE).unwrap();
                connection.execute_batch("pragma foreign_keys = on").unwrap();
                connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            Self::Postgres(_, client) => {
                client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
        }
    }

    /// Another connection, on PostgreSQL.
    pub(crate) async fn client(&self) -> Option<DatabaseClient> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(database, _) => Some(database.client().await.unwrap()),
        }
    }

    /// Puts the triggers back that somebody removed.
    pub(crate) async fn install(&self) {
        migrate(&self.url().parse().unwrap(), &options(CREATE)).await.unwrap();
    }

    pub(crate) async fn remove_a_trigger(&self) {
        self.run(match self.dialect() {
            Dialect::Sqlite => "drop trigger tierkeep_study_sessions_update",
            Dialect::Postgres => "drop trigger tierkeep_update on study_sessions",
        })
        .await;
    }
}
