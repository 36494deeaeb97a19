//! Why a read has no value, and why a cache cannot be built.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why there is no value. `E` is the loader's own error, shared by all who waited for the same load.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed.
    Loader(Arc<E>),
    /// The loader of another call, with another error type, failed; this is what its error said.
    OtherLoader(Arc<str>),
    /// The loader said that there is no such value.
    Absent,
    /// The loader did not end within its hard timeout.
    TimedOut(Duration),
    /// The loader panicked; this is what it said.
    Panicked(Arc<str>),
    /// So many loads were waiting or running that this one was not begun in time.
    Overloaded,
    /// The key's encoding is longer than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES).
    KeyTooLong(usize),
    /// A value would depend on itself.
    DependencyCycle(Arc<str>),
    /// The loader said "not modified", and there was no value.
    NotModifiedWithoutValue,
    /// The runtime is shutting down, or the cache was closed.
    Closed,
    /// The view of a `#[cached]` function cannot be opened: another one has its name.
    View(BuildError),
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::OtherLoader(message) => Self::OtherLoader(Arc::clone(message)),
            Self::Absent => Self::Absent,
            Self::TimedOut(limit) => Self::TimedOut(*limit),
            Self::Panicked(message) => Self::Panicked(Arc::clone(message)),
            Self::Overloaded => Self::Overloaded,
            Self::KeyTooLong(length) => Self::KeyTooLong(*length),
            Self::DependencyCycle(key) => Self::DependencyCycle(Arc::clone(key)),
            Self::NotModifiedWithoutValue => Self::NotModifiedWithoutValue,
            Self::Closed => Self::Closed,
            Self::View(error) => Self::View(error.clone()),
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => write!(f, "the loader failed: {error}"),
            Self::OtherLoader(message) => write!(f, "the loader failed: {message}"),
            Self::Absent => f.write_str("there is no such value"),
            Self::TimedOut(limit) => write!(f, "the loader did not end within {limit:?}"),
            Self::Panicked(message) => write!(f, "the loader panicked: {message}"),
            Self::Overloaded => f.write_str("too many loads are waiting"),
            Self::KeyTooLong(length) => {
                write!(f, "the key has {length} bytes, {} are accepted", crate::key::MAX_KEY_BYTES)
            }
            Self::DependencyCycle(key) => write!(f, "{key} would depend on itself"),
            Self::NotModifiedWithoutValue => f.write_str("the loader said \"not modified\", but there was no value"),
            Self::Closed => f.write_str("the cache is closed"),
            Self::View(error) => write!(f, "the view cannot be opened: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for LoadError<E> {}

/// A failed load as its waiters share it, before each gives it its own error type.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Loader(Arc<dyn Any + Send + Sync>, Arc<str>),
    TimedOut(Duration),
    Panicked(Arc<str>),
    Overloaded,
    DependencyCycle(Arc<str>),
    NotModifiedWithoutValue,
    Closed,
}

impl Failure {
    pub(crate) fn of<E: fmt::Display + Send + Sync + 'static>(error: E) -> Self {
        let message = error.to_string().into();
        Self::Loader(Arc::new(error), message)
    }
}

impl<E: Send + Sync + 'static> From<Failure> for LoadError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Loader(error, message) => match error.downcast::<E>() {
                Ok(error) => Self::Loader(error),
                Err(_) => Self::OtherLoader(message),
            },
            Failure::TimedOut(limit) => Self::TimedOut(limit),
            Failure::Panicked(message) => Self::Panicked(message),
            Failure::Overloaded => Self::Overloaded,
            Failure::DependencyCycle(key) => Self::DependencyCycle(key),
            Failure::NotModifiedWithoutValue => Self::NotModifiedWithoutValue,
            Failure::Closed => Self::Closed,
        }
    }
}

/// Why a cache or a view cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two views of one cache have one name.
    #[error("there is a view {0:?} already")]
    ViewExists(String),
    /// Two `#[cached]` functions, or one with several types of values, have one view.
    #[error("the view {view:?} is that of {theirs} already, {ours} needs another")]
    ViewOfAnother {
        /// The view's name.
        view: String,
        /// The function that opened it first.
        theirs: String,
        /// The function that wants to.
        ours: String,
    },
    /// A view's name is empty or longer than 100 bytes.
    #[error("a view's name has 1 to 100 bytes, {0:?} has {1}")]
    ViewName(String, usize),
    /// The memory bound is below what one entry needs.
    #[error("the memory tier needs at least 64 KiB, {0} bytes were given")]
    MemoryTooSmall(u64),
    /// `Bounded` and `Strict` need a bus to hear of other nodes' invalidations, and a remote tier.
    #[error("the promise {0} needs a bus")]
    PromiseNeedsBus(&'static str),
    /// The lease of a promise is too short for three heartbeats.
    #[error("a lease of {lease:?} cannot hold three heartbeats of {heartbeat:?}")]
    LeaseTooShort {
        /// The lease that follows from the promise.
        lease: Duration,
        /// The heartbeat's period.
        heartbeat: Duration,
    },
}
