//! A node: what runs in one process of an installation, whether or not it listens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;
use tierkeep_learning::store::Store;
use tierkeep_schedule::Scheduler;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::audit::Auditor;
use crate::config::Config;
use crate::doctor::note_statements;
use crate::http::App;
use crate::upkeep::{self, Upkeep};
use crate::{erasure, heap};

/// How long tasks that work may take to their next safe point when the node ends: less than requests under way may, and
/// both end at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the node's end waits for what tells somebody of a task that has failed.
const LAST_NOTICE: Duration = Duration::from_secs(1);

/// What runs beside the requests: what concerns all nodes, and this one's part in it.
#[derive(Debug)]
pub struct Node {
    app: Arc<App>,
    stop: CancellationToken,
    running: Vec<(&'static str, JoinHandle<()>)>,
}

impl Node {
    /// Begins what a node does. Where nothing may be written that is only to keep an eye on the tokens.
    ///
    /// # Errors
    /// A time of the configuration that does not fit.
    pub fn begin(
        app: Arc<App>,
        config: &Config,
        scheduler: Option<Arc<Scheduler>>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut node = Self { app, stop, running: Vec::new() };
        let (bound, app, stop) = (config.freshness.bound, Arc::clone(&node.app), node.stop.clone());
        node.run("reads the tokens", async move { app.access.follow(bound, stop).await });
        let (tiers, stop) = (Arc::clone(&node.app.tiers), node.stop.clone());
        node.run("counts reads by the minute", async move { tiers.count_by_the_minute(stop).await });
        node.run("gives memory back", heap::follow(node.stop.clone()));
        if !node.store().is_read_only() {
            node.look_after(config)?;
        }
        if let Some(scheduler) = scheduler {
            let stop = node.stop.clone();
            node.run("follows the schedule", async move { scheduler.follow(stop, PATIENCE).await });
        }
        Ok(node)
    }

    /// Folding in advance, pruning, the auditor, and the erasure of learners who departed.
    fn look_after(&mut self, config: &Config) -> anyhow::Result<()> {
        let (app, store) = (Arc::clone(&self.app), Arc::clone(self.store()));
        let done = Arc::clone(&app.metrics.upkeep);
        let upkeep = Upkeep::new(Arc::clone(&store), config.freshness.retention(), app.clock, done);
        let unfolded = Arc::clone(&app);
        let folding = upkeep::start(upkeep, move || unfolded.tiers.is_unfolded(), self.stop.clone());
        self.running.push(("folds changes", folding));
        let auditor = Auditor::new(store, Arc::clone(app.tiers.audit()));
        let auditing = auditor.run(Arc::clone(&app), config.verify.sample_per_minute, self.stop.clone());
        self.run("audits", auditing);
        let grace = SignedDuration::try_from(config.retention.erase_grace)?;
        let grace = config.retention.is_enabled(&config.mapping).then_some(grace);
        self.run("erases who departed", erasure::follow(app, grace, self.stop.clone()));
        Ok(())
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.app.tiers.statistics().store()
    }

    fn run(&mut self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.push((what, tokio::spawn(task)));
    }

    /// Ends everything at its next safe point, and waits for it.
    ///
    /// # Errors
    /// A task panicked.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let database = self.store().database();
        self.app.retention.close().await;
        self.app.precompute.close().await;
        self.app.metrics.asked.close().await;
        let mut ended = Ok(());
        for (what, task) in self.running {
            let joined = task.await.with_context(|| format!("the task that {what} panicked"));
            ended = ended.and(joined);
        }
        // somebody is told although the node ends, as far as there is time
        let _ = tokio::time::timeout(LAST_NOTICE, self.app.notices.close()).await;
        self.app.tiers.close().await;
        if let Some(db) = database {
            let noted = note_statements(&db).await.context("what was counted of statements could not be stored");
            ended = ended.and(noted.map(drop));
        }
        ended
    }
}
