//! The keys of `[schedule]`, `[precompute]` and `[notify]`.

use std::time::Duration;

use serde_json::json;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::ActiveWithin;
use tierkeep_schedule::Retries;

use super::{DECADE, Given, HOUR, Refused, SECOND, Setting, count, duration, list, text};
use crate::config::quantity::format_duration;
use crate::config::schedule::TaskKind;

const DAY: Duration = Duration::from_hours(24);

/// When a task is due.
macro_rules! at {
    ($key:literal, $kind:expr) => {
        Setting {
            key: $key,
            accepted: "\"every 5m\", or a cron expression of five fields such as \"0 2 * * *\", in days.time_zone",
            read: |config, given| {
                config.schedule.plan_mut($kind).timing = text(given)?
                    .parse()
                    .map_err(|error: tierkeep_schedule::TimingError| Refused::Told(error.to_string()))?;
                Ok(())
            },
            show: |config| json!(config.schedule.plan($kind).timing.to_string()),
        }
    };
}

/// What becomes of its missed runs.
macro_rules! missed {
    ($key:literal, $kind:expr) => {
        Setting {
            key: $key,
            accepted: "\"skip\", \"once\", or such as \"all 3 within 2d\"",
            read: |config, given| {
                config.schedule.plan_mut($kind).missed = text(given)?.parse().map_err(|_| Refused::Value)?;
                Ok(())
            },
            show: |config| json!(config.schedule.plan($kind).missed.to_string()),
        }
    };
}

/// How late it may begin by chance.
macro_rules! jitter {
    ($key:literal, $kind:expr) => {
        Setting {
            key: $key,
            accepted: "a duration from 0 to 1h, such as \"30s\"",
            read: |config, given| {
                config.schedule.plan_mut($kind).jitter = duration(given, Duration::ZERO..=HOUR)?;
                Ok(())
            },
            show: |config| json!(format_duration(config.schedule.plan($kind).jitter)),
        }
    };
}

pub(super) const SETTINGS: &[Setting] = &[
    at!("schedule.precompute-active-cache", TaskKind::Precompute),
    at!("schedule.cleanup-expired-cache", TaskKind::Sweep),
    at!("schedule.archive-old-data", TaskKind::Archive),
    at!("schedule.update-analytics", TaskKind::Analytics),
    Setting {
        key: "schedule.retries",
        accepted: "0 to 10",
        read: |config, given| {
            let at_most = u32::try_from(count(given, 0..=10)?).map_err(|_| Refused::Value)?;
            config.schedule.retries = Retries { at_most, ..config.schedule.retries };
            Ok(())
        },
        show: |config| json!(config.schedule.retries.at_most),
    },
    Setting {
        key: "schedule.retry_pause",
        accepted: "a duration from 1s to 1d, such as \"60s\"",
        read: |config, given| {
            let first_pause = duration(given, SECOND..=DAY)?;
            config.schedule.retries = Retries { first_pause, ..config.schedule.retries };
            Ok(())
        },
        show: |config| json!(format_duration(config.schedule.retries.first_pause)),
    },
    Setting {
        key: "schedule.time_limit",
        accepted: "a duration from 1s to 30d, such as \"6h\"",
        read: |config, given| {
            config.schedule.time_limit = duration(given, SECOND..=super::MONTH)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.schedule.time_limit)),
    },
    Setting {
        key: "schedule.history",
        accepted: "a duration from 1h to 3650d, such as \"90d\"",
        read: |config, given| {
            config.schedule.history = duration(given, HOUR..=DECADE)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.schedule.history)),
    },
    missed!("schedule.missed.precompute-active-cache", TaskKind::Precompute),
    missed!("schedule.missed.cleanup-expired-cache", TaskKind::Sweep),
    missed!("schedule.missed.archive-old-data", TaskKind::Archive),
    missed!("schedule.missed.update-analytics", TaskKind::Analytics),
    jitter!("schedule.jitter.precompute-active-cache", TaskKind::Precompute),
    jitter!("schedule.jitter.cleanup-expired-cache", TaskKind::Sweep),
    jitter!("schedule.jitter.archive-old-data", TaskKind::Archive),
    jitter!("schedule.jitter.update-analytics", TaskKind::Analytics),
    Setting {
        key: "precompute.days_active",
        accepted: "1 to 36500",
        read: |config, given| {
            let Given::Integer(days) = given else { return Err(Refused::Value) };
            config.precompute.days_active = ActiveWithin::new(*days).map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.precompute.days_active.get()),
    },
    Setting {
        key: "precompute.statistics",
        accepted: "a list of daily, weekly, monthly, analytics, streaks, heatmap, courses, global",
        read: |config, given| {
            let kinds: Result<Vec<StatisticKind>, _> = list(given)?.iter().map(|word| word.parse()).collect();
            config.precompute.statistics = kinds.map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| {
            let words: Vec<&str> = config.precompute.statistics.iter().map(|kind| kind.name()).collect();
            json!(words)
        },
    },
    Setting {
        key: "notify.on_failure",
        accepted: "a command for sh, such as \"mail -s 'tierkeep failed' ops@example.org\"",
        read: |config, given| {
            let command = text(given)?;
            if command.trim().is_empty() || command.contains('\0') {
                return Err(Refused::Value);
            }
            config.notify.on_failure = Some(command.to_owned());
            Ok(())
        },
        show: |config| json!(config.notify.on_failure),
    },
];
