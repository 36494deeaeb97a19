//! From what a learner did to sittings: the gap rule, around the sessions that the source recorded itself.
//!
//! Everything is in microseconds since 1970.

use std::collections::BTreeMap;

use crate::estimator::Estimator;

/// Something a learner did at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) at: i64,
    /// Number of the course; courses are numbered in the order of their names.
    pub(super) course: Option<u32>,
}

/// A session that its source recorded, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) course: Option<u32>,
}

/// A stretch of inferred activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sitting {
    pub(super) start: i64,
    /// With the tail, if it has one.
    pub(super) end: i64,
    /// The course of most of its points, of equals the first by name.
    pub(super) course: Option<u32>,
}

impl Sitting {
    /// The stretch of time it covers.
    pub(super) fn as_interval(&self) -> Interval {
        Interval { start: self.start, end: self.end, course: self.course }
    }
}

/// The sittings of one learner, in order; `points` and `intervals` are ordered by time.
///
/// A pause strictly shorter than the timeout counts in full, a longer one ends the sitting, which then receives the tail.
/// Intervals cut sittings and act as points at both ends; points inside one are part of it and count nothing. So no
/// instant is counted twice, as far as the intervals do not overlap each other.
pub(super) fn sittings(points: &[Point], intervals: &[Interval], estimator: Estimator) -> Vec<Sitting> {
    let mut rule = Rule {
        timeout: i64::from(estimator.timeout_s()) * 1_000_000,
        tail: i64::from(estimator.tail_s()) * 1_000_000,
        open: None,
        sittings: Vec::new(),
    };
    let mut points = points.iter().copied().peekable();
    for interval in united(intervals) {
        while let Some(point) = points.next_if(|point| point.at < interval.start) {
            rule.point(point);
        }
        while points.next_if(|point| point.at <= interval.end).is_some() {}
        rule.interval(interval);
    }
    points.for_each(|point| rule.point(point));
    rule.close(true);
    rule.sittings
}

/// Intervals that share an instant, joined; the first one names the course.
fn united(intervals: &[Interval]) -> Vec<Interval> {
    let mut united: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match united.last_mut() {
            Some(last) if interval.start <= last.end => last.end = last.end.max(interval.end),
            _ => united.push(*interval),
        }
    }
    united
}

struct Rule {
    timeout: i64,
    tail: i64,
    open: Option<Open>,
    sittings: Vec<Sitting>,
}

/// A sitting that may go on.
struct Open {
    start: i64,
    last: i64,
    /// Whether `last` is a point, not the end of an interval.
    active: bool,
    courses: BTreeMap<u32, u32>,
    /// The course of the interval it began behind.
    before: Option<u32>,
}

impl Rule {
    fn point(&mut self, point: Point) {
        let open = match self.open.take() {
            Some(open) if point.at - open.last < self.timeout => Some(open),
            other => {
                self.open = other;
                self.close(true);
                None
            }
        };
        let mut open = open.unwrap_or_else(|| Open::at(point.at));
        open.last = point.at;
        open.active = true;
        if let Some(course) = point.course {
            *open.courses.entry(course).or_default() += 1;
        }
        self.open = Some(open);
    }

    fn interval(&mut self, interval: Interval) {
        let reached = self.open.as_mut().is_some_and(|open| {
            let reached = interval.start - open.last < self.timeout;
            if reached {
                open.last = interval.start;
            }
            reached
        });
        self.close(!reached);
        self.open = Some(Open { before: interval.course, ..Open::at(interval.end) });
    }

    /// Ends the sitting; nothing is left of one that only an interval's end began.
    fn close(&mut self, with_tail: bool) {
        let Some(open) = self.open.take() else { return };
        if !open.active && open.last == open.start {
            return;
        }
        let most = open.courses.iter().max_by_key(|&(&course, &count)| (count, std::cmp::Reverse(course)));
        self.sittings.push(Sitting {
            start: open.start,
            end: open.last + if with_tail { self.tail } else { 0 },
            course: most.map(|(&course, _)| course).or(open.before),
        });
    }
}

