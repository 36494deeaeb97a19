//! Invalidation: the remote tier first, then this node's memory, then the bus. It never waits for a loader.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::bus::{Announcement, Notice, Target};
use crate::counters::Count;
use crate::engine::{Engine, ViewShared, everything};
use crate::event::Event;
use crate::memory::KeyRef;
use crate::remote::{Bump, Hold, KeyInvalidation, MAX_RULES, RemoteError, RemoteKey, RemoteTier};
use crate::stamp::Severity;
use crate::tag::TagId;

/// Targets in one notice; more are sent in several.
const NOTICE_TARGETS: usize = 500;
/// Invalidations that wait to be acknowledged by the remote tier; beyond that, everything is forgotten there instead.
const MAX_UNSETTLED: usize = 10_000;

/// Which parts of the cache have acknowledged an invalidation. This node's memory always has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an invalidation that the remote tier or the bus did not acknowledge may not be seen by other nodes yet"]
pub struct Receipt {
    /// The remote tier.
    pub remote: Acknowledgement,
    /// The bus; under the [`Strict`](crate::Promise::Strict) promise, every node that may serve from memory.
    pub bus: Acknowledgement,
}

/// Whether a part of the cache has taken an invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It has.
    Given,
    /// The cache has no such part.
    NotNeeded,
    /// Not yet, and why. It is repeated until it has; as long as the remote tier has not, this node does not read from
    /// there what the invalidation concerns.
    Pending(String),
}

/// An invalidation that not every part of the cache has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not acknowledged by all of the cache: {0}")]
pub struct Incomplete(String);

impl Receipt {
    pub(crate) const LOCAL: Self = Self { remote: Acknowledgement::NotNeeded, bus: Acknowledgement::NotNeeded };

    /// Nobody knows how far it came.
    pub(crate) fn interrupted() -> Self {
        let pending = Acknowledgement::Pending("the runtime is shutting down".to_owned());
        Self { remote: pending.clone(), bus: pending }
    }

    /// Whether the invalidation holds everywhere, as the cache's promise says.
    pub fn is_complete(&self) -> bool {
        ![&self.remote, &self.bus].iter().any(|part| matches!(part, Acknowledgement::Pending(_)))
    }

    /// Demands that the invalidation holds everywhere.
    ///
    /// # Errors
    /// [`Incomplete`], with what is missing: the caller decides whether to wait, to fail, or to go on.
    pub fn complete(self) -> Result<(), Incomplete> {
        match (&self.remote, &self.bus) {
            (Acknowledgement::Pending(why), _) | (_, Acknowledgement::Pending(why)) => Err(Incomplete(why.clone())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Acknowledgement| match part {
            Acknowledgement::Given => "acknowledged".to_owned(),
            Acknowledgement::NotNeeded => "not needed".to_owned(),
            Acknowledgement::Pending(why) => format!("pending ({why})"),
        };
        write!(f, "memory: done, remote tier: {}, bus: {}", part(&self.remote), part(&self.bus))
    }
}

/// One call's worth of invalidations.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) targets: Vec<Target>,
    pub(crate) severity: Severity,
    pub(crate) hold: Option<Hold>,
}

impl Engine {
    /// Carries out an order, in a task of its own: a caller that goes away does not leave it half done.
    pub(crate) async fn invalidate(self: &Arc<Self>, order: Order) -> Receipt {
        if self.remote.is_none() && self.bus.is_none() {
            self.apply(&order, false);
            return Receipt::LOCAL;
        }
        let engine = Arc::clone(self);
        let carried = self.tasks.spawn(async move { engine.carry_out(order).await });
        carried.await.unwrap_or_else(|_| Receipt::interrupted())
    }

