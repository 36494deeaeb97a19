-- Every trace of the feed in this schema, whatever it was installed with.
do $tierkeep$
declare
    ours record;
begin
    for ours in
        select t.tgname, t.tgrelid::regclass as relation
        from pg_trigger as t
        join pg_proc as p on p.oid = t.tgfoid
        where
            not t.tgisinternal
            and p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'tierkeep\_note\_%'
    loop
        execute format('drop trigger %I on %s', ours.tgname, ours.relation);
    end loop;
    for ours in
        select p.oid::regprocedure as function
        from pg_proc as p
        where p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'tierkeep\_note\_%'
    loop
        execute format('drop function %s', ours.function);
    end loop;
    execute format('drop function if exists %I.tierkeep_bound_outbox()', current_schema());
    execute format('drop sequence if exists %I.tierkeep_feed_lost', current_schema());
    execute format('drop table if exists %I.tierkeep_outbox', current_schema());
    execute format('drop table if exists %I.tierkeep_feed', current_schema());
end
$tierkeep$
