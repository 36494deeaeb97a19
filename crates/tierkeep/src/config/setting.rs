//! The keys: one row each.

mod http;
pub(super) mod log;
mod retention;
mod schedule;
mod telemetry;

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::statistic::StatisticKind;

use super::quantity::{format_duration, parse_duration};
use super::{ByteSize, Config, ConfigError, Origin};

/// A value as it was given.
#[derive(Debug)]
pub(super) enum Given<'a> {
    Text(&'a str),
    Integer(i64),
    Bool(bool),
    Number(f64),
    /// Texts in brackets.
    List(Vec<String>),
    /// Something that no key accepts, by the name of its type.
    Other(&'static str),
}

impl Given<'_> {
    /// The value for a message.
    fn shown(&self) -> String {
        match self {
            Given::Text(text) => format!("{text:?}"),
            Given::Integer(number) => number.to_string(),
            Given::Bool(value) => value.to_string(),
            Given::Number(number) => number.to_string(),
            Given::List(texts) => format!("{texts:?}"),
            Given::Other(kind) => format!("of type {kind}"),
        }
    }
}

/// A key: how it is read, what it accepts, how it is shown.
pub(super) struct Setting {
    pub(super) key: &'static str,
    accepted: &'static str,
    read: fn(&mut Config, &Given<'_>) -> Result<(), Refused>,
    pub(super) show: fn(&Config) -> Value,
}

/// Why a value is not accepted.
enum Refused {
    /// The value may be repeated in the message.
    Value,
    /// The value may hold a password; this is what may be said of it.
    Secret(String),
    /// The value may be repeated, and this is what is wrong with it.
    Told(String),
}

/// The life of a statistic's answers.
macro_rules! ttl {
    ($key:literal, $kind:expr) => {
        Setting {
            key: $key,
            accepted: "a duration from 1s to 30d, such as \"5m\"",
            read: |config, given| {
                config.cache.ttl.set($kind, duration(given, SECOND..=MONTH)?);
                Ok(())
            },
            show: |config| json!(format_duration(config.cache.ttl.of($kind))),
        }
    };
}

/// All keys, in the order of the sample.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    [log::SETTINGS, telemetry::SETTINGS, EARLIER, retention::SETTINGS, schedule::SETTINGS, LATER, http::SETTINGS]
        .into_iter()
        .flatten()
}

