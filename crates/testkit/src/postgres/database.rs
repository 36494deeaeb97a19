//! A database that belongs to one test.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::proxy::{ChaosProxy, Endpoint};

/// Databases whose tests are over; the next test of the server drops them.
pub(super) type Finished = Arc<Mutex<Vec<String>>>;

/// A fresh database on a [`PostgresServer`](crate::PostgresServer), for one test.
///
/// After it is dropped the database may be removed at any time, with the connections to it.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    finished: Finished,
}

impl TestDatabase {
    pub(super) fn new(name: String, url: String, finished: Finished) -> Self {
        Self { name, url, finished }
    }

    /// Address of the database, as `tokio_postgres::Config`, `psql` and libpq read it.
    ///
    /// The host is the percent-encoded path of the socket's directory:
    /// `postgresql://postgres@%2Ftmp%2Fdirectory/test_1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Address of the database through a proxy in front of its server.
    pub fn url_through(&self, proxy: &ChaosProxy) -> String {
        url_of(proxy.address(), &self.name)
    }

    /// Name of the database; an identifier that needs no quotes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new connection to the database.
    ///
    /// # Errors
    /// The server does not run, or refuses the connection.
    pub async fn client(&self) -> Result<DatabaseClient> {
        DatabaseClient::connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }
}

/// A connection together with the task that drives it; dropping it closes the connection.
#[derive(Debug)]
pub struct DatabaseClient {
    client: Client,
    connection: JoinHandle<()>,
}

impl DatabaseClient {
    /// Connects to an address such as [`TestDatabase::url`].
    ///
    /// # Errors
    /// The address is malformed, the server does not run, or it refuses the connection.
    pub async fn connect(url: &str) -> Result<Self> {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.with_context(|| format!("connecting to {url}"))?;
        // An error of the connection reaches the test through the client's next call.
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { client, connection })
    }

    /// The server's major version, such as 13: for tests of what differs between versions.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn server_version(&self) -> Result<u32> {
        let row = self.client.query_one("select current_setting('server_version_num')::int / 10000", &[]).await?;
        Ok(u32::try_from(row.get::<_, i32>(0))?)
    }

    /// Makes what this connection did so far visible in the server's statistics, such as `pg_stat_user_tables`; more
    /// than a second before version 15.
    ///
    /// # Errors
    /// The connection is broken, or in a transaction that failed.
    pub async fn flush_statistics(&self) -> Result<()> {
        if self.server_version().await? >= 15 {
            self.client.batch_execute("select pg_stat_force_next_flush()").await?;
            self.client.batch_execute("select 1").await?;
        } else {
            // A connection tells the collector at most twice a second, and readers take what is up to half a second old.
            self.client.batch_execute("select pg_sleep(0.6)").await?;
            self.client.batch_execute("select pg_sleep(0.6)").await?;
        }
        Ok(())
    }
}

impl Deref for DatabaseClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for DatabaseClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for DatabaseClient {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Address of a database whose server, or a proxy in front of it, listens on `endpoint`.
pub(super) fn url_of(endpoint: &Endpoint, database: &str) -> String {
    let host = match endpoint {
        // A client is told the directory and knows the file's name.
        Endpoint::Unix(socket) => percent_encoded(socket.parent().unwrap_or(socket)),
        Endpoint::Tcp(address) => address.to_string(),
    };
    format!("postgresql://postgres@{host}/{database}")
}

fn percent_encoded(directory: &Path) -> String {
    directory.to_string_lossy().replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use tokio_postgres::Config;
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn address_is_read_back_as_a_socket_directory() {
        let endpoint = Endpoint::Unix("/tmp/a%b/.s.PGSQL.5432".into());

        let config: Config = url_of(&endpoint, "test_1").parse().unwrap();

        assert_eq!(config.get_hosts(), [Host::Unix("/tmp/a%b".into())]);
        assert_eq!(config.get_user(), Some("postgres"));
        assert_eq!(config.get_dbname(), Some("test_1"));
    }

    #[test]
    fn address_of_a_port_is_read_back() {
        let endpoint = Endpoint::Tcp(([127, 0, 0, 1], 6000).into());

        let config: Config = url_of(&endpoint, "test_1").parse().unwrap();

        assert_eq!(config.get_hosts(), [Host::Tcp("127.0.0.1".to_owned())]);
        assert_eq!(config.get_ports(), [6000]);
    }
}
