//! A small database that every test knows by heart, and the two ways to ask about it.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use tempfile::TempDir;
use tierkeep::access::{Access, Reach};
use tierkeep::clock::Clock;
use tierkeep::config::{ByteSize, Config};
use tierkeep::http::{Api, App, Limits, api};
use tierkeep::tiers::Tiers;
use tierkeep_db::{DatabaseUrl, SqlitePath};
use tierkeep_learning::key::{ContentId, CourseProgressId, Key, SessionId, UserId};
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, open};
use tower::ServiceExt;
use uuid::Uuid;

/// The present of all tests: a Saturday, in the afternoon in Paris.
pub(crate) const NOW: &str = "2026-01-31T14:00:00Z";
/// Ada, in Paris, has studied.
pub(crate) const ADA: &str = "00000000-0000-4000-8000-000000000001";
/// Bob, without a zone, has not.
pub(crate) const BOB: &str = "00000000-0000-4000-8000-000000000002";
/// Nobody.
pub(crate) const NOBODY: &str = "00000000-0000-4000-8000-0000000000ff";

/// A database in a directory of its own.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) store: Arc<dyn Store>,
}

impl Fixture {
    /// Two learners, three courses, seven sessions.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(SqlitePath::new(directory.path().join("test.db")));
        let store = open(&url, &options()).await.unwrap();
        fill(&*store).await;
        Self { directory, store }
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.directory.path().join("test.db").display())
    }

    pub(crate) fn app(&self) -> Api {
        app(Arc::clone(&self.store), Duration::from_secs(30))
    }
}

/// The API over any store.
pub(crate) fn app(store: Arc<dyn Store>, timeout: Duration) -> Api {
    let limits = Limits { body: ByteSize::bytes(64 * 1024), timeout };
    let clock = Clock::Fixed(instant(NOW));
    let tiers = Tiers::unkept(Statistics::new(store, Config::default().days));
    let access = Access::without_tokens(Arc::clone(tiers.statistics().store()), Reach::Loopback);
    api(Arc::new(App::new(tiers, access, clock, limits)))
}

/// Two learners, two courses, seven sessions.
pub(crate) async fn fill(store: &dyn Store) {
    store.write_users(vec![user(1, "ada", Some("Europe/Paris")), user(2, "bob", None)]).await.unwrap();
    store.write_progress(vec![course(1, "Algebra", 40, Some(10)), course(2, "Botany", 75, None)]).await.unwrap();
    store.write_sessions(sessions()).await.unwrap();
}

pub(crate) fn options() -> OpenOptions {
    let config = Config::default();
    OpenOptions {
        mode: OpenMode::Create { ids: None },
        pool: config.database.pool,
        default_zone: config.days.default_zone,
        day_start: config.days.day_start,
        mapping: Mapping::default(),
    }
}

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(kind: u64, number: u64) -> Key {
    Key::Uuid(Uuid::from_u64_pair(kind << 32 | 0x4000, 0x8000_0000_0000_0000 | number))
}

fn user(number: u64, name: &str, zone: Option<&str>) -> UserRow {
    UserRow {
        id: UserId::new(key(0, number)),
        email: format!("{name}@secret.example"),
        username: name.to_owned(),
        is_active: true,
        last_login: None,
        created_at: instant("2025-01-01T00:00:00Z"),
        time_zone: zone.map(str::to_owned),
    }
}

fn course(number: u64, name: &str, level: i32, est_finish_hour: Option<i32>) -> ProgressRow {
    ProgressRow {
        id: CourseProgressId::new(key(1, number)),
        user_id: UserId::new(key(0, 1)),
        content_id: ContentId::new(key(2, number)),
        subject_name: name.to_owned(),
        proficiency_level: level,
        learning_hour_week: 3,
        learning_hour_total: 12,
        est_finish_hour,
        difficulty: 5,
        created_at: instant("2025-06-01T00:00:00Z"),
        updated_at: instant("2026-01-01T00:00:00Z"),
    }
}

/// Ada: two in the week before, three on Thursday and Friday, one open today, and an invalid one that never counts.
fn sessions() -> Vec<SessionRow> {
    let ended = |number, start, minutes, rating, focus| session(number, start, minutes, rating, focus);
    vec![
        ended(1, "2026-01-20T18:30:00Z", 25, Some(3), Some(50)),
        ended(2, "2026-01-21T18:30:00Z", 35, Some(3), None),
        ended(3, "2026-01-29T07:15:00Z", 60, Some(4), Some(90)),
        // 00:30 on Friday in Paris, Thursday in UTC
        ended(4, "2026-01-29T23:30:00Z", 45, Some(5), Some(85)),
        ended(5, "2026-01-30T19:00:00Z", 50, None, Some(70)),
        SessionRow { end_time: None, is_active: true, ..ended(6, "2026-01-31T13:20:00Z", 40, None, None) },
        ended(7, "2026-01-30T20:00:00Z", -10, Some(5), Some(100)),
    ]
}

fn session(number: u64, start: &str, minutes: i32, rating: Option<i16>, focus: Option<i16>) -> SessionRow {
    let start_time = instant(start);
    SessionRow {
        id: SessionId::new(key(3, number)),
        user_id: UserId::new(key(0, 1)),
        course_progress_id: Some(CourseProgressId::new(key(1, 1))),
        start_time,
        end_time: Some(start_time + jiff::SignedDuration::from_mins(i64::from(minutes.abs()))),
        duration_minutes: minutes,
        effectiveness_rating: rating,
        focus_hundredths: focus,
        break_count: 1,
        is_active: false,
        learning_environment: if number.is_multiple_of(3) { "library".to_owned() } else { "home".to_owned() },
        device_type: "laptop".to_owned(),
        subject_category: "mathematics".to_owned(),
        content_covered: "Matrices".to_owned(),
        notes: String::new(),
        created_at: start_time,
        updated_at: start_time,
        goal_id: None,
        learning_plan_id: None,
        estimator: None,
    }
}

/// An answer of the router.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, type and body as a snapshot shows them: indented, without the clock of the database.
    pub(crate) fn shown(&self) -> String {
        let mut json = self.json();
        hide_clock(&mut json);
        let body = serde_json::to_string_pretty(&json).unwrap();
        format!("{} {}\n{body}", self.status, self.header("content-type"))
    }
}

pub(crate) fn hide_clock(json: &mut serde_json::Value) {
    if let Some(as_of) = json.get_mut("as_of") {
        *as_of = "(now)".into();
    }
    if let Some(items) = json.as_array_mut() {
        items.iter_mut().for_each(hide_clock);
    }
}

pub(crate) async fn ask(app: Api, request: Request<Body>) -> Answer {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn get(app: Api, address: &str) -> Answer {
    ask(app, Request::get(address).body(Body::empty()).unwrap()).await
}

pub(crate) async fn post(app: Api, address: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(address).header("content-type", "application/json").body(body.into()).unwrap();
    ask(app, request).await
}

/// The binary, in a directory, with nothing of ours in its environment.
pub(crate) fn tierkeep(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
    command.current_dir(directory.path());
    for variable in ["CONFIG", "DATABASE_URL", "REDIS_URL", "LISTEN", "LOG", "TOKEN"] {
        command.env_remove(format!("TIERKEEP_{variable}"));
    }
    command
}

/// Exit code, stdout, stderr.
pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().expect("no signal ended it"), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn run(directory: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    told(&tierkeep(directory).args(arguments).output().unwrap())
}
