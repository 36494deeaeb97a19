//! The stored form of day summaries: one page holds a calendar month of a learner.
//!
//! A page per month and not a row per day: most learners study once on a day, so a row per day would be nearly a second
//! copy of the sessions, while a 30-day window reads two pages. A change still dirties one day: it is recomputed alone
//! and replaced in its page.
//!
//! What sessions that were deleted by age contributed to their days, their *base*, lies in pages of the same form in a table
//! of its own: a page of summaries may be dropped and built anew from rows, a base cannot.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::local_day::{LocalDay, Month};
use crate::summary::DaySummary;

/// The stored days of one learner in one month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MonthPage {
    days: BTreeMap<LocalDay, DaySummary>,
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
    pub fn iter(&self) -> impl Iterator<Item = (LocalDay, &DaySummary)> {
        self.days.iter().map(|(day, summary)| (*day, summary))
    }

    /// Whether no day is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// A stored day.
    #[must_use]
    pub fn get(&self, day: LocalDay) -> Option<&DaySummary> {
        self.days.get(&day)
    }

    /// Replaces a day and returns what it was. A day without sessions leaves no trace.
    pub fn set(&mut self, day: LocalDay, summary: DaySummary) -> DaySummary {
        let before = self.days.remove(&day).unwrap_or_default();
        if !summary.is_empty() {
            self.days.insert(day, summary);
        }
        before
    }

    /// Adds to a day.
    pub fn add(&mut self, day: LocalDay, summary: &DaySummary) {
        if !summary.is_empty() {
            self.days.entry(day).or_default().merge(summary);
        }
    }

    /// The stored form: a version byte, then for each day its number in the month and its summary with its length (postcard),
    /// so that a reader decodes only the days it is asked for. Version 1 has a place after each summary, which is always empty.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let days: Vec<(u8, Vec<u8>, Option<Vec<u8>>)> = self
            .days
            .iter()
            .map(|(day, summary)| {
                (day.date().day().unsigned_abs(), postcard::to_allocvec(summary).expect(ENCODES), None)
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
        for (day, summary) in stored_days(month, bytes)? {
            days.insert(day, decode(summary)?);
        }
        Ok(Self { days })
    }

    /// Reads some days of a stored page of `month`, which is what statistics need.
    ///
    /// # Errors
    /// [`PageError`] for other bytes.
    pub fn days_from_bytes(
        month: Month,
        bytes: &[u8],
        wanted: &RangeInclusive<LocalDay>,
        into: &mut BTreeMap<LocalDay, DaySummary>,
    ) -> Result<(), PageError> {
        for (day, summary) in stored_days(month, bytes)? {
            if wanted.contains(&day) {
                let summary: DaySummary = decode(summary)?;
                if !summary.is_empty() {
                    into.insert(day, summary);
                }
            }
        }
        Ok(())
    }
}

/// Some stored months of one learner.
pub type MonthPages = BTreeMap<Month, MonthPage>;

/// Why encoding cannot fail.
const ENCODES: &str = "counts and names are encoded into memory";

/// A day of a stored page by its number in the month, its summary, and the place that is always empty.
type NumberedDay<'a> = (u8, &'a [u8], Option<&'a [u8]>);

fn stored_days(month: Month, bytes: &[u8]) -> Result<Vec<(LocalDay, &[u8])>, PageError> {
    let (version, body) = bytes.split_first().ok_or(PageError::Unreadable)?;
    if *version > VERSION {
        return Err(PageError::Newer(*version));
    }
    let stored: Vec<NumberedDay<'_>> = postcard::from_bytes(body).map_err(|_| PageError::Unreadable)?;
    stored
        .into_iter()
        .map(|(number, summary, empty)| {
            let day = i8::try_from(number).ok().and_then(|number| month.day(number)).ok_or(PageError::Unreadable)?;
            if empty.is_some() { Err(PageError::Unreadable) } else { Ok((day, summary)) }
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Result<DaySummary, PageError> {
    postcard::from_bytes(bytes).map_err(|_| PageError::Unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::SessionFacts;

    fn minutes(minutes: i32) -> DaySummary {
        DaySummary::of(&SessionFacts::recorded("2025-06-27T08:00:00Z".parse().unwrap(), minutes), 8)
    }

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_set_replaces_a_day_and_what_is_added_adds_to_it() {
        let mut page = MonthPage::default();
        page.add(day("2025-06-27"), &minutes(30));
        page.add(day("2025-06-27"), &minutes(12));

        assert_eq!(page.set(day("2025-06-27"), minutes(7)).minutes, 42);
        assert_eq!(page.get(day("2025-06-27")), Some(&minutes(7)));
    }

    #[test]
    fn a_day_without_sessions_leaves_no_trace() {
        let mut page = MonthPage::default();
        page.set(day("2025-06-27"), minutes(12));
        page.set(day("2025-06-27"), DaySummary::default());
        page.add(day("2025-06-28"), &DaySummary::default());

        assert!(page.is_empty());
    }

    #[test]
    fn a_page_is_read_back() {
        let mut page = MonthPage::default();
        page.set(day("2025-06-01"), minutes(12));
        page.set(day("2025-06-30"), minutes(7));

        assert_eq!(MonthPage::from_bytes("2025-06".parse().unwrap(), &page.to_bytes()), Ok(page));
    }

    #[test]
    fn a_day_that_the_month_does_not_have_is_refused() {
        let mut page = MonthPage::default();
        page.set(day("2025-07-31"), minutes(12));

        assert_eq!(MonthPage::from_bytes("2025-06".parse().unwrap(), &page.to_bytes()), Err(PageError::Unreadable));
        assert_eq!(MonthPage::from_bytes("2025-06".parse().unwrap(), &[9]), Err(PageError::Newer(9)));
    }

    #[test]
    fn a_page_with_something_in_the_empty_place_is_no_page() {
        let summary = postcard::to_allocvec(&minutes(12)).unwrap();
        let page =
            |place: Option<Vec<u8>>| postcard::to_extend(&vec![(27_u8, summary.clone(), place)], vec![1]).unwrap();

        assert!(MonthPage::from_bytes("2025-06".parse().unwrap(), &page(None)).is_ok());
        let read = MonthPage::from_bytes("2025-06".parse().unwrap(), &page(Some(summary.clone())));
        assert_eq!(read, Err(PageError::Unreadable));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = MonthPage::from_bytes("2025-06".parse().unwrap(), &bytes);
        }
    }
}
