-- The first outbox gives way to the one that the change feed makes for itself when migrations are done (`tierkeep_db::Feed`),
-- which keeps what was folded until every node has been told. What waited in the first is forgotten with all summaries.
drop trigger if exists tierkeep_sessions_replace;
drop trigger if exists tierkeep_sessions_insert;
drop trigger if exists tierkeep_sessions_update;
drop trigger if exists tierkeep_sessions_delete;
drop trigger if exists tierkeep_sessions_displace;
drop trigger if exists tierkeep_archive_replace;
drop trigger if exists tierkeep_archive_insert;
drop trigger if exists tierkeep_archive_update;
drop trigger if exists tierkeep_archive_delete;
drop trigger if exists tierkeep_archive_displace;
drop trigger if exists tierkeep_users_insert;
drop trigger if exists tierkeep_users_delete;
drop trigger if exists tierkeep_users_zone;
drop trigger if exists tierkeep_users_key;
drop table tierkeep_outbox;
update tierkeep_state set epoch = epoch + 1 where exists (select 1 from tierkeep_learner);
alter table tierkeep_state add column mapping text;

-- What one node at a time does: who, until when by the clock of the database, and how often it changed hands.
create table tierkeep_lease (
    name text primary key not null,
    holder text not null,
    until integer not null,
    fence integer not null default 1
) strict;
