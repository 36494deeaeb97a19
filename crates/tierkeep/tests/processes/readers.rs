//! Readers who ask all the time, of every node.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::{History, Read};
use crate::http::get;

/// Learners whose sessions are written.
pub(crate) const WRITTEN: [i64; 4] = [1, 2, 3, 4];
/// A learner of whom nothing is written.
pub(crate) const QUIET: i64 = 5;
const READ: [i64; 5] = [1, 2, 3, 4, QUIET];

/// What is asked of a learner: each contains the minutes of the one session.
pub(crate) fn addresses(user: i64) -> [String; 3] {
    ["daily?date=2026-01-30", "weekly?week_start=2026-01-26", "monthly?month=2026-01"]
        .map(|of| format!("/v1/users/{user}/stats/{of}"))
}

/// Questions of a node that may wait at one time; further ones are not asked.
const IN_FLIGHT: usize = 1000;

/// Asks a node until `stop`, every few milliseconds, whether or not what was asked before is answered.
pub(crate) fn start(
    readers: &mut JoinSet<()>,
    node: usize,
    host: Arc<Mutex<String>>,
    history: &History,
    stop: &CancellationToken,
) {
    let (history, stop) = (history.clone(), stop.clone());
    readers.spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(6));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut asked, mut turn) = (JoinSet::new(), 0_usize);
        while !stop.is_cancelled() {
            ticks.tick().await;
            while asked.try_join_next().is_some() {}
            if asked.len() >= IN_FLIGHT {
                continue;
            }
            turn += 1;
            // the same is asked several times, so that it is kept
            let user = READ[(turn / 6) % READ.len()];
            let address = addresses(user)[(turn / 24) % 3].clone();
            let (host, history) = (Arc::clone(&host), history.clone());
            asked.spawn(async move {
                ask(node, user, address, &host, &history).await;
            });
        }
        while let Some(ended) = asked.join_next().await {
            ended.unwrap();
        }
    });
}

/// Asks once, and says what came.
pub(crate) async fn ask(
    node: usize,
    user: i64,
    address: String,
    host: &Mutex<String>,
    history: &History,
) -> Option<u64> {
    let host = host.lock().unwrap().clone();
    let begun = Instant::now();
    let answer = get(&host, &address).await;
    let number = answer.body["total_duration"].as_u64();
    let returned = Instant::now();
    let (status, tier) = (answer.status, answer.tier);
    history.read(Read { node, user, address, begun, returned, status, tier, number, phase: "" });
    number
}

/// Waits until readers have seen a good deal of what is going on.
pub(crate) async fn some_reads(history: &History) {
    let enough = history.reads() + 150;
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while history.reads() < enough {
        looks.tick().await;
    }
}
