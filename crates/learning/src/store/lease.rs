//! What one node at a time does.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// Leases in the database, by its clock.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes a lease that nobody holds, or keeps one's own, for a time from now (at most 24 hours count). Returns its fence,
    /// a number that rises whenever the lease changes hands; `None`: somebody else holds it, or nothing may be written.
    ///
    /// A holder that dies is replaced when its time has run out. Whoever relies on being alone takes the fence along into
    /// what it writes; who only saves others the work need not.
    ///
    /// # Errors
    /// [`StoreError`]: the database.
    async fn take_lease(&self, name: &str, holder: &str, time: Duration) -> Result<Option<u64>, StoreError>;

    /// Gives a lease up, if it is this holder's.
    ///
    /// # Errors
    /// [`StoreError`]: the database.
    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}

/// A time as microseconds for a statement.
pub(super) fn microseconds(time: Duration) -> i64 {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    i64::try_from(time.min(DAY).as_micros()).expect("a day has fewer microseconds than an i64")
}
