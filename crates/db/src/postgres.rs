//! A pool of connections to PostgreSQL.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio_postgres::{Client, Statement};

use crate::{Error, PostgresUrl};
use lending::{Lease, Lending, Limits};
use session::PostgresConnector;

mod lending;
mod session;
mod tls;

/// How a pool behaves. Every value is valid except a `size` of 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Connections kept when idle; at least 1, default 20.
    pub size: usize,
    /// Connections that may exist beyond `size`; default 30.
    pub overflow: usize,
    /// Longest wait for a connection to become free; default 30 s.
    pub timeout: Duration,
    /// Age at which a connection is replaced; default 1 h.
    pub recycle: Duration,
    /// Whether each checkout asks for a sign of life; default true.
    pub pre_ping: bool,
    /// Longest wait for a new connection, and for the sign of life; default 10 s.
    pub connect_timeout: Duration,
    /// Name of this program in `pg_stat_activity`, unless the address names one; default "tierkeep".
    pub application_name: String,
}

/// A pool of connections to one PostgreSQL database.
///
/// Cheap to clone; all clones are the same pool.
///
/// # What the settings mean, exactly
///
/// - Connections are made when they are needed, never before.
/// - At most `size + overflow` exist at a time, counting those being made, lent, idle and being closed.
/// - Up to `size` are kept when they are returned; the ones beyond that are **closed when returned**. The one returned
///   last is lent first.
/// - Whoever asks when all are lent waits, in the order of asking, for at most `timeout`, then gets
///   [`Error::PoolTimeout`]. Making a connection is not part of that wait; it has a limit of its own, `connect_timeout`.
/// - A connection older than `recycle` is replaced at its next checkout.
/// - With `pre_ping` a connection is asked for a sign of life (an empty query, one round trip) at each checkout. When one
///   turns out dead, every connection of the pool made before that moment is replaced at its next checkout or closed when
///   it is returned: the server has probably restarted.
///
/// # What a connection is like when it is lent again
///
/// After every use `begin; rollback` is sent while nobody waits, and the connection is lent again only when that has
/// succeeded: it ends any transaction that was left open, whether by [`Client::transaction`] or by hand, and it proves
/// that no request is under way. (A plain `rollback` would leave a warning in the server's log each time.) If there is no
/// answer within 500 ms, a query was abandoned by its future: it is cancelled on the server and the connection is closed.
/// Closed is also one that was returned in a failed transaction, or after [`Connection::discard`].
///
/// What belongs to the session is *not* reset: `set`, `listen`, temporary tables, session-level advisory locks. Use
/// `set local` and transaction-level locks, or [`Connection::discard`].
///
/// # Encryption, by `sslmode` in the address
///
/// - `disable`: none.
/// - `prefer` (also if nothing is said): encrypted if the server can, with whatever certificate it shows. That keeps out
///   those who listen, not those who pretend to be the server; it is what `libpq` does.
/// - `require`: encrypted, and the server's certificate must be for its name and signed by an authority the host trusts.
///   This is stricter than `libpq`'s `require` and equal to its `verify-full`. A private authority is added to the host's,
///   or named in the environment as `SSL_CERT_FILE`.
///
/// A Unix socket is never encrypted, whatever the mode says: both ends are the same machine.
///
/// Without the feature `tls` of this crate `prefer` is not encrypted and `require` is an error.
///
/// # Examples
///
/// ```no_run
/// use tierkeep_db::{Pool, PoolConfig, PostgresUrl};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let url: PostgresUrl = "postgres://app@db.example/learning".parse()?;
/// let pool = Pool::new(&url, PoolConfig::default())?;
///
/// let mut connection = pool.get().await?;
/// let count = connection.prepared("select count(*) from study_sessions where user_id = $1").await?;
/// let tx = connection.transaction().await?;
/// let row = tx.query_one(&count, &[&7_i64]).await?;
/// tx.commit().await?;
/// println!("{} sessions", row.get::<_, i64>(0));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool {
    lending: Lending<PostgresConnector>,
}

/// What a pool's connections are doing at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections ready to be lent.
    pub idle: usize,
    /// Connections that are lent, being made, being checked after use, or being closed.
    pub in_use: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// Most connections that may exist: `size + overflow`.
    pub max: usize,
}

