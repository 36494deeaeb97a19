//! The command line: what can be asked, and how a run ends.

mod bench;
mod doctor;
mod retention;
mod schedule;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use jiff::Timestamp;
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Month, Year};
use tierkeep_learning::statistic::WindowDays;
use tierkeep_learning::store::{Scope, TokenName};

pub use self::bench::{BenchCommand, BenchHttpArgs, BenchStatsArgs, KeepArgs, LoadArgs};
pub use self::doctor::{AdviseArgs, DoctorArgs, DoctorCommand, Order};
pub use self::retention::{CleanupArgs, RestoreArgs, RunsArgs};
pub use self::schedule::{PrecomputeArgs, ScheduleCommand, WarmupArgs, WorkArgs};
use crate::chain::Chain;
use crate::commands::{self, Ending};
use crate::config::parse_duration;
use crate::console::{Console, Output};

/// Learning statistics at memory speed.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a guard, 4 stopped early and can be continued.
#[derive(Debug, Parser)]
#[command(name = "tierkeep", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What is asked.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [env: TIERKEEP_CONFIG; else ./tierkeep.toml, /etc/tierkeep/tierkeep.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Database: sqlite://path or postgres://user@host/database [env: TIERKEEP_DATABASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub database: Option<String>,
    /// Redis or Valkey server that several nodes share [env: TIERKEEP_REDIS_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub redis: Option<String>,
    /// API token for a running node; other users of this machine may see it here [env: TIERKEEP_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Write JSON to stdout, and nothing else there
    #[arg(long, global = true, action = ArgAction::SetTrue)]
    pub json: bool,
    /// Take this instant for the present, where a date is left out and for what is old
    #[arg(long, global = true, value_name = "INSTANT", value_parser = tierkeep_learning::instant::parse)]
    pub now: Option<Timestamp>,
    /// Store nothing; with `[mapping]`, work on a platform's own tables with SELECT rights only
    #[arg(long, global = true, action = ArgAction::SetTrue)]
    pub read_only: bool,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, and do what is due by the schedule
    Serve(ServeArgs),
    /// Do what is due by the schedule, without the API
    Work(WorkArgs),
    /// List, run and switch the tasks that nodes do by themselves
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Bring stored summaries up to date, and answers about many learners into Redis, before anybody asks
    #[command(visible_alias = "precompute-cache", alias = "precompute_cache")]
    Precompute(PrecomputeArgs),
    /// Bring answers about some learners into the running node's memory and into Redis
    Warmup(WarmupArgs),
    /// Import learners, course progress and sessions from files
    Import(ImportArgs),
    /// Print a statistic as the API answers it
    #[command(subcommand)]
    Stats(StatsCommand),
    /// Ask or clear the cache of the running node; of Redis, where none runs
    Cache(CacheArgs),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Recompute stored summaries from rows and report every difference
    Verify(VerifyArgs),
    /// Put invalid rows into quarantine, archive old sessions, export and delete older ones
    ///
    /// Works batch by batch, each of them a transaction with its record; may be ended at any time, and the next run goes on.
    /// `retention.windows` are for scheduled runs: this one works whenever it is asked for.
    #[command(visible_alias = "cleanup-learning-data", alias = "cleanup_learning_data")]
    Cleanup(CleanupArgs),
    /// Bring back what a clean-up archived or put into quarantine, column for column
    Restore(RestoreArgs),
    /// List clean-ups, newest first, with their plans, what they did and how they ended
    Runs(RunsArgs),
    /// Remove everything about a learner, and print a receipt
    Erase(EraseArgs),
    /// Print all rows about a learner as JSON
    Export(ExportArgs),
    /// Look at the database: without a word, the five things most worth doing, each with its command
    Doctor(DoctorArgs),
    /// Measure statistics or a node's endpoints, and compare with an earlier measurement
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Create the tables, or bring them up to date
    Migrate(MigrateArgs),
    /// Watch a platform's own tables with triggers, and keep summaries beside them (PostgreSQL); again to upgrade
    Attach(AttachArgs),
    /// Take away everything that `attach` has made
    Detach(DetachArgs),
    /// Rebuild everything that depends on `[days]`
    Rederive,
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document of the API
    Openapi,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port [env: TIERKEEP_LISTEN] [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Leave the schedule to other nodes, or to a cron of another's
    #[arg(long)]
    pub no_scheduler: bool,
    /// Serve tierkeep-demo.db, filled with sample learners when it is empty
    #[arg(long)]
    pub demo: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("files").required(true).multiple(true))]
