//! Everything that can be wrong with a request, and with the server.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Method, Request};
use jiff::Timestamp;
use serde_json::json;
use tierkeep_learning::key::{CourseProgressId, KeyType, SessionId, UserId};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::store::erasure::{Grace, Traces};
use tierkeep_learning::store::export::{BaseDay, QuarantineId, QuarantinedRow, SessionTable};
use tierkeep_learning::store::writes::{Reply, WriteRequest, Writes};
use tierkeep_learning::store::{
    Active, ActiveWithin, Aging, Backlog, ChangeFeed, Changes, Cleanup, Difference, Erased, Erasure, Export,
    GlobalSnapshot, Keep, LearnerActivity, LearnerCourses, LearnerDays, Leases, ListedSession, NewToken, PoolUse,
    Retention, SessionPlace, Settled, Store, StoreError, Token, Tokens, Verification, Verified, Written,
};

use tierkeep_retention::{
    Broken, Order, Outcome, Plan, PlanLimits, RestoreOrder, RestoreReport, Restored, RunEntry, RunId,
};

use crate::fixture::{ADA, BOB, Fixture, NOBODY, app, ask, get, post};

mod upkeep;

#[tokio::test]
async fn every_bad_address_has_its_problem() {
    let fixture = Fixture::new().await;
    let ada = format!("/v1/users/{ADA}");
    let table = [
        ("unknown_learner", format!("/v1/users/{NOBODY}/streaks")),
        ("learner_of_the_other_type", "/v1/users/42/courses/summary".to_owned()),
        ("unknown_learner_sessions", format!("/v1/users/{NOBODY}/sessions")),
        ("unreadable_id", "/v1/users/ada/stats/daily".to_owned()),
        ("id_without_utf8", "/v1/users/%ff/stats/daily".to_owned()),
        ("unreadable_date", format!("{ada}/stats/daily?date=31.01.2026")),
        ("date_without_day", format!("{ada}/stats/daily?date=2026-02-30")),
        ("empty_date", format!("{ada}/stats/daily?date=")),
        ("date_after_tomorrow", format!("{ada}/stats/daily?date=2026-02-02")),
        ("date_at_the_end_of_time", format!("{ada}/stats/daily?date=9999-12-31")),
        ("week_after_tomorrow", format!("{ada}/stats/weekly?week_start=2026-02-09")),
        ("unreadable_month", format!("{ada}/stats/monthly?month=2026-13")),
        ("month_ahead", format!("{ada}/stats/monthly?month=2026-03")),
        ("unreadable_days", format!("{ada}/analytics?days=many")),
        ("days_out_of_range", format!("{ada}/analytics?days=366")),
        ("days_beyond_any_integer", format!("{ada}/analytics?days=99999999999999999999")),
        ("unreadable_language", format!("{ada}/analytics?lang=%3F")),
        ("language_without_messages", format!("{ada}/analytics?lang=fr")),
        ("unreadable_year", format!("{ada}/heatmap?year=MMXXVI")),
        ("year_out_of_range", format!("{ada}/heatmap?year=-1")),
        ("unreadable_limit", "/v1/users?limit=all".to_owned()),
        ("limit_out_of_range", "/v1/users?limit=1001".to_owned()),
        ("foreign_cursor", "/v1/users?after=bm9uc2Vuc2U".to_owned()),
        ("unknown_parameter", format!("{ada}/stats/daily?day=2026-01-31")),
        ("parameter_where_there_is_none", format!("{ada}/streaks?date=2026-01-31")),
        ("doubled_parameter", format!("{ada}/stats/daily?date=2026-01-30&date=2026-01-31")),
        ("unknown_path", "/v2/nothing".to_owned()),
    ];
    for (name, address) in table {
        insta::assert_snapshot!(name, get(fixture.app(), &address).await.shown());
    }
}