/// What comes between `[telemetry]` and `[retention]`.
const EARLIER: &[Setting] = &[
    Setting {
        key: "database.url",
        accepted: "sqlite://relative.db, sqlite:///absolute.db, or postgres://user[:password]@host[:port]/database",
        read: |config, given| {
            config.database.url = text(given)?.parse().map_err(|error| Refused::Secret(chain(&error)))?;
            Ok(())
        },
        show: |config| json!(config.database.url.to_string()),
    },
    Setting {
        key: "database.size",
        accepted: "1 to 10000",
        read: |config, given| {
            config.database.pool.size = count(given, 1..=10_000)?;
            Ok(())
        },
        show: |config| json!(config.database.pool.size),
    },
    Setting {
        key: "database.overflow",
        accepted: "0 to 10000",
        read: |config, given| {
            config.database.pool.overflow = count(given, 0..=10_000)?;
            Ok(())
        },
        show: |config| json!(config.database.pool.overflow),
    },
    Setting {
        key: "database.timeout",
        accepted: "a duration from 1ms to 1h, such as \"30s\"",
        read: |config, given| {
            config.database.pool.timeout = duration(given, MILLISECOND..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.database.pool.timeout)),
    },
    Setting {
        key: "database.recycle",
        accepted: "a duration from 1s to 30d, such as \"1h\"",
        read: |config, given| {
            config.database.pool.recycle = duration(given, SECOND..=MONTH)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.database.pool.recycle)),
    },
    Setting {
        key: "database.pre_ping",
        accepted: "true or false",
        read: |config, given| {
            let Given::Bool(value) = given else { return Err(Refused::Value) };
            config.database.pool.pre_ping = *value;
            Ok(())
        },
        show: |config| json!(config.database.pool.pre_ping),
    },
    Setting {
        key: "database.connect_timeout",
        accepted: "a duration from 1ms to 1h, such as \"10s\"",
        read: |config, given| {
            config.database.pool.connect_timeout = duration(given, MILLISECOND..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.database.pool.connect_timeout)),
    },
    Setting {
        key: "database.application_name",
        accepted: "a text of 1 to 63 printable ASCII characters",
        read: |config, given| {
            let text = text(given)?;
            let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            // PostgreSQL cuts longer names and replaces other characters
            if text.is_empty() || text.len() > 63 || !printable {
                return Err(Refused::Value);
            }
            text.clone_into(&mut config.database.pool.application_name);
            Ok(())
        },
        show: |config| json!(config.database.pool.application_name),
    },
    Setting {
        key: "redis.url",
        accepted: "redis://[user:password@]host[:port][/number], rediss://… for TLS, redis+unix:///path, \
                   redis+cluster://host,… or redis+sentinel://host,…/master",
        read: |config, given| {
            let url = text(given)?.parse().map_err(|error: super::RedisUrlError| Refused::Secret(error.to_string()))?;
            config.redis.url = Some(url);
            Ok(())
        },
        show: |config| json!(config.redis.url.as_ref().map(ToString::to_string)),
    },
    Setting {
        key: "redis.prefix",
        accepted: "a text of 1 to 64 printable ASCII characters without spaces and braces",
        read: |config, given| {
            let text = text(given)?;
            // braces mark the part of a key that a cluster hashes
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'{' && byte != b'}');
            if text.is_empty() || text.len() > 64 || !plain {
                return Err(Refused::Value);
            }
            text.clone_into(&mut config.redis.prefix);
            Ok(())
        },
        show: |config| json!(config.redis.prefix),
    },
    Setting {
        key: "redis.connect_timeout",
        accepted: "a duration from 1ms to 1m, such as \"5s\"",
        read: |config, given| {
            config.redis.connect_timeout = duration(given, MILLISECOND..=MINUTE)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.redis.connect_timeout)),
    },
    Setting {
        key: "redis.command_timeout",
        accepted: "a duration from 1ms to 1m, such as \"500ms\"",
        read: |config, given| {
            config.redis.command_timeout = duration(given, MILLISECOND..=MINUTE)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.redis.command_timeout)),
    },
    Setting {
        key: "redis.max_connections",
        accepted: "2 to 10000",
        read: |config, given| {
            config.redis.max_connections = count(given, 2..=10_000)?;
            Ok(())
        },
        show: |config| json!(config.redis.max_connections),
    },
    Setting {
        key: "cache.l1",
        accepted: "a size from 64KiB to 1024GiB, such as \"64MiB\"",
        read: |config, given| {
            let size: ByteSize = text(given)?.parse().map_err(|_| Refused::Value)?;
            if !(ByteSize::bytes(64 << 10)..=ByteSize::bytes(1 << 40)).contains(&size) {
                return Err(Refused::Value);
            }
            config.cache.l1 = size;
            Ok(())
        },
        show: |config| json!(config.cache.l1.to_string()),
    },
    ttl!("cache.ttl.daily", StatisticKind::Daily),
    ttl!("cache.ttl.weekly", StatisticKind::Weekly),
    ttl!("cache.ttl.monthly", StatisticKind::Monthly),
    ttl!("cache.ttl.analytics", StatisticKind::Analytics),
    ttl!("cache.ttl.streaks", StatisticKind::Streaks),
    ttl!("cache.ttl.heatmap", StatisticKind::Heatmap),
    ttl!("cache.ttl.courses", StatisticKind::Courses),
    ttl!("cache.ttl.global", StatisticKind::Global),
    Setting {
        key: "freshness.bound",
        accepted: "a duration from 100ms to 1m, such as \"1s\"",
        read: |config, given| {
            config.freshness.bound = duration(given, MILLISECOND * 100..=MINUTE)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.freshness.bound)),
    },
    Setting {
        key: "freshness.max_stale",
        accepted: "a duration from 0 to 30d, such as \"1h\"",
        read: |config, given| {
            config.freshness.max_stale = duration(given, Duration::ZERO..=MONTH)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.freshness.max_stale)),
    },
    Setting {
        key: "freshness.outbox_max",
        accepted: "a size from 1MiB to 1024GiB, such as \"1GiB\"",
        read: |config, given| {
            let size: ByteSize = text(given)?.parse().map_err(|_| Refused::Value)?;
            if !(ByteSize::mebibytes(1)..=ByteSize::bytes(1 << 40)).contains(&size) {
                return Err(Refused::Value);
            }
            config.freshness.outbox_max = size;
            Ok(())
        },
        show: |config| json!(config.freshness.outbox_max.to_string()),
    },
    Setting {
        key: "verify.sample_per_minute",
        accepted: "0 to 60000",
        read: |config, given| {
            let learners = count(given, 0..=60_000)?;
            config.verify.sample_per_minute = u32::try_from(learners).map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.verify.sample_per_minute),
    },
];

