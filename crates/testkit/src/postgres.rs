//! A private PostgreSQL server and the databases of its tests.

mod data;
mod database;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use tokio::sync::OnceCell;

pub use self::database::{DatabaseClient, TestDatabase};

use self::database::{Finished, url_of};
use crate::account::Account;
use crate::directory::{ServerDirectory, Storage};
use crate::process::{ServerProcess, blocking};
use crate::programs::{PostgresPrograms, SearchPath};
use crate::proxy::{ChaosProxy, Endpoint};
use crate::supervisor::{Signal, Supervisor};

/// File name under which every client looks for a server's socket.
const SOCKET: &str = ".s.PGSQL.5432";

/// Whether commits survive a crash of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// No `fsync`, no wait for the log, files in memory where at least 4 GiB are free: fast, and what nearly
    /// every test wants. Commits of the last moments are lost when the server is killed; the setting
    /// `synchronous_commit = on` alone keeps them, since only the server ends and not the machine.
    #[default]
    Off,
    /// PostgreSQL's own defaults and files on disk, for measurements.
    Full,
}

impl Durability {
    fn storage(self) -> Storage {
        match self {
            Self::Off => Storage::PreferMemory,
            Self::Full => Storage::Disk,
        }
    }
}

/// Options of a [`PostgresServer`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresBuilder {
    durability: Durability,
    settings: Vec<String>,
    search_path: SearchPath,
}

impl PostgresBuilder {
    /// Whether commits survive a crash; [`Durability::Off`] unless told.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Adds a server setting, as in `postgresql.conf`; later ones win.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Where to look for `initdb` and `postgres`; [`SearchPath::postgres`] unless told.
    pub fn search_path(mut self, path: SearchPath) -> Self {
        self.search_path = path;
        self
    }

    /// Starts the server and waits until it accepts connections: about 0.2 s, and a second more when
    /// no data directory of this PostgreSQL was made before.
    ///
    /// # Errors
    /// PostgreSQL is not installed (the message installs it), or it does not start (the message
    /// ends with its log).
    pub async fn launch(self) -> Result<PostgresServer> {
        blocking(move || self.launch_blocking()).await
    }

    fn launch_blocking(self) -> Result<PostgresServer> {
        self.start_on(data::create)
    }

    /// Starts a server on a data directory that `create` makes.
    fn start_on<F>(self, create: F) -> Result<PostgresServer>
    where
        F: FnOnce(&PostgresPrograms, Option<Account>, &Path) -> Result<()>,
    {
        let programs = PostgresPrograms::find(&self.search_path)?;
        let directory = ServerDirectory::create_unprivileged("tierkeep-pg-", self.durability.storage())?;
        let account = directory.account();
        let data = directory.path().join("data");
        let command = self.command(&programs, directory.path(), &data);
        // Before the data directory is made, so that it is removed even if we are killed now.
        let supervisor = Supervisor::spawn(directory, &command, Signal::Quit)?;
        create(&programs, account, &data)?;
        Ok(PostgresServer {
            options: self,
            process: ServerProcess::start_blocking(supervisor)?,
            next_database: AtomicU64::new(1),
            templates: Mutex::default(),
            finished: Finished::default(),
        })
    }

    fn command(&self, programs: &PostgresPrograms, sockets: &Path, data: &Path) -> Command {
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            "max_connections=200".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ];
        if self.durability == Durability::Off {
            settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
        }
        let mut command = Command::new(&programs.postgres);
        command.arg("-p").arg("5432").arg("-D").arg(data).arg("-k").arg(sockets);
        for setting in settings.iter().chain(&self.settings) {
            command.arg("-c").arg(setting);
        }
        command
    }
}

/// A private PostgreSQL server, on a Unix socket in a directory of its own.
///
/// It ends, and its directory is removed, when it is dropped or when the process ends in any way.
/// Dropping it blocks for the few milliseconds that takes.
#[derive(Debug)]
pub struct PostgresServer {
    /// As it was started, for its standbys.
    options: PostgresBuilder,
    process: ServerProcess,
    next_database: AtomicU64,
    /// Templates that exist, or are being made by one of the tests that wait for them.
    templates: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
    finished: Finished,
}

