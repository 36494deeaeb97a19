//! Slow statements: readings of `pg_stat_statements`, or of what programs counted on SQLite, and the difference of two.
//!
//! The counters of the server only grow, for everybody who reads them, so a period is the difference of two readings and
//! nothing is ever reset.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

mod postgres;
mod sqlite;

pub use postgres::query_snapshot_postgres;
pub use sqlite::query_snapshot_sqlite;
pub(crate) use sqlite::store_statements;

/// What makes two readings of a statement the same statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueryKey {
    /// The role that ran it.
    pub user_id: u32,
    /// The database in which it ran.
    pub database_id: u32,
    /// The server's hash of its shape.
    pub query_id: i64,
    /// Whether a client sent it, not a function; true where the extension does not tell (before 1.9).
    pub is_top_level: bool,
}

/// Times of one kind, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// All of them together.
    pub total_ms: f64,
    /// The shortest since counting began, also in a period.
    pub min_ms: f64,
    /// The longest since counting began, also in a period.
    pub max_ms: f64,
    /// Standard deviation of the population.
    pub stddev_ms: f64,
}

/// Blocks that a statement touched; a block is 8 KiB on nearly every server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Blocks {
    /// Found in the shared buffers.
    pub shared_hit: u64,
    /// Asked of the operating system.
    pub shared_read: u64,
    /// Read back from temporary files.
    pub temp_read: u64,
    /// Written to temporary files, because a sort or a hash did not fit into `work_mem`.
    pub temp_written: u64,
}

/// What was counted of one statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryCounters {
    /// Which statement.
    pub key: QueryKey,
    /// Its text with constants replaced.
    pub text: String,
    /// Executions.
    pub calls: u64,
    /// Times it was planned; 0 unless `pg_stat_statements.track_planning` is on.
    pub plans: u64,
    /// Rows returned or touched; `None` on SQLite, where nobody counts them.
    pub rows: Option<u64>,
    /// Times of its executions.
    pub execution: Timing,
    /// Times of its planning.
    pub planning: Timing,
    /// Blocks.
    pub blocks: Blocks,
    /// Since when it is counted, in microseconds since 1970, where the extension tells (from 1.11 on).
    pub since_us: Option<i64>,
}

/// One reading of what was counted. Can be stored and compared with later ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuerySnapshot {
    /// When it was read by the server's clock, in microseconds since 1970.
    pub taken_us: i64,
    /// When the statistics were last reset, where the extension tells (from 1.9 on).
    pub reset_us: Option<i64>,
    /// How often the server threw the statements with fewest executions away to make room, where the extension tells
    /// (from 1.9 on).
    pub evictions: Option<u64>,
    /// The statements.
    pub queries: Vec<QueryCounters>,
}

/// Whether a period lacks statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completeness {
    /// No statement was thrown away.
    Complete,
    /// Statements were thrown away so many times: the list is incomplete, `pg_stat_statements.max` is too small.
    Evicted {
        /// How many times; 0 if it is seen only by statements that are gone.
        times: u64,
    },
    /// The extension does not tell (before 1.9).
    Unknown,
}

/// What ran between two readings, or since counting began.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPeriod {
    /// Its begin in microseconds since 1970, if it is known.
    pub from_us: Option<i64>,
    /// Its end.
    pub until_us: i64,
    /// Whether statements are missing.
    pub completeness: Completeness,
    /// The statements that ran.
    pub queries: Vec<QueryCounters>,
}

/// What the slowest are the slowest by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlowestBy {
    /// Time of all executions together: what the server is busy with.
    Total,
    /// Time of one execution: what somebody waits for.
    Mean,
}

/// Which statements are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowQueries {
    /// Least mean time of an execution with its planning, in milliseconds; default 100.
    pub threshold_ms: f64,
    /// Their order, the slowest first; default [`SlowestBy::Total`].
    pub by: SlowestBy,
    /// How many at most; default 20.
    pub limit: usize,
}

impl Default for SlowQueries {
    fn default() -> Self {
        Self { threshold_ms: 100.0, by: SlowestBy::Total, limit: 20 }
    }
}

impl QueryCounters {
    /// Time of planning and execution together, in milliseconds.
    #[must_use]
    pub fn total_ms(&self) -> f64 {
        self.execution.total_ms + self.planning.total_ms
    }

    /// The same for one execution; 0 if there was none.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.total_ms() / self.calls as f64 }
    }

    /// Which part of the blocks was in the shared buffers, 0 to 1; `None` if none was touched.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let touched = self.blocks.shared_hit + self.blocks.shared_read;
        (touched > 0).then(|| self.blocks.shared_hit as f64 / touched as f64)
    }

    /// Whether these counters go on from those, or began anew in between.
    fn goes_on_from(&self, earlier: &Self) -> bool {
        let began_anew = matches!((earlier.since_us, self.since_us), (Some(then), Some(now)) if now > then);
        !began_anew && self.calls >= earlier.calls && self.plans >= earlier.plans && self.rows >= earlier.rows
    }

    fn without(&self, earlier: &Self) -> Self {
        let (was, is) = (&earlier.blocks, &self.blocks);
        Self {
            key: self.key,
            text: self.text.clone(),
            calls: self.calls - earlier.calls,
            plans: self.plans - earlier.plans,
            rows: self.rows.map(|rows| rows - earlier.rows.unwrap_or(0)),
            execution: self.execution.without(self.calls, &earlier.execution, earlier.calls),
            planning: self.planning.without(self.plans, &earlier.planning, earlier.plans),
            blocks: Blocks {
                shared_hit: is.shared_hit.saturating_sub(was.shared_hit),
                shared_read: is.shared_read.saturating_sub(was.shared_read),
                temp_read: is.temp_read.saturating_sub(was.temp_read),
                temp_written: is.temp_written.saturating_sub(was.temp_written),
            },
            since_us: self.since_us,
        }
    }
}

