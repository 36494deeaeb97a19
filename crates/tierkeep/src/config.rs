//! What the binary is told: defaults, then the file, then the environment, then flags; and where each value came from.
//!
//! Every key stands once, as a row of `settings` in `setting`: how it is read, what it accepts, how it is shown. This module
//! is the only reader of the environment.

mod error;
mod file;
mod http;
mod log;
mod network;
mod quantity;
mod redis_url;
mod retention;
mod schedule;
mod setting;
mod telemetry;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tierkeep_db::{DatabaseUrl, PoolConfig, SqlitePath};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::language::Language;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::service::Settings;
use tierkeep_learning::statistic::StatisticKind;

pub use self::error::ConfigError;
pub(crate) use self::file::nearest;
pub use self::http::{Connections, Http, Rate, Rates};
pub use self::log::{Log, LogFormat};
pub use self::network::{Network, NetworkError};
pub use self::quantity::{ByteSize, QuantityError, parse_duration};
pub use self::redis_url::{RedisUrl, RedisUrlError};
pub use self::retention::{Ages, Days, DaysError, Deletion, Hours, Retention, Work};
pub use self::schedule::{Notify, Plan, Precompute, Schedule, TaskKind};
use self::setting::{Given, settings};
pub use self::telemetry::{OtlpEndpoint, OtlpEndpointError, Telemetry};

/// The annotated sample: every key with its default.
pub const SAMPLE: &str = include_str!("../tierkeep.sample.toml");
/// Files that are looked for, in this order, when none is named.
const DEFAULT_FILES: [&str; 2] = ["tierkeep.toml", "/etc/tierkeep/tierkeep.toml"];

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[log]`
    pub log: Log,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[database]`
    pub database: Database,
    /// `[redis]`
    pub redis: Redis,
    /// `[cache]`
    pub cache: Cache,
    /// `[freshness]`
    pub freshness: Freshness,
    /// `[verify]`
    pub verify: Verify,
    /// `[retention]`
    pub retention: Retention,
    /// `[schedule]`
    pub schedule: Schedule,
    /// `[precompute]`
    pub precompute: Precompute,
    /// `[notify]`
    pub notify: Notify,
    /// `[warmup]`
    pub warmup: Warmup,
    /// `[days]`
    pub days: Settings,
    /// `[http]`
    pub http: Http,
    /// `[mapping]`
    pub mapping: Mapping,
}

/// Where the rows are, and how many connections go there.
#[derive(Debug, Clone)]
pub struct Database {
    /// The address.
    pub url: DatabaseUrl,
    /// The pool.
    pub pool: PoolConfig,
}

/// The tier that several nodes share.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Where it is; `None` = there is none.
    pub url: Option<RedisUrl>,
    /// What the names of all keys begin with, before the name of the installation.
    pub prefix: String,
    /// Longest time for making a connection.
    pub connect_timeout: Duration,
    /// Longest time for a command.
    pub command_timeout: Duration,
    /// Most connections of this process.
    pub max_connections: usize,
}

/// What is kept in memory, and for how long anywhere.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The bound of the memory tier.
    pub l1: ByteSize,
    /// How long answers live, by statistic.
    pub ttl: Ttls,
}

/// How long answers live at most, by statistic: backstops, as changes end their lives before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttls([Duration; StatisticKind::ALL.len()]);

impl Ttls {
    /// The life of a statistic's answers.
    #[must_use]
    pub fn of(&self, kind: StatisticKind) -> Duration {
        self.0[kind as usize]
    }

    fn set(&mut self, kind: StatisticKind, ttl: Duration) {
        self.0[kind as usize] = ttl;
    }
}

impl Default for Ttls {
    fn default() -> Self {
        Self(StatisticKind::ALL.map(crate::tiers::default_ttl))
    }
}

/// How old what is served may be.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// A committed change is seen after this time on every node.
    pub bound: Duration,
    /// While the database is down, for how long kept answers are served.
    pub max_stale: Duration,
    /// How large the table of changes may be before "everything changed" takes its place.
    pub outbox_max: ByteSize,
}

impl Freshness {
    /// How many changes are kept for nodes that have not been told of them: as long as the longest-lived answer counts.
    #[must_use]
    pub fn retention(&self) -> crate::upkeep::Retention {
        crate::upkeep::Retention { keep: Duration::from_secs(3600), most: 100_000, most_bytes: self.outbox_max.get() }
    }
}

/// How stored summaries are checked in the background.
#[derive(Debug, Clone, Copy)]
pub struct Verify {
    /// Learners whose summaries are recomputed and compared each minute; 0 = none.
    pub sample_per_minute: u32,
}

/// What is computed before anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmup {
    /// Time after a learner's last change, before what is often asked about them is computed anew; after the first of
    /// many at most six times as long.
    pub delay: Duration,
    /// Answers computed at once; 0 = none at all.
    pub concurrency: usize,
    /// Answers begun a second, at least 1.
    pub rate: u32,
    /// Whether what was hot before a restart is computed when the node starts.
    pub learned: bool,
    /// How long the node says that it is not ready for that.
    pub deadline: Duration,
    /// Answers that are remembered for the next start at most, 1 to 1,000,000.
    pub keys: usize,
}

