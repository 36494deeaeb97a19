//! The remote tier: every call is one round trip, or none while the breaker is open.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use redis::{Cmd, Pipeline, RedisResult, Value};

use super::breaker::Breaker;
use super::line::Failure;
use super::names::{Names, Part};
use super::{Shared, layout, scripts};
use crate::clock::Clock;
use crate::remote::{
    Acquired, Bump, Claim, Fill, Filled, KeyInvalidation, LeaseAnswer, LeaseRequest, LeaseToken, MAX_RULES, Refused,
    RemoteError, RemoteKey, RemoteRead, RemoteTier, StampRequest,
};
use crate::stamp::Severity;
use crate::tag::TagId;

/// Keys or tags in one call of a script: a server does nothing else meanwhile, about a millisecond for so many.
const BATCH: usize = 512;
/// The script's answer for a lease that was granted.
const GRANTED: i64 = -2;
/// The script's answer where a value is present.
const PRESENT: i64 = -1;

/// Redis or Valkey as [`RemoteTier`]; see the [module](super) for its promises and layouts.
///
/// Clones share one connection and one breaker. A call ends within the command timeout. After five calls
/// in a row without an answer the tier is [`RemoteError::Suspended`] for 100 ms, then 200 ms and so on up to 5 s;
/// one call at the end of each pause, or the first after a new connection, finds out whether it is back.
#[derive(Clone)]
pub struct RedisTier {
    shared: Arc<Shared>,
    guard: Arc<Guard>,
}

struct Guard {
    breaker: Mutex<Breaker>,
    clock: Clock,
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisTier").field(&self.shared.address).finish()
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(reason) => Self::Unreachable(reason),
            Failure::TimedOut(limit) => Self::TimedOut(limit),
            Failure::Refused(said) => Self::Refused(said),
        }
    }
}

