//! Every address, through the router.

use std::io::Read;

use axum::body::Body;
use axum::http::Request;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::fixture::{ADA, BOB, Fixture, NOBODY, ask, get, post};

async fn snapshot(name: &str, address: &str) {
    let fixture = Fixture::new().await;
    insta::assert_snapshot!(name, get(fixture.app(), address).await.shown());
}

#[tokio::test]
async fn daily() {
    snapshot("daily", &format!("/v1/users/{ADA}/stats/daily?date=2026-01-30")).await;
}

#[tokio::test]
async fn the_default_day_is_the_learners_today() {
    let fixture = Fixture::new().await;

    let today = get(fixture.app(), &format!("/v1/users/{ADA}/stats/daily")).await.json();

    assert_eq!((&today["date"], &today["active_sessions"]), (&json!("2026-01-31"), &json!(1)));
}

#[tokio::test]
async fn weekly() {
    snapshot("weekly", &format!("/v1/users/{ADA}/stats/weekly?week_start=2026-01-29")).await;
}

#[tokio::test]
async fn monthly() {
    snapshot("monthly", &format!("/v1/users/{ADA}/stats/monthly?month=2026-01")).await;
}

#[tokio::test]
async fn analytics() {
    snapshot("analytics", &format!("/v1/users/{ADA}/analytics?to=2026-01-31&days=14&lang=zh")).await;
}

#[tokio::test]
async fn streaks() {
    snapshot("streaks", &format!("/v1/users/{ADA}/streaks")).await;
}

#[tokio::test]
async fn heatmap() {
    let fixture = Fixture::new().await;

    let answer = get(fixture.app(), &format!("/v1/users/{ADA}/heatmap?year=2026")).await.json();

    assert_eq!(answer["year"], 2026);
    let days = answer["days"].as_array().unwrap();
    let friday = days.iter().find(|day| day["date"] == "2026-01-30").unwrap();
    assert_eq!((&friday["duration"], &friday["sessions"]), (&json!(95), &json!(2)));
}

#[tokio::test]
async fn courses() {
    snapshot("courses", &format!("/v1/users/{ADA}/courses/summary")).await;
}

#[tokio::test]
async fn global() {
    snapshot("global", "/v1/stats/global").await;
}

#[tokio::test]
async fn a_learner_without_sessions_has_zeros_and_nulls() {
    snapshot("daily_without_sessions", &format!("/v1/users/{BOB}/stats/daily")).await;
    snapshot("analytics_without_sessions", &format!("/v1/users/{BOB}/analytics")).await;
    snapshot("streaks_without_sessions", &format!("/v1/users/{BOB}/streaks")).await;
    snapshot("courses_without_rows", &format!("/v1/users/{BOB}/courses/summary")).await;
}

#[tokio::test]
async fn a_batch_answers_every_learner_in_order() {
    let fixture = Fixture::new().await;
    let request = json!({ "users": [BOB, NOBODY, 7, ADA, BOB], "statistic": "daily", "date": "2026-01-30" });

    let answer = post(fixture.app(), "/v1/stats/batch", request.to_string()).await;

    insta::assert_snapshot!("batch", answer.shown());
}

#[tokio::test]
async fn a_batch_equals_single_answers_for_every_statistic() {
    let fixture = Fixture::new().await;
    let singles = [
        ("daily", "stats/daily?date=2026-01-30"),
        ("weekly", "stats/weekly?week_start=2026-01-30"),
        ("monthly", "stats/monthly?month=2026-01"),
        ("analytics", "analytics?to=2026-01-30"),
        ("heatmap", "heatmap?year=2026"),
        ("streaks", "streaks"),
        ("courses", "courses/summary"),
    ];
    for (statistic, address) in singles {
        let date = (!matches!(statistic, "streaks" | "courses")).then_some("2026-01-30");
        let request = json!({ "users": [ADA], "statistic": statistic, "date": date });

        let mut batch = post(fixture.app(), "/v1/stats/batch", request.to_string()).await.json();
        let mut single = get(fixture.app(), &format!("/v1/users/{ADA}/{address}")).await.json();

        batch[0]["as_of"] = Value::Null;
        single["as_of"] = Value::Null;
        assert_eq!(batch, json!([single]), "{statistic}");
    }
}

#[tokio::test]
async fn learners_are_listed_page_by_page_without_their_address() {
    let fixture = Fixture::new().await;

    let first = get(fixture.app(), "/v1/users?limit=1").await;
    let next = first.json()["next"].as_str().expect("there is a second page").to_owned();
    let second = get(fixture.app(), &format!("/v1/users?limit=1&after={next}")).await;

    assert_eq!(
        first.json()["items"],
        json!([{ "id": ADA, "username": "ada", "is_active": true, "time_zone": "Europe/Paris" }])
    );
    assert_eq!(
        second.json(),
        json!({ "items": [{ "id": BOB, "username": "bob", "is_active": true, "time_zone": null }], "next": null })
    );
    assert!(!String::from_utf8_lossy(&first.body).contains("secret.example"));
}