/// What a pool has done since it was made.
///
/// `made - closed.total()` connections exist, but for those whose closing is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCounts {
    /// Connections made.
    pub made: u64,
    /// Attempts to make one that failed.
    pub refused: u64,
    /// Checkouts that succeeded.
    pub lent: u64,
    /// Checkouts that ended with [`Error::PoolTimeout`].
    pub timed_out: u64,
    /// Time that callers waited for a place, all together, those included that gave up.
    pub waited: Duration,
    /// The longest of these waits.
    pub longest_wait: Duration,
    /// Connections closed.
    pub closed: ClosedConnections,
}

/// Connections that a pool has closed, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClosedConnections {
    /// Returned while `size` others were idle.
    pub overflow: u64,
    /// Older than `recycle` at a checkout.
    pub recycled: u64,
    /// Found dead by a ping or when returned.
    pub dead: u64,
    /// Made before one that was found dead by a ping, or before [`Pool::renew`].
    pub outdated: u64,
    /// Returned with a failed transaction, or with a query that its future had abandoned.
    pub unfinished: u64,
    /// By [`Connection::discard`].
    pub discarded: u64,
    /// Because the pool was closed.
    pub ended: u64,
}

impl ClosedConnections {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { overflow, recycled, dead, outdated, unfinished, discarded, ended } = *self;
        overflow + recycled + dead + outdated + unfinished + discarded + ended
    }
}

/// A connection lent by a [`Pool`], returned when dropped.
///
/// It is a [`Client`]. Dropping it does not block; what happens then is written at [`Pool`].
pub struct Connection {
    lease: Lease<PostgresConnector>,
}

impl Pool {
    /// Makes a pool; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a `size` of 0; [`Error::TlsUnavailable`] if the address has `sslmode=require` and
    /// that cannot be honoured.
    pub fn new(url: &PostgresUrl, config: PoolConfig) -> Result<Self, Error> {
        if config.size == 0 {
            return Err(Error::InvalidSetting { setting: "size", given: "0".to_owned(), accepted: "1 or more" });
        }
        let connector = PostgresConnector::new(url, &config.application_name, config.connect_timeout)?;
        let limits = Limits {
            size: config.size,
            overflow: config.overflow,
            timeout: config.timeout,
            recycle: config.recycle,
            pre_ping: config.pre_ping,
        };
        Ok(Self { lending: Lending::new(connector, limits) })
    }

    /// Lends a connection, making one if none is idle.
    ///
    /// If the future is dropped, its place in the queue is given up and nothing leaks. Costs a round trip if a connection
    /// is idle and `pre_ping` is on, and a few to make one.
    ///
    /// # Errors
    ///
    /// [`Error::PoolTimeout`] if none became free; [`Error::Unreachable`] and [`Error::ConnectTimeout`] if none could be
    /// made; [`Error::Closed`] after [`close`](Self::close).
    pub async fn get(&self) -> Result<Connection, Error> {
        Ok(Connection { lease: self.lending.get().await? })
    }

    /// Returns what the connections are doing at this moment.
    pub fn status(&self) -> PoolStatus {
        self.lending.status()
    }

    /// Returns what was counted since the pool was made. Reads a dozen counters, without a lock.
    pub fn counts(&self) -> PoolCounts {
        self.lending.counts()
    }

    /// Replaces every connection made until now at its next checkout, or closes it when it is returned: their prepared
    /// statements may be of a schema that is no more.
    pub fn renew(&self) {
        self.lending.renew();
    }

    /// Lends no more, closes the idle connections, and waits up to 5 s for the lent ones to come back; those that do not
    /// are cut.
    ///
    /// Whoever waits for a connection gets [`Error::Closed`].
    pub async fn close(&self) {
        self.lending.close().await;
    }
}

impl Connection {
    /// Returns the prepared statement of a text, preparing it the first time on this connection.
    ///
    /// Up to 256 statements are kept per connection; the one unused for longest makes room. Costs two round trips the
    /// first time, none later. Only for texts that come from the program: a text per value would fill the server's
    /// memory with statements.
    ///
    /// # Errors
    ///
    /// [`Error::Postgres`].
    pub async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        self.lease.session().prepared(sql).await
    }

    /// Forgets the prepared statements of this connection, for example after `cached plan must not change result type`.
    pub fn forget_prepared(&self) {
        self.lease.session().forget_prepared();
    }

    /// Closes the connection instead of returning it, for sessions with state of their own.
    pub fn discard(self) {
        self.lease.discard();
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.lease.session().client()
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        self.lease.session_mut().client_mut()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            size: 20,
            overflow: 30,
            timeout: Duration::from_secs(30),
            recycle: Duration::from_secs(3600),
            pre_ping: true,
            connect_timeout: Duration::from_secs(10),
            application_name: "tierkeep".to_owned(),
        }
    }
}
