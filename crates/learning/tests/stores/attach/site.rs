//! Two platforms, and what their code writes.

use std::sync::Arc;

use futures_util::SinkExt;
use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::store::{AttachOptions, Attached, OpenMode, OpenOptions, Store, StoreError, attach, open};

use super::super::fresh::{Fresh, Outside, options};
use super::super::model::Model;
use super::super::rows::{self, at, key_literal, session, session_values, text_literal, user};

pub(super) const PLATFORM: &str = include_str!("../schemas/platform.sql");
pub(super) const DJANGO: &str = include_str!("../schemas/django_default.sql");
/// Where all learners of these platforms live, who have no zones of their own.
pub(super) const ZONE: &str = "America/New_York";
/// Learners 1 to this.
pub(super) const LEARNERS: u32 = 4;

/// What is installed in a database, by kind and name, with what tells triggers apart.
const CATALOG: &str = "select kind || ' ' || name from (
    select 'relation' as kind, n.nspname || '.' || relname || ' ' || relkind::text as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    union all select 'trigger', tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text from pg_trigger where not tgisinternal
    union all select 'function', proname || pronargs from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    union all select 'type', typname::text from pg_type t join pg_namespace n on n.oid = t.typnamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    union all select 'schema', nspname::text from pg_namespace where nspname not like 'pg\\_temp%' and nspname not like 'pg\\_toast%'
    union all select 'column', attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
    from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = c.relnamespace
    where attnum > 0 and not attisdropped and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    union all select 'comment', classoid::regclass || ' ' || description from pg_description d
    where d.objoid in (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema')
    union all select 'right', relname || ' ' || relacl::text from pg_class where relacl is not null
    and relnamespace not in (select oid from pg_namespace where nspname like 'pg\\_%' or nspname = 'information_schema')
) as found order by 1";

/// Whose tables they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// UUID keys, many columns, checks.
    Guide,
    /// Integer keys from sequences, other names, a negated column, and some that are missing.
    Django,
}

pub(super) const BOTH: [Platform; 2] = [Platform::Guide, Platform::Django];

impl Platform {
    pub(super) fn keys(self) -> KeyType {
        match self {
            Self::Guide => KeyType::Uuid,
            Self::Django => KeyType::Int,
        }
    }

