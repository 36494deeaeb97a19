//! What runs on the connections of a database file, counted by the shape of its text.
//!
//! SQLite tells each connection when a statement begins and ends. The counts of a connection are its thread's own, so nobody
//! waits for anybody; they are put together when somebody takes them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use shape::{shape, values};

mod shape;

/// Texts that are told apart on one connection, by what was counted of each; what more there are is counted as one number.
pub(crate) const MOST_TEXTS: usize = 1000;
/// Spellings whose text is known. Programs that write values into their statements have any number of them, so beyond this
/// the list begins anew.
const MOST_SPELLINGS: usize = 4000;
/// Statements that are under way at once on one connection and are timed; more were never seen.
const MOST_OPEN: usize = 64;

/// What was counted of one text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counted {
    /// The text without values.
    pub(crate) text: String,
    pub(crate) calls: u64,
    pub(crate) total_ms: f64,
    pub(crate) min_ms: f64,
    pub(crate) max_ms: f64,
    /// Sum of the squares of all times, of which the deviation is made.
    pub(crate) squares: f64,
}

/// What was counted since it was last taken.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_text: HashMap<u64, Counted>,
    /// Executions for whose text there was no room.
    dropped: u64,
}

impl Counts {
    pub(crate) fn of(texts: Vec<Counted>, dropped: u64) -> Self {
        Self { by_text: texts.into_iter().map(|counted| (digest(&counted.text), counted)).collect(), dropped }
    }

    /// The texts, in no order, and the executions for whose text there was no room.
    pub(crate) fn into_parts(self) -> (Vec<Counted>, u64) {
        (self.by_text.into_values().collect(), self.dropped)
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.dropped += other.dropped;
        for (digest, counted) in other.by_text {
            match self.by_text.get_mut(&digest) {
                Some(known) => known.add(&counted),
                None => {
                    self.by_text.insert(digest, counted);
                }
            }
        }
    }

    fn count(&mut self, digest: u64, ms: f64) {
        match self.by_text.get_mut(&digest) {
            Some(counted) => counted.add(&Counted::once(String::new(), ms)),
            None => self.dropped += 1,
        }
    }
}

impl Counted {
    fn once(text: String, ms: f64) -> Self {
        Self { text, calls: 1, total_ms: ms, min_ms: ms, max_ms: ms, squares: ms * ms }
    }

    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.total_ms += other.total_ms;
        self.min_ms = self.min_ms.min(other.min_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        self.squares += other.squares;
    }
}

/// A number that stays the same from version to version, by which texts are told apart.
pub(crate) fn digest(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// What a connection has counted, and by what.
#[derive(Debug, Default)]
struct Seen {
    counts: Counts,
    /// Values that stay in texts.
    kept: Arc<BTreeSet<String>>,
    /// Whether those are others than when spellings were learned.
    is_stale: bool,
}

/// The counts of all connections of a database.
#[derive(Debug, Clone, Default)]
pub(super) struct Counting {
    connections: Arc<Mutex<Vec<Arc<Mutex<Seen>>>>>,
}

impl Counting {
    /// Counts what runs on a connection from now on.
    pub(super) fn watch(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let kept = Arc::new(named_by_indexes(connection)?);
        let seen = Arc::new(Mutex::new(Seen { kept, ..Seen::default() }));
        lock(&self.connections).push(Arc::clone(&seen));
        let mut watch = Watch { seen, spellings: HashMap::new(), open: Vec::new() };
        let events = TraceEventCodes::SQLITE_TRACE_STMT | TraceEventCodes::SQLITE_TRACE_PROFILE;
        connection.trace_v2(events, Some(move |event: TraceEvent<'_>| watch.see(&event)))
    }

    /// Takes what was counted; it counts from zero then.
    pub(super) fn take(&self) -> Counts {
        let mut all = Counts::default();
        for seen in lock(&self.connections).iter() {
            all.add(std::mem::take(&mut lock(seen).counts));
        }
        all
    }

    /// Keeps the values that indexes name now, some of which may have been made since connections were opened.
    pub(super) fn keep(&self, named: BTreeSet<String>) {
        let named = Arc::new(named);
        for seen in lock(&self.connections).iter() {
            let mut seen = lock(seen);
            if seen.kept != named {
                seen.kept = Arc::clone(&named);
                seen.is_stale = true;
            }
        }
    }

    /// Puts back what could not be stored.
    pub(super) fn put_back(&self, counts: Counts) {
        if let Some(first) = lock(&self.connections).first() {
            lock(first).counts.add(counts);
        }
    }
}

/// Values that stand in the definitions of indexes, such as `where done = 0`: without them nobody could tell that a statement
/// goes by such an index. They are the schema's, and nobody's data.
pub(super) fn named_by_indexes(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = connection.prepare("select sql from sqlite_schema where type = 'index' and sql is not null")?;
    let mut rows = statement.query([])?;
    let mut kept = BTreeSet::new();
    while let Some(row) = rows.next()? {
        kept.extend(values(row.get_ref(0)?.as_str()?).map(str::to_owned));
    }
    Ok(kept)
}

/// What one connection sees.
struct Watch {
    seen: Arc<Mutex<Seen>>,
    /// From the digest of what was sent to that of its shape.
    spellings: HashMap<u64, u64>,
    /// Statements that have begun, by where their text lies, which is another place for each.
    open: Vec<(usize, Instant)>,
}

impl Watch {
    fn see(&mut self, event: &TraceEvent<'_>) {
        match event {
            // What triggers do is part of the statement that set them off.
            TraceEvent::Stmt(statement, told) if !told.starts_with("--") => {
                let place = statement.sql().as_ptr() as usize;
                self.open.retain(|(open, _)| *open != place);
                if self.open.len() < MOST_OPEN {
                    self.open.push((place, Instant::now()));
                }
            }
            TraceEvent::Profile(statement, by_its_clock) => {
                let sent = statement.sql();
                let place = sent.as_ptr() as usize;
                let at = self.open.iter().rposition(|(open, _)| *open == place);
                // Its own clock counts whole milliseconds.
                let took = at.map_or(*by_its_clock, |at| self.open.swap_remove(at).1.elapsed());
                self.count(&sent, took.as_secs_f64() * 1e3);
            }
            _ => {}
        }
    }

    fn count(&mut self, sent: &str, ms: f64) {
        let spelling = digest(sent);
        let mut seen = lock(&self.seen);
        if std::mem::take(&mut seen.is_stale) {
            self.spellings.clear();
        }
        let Seen { counts, kept, .. } = &mut *seen;
        if let Some(known) = self.spellings.get(&spelling)
            && counts.by_text.contains_key(known)
        {
            counts.count(*known, ms);
            return;
        }
        let text = shape(sent, kept);
        let known = digest(&text);
        if self.spellings.len() >= MOST_SPELLINGS {
            self.spellings.clear();
        }
        self.spellings.insert(spelling, known);
        if counts.by_text.len() < MOST_TEXTS && !counts.by_text.contains_key(&known) {
            counts.by_text.insert(known, Counted::once(text, ms));
        } else {
            counts.count(known, ms);
        }
    }
}

/// No code that holds these locks can panic, so a poisoned one is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
