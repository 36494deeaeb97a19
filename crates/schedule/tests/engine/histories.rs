//! Random histories of three nodes: kills, pauses, cuts, clocks that are set back. What was written is checked afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use tierkeep_db::{Database, Error};
use tierkeep_schedule::{Attempt, Job, JobError, Missed, Pace, Retries, RunState, Task};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior};

use crate::fixture::{Node, PACE, PATIENCE, Platform, on_both, open, task, write};

const NODES: usize = 3;
const HISTORIES: u64 = 12;
/// Histories within which each planted fault is to be found.
const SEARCH: u64 = 40;

on_both!(
    random_histories_keep_the_rules,
    writes_without_the_fence_are_found,
    instants_that_can_run_twice_are_found,
    claims_that_do_not_see_what_works_are_found,
);

/// What is not at its end yet, or due.
const OPEN_POSTGRES: &str = "select cast(
    (select count(*) from tierkeep_schedule_run where state in ('waiting', 'works'))
    + (select count(*) from tierkeep_schedule where next_at <= clock_timestamp()) as text)";
const OPEN_SQLITE: &str = "select cast(
    (select count(*) from tierkeep_schedule_run where state in ('waiting', 'works'))
    + (select count(*) from tierkeep_schedule where next_at <= cast(strftime('%s', 'now') as integer) * 1000000) as text)";

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The tasks are due.
    Due,
    /// Jobs on a node write once more, and those that have written enough end.
    Go(usize),
    /// The leases of all that works are over: they stand still.
    Expire,
    /// A node is killed; another one starts in its place.
    Kill(usize),
    /// The database forgets all connections (PostgreSQL).
    Cut,
    /// The clock is set back: what was due last is due again.
    Back,
    /// What waits for another attempt may begin.
    Resume,
    /// Somebody asks for a run.
    Ask(usize),
}

fn steps(seed: u64) -> Result<Vec<Step>> {
    let node = 0..NODES;
    let step = prop_oneof![
        4 => Just(Step::Due),
        8 => node.clone().prop_map(Step::Go),
        2 => Just(Step::Expire),
        2 => node.clone().prop_map(Step::Kill),
        1 => Just(Step::Cut),
        2 => Just(Step::Back),
        2 => Just(Step::Resume),
        1 => node.prop_map(Step::Ask),
    ];
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let steps = proptest::collection::vec(step, 8..24).new_tree(&mut runner);
    Ok(steps.map_err(|error| anyhow::anyhow!("{error}"))?.current())
}

/// Writes whenever it is let, as if it had stood still before; and looks at nothing else, not even whether it is to stop.
struct Sleeper {
    db: Database,
    go: Arc<Notify>,
    holds: bool,
    /// From here on all do what they have to, at once.
    is_quiet: Arc<AtomicBool>,
}

#[async_trait]
impl Job for Sleeper {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        for _ in 0..2 {
            loop {
                match write(&self.db, &attempt.fence, self.holds).await {
                    Ok(()) => break,
                    Err(error @ Error::Fenced { .. }) => return Err(JobError::Failed(error.to_string())),
                    // The connection was cut.
                    Err(_) if attempt.stop.is_cancelled() => return Err(JobError::Stopped),
                    Err(_) => {}
                }
            }
            if !self.is_quiet.load(Ordering::SeqCst) {
                self.go.notified().await;
            }
        }
        Ok(Value::Null)
    }
}

/// A fault that is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    NoFence,
    NoIndex,
    Blind,
}

struct World {
    platform: Platform,
    fault: Fault,
    nodes: Vec<(Node, Arc<Notify>)>,
    is_quiet: Arc<AtomicBool>,
    pulse: Interval,
}

