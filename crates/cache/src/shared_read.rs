//! A load and the remote tier: is there a value, may we load, and may the loaded value be stored there.

mod judge;

use std::sync::Arc;
use std::time::Duration;

use self::judge::judge;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, Served, Slot, Source};
use crate::envelope::{Header, MAX_TAGS};
use crate::event::Event;
use crate::flight::{FillRefusal, Flight, Stored};
use crate::load::{Cargo, Job, Leased};
use crate::loaded::Notes;
use crate::memory::{AnyValue, Times};
use crate::pulse::Pace;
use crate::remote::{
    Claim, Fill, Filled, LeaseAnswer, LeaseRequest, LeaseToken, Refused, RemoteTier, RemoteValue, StampRecord,
    StampRequest,
};
use crate::stamp::{Stamped, Stamps, Standing};
use crate::tag::TagId;
use crate::waits::Waits;

/// A load outlives its hard timeout by no more than this before its lease runs out: budget, store, network.
const LEASE_MARGIN: Duration = Duration::from_secs(15);
/// Another node's load is waited for no longer than this, then loaded beside it and not stored: the node may have died,
/// and its lease would be waited for in vain.
const LEASE_WAIT: Duration = Duration::from_secs(5);
/// How often a load that waits for another node's lease looks for the value, at most and at least.
const POLL: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(64));
/// Without the remote tier's consent a value is kept in memory no longer than this: other nodes cannot
/// say that they load it too, and their invalidations may not arrive.
const DEGRADED_LIFE: Duration = Duration::from_secs(10);
/// Tag records outlive the entries that carry them by this.
const RECORD_MARGIN: Duration = Duration::from_secs(3600);

/// How a load continues after the remote tier was asked.
pub(crate) enum Approach {
    Found(Served),
    Load(Permission),
}

/// Where a loaded value may be stored.
pub(crate) enum Permission {
    /// In the remote tier, under this lease, and in memory if that succeeds.
    Leased(Fenced),
    /// In memory: the view has no remote tier.
    Alone,
    /// In memory for a short time: the remote tier is away.
    Degraded,
    /// Nowhere: somebody else holds the lease.
    Unstored,
}

/// A lease, and what was captured with it, before the load.
pub(crate) struct Fenced {
    pub(crate) token: LeaseToken,
    pub(crate) born: Option<u64>,
    pub(crate) stamps: Vec<Stamped>,
}

/// What a value in the remote tier is worth.
pub(crate) enum Worth {
    /// Fresh: its header, the value, the tags beyond the key's own.
    Fresh(Opened),
    /// May stand in if the load fails, or while it runs.
    Stale(Opened),
    /// There, but of no use.
    Useless,
    Nothing,
}

/// A value from the remote tier.
pub(crate) struct Opened {
    pub(crate) value: Option<AnyValue>,
    pub(crate) header: Header,
    pub(crate) elapsed: Duration,
}

impl Opened {
    /// The moments of its life, counted from before it was asked for.
    pub(crate) fn times(&self, job: &Job, sent: Tick, pace: Pace) -> Times {
        let (age, life) = (self.header.age + self.elapsed, self.header.age + self.header.fresh);
        let refresh = job.view.policy.refresh_after(life, pace);
        Times {
            loaded_at: sent.before(age),
            refresh_at: sent.after(refresh.saturating_sub(age)),
            fresh_until: sent.after(self.header.fresh.saturating_sub(self.elapsed)),
            kept_until: sent.after(self.header.kept.saturating_sub(self.elapsed)),
        }
    }

    pub(crate) fn late(&self, job: &Job) -> Vec<TagId> {
        self.header.stamps.iter().map(|stamped| stamped.tag).filter(|tag| !job.tags.contains(tag)).collect()
    }
}

impl Engine {
    /// The remote tier as far as this load may use it.
    pub(crate) fn remote_for(&self, job: &Job, key: &[u8]) -> Option<&Arc<dyn RemoteTier>> {
        let remote = self.remote.as_ref().filter(|_| job.view.codec.is_some())?;
        let bypass = self.unsettled.touches(&job.view, key, &job.tags);
        (!bypass).then_some(remote)
    }

