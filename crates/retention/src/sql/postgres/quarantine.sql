-- Moves a batch into quarantine. {places} come from checked identifiers. $1 rows at most, $2 run, $3 first and $4 end of
-- the pages that are looked at.
with pick as materialized (
    select t.{key} as key
    from {table} as t
    where t.ctid >= cast(cast($3 as text) as tid) and t.ctid < cast(cast($4 as text) as tid) and {condition}
    limit $1
    for update of t skip locked
),
gone as (
    delete from {table} as t
    where t.{key} = any (array(select pick.key from pick)) and {condition}
    returning
        {kind} as kind, cast(t.{key} as text) as row_key, {owner} as owner,
        jsonb_object(array[{names}], array[{values}]) as content
),
came as (
    insert into tierkeep_quarantine (run_id, kind, source, row_key, owner, content)
    select cast($2 as bigint), kind, {source}, row_key, owner, content from gone
    returning kind, content
)
select
    (select count(*) from pick),
    (select count(*) from gone),
    (select cast(sum(hashtextextended(cast(content as text), 0)) as text) from gone),
    (select cast(sum(hashtextextended(cast(content as text), 0)) as text) from came),
    (select cast(coalesce(jsonb_object_agg(kind, rows), '{}') as text) from (select kind, count(*) as rows from came group by kind) as kinds)
