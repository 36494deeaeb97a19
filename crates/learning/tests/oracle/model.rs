//! The slow model: every number straight from the rows, by the words of the contract, one loop for each.
//!
//! It shares with the product only the rows, the dates and the calendar; it knows no day summary. Answers are JSON, so
//! that names and order of the fields are compared too.

use std::collections::BTreeMap;

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tierkeep_learning::calendar::Calendar;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::session::SessionFacts;
use tierkeep_learning::statistic::CourseRow;

/// One learner's rows, with the faulty ones, and the instant that is now.
pub(crate) struct Model<'a> {
    pub(crate) rows: &'a [SessionFacts],
    pub(crate) calendar: &'a Calendar,
    pub(crate) now: Timestamp,
}

type Rows<'a> = Vec<&'a SessionFacts>;

pub(crate) fn is_valid(row: &SessionFacts) -> bool {
    let ends_after_start = match row.end {
        Some(end) => end >= row.start,
        None => true,
    };
    row.duration_minutes >= 0
        && ends_after_start
        && matches!(row.rating, None | Some(1..=5))
        && matches!(row.focus_hundredths, None | Some(0..=100))
}

fn is_productive(row: &SessionFacts) -> bool {
    let Some(rating) = row.rating else { return false };
    row.duration_minutes >= 25 && rating >= 3 && efficiency_hundredths(row) >= 60
}

fn efficiency_hundredths(row: &SessionFacts) -> i64 {
    if row.duration_minutes == 0 {
        return 0;
    }
    let breaks_per_hour = f64::from(row.break_count) * 60.0 / f64::from(row.duration_minutes);
    let tenths = if breaks_per_hour < 0.5 {
        8
    } else if breaks_per_hour <= 2.0 {
        10
    } else {
        6
    };
    let rating = i64::from(row.rating.unwrap_or(3));
    let focus = i64::from(row.focus_hundredths.unwrap_or(70));
    // rating/5 × focus/100 × tenths/10, as a fraction of 5000
    let fraction = rating * focus * tenths;
    (2 * 100 * fraction + 5000) / (2 * 5000)
}

fn minutes(rows: &Rows<'_>) -> i64 {
    rows.iter().map(|row| i64::from(row.duration_minutes)).sum()
}

fn mean(numbers: &[i64]) -> Option<f64> {
    if numbers.is_empty() { None } else { Some(numbers.iter().sum::<i64>() as f64 / numbers.len() as f64) }
}

fn mean_minutes(rows: &Rows<'_>) -> Option<f64> {
    mean(&rows.iter().map(|row| i64::from(row.duration_minutes)).collect::<Vec<_>>())
}

fn ratings(rows: &Rows<'_>) -> Vec<i64> {
    rows.iter().filter_map(|row| row.rating).map(i64::from).collect()
}

fn mean_focus(rows: &Rows<'_>) -> Option<f64> {
    let scores: Vec<i64> = rows.iter().filter_map(|row| row.focus_hundredths).map(i64::from).collect();
    // the mean of scores of two decimals: sum of hundredths over a hundred times their number
    if scores.is_empty() { None } else { Some(scores.iter().sum::<i64>() as f64 / (100 * scores.len()) as f64) }
}

fn tally<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    for name in names.filter(|name| !name.is_empty()) {
        *tally.entry(name.to_owned()).or_insert(0) += 1;
    }
    tally
}

fn environments(rows: &Rows<'_>) -> BTreeMap<String, u64> {
    tally(rows.iter().map(|row| row.environment.as_str()))
}

fn devices(rows: &Rows<'_>) -> BTreeMap<String, u64> {
    tally(rows.iter().map(|row| row.device.as_str()))
}

/// The first key among those with the largest count.
pub(crate) fn first_of_most<K: Ord + Clone>(tally: &BTreeMap<K, u64>) -> Option<K> {
    let most = *tally.values().max()?;
    tally.iter().find(|(_, count)| **count == most).map(|(key, _)| key.clone())
}