impl PostgresServer {
    /// A server with other options.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder { durability: Durability::default(), settings: Vec::new(), search_path: SearchPath::postgres() }
    }

    /// Starts a server with default options, for a test that stops or kills it.
    ///
    /// # Errors
    /// As [`PostgresBuilder::launch`].
    pub async fn launch() -> Result<Self> {
        Self::builder().launch().await
    }

    /// The server that all tests of this process share, started by the first of them.
    ///
    /// Tests that stop a server or change its settings launch their own.
    ///
    /// # Errors
    /// As [`PostgresBuilder::launch`]; the next caller tries again.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::launch).await
    }

    /// A new, empty database; about 30 ms.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn database(&self) -> Result<TestDatabase> {
        self.copy_of("template0").await
    }

    /// A new database that starts as a copy of a template, usually one with all migrations applied.
    ///
    /// The first call with this name makes the template: it creates an empty database and awaits `migrate`
    /// with its address. Calls that come meanwhile wait; all later calls ignore their `migrate`. The
    /// closure's connections are closed before the first copy.
    ///
    /// # Errors
    /// The name is not of the form `[a-z_]+`, `migrate` fails (the next call tries again, from an
    /// empty database), or the server does not run.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example() -> anyhow::Result<()> {
    /// use tierkeep_testkit::{DatabaseClient, PostgresServer};
    ///
    /// let server = PostgresServer::shared().await?;
    /// let database = server
    ///     .database_from("notes", async |url| {
    ///         let client = DatabaseClient::connect(&url).await?;
    ///         Ok(client.batch_execute("create table notes (body text)").await?)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn database_from<F, Fut>(&self, template: &str, migrate: F) -> Result<TestDatabase>
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        ensure!(
            !template.is_empty() && template.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "a template's name has only a-z and _, got {template:?}"
        );
        let template = format!("template_{template}");
        let cell = {
            let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(templates.entry(template.clone()).or_default())
        };
        cell.get_or_try_init(|| self.make_template(&template, migrate)).await?;
        self.copy_of(&template).await
    }

    /// Starts a standby that follows this server by streaming and answers queries that only read; about half a second.
    ///
    /// It is called `standby` in `pg_stat_replication`. Its databases are those of this server:
    /// [`url`](Self::url) of it is the address of one of them.
    ///
    /// # Errors
    /// This server does not run, `pg_basebackup` fails or is not installed, or the standby does not start.
    pub async fn standby(&self) -> Result<Self> {
        let (options, sockets) = (self.options.clone(), self.directory().to_owned());
        blocking(move || {
            options.start_on(|programs, account, data| data::copy_of_running(programs, account, &sockets, data))
        })
        .await
    }

    /// Address of a database of this server, whether it exists or not.
    pub fn url(&self, database: &str) -> String {
        url_of(&self.socket(), database)
    }

    /// A proxy in front of the server; [`TestDatabase::url_through`] is the address of a database behind it.
    ///
    /// # Errors
    /// Its socket cannot be made.
    pub async fn proxy(&self) -> Result<ChaosProxy> {
        ChaosProxy::on_unix(self.socket(), SOCKET).await
    }

    /// Directory of the server: its socket, its `data`, its `log`.
    pub fn directory(&self) -> &Path {
        self.process.directory()
    }

    /// Process number of the server; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The last lines the server has logged since it was started.
    pub fn log_end(&self) -> String {
        self.process.log_end()
    }

    /// Starts a server that was stopped or killed, and waits until it accepts connections.
    ///
    /// # Errors
    /// It does not start; the message ends with its log.
    pub async fn start(&self) -> Result<()> {
        self.process.start().await
    }

    /// Stops the server in order: clients are disconnected, everything is written.
    ///
    /// # Errors
    /// The supervisor of the server was killed.
    pub async fn stop(&self) -> Result<()> {
        self.process.end(Signal::Interrupt).await
    }

    /// Stops the server in order and starts it again; connections break, databases stay.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`stop`](Self::stop).
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Kills the server's main process, as the kernel does when memory is short; the next
    /// [`start`](Self::start) recovers from the log.
    ///
    /// # Errors
    /// The supervisor of the server was killed.
    pub async fn kill9(&self) -> Result<()> {
        self.process.end(Signal::Kill).await
    }

    fn socket(&self) -> Endpoint {
        Endpoint::Unix(self.directory().join(SOCKET))
    }

    async fn copy_of(&self, template: &str) -> Result<TestDatabase> {
        let admin = DatabaseClient::connect(&self.url("postgres")).await?;
        let finished = std::mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner));
        for name in finished {
            admin.batch_execute(&format!("drop database {name} with (force)")).await?;
        }
        let name = format!("test_{}", self.next_database.fetch_add(1, Ordering::Relaxed));
        admin
            .batch_execute(&format!("create database {name} template {template}"))
            .await
            .with_context(|| format!("copying {template}"))?;
        let url = self.url(&name);
        Ok(TestDatabase::new(name, url, Arc::clone(&self.finished)))
    }

    async fn make_template<F, Fut>(&self, template: &str, migrate: F) -> Result<()>
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let admin = DatabaseClient::connect(&self.url("postgres")).await?;
        // Left over if an earlier attempt failed or its test was cancelled.
        admin.batch_execute(&format!("drop database if exists {template} with (force)")).await?;
        admin.batch_execute(&format!("create database {template} template template0")).await?;

        migrate(self.url(template)).await.with_context(|| format!("filling {template}"))?;

        // A database can be copied only while nobody is connected to it; who copies waits five seconds for those that end.
        admin.batch_execute(&format!("alter database {template} allow_connections false")).await?;
        admin
            .execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", &[&template])
            .await?;
        Ok(())
    }
}
