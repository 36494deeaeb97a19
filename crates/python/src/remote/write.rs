//! Calls that change values.

use std::time::Duration;

use redis::{Cmd, Value};

use super::pool::Repeat;
use super::{Lease, Remote, RemoteError, Stamp, decimal, random, scripts, strange, tagged};

/// The longest time to live that is sent, in milliseconds: a hundred years. The server refuses far longer ones.
pub(super) const LONGEST_MS: u64 = 100 * 365 * 24 * 3600 * 1000;
/// The least time that a stamp is kept, in milliseconds; otherwise twice as long as the value it was taken for.
const STAMP_MS: u64 = 3600 * 1000;
/// Tags of one value.
const MOST_TAGS: usize = 1000;
/// Attempts at a change that others may come before.
const ATTEMPTS: usize = 100;

/// How long a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Until it is removed.
    Forever,
    /// So many milliseconds, a hundred years at most; 0 removes what is there.
    Millis(u64),
}

/// When a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In any case.
    Always,
    /// If there is none.
    IfAbsent,
    /// If there is one.
    IfPresent,
}

/// A tag of a value that is stored.
#[derive(Clone, Copy, Debug)]
pub struct Stamped<'a> {
    /// The tag's name.
    pub tag: &'a [u8],
    /// The stamp that it must still have, from [`Remote::stamps`] before the value was computed; `None` for the one
    /// that it has.
    pub stamp: Option<Stamp>,
}

/// A value that is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Where.
    pub key: &'a [u8],
    /// What: an envelope or a canonical whole number.
    pub bytes: &'a [u8],
    /// For how long.
    pub ttl: Ttl,
    /// Whether what is there matters.
    pub when: When,
    /// Of a value that was computed after a miss: what the miss gave. `None` for one that is right by itself.
    pub lease: Option<Lease>,
    /// By which it can be invalidated.
    pub tags: &'a [Stamped<'a>],
}

impl Remote {
    /// Stores a value and returns whether it did: its condition held, its lease had not ended, and no stamp had changed.
    ///
    /// # Errors
    /// [`RemoteError::Tags`], and as [`get`](Self::get).
    pub fn set(&self, write: &Write<'_>) -> Result<bool, RemoteError> {
        Ok(self.set_many(std::slice::from_ref(write))?[0])
    }

    /// Stores values by one round trip; for each whether it was.
    ///
    /// # Errors
    /// As [`set`](Self::set). The values are stored one by one: some may have been.
    pub fn set_many(&self, writes: &[Write<'_>]) -> Result<Vec<bool>, RemoteError> {
        self.alive()?;
        let mut requests = Vec::with_capacity(writes.len());
        // Places of writes that are not sent.
        let mut refused = Vec::new();
        for write in writes {
            if write.tags.len() > MOST_TAGS {
                return Err(RemoteError::Tags);
            }
            let names = self.names_of(write.key);
            let mut call = scripts::call(&scripts::SET, &names);
            call.arg(write.bytes);
            let (ttl, keep) = match write.ttl {
                Ttl::Forever => (String::new(), 0),
                Ttl::Millis(millis) => {
                    (millis.min(LONGEST_MS).to_string(), (2 * millis.min(LONGEST_MS / 2)).max(STAMP_MS))
                }
            };
            call.arg(ttl).arg(match write.when {
                When::Always => "",
                When::IfAbsent => "NX",
                When::IfPresent => "XX",
            });
            match write.lease {
                Some(Lease { token, .. }) => _ = call.arg(&token),
                None => _ = call.arg(""),
            }
            call.arg(self.prefix()).arg(keep).arg(self.names.any_tag());
            let any_tag = write.lease.filter(|_| write.tags.iter().any(|tag| tag.stamp.is_none()));
            match any_tag.filter(|_| !self.servers.is_cluster()) {
                Some(Lease { any_tag, .. }) => _ = call.arg(&any_tag),
                None => _ = call.arg(""),
            }
            match &write.lease {
                Some(Lease { replaces: Some(digest), .. }) => _ = call.arg(digest),
                _ => _ = call.arg(""),
            }
            let mut missing = Vec::new();
            if self.servers.is_cluster() {
                let unknown: Vec<&[u8]> =
                    write.tags.iter().filter(|tag| tag.stamp.is_none()).map(|tag| tag.tag).collect();
                missing = self.stamps(&unknown, write.ttl)?;
                if let Some(lease) = any_tag
                    && self.any_tag()? != lease.any_tag
                {
                    refused.push(requests.len());
                    continue;
                }
                if write.when != When::Always {
                    // What does not count any more is not in the way.
                    self.get(write.key)?;
                }
            }
            let mut missing = missing.into_iter();
            for tag in write.tags {
                checked(tag.tag)?;
                call.arg(tag.tag);
                match tag.stamp.or_else(|| missing.next()) {
                    Some(stamp) => call.arg(&stamp).arg(""),
                    None => call.arg("").arg(&random()?),
                };
            }
            requests.push((names[0].clone(), call));
        }
        let is_plain = |write: &Write<'_>| write.when == When::Always;
        let repeat = if writes.iter().all(is_plain) { Repeat::Safe } else { Repeat::Unsafe };
        let mut stored =
            self.servers.ask(requests, repeat)?.into_iter().map(flag).collect::<Result<Vec<bool>, RemoteError>>()?;
        refused.into_iter().rev().for_each(|place| stored.insert(place, false));
        Ok(stored)
    }

    /// The stamp of all tags together, and its name.
    pub(super) fn stamp_of_any(&self) -> Result<(Vec<u8>, Cmd), RemoteError> {
        let name = self.names.any_tag();
        let mut call = scripts::call(&scripts::ANY_TAG, &[&name]);
        call.arg(&random()?);
        Ok((name, call))
    }

    pub(super) fn any_tag(&self) -> Result<Stamp, RemoteError> {
        let (name, call) = self.stamp_of_any()?;
        stamps_of(self.one(name, |_| call, Repeat::Safe)?)?.pop().ok_or_else(strange)
    }

    /// Removes values; for each whether it was there. One round trip.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn delete_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<bool>, RemoteError> {
        self.alive()?;
        let mut requests = Vec::new();
        for batch in keys.chunks(self.batch()) {
            let names: Vec<Vec<u8>> = batch.iter().flat_map(|key| self.names_of(key.as_ref())).collect();
            let mut call = scripts::call(&scripts::DELETE, &names);
            call.arg(self.prefix()).arg(names.len() / batch.len());
            requests.push((names[0].clone(), call));
        }
        let mut deleted = Vec::with_capacity(keys.len());
        // Sent twice it may say of what was there that it was not, which is better than that it stays.
        for answer in self.servers.ask(requests, Repeat::Safe)? {
            let Value::Array(flags) = answer else { return Err(strange()) };
            for answer in flags {
                deleted.push(flag(answer)?);
            }
        }
        if deleted.len() == keys.len() { Ok(deleted) } else { Err(strange()) }
    }

