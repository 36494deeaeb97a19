//! A request on its way: to one node after the other, without a lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Method;
use super::answers::{Kept, Stamp};
use super::lane::{Lane, Order};
use super::wire::Response;

/// What is on its way.
#[derive(Debug)]
pub struct Errand {
    pub(super) fields: String,
    pub(super) body: Option<Box<[u8]>>,
    pub(super) path: Arc<str>,
    pub(super) learner: Option<Arc<str>>,
    pub(super) position: u64,
    pub(super) method: Method,
    pub(super) is_write: bool,
    pub(super) asked: Stamp,
    /// When it began: an answer is of no later moment for certain.
    pub(super) begun: Instant,
    pub(super) kept: Option<Arc<Kept>>,
    pub(super) lanes: Vec<Lane>,
    pub(super) connect_timeout: Duration,
    pub(super) deadline: Instant,
    pub(super) max_body: usize,
    pub(super) came: Option<(usize, Response)>,
    /// Why each node gave no answer.
    pub(super) why: Vec<String>,
}

impl Errand {
    /// Asks the nodes, one after the other, until one answers or the time is up. Takes no lock.
    pub fn run(&mut self) {
        let count = self.lanes.len();
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let now = Instant::now();
            let left = self.deadline.saturating_duration_since(now);
            if left.is_zero() {
                break;
            }
            // a node that hangs leaves the others their part of the time
            let part = left / u32::try_from(count - number).unwrap_or(1);
            let (name, base, host) = (self.method.name(), lane.address.base(), lane.address.authority());
            let mut bytes =
                format!("{name} {base}{} HTTP/1.1\r\nHost: {host}\r\n{}", self.path, self.fields).into_bytes();
            bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
            let answer = lane.ask(Order {
                bytes: &bytes,
                is_repeatable: self.method == Method::Get,
                connect_timeout: self.connect_timeout,
                deadline: now + part,
                max_body: self.max_body,
            });
            let may_have_happened = match answer {
                Ok(response) if matches!(response.status, 502..=504) && !self.is_write => {
                    self.why.push(format!("{}: status {} {}", lane.address, response.status, detail(&response.body)));
                    false
                }
                Ok(response) => {
                    self.came = Some((lane.node, response));
                    return;
                }
                Err(error) => {
                    self.why.push(format!("{}: {}", lane.address, error.why));
                    error.may_have_happened
                }
            };
            if self.is_write && may_have_happened {
                return;
            }
        }
    }
}

/// What a problem document says, for an error text.
fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice::<Problem>(body).map_or(String::new(), |problem| format!("({})", problem.detail))
}
