//! Three nodes, what they share, and the record of what their clients saw. One seed gives one course of events.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tierkeep_cache::bus::InProcessBus;
use tierkeep_cache::remote::InProcess;
use tierkeep_cache::testing::{FaultyBus, FaultyRemote, Injected};
use tierkeep_cache::{Cache, Clock, Counts, Policy, Postcard, Promise, Sabotage, View};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checker::{Event, Life, Moment, Place, Terms, Update};
use crate::faults::{Fault, Line};
use crate::rng::Rng;
use crate::source::{Family, LIVELY, Table, Value, family};
use crate::workload::Change;

pub(crate) const NODES: u8 = 3;
/// The lease of `Bounded` and `Strict`.
pub(crate) const LEASE: Duration = Duration::from_millis(400);
/// How long a load may take.
pub(crate) const HARD_TIMEOUT: Duration = Duration::from_millis(1_000);
/// After this time a call whose answer will not come has timed out.
pub(crate) const CALL_LIMIT: Duration = Duration::from_millis(250);
/// Longer than a run, so that what goes wrong stays wrong until somebody looks.
const LONG: Life = Life { ttl: 60_000, grace: 0 };
/// Under `Local` the life of a value is what is promised.
const SHORT: Life = Life { ttl: 1_500, grace: 0 };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    Local,
    Bounded,
    Strict,
}

impl Level {
    pub(crate) const ALL: [Self; 3] = [Self::Local, Self::Bounded, Self::Strict];

    fn promise(self) -> Promise {
        match self {
            Self::Local => Promise::Local,
            Self::Bounded => Promise::Bounded(LEASE),
            Self::Strict => Promise::Strict(LEASE),
        }
    }

    pub(crate) fn terms(self) -> Terms {
        Terms {
            bound: self.promise().bound().map(|bound| bound.as_millis() as u64),
            // A store that was overtaken takes effect at most two limits late, and a call may be slow besides.
            store_slack: 3 * CALL_LIMIT.as_millis() as u64,
            // Loader, remote tier before and after, and a wait for somebody else's lease.
            load_slack: 2 * HARD_TIMEOUT.as_millis() as u64 + 4 * CALL_LIMIT.as_millis() as u64,
            life: match self {
                Self::Local => |key| life(key, SHORT),
                _ => |key| life(key, LONG),
            },
        }
    }
}

fn life(key: u32, others: Life) -> Life {
    if family(key) == Family::Lively { LIVELY } else { others }
}

/// What a run consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) level: Level,
    pub(crate) sabotage: Option<Sabotage>,
    /// Operations of each of the clients.
    pub(crate) operations: u64,
    /// Longest pause of a client between two operations, in milliseconds.
    pub(crate) pause: u64,
    /// Half of the operations are about keys of this view.
    pub(crate) favourite: Option<Family>,
    pub(crate) changes: &'static [(u32, Change)],
    pub(crate) faults: &'static [(u32, Fault)],
    /// Longest pause between two faults, in milliseconds.
    pub(crate) calm: u64,
}

/// One life of one node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) cache: Cache,
    pub(crate) plain: View<u32, Value>,
    pub(crate) lively: View<u32, Value>,
    pub(crate) memory: View<u32, Value>,
    pub(crate) remote: Arc<FaultyRemote>,
    pub(crate) bus: Arc<FaultyBus>,
    pub(crate) crashed: CancellationToken,
}

impl Node {
    pub(crate) fn view(&self, key: u32) -> &View<u32, Value> {
        match family(key) {
            Family::Plain => &self.plain,
            Family::Lively => &self.lively,
            Family::Memory => &self.memory,
        }
    }
}