pub struct ImportArgs {
    /// Learners, as CSV, gzip or not, with a header of column names; those it does not know are named and skipped
    #[arg(long, value_name = "FILE", group = "files")]
    pub users: Option<PathBuf>,
    /// Course progress, as such a CSV file
    #[arg(long, value_name = "FILE", group = "files")]
    pub progress: Option<PathBuf>,
    /// Study sessions, as such a CSV file; what retention exported is one
    #[arg(long, value_name = "FILE", group = "files")]
    pub sessions: Option<PathBuf>,
    /// xAPI statements, as a JSON array or lines, gzip or not; sessions are inferred from them
    #[arg(long, value_name = "FILE", group = "files")]
    pub xapi: Option<PathBuf>,
    /// With --xapi: the pause that ends a session
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// With --xapi: the time added after the last statement of a session
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub tail: Duration,
    /// Write rejected rows with line and reason to this CSV file
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Type of the ids, when the tables are made [default: what the files have]
    #[arg(long, value_name = "uuid|int", value_parser = KeyType::from_str)]
    pub ids: Option<KeyType>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// How many random learners
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// All learners, and the global sums
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
}

/// Arguments of `erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// Whom
    #[command(flatten)]
    pub learner: Learner,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The node that is told to forget, as http://host:port [default: the configured one]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Whose
    #[command(flatten)]
    pub learner: Learner,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Type of the ids [default: what the tables have, else uuid]
    #[arg(long, value_name = "uuid|int", value_parser = KeyType::from_str)]
    pub ids: Option<KeyType>,
}

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Print the statements and the rights they need, and change nothing
    #[arg(long)]
    pub print_sql: bool,
}

/// Arguments of `detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// Move archived sessions back to the platform's table before
    #[arg(long, conflicts_with = "keep_archive")]
    pub restore_all: bool,
    /// Leave the table of archived sessions where it is; attaching again finds it
    #[arg(long)]
    pub keep_archive: bool,
}

/// The learner that a statistic is about.
#[derive(Debug, Clone, Copy, Args)]
pub struct Learner {
    /// The learner's id
    #[arg(value_name = "USER", allow_negative_numbers = true, value_parser = UserId::from_str)]
    pub user: UserId,
}

/// The statistics.
#[derive(Debug, Subcommand)]
pub enum StatsCommand {
    /// One local day
    Daily {
        /// Whose
        #[command(flatten)]
        learner: Learner,
        /// The day [default: the learner's today]
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: Option<LocalDay>,
    },
    /// One week from Monday
    Weekly {
        /// Whose
        #[command(flatten)]
        learner: Learner,
        /// Any day of the week [default: the learner's today]
        #[arg(long, value_name = "YYYY-MM-DD")]
        week_start: Option<LocalDay>,
    },
    /// One calendar month
    Monthly {
        /// Whose
        #[command(flatten)]
        learner: Learner,
        /// The month [default: the learner's present one]
        #[arg(long, value_name = "YYYY-MM")]
        month: Option<Month>,
    },
    /// The last days up to a date, with recommendations
    Analytics {
        /// Whose
        #[command(flatten)]
        learner: Learner,
        /// The last day [default: the learner's today]
        #[arg(long, value_name = "YYYY-MM-DD")]
        to: Option<LocalDay>,
        /// How many days, 2 to 365
        #[arg(long, value_name = "DAYS", default_value_t = WindowDays::default())]
        days: WindowDays,
        /// Language of the recommendations: en or zh [default: days.language]
        #[arg(long, value_name = "LANGUAGE")]
        lang: Option<Language>,
    },
    /// Runs of consecutive active days over all history
    Streaks {
        /// Whose
        #[command(flatten)]
        learner: Learner,
    },
    /// One calendar year, day by day
    Heatmap {
        /// Whose
        #[command(flatten)]
        learner: Learner,
        /// The year [default: the learner's present one]
        #[arg(long)]
        year: Option<Year>,
    },
    /// Course progress
    Courses {
        /// Whose
        #[command(flatten)]
        learner: Learner,
    },
    /// All learners together
    Global,
}

