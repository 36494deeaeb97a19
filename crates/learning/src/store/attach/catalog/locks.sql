-- The tables $1 and all that have triggers of this installation, by name; those with triggers first to be locked against
-- readers as well, since taking a trigger off does that.
select r.oid::regclass::text as name, bool_or(r.has_triggers) as is_exclusive
from (
    select to_regclass(w.name)::oid as oid, false as has_triggers from unnest($1::text[]) as w (name)
    union all
    select t.tgrelid, true
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid
    join pg_namespace as n on n.oid = p.pronamespace
    where not t.tgisinternal and n.nspname = current_schema() and p.proname like 'tierkeep\_note\_%'
) as r
where r.oid is not null
group by r.oid
order by r.oid
