//! Who studied lately: whose statistics are worth having ready.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeInclusive};

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;
use super::totals::{MovedZones, starts_in_any_zone};
use crate::calendar::{Calendar, ZoneHistory, todays};
use crate::efficiency::RangeError;
use crate::fold::{DayRules, calendar};
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::store::tables::zone_of;

/// How many local days back a learner counts as active, today included: 1 to 36,500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActiveWithin(u16);

impl ActiveWithin {
    /// Seven days: who was there within a week is active unless somebody says otherwise.
    pub const WEEK: Self = Self(7);

    /// Takes a number of days.
    ///
    /// # Errors
    /// [`RangeError`] outside 1..=36,500.
    pub fn new(days: i64) -> Result<Self, RangeError> {
        match u16::try_from(days) {
            Ok(days @ 1..=36_500) => Ok(Self(days)),
            _ => Err(RangeError::new("days-active", days, "1 to 36500")),
        }
    }

    /// 1 to 36,500.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// The days that count for a learner whose today this is.
    fn up_to(self, today: LocalDay) -> RangeInclusive<LocalDay> {
        today.plus(1 - i32::from(self.0))..=today
    }
}

impl fmt::Display for ActiveWithin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Telling who is there, and who of them studied lately.
#[async_trait]
pub trait Active {
    /// Learners with a valid session, live or archived, that starts on one of their last local days, in the order of their
    /// ids from `after` on (not included). Only rows count: a day whose sessions were deleted by age makes nobody active.
    ///
    /// One pass over the sessions of the time in question for each call, whatever `limit` is: ask for many at once. An id
    /// takes 24 bytes.
    ///
    /// # Errors
    /// What the database says.
    async fn active_learners(
        &self,
        within: ActiveWithin,
        now: Timestamp,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError>;

    /// All learners who are there, in the order of their ids from `after` on (not included), and nothing but their ids.
    ///
    /// # Errors
    /// What the database says.
    async fn learner_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError>;
}

/// Which starts of sessions a database is asked about, before it is known where a learner lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    /// Outside of it no session counts.
    pub(super) possible: Range<Timestamp>,
    /// Inside of it every session counts; empty where the days are too few for that.
    pub(super) certain: Range<Timestamp>,
}

impl Reach {
    pub(super) fn new(within: ActiveWithin, now: Timestamp) -> Self {
        let (earliest, latest) = todays(now).into_inner();
        let (first, last) = (*within.up_to(earliest).start(), latest);
        let possible = starts_in_any_zone(&(first..=last));
        // after all that may lie on a day before, whoever's, and before all that may lie on a day after
        let before = starts_in_any_zone(&(LocalDay::MIN..=within.up_to(latest).start().plus(-1)));
        let after = starts_in_any_zone(&(earliest.plus(1)..=LocalDay::MAX));
        Self { possible, certain: before.end..after.start.max(before.end) }
    }
}

/// Finds the active ones among candidates who come in the order of their ids.
pub(super) struct Selection<'a> {
    within: ActiveWithin,
    now: Timestamp,
    rules: &'a DayRules,
    moved: BTreeMap<UserId, Calendar>,
    after: Option<UserId>,
    limit: usize,
    found: Vec<UserId>,
    /// The learner looked at last, unless found: with a calendar, and the days that count by it.
    looked_at: Option<(UserId, Calendar, RangeInclusive<LocalDay>)>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(
        (within, now): (ActiveWithin, Timestamp),
        (after, limit): (Option<UserId>, u32),
        rules: &'a DayRules,
        moved: MovedZones,
    ) -> Self {
        let moved = moved.into_calendars(rules);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { within, now, rules, moved, after, limit, found: Vec::new(), looked_at: None }
    }

    /// Whether more candidates change nothing.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// Looks at a valid session of a learner; `None` = one that counts wherever the learner is. `zone` and `stored` are what
    /// the learner's row and the stored history of zones say.
    pub(super) fn add(
        &mut self,
        user: UserId,
        start: Option<Timestamp>,
        zone: Option<&str>,
        stored: impl FnOnce() -> Result<Option<ZoneHistory>, StoreError>,
    ) -> Result<(), StoreError> {
        if self.is_full() || Some(user) == self.after || self.found.last() == Some(&user) {
            return Ok(());
        }
        let is_active = match start {
            None => true,
            Some(start) => {
                let (calendar, days) = match &mut self.looked_at {
                    Some((known, calendar, days)) if *known == user => (calendar, days),
                    other => {
                        let calendar = match self.moved.remove(&user) {
                            Some(moved) => moved,
                            None => {
                                calendar(stored()?.or_else(|| zone_of(zone).map(ZoneHistory::new)).as_ref(), self.rules)
                            }
                        };
                        let days = self.within.up_to(calendar.day_of(self.now));
                        let (_, calendar, days) = other.insert((user, calendar, days));
                        (calendar, days)
                    }
                };
                days.contains(&calendar.day_of(start))
            }
        };
        if is_active {
            self.found.push(user);
        }
        Ok(())
    }

    pub(super) fn into_found(self) -> Vec<UserId> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::{DayStart, Zone};

    #[test]
    fn a_number_of_days_outside_its_range_is_refused() {
        for bad in [i64::MIN, -1, 0, 36_501, 70_000] {
            let message = ActiveWithin::new(bad).unwrap_err().to_string();
            assert!(message.contains(&bad.to_string()) && message.contains("1 to 36500"), "{message}");
        }
        assert_eq!(ActiveWithin::new(36_500).unwrap().get(), 36_500);
    }

    #[test]
    fn a_long_time_has_a_middle_in_which_no_zone_matters() {
        let now = "2026-01-31T14:00:00Z".parse().unwrap();
        let certain = |days| Reach::new(ActiveWithin::new(days).unwrap(), now).certain;

        assert!(certain(1).is_empty());
        let hours = certain(30).start.duration_until(certain(30).end).as_hours();
        assert!(hours > 24 * 20, "{hours} hours");
    }

    proptest! {
        /// Whatever the zone, the hour at which days begin and the number of days.
        #[test]
        fn what_is_possible_and_what_is_certain_hold_in_every_zone(
            zone in prop::sample::select(vec![
                "UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Apia", "America/New_York", "Asia/Shanghai",
                "America/St_Johns", "Asia/Manila", "America/Juneau",
            ]),
            day_start in 0i64..24,
            days in prop_oneof![1i64..12, 1i64..36_501],
            now in prop_oneof![1_325_000_000i64..1_326_000_000, -4_000_000_000i64..4_000_000_000],
            back in -100i64..100,
            share in 0.0f64..1.2,
        ) {
            let within = ActiveWithin::new(days).unwrap();
            let calendar = Calendar::new(
                ZoneHistory::new(Zone::new(zone).unwrap()),
                DayStart::new(day_start).unwrap(),
            );
            let now = Timestamp::from_second(now).unwrap();
            // around the ends of the time in question
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any instant will do")]
            let start = now
                - jiff::SignedDuration::from_hours(back)
                - jiff::SignedDuration::from_hours((share.floor() * 24.0 * days as f64) as i64);

            let counts = within.up_to(calendar.day_of(now)).contains(&calendar.day_of(start));

            let reach = Reach::new(within, now);
            prop_assert!(!counts || reach.possible.contains(&start), "{start} counts and is not read");
            prop_assert!(counts || !reach.certain.contains(&start), "{start} is taken for certain and does not count");
        }
    }
}
