//! A remote tier whose answers a test holds back, or that is away.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tierkeep_cache::TagId;
use tierkeep_cache::remote::{
    Acquired, Bump, Fill, Filled, InProcess, KeyInvalidation, LeaseRequest, LeaseToken, RemoteError, RemoteKey,
    RemoteRead, RemoteTier, RemoteValue, StampRequest,
};

use crate::fixture::Gate;

/// A call of the remote tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Acquire,
    Fill,
    Invalidate,
    Release,
}

type Forge = Box<dyn Fn(RemoteValue) -> RemoteValue + Send + Sync>;

/// The way to a shared tier.
pub(crate) struct Wire {
    tier: Arc<InProcess>,
    down: AtomicBool,
    slow: AtomicBool,
    /// The answer of this call waits at this gate, once.
    hold: Mutex<Option<(Call, Gate)>>,
    /// What values look like when they arrive.
    forge: Mutex<Option<Forge>>,
    writes: AtomicUsize,
    reads: AtomicUsize,
}

impl Wire {
    pub(crate) fn to(tier: &Arc<InProcess>) -> Arc<Self> {
        Arc::new(Self {
            tier: Arc::clone(tier),
            down: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            hold: Mutex::default(),
            forge: Mutex::default(),
            writes: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        })
    }

    pub(crate) fn cut(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// Every call takes a millisecond there and one back.
    pub(crate) fn slow_down(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    /// The next answer to this call is held back: it has taken effect, and nobody knows.
    pub(crate) fn hold_next(&self, call: Call, gate: &Gate) {
        *self.hold.lock().unwrap() = Some((call, gate.clone()));
    }

    pub(crate) fn forge(&self, forge: impl Fn(RemoteValue) -> RemoteValue + Send + Sync + 'static) {
        *self.forge.lock().unwrap() = Some(Box::new(forge));
    }

    /// Calls that change the tier, so far.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    async fn travels(&self) {
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn reachable(&self) -> Result<(), RemoteError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(RemoteError::Unreachable("cut by the test".to_owned())),
            false => Ok(()),
        }
    }

    async fn answered<T>(&self, call: Call, answer: Result<T, RemoteError>) -> Result<T, RemoteError> {
        let held = self.hold.lock().unwrap().take_if(|(held, _)| *held == call);
        if let Some((_, gate)) = held {
            gate.pass().await;
        }
        self.travels().await;
        answer
    }

    async fn changes(&self) -> Result<(), RemoteError> {
        self.travels().await;
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.reachable()
    }
}

#[async_trait]
impl RemoteTier for Wire {
    async fn read(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError> {
        self.travels().await;
        self.reachable()?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mut read = self.tier.read(keys, tags).await?;
        if let Some(forge) = &*self.forge.lock().unwrap() {
            read.values = read.values.into_iter().map(|value| value.map(forge)).collect();
        }
        self.answered(Call::Read, Ok(read)).await
    }

    async fn acquire(&self, leases: &[LeaseRequest], tags: &[StampRequest]) -> Result<Acquired, RemoteError> {
        self.changes().await?;
        let acquired = self.tier.acquire(leases, tags).await;
        self.answered(Call::Acquire, acquired).await
    }

    async fn fill(&self, fills: &[Fill]) -> Result<Vec<Filled>, RemoteError> {
        self.changes().await?;
        let filled = self.tier.fill(fills).await;
        self.answered(Call::Fill, filled).await
    }

    async fn release(&self, leases: &[(RemoteKey, LeaseToken)]) -> Result<(), RemoteError> {
        self.changes().await?;
        let done = self.tier.release(leases).await;
        self.answered(Call::Release, done).await
    }

    async fn invalidate(&self, invalidations: &[KeyInvalidation]) -> Result<(), RemoteError> {
        self.changes().await?;
        let done = self.tier.invalidate(invalidations).await;
        self.answered(Call::Invalidate, done).await
    }

    async fn bump(&self, bumps: &[Bump]) -> Result<(), RemoteError> {
        self.changes().await?;
        let done = self.tier.bump(bumps).await;
        self.answered(Call::Invalidate, done).await
    }

    async fn add_rule(&self, bump: Bump, others: &[TagId]) -> Result<(), RemoteError> {
        self.changes().await?;
        let done = self.tier.add_rule(bump, others).await;
        self.answered(Call::Invalidate, done).await
    }
}
