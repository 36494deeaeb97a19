//! `[telemetry]`: where traces go.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The port of a collector that listens for OTLP over HTTP, where an address names none.
const PORT: u16 = 4318;

/// Where traces go, and which of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The collector; `None` = nothing is traced.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// How this program names itself to the collector.
    pub service_name: String,
    /// The share of the traces that begin here that are sent, 0 to 1. One that began elsewhere is sent if it is there.
    pub sample: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, service_name: "tierkeep".to_owned(), sample: 1.0 }
    }
}

/// The address of a collector that speaks OTLP over HTTP, printed without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpEndpoint {
    /// `user:password`
    credentials: Option<String>,
    host: String,
    port: u16,
    /// What stands before `/v1/traces`: nothing, or `/` and more, without a `/` at its end.
    base: String,
}

/// A text that is no such address. It repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OtlpEndpointError {
    /// It does not begin with `http://`.
    #[error("it does not begin with http://, and TLS is the business of a collector near by")]
    Scheme,
    /// There is no host, or it is none.
    #[error("it names no host")]
    Host,
    /// The port is not 1 to 65535.
    #[error("its port is not 1 to 65535")]
    Port,
    /// The path, or what stands before the host, holds what must not stand in an address.
    #[error("it holds blanks, letters outside of ASCII, `?` or `#`")]
    Letters,
}

impl FromStr for OtlpEndpoint {
    type Err = OtlpEndpointError;

    fn from_str(text: &str) -> Result<Self, OtlpEndpointError> {
        let rest = text.strip_prefix("http://").ok_or(OtlpEndpointError::Scheme)?;
        // all of it becomes part of a request's head
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
            return Err(OtlpEndpointError::Letters);
        }
        // a password may hold a slash
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials.to_owned()), rest),
            None => (None, rest),
        };
        let (server, base) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        // colons stand in an address of IPv6, too, but there within brackets
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, number(port)?),
            _ => (server, PORT),
        };
        Ok(Self { credentials, host: checked(host)?, port, base: base.trim_end_matches('/').to_owned() })
    }
}

fn number(port: &str) -> Result<u16, OtlpEndpointError> {
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(OtlpEndpointError::Port);
    }
    port.parse().ok().filter(|port| *port != 0).ok_or(OtlpEndpointError::Port)
}

/// A name, an address of IPv4, or one of IPv6 in brackets.
fn checked(host: &str) -> Result<String, OtlpEndpointError> {
    let bare = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.strip_suffix(']').ok_or(OtlpEndpointError::Host)?;
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| OtlpEndpointError::Host)?;
            return Ok(address.to_string());
        }
        None => host,
    };
    let is_name =
        !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_name { Ok(bare.to_owned()) } else { Err(OtlpEndpointError::Host) }
}

impl OtlpEndpoint {
    /// The name or address of the host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where traces are sent to, on the host.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/v1/traces", self.base)
    }

    /// `user:password`, if the address names any. A secret.
    #[must_use]
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// Host and port as an address writes them.
    #[must_use]
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// The password, and a user without one, which may be a token, are replaced by `***`.
impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("http://")?;
        if let Some(credentials) = &self.credentials {
            let user = credentials.split_once(':').map_or("", |(user, _)| user);
            write!(f, "{user}:***@")?;
        }
        write!(f, "{}{}", self.authority(), self.base)
    }
}

impl fmt::Debug for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OtlpEndpoint").field(&self.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_traces_go() {
        for (text, shown, path) in [
            ("http://localhost", "http://localhost:4318", "/v1/traces"),
            ("http://10.0.0.7:80/", "http://10.0.0.7:80", "/v1/traces"),
            ("http://[::1]:9", "http://[::1]:9", "/v1/traces"),
            ("http://[fe80::1]/otlp/", "http://[fe80::1]:4318/otlp", "/otlp/v1/traces"),
            ("http://ada:se/cr:et@c.example:1/a", "http://ada:***@c.example:1/a", "/a/v1/traces"),
            ("http://secret@c.example", "http://:***@c.example:4318", "/v1/traces"),
        ] {
            let endpoint: OtlpEndpoint = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));

            assert_eq!((endpoint.to_string().as_str(), endpoint.path().as_str()), (shown, path));
            assert!(!format!("{endpoint:?}").contains("secr"), "{endpoint:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for (text, error) in [
            ("", OtlpEndpointError::Scheme),
            ("collector:4318", OtlpEndpointError::Scheme),
            ("https://u:secret@h", OtlpEndpointError::Scheme),
            ("http://", OtlpEndpointError::Host),
            ("http://:4318", OtlpEndpointError::Host),
            ("http://u:secret@", OtlpEndpointError::Host),
            ("http://[::1", OtlpEndpointError::Host),
            ("http://[::g]", OtlpEndpointError::Host),
            ("http://a,b", OtlpEndpointError::Host),
            ("http://secret@h:0", OtlpEndpointError::Port),
            ("http://h:65536", OtlpEndpointError::Port),
            ("http://h:+1", OtlpEndpointError::Port),
            ("http://h:", OtlpEndpointError::Port),
            ("http://h/a b", OtlpEndpointError::Letters),
            ("http://h/?token=secret", OtlpEndpointError::Letters),
            ("http://h\r\nx-y: z", OtlpEndpointError::Letters),
        ] {
            assert_eq!(text.parse::<OtlpEndpoint>(), Err(error), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
