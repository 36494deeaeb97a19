//! What goes wrong, when, and for how long.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_cache::remote::RemoteKey;
use tierkeep_cache::testing::{CallFaults, DeliveryFaults};
use tokio_util::sync::CancellationToken;

use crate::rng::Rng;
use crate::source::{HOT, KEYS, named};
use crate::world::{CALL_LIMIT, NODES, Node, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    SlowRemote,
    FailingRemote,
    LostRemoteAnswers,
    OvertakenRemoteCalls,
    RemoteAway,
    SlowBus,
    FailingBus,
    BusAway,
    /// Calls of the bus take effect after their callers gave up.
    OvertakenBusCalls,
    LateMessages,
    ReorderedMessages,
    LostNotices,
    LostEchoes,
    Duplicates,
    /// Heartbeats arrive at the bus, and nothing arrives from it.
    Deaf,
    Cut,
    EvictValues,
    EvictRecords,
    RemoteRestart,
    BusRestart,
    Crash,
    FailingSource,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SlowRemote => "slow remote",
            Self::FailingRemote => "failing remote",
            Self::LostRemoteAnswers => "lost remote answers",
            Self::OvertakenRemoteCalls => "overtaken remote calls",
            Self::RemoteAway => "remote away",
            Self::SlowBus => "slow bus",
            Self::FailingBus => "failing bus",
            Self::BusAway => "bus away",
            Self::OvertakenBusCalls => "overtaken bus calls",
            Self::LateMessages => "late messages",
            Self::ReorderedMessages => "reordered messages",
            Self::LostNotices => "lost notices",
            Self::LostEchoes => "lost echoes",
            Self::Duplicates => "duplicates",
            Self::Deaf => "deaf",
            Self::Cut => "cut",
            Self::EvictValues => "evicted values",
            Self::EvictRecords => "evicted records",
            Self::RemoteRestart => "remote restart",
            Self::BusRestart => "bus restart",
            Self::Crash => "crash",
            Self::FailingSource => "failing source",
        }
    }
}

/// The faults of one node's lines now; they outlive a restart of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    remote: CallFaults,
    bus: CallFaults,
    delivery: DeliveryFaults,
}

impl Default for Line {
    /// A good day: everything takes a few milliseconds.
    fn default() -> Self {
        let few = Duration::from_millis(2);
        let calls = CallFaults { before: few, after: few, limit: CALL_LIMIT, ..CallFaults::default() };
        Self { remote: calls, bus: calls, delivery: DeliveryFaults { delay: few, ..DeliveryFaults::default() } }
    }
}

impl Line {
    pub(crate) fn apply(&self, node: &Node) {
        node.remote.set(self.remote);
        node.bus.set(self.bus);
        node.bus.set_delivery(self.delivery);
    }

    /// Sets a fault that lasts, or takes it back; `false` for one of a moment.
    fn change(&mut self, fault: Fault, rng: &mut Rng, on: bool) -> bool {
        let good = Self::default();
        let percent = |rng: &mut Rng| if on { rng.between(20, 90) as u8 } else { 0 };
        let slow = |rng: &mut Rng, good: Duration| if on { Duration::from_millis(rng.between(30, 200)) } else { good };
        match fault {
            Fault::SlowRemote => {
                self.remote.before = slow(rng, good.remote.before);
                self.remote.after = slow(rng, good.remote.after);
            }
            Fault::FailingRemote => self.remote.refused_percent = percent(rng),
            Fault::LostRemoteAnswers => self.remote.lost_answer_percent = percent(rng),
            Fault::OvertakenRemoteCalls => self.remote.overtaken_percent = percent(rng),
            Fault::RemoteAway => self.remote.black_hole = on,
            Fault::SlowBus => {
                self.bus.before = slow(rng, good.bus.before);
                self.bus.after = slow(rng, good.bus.after);
            }
            Fault::FailingBus => self.bus.refused_percent = percent(rng),
            Fault::BusAway => self.bus.black_hole = on,
            Fault::OvertakenBusCalls => self.bus.overtaken_percent = percent(rng),
            Fault::LateMessages => self.delivery.delay = slow(rng, good.delivery.delay),
            Fault::ReorderedMessages => {
                self.delivery.delay = slow(rng, good.delivery.delay);
                self.delivery.reorder = on;
            }
            Fault::LostNotices => self.delivery.lose_notices_percent = percent(rng),
            Fault::LostEchoes => self.delivery.lose_others_percent = percent(rng),
            Fault::Duplicates => {
                self.delivery.delay = slow(rng, good.delivery.delay);
                self.delivery.duplicate_percent = percent(rng);
            }
            Fault::Deaf => self.delivery.deaf = on,
            _ => return false,
        }
        true
    }
}

