-- Statement triggers that note which learner's days a statement touched, whoever ran it. A statement that touches more
-- than 500 learners notes "everything", except an import, which names them all. While an id is live its archived row does
-- not count, so a statement on live rows touches the archived rows of the same ids as well.
create function tierkeep_note_sessions() returns trigger
language plpgsql security definer set search_path from current as $$
declare
    learners bigint;
    is_hiding boolean := tg_table_name = 'study_sessions' and exists (select from study_sessions_archive);
begin
    if tg_op = 'TRUNCATE' then
        insert into tierkeep_outbox (user_id) values (null);
        return null;
    end if;
    if coalesce(current_setting('tierkeep.origin', true), '') <> 'import' then
        case tg_op
            when 'INSERT' then select count(distinct user_id) into learners from after_rows;
            when 'DELETE' then select count(distinct user_id) into learners from before_rows;
            else select count(distinct user_id) into learners
                 from (select user_id from before_rows union all select user_id from after_rows) as touched;
        end case;
        if learners > 500 then
            insert into tierkeep_outbox (user_id) values (null);
            return null;
        end if;
    end if;
    case tg_op
        when 'INSERT' then
            insert into tierkeep_outbox (user_id, first_start, last_start)
            select user_id, min(start_time), max(start_time)
            from (
                select user_id, start_time from after_rows
                union all
                select a.user_id, a.start_time from study_sessions_archive a
                where is_hiding and a.id in (select id from after_rows)
            ) as touched
            group by user_id;
        when 'DELETE' then
            insert into tierkeep_outbox (user_id, first_start, last_start)
            select user_id, min(start_time), max(start_time)
            from (
                select user_id, start_time from before_rows
                union all
                select a.user_id, a.start_time from study_sessions_archive a
                where is_hiding and a.id in (select id from before_rows)
            ) as touched
            group by user_id;
        else
            insert into tierkeep_outbox (user_id, first_start, last_start)
            select user_id, min(start_time), max(start_time)
            from (
                select user_id, start_time from before_rows
                union all
                select user_id, start_time from after_rows
                union all
                select a.user_id, a.start_time from study_sessions_archive a
                where is_hiding
                  and a.id in (select id from before_rows union all select id from after_rows)
            ) as touched
            group by user_id;
    end case;
    return null;
end
$$;

create trigger tierkeep_insert after insert on study_sessions
    referencing new table as after_rows for each statement execute function tierkeep_note_sessions();
create trigger tierkeep_update after update on study_sessions
    referencing old table as before_rows new table as after_rows for each statement execute function tierkeep_note_sessions();
create trigger tierkeep_delete after delete on study_sessions
    referencing old table as before_rows for each statement execute function tierkeep_note_sessions();
create trigger tierkeep_truncate after truncate on study_sessions
    for each statement execute function tierkeep_note_sessions();

create trigger tierkeep_insert after insert on study_sessions_archive
    referencing new table as after_rows for each statement execute function tierkeep_note_sessions();
create trigger tierkeep_update after update on study_sessions_archive
    referencing old table as before_rows new table as after_rows for each statement execute function tierkeep_note_sessions();
create trigger tierkeep_delete after delete on study_sessions_archive
    referencing old table as before_rows for each statement execute function tierkeep_note_sessions();
create trigger tierkeep_truncate after truncate on study_sessions_archive
    for each statement execute function tierkeep_note_sessions();

-- A learner who leaves touches all of their days; one who comes, or moves to another zone, notes the zone.
create function tierkeep_note_users() returns trigger
language plpgsql security definer set search_path from current as $$
begin
    case tg_op
        when 'INSERT' then
            insert into tierkeep_outbox (user_id, zone) select id, coalesce(time_zone, '') from after_rows;
        when 'DELETE' then
            insert into tierkeep_outbox (user_id) select id from before_rows;
        when 'TRUNCATE' then
            insert into tierkeep_outbox (user_id)
            select user_id from tierkeep_learner
            union
            select user_id from tierkeep_outbox;
        else
            -- a changed key is a learner who left and another who came
            insert into tierkeep_outbox (user_id) select id from before_rows where id not in (select id from after_rows);
            insert into tierkeep_outbox (user_id, zone)
            select a.id, coalesce(a.time_zone, '')
            from after_rows a left join before_rows b on a.id = b.id
            where b.id is null or a.time_zone is distinct from b.time_zone;
    end case;
    return null;
end
$$;

create trigger tierkeep_insert after insert on users
    referencing new table as after_rows for each statement execute function tierkeep_note_users();
create trigger tierkeep_update after update on users
    referencing old table as before_rows new table as after_rows for each statement execute function tierkeep_note_users();
create trigger tierkeep_delete after delete on users
    referencing old table as before_rows for each statement execute function tierkeep_note_users();
create trigger tierkeep_truncate after truncate on users
    for each statement execute function tierkeep_note_users();

-- Also for a session that switches ordinary triggers off (session_replication_role).
alter table study_sessions enable always trigger tierkeep_insert;
alter table study_sessions enable always trigger tierkeep_update;
alter table study_sessions enable always trigger tierkeep_delete;
alter table study_sessions enable always trigger tierkeep_truncate;
alter table study_sessions_archive enable always trigger tierkeep_insert;
alter table study_sessions_archive enable always trigger tierkeep_update;
alter table study_sessions_archive enable always trigger tierkeep_delete;
alter table study_sessions_archive enable always trigger tierkeep_truncate;
alter table users enable always trigger tierkeep_insert;
alter table users enable always trigger tierkeep_update;
alter table users enable always trigger tierkeep_delete;
alter table users enable always trigger tierkeep_truncate;
