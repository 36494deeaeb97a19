//! Redis or Valkey as remote tier and bus: one server, one behind sentinels, or a cluster.
//!
//! One [`Redis`] handle gives both. They share a connection for commands, which a task keeps up; a
//! subscription has its own. A server that is down is a state and no error: calls fail at once, with a typed
//! error, until it is back. Redis 6 or later, any Valkey.
//!
//! The protocol is RESP3: on one connection it carries answers beside messages, so that a subscription can be
//! pinged, and its messages reach the receiver without another queue in between.
//!
//! # What is stored
//!
//! For readers in other languages; numbers are big-endian, `P` is the prefix, `K` the bytes of a
//! [`RemoteKey`](crate::remote::RemoteKey).
//!
//! | key | holds |
//! |---|---|
//! | `P:v:{kK}` | value: milliseconds of the server's clock when it was stored (8), `T` or, if softly invalidated since, `U` (1), whether there is a version 0 or 1 (1), the source's version (8), the envelope |
//! | `P:l:{kK}` | load lease: its token (8) |
//! | `P:h:{kK}` | hold: the lowest version that may be stored (8) |
//! | `P:t:` and the tag's 16 bytes in hexadecimal | tag record: hard stamp (8), soft stamp (8), number of the last bump or 0 (8), then each rule: its number (8), how many other tags (1), those (16 each) |
//! | `P:bumps` | the number of the last bump, in decimal; a lost one goes on from the server's time in microseconds |
//! | `P:bus:D:state` | hash, `D` the database's number: `id`, `last`, `strict`, `seen`, `longest`, `grace`, and the end of each node's lease under `l` and its 8 bytes |
//!
//! All but the last two have a time to live. What lies at such a key and is not of this form counts as absent.
//!
//! Messages on the channel `P:bus:D` are `N`, epoch (16 hexadecimal digits), number (8), strict `0` or `1`, notice;
//! or `E`, epoch, last number (8), granted `0` or `1`, node (8), nonce (8); or `C`, node (8), number (8).
//!
//! # What it promises
//!
//! - Every call that changes something is a script: atomic, and safe to repeat. A batch is one round trip.
//! - A full server (`maxmemory` with `noeviction`) refuses leases, values and notices, and still invalidates: what
//!   cannot be marked is deleted.
//! - The epoch of the bus changes with the server's replication id and run id: a failover, also one that went
//!   back in time, is a new epoch. Leases the old server granted are waited for: a strict notice has a holder
//!   with the number 0 for as long as the longest lease. Reading the two ids costs the server 12 us per notice.
//! - Ages and leases run by the server's clock. After a failover an age may be off by the difference between
//!   two servers' clocks.
//! - On a cluster there is no order among bumps, because tags lie on different servers; a rule becomes a hard bump.

mod address;
mod breaker;
mod bus;
#[cfg(feature = "redis-tls")]
mod encryption;
mod layout;
mod line;
mod names;
mod scripts;
mod tier;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::line::Link;
use self::names::Names;
use self::transport::Dialer;

pub use self::address::{Address, Host, Servers};
pub use self::breaker::{Breaker, Permit};
pub use self::bus::RedisBus;
#[cfg(feature = "redis-tls")]
pub use self::encryption::tls_settings;
pub use self::tier::RedisTier;

/// The longest prefix, in bytes: it is part of every key.
const MAX_PREFIX_BYTES: usize = 128;

/// Where the server is, and how long to wait for it.
#[derive(Clone)]
#[must_use]
pub struct RedisConfig {
    address: Address,
    prefix: String,
    connect_timeout: Duration,
    command_timeout: Duration,
    ping_interval: Duration,
}

impl RedisConfig {
    /// Reads an address:
    ///
    /// - `redis://[user[:password]@]host[:6379][/database]`
    /// - `rediss://…`, the same with TLS, if the feature `redis-tls` is on; certificates are checked against the
    ///   authorities of this host
    /// - `redis+unix:///path/of/socket[?db=…&user=…&pass=…]`, or `unix://…`
    /// - `redis+cluster://[user[:password]@]host[:6379],host…`, some nodes of a cluster
    /// - `redis+sentinel://[user[:password]@]host[:26379],host…/master[/database]`; user and password are for the
    ///   master, sentinels are asked without
    ///
    /// Users, passwords, paths and the master's name may be percent-encoded. Nothing prints a password.
    ///
    /// # Errors
    /// [`RedisConfigError::Address`]; its text holds no password.
    pub fn new(url: &str) -> Result<Self, RedisConfigError> {
        Ok(Self {
            address: Address::parse(url)?,
            prefix: "tierkeep".to_owned(),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_millis(500),
            ping_interval: Duration::from_secs(2),
        })
    }

