//! What one call may use of one node, and what came of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::address::Address;
use super::wire::{Connection, Response, WireError};

/// Connections to one node that are in use at once, at most.
const SEATS: usize = 32;

/// How often a call that waits for a seat looks.
const LOOK: Duration = Duration::from_micros(500);

/// The way to one node, for one call.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) node: usize,
    pub(super) address: Arc<Address>,
    pub(super) sockets: Option<Arc<[SocketAddr]>>,
    pub(super) idle: Option<Connection>,
    pub(super) seats: Arc<AtomicUsize>,
    pub(super) outcome: Option<Outcome>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The node answered.
    Answered,
    /// The node did not; in words.
    Failed(String),
    /// Nobody is to blame: this process asks more at once than it may.
    Crowded,
}

/// Why a lane gave no answer.
#[derive(Debug)]
pub(super) struct LaneError {
    pub(super) why: String,
    /// Whether the node may have carried the request out all the same.
    pub(super) may_have_happened: bool,
}

/// What is sent, and for how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether it may be sent twice.
    pub(super) is_repeatable: bool,
    pub(super) connect_timeout: Duration,
    pub(super) deadline: Instant,
    pub(super) max_body: usize,
}

impl Lane {
    /// Asks the node. Takes no lock: a process may fork while this waits.
    pub(super) fn ask(&mut self, order: Order<'_>) -> Result<Response, LaneError> {
        let Some(_seat) = Seat::take(&self.seats, order.deadline) else {
            self.outcome = Some(Outcome::Crowded);
            let why = format!("{SEATS} calls wait for it already");
            return Err(LaneError { why, may_have_happened: false });
        };
        let answer = self.exchange(order);
        self.outcome = Some(match &answer {
            Ok(_) => Outcome::Answered,
            Err(error) => Outcome::Failed(error.why.clone()),
        });
        answer
    }

    fn exchange(&mut self, order: Order<'_>) -> Result<Response, LaneError> {
        let idle = self.idle.take().filter(|connection| order.is_repeatable || connection.is_quiet());
        if let Some(connection) = idle {
            match self.over(connection, order) {
                Err(WireError::Ended) if order.is_repeatable => {}
                other => return other.map_err(|error| LaneError { why: error.to_string(), may_have_happened: true }),
            }
        }
        let connection = self.open(order).map_err(|why| LaneError { why, may_have_happened: false })?;
        self.over(connection, order).map_err(|error| LaneError { why: error.to_string(), may_have_happened: true })
    }

    fn over(&mut self, mut connection: Connection, order: Order<'_>) -> Result<Response, WireError> {
        let response = connection.exchange(order.bytes, order.deadline, order.max_body)?;
        if response.is_reusable {
            self.idle = Some(connection);
        }
        Ok(response)
    }

    fn open(&mut self, order: Order<'_>) -> Result<Connection, String> {
        let limit = order.connect_timeout.min(order.deadline.saturating_duration_since(Instant::now()));
        let sockets = match &self.sockets {
            Some(sockets) => Arc::clone(sockets),
            None => self.address.resolve(limit)?.into(),
        };
        let connection = Connection::open(&sockets, limit).map_err(|error| match error {
            WireError::Broken(error) => format!("it cannot be reached: {error}"),
            other => format!("it cannot be reached: {other}"),
        })?;
        self.sockets = Some(sockets);
        Ok(connection)
    }
}

#[expect(clippy::disallowed_methods, reason = "a lock to wait on would be copied by a fork; 32 calls at once are rare")]
fn rest() {
    thread::sleep(LOOK);
}

/// A place among the connections in use.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(seats: &Arc<AtomicUsize>, deadline: Instant) -> Option<Self> {
        loop {
            let taken =
                seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| (used < SEATS).then_some(used + 1));
            if taken.is_ok() {
                return Some(Self(Arc::clone(seats)));
            }
            if Instant::now() >= deadline {
                return None;
            }
            rest();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
