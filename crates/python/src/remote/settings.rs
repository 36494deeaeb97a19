//! Where the servers are, and how long to wait for them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tierkeep_cache::redis::{Address, Host, RedisConfigError, Servers};

use super::encryption::Encryption;

/// Forms of an address, for messages.
const FORMS: &str = "redis://[user[:password]@]host[:6379][/database], rediss://…, unix:///socket[?db=…], \
                     redis+cluster://host,host…, redis+sentinel://host,host…/master[/database]";
/// Why an address is refused, where the reason has to be given for more than one.
type Reason = &'static str;

/// Servers that can be the second level, with time limits.
#[derive(Clone)]
#[must_use]
pub struct Settings {
    pub(super) primary: Address,
    pub(super) replicas: Vec<Host>,
    pub(super) sentinel_login: Option<(Option<String>, String)>,
    /// Of an address with TLS, if something was said beside the address.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) namespace: String,
    pub(super) connect_timeout: Duration,
    pub(super) socket_timeout: Duration,
    pub(super) max_connections: usize,
}

impl Settings {
    /// Reads one address, or the primary's and then those of its replicas.
    ///
    /// `valkey://` and `valkeys://` count as `redis://` and `rediss://`. Replicas are asked for values only while
    /// the primary cannot be reached.
    ///
    /// # Errors
    /// [`SettingsError`]; its text holds no password.
    pub fn new<S: AsRef<str>>(urls: &[S]) -> Result<Self, SettingsError> {
        let mut addresses = urls.iter().map(|url| parse(url.as_ref()));
        let primary = addresses.next().ok_or(SettingsError::NoAddress)??;
        let mut replicas = Vec::new();
        for replica in addresses {
            let replica = replica?;
            let wrong = |reason| SettingsError::Replica { address: replica.to_string(), reason };
            let Servers::Tcp(host) = &replica.servers else { return Err(wrong("it is not of the form redis://host")) };
            if (replica.tls, replica.database) != (primary.tls, primary.database) {
                return Err(wrong("its scheme or its database differs from the primary's"));
            }
            if !matches!(primary.servers, Servers::Tcp(_)) {
                return Err(wrong("only a primary of the form redis://host has replicas that are listed"));
            }
            replicas.push(host.clone());
        }
        Ok(Self {
            primary,
            replicas,
            sentinel_login: None,
            tls: None,
            namespace: "tk".to_owned(),
            connect_timeout: Duration::from_secs(5),
            socket_timeout: Duration::from_secs(1),
            max_connections: 128,
        })
    }