    /// What all keys and channels begin with; `tierkeep` unless told. Caches with one prefix share their entries.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The time for making a connection or a subscription; 5 s unless told.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// The time for a command and its answer; 500 ms unless told. Every call of tier and bus ends within it.
    pub fn command_timeout(mut self, limit: Duration) -> Self {
        self.command_timeout = limit;
        self
    }

    /// How often a subscription is asked for a sign of life, which must come within the command timeout; 2 s
    /// unless told.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.address)
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("ping_interval", &self.ping_interval)
            .finish()
    }
}

/// A configuration that cannot work, whatever the server does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// The text is no address of a form that [`RedisConfig::new`] knows.
    #[error("`{address}` is not the address of a redis server: {reason}")]
    Address {
        /// The text without user and password.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The prefix is empty, longer than 128 bytes, or holds a brace, which would end the part of a key that a
    /// cluster hashes.
    #[error("`{0}` is no prefix of keys: it has 1 to 128 bytes and no braces")]
    Prefix(String),
    /// The address asks for TLS, which cannot be had.
    #[error("TLS to redis is not possible: {0}")]
    Tls(String),
}

/// A server, a cluster, or the master behind some sentinels; clones share its connection.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
    tier: RedisTier,
    bus: RedisBus,
}

struct Shared {
    address: Address,
    names: Names,
    is_cluster: bool,
    dialer: Arc<Dialer>,
    link: Link,
    connect_timeout: Duration,
    command_timeout: Duration,
    ping_interval: Duration,
}

impl Redis {
    /// Connects, or keeps trying: returns after the first attempt, however it ended.
    ///
    /// A task keeps the connection up, with pauses of 10 ms to 1 s between attempts. It ends when the last
    /// handle, tier and bus are dropped.
    ///
    /// # Errors
    /// [`RedisConfigError::Prefix`] and [`RedisConfigError::Tls`]. Never that the server is down.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(config: RedisConfig) -> Result<Self, RedisConfigError> {
        let RedisConfig { address, prefix, connect_timeout, command_timeout, ping_interval } = config;
        if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || prefix.contains(['{', '}']) {
            return Err(RedisConfigError::Prefix(prefix));
        }
        let names = Names::new(&prefix, address.database);
        let dialer = Arc::new(Dialer::new(address.clone(), connect_timeout)?);
        let is_cluster = dialer.is_cluster();
        let link = Link::start(Arc::clone(&dialer), connect_timeout, command_timeout).await;
        let shared = Arc::new(Shared {
            address,
            names,
            is_cluster,
            dialer,
            link,
            connect_timeout,
            command_timeout,
            ping_interval,
        });
        Ok(Self { tier: RedisTier::new(Arc::clone(&shared)), bus: RedisBus::new(Arc::clone(&shared)), shared })
    }

    /// The server as remote tier.
    pub fn tier(&self) -> RedisTier {
        self.tier.clone()
    }

    /// The server as bus.
    pub fn bus(&self) -> RedisBus {
        self.bus.clone()
    }

    /// Removes the values of all entries whose key `is_wanted` picks, and returns how many that were.
    ///
    /// For values that must be gone and not only outdated, as an invalidation makes those that carry a tag: invalidate first.
    /// `is_wanted` is given a key as it was encoded, the name of its view before it. Goes through all keys of the server, a
    /// thousand at a time: O(keys), without holding the server up. What is stored meanwhile may or may not be met.
    ///
    /// # Errors
    /// [`RemoteError`](crate::remote::RemoteError): it cannot be asked; on a cluster, whose keys no one server lists,
    /// [`RemoteError::Refused`](crate::remote::RemoteError::Refused).
    pub async fn remove_values(
        &self,
        is_wanted: impl Fn(&[u8]) -> bool + Send,
    ) -> Result<u64, crate::remote::RemoteError> {
        self.tier.remove_values(is_wanted).await
    }

    /// Whether there is a connection for commands at this moment.
    pub fn is_connected(&self) -> bool {
        self.shared.link.is_connected()
    }

    /// Returns when there is a connection for commands; at once if there is one.
    pub async fn connected(&self) {
        self.shared.link.connected().await;
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("address", &self.shared.address).field("connected", &self.is_connected()).finish()
    }
}