    /// Adds a canonical whole number of any length to the one at a key, which keeps its time, and returns the sum.
    ///
    /// # Errors
    /// [`RemoteError::Absent`], [`RemoteError::NotANumber`], [`RemoteError::Contended`], and as [`get`](Self::get).
    pub fn incr(&self, key: &[u8], delta: &[u8]) -> Result<Vec<u8>, RemoteError> {
        if !decimal::is_canonical(delta) {
            return Err(RemoteError::NotANumber);
        }
        match self.whole(key, delta)? {
            Whole::Sum(sum) => Ok(sum),
            Whole::None => Err(RemoteError::Absent),
            Whole::Stored(_) => self.modify(key, |number| decimal::sum(number, delta))?.ok_or(RemoteError::NotANumber),
        }
    }

    /// Replaces a value by what `change` makes of it, and returns that. The value keeps its time and its tags; `change`
    /// is called again if others come before. `None` of it leaves the value as it is.
    ///
    /// # Errors
    /// [`RemoteError::Absent`], [`RemoteError::Contended`], and as [`get`](Self::get).
    pub fn modify(
        &self,
        key: &[u8],
        mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, RemoteError> {
        for _ in 0..ATTEMPTS {
            let Whole::Stored(whole) = self.whole(key, b"")? else { return Err(RemoteError::Absent) };
            let start = self.payload(&whole)?.ok_or(RemoteError::Absent)?;
            let Some(changed) = change(&whole[start..]) else { return Ok(None) };
            let names = self.names_of(key);
            let mut call = scripts::call(&scripts::REPLACE, &names);
            call.arg(&whole).arg([&whole[..start], &changed].concat());
            if flag(self.one(names[0].clone(), |_| call, Repeat::Unsafe)?)? {
                return Ok(Some(changed));
            }
        }
        Err(RemoteError::Contended)
    }

    /// Moves a value to another key with its time and its tags, changed by `seal`, which is given its bytes: signatures
    /// hold for one key. Whether there was one; what was at the other key is replaced.
    ///
    /// # Errors
    /// [`RemoteError::Contended`], and as [`get`](Self::get).
    pub fn move_entry(
        &self,
        from: &[u8],
        to: &[u8],
        mut seal: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<bool, RemoteError> {
        if from == to {
            return Ok(self.ttl(from)?.is_some());
        }
        for _ in 0..ATTEMPTS {
            let Whole::Stored(whole) = self.whole(from, b"")? else { return Ok(false) };
            let Some(start) = self.payload(&whole)? else { return Ok(false) };
            let moved = [&whole[..start], &seal(&whole[start..])].concat();
            if self.servers.is_cluster() {
                self.move_between_nodes(from, to, &moved)?;
                return Ok(true);
            }
            let names = [from, to].map(|key| self.names_of(key)).concat();
            let mut call = scripts::call(&scripts::MOVE, &names);
            call.arg(&whole).arg(&moved);
            if flag(self.one(names[0].clone(), |_| call, Repeat::Unsafe)?)? {
                return Ok(true);
            }
        }
        Err(RemoteError::Contended)
    }

    /// In two steps: who looks in between finds both.
    fn move_between_nodes(&self, from: &[u8], to: &[u8], moved: &[u8]) -> Result<(), RemoteError> {
        let ttl = match self.ttl(from)?.flatten() {
            Some(left) => Ttl::Millis(millis(left)),
            None => Ttl::Forever,
        };
        let tags = tagged::split(moved).ok_or_else(strange)?;
        let stamped: Vec<Stamped<'_>> =
            tags.0.iter().map(|(tag, stamp)| Stamped { tag, stamp: Some(*stamp) }).collect();
        let bytes = &moved[tags.1..];
        self.set(&Write { key: to, bytes, ttl, when: When::Always, lease: None, tags: &stamped })?;
        self.delete_many(&[from]).map(drop)
    }

    /// The stamps of tags, to be taken before a value is computed that will carry them and live for `ttl`.
    ///
    /// # Errors
    /// [`RemoteError::Tags`], and as [`get`](Self::get).
    pub fn stamps(&self, tags: &[&[u8]], ttl: Ttl) -> Result<Vec<Stamp>, RemoteError> {
        self.alive()?;
        let keep = match ttl {
            Ttl::Forever => 0,
            Ttl::Millis(millis) => (2 * millis.min(LONGEST_MS / 2)).max(STAMP_MS),
        };
        let mut requests = Vec::new();
        for batch in tags.chunks(self.batch()) {
            batch.iter().try_for_each(|tag| checked(tag))?;
            let names: Vec<Vec<u8>> = batch.iter().map(|tag| self.names.stamp(tag)).collect();
            let mut call = scripts::call(&scripts::STAMPS, &names);
            call.arg(keep);
            for _ in batch {
                call.arg(&random()?);
            }
            requests.push((names[0].clone(), call));
        }
        let mut stamps = Vec::with_capacity(tags.len());
        for answer in self.servers.ask(requests, Repeat::Safe)? {
            stamps.extend(stamps_of(answer)?);
        }
        if stamps.len() == tags.len() { Ok(stamps) } else { Err(strange()) }
    }

    /// Invalidates every value that carries one of the tags, and those that are being computed with them. One round
    /// trip; the cost does not depend on how many values there are.
    ///
    /// # Errors
    /// [`RemoteError::Tags`], and as [`get`](Self::get).
    pub fn bump(&self, tags: &[&[u8]]) -> Result<(), RemoteError> {
        self.alive()?;
        if tags.is_empty() {
            return Ok(());
        }
        tags.iter().try_for_each(|tag| checked(tag))?;
        // That of all first: who is given a new stamp of one of them, and then looks at it, finds it gone.
        let names = std::iter::once(self.names.any_tag()).chain(tags.iter().map(|tag| self.names.stamp(tag)));
        let requests = names.map(|name| {
            let unlink = redis::cmd("UNLINK").arg(&name).clone();
            (name, unlink)
        });
        if self.servers.is_cluster() {
            // One after the other: other nodes would not keep the order.
            for request in requests {
                self.servers.ask(vec![request], Repeat::Safe)?;
            }
            return Ok(());
        }
        self.servers.ask(requests.collect(), Repeat::Safe).map(drop)
    }

    fn whole(&self, key: &[u8], delta: &[u8]) -> Result<Whole, RemoteError> {
        let names = self.names_of(key);
        let mut call = scripts::call(&scripts::INCR, &names);
        call.arg(self.prefix()).arg(delta);
        let repeat = if delta.is_empty() { Repeat::Safe } else { Repeat::Unsafe };
        let Value::Array(parts) = self.one(names[0].clone(), |_| call, repeat)? else { return Err(strange()) };
        let mut parts = parts.into_iter().filter_map(|part| match part {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        Ok(match (parts.next(), parts.next()) {
            (Some(sum), None) => Whole::Sum(sum),
            (_, Some(stored)) => Whole::Stored(stored),
            (None, None) => Whole::None,
        })
    }
}

/// What is stored, or what became of it.
enum Whole {
    None,
    Sum(Vec<u8>),
    Stored(Vec<u8>),
}

/// A time in milliseconds as the server takes it: at least 1, at most a hundred years.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_MS)
}

/// The stamps of an answer.
pub(super) fn stamps_of(answer: Value) -> Result<Vec<Stamp>, RemoteError> {
    let Value::Array(found) = answer else { return Err(strange()) };
    let stamps = found.into_iter().map(|stamp| match stamp {
        Value::BulkString(bytes) => bytes.as_slice().try_into().map_err(|_| strange()),
        _ => Err(strange()),
    });
    stamps.collect()
}

pub(super) fn flag(answer: Value) -> Result<bool, RemoteError> {
    match answer {
        Value::Int(flag) => Ok(flag == 1),
        _ => Err(strange()),
    }
}

fn checked(tag: &[u8]) -> Result<(), RemoteError> {
    if tag.len() > usize::from(u16::MAX) { Err(RemoteError::Tags) } else { Ok(()) }
}
