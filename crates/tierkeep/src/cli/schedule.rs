//! Arguments of `work`, `schedule`, `precompute` and `warmup`.

use std::str::FromStr;

use clap::{ArgAction, Args, Subcommand};
use tierkeep_learning::key::UserId;
use tierkeep_learning::store::ActiveWithin;

/// Arguments of `work`.
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// Run what is due now and end, for a cron of another's
    #[arg(long)]
    pub once: bool,
}

/// What can be asked of the schedule.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List the tasks, when they ran and when they are due
    List,
    /// Run a task now, in this process, whether or not it is on
    Run {
        /// The task
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Switch a task on, for all nodes; for archive-old-data, after a look at what it would do
    Enable {
        /// The task
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Switch a task off, for all nodes, until it is switched on again
    Disable {
        /// The task
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List runs, newest first
    History {
        /// Of this task only
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
}

/// Arguments of `precompute`.
#[derive(Debug, Args)]
pub struct PrecomputeArgs {
    /// Only learners with a valid session in the last --days-active days
    #[arg(long)]
    pub active_users_only: bool,
    /// How many local days, 1 to 36500 [default: precompute.days_active]
    #[arg(long, value_name = "N", value_parser = days)]
    pub days_active: Option<ActiveWithin>,
    /// What the command does anyway
    #[arg(long, action = ArgAction::SetTrue)]
    pub precompute_cache: bool,
}

/// Arguments of `warmup`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("targets").required(true).multiple(true))]
pub struct WarmupArgs {
    /// All statistics of these learners, as of their today
    #[arg(value_name = "USER", group = "targets", allow_negative_numbers = true, value_parser = UserId::from_str)]
    pub users: Vec<UserId>,
    /// The statistic over all learners
    #[arg(long, group = "targets")]
    pub global: bool,
    /// Forget what is kept before
    #[arg(long)]
    pub force: bool,
    /// The node's address, as http://host:port [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

fn days(text: &str) -> Result<ActiveWithin, String> {
    let days = text.parse().map_err(|_| format!("{text:?} is no number of days; accepted: 1 to 36500"))?;
    ActiveWithin::new(days).map_err(|error| error.to_string())
}