#[tokio::test]
async fn sessions_are_listed_newest_first() {
    let fixture = Fixture::new().await;
    let mut starts = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(fixture.app(), &format!("/v1/users/{ADA}/sessions?limit=3{after}")).await.json();
        starts.extend(page["items"].as_array().unwrap().iter().map(|item| item["start_time"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }

    assert_eq!(starts.len(), 7);
    assert!(starts.iter().zip(&starts[1..]).all(|(one, two)| one.as_str() > two.as_str()));
    snapshot("sessions", &format!("/v1/users/{ADA}/sessions?limit=2")).await;
}

#[tokio::test]
async fn the_language_is_negotiated() {
    let fixture = Fixture::new().await;
    let table = [
        ("", "fr, zh;q=0.5", "zh"),
        ("", "fr", "en"),
        ("?lang=en", "zh", "en"),
        ("?lang=zh-Hans", "en", "zh"),
        ("", "en;q=0.2, zh;q=0.3", "zh"),
    ];
    for (query, accepted, expected) in table {
        let request = Request::get(format!("/v1/users/{ADA}/analytics{query}"))
            .header("accept-language", accepted)
            .body(Body::empty())
            .unwrap();

        let answer = ask(fixture.app(), request).await;

        assert_eq!(answer.header("content-language"), expected, "{query} {accepted}");
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert!(vary.iter().any(|value| *value == "accept-language"), "{vary:?}");
    }
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let fixture = Fixture::new().await;

    insta::assert_snapshot!("livez", get(fixture.app(), "/livez").await.shown());
    insta::assert_snapshot!("readyz", get(fixture.app(), "/readyz").await.shown());
    fixture.store.close().await;
    insta::assert_snapshot!("livez", get(fixture.app(), "/livez").await.shown());
    insta::assert_snapshot!("readyz_closed", get(fixture.app(), "/readyz").await.shown());
}

#[tokio::test]
async fn answers_are_compressed_on_request() {
    let fixture = Fixture::new().await;
    let address = format!("/v1/users/{ADA}/heatmap?year=2026");
    let request = Request::get(&address).header("accept-encoding", "gzip").body(Body::empty()).unwrap();

    let packed = ask(fixture.app(), request).await;
    let plain = get(fixture.app(), &address).await;

    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(&*packed.body).read_to_string(&mut text).unwrap();
    let unpacked: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(unpacked["days"], plain.json()["days"]);
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_lists_every_route() {
    let fixture = Fixture::new().await;

    let document = get(fixture.app(), "/openapi.json").await.json();

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    insta::assert_snapshot!("paths", format!("{paths:#?}"));
    // every reference leads somewhere
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_documented_fields_are_those_that_are_served() {
    let fixture = Fixture::new().await;
    let document = get(fixture.app(), "/openapi.json").await.json();
    for (path, pattern) in [
        (format!("/v1/users/{ADA}/stats/daily"), "/v1/users/{id}/stats/daily"),
        (format!("/v1/users/{ADA}/stats/weekly"), "/v1/users/{id}/stats/weekly"),
        (format!("/v1/users/{ADA}/stats/monthly"), "/v1/users/{id}/stats/monthly"),
        (format!("/v1/users/{ADA}/analytics"), "/v1/users/{id}/analytics"),
        (format!("/v1/users/{ADA}/streaks"), "/v1/users/{id}/streaks"),
        (format!("/v1/users/{ADA}/heatmap"), "/v1/users/{id}/heatmap"),
        (format!("/v1/users/{ADA}/courses/summary"), "/v1/users/{id}/courses/summary"),
        (format!("/v1/users/{ADA}/sessions"), "/v1/users/{id}/sessions"),
        ("/v1/stats/global".to_owned(), "/v1/stats/global"),
        ("/v1/users".to_owned(), "/v1/users"),
        ("/readyz".to_owned(), "/readyz"),
    ] {
        let schema = &document["paths"][pattern]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let mut documented = fields(&document, schema);
        let served = get(fixture.app(), &path).await.json();
        let served: Vec<String> = served.as_object().unwrap().keys().cloned().collect();

        // fields that are there only at times are documented as well
        documented.retain(|(name, required)| *required || served.contains(name));
        let mut documented: Vec<String> = documented.into_iter().map(|(name, _)| name).collect();
        let mut served = served;
        documented.sort();
        served.sort();
        assert_eq!(documented, served, "{pattern}");
    }
}

/// The fields of a schema, and whether each is required.
fn fields(document: &Value, schema: &Value) -> Vec<(String, bool)> {
    if let Some(reference) = schema["$ref"].as_str() {
        return fields(document, document.pointer(&reference[1..]).unwrap());
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().flat_map(|part| fields(document, part)).collect();
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    properties.keys().map(|name| (name.clone(), required.iter().any(|known| known == name))).collect()
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    let fixture = Fixture::new().await;

    let index = get(fixture.app(), "/").await;
    let docs = get(fixture.app(), "/docs/").await;
    let script = get(fixture.app(), "/docs/swagger-initializer.js").await;
    let bundle = get(fixture.app(), "/docs/swagger-ui-bundle.js").await;

    let text = String::from_utf8(index.body.clone()).unwrap();
    assert!(text.contains(&format!("/v1/users/{ADA}/stats/daily")) && text.contains("href=\"/docs/\""));
    assert!(index.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(docs.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
    for page in [&index, &docs, &script] {
        let text = String::from_utf8_lossy(&page.body);
        assert!(page.status.is_success() && !text.contains("http://") && !text.contains("https://"), "{text}");
    }
    assert!(String::from_utf8_lossy(&script.body).contains("\"/openapi.json\""));
    assert!(bundle.status.is_success() && bundle.body.len() > 100_000);
    assert_eq!(get(fixture.app(), "/docs").await.header("location"), "/docs/");
}

#[tokio::test]
async fn names_of_learners_are_escaped() {
    let fixture = Fixture::new().await;
    let mut rows = fixture.store.users(None, 1).await.unwrap();
    rows[0].username = "<script>alert(1)</script>".to_owned();
    fixture.store.write_users(rows).await.unwrap();

    let page = get(fixture.app(), "/").await;

    assert!(!String::from_utf8_lossy(&page.body).contains("<script>"));
}
