//! A private Redis or Valkey server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::directory::{ServerDirectory, Storage};
use crate::process::{ServerProcess, blocking};
use crate::programs::{SearchPath, find_redis};
use crate::proxy::{ChaosProxy, Endpoint};
use crate::supervisor::{Signal, Supervisor};

/// File name of the server's socket.
const SOCKET: &str = "socket";

/// Options of a [`RedisServer`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisBuilder {
    settings: Vec<(String, String)>,
    search_path: SearchPath,
}

impl RedisBuilder {
    /// Adds a server setting, as in `redis.conf`; later ones win.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where to look for `redis-server` or `valkey-server`; [`SearchPath::redis`] unless told.
    pub fn search_path(mut self, path: SearchPath) -> Self {
        self.search_path = path;
        self
    }

    /// Starts the server and waits until it accepts connections; about 20 ms.
    ///
    /// # Errors
    /// Neither Redis nor Valkey is installed (the message installs one), or it does not start (the
    /// message ends with its log).
    pub async fn launch(self) -> Result<RedisServer> {
        blocking(move || self.launch_blocking()).await
    }

    fn launch_blocking(self) -> Result<RedisServer> {
        let program = find_redis(&self.search_path)?;
        let directory = ServerDirectory::create("tierkeep-redis-", Storage::PreferMemory)?;
        let socket = directory.path().join(SOCKET);
        let command = self.command(&program, directory.path(), &socket);
        let supervisor = Supervisor::spawn(directory, &command, Signal::Kill)?;
        Ok(RedisServer { process: ServerProcess::start_blocking(supervisor)?, socket })
    }

    fn command(&self, program: &Path, directory: &Path, socket: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(directory).arg("--unixsocket").arg(socket);
        for (name, value) in &self.settings {
            command.arg(format!("--{name}")).arg(value);
        }
        command
    }
}

/// A private Redis or Valkey server on a Unix socket; it forgets everything when it ends.
///
/// It is quick to start, so a test has its own. It ends, and its directory is removed, when it is
/// dropped or when the process ends in any way.
#[derive(Debug)]
pub struct RedisServer {
    process: ServerProcess,
    socket: PathBuf,
}

impl RedisServer {
    /// A server with other options.
    pub fn builder() -> RedisBuilder {
        RedisBuilder { settings: Vec::new(), search_path: SearchPath::redis() }
    }

    /// Starts a server with default options.
    ///
    /// # Errors
    /// As [`RedisBuilder::launch`].
    pub async fn launch() -> Result<Self> {
        Self::builder().launch().await
    }

    /// Address of the server: `redis+unix:///path/of/socket`.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }

    /// A proxy in front of the server.
    ///
    /// # Errors
    /// Its socket cannot be made.
    pub async fn proxy(&self) -> Result<ChaosProxy> {
        ChaosProxy::on_unix(Endpoint::Unix(self.socket.clone()), SOCKET).await
    }

    /// Address of the server through a proxy in front of it.
    pub fn url_through(&self, proxy: &ChaosProxy) -> String {
        match proxy.address() {
            Endpoint::Unix(socket) => format!("redis+unix://{}", socket.display()),
            Endpoint::Tcp(address) => format!("redis://{address}"),
        }
    }

    /// The server's socket, for a proxy in front of it.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Process number of the server; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Directory of the server, which is removed with it.
    pub fn directory(&self) -> &Path {
        self.process.directory()
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

    /// Stops the server in order.
    ///
    /// # Errors
    /// The supervisor of the server was killed.
    pub async fn stop(&self) -> Result<()> {
        self.process.end(Signal::Interrupt).await
    }

    /// Stops the server and starts it again, empty and with another replication id.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`stop`](Self::stop).
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Kills the server's process.
    ///
    /// # Errors
    /// The supervisor of the server was killed.
    pub async fn kill9(&self) -> Result<()> {
        self.process.end(Signal::Kill).await
    }

    /// Lets the server hang: connections stay and are accepted, nothing is answered until
    /// [`resume`](Self::resume).
    ///
    /// # Errors
    /// The server does not run.
    pub async fn pause(&self) -> Result<()> {
        self.process.signal(Signal::Pause).await
    }

    /// Ends a [`pause`](Self::pause); what was sent meanwhile is answered now.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn resume(&self) -> Result<()> {
        self.process.signal(Signal::Continue).await
    }
}
