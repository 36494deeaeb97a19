//! A proxy that breaks connections on request.
//!
//! Bytes are held in one buffer of 16 KiB per direction and connection; a client that sends more
//! than its peer takes is held up by the kernel, as without the proxy.

mod endpoint;
mod pump;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::endpoint::Endpoint;

use self::endpoint::{Listener, Stream};
use crate::directory::{ServerDirectory, Storage};

/// Connections at one time; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 1024;

/// What a [`ChaosProxy`] does with connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything.
    #[default]
    Pass,
    /// Closes all connections, and every new one before a byte is forwarded.
    Cut,
    /// Keeps and accepts connections, forwards nothing, not even their end. What was held is
    /// forwarded when the mode changes to one that forwards.
    Stall,
    /// As [`Cut`](Self::Cut), but a TCP client sees its connection reset; on a Unix socket there
    /// is no difference.
    Reset,
    /// Forwards every chunk, of up to 16 KiB, this much later.
    Delay(Duration),
}

/// Switches a [`ChaosProxy`] and reads its counters; clones switch the same proxy.
#[derive(Clone, Debug)]
pub struct ProxyHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    accepted: AtomicU64,
    open: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    mode: Mode,
    /// How often connections were broken. A connection compares it with the number at its start, so
    /// that it notices a cut even if the mode has changed back by then.
    breaks: u64,
    /// Whether the last break was a reset.
    reset: bool,
}

impl ProxyHandle {
    /// Changes the mode; connections follow as soon as their tasks run.
    pub fn set(&self, mode: Mode) {
        self.0.state.send_modify(|state| {
            state.mode = mode;
            if matches!(mode, Mode::Cut | Mode::Reset) {
                state.breaks += 1;
                state.reset = mode == Mode::Reset;
            }
        });
    }

    /// The mode that was set last.
    pub fn mode(&self) -> Mode {
        self.0.state.borrow().mode
    }

    /// Connections accepted so far, those closed at once included.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Bytes forwarded to the upstream so far.
    pub fn bytes_up(&self) -> u64 {
        self.0.bytes_up.load(Ordering::Relaxed)
    }

    /// Bytes forwarded to clients so far.
    pub fn bytes_down(&self) -> u64 {
        self.0.bytes_down.load(Ordering::Relaxed)
    }
}

/// A proxy between clients and one upstream address, whose [`Mode`] a test switches.
///
/// Dropping it ends its tasks and so closes its connections; [`close`](Self::close) also waits for
/// that.
#[derive(Debug)]
pub struct ChaosProxy {
    handle: ProxyHandle,
    address: Endpoint,
    listening: JoinHandle<()>,
    // Of a Unix socket; held for its destructor.
    _directory: Option<ServerDirectory>,
}

impl ChaosProxy {
    /// Listens on a Unix socket with this file name, in a fresh directory.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub async fn on_unix(upstream: Endpoint, file_name: &str) -> Result<Self> {
        let directory = ServerDirectory::create("tierkeep-proxy-", Storage::Disk)?;
        let address = Endpoint::Unix(directory.path().join(file_name));
        let mut proxy = Self::on(&address, upstream).await?;
        proxy._directory = Some(directory);
        Ok(proxy)
    }

    /// Listens on a loopback TCP port that the system chooses.
    ///
    /// # Errors
    /// No port is left.
    pub async fn on_tcp(upstream: Endpoint) -> Result<Self> {
        Self::on(&Endpoint::Tcp(([127, 0, 0, 1], 0).into()), upstream).await
    }

    async fn on(address: &Endpoint, upstream: Endpoint) -> Result<Self> {
        let (listener, address) = Listener::bind(address).await?;
        let handle = ProxyHandle(Arc::new(Shared {
            state: watch::Sender::new(State::default()),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
        }));
        let listening = tokio::spawn(listen(listener, upstream, Arc::clone(&handle.0)));
        Ok(Self { handle, address, listening, _directory: None })
    }

    /// The address clients connect to.
    pub fn address(&self) -> &Endpoint {
        &self.address
    }

    /// The socket clients connect to, if it is a Unix socket.
    pub fn socket(&self) -> Option<&Path> {
        match &self.address {
            Endpoint::Unix(path) => Some(path),
            Endpoint::Tcp(_) => None,
        }
    }

    /// The switch and the counters; clone it to use it from another task.
    pub fn handle(&self) -> &ProxyHandle {
        &self.handle
    }

    /// Changes the mode, as [`ProxyHandle::set`].
    pub fn set(&self, mode: Mode) {
        self.handle.set(mode);
    }

    /// Stops listening, closes all connections and waits until their tasks have ended.
    pub async fn close(mut self) {
        self.listening.abort();
        // Cancelled, as asked for.
        (&mut self.listening).await.ok();
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Accepts connections and owns their tasks, which end with it.
async fn listen(listener: Listener, upstream: Endpoint, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                // An error belongs to one client, which gave up before it was accepted.
                let Ok(client) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(client, upstream.clone(), Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until a side ends it or the mode breaks it.
async fn serve(mut client: Stream, upstream: Endpoint, shared: Arc<Shared>) {
    let _open = Open::count(&shared);
    let mut states = shared.state.subscribe();
    let first = *states.borrow_and_update();
    let broken = if matches!(first.mode, Mode::Cut | Mode::Reset) {
        Some(first)
    } else {
        let mut forwarding = shared.state.subscribe();
        tokio::select! {
            biased;
            state = states.wait_for(|state| state.breaks != first.breaks) => state.ok().map(|state| *state),
            // How a connection ended is between its two sides; both see it end.
            _ = forward(&mut client, &upstream, &mut forwarding, &shared) => None,
        }
    };
    if broken.is_some_and(|state| state.reset) {
        client.reset_on_close();
    }
}

async fn forward(
    client: &mut Stream,
    upstream: &Endpoint,
    states: &mut watch::Receiver<State>,
    shared: &Shared,
) -> io::Result<()> {
    let mut upstream = upstream.connect().await?;
    let (client_reads, client_writes) = client.split();
    let (upstream_reads, upstream_writes) = upstream.split();
    tokio::try_join!(
        pump::run(client_reads, upstream_writes, states.clone(), &shared.bytes_up),
        pump::run(upstream_reads, client_writes, states.clone(), &shared.bytes_down),
    )?;
    Ok(())
}

/// Counts a connection as open for as long as it lives, also if its task is cancelled.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn count(shared: &'a Shared) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(&shared.open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