    /// Asks the remote tier: a value, or a lease to load one. `fallback` becomes the stale value to fall back on, `leased`
    /// the lease to give back: set before it is asked for, as this future may be dropped before the answer comes.
    pub(crate) async fn approach(
        &self,
        flight: &Flight<Slot>,
        job: &Job,
        fallback: &mut Option<Served>,
        leased: &mut Option<Leased>,
        will_load: bool,
        waits: &mut Waits,
    ) -> Approach {
        if self.remote.is_none() || job.view.codec.is_none() {
            return Approach::Load(Permission::Alone);
        }
        let Some(remote) = self.remote_for(job, &flight.key.bytes) else { return Approach::Load(Permission::Degraded) };
        let key = job.view.remote_key(&flight.key.bytes);
        let mut gives_up = None;
        let mut pause = POLL.0;
        loop {
            let sent = self.clock.now();
            let read = match remote.read(std::slice::from_ref(&key), &job.tags).await {
                Ok(read) => read,
                Err(_) => return Approach::Load(self.degraded(job)),
            };
            let records: Vec<Option<&StampRecord>> = read.stamps.iter().map(Option::as_ref).collect();
            let value = read.values.first().and_then(Option::as_ref);
            let there = match self.weigh_up(job, value, &records, remote.as_ref()).await {
                Worth::Fresh(opened) => return Approach::Found(self.promote(flight, job, opened, sent)),
                Worth::Stale(opened) => {
                    let stale = aged(job, &opened, sent, Source::Remote, true);
                    if fallback.as_ref().is_none_or(|own| own.loaded_at < stale.loaded_at) {
                        *fallback = Some(stale);
                    }
                    true
                }
                Worth::Useless => true,
                Worth::Nothing => false,
            };
            if !will_load {
                return Approach::Load(Permission::Unstored);
            }
            let claim = if there { Claim::Refresh } else { Claim::IfAbsent };
            let request = self.lease_request(job, &key, claim);
            *leased = Some((Arc::clone(&job.view), request.token));
            let acquired = match remote.acquire(std::slice::from_ref(&request), &self.capture(job, &records)).await {
                Ok(acquired) => acquired,
                Err(_) => return Approach::Load(self.degraded(job)),
            };
            if acquired.leases.first() != Some(&LeaseAnswer::Granted) {
                *leased = None;
            }
            match acquired.leases.first() {
                Some(LeaseAnswer::Granted) => {
                    let stamps = stamps_before(&job.tags, &records, &acquired.stamps);
                    let fenced = Fenced { token: request.token, born: acquired.bumps, stamps };
                    return Approach::Load(Permission::Leased(fenced));
                }
                Some(LeaseAnswer::Present) => continue,
                Some(LeaseAnswer::Busy(remaining)) => {
                    let now = self.clock.now();
                    let ends = *gives_up
                        .get_or_insert(now.after((*remaining).min(job.view.policy.hard_timeout).min(LEASE_WAIT)));
                    let stands_in = fallback.as_ref().filter(|stale| self.stands_in(job, stale, now));
                    if let Some(stale) = stands_in {
                        return Approach::Found(stale.clone());
                    }
                    if now >= ends || job.urgency != crate::budget::Urgency::Reader {
                        return Approach::Load(Permission::Unstored);
                    }
                    job.view.count(Count::LeaseWait);
                    let jitter = Duration::from_millis(self.entropy.below(1 + pause.as_millis() as u64 / 2));
                    tokio::time::sleep((pause + jitter).min((*remaining).max(Duration::from_millis(1)))).await;
                    waits.add_lease(now, self.clock.now());
                    pause = (pause * 2).min(POLL.1);
                }
                None => return Approach::Load(self.degraded(job)),
            }
        }
    }

    pub(crate) fn degraded(&self, job: &Job) -> Permission {
        job.view.count(Count::RemoteError);
        Permission::Degraded
    }

    /// Whether a stale value may be served while another node loads.
    fn stands_in(&self, job: &Job, stale: &Served, now: Tick) -> bool {
        now < stale.fresh_until.after(job.view.policy.while_revalidate)
    }

