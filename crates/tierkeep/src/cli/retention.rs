//! The words of retention.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tierkeep_learning::key::UserId;
use tierkeep_retention::{RunId, Scope};

use crate::cleanup::{Export, Phase, Request};
use crate::config::Days;

/// Arguments of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Say what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only put invalid rows into quarantine
    #[arg(long, conflicts_with = "only")]
    pub cleanup_invalid: bool,
    /// Only this phase (repeatable) [default: all]
    #[arg(long, value_name = "PHASE", value_enum)]
    pub only: Vec<Phase>,
    /// Archive sessions that began so many days ago, 1 to 36500 [default: retention.archive_after_days, 365]
    #[arg(long, value_name = "DAYS", value_parser = Days::from_str)]
    pub archive_older_than: Option<Days>,
    /// Delete archived ones that began so many days ago, and the data of learners who were not seen since, 1 to 36500
    /// [default: retention.delete_after_days, else 1095]
    #[arg(long, value_name = "DAYS", value_parser = Days::from_str)]
    pub delete_older_than: Option<Days>,
    /// Rows of every batch, 1 to 50000 [default: as many as 200 ms allow, beginning with retention.batch_size]
    #[arg(long, value_name = "N", value_parser = batch_size)]
    pub batch_size: Option<NonZeroU32>,
    /// End after so many seconds between two batches; the next run goes on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_seconds: Option<u64>,
    /// Wait so many seconds for another run to end
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub wait: u64,
    /// Export rows to this directory before they are deleted [default: retention.export_dir]
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Delete without an export
    #[arg(long, conflicts_with = "export")]
    pub no_export: bool,
    /// Carry out a plan that a guard refuses, such as one that takes more than retention.max_fraction of a table
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true))]
pub struct RestoreArgs {
    /// What this run moved, unless it was deleted since
    #[arg(long, value_name = "ID", group = "scope", value_parser = RunId::from_str)]
    pub run: Option<RunId>,
    /// All of this learner that any run moved
    #[arg(long, value_name = "ID", group = "scope", allow_negative_numbers = true, value_parser = UserId::from_str)]
    pub user: Option<UserId>,
    /// Say what would come back, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// End after so many seconds between two batches; the same restore goes on later
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_seconds: Option<u64>,
    /// Wait so many seconds for another run to end
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub wait: u64,
}

/// Arguments of `runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// How many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Only those before this run
    #[arg(long, value_name = "ID", value_parser = RunId::from_str)]
    pub before: Option<RunId>,
    /// End with 1 if the record of the runs was altered
    #[arg(long)]
    pub audit: bool,
}

impl CleanupArgs {
    /// What is asked for.
    pub(crate) fn request(&self) -> Request {
        let phases = if self.cleanup_invalid { vec![Phase::Invalid] } else { self.only.clone() };
        Request {
            phases,
            archive_after: self.archive_older_than,
            delete_after: self.delete_older_than,
            batch: self.batch_size,
            budget: self.max_seconds.map(Duration::from_secs),
            wait: Duration::from_secs(self.wait),
            is_forced: self.force,
            export: match &self.export {
                _ if self.no_export => Export::Nowhere,
                Some(directory) => Export::Directory(directory.clone()),
                None => Export::Configured,
            },
        }
    }
}

impl RestoreArgs {
    pub(crate) fn scope(&self) -> Scope {
        match (self.run, self.user) {
            (Some(run), _) => Scope::Run(run),
            (None, Some(user)) => Scope::Owner(user.to_string()),
            (None, None) => unreachable!("one of the two is required"),
        }
    }

    /// How it is to work.
    pub(crate) fn request(&self) -> Request {
        Request {
            budget: self.max_seconds.map(Duration::from_secs),
            wait: Duration::from_secs(self.wait),
            ..Request::default()
        }
    }
}

fn batch_size(text: &str) -> Result<NonZeroU32, String> {
    let rows = text.parse().ok().filter(|rows| (1..=50_000).contains(rows));
    rows.and_then(NonZeroU32::new).ok_or_else(|| "accepted: 1 to 50000".to_owned())
}
