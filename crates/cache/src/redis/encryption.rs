//! Settings of rustls with a provider of their own: a library installs none for the whole process.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::RedisConfigError;

/// What encrypts the way to a server: takes only a certificate for the server's name, signed by an authority of
/// this host.
///
/// # Errors
/// [`RedisConfigError::Tls`]: this host has no authorities that can be used.
pub fn tls_settings() -> Result<Arc<ClientConfig>, RedisConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reason = format!("this host has no certificate authorities ({})", reasons.join(", "));
        return Err(RedisConfigError::Tls(reason));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| RedisConfigError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
