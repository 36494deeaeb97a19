//! The commands: each opens what it needs, does its work, and says how it ended.

mod attach;
mod bench;
mod cache;
mod cleanup;
mod config;
mod doctor;
mod documents;
mod erase;
mod import;
mod migrate;
mod observing;
mod precompute;
mod progress;
mod restore;
mod runs;
mod schedule;
mod serve;
mod stats;
mod token;
mod verify;
mod warmup;
mod work;

use std::sync::Arc;

use anyhow::Context as _;
use tierkeep_db::DatabaseUrl;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::service::{ServiceError, Statistics};
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, StoreError};
use tierkeep_retention::RetentionError;
use tierkeep_schedule::Scheduler;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Reach};
use crate::cleanup::Desk;
use crate::cli::{Cli, Command, Global};
use crate::clock::Clock;
use crate::config::{self as configuration, Config, ConfigError, Environment, Flags, Loaded};
use crate::console::Console;
use crate::http::{App, Gate, Limits};
use crate::log;
use crate::metrics::Metrics;
use crate::tasks::precompute::Precomputing;
use crate::tasks::{Notices, Workshop};
use crate::telemetry;
use crate::tiers::{KeepingOptions, Tiers};

/// How a command ends when it does not simply succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It failed.
    Failed,
    /// It was asked wrongly.
    Usage,
    /// A guard refused it.
    Refused,
    /// It was stopped early and can be continued.
    Stopped,
}

impl Ending {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Stopped => 4,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// How it ended.
    pub ending: Ending,
    /// Why.
    pub error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { ending: Ending::Usage, error: error.into() }
    }

    fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self { ending: Ending::Refused, error: error.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { ending: Ending::Failed, error }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let ending = match &error {
            StoreError::Retention(error) => ending_of(error),
            StoreError::DaysChanged { .. }
            | StoreError::TokenNameTaken(_)
            | StoreError::OtherKeyType { .. }
            | StoreError::PlatformTables(_)
            | StoreError::NotAttached
            | StoreError::MappingChanged
            | StoreError::Attaching(_)
            | StoreError::ForeignTable(_) => Ending::Refused,
            _ => Ending::Failed,
        };
        Self { ending, error: error.into() }
    }
}

/// How a command ends that meets this error of a run.
fn ending_of(error: &RetentionError) -> Ending {
    match error {
        RetentionError::Refused(_) | RetentionError::Busy { .. } => Ending::Refused,
        // what was committed before is complete
        RetentionError::Fenced | RetentionError::Stopped(_) => Ending::Stopped,
        _ => Ending::Failed,
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Store(error) => error.into(),
            ServiceError::Future { .. } => Self::usage(error),
            other => anyhow::Error::from(other).into(),
        }
    }
}

/// What every command has at hand.
struct Context {
    loaded: Loaded,
    clock: Clock,
    console: Console,
    read_only: bool,
    token: Option<String>,
}

/// Runs one command to its end.
///
/// # Errors
/// [`Failure`], which holds the exit code.
pub fn run(cli: Cli, console: Console) -> Result<(), Failure> {
    match cli.command {
        Command::Openapi => return documents::openapi(console),
        Command::Completions { shell } => return documents::completions(shell, console),
        Command::Man { directory } => return documents::manual(&directory),
        _ => {}
    }
    let context = Context::new(&cli.global, &cli.command, console)?;
    log::start(&context.config().log);
    telemetry::start(&context.config().telemetry);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(arguments) => serve::run(&arguments, context).await,
            Command::Import(arguments) => import::run(&arguments, &context).await,
            Command::Stats(command) => stats::run(&command, &context).await,
            Command::Cache(arguments) => cache::run(&arguments, &context).await,
            Command::Token(command) => token::run(&command, &context).await,
            Command::Verify(arguments) => verify::run(&arguments, &context).await,
            Command::Cleanup(arguments) => cleanup::run(&arguments, &context).await,
            Command::Restore(arguments) => restore::run(&arguments, &context).await,
            Command::Runs(arguments) => runs::run(&arguments, &context).await,
            Command::Precompute(arguments) => precompute::run(&arguments, &context).await,
            Command::Warmup(arguments) => warmup::run(&arguments, &context).await,
            Command::Schedule(command) => schedule::run(&command, &context).await,
            Command::Work(arguments) => work::run(&arguments, &context).await,
            Command::Erase(arguments) => erase::erase(&arguments, &context).await,
            Command::Export(arguments) => erase::export(&arguments, &context).await,
            Command::Bench(command) => bench::run(&command, &context).await,
            Command::Doctor(arguments) => doctor::run(&arguments, &context).await,
            Command::Migrate(arguments) => migrate::migrate(&arguments, &context).await,
            Command::Attach(arguments) => attach::attach(&arguments, &context).await,
            Command::Detach(arguments) => attach::detach(&arguments, &context).await,
            Command::Rederive => migrate::rederive(&context).await,
            Command::Config(command) => config::run(command, &context).await,
            Command::Openapi | Command::Completions { .. } | Command::Man { .. } => Ok(()),
        }
    });
    telemetry::end();
    // a thread may still wait for a file that nobody writes to; the stores are closed by now
    runtime.shutdown_background();
    done
}

