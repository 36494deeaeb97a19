//! Many keys that the remote tier may have, read without a flight for each.
//!
//! A flight is for those who wait; most keys of a batch are there, and need no waiting. So all keys are read in one
//! question under a cheap token each ([`Coherence::glance`](crate::flight::Coherence::glance)), and only what is missing
//! is loaded by flights.

use std::hash::Hash;

use crate::budget::Urgency;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, ViewShared};
use crate::flight::{FillRefusal, Glance, Stored};
use crate::key::CacheKey;
use crate::lineage::Lineage;
use crate::load::{Job, details};
use crate::loaded::Notes;
use crate::memory::{AnyValue, EntryKey, Parts};
use crate::pulse::Pace;
use crate::remote::{Claim, RemoteKey, RemoteRead, StampRecord};
use crate::shared_read::{Opened, Worth};
use crate::tag::TagId;
use crate::view::View;

/// What was learnt of the keys that are not there.
pub(crate) struct Glimpse {
    /// The places of the keys whose value was found, the values (`None` where the source is known to have none), and when
    /// their loads began.
    pub(crate) found: Vec<(usize, Option<AnyValue>, Tick)>,
    /// The places of the others, and how a lease for each is to be asked for.
    pub(crate) missing: Vec<(usize, Claim)>,
    tags: Vec<TagId>,
    read: RemoteRead,
    /// Whether there are stale values to fall back on, which are worth another question.
    pub(crate) stale: bool,
}

impl Glimpse {
    /// A tag's record.
    pub(crate) fn record(&self, tag: &TagId) -> Option<&StampRecord> {
        self.read.stamps.get(self.tags.binary_search(tag).ok()?)?.as_ref()
    }
}

struct Seen {
    job: Job,
    key: EntryKey,
    glance: Glance,
}

impl<K, V> View<K, V>
where
    K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Reads all keys from the remote tier; `None` where there is none to read from, or it does not answer.
    pub(crate) async fn glimpse(&self, keys: &[K], urgency: Urgency) -> Option<Glimpse> {
        let engine = &self.engine;
        let remote = engine.remote.as_ref().filter(|_| self.shared.codec.is_some() && engine.unsettled.len() == 0)?;
        let mut seen = Vec::with_capacity(keys.len());
        let mut names = Vec::with_capacity(keys.len());
        let mut tags: Vec<TagId> = Vec::new();
        for key in keys {
            let bytes = self.encoded::<String>(key).ok()?;
            let job = self.job(key, urgency, Lineage::default());
            let entry = self.entry_key(&bytes);
            let glance = engine.coherence.glance(entry, &self.shared.base, &job.own_tags);
            names.push(RemoteKey::new(&self.shared.name, &bytes));
            if seen.is_empty() || !job.own_tags.is_empty() {
                tags.extend(job.tags.iter().copied());
            }
            seen.push(Seen { key: EntryKey { view: entry.view, bytes }, job, glance });
        }
        tags.sort_unstable();
        tags.dedup();
        let sent = engine.clock.now();
        let read = remote.read(&names, &tags).await.ok()?;
        let mut glimpse = Glimpse { found: Vec::new(), missing: Vec::new(), tags, read, stale: false };
        let mut records: Vec<Option<&StampRecord>> = Vec::new();
        let (mut found, mut missing, mut stale) = (Vec::with_capacity(keys.len()), Vec::new(), false);
        for (place, seen) in seen.iter().enumerate() {
            records.clear();
            records.extend(seen.job.tags.iter().map(|tag| glimpse.record(tag)));
            let value = glimpse.read.values.get(place).and_then(Option::as_ref);
            match engine.weigh_up(&seen.job, value, &records, remote.as_ref()).await {
                Worth::Fresh(opened) => {
                    if urgency == Urgency::Reader {
                        self.shared.count(Count::RemoteHit);
                        if let Some(hot) = &self.shared.hot {
                            hot.record(&seen.key.bytes, sent);
                        }
                    }
                    // This reader came before the token was taken: whatever happens meanwhile, the value is its.
                    found.push((place, opened.value.clone(), opened.times(&seen.job, sent, Pace::BASE).loaded_at));
                    engine.copy(&self.shared, seen, opened, sent);
                }
                Worth::Stale(_) => {
                    stale = true;
                    missing.push((place, Claim::Refresh));
                }
                Worth::Useless => missing.push((place, Claim::Refresh)),
                Worth::Nothing => missing.push((place, Claim::IfAbsent)),
            }
        }
        (glimpse.found, glimpse.missing, glimpse.stale) = (found, missing, stale);
        Some(glimpse)
    }
}

impl Engine {
    /// Copies a value into memory, if nothing stands against it.
    fn copy(&self, view: &ViewShared, seen: &Seen, opened: Opened, sent: Tick) {
        let times = self.capped(&seen.job, opened.times(&seen.job, sent, Pace::BASE));
        let now = self.clock.now();
        if now >= times.kept_until {
            // Memory keeps nothing of this view, or not for so long.
            return;
        }
        let late = opened.late(&seen.job);
        let version = opened.header.version;
        let notes = Notes { version, position: opened.header.position, ..Notes::default() };
        let bytes = opened.value.as_ref().map_or(0, |value| (view.weigh)(value));
        let pulse = self.pulse(&seen.job.view, None);
        let warmed = seen.job.urgency == Urgency::WarmUp;
        let parts =
            |marked| Parts { value: opened.value, bytes, details: details(marked, &notes, pulse), times, warmed };
        match self.coherence.fill_glanced(&seen.key, &seen.glance, &late, now, version, parts) {
            Stored::Yes => view.count_fill(seen.job.urgency),
            Stored::No(why) => self.refused(view, &seen.key.bytes, why),
            Stored::NotAfter(_) => self.refused(view, &seen.key.bytes, FillRefusal::TagInvalidated),
        }
    }
}
