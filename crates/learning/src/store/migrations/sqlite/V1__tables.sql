-- The platform's tables, for installations where tierkeep owns them. No check, foreign or unique key beyond the primary
-- key: data as bad as a platform's must fit. {key} is text (a UUID in lower case) or integer; instants are integer
-- microseconds since 1970, because text instants do not sort.
create table users (
    id {key} primary key not null,
    email text not null default '',
    username text not null default '',
    is_active integer not null default 1,
    last_login integer,
    created_at integer not null default 0,
    time_zone text
) strict;

create table course_progress (
    id {key} primary key not null,
    user_id {key} not null,
    content_id {key} not null,
    subject_name text not null default '',
    proficiency_level integer not null default 0,
    learning_hour_week integer not null default 0,
    learning_hour_total integer not null default 0,
    est_finish_hour integer,
    difficulty integer not null default 1,
    created_at integer not null default 0,
    updated_at integer not null default 0
) strict;
create index course_progress_user on course_progress (user_id, content_id, updated_at);

create table study_sessions (
    id {key} primary key not null,
    user_id {key} not null,
    course_progress_id {key},
    start_time integer not null,
    end_time integer,
    duration_minutes integer not null default 0,
    effectiveness_rating integer,
    focus_score real,
    break_count integer not null default 0,
    is_active integer not null default 0,
    learning_environment text not null default '',
    device_type text not null default '',
    subject_category text not null default '',
    content_covered text not null default '',
    notes text not null default '',
    created_at integer not null default 0,
    updated_at integer not null default 0,
    goal_id {key},
    learning_plan_id {key},
    estimator text
) strict;
create index study_sessions_user_start on study_sessions (user_id, start_time);
create index study_sessions_start on study_sessions (start_time);

create table study_sessions_archive (
    id {key} primary key not null,
    user_id {key} not null,
    course_progress_id {key},
    start_time integer not null,
    end_time integer,
    duration_minutes integer not null default 0,
    effectiveness_rating integer,
    focus_score real,
    break_count integer not null default 0,
    is_active integer not null default 0,
    learning_environment text not null default '',
    device_type text not null default '',
    subject_category text not null default '',
    content_covered text not null default '',
    notes text not null default '',
    created_at integer not null default 0,
    updated_at integer not null default 0,
    goal_id {key},
    learning_plan_id {key},
    estimator text,
    archived_at integer not null default 0
) strict;
create index study_sessions_archive_user_start on study_sessions_archive (user_id, start_time);
create index study_sessions_archive_start on study_sessions_archive (start_time);