impl Timing {
    /// Sums and sums of squares can be subtracted; extremes cannot.
    fn without(&self, count: u64, earlier: &Self, earlier_count: u64) -> Self {
        let total_ms = (self.total_ms - earlier.total_ms).max(0.0);
        let left = count.saturating_sub(earlier_count) as f64;
        let variance = if left > 0.0 {
            let squares = self.squares(count) - earlier.squares(earlier_count);
            (squares / left - (total_ms / left).powi(2)).max(0.0)
        } else {
            0.0
        };
        Self { total_ms, min_ms: self.min_ms, max_ms: self.max_ms, stddev_ms: variance.sqrt() }
    }

    fn squares(&self, count: u64) -> f64 {
        if count == 0 {
            return 0.0;
        }
        let count = count as f64;
        count * (self.stddev_ms.powi(2) + (self.total_ms / count).powi(2))
    }
}

impl QuerySnapshot {
    /// Everything since counting began.
    #[must_use]
    pub fn whole(&self) -> QueryPeriod {
        QueryPeriod {
            from_us: self.reset_us,
            until_us: self.taken_us,
            completeness: match self.evictions {
                None => Completeness::Unknown,
                Some(0) => Completeness::Complete,
                Some(times) => Completeness::Evicted { times },
            },
            queries: self.queries.clone(),
        }
    }

    /// What ran since an earlier reading of the same server.
    ///
    /// A statement whose counters went down, or are counted since later, was thrown away and came back: it counts from
    /// zero, as all do after a reset. What was thrown away and did not come back is lost, which
    /// [`completeness`](QueryPeriod::completeness) says.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> QueryPeriod {
        let was_reset = matches!((earlier.reset_us, self.reset_us), (Some(then), Some(now)) if now > then);
        let before: HashMap<QueryKey, &QueryCounters> =
            if was_reset { HashMap::new() } else { earlier.queries.iter().map(|query| (query.key, query)).collect() };
        let mut known = 0;
        let mut is_interrupted = false;
        let mut queries = Vec::new();
        for query in &self.queries {
            let Some(then) = before.get(&query.key) else {
                queries.push(query.clone());
                continue;
            };
            known += 1;
            if query.goes_on_from(then) {
                queries.push(query.without(then));
            } else {
                is_interrupted = true;
                queries.push(query.clone());
            }
        }
        queries.retain(|query| query.calls > 0 || query.plans > 0);
        let times = match (earlier.evictions, self.evictions) {
            (Some(_), Some(now)) if was_reset => Some(now),
            (Some(then), Some(now)) => Some(now.saturating_sub(then)),
            _ => None,
        };
        let completeness = match times {
            Some(times) if times > 0 => Completeness::Evicted { times },
            // An entry that is gone was thrown away, whatever the counter says.
            _ if is_interrupted || known < before.len() => Completeness::Evicted { times: 0 },
            Some(_) => Completeness::Complete,
            None => Completeness::Unknown,
        };
        let from_us = if was_reset { self.reset_us } else { Some(earlier.taken_us) };
        QueryPeriod { from_us, until_us: self.taken_us, completeness, queries }
    }
}

impl QueryPeriod {
    /// The slowest statements, the slowest first; equally slow ones by key.
    #[must_use]
    pub fn slowest(&self, wanted: SlowQueries) -> Vec<&QueryCounters> {
        let mut slow: Vec<&QueryCounters> =
            self.queries.iter().filter(|query| query.calls > 0 && query.mean_ms() >= wanted.threshold_ms).collect();
        let measure = |query: &QueryCounters| match wanted.by {
            SlowestBy::Total => query.total_ms(),
            SlowestBy::Mean => query.mean_ms(),
        };
        slow.sort_by(|a, b| measure(b).total_cmp(&measure(a)).then(a.key.cmp(&b.key)));
        slow.truncate(wanted.limit);
        slow
    }
}

impl fmt::Display for QueryCounters {
    /// One line; of the text what fits into it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, rows, execution, blocks, .. } = self;
        write!(f, "{:.1} ms in {calls} calls, mean {:.2} ms", self.total_ms(), self.mean_ms())?;
        write!(f, " ({:.2} to {:.2}, deviation {:.2})", execution.min_ms, execution.max_ms, execution.stddev_ms)?;
        if let Some(rows) = rows {
            write!(f, ", {rows} rows")?;
        }
        if let Some(ratio) = self.hit_ratio() {
            write!(f, ", {:.0} % of blocks in memory", ratio * 100.0)?;
        }
        if blocks.temp_written > 0 {
            write!(f, ", {} temporary blocks written", blocks.temp_written)?;
        }
        let mut text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARS) {
            text.truncate(end);
            text.push('…');
        }
        write!(f, ": {text}")
    }
}

/// Characters of a statement's text that are shown in a line.
const SHOWN_CHARS: usize = 120;

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("the list is complete"),
            Self::Evicted { times: 0 } => f.write_str("the list is incomplete: statements were thrown away"),
            Self::Evicted { times } => write!(
                f,
                "the list is incomplete: statements were thrown away {times} times; raise pg_stat_statements.max on PostgreSQL"
            ),
            Self::Unknown => {
                f.write_str("whether the list is complete is not told before version 1.9 of the extension")
            }
        }
    }
}

#[cfg(test)]
mod tests;
