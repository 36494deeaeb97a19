//! The columns of the three tables, and how a record fills a row.

use super::{Batch, Cells, Column, ContentId, CourseProgressId, Fault, ProgressRow, SessionId, SessionRow, TableRow};
use super::{UserId, UserRow, needed};
use crate::estimator::Estimator;

/// The tables that files are of, with their columns.
pub(super) const TABLES: [(&str, &[Column]); 3] =
    [("users", UserRow::COLUMNS), ("course_progress", ProgressRow::COLUMNS), ("study_sessions", SessionRow::COLUMNS)];

mod users {
    use super::Column;

    pub(super) const ID: Column = Column::required(0, "id").also("uuid");
    pub(super) const EMAIL: Column = Column::optional(1, "email");
    pub(super) const USERNAME: Column = Column::optional(2, "username");
    // learners of a file that does not say would all count as gone
    pub(super) const IS_ACTIVE: Column = Column::required(3, "is_active");
    pub(super) const LAST_LOGIN: Column = Column::optional(4, "last_login");
    pub(super) const CREATED_AT: Column = Column::required(5, "created_at");
    pub(super) const TIME_ZONE: Column = Column::optional(6, "time_zone");
}

impl TableRow for UserRow {
    const ID: Column = users::ID;
    const COLUMNS: &'static [Column] = &[
        users::ID,
        users::EMAIL,
        users::USERNAME,
        users::IS_ACTIVE,
        users::LAST_LOGIN,
        users::CREATED_AT,
        users::TIME_ZONE,
    ];

    fn read(cells: &Cells<'_>) -> Result<Self, Fault> {
        Ok(Self {
            id: UserId::new(needed(&users::ID, cells.key(&users::ID)?)?),
            email: cells.text(&users::EMAIL)?,
            username: cells.text(&users::USERNAME)?,
            is_active: needed(&users::IS_ACTIVE, cells.truth(&users::IS_ACTIVE)?)?,
            last_login: cells.instant(&users::LAST_LOGIN)?,
            created_at: needed(&users::CREATED_AT, cells.instant(&users::CREATED_AT)?)?,
            time_zone: cells.zone(&users::TIME_ZONE)?,
        })
    }

    fn batch(rows: Vec<Self>) -> Batch {
        Batch::Users(rows)
    }
}

mod progress {
    use super::Column;

    pub(super) const ID: Column = Column::required(0, "id").also("course_uuid");
    pub(super) const USER_ID: Column = Column::required(1, "user_id").also("user_uuid_id");
    pub(super) const CONTENT_ID: Column = Column::required(2, "content_id");
    pub(super) const SUBJECT_NAME: Column = Column::optional(3, "subject_name");
    pub(super) const PROFICIENCY_LEVEL: Column = Column::required(4, "proficiency_level");
    pub(super) const LEARNING_HOUR_WEEK: Column = Column::required(5, "learning_hour_week");
    pub(super) const LEARNING_HOUR_TOTAL: Column = Column::required(6, "learning_hour_total");
    pub(super) const EST_FINISH_HOUR: Column = Column::optional(7, "est_finish_hour");
    pub(super) const DIFFICULTY: Column = Column::optional(8, "difficulty");
    pub(super) const CREATED_AT: Column = Column::required(9, "created_at");
    pub(super) const UPDATED_AT: Column = Column::required(10, "updated_at");
}

impl TableRow for ProgressRow {
    const ID: Column = progress::ID;
    const COLUMNS: &'static [Column] = &[
        progress::ID,
        progress::USER_ID,
        progress::CONTENT_ID,
        progress::SUBJECT_NAME,
        progress::PROFICIENCY_LEVEL,
        progress::LEARNING_HOUR_WEEK,
        progress::LEARNING_HOUR_TOTAL,
        progress::EST_FINISH_HOUR,
        progress::DIFFICULTY,
        progress::CREATED_AT,
        progress::UPDATED_AT,
    ];

    fn read(cells: &Cells<'_>) -> Result<Self, Fault> {
        let number = |column: &Column| needed(column, cells.i32(column)?);
        Ok(Self {
            id: CourseProgressId::new(needed(&progress::ID, cells.key(&progress::ID)?)?),
            user_id: UserId::new(needed(&progress::USER_ID, cells.key(&progress::USER_ID)?)?),
            content_id: ContentId::new(needed(&progress::CONTENT_ID, cells.key(&progress::CONTENT_ID)?)?),
            subject_name: cells.text(&progress::SUBJECT_NAME)?,
            proficiency_level: number(&progress::PROFICIENCY_LEVEL)?,
            learning_hour_week: number(&progress::LEARNING_HOUR_WEEK)?,
            learning_hour_total: number(&progress::LEARNING_HOUR_TOTAL)?,
            est_finish_hour: cells.i32(&progress::EST_FINISH_HOUR)?,
            difficulty: cells.i32(&progress::DIFFICULTY)?.unwrap_or_default(),
            created_at: needed(&progress::CREATED_AT, cells.instant(&progress::CREATED_AT)?)?,
            updated_at: needed(&progress::UPDATED_AT, cells.instant(&progress::UPDATED_AT)?)?,
        })
    }

    fn batch(rows: Vec<Self>) -> Batch {
        Batch::Progress(rows)
    }
}

mod sessions {
    use super::Column;