    async fn carry_out(self: Arc<Self>, order: Order) -> Receipt {
        // Before the remote tier is asked: if it does not answer, this node must not believe it.
        let ticket = self.unsettled.add(&order);
        let remote = match &self.remote {
            None => Acknowledgement::NotNeeded,
            Some(remote) => match self.tell_remote(remote.as_ref(), &order).await {
                Ok(()) => {
                    self.unsettled.remote_knows(ticket);
                    Acknowledgement::Given
                }
                Err(error) => Acknowledgement::Pending(error.to_string()),
            },
        };
        self.apply(&order, false);
        let bus = self.announce(&order).await;
        let receipt = Receipt { remote, bus };
        if receipt.is_complete() {
            self.unsettled.settle(ticket);
        } else {
            self.unsettled.keep(ticket);
        }
        receipt
    }

    pub(crate) async fn tell_remote(&self, remote: &dyn RemoteTier, order: &Order) -> Result<(), RemoteError> {
        let (mut keys, mut bumps) = (Vec::new(), Vec::new());
        let bump = |tag: TagId| Bump { tag, severity: order.severity, soft: self.entropy.next() };
        for target in &order.targets {
            match target {
                Target::Key(key) => {
                    keys.push(KeyInvalidation { key: key.clone(), severity: order.severity, hold: order.hold });
                }
                Target::Tag(tag) => bumps.push(bump(*tag)),
                Target::AllTags(tags) => {
                    if let Some((first, others)) = tags.split_first() {
                        remote.add_rule(bump(*first), others).await?;
                    }
                }
            }
        }
        if !keys.is_empty() {
            remote.invalidate(&keys).await?;
        }
        if !bumps.is_empty() {
            remote.bump(&bumps).await?;
        }
        Ok(())
    }

    /// This node's memory. `heard`: another node said so.
    pub(crate) fn apply(&self, order: &Order, heard: bool) {
        for target in &order.targets {
            match target {
                Target::Key(key) => self.apply_to_key(key, order, heard),
                Target::Tag(tag) => {
                    self.coherence.cells().bump(*tag, order.severity);
                    let (tag, severity) = (*tag, order.severity);
                    self.events.send(|| Event::TagInvalidated { tag, severity, heard });
                }
                Target::AllTags(tags) => {
                    let now = self.clock.now();
                    let until = now.after(crate::policy::MAX_TTL * 2);
                    if let (false, Some(first)) =
                        (self.coherence.cells().add_rule(tags, now, until, MAX_RULES), tags.first())
                    {
                        self.coherence.cells().bump(*first, Severity::Hard);
                    }
                }
            }
        }
    }

    fn apply_to_key(&self, key: &RemoteKey, order: &Order, heard: bool) {
        let Some((view, bytes)) = key.split() else { return };
        let Some(view) = self.view(view) else { return };
        let entry = KeyRef { view: view.number, bytes };
        if let Some(hold) = order.hold {
            self.coherence.raise_floor(entry, hold.minimum, self.clock.now().after(hold.period));
        }
        self.coherence.invalidate(entry, order.severity);
        if let (Some(hot), Severity::Hard) = (&view.hot, order.severity) {
            // One that is invalidated softly tells when it is loaded again.
            hot.changed(bytes, self.clock.now());
        }
        view.count(Count::Invalidation);
        let severity = order.severity;
        self.events.send(|| Event::Invalidated { view: Arc::clone(&view.name), key: bytes.into(), severity, heard });
    }

    /// Tells the other nodes what the remote tier knows already, again and again if need be.
    pub(crate) async fn spread(&self, order: &Order) -> Acknowledgement {
        let bus = self.announce(order).await;
        if matches!(bus, Acknowledgement::Pending(_)) {
            let ticket = self.unsettled.add(order);
            self.unsettled.remote_knows(ticket);
            self.unsettled.keep(ticket);
        }
        bus
    }

