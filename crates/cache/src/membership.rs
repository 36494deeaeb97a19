//! A node's place among the others: it listens, asks for its lease, and notices what it was not told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bus::{Announced, Bus, BusMessage, Epoch, Heard, Heartbeat, NodeId, Notice, Receiver};
use crate::clock::Tick;
use crate::engine::{Engine, everything};
use crate::event::Event;
use crate::invalidation::Order;
use crate::remote::Bump;
use crate::stamp::Severity;

/// Heartbeats whose echo has not come; older ones are forgotten.
const OUTSTANDING: usize = 32;
/// Heartbeats without an echo after which the subscription is given up for a new one.
const SILENT_BEATS: u32 = 24;
/// Waits between attempts to subscribe, at first and at most.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Who has confirmed which strict notice.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    by_node: Mutex<HashMap<(NodeId, Epoch), u64>>,
    epoch: Mutex<Option<(Epoch, Tick)>>,
    changed: Notify,
}

impl Confirmations {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(NodeId, Epoch), u64>> {
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) {
        let mut by_node = self.lock();
        let highest = by_node.entry((node, epoch)).or_default();
        *highest = number.max(*highest);
        drop(by_node);
        self.changed.notify_waiters();
    }

    /// Waits until every node that may serve from memory has confirmed, or can no longer serve.
    pub(crate) async fn wait(&self, engine: &Engine, announced: &Announced) {
        let received = Instant::now();
        if let Some(pause) = self.unknown_leases(engine, announced.epoch) {
            tokio::time::sleep(pause).await;
        }
        loop {
            let changed = self.changed.notified();
            let open = {
                let by_node = self.lock();
                let waits = |holder: &&crate::bus::Holder| {
                    holder.node != engine.node
                        && received.elapsed() < holder.remaining
                        && by_node.get(&(holder.node, announced.epoch)).is_none_or(|number| *number < announced.number)
                };
                announced.holders.iter().filter(waits).map(|holder| holder.remaining).max()
            };
            let Some(longest) = open else { return };
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(received + longest) => {}
            }
        }
    }

    /// A counter that is new here may be new altogether, after another whose register of leases is lost: a lease of
    /// then may run for a whole lease yet.
    fn unknown_leases(&self, engine: &Engine, epoch: Epoch) -> Option<Duration> {
        let lease = engine.lease.promise().lease()?;
        let now = engine.clock.now();
        lease.checked_sub(now.since(self.seen_since(epoch, now))).filter(|rest| !rest.is_zero())
    }

    /// When this counter was first heard of here; now, if it never was.
    fn seen_since(&self, epoch: Epoch, now: Tick) -> Tick {
        let mut seen = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((same, since)) if same == epoch => since,
            _ => seen.insert((epoch, now)).1,
        }
    }

    /// Forgets the confirmations of other counters.
    fn follow(&self, epoch: Epoch) {
        self.lock().retain(|(_, of), _| *of == epoch);
    }
}