/// Arguments of `cache`.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What is asked
    #[command(subcommand)]
    pub command: CacheCommand,
    /// The node's address, as http://host:port [default: the configured one]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
}

/// What can be asked of the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show how the tiers stand and what they answered
    Stats,
    /// Tell why a key would be answered as it would
    Explain {
        /// Such as daily/USER/2026-01-31, weekly/USER/today, streaks/USER or global
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Forget answers, in all tiers and on all nodes
    #[command(group = clap::ArgGroup::new("targets").required(true).multiple(true))]
    Invalidate {
        /// An answer by its key (repeatable)
        #[arg(long = "key", value_name = "KEY", group = "targets")]
        keys: Vec<String>,
        /// Answers by a tag, user:ID or global (repeatable)
        #[arg(long = "tag", value_name = "TAG", group = "targets")]
        tags: Vec<String>,
        /// All answers about a learner (repeatable)
        #[arg(long = "user", value_name = "USER", group = "targets", allow_negative_numbers = true,
            value_parser = UserId::from_str)]
        users: Vec<UserId>,
    },
    /// Forget everything, in all tiers and on all nodes
    Clear,
}

/// What can be done with API tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once: only its hash is stored
    Create {
        /// What it is called: letters, digits, '.', '-' and '_'
        #[arg(value_name = "NAME", value_parser = TokenName::from_str)]
        name: TokenName,
        /// What it admits to: read, write or admin; each includes those before it
        #[arg(long, value_name = "SCOPE", value_parser = Scope::from_str)]
        scope: Scope,
        /// For how long, such as 90d [default: until it is revoked]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        expires: Option<Duration>,
    },
    /// List the tokens that were made, without their secrets
    List,
    /// Revoke a token: on every node within freshness.bound
    Revoke {
        /// Its name or its id
        #[arg(value_name = "NAME|ID")]
        token: String,
    },
}

/// What can be asked of the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what is wrong with it
    Check,
    /// Print the effective configuration and where each value comes from
    Show,
}

/// Runs the binary with its arguments, the name of the program first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // help goes to stdout, everything else to stderr; neither can be reported if it fails
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * Ending::Usage.code());
        }
    };
    let console = Console::new(if cli.global.json { Output::Json } else { Output::Human });
    match commands::run(cli, console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.note(format_args!("tierkeep: {}", Chain(failure.error.as_ref())));
            ExitCode::from(failure.ending.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        let before = Cli::try_parse_from(["tierkeep", "--json", "--database", "sqlite://a.db", "stats", "global"]);
        let after = Cli::try_parse_from(["tierkeep", "stats", "global", "--json", "--database", "sqlite://a.db"]);

        for cli in [before, after] {
            let global = cli.unwrap().global;
            assert!(global.json);
            assert_eq!(global.database.as_deref(), Some("sqlite://a.db"));
        }
    }

    #[test]
    fn a_negative_id_is_no_flag() {
        let cli = Cli::try_parse_from(["tierkeep", "stats", "streaks", "-42"]).unwrap();

        let Command::Stats(StatsCommand::Streaks { learner }) = cli.command else { panic!("streaks were asked for") };
        assert_eq!(learner.user.to_string(), "-42");
    }

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("inner").context("outer: inner").context("outmost");

        assert_eq!(Chain(error.as_ref()).to_string(), "outmost: outer: inner");
    }
}
