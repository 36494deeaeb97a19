//! TLS to the servers, with the settings that redis-py has for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::SettingsError;

/// What a server's certificate has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// For the server's name, and signed by an authority.
    #[default]
    Name,
    /// Signed by an authority, whatever name it is for.
    Authority,
    /// Any. Who stands in between can read and change everything.
    Anything,
}

/// How to encrypt, beyond what the address says.
#[derive(Clone, Default)]
#[must_use]
pub struct Encryption {
    /// What a server's certificate has to be.
    pub trust: Trust,
    /// A file of authorities that count beside the host's.
    pub authorities: Option<PathBuf>,
    /// The same as text.
    pub authorities_text: Option<String>,
    /// A file with the client's certificate, and one with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Encryption {
    /// What encrypts. Reads the files.
    ///
    /// # Errors
    /// [`SettingsError::Encryption`]: a file that cannot be read or is of another form; no authorities.
    pub(super) fn settings(&self) -> Result<Arc<ClientConfig>, SettingsError> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?;
        let roots = self.roots()?;
        let config = match self.trust {
            Trust::Name if roots.is_empty() => {
                return Err(wrong("this host has no certificate authorities".to_owned()));
            }
            Trust::Name => config.with_root_certificates(roots),
            trust => {
                let inner = match trust {
                    Trust::Anything => None,
                    _ => Some(
                        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                            .build()
                            .map_err(|error| wrong(error.to_string()))?,
                    ),
                };
                config.dangerous().with_custom_certificate_verifier(Arc::new(Lenient { inner, provider }))
            }
        };
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(said(key, &error)))?;
                config.with_client_auth_cert(chain, secret).map_err(|error| wrong(said(certificate, &error)))?
            }
        };
        Ok(Arc::new(config))
    }

    /// The host's authorities and those that were named.
    fn roots(&self) -> Result<RootCertStore, SettingsError> {
        let mut roots = RootCertStore::empty();
        if self.trust == Trust::Anything {
            return Ok(roots);
        }
        // The host's may be broken or none, which matters to nobody who names others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = &self.authorities {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| wrong(said(file, &error)))?;
            }
        }
        if let Some(text) = &self.authorities_text {
            let named = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
            let named = named.ok().filter(|named| !named.is_empty());
            for certificate in named.ok_or_else(|| wrong("the text of authorities has no certificate".to_owned()))? {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
        Ok(roots)
    }
}

/// The certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(said(file, &error)))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(said(file, &error)))?;
    if found.is_empty() { Err(wrong(format!("{} has no certificate", file.display()))) } else { Ok(found) }
}

fn said(file: &Path, error: &dyn fmt::Display) -> String {
    format!("{}: {error}", file.display())
}

fn wrong(reason: String) -> SettingsError {
    SettingsError::Encryption(reason)
}

/// Takes certificates for other names; without authorities, any. Signatures of the handshake count all the same: the
/// server has the key of what it shows.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
