//! A node's faulty line to the remote tier.

use std::sync::Arc;

use async_trait::async_trait;

use crate::remote::{
    Acquired, Bump, Fill, Filled, KeyInvalidation, LeaseRequest, LeaseToken, RemoteError, RemoteKey, RemoteRead,
    RemoteTier, StampRequest,
};
use crate::tag::TagId;

use super::{CallFaults, Injected, Line, Lost};

/// A remote tier as one node sees it through a bad line: see [`CallFaults`].
///
/// A caller that goes away while its call is on the way takes the call with it, unless it was already overtaken.
pub struct FaultyRemote {
    inner: Arc<dyn RemoteTier>,
    line: Line,
}

impl FaultyRemote {
    /// A line without faults yet; what they will do follows from the seed.
    pub fn new(inner: Arc<dyn RemoteTier>, seed: u64) -> Self {
        Self { inner, line: Line::new(seed) }
    }

    /// From now on calls meet these faults, and no others.
    pub fn set(&self, faults: CallFaults) {
        self.line.set(faults);
    }

    /// The node is dead: no call takes effect or answers any more, those on their way included.
    pub fn crash(&self) {
        self.line.lock().crashed = true;
    }

    /// What was done so far.
    pub fn injected(&self) -> Injected {
        self.line.lock().injected
    }

    async fn call<T, F>(&self, call: impl FnOnce(Arc<dyn RemoteTier>) -> F + Send) -> Result<T, RemoteError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
    {
        match self.line.carry(call(Arc::clone(&self.inner))).await {
            Ok(answer) => answer,
            Err(Lost::Refused) => Err(RemoteError::Unreachable("a planted fault".to_owned())),
            Err(Lost::TimedOut(limit)) => Err(RemoteError::TimedOut(limit)),
        }
    }
}

impl std::fmt::Debug for FaultyRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyRemote({:?})", self.line)
    }
}

#[async_trait]
impl RemoteTier for FaultyRemote {
    async fn read(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError> {
        let (keys, tags) = (keys.to_vec(), tags.to_vec());
        self.call(|inner| async move { inner.read(&keys, &tags).await }).await
    }

    async fn acquire(&self, leases: &[LeaseRequest], tags: &[StampRequest]) -> Result<Acquired, RemoteError> {
        let (leases, tags) = (leases.to_vec(), tags.to_vec());
        self.call(|inner| async move { inner.acquire(&leases, &tags).await }).await
    }

    async fn fill(&self, fills: &[Fill]) -> Result<Vec<Filled>, RemoteError> {
        let fills = fills.to_vec();
        self.call(|inner| async move { inner.fill(&fills).await }).await
    }

    async fn release(&self, leases: &[(RemoteKey, LeaseToken)]) -> Result<(), RemoteError> {
        let leases = leases.to_vec();
        self.call(|inner| async move { inner.release(&leases).await }).await
    }

    async fn invalidate(&self, invalidations: &[KeyInvalidation]) -> Result<(), RemoteError> {
        let invalidations = invalidations.to_vec();
        self.call(|inner| async move { inner.invalidate(&invalidations).await }).await
    }

    async fn bump(&self, bumps: &[Bump]) -> Result<(), RemoteError> {
        let bumps = bumps.to_vec();
        self.call(|inner| async move { inner.bump(&bumps).await }).await
    }

    async fn add_rule(&self, bump: Bump, others: &[TagId]) -> Result<(), RemoteError> {
        let others = others.to_vec();
        self.call(|inner| async move { inner.add_rule(bump, &others).await }).await
    }
}
