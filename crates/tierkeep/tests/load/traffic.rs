//! What is asked: nine reads of ten, and a write with the reads that must see it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::http::{Answer, Client};
use crate::learners::{ADDED_A_DAY, ADDED_TO, CHANGED, DAY, LEARNERS};

/// Learners of a batch.
const BATCH: u64 = 20;

/// Everything that is asked, of one or two nodes in turn.
#[derive(Debug)]
pub(crate) struct Traffic {
    nodes: Vec<Arc<Client>>,
    /// How often each of the first learners was written, held while that is written and read.
    written: Vec<tokio::sync::Mutex<u64>>,
    answers: Mutex<BTreeMap<String, u64>>,
    /// Reads without a position on the other node that did not see a write: what positions are for.
    old: AtomicU64,
}

impl Traffic {
    pub(crate) fn new(nodes: Vec<Arc<Client>>) -> Self {
        let written = (0..CHANGED + ADDED_TO).map(|_| tokio::sync::Mutex::default()).collect();
        Self { nodes, written, answers: Mutex::default(), old: AtomicU64::new(0) }
    }

    /// How many answers of each kind there were: by tier, and writes.
    pub(crate) fn answers(&self) -> BTreeMap<String, u64> {
        self.answers.lock().unwrap().clone()
    }

    pub(crate) fn old(&self) -> u64 {
        self.old.load(Ordering::Relaxed)
    }

    /// The request of a number; what it is follows from the number alone.
    pub(crate) async fn ask(&self, number: u64) -> Result<(), String> {
        // the last step of SplitMix64
        let mut chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        chance = (chance ^ (chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        chance = (chance ^ (chance >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chance ^= chance >> 31;
        let nodes = self.nodes.len() as u64;
        let (here, there) = (self.node(number % nodes), self.node((number + 1) % nodes));
        if number.is_multiple_of(10) {
            let writes = number / 10;
            return match writes % 2 {
                0 => self.change(writes / 2 % CHANGED, here, there).await,
                _ => self.add(writes / 2 % ADDED_TO, here, there).await,
            };
        }
        // few learners are asked for most of the time
        let place = (chance >> 32) as f64 / f64::from(u32::MAX);
        let learner = 1 + ((place * place * LEARNERS as f64) as u64).min(LEARNERS - 1);
        let path = match chance % 20 {
            0..9 => format!("/v1/users/{learner}/stats/daily?date={DAY}"),
            9..13 => format!("/v1/users/{learner}/stats/weekly"),
            13..16 => format!("/v1/users/{learner}/analytics"),
            16..18 => format!("/v1/users/{learner}/streaks"),
            18 => "/v1/stats/global".to_owned(),
            _ => return self.batch(learner, here).await,
        };
        self.seen(here.get(&path, None).await?, 200).map(|_| ())
    }

    fn node(&self, index: u64) -> &Client {
        &self.nodes[usize::try_from(index).unwrap()]
    }

    async fn batch(&self, first: u64, node: &Client) -> Result<(), String> {
        let users: Vec<u64> = (0..BATCH).map(|place| 1 + (first + place) % LEARNERS).collect();
        let asked = json!({ "users": users, "statistic": "weekly" });
        self.seen(node.with_body("POST", "/v1/stats/batch", &asked).await?, 200).map(|_| ())
    }

    /// Changes a session, and reads that on the other node.
    async fn change(&self, place: u64, here: &Client, there: &Client) -> Result<(), String> {
        let learner = 1 + place;
        let mut written = self.written[usize::try_from(place).unwrap()].lock().await;
        *written += 1;
        let change = json!({ "duration_minutes": *written });
        let answer = here.with_body("PATCH", &format!("/v1/sessions/{learner}"), &change).await?;
        let Some(position) = self.written(answer, 200)? else { return Ok(()) };
        let path = format!("/v1/users/{learner}/stats/daily?date={DAY}");
        self.own_write(&path, "total_duration", *written, &position, there).await
    }

    /// Makes a session, and reads that on the other node.
    async fn add(&self, place: u64, here: &Client, there: &Client) -> Result<(), String> {
        let learner = 1 + CHANGED + place;
        let mut written = self.written[usize::try_from(CHANGED + place).unwrap()].lock().await;
        let (days, of_day) = (*written / ADDED_A_DAY, *written % ADDED_A_DAY);
        *written += 1;
        let first: jiff::civil::Date = "2025-12-31".parse().unwrap();
        let day = first - jiff::Span::new().days(i64::try_from(days).unwrap());
        let start = format!("{day}T{:02}:{:02}:00Z", 8 + of_day / 2, of_day % 2 * 30);
        let session = json!({ "user_id": learner, "start_time": start, "duration_minutes": 25 });
        let answer = here.with_body("POST", "/v1/sessions", &session).await?;
        let Some(position) = self.written(answer, 201)? else { return Ok(()) };
        let path = format!("/v1/users/{learner}/stats/daily?date={day}");
        self.own_write(&path, "total_sessions", of_day + 1, &position, there).await
    }

    /// Nobody else writes of this learner meanwhile, so the answer is known to the number.
    async fn own_write(
        &self,
        path: &str,
        name: &str,
        expected: u64,
        position: &str,
        there: &Client,
    ) -> Result<(), String> {
        let without = self.seen(there.get(path, None).await?, 200)?;
        if without.number(name) != Some(expected) {
            self.old.fetch_add(1, Ordering::Relaxed);
        }
        let with = self.seen(there.get(path, Some(position)).await?, 200)?;
        match with.number(name) {
            Some(number) if number == expected => Ok(()),
            number => Err(format!("{path} after {position}: {number:?} instead of {expected}, from {}", with.tier)),
        }
    }

    /// The position of a write; `None` where the database did not say it within the bound, as on a machine that is busy.
    fn written(&self, answer: Answer, expected: u16) -> Result<Option<String>, String> {
        self.count("written");
        if answer.status != expected {
            return Err(format!("a write was answered with {}: {}", answer.status, answer.body));
        }
        if answer.position.is_none() {
            self.count("unpositioned");
        }
        Ok(answer.position)
    }

    fn seen(&self, answer: Answer, expected: u16) -> Result<Answer, String> {
        self.count(&answer.tier);
        if answer.status == expected && answer.tier != "stale" {
            Ok(answer)
        } else {
            Err(format!("{} from {:?}: {}", answer.status, answer.tier, answer.body))
        }
    }

    fn count(&self, what: &str) {
        *self.answers.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }
}
