//! Collectors that do not answer.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::collector::{Collector, Manner};
use crate::place::{LEARNER, Place};

/// The longest end that service managers wait for.
const LONGEST_END: Duration = Duration::from_secs(10);
/// Requests one after another: if each waited for a collector that hangs, they would take 200 s.
const REQUESTS: usize = 40;
const ALL_REQUESTS: Duration = Duration::from_secs(60);
const COMPLAINT: &str = "traces could not be sent";

fn streaks() -> String {
    format!("/v1/users/{LEARNER}/streaks")
}

#[test]
fn a_collector_that_hangs_slows_no_request_and_no_end() {
    let collector = Collector::start(Manner::Hangs);
    let place = Place::new(&format!("[telemetry]\notlp_endpoint = \"{}\"\n", collector.url()));
    let node = place.serve();
    assert_eq!(node.get(&streaks(), &[]).0, 200);
    // from here on somebody waits for it
    collector.until_connected();

    let began = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(node.get(&streaks(), &[]).0, 200);
    }
    let took = began.elapsed();
    let end = node.end();

    assert!(took < ALL_REQUESTS, "{took:?}");
    assert!(end < LONGEST_END, "{end:?}\n{}", place.log());
}

#[test]
fn a_collector_that_is_away_is_told_of_once_and_without_its_password() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = Place::new(&format!("[telemetry]\notlp_endpoint = \"http://tester:secret@127.0.0.1:{port}\"\n"));
    let node = place.serve();

    // several batches are lost
    let (began, mut answered) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(4) || !place.log().contains(COMPLAINT) {
        assert!(began.elapsed() < PATIENCE, "{}", place.log());
        assert_eq!(node.get(&streaks(), &[]).0, 200);
        answered += 1;
    }
    let (asked_for, end) = (began.elapsed(), node.end());

    assert!(answered > 0 && end < LONGEST_END, "{end:?}");
    let log = place.log();
    let complaints = log.matches(COMPLAINT).count();
    // the first one, and one a minute on a machine that took so long
    assert!((1..=1 + asked_for.as_secs() as usize / 60 + 1).contains(&complaints), "{log}");
    assert!(!log.contains("secret"), "{log}");
}
