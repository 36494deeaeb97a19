-- What is missing or differs, in words; nothing if all is as installed.
with recursive watched (name, function, body, relation) as (
    select w.name, w.function, w.body, to_regclass(w.name)::oid
    from unnest($1::text[], $2::text[], $3::text[]) as w (name, function, body)
),
relations (oid, root, function) as (
    select relation, relation, function from watched where relation is not null
    union
    select i.inhrelid, r.root, r.function from relations as r join pg_inherits as i on i.inhparent = r.oid
),
functions as (
    select
        w.function,
        p.oid,
        p.prosrc = w.body and p.prosecdef
        and coalesce(array_to_string(p.proconfig, ' ') like '%search\_path=%pg\_temp%', false)
        -- set for the function itself, it would be quiet in every transaction
        and array_to_string(p.proconfig, ' ') not like '%tierkeep.origin=%' as is_ours
    from watched as w
    left join pg_proc as p
        on
            p.proname = w.function and p.pronargs = 0
            and p.pronamespace = coalesce(
                (select c.relnamespace from pg_class as c where c.oid = to_regclass('tierkeep_feed')),
                quote_ident(current_schema())::regnamespace
            )
),
events (name, kind, before_rows, after_rows) as (
    values
    ('insert', 4, null, 'after_rows'), ('update', 16, 'before_rows', 'after_rows'),
    ('delete', 8, 'before_rows', null), ('truncate', 32, null, null)
),
triggers as (
    select
        r.oid::regclass as relation,
        r.oid <> r.root as is_partition,
        'tierkeep_' || e.name as name,
        t.oid,
        t.tgenabled,
        count(t.oid) over (partition by r.oid) as present,
        t.tgfoid is not distinct from f.oid and t.tgtype = e.kind and t.tgqual is null and t.tgattr::text = ''
        and t.tgoldtable is not distinct from e.before_rows::name
        and t.tgnewtable is not distinct from e.after_rows::name as is_ours
    from relations as r
    cross join events as e
    join functions as f on f.function = r.function
    left join pg_trigger as t on t.tgrelid = r.oid and t.tgname = 'tierkeep_' || e.name
)
select format('table %s is missing', name) as problem from watched where relation is null
union all
select case when oid is null then format('function %s is missing', function) else format('function %s differs', function) end
from functions
where oid is null or not is_ours
union all
select distinct format('partition %s has no triggers', relation) from triggers where is_partition and present = 0
union all
select
    case
        when oid is null then format('trigger %s on %s is missing', name, relation)
        when tgenabled = 'D' then format('trigger %s on %s is disabled', name, relation)
        when tgenabled <> 'A' then format('trigger %s on %s is not ENABLE ALWAYS', name, relation)
        else format('trigger %s on %s differs', name, relation)
    end
from triggers
where
    not (is_partition and present = 0)
    and (oid is null or tgenabled <> 'A' or not is_ours)
order by problem