impl Context {
    fn new(global: &Global, command: &Command, console: Console) -> Result<Self, Failure> {
        let listen = match command {
            Command::Serve(arguments) => arguments.listen.clone(),
            _ => None,
        };
        let flags = Flags {
            config: global.config.clone(),
            database: global.database.clone(),
            redis: global.redis.clone(),
            listen,
        };
        let environment = Environment::read()?;
        Ok(Self {
            loaded: configuration::load(&flags, &environment)?,
            token: shown_to_node(global.token.clone().or(environment.token))?,
            clock: global.now.map_or(Clock::Wall, Clock::Fixed),
            console,
            read_only: global.read_only,
        })
    }

    fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Says on stderr what a command works with.
    fn announce(&self, database: &DatabaseUrl) {
        self.console.note(format_args!("configuration {}, database {database}", self.loaded.file_name()));
    }

    fn options(&self, mode: OpenMode) -> OpenOptions {
        let config = self.config();
        OpenOptions {
            mode,
            pool: config.database.pool.clone(),
            default_zone: config.days.default_zone,
            day_start: config.days.day_start,
            mapping: config.mapping.clone(),
        }
    }

    /// Refuses what writes where writing is not allowed.
    fn guard_writing(&self, command: &str) -> Result<(), Failure> {
        if self.read_only {
            return Err(Failure::usage(anyhow::anyhow!("{command} writes, so it cannot be had with --read-only")));
        }
        Ok(())
    }

    /// Refuses as well what is for Tierkeep's own tables.
    fn guard_own_tables(&self, command: &'static str) -> Result<(), Failure> {
        self.guard_writing(command)?;
        if self.config().mapping.is_own() { Ok(()) } else { Err(StoreError::PlatformTables(command).into()) }
    }

    /// The configured database, to read statistics from.
    async fn statistics(&self) -> Result<Statistics, Failure> {
        let mode = if self.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
        let store = self.open(&self.config().database.url, mode).await?;
        Ok(Statistics::new(store, self.config().days.clone()))
    }

    /// Statistics behind memory, and Redis if one is configured.
    async fn tiers(&self, statistics: Statistics) -> Result<Tiers, Failure> {
        let config = self.config();
        let options = KeepingOptions {
            cache: config.cache.clone(),
            redis: config.redis.clone(),
            freshness: config.freshness,
            warmup: config.warmup,
            patience: config.http.request_timeout,
            clock: self.clock,
        };
        let tiers = Tiers::open(statistics, &options).await.context("the tiers cannot be had")?;
        Ok(tiers.telling_of(config.log.slow))
    }

    /// What this process works with as a node of the installation, and the tasks that it may run.
    async fn app(
        &self,
        statistics: Statistics,
        access: Access,
        stop: &CancellationToken,
    ) -> Result<(Arc<App>, Option<Arc<Scheduler>>), Failure> {
        let config = self.config();
        let workshop = Workshop {
            tiers: Arc::new(self.tiers(statistics).await?),
            desk: Arc::new(Desk::new(config.retention.clone(), config.retention.is_enabled(&config.mapping))),
            clock: self.clock,
            notices: Notices::default(),
        };
        let scheduler = workshop.scheduler(config).map(Arc::new);
        let Workshop { tiers, desk, clock, notices } = workshop;
        let limits = Limits { body: config.http.body_limit, timeout: config.http.request_timeout };
        let app = App {
            tiers,
            access,
            clock,
            limits,
            retention: desk,
            schedule: scheduler.clone(),
            options: config.precompute.clone(),
            precompute: Precomputing::default(),
            notices,
            metrics: Metrics::default(),
            gate: Gate::new(&config.http.rates, Reach::of(config.http.listen), stop.clone()),
        };
        Ok((Arc::new(app), scheduler))
    }

    async fn open(&self, url: &DatabaseUrl, mode: OpenMode) -> Result<Arc<dyn Store>, Failure> {
        self.announce(url);
        Ok(tierkeep_learning::store::open(url, &self.options(mode)).await?)
    }
}

/// A token as it was given; it becomes part of a request's head, so it must not hold a line end.
fn shown_to_node(token: Option<String>) -> Result<Option<String>, Failure> {
    match token {
        Some(token) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            // not repeated: it may be a secret with a blank too much
            Err(Failure::usage(anyhow::anyhow!("--token or TIERKEEP_TOKEN is no token; accepted: tk_ and 43 letters")))
        }
        token => Ok(token),
    }
}

/// The mode of commands that make a database that is absent.
fn create(ids: Option<KeyType>) -> OpenMode {
    OpenMode::Create { ids }
}
