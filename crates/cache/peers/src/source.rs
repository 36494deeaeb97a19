//! What the caches stand in front of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A cached value: a clone is a counter, as every contestant without serialisation can share it.
pub type Payload = Arc<str>;

/// The source did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source does not answer")]
pub struct LoadError;

/// A slow source of one value, which counts its readers.
#[derive(Debug)]
pub struct Source {
    value: Mutex<Result<Payload, LoadError>>,
    takes: Duration,
    loads: AtomicU64,
}

impl Source {
    /// A source that answers `value`, `takes` after it has read it.
    pub fn answering(value: &str, takes: Duration) -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(Ok(value.into())), takes, loads: AtomicU64::new(0) })
    }

    /// A source that fails, after `takes`.
    pub fn failing(takes: Duration) -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(Err(LoadError)), takes, loads: AtomicU64::new(0) })
    }

    /// Changes the value; loads that have read the old one still answer it.
    pub fn change(&self, value: &str) {
        *self.value.lock().expect("nobody panics with this lock") = Ok(value.into());
    }

    /// Reads the value at once and answers it when the time that the source takes is over.
    ///
    /// A load counts when it starts, whether or not somebody waits for its end.
    ///
    /// # Errors
    /// [`LoadError`] if this is a failing source.
    pub async fn load(&self) -> Result<Payload, LoadError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let read = self.value.lock().expect("nobody panics with this lock").clone();
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        read
    }

    /// Number of loads so far.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}