/// What comes behind `[retention]`.
const LATER: &[Setting] = &[
    Setting {
        key: "warmup.delay",
        accepted: "a duration from 0 to 1h, such as \"5s\"",
        read: |config, given| {
            config.warmup.delay = duration(given, Duration::ZERO..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.warmup.delay)),
    },
    Setting {
        key: "warmup.concurrency",
        accepted: "0 to 1000",
        read: |config, given| {
            config.warmup.concurrency = count(given, 0..=1000)?;
            Ok(())
        },
        show: |config| json!(config.warmup.concurrency),
    },
    Setting {
        key: "warmup.rate",
        accepted: "1 to 1000000",
        read: |config, given| {
            config.warmup.rate = u32::try_from(count(given, 1..=1_000_000)?).map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.warmup.rate),
    },
    Setting {
        key: "warmup.learned",
        accepted: "true or false",
        read: |config, given| {
            let Given::Bool(value) = given else { return Err(Refused::Value) };
            config.warmup.learned = *value;
            Ok(())
        },
        show: |config| json!(config.warmup.learned),
    },
    Setting {
        key: "warmup.deadline",
        accepted: "a duration from 0 to 1h, such as \"10s\"",
        read: |config, given| {
            config.warmup.deadline = duration(given, Duration::ZERO..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.warmup.deadline)),
    },
    Setting {
        key: "warmup.keys",
        accepted: "1 to 1000000",
        read: |config, given| {
            config.warmup.keys = count(given, 1..=1_000_000)?;
            Ok(())
        },
        show: |config| json!(config.warmup.keys),
    },
    Setting {
        key: "days.time_zone",
        accepted: "an IANA time zone name such as \"Europe/Paris\"",
        read: |config, given| {
            config.days.default_zone = Zone::new(text(given)?).map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.days.default_zone.name()),
    },
    Setting {
        key: "days.day_start",
        accepted: "an hour from 0 to 23",
        read: |config, given| {
            let Given::Integer(hour) = given else { return Err(Refused::Value) };
            config.days.day_start = DayStart::new(*hour).map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.days.day_start.get()),
    },
    Setting {
        key: "days.language",
        accepted: "\"en\" or \"zh\"",
        read: |config, given| {
            config.days.language = text(given)?.parse().map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.days.language.to_string()),
    },
];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const DECADE: Duration = Duration::from_secs(3650 * 86_400);

impl Setting {
    pub(super) fn apply(&self, config: &mut Config, given: &Given<'_>, origin: &Origin) -> Result<(), ConfigError> {
        (self.read)(config, given).map_err(|refused| ConfigError::Value {
            place: origin.to_string(),
            key: self.key,
            given: match refused {
                Refused::Secret(what) => format!("not usable: {what}"),
                Refused::Told(what) => format!("{}: {what}", given.shown()),
                Refused::Value => given.shown(),
            },
            accepted: self.accepted,
        })
    }
}

fn text<'a>(given: &Given<'a>) -> Result<&'a str, Refused> {
    match given {
        Given::Text(text) => Ok(text),
        _ => Err(Refused::Value),
    }
}

fn count(given: &Given<'_>, range: RangeInclusive<i64>) -> Result<usize, Refused> {
    match given {
        Given::Integer(number) if range.contains(number) => usize::try_from(*number).map_err(|_| Refused::Value),
        _ => Err(Refused::Value),
    }
}

fn duration(given: &Given<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Refused> {
    let duration = parse_duration(text(given)?).map_err(|_| Refused::Value)?;
    if range.contains(&duration) { Ok(duration) } else { Err(Refused::Value) }
}

/// A whole number is a number, too.
fn number(given: &Given<'_>, range: RangeInclusive<f64>) -> Result<f64, Refused> {
    let number = match given {
        Given::Number(number) => *number,
        Given::Integer(0) => 0.0,
        Given::Integer(1) => 1.0,
        _ => return Err(Refused::Value),
    };
    if range.contains(&number) { Ok(number) } else { Err(Refused::Value) }
}

fn list<'a>(given: &'a Given<'_>) -> Result<&'a [String], Refused> {
    match given {
        Given::List(texts) => Ok(texts),
        _ => Err(Refused::Value),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
