//! What holds for any learner, whatever the numbers are.

use proptest::prelude::*;
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Year};
use tierkeep_learning::session::SessionFacts;
use tierkeep_learning::statistic::{Days, Streaks, WindowDays, analytics, daily, heatmap, monthly, streaks, weekly};

use super::learner::{Learner, active_of, any_learner, any_row, days_of};

/// Every statistic of a learner's days, as the bodies that are shown.
fn bodies(learner: &Learner, days: &Days) -> Vec<String> {
    let (calendar, today, day) = (&learner.calendar, learner.today(), learner.day);
    let window = WindowDays::new(15).unwrap();
    vec![
        serde_json::to_string(&daily(day, days)).unwrap(),
        serde_json::to_string(&weekly(day, days, calendar, today)).unwrap(),
        serde_json::to_string(&monthly(day.month(), days, calendar, today)).unwrap(),
        serde_json::to_string(&analytics(day, window, days, calendar, today, Language::Zh)).unwrap(),
        serde_json::to_string(&streaks(&active_of(days), calendar, today)).unwrap(),
        serde_json::to_string(&heatmap(Year::of(day), days)).unwrap(),
    ]
}

/// The days of rows that were summarised in parts (a row's part is chosen by `labels`), merged in the order of `order`.
fn merged_in_parts(learner: &Learner, labels: &[usize], order: &[usize]) -> Days {
    let part = |label: usize| -> Vec<SessionFacts> {
        let in_part = |at: &usize| labels[*at % labels.len()] == label;
        (0..learner.rows.len()).filter(in_part).map(|at| learner.rows[at].clone()).collect()
    };
    let mut days = Days::new();
    for label in order {
        for (day, summary) in days_of(&part(*label), &learner.calendar).into_iter().rev() {
            days.entry(day).or_default().merge(&summary);
        }
    }
    days
}

