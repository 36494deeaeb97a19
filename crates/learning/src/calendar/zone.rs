//! Time zones by name, with the rules that are bundled with this program.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, OnceLock};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::rules::Rules;

/// A time zone of the IANA database, with its rules. Two are equal when their names are.
///
/// The rules are those bundled with this program ([`tz_version`]), never those of the machine: distributions ship data
/// of other versions, some of them without what was before 1970. Links keep their name: `Asia/Calcutta` is not rewritten
/// to `Asia/Kolkata`.
#[derive(Clone, Copy)]
pub struct Zone(&'static Known);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{given:?} is not a known time zone{hint}; accepted: an IANA time zone name such as Europe/Paris",
    hint = self.hint()
)]
pub struct ZoneError {
    given: String,
    nearest: Option<&'static str>,
}

/// A name of the database, and its rules once someone has asked.
struct Known {
    name: String,
    rules: OnceLock<Rules>,
}

impl ZoneError {
    fn hint(&self) -> String {
        self.nearest.map(|name| format!(", the nearest is {name}")).unwrap_or_default()
    }
}

/// The bundled names, by their lower case. There are some 600, and the rules of each are kept from their first use on.
static KNOWN: LazyLock<BTreeMap<String, Known>> = LazyLock::new(|| {
    TimeZoneDatabase::bundled()
        .available()
        .map(|name| name.as_str().to_owned())
        // what the database calls a machine on which nobody has chosen a zone
        .filter(|name| name != "Factory")
        .map(|name| (name.to_ascii_lowercase(), Known { name, rules: OnceLock::new() }))
        .collect()
});

/// The version of the bundled time zone data.
#[must_use]
pub fn tz_version() -> &'static str {
    // jiff does not tell; a test holds a fingerprint of the data against this
    "2026e"
}

impl Zone {
    /// Takes a name of the IANA database in any case; the zone has the spelling of the database.
    ///
    /// # Errors
    /// [`ZoneError`] when the database has no such name. POSIX rules (`CET-1CEST`), offsets (`+01:00`) and `local` are
    /// no names.
    pub fn new(name: &str) -> Result<Self, ZoneError> {
        KNOWN
            .get(&name.to_ascii_lowercase())
            .map(Self)
            .ok_or_else(|| ZoneError { given: crate::key::clip(name), nearest: nearest(name) })
    }

    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self::new("UTC").expect("the database has UTC")
    }

    /// The name as the database spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        &self.0.name
    }

    /// The rules as jiff has them.
    #[must_use]
    pub fn time_zone(&self) -> &'static TimeZone {
        self.rules().time_zone()
    }

    pub(super) fn rules(&self) -> &'static Rules {
        let read = |name: &str| TimeZoneDatabase::bundled().get(name).expect("a test reads every bundled zone");
        self.0.rules.get_or_init(|| Rules::new(read(&self.0.name)))
    }

    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        KNOWN.values().map(Self)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name()).finish()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

/// Letters that may differ before a name is not near any more, as one in this many.
const NEAR: usize = 3;
/// Longer than every name there is; only so much of a text is compared.
const LONGEST: usize = 40;

/// The known name that differs least, whether the region was given or left out.
fn nearest(given: &str) -> Option<&'static str> {
    let given: String = given.trim().to_ascii_lowercase().replace(' ', "_").chars().take(LONGEST).collect();
    let distance = |(lower, known): (&String, &'static Known)| {
        let city = lower.rsplit('/').next().unwrap_or(lower);
        (edits(&given, lower).min(edits(&given, city)), known.name.as_str())
    };
    let (edits, name) = KNOWN.iter().map(distance).min()?;
    (edits * NEAR <= given.chars().count()).then_some(name)
}

/// Letters to insert, remove or replace to get from one text to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, a) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (left, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[left + 1];
            row[left + 1] = replaced.min(diagonal + 1).min(row[left] + 1);
        }
    }
    row[to.len()]
}
