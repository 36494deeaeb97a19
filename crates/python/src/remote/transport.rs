//! Sockets, each wait on which has a time limit.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tierkeep_cache::redis::Host;

/// The shortest time limit that is given to a socket: zero would mean none.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection's bytes.
pub(super) enum Stream {
    Tcp(Timed<TcpStream>),
    Unix(Timed<UnixStream>),
    Tls(Box<StreamOwned<ClientConnection, Timed<TcpStream>>>),
}

impl Stream {
    /// # Errors
    /// Not connected by `deadline`.
    pub(super) fn tcp(host: &Host, tls: Option<&Arc<ClientConfig>>, deadline: Instant) -> io::Result<Self> {
        let target = (host.name.clone(), host.port);
        // Names are resolved by the system, which knows no time limit.
        let socket = by(deadline, move |left| {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in target.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, left.max(SHORTEST)) {
                    Ok(socket) => return Ok(socket),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })?;
        socket.set_nodelay(true)?;
        let timed = Timed { socket, deadline, set: None };
        let Some(tls) = tls else { return Ok(Self::Tcp(timed)) };
        let name = rustls::pki_types::ServerName::try_from(host.name.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, timed);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// # Errors
    /// Not connected by `deadline`.
    pub(super) fn unix(path: PathBuf, deadline: Instant) -> io::Result<Self> {
        // Waits without a limit where the server does not accept and its queue is full.
        let socket = by(deadline, move |_| UnixStream::connect(path))?;
        Ok(Self::Unix(Timed { socket, deadline, set: None }))
    }

    /// What is read and written from now on ends by then.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        match self {
            Self::Tcp(timed) => timed.deadline = deadline,
            Self::Unix(timed) => timed.deadline = deadline,
            Self::Tls(stream) => stream.sock.deadline = deadline,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A socket whose every wait ends by a deadline, up to a tenth of the time late.
pub(super) struct Timed<S> {
    socket: S,
    deadline: Instant,
    /// The time limit that the socket has now.
    set: Option<Duration>,
}

pub(super) trait Limit {
    fn limit(&self, limit: Duration) -> io::Result<()>;
}

impl Limit for TcpStream {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Limit for UnixStream {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl<S: Limit> Timed<S> {
    /// Two calls of the system, which most requests need not make: they begin with the limit that the last one had.
    fn arm(&mut self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = left.max(SHORTEST);
        if self.set.is_none_or(|set| set < left.mul_f32(0.9) || set > left.mul_f32(1.1)) {
            self.socket.limit(left)?;
            self.set = Some(left);
        }
        Ok(())
    }
}

/// Errors of sockets with a limit say "would block".
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl<S: Limit + Read> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.read(buffer).map_err(timed_out)
    }
}

impl<S: Limit + Write> Write for Timed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The result of a call that knows no time limit, made on a thread that is left behind if it comes too late.
fn by<T: Send + 'static>(
    deadline: Instant,
    call: impl FnOnce(Duration) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let left = deadline.saturating_duration_since(Instant::now());
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("tierkeep-connect".into()).spawn(move || _ = sender.send(call(left)))?;
    receiver.recv_timeout(left).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
