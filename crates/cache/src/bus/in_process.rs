//! A bus inside the process: for tests, for simulations, and for several caches of one program.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::clock::{Clock, Tick};

use super::{
    Announced, Announcement, Bus, BusError, BusMessage, Epoch, Heartbeat, Holder, NodeId, SUBSCRIPTION_CAPACITY,
};

/// Delivers at once, in order, to all subscribers; shared through `Arc`.
#[derive(Debug)]
pub struct InProcessBus {
    state: Mutex<State>,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    epoch: Epoch,
    last: u64,
    last_strict: u64,
    leases: BTreeMap<NodeId, Tick>,
    subscribers: Vec<mpsc::Sender<BusMessage>>,
}

impl InProcessBus {
    /// A bus without subscribers, whose leases run by this clock.
    pub fn new(clock: Clock) -> Self {
        let state =
            State { epoch: Epoch(1), last: 0, last_strict: 0, leases: BTreeMap::new(), subscribers: Vec::new() };
        Self { state: Mutex::new(state), clock }
    }

    /// Loses the counter and all leases, as a server that restarts empty does.
    pub fn restart_empty(&self) {
        let mut state = self.lock();
        state.epoch = Epoch(state.epoch.0 + 1);
        (state.last, state.last_strict) = (0, 0);
        state.leases.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, message: &BusMessage) {
        self.subscribers.retain(|subscriber| subscriber.try_send(message.clone()).is_ok());
    }
}

#[async_trait]
impl Bus for InProcessBus {
    async fn announce(&self, announcement: &Announcement) -> Result<Announced, BusError> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.last += 1;
        let (epoch, number, strict) = (state.epoch, state.last, announcement.strict);
        let mut holders = Vec::new();
        if strict {
            state.last_strict = number;
            state.leases.retain(|_, until| *until > now);
            holders =
                state.leases.iter().map(|(node, until)| Holder { node: *node, remaining: until.since(now) }).collect();
        }
        state.send(&BusMessage::Notice { epoch, number, strict, notice: announcement.notice.clone() });
        Ok(Announced { epoch, number, holders })
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), BusError> {
        let now = self.clock.now();
        let mut state = self.lock();
        let known = heartbeat.epoch == Some(state.epoch);
        let granted = known && heartbeat.applied >= state.last_strict;
        if granted {
            let until = now.after(heartbeat.lease);
            let lease = state.leases.entry(heartbeat.node).or_insert(until);
            *lease = until.max(*lease);
        }
        let (epoch, last) = (state.epoch, state.last);
        state.send(&BusMessage::Echo { node: heartbeat.node, nonce: heartbeat.nonce, epoch, last, granted });
        Ok(())
    }

    async fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) -> Result<(), BusError> {
        self.lock().send(&BusMessage::Confirmed { node, epoch, number });
        Ok(())
    }

    async fn leave(&self, node: NodeId) -> Result<(), BusError> {
        self.lock().leases.remove(&node);
        Ok(())
    }

    async fn subscribe(&self) -> Result<mpsc::Receiver<BusMessage>, BusError> {
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION_CAPACITY);
        self.lock().subscribers.push(sender);
        Ok(receiver)
    }
}
