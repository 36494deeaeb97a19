//! `/metrics`: every line can be read, counters only rise, and no series is made by what a client sends.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use tierkeep::config::{Config, Warmup};
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;
use tokio_util::sync::CancellationToken;

use crate::fixture::{ADA, Answer, Fixture, NOBODY, get};
use crate::node::{Installation, Node, on_both};

on_both!(every_line_can_be_read_and_counters_only_rise, no_series_comes_from_a_client, the_schedule_is_told_of);

/// A page: the type of each family, and the value of each series.
#[derive(Debug, Default)]
struct Page {
    families: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

/// The one form in which each line may be.
fn read(answer: &Answer) -> Page {
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let mut page = Page::default();
    let mut helped = BTreeSet::new();
    assert!(text.ends_with("\n# EOF\n"));
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "EOF"] => {}
            ["#", "HELP", name, _, ..] => assert!(helped.insert(name.to_owned()), "{line}"),
            ["#", "TYPE", name, kind @ ("counter" | "gauge" | "histogram" | "info")] => {
                assert!(page.families.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            }
            _ => {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
                assert_eq!(series.contains('{'), series.ends_with("\"}"), "{line}");
                assert!(page.series.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{line}");
            }
        }
    }
    assert_eq!(helped, page.families.keys().cloned().collect(), "each family is explained");
    page
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap()
}

