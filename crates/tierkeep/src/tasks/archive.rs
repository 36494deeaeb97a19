//! `archive-old-data`: the clean-up that nobody has to ask for.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tierkeep_learning::calendar::Zone;
use tierkeep_learning::store::StoreError;
use tierkeep_retention::{Ended, RetentionError, Windows};
use tierkeep_schedule::{Attempt, Job, JobError};

use super::{Workshop, failed, output};

/// The task.
pub(super) struct Archive {
    pub(super) workshop: Workshop,
    pub(super) zone: Zone,
}

#[async_trait]
impl Job for Archive {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        let Workshop { desk, clock, .. } = &self.workshop;
        if desk.config().enabled == Some(false) {
            return Err(JobError::Refused("retention.enabled is false in the configuration".to_owned()));
        }
        let hours = &desk.config().hours.windows;
        let windows = Windows::parse(hours, self.zone.time_zone().clone())
            .map_err(|error| JobError::Refused(format!("retention.windows: {error}")))?;
        if !windows.is_open(clock.now()) {
            let opens = windows.next_opening(clock.now()).map_or_else(|| "never".to_owned(), |at| at.to_string());
            return Err(JobError::Refused(format!("outside of retention.windows, which open next at {opens}")));
        }
        let store = Arc::clone(self.workshop.store());
        let (document, outcome) = match desk.run_scheduled(store, *clock, windows, attempt.stop.clone()).await {
            Ok(done) => done,
            Err(StoreError::Retention(RetentionError::Refused(reason))) => return Err(JobError::Refused(reason)),
            Err(error) => return Err(failed(&error)),
        };
        let reason = outcome.reason.unwrap_or_default();
        match outcome.ended {
            // what is left when its hours are over is for the next time
            Ended::Done | Ended::Budget => output(&document),
            Ended::Refused => Err(JobError::Refused(reason)),
            Ended::Signal => Err(JobError::Stopped),
            Ended::Failed | Ended::Crashed => Err(JobError::Failed(reason)),
        }
    }
}
