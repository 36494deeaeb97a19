//! The second tier: shared by all nodes, and the judge of who may store.
//!
//! A remote tier keeps values, load leases and tag stamps. It never decides by a node's clock: what it
//! measures (how long ago a value was written, how long a lease still runs) it measures by its own.
//! [`Slots`] is the specification: every implementation passes one suite that compares it with that model.

mod in_process;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::stamp::{Severity, Stamps};
use crate::tag::TagId;

pub use in_process::InProcess;
pub use slots::Slots;

/// Shared storage behind the memory of all nodes, such as Redis.
///
/// All calls are idempotent: a call whose answer was lost may be repeated. Batches answer in the order of
/// their requests. An implementation bounds the time of each call itself and answers
/// [`RemoteError`] when it is over; whether the call then took effect is unknown.
#[async_trait]
pub trait RemoteTier: Send + Sync + 'static {
    /// Values and stamps as they are now, in one round trip.
    async fn read(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError>;

    /// Takes load leases, and captures the stamps of tags, creating records that are missing.
    async fn acquire(&self, leases: &[LeaseRequest], tags: &[StampRequest]) -> Result<Acquired, RemoteError>;

    /// Stores values whose lease is still the one given; a lost lease refuses the value.
    async fn fill(&self, fills: &[Fill]) -> Result<Vec<Filled>, RemoteError>;

    /// Gives leases back that will not be used. A lease that somebody else holds is left alone.
    async fn release(&self, leases: &[(RemoteKey, LeaseToken)]) -> Result<(), RemoteError>;

    /// Forgets (hard) or marks stale (soft) the values of keys, and voids their leases.
    async fn invalidate(&self, invalidations: &[KeyInvalidation]) -> Result<(), RemoteError>;

    /// Invalidates tags, and counts it, also where there is no record.
    async fn bump(&self, bumps: &[Bump]) -> Result<(), RemoteError>;

    /// Makes every entry that carries this tag and all the others, and whose load began earlier, void.
    ///
    /// `bump` is what happens instead (with [`Severity::Hard`]) where the record has no room for another
    /// [`Rule`], or the tier keeps no order among bumps.
    async fn add_rule(&self, bump: Bump, others: &[TagId]) -> Result<(), RemoteError>;
}

/// The name of an entry in the remote tier: the view and the encoded key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteKey(Arc<[u8]>);

impl RemoteKey {
    /// The entry of a view under an encoded key.
    pub fn new(view: &str, key: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(1 + view.len() + key.len());
        // A view's name has at most 100 bytes, so its length is one byte.
        bytes.push(view.len().min(127) as u8);
        bytes.extend_from_slice(view.as_bytes());
        bytes.extend_from_slice(key);
        Self(bytes.into())
    }

    /// The name with these bytes, as they came by a message.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The view and the encoded key; `None` for bytes that no view would give.
    pub(crate) fn split(&self) -> Option<(&str, &[u8])> {
        let (&length, rest) = self.0.split_first()?;
        let (view, key) = rest.split_at_checked(usize::from(length))?;
        Some((std::str::from_utf8(view).ok()?, key))
    }
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteKey({})", crate::key::Readable(&self.0))
    }
}

/// The random number that a load lease was granted under; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub u64);

/// A value as a remote tier keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteValue {
    /// The envelope as it was given to [`RemoteTier::fill`].
    pub envelope: Vec<u8>,
    /// Time since it was stored, by the tier's own clock; `None` where that clock gives nonsense (it went back).
    pub elapsed: Option<Duration>,
    /// Whether the key was invalidated softly since.
    pub soft: bool,
}

/// A tag's record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StampRecord {
    /// The current stamps.
    pub stamps: Stamps,
    /// How many bumps there were when the record was made or last changed, as [`Acquired::bumps`] counts; `None` where
    /// the tier keeps no such order.
    pub bumped: Option<u64>,
    /// Rules of which this tag is one. They live in the record, so that losing the record loses no rule: an
    /// entry without the record is void.
    pub rules: Vec<Rule>,
}

/// "All of these tags": entries that carry this record's tag and the others, and whose load began before
/// `number`, are void.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Its place in the order of bumps.
    pub number: u64,
    /// The other tags; an entry must carry every one.
    pub others: Vec<TagId>,
}

