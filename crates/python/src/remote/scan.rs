//! Keys by pattern: walks all keys of the server in steps, without holding it up.

use std::collections::VecDeque;

use redis::Value;
use tierkeep_cache::redis::Host;

use super::pool::Repeat;
use super::{BATCH, Remote, RemoteError, strange};

/// Keys that the server looks at in one step, unless told.
pub(super) const STEP: usize = 1000;

/// Names that a pattern meets; made by [`Remote::scan`]. A key may be met twice, and one that comes or goes meanwhile
/// may be met or not.
pub struct Scan<'a> {
    names: Names<'a>,
}

impl Iterator for Scan<'_> {
    type Item = Result<Vec<u8>, RemoteError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name = match self.names.next()? {
                Ok(name) => name,
                Err(error) => return Some(Err(error)),
            };
            if let Some(key) = self.names.remote.names.key_of(&name) {
                return Some(Ok(key.to_vec()));
            }
        }
    }
}

/// Names as they are in the servers.
struct Names<'a> {
    remote: &'a Remote,
    pattern: Vec<u8>,
    step: usize,
    /// Servers that were not asked yet; none before the first step.
    servers: Option<VecDeque<Option<Host>>>,
    /// The server that is being walked, and where it is.
    current: Option<(Option<Host>, Vec<u8>)>,
    found: VecDeque<Vec<u8>>,
}

impl Names<'_> {
    fn next(&mut self) -> Option<Result<Vec<u8>, RemoteError>> {
        loop {
            if let Some(name) = self.found.pop_front() {
                return Some(Ok(name));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    // One error ends the walk.
                    self.servers = Some(VecDeque::new());
                    self.current = None;
                    return Some(Err(error));
                }
            }
        }
    }

    fn advance(&mut self) -> Result<bool, RemoteError> {
        self.remote.alive()?;
        let (host, cursor) = match self.current.take() {
            Some(current) => current,
            None => {
                if self.servers.is_none() {
                    self.servers = Some(self.remote.servers.primaries()?.into());
                }
                match self.servers.as_mut().and_then(VecDeque::pop_front) {
                    Some(host) => (host, b"0".to_vec()),
                    None => return Ok(false),
                }
            }
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(self.step);
        let answer = self.remote.servers.ask_one(host.as_ref(), &[scan], Repeat::Safe)?.pop();
        let Some(Value::Array(parts)) = answer else { return Err(strange()) };
        let Ok([Value::BulkString(cursor), Value::Array(names)]) = <[Value; 2]>::try_from(parts) else {
            return Err(strange());
        };
        self.found.extend(names.into_iter().filter_map(|name| match name {
            Value::BulkString(name) => Some(name),
            _ => None,
        }));
        if cursor != b"0" {
            self.current = Some((host, cursor));
        }
        Ok(true)
    }
}

impl Remote {
    /// The keys that a pattern meets, as [`glob`](crate::glob) reads it; `step` keys of the server are looked at for
    /// each request, 1000 unless told.
    ///
    /// A value whose tag was invalidated may still be met. Costs a look at every key of the database.
    pub fn scan(&self, pattern: &[u8], step: Option<usize>) -> Scan<'_> {
        let (_, values) = self.names.patterns(pattern);
        Scan { names: self.walk(values, step) }
    }

    /// Removes all values whose key a pattern meets, and how many that were. Values that are being computed for such
    /// keys after a miss are not stored.
    ///
    /// Costs two looks at every key of the database, in steps, and does not hold the server up.
    ///
    /// # Errors
    /// As [`get`](Self::get); some may have been removed.
    pub fn delete_matching(&self, pattern: &[u8], step: Option<usize>) -> Result<u64, RemoteError> {
        let (leases, values) = self.names.patterns(pattern);
        for pattern in leases {
            self.unlink(pattern, step)?;
        }
        let mut walk = self.walk(values, step);
        let mut keys = Vec::new();
        let mut deleted = 0;
        loop {
            let name = walk.next().transpose()?;
            let is_over = name.is_none();
            keys.extend(name.as_deref().and_then(|name| self.names.key_of(name)).map(<[u8]>::to_vec));
            if keys.len() >= BATCH || is_over && !keys.is_empty() {
                deleted += self.delete_many(&keys)?.into_iter().filter(|was_there| *was_there).count() as u64;
                keys.clear();
            }
            if is_over {
                return Ok(deleted);
            }
        }
    }

    /// Removes all values of this namespace, and nothing else of the server.
    ///
    /// # Errors
    /// As [`delete_matching`](Self::delete_matching).
    pub fn clear(&self) -> Result<u64, RemoteError> {
        self.delete_matching(b"*", None)
    }

    fn unlink(&self, pattern: Vec<u8>, step: Option<usize>) -> Result<(), RemoteError> {
        let mut walk = self.walk(pattern, step);
        while let Some(name) = walk.next().transpose()? {
            self.one(name, |name| redis::cmd("UNLINK").arg(name).clone(), Repeat::Safe)?;
        }
        Ok(())
    }

    fn walk(&self, pattern: Vec<u8>, step: Option<usize>) -> Names<'_> {
        let step = step.unwrap_or(STEP).clamp(1, 100_000);
        Names { remote: self, pattern, step, servers: None, current: None, found: VecDeque::new() }
    }
}
