-- Brings rows back: what is deleted from where they are kept is what is inserted. {places} come from checked identifiers.
-- $1 the keys of where they are kept, $2 run or owner, $3 end of the time in which no rule applies to them, in microseconds
-- since 1970. What goes is named by an array: a join might be planned as one over all rows.
with pick as materialized (
    select o.{place} as place, {why} as why
    from {origin} as o
    where o.{place} = any(cast(cast($1 as text[]) as {type}[])) and {scope}
    for update of o skip locked
),
gone as (
    delete from {origin} as o
    where o.{place} = any (array(select pick.place from pick where pick.why is null))
    returning {run} as run, cast({key_value} as text) as row_key, {values}
),
came as (
    insert into {table} ({columns}) overriding system value
    select {aliases} from gone
    returning {columns}
),
exempt as (
    insert into tierkeep_exempt (source, row_key, until)
    select {source}, row_key, timestamptz 'epoch' + cast($3 as bigint) * interval '1 microsecond' from gone
    on conflict (source, row_key) do update set until = greatest(tierkeep_exempt.until, excluded.until)
)
select
    (select count(*) from pick),
    (select count(*) from gone),
    (select count(*) from came),
    (select cast(sum({digest_gone}) as text) from gone),
    (select cast(sum({digest_came}) as text) from came),
    (select array_agg(cast(place as text) order by place) from pick where why is not null),
    (select array_agg(why order by place) from pick where why is not null),
    (select array_agg(cast(run as bigint)) from gone),
    (select array_agg(row_key) from gone)