impl RedisTier {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, guard: Arc::new(Guard { breaker: Mutex::default(), clock: Clock::precise() }) }
    }

    /// As [`Redis::remove_values`](super::Redis::remove_values).
    pub(super) async fn remove_values(&self, is_wanted: impl Fn(&[u8]) -> bool + Send) -> Result<u64, RemoteError> {
        let Shared { names, link, is_cluster, .. } = &*self.shared;
        if *is_cluster {
            return Err(RemoteError::Refused("the keys of a cluster are not gone through".to_owned()));
        }
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let mut scan = redis::pipe();
            scan.cmd("SCAN").arg(cursor).arg("MATCH").arg(names.values_pattern()).arg("COUNT").arg(SCANNED);
            let found = link.ask(&scan).await?.into_iter().next().ok_or_else(no_answer)?;
            let (next, found): (u64, Vec<Vec<u8>>) = answered(found)?;
            let doomed: Vec<_> = found.iter().filter(|name| names.key_of(name).is_some_and(&is_wanted)).collect();
            if !doomed.is_empty() {
                let mut unlink = redis::pipe();
                unlink.cmd("UNLINK").arg(doomed);
                let gone = link.ask(&unlink).await?.into_iter().next().ok_or_else(no_answer)?;
                removed += answered::<u64>(gone)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }

    fn names(&self) -> &Names {
        &self.shared.names
    }

    /// Whether the keys of a call may lie on different servers: then there is no order among bumps, and each key
    /// has its own call.
    fn is_cluster(&self) -> bool {
        self.shared.is_cluster
    }

    /// Items of one script call.
    fn batch(&self) -> usize {
        if self.is_cluster() { 1 } else { BATCH }
    }

    /// A script call whose first key is the counter of bumps, unless this is a cluster.
    fn counted(&self, script: &redis::Script, keys: usize) -> Cmd {
        if self.is_cluster() {
            return scripts::call(script, keys);
        }
        let mut call = scripts::call(script, keys + 1);
        call.arg(self.names().bumps());
        call
    }

    async fn ask(&self, commands: Pipeline) -> Result<Vec<RedisResult<Value>>, RemoteError> {
        let link = &self.shared.link;
        let permit = self.breaker().admit(self.guard.clock.now(), link.connections());
        let Some(permit) = permit else { return Err(RemoteError::Suspended) };
        let answers = link.ask(&commands).await;
        match &answers {
            // A refusal is an answer: the server is there.
            Ok(_) | Err(Failure::Refused(_)) => self.breaker().succeeded(),
            Err(_) => self.breaker().failed(permit, self.guard.clock.now(), link.connections()),
        }
        Ok(answers?)
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.guard.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and takes the first refusal for all.
    async fn demand(&self, commands: Pipeline) -> Result<Vec<Value>, RemoteError> {
        let answers = self.ask(commands).await?;
        answers.into_iter().map(|answer| answer.map_err(|error| Failure::from(error).into())).collect()
    }

    async fn read_cluster(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError> {
        let mut commands = Pipeline::with_capacity(keys.len() + tags.len());
        for key in keys {
            let mut read = scripts::call(&scripts::READ, 1);
            read.arg(self.names().entry(Part::Value, key));
            commands.add_command(read);
        }
        for tag in tags {
            commands.cmd("GET").arg(self.names().tag(*tag));
        }
        let mut answers = self.ask(commands).await?.into_iter();
        let mut read = RemoteRead::default();
        for answer in answers.by_ref().take(keys.len()) {
            let Value::Array(mut parts) = refused(answer)? else { return Err(strange()) };
            let (Some(value), Some(now)) = (parts.pop(), parts.pop().as_ref().and_then(layout::time)) else {
                return Err(strange());
            };
            read.values.push(layout::value(value, now));
        }
        for answer in answers {
            // Something else may stand at the key.
            let record = answer.or_else(|error| if is_foreign(&error) { Ok(Value::Nil) } else { Err(error) });
            read.stamps.push(layout::record(&refused(record)?));
        }
        Ok(read)
    }

    fn fill_call(&self, fill: &Fill) -> Cmd {
        let tags = if self.is_cluster() { &[][..] } else { &fill.tags };
        let mut call = scripts::call(&scripts::FILL, 3 + tags.len());
        for part in [Part::Value, Part::Lease, Part::Hold] {
            call.arg(self.names().entry(part, &fill.key));
        }
        tags.iter().for_each(|tag| _ = call.arg(self.names().tag(*tag)));
        call.arg(&fill.token.0.to_be_bytes()[..])
            .arg(layout::millis(fill.ttl))
            .arg(&layout::version(fill.version)[..])
            .arg(match fill.refused {
                Refused::LeaveAlone => "L",
                Refused::Delete => "D",
            })
            .arg(layout::millis(fill.keep))
            .arg(fill.envelope.as_slice());
        call
    }
}

/// An answer that no version of our scripts gives.
fn strange() -> RemoteError {
    RemoteError::Refused("an answer of another shape than expected".to_owned())
}

fn refused(answer: RedisResult<Value>) -> Result<Value, RemoteError> {
    answer.map_err(|error| Failure::from(error).into())
}

/// Whether something else than a string stands at a key.
fn is_foreign(error: &redis::RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

#[async_trait]
impl RemoteTier for RedisTier {
    async fn read(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError> {
        if keys.is_empty() && tags.is_empty() {
            return Ok(RemoteRead::default());
        }
        if self.is_cluster() {
            return self.read_cluster(keys, tags).await;
        }
        let mut many = Cmd::with_capacity(1 + keys.len() + tags.len(), 64 * (keys.len() + tags.len()));
        many.arg("MGET");
        keys.iter().for_each(|key| _ = many.arg(self.names().entry(Part::Value, key)));
        tags.iter().for_each(|tag| _ = many.arg(self.names().tag(*tag)));
        let mut commands = Pipeline::with_capacity(2);
        commands.cmd("TIME").add_command(many);
        let mut answers = self.demand(commands).await?;
        let (Some(Value::Array(found)), Some(now)) = (answers.pop(), answers.pop().as_ref().and_then(layout::time))
        else {
            return Err(strange());
        };
        if found.len() != keys.len() + tags.len() {
            return Err(strange());
        }
        let mut found = found.into_iter();
        let values = found.by_ref().take(keys.len()).map(|value| layout::value(value, now)).collect();
        Ok(RemoteRead { values, stamps: found.map(|record| layout::record(&record)).collect() })
    }

    async fn acquire(&self, leases: &[LeaseRequest], tags: &[StampRequest]) -> Result<Acquired, RemoteError> {
        let mut commands = Pipeline::new();
        // The counter is read before anything else is, so that a bump in between is seen as later.
        let first = if self.is_cluster() { 0 } else { leases.len().min(BATCH) };
        let mut add = |leases: &[LeaseRequest], tags: &[StampRequest]| {
            let mut call = self.counted(&scripts::ACQUIRE, 2 * leases.len() + tags.len());
            for lease in leases {
                call.arg(self.names().entry(Part::Value, &lease.key)).arg(self.names().entry(Part::Lease, &lease.key));
            }
            tags.iter().for_each(|request| _ = call.arg(self.names().tag(request.tag)));
            call.arg(u8::from(!self.is_cluster())).arg(leases.len());
            for lease in leases {
                call.arg(&lease.token.0.to_be_bytes()[..]).arg(layout::millis(lease.lease)).arg(match lease.claim {
                    Claim::IfAbsent => "A",
                    Claim::Refresh => "R",
                    Claim::Write => "W",
                });
            }
            for request in tags {
                call.arg(&layout::stamps(request.proposed)[..]).arg(layout::millis(request.keep));
            }
            commands.add_command(call);
        };
        // The first call takes both, so that a single load is one call.
        let (with_leases, more_leases) = leases.split_at(first);
        let (with_tags, more_tags) = tags.split_at(if self.is_cluster() { 0 } else { tags.len().min(BATCH) });
        if !self.is_cluster() {
            add(with_leases, with_tags);
        }
        more_leases.chunks(self.batch()).for_each(|leases| add(leases, &[]));
        more_tags.chunks(self.batch()).for_each(|tags| add(&[], tags));
        let mut acquired = Acquired::default();
        for answer in self.demand(commands).await? {
            let (answers, records, bumps): (Vec<i64>, Vec<Value>, u64) =
                redis::from_redis_value(answer).map_err(|_| strange())?;
            acquired.leases.extend(answers.into_iter().map(|answer| match answer {
                GRANTED => LeaseAnswer::Granted,
                PRESENT => LeaseAnswer::Present,
                millis => LeaseAnswer::Busy(std::time::Duration::from_millis(millis.unsigned_abs())),
            }));
            for record in records {
                acquired.stamps.push(layout::record(&record).ok_or_else(strange)?);
            }
            if !self.is_cluster() {
                acquired.bumps.get_or_insert(bumps);
            }
        }
        if acquired.leases.len() != leases.len() || acquired.stamps.len() != tags.len() {
            return Err(strange());
        }
        Ok(acquired)
    }

    async fn fill(&self, fills: &[Fill]) -> Result<Vec<Filled>, RemoteError> {
        let mut commands = Pipeline::with_capacity(fills.len());
        fills.iter().for_each(|fill| _ = commands.add_command(self.fill_call(fill)));
        if self.is_cluster() {
            for (fill, tag) in fills.iter().flat_map(|fill| fill.tags.iter().map(move |tag| (fill, tag))) {
                let mut call = scripts::call(&scripts::KEEP, 1);
                call.arg(self.names().tag(*tag)).arg(layout::millis(fill.keep));
                commands.add_command(call);
            }
        }
        let answers = self.demand(commands).await?;
        Ok(answers
            .into_iter()
            .take(fills.len())
            .map(|answer| if answer == Value::Int(1) { Filled::Stored } else { Filled::Rejected })
            .collect())
    }

    async fn release(&self, leases: &[(RemoteKey, LeaseToken)]) -> Result<(), RemoteError> {
        let mut commands = Pipeline::new();
        for leases in leases.chunks(self.batch()) {
            let mut call = scripts::call(&scripts::RELEASE, leases.len());
            leases.iter().for_each(|(key, _)| _ = call.arg(self.names().entry(Part::Lease, key)));
            leases.iter().for_each(|(_, token)| _ = call.arg(&token.0.to_be_bytes()[..]));
            commands.add_command(call);
        }
        self.demand(commands).await.map(drop)
    }

    async fn invalidate(&self, invalidations: &[KeyInvalidation]) -> Result<(), RemoteError> {
        let mut commands = Pipeline::new();
        for invalidations in invalidations.chunks(self.batch()) {
            let mut call = scripts::call(&scripts::INVALIDATE, 3 * invalidations.len());
            for invalidation in invalidations {
                for part in [Part::Value, Part::Lease, Part::Hold] {
                    call.arg(self.names().entry(part, &invalidation.key));
                }
            }
            for invalidation in invalidations {
                call.arg(severity(invalidation.severity));
                match invalidation.hold {
                    Some(hold) => call.arg(&hold.minimum.to_be_bytes()[..]).arg(layout::millis(hold.period)),
                    None => call.arg("").arg(""),
                };
            }
            commands.add_command(call);
        }
        self.demand(commands).await.map(drop)
    }

    async fn bump(&self, bumps: &[Bump]) -> Result<(), RemoteError> {
        let mut commands = Pipeline::new();
        for bumps in bumps.chunks(self.batch()) {
            let mut call = self.counted(&scripts::BUMP, bumps.len());
            bumps.iter().for_each(|bump| _ = call.arg(self.names().tag(bump.tag)));
            call.arg(u8::from(!self.is_cluster()));
            for bump in bumps {
                call.arg(severity(bump.severity)).arg(&bump.soft.to_be_bytes()[..]);
            }
            commands.add_command(call);
        }
        self.demand(commands).await.map(drop)
    }

    async fn add_rule(&self, bump: Bump, others: &[TagId]) -> Result<(), RemoteError> {
        if self.is_cluster() {
            return self.bump(&[Bump { severity: Severity::Hard, ..bump }]).await;
        }
        let mut call = self.counted(&scripts::ADD_RULE, 1);
        call.arg(self.names().tag(bump.tag)).arg(MAX_RULES).arg(layout::others(others));
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(call);
        self.demand(commands).await.map(drop)
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Hard => "H",
        Severity::Soft => "S",
    }
}

/// Keys that the server looks at in one go.
const SCANNED: u32 = 1000;

fn no_answer() -> RemoteError {
    RemoteError::Unreachable("a command has no answer".to_owned())
}

fn answered<T: redis::FromRedisValue>(answer: RedisResult<Value>) -> Result<T, RemoteError> {
    let value = answer.map_err(|error| RemoteError::from(Failure::from(error)))?;
    redis::from_redis_value(value).map_err(|error| RemoteError::Refused(error.to_string()))
}