    pub(super) const ID: Column = Column::required(0, "id");
    pub(super) const USER_ID: Column = Column::required(1, "user_id");
    pub(super) const COURSE_PROGRESS_ID: Column = Column::optional(2, "course_progress_id");
    pub(super) const START_TIME: Column = Column::required(3, "start_time");
    pub(super) const END_TIME: Column = Column::optional(4, "end_time");
    pub(super) const DURATION_MINUTES: Column = Column::required(5, "duration_minutes");
    pub(super) const EFFECTIVENESS_RATING: Column = Column::optional(6, "effectiveness_rating");
    pub(super) const FOCUS_SCORE: Column = Column::optional(7, "focus_score");
    pub(super) const BREAK_COUNT: Column = Column::optional(8, "break_count");
    pub(super) const IS_ACTIVE: Column = Column::optional(9, "is_active");
    pub(super) const LEARNING_ENVIRONMENT: Column = Column::optional(10, "learning_environment");
    pub(super) const DEVICE_TYPE: Column = Column::optional(11, "device_type");
    pub(super) const SUBJECT_CATEGORY: Column = Column::optional(12, "subject_category");
    pub(super) const CONTENT_COVERED: Column = Column::optional(13, "content_covered");
    pub(super) const NOTES: Column = Column::optional(14, "notes");
    pub(super) const CREATED_AT: Column = Column::optional(15, "created_at");
    pub(super) const UPDATED_AT: Column = Column::optional(16, "updated_at");
    pub(super) const GOAL_ID: Column = Column::optional(17, "goal_id");
    pub(super) const LEARNING_PLAN_ID: Column = Column::optional(18, "learning_plan_id");
    pub(super) const ESTIMATOR: Column = Column::optional(19, "estimator");
}

impl TableRow for SessionRow {
    const ID: Column = sessions::ID;
    const COLUMNS: &'static [Column] = &[
        sessions::ID,
        sessions::USER_ID,
        sessions::COURSE_PROGRESS_ID,
        sessions::START_TIME,
        sessions::END_TIME,
        sessions::DURATION_MINUTES,
        sessions::EFFECTIVENESS_RATING,
        sessions::FOCUS_SCORE,
        sessions::BREAK_COUNT,
        sessions::IS_ACTIVE,
        sessions::LEARNING_ENVIRONMENT,
        sessions::DEVICE_TYPE,
        sessions::SUBJECT_CATEGORY,
        sessions::CONTENT_COVERED,
        sessions::NOTES,
        sessions::CREATED_AT,
        sessions::UPDATED_AT,
        sessions::GOAL_ID,
        sessions::LEARNING_PLAN_ID,
        sessions::ESTIMATOR,
    ];

    /// A file without `created_at` and `updated_at` has sessions that were made when they began and last changed when
    /// they ended.
    fn read(cells: &Cells<'_>) -> Result<Self, Fault> {
        let id = SessionId::new(needed(&sessions::ID, cells.key(&sessions::ID)?)?);
        let user_id = UserId::new(needed(&sessions::USER_ID, cells.key(&sessions::USER_ID)?)?);
        let course_progress_id = cells.key(&sessions::COURSE_PROGRESS_ID)?.map(CourseProgressId::new);
        let start_time = needed(&sessions::START_TIME, cells.instant(&sessions::START_TIME)?)?;
        let end_time = cells.instant(&sessions::END_TIME)?;
        Ok(Self {
            id,
            user_id,
            course_progress_id,
            start_time,
            end_time,
            duration_minutes: needed(&sessions::DURATION_MINUTES, cells.i32(&sessions::DURATION_MINUTES)?)?,
            effectiveness_rating: cells.i16(&sessions::EFFECTIVENESS_RATING)?,
            focus_hundredths: cells.hundredths(&sessions::FOCUS_SCORE)?,
            break_count: cells.i16(&sessions::BREAK_COUNT)?.unwrap_or_default(),
            is_active: cells.truth(&sessions::IS_ACTIVE)?.unwrap_or_default(),
            learning_environment: cells.text(&sessions::LEARNING_ENVIRONMENT)?,
            device_type: cells.text(&sessions::DEVICE_TYPE)?,
            subject_category: cells.text(&sessions::SUBJECT_CATEGORY)?,
            content_covered: cells.text(&sessions::CONTENT_COVERED)?,
            notes: cells.text(&sessions::NOTES)?,
            created_at: cells.instant(&sessions::CREATED_AT)?.unwrap_or(start_time),
            updated_at: cells.instant(&sessions::UPDATED_AT)?.unwrap_or(end_time.unwrap_or(start_time)),
            goal_id: cells.key(&sessions::GOAL_ID)?,
            learning_plan_id: cells.key(&sessions::LEARNING_PLAN_ID)?,
            estimator: estimator(cells)?,
        })
    }

    fn batch(rows: Vec<Self>) -> Batch {
        Batch::Sessions(rows)
    }
}

fn estimator(cells: &Cells<'_>) -> Result<Option<Estimator>, Fault> {
    let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    cells.filled(&sessions::ESTIMATOR, read, || "an estimator; accepted: such as gap/600/0/1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<R: TableRow>() -> Vec<usize> {
        R::COLUMNS.iter().map(|column| column.number).collect()
    }

    #[test]
    fn every_column_stands_at_its_number() {
        assert_eq!(numbers::<UserRow>(), (0..7).collect::<Vec<_>>());
        assert_eq!(numbers::<ProgressRow>(), (0..11).collect::<Vec<_>>());
        assert_eq!(numbers::<SessionRow>(), (0..20).collect::<Vec<_>>());
    }
}
