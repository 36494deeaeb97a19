//! Loads that nobody waits for: refreshes in the background, and audits.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Urgency;
use crate::counters::Count;
use crate::engine::{Engine, Served};
use crate::event::Event;
use crate::flight::Begun;
use crate::load::{ErasedLoader, Job, Seed};
use crate::loaded::Content;
use crate::memory::{AnyValue, EntryKey, KeyRef};

/// How long after a disagreement the same hit is compared again: what was in flight has arrived by then.
const AUDIT_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Replaces a value in the background, unless a load is in flight already.
    pub(crate) fn refresh(
        self: &Arc<Self>,
        job: Job,
        key: KeyRef<'_>,
        fallback: Option<Served>,
        loader: ErasedLoader<'static>,
    ) {
        if let Begun::Lead(flight) = self.board(&job, key) {
            self.launch(flight, job, fallback, loader);
        }
    }

    /// Loads a value again and compares it with what a reader was just given. Where they differ, the reader may have
    /// been a moment ahead of an invalidation that was on its way; where memory still holds that same value later, it
    /// was wrong.
    pub(crate) fn audit(
        self: &Arc<Self>,
        job: Job,
        key: EntryKey,
        served: Option<AnyValue>,
        loader: ErasedLoader<'static>,
    ) {
        let engine = Arc::clone(self);
        let cancel = self.cancel.clone();
        drop(self.tasks.spawn(async move {
            tokio::select! { biased; () = cancel.cancelled() => {} () = engine.compare(job, key, served, loader) => {} }
        }));
    }

    async fn compare(
        self: Arc<Self>,
        job: Job,
        key: EntryKey,
        served: Option<AnyValue>,
        loader: ErasedLoader<'static>,
    ) {
        let Some(same) = &job.view.same else { return };
        let Some(_permit) = self.budget.acquire(Urgency::Refresh).await else { return };
        let seed = Seed { stale: None, minimum_version: None, lineage: job.lineage.of(key.clone()) };
        let Ok(Ok(answer)) = tokio::time::timeout(job.view.policy.hard_timeout, loader(seed)).await else { return };
        job.view.count(Count::Audited);
        let agrees = match (&answer.content, &served) {
            (Content::Value(now), Some(then)) => same(now, then),
            (Content::Absent, None) | (Content::NotModified, _) => true,
            _ => false,
        };
        if agrees {
            return;
        }
        drop(_permit);
        tokio::time::sleep(AUDIT_AGAIN).await;
        let still = self.coherence.memory().peek(key.borrow()).is_some_and(|entry| match (&entry.value, &served) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (None, None) => true,
            _ => false,
        });
        if still {
            job.view.count(Count::AuditStuck);
            let (view, key) = (Arc::clone(&job.view.name), (*key.bytes).into());
            self.events.send(|| Event::AuditStuck { view, key });
        } else {
            job.view.count(Count::AuditTransient);
        }
    }
}