    pub(crate) fn lease_request(&self, job: &Job, key: &crate::remote::RemoteKey, claim: Claim) -> LeaseRequest {
        let lease = job.view.policy.hard_timeout.saturating_add(LEASE_MARGIN);
        LeaseRequest { key: key.clone(), token: LeaseToken(self.entropy.next()), lease, claim }
    }

    /// Asks for the stamps of tags whose records were missing.
    pub(crate) fn capture(&self, job: &Job, records: &[Option<&StampRecord>]) -> Vec<StampRequest> {
        let missing = job.tags.iter().zip(records).filter(|(_, record)| record.is_none());
        missing.map(|(tag, _)| self.stamp_request(job, *tag)).collect()
    }

    fn stamp_request(&self, job: &Job, tag: TagId) -> StampRequest {
        let proposed = Stamps { hard: self.entropy.next(), soft: self.entropy.next() };
        StampRequest { tag, proposed, keep: record_life(job, job.view.policy.longest_life()) }
    }

    /// Judges a value that was read; `records` are those of the job's tags, in their order.
    pub(crate) async fn weigh_up(
        &self,
        job: &Job,
        value: Option<&RemoteValue>,
        records: &[Option<&StampRecord>],
        remote: &dyn RemoteTier,
    ) -> Worth {
        let Some(value) = value else { return Worth::Nothing };
        let Some(opened) = self.open(job, value) else {
            job.view.count(Count::Undecodable);
            return Worth::Useless;
        };
        let late = opened.late(job);
        let mut standing = if late.is_empty() {
            judge(&opened.header, &job.tags, records, &[], &[])
        } else {
            if self.unsettled.touches(&job.view, &[], &late) {
                return Worth::Useless;
            }
            // Tags that only the value knows: their stamps are one more question.
            let Ok(read) = remote.read(&[], &late).await else { return Worth::Useless };
            judge(&opened.header, &job.tags, records, &late, &read.stamps)
        };
        if value.soft {
            standing = standing.max(Standing::Stale);
        }
        if standing == Standing::Void || !job.covers(opened.header.position) || opened.elapsed >= opened.header.kept {
            return Worth::Useless;
        }
        let young = job.younger_than_percent.is_none_or(|percent| {
            let (age, life) = (opened.header.age + opened.elapsed, opened.header.age + opened.header.fresh);
            age < life * u32::from(percent) / 100
        });
        if standing == Standing::Current && opened.elapsed < opened.header.fresh && young {
            Worth::Fresh(opened)
        } else {
            Worth::Stale(opened)
        }
    }

    fn open(&self, job: &Job, value: &RemoteValue) -> Option<Opened> {
        let codec = job.view.codec.as_ref()?;
        let (header, body) = Header::open(&value.envelope, codec.fingerprint()).ok()?;
        let elapsed = value.elapsed?;
        let value = if header.absent { None } else { Some(codec.decode(body).ok()?) };
        Some(Opened { value, header, elapsed })
    }

    /// Copies a fresh value into memory, through the flight's token like any other.
    pub(crate) fn promote(&self, flight: &Flight<Slot>, job: &Job, opened: Opened, sent: Tick) -> Served {
        let served = aged(job, &opened, sent, Source::Remote, false);
        let late = opened.late(job);
        let rhythm = self.rhythm(job, opened.value.as_ref(), opened.header.version, 0);
        let times = opened.times(job, sent, rhythm.map_or(Pace::BASE, |rhythm| rhythm.pace));
        let notes = Notes { version: opened.header.version, position: opened.header.position, ..Notes::default() };
        let cargo = Cargo { value: opened.value, notes, began: sent, rhythm };
        let stored = self.keep(flight, job, &late, &cargo, times);
        Served { not_after: Self::delivered(job, &late, &cargo, stored).not_after, ..served }
    }

    /// Stores a loaded value where its permission allows, remote tier first. Also tells whether the lease is used up.
    pub(crate) async fn store(
        &self,
        flight: &Flight<Slot>,
        job: &Job,
        permission: Permission,
        cargo: Cargo,
    ) -> (Served, bool) {
        let packed = self.pack(flight, job, permission, cargo).await;
        let filled = match (&self.remote, &packed.plan) {
            (Some(remote), Plan::Ship(fill)) => match remote.fill(std::slice::from_ref(fill.as_ref())).await {
                Ok(filled) => Some(filled.first().copied().unwrap_or(Filled::Rejected)),
                Err(_) => None,
            },
            _ => None,
        };
        self.put_away(flight, job, packed, filled)
    }

