//! `[notify] on_failure`: somebody is told of a task that has failed for the last time.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tierkeep_schedule::RunEntry;
use tokio::process::Command;
use tokio_util::task::TaskTracker;

/// Longest time for the command.
const PATIENCE: Duration = Duration::from_secs(30);

/// What this process still tells somebody.
#[derive(Debug, Clone, Default)]
pub struct Notices(TaskTracker);

impl Notices {
    /// Whoever tells by a command for `sh`, in a task of its own. What the command prints goes nowhere: it may hold what it
    /// was given.
    pub(super) fn by(&self, command: &str) -> Arc<dyn Fn(&RunEntry) + Send + Sync> {
        let (command, tasks): (Arc<str>, _) = (command.into(), self.0.clone());
        Arc::new(move |run| drop(tasks.spawn(tell(&command, run))))
    }

    /// Waits until everything is told, which takes half a minute at most; less if whoever waits has less time.
    pub async fn close(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// Runs the command about a run, and says how that went.
fn tell(command: &str, run: &RunEntry) -> impl Future<Output = ()> + Send + 'static {
    let mut told = Command::new("sh");
    told.arg("-c")
        .arg(command)
        .env("TIERKEEP_TASK", run.task.as_str())
        .env("TIERKEEP_RUN", run.id.to_string())
        .env("TIERKEEP_STATE", run.state.as_str())
        .env("TIERKEEP_ERROR", run.error.as_deref().unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let task = run.task.clone();
    async move {
        match tokio::time::timeout(PATIENCE, told.status()).await {
            Ok(Ok(status)) if status.success() => tracing::debug!(%task, "notify.on_failure was run"),
            Ok(Ok(status)) => tracing::warn!(%task, %status, "notify.on_failure failed"),
            Ok(Err(error)) => tracing::warn!(%task, %error, "notify.on_failure could not be run"),
            Err(_) => tracing::warn!(%task, "notify.on_failure took longer than {PATIENCE:?} and was ended"),
        }
    }
}
