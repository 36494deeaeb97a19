//! Alerts, recorded rules and the dashboard ask only for what a node tells, and each alert says where help is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use super::{file, yaml};
use crate::fixture::ADA;
use crate::node::Installation;

/// All series of a node that has everything, without their labels, and the names of the labels of each.
pub(super) async fn told() -> BTreeMap<String, BTreeSet<String>> {
    let installation = Installation::new(Dialect::Postgres).await;
    let redis = RedisServer::launch().await.unwrap();
    let node = installation.node(Some(&redis.url())).await;
    node.get(&format!("/v1/users/{ADA}/stats/daily")).await;
    let schedule = node.app().schedule.clone().unwrap();
    schedule.run_now("update-analytics", &tokio_util::sync::CancellationToken::new()).await.unwrap();
    node.get("/metrics").await;
    let page = String::from_utf8(node.get("/metrics").await.body).unwrap();

    let mut told = BTreeMap::new();
    for series in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = series.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        told.entry(name.to_owned()).or_insert_with(BTreeSet::new).extend(labels);
    }
    // there while a task works
    let of_task = told["tierkeep_schedule_running"].clone();
    told.insert("tierkeep_schedule_run_age_seconds".to_owned(), of_task);
    told
}

/// Names in an expression that begin as ours do, those with a colon being recorded ones.
pub(super) fn names(expression: &str) -> Vec<&str> {
    // values of labels are no names
    let outside = expression.split('"').step_by(2);
    let words = outside.flat_map(|text| {
        text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'))
    });
    words.filter(|word| word.starts_with("tierkeep_") || word.starts_with("tierkeep:")).collect()
}

/// The labels that an expression chooses by, each with the name before it.
fn chosen(expression: &str) -> Vec<(&str, &str)> {
    let mut chosen = Vec::new();
    for (at, _) in expression.match_indices('{') {
        let before = &expression[..at];
        let begins = before.rfind(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'));
        let name = &before[begins.map_or(0, |end| end + 1)..];
        let inside = expression[at + 1..].split('}').next().unwrap();
        let labels = inside.split(',').filter_map(|label| label.split(['=', '!', '~']).next());
        chosen.extend(labels.map(|label| (name, label.trim())));
    }
    chosen
}

fn dashboard() -> Value {
    serde_json::from_str(&file("deploy/grafana/dashboard.json")).unwrap()
}

/// Where each expression lies, and the expression.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in ["deploy/prometheus/rules.yml", "deploy/prometheus/alerts.yml"] {
        for (key, text) in yaml(path).texts() {
            if key == "expr" {
                found.push((path.to_owned(), text.to_owned()));
            }
        }
    }
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    found
}

fn recorded() -> BTreeSet<String> {
    let rules = yaml("deploy/prometheus/rules.yml");
    rules.texts().into_iter().filter(|(key, _)| *key == "record").map(|(_, name)| name.to_owned()).collect()
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_told_by_a_node() {
    let (told, recorded) = (told().await, recorded());

    let mut unknown = Vec::new();
    for (place, expression) in expressions() {
        for name in names(&expression) {
            if !told.contains_key(name) && !recorded.contains(name) {
                unknown.push(format!("{place}: {name}"));
            }
        }
        for (name, label) in chosen(&expression) {
            let added = ["job", "instance"].contains(&label);
            if !added && !told.get(name).is_some_and(|labels| labels.contains(label)) {
                unknown.push(format!("{place}: {label} of {name}"));
            }
        }
    }

    assert_eq!(unknown, Vec::<String>::new());
    assert_eq!(
        names("rate(tierkeep_x_total{a=\"b\"}[5m]) / tierkeep:y:sum > up"),
        ["tierkeep_x_total", "tierkeep:y:sum"]
    );
    assert_eq!(chosen("x{a=\"1\",b=~\"2\"} > y_z{c!=\"3\"}"), [("x", "a"), ("x", "b"), ("y_z", "c")]);
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_help_is() {
    let alerts = yaml("deploy/prometheus/alerts.yml");
    let headings = super::page::anchors(&file("docs/production.md"));
    let page = file("docs/production.md");
    let mut seen = BTreeSet::new();

    for rule in alerts.at("groups").list().iter().flat_map(|group| group.at("rules").list()) {
        let name = rule.at("alert").text();
        let wait = rule.at("for").text();
        let (number, unit) = wait.split_at(wait.len() - 1);
        assert!(seen.insert(name.to_owned()), "{name} twice");
        assert!(number.parse::<u32>().is_ok() && ["m", "h"].contains(&unit), "{name}: {wait}");
        assert!(["critical", "warning", "info"].contains(&rule.at("labels.severity").text()), "{name}");
        assert!(rule.at("annotations.summary").text().len() > 10, "{name}");
        let anchor = rule.at("annotations.runbook").text().strip_prefix("docs/production.md#").unwrap();
        assert!(headings.contains(anchor), "{name}: no heading for #{anchor}");
        assert!(page.contains(&format!("`{name}`")), "the page does not name {name}");
    }

    // what is to be told of, above all that something does not happen
    for name in [
        "TierkeepNodeDown",
        "TierkeepTaskNotDone",
        "TierkeepTaskOverdue",
        "TierkeepFeedBehind",
        "TierkeepRetentionBehind",
        "TierkeepHitRatioLow",
        "TierkeepPoolExhausted",
        "TierkeepOutboxGrows",
        "TierkeepTaskFails",
        "TierkeepDatabaseGrows",
    ] {
        assert!(seen.contains(name), "{name}");
    }
}

#[test]
fn brackets_of_expressions_are_closed() {
    for (place, expression) in expressions() {
        let mut open = Vec::new();
        for letter in expression.chars() {
            match letter {
                '(' | '[' | '{' => open.push(letter),
                ')' => assert_eq!(open.pop(), Some('('), "{place}: {expression}"),
                ']' => assert_eq!(open.pop(), Some('['), "{place}: {expression}"),
                '}' => assert_eq!(open.pop(), Some('{'), "{place}: {expression}"),
                _ => {}
            }
        }
        assert!(open.is_empty(), "{place}: {expression}");
    }
}

#[test]
fn the_dashboard_has_its_parts_and_no_panel_twice() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<_> =
        panels.iter().filter(|panel| panel["type"] == "row").map(|panel| panel["title"].as_str().unwrap()).collect();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();

    assert_eq!(rows, ["Traffic", "Tiers", "Freshness", "Schedule", "Retention", "Database"]);
    assert_eq!(ids.len(), panels.len());
    let rules = yaml("deploy/prometheus/prometheus.yml");
    let files = rules.at("rule_files").list().iter().map(|file| file.text().to_owned());
    assert!(files.into_iter().all(|name| !file(&format!("deploy/prometheus/{name}")).is_empty()));
}