impl Page {
    /// The family of a series, and its type.
    fn family(&self, series: &str) -> (&str, &str) {
        let name = name_of(series);
        let found = self.families.iter().filter(|(family, kind)| {
            let rest = name.strip_prefix(family.as_str());
            matches!(
                (kind.as_str(), rest),
                ("counter", Some("_total"))
                    | ("gauge", Some(""))
                    | ("info", Some("_info"))
                    | ("histogram", Some("_bucket" | "_sum" | "_count"))
            )
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{series}");
        (found[0].0, found[0].1)
    }

    fn labels(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut labels: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for series in self.series.keys() {
            let inside = series.split_once('{').map_or("", |(_, inside)| inside.trim_end_matches('}'));
            for label in inside.split("\",").filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once("=\"").unwrap();
                labels.entry(name.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
        labels
    }
}

/// What a client may ask, reasonable and not.
async fn visit(node: &Node) {
    for address in [
        format!("/v1/users/{ADA}/stats/daily"),
        format!("/v1/users/{ADA}/stats/daily"),
        format!("/v1/users/{NOBODY}/streaks"),
        "/v1/users/not-an-id/streaks".to_owned(),
        "/v1/stats/global".to_owned(),
        "/nowhere/at/all?x=1".to_owned(),
        "/docs/nothing.js".to_owned(),
    ] {
        node.get(&address).await;
    }
    let invented = Request::builder().method(Method::from_bytes(b"BREW").unwrap()).uri("/livez");
    node.send(invented.body(Body::empty()).unwrap()).await;
}

/// A node that restores what was hot before it.
async fn learning(installation: &Installation, redis: Option<&str>) -> Node {
    let warmup = Warmup { concurrency: 0, ..Config::default().warmup };
    let node = installation.warming_node(redis, warmup).await;
    node.app().tiers.begin_restore();
    node.app().tiers.restored().await.unwrap();
    node
}

async fn every_line_can_be_read_and_counters_only_rise(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let node = learning(&installation, Some(&redis.url())).await;
    visit(&node).await;
    let before = read(&node.get("/metrics").await);

    visit(&node).await;
    let position = node.metric("tierkeep_feed_position").await;
    installation.run("update study_sessions set duration_minutes = duration_minutes + 1").await;
    node.until_metric("tierkeep_feed_position", |now| now > position).await;
    let after = read(&node.get("/metrics").await);

    for (series, value) in &before.series {
        let (family, kind) = before.family(series);
        assert!(family.starts_with("tierkeep_") && !family.ends_with("_total"), "{series}");
        assert!(
            family.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()),
            "{series}"
        );
        assert!(!["_ms", "_milliseconds", "_micros", "_kib", "_percent"].iter().any(|unit| family.ends_with(unit)));
        assert!(kind != "histogram" || family.ends_with("_seconds"), "{series}: all that is distributed is time");
        if kind != "gauge" {
            assert!(after.series[series] >= *value, "{series} fell");
        }
    }
    let risen = |series: &str| after.series[series] - before.series.get(series).copied().unwrap_or_default();
    assert_eq!(risen("tierkeep_http_requests_total{method=\"GET\",route=\"/v1/stats/global\",status=\"2xx\"}"), 1.0);
    assert_eq!(risen("tierkeep_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"4xx\"}"), 1.0);
    assert_eq!(risen("tierkeep_http_requests_total{method=\"other\",route=\"/livez\",status=\"4xx\"}"), 1.0);
    assert_eq!(risen("tierkeep_cache_hits_total{statistic=\"daily\",tier=\"l1\"}"), 2.0);
    assert_eq!(before.series["tierkeep_cache_loads_total{statistic=\"daily\"}"], 1.0);
    assert!(risen("tierkeep_feed_events_total") >= 1.0);
    assert!(risen("tierkeep_feed_polls_total{outcome=\"answered\"}") >= 1.0);
    let answers = |tier: &str| format!("tierkeep_answer_duration_seconds_count{{statistic=\"daily\",tier=\"{tier}\"}}");
    assert_eq!((risen(&answers("l1")), risen(&answers("l3")), before.series[&answers("l3")]), (2.0, 0.0, 1.0));
    // 1 where the first look at them lies long enough before the second
    let ratio = after.series["tierkeep_cache_hit_ratio{statistic=\"daily\"}"];
    assert!(ratio == 0.75 || ratio == 1.0, "{ratio}");
    let count = |page: &Page| page.series["tierkeep_feed_poll_duration_seconds_count"];
    assert_eq!(count(&after), after.series["tierkeep_feed_poll_duration_seconds_bucket{le=\"+Inf\"}"]);
    assert!(count(&after) > count(&before));
    for (series, value) in [
        ("tierkeep_feed_state{state=\"current\"}", 1.0),
        ("tierkeep_feed_state{state=\"untold\"}", 0.0),
        ("tierkeep_redis_state{state=\"connected\"}", 1.0),
        ("tierkeep_cache_promise_info{promise=\"local\"}", 1.0),
        ("tierkeep_upkeep_lease_held", 0.0),
    ] {
        assert_eq!(after.series[series], value, "{series}");
    }
    assert!(after.series["tierkeep_feed_lag_seconds"] < 10.0);
    assert_eq!(after.series.contains_key("tierkeep_pool_max_connections"), dialect == Dialect::Postgres);
}

async fn no_series_comes_from_a_client(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    visit(&node).await;
    node.get("/metrics").await;

    let page = read(&node.get("/metrics").await);

    let labels = page.labels();
    let names: Vec<&str> = labels.keys().map(String::as_str).collect();
    let mut expected = vec![
        "ended",
        "le",
        "method",
        "outcome",
        "promise",
        "queue",
        "reason",
        "route",
        "rule",
        "state",
        "statistic",
        "status",
        "table",
        "task",
        "tier",
        "version",
    ];
    if dialect == Dialect::Sqlite {
        // why connections were closed, of which there are none
        expected.retain(|name| *name != "reason");
    }
    assert_eq!(names, expected);
    let values = |name: &str| labels[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(values("method"), ["GET", "other"]);
    assert_eq!(values("status"), ["2xx", "4xx"]);
    assert_eq!(values("tier"), ["l1", "l2", "l3"]);
    assert_eq!(values("queue"), ["analytics", "changes", "days", "learners"]);
    let tasks = ["archive-old-data", "cleanup-expired-cache", "precompute-active-cache", "update-analytics"];
    assert_eq!(values("task"), tasks);
    let statistics = ["analytics", "courses", "daily", "global", "heatmap", "monthly", "streaks", "weekly"];
    assert_eq!(values("statistic"), statistics);
    let routes = [
        "/docs/{*file}",
        "/livez",
        "/metrics",
        "/v1/stats/global",
        "/v1/users/{id}/stats/daily",
        "/v1/users/{id}/streaks",
        "unmatched",
    ];
    assert_eq!(values("route"), routes);
    for (name, values) in labels.iter().filter(|(name, _)| !["le", "version"].contains(&name.as_str())) {
        // what the program itself calls something: no id, no address, no number
        let is_word =
            |value: &str| !value.is_empty() && value.len() <= 40 && !value.contains(|c: char| c.is_ascii_digit());
        let is_own =
            |value: &str| is_word(value) || ["l1", "l2", "l3"].contains(&value) || name == "route" || name == "status";
        assert!(values.iter().all(|value| is_own(value)), "{name}: {values:?}");
    }
    let series = page.series.len();
    for n in 0..50 {
        node.get(&format!("/v1/users/00000000-0000-4000-8000-{n:012}/streaks?x={n}")).await;
        node.get(&format!("/invented/{n}")).await;
    }
    assert_eq!(read(&node.get("/metrics").await).series.len(), series);
}

/// A task that was never run has no age, one that ran has one, and another node tells of it as well.
async fn the_schedule_is_told_of(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (node, other) = (installation.node(None).await, installation.node(None).await);
    let task = "{task=\"update-analytics\"}";
    let of = |name: &str| format!("tierkeep_schedule_{name}{task}");
    let idle = read(&node.get("/metrics").await);
    let scheduler = node.app().schedule.clone().unwrap();

    scheduler.run_now("update-analytics", &CancellationToken::new()).await.unwrap();
    let after = read(&other.get("/metrics").await);
    let own = read(&node.get("/metrics").await);

    assert!(!idle.series.contains_key(&of("success_age_seconds")));
    assert_eq!(
        (idle.series[&of("enabled")], idle.series[&of("running")], idle.series[&of("failures")]),
        (1.0, 0.0, 0.0)
    );
    assert!((0.0..=86_400.0).contains(&idle.series[&of("due_seconds")]), "{}", idle.series[&of("due_seconds")]);
    assert!((0.0..60.0).contains(&after.series[&of("success_age_seconds")]));
    assert!((0.0..60.0).contains(&after.series[&of("last_duration_seconds")]));
    let done = "tierkeep_schedule_attempts_total{task=\"update-analytics\",ended=\"done\"}";
    assert_eq!((own.series[done], after.series[done]), (1.0, 0.0));
    assert!(own.series[&of("attempt_seconds_total")] > 0.0);
    assert!(own.series.contains_key("tierkeep_queue_length{queue=\"changes\"}"));
    let tables: Vec<_> = own.series.keys().filter(|series| series.starts_with("tierkeep_table_bytes{")).collect();
    assert!(!tables.is_empty());
    assert!(tables.iter().all(|series| own.series[*series] >= 0.0));
}

#[tokio::test]
async fn a_node_that_keeps_nothing_has_metrics_too() {
    let fixture = Fixture::new().await;

    let page = read(&get(fixture.app(), "/metrics").await);

    let version = format!("tierkeep_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(page.series[&version], 1.0);
    assert!(!page.series.keys().any(|series| series.starts_with("tierkeep_feed")));
}

/// Each metric has its line in the README's section, and that has no others.
#[tokio::test]
async fn the_readme_names_every_metric() {
    let installation = Installation::new(Dialect::Postgres).await;
    let before = learning(&installation, None).await;
    visit(&before).await;
    before.app().tiers.close().await;
    let node = learning(&installation, None).await;
    visit(&node).await;
    node.get("/metrics").await;
    let page = read(&node.get("/metrics").await);

    let readme = include_str!("../../../../README.md");
    let section = readme.split("\n### Metrics\n").nth(1).and_then(|rest| rest.split("\n#").next()).unwrap();
    let named: BTreeSet<&str> = section
        .split('`')
        .filter(|word| word.starts_with("tierkeep_") && !word.contains(char::is_whitespace))
        .collect();

    let families = page.families.iter().map(|(family, kind)| match kind.as_str() {
        "counter" => format!("{family}_total"),
        "info" => format!("{family}_info"),
        _ => family.clone(),
    });
    assert_eq!(families.collect::<BTreeSet<_>>(), named.into_iter().map(str::to_owned).collect());
}