fn longest(active: &[bool]) -> usize {
    (0..active.len()).map(|from| active[from..].iter().take_while(|active| **active).count()).max().unwrap_or(0)
}

fn trailing(active: &[bool]) -> usize {
    active.iter().rev().take_while(|active| **active).count()
}

fn between(first: LocalDay, last: LocalDay) -> Vec<LocalDay> {
    let mut days = vec![first];
    while *days.last().unwrap() < last {
        days.push(days.last().unwrap().plus(1));
    }
    days
}

impl<'a> Model<'a> {
    fn today(&self) -> LocalDay {
        self.calendar.day_of(self.now)
    }

    fn on(&self, day: LocalDay) -> Rows<'a> {
        self.within(&[day])
    }

    fn within(&self, days: &[LocalDay]) -> Rows<'a> {
        self.rows.iter().filter(|row| is_valid(row) && days.contains(&self.calendar.day_of(row.start))).collect()
    }

    fn is_active(&self, day: LocalDay) -> bool {
        minutes(&self.on(day)) > 0
    }

    fn existing(&self, days: &[LocalDay]) -> Vec<LocalDay> {
        days.iter().copied().filter(|day| self.calendar.exists(*day)).collect()
    }

    fn hours(&self, rows: &Rows<'_>) -> BTreeMap<u8, u64> {
        let mut hours = BTreeMap::new();
        for row in rows {
            *hours.entry(self.calendar.hour_of(row.start)).or_insert(0) += 1;
        }
        hours
    }

    pub(crate) fn daily(&self, day: LocalDay) -> Value {
        let rows = self.on(day);
        let mut answer = json!({
            "date": day,
            "total_sessions": rows.len(),
            "completed_sessions": rows.iter().filter(|row| row.end.is_some()).count(),
            "active_sessions": rows.iter().filter(|row| row.is_active).count(),
            "productive_sessions": rows.iter().filter(|row| is_productive(row)).count(),
            "total_duration": minutes(&rows),
            "avg_effectiveness": mean(&ratings(&rows)),
            "avg_focus_score": mean_focus(&rows),
            "environments": environments(&rows),
            "devices": devices(&rows),
            "subjects": tally(rows.iter().map(|row| row.subject.as_str())),
            "hours": self.hours(&rows),
        });
        add_estimators(&mut answer, &rows);
        answer
    }

    pub(crate) fn weekly(&self, any_day: LocalDay) -> Value {
        let mut monday = any_day;
        while monday.date().weekday() != Weekday::Monday {
            monday = monday.plus(-1);
        }
        let week = between(monday, monday.plus(6));
        let mut answer = json!({"week_start": monday, "week_end": monday.plus(6)});
        self.add_period(&mut answer, &week);
        add_estimators(&mut answer, &self.within(&week));
        answer
    }

    pub(crate) fn monthly(&self, any_day: LocalDay) -> Value {
        let name = any_day.to_string()[..7].to_owned();
        let near = between(any_day.plus(-31), any_day.plus(31));
        let month: Vec<LocalDay> = near.into_iter().filter(|day| day.to_string().starts_with(&name)).collect();
        let mut answer = json!({"month": name});
        self.add_period(&mut answer, &month);
        let mut weeks = BTreeMap::new();
        for monday in between(month[0].plus(-6), month[month.len() - 1]) {
            if monday.date().weekday() == Weekday::Monday {
                let inside: Vec<LocalDay> =
                    between(monday, monday.plus(6)).into_iter().filter(|day| month.contains(day)).collect();
                weeks.insert(monday.to_string(), minutes(&self.within(&inside)));
            }
        }
        answer["weeks"] = json!(weeks);
        add_estimators(&mut answer, &self.within(&month));
        answer
    }

    fn add_period(&self, answer: &mut Value, days: &[LocalDay]) {
        let rows = self.within(days);
        let mut breakdown = Map::new();
        for day in days {
            let rows = self.on(*day);
            let completed = rows.iter().filter(|row| row.end.is_some()).count();
            breakdown.insert(
                day.to_string(),
                json!({"sessions": rows.len(), "duration": minutes(&rows), "completed": completed}),
            );
        }
        let active: Vec<bool> = self.existing(days).iter().map(|day| self.is_active(*day)).collect();
        answer["total_sessions"] = json!(rows.len());
        answer["total_duration"] = json!(minutes(&rows));
        answer["avg_session_duration"] = json!(mean_minutes(&rows));
        answer["daily_breakdown"] = Value::Object(breakdown);
        answer["active_days"] = json!(active.iter().filter(|active| **active).count());
        answer["streak_days"] = json!(longest(&active));
        answer["most_productive_day"] = json!(self.most_productive(days));
        answer["consistency_score"] = json!(self.consistency(days));
    }

    fn most_productive(&self, days: &[LocalDay]) -> Option<LocalDay> {
        let merit = |day: LocalDay| {
            let rows = self.on(day);
            (rows.iter().filter(|row| is_productive(row)).count(), minutes(&rows))
        };
        let studied: Vec<LocalDay> = days.iter().copied().filter(|day| !self.on(*day).is_empty()).collect();
        let best = studied.iter().map(|day| merit(*day)).max()?;
        studied.into_iter().find(|day| merit(*day) == best)
    }

    fn consistency(&self, days: &[LocalDay]) -> f64 {
        let begun: Vec<f64> = self
            .existing(days)
            .into_iter()
            .filter(|day| *day <= self.today())
            .map(|day| minutes(&self.on(day)) as f64)
            .collect();
        let n = begun.len() as f64;
        let mean = begun.iter().sum::<f64>() / n;
        // no day has begun: 0 / 0
        if mean.is_nan() || mean == 0.0 {
            return 0.0;
        }
        let variance = begun.iter().map(|minutes| (minutes - mean).powi(2)).sum::<f64>() / n;
        (1.0 - variance.sqrt() / mean).max(0.0)
    }

    pub(crate) fn analytics(&self, to: LocalDay, length: u16, messages: &BTreeMap<String, String>) -> Value {
        let days = between(to.plus(1 - i32::from(length)), to);
        let rows = self.within(&days);
        let (earlier, later) = days.split_at(days.len() / 2);
        // a day that has not ended says nothing while it is empty
        let decided: Vec<bool> = self
            .existing(&days)
            .into_iter()
            .filter(|day| *day < self.today() || self.is_active(*day))
            .map(|day| self.is_active(day))
            .collect();
        let mut answer = json!({
            "from": days[0],
            "to": to,
            "days": length,
            "total_sessions": rows.len(),
            "total_duration": minutes(&rows),
            "avg_session_duration": mean_minutes(&rows),
            "avg_effectiveness": mean(&ratings(&rows)),
            "avg_focus_score": mean_focus(&rows),
            "preferred_environment": first_of_most(&environments(&rows)),
            "preferred_device": first_of_most(&devices(&rows)),
            "peak_hours": self.hours(&rows),
            "improvement_trend": trend(&ratings(&self.within(earlier)), &ratings(&self.within(later))),
            "current_streak": trailing(&decided),
            "longest_streak": longest(&decided),
            "recommendations": self.recommendations(&rows, messages),
        });
        add_estimators(&mut answer, &rows);
        answer
    }

    fn recommendations(&self, rows: &Rows<'_>, messages: &BTreeMap<String, String>) -> Vec<Value> {
        let mut list = Vec::new();
        let mut advise = |code: &str, evidence: Value| {
            list.push(json!({"code": code, "message": messages[code], "evidence": evidence}));
        };
        if let Some(mean) = mean_minutes(rows).filter(|mean| *mean < 30.0) {
            advise("short_sessions", json!({"avg_session_duration": mean, "threshold": 30}));
        }
        let ratings = ratings(rows);
        if let Some(mean) = mean(&ratings).filter(|mean| *mean < 3.0) {
            advise("low_effectiveness", json!({"avg_effectiveness": mean, "ratings": ratings.len(), "threshold": 3}));
        }
        let environments = environments(rows);
        if first_of_most(&environments).as_deref() == Some("home") {
            let evidence = json!({
                "preferred_environment": "home",
                "sessions": environments["home"],
                "total_sessions": rows.len(),
            });
            advise("home_environment", evidence);
        }
        let hours = self.hours(rows);
        if let Some(hour) = first_of_most(&hours) {
            for (code, first, last) in [("morning_study", 6, 10), ("late_study", 20, 23)] {
                if hour >= first && hour <= last {
                    let evidence = json!({
                        "busiest_hour": hour,
                        "sessions": hours[&hour],
                        "first_hour": first,
                        "last_hour": last,
                    });
                    advise(code, evidence);
                }
            }
        }
        list
    }

    pub(crate) fn streaks(&self) -> Value {
        let mut active: Vec<LocalDay> =
            self.rows.iter().map(|row| self.calendar.day_of(row.start)).filter(|day| self.is_active(*day)).collect();
        active.sort_unstable();
        active.dedup();
        let Some((first, last)) = active.first().copied().zip(active.last().copied()) else {
            return json!({
                "current_streak": 0,
                "longest_streak": 0,
                "current_start": null,
                "longest_start": null,
                "longest_end": null,
                "at_risk_until": null,
            });
        };
        let today = self.today();
        let all = self.existing(&between(first, last.max(today)));
        let states: Vec<bool> = all.iter().map(|day| active.contains(day)).collect();
        let longest = longest(&states);
        let longest_place = states.windows(longest).position(|run| run.iter().all(|active| *active)).unwrap();

        let pending = !active.contains(&today);
        let mut begun: Vec<LocalDay> = all.iter().copied().filter(|day| *day <= today).collect();
        if pending {
            begun.retain(|day| *day != today);
        }
        let current = trailing(&begun.iter().map(|day| active.contains(day)).collect::<Vec<_>>());
        json!({
            "current_streak": current,
            "longest_streak": longest,
            "current_start": if current > 0 { json!(begun[begun.len() - current]) } else { Value::Null },
            "longest_start": all[longest_place],
            "longest_end": all[longest_place + longest - 1],
            "at_risk_until": if pending && current > 0 { json!(self.end_of_today().to_string()) } else { Value::Null },
        })
    }

    /// The first quarter of an hour from now on after which no instant of the next days is today.
    ///
    /// Days end at a full quarter in every zone that the learners here live in.
    fn end_of_today(&self) -> Timestamp {
        let step = SignedDuration::from_mins(15);
        let mut instant = Timestamp::from_second(self.now.as_second().div_euclid(900) * 900).unwrap();
        let mut end = instant;
        for _ in 0..3 * 24 * 4 {
            if self.calendar.day_of(instant) == self.today() {
                end = instant + step;
            }
            instant += step;
        }
        end
    }

    pub(crate) fn heatmap(&self, year: i16) -> Value {
        let days: Vec<LocalDay> =
            between(format!("{year}-01-01").parse().unwrap(), format!("{year}-12-31").parse().unwrap());
        // one pass over the rows, or 365 × rows × 365 comparisons
        let mut by_day: BTreeMap<LocalDay, Rows<'_>> = BTreeMap::new();
        for row in self.within(&days) {
            by_day.entry(self.calendar.day_of(row.start)).or_default().push(row);
        }
        let on = |day: &LocalDay| by_day.get(day).cloned().unwrap_or_default();
        let times: Vec<i64> = days.iter().map(|day| minutes(&on(day))).filter(|minutes| *minutes > 0).collect();
        let cells: Vec<Value> = days
            .iter()
            .map(|day| {
                let rows = on(day);
                json!({
                    "date": day,
                    "duration": minutes(&rows),
                    "sessions": rows.len(),
                    "level": level(minutes(&rows), &times),
                })
            })
            .collect();
        let mut answer = json!({"year": year, "days": cells});
        add_estimators(&mut answer, &self.within(&days));
        answer
    }
}

