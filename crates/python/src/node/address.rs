//! Where a node is: what an address may say, and which sockets it means.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

/// Why a text is no address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no address of a node: {why}")]
pub struct AddressError {
    given: String,
    why: &'static str,
}

/// The address of a node: `http://host:port`, with a path before all of its own where a proxy adds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    base: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// Another scheme than `http`, no host, a user, a query, or a port that is none.
    pub fn parse(given: &str) -> Result<Self, AddressError> {
        let wrong = |why| AddressError { given: shown(given), why };
        let lower = given.trim().to_ascii_lowercase();
        if lower.starts_with("https://") {
            return Err(wrong("this client speaks plain HTTP; let a proxy on this host end TLS, and name that"));
        }
        if !lower.starts_with("http://") {
            return Err(wrong("it must begin with http://"));
        }
        let rest = &given.trim()["http://".len()..];
        let (authority, base) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(wrong("a name or password has no place in it; a token is a setting of its own"));
        }
        if !base.bytes().chain(authority.bytes()).all(|byte| matches!(byte, 0x21..=0x7e)) || rest.contains(['?', '#']) {
            return Err(wrong("it has blanks, other signs or a query in it"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| wrong("its port is no number from 1 to 65535"))?;
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        Ok(Self { host: host.to_owned(), port, base: base.to_owned() })
    }

    /// What stands before the path of a request.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The value of `Host`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The sockets it means. A name is looked up in a thread of its own, since that knows no time limit.
    ///
    /// # Errors
    /// The name is unknown, or nobody said in time what it means.
    pub(super) fn resolve(&self, limit: Duration) -> Result<Vec<SocketAddr>, String> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let asked = (self.host.clone(), self.port);
        std::thread::Builder::new()
            .name("tierkeep-name".to_owned())
            .spawn(move || {
                // whoever asked may have given up
                let _unheard = sender.send(asked.to_socket_addrs().map(Vec::from_iter));
            })
            .map_err(|error| format!("no thread to look the name up: {error}"))?;
        match receiver.recv_timeout(limit) {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Ok(Ok(_)) => Err("its name means no address".to_owned()),
            Ok(Err(error)) => Err(format!("its name cannot be looked up: {error}")),
            Err(_) => Err("its name was not looked up in time".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.base)
    }
}

/// Host and port; 80 where none is given.
fn split_port(authority: &str) -> Option<(&str, u16)> {
    let after = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after..].find(':') {
        None => Some((authority, 80)),
        Some(at) => {
            let port: u16 = authority[after + at + 1..].parse().ok()?;
            (port > 0).then_some((&authority[..after + at], port))
        }
    }
}

/// The text without what may be a password.
fn shown(given: &str) -> String {
    match (given.find("://"), given.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}…{}", &given[..scheme + 3], &given[at..]),
        _ => given.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        let table = [
            ("http://127.0.0.1:8420", "http://127.0.0.1:8420"),
            ("http://node", "http://node:80"),
            ("HTTP://[::1]:9/", "http://[::1]:9"),
            (" http://proxy:80/stats/ ", "http://proxy:80/stats"),
        ];
        for (given, expected) in table {
            assert_eq!(Address::parse(given).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for given in [
            "",
            "node:80",
            "https://node",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:x",
            "http://a b",
            "http://a?b",
        ] {
            assert!(Address::parse(given).is_err(), "{given}");
        }
        let refusal = Address::parse("http://me:secret@node").unwrap_err().to_string();
        assert!(!refusal.contains("secret"), "{refusal}");
    }

    #[test]
    fn an_ip_needs_no_look_up() {
        assert_eq!(
            Address::parse("http://[::1]:9").unwrap().resolve(Duration::ZERO).unwrap(),
            ["[::1]:9".parse().unwrap()]
        );
    }
}
