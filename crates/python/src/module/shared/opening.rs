//! What a shared store is made of: equal settings are one store in a process, with one set of connections.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use sha2::Sha256;

use super::{Complaints, Settings, Shared, Wrapping, raised};
use crate::envelope::{Compression, Compressor, Keyring};
use crate::module::place::{self, Table};
use crate::module::store::DEFAULT_BYTES;
use crate::module::stored::Dialect;
use crate::remote::{Encryption, Remote, Sabotage, Settings as Address, SettingsError, Trust};
use crate::store::Bounds;

/// Stores by a digest of their settings, which have passwords in them. The lock is held for no Python code and no request.
static STORES: LazyLock<Mutex<HashMap<[u8; 32], Arc<Shared>>>> = LazyLock::new(Mutex::default);

/// The options that there are, with what they mean:
#[derive(Default)]
struct Options {
    username: Option<String>,
    password: Option<String>,
    database: Option<u32>,
    sentinels: Vec<(String, u16)>,
    sentinel_username: Option<String>,
    sentinel_password: Option<String>,
    tls: Option<Encryption>,
    namespace: Option<String>,
    connect_timeout: Option<f64>,
    socket_timeout: Option<f64>,
    max_connections: Option<usize>,
    /// Keys of signatures, the first of which signs; none: nothing is signed.
    secrets: Vec<Vec<u8>>,
    serializer: Option<String>,
    compressor: Option<String>,
    compressed_from: Option<usize>,
    bound: Option<f64>,
    lease: Option<f64>,
    copy_timeout: Option<f64>,
    stale_if_error: Option<f64>,
    max_bytes: Option<usize>,
    generations: Option<PathBuf>,
    sabotage: Option<String>,
}

impl Options {
    fn read(given: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut options = Self::default();
        for (name, value) in given.into_iter().flatten() {
            let name: String = name.extract()?;
            match name.as_str() {
                "username" => options.username = value.extract()?,
                "password" => options.password = value.extract()?,
                "db" => options.database = value.extract()?,
                "sentinels" => options.sentinels = value.extract()?,
                "sentinel_username" => options.sentinel_username = value.extract()?,
                "sentinel_password" => options.sentinel_password = value.extract()?,
                "tls_trust" => options.tls().trust = trust(&value.extract::<String>()?)?,
                "tls_authorities" => options.tls().authorities = value.extract()?,
                "tls_authorities_text" => options.tls().authorities_text = value.extract()?,
                "tls_identity" => options.tls().identity = value.extract()?,
                "namespace" => options.namespace = value.extract()?,
                "connect_timeout" => options.connect_timeout = value.extract()?,
                "socket_timeout" => options.socket_timeout = value.extract()?,
                "max_connections" => options.max_connections = value.extract()?,
                "secrets" => options.secrets = value.extract()?,
                "serializer" => options.serializer = value.extract()?,
                "compressor" => options.compressor = value.extract()?,
                "compressed_from" => options.compressed_from = value.extract()?,
                "bound" => options.bound = value.extract()?,
                "lease" => options.lease = value.extract()?,
                "copy_timeout" => options.copy_timeout = value.extract()?,
                "stale_if_error" => options.stale_if_error = value.extract()?,
                "max_bytes" => options.max_bytes = value.extract()?,
                "generations" => options.generations = value.extract()?,
                "_sabotage" => options.sabotage = value.extract()?,
                _ => {
                    return Err(PyTypeError::new_err(format!(
                        "`{name}` is no option of a shared store; accepted: username, password, db, sentinels, \
                         sentinel_username, sentinel_password, tls_trust, tls_authorities, tls_authorities_text, \
                         tls_identity, namespace, connect_timeout, socket_timeout, max_connections, secrets, \
                         serializer, compressor, compressed_from, bound, lease, copy_timeout, stale_if_error, \
                         max_bytes, generations"
                    )));
                }
            }
        }
        Ok(options)
    }

    fn tls(&mut self) -> &mut Encryption {
        self.tls.get_or_insert_default()
    }

    fn address(&self, urls: &[String]) -> Result<Address, Refusal> {
        let mut address = Address::new(urls)?;
        if let Some(number) = self.database {
            address = address.database(number)?;
        }
        if !self.sentinels.is_empty() {
            address = address.sentinels(&self.sentinels)?;
        }
        if let Some(password) = &self.sentinel_password {
            address = address.sentinel_login(self.sentinel_username.clone(), password.clone());
        }
        if let Some(name) = &self.username {
            address = address.username(name.clone());
        }
        if let Some(password) = &self.password {
            address = address.password(password.clone());
        }
        if let Some(encryption) = &self.tls {
            address = address.encryption(encryption)?;
        }
        if let Some(namespace) = &self.namespace {
            address = address.namespace(namespace.clone())?;
        }
        if let Some(seconds) = self.connect_timeout {
            address = address.connect_timeout(period("connect_timeout", seconds)?);
        }
        if let Some(seconds) = self.socket_timeout {
            address = address.socket_timeout(period("socket_timeout", seconds)?);
        }
        if let Some(most) = self.max_connections {
            address = address.max_connections(most)?;
        }
        Ok(address)
    }

