//! A node's faulty line to the bus, and what becomes of the messages that come back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::{Announced, Announcement, Bus, BusError, BusMessage, Epoch, Heartbeat, NodeId, SUBSCRIPTION_CAPACITY};

use super::{CallFaults, Injected, Line, Lost};

/// What happens to the messages that a node should hear. Chances are percent; 100 and more is always.
///
/// Together with [`CallFaults`] these make one-way partitions: `deaf` without a black hole is a node whose heartbeats
/// arrive and which hears nothing; a black hole without `deaf` is the reverse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFaults {
    /// A message arrives after any time up to this.
    pub delay: Duration,
    /// Delayed messages may overtake each other; without it they keep their order.
    pub reorder: bool,
    /// How many notices are lost.
    pub lose_notices_percent: u8,
    /// How many echoes and confirmations are lost.
    pub lose_others_percent: u8,
    /// How many messages arrive a second time, with a delay of its own.
    pub duplicate_percent: u8,
    /// Every message is lost.
    pub deaf: bool,
}

/// A bus as one node sees it through a bad line: see [`CallFaults`] and [`DeliveryFaults`].
pub struct FaultyBus {
    inner: Arc<dyn Bus>,
    shared: Arc<Shared>,
    forwarders: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    line: Line,
    delivery: Mutex<DeliveryFaults>,
    cut: Mutex<CancellationToken>,
}

impl FaultyBus {
    /// A line without faults yet; what they will do follows from the seed.
    pub fn new(inner: Arc<dyn Bus>, seed: u64) -> Self {
        let shared = Shared { line: Line::new(seed), delivery: Mutex::default(), cut: Mutex::default() };
        Self { inner, shared: Arc::new(shared), forwarders: Mutex::default() }
    }

    /// From now on calls meet these faults, and no others.
    pub fn set(&self, faults: CallFaults) {
        self.shared.line.set(faults);
    }

    /// From now on messages meet these faults, and no others.
    pub fn set_delivery(&self, faults: DeliveryFaults) {
        *lock(&self.shared.delivery) = faults;
    }

    /// Ends the node's subscriptions, as a lost connection does; it may subscribe again.
    pub fn cut(&self) {
        self.shared.line.count(|injected| injected.cuts += 1);
        std::mem::take(&mut *lock(&self.shared.cut)).cancel();
    }

    /// The node is dead: no call takes effect or answers any more, those on their way included.
    pub fn crash(&self) {
        self.shared.line.lock().crashed = true;
        lock(&self.shared.cut).cancel();
    }

    /// What was done so far.
    pub fn injected(&self) -> Injected {
        self.shared.line.lock().injected
    }

    async fn call<T, F>(&self, call: impl FnOnce(Arc<dyn Bus>) -> F + Send) -> Result<T, BusError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BusError>> + Send + 'static,
    {
        match self.shared.line.carry(call(Arc::clone(&self.inner))).await {
            Ok(answer) => answer,
            Err(Lost::Refused) => Err(BusError::Unreachable("a planted fault".to_owned())),
            Err(Lost::TimedOut(limit)) => Err(BusError::TimedOut(limit)),
        }
    }
}

impl std::fmt::Debug for FaultyBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyBus({:?})", self.shared)
    }
}

#[async_trait]
impl Bus for FaultyBus {
    async fn announce(&self, announcement: &Announcement) -> Result<Announced, BusError> {
        let announcement = announcement.clone();
        self.call(|inner| async move { inner.announce(&announcement).await }).await
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), BusError> {
        let heartbeat = *heartbeat;
        self.call(|inner| async move { inner.heartbeat(&heartbeat).await }).await
    }

    async fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) -> Result<(), BusError> {
        self.call(|inner| async move { inner.confirm(node, epoch, number).await }).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), BusError> {
        self.call(|inner| async move { inner.leave(node).await }).await
    }

    async fn subscribe(&self) -> Result<mpsc::Receiver<BusMessage>, BusError> {
        let messages = self.call(|inner| async move { inner.subscribe().await }).await?;
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION_CAPACITY);
        let cut = lock(&self.shared.cut).clone();
        let forwarder = Forwarder { shared: Arc::clone(&self.shared), sender, held: BTreeMap::new(), sequence: 0 };
        let mut forwarders = lock(&self.forwarders);
        while forwarders.try_join_next().is_some() {}
        forwarders.spawn(async move {
            tokio::select! { biased; () = cut.cancelled() => {} () = forwarder.run(messages) => {} }
        });
        Ok(receiver)
    }
}

/// Hands the messages of one subscription on, or does not.
struct Forwarder {
    shared: Arc<Shared>,
    sender: mpsc::Sender<BusMessage>,
    /// By when they are due, and in which order they were sent.
    held: BTreeMap<(Instant, u64), BusMessage>,
    sequence: u64,
}

impl Forwarder {
    async fn run(mut self, mut messages: mpsc::Receiver<BusMessage>) {
        loop {
            let due = self.held.first_key_value().map(|((due, _), _)| *due);
            tokio::select! {
                biased;
                () = self.sender.closed() => return,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if !self.hand_on() {
                        return;
                    }
                }
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
            }
        }
    }

    fn take(&mut self, message: BusMessage) {
        let faults = *lock(&self.shared.delivery);
        let line = &self.shared.line;
        let percent = match message {
            BusMessage::Notice { .. } => faults.lose_notices_percent,
            _ => faults.lose_others_percent,
        };
        let (lost, twice) = (line.chance(percent), line.chance(faults.duplicate_percent));
        let delays = [line.up_to(faults.delay), line.up_to(faults.delay)];
        if lost || faults.deaf {
            return line.count(|injected| injected.lost_messages += 1);
        }
        if twice {
            line.count(|injected| injected.duplicates += 1);
            self.hold(message.clone(), delays[1], faults);
        }
        self.hold(message, delays[0], faults);
    }

    fn hold(&mut self, message: BusMessage, delay: Duration, faults: DeliveryFaults) {
        let mut due = Instant::now() + delay;
        if let Some(((last, _), _)) = self.held.last_key_value() {
            if !faults.reorder {
                due = due.max(*last);
            } else if due < *last {
                self.shared.line.count(|injected| injected.reordered += 1);
            }
        }
        self.sequence += 1;
        self.held.insert((due, self.sequence), message);
    }

    /// Hands on what is due first; `false` once nobody listens, or too slowly.
    fn hand_on(&mut self) -> bool {
        let Some((_, message)) = self.held.pop_first() else { return true };
        self.shared.line.count(|injected| injected.delivered += 1);
        self.sender.try_send(message).is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