/// Something to be put right later.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: u64,
    node: u8,
    fault: Fault,
}

/// Makes things go wrong until it is told to stop; then puts everything right.
pub(crate) async fn rage(world: Arc<World>, stop: CancellationToken) {
    let mut rng = Rng::new(world.seed, 2);
    let mut due: Vec<Due> = Vec::new();
    let mut next = world.now() + rng.between(20, world.profile.calm);
    loop {
        let until = due.iter().map(|due| due.at).min().unwrap_or(next).min(next);
        let wait = Duration::from_millis(until.saturating_sub(world.now()));
        tokio::select! { biased; () = stop.cancelled() => break, () = tokio::time::sleep(wait) => {} }
        let now = world.now();
        for over in due.extract_if(.., |due| due.at <= now) {
            put_right(&world, over, &mut rng);
        }
        if now >= next {
            let fault = rng.pick(world.profile.faults);
            let node = rng.below(u64::from(NODES)) as u8;
            if let Some(lasts) = strike(&world, fault, node, &mut rng) {
                due.push(Due { at: now + lasts, node, fault });
            }
            next = now + rng.between(10, world.profile.calm);
        }
    }
    for over in due {
        put_right(&world, over, &mut rng);
    }
    for node in 0..NODES {
        world.start(node);
    }
}

fn put_right(world: &World, over: Due, rng: &mut Rng) {
    match over.fault {
        Fault::Crash => world.start(over.node),
        Fault::FailingSource => *world.table.failing.lock().unwrap() = 4,
        fault => {
            change(world, fault, over.node, rng, false);
        }
    }
}

fn change(world: &World, fault: Fault, node: u8, rng: &mut Rng, on: bool) -> bool {
    let mut lines = world.lines.lock().unwrap();
    let line = &mut lines[usize::from(node)];
    let lasting = line.change(fault, rng, on);
    if let Some(node) = world.node(node) {
        line.apply(&node);
    }
    lasting
}

/// Lets a fault happen; returns for how long, if it lasts.
fn strike(world: &World, fault: Fault, node: u8, rng: &mut Rng) -> Option<u64> {
    let lasts = if rng.one_in(3) { rng.between(20, 150) } else { rng.between(150, 1_200) };
    if change(world, fault, node, rng, true) {
        world.note(fault.name(), Some(node), lasts);
        return Some(lasts);
    }
    match fault {
        Fault::Crash => {
            world.note(fault.name(), Some(node), lasts);
            world.crash(node);
            return Some(lasts);
        }
        Fault::FailingSource => {
            world.note(fault.name(), None, lasts);
            *world.table.failing.lock().unwrap() = 60;
            return Some(lasts);
        }
        Fault::Cut => {
            world.note(fault.name(), Some(node), 0);
            if let Some(node) = world.node(node) {
                node.bus.cut();
            }
        }
        Fault::EvictValues => {
            world.note(fault.name(), None, 0);
            let keys = if rng.one_in(2) { HOT } else { KEYS };
            let key = rng.below(u64::from(keys)) as u32;
            world.remote.with(|_, slots| {
                for view in ["plain", "lively"] {
                    slots.evict_value(&RemoteKey::new(view, &key_bytes(key)));
                }
            });
        }
        Fault::EvictRecords => {
            world.note(fault.name(), None, 0);
            let tag = named(rng.below(4) as u32).id();
            world.remote.with(|_, slots| slots.evict_record(tag));
        }
        Fault::RemoteRestart => {
            world.note(fault.name(), None, 0);
            world.remote.with(|_, slots| *slots = tierkeep_cache::remote::Slots::default());
        }
        Fault::BusRestart => {
            world.note(fault.name(), None, 0);
            world.bus.restart_empty();
        }
        _ => {}
    }
    None
}

fn key_bytes(key: u32) -> Vec<u8> {
    tierkeep_cache::KeyWriter::encode(&key).into_vec()
}
