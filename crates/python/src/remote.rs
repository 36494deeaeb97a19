//! The second level of the Python cache: Redis or Valkey, asked by blocking calls from whatever thread needs it.
//!
//! A [`Remote`] knows no Python and starts no thread but for the moment of making a connection, and for the [`Watch`].
//! Every wait has a time limit. It is the authority on its values: each change is one script, atomic in the server.
//!
//! # What is stored
//!
//! `N` is the namespace, `tk` unless told.
//!
//! | key | holds |
//! |---|---|
//! | `N:key` | a value: an envelope, a whole number as decimal text, or either behind stamps of its tags |
//! | `N#tag` | a tag's stamp: 16 random bytes; gone once the tag is invalidated, and then another |
//! | `N?…` | a lease: 16 random bytes that a value which was computed after a miss must show to be stored |
//! | `N?tags` | the stamp of all tags together: what is behind a lease of a value with tags |
//! | `N!key` | a lock: its holder's token |
//!
//! # Why no value from before a change stays
//!
//! Who misses gets a [`Lease`]; whoever changes the key ends it, in the same script; a value that comes with a lease
//! that has ended is not stored. A value with tags counts while the stamps that it was stored with are those of its tags.
//!
//! # Clusters
//!
//! Keys of a batch are asked for one by one, those of one node together. Stamps lie on other nodes than values, so
//! they are compared after the value was read, in a second round trip. Tracking is not available there.

mod decimal;
mod encryption;
mod line;
mod lock;
mod names;
mod pool;
mod resp;
mod scan;
mod scripts;
mod servers;
mod settings;
mod tagged;
mod transport;
mod watch;
mod write;

use std::fmt;
use std::time::Duration;

use redis::{Cmd, Value};

use self::names::Names;
use self::pool::Repeat;
use self::servers::Servers;

pub use self::decimal::is_canonical as is_whole_number;
pub use self::encryption::{Encryption, Trust};
pub use self::lock::Token;
pub use self::scan::Scan;
pub use self::settings::{Settings, SettingsError};
pub use self::tagged::Stamp;
pub use self::watch::{Event, Sabotage, Watch};
pub use self::write::{Stamped, Ttl, When, Write};

/// Characters of a digest that the server makes of a value.
const DIGEST: usize = 40;

/// Keys in one call of a script: the server does nothing else meanwhile.
const BATCH: usize = 500;

/// Why there is no answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No connection can be made, or it broke while an answer was awaited.
    #[error("redis cannot be reached: {0}")]
    Unreachable(String),
    /// There was no answer in time. What was asked for may have been done or not.
    #[error("redis did not answer within {0:?}")]
    TimedOut(Duration),
    /// The server has not answered for a while and is not asked; it is tried again within 5 s.
    #[error("redis has not answered and is not asked for a while")]
    Suspended,
    /// All connections were in use for as long as an answer may take.
    #[error("all {0} connections to redis are in use")]
    NoConnection(usize),
    /// The server answered with an error.
    #[error("redis refused: {0}")]
    Refused(String),
    /// The key has no value.
    #[error("there is no value")]
    Absent,
    /// The value, or what should be added to it, is not a whole number, or the sum has more than 4300 digits.
    #[error("this is not a whole number")]
    NotANumber,
    /// The value kept changing while it was being changed.
    #[error("the value was changed by others again and again")]
    Contended,
    /// A tag has more than 65535 bytes, or a value more than 1000 tags.
    #[error("tags have at most 65535 bytes each, and a value has at most 1000")]
    Tags,
    /// This handle belongs to the process that this one was forked from.
    #[error("this process was forked: it needs a successor of the handle")]
    Forked,
}

impl RemoteError {
    /// Whether the server could not be asked, as opposed to what it said.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut(_) | Self::Suspended | Self::NoConnection(_))
    }
}

