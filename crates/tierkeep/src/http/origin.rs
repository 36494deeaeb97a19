//! From where a browser asks. A node without tokens answers whoever reaches it, and a page on the internet reaches it
//! through the browser of somebody at this machine: by a name that leads to loopback for a while, or by a form that it sends.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// What gives a page from elsewhere away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// The name by which the node was asked is not of this machine.
    Host(String),
    /// The page that asks is not of this machine.
    Origin(String),
}

/// Finds out whether a request comes from elsewhere. Programs that are no browser name no origin, and may name no host.
pub(super) fn foreign(uri: &Uri, headers: &HeaderMap, is_write: bool) -> Option<Foreign> {
    if let Some(authority) = uri.authority()
        && !is_local(authority.as_str())
    {
        return Some(Foreign::Host(authority.to_string()));
    }
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let names = |name, is_ours: fn(&str) -> bool| {
        headers.get_all(name).iter().find(move |value| !value.to_str().is_ok_and(is_ours))
    };
    if let Some(host) = names(header::HOST, is_local) {
        return Some(Foreign::Host(shown(host.as_bytes())));
    }
    let origin = names(header::ORIGIN, is_local_origin).filter(|_| is_write)?;
    Some(Foreign::Origin(shown(origin.as_bytes())))
}

fn is_local_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| is_local(authority))
}

/// Whether a host, with or without a port, is this machine whatever a resolver says.
fn is_local(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return false;
    }
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(host: Option<&str>, origin: Option<&str>, is_write: bool) -> Option<Foreign> {
        let named = |name, value: Option<&str>| value.map(|value| (name, HeaderValue::from_str(value).unwrap()));
        let headers = [named(header::HOST, host), named(header::ORIGIN, origin)].into_iter().flatten().collect();
        foreign(&Uri::from_static("/"), &headers, is_write)
    }

    #[test]
    fn this_machine_has_few_names() {
        for host in ["localhost", "LOCALHOST:842", "127.0.0.1", "127.0.0.1:842", "127.1.2.3:1", "[::1]", "[::1]:842"] {
            assert_eq!(found(Some(host), None, true), None, "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "example.com:842",
            "192.0.2.1",
            "[2001:db8::1]:842",
            "localhost:80@example.com",
            "[::1].example.com",
            "127.0.0.1:x",
            "0.0.0.0",
        ] {
            assert_eq!(found(Some(host), None, false), Some(Foreign::Host(host.to_owned())), "{host}");
        }
        assert_eq!(found(None, None, true), None);
    }

    #[test]
    fn a_page_from_elsewhere_may_not_write() {
        for origin in ["https://example.com", "null", "http://localhost.example.com", "file://", ""] {
            let page = Some(Foreign::Origin(origin.to_owned()));
            assert_eq!(found(Some("localhost"), Some(origin), true), page, "{origin}");
            assert_eq!(found(Some("localhost"), Some(origin), false), None, "{origin}");
        }
        assert_eq!(found(Some("localhost"), Some("http://127.0.0.1:300"), true), None);
    }

    #[test]
    fn every_name_counts() {
        let twice = |first, second| {
            let values = [first, second].map(|value| (header::HOST, HeaderValue::from_static(value)));
            foreign(&Uri::from_static("/"), &values.into_iter().collect(), false)
        };

        assert!(twice("localhost", "example.com").is_some() && twice("example.com", "localhost").is_some());
        let absolute = Uri::from_static("http://example.com/v1/users");
        assert_eq!(foreign(&absolute, &HeaderMap::new(), false), Some(Foreign::Host("example.com".to_owned())));
    }
}
