//! Encryption as the address asks for it, by the rules written at [`Pool`](crate::Pool).

use std::future::Future;
use std::pin::Pin;

use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use crate::Error;

/// The part of a connection that moves its bytes.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// How connections are encrypted.
pub(super) enum Tls {
    /// Not at all.
    Plain,
    /// By rustls; the mode in the driver's settings says whether the server may refuse.
    #[cfg(feature = "tls")]
    Rustls(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Tls {
    /// Decides for an address, whose mode is changed if it does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::TlsUnavailable`].
    pub(super) fn new(config: &mut Config) -> Result<Self, Error> {
        let is_local =
            config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        if is_local {
            config.ssl_mode(SslMode::Disable);
        }
        match config.get_ssl_mode() {
            SslMode::Disable => Ok(Self::Plain),
            #[cfg(feature = "tls")]
            SslMode::Prefer => rustls_client::opportunistic(config).map(Self::Rustls),
            #[cfg(not(feature = "tls"))]
            SslMode::Prefer => Ok(Self::Plain),
            #[cfg(feature = "tls")]
            _ => rustls_client::verified(config).map(Self::Rustls),
            #[cfg(not(feature = "tls"))]
            _ => Err(Error::TlsUnavailable { reason: "this program was built without the feature `tls`".to_owned() }),
        }
    }

    /// Connects, and hands the driver to `drive` before anything else is awaited.
    pub(super) async fn connect<D>(
        &self,
        config: &Config,
        drive: D,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
    where
        D: Fn(Driver) -> JoinHandle<()>,
    {
        match self {
            Self::Plain => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, drive(Box::pin(connection))))
            }
            #[cfg(feature = "tls")]
            Self::Rustls(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, drive(Box::pin(connection))))
            }
        }
    }

    /// Asks the server to end the query a connection is busy with.
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Plain => token.cancel_query(NoTls).await,
            #[cfg(feature = "tls")]
            Self::Rustls(tls) => token.cancel_query(tls.clone()).await,
        }
    }
}

#[cfg(feature = "tls")]
mod rustls_client {
    //! Settings of rustls with a provider of their own: a library installs none for the whole process.

    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier};
    use tokio_postgres::Config;
    use tokio_postgres::config::SslNegotiation;
    use tokio_postgres_rustls::MakeRustlsConnect;

    use crate::Error;

    /// Name of the protocol in a handshake that starts without a question in clear text (PostgreSQL 17).
    const ALPN: &[u8] = b"postgresql";

    /// Takes whatever certificate the server shows.
    pub(super) fn opportunistic(config: &Config) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Unverified(Arc::clone(&provider)));
        let client = builder(provider)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(connect(client, config))
    }

    /// Takes only a certificate for the server's name, signed by an authority of this host.
    pub(super) fn verified(config: &Config) -> Result<MakeRustlsConnect, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(unavailable(format!("this host has no certificate authorities ({})", reasons.join(", "))));
        }
        let client = builder(Arc::new(ring::default_provider()))?.with_root_certificates(roots).with_no_client_auth();
        Ok(connect(client, config))
    }

    fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unavailable(error.to_string()))
    }

    fn connect(mut client: ClientConfig, config: &Config) -> MakeRustlsConnect {
        if config.get_ssl_negotiation() == SslNegotiation::Direct {
            client.alpn_protocols = vec![ALPN.to_vec()];
        }
        MakeRustlsConnect::new(client)
    }

    fn unavailable(reason: String) -> Error {
        Error::TlsUnavailable { reason }
    }

    /// Verifies that the server holds the key of its certificate, not whose certificate it is.
    #[derive(Debug)]
    struct Unverified(Arc<CryptoProvider>);

    impl ServerCertVerifier for Unverified {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