    /// Decides where a loaded value goes, and makes it ready for the remote tier.
    pub(crate) async fn pack(&self, flight: &Flight<Slot>, job: &Job, permission: Permission, cargo: Cargo) -> Packed {
        let late: Vec<TagId> = cargo.notes.tags.iter().copied().filter(|tag| !job.tags.contains(tag)).collect();
        let Some(times) = self.times(job, &cargo).filter(|_| !cargo.notes.unwanted) else {
            return Packed { cargo, late, times: None, plan: Plan::Refuse(FillRefusal::NotWanted) };
        };
        let bytes = cargo.value.as_ref().map_or(0, |value| (job.view.weigh)(value));
        let plan = if bytes > job.view.policy.max_value_bytes || job.tags.len() + late.len() > MAX_TAGS {
            Plan::Refuse(FillRefusal::TooLarge)
        } else if self.coherence.is_void(flight) {
            Plan::Refuse(FillRefusal::Invalidated)
        } else {
            match permission {
                Permission::Unstored => Plan::Refuse(FillRefusal::LeaseLost),
                Permission::Alone => Plan::Keep,
                Permission::Degraded => Plan::Degrade,
                Permission::Leased(fenced) => self.plan_shipment(flight, job, &fenced, &cargo, &late, times).await,
            }
        };
        Packed { cargo, late, times: Some(times), plan }
    }

    /// Puts a value into memory after the remote tier has answered; `None`: it did not.
    pub(crate) fn put_away(
        &self,
        flight: &Flight<Slot>,
        job: &Job,
        packed: Packed,
        filled: Option<Filled>,
    ) -> (Served, bool) {
        let Packed { cargo, late, times, plan } = packed;
        let refused = |why| {
            if why != FillRefusal::NotWanted {
                self.refused(&job.view, &flight.key.bytes, why);
            }
            (Self::delivered(job, &late, &cargo, Stored::No(why)), false)
        };
        let Some(times) = times else { return refused(FillRefusal::NotWanted) };
        let (times, taken) = match (plan, filled) {
            (Plan::Refuse(why), _) => return refused(why),
            (Plan::Keep, _) => (times, false),
            (Plan::Ship(_), Some(Filled::Stored)) => (times, true),
            (Plan::Ship(_), Some(Filled::Rejected)) => return refused(FillRefusal::LeaseLost),
            (Plan::Ship(_), None) => {
                job.view.count(Count::RemoteError);
                (self.degrade(job, &flight.key.bytes, times), false)
            }
            (Plan::Degrade, _) => (self.degrade(job, &flight.key.bytes, times), false),
        };
        let stored = self.keep(flight, job, &late, &cargo, times);
        (Self::delivered(job, &late, &cargo, stored), taken)
    }

    fn degrade(&self, job: &Job, key: &[u8], times: Times) -> Times {
        job.view.count(Count::DegradedFill);
        self.events.send(|| Event::DegradedFill { view: Arc::clone(&job.view.name), key: key.into() });
        let most = times.loaded_at.after(DEGRADED_LIFE);
        Times { fresh_until: times.fresh_until.min(most), ..times }
    }

