//! Encryption as the address asks for it.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use crate::Error;

/// How connections are encrypted.
pub(super) enum Tls {
    /// Not at all.
    Plain,
}

impl Tls {
    /// # Errors
    ///
    /// [`Error::TlsUnavailable`].
    pub(super) fn new(mode: SslMode) -> Result<Self, Error> {
        match mode {
            SslMode::Disable | SslMode::Prefer => Ok(Self::Plain),
            _ => Err(Error::TlsUnavailable { reason: "this program was built without the feature `tls`".to_owned() }),
        }
    }

    /// Connects, and hands the part that moves the bytes to `drive` before anything else is awaited.
    pub(super) async fn connect<D>(
        &self,
        config: &Config,
        drive: D,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
    where
        D: Fn(std::pin::Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>) -> JoinHandle<()>,
    {
        match self {
            Self::Plain => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, drive(Box::pin(connection))))
            }
        }
    }

    /// Asks the server to end the query a connection is busy with.
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Plain => token.cancel_query(NoTls).await,
        }
    }
}
