//! Schedules against an obvious model of the pool, step by step: who has which connection, who waits, who was told to go,
//! what was closed and why.
//!
//! The check is shown to notice a pool with other rules: each fault makes a model that differs from the pool on some
//! schedule.

use std::collections::{BTreeMap, VecDeque};

use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::task::JoinHandle;

use super::*;
use crate::ClosedConnections;

const TIMEOUT_MS: u64 = 30_000;
const RECYCLE_MS: u64 = 3_600_000;
/// More than the tasks that follow one from another in a step: a checkout may close each idle connection, one by one.
const TURNS: usize = 200;

/// The element at a place, counted around.
fn one_of(all: &[usize], at: usize) -> Option<usize> {
    all.get(at % all.len().max(1)).copied()
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    /// Of those that have a connection, the one at this place returns it, used or not.
    Return(usize, bool),
    Discard(usize),
    /// Of those that wait, the one at this place gives up.
    Cancel(usize),
    /// The server ends the connection at this place among the living.
    Kill(usize),
    Restart,
    Renew,
    PassMs(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Ask),
        6 => (0_usize..50, any::<bool>()).prop_map(|(at, used)| Step::Return(at, used)),
        1 => (0_usize..50).prop_map(Step::Discard),
        2 => (0_usize..10).prop_map(Step::Cancel),
        2 => (0_usize..50).prop_map(Step::Kill),
        1 => Just(Step::Restart),
        1 => Just(Step::Renew),
        2 => prop_oneof![Just(1), Just(TIMEOUT_MS / 2), Just(TIMEOUT_MS), Just(RECYCLE_MS / 2), Just(RECYCLE_MS)]
            .prop_map(Step::PassMs),
    ]
}

fn schedule() -> impl Strategy<Value = (usize, usize, Vec<Step>)> {
    // Mostly small, so that the bounds are met; sometimes the default.
    let sizes = prop_oneof![9 => (1_usize..4, 0_usize..4), 1 => Just((20, 30))];
    sizes.prop_flat_map(|(size, overflow)| {
        let steps = if size == 20 { 150..200 } else { 1..60 };
        (Just(size), Just(overflow), prop::collection::vec(step(), steps))
    })
}

/// What somebody sees of a pool between two steps.
#[derive(Debug, PartialEq)]
struct Sight {
    idle: usize,
    waiting: usize,
    lent: BTreeMap<usize, usize>,
    timed_out: Vec<usize>,
    living: usize,
    made: u64,
    checkouts: u64,
    closed: ClosedConnections,
}

/// A rule that a pool might break.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    LastComeFirstServed,
    KeepsOverflow,
    ClosesAtTheSize,
    LendsMoreThanTheMaximum,
    LendsTheOldestFirst,
    LendsWithoutPing,
    TrustsOlderConnections,
    NeverRecycles,
    RecyclesWhenReturned,
    WaitsForEver,
    LeaksAPlaceWhenCancelled,
    ForgetsDiscard,
}

const FAULTS: [Fault; 12] = [
    Fault::LastComeFirstServed,
    Fault::KeepsOverflow,
    Fault::ClosesAtTheSize,
    Fault::LendsMoreThanTheMaximum,
    Fault::LendsTheOldestFirst,
    Fault::LendsWithoutPing,
    Fault::TrustsOlderConnections,
    Fault::NeverRecycles,
    Fault::RecyclesWhenReturned,
    Fault::WaitsForEver,
    Fault::LeaksAPlaceWhenCancelled,
    Fault::ForgetsDiscard,
];

#[derive(Debug, Clone, Copy)]
struct Made {
    id: usize,
    at_ms: u64,
}

/// The written meaning of the pool, with nothing that takes time.
#[derive(Debug)]
struct Model {
    size: usize,
    max: usize,
    fault: Option<Fault>,
    now_ms: u64,
    callers: usize,
    idle: Vec<Made>,
    lent: BTreeMap<usize, Made>,
    waiting: VecDeque<(usize, u64)>,
    timed_out: Vec<usize>,
    dead: HashSet<usize>,
    dead_before_ms: Option<u64>,
    made: usize,
    checkouts: u64,
    closed: ClosedConnections,
}

