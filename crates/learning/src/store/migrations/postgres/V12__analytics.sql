-- What is written at night for whoever reads the database by SQL: a learner's local day to a row, a row for every day that is
-- over and has a session of the learner on it or on the days before it.
create table tierkeep_learning_analytics (
    user_id {key} not null,
    date date not null,
    -- of the ISO week, which is not always the year of the date
    iso_year integer not null,
    iso_week integer not null,
    total_sessions bigint not null,
    -- minutes
    total_duration bigint not null,
    avg_effectiveness double precision,
    avg_focus_score double precision,
    productive_sessions bigint not null,
    -- productive of all sessions, 0 to 1
    productivity_rate double precision,
    -- the local hour, 0 to 23, in which most sessions began
    most_productive_hour integer,
    preferred_environment text,
    preferred_device text,
    preferred_subject text,
    -- of the 30 days up to the date: improving, declining, stable, unknown
    improvement_trend text not null,
    -- days with study in a row, up to the date
    current_streak integer not null,
    time_zone text not null,
    computed_at timestamptz not null,
    primary key (user_id, date)
);
create index tierkeep_learning_analytics_date on tierkeep_learning_analytics (date);

-- Learners with rows that are missing or may be wrong, and the first day of those (days since 1970). Whoever has a session
-- that still asks for a row tomorrow stays in it.
create table tierkeep_analytics_due (
    user_id {key} primary key,
    first_day integer not null
);
-- the first day there is
insert into tierkeep_analytics_due (user_id, first_day) select user_id, -719161 from tierkeep_learner where sessions > 0;

-- What a node keeps for the time after it, by a name.
create table tierkeep_snapshot (
    name text primary key,
    saved_at timestamptz not null,
    content bytea not null
);