/// A record holds no more rules than this; one more becomes a hard bump of its tag, which forgets more, never less.
pub const MAX_RULES: usize = 16;

/// What [`RemoteTier::read`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteRead {
    /// One for each key asked for.
    pub values: Vec<Option<RemoteValue>>,
    /// One for each tag asked for; a missing record makes every entry with that tag void.
    pub stamps: Vec<Option<StampRecord>>,
}

/// Asks for the right to load a key.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The key.
    pub key: RemoteKey,
    /// Under which number.
    pub token: LeaseToken,
    /// How long the lease holds; at least the loader's hard deadline, or its value will be refused.
    pub lease: Duration,
    /// What a lease or value that is there means.
    pub claim: Claim,
}

/// How much a lease request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// For a load: only if there is neither a value nor a lease.
    IfAbsent,
    /// For a refresh: a value may be there, a lease not.
    Refresh,
    /// For a write: voids any lease and deletes any value.
    Write,
}

/// Asks for a tag's stamps.
#[derive(Clone, Copy, Debug)]
pub struct StampRequest {
    /// The tag.
    pub tag: TagId,
    /// The stamps of a new record, if there is none.
    pub proposed: Stamps,
    /// How long a new record is kept at least.
    pub keep: Duration,
}

/// What [`RemoteTier::acquire`] gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acquired {
    /// One for each lease asked for.
    pub leases: Vec<LeaseAnswer>,
    /// One for each tag.
    pub stamps: Vec<StampRecord>,
    /// How many bumps and rules there were; `None` where the tier keeps no order among them.
    pub bumps: Option<u64>,
}

/// The answer to one lease request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseAnswer {
    /// Load, and store under the token.
    Granted,
    /// Somebody else loads; their lease ends in this time at the latest.
    Busy(Duration),
    /// A value has arrived meanwhile.
    Present,
}

/// A value to store.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Where.
    pub key: RemoteKey,
    /// The lease it was loaded under.
    pub token: LeaseToken,
    /// The bytes.
    pub envelope: Vec<u8>,
    /// After which time the tier drops them.
    pub ttl: Duration,
    /// The source's version of the value, if it has one: a newer one that is stored already stays.
    pub version: Option<u64>,
    /// Tags whose records must outlive the value: they are kept for at least `keep` from now.
    pub tags: Vec<TagId>,
    /// See `tags`.
    pub keep: Duration,
    /// What a refusal does to the value that is stored.
    pub refused: Refused,
}

/// What a refused fill leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Nothing changes: a load that came too late.
    LeaveAlone,
    /// Value and lease are deleted: a write that met another one.
    Delete,
}

/// The answer to one fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filled {
    /// The value is stored.
    Stored,
    /// The lease was lost, or a newer version is known.
    Rejected,
}

/// An invalidation of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyInvalidation {
    /// The key.
    pub key: RemoteKey,
    /// Whether the old value may still be served, marked stale.
    pub severity: Severity,
    /// For sources with lagging replicas: values below this version, or without one, are refused for a time.
    pub hold: Option<Hold>,
}

/// Refuses fills that come from before a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The lowest version that may be stored.
    pub minimum: u64,
    /// For how long.
    pub period: Duration,
}

/// An invalidation of a tag.
///
/// A hard one deletes the tag's record: what carries the tag has lost its proof, and a record that is made
/// later has other stamps. So tags that nobody uses any more cost nothing. A soft one changes the soft stamp of
/// a record that exists.
#[derive(Clone, Copy, Debug)]
pub struct Bump {
    /// The tag.
    pub tag: TagId,
    /// Hard or soft.
    pub severity: Severity,
    /// The new soft stamp.
    pub soft: u64,
}

/// A remote tier did not do what it was asked, or did not say so.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No connection, or a lost one.
    #[error("the remote tier cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time; whether the call took effect is unknown.
    #[error("the remote tier did not answer within {0:?}")]
    TimedOut(Duration),
    /// It answered, and refused: out of memory, read-only, loading.
    #[error("the remote tier refused: {0}")]
    Refused(String),
    /// It was not asked: it failed too often lately.
    #[error("the remote tier is not asked at the moment, it failed too often")]
    Suspended,
}
