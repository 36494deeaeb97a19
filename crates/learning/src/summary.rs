//! The day summary: everything the statistics need to know of one learner's local day.
//!
//! Summaries form a commutative monoid: [`DaySummary::merge`] is associative and commutative and
//! [`DaySummary::default`] is its identity, so a period is the merge of its days in any order and grouping.
//! All fields are exact integers; additions saturate, which keeps both laws.

use crate::counts::{HourCounts, NameCounts, RatingCounts};
use crate::estimator::Estimator;
use crate::session::SessionFacts;
use serde::{Deserialize, Serialize};

/// Counts, sums and small histograms of the valid sessions of a day (or, merged, of a period).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySummary {
    /// Valid sessions.
    pub sessions: u64,
    /// Of these, sessions with an end.
    pub completed: u64,
    /// Of these, sessions still open.
    pub active: u64,
    /// Of these, productive sessions ([`crate::efficiency::is_productive`]).
    pub productive: u64,
    /// Minutes studied.
    pub minutes: u64,
    /// Ratings given.
    pub ratings: RatingCounts,
    /// Sessions with a focus score.
    pub focused: u64,
    /// Sum of their focus scores, in hundredths.
    pub focus_hundredths: u64,
    /// Sessions by local start hour.
    pub hours: HourCounts,
    /// Sessions by environment; the empty name is left out.
    pub environments: NameCounts,
    /// Sessions by device; the empty name is left out.
    pub devices: NameCounts,
    /// Sessions by subject; the empty name is left out.
    pub subjects: NameCounts,
    /// Rules that inferred some of these sessions, sorted, each once.
    pub estimators: Vec<Estimator>,
}

impl DaySummary {
    /// The summary of one session that starts in local hour `hour` (0 to 23). An invalid session gives the identity.
    #[must_use]
    pub fn of(session: &SessionFacts, hour: u8) -> Self {
        let mut summary = Self::default();
        summary.add(session, hour);
        summary
    }

    /// Adds one session that starts in local hour `hour` (0 to 23); an invalid one changes nothing.
    pub fn add(&mut self, session: &SessionFacts, hour: u8) {
        if session.fault().is_some() {
            return;
        }
        self.sessions = self.sessions.saturating_add(1);
        self.completed = self.completed.saturating_add(session.end.is_some().into());
        self.active = self.active.saturating_add(session.is_active.into());
        self.productive = self.productive.saturating_add(session.is_productive().into());
        self.minutes = self.minutes.saturating_add(u64::try_from(session.duration_minutes).unwrap_or(0));
        if let Some(rating) = session.valid_rating() {
            self.ratings.add(rating, 1);
        }
        if let Some(focus) = session.valid_focus() {
            self.focused = self.focused.saturating_add(1);
            self.focus_hundredths = self.focus_hundredths.saturating_add(focus.hundredths().into());
        }
        self.hours.add(hour, 1);
        self.environments.add(&session.environment, 1);
        self.devices.add(&session.device, 1);
        self.subjects.add(&session.subject, 1);
        self.add_estimators(session.estimator.as_slice());
    }

    /// Adds another summary to this one.
    pub fn merge(&mut self, other: &Self) {
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.completed = self.completed.saturating_add(other.completed);
        self.active = self.active.saturating_add(other.active);
        self.productive = self.productive.saturating_add(other.productive);
        self.minutes = self.minutes.saturating_add(other.minutes);
        self.ratings.merge(&other.ratings);
        self.focused = self.focused.saturating_add(other.focused);
        self.focus_hundredths = self.focus_hundredths.saturating_add(other.focus_hundredths);
        self.hours.merge(&other.hours);
        self.environments.merge(&other.environments);
        self.devices.merge(&other.devices);
        self.subjects.merge(&other.subjects);
        self.add_estimators(&other.estimators);
    }

