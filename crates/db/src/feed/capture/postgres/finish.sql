-- Away with what an earlier installation left on tables that are not watched any more, and a note of who installed.
do $tierkeep$
declare
    stale record;
    is_changed boolean := false;
begin
    for stale in
        with recursive relations (oid, function) as (
            select to_regclass(w.name)::oid, w.function
            from unnest(array[{tables}]::text[], array[{functions}]::text[]) as w (name, function)
            union
            select i.inhrelid, r.function from relations as r join pg_inherits as i on i.inhparent = r.oid
        )
        select t.tgname, t.tgrelid::regclass as relation
        from pg_trigger as t
        join pg_proc as p on p.oid = t.tgfoid
        where
            not t.tgisinternal
            and p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'tierkeep\_note\_%'
            and not exists (select from relations as r where r.oid = t.tgrelid and r.function = p.proname)
    loop
        execute format('drop trigger %I on %s', stale.tgname, stale.relation);
        is_changed := true;
    end loop;
    for stale in
        select p.oid::regprocedure as function
        from pg_proc as p
        where
            p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'tierkeep\_note\_%'
            and p.proname <> all (array[{functions}]::text[])
    loop
        execute format('drop function %s', stale.function);
        is_changed := true;
    end loop;

    if (select is_called from tierkeep_feed_lost) then
        perform setval('tierkeep_feed_lost', 1, false);
        is_changed := true;
    end if;
    if exists (select from tierkeep_feed where fingerprint <> '{fingerprint}') then
        update tierkeep_feed set fingerprint = '{fingerprint}';
        is_changed := true;
    end if;
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
