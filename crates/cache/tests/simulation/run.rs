//! One run: the storm, the quiet after it, and the verdict.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::checker::{Event, Read, Rule, Saw, Update, Violation, check};
use crate::faults::rage;
use crate::source::{KEYS, Trip};
use crate::workload::{CLIENTS_PER_NODE, client, fetch, settle_key};
use crate::world::{LEASE, Level, NODES, Profile, Totals, World};

/// What is promised of invalidations that were repeated: they are, at least this often.
const REPEATED_WITHIN: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    pub(crate) totals: Totals,
    /// Of everything that clients saw, in order.
    pub(crate) trace: u64,
    world: Arc<World>,
}

impl Verdict {
    /// The first violations, as they are told.
    pub(crate) fn report(&self, name: &str) -> String {
        let mut text = format!(
            "{name}, seed {}, {:?}: {} violations. Replay: TIERKEEP_SEEDS={0}..{} cargo test -p tierkeep-cache \
             --features redis --test simulation {name}\n",
            self.world.seed,
            self.world.profile.level,
            self.violations.len(),
            self.world.seed + 1,
        );
        for violation in self.violations.iter().take(3) {
            let from = violation.update.as_ref().map_or(violation.read.begun, |update| update.begun);
            let faults = self.world.in_force(from.millis().saturating_sub(500), violation.read.returned.millis());
            text += &format!("  {violation}\n    faults since 500 ms before: {faults}\n");
        }
        text
    }
}

/// One run of one seed.
pub(crate) fn run(seed: u64, profile: Profile, terms_of: Level) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads needs nothing");
    let (world, mut unsettled) = runtime.block_on(async {
        let world = World::new(seed, profile);
        let unsettled = storm_and_quiet(&world).await;
        (world, unsettled)
    });
    let history = world.history.lock().unwrap().clone();
    let mut violations = check(&history, &terms_of.terms());
    violations.append(&mut unsettled);
    let mut totals = world.totals.lock().unwrap().clone();
    for event in &history {
        match event {
            Event::Read(_) => totals.reads += 1,
            Event::Update(update) if update.ack.is_some() => totals.acknowledged += 1,
            Event::Update(_) => totals.unacknowledged += 1,
        }
    }
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    std::hash::Hash::hash(&history, &mut hasher);
    std::hash::Hash::hash(&*world.spans.lock().unwrap(), &mut hasher);
    std::hash::Hash::hash(&totals.injected, &mut hasher);
    Verdict { violations, totals, trace: hasher.digest(), world: Arc::clone(&world) }
}

async fn storm_and_quiet(world: &Arc<World>) -> Vec<Violation> {
    for node in 0..NODES {
        world.start(node);
    }
    let (calm, mut clients) = (CancellationToken::new(), JoinSet::new());
    let faults = tokio::spawn(rage(Arc::clone(world), calm.clone()));
    for session in 0..u32::from(NODES) * CLIENTS_PER_NODE {
        let node = (session % u32::from(NODES)) as u8;
        clients.spawn(client(Arc::clone(world), node, session));
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("clients do not panic");
    }
    calm.cancel();
    faults.await.expect("faults do not panic");
    let found = quiet(world).await;
    for node in 0..NODES {
        if let Some(node) = world.node(node) {
            world.sum_up(&node);
            node.cache.close().await;
        }
    }
    found
}

/// Everything is healed: now all nodes must come to agree with the source, and nothing may be left over.
async fn quiet(world: &Arc<World>) -> Vec<Violation> {
    let mut waited = Duration::ZERO;
    loop {
        let nodes = (0..NODES).filter_map(|node| world.node(node));
        let busy = nodes.map(|node| node.cache.state()).any(|state| state.unsettled + state.loads_running > 0);
        if !busy {
            break;
        }
        assert!(waited < REPEATED_WITHIN, "seed {}: loads or invalidations are left over", world.seed);
        waited += Duration::from_millis(100);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(LEASE + Duration::from_millis(200)).await;
    let lost_with_a_node = lost(world);
    for key in lost_with_a_node {
        if let Some(node) = world.node(0) {
            settle_key(world, &node, key).await;
        }
    }
    let rest = match world.profile.level {
        Level::Local => Duration::from_secs(3),
        Level::Bounded | Level::Strict => LEASE,
    };
    tokio::time::sleep(rest).await;
    let mut found = Vec::new();
    for pass in 0..2 {
        for number in 0..NODES {
            let Some(node) = world.node(number) else { continue };
            for key in 0..KEYS {
                let before = world.history.lock().unwrap().len();
                fetch(world, &node, 1_000 + u32::from(number), key, Trip::CLEAN, false).await;
                let history = world.history.lock().unwrap();
                match history.get(before) {
                    Some(Event::Read(read)) if pass == 1 && !is_last(world, read) => found.push(read.clone()),
                    Some(_) => {}
                    None => panic!("seed {}: key {key} cannot be read after the faults", world.seed),
                }
            }
        }
        // What was served stale is replaced meanwhile.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    let leftover = |read: Read| Violation { rule: Rule::Convergence, update: last_update(world, read.key), read };
    found.into_iter().map(leftover).collect()
}

fn is_last(world: &World, read: &Read) -> bool {
    let row = world.table.row(read.key);
    read.saw == if row.deleted { Saw::Absent } else { Saw::Version(row.version) }
}

fn last_update(world: &World, key: u32) -> Option<Update> {
    let history = world.history.lock().unwrap();
    let updates = history.iter().filter_map(|event| match event {
        Event::Update(update) if update.key == key => Some(update.clone()),
        _ => None,
    });
    updates.max_by_key(|update| update.version)
}

/// Keys of which a node knew something that others did not, when it crashed.
fn lost(world: &World) -> Vec<u32> {
    let history = world.history.lock().unwrap();
    let alive = |update: &Update| world.node(update.place.node).is_some_and(|node| node.place == update.place);
    let mut keys: Vec<u32> = history
        .iter()
        .filter_map(|event| match event {
            Event::Update(update) if update.version > 1 && update.ack.is_none() && !alive(update) => Some(update.key),
            _ => None,
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