    /// The user; replaces the address's.
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.primary.username = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// The password; replaces the address's.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.primary.password = Some(password.into());
        self
    }

    /// The database's number; replaces the address's.
    ///
    /// # Errors
    /// [`SettingsError::Database`] on a cluster, which has none.
    pub fn database(mut self, number: u32) -> Result<Self, SettingsError> {
        if number > 0 && matches!(self.primary.servers, Servers::Cluster(_)) {
            return Err(SettingsError::Database);
        }
        self.primary.database = number;
        Ok(self)
    }

    /// Sentinels that know the primary; the address's host is then the name under which they know it, as
    /// `redis://name/database` has it.
    ///
    /// # Errors
    /// [`SettingsError::Sentinels`]: none, or the address has no host that could be a name.
    pub fn sentinels(mut self, sentinels: &[(String, u16)]) -> Result<Self, SettingsError> {
        let hosts: Vec<Host> = sentinels.iter().map(|(name, port)| Host { name: name.clone(), port: *port }).collect();
        let name = match &self.primary.servers {
            Servers::Tcp(host) => host.name.clone(),
            Servers::Sentinel(_, name) => name.clone(),
            _ => return Err(SettingsError::Sentinels),
        };
        if hosts.is_empty() {
            return Err(SettingsError::Sentinels);
        }
        self.primary.servers = Servers::Sentinel(hosts, name);
        Ok(self)
    }

    /// As whom sentinels are asked; anonymously unless told.
    pub fn sentinel_login(mut self, username: Option<String>, password: String) -> Self {
        self.sentinel_login = Some((username, password));
        self
    }

    /// How to encrypt, beyond what the address says; reads the files that it names.
    ///
    /// # Errors
    /// [`SettingsError::Encryption`]: the address has no TLS, or a file cannot be used.
    pub fn encryption(mut self, encryption: &Encryption) -> Result<Self, SettingsError> {
        if !self.primary.tls {
            return Err(SettingsError::Encryption("the address has to begin with rediss://".to_owned()));
        }
        self.tls = Some(encryption.settings()?);
        Ok(self)
    }

    /// What all keys in the server begin with; `tk` unless told.
    ///
    /// # Errors
    /// [`SettingsError::Namespace`]: not 1 to 64 ASCII letters, digits, `-`, `.` or `_`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Result<Self, SettingsError> {
        let namespace = namespace.into();
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if !(1..=64).contains(&namespace.len()) || !namespace.bytes().all(is_fine) {
            return Err(SettingsError::Namespace(namespace));
        }
        self.namespace = namespace;
        Ok(self)
    }

    /// The time for making one connection, 1 ms or more; 5 s unless told.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// The time for one request and its answer, 1 ms or more; 1 s unless told.
    pub fn socket_timeout(mut self, limit: Duration) -> Self {
        self.socket_timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// How many connections to one server there are at most; 128 unless told. Who needs one more waits for it.
    ///
    /// # Errors
    /// [`SettingsError::Connections`]: none.
    pub fn max_connections(mut self, most: usize) -> Result<Self, SettingsError> {
        if most == 0 {
            return Err(SettingsError::Connections);
        }
        self.max_connections = most;
        Ok(self)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.primary.servers, Servers::Cluster(_))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("primary", &self.primary)
            .field("replicas", &self.replicas)
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("socket_timeout", &self.socket_timeout)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<Address, SettingsError> {
    let renamed = ["valkey://", "valkeys://"]
        .iter()
        .zip(["redis://", "rediss://"])
        .find_map(|(ours, theirs)| url.strip_prefix(ours).map(|rest| format!("{theirs}{rest}")));
    Ok(Address::parse(renamed.as_deref().unwrap_or(url))?)
}

/// Settings that cannot work, whatever the servers do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The list of addresses is empty.
    #[error("there is no address; accepted: {FORMS}")]
    NoAddress,
    /// An address is of no form that is known, or TLS cannot be had.
    #[error("{0}; accepted: {FORMS}")]
    Address(#[from] RedisConfigError),
    /// An address after the first does not name a replica.
    #[error("`{address}` cannot be a replica: {reason}")]
    Replica {
        /// The address, without user and password.
        address: String,
        /// What is wrong with it.
        reason: Reason,
    },
    /// TLS was asked for and cannot be had.
    #[error("TLS cannot be used: {0}")]
    Encryption(String),
    /// A database's number on a cluster.
    #[error("a cluster has no numbered databases")]
    Database,
    /// Sentinels without the primary's name, or none.
    #[error("sentinels are a list of (host, port), beside an address of the form redis://name-of-the-primary/database")]
    Sentinels,
    /// Not a beginning of keys.
    #[error("`{0}` cannot begin keys; accepted: 1 to 64 ASCII letters, digits, `-`, `.` and `_`")]
    Namespace(String),
    /// No connections at all.
    #[error("there is at least one connection")]
    Connections,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(urls: &[&str]) -> String {
        Settings::new(urls).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_is_accepted() {
        assert!(refused(&[]).contains("redis+sentinel://"));
        assert!(refused(&["memcached://h"]).contains("scheme is unknown; accepted: redis://"));
        assert!(refused(&["redis://a", "unix:///b"]).contains("not of the form redis://host"));
        assert!(refused(&["redis://a/1", "redis://b/2"]).contains("database differs"));
        assert!(refused(&["unix:///a", "redis://b"]).contains("only a primary"));
        assert!(!refused(&["redis://u:hidden@h/x"]).contains("hidden"));
        let settings = Settings::new(&["redis+cluster://h"]).unwrap();
        assert_eq!(settings.clone().database(1).unwrap_err(), SettingsError::Database);
        assert_eq!(settings.sentinels(&[("s".into(), 1)]).unwrap_err(), SettingsError::Sentinels);
        for namespace in ["", "a b", "a:b", "{a}"] {
            assert!(Settings::new(&["redis://h"]).unwrap().namespace(namespace).is_err(), "{namespace}");
        }
    }

    #[test]
    fn sentinels_make_the_host_a_name() {
        let settings = Settings::new(&["redis://main/2"]).unwrap();

        let settings = settings.sentinels(&[("one".into(), 26379), ("two".into(), 5000)]).unwrap();

        assert_eq!(settings.primary.to_string(), "redis+sentinel://one:26379,two:5000/main/2");
    }

    #[test]
    fn valkey_is_a_scheme_and_no_password_is_printed() {
        let settings = Settings::new(&["valkeys://u:hidden@h:1/3", "valkeys://r/3"]).unwrap().password("hidden");

        let shown = format!("{settings:?}");

        assert!(shown.contains("rediss://h:1/3") && !shown.contains("hidden"), "{shown}");
    }
}
