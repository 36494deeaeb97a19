//! Makes connections: to a socket, a TCP port, through TLS, to the master that sentinels know, to a cluster.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisError,
    Value,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::RedisConfigError;
use super::address::{Address, Host, Servers};
use super::line::Line;

/// The part of a connection that moves its bytes; the connection is lost when it ends.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests that wait to be written to one connection at most; one more waits for room.
const QUEUE: usize = 1024;

/// Connects to one address, as often as is asked.
pub(super) struct Dialer {
    address: Address,
    connect_timeout: Duration,
    #[cfg(feature = "redis-tls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Dialer {
    /// # Errors
    /// [`RedisConfigError::Tls`] where the address wants it and it cannot be had.
    pub(super) fn new(address: Address, connect_timeout: Duration) -> Result<Self, RedisConfigError> {
        #[cfg(not(feature = "redis-tls"))]
        if address.tls {
            return Err(RedisConfigError::Tls("this program was built without the feature `redis-tls`".to_owned()));
        }
        Ok(Self {
            #[cfg(feature = "redis-tls")]
            tls: if address.tls { Some(super::tls_settings()?.into()) } else { None },
            address,
            connect_timeout,
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.address.servers, Servers::Cluster(_))
    }

    /// A connection for commands.
    pub(super) async fn connect(&self) -> Result<(Line, Driver), RedisError> {
        let Servers::Cluster(hosts) = &self.address.servers else {
            let (line, driver) = self.open(None, None).await?;
            return Ok((Line::Server(line), driver));
        };
        let nodes = hosts
            .iter()
            .map(|host| {
                let address = ConnectionAddr::Tcp(host.name.clone(), host.port);
                Ok(address.into_connection_info()?.set_redis_settings(self.settings()))
            })
            .collect::<Result<Vec<_>, RedisError>>()?;
        let client = ClusterClient::builder(nodes)
            .connection_timeout(self.connect_timeout)
            // Each call has a time limit of its own; an attempt that outlives it is of no use to anybody.
            .overall_response_timeout(Some(self.connect_timeout))
            .retries(3)
            .build()?;
        let line = client.get_async_connection().await?;
        // It connects again by itself.
        Ok((Line::Cluster(line), Box::pin(std::future::pending())))
    }

    /// A connection for a subscription; what the server sends unasked goes to `pushes`. Of a cluster it is the node
    /// that keeps `key`, where everything published under that key is heard in order.
    pub(super) async fn connect_for_pushes(
        &self,
        pushes: impl AsyncPushSender + Clone,
        key: &str,
    ) -> Result<(MultiplexedConnection, Driver), RedisError> {
        let config = AsyncConnectionConfig::new().set_push_sender(pushes);
        if !self.is_cluster() {
            return self.open(None, Some(config)).await;
        }
        let (mut line, mut driver) = self.open(None, Some(config.clone())).await?;
        let mut question = redis::cmd("EXISTS");
        question.arg(key);
        let answer = tokio::select! {
            answer = question.query_async::<Value>(&mut line) => answer,
            () = &mut driver => return Err(closed()),
        };
        let Err(error) = answer else { return Ok((line, driver)) };
        let owner = error.redirect_node().and_then(|(node, _)| node.rsplit_once(':'));
        let owner = owner.and_then(|(name, port)| Some(Host { name: name.to_owned(), port: port.parse().ok()? }));
        match owner {
            Some(owner) => self.open(Some(&owner), Some(config)).await,
            None => Err(error),
        }
    }

    /// A connection to one server: the given one, or the first that answers.
    async fn open(
        &self,
        server: Option<&Host>,
        config: Option<AsyncConnectionConfig>,
    ) -> Result<(MultiplexedConnection, Driver), RedisError> {
        let stream: Box<dyn Stream> = match (server, &self.address.servers) {
            (Some(host), _) => self.tcp(host).await?,
            (None, Servers::Tcp(host)) => self.tcp(host).await?,
            (None, Servers::Unix(path)) => Box::new(UnixStream::connect(path).await?),
            (None, Servers::Cluster(hosts)) => self.first(hosts).await?,
            (None, Servers::Sentinel(sentinels, master)) => {
                let master = self.master(sentinels, master).await?;
                self.tcp(&master).await?
            }
        };
        let config = config.unwrap_or_default().set_response_timeout(None).set_pipeline_buffer_size(QUEUE);
        let (line, driver) = MultiplexedConnection::new_with_config(&self.settings(), stream, config).await?;
        Ok((line, Box::pin(driver)))
    }

    async fn tcp(&self, host: &Host) -> Result<Box<dyn Stream>, RedisError> {
        let stream = TcpStream::connect((host.name.as_str(), host.port)).await?;
        stream.set_nodelay(true)?;
        #[cfg(feature = "redis-tls")]
        if let Some(tls) = &self.tls {
            let name = rustls::pki_types::ServerName::try_from(host.name.clone()).map_err(io::Error::other)?;
            return Ok(Box::new(tls.connect(name, stream).await?));
        }
        Ok(Box::new(stream))
    }

    async fn first(&self, hosts: &[Host]) -> Result<Box<dyn Stream>, RedisError> {
        let mut last = closed();
        for host in hosts {
            match self.tcp(host).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks one sentinel after the other, each for its share of the time.
    async fn master(&self, sentinels: &[Host], master: &str) -> Result<Host, RedisError> {
        let share = self.connect_timeout / u32::try_from(sentinels.len() + 1).unwrap_or(u32::MAX);
        let mut last = closed();
        for sentinel in sentinels {
            match tokio::time::timeout(share, ask_sentinel(sentinel, master)).await {
                Ok(Ok(host)) => return Ok(host),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
        }
        Err(last)
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            .set_db(i64::from(self.address.database))
            // Version 3 because pushes may share a connection with answers: a subscription can be asked for a sign of
            // life, and its messages need no queue of their own.
            .set_protocol(ProtocolVersion::RESP3);
        if let Some(username) = &self.address.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.address.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

async fn ask_sentinel(sentinel: &Host, master: &str) -> Result<Host, RedisError> {
    let stream = TcpStream::connect((sentinel.name.as_str(), sentinel.port)).await?;
    let anonymous = RedisConnectionInfo::default();
    let (mut line, driver) = MultiplexedConnection::new(&anonymous, stream).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer: Option<(String, u16)> = tokio::select! {
        answer = question.query_async(&mut line) => answer?,
        () = driver => return Err(closed()),
    };
    let (name, port) =
        answer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the sentinel knows no such master"))?;
    Ok(Host { name, port })
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionAborted).into()
}