/// A value as it is in the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was stored.
    pub bytes: Vec<u8>,
    /// The tags that it was stored with; an invalidation of any ends it.
    pub tags: Vec<Vec<u8>>,
    /// Time that it has left; `None` for ever.
    pub left: Option<Duration>,
    /// Whether the primary gave it. A replica may be behind: its values are not to be kept.
    pub is_current: bool,
}

/// The right to store a value that is computed because there is none; ended by every change of the key, and for a value
/// with tags by every invalidation of any tag: which tags it has may show only when it was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    token: [u8; 16],
    any_tag: Stamp,
    /// The digest of a value that nobody can read: it is in the way of no fill, not even of one that wants none there.
    replaces: Option<[u8; DIGEST]>,
}

/// What is at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// A value.
    Found(Entry),
    /// None. Without a lease nothing that is computed now can be stored.
    Missing(Option<Lease>),
}

/// Redis or Valkey as second level. Calls block; many threads may call at once.
pub struct Remote {
    settings: Settings,
    servers: Servers,
    names: Names,
    process: u32,
}

impl Remote {
    /// A handle; connects when it is first used.
    ///
    /// # Errors
    /// [`RemoteError::Unreachable`]: TLS is wanted and this host has no authorities to check certificates with.
    pub fn new(settings: &Settings) -> Result<Self, RemoteError> {
        Ok(Self {
            settings: settings.clone(),
            servers: Servers::new(settings)?,
            names: Names::new(&settings.namespace, settings.is_cluster()),
            process: std::process::id(),
        })
    }

