//! A clean-up as somebody asks for it, by the command line or over HTTP: from words to an order, and from what was done to a
//! document.

mod desk;
mod document;
mod restored;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tierkeep_learning::retention::{self as rules, Cutoffs};
use tierkeep_learning::store::{Cleanup, Keep};
use tierkeep_retention::{BatchSize, Order, Pace, PlanLimits, StopSign};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::config::{Ages, Days, Retention};

pub use self::desk::{Begun, Desk, Standing};
pub(crate) use self::desk::{PATIENCE, present};
pub use self::document::{Document, Phases};
pub use self::restored::{RestoreDocument, StayDocument};

/// How long a scheduled run waits for another one, as one that is asked for by command.
const SCHEDULED_WAIT: Duration = Duration::from_secs(60);

/// A part of a clean-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Invalid rows go to quarantine
    Invalid,
    /// Old sessions go to the archive
    Archive,
    /// Older ones, and the data of inactive learners, are exported and deleted
    Delete,
    /// What was in quarantine for long enough is exported and deleted
    Purge,
    /// The tables are measured for the planner where that is due, and what helps them is said
    Optimize,
}

impl Phase {
    /// Its name among the rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => rules::INVALID,
            Self::Archive => rules::ARCHIVE,
            Self::Delete => rules::DELETE,
            Self::Purge => rules::PURGE,
            Self::Optimize => rules::OPTIMIZE,
        }
    }
}

/// Where rows go before they are deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Export {
    /// To `retention.export_dir`.
    #[default]
    Configured,
    /// To this directory.
    Directory(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// What is asked for; what is left out is as the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// These phases only; empty = all.
    pub phases: Vec<Phase>,
    /// The age at which sessions are archived.
    pub archive_after: Option<Days>,
    /// The age at which they are deleted.
    pub delete_after: Option<Days>,
    /// Rows of every batch.
    pub batch: Option<NonZeroU32>,
    /// How long it may work.
    pub budget: Option<Duration>,
    /// How long to wait for another run.
    pub wait: Duration,
    /// Whether a plan is carried out that a guard objects to.
    pub is_forced: bool,
    /// Where rows go before they are deleted.
    pub export: Export,
}

/// What was asked for makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Rows would be deleted before they are archived.
    #[error(
        "rows would be deleted {delete} days after they began, and archived only after {archive} days; accepted: at least as \
         many days until deletion as until archival"
    )]
    DeleteBeforeArchive {
        /// The age at which sessions are archived.
        archive: Days,
        /// The age at which they are deleted.
        delete: Days,
    },
    /// Nothing can be that old.
    #[error("{0} is too early: {1} days before it there is no instant; accepted: a later --now")]
    TooEarly(Timestamp, Days),
}

/// How a run is tied to the process it is in.
pub struct Surroundings {
    /// The clock of its process.
    pub clock: Clock,
    /// What ends it early.
    pub stop: CancellationToken,
    /// Who is told how it goes.
    pub observer: Arc<dyn tierkeep_retention::Observer>,
    /// The name of the database, if it has one.
    pub installation: Option<String>,
}

impl Request {
    /// What the schedule asks for: everything, except that nothing is deleted by age unless an age is configured.
    #[must_use]
    pub fn scheduled(config: &Retention) -> Self {
        let without_deletion = [Phase::Invalid, Phase::Archive, Phase::Purge, Phase::Optimize];
        let phases = if config.ages.delete_after.is_some() { Vec::new() } else { without_deletion.to_vec() };
        Self { phases, wait: SCHEDULED_WAIT, ..Self::default() }
    }

    /// The ages that hold for this request.
    ///
    /// # Errors
    /// [`RequestError::DeleteBeforeArchive`].
    pub fn ages(&self, config: &Retention) -> Result<Ages, RequestError> {
        let archive = self.archive_after.unwrap_or(config.ages.archive_after);
        let delete = self.delete_after.or(config.ages.delete_after).unwrap_or(Days::DELETE_AFTER);
        let has = |phase| self.phases.is_empty() || self.phases.contains(&phase);
        if delete < archive && has(Phase::Delete) {
            return Err(RequestError::DeleteBeforeArchive { archive, delete });
        }
        Ok(Ages { archive_after: archive, delete_after: Some(delete), ..config.ages })
    }

    /// What is to be cleaned up, with instants that stay what they are however long it takes.
    ///
    /// # Errors
    /// As [`ages`](Self::ages); [`RequestError::TooEarly`].
    pub fn cleanup(&self, now: Timestamp, config: &Retention) -> Result<Cleanup, RequestError> {
        let ages = self.ages(config)?;
        let before = |days: Days| days.before(now).ok_or(RequestError::TooEarly(now, days));
        let phases = match self.phases.as_slice() {
            [] => rules::PHASES.to_vec(),
            asked => asked.iter().map(|phase| phase.name()).collect(),
        };
        Ok(Cleanup {
            phases,
            cutoffs: Cutoffs {
                now,
                archive: before(ages.archive_after)?,
                delete: before(ages.delete_after.unwrap_or(Days::DELETE_AFTER))?,
                purge: before(ages.quarantine)?,
            },
            keep: if config.deletion.keep_summaries { Keep::Summaries } else { Keep::Nothing },
        })
    }

    /// How the rows of every batch are chosen: as many as were asked for, or as time allows.
    fn batch_size(&self, config: &Retention) -> BatchSize {
        match self.batch {
            Some(rows) => BatchSize::Fixed(rows),
            None => BatchSize::Adaptive { start: config.work.batch_size, max: Pace::MAX_ROWS },
        }
    }

    /// The limits of a plan.
    #[must_use]
    pub fn limits(&self, config: &Retention) -> PlanLimits {
        let rows = self.batch.unwrap_or(config.work.batch_size);
        PlanLimits { max_fraction: config.work.max_fraction, batch_rows: u64::from(rows.get()) }
    }

    /// The directory that rows are exported to before they are deleted.
    #[must_use]
    pub fn export_dir(&self, config: &Retention) -> Option<PathBuf> {
        match &self.export {
            Export::Configured => Some(config.deletion.export_dir.clone()),
            Export::Directory(directory) => Some(directory.clone()),
            Export::Nowhere => None,
        }
    }

    /// How the run is to work. Windows of the day are for scheduled runs: somebody who asks is there.
    #[must_use]
    pub fn order(&self, config: &Retention, surroundings: Surroundings) -> Order {
        let Surroundings { clock, stop, observer, installation } = surroundings;
        let mut sign = StopSign::new(stop);
        if let Some(budget) = self.budget {
            sign = sign.within(budget);
        }
        if let Some(file) = &config.hours.stop_file {
            sign = sign.stop_file(file);
        }
        Order {
            batch: self.batch_size(config),
            share: config.work.share,
            max_fraction: config.work.max_fraction,
            is_forced: self.is_forced,
            wait: self.wait,
            lock_timeout: config.work.lock_timeout,
            export: self.export_dir(config),
            before_delete: config.deletion.before_delete.clone(),
            throttle: config.work.limits(),
            installation,
            stop: sign,
            observer,
            ..Order::new("cleanup", Arc::new(move || clock.now()))
        }
    }
}

#[cfg(test)]
mod tests;
