//! Random histories of three nodes against a model of the lease.

use anyhow::{Result, ensure};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tierkeep_db::Database;
use tierkeep_retention::{Hold, RetentionError};

use crate::fixture::{Platform, batch, is_overtaken, on_both, take};

const NODES: usize = 3;
const HISTORIES: usize = 60;

on_both!(random_histories_follow_the_model, runs_that_ask_for_no_leave_are_found);

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(usize),
    Batch(usize),
    /// The holder stands still for longer than its lease.
    Expire,
    Kill(usize),
    Release(usize),
    Drop(usize),
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..NODES;
    let step = prop_oneof![
        4 => node.clone().prop_map(Step::Take),
        6 => node.clone().prop_map(Step::Batch),
        2 => Just(Step::Expire),
        1 => node.clone().prop_map(Step::Kill),
        1 => node.clone().prop_map(Step::Release),
        1 => node.prop_map(Step::Drop),
    ];
    proptest::collection::vec(step, 5..30)
}

/// What the row and the proofs of life say.
#[derive(Debug, Default)]
struct Model {
    holder: Option<usize>,
    is_expired: bool,
    /// PostgreSQL: whether the holder's session is there. SQLite: whether the row says that the holder has the file's lock.
    has_proof: bool,
    /// SQLite: who has the file's lock.
    locked_by: Option<usize>,
    /// SQLite: who may not lock it any more, since they know that the lease has passed on.
    knows: [bool; NODES],
}

impl Model {
    fn take(&mut self, node: usize, is_postgres: bool) -> bool {
        let is_gone = if is_postgres { !self.has_proof } else { self.has_proof && self.locked_by.is_none() };
        if self.holder.is_some() && !self.is_expired && !is_gone {
            return false;
        }
        if self.locked_by.is_none() {
            self.locked_by = Some(node);
        }
        (self.holder, self.is_expired) = (Some(node), false);
        self.has_proof = is_postgres || self.locked_by == Some(node);
        self.knows[node] = false;
        true
    }

    fn batch(&mut self, node: usize, is_postgres: bool) -> bool {
        if self.holder != Some(node) {
            self.unlock(node);
            self.knows[node] = true;
            return false;
        }
        self.is_expired = false;
        if self.locked_by.is_none() && !self.knows[node] {
            self.locked_by = Some(node);
        }
        self.has_proof = if is_postgres { self.has_proof } else { self.locked_by == Some(node) };
        true
    }

    fn release(&mut self, node: usize) -> bool {
        let is_holder = self.holder == Some(node);
        if is_holder {
            self.holder = None;
        }
        self.unlock(node);
        is_holder
    }

    /// Its session, or its lock, is gone.
    fn lose(&mut self, node: usize, is_postgres: bool) {
        if is_postgres && self.holder == Some(node) {
            self.has_proof = false;
        }
        self.unlock(node);
    }

    fn unlock(&mut self, node: usize) {
        if self.locked_by == Some(node) {
            self.locked_by = None;
        }
    }
}

/// A node that may have, or believe to have, the lease.
struct Node {
    db: Database,
    held: Option<Held>,
}

struct Held {
    hold: Hold,
    fence: i64,
    session: Option<i32>,
}

/// Plays a history; `asks` says whether batches ask for leave.
async fn play(platform: &Platform, nodes: &mut [Node], steps: &[Step], asks: bool) -> Result<()> {
    let is_postgres = platform.is_postgres();
    let mut model = Model::default();
    for (at, step) in steps.iter().enumerate() {
        let (expected, got) = match *step {
            Step::Take(node) => {
                if nodes[node].held.is_some() {
                    continue;
                }
                let taken = match take(&nodes[node].db).await {
                    Ok(hold) => {
                        let session = platform.value("select session from tierkeep_retention").await;
                        let session = session.map(|session| session.parse()).transpose()?;
                        nodes[node].held = Some(Held { hold, fence: platform.fence().await, session });
                        true
                    }
                    Err(RetentionError::Busy { .. }) => false,
                    Err(error) => return Err(error.into()),
                };
                (model.take(node, is_postgres), taken)
            }
            Step::Batch(node) => {
                let Node { db, held: Some(held) } = &nodes[node] else { continue };
                let keeper = held.hold.keeper();
                match batch(db, asks.then_some(&keeper), held.fence).await {
                    Ok(()) if !asks => continue,
                    Ok(()) => (model.batch(node, is_postgres), true),
                    Err(RetentionError::Fenced) => (model.batch(node, is_postgres), false),
                    Err(error) => return Err(error.into()),
                }
            }
            Step::Expire => {
                platform.expire().await;
                model.is_expired = model.holder.is_some();
                continue;
            }
            Step::Kill(node) if is_postgres => {
                let Some(held) = &nodes[node].held else { continue };
                platform.terminate(held.session.unwrap()).await;
                model.lose(node, is_postgres);
                continue;
            }
            Step::Kill(node) | Step::Drop(node) => {
                let Some(held) = nodes[node].held.take() else { continue };
                drop(held.hold);
                if is_postgres {
                    platform.gone(held.session.unwrap()).await;
                }
                model.lose(node, is_postgres);
                continue;
            }
            Step::Release(node) => {
                let Some(held) = nodes[node].held.take() else { continue };
                let is_lost = held.hold.release().await;
                let could_tell = !matches!(is_lost, Err(RetentionError::Postgres(_)));
                if !could_tell {
                    // Its session had been killed, so it could not say goodbye.
                    model.lose(node, is_postgres);
                    continue;
                }
                (model.release(node), is_lost.is_ok())
            }
        };
        ensure!(expected == got, "step {at}, {step:?}: {got}, the model says {expected}: {model:?}");
    }
    Ok(())
}

async fn play_all(platform: &Platform, asks: bool) -> Result<usize> {
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Node { db: platform.database().await, held: None });
    }
    let mut runner = TestRunner::deterministic();
    let (mut overtaken, mut batches) = (0, 0);
    for _ in 0..HISTORIES {
        let steps = histories().new_tree(&mut runner).map_err(|error| anyhow::anyhow!("{error}"))?.current();
        let played = play(platform, &mut nodes, &steps, asks).await;
        played.map_err(|error| error.context(format!("{steps:?}")))?;

        let work = platform.work().await;
        batches += work.len();
        overtaken += usize::from(is_overtaken(&work));
        for node in &mut nodes {
            node.held = None;
        }
        platform.execute("delete from work").await;
        platform.execute("update tierkeep_retention set holder = '', session = null").await;
    }
    ensure!(batches > HISTORIES, "only {batches} batches were committed");
    Ok(overtaken)
}

async fn random_histories_follow_the_model(platform: Platform) -> Result<()> {
    assert_eq!(play_all(&platform, true).await?, 0);
    Ok(())
}

async fn runs_that_ask_for_no_leave_are_found(platform: Platform) -> Result<()> {
    assert!(play_all(&platform, false).await? > 0);
    Ok(())
}
