//! What is in memory is answered at once, and with the same words as by the long way.

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use tierkeep::http::api;
use tierkeep_db::Dialect;

use crate::fixture::{ADA, Answer, ask};
use crate::node::{Installation, on_both};

on_both!(
    hot_answers_are_the_same_by_both_ways,
    what_is_not_plainly_asked_for_takes_the_long_way,
    an_answer_is_given_at_once_until_it_is_outdated,
);

/// What Ada can be asked for.
fn hot() -> [String; 12] {
    let of = |what: &str| format!("/v1/users/{ADA}/{what}");
    [
        of("stats/daily"),
        of("stats/daily?date=2026-01-30"),
        of("stats/daily?"),
        of("stats/weekly?week_start=2026-01-29"),
        of("stats/monthly"),
        of("analytics"),
        of("analytics?days=7&lang=zh"),
        of("analytics?to=2026-01-30&days=90"),
        of("streaks"),
        of("heatmap"),
        of("courses/summary"),
        "/v1/stats/global".to_owned(),
    ]
}

/// A header that changes no answer, and that only the long way reads.
fn by_the_long_way(request: Builder) -> Builder {
    request.header("accept-encoding", "identity")
}

/// All that two answers to one question share. Each has an id of its own, and the length is written by whoever sends it, if it
/// does not stand there already.
fn shared(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = shown(&answer.headers);
    headers.retain(|(name, _)| !["x-request-id", "content-length"].contains(&name.as_str()));
    headers.sort();
    (answer.status.as_u16(), headers, String::from_utf8(answer.body.clone()).unwrap())
}

fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

async fn hot_answers_are_the_same_by_both_ways(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let service = api(node.shared());
    for address in &hot() {
        node.until_tier(address, "l1").await;
        let tag = node.get(address).await.header("etag").to_owned();
        let headers = [
            ("host", "localhost".to_owned()),
            ("host", "learning.example".to_owned()),
            ("accept-language", "zh, en;q=0.5".to_owned()),
            ("if-none-match", tag.clone()),
            ("if-none-match", format!("\"other\", W/{tag}")),
            ("authorization", "Bearer nobody".to_owned()),
            ("x-request-id", "a-name".to_owned()),
        ];
        for (name, value) in &headers {
            let asked = || Request::get(address).header(*name, value);
            // one language more is another question
            ask(service.clone(), asked().body(Body::empty()).unwrap()).await;
            let is_foreign = value == "learning.example";

            let at_once = service.at_once(&mut asked().body(()).unwrap());
            let short = ask(service.clone(), asked().body(Body::empty()).unwrap()).await;
            let long = ask(service.clone(), by_the_long_way(asked()).body(Body::empty()).unwrap()).await;

            assert_eq!(shared(&short), shared(&long), "{address} {name}: {value}");
            assert_eq!(at_once.is_some(), !is_foreign, "{address} {name}: {value}");
            assert!(short.headers.contains_key("x-request-id"));
        }
    }
}

async fn what_is_not_plainly_asked_for_takes_the_long_way(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let service = api(node.shared());
    for address in &hot() {
        node.until_tier(address, "l1").await;
    }
    let of = |what: &str| Request::get(format!("/v1/users/{ADA}/{what}"));
    let daily = || format!("/v1/users/{ADA}/stats/daily");
    let asked = [
        Request::head(daily()),
        Request::post(daily()),
        of("stats/daily/"),
        of("/stats/daily"),
        of("stats/daily?date=2026-1-30"),
        of("stats/daily?date=2026-01-30&date=2026-01-30"),
        of("stats/daily?day=2026-01-30"),
        of("analytics?days=1"),
        of("analytics?lang=xx"),
        of(""),
        Request::get(format!("/v1/users/%30{}/stats/daily", &ADA[1..])),
        Request::get("/v1/users/7/stats/daily"),
        Request::get("/v1/users/00000000-0000-4000-8000-000000000077/stats/daily"),
        Request::get("/v1/users/x/stats/daily"),
        Request::get("/v1/stats/global?days=1"),
        Request::get(daily()).header("accept-encoding", "gzip"),
        Request::get(daily()).header("content-length", "5"),
        Request::get(daily()).header("transfer-encoding", "chunked"),
        Request::get(daily()).header("x-tierkeep-position", "1"),
        Request::get(daily()).header("x-tierkeep-position", "x"),
    ];
    for request in asked {
        let mut request = request.header("host", "localhost").body(()).unwrap();
        let told = format!("{request:?}");

        assert!(service.at_once(&mut request).is_none(), "{told}");
    }
}

async fn an_answer_is_given_at_once_until_it_is_outdated(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let service = api(node.shared());
    let address = format!("/v1/users/{ADA}/stats/monthly");
    let is_there = || service.at_once(&mut Request::get(&address).body(()).unwrap()).is_some();
    node.until_tier(&address, "l1").await;
    assert!(is_there());

    let forget = Request::post("/v1/admin/cache/invalidate").header("content-type", "application/json");
    let done = node.send(forget.body(Body::from(format!("{{\"users\":[\"{ADA}\"]}}"))).unwrap()).await;

    assert_eq!(done.status, 200, "{}", done.shown());
    assert!(!is_there());
}
