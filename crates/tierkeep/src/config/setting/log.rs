//! The keys of `[log]`.

use std::time::Duration;

use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::super::LogFormat;
use super::super::quantity::format_duration;
use super::{HOUR, Refused, Setting, duration, text};

/// The key that `log = "…"` is short for.
pub(in super::super) const FILTER: &str = "log.filter";

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: FILTER,
        accepted: "off, error, warn, info, debug, trace, or directives such as info,tierkeep=debug",
        read: |config, given| {
            let text = text(given)?;
            EnvFilter::try_new(text).map_err(|_| Refused::Value)?;
            text.clone_into(&mut config.log.filter);
            Ok(())
        },
        show: |config| json!(config.log.filter),
    },
    Setting {
        key: "log.format",
        accepted: "\"text\" or \"json\"",
        read: |config, given| {
            config.log.format = match text(given)? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(Refused::Value),
            };
            Ok(())
        },
        show: |config| match config.log.format {
            LogFormat::Text => json!("text"),
            LogFormat::Json => json!("json"),
        },
    },
    Setting {
        key: "log.slow",
        accepted: "a duration from 0 to 1h, such as \"250ms\"",
        read: |config, given| {
            config.log.slow = duration(given, Duration::ZERO..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.log.slow)),
    },
];
