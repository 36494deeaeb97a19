//! Who may ask this node what: the installation's tokens, kept in memory.
//!
//! A request is compared with what is in memory, so the database is not asked for each. It is asked twice within
//! `freshness.bound`, so that a revocation holds on every node within the bound. While the database does not answer, the last
//! known tokens count.
//!
//! A secret is found by its SHA-256 in a hash map. That takes no constant time and need not: how long it takes depends on
//! the hash, and nobody can choose a secret whose hash has the beginning of another one's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tierkeep_learning::store::{Scope, Store, StoreError, Token, TokenHash};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

mod secret;

pub use self::secret::{Secret, hash};

/// How many times the tokens are read within the bound: a reading that takes as long as the pause is still in time.
const READS_PER_BOUND: u32 = 2;
/// Time between two notes of when tokens were used. A write a minute is nothing, a write a request would be much.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Longest wait for one reading. Longer than the bound may be: tokens that come late are newer than those that are known.
const PATIENCE: Duration = Duration::from_secs(5);
/// A token that was not used since this node has known it.
const NEVER: i64 = i64::MIN;

/// Who can reach the address that a node listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Programs of this machine.
    Loopback,
    /// Others, too: nothing is answered without a token.
    Network,
}

impl Reach {
    /// Who can reach this address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// As whom a request is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// Nobody needs a token.
    Anybody,
    /// By a token, which these bits of its hash tell from others.
    Token(u64),
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It brings no token.
    Missing,
    /// No token that is not revoked has its secret.
    Unknown,
    /// The time of its token is over.
    Expired(Timestamp),
    /// Its token admits to less.
    TooSmall {
        /// What the token admits to.
        scope: Scope,
        /// What the request needs.
        needed: Scope,
    },
}

/// The tokens as this node knows them.
#[derive(Debug)]
pub struct Access {
    store: Arc<dyn Store>,
    reach: Reach,
    known: RwLock<Arc<Known>>,
    /// When the last reading began.
    read: RwLock<Instant>,
    /// How old a reading may be, once the tokens are followed.
    bound: OnceLock<Duration>,
    is_silent: AtomicBool,
}

/// The tokens of one reading.
#[derive(Debug, Default)]
struct Known {
    by_hash: HashMap<TokenHash, Entry>,
    /// Whether any token is not revoked, be it expired or of no use to this version. What needs a token while one is live
    /// goes on needing one when its time is over: nobody has asked for an open API.
    any: bool,
}

#[derive(Debug)]
struct Entry {
    token: Token,
    used: Arc<Used>,
}

/// When a token was last used and when that was last noted, in microseconds.
#[derive(Debug)]
struct Used {
    at: AtomicI64,
    noted: AtomicI64,
}

impl Known {
    fn new(tokens: Vec<Token>, before: &Self) -> Self {
        let any = !tokens.is_empty();
        let by_hash = tokens.into_iter().filter_map(|token| {
            let hash = token.hash?;
            let used = match before.by_hash.get(&hash) {
                Some(entry) => Arc::clone(&entry.used),
                None => Arc::new(Used { at: AtomicI64::new(NEVER), noted: AtomicI64::new(NEVER) }),
            };
            Some((hash, Entry { token, used }))
        });
        Self { by_hash: by_hash.collect(), any }
    }
}

impl Access {
    /// Reads the tokens; without them nobody can be told apart, so a failure here must keep the node from starting.
    ///
    /// # Errors
    /// [`StoreError`]: the database cannot be asked.
    pub async fn load(store: Arc<dyn Store>, reach: Reach) -> Result<Self, StoreError> {
        let access = Self::without_tokens(store, reach);
        access.refresh().await?;
        Ok(access)
    }

    /// As if the installation had none: on loopback everybody may ask everything, elsewhere nobody anything.
    #[must_use]
    pub fn without_tokens(store: Arc<dyn Store>, reach: Reach) -> Self {
        let read = RwLock::new(Instant::now());
        Self { store, reach, known: RwLock::default(), read, bound: OnceLock::new(), is_silent: AtomicBool::new(false) }
    }

