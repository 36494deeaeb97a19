//! Why a read of a key would be answered as it would.

use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use crate::budget::Urgency;
use crate::engine::Engine;
use crate::envelope::{Header, NotAnEnvelope};
use crate::flight::FillRefusal;
use crate::key::{CacheKey, Readable};
use crate::lineage::Lineage;
use crate::load::Job;
use crate::memory::{Entry, KeyRef};
use crate::remote::StampRecord;
use crate::shared_read::Worth;
use crate::stamp::Standing;
use crate::view::View;

/// What each tier has of a key, and what stands in the way of serving it. Asking changes nothing and counts as no read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The view.
    pub view: String,
    /// The encoded key: text as it is, other bytes as `\x..`.
    pub key: String,
    /// This node's memory.
    pub memory: Option<InMemory>,
    /// Whether memory may be served; `false` while the bus is silent.
    pub serves_memory: bool,
    /// How long the lease under which memory is served still runs; `None` without one.
    pub lease_left: Option<Duration>,
    /// Whether a load of the key is in flight on this node.
    pub loading: bool,
    /// The version that a load must reach, after an invalidation that named one.
    pub minimum_version: Option<u64>,
    /// The remote tier.
    pub remote: InRemote,
    /// Why the last value of this key that was not stored was refused.
    pub last_refusal: Option<FillRefusal>,
}

/// What memory has of a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InMemory {
    /// Fresh, stale, or void.
    pub standing: Standing,
    /// Whether it says that the source has no such value.
    pub absent: bool,
    /// Time since its load began.
    pub age: Duration,
    /// For how long it is still fresh, if nothing happens.
    pub fresh_left: Duration,
    /// For how long it may still be served, fresh or stale.
    pub kept_left: Duration,
    /// Tags of its own, besides those of the view.
    pub tags: usize,
    /// The source's version.
    pub version: Option<u64>,
    /// The source's position.
    pub position: Option<u64>,
    /// Whether a position is demanded that it does not have.
    pub outrun: bool,
}

/// What the remote tier has of a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum InRemote {
    /// The cache has none, or the view no codec.
    NotUsed,
    /// An invalidation that it has not acknowledged concerns the key: it is not believed.
    Bypassed,
    /// It did not answer.
    Away(String),
    /// Nothing.
    Nothing,
    /// Bytes that are no value of this view.
    Undecodable(&'static str),
    /// A value.
    Value {
        /// What its stamps, its life and its position make of it.
        standing: Standing,
        /// Time since its load began.
        age: Duration,
        /// For how long it is still fresh, if nothing happens.
        fresh_left: Duration,
        /// Bytes, its header included.
        bytes: usize,
    },
}

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    /// Tells why a read of this key would be answered as it would. One question to the remote tier.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let prices = cache.view::<u64, String>("prices").build()?;
    /// println!("{}", prices.explain(&7).await);
    /// # Ok(()) }
    /// ```
    pub async fn explain(&self, key: &K) -> Explanation {
        let bytes = crate::key::KeyWriter::encode(key);
        let job = self.job(key, Urgency::Reader, Lineage::default());
        self.engine.explain(&job, self.entry_key(&bytes)).await
    }
}

impl Engine {
    async fn explain(&self, job: &Job, key: KeyRef<'_>) -> Explanation {
        let now = self.clock.now();
        let last_refusal = self.last_refusal(job, key);
        Explanation {
            view: job.view.name.to_string(),
            key: Readable(key.bytes).to_string(),
            memory: self.coherence.memory().peek(key).map(|entry| self.explain_entry(job, &entry)),
            serves_memory: self.lease.serves(now),
            lease_left: self.lease.promise().lease().map(|_| self.lease.until().since(now)),
            loading: self.coherence.is_loading(key),
            minimum_version: self.coherence.floor(key, now),
            remote: self.explain_remote(job, key).await,
            last_refusal,
        }
    }

    /// A function of its own: no lock may be held while the remote tier is asked.
    fn last_refusal(&self, job: &Job, key: KeyRef<'_>) -> Option<FillRefusal> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest_first = refusals.iter().rev();
        newest_first.find(|(view, bytes, _)| *view == job.view.name && **bytes == *key.bytes).map(|(_, _, why)| *why)
    }

