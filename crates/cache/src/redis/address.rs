//! Addresses of servers, printed without passwords.

use std::fmt;
use std::path::PathBuf;

use super::RedisConfigError;

/// The port of servers.
const SERVER_PORT: u16 = 6379;
/// The port of sentinels.
const SENTINEL_PORT: u16 = 26379;

/// Where the server is, and as whom to talk to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The servers.
    pub servers: Servers,
    /// TLS to the server.
    pub tls: bool,
    /// The database's number; 0 on a cluster.
    pub database: u32,
    /// The user; none for the default one.
    pub username: Option<String>,
    /// The user's password; never printed.
    pub password: Option<String>,
}

/// The servers that an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One server.
    Tcp(Host),
    /// One server at a socket of this host.
    Unix(PathBuf),
    /// Some nodes of a cluster.
    Cluster(Vec<Host>),
    /// Sentinels, and the name under which they know the master.
    Sentinel(Vec<Host>, String),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address, an IPv6 address without brackets.
    pub name: String,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Address {
    /// Reads an address; see [`RedisConfig::new`](super::RedisConfig::new) for the forms.
    ///
    /// # Errors
    /// [`RedisConfigError::Address`]; its text holds no password.
    pub fn parse(url: &str) -> Result<Self, RedisConfigError> {
        let wrong = |reason| RedisConfigError::Address { address: redacted(url), reason };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut address =
            Self { servers: Servers::Cluster(Vec::new()), tls: false, database: 0, username: None, password: None };
        let is_unix = matches!(scheme, "redis+unix" | "unix");
        let rest = if is_unix { rest } else { address.take_credentials(rest).map_err(wrong)? };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        match scheme {
            "redis" | "rediss" => {
                address.tls = scheme == "rediss";
                address.servers = Servers::Tcp(host(hosts, SERVER_PORT).map_err(wrong)?);
                address.database = database(path).map_err(wrong)?;
            }
            "redis+unix" | "unix" => {
                if !rest.starts_with('/') {
                    return Err(wrong("a socket is named by its absolute path"));
                }
                address.servers = Servers::Unix(PathBuf::from(decoded(rest).map_err(wrong)?));
            }
            "redis+cluster" => {
                if database(path).map_err(wrong)? != 0 {
                    return Err(wrong("a cluster has no numbered databases"));
                }
                address.servers = Servers::Cluster(list(hosts, SERVER_PORT).map_err(wrong)?);
            }
            "redis+sentinel" => {
                let (master, number) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(wrong("it lacks the master's name"));
                }
                let master = decoded(master).map_err(wrong)?;
                address.servers = Servers::Sentinel(list(hosts, SENTINEL_PORT).map_err(wrong)?, master);
                address.database = database(number).map_err(wrong)?;
            }
            _ => return Err(wrong("its scheme is unknown")),
        }
        address.take_query(query, is_unix).map_err(wrong)?;
        Ok(address)
    }

    /// Takes `user:password@` off the front.
    fn take_credentials<'a>(&mut self, rest: &'a str) -> Result<&'a str, &'static str> {
        let Some((credentials, rest)) = rest.rsplit_once('@') else { return Ok(rest) };
        let (username, password) = match credentials.split_once(':') {
            Some((username, password)) => (username, Some(password)),
            None => (credentials, None),
        };
        self.username = Some(decoded(username)?).filter(|name| !name.is_empty());
        self.password = password.map(decoded).transpose()?;
        Ok(rest)
    }

    /// A socket's path has no place for these.
    fn take_query(&mut self, query: &str, is_unix: bool) -> Result<(), &'static str> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("db", number)) if is_unix => self.database = database(number)?,
                Some(("user", name)) if is_unix => self.username = Some(decoded(name)?),
                Some(("pass", password)) if is_unix => self.password = Some(decoded(password)?),
                _ => return Err("it has an unknown parameter"),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |hosts: &[Host]| hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",");
        match &self.servers {
            Servers::Tcp(host) if self.tls => write!(f, "rediss://{host}/{}", self.database),
            Servers::Tcp(host) => write!(f, "redis://{host}/{}", self.database),
            Servers::Unix(path) => write!(f, "redis+unix://{}?db={}", path.display(), self.database),
            Servers::Cluster(hosts) => write!(f, "redis+cluster://{}", joined(hosts)),
            Servers::Sentinel(hosts, master) => {
                write!(f, "redis+sentinel://{}/{master}/{}", joined(hosts), self.database)
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

fn list(hosts: &str, port: u16) -> Result<Vec<Host>, &'static str> {
    hosts.split(',').map(|text| host(text, port)).collect()
}

fn host(text: &str, port: u16) -> Result<Host, &'static str> {
    let (name, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((name, digits)) if !digits.contains(']') => {
            (name, digits.parse().ok().filter(|port| *port > 0).ok_or("its port is not a number up to 65535")?)
        }
        _ => (text, port),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    if bare.is_none() && name.contains([':', '[', ']', ' ', '#']) {
        return Err("its host is not a name");
    }
    let name = bare.unwrap_or(name);
    if name.is_empty() { Err("it names no host") } else { Ok(Host { name: name.to_owned(), port }) }
}

fn database(text: &str) -> Result<u32, &'static str> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| "its database is not a number") }
}

/// Undoes percent encoding.
fn decoded(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "its percent encoding is broken";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = tail.split_at_checked(2).ok_or(WRONG)?;
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

/// What an error may show of a text: nothing before the last `@` and nothing of a query.
fn redacted(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(front, _)| front);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match rest.rsplit_once('@') {
        Some((_, server)) => format!("{scheme}://***@{server}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("rediss://app:se%40cret@cache.example:6380/15", "rediss://cache.example:6380/15"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
            ("redis+unix:///run/redis/socket?db=3&pass=secret", "redis+unix:///run/redis/socket?db=3"),
            ("unix:///run/redis%20two/socket", "redis+unix:///run/redis two/socket?db=0"),
            ("redis+cluster://:secret@one,two:7001", "redis+cluster://one:6379,two:7001"),
            ("redis+sentinel://one,two:5000/main/2", "redis+sentinel://one:26379,two:5000/main/2"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), shown);
        }
        let address = Address::parse("rediss://app:se%40cret@cache.example").unwrap();
        assert_eq!((address.username.as_deref(), address.password.as_deref()), (Some("app"), Some("se@cret")));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "localhost:6379",
            "http://h",
            "redis://",
            "redis://h:0",
            "redis://h:65536",
            "redis://h/x",
            "redis://h?x=1",
            "redis+unix://relative",
            "redis+sentinel://h",
            "redis+cluster://h/1",
            "redis://a%zz:b@h",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn no_password_is_printed() {
        for url in [
            "redis://:se@cret@h",
            "redis://app:secret@h/1",
            "nonsense://app:secret@h",
            "redis://secret@h:x",
            "unix:///s?pass=secret",
            "unix://s?pass=secret",
        ] {
            let shown = match Address::parse(url) {
                Ok(address) => format!("{address} {address:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("cret"), "{shown}");
        }
    }
}