    /// Tells the other nodes.
    async fn announce(&self, order: &Order) -> Acknowledgement {
        let Some(bus) = &self.bus else { return Acknowledgement::NotNeeded };
        let strict = self.lease.promise().is_strict();
        for targets in order.targets.chunks(NOTICE_TARGETS) {
            let notice = Notice { sender: self.node, severity: order.severity, targets: targets.to_vec() };
            match bus.announce(&Announcement { notice, strict }).await {
                Ok(announced) if strict => self.confirmations.wait(self, &announced).await,
                Ok(_) => {}
                Err(error) => return Acknowledgement::Pending(error.to_string()),
            }
        }
        Acknowledgement::Given
    }

    /// Repeats what the remote tier or the bus has not acknowledged, until the cache is closed.
    pub(crate) async fn settle(self: Arc<Self>) {
        let mut pause = Duration::from_millis(100);
        loop {
            self.unsettled.wait().await;
            let Some((ticket, Waiter { order, remote_knows })) = self.unsettled.next() else { continue };
            let told = match &self.remote {
                Some(remote) if !remote_knows => self.tell_remote(remote.as_ref(), &order).await.is_ok(),
                _ => true,
            };
            if told {
                self.unsettled.remote_knows(ticket);
            }
            if told && !matches!(self.announce(&order).await, Acknowledgement::Pending(_)) {
                self.unsettled.settle(ticket);
                self.events.send(|| Event::Settled);
                pause = Duration::from_millis(100);
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// Invalidations that the remote tier or the bus has not acknowledged. What they concern is not read from the remote
/// tier until that has.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    state: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    orders: BTreeMap<u64, Waiter>,
    repeat: VecDeque<u64>,
}

#[derive(Clone, Debug)]
struct Waiter {
    order: Order,
    remote_knows: bool,
}

impl Waiter {
    fn new(order: Order) -> Self {
        Self { order, remote_knows: false }
    }
}

impl Unsettled {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, order: &Order) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let ticket = state.next;
        state.orders.insert(ticket, Waiter::new(order.clone()));
        ticket
    }

    fn remote_knows(&self, ticket: u64) {
        if let Some(waiter) = self.lock().orders.get_mut(&ticket) {
            waiter.remote_knows = true;
        }
    }

    fn settle(&self, ticket: u64) {
        let mut state = self.lock();
        state.orders.remove(&ticket);
        state.repeat.retain(|waiting| *waiting != ticket);
    }

    /// To be repeated until it is settled.
    fn keep(&self, ticket: u64) {
        let mut state = self.lock();
        state.repeat.push_back(ticket);
        if state.repeat.len() > MAX_UNSETTLED {
            for ticket in std::mem::take(&mut state.repeat) {
                state.orders.remove(&ticket);
            }
            let all = Order { targets: vec![Target::Tag(everything())], severity: Severity::Hard, hold: None };
            state.orders.insert(ticket, Waiter::new(all));
            state.repeat.push_back(ticket);
        }
        drop(state);
        self.wake.notify_one();
    }

    async fn wait(&self) {
        loop {
            let woken = self.wake.notified();
            if !self.lock().repeat.is_empty() {
                return;
            }
            woken.await;
        }
    }

    fn next(&self) -> Option<(u64, Waiter)> {
        let state = self.lock();
        let ticket = *state.repeat.front()?;
        Some((ticket, state.orders.get(&ticket)?.clone()))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().orders.len()
    }

    /// Whether an entry is concerned.
    pub(crate) fn touches(&self, view: &ViewShared, key: &[u8], tags: &[TagId]) -> bool {
        let state = self.lock();
        if state.orders.is_empty() {
            return false;
        }
        let concerns = |target: &Target| match target {
            Target::Key(name) => name.split() == Some((&*view.name, key)),
            Target::Tag(tag) => tags.contains(tag),
            // Tags that only the stored value knows cannot be seen from here: any of them is enough.
            Target::AllTags(all) => all.iter().any(|tag| tags.contains(tag)),
        };
        state.orders.values().any(|waiter| !waiter.remote_knows && waiter.order.targets.iter().any(concerns))
    }
}