    pub(super) fn sessions(self) -> &'static str {
        match self {
            Self::Guide => "study_sessions",
            Self::Django => "study_studysession",
        }
    }

    pub(super) fn users(self) -> &'static str {
        match self {
            Self::Guide => "users",
            Self::Django => "auth_user",
        }
    }

    /// Columns: whose session it is, when it starts, how long it was.
    pub(super) fn columns(self) -> [&'static str; 3] {
        match self {
            Self::Guide => ["user_id", "start_time", "duration_minutes"],
            Self::Django => ["student_id", "started_at", "minutes"],
        }
    }

    fn schema(self) -> &'static str {
        match self {
            Self::Guide => PLATFORM,
            Self::Django => DJANGO,
        }
    }

    pub(super) fn mapping(self) -> Mapping {
        let mapping = match self {
            Self::Guide => serde_json::json!({ "preset": "platform" }),
            Self::Django => serde_json::json!({
                "preset": "none",
                "users": { "table": "auth_user", "created_at": "date_joined" },
                "study_sessions": {
                    "table": "study_studysession", "user_id": "student_id", "start_time": "started_at",
                    "end_time": "ended_at", "duration_minutes": "minutes", "effectiveness_rating": "rating",
                    "is_active": "not finished", "learning_environment": "place", "subject_category": "subject",
                    "notes": "comment", "updated_at": "modified",
                },
                "course_progress": {
                    "table": "courses_enrollment", "user_id": "student_id", "content_id": "course_id",
                    "subject_name": "subject", "proficiency_level": "percent", "learning_hour_total": "hours",
                    "est_finish_hour": "hours_expected", "updated_at": "modified",
                },
            }),
        };
        serde_json::from_value(mapping).unwrap()
    }

    /// The columns of [`Self::values`].
    pub(super) fn names(self) -> &'static str {
        match self {
            Self::Guide => rows::SESSION_COLUMNS,
            Self::Django => {
                "id, student_id, started_at, ended_at, minutes, rating, finished, place, subject, comment, modified"
            }
        }
    }

    pub(super) fn values(self, row: &SessionRow) -> String {
        if self == Self::Guide {
            return session_values(Dialect::Postgres, row);
        }
        let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
        format!(
            "({}, {}, '{}', {}, {}, {}, {}, {}, {}, '', '{}')",
            key_literal(row.id.key()),
            key_literal(row.user_id.key()),
            row.start_time,
            or_null(row.end_time.map(|end| format!("'{end}'"))),
            row.duration_minutes,
            or_null(row.effectiveness_rating.map(|rating| rating.to_string())),
            !row.is_active,
            text_literal(&row.learning_environment),
            text_literal(&row.subject_category),
            row.updated_at,
        )
    }

    pub(super) fn insert(self, into: &str, rows: &[SessionRow]) -> String {
        let values: Vec<String> = rows.iter().map(|row| self.values(row)).collect();
        format!("insert into {into} ({}) values {}", self.names(), values.join(", "))
    }

    /// Session `n` of a learner, with whatever both platforms have a column for.
    pub(super) fn row(self, n: u32, of: u32, start: &str, minutes: i32) -> SessionRow {
        let mut row = session(self.keys(), n, of, start, minutes);
        row.end_time =
            (!n.is_multiple_of(3)).then(|| row.start_time + jiff::SignedDuration::from_mins(1 + i64::from(minutes)));
        row.effectiveness_rating = (!n.is_multiple_of(4)).then(|| i16::try_from(1 + n % 5).unwrap());
        row.is_active = n.is_multiple_of(3);
        row.learning_environment = ["home", "library", ""][n as usize % 3].to_owned();
        row.subject_category = ["art", "", "topology"][n as usize % 3].to_owned();
        row
    }

    /// The platform's own ways of making learners.
    fn learners(self) -> String {
        let one = |n: u32| {
            let id = key_literal(user(self.keys(), n).key());
            match self {
                Self::Guide => format!(
                    "insert into users values ({id}, 'l{n}@example.org', 'l{n}', '!', null, '2025-01-01Z', true, false, false);"
                ),
                Self::Django => format!(
                    "insert into auth_user values ({id}, 'l{n}', 'l{n}@example.org', true, null, '2025-01-01Z');"
                ),
            }
        };
        (1..=LEARNERS).map(one).collect()
    }

    /// Sessions go with their learner.
    fn cascade(self) -> String {
        let (sessions, users, [user, ..]) = (self.sessions(), self.users(), self.columns());
        format!(
            "alter table {sessions} drop constraint {sessions}_{user}_fkey, \
             add constraint {sessions}_{user}_fkey foreign key ({user}) references {users} on delete cascade"
        )
    }
}

/// A platform with learners, sessions and nothing of ours.
pub(super) struct Site {
    pub(super) platform: Platform,
    pub(super) fresh: Fresh,
    pub(super) outside: Outside,
    pub(super) model: Model,
}

impl Site {
    pub(super) async fn new(platform: Platform) -> Self {
        Self::with_schema(platform, platform.schema()).await
    }

    /// With tables that are made otherwise.
    pub(super) async fn with_schema(platform: Platform, schema: &str) -> Self {
        let fresh = Fresh::with_schema(schema).await;
        let outside = fresh.outside().await;
        outside.run(&format!("{}; {}", platform.learners(), platform.cascade())).await;
        let mut model = Model::new(Zone::new(ZONE).unwrap(), DayStart::default());
        (1..=LEARNERS).for_each(|n| model.put_learner(user(platform.keys(), n), None));
        let mut site = Self { platform, fresh, outside, model };
        let starts = ["2025-03-09T06:30:00Z", "2025-06-27T22:00:00Z", "2025-06-28T03:59:00Z", "2025-06-28T04:00:00Z"];
        let rows: Vec<SessionRow> = (0..16)
            .map(|n| platform.row(100 + n, 1 + n % LEARNERS, starts[n as usize / 4], 20 + i32::try_from(n).unwrap()))
            .collect();
        site.insert(&rows).await;
        site
    }

