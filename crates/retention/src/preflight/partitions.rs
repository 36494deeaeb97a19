//! Which partitions can leave as a whole.

use jiff::civil::{Date, DateTime};
use serde::Serialize;

use super::TableFacts;

/// How a table is partitioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partitioning {
    /// The column whose ranges the partitions are, if it is ranges of one column.
    pub range_column: Option<String>,
    /// Its partitions, by name.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its name with the schema, quoted.
    pub name: String,
    /// Its bounds as the database prints them.
    pub bounds: String,
    /// Where its range ends: the first value that does not belong to it. None without an end, and where the type of the
    /// column is another than those of [`Bound`].
    pub upper: Option<Bound>,
    /// Whether it takes what no other one does.
    pub is_default: bool,
    /// Whether it is a table, not a foreign one, nor partitioned itself, nor on its way out.
    pub is_plain: bool,
    /// Rows as the planner believes.
    pub estimated_rows: Option<u64>,
    /// Bytes of the rows. A partition of 0 bytes is empty.
    pub bytes: u64,
}

/// A value of a column that ranges are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// An instant.
    Instant(jiff::Timestamp),
    /// A wall time.
    Wall(DateTime),
    /// A day.
    Day(Date),
    /// A whole number.
    Number(i64),
}

/// Returns the partitions that hold only rows whose `age_column` is below `cutoff` and that can leave as a whole.
///
/// The last partition never does, even if it is older. While a default partition holds rows, none does: detaching would
/// lock that one and read it. What else a rule asks of a row must still be looked at in the partition.
#[must_use]
pub fn eligible<'a>(table: &'a TableFacts, cutoff: Bound, age_column: &str) -> Vec<&'a Partition> {
    let Some(partitioning) = &table.partitioning else { return Vec::new() };
    let goes_by_age = partitioning.range_column.as_deref() == Some(age_column);
    let default_is_empty = partitioning.partitions.iter().all(|one| !one.is_default || one.bytes == 0);
    if !goes_by_age || !default_is_empty {
        return Vec::new();
    }
    // One without an end is the last.
    let has_open_end = partitioning.partitions.iter().any(|one| !one.is_default && one.upper.is_none());
    let latest = partitioning.partitions.iter().filter_map(|one| one.upper).reduce(Bound::later);
    let is_last = |upper: Bound| !has_open_end && Some(upper) == latest;
    partitioning
        .partitions
        .iter()
        .filter(|one| {
            let is_old = one.upper.is_some_and(|upper| upper.is_at_most(cutoff) && !is_last(upper));
            !one.is_default && one.is_plain && is_old
        })
        .collect()
}

impl Bound {
    /// Whether it is of the same kind and not later.
    fn is_at_most(self, other: Self) -> bool {
        self.is_comparable(other) && self <= other
    }

    fn is_comparable(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    fn later(self, other: Self) -> Self {
        if self < other { other } else { self }
    }

    /// A bound as the statement hands it over: microseconds or days since 1970, or the number itself. `None` outside of
    /// what the calendar knows.
    pub(super) fn read(type_name: &str, value: i64) -> Option<Self> {
        let instant = || jiff::Timestamp::from_microsecond(value).ok();
        match type_name {
            "timestamptz" => instant().map(Self::Instant),
            "timestamp" => instant().map(|at| Self::Wall(jiff::tz::TimeZone::UTC.to_datetime(at))),
            "date" => {
                Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(value).ok()?).ok().map(Self::Day)
            }
            "int2" | "int4" | "int8" => Some(Self::Number(value)),
            _ => None,
        }
    }
}