    /// Reads the tokens anew. What was known stays if that fails.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let tokens = self.store.unrevoked_tokens().await?;
        let before = self.known();
        let now = Arc::new(Known::new(tokens, &before));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = now;
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = began;
        Ok(())
    }

    /// Reads the tokens if the last reading is older than the bound, as after a pause of the whole process, unless the
    /// database was found not to answer.
    pub async fn catch_up(&self) {
        if let Some(bound) = self.overdue() {
            self.read_in_time(bound.max(PATIENCE)).await;
        }
    }

    /// Whether [`catch_up`](Self::catch_up) has nothing to do.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.overdue().is_none()
    }

    /// The bound, if the last reading is older and another one is worth it.
    fn overdue(&self) -> Option<Duration> {
        let bound = *self.bound.get()?;
        let read = *self.read.read().unwrap_or_else(PoisonError::into_inner);
        (read.elapsed() > bound && !self.is_silent.load(Ordering::Relaxed)).then_some(bound)
    }

    /// Whether requests need a token: while any is not revoked, and always where others can reach the node.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.needs_token(&self.known())
    }

    /// How many tokens admit to something.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> usize {
        self.known().by_hash.values().filter(|entry| entry.token.is_live(now)).count()
    }

    /// Whether a request that brings `secret` may do what needs `needed`.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, secret: Option<&str>, needed: Scope, now: Timestamp) -> Result<Admitted, Denied> {
        let known = self.known();
        if !self.needs_token(&known) {
            return Ok(Admitted::Anybody);
        }
        let hash = hash(secret.ok_or(Denied::Missing)?);
        let entry = known.by_hash.get(&hash).ok_or(Denied::Unknown)?;
        let scope = entry.token.scope.ok_or(Denied::Unknown)?;
        if let Some(end) = entry.token.expires_at.filter(|_| entry.token.is_expired(now)) {
            return Err(Denied::Expired(end));
        }
        entry.used.at.fetch_max(now.as_microsecond(), Ordering::Relaxed);
        if !scope.includes(needed) {
            return Err(Denied::TooSmall { scope, needed });
        }
        let [a, b, c, d, e, f, g, h, ..] = *hash.bytes();
        Ok(Admitted::Token(u64::from_le_bytes([a, b, c, d, e, f, g, h])))
    }

    /// Reads the tokens again and again until `stop`, and notes when they were used.
    pub async fn follow(&self, bound: Duration, stop: CancellationToken) {
        let _ = self.bound.set(bound);
        let every = |period| {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let reading = async {
            let mut ticks = every(bound / READS_PER_BOUND);
            loop {
                ticks.tick().await;
                self.read_in_time(bound.max(PATIENCE)).await;
            }
        };
        // beside the readings: a note may wait for another writer, a revocation must not
        let noting = async {
            let mut ticks = every(NOTE_EVERY);
            loop {
                ticks.tick().await;
                self.note_uses().await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = reading => {}
            () = noting => {}
        }
        // a database that does not answer must not hold the end up
        let _ = tokio::time::timeout(PATIENCE, self.note_uses()).await;
    }

    async fn read_in_time(&self, patience: Duration) {
        let was_required = self.is_required();
        let failure = match tokio::time::timeout(patience, self.refresh()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match failure {
            Some(why) if !self.is_silent.swap(true, Ordering::Relaxed) => {
                tracing::warn!(why, "the API tokens cannot be read: those that were known count until they can");
            }
            Some(_) => {}
            None if self.is_silent.swap(false, Ordering::Relaxed) => tracing::info!("the API tokens can be read again"),
            None => {}
        }
        match (was_required, self.is_required()) {
            (false, true) => tracing::info!("there are API tokens now: requests need one"),
            (true, false) => tracing::warn!("no API token is left: requests on loopback need none"),
            _ => {}
        }
    }

    /// Notes in the database when tokens were last used here. A failure costs the note only.
    pub async fn note_uses(&self) {
        if self.store.is_read_only() {
            return;
        }
        let known = self.known();
        let mut uses = Vec::new();
        for Entry { token, used } in known.by_hash.values() {
            let at = used.at.load(Ordering::Relaxed);
            if at > used.noted.load(Ordering::Relaxed)
                && let Ok(instant) = Timestamp::from_microsecond(at)
            {
                uses.push((token.id.clone(), instant));
            }
        }
        if uses.is_empty() {
            return;
        }
        match self.store.note_token_uses(uses.clone()).await {
            Ok(()) => {
                for Entry { token, used } in known.by_hash.values() {
                    if let Some((_, at)) = uses.iter().find(|(id, _)| *id == token.id) {
                        used.noted.fetch_max(at.as_microsecond(), Ordering::Relaxed);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "when tokens were used is not noted"),
        }
    }

    fn needs_token(&self, known: &Known) -> bool {
        self.reach == Reach::Network || known.any
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}
