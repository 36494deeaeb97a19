//! The bus: tells every node what was invalidated, and lets each notice that it was not told.
//!
//! Notices are numbered by one counter, which belongs to the bus; a node that sends a heartbeat gets an echo
//! with the counter's value, after everything announced before it. So a node knows, without comparing clocks,
//! that it has heard of everything announced before the moment *it sent* the heartbeat, or that it has not.

mod in_process;
mod notice;
mod receiver;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub use in_process::InProcessBus;
pub use notice::{Notice, NoticeError, Target};
pub use receiver::{Heard, Receiver};

/// Messages that wait for a node's receiver at most; one more, and the subscription ends, which is a gap.
pub const SUBSCRIPTION_CAPACITY: usize = 4096;

/// A channel between the nodes that share a remote tier, such as Redis pub/sub.
///
/// Delivery may fail, repeat and reorder: the receiver notices. The bus keeps the counter of notices and the
/// register of leases, and measures leases by its own clock.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Numbers a notice and sends it to all subscribers.
    async fn announce(&self, announcement: &Announcement) -> Result<Announced, BusError>;

    /// Registers the node's lease, unless a strict notice above `applied` is out, and sends the echo.
    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), BusError>;

    /// Tells the announcer of a strict notice that this node has applied everything up to `number` of this counter.
    async fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) -> Result<(), BusError>;

    /// Gives the node's lease back: a node that leaves need not be waited for.
    async fn leave(&self, node: NodeId) -> Result<(), BusError>;

    /// Everything sent from the moment this returns; the channel closes when the connection is lost.
    async fn subscribe(&self) -> Result<mpsc::Receiver<BusMessage>, BusError>;
}

/// A node's random name, new at each start of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The random name of a counter: a bus that lost its counter starts another under a new name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A notice to be sent.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// What was invalidated.
    pub notice: Notice,
    /// Whether leases are withheld from nodes that have not applied it.
    pub strict: bool,
}

/// A notice that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The counter.
    pub epoch: Epoch,
    /// Its value for this notice, from 1.
    pub number: u64,
    /// For a strict notice: the nodes that hold a lease, and for how long from the moment it was numbered.
    pub holders: Vec<Holder>,
}

/// A node that may serve from its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// Its lease runs out after this, by the bus's clock.
    pub remaining: Duration,
}

/// A sign of life, and the question "what is the last number?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// The sender.
    pub node: NodeId,
    /// Comes back in the echo.
    pub nonce: u64,
    /// The counter this node follows; `None` before the first echo.
    pub epoch: Option<Epoch>,
    /// Every notice of that counter up to this one has been applied here.
    pub applied: u64,
    /// How long the node will serve from memory, counted from before it sends this.
    pub lease: Duration,
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusMessage {
    /// Something was invalidated.
    Notice {
        /// The counter.
        epoch: Epoch,
        /// Its value.
        number: u64,
        /// Whether the announcer waits for a confirmation.
        strict: bool,
        /// What was invalidated.
        notice: Notice,
    },
    /// The answer to a heartbeat; other nodes' echoes are heard too.
    Echo {
        /// Whose heartbeat.
        node: NodeId,
        /// Which.
        nonce: u64,
        /// The counter.
        epoch: Epoch,
        /// Its value when the heartbeat arrived.
        last: u64,
        /// Whether the node's lease was registered.
        granted: bool,
    },
    /// A node has applied everything up to this number.
    Confirmed {
        /// The node.
        node: NodeId,
        /// The counter.
        epoch: Epoch,
        /// The number.
        number: u64,
    },
}

/// The bus did not do what it was asked, or did not say so.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// No connection, or a lost one.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time; whether it was sent is unknown.
    #[error("the bus did not answer within {0:?}")]
    TimedOut(Duration),
    /// It answered, and refused.
    #[error("the bus refused: {0}")]
    Refused(String),
}