impl Model {
    fn new(size: usize, overflow: usize, fault: Option<Fault>) -> Self {
        let extra = usize::from(fault == Some(Fault::LendsMoreThanTheMaximum));
        Self {
            size,
            max: size + overflow + extra,
            fault,
            now_ms: 0,
            callers: 0,
            idle: Vec::new(),
            lent: BTreeMap::new(),
            waiting: VecDeque::new(),
            timed_out: Vec::new(),
            dead: HashSet::new(),
            dead_before_ms: None,
            made: 0,
            checkouts: 0,
            closed: ClosedConnections::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Ask => {
                self.waiting.push_back((self.callers, self.now_ms));
                self.callers += 1;
            }
            Step::Return(at, _) => self.give_back(at, false),
            Step::Discard(at) => self.give_back(at, !self.has(Fault::ForgetsDiscard)),
            Step::Cancel(at) => {
                if self.waiting.remove(at % self.waiting.len().max(1)).is_some()
                    && self.has(Fault::LeaksAPlaceWhenCancelled)
                {
                    self.max -= 1;
                }
            }
            Step::Kill(at) => self.dead.extend(one_of(&self.living(), at)),
            Step::Restart => self.dead.extend(self.living()),
            Step::Renew => self.dead_before_ms = Some(self.now_ms),
            Step::PassMs(ms) => self.now_ms += ms,
        }
        if !self.has(Fault::WaitsForEver) {
            let now_ms = self.now_ms;
            let late = self.waiting.iter().filter(|(_, since)| now_ms - since >= TIMEOUT_MS).map(|(caller, _)| *caller);
            self.timed_out.extend(late);
            self.waiting.retain(|(_, since)| now_ms - since < TIMEOUT_MS);
        }
        self.serve();
    }

    fn serve(&mut self) {
        while self.lent.len() < self.max {
            let next =
                if self.has(Fault::LastComeFirstServed) { self.waiting.pop_back() } else { self.waiting.pop_front() };
            let Some((caller, _)) = next else { return };
            let connection = self.checkout();
            self.lent.insert(caller, connection);
            self.checkouts += 1;
        }
    }

    fn checkout(&mut self) -> Made {
        while !self.idle.is_empty() {
            let idle = if self.has(Fault::LendsTheOldestFirst) {
                self.idle.remove(0)
            } else {
                self.idle.remove(self.idle.len() - 1)
            };
            if self.is_outdated(idle) {
                self.closed.outdated += 1;
            } else if self.now_ms - idle.at_ms >= RECYCLE_MS && !self.has(Fault::NeverRecycles) {
                self.closed.recycled += 1;
            } else if self.dead.contains(&idle.id) && !self.has(Fault::LendsWithoutPing) {
                self.closed.dead += 1;
                self.dead_before_ms = Some(self.now_ms);
            } else {
                return idle;
            }
        }
        self.made += 1;
        Made { id: self.made, at_ms: self.now_ms }
    }

    fn give_back(&mut self, at: usize, discards: bool) {
        let Some(caller) = self.lent.keys().nth(at % self.lent.len().max(1)).copied() else { return };
        let Some(connection) = self.lent.remove(&caller) else { return };
        let kept = if self.has(Fault::ClosesAtTheSize) { self.size - 1 } else { self.size };
        if discards {
            self.closed.discarded += 1;
        } else if self.is_outdated(connection) {
            self.closed.outdated += 1;
        } else if self.has(Fault::RecyclesWhenReturned) && self.now_ms - connection.at_ms >= RECYCLE_MS {
            self.closed.recycled += 1;
        } else if self.idle.len() >= kept && !self.has(Fault::KeepsOverflow) {
            self.closed.overflow += 1;
        } else {
            self.idle.push(connection);
        }
    }

    fn is_outdated(&self, connection: Made) -> bool {
        !self.has(Fault::TrustsOlderConnections) && self.dead_before_ms.is_some_and(|moment| connection.at_ms < moment)
    }

    /// In the order in which they were made.
    fn living(&self) -> Vec<usize> {
        let mut living: Vec<usize> = self.idle.iter().chain(self.lent.values()).map(|made| made.id).collect();
        living.sort_unstable();
        living
    }

    fn sight(&self) -> Sight {
        Sight {
            idle: self.idle.len(),
            waiting: self.waiting.len(),
            lent: self.lent.iter().map(|(caller, made)| (*caller, made.id)).collect(),
            timed_out: self.timed_out.clone(),
            living: self.idle.len() + self.lent.len(),
            made: self.made as u64,
            checkouts: self.checkouts,
            closed: self.closed,
        }
    }
}

type Outcomes = Arc<Mutex<BTreeMap<usize, Result<Lease<FakeConnector>, Error>>>>;

/// The pool itself, driven by the same steps.
struct Driven {
    server: FakeConnector,
    pool: Lending<FakeConnector>,
    /// Those that were answered.
    outcomes: Outcomes,
    asking: Vec<JoinHandle<()>>,
    cancelled: HashSet<usize>,
}

