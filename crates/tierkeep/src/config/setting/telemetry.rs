//! The keys of `[telemetry]`.

use serde_json::json;

use super::super::OtlpEndpointError;
use super::{Refused, Setting, number, text};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "telemetry.otlp_endpoint",
        accepted: if cfg!(feature = "otel") {
            "http://[user:password@]host[:port][/path] of a collector, the port 4318 where none is named"
        } else {
            "nothing by this binary; by one built with `cargo build --features otel`, http://host:4318"
        },
        read: |config, given| {
            let endpoint =
                text(given)?.parse().map_err(|error: OtlpEndpointError| Refused::Secret(error.to_string()))?;
            if !cfg!(feature = "otel") {
                return Err(Refused::Secret("this binary lacks the feature `otel`".to_owned()));
            }
            config.telemetry.otlp_endpoint = Some(endpoint);
            Ok(())
        },
        show: |config| json!(config.telemetry.otlp_endpoint.as_ref().map(ToString::to_string)),
    },
    Setting {
        key: "telemetry.service_name",
        accepted: "a text of 1 to 255 letters without control characters",
        read: |config, given| {
            let text = text(given)?;
            if text.trim().is_empty() || text.chars().count() > 255 || text.chars().any(char::is_control) {
                return Err(Refused::Value);
            }
            text.clone_into(&mut config.telemetry.service_name);
            Ok(())
        },
        show: |config| json!(config.telemetry.service_name),
    },
    Setting {
        key: "telemetry.sample",
        accepted: "0 to 1, such as 0.1",
        read: |config, given| {
            config.telemetry.sample = number(given, 0.0..=1.0)?;
            Ok(())
        },
        show: |config| json!(config.telemetry.sample),
    },
];
