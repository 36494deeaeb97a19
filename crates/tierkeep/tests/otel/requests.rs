//! What is told of requests.

use std::collections::BTreeMap;

use crate::collector::{Collector, Manner, Told};
use crate::place::{LEARNER, Place};

const PARENT: &str = "b7ad6b7169203331";
const SERVER: i32 = 2;
const ERROR: i32 = 2;

/// A trace by its number, and the header that continues it.
fn trace(number: u128, flags: &str) -> (String, String) {
    let trace = format!("{:032x}", (0xabcd_u128 << 96) | number);
    (trace.clone(), format!("00-{trace}-{PARENT}-{flags}"))
}

fn daily() -> String {
    format!("/v1/users/{LEARNER}/stats/daily?date=2026-01-30")
}

fn configured(collector: &Collector, more: &str) -> String {
    format!("[telemetry]\notlp_endpoint = \"{}\"\nservice_name = \"statistics\"\n{more}", collector.url())
}

fn attributes(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn within<'a>(spans: &'a [Told], trace: &str) -> Vec<&'a Told> {
    spans.iter().filter(|span| span.trace == trace).collect()
}

fn of_daily(status: &str, tier: &str) -> BTreeMap<String, String> {
    attributes(&[
        ("http.request.method", "GET"),
        ("http.route", "/v1/users/{id}/stats/daily"),
        ("http.response.status_code", status),
        ("tierkeep.tier", tier),
    ])
}

#[test]
fn a_request_continues_its_callers_trace_and_its_computation_is_below_it() {
    let collector = Collector::start(Manner::Takes);
    let place = Place::new(&configured(&collector, ""));
    let node = place.serve();
    let (first, computed) = trace(1, "01");
    let (second, remembered) = trace(2, "01");
    let (third, routed) = trace(3, "01");

    let (status, tier) = node.get(&daily(), &[("traceparent", &computed), ("tracestate", "vendor=7")]);
    assert_eq!(status, 200);
    assert_eq!(node.get(&daily(), &[("traceparent", &remembered)]), (200, "l1".to_owned()));
    let zipped = [("traceparent", routed.as_str()), ("accept-encoding", "gzip")];
    assert_eq!(node.get(&daily(), &zipped), (200, "l1".to_owned()));
    node.end();

    let spans = collector.until("four spans", |spans| spans.len() >= 4);
    let of_first = within(&spans, &first);
    let request = of_first.iter().find(|span| span.kind == SERVER).unwrap();
    assert_eq!(request.name, "GET /v1/users/{id}/stats/daily");
    assert_eq!((request.parent.as_str(), request.state.as_str()), (PARENT, "vendor=7"));
    assert_eq!((request.service.as_str(), request.status), ("statistics", 0));
    assert_eq!(request.attributes, of_daily("200", &tier));
    let load = of_first.iter().find(|span| span.name == "load daily").unwrap();
    assert_eq!((&load.parent, of_first.len()), (&request.id, 2));
    assert_eq!((&*load.attributes["tierkeep.statistic"], &*load.attributes["tierkeep.tier"]), ("daily", &*tier));
    assert!((1..=request.took_ns + 1_000_000).contains(&load.took_ns), "{load:?} {request:?}");
    // from memory nothing is computed, whichever way the answer takes
    for trace in [second, third] {
        let [request] = within(&spans, &trace)[..] else { panic!("{spans:#?}") };
        assert_eq!((request.parent.as_str(), &request.attributes), (PARENT, &of_daily("200", "l1")));
    }
    assert!(!collector.was_sent(LEARNER));
    assert!(collector.was_sent("/v1/users/{id}/stats/daily"), "the search would have found nothing");
}

#[test]
fn what_is_no_trace_begins_one_and_who_asks_for_none_gets_none() {
    let collector = Collector::start(Manner::Takes);
    let place = Place::new(&configured(&collector, ""));
    let node = place.serve();
    let (unwanted, off) = trace(4, "00");

    node.get(&daily(), &[("traceparent", &off)]);
    node.get("/livez", &[]);
    node.get(&format!("/nowhere/{LEARNER}"), &[("traceparent", "00-nonsense-01")]);
    node.get(&format!("/v1/users/{LEARNER}1/stats/daily"), &[]);
    node.end();

    let spans = collector.until("two requests", |spans| spans.iter().filter(|span| span.kind == SERVER).count() >= 2);
    let requests: Vec<&Told> = spans.iter().filter(|span| span.kind == SERVER).collect();
    assert!(within(&spans, &unwanted).is_empty(), "{spans:#?}");
    assert_eq!(requests.len(), 2, "{spans:#?}");
    let lost = attributes(&[("http.request.method", "GET"), ("http.response.status_code", "404")]);
    assert_eq!((requests[0].name.as_str(), &requests[0].attributes), ("GET", &lost));
    assert_eq!((requests[0].parent.as_str(), requests[0].trace.len()), ("", 32));
    // that there is no such learner is no fault of the server
    assert_eq!(requests[1].attributes["http.response.status_code"], "404");
    assert_eq!((requests[1].attributes.get("error.type"), requests[1].status), (None, 0));
    assert_ne!(requests[0].trace, requests[1].trace);
    assert!(!collector.was_sent(LEARNER));
}

#[test]
fn a_failure_of_the_server_is_an_error_of_its_span() {
    let collector = Collector::start(Manner::Takes);
    let place = Place::new(&configured(&collector, ""));
    let node = place.serve();
    place.run("drop table tierkeep_month; drop table tierkeep_learner; alter table study_sessions rename to gone");

    let (status, _) = node.get(&format!("/v1/users/{LEARNER}/stats/monthly?month=2026-01"), &[]);
    node.end();

    assert!(status >= 500, "{status}\n{}", place.log());
    let spans = collector.until("a request", |spans| spans.iter().any(|span| span.kind == SERVER));
    let request = spans.iter().find(|span| span.kind == SERVER).unwrap();
    assert_eq!((&request.attributes["error.type"], request.status), (&status.to_string(), ERROR));
    assert!(!collector.was_sent(LEARNER) && !collector.was_sent("study_sessions"));
}

#[test]
fn a_share_of_none_leaves_what_began_elsewhere() {
    let collector = Collector::start(Manner::Takes);
    let place = Place::new(&configured(&collector, "sample = 0\n"));
    let node = place.serve();
    let (wanted, on) = trace(5, "01");

    node.get(&daily(), &[]);
    node.get(&daily(), &[("traceparent", &on)]);
    node.end();

    let spans = collector.until("a span", |spans| !spans.is_empty());
    assert!(spans.iter().all(|span| span.trace == wanted), "{spans:#?}");
}

#[test]
fn without_a_collector_in_the_configuration_nothing_is_sent() {
    let collector = Collector::start(Manner::Takes);
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()), ("OTEL_TRACES_SAMPLER", "always_on".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let place = Place::new("[telemetry]\nsample = 1\n");
    let node = place.serve_knowing(&variables);

    let (_, on) = trace(6, "01");
    assert_eq!(node.get(&daily(), &[("traceparent", &on)]).0, 200);
    node.end();

    let (spans, connections) = collector.told();
    assert!(spans.is_empty() && connections == 0, "{spans:#?}");
}
