-- The platform's tables, for installations where tierkeep owns them. No check, foreign or unique key beyond the primary
-- key: data as bad as a platform's must fit. {key} is uuid or bigint.
create table users (
    id {key} primary key,
    email text not null default '',
    username text not null default '',
    is_active boolean not null default true,
    last_login timestamptz,
    created_at timestamptz not null default now(),
    time_zone text
);

create table course_progress (
    id {key} primary key,
    user_id {key} not null,
    content_id {key} not null,
    subject_name text not null default '',
    proficiency_level integer not null default 0,
    learning_hour_week integer not null default 0,
    learning_hour_total integer not null default 0,
    est_finish_hour integer,
    difficulty integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index course_progress_user on course_progress (user_id, content_id, updated_at);

create table study_sessions (
    id {key} primary key,
    user_id {key} not null,
    course_progress_id {key},
    start_time timestamptz not null,
    end_time timestamptz,
    duration_minutes integer not null default 0,
    effectiveness_rating smallint,
    focus_score numeric(3, 2),
    break_count smallint not null default 0,
    is_active boolean not null default false,
    learning_environment text not null default '',
    device_type text not null default '',
    subject_category text not null default '',
    content_covered text not null default '',
    notes text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    goal_id {key},
    learning_plan_id {key},
    estimator text
);
create index study_sessions_user_start on study_sessions (user_id, start_time);
create index study_sessions_start on study_sessions (start_time);

create table study_sessions_archive (
    like study_sessions including defaults,
    archived_at timestamptz not null default now(),
    primary key (id)
);
create index study_sessions_archive_user_start on study_sessions_archive (user_id, start_time);
create index study_sessions_archive_start on study_sessions_archive (start_time);
