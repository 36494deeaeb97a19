//! The product equals the model, for every statistic and any learner.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;
use tierkeep_learning::counts::NameCounts;
use tierkeep_learning::key::{ContentId, CourseProgressId, Key};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::Year;
use tierkeep_learning::recommendation::Code;
use tierkeep_learning::statistic::{
    CourseRow, GlobalTotals, WindowDays, analytics, course_summary, daily, global, heatmap, monthly, streaks, weekly,
};

use super::learner::{Learner, any_learner, at, calendar, day};
use super::model::{self, Model};

/// How far the model's consistency score may be off: it adds up rounded squares, the product exact ones.
const ROUNDING: f64 = 1e-9;

/// Fails unless both are the same JSON, names and order of fields included.
pub(crate) fn assert_same(product: impl Serialize, model: Value) -> Result<(), TestCaseError> {
    let mut product = serde_json::to_value(product).unwrap();
    if let Some(expected) = model.get("consistency_score").and_then(Value::as_f64) {
        let score = product["consistency_score"].as_f64().unwrap();
        prop_assert!((score - expected).abs() < ROUNDING, "consistency {score}, expected {expected}");
        product["consistency_score"] = model["consistency_score"].clone();
    }
    prop_assert_eq!(serde_json::to_string_pretty(&product).unwrap(), serde_json::to_string_pretty(&model).unwrap());
    Ok(())
}

fn model(learner: &Learner) -> Model<'_> {
    Model { rows: &learner.rows, calendar: &learner.calendar, now: learner.now }
}

pub(crate) fn messages(language: Language) -> BTreeMap<String, String> {
    Code::ALL.into_iter().map(|code| (code.to_string(), code.message(language).to_owned())).collect()
}

fn any_course() -> impl Strategy<Value = CourseRow> {
    let subject = prop::sample::select(vec!["", "algebra", "Zeichnen", "数学"]);
    let finish = prop::option::of(0i32..20);
    ((0i64..40, 0i64..8, subject, 0i32..=100), (0i32..10, 0i32..20, finish, 0i64..4)).prop_map(
        |((id, content, subject, proficiency), (week, total, finish, updated))| CourseRow {
            id: CourseProgressId::new(Key::Int(id)),
            content_id: ContentId::new(Key::Int(content)),
            subject_name: subject.to_owned(),
            proficiency_level: proficiency,
            learning_hour_week: week,
            learning_hour_total: total,
            est_finish_hour: finish,
            updated_at: Timestamp::from_second(1_750_000_000 + updated).unwrap(),
        },
    )
}

/// Rows as a table holds them: each id once.
fn any_courses() -> impl Strategy<Value = Vec<CourseRow>> {
    prop::collection::vec(any_course(), 0..15).prop_map(|rows| {
        let by_id: BTreeMap<CourseProgressId, CourseRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        by_id.into_values().collect()
    })
}

fn totals(learners: &[Learner]) -> GlobalTotals {
    let mut totals = GlobalTotals::default();
    for learner in learners {
        let days = learner.days();
        totals.users += u64::from(days.values().any(|summary| summary.sessions > 0));
        for (day, summary) in days {
            totals.sessions += summary.sessions;
            totals.minutes += summary.minutes;
            totals.environments.merge(&summary.environments);
            totals.devices.merge(&summary.devices);
            *totals.by_day.entry(day).or_default() += summary.sessions;
        }
    }
    totals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_day_is_what_the_rows_say(learner in any_learner()) {
        assert_same(daily(learner.day, &learner.days()), model(&learner).daily(learner.day))?;
    }

    #[test]
    fn a_week_is_what_the_rows_say(learner in any_learner()) {
        let product = weekly(learner.day, &learner.days(), &learner.calendar, learner.today());
        assert_same(product, model(&learner).weekly(learner.day))?;
    }

    #[test]
    fn a_month_is_what_the_rows_say(learner in any_learner()) {
        let product = monthly(learner.day.month(), &learner.days(), &learner.calendar, learner.today());
        assert_same(product, model(&learner).monthly(learner.day))?;
    }

    #[test]
    fn an_analysis_is_what_the_rows_say(
        learner in any_learner(),
        length in prop_oneof![8 => 2u16..=12, 4 => 13u16..=60, 1 => Just(365u16)],
        up_to_tomorrow in any::<bool>(),
        language in prop::sample::select(vec![Language::En, Language::Zh]),
    ) {
        let to = if up_to_tomorrow { learner.today().plus(1) } else { learner.day };
        let window = WindowDays::new(length).unwrap();
        let product = analytics(to, window, &learner.days(), &learner.calendar, learner.today(), language);
        assert_same(product, model(&learner).analytics(to, length, &messages(language)))?;
    }

    #[test]
    fn streaks_are_what_the_rows_say(learner in any_learner()) {
        let product = streaks(&learner.active(), &learner.calendar, learner.today());
        assert_same(product, model(&learner).streaks())?;
    }

    #[test]
    fn a_year_is_what_the_rows_say(learner in any_learner()) {
        let year = Year::of(learner.day);
        assert_same(heatmap(year, &learner.days()), model(&learner).heatmap(year.get()))?;
    }

    #[test]
    fn courses_are_what_the_rows_say(rows in any_courses()) {
        assert_same(course_summary(&rows), model::courses(&rows))?;
    }

    #[test]
    fn all_learners_are_what_the_rows_say(learners in prop::collection::vec(any_learner(), 0..4)) {
        let today = learners.first().map_or_else(|| day("2025-06-27"), Learner::today);
        let models: Vec<Model<'_>> = learners.iter().map(model).collect();
        assert_same(global(&totals(&learners), today), model::global(&models, today))?;
    }
}

