//! Course progress: a summary of the rows of `course_progress`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::key::{ContentId, CourseProgressId};

/// What the course summary needs to know of a row of `course_progress`, as stored: any value that fits its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourseRow {
    /// The row.
    pub id: CourseProgressId,
    /// What it is about; of several rows about one content one counts.
    pub content_id: ContentId,
    /// The subject; empty = none.
    pub subject_name: String,
    /// Proficiency, 0 to 100.
    pub proficiency_level: i32,
    /// Hours learned this week.
    pub learning_hour_week: i32,
    /// Hours learned in all.
    pub learning_hour_total: i32,
    /// Hours the course is expected to take; `None` when not estimated.
    pub est_finish_hour: Option<i32>,
    /// When the row was last changed.
    pub updated_at: Timestamp,
}

/// A learner's courses together. Of several rows about one content the newest counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CourseSummary {
    /// Courses.
    pub total_courses: u64,
    /// Courses whose estimated hours are known and reached.
    pub completed_courses: u64,
    /// Mean proficiency, 0 to 100, unrounded; null without courses.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_proficiency: Option<f64>,
    /// Hours learned in all courses.
    pub total_hours: i64,
    /// Hours learned in all courses this week, as the platform counts them.
    pub weekly_hours: i64,
    /// The subjects, in alphabetical order, each once; courses without one are left out.
    pub subjects: Vec<String>,
}

/// The course summary of a learner's rows, in any order.
#[must_use]
pub fn course_summary(rows: &[CourseRow]) -> CourseSummary {
    let courses = newest(rows);
    let subjects: BTreeSet<&str> =
        courses.iter().map(|row| row.subject_name.as_str()).filter(|name| !name.is_empty()).collect();
    let sum = |number: fn(&CourseRow) -> i32| courses.iter().map(|row| i64::from(number(row))).sum::<i64>();
    CourseSummary {
        total_courses: courses.len() as u64,
        completed_courses: courses.iter().filter(|row| is_completed(row)).count() as u64,
        avg_proficiency: mean(sum(|row| row.proficiency_level), courses.len()),
        total_hours: sum(|row| row.learning_hour_total),
        weekly_hours: sum(|row| row.learning_hour_week),
        subjects: subjects.into_iter().map(str::to_owned).collect(),
    }
}

/// One row for each content: the newest `updated_at`, then the largest id.
fn newest(rows: &[CourseRow]) -> Vec<&CourseRow> {
    let mut by_content: BTreeMap<ContentId, &CourseRow> = BTreeMap::new();
    for row in rows {
        let kept = by_content.entry(row.content_id).or_insert(row);
        if (row.updated_at, row.id) > (kept.updated_at, kept.id) {
            *kept = row;
        }
    }
    by_content.into_values().collect()
}

fn is_completed(row: &CourseRow) -> bool {
    row.est_finish_hour.is_some_and(|estimate| row.learning_hour_total >= estimate)
}

/// `sum / count`; `None` when nothing was counted. Unlike minutes, a sum of levels may be negative in bad data.
#[expect(clippy::cast_precision_loss, reason = "sums of 32-bit levels are exact in a double up to 4 million courses")]
fn mean(sum: i64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn row(id: i64, content: i64, updated_at: i64) -> CourseRow {
        CourseRow {
            id: CourseProgressId::new(Key::Int(id)),
            content_id: ContentId::new(Key::Int(content)),
            subject_name: String::new(),
            proficiency_level: 0,
            learning_hour_week: 0,
            learning_hour_total: 0,
            est_finish_hour: None,
            updated_at: Timestamp::from_second(updated_at).unwrap(),
        }
    }

    #[test]
    fn of_several_rows_about_one_content_the_newest_counts_then_the_largest_id() {
        let hours = |row: CourseRow, hours| CourseRow { learning_hour_total: hours, ..row };
        let rows = [
            hours(row(9, 1, 100), 1),
            hours(row(2, 1, 200), 10),
            hours(row(3, 1, 200), 100),
            hours(row(1, 1, 200), 1000),
            hours(row(8, 2, 1), 10_000),
        ];

        let found = course_summary(&rows);

        assert_eq!((found.total_courses, found.total_hours), (2, 10_100));
    }

    #[test]
    fn a_course_is_completed_when_its_estimate_is_reached() {
        let with = |total, estimate| {
            let course = CourseRow { learning_hour_total: total, est_finish_hour: estimate, ..row(1, 1, 0) };
            course_summary(&[course]).completed_courses
        };

        assert_eq!((with(9, Some(10)), with(10, Some(10)), with(11, Some(10))), (0, 1, 1));
        assert_eq!((with(500, None), with(0, Some(0))), (0, 1));
    }

    #[test]
    fn the_largest_hours_a_column_holds_can_be_added_up() {
        let rows: Vec<CourseRow> =
            (0..3).map(|id| CourseRow { learning_hour_total: i32::MAX, ..row(id, id, 0) }).collect();

        assert_eq!(course_summary(&rows).total_hours, 3 * i64::from(i32::MAX));
    }
}