    /// What a forked child uses in place of its parent's handle, which is to be leaked there and not dropped: dropping
    /// it says goodbye on connections that the parent goes on using (TLS), and may wait for a lock of a thread that does
    /// not exist.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn successor(&self) -> Result<Self, RemoteError> {
        Self::new(&self.settings)
    }

    /// Which server and which keys of it, without any password: equal for handles that share their values.
    pub fn identity(&self) -> String {
        format!("{} {}", self.settings.primary, self.settings.namespace)
    }

    /// The value at a key.
    ///
    /// # Errors
    /// [`RemoteError`], as everywhere below: the server could not be asked, or refused.
    pub fn get(&self, key: &[u8]) -> Result<Option<Entry>, RemoteError> {
        Ok(self.get_many(&[key])?.pop().flatten())
    }

    /// The values at keys, in their order, by one round trip.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Entry>>, RemoteError> {
        let looked = self.read(keys, None)?;
        Ok(looked
            .into_iter()
            .map(|looked| if let Looked::Found(entry) = looked { Some(entry) } else { None })
            .collect())
    }

    /// The values at keys, and for each that has none the right to store one that is computed from now on, for `term`
    /// at most. One round trip.
    ///
    /// Threads and processes that miss at the same time share a lease.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn look<K: AsRef<[u8]>>(&self, keys: &[K], term: Duration) -> Result<Vec<Looked>, RemoteError> {
        self.read(keys, Some(term))
    }

    /// The right to store a value that is computed from now on in place of one that was found and cannot be read; `None`
    /// if it is not there any more.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn replacing(&self, key: &[u8], unreadable: &Entry, term: Duration) -> Result<Option<Lease>, RemoteError> {
        let Some(lease) = self.names.lease(key) else { return Ok(None) };
        self.alive()?;
        // Before the value: an invalidation in between shows.
        let any_tag = self.any_tag()?;
        let names = [self.names.value(key), lease];
        let mut call = scripts::call(&scripts::REPLACING, &names);
        call.arg(self.prefix()).arg(&unreadable.bytes).arg(&random()?).arg(write::millis(term));
        let Value::Array(parts) = self.one(names[0].clone(), |_| call, Repeat::Safe)? else { return Err(strange()) };
        let [Value::BulkString(token), Value::BulkString(digest)] = parts.as_slice() else { return Ok(None) };
        let (token, digest) = (token.as_slice().try_into(), digest.as_slice().try_into());
        let (Ok(token), Ok(digest)) = (token, digest) else { return Err(strange()) };
        Ok(Some(Lease { token, any_tag, replaces: Some(digest) }))
    }

    fn read<K: AsRef<[u8]>>(&self, keys: &[K], term: Option<Duration>) -> Result<Vec<Looked>, RemoteError> {
        let token = term.map(|_| random()).transpose()?;
        let mut requests = Vec::new();
        if token.is_some() {
            // Before the values: an invalidation in between shows.
            requests.push(self.stamp_of_any()?);
        }
        for batch in keys.chunks(self.batch()) {
            let leases: Option<Vec<Vec<u8>>> =
                token.and_then(|_| batch.iter().map(|key| self.names.lease(key.as_ref())).collect());
            let values = batch.iter().map(|key| self.names.value(key.as_ref()));
            let names: Vec<Vec<u8>> = match &leases {
                Some(leases) => values.zip(leases).flat_map(|(value, lease)| [value, lease.clone()]).collect(),
                None => values.collect(),
            };
            let mut call = scripts::call(&scripts::READ, &names);
            call.arg(self.prefix());
            match (leases, token, term) {
                (Some(_), Some(token), Some(term)) => _ = call.arg(&token).arg(write::millis(term)),
                _ => _ = call.arg("").arg(0),
            }
            requests.push((names[0].clone(), call));
        }
        self.alive()?;
        let (mut answers, is_current) = self.servers.read(requests)?;
        let any_tag = if token.is_some() { write::stamps_of(answers.remove(0))?.pop() } else { None };
        let mut looked = Vec::with_capacity(keys.len());
        for answer in answers {
            let Value::Array(entries) = answer else { return Err(strange()) };
            for entry in entries {
                let key = keys.get(looked.len()).ok_or_else(strange)?;
                looked.push(if self.does_count(key.as_ref(), &entry)? {
                    looked_at(entry, is_current, any_tag)
                } else {
                    Looked::Missing(None)
                });
            }
        }
        if looked.len() == keys.len() { Ok(looked) } else { Err(strange()) }
    }

    /// On a cluster: compares the stamps of a value that was read before, and removes it if they are others, so that the
    /// next miss has a lease.
    fn does_count(&self, key: &[u8], entry: &Value) -> Result<bool, RemoteError> {
        let Value::Array(parts) = entry else { return Ok(true) };
        let Some(Value::BulkString(whole)) = parts.first().filter(|_| self.servers.is_cluster()) else {
            return Ok(true);
        };
        if self.payload(whole)?.is_some() {
            return Ok(true);
        }
        self.one(self.names.value(key), |name| redis::cmd("UNLINK").arg(name).clone(), Repeat::Safe)?;
        Ok(false)
    }

    /// Where the payload of a whole value begins; `None` if it does not count. Asks the server on a cluster only.
    fn payload(&self, whole: &[u8]) -> Result<Option<usize>, RemoteError> {
        let Some((tags, start)) = tagged::split(whole) else { return Ok(None) };
        if !self.servers.is_cluster() || tags.is_empty() {
            return Ok(Some(start));
        }
        let requests = tags.iter().map(|(tag, _)| {
            let name = self.names.stamp(tag);
            let mut get = redis::cmd("GET");
            get.arg(&name);
            (name, get)
        });
        let (stamps, _) = self.servers.read(requests.collect())?;
        let are_equal = tags.iter().zip(&stamps).all(|((_, stamp), found)| *found == Value::BulkString(stamp.to_vec()));
        Ok(are_equal.then_some(start))
    }

    /// The time that a value has left: `Some(None)` for ever, `None` if there is no value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn ttl(&self, key: &[u8]) -> Result<Option<Option<Duration>>, RemoteError> {
        let left = self.time(key, "read", 0)?;
        Ok(match left {
            -2 => None,
            left => Some(u64::try_from(left).ok().map(Duration::from_millis)),
        })
    }

    /// Lets a value expire at another time, and returns whether there was one. A time of zero deletes it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn touch(&self, key: &[u8], ttl: Ttl) -> Result<bool, RemoteError> {
        let left = match ttl {
            Ttl::Forever => self.time(key, "keep", 0),
            Ttl::Millis(0) => return Ok(self.delete_many(&[key])?[0]),
            Ttl::Millis(millis) => self.time(key, "expire", millis.min(write::LONGEST_MS)),
        };
        Ok(left? != -2)
    }

    /// Lets a value stay for ever; whether there was one that would have expired.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn persist(&self, key: &[u8]) -> Result<bool, RemoteError> {
        Ok(self.time(key, "keep", 0)? >= 0)
    }

    fn time(&self, key: &[u8], what: &str, millis: u64) -> Result<i64, RemoteError> {
        let names = self.names_of(key);
        let mut call = scripts::call(&scripts::TIME, &names);
        call.arg(self.prefix()).arg(what).arg(millis);
        match self.one(names[0].clone(), |_| call, Repeat::Safe)? {
            Value::Int(left) => Ok(left),
            _ => Err(strange()),
        }
    }

    /// Whether the server answers; one round trip.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn ping(&self) -> Result<(), RemoteError> {
        self.one(Vec::new(), |_| redis::cmd("PING"), Repeat::Safe).map(drop)
    }

    /// Closes connections that are not in use; the next request makes another. The watch keeps its own.
    pub fn close_idle(&self) {
        if self.alive().is_ok() {
            self.servers.close_idle();
        }
    }

    /// Connections that exist at this moment.
    pub fn open_connections(&self) -> usize {
        self.servers.open()
    }

    /// Sends one request to the server that has a name.
    fn one(&self, name: Vec<u8>, request: impl FnOnce(&[u8]) -> Cmd, repeat: Repeat) -> Result<Value, RemoteError> {
        self.alive()?;
        let request = request(&name);
        self.servers.ask(vec![(name, request)], repeat)?.pop().ok_or_else(strange)
    }

    fn alive(&self) -> Result<(), RemoteError> {
        if self.process == std::process::id() { Ok(()) } else { Err(RemoteError::Forked) }
    }

    /// A value's name, and its lease's if it has one.
    fn names_of(&self, key: &[u8]) -> Vec<Vec<u8>> {
        std::iter::once(self.names.value(key)).chain(self.names.lease(key)).collect()
    }

    /// The prefix of stamps as scripts want it: empty on a cluster.
    fn prefix(&self) -> Vec<u8> {
        if self.servers.is_cluster() { Vec::new() } else { self.names.stamps() }
    }

    fn batch(&self) -> usize {
        if self.servers.is_cluster() { 1 } else { BATCH }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn looked_at(answer: Value, is_current: bool, any_tag: Option<Stamp>) -> Looked {
    let Value::Array(parts) = answer else { return Looked::Missing(None) };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (Some(Value::BulkString(bytes)), Some(Value::Int(left))) => {
            let left = u64::try_from(left).ok().map(Duration::from_millis);
            whole(bytes, left, is_current).map_or(Looked::Missing(None), Looked::Found)
        }
        (_, Some(Value::BulkString(token))) => {
            let token = token.as_slice().try_into().ok();
            Looked::Missing(token.zip(any_tag).map(|(token, any_tag)| Lease { token, any_tag, replaces: None }))
        }
        _ => Looked::Missing(None),
    }
}

/// A whole value, taken apart.
fn whole(mut bytes: Vec<u8>, left: Option<Duration>, is_current: bool) -> Option<Entry> {
    let (tags, start) = tagged::split(&bytes)?;
    let tags = tags.into_iter().map(|(tag, _)| tag.to_vec()).collect();
    bytes.drain(..start);
    Some(Entry { bytes, tags, left, is_current })
}

fn strange() -> RemoteError {
    RemoteError::Refused("an answer of an unexpected form".to_owned())
}

/// Bytes that nobody can foresee.
fn random() -> Result<[u8; 16], RemoteError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| RemoteError::Unreachable(error.to_string()))?;
    Ok(bytes)
}
