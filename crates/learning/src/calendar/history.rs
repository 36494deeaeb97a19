//! Which zone was in force when.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::{Era, Zone, ZoneError, end_of_instants, first_instant};

/// The zones of a learner: the first reaches back for ever, each change takes effect at its instant.
///
/// Changes are kept in order, on whole microseconds (cut off below), and only where the zone really changes; so two
/// histories are equal exactly when they give the same zone for every instant.
///
/// # Stored form
/// JSON, by [`Display`](fmt::Display), [`FromStr`] and serde alike: the first zone, then each change with its instant in
/// microseconds since 1970.
///
/// ```
/// use tierkeep_learning::calendar::ZoneHistory;
///
/// let stored = r#"["Asia/Shanghai",[1749520800000000,"America/Los_Angeles"]]"#;
/// let zones: ZoneHistory = stored.parse()?;
///
/// assert_eq!(zones.zone_at("2025-06-10T01:59:59Z".parse()?).name(), "Asia/Shanghai");
/// assert_eq!(zones.zone_at("2025-06-10T02:00:00Z".parse()?).name(), "America/Los_Angeles");
/// assert_eq!(zones.to_string(), stored);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZoneHistory {
    first: Zone,
    /// Instants strictly increasing, neighbouring zones different.
    changes: Vec<(Timestamp, Zone)>,
}

/// A stored zone history that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ZoneHistoryError {
    /// A name this program's time zone data do not have: stored by a program with newer data, or not by us.
    #[error("a stored zone history names an unknown zone")]
    Zone(#[from] ZoneError),
    /// An instant no clock shows.
    #[error("a stored zone history has a change at {0} microseconds, which is no instant")]
    Instant(i64),
    /// Not the stored form.
    #[error("a stored zone history is malformed")]
    Malformed(#[from] serde_json::Error),
}

impl ZoneHistory {
    /// One zone, for ever.
    #[must_use]
    pub fn new(first: Zone) -> Self {
        Self { first, changes: Vec::new() }
    }

    /// A first zone and changes in any order. Of two changes at one instant the later in the list wins; changes to the
    /// zone already in force are left out.
    #[must_use]
    pub fn from_changes(first: Zone, changes: impl IntoIterator<Item = (Timestamp, Zone)>) -> Self {
        let mut changes: Vec<_> = changes.into_iter().map(|(at, zone)| (whole_micros(at), zone)).collect();
        changes.sort_by_key(|(at, _)| *at);
        let mut history = Self { first, changes };
        history.tidy();
        history
    }

    /// Adds a change, which holds until the next one. It replaces a change at the same instant.
    ///
    /// A change that was left out because it changed nothing is forgotten; whoever adds changes out of order and must
    /// have them all builds the history with [`ZoneHistory::from_changes`].
    pub fn push(&mut self, at: Timestamp, zone: Zone) {
        let at = whole_micros(at);
        let place = self.changes.partition_point(|(change, _)| *change <= at);
        self.changes.insert(place, (at, zone));
        self.tidy();
    }

    /// The zone in force at an instant.
    #[must_use]
    pub fn zone_at(&self, t: Timestamp) -> &Zone {
        self.zone(self.index_at(t))
    }

    /// The zone after the last change.
    #[must_use]
    pub fn current(&self) -> &Zone {
        self.zone(self.changes.len())
    }

    /// The zone before the first change.
    #[must_use]
    pub fn first(&self) -> &Zone {
        &self.first
    }

    /// The changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = (Timestamp, &Zone)> {
        self.changes.iter().map(|(at, zone)| (*at, zone))
    }

    /// All eras, in order; together they hold every instant that is accepted. One outside these is empty.
    pub(super) fn eras(&self) -> impl Iterator<Item = Era<'_>> {
        (0..=self.changes.len()).map(|index| self.era(index))
    }

    pub(super) fn era_at(&self, t: Timestamp) -> Era<'_> {
        self.era(self.index_at(t))
    }

    fn era(&self, index: usize) -> Era<'_> {
        let start = index.checked_sub(1).map_or_else(first_instant, |before| self.changes[before].0);
        let end = self.changes.get(index).map_or_else(end_of_instants, |(at, _)| *at);
        Era { zone: self.zone(index), instants: start.max(first_instant())..end.min(end_of_instants()) }
    }

    fn zone(&self, index: usize) -> &Zone {
        index.checked_sub(1).map_or(&self.first, |before| &self.changes[before].1)
    }

    fn index_at(&self, t: Timestamp) -> usize {
        self.changes.partition_point(|(change, _)| *change <= t)
    }

    /// Of changes at one instant keeps the last; then drops those that change nothing.
    fn tidy(&mut self) {
        self.changes.dedup_by(|later, kept| {
            let same_instant = later.0 == kept.0;
            if same_instant {
                kept.1 = later.1;
            }
            same_instant
        });
        let mut in_force = self.first;
        self.changes.retain(|(_, zone)| std::mem::replace(&mut in_force, *zone) != *zone);
    }
}

fn whole_micros(t: Timestamp) -> Timestamp {
    let micros = t.as_nanosecond().div_euclid(1000);
    i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).unwrap_or(t)
}

/// The stored form, names not yet looked up.
struct Stored {
    first: String,
    changes: Vec<(i64, String)>,
}

impl TryFrom<Stored> for ZoneHistory {
    type Error = ZoneHistoryError;

    fn try_from(stored: Stored) -> Result<Self, ZoneHistoryError> {
        let mut changes = Vec::with_capacity(stored.changes.len());
        for (micros, name) in stored.changes {
            let at = Timestamp::from_microsecond(micros).map_err(|_| ZoneHistoryError::Instant(micros))?;
            changes.push((at, Zone::new(&name)?));
        }
        Ok(Self::from_changes(Zone::new(&stored.first)?, changes))
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> serde::de::Visitor<'de> for Parts {
            type Value = Stored;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a zone, then changes of the form [microseconds, zone]")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut parts: A) -> Result<Stored, A::Error> {
                let first = parts.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                let mut changes = Vec::new();
                while let Some(change) = parts.next_element()? {
                    changes.push(change);
                }
                Ok(Stored { first, changes })
            }
        }

        deserializer.deserialize_seq(Parts)
    }
}

impl Serialize for ZoneHistory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_seq(Some(1 + self.changes.len()))?;
        parts.serialize_element(&self.first)?;
        for (at, zone) in &self.changes {
            parts.serialize_element(&(at.as_microsecond(), zone))?;
        }
        parts.end()
    }
}

impl<'de> Deserialize<'de> for ZoneHistory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        stored.try_into().map_err(|error| match error {
            ZoneHistoryError::Zone(unknown) => serde::de::Error::custom(unknown),
            other => serde::de::Error::custom(other),
        })
    }
}

impl FromStr for ZoneHistory {
    type Err = ZoneHistoryError;

    fn from_str(text: &str) -> Result<Self, ZoneHistoryError> {
        serde_json::from_str::<Stored>(text)?.try_into()
    }
}

impl fmt::Display for ZoneHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}