    fn explain_entry(&self, job: &Job, entry: &Entry) -> InMemory {
        let now = self.clock.now();
        let by_time = if now < entry.fresh_until() {
            Standing::Current
        } else if now < entry.kept_until() {
            Standing::Stale
        } else {
            Standing::Void
        };
        InMemory {
            standing: by_time.max(self.coherence.standing(&job.view.base, entry)),
            absent: entry.value.is_none(),
            age: now.since(entry.loaded_at),
            fresh_left: entry.fresh_until().since(now),
            kept_left: entry.kept_until().since(now),
            tags: entry.marks().len(),
            version: entry.version(),
            position: entry.position(),
            outrun: !job.covers(entry.position()),
        }
    }

    async fn explain_remote(&self, job: &Job, key: KeyRef<'_>) -> InRemote {
        let (Some(remote), Some(codec)) = (&self.remote, &job.view.codec) else { return InRemote::NotUsed };
        if self.remote_for(job, key.bytes).is_none() {
            return InRemote::Bypassed;
        }
        let name = job.view.remote_key(key.bytes);
        let read = match remote.read(std::slice::from_ref(&name), &job.tags).await {
            Ok(read) => read,
            Err(error) => return InRemote::Away(error.to_string()),
        };
        let Some(value) = read.values.first().and_then(Option::as_ref) else { return InRemote::Nothing };
        let header = match Header::open(&value.envelope, codec.fingerprint()) {
            Ok((header, _)) => header,
            Err(error) => return InRemote::Undecodable(reason(error)),
        };
        let records: Vec<Option<&StampRecord>> = read.stamps.iter().map(Option::as_ref).collect();
        let standing = match self.weigh_up(job, Some(value), &records, remote.as_ref()).await {
            Worth::Fresh(_) => Standing::Current,
            Worth::Stale(_) => Standing::Stale,
            Worth::Useless | Worth::Nothing => Standing::Void,
        };
        let elapsed = value.elapsed.unwrap_or_default();
        InRemote::Value {
            standing,
            age: header.age + elapsed,
            fresh_left: header.fresh.saturating_sub(elapsed),
            bytes: value.envelope.len(),
        }
    }
}

fn reason(error: NotAnEnvelope) -> &'static str {
    match error {
        NotAnEnvelope::Foreign => "not written by this library",
        NotAnEnvelope::OtherLayout => "another version of the layout",
        NotAnEnvelope::OtherType => "another type, codec or shape",
        NotAnEnvelope::Damaged => "cut short or damaged",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.view, self.key)?;
        match &self.memory {
            None => writeln!(f, "  memory: nothing")?,
            Some(memory) => {
                let what = if memory.absent { "\"no such value\"" } else { "a value" };
                write!(f, "  memory: {what}, {}, {:?} old", word(memory.standing), memory.age)?;
                write!(f, ", fresh for {:?}, kept for {:?}", memory.fresh_left, memory.kept_left)?;
                let outrun = if memory.outrun { ", older than the position asked for" } else { "" };
                writeln!(f, ", {} tags{outrun}", memory.tags)?;
            }
        }
        match (self.serves_memory, self.lease_left) {
            (true, None) => {}
            (true, Some(left)) => {
                writeln!(f, "  memory is served for another {left:?} without a sign of life from the bus")?;
            }
            (false, _) => writeln!(f, "  memory is not served: the bus has been silent for longer than the lease")?,
        }
        match &self.remote {
            InRemote::NotUsed => writeln!(f, "  remote tier: not used")?,
            InRemote::Bypassed => writeln!(f, "  remote tier: bypassed, an invalidation is not acknowledged yet")?,
            InRemote::Away(error) => writeln!(f, "  remote tier: away ({error})")?,
            InRemote::Nothing => writeln!(f, "  remote tier: nothing")?,
            InRemote::Undecodable(why) => writeln!(f, "  remote tier: no value of this view ({why})")?,
            InRemote::Value { standing, age, fresh_left, bytes } => {
                let standing = word(*standing);
                writeln!(f, "  remote tier: {bytes} bytes, {standing}, {age:?} old, fresh for {fresh_left:?}")?;
            }
        }
        if self.loading {
            writeln!(f, "  a load is in flight")?;
        }
        if let Some(minimum) = self.minimum_version {
            writeln!(f, "  only values of version {minimum} and later are stored")?;
        }
        match self.last_refusal {
            None => Ok(()),
            Some(why) => writeln!(f, "  the last value that was not stored: {why}"),
        }
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Current => "fresh",
        Standing::Stale => "stale",
        Standing::Void => "void",
    }
}
