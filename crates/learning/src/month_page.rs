//! The stored form of day summaries: one page holds a calendar month of a learner.
//!
//! A page per month and not a row per day: most learners study once on a day, so a row per day would be nearly a second
//! copy of the sessions, while a 30-day window reads two pages. A change still dirties one day: it is recomputed alone
//! and replaced in its page.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::local_day::{LocalDay, Month};
use crate::summary::DaySummary;

/// What is stored for a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredDay {
    /// base ⊕ the rows of the day: what statistics read.
    pub total: DaySummary,
    /// What rows that were deleted by age contributed; it outlives them.
    pub base: Option<DaySummary>,
}

/// The stored days of one learner in one month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MonthPage {
    days: BTreeMap<LocalDay, StoredDay>,
}

/// A page that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PageError {
    /// Written by a newer version.
    #[error("page version {0} is newer than this binary, which knows {VERSION}")]
    Newer(u8),
    /// Not a page.
    #[error("not a page of day summaries")]
    Unreadable,
}

/// First byte of a stored page; it rises when the form changes.
const VERSION: u8 = 1;

impl MonthPage {
    /// Days in order.
    pub fn iter(&self) -> impl Iterator<Item = (LocalDay, &StoredDay)> {
        self.days.iter().map(|(day, stored)| (*day, stored))
    }

    /// Whether no day is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// A stored day.
    #[must_use]
    pub fn get(&self, day: LocalDay) -> Option<&StoredDay> {
        self.days.get(&day)
    }

    /// Replaces what the rows of a day contribute and returns the totals before and after. The base stays.
    pub fn set_rows(&mut self, day: LocalDay, rows: DaySummary) -> (DaySummary, DaySummary) {
        let stored = self.days.remove(&day).unwrap_or_default();
        let mut total = rows;
        if let Some(base) = &stored.base {
            total.merge(base);
        }
        if !total.is_empty() || stored.base.is_some() {
            self.days.insert(day, StoredDay { total: total.clone(), base: stored.base });
        }
        (stored.total, total)
    }

    /// The stored form: a version byte, then for each day its number in the month, and total and base with their lengths
    /// (postcard), so that a reader decodes only the days it is asked for.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let encode = |summary: &DaySummary| postcard::to_allocvec(summary).expect(ENCODES);
        let days: Vec<(u8, Vec<u8>, Option<Vec<u8>>)> = self
            .days
            .iter()
            .map(|(day, stored)| {
                (day.date().day().unsigned_abs(), encode(&stored.total), stored.base.as_ref().map(encode))
            })
            .collect();
        postcard::to_extend(&days, vec![VERSION]).expect(ENCODES)
    }

    /// Reads a stored page of `month`.
    ///
    /// # Errors
    /// [`PageError`] for other bytes.
    pub fn from_bytes(month: Month, bytes: &[u8]) -> Result<Self, PageError> {
        let mut days = BTreeMap::new();
        for (day, total, base) in stored_days(month, bytes)? {
            days.insert(day, StoredDay { total: decode(total)?, base: base.map(decode).transpose()? });
        }
        Ok(Self { days })
    }

    /// Reads the totals of some days of a stored page of `month`, which is what statistics need.
    ///
    /// # Errors
    /// [`PageError`] for other bytes.
    pub fn totals_from_bytes(
        month: Month,
        bytes: &[u8],
        wanted: &RangeInclusive<LocalDay>,
        into: &mut BTreeMap<LocalDay, DaySummary>,
    ) -> Result<(), PageError> {
        for (day, total, _) in stored_days(month, bytes)? {
            if wanted.contains(&day) {
                let total: DaySummary = decode(total)?;
                if !total.is_empty() {
                    into.insert(day, total);
                }
            }
        }
        Ok(())
    }
}

/// Why encoding cannot fail.
const ENCODES: &str = "counts and names are encoded into memory";

/// A day of a stored page: its total, and its base if it has one.
type EncodedDay<'a> = (LocalDay, &'a [u8], Option<&'a [u8]>);

/// The same by its number in the month.
type NumberedDay<'a> = (u8, &'a [u8], Option<&'a [u8]>);

fn stored_days(month: Month, bytes: &[u8]) -> Result<Vec<EncodedDay<'_>>, PageError> {
    let (version, body) = bytes.split_first().ok_or(PageError::Unreadable)?;
    if *version > VERSION {
        return Err(PageError::Newer(*version));
    }
    let stored: Vec<NumberedDay<'_>> = postcard::from_bytes(body).map_err(|_| PageError::Unreadable)?;
    stored
        .into_iter()
        .map(|(number, total, base)| {
            let day = i8::try_from(number).ok().and_then(|number| month.day(number)).ok_or(PageError::Unreadable)?;
            Ok((day, total, base))
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Result<DaySummary, PageError> {
    postcard::from_bytes(bytes).map_err(|_| PageError::Unreadable)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::SessionFacts;

    /// A day whose rows are gone: no version writes a base yet.
    pub(crate) fn page_with_base(day: LocalDay, base: &DaySummary) -> MonthPage {
        let stored = StoredDay { total: base.clone(), base: Some(base.clone()) };
        MonthPage { days: BTreeMap::from([(day, stored)]) }
    }

    fn minutes(minutes: i32) -> DaySummary {
        DaySummary::of(&SessionFacts::recorded("2025-06-27T08:00:00Z".parse().unwrap(), minutes), 8)
    }

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    #[test]
    fn a_base_outlives_the_rows_and_rows_add_to_it() {
        let mut page = MonthPage::default();
        page.days.insert(day("2025-06-27"), StoredDay { total: minutes(30), base: Some(minutes(30)) });

        let (before, after) = page.set_rows(day("2025-06-27"), minutes(12));
        assert_eq!((before.minutes, after.minutes), (30, 42));

        let (before, after) = page.set_rows(day("2025-06-27"), DaySummary::default());
        assert_eq!((before.minutes, after.minutes), (42, 30));
    }

    #[test]
    fn a_day_without_rows_or_base_leaves_no_trace() {
        let mut page = MonthPage::default();
        page.set_rows(day("2025-06-27"), minutes(12));
        page.set_rows(day("2025-06-27"), DaySummary::default());

        assert!(page.is_empty());
    }

    #[test]
    fn a_page_is_read_back() {
        let mut page = MonthPage::default();
        page.set_rows(day("2025-06-01"), minutes(12));
        page.set_rows(day("2025-06-30"), minutes(7));

        assert_eq!(MonthPage::from_bytes("2025-06".parse().unwrap(), &page.to_bytes()), Ok(page));
    }

    #[test]
    fn a_day_that_the_month_does_not_have_is_refused() {
        let mut page = MonthPage::default();
        page.set_rows(day("2025-07-31"), minutes(12));

        assert_eq!(MonthPage::from_bytes("2025-06".parse().unwrap(), &page.to_bytes()), Err(PageError::Unreadable));
        assert_eq!(MonthPage::from_bytes("2025-06".parse().unwrap(), &[9]), Err(PageError::Newer(9)));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = MonthPage::from_bytes("2025-06".parse().unwrap(), &bytes);
        }
    }
}
