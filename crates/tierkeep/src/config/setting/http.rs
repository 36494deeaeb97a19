//! The keys of `[http]`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::{Given, HOUR, MILLISECOND, Refused, Setting, count, duration, list, text};
use crate::access::Reach;
use crate::config::ByteSize;
use crate::config::http::MOST_A_SECOND;
use crate::config::quantity::format_duration;

/// Longest time that load balancers are given to notice an end.
const LONGEST_DELAY: Duration = Duration::from_secs(300);

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "http.listen",
        accepted: "an address and a port, such as \"127.0.0.1:8420\" or \"[::1]:8420\"",
        read: |config, given| {
            config.http.listen = listen(text(given)?).ok_or(Refused::Value)?;
            Ok(())
        },
        show: |config| json!(config.http.listen.to_string()),
    },
    Setting {
        key: "http.body_limit",
        accepted: "a size from 1KiB to 64MiB, such as \"1MiB\"",
        read: |config, given| {
            let size: ByteSize = text(given)?.parse().map_err(|_| Refused::Value)?;
            if !(ByteSize::bytes(1024)..=ByteSize::mebibytes(64)).contains(&size) {
                return Err(Refused::Value);
            }
            config.http.body_limit = size;
            Ok(())
        },
        show: |config| json!(config.http.body_limit.to_string()),
    },
    Setting {
        key: "http.request_timeout",
        accepted: "a duration from 1ms to 1h, such as \"30s\"",
        read: |config, given| {
            config.http.request_timeout = duration(given, MILLISECOND..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.http.request_timeout)),
    },
    Setting {
        key: "http.header_timeout",
        accepted: "a duration from 1ms to 1h, such as \"10s\"",
        read: |config, given| {
            config.http.connections.header_timeout = duration(given, MILLISECOND..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.http.connections.header_timeout)),
    },
    Setting {
        key: "http.idle_timeout",
        accepted: "a duration from 1ms to 1h, such as \"75s\"",
        read: |config, given| {
            config.http.connections.idle_timeout = duration(given, MILLISECOND..=HOUR)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.http.connections.idle_timeout)),
    },
    Setting {
        key: "http.header_limit",
        accepted: "a size from 1KiB to 1MiB, such as \"16KiB\"",
        read: |config, given| {
            let size: ByteSize = text(given)?.parse().map_err(|_| Refused::Value)?;
            if !(ByteSize::bytes(1024)..=ByteSize::mebibytes(1)).contains(&size) {
                return Err(Refused::Value);
            }
            config.http.connections.header_limit = size;
            Ok(())
        },
        show: |config| json!(config.http.connections.header_limit.to_string()),
    },
    Setting {
        key: "http.max_connections",
        accepted: "1 to 1000000",
        read: |config, given| {
            config.http.connections.most = count(given, 1..=1_000_000)?;
            Ok(())
        },
        show: |config| json!(config.http.connections.most),
    },
    Setting {
        key: "http.shutdown_delay",
        accepted: "a duration from 0 to 5m, such as \"5s\"",
        read: |config, given| {
            config.http.connections.shutdown_delay = duration(given, Duration::ZERO..=LONGEST_DELAY)?;
            Ok(())
        },
        show: |config| json!(format_duration(config.http.connections.shutdown_delay)),
    },
    Setting {
        key: "http.rate",
        accepted: "0 to 1000000",
        read: |config, given| {
            config.http.rates.rate = Some(whole(given, 0)?);
            Ok(())
        },
        show: |config| {
            let rate = config.http.rates.of(Reach::of(config.http.listen));
            json!(rate.map_or(0, |rate| rate.a_second.get()))
        },
    },
    Setting {
        key: "http.burst",
        accepted: "1 to 1000000",
        read: |config, given| {
            config.http.rates.burst = NonZeroU32::new(whole(given, 1)?);
            Ok(())
        },
        show: |config| json!(config.http.rates.of(Reach::of(config.http.listen)).map(|rate| rate.burst.get())),
    },
    Setting {
        key: "http.trusted_proxies",
        accepted: "networks, such as [\"127.0.0.1\", \"10.0.0.0/8\", \"fd00::/8\"]",
        read: |config, given| {
            let networks = list(given)?.iter().map(|text| text.parse());
            config.http.rates.trusted_proxies = networks.collect::<Result<_, _>>().map_err(|_| Refused::Value)?;
            Ok(())
        },
        show: |config| {
            let networks = config.http.rates.trusted_proxies.iter().map(ToString::to_string);
            json!(networks.collect::<Vec<_>>())
        },
    },
];

fn whole(given: &Given<'_>, least: i64) -> Result<u32, Refused> {
    u32::try_from(count(given, least..=i64::from(MOST_A_SECOND))?).map_err(|_| Refused::Value)
}

/// `localhost` is the one name that needs no resolver.
fn listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}