impl Warmup {
    /// What holds where nothing is said.
    pub const DEFAULT: Self = Self {
        delay: Duration::from_secs(5),
        concurrency: 4,
        rate: 100,
        learned: true,
        deadline: Duration::from_secs(10),
        keys: 10_000,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: Log::default(),
            telemetry: Telemetry::default(),
            database: Database {
                url: DatabaseUrl::Sqlite(SqlitePath::new("tierkeep.db")),
                pool: PoolConfig::default(),
            },
            redis: Redis {
                url: None,
                prefix: "tierkeep".to_owned(),
                connect_timeout: Duration::from_secs(5),
                command_timeout: Duration::from_millis(500),
                max_connections: 50,
            },
            cache: Cache { l1: ByteSize::mebibytes(64), ttl: Ttls::default() },
            freshness: Freshness {
                bound: Duration::from_secs(1),
                max_stale: Duration::from_secs(3600),
                outbox_max: ByteSize::mebibytes(1024),
            },
            verify: Verify { sample_per_minute: 60 },
            retention: Retention::default(),
            schedule: Schedule::default(),
            precompute: Precompute::default(),
            notify: Notify::default(),
            warmup: Warmup::DEFAULT,
            days: Settings { default_zone: Zone::utc(), day_start: DayStart::default(), language: Language::default() },
            http: Http::default(),
            mapping: Mapping::default(),
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is built in.
    Default,
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What flags say about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--database`
    pub database: Option<String>,
    /// `--redis`
    pub redis: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
}

/// What the environment says about the configuration. An empty variable counts as unset.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `TIERKEEP_CONFIG`
    pub config: Option<PathBuf>,
    /// `TIERKEEP_DATABASE_URL`
    pub database: Option<String>,
    /// `TIERKEEP_REDIS_URL`
    pub redis: Option<String>,
    /// `TIERKEEP_LISTEN`
    pub listen: Option<String>,
    /// `TIERKEEP_LOG`
    pub log: Option<String>,
    /// `TIERKEEP_TOKEN`, what a command shows to a running node. No key of the file: that is read by more people.
    pub token: Option<String>,
}

impl Environment {
    /// Reads the six variables.
    ///
    /// # Errors
    /// [`ConfigError::NotUnicode`] when one of them is no text.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    pub fn read() -> Result<Self, ConfigError> {
        let text = |name: &'static str| match env::var(name) {
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(ConfigError::NotUnicode { variable: name }),
        };
        Ok(Self {
            config: env::var_os("TIERKEEP_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from),
            database: text("TIERKEEP_DATABASE_URL")?,
            redis: text("TIERKEEP_REDIS_URL")?,
            listen: text("TIERKEEP_LISTEN")?,
            log: text("TIERKEEP_LOG")?,
            token: text("TIERKEEP_TOKEN")?,
        })
    }
}

/// The effective configuration with its origins.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    origins: BTreeMap<&'static str, Origin>,
    mapping: Value,
}

/// A value as `config show` prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The key, as `section.key`.
    pub key: &'static str,
    /// The value; passwords are replaced by `***`.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Loaded {
    /// Every key with its effective value, in the order of the sample.
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        let origin = |key: &str| self.origins.get(key).cloned().unwrap_or(Origin::Default);
        settings()
            .map(move |setting| Shown {
                key: setting.key,
                value: (setting.show)(&self.config),
                origin: origin(setting.key),
            })
            .chain(std::iter::once(Shown { key: "mapping", value: self.mapping.clone(), origin: origin("mapping") }))
    }

    /// The configuration file for people.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.file.as_deref().map_or_else(|| "none (defaults)".to_owned(), |path| path.display().to_string())
    }

    fn new() -> Self {
        Self {
            config: Config::default(),
            file: None,
            origins: BTreeMap::new(),
            mapping: serde_json::json!({ "preset": "tierkeep" }),
        }
    }

    fn set(&mut self, key: &str, given: &Given<'_>, origin: Origin) -> Result<(), ConfigError> {
        let Some(setting) = settings().find(|setting| setting.key == key) else {
            unreachable!("callers look the key up first")
        };
        setting.apply(&mut self.config, given, &origin)?;
        self.origins.insert(setting.key, origin);
        Ok(())
    }
}

/// Reads the configuration: the named file or the first default one that exists, then the environment, then flags.
///
/// # Errors
/// [`ConfigError`] for a named file that does not exist, an unknown key, or a value that is not accepted.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::new();
    let named = flags.config.as_deref().or(environment.config.as_deref());
    if let Some(path) = find(named) {
        let text =
            std::fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
        file::read(&mut loaded, &path, &text)?;
        loaded.file = Some(path);
    }
    let overrides = [
        ("database.url", &environment.database, Origin::Environment("TIERKEEP_DATABASE_URL")),
        ("redis.url", &environment.redis, Origin::Environment("TIERKEEP_REDIS_URL")),
        ("http.listen", &environment.listen, Origin::Environment("TIERKEEP_LISTEN")),
        (setting::log::FILTER, &environment.log, Origin::Environment("TIERKEEP_LOG")),
        ("database.url", &flags.database, Origin::Flag("--database")),
        ("redis.url", &flags.redis, Origin::Flag("--redis")),
        ("http.listen", &flags.listen, Origin::Flag("--listen")),
    ];
    for (key, value, origin) in overrides {
        if let Some(text) = value {
            loaded.set(key, &Given::Text(text), origin)?;
        }
    }
    Ok(loaded)
}

fn find(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_owned()),
        None => DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists()),
    }
}

#[cfg(test)]
mod tests;