/// One connection to the bus after another, until the cache is closed.
pub(crate) async fn take_part(engine: Arc<Engine>, bus: Arc<dyn Bus>, heartbeat: Duration) {
    let mut member = Member {
        engine: Arc::clone(&engine),
        bus: Arc::clone(&bus),
        heartbeat,
        receiver: Receiver::default(),
        nonce: 0,
        outstanding: BTreeMap::new(),
        known_epoch: None,
        serving: false,
        beating: JoinSet::new(),
        sending: JoinSet::new(),
    };
    let mut pause = RECONNECT.0;
    loop {
        match bus.subscribe().await {
            Ok(messages) => {
                pause = RECONNECT.0;
                member.follow(messages).await;
                member.receiver.disconnected();
                member.outstanding.clear();
            }
            Err(error) => {
                tracing::debug!(%error, "the bus cannot be subscribed to");
                member.note_lease();
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT.1);
    }
}

struct Member {
    engine: Arc<Engine>,
    bus: Arc<dyn Bus>,
    heartbeat: Duration,
    receiver: Receiver,
    nonce: u64,
    /// When the heartbeats were sent whose echo may still come.
    outstanding: BTreeMap<u64, Tick>,
    known_epoch: Option<Epoch>,
    serving: bool,
    beating: JoinSet<()>,
    sending: JoinSet<()>,
}

impl Member {
    /// Listens until the connection is lost.
    async fn follow(&mut self, mut messages: mpsc::Receiver<BusMessage>) {
        let mut beat = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            // The heartbeat first: a storm of notices must not cost the lease.
            tokio::select! {
                biased;
                () = &mut beat => {
                    if self.heard_nothing_for_long() {
                        tracing::debug!("the bus is connected and silent: subscribing again");
                        return;
                    }
                    self.send_heartbeat();
                    self.note_lease();
                    beat.as_mut().reset(Instant::now() + self.heartbeat);
                }
                message = messages.recv() => match message {
                    Some(message) => {
                        if let Some(pause) = self.hear(message) {
                            beat.as_mut().reset(Instant::now() + pause);
                        }
                    }
                    None => return,
                },
                Some(_) = self.beating.join_next(), if !self.beating.is_empty() => {}
                Some(_) = self.sending.join_next(), if !self.sending.is_empty() => {}
            }
        }
    }

    /// A connection that carries nothing, not even echoes, is no connection.
    fn heard_nothing_for_long(&self) -> bool {
        let oldest = self.outstanding.first_key_value().map(|(_, sent)| *sent);
        oldest.is_some_and(|sent| self.engine.clock.now().since(sent) > self.heartbeat * SILENT_BEATS)
    }

    /// Sends a sign of life; a bus that does not answer holds up nothing else.
    fn send_heartbeat(&mut self) {
        let Some(lease) = self.engine.lease.promise().lease() else { return };
        self.nonce += 1;
        self.outstanding.insert(self.nonce, self.engine.clock.now());
        if self.outstanding.len() > OUTSTANDING {
            self.outstanding.pop_first();
        }
        if self.beating.len() >= 2 {
            return;
        }
        let heartbeat = Heartbeat {
            node: self.engine.node,
            nonce: self.nonce,
            epoch: self.receiver.epoch(),
            applied: self.receiver.applied(),
            lease,
        };
        let bus = Arc::clone(&self.bus);
        self.beating.spawn(async move { drop(bus.heartbeat(&heartbeat).await) });
    }

    /// Takes a message; tells when the next heartbeat is due, if that is earlier than usual.
    fn hear(&mut self, message: BusMessage) -> Option<Duration> {
        match message {
            BusMessage::Notice { epoch, number, strict, notice } => self.hear_notice(epoch, number, strict, notice),
            BusMessage::Echo { node, nonce, epoch, last, granted } if node == self.engine.node => {
                return self.hear_echo(nonce, epoch, last, granted);
            }
            BusMessage::Echo { .. } => {}
            BusMessage::Confirmed { node, epoch, number } => self.engine.confirmations.confirm(node, epoch, number),
        }
        None
    }

    fn hear_notice(&mut self, epoch: Epoch, number: u64, strict: bool, notice: Notice) {
        let heard = self.receiver.notice(epoch, number);
        if heard == Heard::Apply && notice.sender != self.engine.node {
            let order = Order { targets: notice.targets, severity: notice.severity, hold: None };
            self.engine.apply(&order, true);
        }
        if strict && self.receiver.epoch() == Some(epoch) {
            self.confirm();
        }
    }

    fn confirm(&mut self) {
        let Some(epoch) = self.receiver.epoch() else { return };
        let (bus, node, applied) = (Arc::clone(&self.bus), self.engine.node, self.receiver.applied());
        // Bounded: while a bus does not answer, the lease runs out, and nobody waits for this node.
        if self.sending.len() < 1024 {
            self.sending.spawn(async move { drop(bus.confirm(node, epoch, applied).await) });
        }
    }

    /// Everything announced before the heartbeat was sent has arrived, or was missed.
    fn hear_echo(&mut self, nonce: u64, epoch: Epoch, last: u64, granted: bool) -> Option<Duration> {
        let sent = self.outstanding.remove(&nonce)?;
        self.engine.confirmations.seen_since(epoch, self.engine.clock.now());
        // Echoes of older heartbeats say less.
        self.outstanding = self.outstanding.split_off(&nonce);
        let heard = if self.engine.switches.notice_gaps { self.receiver.echo(epoch, last) } else { Heard::Whole };
        if !self.engine.switches.notice_gaps && self.receiver.epoch() != Some(epoch) {
            self.receiver.echo(epoch, last);
        }
        if heard == Heard::Gap {
            self.engine.coherence.suspect();
            self.engine.events.send(|| Event::Gap);
            self.new_counter(epoch);
            self.confirm();
        }
        if granted {
            let from = if self.engine.switches.lease_from_echo { self.engine.clock.now() } else { sent };
            self.engine.lease.renew(from);
        }
        self.note_lease();
        match heard {
            // The lease is refused to a node that is behind; now it is not.
            Heard::Gap => Some(Duration::ZERO),
            _ => (!granted).then(|| self.heartbeat / 4),
        }
    }

    /// A bus with another counter has lost its memory, and the remote tier beside it may have gone back in time:
    /// nothing in it is believed.
    fn new_counter(&mut self, epoch: Epoch) {
        let before = self.known_epoch.replace(epoch);
        if before == Some(epoch) || before.is_none() {
            return;
        }
        self.engine.confirmations.follow(epoch);
        let engine = Arc::clone(&self.engine);
        self.sending.spawn(async move {
            if let Some(remote) = &engine.remote {
                let bump = Bump { tag: everything(), severity: Severity::Hard, soft: engine.entropy.next() };
                drop(remote.bump(&[bump]).await);
            }
        });
    }

    fn note_lease(&mut self) {
        let serves = self.engine.lease.serves(self.engine.clock.now());
        if serves != std::mem::replace(&mut self.serving, serves) {
            self.engine.events.send(|| if serves { Event::LeaseGained } else { Event::LeaseLost });
        }
    }
}