    async fn plan_shipment(
        &self,
        flight: &Flight<Slot>,
        job: &Job,
        fenced: &Fenced,
        cargo: &Cargo,
        late: &[TagId],
        times: Times,
    ) -> Plan {
        let (Some(remote), Some(codec)) = (&self.remote, &job.view.codec) else { return Plan::Keep };
        let Ok(body) = cargo.value.as_ref().map_or(Ok(Vec::new()), |value| codec.encode(value)) else {
            job.view.count(Count::Unencodable);
            return Plan::Keep;
        };
        if body.len() > job.view.policy.max_value_bytes {
            return Plan::Refuse(FillRefusal::TooLarge);
        }
        let mut stamps = fenced.stamps.clone();
        if !late.is_empty() {
            match self.capture_late(job, fenced, late, remote.as_ref()).await {
                Late::Stamped(more) => stamps.extend(more),
                Late::Unprovable => return Plan::Keep,
                Late::Invalidated => return Plan::Refuse(FillRefusal::TagInvalidated),
                Late::Away => return Plan::Degrade,
            }
        }
        let now = self.clock.now();
        let header = Header {
            fingerprint: codec.fingerprint(),
            absent: cargo.value.is_none(),
            version: cargo.notes.version,
            position: cargo.notes.position,
            born: fenced.born,
            age: now.since(times.loaded_at),
            fresh: times.fresh_until.since(now),
            kept: times.kept_until.since(now),
            stamps,
        };
        if header.kept.is_zero() {
            return Plan::Keep;
        }
        Plan::Ship(Box::new(Fill {
            key: job.view.remote_key(&flight.key.bytes),
            token: fenced.token,
            envelope: header.seal(&body),
            ttl: header.kept,
            version: cargo.notes.version,
            tags: header.stamps.iter().map(|stamped| stamped.tag).collect(),
            keep: record_life(job, header.kept),
            refused: if flight.is_write() { Refused::Delete } else { Refused::LeaveAlone },
        }))
    }

    /// Stamps of tags that became known after the load: right only if nothing was bumped since it began.
    async fn capture_late(&self, job: &Job, fenced: &Fenced, late: &[TagId], remote: &dyn RemoteTier) -> Late {
        let requests: Vec<StampRequest> = late.iter().map(|tag| self.stamp_request(job, *tag)).collect();
        let Ok(acquired) = remote.acquire(&[], &requests).await else {
            job.view.count(Count::RemoteError);
            return Late::Away;
        };
        let Some(born) = fenced.born else { return Late::Unprovable };
        let mut stamped = Vec::with_capacity(late.len());
        for (tag, record) in late.iter().zip(&acquired.stamps) {
            match record.bumped {
                None => return Late::Unprovable,
                Some(number) if number > born => return Late::Invalidated,
                Some(_) => stamped.push(Stamped { tag: *tag, stamps: record.stamps }),
            }
        }
        Late::Stamped(stamped)
    }
}

/// A loaded value, ready to be stored.
pub(crate) struct Packed {
    pub(crate) cargo: Cargo,
    pub(crate) late: Vec<TagId>,
    pub(crate) times: Option<Times>,
    pub(crate) plan: Plan,
}

/// Where a loaded value goes.
pub(crate) enum Plan {
    Refuse(FillRefusal),
    /// Into memory.
    Keep,
    /// Into memory, for a short time.
    Degrade,
    /// Into the remote tier, and then into memory.
    Ship(Box<Fill>),
}

impl Plan {
    pub(crate) fn fill(&self) -> Option<&Fill> {
        match self {
            Self::Ship(fill) => Some(fill),
            _ => None,
        }
    }
}

enum Late {
    Stamped(Vec<Stamped>),
    /// The remote tier keeps no order among bumps.
    Unprovable,
    Invalidated,
    Away,
}

/// The stamps of the key's tags as they stood before the load: read, or captured when they were missing.
pub(crate) fn stamps_before(tags: &[TagId], read: &[Option<&StampRecord>], captured: &[StampRecord]) -> Vec<Stamped> {
    let mut captured = captured.iter();
    let stamps = read.iter().map(|record| record.or_else(|| captured.next()));
    tags.iter().zip(stamps).filter_map(|(tag, record)| Some(Stamped { tag: *tag, stamps: record?.stamps })).collect()
}

/// A value of the remote tier as its reader gets it, its age kept.
pub(crate) fn aged(job: &Job, opened: &Opened, sent: Tick, source: Source, stale: bool) -> Served {
    Served {
        value: opened.value.clone(),
        source,
        stale,
        loaded_at: sent.before(opened.header.age + opened.elapsed),
        fresh_until: sent.after(opened.header.fresh).before(opened.elapsed),
        position: opened.header.position,
        tags: job.tags.iter().copied().chain(opened.late(job)).collect(),
        not_after: None,
        waits: Waits::default(),
    }
}

fn record_life(job: &Job, life: Duration) -> Duration {
    life.max(job.view.policy.longest_life()) * 2 + RECORD_MARGIN
}