#[tokio::test]
async fn tomorrow_is_still_accepted() {
    let fixture = Fixture::new().await;

    let answer = get(fixture.app(), &format!("/v1/users/{ADA}/stats/daily?date=2026-02-01")).await;

    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_cursor_belongs_to_one_list() {
    let fixture = Fixture::new().await;
    let page = get(fixture.app(), &format!("/v1/users/{ADA}/sessions?limit=1")).await.json();
    let cursor = page["next"].as_str().unwrap();

    for address in [format!("/v1/users?after={cursor}"), format!("/v1/users/{BOB}/sessions?after={cursor}")] {
        assert_eq!(get(fixture.app(), &address).await.status, 400, "{address}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let fixture = Fixture::new().await;
    let request = Request::builder().method(Method::DELETE).uri("/v1/stats/global").body(Body::empty()).unwrap();

    let answer = ask(fixture.app(), request).await;

    assert_eq!(answer.header("allow"), "GET,HEAD");
    insta::assert_snapshot!("wrong_method", answer.shown());
}

#[tokio::test]
async fn every_bad_batch_has_its_problem() {
    let fixture = Fixture::new().await;
    let many: Vec<u32> = (0..1001).collect();
    let table = [
        ("batch_no_json", "{\"users\": [".to_owned()),
        ("batch_empty", String::new()),
        ("batch_without_statistic", json!({ "users": [] }).to_string()),
        ("batch_unknown_field", json!({ "users": [], "statistic": "daily", "dates": [] }).to_string()),
        ("batch_unknown_statistic", json!({ "users": [], "statistic": "yearly" }).to_string()),
        ("batch_bad_id", json!({ "users": ["ada"], "statistic": "daily" }).to_string()),
        ("batch_bad_date", json!({ "users": [ADA], "statistic": "daily", "date": "tomorrow" }).to_string()),
        ("batch_global", json!({ "users": [ADA], "statistic": "global" }).to_string()),
        ("batch_date_without_use", json!({ "users": [ADA], "statistic": "streaks", "date": "2026-01-01" }).to_string()),
        ("batch_days_without_use", json!({ "users": [ADA], "statistic": "daily", "days": 7 }).to_string()),
        ("batch_bad_days", json!({ "users": [ADA], "statistic": "analytics", "days": 1 }).to_string()),
        ("batch_too_many", json!({ "users": many, "statistic": "daily" }).to_string()),
        ("batch_too_long", json!({ "users": ["x".repeat(70_000)], "statistic": "daily" }).to_string()),
    ];
    for (name, body) in table {
        insta::assert_snapshot!(name, post(fixture.app(), "/v1/stats/batch", body).await.shown());
    }
    assert_eq!(post(fixture.app(), "/v1/stats/batch", r#"{"users":[],"statistic":"daily"}"#).await.body, b"[]");
}

#[tokio::test]
async fn a_future_date_is_the_problem_of_each_learner() {
    let fixture = Fixture::new().await;
    let request = json!({ "users": [ADA, BOB], "statistic": "monthly", "date": "2026-02-02" });

    let answer = post(fixture.app(), "/v1/stats/batch", request.to_string()).await;

    // February holds tomorrow, so this is no future month
    assert_eq!(answer.json()[0]["month"], "2026-02");
    let request = json!({ "users": [ADA, BOB], "statistic": "daily", "date": "2026-02-02" });
    let answer = post(fixture.app(), "/v1/stats/batch", request.to_string()).await;
    insta::assert_snapshot!("batch_future", answer.shown());
}

#[tokio::test]
async fn a_body_must_be_declared_as_json() {
    let fixture = Fixture::new().await;
    let declared = |media_type: Option<&str>| {
        let mut request = Request::post("/v1/stats/batch");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        request.body(Body::from(r#"{"users":[],"statistic":"daily"}"#)).unwrap()
    };

    insta::assert_snapshot!("media_type", ask(fixture.app(), declared(Some("text/plain"))).await.shown());
    assert_eq!(ask(fixture.app(), declared(None)).await.status, 415);
    assert_eq!(ask(fixture.app(), declared(Some("Application/JSON; charset=utf-8"))).await.status, 200);
}

#[tokio::test]
async fn a_closed_database_is_an_outage() {
    let fixture = Fixture::new().await;
    fixture.store.close().await;

    let answer = get(fixture.app(), &format!("/v1/users/{ADA}/streaks")).await;

    assert_eq!(answer.header("retry-after"), "1");
    insta::assert_snapshot!("unavailable", answer.shown());
    assert_eq!(get(fixture.app(), "/").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let answer = get(app(Arc::new(Faulty), Duration::from_secs(5)), "/v1/users/1/stats/daily").await;

    insta::assert_snapshot!("internal", answer.shown());
}

#[tokio::test]
async fn a_failed_statement_is_not_told() {
    let answer = get(app(Arc::new(Faulty), Duration::from_secs(5)), "/v1/stats/global").await;

    insta::assert_snapshot!("internal", answer.shown());
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let answer = get(app(Arc::new(Faulty), Duration::from_millis(20)), "/v1/users/1/streaks").await;

    insta::assert_snapshot!("timeout", answer.shown());
}

/// A store in which everything goes wrong, in three ways.
#[derive(Debug)]
struct Faulty;

fn statement_failed() -> StoreError {
    let source = tierkeep_db::Error::InvalidSetting {
        setting: "select secret from users",
        given: "x".to_owned(),
        accepted: "y",
    };
    StoreError::Database(source)
}

#[async_trait]
impl ChangeFeed for Faulty {
    async fn changes(&self, _: u64) -> Result<Option<Changes>, StoreError> {
        Err(statement_failed())
    }

    async fn prune_changes(&self, _: Duration, _: u64, _: u64) -> Result<u64, StoreError> {
        Err(statement_failed())
    }
}

impl PoolUse for Faulty {}

#[async_trait]
impl Leases for Faulty {
    async fn take_lease(&self, _: &str, _: &str, _: Duration) -> Result<Option<u64>, StoreError> {
        Err(statement_failed())
    }

    async fn release_lease(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Tokens for Faulty {
    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        Err(statement_failed())
    }

    async fn unrevoked_tokens(&self) -> Result<Vec<Token>, StoreError> {
        Err(statement_failed())
    }

    async fn create_token(&self, _: NewToken) -> Result<Token, StoreError> {
        Err(statement_failed())
    }

    async fn revoke_token(&self, _: &str, _: Timestamp) -> Result<Option<Token>, StoreError> {
        Err(statement_failed())
    }

    async fn note_token_uses(&self, _: Vec<(String, Timestamp)>) -> Result<(), StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Writes for Faulty {
    async fn write(&self, _: WriteRequest) -> Result<Reply, StoreError> {
        Err(statement_failed())
    }

    async fn session(&self, _: SessionId) -> Result<Option<ListedSession>, StoreError> {
        Err(statement_failed())
    }

    async fn forget_idempotency_keys(&self, _: Timestamp) -> Result<u64, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Store for Faulty {
    fn key_type(&self) -> KeyType {
        KeyType::Int
    }

    fn database(&self) -> Option<tierkeep_db::Database> {
        None
    }

    fn looked_at(&self) -> tierkeep_db::Database {
        let nowhere = "postgres://nobody@localhost:1/none".parse().unwrap();
        tierkeep_db::Database::Postgres(tierkeep_db::Pool::new(&nowhere, tierkeep_db::PoolConfig::default()).unwrap())
    }

    fn is_read_only(&self) -> bool {
        true
    }

    async fn learner_days(
        &self,
        _: &[UserId],
        _: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        panic!("this test panics on purpose")
    }

    async fn learner_activity(&self, _: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError> {
        std::future::pending().await
    }

    async fn learner_courses(&self, _: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError> {
        Err(statement_failed())
    }

    async fn global_totals(&self, _: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        Err(statement_failed())
    }

    async fn users(&self, _: Option<UserId>, _: u32) -> Result<Vec<UserRow>, StoreError> {
        Err(statement_failed())
    }

    async fn sessions(
        &self,
        _: UserId,
        _: Option<SessionPlace>,
        _: u32,
    ) -> Result<Option<Vec<ListedSession>>, StoreError> {
        Err(statement_failed())
    }

    async fn write_users(&self, _: Vec<UserRow>) -> Result<Written, StoreError> {
        Err(statement_failed())
    }

    async fn add_missing_users(&self, _: Vec<UserRow>) -> Result<Written, StoreError> {
        Err(statement_failed())
    }

    async fn write_progress(&self, _: Vec<ProgressRow>) -> Result<Written, StoreError> {
        Err(statement_failed())
    }

    async fn write_sessions(&self, _: Vec<SessionRow>) -> Result<Written, StoreError> {
        Err(statement_failed())
    }

    async fn settle(&self) -> Result<Settled, StoreError> {
        Err(statement_failed())
    }

    async fn installation(&self) -> Result<Option<String>, StoreError> {
        Err(statement_failed())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Err(statement_failed())
    }

    async fn close(&self) {}
}

#[async_trait]
impl Verification for Faulty {
    async fn verify(&self, _: &[UserId]) -> Result<Verified, StoreError> {
        Err(statement_failed())
    }

    async fn verify_totals(&self) -> Result<Vec<Difference>, StoreError> {
        Err(statement_failed())
    }

    async fn known_learners(&self, _: Option<UserId>, _: u32) -> Result<Vec<UserId>, StoreError> {
        Err(statement_failed())
    }

    async fn random_learners(&self, _: u32) -> Result<Vec<UserId>, StoreError> {
        Err(statement_failed())
    }

    async fn forget(&self, _: &[UserId]) -> Result<(), StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Erasure for Faulty {
    async fn erase(&self, _: UserId) -> Result<Option<Erased>, StoreError> {
        Err(StoreError::ReadOnly("sqlite://x.db".to_owned()))
    }

    async fn traces(&self, _: UserId) -> Result<Traces, StoreError> {
        Err(statement_failed())
    }

    async fn erased_among(&self, _: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        Err(statement_failed())
    }

    async fn note_departures(&self) -> Result<u64, StoreError> {
        Err(statement_failed())
    }

    async fn erase_departed(&self, _: Grace, _: u32) -> Result<Vec<Erased>, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Export for Faulty {
    async fn export_user(&self, _: UserId) -> Result<Option<UserRow>, StoreError> {
        Err(statement_failed())
    }

    async fn export_progress(
        &self,
        _: UserId,
        _: Option<CourseProgressId>,
        _: u32,
    ) -> Result<Vec<ProgressRow>, StoreError> {
        Err(statement_failed())
    }

    async fn export_sessions(
        &self,
        _: UserId,
        _: SessionTable,
        _: Option<SessionId>,
        _: u32,
    ) -> Result<Vec<ListedSession>, StoreError> {
        Err(statement_failed())
    }

    async fn export_quarantine(
        &self,
        _: UserId,
        _: Option<QuarantineId>,
        _: u32,
    ) -> Result<Vec<QuarantinedRow>, StoreError> {
        Err(statement_failed())
    }

    async fn export_base(&self, _: UserId) -> Result<Vec<BaseDay>, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Retention for Faulty {
    async fn plan_cleanup(self: Arc<Self>, _: &Cleanup, _: PlanLimits, _: bool) -> Result<Plan, StoreError> {
        Err(statement_failed())
    }

    async fn clean_up(self: Arc<Self>, _: &Cleanup, _: &Order) -> Result<Outcome, StoreError> {
        Err(statement_failed())
    }

    async fn plan_restore(self: Arc<Self>, _: &RestoreOrder) -> Result<RestoreReport, StoreError> {
        Err(statement_failed())
    }

    async fn restore(self: Arc<Self>, _: &RestoreOrder) -> Result<Restored, StoreError> {
        Err(statement_failed())
    }

    async fn retention_runs(&self, _: Option<RunId>, _: u32) -> Result<Vec<RunEntry>, StoreError> {
        Err(statement_failed())
    }

    async fn audit_runs(&self) -> Result<Vec<Broken>, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Backlog for Faulty {
    async fn database_now(&self) -> Result<Timestamp, StoreError> {
        Err(statement_failed())
    }

    async fn retention_backlog(&self, _: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Active for Faulty {
    async fn active_learners(
        &self,
        _: ActiveWithin,
        _: Timestamp,
        _: Option<UserId>,
        _: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        Err(statement_failed())
    }

    async fn learner_ids(&self, _: Option<UserId>, _: u32) -> Result<Vec<UserId>, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Aging for Faulty {
    async fn delete_archived(&self, _: &[SessionId], _: Keep) -> Result<u64, StoreError> {
        Err(statement_failed())
    }

    async fn delete_data(&self, _: &[UserId]) -> Result<u64, StoreError> {
        Err(statement_failed())
    }
}