impl Driven {
    fn new(size: usize, overflow: usize) -> Self {
        let server = FakeConnector::default();
        let limits = Limits {
            size,
            overflow,
            timeout: Duration::from_millis(TIMEOUT_MS),
            recycle: Duration::from_millis(RECYCLE_MS),
            pre_ping: true,
        };
        let pool = Lending::new(server.clone(), limits);
        Self { server, pool, outcomes: Outcomes::default(), asking: Vec::new(), cancelled: HashSet::new() }
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Ask => {
                let (caller, pool, outcomes) = (self.asking.len(), self.pool.clone(), Arc::clone(&self.outcomes));
                self.asking.push(tokio::spawn(async move {
                    let outcome = pool.get().await;
                    outcomes.lock().unwrap().insert(caller, outcome);
                }));
            }
            Step::Return(at, is_used) => {
                if let Some(lease) = self.give_back(at) {
                    drop(if is_used { used(lease) } else { lease });
                }
            }
            Step::Discard(at) => {
                if let Some(lease) = self.give_back(at) {
                    lease.discard();
                }
            }
            Step::Cancel(at) => {
                let unanswered: Vec<usize> = {
                    let outcomes = self.outcomes.lock().unwrap();
                    (0..self.asking.len())
                        .filter(|c| !self.cancelled.contains(c) && !outcomes.contains_key(c))
                        .collect()
                };
                // Those that were lent a connection and have returned it are not waiting either.
                let waiting: Vec<usize> = unanswered.into_iter().filter(|c| !self.asking[*c].is_finished()).collect();
                if let Some(caller) = one_of(&waiting, at) {
                    self.asking[caller].abort();
                    self.cancelled.insert(caller);
                }
            }
            Step::Kill(at) => {
                let mut state = self.server.state();
                let mut living: Vec<usize> = state.live.iter().copied().collect();
                living.sort_unstable();
                state.dead.extend(one_of(&living, at));
            }
            Step::Restart => self.server.restart(),
            Step::Renew => self.pool.renew(),
            Step::PassMs(ms) => advance(Duration::from_millis(ms)).await,
        }
        for _ in 0..TURNS {
            yield_now().await;
        }
    }

    fn give_back(&self, at: usize) -> Option<Lease<FakeConnector>> {
        let mut outcomes = self.outcomes.lock().unwrap();
        let lent: Vec<usize> = outcomes.iter().filter(|(_, o)| o.is_ok()).map(|(caller, _)| *caller).collect();
        let caller = one_of(&lent, at)?;
        outcomes.remove(&caller)?.ok()
    }

    fn sight(&self) -> Sight {
        let outcomes = self.outcomes.lock().unwrap();
        let status = self.pool.status();
        let counts = self.pool.counts();
        let id = |lease: &Lease<FakeConnector>| lease.content.as_ref().unwrap().session.id;
        let mut sight = Sight {
            idle: status.idle,
            waiting: status.waiting,
            lent: outcomes.iter().filter_map(|(caller, o)| Some((*caller, id(o.as_ref().ok()?)))).collect(),
            timed_out: outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(caller, _)| *caller).collect(),
            living: self.server.state().live.len(),
            made: counts.made,
            checkouts: counts.lent,
            closed: counts.closed,
        };
        sight.timed_out.sort_unstable();
        sight
    }
}

/// Tells the first step after which the pool is not what the model says.
fn difference(size: usize, overflow: usize, steps: &[Step], fault: Option<Fault>) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut driven = Driven::new(size, overflow);
        let mut model = Model::new(size, overflow, fault);
        for (number, step) in steps.iter().enumerate() {
            driven.take(step).await;
            model.take(step);
            let (found, mut wanted) = (driven.sight(), model.sight());
            wanted.timed_out.sort_unstable();
            if found != wanted {
                return Some(format!("after step {number}, {step:?}:\n{found:?}, wanted\n{wanted:?}"));
            }
        }
        let most = driven.server.state().most_live;
        (most > size + overflow).then(|| format!("{most} connections at once"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// P-D1, with the order of callers and of connections, and what the pool counts.
    #[test]
    fn pool_does_what_is_written_step_by_step((size, overflow, steps) in schedule()) {
        let difference = difference(size, overflow, &steps, None);
        prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }
}

#[test]
fn each_rule_that_a_pool_might_break_is_noticed() {
    for fault in FAULTS {
        let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let is_noticed = (0..500).any(|_| {
            let (size, overflow, steps) = schedule().new_tree(&mut runner).unwrap().current();
            size < 20 && difference(size, overflow, &steps, Some(fault)).is_some()
        });
        assert!(is_noticed, "{fault:?}");
    }
}
