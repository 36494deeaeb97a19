//! The keys of `[retention]`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;
use tierkeep_retention::{Pace, Share, Windows};

use super::{DECADE, Given, HOUR, MILLISECOND, Refused, Setting, count, duration, list, number, text};
use crate::config::quantity::format_duration;
use crate::config::retention::{Days, source};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "retention.enabled",
        accepted: "true or false",
        read: |config, given| {
            let Given::Bool(value) = given else { return Err(Refused::Value) };
            config.retention.enabled = Some(*value);
            Ok(())
        },
        show: |config| json!(config.retention.is_enabled(&config.mapping)),
    },
    Setting {
        key: "retention.archive_after_days",
        accepted: "1 to 36500",
        read: |config, given| {
            config.retention.ages.archive_after = days(given)?;
            Ok(())
        },
        show: |config| json!(config.retention.ages.archive_after.get()),
    },
    Setting {
        key: "retention.delete_after_days",
        accepted: "1 to 36500",
        read: |config, given| {
            config.retention.ages.delete_after = Some(days(given)?);
            Ok(())
        },
        show: |config| json!(config.retention.ages.delete_after.map(Days::get)),
    },
    Setting {
        key: "retention.quarantine_days",
        accepted: "1 to 36500",
        read: |config, given| {
            config.retention.ages.quarantine = days(given)?;
            Ok(())
        },
        show: |config| json!(config.retention.ages.quarantine.get()),
    },
    Setting {
        key: "retention.batch_size",
        accepted: "1 to 50000",
        read: |config, given| {
            let rows = u32::try_from(count(given, 1..=i64::from(Pace::MAX_ROWS.get()))?).ok();
            config.retention.work.batch_size = rows.and_then(NonZeroU32::new).ok_or(Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.retention.work.batch_size.get()),
    },
    Setting {
        key: "retention.lock_timeout",
        accepted: "a duration from 1ms to 1h, such as \"2s\"",
        read: |config, given| {
            config.retention.work.lock_timeout = duration(given, MILLISECOND..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.retention.work.lock_timeout)),
    },
    Setting {
        key: "retention.max_fraction",
        accepted: "a share of a table, 0 to 1, such as 0.2",
        read: |config, given| {
            config.retention.work.max_fraction = number(given, 0.0..=1.0)?;
            Ok(())
        },
        show: |config| json!(config.retention.work.max_fraction),
    },
    Setting {
        key: "retention.share",
        accepted: "a percentage from 1 to 100",
        read: |config, given| {
            let percent = u8::try_from(count(given, 1..=100)?).map_err(|_| Refused::Value)?;
            config.retention.work.share = Share::new(percent).map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.retention.work.share.percent()),
    },
    Setting {
        key: "retention.throttle_off",
        accepted: "a list of replication_lag, lock_waiters, wal_archive, slot_retention, load, autovacuum, wal_file, write_lock",
        read: |config, given| {
            let words = list(given)?;
            let sources: Option<Vec<_>> = words.iter().map(|word| source(word)).collect();
            config.retention.work.throttle_off = sources.ok_or(Refused::Value)?;
            Ok(())
        },
        show: |config| {
            let words: Vec<&str> = config.retention.work.throttle_off.iter().map(|source| source.word()).collect();
            json!(words)
        },
    },
    Setting {
        key: "retention.windows",
        accepted: "a list of hours such as [\"22:00-06:00\", \"Sat,Sun 00:00-24:00\"]; [] = always",
        read: |config, given| {
            let windows = list(given)?;
            Windows::parse(windows, TimeZone::UTC).map_err(|_| Refused::Value)?;
            windows.clone_into(&mut config.retention.hours.windows);
            Ok(())
        },
        show: |config| json!(config.retention.hours.windows),
    },
    Setting {
        key: "retention.stop_file",
        accepted: "the path of a file",
        read: |config, given| {
            config.retention.hours.stop_file = Some(path(given)?);
            Ok(())
        },
        show: |config| json!(config.retention.hours.stop_file),
    },
    Setting {
        key: "retention.export_dir",
        accepted: "the path of a directory",
        read: |config, given| {
            config.retention.deletion.export_dir = path(given)?;
            Ok(())
        },
        show: |config| json!(config.retention.deletion.export_dir),
    },
    Setting {
        key: "retention.before_delete",
        accepted: "a command for sh, such as \"test -e /backup/today\"",
        read: |config, given| {
            let command = text(given)?;
            if command.trim().is_empty() || command.contains('\0') {
                return Err(Refused::Value);
            }
            config.retention.deletion.before_delete = Some(command.to_owned());
            Ok(())
        },
        show: |config| json!(config.retention.deletion.before_delete),
    },
    Setting {
        key: "retention.keep_summaries",
        accepted: "true or false",
        read: |config, given| {
            let Given::Bool(value) = given else { return Err(Refused::Value) };
            config.retention.deletion.keep_summaries = *value;
            Ok(())
        },
        show: |config| json!(config.retention.deletion.keep_summaries),
    },
    Setting {
        key: "retention.restore_grace",
        accepted: "a duration from 0 to 3650d, such as \"30d\"",
        read: |config, given| {
            config.retention.restore_grace = duration(given, Duration::ZERO..=DECADE)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.retention.restore_grace)),
    },
    Setting {
        key: "retention.erase_grace",
        accepted: "a duration from 0 to 3650d, such as \"7d\"",
        read: |config, given| {
            config.retention.erase_grace = duration(given, Duration::ZERO..=DECADE)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.retention.erase_grace)),
    },
];

fn days(given: &Given<'_>) -> Result<Days, Refused> {
    let Given::Integer(days) = given else { return Err(Refused::Value) };
    Days::new(*days).map_err(|_| Refused::Value)
}

fn path(given: &Given<'_>) -> Result<PathBuf, Refused> {
    let text = text(given)?;
    if text.is_empty() || text.contains('\0') { Err(Refused::Value) } else { Ok(PathBuf::from(text)) }
}
