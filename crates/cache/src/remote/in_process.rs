//! A remote tier inside the process: for tests, for simulations, and for several caches of one program.

use std::sync::Mutex;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::tag::TagId;

use super::{
    Acquired, Bump, Fill, Filled, KeyInvalidation, LeaseRequest, LeaseToken, RemoteError, RemoteKey, RemoteRead,
    RemoteTier, Slots, StampRequest,
};

/// [`Slots`] behind a lock: a remote tier that never fails, shared through `Arc`.
///
/// Expired values are dropped when something is asked; each call costs time in proportion to what is stored.
#[derive(Debug)]
pub struct InProcess {
    slots: Mutex<Slots>,
    clock: Clock,
}

impl InProcess {
    /// An empty tier that measures by this clock.
    pub fn new(clock: Clock) -> Self {
        Self { slots: Mutex::default(), clock }
    }

    /// Looks at, or changes, what is stored: to evict, to count, to restart empty.
    pub fn with<T>(&self, look: impl FnOnce(u64, &mut Slots) -> T) -> T {
        let mut slots = self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(self.clock.now().as_millis(), &mut slots)
    }
}

#[async_trait]
impl RemoteTier for InProcess {
    async fn read(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError> {
        Ok(self.with(|now, slots| slots.read(now, keys, tags)))
    }

    async fn acquire(&self, leases: &[LeaseRequest], tags: &[StampRequest]) -> Result<Acquired, RemoteError> {
        Ok(self.with(|now, slots| slots.acquire(now, leases, tags)))
    }

    async fn fill(&self, fills: &[Fill]) -> Result<Vec<Filled>, RemoteError> {
        Ok(self.with(|now, slots| slots.fill(now, fills)))
    }

    async fn release(&self, leases: &[(RemoteKey, LeaseToken)]) -> Result<(), RemoteError> {
        self.with(|now, slots| slots.release(now, leases));
        Ok(())
    }

    async fn invalidate(&self, invalidations: &[KeyInvalidation]) -> Result<(), RemoteError> {
        self.with(|now, slots| slots.invalidate(now, invalidations));
        Ok(())
    }

    async fn bump(&self, bumps: &[Bump]) -> Result<(), RemoteError> {
        self.with(|now, slots| slots.bump(now, bumps));
        Ok(())
    }

    async fn add_rule(&self, bump: Bump, others: &[TagId]) -> Result<(), RemoteError> {
        self.with(|now, slots| slots.add_rule(now, &bump, others));
        Ok(())
    }
}
