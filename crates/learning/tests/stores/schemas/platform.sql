-- The tables of the platform that the preset "platform" speaks of: UUID keys, `users.uuid`, `course_uuid`,
-- `user_uuid_id`, texts of bounded length, constraints between tables, and no column for zones.
create table users (
    uuid uuid primary key,
    email varchar(254) not null unique,
    username varchar(150) not null,
    password varchar(128) not null,
    last_login timestamptz,
    created_at timestamptz not null,
    is_active boolean not null,
    is_staff boolean not null,
    is_superuser boolean not null,
    is_deleted boolean not null default false
);
create table course_contents (
    content_id uuid primary key,
    outline jsonb not null check (outline <> '{}'::jsonb),
    chapters jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create table course_progress (
    course_uuid uuid primary key,
    subject_name varchar(100) not null,
    user_experience text not null,
    proficiency_level integer not null check (proficiency_level between 0 and 100),
    learning_hour_week integer not null check (learning_hour_week >= 0),
    learning_hour_total integer not null check (learning_hour_total >= 0),
    est_finish_hour integer check (est_finish_hour > 0),
    difficulty integer not null check (difficulty between 1 and 10),
    feedback jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    content_id uuid not null references course_contents deferrable initially deferred,
    user_uuid_id uuid not null references users deferrable initially deferred,
    unique (user_uuid_id, content_id)
);
create table study_sessions (
    id uuid primary key,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    start_time timestamptz not null,
    end_time timestamptz,
    duration_minutes integer not null check (duration_minutes >= 0),
    content_covered text not null,
    effectiveness_rating smallint check (effectiveness_rating between 1 and 5),
    is_active boolean not null,
    notes text not null,
    subject_category varchar(50) not null,
    goal_id uuid,
    learning_plan_id uuid,
    break_count smallint not null check (break_count >= 0),
    focus_score numeric(3, 2) check (focus_score between 0 and 1),
    learning_environment varchar(50) not null,
    device_type varchar(20) not null,
    course_progress_id uuid references course_progress deferrable initially deferred,
    user_id uuid not null references users deferrable initially deferred,
    constraint study_sessions_end_time_after_start check (end_time is null or end_time > start_time)
);
create index on study_sessions (user_id, start_time);
create index on study_sessions (is_active, start_time);
create index on study_sessions (start_time);
create index on study_sessions (course_progress_id, start_time);
create index on course_progress (user_uuid_id, updated_at);
