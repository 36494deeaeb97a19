//! What a remote tier must do, as a pure state machine: the model that every implementation is compared with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stamp::Severity;
use crate::tag::TagId;

use super::{
    Acquired, Bump, Claim, Fill, Filled, Hold, KeyInvalidation, LeaseAnswer, LeaseRequest, LeaseToken, MAX_RULES,
    Refused, RemoteKey, RemoteRead, RemoteValue, Rule, StampRecord, StampRequest,
};

/// The contents of a remote tier. `now` is its own clock, in milliseconds, and never a node's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slots {
    values: BTreeMap<RemoteKey, Stored>,
    leases: BTreeMap<RemoteKey, Lease>,
    holds: BTreeMap<RemoteKey, Held>,
    records: BTreeMap<TagId, Record>,
    bumps: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stored {
    envelope: Vec<u8>,
    version: Option<u64>,
    soft: bool,
    written_at: u64,
    expires_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lease {
    token: LeaseToken,
    expires_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    minimum: u64,
    expires_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Record {
    record: StampRecord,
    expires_at: u64,
}

impl Slots {
    /// As [`RemoteTier::read`](super::RemoteTier::read).
    pub fn read(&mut self, now: u64, keys: &[RemoteKey], tags: &[TagId]) -> RemoteRead {
        self.expire(now);
        let values = keys.iter().map(|key| {
            self.values.get(key).map(|stored| RemoteValue {
                envelope: stored.envelope.clone(),
                elapsed: now.checked_sub(stored.written_at).map(Duration::from_millis),
                soft: stored.soft,
            })
        });
        RemoteRead {
            values: values.collect(),
            stamps: tags.iter().map(|tag| self.records.get(tag).map(|kept| kept.record.clone())).collect(),
        }
    }

    /// As [`RemoteTier::acquire`](super::RemoteTier::acquire).
    pub fn acquire(&mut self, now: u64, leases: &[LeaseRequest], tags: &[StampRequest]) -> Acquired {
        self.expire(now);
        Acquired {
            leases: leases.iter().map(|request| self.lease(now, request)).collect(),
            stamps: tags.iter().map(|request| self.capture(now, request)).collect(),
            bumps: Some(self.bumps),
        }
    }

    fn lease(&mut self, now: u64, request: &LeaseRequest) -> LeaseAnswer {
        if request.claim == Claim::Write {
            self.values.remove(&request.key);
        } else {
            if request.claim == Claim::IfAbsent && self.values.contains_key(&request.key) {
                return LeaseAnswer::Present;
            }
            if let Some(lease) = self.leases.get(&request.key).filter(|lease| lease.token != request.token) {
                return LeaseAnswer::Busy(Duration::from_millis(lease.expires_at - now));
            }
        }
        let lease = Lease { token: request.token, expires_at: after(now, request.lease) };
        self.leases.insert(request.key.clone(), lease);
        LeaseAnswer::Granted
    }

    fn capture(&mut self, now: u64, request: &StampRequest) -> StampRecord {
        let fresh = StampRecord { stamps: request.proposed, bumped: Some(self.bumps), rules: Vec::new() };
        self.records
            .entry(request.tag)
            .or_insert_with(|| Record { record: fresh, expires_at: after(now, request.keep) })
            .record
            .clone()
    }

    /// As [`RemoteTier::fill`](super::RemoteTier::fill).
    pub fn fill(&mut self, now: u64, fills: &[Fill]) -> Vec<Filled> {
        self.expire(now);
        fills.iter().map(|fill| self.fill_one(now, fill)).collect()
    }

    fn fill_one(&mut self, now: u64, fill: &Fill) -> Filled {
        let leased = self.leases.get(&fill.key).is_some_and(|lease| lease.token == fill.token);
        if !leased {
            if fill.refused == Refused::Delete {
                self.values.remove(&fill.key);
                self.leases.remove(&fill.key);
            }
            return Filled::Rejected;
        }
        self.leases.remove(&fill.key);
        let held = self.holds.get(&fill.key).is_some_and(|held| fill.version.is_none_or(|v| v < held.minimum));
        let newer =
            self.values.get(&fill.key).is_some_and(|stored| stored.version > fill.version && fill.version.is_some());
        if held || newer {
            return Filled::Rejected;
        }
        for tag in &fill.tags {
            if let Some(record) = self.records.get_mut(tag) {
                record.expires_at = record.expires_at.max(after(now, fill.keep));
            }
        }
        let stored = Stored {
            envelope: fill.envelope.clone(),
            version: fill.version,
            soft: false,
            written_at: now,
            expires_at: after(now, fill.ttl),
        };
        self.values.insert(fill.key.clone(), stored);
        Filled::Stored
    }

    /// As [`RemoteTier::release`](super::RemoteTier::release).
    pub fn release(&mut self, now: u64, leases: &[(RemoteKey, LeaseToken)]) {
        self.expire(now);
        for (key, token) in leases {
            if self.leases.get(key).is_some_and(|lease| lease.token == *token) {
                self.leases.remove(key);
            }
        }
    }

    /// As [`RemoteTier::invalidate`](super::RemoteTier::invalidate).
    pub fn invalidate(&mut self, now: u64, invalidations: &[KeyInvalidation]) {
        self.expire(now);
        for invalidation in invalidations {
            self.leases.remove(&invalidation.key);
            match invalidation.severity {
                Severity::Hard => drop(self.values.remove(&invalidation.key)),
                Severity::Soft => {
                    if let Some(stored) = self.values.get_mut(&invalidation.key) {
                        stored.soft = true;
                    }
                }
            }
            if let Some(Hold { minimum, period }) = invalidation.hold {
                let before = self.holds.get(&invalidation.key).map_or(0, |held| held.minimum);
                let held = Held { minimum: minimum.max(before), expires_at: after(now, period) };
                self.holds.insert(invalidation.key.clone(), held);
            }
        }
    }

    /// As [`RemoteTier::bump`](super::RemoteTier::bump).
    pub fn bump(&mut self, now: u64, bumps: &[Bump]) {
        self.expire(now);
        for bump in bumps {
            self.bump_one(bump);
        }
    }

    fn bump_one(&mut self, bump: &Bump) {
        self.bumps += 1;
        match bump.severity {
            Severity::Hard => drop(self.records.remove(&bump.tag)),
            Severity::Soft => {
                if let Some(kept) = self.records.get_mut(&bump.tag) {
                    kept.record.stamps.soft = bump.soft;
                    kept.record.bumped = Some(self.bumps);
                }
            }
        }
    }

    /// As [`RemoteTier::add_rule`](super::RemoteTier::add_rule).
    pub fn add_rule(&mut self, now: u64, bump: &Bump, others: &[TagId]) {
        self.expire(now);
        // Without a record there is no entry that carries the tag and counts.
        let Some(kept) = self.records.get_mut(&bump.tag) else { return };
        if kept.record.rules.len() == MAX_RULES {
            return self.bump_one(&Bump { severity: Severity::Hard, ..*bump });
        }
        self.bumps += 1;
        kept.record.rules.push(Rule { number: self.bumps, others: others.to_vec() });
    }

    /// How many values, leases, holds and tag records there are: for tests that look for leaks.
    pub fn sizes(&mut self, now: u64) -> [usize; 4] {
        self.expire(now);
        [self.values.len(), self.leases.len(), self.holds.len(), self.records.len()]
    }

    /// Loses one value, as eviction does.
    pub fn evict_value(&mut self, key: &RemoteKey) {
        self.values.remove(key);
    }

    /// Loses one tag record, as eviction does.
    pub fn evict_record(&mut self, tag: TagId) {
        self.records.remove(&tag);
    }

    fn expire(&mut self, now: u64) {
        self.values.retain(|_, stored| stored.expires_at > now);
        self.leases.retain(|_, lease| lease.expires_at > now);
        self.holds.retain(|_, held| held.expires_at > now);
        self.records.retain(|_, record| record.expires_at > now);
    }
}

fn after(now: u64, period: Duration) -> u64 {
    now.saturating_add(u64::try_from(period.as_millis()).unwrap_or(u64::MAX))
}