/// Quartile k is the smallest of the values that at least k quarters of them do not exceed.
fn level(minutes: i64, values: &[i64]) -> usize {
    if minutes == 0 {
        return 0;
    }
    let quartile = |k: usize| {
        let covers = |value: i64| 4 * values.iter().filter(|other| **other <= value).count() >= k * values.len();
        values.iter().copied().filter(|value| covers(*value)).min().unwrap()
    };
    1 + (1..=3).filter(|k| quartile(*k) < minutes).count()
}

fn trend(earlier: &[i64], later: &[i64]) -> &'static str {
    if earlier.is_empty() || later.is_empty() {
        return "unknown";
    }
    // the difference of the means as a fraction
    let (n1, n2) = (earlier.len() as i64, later.len() as i64);
    let difference = later.iter().sum::<i64>() * n1 - earlier.iter().sum::<i64>() * n2;
    let of = n1 * n2;
    if 10 * difference > 2 * of {
        "improving"
    } else if 10 * difference < -2 * of {
        "declining"
    } else {
        "stable"
    }
}

fn add_estimators(answer: &mut Value, rows: &Rows<'_>) {
    let mut list: Vec<Value> = Vec::new();
    for timeout in 0..=600 {
        if rows.iter().any(|row| row.estimator.is_some_and(|estimator| estimator.timeout_s() == timeout)) {
            list.push(json!({"kind": "gap", "timeout_s": timeout, "tail_s": 0, "version": 1}));
        }
    }
    if !list.is_empty() {
        answer["estimators"] = json!(list);
    }
}