impl Open {
    fn at(at: i64) -> Self {
        Self { start: at, last: at, active: false, courses: BTreeMap::new(), before: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::{Calendar, DayStart, Zone, ZoneHistory};
    use crate::instant;

    const SECOND: i64 = 1_000_000;

    fn point(second: i64) -> Point {
        Point { at: second * SECOND, course: None }
    }

    fn points(seconds: &[i64]) -> Vec<Point> {
        seconds.iter().copied().map(point).collect()
    }

    fn interval(start: i64, end: i64) -> Interval {
        Interval { start: start * SECOND, end: end * SECOND, course: None }
    }

    /// Sittings in seconds.
    fn found(points: &[Point], intervals: &[Interval], timeout: u32, tail: u32) -> Vec<(i64, i64)> {
        sittings(points, intervals, Estimator::gap(timeout, tail).unwrap())
            .iter()
            .map(|sitting| (sitting.start / SECOND, sitting.end / SECOND))
            .collect()
    }

    fn total(sittings: &[Sitting]) -> i64 {
        sittings.iter().map(|sitting| sitting.end - sitting.start).sum()
    }

    #[test]
    fn a_pause_of_exactly_the_timeout_ends_a_sitting() {
        assert_eq!(found(&points(&[0, 599, 1199]), &[], 600, 0), [(0, 599), (1199, 1199)]);
    }

    #[test]
    fn every_sitting_receives_the_tail() {
        assert_eq!(found(&points(&[0, 10, 1000]), &[], 600, 30), [(0, 40), (1000, 1030)]);
    }

    #[test]
    fn an_interval_takes_the_points_inside_it_and_acts_as_a_point_at_both_ends() {
        let near = points(&[0, 100, 150, 200, 250]);

        assert_eq!(found(&near, &[interval(100, 200)], 600, 30), [(0, 100), (200, 280)]);
        assert_eq!(found(&near, &[interval(0, 250)], 600, 30), []);
        // too far away on either side to be joined to it
        assert_eq!(found(&points(&[0, 2000]), &[interval(900, 1000)], 600, 30), [(0, 30), (2000, 2030)]);
    }

    #[test]
    fn a_short_pause_between_two_intervals_counts() {
        assert_eq!(found(&[], &[interval(0, 100), interval(150, 200)], 600, 30), [(100, 150)]);
        assert_eq!(found(&[], &[interval(0, 100), interval(100, 200)], 600, 30), []);
        assert_eq!(found(&[], &[interval(0, 100), interval(700, 800)], 600, 30), []);
    }

    #[test]
    fn intervals_that_overlap_are_left_together() {
        let all = [interval(0, 300), interval(100, 200), interval(250, 400)];

        assert_eq!(found(&points(&[150, 310, 450]), &all, 600, 0), [(400, 450)]);
    }

    #[test]
    fn a_sitting_has_the_course_of_most_of_its_points() {
        let of = |second, course| Point { course, ..point(second) };
        let course = |points: &[Point]| sittings(points, &[], Estimator::default())[0].course;

        assert_eq!(course(&[of(0, Some(1)), of(1, Some(2)), of(2, Some(2)), of(3, None)]), Some(2));
        assert_eq!(course(&[of(0, Some(2)), of(1, Some(1))]), Some(1));
        assert_eq!(course(&[of(0, None)]), None);
    }

    fn any_points() -> impl Strategy<Value = Vec<i64>> {
        prop::collection::vec(0i64..20_000, 0..40)
    }

    fn any_intervals() -> impl Strategy<Value = Vec<Interval>> {
        prop::collection::vec((0i64..20_000, 1i64..2_000), 0..5).prop_map(|all| {
            let mut all: Vec<Interval> =
                all.into_iter().map(|(start, length)| interval(start, start + length)).collect();
            all.sort_by_key(|interval| (interval.start, interval.end));
            all
        })
    }

    fn any_estimator() -> impl Strategy<Value = (u32, u32)> {
        (1u32..3000).prop_flat_map(|timeout| (Just(timeout), 0..=timeout.min(300)))
    }

    fn sorted(mut seconds: Vec<i64>) -> Vec<Point> {
        seconds.sort_unstable();
        points(&seconds)
    }

    proptest! {
        #[test]
        fn adding_a_point_never_lowers_the_total(
            seconds in any_points(), intervals in any_intervals(), (timeout, tail) in any_estimator(), more in 0i64..20_000,
        ) {
            let estimator = Estimator::gap(timeout, tail).unwrap();
            let before = total(&sittings(&sorted(seconds.clone()), &intervals, estimator));

            let after = total(&sittings(&sorted([seconds, vec![more]].concat()), &intervals, estimator));

            prop_assert!(before <= after, "{before} > {after}");
        }

        #[test]
        fn the_total_does_not_fall_as_the_timeout_grows(
            seconds in any_points(), intervals in any_intervals(), (timeout, tail) in any_estimator(), more in 0u32..3000,
        ) {
            let all = sorted(seconds);
            let short = total(&sittings(&all, &intervals, Estimator::gap(timeout, tail).unwrap()));
            let long = total(&sittings(&all, &intervals, Estimator::gap(timeout + more, tail).unwrap()));

            prop_assert!(short <= long, "{short} > {long}");
        }

        #[test]
        fn a_point_twice_counts_once(seconds in any_points(), (timeout, tail) in any_estimator()) {
            let estimator = Estimator::gap(timeout, tail).unwrap();
            let once = sittings(&sorted(seconds.clone()), &[], estimator);
            let twice = sittings(&sorted([seconds.clone(), seconds].concat()), &[], estimator);

            prop_assert_eq!(once, twice);
        }

        #[test]
        fn no_instant_is_counted_twice(
            seconds in any_points(), intervals in any_intervals(), (timeout, tail) in any_estimator(),
        ) {
            let sittings = sittings(&sorted(seconds), &intervals, Estimator::gap(timeout, tail).unwrap());
            let mut stretches: Vec<(i64, i64)> = united(&intervals).iter().map(|one| (one.start, one.end)).collect();
            stretches.extend(sittings.iter().map(|sitting| (sitting.start, sitting.end)));
            stretches.sort_unstable();

            prop_assert!(stretches.is_sorted_by(|earlier, later| earlier.1 <= later.0), "{stretches:?}");
        }

        #[test]
        fn the_gap_rule_is_the_sum_of_short_pauses(seconds in any_points(), timeout in 1u32..3000) {
            let all = sorted(seconds);
            let short = |pause: &i64| *pause < i64::from(timeout) * SECOND;
            let expected: i64 = all.windows(2).map(|pair| pair[1].at - pair[0].at).filter(short).sum();

            prop_assert_eq!(total(&sittings(&all, &[], Estimator::gap(timeout, 0).unwrap())), expected);
        }

        #[test]
        fn cutting_at_local_days_keeps_the_total(
            seconds in prop::collection::vec(1_761_400_000i64..1_761_800_000, 1..60), tail in 0u32..600,
        ) {
            // the days around the end of summer time
            let zone = Zone::new("Europe/Paris").unwrap();
            let calendar = Calendar::new(ZoneHistory::new(zone), DayStart::default());
            let sittings = sittings(&sorted(seconds), &[], Estimator::gap(7200, tail).unwrap());
            let mut cut = 0;
            for sitting in &sittings {
                let instant = |micros| instant::from_micros(micros).unwrap();
                let first = calendar.day_of(instant(sitting.start));
                let last = calendar.day_of(instant(sitting.end));
                for stretch in first.through(last).flat_map(|day| calendar.intervals(day)) {
                    let start = stretch.start.as_microsecond().max(sitting.start);
                    let end = stretch.end.as_microsecond().min(sitting.end);
                    cut += (end - start).max(0);
                }
            }

            prop_assert_eq!(cut, total(&sittings));
        }
    }
}