    /// With Tierkeep attached.
    pub(super) async fn attached(platform: Platform) -> Self {
        let site = Self::new(platform).await;
        site.attach().await.unwrap();
        site
    }

    pub(super) fn options(&self) -> AttachOptions {
        let default_zone = Zone::new(ZONE).unwrap();
        let open = OpenOptions { mapping: self.platform.mapping(), default_zone, ..options(OpenMode::Existing) };
        AttachOptions { open, is_zone_chosen: true }
    }

    pub(super) async fn attach(&self) -> Result<Attached, StoreError> {
        attach(&self.fresh.url, &self.options()).await
    }

    pub(super) async fn store(&self) -> Arc<dyn Store> {
        self.open(OpenMode::Existing).await.unwrap()
    }

    pub(super) async fn open(&self, mode: OpenMode) -> Result<Arc<dyn Store>, StoreError> {
        open(&self.fresh.url, &OpenOptions { mode, ..self.options().open }).await
    }

    pub(super) fn users(&self) -> Vec<UserId> {
        (1..=LEARNERS + 1).map(|n| user(self.platform.keys(), n)).collect()
    }

    pub(super) async fn run(&self, sql: &str) {
        self.outside.run(sql).await;
    }

    pub(super) async fn insert(&mut self, rows: &[SessionRow]) {
        self.run(&self.platform.insert(self.platform.sessions(), rows)).await;
        rows.iter().for_each(|row| self.know(row.clone()));
    }

    pub(super) fn know(&mut self, row: SessionRow) {
        self.model.live.insert(row.id, row);
    }

    /// COPY, in its text format.
    pub(super) async fn copy(&mut self, rows: &[SessionRow]) {
        // what the server writes of rows it reads again
        let stage = format!(
            "create temp table stage as select {} from {} limit 0",
            self.platform.names(),
            self.platform.sessions()
        );
        self.run(&format!("{stage}; {}", self.platform.insert("stage", rows))).await;
        let lines = self.outside.texts("select array_to_string(array(select coalesce(v, '\\N') from json_each_text(row_to_json(s)) as e (k, v)), E'\\t') from stage s").await;
        self.run("drop table stage").await;
        let text = format!("copy {} ({}) from stdin", self.platform.sessions(), self.platform.names());
        let client = self.outside.postgres();
        let sink = client.copy_in::<_, bytes::Bytes>(&text).await.unwrap();
        let mut sink = std::pin::pin!(sink);
        for line in lines {
            sink.send(bytes::Bytes::from(line + "\n")).await.unwrap();
        }
        sink.as_mut().finish().await.unwrap();
        rows.iter().for_each(|row| self.know(row.clone()));
    }

    /// Everything that can be asked, against the model.
    pub(super) async fn compare(&self, store: &dyn Store, context: &str) {
        let span = (rows::day("2025-03-01"), rows::day("2025-06-27"));
        let context = format!("{:?}: {context}", self.platform);
        self.model.compare(store, &self.users(), span, &context).await;
        self.model.compare(store, &self.users()[..1], span, &context).await;
        self.model.compare_totals(store, rows::day("2025-06-28"), &context).await;
    }

    pub(super) async fn catalog(&self) -> Vec<String> {
        self.outside.texts(CATALOG).await
    }
}

/// Moves all sessions that start before an instant into the archive, by the statement that retention uses.
pub(super) async fn archive_before(site: &mut Site, before: &str) {
    let (table, [_, start, _], names) = (site.platform.sessions(), site.platform.columns(), site.platform.names());
    site.run(&format!(
        "with moved as (delete from {table} where {start} < '{before}' returning *) \
         insert into study_sessions_archive ({names}) select {names} from moved"
    ))
    .await;
    let moved: Vec<_> = site.model.live.values().filter(|row| row.start_time < at(before)).cloned().collect();
    for row in moved {
        site.model.live.remove(&row.id);
        site.model.archived.insert(row.id, row);
    }
}

pub(super) async fn settle(store: &dyn Store) {
    while store.settle().await.unwrap().more {}
}