fn streaks_of(learner: &Learner, today: LocalDay) -> Streaks {
    streaks(&learner.active(), &learner.calendar, today)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_split_of_the_rows_merged_in_any_order_gives_the_same_answers(
        learner in any_learner(),
        labels in prop::collection::vec(0usize..4, 1..60),
        order in Just(vec![0usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let parts = merged_in_parts(&learner, &labels, &order);

        prop_assert_eq!(bodies(&learner, &parts), bodies(&learner, &learner.days()));
    }

    #[test]
    fn the_order_of_the_rows_changes_nothing(
        (learner, shuffled) in any_learner().prop_flat_map(|learner| {
            let rows = Just(learner.rows.clone()).prop_shuffle();
            (Just(learner), rows)
        }),
    ) {
        let days = days_of(&shuffled, &learner.calendar);

        prop_assert_eq!(bodies(&learner, &days), bodies(&learner, &learner.days()));
    }

    #[test]
    fn an_empty_day_equals_an_absent_one(learner in any_learner()) {
        let mut days = learner.days();
        for shift in -40..40 {
            days.entry(learner.day.plus(shift)).or_default();
        }

        prop_assert_eq!(bodies(&learner, &days), bodies(&learner, &learner.days()));
    }

    #[test]
    fn removing_invalid_rows_changes_nothing(learner in any_learner()) {
        let valid: Vec<SessionFacts> = learner.rows.iter().filter(|row| row.fault().is_none()).cloned().collect();

        prop_assert_eq!(bodies(&learner, &days_of(&valid, &learner.calendar)), bodies(&learner, &learner.days()));
    }

    #[test]
    fn a_period_is_the_sum_of_its_days(learner in any_learner()) {
        let (days, calendar, today) = (learner.days(), &learner.calendar, learner.today());
        let sums = |first: LocalDay, last: LocalDay| {
            first.through(last).map(|day| daily(day, &days)).fold((0, 0), |(sessions, minutes), day| {
                (sessions + day.total_sessions, minutes + day.total_duration)
            })
        };

        let week = weekly(learner.day, &days, calendar, today);
        prop_assert_eq!((week.total_sessions, week.total_duration), sums(week.week_start, week.week_end));
        prop_assert_eq!(week.daily_breakdown.len(), 7);

        let month = monthly(learner.day.month(), &days, calendar, today);
        prop_assert_eq!((month.total_sessions, month.total_duration), sums(month.month.first(), month.month.last()));
        prop_assert_eq!(month.weeks.values().sum::<u64>(), month.total_duration);
        prop_assert_eq!(month.daily_breakdown.values().map(|day| day.duration).sum::<u64>(), month.total_duration);

        let window = WindowDays::new(17).unwrap();
        let last_days = analytics(learner.day, window, &days, calendar, today, Language::En);
        prop_assert_eq!((last_days.total_sessions, last_days.total_duration), sums(last_days.from, last_days.to));
        prop_assert_eq!(last_days.peak_hours.iter().map(|(_, sessions)| sessions).sum::<u64>(), last_days.total_sessions);

        let year = Year::of(learner.day);
        let cells = heatmap(year, &days).days;
        let (first, last) = year.days().into_inner();
        let total = cells.iter().fold((0, 0), |(sessions, minutes), cell| (sessions + cell.sessions, minutes + cell.duration));
        prop_assert_eq!(total, sums(first, last));
    }

    #[test]
    fn a_longer_window_never_shows_less(learner in any_learner(), length in 2u16..60, longer in 0u16..60) {
        let (days, today) = (learner.days(), learner.today());
        let over = |length| {
            let window = WindowDays::new(length).unwrap();
            analytics(learner.day, window, &days, &learner.calendar, today, Language::En)
        };
        let (short, long) = (over(length), over(length + longer));

        prop_assert!(short.total_sessions <= long.total_sessions);
        prop_assert!(short.total_duration <= long.total_duration);
        prop_assert!(short.longest_streak <= long.longest_streak);
        prop_assert!(short.current_streak <= long.current_streak);
    }

    #[test]
    fn the_current_streak_is_never_longer_than_the_longest(learner in any_learner()) {
        let all = streaks_of(&learner, learner.today());
        prop_assert!(all.current_streak <= all.longest_streak);
        prop_assert_eq!(all.current_streak == 0, all.current_start.is_none());
        prop_assert_eq!(all.longest_streak == 0, all.longest_end.is_none());

        for to in [learner.day, learner.today(), learner.today().plus(1)] {
            let window = WindowDays::new(30).unwrap();
            let days = learner.days();
            let last_days = analytics(to, window, &days, &learner.calendar, learner.today(), Language::En);
            prop_assert!(last_days.current_streak <= last_days.longest_streak);
        }
    }

    #[test]
    fn another_session_never_shortens_a_streak(
        (learner, row) in any_learner().prop_flat_map(|learner| {
            let row = any_row(learner.now);
            (Just(learner), row)
        }),
    ) {
        let before = streaks_of(&learner, learner.today());
        let mut more = learner;
        more.rows.push(row);
        let after = streaks_of(&more, more.today());

        prop_assert!(after.longest_streak >= before.longest_streak);
        prop_assert!(after.current_streak >= before.current_streak);
    }

    #[test]
    fn deleting_todays_only_session_restores_yesterdays_answer(learner in any_learner()) {
        let today = learner.today();
        let mut yesterday = today.plus(-1);
        while !learner.calendar.exists(yesterday) {
            yesterday = yesterday.plus(-1);
        }
        let mut until_yesterday = learner.active();
        for day in learner.active().iter().filter(|day| *day >= today) {
            until_yesterday.remove(day);
        }
        // had yesterday been missed, today's answer would say so
        until_yesterday.insert(yesterday);

        let mut studied = until_yesterday.clone();
        studied.insert(today);
        let while_studied = streaks(&studied, &learner.calendar, today);
        studied.remove(today);
        let deleted = streaks(&studied, &learner.calendar, today);
        let answer_of_yesterday = streaks(&until_yesterday, &learner.calendar, yesterday);

        prop_assert_eq!(while_studied.current_streak, deleted.current_streak + 1);
        prop_assert_eq!(while_studied.at_risk_until, None);
        prop_assert_eq!(deleted.at_risk_until, learner.calendar.ends(today));
        prop_assert_eq!(Streaks { at_risk_until: None, ..deleted }, answer_of_yesterday);
    }

    #[test]
    fn a_heat_map_level_depends_on_nothing_but_the_duration_and_rises_with_it(learner in any_learner()) {
        let mut cells = heatmap(Year::of(learner.day), &learner.days()).days;
        prop_assert_eq!(cells.len(), if Year::of(learner.day).get() % 4 == 0 { 366 } else { 365 });

        cells.sort_by_key(|cell| cell.duration);
        for pair in cells.windows(2) {
            prop_assert!(pair[0].level <= pair[1].level);
            prop_assert!(pair[0].duration != pair[1].duration || pair[0].level == pair[1].level);
        }
        prop_assert!(cells.iter().all(|cell| (cell.level == 0) == (cell.duration == 0) && cell.level <= 4));
    }
}
