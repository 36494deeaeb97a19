-- Moves a batch of duplicates into quarantine and turns what refers to them to the row that stays. {places} come from
-- checked identifiers. $1 rows at most, $2 run, $3 first and $4 end of the pages that are looked at. One to which a row
-- refers that somebody has locked stays for now.
with found as materialized (
    select t.{key} as key, {survivor} as survivor
    from {table} as t
    where t.ctid >= cast(cast($3 as text) as tid) and t.ctid < cast(cast($4 as text) as tid) and {condition}
    limit $1
    for update of t skip locked
),
{referring},
pick as materialized (
    select found.key, found.survivor
    from found
    where {is_free}
),
{turned},
noted as (
    insert into tierkeep_repointed (run_id, source, row_key, former, survivor)
    select cast($2 as bigint), turned.source, turned.row_key, turned.former, turned.survivor
    from ({all_turned}) as turned
    on conflict (run_id, source, row_key) do update set survivor = excluded.survivor
    returning row_key
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
    (select count(*) from found),
    (select count(*) from gone),
    (select cast(sum(hashtextextended(cast(content as text), 0)) as text) from gone),
    (select cast(sum(hashtextextended(cast(content as text), 0)) as text) from came),
    (select cast(coalesce(jsonb_object_agg(kind, rows), '{}') as text) from (select kind, count(*) as rows from came group by kind) as kinds),
    (select count(*) from noted)