    fn compressor(&self) -> PyResult<Compressor> {
        let Some(name) = self.compressor.as_deref() else { return Ok(Compressor::NONE) };
        let compression = Compression::from_name(name).map_err(PyValueError::new_err)?;
        let at_least = self.compressed_from.unwrap_or_else(|| compression.worthwhile_from());
        Ok(Compressor { compression, at_least })
    }

    fn settings(&self) -> PyResult<Settings> {
        let mut settings = Settings {
            bound: Duration::from_secs(1),
            lease: Duration::from_secs(60),
            copy_timeout: self.copy_timeout.map(|seconds| period("copy_timeout", seconds)).transpose()?,
            stale_if_error: self.stale_if_error.map(|seconds| period("stale_if_error", seconds)).transpose()?,
            sabotage: Sabotage::default(),
            ignores_generations: false,
        };
        if let Some(seconds) = self.bound {
            settings.bound = period("bound", seconds)?;
        }
        if let Some(seconds) = self.lease {
            settings.lease = period("lease", seconds)?;
        }
        match self.sabotage.as_deref() {
            None => {}
            Some("generations") => settings.ignores_generations = true,
            Some("tracking") => settings.sabotage.is_deaf = true,
            Some("ping") => settings.sabotage.is_trusting = true,
            Some("gap") => settings.sabotage.keeps_over_gaps = true,
            Some("answer") => settings.sabotage.counts_from_answer = true,
            Some(_) => return Err(PyValueError::new_err("there is no such sabotage")),
        }
        Ok(settings)
    }
}

fn trust(name: &str) -> PyResult<Trust> {
    match name {
        "name" => Ok(Trust::Name),
        "authority" => Ok(Trust::Authority),
        "anything" => Ok(Trust::Anything),
        _ => Err(PyValueError::new_err(format!("tls_trust is {name:?}; accepted: name, authority, anything"))),
    }
}

/// Why settings cannot work.
struct Refusal(String);

impl From<SettingsError> for Refusal {
    fn from(error: SettingsError) -> Self {
        Self(error.to_string())
    }
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self(error.to_string())
    }
}

fn period(name: &str, seconds: f64) -> PyResult<Duration> {
    let period = Duration::try_from_secs_f64(seconds).ok().filter(|period| !period.is_zero());
    period.ok_or_else(|| PyValueError::new_err(format!("{name} is {seconds}: it has to be seconds, more than 0")))
}

/// The store of these settings in this process.
///
/// # Errors
/// ValueError for an address or a value that cannot work, TypeError for an unknown option.
pub(in crate::module) fn open(
    location: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Arc<Shared>> {
    let urls: Vec<String> = match location.cast::<PyString>() {
        Ok(one) => one.to_str()?.split(',').map(str::to_owned).collect(),
        Err(_) => location.extract()?,
    };
    // Commas also part the hosts of clusters and sentinels.
    let urls = match location.cast::<PyString>() {
        Ok(one) if urls.iter().skip(1).any(|url| !url.contains("://")) => vec![one.to_str()?.to_owned()],
        _ => urls,
    };
    let options_read = Options::read(options)?;
    let address = options_read.address(&urls).map_err(|Refusal(reason)| PyValueError::new_err(reason))?;
    let identity = identity(&urls, options)?;
    let settings = options_read.settings()?;
    let dialect = options_read.serializer.as_deref().map_or(Ok(Dialect::default()), Dialect::from_name)?;
    let keyring = Keyring::new(&options_read.secrets);
    let wrapping = Wrapping { keyring, compressor: options_read.compressor()?, dialect };
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = stores.get(&identity) {
        return Ok(Arc::clone(known));
    }
    let template = Remote::new(&address).map_err(raised)?;
    let bounds = Bounds { bytes: options_read.max_bytes.unwrap_or(DEFAULT_BYTES), culling: None };
    // The same name in every process with this server and namespace: they tell each other what changed.
    let name = format!("shared {}", template.identity());
    let table = options_read.generations.map_or(Table::Private, Table::File);
    let place = place::open_alone(&name, bounds, &table)?;
    let herald = place.herald();
    if let Some(longest) = settings.stale_if_error {
        place.keep_late(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
    }
    let (live, outage) = Default::default();
    let unreadable = Complaints::nothing();
    let shared = Arc::new(Shared { place, herald, wrapping, template, live, unreadable, settings, outage });
    stores.insert(identity, Arc::clone(&shared));
    Ok(shared)
}

/// Equal for equal settings, and nothing that a password could be read from or tried against: its key is made by chance.
fn identity(urls: &[String], options: Option<&Bound<'_, PyDict>>) -> PyResult<[u8; 32]> {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    let key = if let Some(key) = KEY.get() {
        key
    } else {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| PyOSError::new_err(format!("there is no randomness: {error}")))?;
        KEY.get_or_init(|| key)
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(format!("{urls:?}").as_bytes());
    if let Some(options) = options {
        mac.update(options.repr()?.to_str()?.as_bytes());
    }
    Ok(mac.finalize().into_bytes().into())
}
