//! The source of truth: rows with versions, slow and sometimes failing.

use std::sync::Mutex;
use std::time::Duration;

use tierkeep_cache::{LoadContext, Loaded, Tag};

use crate::checker::{Life, Tags};
use crate::rng::Rng;
use crate::world::World;

/// Keys below this are read and written most of the time.
pub(crate) const HOT: u32 = 8;
pub(crate) const KEYS: u32 = 20;

/// What the cache holds: key, version, checksum of both.
pub(crate) type Value = (u32, u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) deleted: bool,
}

/// Which view a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// A long life, nothing served stale.
    Plain,
    /// A short life, refreshed early, served stale while it is replaced and after failures.
    Lively,
    /// Without a codec: it lives in memory only.
    Memory,
}

pub(crate) fn family(key: u32) -> Family {
    match key % 5 {
        0..=2 => Family::Plain,
        3 => Family::Lively,
        _ => Family::Memory,
    }
}

pub(crate) const LIVELY: Life = Life { ttl: 700, grace: 900 };

/// The tag that follows from the key.
pub(crate) fn early_tags(key: u32) -> Tags {
    1 << (key % 2)
}

/// All tags that a value carries: that of the key, and one that only the loader knows, if any.
pub(crate) fn tags(key: u32, version: u64) -> Tags {
    let late = match (u64::from(key) + version / 3) % 3 {
        0 => 0b0100,
        1 => 0b1000,
        _ => 0,
    };
    early_tags(key) | late
}

pub(crate) fn named(bit: u32) -> Tag {
    Tag::of(if bit < 2 { "early" } else { "late" }, bit)
}

pub(crate) fn checksum(key: u32, version: u64) -> u64 {
    let mut rng = Rng::new(u64::from(key), version);
    rng.next()
}

#[derive(Debug)]
pub(crate) struct Table {
    rows: Mutex<Vec<Row>>,
    /// Percent of loads that fail.
    pub(crate) failing: Mutex<u64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let rows = (0..KEYS).map(|_| Row { version: 1, deleted: false }).collect();
        Self { rows: Mutex::new(rows), failing: Mutex::new(4) }
    }

    pub(crate) fn row(&self, key: u32) -> Row {
        self.rows.lock().unwrap()[key as usize]
    }

    pub(crate) fn write(&self, key: u32, deleted: bool) -> Row {
        let row = &mut self.rows.lock().unwrap()[key as usize];
        *row = Row { version: row.version + 1, deleted };
        *row
    }
}

/// How one load goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    before: Duration,
    after: Duration,
    fate: Fate,
    tells_version: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answers,
    Fails,
    Panics,
}

impl Trip {
    /// One in eight is slow: longer than several heartbeats, and after it has read its row.
    pub(crate) fn draw(rng: &mut Rng, failing: u64) -> Self {
        let after = if rng.one_in(8) { rng.between(80, 700) } else { rng.between(0, 12) };
        let fate = match rng.below(100) {
            0 => Fate::Panics,
            at if at <= failing => Fate::Fails,
            _ => Fate::Answers,
        };
        let before = Duration::from_millis(rng.between(0, 4));
        Self { before, after: Duration::from_millis(after), fate, tells_version: rng.one_in(2) }
    }

    pub(crate) const CLEAN: Self =
        Self { before: Duration::ZERO, after: Duration::from_millis(1), fate: Fate::Answers, tells_version: true };
}

#[derive(Debug, thiserror::Error)]
#[error("the source failed")]
pub(crate) struct SourceError;

/// The loader: reads the row, takes its time, and tells what it knows.
pub(crate) async fn load(
    world: std::sync::Arc<World>,
    key: u32,
    trip: Trip,
    context: LoadContext<Value>,
) -> Result<Loaded<Value>, SourceError> {
    tokio::time::sleep(trip.before).await;
    let row = world.table.row(key);
    tokio::time::sleep(trip.after).await;
    match trip.fate {
        Fate::Fails => return Err(SourceError),
        // Past the panic hook: it is not a failure of the test.
        Fate::Panics => std::panic::resume_unwind(Box::new("planted")),
        Fate::Answers => {}
    }
    if row.deleted {
        return Ok(Loaded::absent());
    }
    if context.stale().is_some_and(|stale| stale.1 == row.version) {
        for tag in late_tags(key, row.version) {
            context.tag(&tag);
        }
        return Ok(Loaded::not_modified());
    }
    Ok(loaded(key, row, trip))
}

/// The same for many keys at once.
pub(crate) async fn load_many(
    world: std::sync::Arc<World>,
    keys: Vec<u32>,
    trip: Trip,
) -> Result<Vec<(u32, Loaded<Value>)>, SourceError> {
    tokio::time::sleep(trip.before).await;
    let rows: Vec<(u32, Row)> = keys.iter().map(|key| (*key, world.table.row(*key))).collect();
    tokio::time::sleep(trip.after).await;
    match trip.fate {
        Fate::Fails => Err(SourceError),
        Fate::Panics => std::panic::resume_unwind(Box::new("planted")),
        Fate::Answers => Ok(rows.into_iter().map(|(key, row)| (key, loaded(key, row, trip))).collect()),
    }
}

/// A row as the cache is told of it.
pub(crate) fn loaded(key: u32, row: Row, trip: Trip) -> Loaded<Value> {
    if row.deleted {
        return Loaded::absent();
    }
    let value = Loaded::value((key, row.version, checksum(key, row.version)));
    let value = late_tags(key, row.version).fold(value, Loaded::tag);
    if trip.tells_version { value.version(row.version) } else { value }
}

fn late_tags(key: u32, version: u64) -> impl Iterator<Item = Tag> {
    (2..4).filter(move |bit| tags(key, version) & (1 << bit) != 0).map(named)
}