#[test]
fn a_learner_without_sessions_has_zeros_and_nulls() {
    let learner = Learner {
        rows: Vec::new(),
        calendar: calendar("Asia/Shanghai"),
        now: at("2025-06-27T08:00:00Z"),
        day: day("2025-06-27"),
    };
    let window = WindowDays::default();
    let model = model(&learner);

    let (days, today) = (learner.days(), learner.today());
    let answers = [
        (serde_json::to_value(daily(today, &days)).unwrap(), model.daily(today)),
        (serde_json::to_value(weekly(today, &days, &learner.calendar, today)).unwrap(), model.weekly(today)),
        (serde_json::to_value(monthly(today.month(), &days, &learner.calendar, today)).unwrap(), model.monthly(today)),
        (
            serde_json::to_value(analytics(today, window, &days, &learner.calendar, today, Language::En)).unwrap(),
            model.analytics(today, window.get(), &BTreeMap::new()),
        ),
        (serde_json::to_value(streaks(&learner.active(), &learner.calendar, today)).unwrap(), model.streaks()),
        (serde_json::to_value(heatmap(Year::of(today), &days)).unwrap(), model.heatmap(2025)),
        (serde_json::to_value(course_summary(&[])).unwrap(), model::courses(&[])),
        (serde_json::to_value(global(&GlobalTotals::default(), today)).unwrap(), model::global(&[], today)),
    ];

    for (product, expected) in answers {
        assert_eq!(product.to_string().replace("0.0", "0"), expected.to_string().replace("0.0", "0"));
    }
}

#[test]
fn the_learners_made_by_chance_have_what_the_properties_are_about() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..300 {
        let learner = any_learner().new_tree(&mut runner).unwrap().current();
        let streaks = streaks(&learner.active(), &learner.calendar, learner.today());
        let window = WindowDays::new(10).unwrap();
        let days = learner.days();
        let analytics = analytics(learner.day, window, &days, &learner.calendar, learner.today(), Language::En);
        let facts = [
            ("invalid rows", learner.rows.iter().any(|row| !model::is_valid(row))),
            ("inferred rows", learner.rows.iter().any(|row| row.estimator.is_some())),
            ("a current streak", streaks.current_streak > 1),
            ("a streak at risk", streaks.at_risk_until.is_some()),
            ("days after today", learner.active().iter().any(|day| day > learner.today())),
            ("advice", !analytics.recommendations.is_empty()),
            ("a trend", serde_json::to_value(analytics.improvement_trend).unwrap() != "unknown"),
            ("productive sessions", days.values().any(|summary| summary.productive > 0)),
            ("days that do not exist", (-40..40).any(|shift| !learner.calendar.exists(learner.day.plus(shift)))),
        ];
        for (fact, holds) in facts {
            *seen.entry(fact).or_default() += u32::from(holds);
        }
    }

    let names: NameCounts = seen.iter().map(|(name, count)| (*name, u64::from(*count))).collect();
    assert!(seen.values().all(|count| *count >= 5), "{names:?}");
}
