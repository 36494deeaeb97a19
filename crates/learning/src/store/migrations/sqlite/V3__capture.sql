-- Row triggers that note which learner's days a statement touched, whoever ran it. SQLite has no statement triggers; a
-- bulk write takes those of the sessions off for its transaction and notes its changes itself, once a learner, because a
-- row at a time would double its cost.

-- REPLACE removes a row without firing the delete trigger: what it is about to remove is noted before.
create trigger tierkeep_sessions_replace before insert on study_sessions
when exists (select 1 from study_sessions where id = new.id)
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select user_id, start_time, start_time from study_sessions where id = new.id;
end;

-- While an id is live its archived row does not count, so a change of live rows touches the archived rows of the same ids.
create trigger tierkeep_sessions_insert after insert on study_sessions
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select new.user_id, new.start_time, new.start_time
    union
    select user_id, start_time, start_time from study_sessions_archive where id = new.id;
end;

create trigger tierkeep_sessions_update after update on study_sessions
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select old.user_id, old.start_time, old.start_time
    union
    select new.user_id, new.start_time, new.start_time
    union
    select user_id, start_time, start_time from study_sessions_archive where id in (old.id, new.id);
end;

create trigger tierkeep_sessions_delete after delete on study_sessions
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select old.user_id, old.start_time, old.start_time
    union
    select user_id, start_time, start_time from study_sessions_archive where id = old.id;
end;

create trigger tierkeep_archive_replace before insert on study_sessions_archive
when exists (select 1 from study_sessions_archive where id = new.id)
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select user_id, start_time, start_time from study_sessions_archive where id = new.id;
end;

create trigger tierkeep_archive_insert after insert on study_sessions_archive
begin
    insert into tierkeep_outbox (user_id, first_start, last_start) values (new.user_id, new.start_time, new.start_time);
end;

create trigger tierkeep_archive_update after update on study_sessions_archive
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select old.user_id, old.start_time, old.start_time
    union
    select new.user_id, new.start_time, new.start_time;
end;

create trigger tierkeep_archive_delete after delete on study_sessions_archive
begin
    insert into tierkeep_outbox (user_id, first_start, last_start) values (old.user_id, old.start_time, old.start_time);
end;

-- UPDATE OR REPLACE that changes a key removes the row that has it.
create trigger tierkeep_sessions_displace before update of id on study_sessions
when old.id <> new.id
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select user_id, start_time, start_time from study_sessions where id = new.id;
end;

create trigger tierkeep_archive_displace before update of id on study_sessions_archive
when old.id <> new.id
begin
    insert into tierkeep_outbox (user_id, first_start, last_start)
    select user_id, start_time, start_time from study_sessions_archive where id = new.id;
end;

-- A learner who leaves touches all of their days; one who comes, or moves to another zone, notes the zone.
create trigger tierkeep_users_insert after insert on users
begin
    insert into tierkeep_outbox (user_id, zone) values (new.id, coalesce(new.time_zone, ''));
end;

create trigger tierkeep_users_delete after delete on users
begin
    insert into tierkeep_outbox (user_id) values (old.id);
end;

create trigger tierkeep_users_zone after update on users
when old.id = new.id and old.time_zone is not new.time_zone
begin
    insert into tierkeep_outbox (user_id, zone) values (new.id, coalesce(new.time_zone, ''));
end;

-- A changed key is a learner who left and another who came.
create trigger tierkeep_users_key after update on users
when old.id <> new.id
begin
    insert into tierkeep_outbox (user_id) values (old.id);
    insert into tierkeep_outbox (user_id, zone) values (new.id, coalesce(new.time_zone, ''));
end;
