//! A server's process as asynchronous tests see it: started, stopped, killed, paused.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::supervisor::{Signal, Supervisor};

/// A supervised server; its methods wait without blocking the runtime.
///
/// A future that is dropped half-way does not stop the change it asked for.
#[derive(Clone, Debug)]
pub(crate) struct ServerProcess(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    supervisor: Supervisor,
    /// Zero while the server does not run.
    pid: AtomicU32,
}

impl ServerProcess {
    /// Starts the server of a supervisor; blocks until it accepts connections.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub(crate) fn start_blocking(supervisor: Supervisor) -> Result<Self> {
        let pid = AtomicU32::new(supervisor.start()?);
        Ok(Self(Arc::new(Inner { supervisor, pid })))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.supervisor.directory()
    }

    pub(crate) fn log_end(&self) -> String {
        self.0.supervisor.log_end()
    }

    /// Process number; `None` while the server does not run.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.0.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    pub(crate) async fn start(&self) -> Result<()> {
        self.change(|inner| {
            inner.pid.store(inner.supervisor.start()?, Ordering::Release);
            Ok(())
        })
        .await
    }

    pub(crate) async fn end(&self, signal: Signal) -> Result<()> {
        self.change(move |inner| {
            inner.pid.store(0, Ordering::Release);
            inner.supervisor.end(signal)
        })
        .await
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<()> {
        self.change(move |inner| inner.supervisor.signal(signal)).await
    }

    async fn change(&self, run: impl FnOnce(&Inner) -> Result<()> + Send + 'static) -> Result<()> {
        let inner = Arc::clone(&self.0);
        blocking(move || run(&inner)).await
    }
}

/// Runs a conversation with a supervisor where it may block.
///
/// # Errors
/// Those of `run`.
pub(crate) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(run).await.context("a task of the testkit panicked")?
}
