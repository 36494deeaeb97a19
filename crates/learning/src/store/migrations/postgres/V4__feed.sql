-- The first outbox gives way to the one that the change feed makes for itself when migrations are done (`tierkeep_db::Feed`),
-- which keeps what was folded until every node has been told. What waited in the first is forgotten with all summaries.
drop function if exists tierkeep_note_sessions, tierkeep_note_users cascade;
drop table tierkeep_outbox;
update tierkeep_state set epoch = epoch + 1 where exists (select from tierkeep_learner);

-- Whether the tables of rows are a platform's, and if so the mapping they were attached with.
alter table tierkeep_state add column mapping text;

-- What one node at a time does: who, until when by the clock of the database, and how often it changed hands.
create table tierkeep_lease (
    name text primary key,
    holder text not null,
    until timestamptz not null,
    fence bigint not null default 1
);
