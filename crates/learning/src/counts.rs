//! The small histograms inside a day summary: by name, by hour, by rating.
//!
//! As JSON each is an object (name or hour → sessions); in the stored form it is a list of pairs without the zeros.

use std::fmt;

use compact_str::CompactString;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::efficiency::Rating;

/// Sessions by name, names in alphabetical (byte) order, zeros and the empty name left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameCounts(Vec<(CompactString, u64)>);

impl NameCounts {
    /// Counts `sessions` more under `name`. The empty name and a count of 0 change nothing.
    pub fn add(&mut self, name: &str, sessions: u64) {
        if name.is_empty() || sessions == 0 {
            return;
        }
        match self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(place) => self.0[place].1 = self.0[place].1.saturating_add(sessions),
            Err(place) => self.0.insert(place, (name.into(), sessions)),
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (name, sessions) in &other.0 {
            self.add(name, *sessions);
        }
    }

    /// The name with the most sessions, of several the alphabetically first; `None` when empty.
    #[must_use]
    pub fn most(&self) -> Option<&str> {
        let mut best: Option<&(CompactString, u64)> = None;
        for entry in &self.0 {
            if best.is_none_or(|best| entry.1 > best.1) {
                best = Some(entry);
            }
        }
        best.map(|(name, _)| name.as_str())
    }

    /// Sessions counted under a name.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).map_or(0, |place| self.0[place].1)
    }

    /// Names and counts, in alphabetical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, sessions)| (name.as_str(), *sessions))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, u64)> for NameCounts {
    fn from_iter<I: IntoIterator<Item = (&'a str, u64)>>(counts: I) -> Self {
        let mut all = Self::default();
        for (name, sessions) in counts {
            all.add(name, sessions);
        }
        all
    }
}

impl Serialize for NameCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_map(self.0.iter().map(|(name, sessions)| (name.as_str(), sessions)))
        } else {
            serializer.collect_seq(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for NameCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let map = std::collections::BTreeMap::<CompactString, u64>::deserialize(deserializer)?;
            return Ok(map.iter().map(|(name, sessions)| (name.as_str(), *sessions)).collect());
        }
        Vec::deserialize(deserializer).map(Self)
    }
}

/// Sessions by local start hour, 0 to 23.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourCounts([u64; 24]);

impl HourCounts {
    /// Counts `sessions` more in an hour.
    ///
    /// # Panics
    /// When `hour` is above 23: hours come from a clock reading, which has none.
    pub fn add(&mut self, hour: u8, sessions: u64) {
        let slot = &mut self.0[usize::from(hour)];
        *slot = slot.saturating_add(sessions);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (slot, more) in self.0.iter_mut().zip(other.0) {
            *slot = slot.saturating_add(more);
        }
    }

    /// The hour with the most sessions, of several the earliest; `None` without sessions.
    #[must_use]
    pub fn busiest(&self) -> Option<u8> {
        let mut best: Option<(u8, u64)> = None;
        for (hour, sessions) in self.iter() {
            if best.is_none_or(|(_, most)| sessions > most) {
                best = Some((hour, sessions));
            }
        }
        best.map(|(hour, _)| hour)
    }

    /// Hours with sessions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> {
        (0u8..).zip(self.0).filter(|(_, sessions)| *sessions > 0)
    }
}

impl Serialize for HourCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_map(self.iter())
        } else {
            let pairs: Vec<_> = self.iter().collect();
            pairs.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for HourCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hours(HourCounts);
        impl Hours {
            fn count<E: serde::de::Error>(&mut self, hour: u8, sessions: u64) -> Result<(), E> {
                if hour > 23 {
                    return Err(E::custom("an hour is 0 to 23"));
                }
                self.0.add(hour, sessions);
                Ok(())
            }
        }
        impl<'de> Visitor<'de> for Hours {
            type Value = HourCounts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("sessions by hour, 0 to 23")
            }
            fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<HourCounts, A::Error> {
                while let Some((hour, sessions)) = seq.next_element()? {
                    self.count(hour, sessions)?;
                }
                Ok(self.0)
            }
            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<HourCounts, A::Error> {
                while let Some((hour, sessions)) = map.next_entry()? {
                    self.count(hour, sessions)?;
                }
                Ok(self.0)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_map(Hours(HourCounts::default()))
        } else {
            deserializer.deserialize_seq(Hours(HourCounts::default()))
        }
    }
}

/// Sessions by rating, 1 to 5.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RatingCounts([u64; 5]);

impl RatingCounts {
    /// Counts `sessions` more with a rating.
    pub fn add(&mut self, rating: Rating, sessions: u64) {
        let slot = &mut self.0[usize::from(rating.get()) - 1];
        *slot = slot.saturating_add(sessions);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (slot, more) in self.0.iter_mut().zip(other.0) {
            *slot = slot.saturating_add(more);
        }
    }

    /// Ratings given.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, sessions| sum.saturating_add(*sessions))
    }

    /// Sum of the ratings given.
    #[must_use]
    pub fn sum(&self) -> u64 {
        (1u64..).zip(self.0).fold(0, |sum, (rating, sessions)| sum.saturating_add(rating.saturating_mul(sessions)))
    }
}

impl Serialize for RatingCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = self.0.iter().rposition(|sessions| *sessions > 0).map_or(0, |last| last + 1);
        serializer.collect_seq(&self.0[..used])
    }
}

impl<'de> Deserialize<'de> for RatingCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Five;
        impl<'de> Visitor<'de> for Five {
            type Value = RatingCounts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("at most five counts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RatingCounts, A::Error> {
                let mut counts = RatingCounts::default();
                let mut slots = counts.0.iter_mut();
                while let Some(sessions) = seq.next_element()? {
                    *slots.next().ok_or_else(|| serde::de::Error::invalid_length(6, &self))? = sessions;
                }
                Ok(counts)
            }
        }
        deserializer.deserialize_seq(Five)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_between_names_goes_to_the_alphabetically_first() {
        let counts: NameCounts = [("online", 2), ("home", 2), ("cafe", 1), ("", 9)].into_iter().collect();

        assert_eq!(counts.most(), Some("home"));
        assert_eq!(counts.get(""), 0);
    }

    #[test]
    fn a_tie_between_hours_goes_to_the_earlier() {
        let mut hours = HourCounts::default();
        hours.add(20, 3);
        hours.add(6, 3);

        assert_eq!(hours.busiest(), Some(6));
        assert_eq!(HourCounts::default().busiest(), None);
    }

    #[test]
    fn json_is_an_object_in_order() {
        let counts: NameCounts = [("b", 1), ("a", 2)].into_iter().collect();
        let mut hours = HourCounts::default();
        hours.add(10, 1);
        hours.add(9, 4);

        assert_eq!(serde_json::to_string(&counts).unwrap(), r#"{"a":2,"b":1}"#);
        assert_eq!(serde_json::to_string(&hours).unwrap(), r#"{"9":4,"10":1}"#);
    }

    #[test]
    fn an_hour_that_no_clock_shows_is_refused_when_read() {
        let bytes = postcard::to_allocvec(&vec![(24u8, 1u64)]).unwrap();

        assert!(postcard::from_bytes::<HourCounts>(&bytes).is_err());
    }
}
