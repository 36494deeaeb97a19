//! Where written-back values go: the source.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

/// The source, as write-back writes to it.
///
/// A batch may be handed over again, in part or whole, after a failure or a crash, and an operation may be handed over
/// again after a newer one of its key. So the source must ignore what it has: apply an operation only where the row's
/// version is lower than [`Operation::version`], and store that with the row.
///
/// ```sql
/// INSERT INTO prices (id, price, version) VALUES ($1, $2, $3)
/// ON CONFLICT (id) DO UPDATE SET price = excluded.price, version = excluded.version
/// WHERE prices.version < excluded.version
/// ```
///
/// A deletion must leave its version behind (a row marked as deleted), or an older write would bring the row back.
#[async_trait]
pub trait Sink<K, V>: Send + Sync + 'static {
    /// Writes a batch, in which each key is found once. Best in one transaction.
    ///
    /// # Errors
    /// [`SinkError`] says which operations were not written. Those that it does not name were.
    async fn write(&self, batch: &[Operation<K, V>]) -> Result<(), SinkError>;
}

/// A write of one key, as the source gets it.
#[derive(Debug)]
pub struct Operation<K, V> {
    /// The key.
    pub key: K,
    /// The value; `None`: delete it.
    pub value: Option<Arc<V>>,
    /// Greater than that of every earlier write of this key, across restarts, and never used twice: also the name of
    /// this operation.
    pub version: u64,
}

impl<K: Clone, V> Clone for Operation<K, V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), value: self.value.clone(), version: self.version }
    }
}

/// What was not written of a batch.
#[derive(Clone, Debug, Default)]
pub struct SinkError {
    pub(super) all: Option<String>,
    pub(super) some: Vec<(usize, Fault)>,
}

/// Why one operation was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It will be tried again.
    Retry(String),
    /// The source will never take it: it goes to the [dead letters](crate::WriteBack::dead_letters).
    Poison(String),
}

impl SinkError {
    /// Nothing was written, or nobody knows; all will be tried again.
    pub fn retry(why: impl fmt::Display) -> Self {
        Self { all: Some(why.to_string()), some: Vec::new() }
    }

    /// Everything but these was written, named by their places in the batch.
    pub fn some(faults: impl IntoIterator<Item = (usize, Fault)>) -> Self {
        Self { all: None, some: faults.into_iter().collect() }
    }

    /// What happened to the operation in this place.
    pub(super) fn fault(&self, place: usize) -> Option<Fault> {
        let own = self.some.iter().find(|(at, _)| *at == place).map(|(_, fault)| fault.clone());
        own.or_else(|| self.all.clone().map(Fault::Retry))
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.all {
            Some(why) => f.write_str(why),
            None => write!(f, "{} operations were not written", self.some.len()),
        }
    }
}

impl std::error::Error for SinkError {}
