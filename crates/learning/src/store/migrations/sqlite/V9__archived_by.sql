-- Which run archived a row, so that the run can be undone.
alter table study_sessions_archive add column archived_by integer;

-- Turning sessions from a removed duplicate of a course to the one that stays looks them up by it.
create index study_sessions_course on study_sessions (course_progress_id) where course_progress_id is not null;
create index study_sessions_archive_course on study_sessions_archive (course_progress_id)
    where course_progress_id is not null;