    /// The merge of many summaries.
    #[must_use]
    pub fn merged<'a>(summaries: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for summary in summaries {
            total.merge(summary);
        }
        total
    }

    /// Whether this is the identity: no session at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Mean minutes a session, unrounded; `None` without sessions.
    #[must_use]
    pub fn mean_minutes(&self) -> Option<f64> {
        mean(self.minutes, self.sessions)
    }

    /// Mean rating, unrounded; `None` without ratings.
    #[must_use]
    pub fn mean_rating(&self) -> Option<f64> {
        mean(self.ratings.sum(), self.ratings.count())
    }

    /// Mean focus score, unrounded; `None` without focus scores.
    #[must_use]
    pub fn mean_focus(&self) -> Option<f64> {
        // one division of the exact sum, so the double is the nearest one
        mean(self.focus_hundredths, self.focused.saturating_mul(100))
    }

    fn add_estimators(&mut self, estimators: &[Estimator]) {
        for estimator in estimators {
            if let Err(place) = self.estimators.binary_search(estimator) {
                self.estimators.insert(place, *estimator);
            }
        }
    }
}

/// `sum / count` as the double nearest to the exact sums; `None` when nothing was counted.
#[expect(clippy::cast_precision_loss, reason = "a sum above 2^53 minutes is 17 billion years")]
pub(crate) fn mean(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_facts() -> impl Strategy<Value = SessionFacts> {
        let second = 1_700_000_000i64..1_760_000_000;
        let name =
            prop_oneof![Just(""), Just("home"), Just("library"), Just("自习室"), Just("a rather long name of a place")];
        (
            (
                second,
                prop::option::of(-600i64..20_000),
                -2i32..400,
                prop::option::of(-1i16..8),
                prop::option::of(-20i16..130),
            ),
            (0i32..8, any::<bool>(), name.clone(), name.clone(), name, prop::option::of(60u32..900)),
        )
            .prop_map(
                |((start, length, minutes, rating, focus), (breaks, active, place, device, subject, timeout))| {
                    let start = jiff::Timestamp::from_second(start).unwrap();
                    SessionFacts {
                        start,
                        end: length.map(|length| start + jiff::SignedDuration::from_secs(length)),
                        duration_minutes: minutes,
                        rating,
                        focus_hundredths: focus,
                        break_count: breaks,
                        is_active: active,
                        environment: place.into(),
                        device: device.into(),
                        subject: subject.into(),
                        estimator: timeout.and_then(|timeout| Estimator::gap(timeout, 0).ok()),
                    }
                },
            )
    }

    fn any_summary() -> impl Strategy<Value = DaySummary> {
        prop::collection::vec((any_facts(), 0u8..24), 0..6).prop_map(|sessions| {
            let mut summary = DaySummary::default();
            for (session, hour) in &sessions {
                summary.add(session, *hour);
            }
            summary
        })
    }

    fn merged(a: &DaySummary, b: &DaySummary) -> DaySummary {
        DaySummary::merged([a, b])
    }

    proptest! {
        #[test]
        fn merge_is_associative(a in any_summary(), b in any_summary(), c in any_summary()) {
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        }

        #[test]
        fn merge_is_commutative(a in any_summary(), b in any_summary()) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        }

        #[test]
        fn the_empty_summary_is_the_identity(a in any_summary()) {
            prop_assert_eq!(&merged(&a, &DaySummary::default()), &a);
            prop_assert_eq!(&merged(&DaySummary::default(), &a), &a);
        }

        #[test]
        fn adding_one_by_one_equals_merging_single_summaries(
            sessions in prop::collection::vec((any_facts(), 0u8..24), 0..12),
        ) {
            let mut added = DaySummary::default();
            let mut singles = DaySummary::default();
            for (session, hour) in &sessions {
                added.add(session, *hour);
                singles.merge(&DaySummary::of(session, *hour));
            }
            prop_assert_eq!(added, singles);
        }

        #[test]
        fn the_stored_form_is_read_back(summary in any_summary()) {
            let bytes = postcard::to_allocvec(&summary).unwrap();
            prop_assert_eq!(postcard::from_bytes::<DaySummary>(&bytes).unwrap(), summary);
        }
    }

    #[test]
    fn an_invalid_session_changes_nothing() {
        let mut session = SessionFacts::recorded("2025-06-27T08:00:00Z".parse().unwrap(), -1);
        assert!(DaySummary::of(&session, 8).is_empty());
        session.duration_minutes = 0;
        assert!(!DaySummary::of(&session, 8).is_empty(), "a session of no minutes is still a session");
    }

    #[test]
    fn means_over_nothing_are_none() {
        let empty = DaySummary::default();
        assert_eq!((empty.mean_minutes(), empty.mean_rating(), empty.mean_focus()), (None, None, None));
    }
}