/// What a run exercised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) counts: Counts,
    pub(crate) gaps: u64,
    pub(crate) lives: u64,
    pub(crate) acknowledged: u64,
    pub(crate) unacknowledged: u64,
    pub(crate) reads: u64,
    pub(crate) faults: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) injected: [u64; 10],
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts = self.counts + other.counts;
        self.gaps += other.gaps;
        self.lives += other.lives;
        self.acknowledged += other.acknowledged;
        self.unacknowledged += other.unacknowledged;
        self.reads += other.reads;
        for (fault, times) in &other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        self.injected.iter_mut().zip(other.injected).for_each(|(sum, more)| *sum += more);
    }

    fn inject(&mut self, of: Injected) {
        let all = [
            of.passed,
            of.refused,
            of.lost_answers,
            of.overtaken,
            of.black_holed,
            of.delivered,
            of.lost_messages,
            of.duplicates,
            of.reordered,
            of.cuts,
        ];
        self.injected.iter_mut().zip(all).for_each(|(sum, more)| *sum += more);
    }

    /// Gaps that were noticed, the first contact of each life apart.
    fn real_gaps(&self) -> u64 {
        self.gaps.saturating_sub(self.lives)
    }

    /// One line.
    pub(crate) fn summary(&self) -> String {
        let Counts { memory_hits, remote_hits, loads, waits, fills_refused, degraded_fills, bypasses, .. } =
            self.counts;
        format!(
            "{} reads, {memory_hits} from memory, {remote_hits} from the remote tier, {loads} loads, {waits} waited, {} \
             stale, {} negative; {} updates acknowledged, {} not; {fills_refused} fills refused, {degraded_fills} \
             degraded; {} gaps, {bypasses} bypasses; {} faults, {} lives of nodes",
            self.reads,
            self.counts.stale_served,
            self.counts.negative_hits,
            self.acknowledged,
            self.unacknowledged,
            self.real_gaps(),
            self.faults.values().sum::<u64>(),
            self.lives,
        )
    }

    /// What did not happen, and should have.
    pub(crate) fn missing(&self, profile: &Profile) -> Vec<&'static str> {
        let counts = &self.counts;
        let happened = [
            ("memory hit", counts.memory_hits),
            ("remote hit", counts.remote_hits),
            ("load", counts.loads),
            ("wait", counts.waits),
            ("stale value", counts.stale_served),
            ("negative hit", counts.negative_hits),
            ("refused fill", counts.fills_refused),
            ("failed load", counts.load_failures),
            ("suspect entry", counts.suspects),
            ("bypass", counts.bypasses),
            ("gap", self.real_gaps()),
            ("acknowledged update", self.acknowledged),
            ("update that was not acknowledged", self.unacknowledged),
        ];
        let faults = profile.faults.iter().map(|(_, fault)| fault.name());
        let faults = faults.map(|name| (name, self.faults.get(name).copied().unwrap_or(0)));
        happened.into_iter().chain(faults).filter(|(_, times)| *times == 0).map(|(what, _)| what).collect()
    }
}

/// A fault and when it was in force.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Span {
    pub(crate) what: &'static str,
    pub(crate) node: Option<u8>,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) table: Table,
    pub(crate) remote: Arc<InProcess>,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) lines: Mutex<[Line; NODES as usize]>,
    started: Instant,
    order: Mutex<u64>,
    pub(crate) history: Mutex<Vec<Event>>,
    pub(crate) spans: Mutex<Vec<Span>>,
    pub(crate) totals: Mutex<Totals>,
    nodes: Mutex<[Option<Arc<Node>>; NODES as usize]>,
    lives: Mutex<u32>,
}

impl World {
    /// Everything but the nodes; inside a runtime whose clock is paused.
    pub(crate) fn new(seed: u64, profile: Profile) -> Arc<Self> {
        let mut rng = Rng::new(seed, 1);
        let mut clock = || Clock::simulated(Duration::from_millis(rng.below(7_200_000)));
        let world = Self {
            seed,
            profile,
            table: Table::new(),
            remote: Arc::new(InProcess::new(clock())),
            bus: Arc::new(InProcessBus::new(clock())),
            lines: Mutex::default(),
            started: Instant::now(),
            order: Mutex::new(0),
            history: Mutex::default(),
            spans: Mutex::default(),
            totals: Mutex::default(),
            nodes: Mutex::default(),
            lives: Mutex::default(),
        };
        for key in 0..crate::source::KEYS {
            world.history.lock().unwrap().push(Event::Update(first_version(key, world.moment())));
        }
        Arc::new(world)
    }

    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub(crate) fn moment(&self) -> Moment {
        let mut order = self.order.lock().unwrap();
        *order += 1;
        Moment::new(self.now(), *order)
    }

    pub(crate) fn node(&self, node: u8) -> Option<Arc<Node>> {
        self.nodes()[usize::from(node)].clone()
    }