pub(crate) fn courses(rows: &[CourseRow]) -> Value {
    let beats = |a: &CourseRow, b: &CourseRow| {
        a.content_id == b.content_id && (a.updated_at > b.updated_at || (a.updated_at == b.updated_at && a.id > b.id))
    };
    let counted: Vec<&CourseRow> = rows.iter().filter(|row| !rows.iter().any(|other| beats(other, row))).collect();
    let mut subjects: Vec<&str> = counted.iter().map(|row| row.subject_name.as_str()).collect();
    subjects.retain(|name| !name.is_empty());
    subjects.sort_unstable();
    subjects.dedup();
    let completed =
        |row: &&&CourseRow| row.est_finish_hour.is_some() && row.est_finish_hour <= Some(row.learning_hour_total);
    json!({
        "total_courses": counted.len(),
        "completed_courses": counted.iter().filter(completed).count(),
        "avg_proficiency": mean(&counted.iter().map(|row| i64::from(row.proficiency_level)).collect::<Vec<_>>()),
        "total_hours": counted.iter().map(|row| i64::from(row.learning_hour_total)).sum::<i64>(),
        "weekly_hours": counted.iter().map(|row| i64::from(row.learning_hour_week)).sum::<i64>(),
        "subjects": subjects,
    })
}

pub(crate) fn global(learners: &[Model<'_>], today: LocalDay) -> Value {
    let rows: Rows<'_> = learners.iter().flat_map(|learner| learner.rows).filter(|row| is_valid(row)).collect();
    let on = |day: LocalDay| learners.iter().map(|learner| learner.on(day).len()).sum::<usize>();
    json!({
        "total_users": learners.iter().filter(|learner| learner.rows.iter().any(is_valid)).count(),
        "total_sessions": rows.len(),
        "total_sessions_today": on(today),
        "total_sessions_week": (0..7).map(|ago| on(today.plus(-ago))).sum::<usize>(),
        "avg_session_duration": mean_minutes(&rows),
        "most_popular_environment": first_of_most(&environments(&rows)),
        "most_popular_device": first_of_most(&devices(&rows)),
    })
}
