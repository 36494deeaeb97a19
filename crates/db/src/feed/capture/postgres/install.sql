-- The function and the triggers of the source {source}: what is as it should be stays untouched, and unlocked.
do $tierkeep$
declare
    body text := $tierkeep_body${body}$tierkeep_body$;
    path text := current_setting('search_path');
    function oid;
    relation regclass;
    event record;
    is_changed boolean := false;
begin
    select p.oid into function
    from pg_proc as p
    where
        p.proname = '{function}' and p.pronamespace = quote_ident(current_schema())::regnamespace and p.pronargs = 0
        and p.prosrc = body and p.prosecdef
        and array_to_string(p.proconfig, ' ') like '%search\_path=%pg\_temp%'
        and array_to_string(p.proconfig, ' ') not like '%tierkeep.origin=%';
    if not found then
        -- Temporary tables come last, or a writer could put one of its own in the place of the outbox.
        perform set_config('search_path', path || ', pg_temp', true);
        execute format(
            'create or replace function %I.{function}() returns trigger language plpgsql security definer '
            'set search_path from current as %L',
            current_schema(), body
        );
        perform set_config('search_path', path, true);
        execute format('revoke all on function %I.{function}() from public', current_schema());
        select p.oid into strict function
        from pg_proc as p
        where p.proname = '{function}' and p.pronamespace = quote_ident(current_schema())::regnamespace and p.pronargs = 0;
        is_changed := true;
    end if;

    -- A statement fires the triggers of the table it names, so each partition has its own.
    for relation in
        with recursive relations (oid) as (
            select to_regclass({table})::oid
            union
            select i.inhrelid from relations as r join pg_inherits as i on i.inhparent = r.oid
        )
        select oid::regclass from relations order by oid
    loop
        for event in
            select * from (values
                ('insert', 4, null, 'after_rows', 'referencing new table as after_rows'),
                ('update', 16, 'before_rows', 'after_rows', 'referencing old table as before_rows new table as after_rows'),
                ('delete', 8, 'before_rows', null, 'referencing old table as before_rows'),
                ('truncate', 32, null, null, '')
            ) as events (name, kind, before_rows, after_rows, referencing)
        loop
            continue when exists (
                select from pg_trigger as t
                where
                    t.tgrelid = relation and t.tgname = 'tierkeep_' || event.name and t.tgfoid = function
                    and t.tgtype = event.kind and t.tgenabled = 'A' and t.tgqual is null and t.tgattr::text = ''
                    and t.tgoldtable is not distinct from event.before_rows::name
                    and t.tgnewtable is not distinct from event.after_rows::name
            );
            if exists (select from pg_trigger as t where t.tgrelid = relation and t.tgname = 'tierkeep_' || event.name) then
                execute format('drop trigger tierkeep_%s on %s', event.name, relation);
            end if;
            execute format(
                'create trigger tierkeep_%s after %s on %s %s for each statement execute function %I.{function}()',
                event.name, event.name, relation, event.referencing, current_schema()
            );
            -- Also for a session that switches ordinary triggers off (session_replication_role).
            execute format('alter table %s enable always trigger tierkeep_%s', relation, event.name);
            is_changed := true;
        end loop;
    end loop;

    -- What was written while something was missing is unknown.
    if is_changed then
        insert into tierkeep_outbox (source)
        select ''
        where not exists (
            select from tierkeep_outbox
            where source = '' and position is null and xmin = pg_current_xact_id()::xid
        );
    end if;
end
$tierkeep$