impl World {
    async fn node(&self) -> (Node, Arc<Notify>) {
        let go = Arc::new(Notify::new());
        let job = Arc::new(Sleeper {
            db: open(&self.platform.url()).await,
            go: Arc::clone(&go),
            holds: self.fault != Fault::NoFence,
            is_quiet: Arc::clone(&self.is_quiet),
        }) as Arc<dyn Job>;
        let retries = Retries { at_most: 10, first_pause: Duration::from_secs(1) };
        let task = |name| Task { retries, missed: Missed::Once, ..task(name) };
        let tasks = vec![(task("one"), Arc::clone(&job)), (task("two"), job)];
        let pace = Pace { grace: Duration::from_millis(50), ..PACE };
        (Node::start(self.platform.node(tasks).await.pace(pace)), go)
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        let platform = &self.platform;
        match step {
            Step::Due => platform.make_due().await,
            Step::Go(node) => self.nodes[node].1.notify_waiters(),
            Step::Expire => platform.expire().await,
            Step::Kill(node) => {
                let started = self.node().await;
                let (killed, _) = std::mem::replace(&mut self.nodes[node], started);
                killed.kill().await;
            }
            Step::Cut if platform.is_postgres() => {
                let others = "select pg_terminate_backend(pid) from pg_stat_activity
                              where datname = current_database() and pid <> pg_backend_pid()";
                platform.execute(others).await;
            }
            Step::Cut => {}
            Step::Back => {
                let last = "update tierkeep_schedule set next_at = coalesce(
                    (select max(r.due) from tierkeep_schedule_run r where r.task = name and not r.asked_for), next_at)";
                platform.execute(last).await;
            }
            Step::Resume => platform.end_pauses().await,
            // It may be at work, or the connection be cut.
            Step::Ask(node) => drop(self.nodes[node].0.scheduler.ask_for("one").await),
        }
        // Some looks of each node at its own pace: nothing else can be waited for, as nothing need begin.
        self.pulse.tick().await;
        Ok(())
    }

    /// Nothing fails any more: everything ends.
    async fn quiet(&mut self) -> Result<()> {
        self.is_quiet.store(true, Ordering::SeqCst);
        let ended = async {
            loop {
                self.platform.end_pauses().await;
                for (_, go) in &self.nodes {
                    go.notify_waiters();
                }
                let open = self.platform.text(if self.platform.is_postgres() { OPEN_POSTGRES } else { OPEN_SQLITE });
                if open.await.as_deref() == Some("0") {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await?;
        Ok(())
    }
}

/// Plays a history, and returns what is wrong with what came of it.
async fn play(platform: Platform, fault: Fault, seed: u64) -> Result<Vec<String>> {
    let mut pulse = tokio::time::interval(Duration::from_millis(60));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut world = World { platform, fault, nodes: Vec::new(), is_quiet: Arc::default(), pulse };
    plant(&world.platform, fault).await;
    for _ in 0..NODES {
        let node = world.node().await;
        world.nodes.push(node);
    }
    world.nodes[0].0.knows(&world.platform).await?;
    let steps = steps(seed)?;
    for step in &steps {
        world.step(*step).await?;
    }
    if fault != Fault::Blind {
        let quiet = world.quiet().await;
        quiet.map_err(|error| error.context(format!("seed {seed}: {steps:?}")))?;
    }
    let wrong = check(&world, seed).await?;
    for (node, _) in world.nodes {
        node.kill().await;
    }
    Ok(wrong)
}

async fn plant(platform: &Platform, fault: Fault) {
    match fault {
        Fault::None | Fault::NoFence => {}
        Fault::NoIndex => platform.execute("drop index tierkeep_schedule_run_once").await,
        // A run that is taken is at once in a state that claims do not look for.
        Fault::Blind => {
            platform
                .execute_on(
                    "create function hide() returns trigger language plpgsql as
                     $$ begin if new.state = 'works' then new.state := 'hidden'; end if; return new; end $$;
                     create trigger hide before update on tierkeep_schedule_run
                     for each row execute function hide()",
                    "create trigger hide after update on tierkeep_schedule_run when new.state = 'works'
                     begin update tierkeep_schedule_run set state = 'hidden' where id = new.id; end",
                )
                .await;
        }
    }
}

/// The rules: the tokens of a task's writes never fall; no instant has two runs; nothing works beside another; and in the end
/// everything has ended.
async fn check(world: &World, seed: u64) -> Result<Vec<String>> {
    let platform = &world.platform;
    let mut wrong = Vec::new();
    let work = platform.text(if platform.is_postgres() {
        "select string_agg(task || '=' || token, ';' order by id) from work"
    } else {
        "select group_concat(task || '=' || token, ';') from (select task, token from work order by id)"
    });
    let work = work.await.unwrap_or_default();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (task, token) in work.split(';').filter_map(|entry| entry.split_once('=')) {
        let token: i64 = token.parse()?;
        let before = last.insert(task, token).unwrap_or(0);
        if token < before {
            wrong.push(format!("seed {seed}: {task} wrote with {token} after {before}"));
        }
    }
    let twice =
        "select cast(count(*) - count(distinct task || due) as text) from tierkeep_schedule_run where not asked_for";
    if platform.text(twice).await.as_deref() != Some("0") {
        wrong.push(format!("seed {seed}: an instant has two runs"));
    }
    let beside = "select cast(count(*) - count(distinct task) as text) from tierkeep_schedule_run
                  where state in ('works', 'hidden')";
    if platform.text(beside).await.as_deref() != Some("0") {
        wrong.push(format!("seed {seed}: two runs of a task work at once"));
    }
    if world.fault == Fault::None {
        let history = world.nodes[0].0.scheduler.history(None, 1000).await?;
        for run in history.iter().filter(|run| !matches!(run.state, RunState::Done)) {
            // Only one whose every attempt was killed or overtaken.
            if run.attempts < 11 {
                wrong.push(format!("seed {seed}: {run:?}"));
            }
        }
    }
    Ok(wrong)
}

async fn fresh(platform: &Platform) -> Result<Platform> {
    if platform.is_postgres() { Platform::postgres().await } else { Platform::sqlite().await }
}

async fn random_histories_keep_the_rules(platform: Platform) -> Result<()> {
    for seed in 0..HISTORIES {
        let wrong = Box::pin(play(fresh(&platform).await?, Fault::None, seed)).await?;
        ensure!(wrong.is_empty(), "{wrong:#?}");
    }
    Ok(())
}

async fn is_found(platform: Platform, fault: Fault) -> Result<()> {
    for seed in 0..SEARCH {
        let wrong = Box::pin(play(fresh(&platform).await?, fault, seed)).await?;
        if let Some(wrong) = wrong.first() {
            println!("{fault:?} is found: {wrong}");
            return Ok(());
        }
    }
    anyhow::bail!("{fault:?} was not found in {SEARCH} histories")
}

async fn writes_without_the_fence_are_found(platform: Platform) -> Result<()> {
    is_found(platform, Fault::NoFence).await
}

async fn instants_that_can_run_twice_are_found(platform: Platform) -> Result<()> {
    is_found(platform, Fault::NoIndex).await
}

async fn claims_that_do_not_see_what_works_are_found(platform: Platform) -> Result<()> {
    is_found(platform, Fault::Blind).await
}
