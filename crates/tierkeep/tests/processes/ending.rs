//! The end of a node under load: what was accepted is answered, and what it held passes on at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::PATIENCE;
use crate::http::{get, post};
use crate::node::Node;
use crate::place::{OLD_SESSIONS, Place, SLOWLY, on_both};

on_both!(a_node_ends_in_time_and_loses_nothing);

/// The longest end that service managers wait for.
const LONGEST_END: Duration = Duration::from_secs(10);
/// How long a connection may wait to be accepted on a busy machine: those that are not yet when the end comes are not lost but
/// refused.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(2);
const CLIENTS: i64 = 8;
const DAILY: &str = "/v1/users/1/stats/daily?date=2026-01-30";

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    reads: AtomicU64,
    written: AtomicU64,
    wrong: Mutex<Vec<String>>,
    /// When questions were asked that nobody answered.
    unanswered: Mutex<Vec<Instant>>,
}

/// Reads and writes in turn, on a connection each, until nobody answers.
fn load(clients: &mut JoinSet<()>, node: &Node, seen: &Arc<Seen>, stop: &CancellationToken) {
    for client in 0..CLIENTS {
        let (host, seen, stop) = (node.host().lock().unwrap().clone(), Arc::clone(seen), stop.clone());
        clients.spawn(async move {
            for turn in client.. {
                if stop.is_cancelled() {
                    return;
                }
                let begun = Instant::now();
                let is_write = turn % 2 == 0;
                let status = if is_write {
                    let session = json!({ "user_id": 2, "start_time": "2026-01-30T09:00:00Z", "duration_minutes": 1 });
                    post(&host, "/v1/sessions", &session).await.status
                } else {
                    get(&host, DAILY).await.status
                };
                match (status, is_write) {
                    (201, true) => drop(seen.written.fetch_add(1, Relaxed)),
                    (200, false) => drop(seen.reads.fetch_add(1, Relaxed)),
                    (0, _) => {
                        seen.unanswered.lock().unwrap().push(begun);
                        tokio::task::yield_now().await;
                    }
                    (status, _) => seen.wrong.lock().unwrap().push(format!("{status} to write: {is_write}")),
                }
            }
        });
    }
}

/// Waits until so many of both were answered since.
async fn more(seen: &Seen, many: u64) {
    let counts = || seen.reads.load(Relaxed).min(seen.written.load(Relaxed));
    let (enough, mut looks) = (counts() + many, tokio::time::interval(Duration::from_millis(20)));
    let waiting = async {
        while counts() < enough {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the node answers");
}

async fn finish(clients: &mut JoinSet<()>, stop: &CancellationToken) {
    stop.cancel();
    while let Some(ended) = tokio::time::timeout(PATIENCE, clients.join_next()).await.expect("all end") {
        ended.unwrap();
    }
}

async fn a_node_ends_in_time_and_loses_nothing(dialect: Dialect) {
    let place = Place::new(dialect).await;
    let ending = place.node(SLOWLY).await;
    let run = |what: &str| format!("select {what} from tierkeep_schedule_run where task = 'archive-old-data'");
    let (seen, stop, mut clients) = (Arc::<Seen>::default(), CancellationToken::new(), JoinSet::new());
    load(&mut clients, &ending, &seen, &stop);
    more(&seen, 20).await;
    let host = ending.host().lock().unwrap().clone();
    assert_eq!(post(&host, "/v1/admin/schedule/archive-old-data/run", &Value::Null).await.status, 202);
    place.until("select count(*) from study_sessions_archive", |rows| rows > 0).await;
    let other = place.node("").await;
    more(&seen, 20).await;

    let told = Instant::now();
    ending.signal("TERM");
    let (took, code) = ending.ended().await;
    place.until(&run("max(attempts)"), |attempts| attempts == 2).await;
    let taken = told.elapsed();
    finish(&mut clients, &stop).await;

    println!("ended after {took:?}; {} reads, {} written", seen.reads.load(Relaxed), seen.written.load(Relaxed));
    assert_eq!(code, Some(0), "{}", ending.log());
    assert!(took < LONGEST_END, "{took:?}\n{}", ending.log());
    assert!(seen.wrong.lock().unwrap().is_empty(), "{seen:?}\n{}", ending.log());
    // all that was accepted is answered, and there is nothing of which nobody was told
    let unanswered = std::mem::take(&mut *seen.unanswered.lock().unwrap());
    assert!(unanswered.iter().all(|begun| *begun + ACCEPTED_WITHIN > told), "{}", ending.log());
    let written = i64::try_from(seen.written.load(Relaxed)).unwrap();
    assert_eq!(place.number("select count(*) from study_sessions where user_id = 2").await, written + 1);
    // given back, not found out to be lost
    assert!(taken < took + Duration::from_secs(15), "{taken:?}");
    place.until(&run("count(*) filter (where state = 'done')"), |done| done == 1).await;
    assert_eq!(place.number(&run("max(failures)")).await, 0, "to end is no failure");
    assert_eq!(place.number("select count(*) from study_sessions_archive").await, OLD_SESSIONS);
    // told a moment after it is written down
    other.until_log("an attempt has ended task=archive-old-data").await;
}

/// Reads from one node, and from the other one if that does not answer.
async fn read(nodes: [&Node; 2], first: usize) -> Result<(), String> {
    let mut told = Vec::new();
    for index in [first, 1 - first] {
        let host = nodes[index].host().lock().unwrap().clone();
        match get(&host, DAILY).await.status {
            200 => return Ok(()),
            0 => told.push(format!("node {index} did not answer")),
            status => return Err(format!("node {index} answered {status}")),
        }
    }
    Err(told.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_restarted_in_turn_leave_no_reader_without_an_answer() {
    let place = Place::new(Dialect::Postgres).await;
    let nodes = Arc::new([place.node("").await, place.node("").await]);
    let (stop, mut readers) = (CancellationToken::new(), JoinSet::new());
    let (reads, failed) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<String>>>::default());
    for reader in 0..4 {
        let (nodes, stop, reads, failed) = (Arc::clone(&nodes), stop.clone(), Arc::clone(&reads), Arc::clone(&failed));
        readers.spawn(async move {
            let [one, other] = &*nodes;
            for turn in reader.. {
                if stop.is_cancelled() {
                    return;
                }
                match read([one, other], turn % 2).await {
                    Ok(()) => drop(reads.fetch_add(1, Relaxed)),
                    Err(why) => failed.lock().unwrap().push(why),
                }
            }
        });
    }
    let some_reads = async || {
        let (enough, mut looks) = (reads.load(Relaxed) + 50, tokio::time::interval(Duration::from_millis(20)));
        let waiting = async {
            while reads.load(Relaxed) < enough {
                looks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("somebody answers");
    };

    for turn in 0..4 {
        some_reads().await;
        let node = &nodes[turn % 2];
        node.signal("TERM");
        let (took, code) = node.ended().await;
        assert!(code == Some(0) && took < LONGEST_END, "{took:?} {code:?}\n{}", node.log());
        some_reads().await;
        node.run().await;
        node.until(DAILY, |tier| !tier.is_empty()).await;
    }
    finish(&mut readers, &stop).await;

    let failed = failed.lock().unwrap();
    println!("{} reads", reads.load(Relaxed));
    assert!(failed.is_empty(), "{:?} of {}", failed.iter().take(6).collect::<Vec<_>>(), reads.load(Relaxed));
}