    fn nodes(&self) -> MutexGuard<'_, [Option<Arc<Node>>; NODES as usize]> {
        self.nodes.lock().unwrap()
    }

    /// Starts a node, unless it runs. Its clock is up to an hour off to either side, or has just begun.
    pub(crate) fn start(&self, number: u8) {
        if self.node(number).is_some() {
            return;
        }
        let life = {
            let mut lives = self.lives.lock().unwrap();
            *lives += 1;
            *lives
        };
        let mut rng = Rng::new(self.seed, 1_000 + u64::from(life));
        let offset = if rng.one_in(3) { 0 } else { rng.below(7_200_000) };
        let remote = Arc::new(FaultyRemote::new(self.remote.clone(), rng.next()));
        let bus = Arc::new(FaultyBus::new(self.bus.clone(), rng.next()));
        let mut builder = Cache::builder("simulated")
            .memory(if rng.one_in(4) { 64 << 10 } else { 1 << 20 })
            .clock(Clock::simulated(Duration::from_millis(offset)))
            .seed(rng.next())
            .remote(remote.clone())
            .bus(bus.clone())
            .promise(self.profile.level.promise())
            .sweep_every(Duration::from_millis(700));
        if let Some(sabotage) = self.profile.sabotage {
            builder = builder.sabotage(sabotage);
        }
        let cache = builder.build().expect("the settings are consistent");
        let long = (self.profile.level.terms().life)(0);
        let plain = Policy::ttl(Duration::from_millis(long.ttl))
            .negative(Duration::from_millis(long.ttl))
            .loader_timeout(None, HARD_TIMEOUT);
        let lively = Policy::ttl(Duration::from_millis(LIVELY.ttl))
            .negative(Duration::from_millis(LIVELY.ttl / 2))
            .stale_while_revalidate(Duration::from_millis(LIVELY.grace / 3))
            .stale_if_error(Duration::from_millis(LIVELY.grace))
            .early_refresh(60)
            .loader_timeout(Some(Duration::from_millis(50)), HARD_TIMEOUT);
        let view = |name: &str, policy: Policy| {
            cache.view::<u32, Value>(name).policy(policy).tags(|key| vec![crate::source::named(key % 2)])
        };
        let shared = |name, policy| {
            let codec = Postcard::shape(1);
            view(name, policy).codec(codec).build_weighed(|_| 24).expect("the name is free")
        };
        let node = Node {
            place: Place { node: number, life },
            plain: shared("plain", plain),
            lively: shared("lively", lively),
            memory: view("memory", plain).build_weighed(|_| 24).expect("the name is free"),
            remote,
            bus,
            crashed: CancellationToken::new(),
            cache,
        };
        self.lines.lock().unwrap()[usize::from(number)].apply(&node);
        self.nodes()[usize::from(number)] = Some(Arc::new(node));
    }

    /// Ends a node without a word to anybody: nothing that it began goes on.
    pub(crate) fn crash(&self, number: u8) {
        let Some(node) = self.nodes()[usize::from(number)].take() else { return };
        self.sum_up(&node);
        node.remote.crash();
        node.bus.crash();
        node.crashed.cancel();
    }

    /// Adds what a node did to the totals.
    pub(crate) fn sum_up(&self, node: &Node) {
        let state = node.cache.state();
        let mut totals = self.totals.lock().unwrap();
        totals.counts = totals.counts + node.cache.counts();
        totals.gaps += state.gaps;
        totals.lives += 1;
        totals.inject(node.remote.injected());
        totals.inject(node.bus.injected());
    }

    /// A fault that lasts, or one of a moment.
    pub(crate) fn note(&self, fault: &'static str, node: Option<u8>, lasts: u64) {
        let from = self.now();
        self.spans.lock().unwrap().push(Span { what: fault, node, from, until: from + lasts });
        *self.totals.lock().unwrap().faults.entry(fault).or_default() += 1;
    }

    /// Faults that were in force at any time between two moments, for a report.
    pub(crate) fn in_force(&self, from: u64, until: u64) -> String {
        let spans = self.spans.lock().unwrap();
        let there = spans.iter().filter(|span| span.from <= until && span.until >= from);
        let all: Vec<String> = there
            .map(|span| match span.node {
                Some(node) => format!("{} of node {node} {}..{}", span.what, span.from, span.until),
                None => format!("{} {}..{}", span.what, span.from, span.until),
            })
            .collect();
        all.join(", ")
    }
}

fn first_version(key: u32, begun: Moment) -> Update {
    let nobody = Place { node: u8::MAX, life: 0 };
    let (version, tombstone, scope, soft) = (1, false, 0, false);
    Update { key, version, tombstone, scope, soft, place: nobody, begun, returned: None, ack: None }
}
