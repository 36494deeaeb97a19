//! Each rule on a plan on which it fires, and on a twin on which it must not.

use std::collections::BTreeSet;

use serde_json::Value;
use tierkeep_db::plan::{Plan, PlanError};

/// Name of the rule, and its two plans.
const RULES: [(&str, &str); 16] = [
    ("filter-waste", include_str!("plans/filter-waste.json")),
    ("sequential-scan", include_str!("plans/sequential-scan.json")),
    ("or-keyset", include_str!("plans/or-keyset.json")),
    ("misestimate", include_str!("plans/misestimate.json")),
    ("nested-loop", include_str!("plans/nested-loop.json")),
    ("join-filter-waste", include_str!("plans/join-filter-waste.json")),
    ("sort-spill", include_str!("plans/sort-spill.json")),
    ("hash-spill", include_str!("plans/hash-spill.json")),
    ("heap-fetches", include_str!("plans/heap-fetches.json")),
    ("lossy-bitmap", include_str!("plans/lossy-bitmap.json")),
    ("jit-share", include_str!("plans/jit-share.json")),
    ("planning-share", include_str!("plans/planning-share.json")),
    ("trigger-time", include_str!("plans/trigger-time.json")),
    ("workers-missing", include_str!("plans/workers-missing.json")),
    ("cold-cache", include_str!("plans/cold-cache.json")),
    ("deep-offset", include_str!("plans/deep-offset.json")),
];

fn plan(file: &str, which: &str) -> Plan {
    let value: Value = serde_json::from_str(file).unwrap();
    Plan::from_json(&value[which].to_string()).unwrap()
}

fn fired(plan: &Plan) -> Vec<&'static str> {
    plan.findings().iter().map(|finding| finding.rule.code()).collect()
}

#[test]
fn each_rule_fires_on_its_plan_and_says_what_it_saw() {
    for (rule, file) in RULES {
        let plan = plan(file, "fires");
        let findings = plan.findings();
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();

        assert!(fired(&plan).contains(&rule), "{rule} is silent");
        insta::assert_snapshot!(rule, format!("{plan}\n{}", shown.join("\n")));
    }
}

#[test]
fn each_rule_is_silent_on_the_twin() {
    for (rule, file) in RULES {
        assert!(!fired(&plan(file, "silent")).contains(&rule), "{rule}");
    }
}

#[test]
fn findings_are_the_same_each_time_and_cite_their_node() {
    for (_, file) in RULES {
        let plan = plan(file, "fires");
        let paths: BTreeSet<Vec<usize>> = plan.nodes().into_iter().map(|(path, _)| path).collect();

        assert_eq!(plan.findings(), plan.findings());
        assert!(plan.findings().iter().all(|finding| paths.contains(&finding.path) && !finding.numbers.is_empty()));
    }
}

#[test]
fn own_times_add_up_to_the_whole() {
    for (rule, file) in RULES {
        let plan = plan(file, "fires");
        let own: f64 = plan.nodes().iter().filter_map(|(_, node)| node.measured).map(|m| m.self_ms).sum();
        let whole = plan.root.measured.unwrap().ms;

        assert!(own <= whole * 1.001, "{rule}: {own} of {whole}");
    }
}

#[test]
fn time_of_a_with_query_is_counted_once_and_parallel_time_as_a_clock_sees_it() {
    let plan = Plan::from_json(include_str!("plans/time.json")).unwrap();
    let own = |kind: &str| {
        let nodes = plan.nodes();
        let (_, node) = nodes.iter().find(|(_, node)| node.kind == kind).unwrap();
        node.measured.unwrap().self_ms.round()
    };

    // The scan of 60 ms in each of three processes feeds the `with` query, which two scans read.
    assert_eq!(own("Seq Scan"), 60.0);
    assert_eq!(own("Gather"), 10.0);
    assert_eq!(own("CTE Scan"), 5.0);
    assert_eq!(own("Result"), 20.0, "the subquery that is computed once");
    assert_eq!(own("Index Scan"), 7.0, "who waits for it has that much less");
    let total: f64 = plan.nodes().iter().filter_map(|(_, node)| node.measured).map(|m| m.self_ms).sum();
    assert!((total - plan.root.measured.unwrap().ms).abs() < 0.5, "{total}");
    assert_eq!(plan.hottest()[0].1.kind, "Seq Scan");
}

#[test]
fn what_is_no_plan_is_refused_with_a_reason() {
    for (text, reason) in [
        ("", "EOF"),
        ("[]", "one plan"),
        ("[{}]", "\"Plan\""),
        ("[{\"Plan\": {}}]", "\"Node Type\""),
        ("[{\"Plan\": {\"Node Type\": \"Limit\", \"Plans\": [7]}}]", "no object"),
    ] {
        let error = Plan::from_json(text).unwrap_err();
        assert!(matches!(&error, PlanError::Malformed { reason: said } if said.contains(reason)), "{text}: {error}");
    }
    let deep = "{\"Plan\": {\"Node Type\": \"A\", \"Plans\": [".repeat(5000);
    assert!(Plan::from_json(&deep).is_err());
}
