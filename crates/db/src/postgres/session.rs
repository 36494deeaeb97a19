//! One connection to a server: how it is made, checked and ended, and its prepared statements.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_postgres::{CancelToken, Client, Config, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lending::Connector;
use super::tls::Tls;
use crate::{Error, PostgresUrl};

/// How long a returned connection may take to prove that it is idle. Far longer than a round trip, shorter than a wait
/// that a saturated pool would notice.
const RESET_LIMIT: Duration = Duration::from_millis(500);
/// How long cancelling an abandoned query, or saying goodbye, may take.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
/// Prepared statements kept per connection. Each costs the server some kilobytes; a program has fewer fixed texts.
const STATEMENTS: usize = 256;

pub(super) struct PostgresConnector {
    config: Config,
    target: String,
    tls: Tls,
    limit: Duration,
    drivers: TaskTracker,
    cut: CancellationToken,
}

pub(super) struct Session {
    client: Client,
    /// Finished when the socket is closed.
    driver: tokio::task::JoinHandle<()>,
    statements: Mutex<Statements>,
}

/// Prepared statements by their text; the one unused for longest makes room.
#[derive(Default)]
struct Statements {
    by_text: HashMap<String, (Statement, u64)>,
    /// Counts uses, as a clock for the order of use.
    uses: u64,
}

impl PostgresConnector {
    /// # Errors
    ///
    /// [`Error::TlsUnavailable`].
    pub(super) fn new(url: &PostgresUrl, application_name: &str, limit: Duration) -> Result<Self, Error> {
        let mut config = url.config().clone();
        if config.get_application_name().is_none() && !application_name.is_empty() {
            config.application_name(application_name);
        }
        if config.get_connect_timeout().is_none() {
            // A share for each address, so that the last one is tried even if all before it are silent.
            let addresses = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
            config.connect_timeout(limit / u32::try_from(addresses).unwrap_or(u32::MAX));
        }
        let tls = Tls::new(&mut config)?;
        Ok(Self {
            config,
            target: url.to_string(),
            tls,
            limit,
            drivers: TaskTracker::new(),
            cut: CancellationToken::new(),
        })
    }

    fn unreachable(&self, source: tokio_postgres::Error) -> Error {
        Error::Unreachable { target: self.target.clone(), source: Box::new(source) }
    }

    /// Runs what moves a connection's bytes until its client is dropped or all are cut.
    fn drive<F>(&self, connection: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let cut = self.cut.clone();
        self.drivers.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                // The client reports the error to whoever uses it next.
                _ = connection => {}
            }
        })
    }
}

impl Connector for PostgresConnector {
    type Session = Session;

    async fn connect(&self) -> Result<Session, Error> {
        let (client, driver) = tokio::time::timeout(self.limit, self.tls.connect(&self.config, |c| self.drive(c)))
            .await
            .map_err(|_| Error::ConnectTimeout { target: self.target.clone(), waited: self.limit })?
            .map_err(|source| self.unreachable(source))?;
        Ok(Session { client, driver, statements: Mutex::default() })
    }

    fn is_dead(&self, session: &Session) -> bool {
        session.client.is_closed()
    }

    async fn ping(&self, session: &mut Session) -> bool {
        let answer = tokio::time::timeout(self.limit, session.client.batch_execute("")).await;
        let is_alive = matches!(answer, Ok(Ok(())));
        if !is_alive {
            // Nobody is there to say goodbye to.
            session.driver.abort();
        }
        is_alive
    }

    async fn reset(&self, session: &mut Session) -> bool {
        match tokio::time::timeout(RESET_LIMIT, session.client.batch_execute("begin; rollback")).await {
            Ok(result) => result.is_ok(),
            Err(_) => {
                // The cancellation may arrive after the query has ended by itself, and would then hit the next one: the
                // connection is not used again in any case.
                let cancel: CancelToken = session.client.cancel_token();
                let _ = tokio::time::timeout(FAREWELL_LIMIT, self.tls.cancel(&cancel)).await;
                false
            }
        }
    }

    async fn close(&self, session: Session) {
        let Session { client, mut driver, statements } = session;
        // Statements close themselves on the server when dropped; a connection that ends closes them anyway, so the
        // client goes first.
        drop(client);
        drop(statements);
        if tokio::time::timeout(FAREWELL_LIMIT, &mut driver).await.is_err() {
            driver.abort();
            // Ends at once, with the cancellation as its result.
            let _ = driver.await;
        }
    }

    async fn cut_all(&self) {
        self.cut.cancel();
        self.drivers.close();
        self.drivers.wait().await;
    }
}

impl Session {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(super) async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements().get(sql) {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) fn forget_prepared(&self) {
        self.statements().by_text.clear();
    }

    /// No code that holds this lock can panic, so a poisoned one is as good as new.
    fn statements(&self) -> MutexGuard<'_, Statements> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Statements {
    fn get(&mut self, sql: &str) -> Option<Statement> {
        let (statement, last_use) = self.by_text.get_mut(sql)?;
        self.uses += 1;
        *last_use = self.uses;
        Some(statement.clone())
    }

    /// Cost: one pass over the kept statements if one must make room.
    fn insert(&mut self, sql: &str, statement: Statement) {
        if self.by_text.len() >= STATEMENTS
            && let Some(oldest) =
                self.by_text.iter().min_by_key(|(_, (_, last_use))| *last_use).map(|(text, _)| text.clone())
        {
            self.by_text.remove(&oldest);
        }
        self.uses += 1;
        self.by_text.insert(sql.to_owned(), (statement, self.uses));
    }
}
