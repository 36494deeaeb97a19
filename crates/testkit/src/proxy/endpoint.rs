//! Unix and TCP sockets behind one face.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// An address a server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl Endpoint {
    pub(super) async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            Self::Tcp(address) => Stream::tcp(TcpStream::connect(address).await?),
        }
    }
}

pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens, and tells on which address: of a port 0 the one the system chose.
    pub(super) async fn bind(address: &Endpoint) -> Result<(Self, Endpoint)> {
        let bound = match address {
            Endpoint::Unix(path) => UnixListener::bind(path).map(|listener| (Self::Unix(listener), address.clone())),
            Endpoint::Tcp(port) => TcpListener::bind(port).await.and_then(|listener| {
                let chosen = listener.local_addr()?;
                Ok((Self::Tcp(listener), Endpoint::Tcp(chosen)))
            }),
        };
        bound.with_context(|| format!("listening on {address}"))
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => Stream::tcp(listener.accept().await?.0),
        }
    }
}

pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// The half of a connection that is read.
pub(super) type Reads<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;
/// The half of a connection that is written.
pub(super) type Writes<'a> = Box<dyn AsyncWrite + Send + Unpin + 'a>;

impl Stream {
    /// Small requests are forwarded as they come, not collected by the kernel.
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    pub(super) fn split(&mut self) -> (Reads<'_>, Writes<'_>) {
        match self {
            Self::Unix(stream) => {
                let (reads, writes) = stream.split();
                (Box::new(reads), Box::new(writes))
            }
            Self::Tcp(stream) => {
                let (reads, writes) = stream.split();
                (Box::new(reads), Box::new(writes))
            }
        }
    }

    /// Makes the coming close a reset, where the protocol has one.
    pub(super) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // Fails only on a connection that the peer has reset first.
            stream.set_zero_linger().ok();
        }
    }
}
